//! Cosignatures 联署 (c2sp.org/tlog-cosignature, Ed25519): a witness 见证 says that it saw a checkpoint, when, and that it continues whatever it had
//! seen of that log before.
//!
//! ```text
//! line:    — <witness name> base64(4-byte key hash || time u64 || Ed25519 signature 64)
//! signed:  cosignature/v1\n
//!          time <seconds since 1970 in decimal>\n
//!          <text of the checkpoint>
//! ```

use super::note::{KeyType, Note, NoteSignature, VerifierKey};
use super::sign::{PublicKey, SigningKey};

/// Seconds since 1970, UTC: what cosignatures count in.
pub type Seconds = u64;

/// What a cosignature signs.
fn message(text: &str, time: Seconds) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// The public half of a witness's key: a verifier key of type 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner(VerifierKey);

impl Cosigner {
    /// The witness of this name with this key.
    pub fn new(name: &str, key: PublicKey) -> Option<Cosigner> {
        Cosigner::parse(&VerifierKey { name: name.to_owned(), key_type: KeyType::Cosignature, key }.encode())
    }

    /// Parses a verifier key; `None` if it is not a witness's.
    pub fn parse(text: &str) -> Option<Cosigner> {
        VerifierKey::parse(text).filter(|key| key.key_type == KeyType::Cosignature).map(Cosigner)
    }

    /// As it is written in policies.
    pub fn encode(&self) -> String {
        self.0.encode()
    }

    /// Its name in notes.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its key.
    pub fn key(&self) -> PublicKey {
        self.0.key
    }

    /// When this witness says that it saw the checkpoint, by this line; `None` if the line is another's or the signature does not fit.
    pub fn time_of(&self, text: &str, line: &NoteSignature) -> Option<Seconds> {
        let ours = line.name == self.0.name && line.key_hash == self.0.hash();
        let (time, signature) = line.signature.split_first_chunk().filter(|_| ours)?;
        let (time, signature) = (u64::from_be_bytes(*time), signature.try_into().ok()?);
        // The bound of the specification: a reader may keep it in a signed number.
        (i64::try_from(time).is_ok() && self.0.key.verify(&message(text, time), signature)).then_some(time)
    }

    /// When this witness last said that it saw the checkpoint in a note. A line of it that does not fit says nothing.
    pub fn newest_time(&self, note: &Note) -> Option<Seconds> {
        note.signatures().iter().filter_map(|line| self.time_of(note.text(), line)).max()
    }
}

/// A witness's secret half.
#[derive(Clone, Debug)]
pub struct CosigningKey {
    cosigner: Cosigner,
    key: SigningKey,
}

impl CosigningKey {
    /// A key under a name that keys of notes can have.
    pub fn new(name: &str, key: SigningKey) -> Option<CosigningKey> {
        let public = PublicKey::parse(&key.public()).ok()?;
        Some(CosigningKey { cosigner: Cosigner::new(name, public)?, key })
    }

    /// Its public half.
    pub fn cosigner(&self) -> &Cosigner {
        &self.cosigner
    }

    /// Signs the text of a checkpoint as seen at `time`.
    pub fn cosign(&self, text: &str, time: Seconds) -> NoteSignature {
        let signature = [&time.to_be_bytes()[..], &self.key.sign(&message(text, time))].concat();
        NoteSignature { name: self.cosigner.name().to_owned(), key_hash: self.cosigner.0.hash(), signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn key() -> CosigningKey {
        CosigningKey::new("witness.example/w1", SigningKey::from_seed(&[7; 32])).expect("a key")
    }

    #[test]
    fn a_cosignature_is_of_one_text_one_time_one_key_and_one_name() {
        let line = key().cosign(TEXT, 1_679_315_147);
        let cosigner = key().cosigner().clone();
        assert_eq!(cosigner.time_of(TEXT, &line), Some(1_679_315_147));
        assert_eq!(Cosigner::parse(&cosigner.encode()), Some(cosigner.clone()));
        assert_eq!(cosigner.time_of(&TEXT.replace("163", "164"), &line), None);
        let other = CosigningKey::new("witness.example/w1", SigningKey::from_seed(&[8; 32])).expect("a key");
        assert_eq!(other.cosigner().time_of(TEXT, &line), None);
        let renamed = NoteSignature { name: "witness.example/w2".into(), ..line.clone() };
        assert_eq!(cosigner.time_of(TEXT, &renamed), None);
        for at in 0..line.signature.len() {
            let mut altered = line.clone();
            altered.signature[at] ^= 1;
            assert_eq!(cosigner.time_of(TEXT, &altered), None, "byte {at}");
        }
        for length in 0..line.signature.len() {
            let cut = NoteSignature { signature: line.signature[..length].to_vec(), ..line.clone() };
            assert_eq!(cosigner.time_of(TEXT, &cut), None, "length {length}");
        }
    }

    #[test]
    fn a_key_of_a_log_is_no_witness_and_the_other_way_round() {
        let public = SigningKey::from_seed(&[7; 32]).public();
        let of_log = super::super::note::verifier_key("witness.example/w1", &public);
        assert_eq!(Cosigner::parse(&of_log), None);
        assert_ne!(VerifierKey::parse(&of_log).expect("a key").hash(), VerifierKey::parse(&key().cosigner().encode()).expect("a key").hash());
        assert!(Cosigner::new("two words", key().cosigner().key()).is_none());
        assert!(Cosigner::new("a+b", key().cosigner().key()).is_none());
    }
}
