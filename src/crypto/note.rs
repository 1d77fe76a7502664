//! C2SP signed notes (c2sp.org/signed-note) and the checkpoints written in them (c2sp.org/tlog-checkpoint).
//!
//! ```text
//! <origin>\n
//! <size in decimal>\n
//! <root hash, base64>\n
//! \n
//! — <key name> <base64(4-byte key hash || signature)>\n          one or more
//! ```

use std::fmt;

use data_encoding::BASE64;

use super::hash;
use super::merkle::Hash;
use super::sign::{Key, PublicKey, SignError, SigningKey};
use crate::limits::{HOST_LEN_MAX, KEY_NAME_MAX, NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX};

/// What a key of a note signs, by the byte in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Notes, by Ed25519.
    Note = 0x01,
    /// Checkpoints with the time at which they were seen, by Ed25519: a witness's (c2sp.org/tlog-cosignature).
    Cosignature = 0x04,
}

const DASH: &str = "\u{2014} ";

/// A host name with its port if any: 1 to 28 lower-case characters of the QR alphabet (letters, digits, `.`, `-`, `:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Box<str>);

impl Host {
    /// Parses a lower-case host, `127.0.0.1:8080` or `fp.example.cn`.
    pub fn parse(text: &str) -> Option<Host> {
        let charset = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':'));
        ((1..=HOST_LEN_MAX).contains(&text.len()) && charset).then(|| Host(text.into()))
    }

    /// As parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a log and of its notes: `<host>/<log id>`, the log id being 16 lower-case hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin(Box<str>);

impl Origin {
    /// Length of the log id, in bytes before hex.
    pub const LOG_ID_LEN: usize = 8;

    /// The origin of a new log.
    pub fn new(host: &Host, log_id: [u8; Origin::LOG_ID_LEN]) -> Origin {
        Origin(format!("{}/{}", host.0, data_encoding::HEXLOWER.encode(&log_id)).into())
    }

    /// The origin of a log that goes on where this one is given up: the same host, another log id.
    pub fn succeeded_by(&self, log_id: [u8; Origin::LOG_ID_LEN]) -> Origin {
        Origin(format!("{}/{}", self.host(), data_encoding::HEXLOWER.encode(&log_id)).into())
    }

    /// Parses `<host>/<16 lower-case hex digits>`.
    pub fn parse(text: &str) -> Option<Origin> {
        let (host, log_id) = text.split_once('/')?;
        Host::parse(host)?;
        let hex = log_id.len() == 2 * Origin::LOG_ID_LEN && log_id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| Origin(text.into()))
    }

    /// As it stands in notes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(host, _)| host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why text is not a note, or not one to believe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note with 16 signatures.
    #[error("the note is too long")]
    TooLong,
    /// A control character other than a newline.
    #[error("the note holds a control character")]
    ControlCharacter,
    /// No empty line before the signatures, or no newline at the end.
    #[error("the note has no signature block")]
    NoSignatures,
    /// More than 16 signature lines.
    #[error("the note has too many signatures")]
    TooManySignatures,
    /// A line that is not dash, name and canonical base64 of at least five bytes.
    #[error("signature line {0} is malformed")]
    SignatureLine(usize),
    /// The text is not origin, size and root.
    #[error("the note's text is not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// The log is another one.
    #[error("the checkpoint is of another log, {0}")]
    OtherOrigin(Origin),
    /// No line of the key that counts.
    #[error("the note is not signed by {0}")]
    NotSignedBy(String),
    /// A line of that key, and the signature does not fit.
    #[error("the signature by {0} is wrong")]
    WrongSignature(String),
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key: not empty, no spaces, no plus.
    pub name: String,
    /// Beginning of the hash of name, type and public key.
    pub key_hash: [u8; 4],
    /// What the key's algorithm makes of the text.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    /// Parses a line without its newline.
    pub fn parse(line: &str) -> Option<NoteSignature> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = decode_base64(encoded)?;
        let (key_hash, signature) = bytes.split_first_chunk()?;
        (is_name(name) && !signature.is_empty()).then(|| NoteSignature { name: name.to_owned(), key_hash: *key_hash, signature: signature.to_vec() })
    }

    /// The line with its newline.
    pub fn encode(&self) -> String {
        let bytes = [&self.key_hash[..], &self.signature].concat();
        [DASH, &self.name, " ", &BASE64.encode(&bytes), "\n"].concat()
    }
}

/// A text with its signatures. A parsed one is written back byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs `text`, which ends in a newline, as `name`.
    pub fn sign(text: String, name: &str, key: &SigningKey) -> Note {
        let line = line(name, &key.public(), &key.sign(text.as_bytes()));
        Note { text, signatures: vec![line] }
    }

    /// Adds the line of another of our keys under the same name, if it signs at once.
    pub fn cosign(&mut self, name: &str, key: &Key) {
        let signature = key.sign_at_once(self.text.as_bytes());
        self.signatures.extend(signature.map(|signature| line(name, &key.public(), &signature)));
    }

    /// Parses a note. Nothing is verified yet.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        let (before, block) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let block = block.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        if block.split('\n').count() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = block.split('\n').enumerate().map(|(at, line)| NoteSignature::parse(line).ok_or(NoteError::SignatureLine(at + 1)));
        Ok(Note { text: format!("{before}\n"), signatures: signatures.collect::<Result<_, _>>()? })
    }

    /// The note as it is published.
    pub fn encode(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for line in &self.signatures {
            note.push_str(&line.encode());
        }
        note
    }

    /// What is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every signature line, cosignatures included.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Keeps only the lines that are wanted.
    pub fn retain(&mut self, wanted: impl Fn(&NoteSignature) -> bool) {
        self.signatures.retain(wanted);
    }

    /// Adds a signature line, as a witness returns it (with or without its newline).
    pub fn add_line(&mut self, line: &str) -> Result<(), NoteError> {
        if self.signatures.len() == NOTE_SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        let parsed = NoteSignature::parse(line.strip_suffix('\n').unwrap_or(line)).ok_or(NoteError::SignatureLine(self.signatures.len() + 1))?;
        self.signatures.push(parsed);
        Ok(())
    }

    /// Whether `name` signed with `key`. Lines of other keys are ignored, a wrong one of this key is not.
    pub fn verify(&self, name: &str, key: &PublicKey) -> Result<(), NoteError> {
        let wanted = key_hash(name, &key.to_bytes());
        let mut lines = self.signatures.iter().filter(|line| line.name == name && line.key_hash == wanted).peekable();
        if lines.peek().is_none() {
            return Err(NoteError::NotSignedBy(name.to_owned()));
        }
        let fits = |line: &NoteSignature| line.signature.as_slice().try_into().is_ok_and(|signature| key.verify(self.text.as_bytes(), signature));
        if lines.all(fits) { Ok(()) } else { Err(NoteError::WrongSignature(name.to_owned())) }
    }
}

fn line(name: &str, public: &[u8; 32], signature: &[u8; 64]) -> NoteSignature {
    NoteSignature { name: name.to_owned(), key_hash: key_hash(name, public), signature: signature.to_vec() }
}

/// Whether a key may go by this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= KEY_NAME_MAX && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// First 4 bytes of SHA-256(name || "\n" || type || public key).
fn hash_of(name: &str, key_type: KeyType, public: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = hash::sha256(&[name.as_bytes(), b"\n", &[key_type as u8], public]);
    [a, b, c, d]
}

/// How a key that signs notes is named in them.
pub fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    hash_of(name, KeyType::Note, public)
}

/// The key as foreign note verifiers want it: `name+hash in hex+base64(0x01 || public key)`.
pub fn verifier_key(name: &str, public: &[u8; 32]) -> String {
    encode_verifier_key(name, KeyType::Note, public)
}

fn encode_verifier_key(name: &str, key_type: KeyType, public: &[u8; 32]) -> String {
    let hash = data_encoding::HEXLOWER.encode(&hash_of(name, key_type, public));
    format!("{name}+{hash}+{}", BASE64.encode(&[&[key_type as u8][..], public].concat()))
}

/// A public key with its name and what it signs: `name+hash in hex+base64(type || public key)` (c2sp.org/signed-note, verifier keys).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// Name in notes.
    pub name: String,
    /// What it signs.
    pub key_type: KeyType,
    /// The key.
    pub key: PublicKey,
}

impl VerifierKey {
    /// Parses one; `None` if it is none, of another type, or its hash is not its own.
    pub fn parse(text: &str) -> Option<VerifierKey> {
        let mut parts = text.splitn(3, '+');
        let (name, hash, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = decode_base64(encoded)?;
        let (number, public) = bytes.split_first()?;
        let key_type = [KeyType::Note, KeyType::Cosignature].into_iter().find(|known| *known as u8 == *number)?;
        let key = PublicKey::parse(public.try_into().ok()?).ok()?;
        let parsed = VerifierKey { name: name.to_owned(), key_type, key };
        (is_name(name) && data_encoding::HEXLOWER.encode(&parsed.hash()) == hash).then_some(parsed)
    }

    /// As it is written.
    pub fn encode(&self) -> String {
        encode_verifier_key(&self.name, self.key_type, &self.key.to_bytes())
    }

    /// How it is named in the lines it signs, beside its name.
    pub fn hash(&self) -> [u8; 4] {
        hash_of(&self.name, self.key_type, &self.key.to_bytes())
    }
}

/// The log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// Parses exactly three lines; extension lines are refused, we write none.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Checkpoint("no newline at the end"))?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Checkpoint("not three lines"));
        };
        let origin = Origin::parse(origin).ok_or(NoteError::Checkpoint("origin"))?;
        let size = parse_decimal(size).ok_or(NoteError::Checkpoint("size"))?;
        let root = decode_base64(root).and_then(|root| root.try_into().ok()).ok_or(NoteError::Checkpoint("root"))?;
        Ok(Checkpoint { origin, size, root })
    }

    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> Note {
        Note::sign(self.text(), self.origin.as_str(), key)
    }

    /// As [`Checkpoint::sign`], by a key that may be in a token.
    pub fn sign_by(&self, key: &Key) -> Result<Note, SignError> {
        let text = self.text();
        let line = line(self.origin.as_str(), &key.public(), &key.sign(text.as_bytes())?);
        Ok(Note { text, signatures: vec![line] })
    }

    /// The checkpoint in a note of this log, signed by its key; and the note, with whatever other signatures it carries.
    pub fn open(note: &str, origin: &Origin, key: &PublicKey) -> Result<(Checkpoint, Note), NoteError> {
        let note = Note::parse(note)?;
        note.verify(origin.as_str(), key)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin == *origin { Ok((checkpoint, note)) } else { Err(NoteError::OtherOrigin(checkpoint.origin)) }
    }
}

/// Canonical base64 (RFC 4648, section 4). The decoder alone takes padding in the middle, as if two texts were joined.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

/// A decimal without sign or leading zeros.
pub fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}
