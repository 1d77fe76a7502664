//! Checkpoints as signed notes, against another implementation, and read strictly.

use fapiao::crypto::merkle::EMPTY_ROOT;
use fapiao::crypto::note::{self, Checkpoint, Host, Note, NoteError, Origin};
use fapiao::crypto::sign::{PublicKey, SigningKey};
use proptest::prelude::*;
use signed_note::{Note as TheirNote, StandardSigner, StandardVerifier, VerifierList};

const ORIGIN: &str = "fp.example.cn:8443/0123456789abcdef";

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::parse(&key.public()).expect("a sound key")
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: Origin::parse(ORIGIN).expect("an origin"), size, root: EMPTY_ROOT }
}

fn their_verifiers(name: &str, key: &SigningKey) -> VerifierList {
    VerifierList::new(vec![Box::new(StandardVerifier::new(&note::verifier_key(name, &key.public())).expect("a verifier key"))])
}

/// A signer of theirs: `PRIVATE+KEY+name+hash+base64(0x01 || seed)`.
fn their_signer(name: &str, key: &SigningKey) -> StandardSigner {
    let hash = data_encoding::HEXLOWER.encode(&note::key_hash(name, &key.public()));
    let secret = data_encoding::BASE64.encode(&[&[1][..], &key.seed()[..]].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{name}+{hash}+{secret}")).expect("a signer key")
}

#[test]
fn signed_note_accepts_ours_and_we_theirs() {
    for size in [0, 1, 256, u64::MAX] {
        let ours = checkpoint(size).sign(&key());
        let theirs = TheirNote::from_bytes(ours.encode().as_bytes()).expect("a note");
        let (verified, unverified) = theirs.verify(&their_verifiers(ORIGIN, &key())).expect("verified");
        assert_eq!((verified.len(), unverified.len()), (1, 0));

        let mut theirs = TheirNote::new(checkpoint(size).text().as_bytes(), &[]).expect("a note");
        theirs.add_sigs(&[&their_signer(ORIGIN, &key())]).expect("signed");
        let text = String::from_utf8(theirs.to_bytes()).expect("UTF-8");
        assert_eq!(text, ours.encode());
        let opened = Checkpoint::open(&text, &checkpoint(size).origin, &public(&key())).expect("opened");
        assert_eq!(opened, (checkpoint(size), ours));
    }
}

#[test]
fn a_checkpoint_byte_for_byte() {
    let text = checkpoint(0).sign(&key()).encode();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[..4], [ORIGIN, "0", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", ""]);
    assert!(lines[4].starts_with(&format!("\u{2014} {ORIGIN} ")) && lines[5..] == [""]);
}

#[test]
fn cosignatures_are_kept_and_do_not_count() {
    let (witness, origin) = (SigningKey::from_seed(&[8; 32]), checkpoint(5).origin);
    let mut note = checkpoint(5).sign(&key());
    let cosigned = Note::sign(note.text().to_owned(), "witness.example", &witness).encode();
    let line = cosigned.lines().last().expect("a signature line");
    note.add_line(line).expect("added");
    note.add_line(line).expect("added");
    let text = note.encode();
    let (_, opened) = Checkpoint::open(&text, &origin, &public(&key())).expect("opened");
    assert_eq!((opened.signatures().len(), opened.encode()), (3, text.clone()));
    assert_eq!(opened.verify("witness.example", &public(&witness)), Ok(()));
    assert_eq!(Checkpoint::open(&text, &origin, &public(&witness)), Err(NoteError::NotSignedBy(ORIGIN.into())));

    // A second line under our name that does not fit spoils the note.
    let mut spoilt = Note::sign(note.text().to_owned(), ORIGIN, &key());
    spoilt.add_line(&checkpoint(6).sign(&key()).encode().lines().last().expect("a line").replace('\n', "")).expect("added");
    assert_eq!(Checkpoint::open(&spoilt.encode(), &origin, &public(&key())), Err(NoteError::WrongSignature(ORIGIN.into())));

    for _ in 0..13 {
        note.add_line(line).expect("up to 16");
    }
    assert_eq!(note.add_line(line), Err(NoteError::TooManySignatures));
    let seventeen = format!("{}{line}\n", note.encode());
    assert_eq!(Note::parse(&seventeen), Err(NoteError::TooManySignatures));
}

#[test]
fn notes_are_read_strictly() {
    let good = checkpoint(5).sign(&key()).encode();
    let origin = checkpoint(5).origin;
    let name = format!("\u{2014} {ORIGIN} ");
    for (from, to, error) in [
        ("\n5\n", "\n6\n", NoteError::WrongSignature(ORIGIN.into())),
        ("\n\n", "\n", NoteError::NoSignatures),
        ("\u{2014}", "-", NoteError::SignatureLine(1)),
        ("=\n\n", "=\n\textension\n\n", NoteError::ControlCharacter),
        (name.as_str(), "\u{2014} \u{3000} ", NoteError::SignatureLine(1)),
        (name.as_str(), "\u{2014} a+b ", NoteError::SignatureLine(1)),
        (name.as_str(), "\u{2014}  ", NoteError::SignatureLine(1)),
        (name.as_str(), "\u{2014} elsewhere.example/0123456789abcdef ", NoteError::NotSignedBy(ORIGIN.into())),
    ] {
        assert_ne!(good.replacen(from, to, 1), good);
        assert_eq!(Checkpoint::open(&good.replacen(from, to, 1), &origin, &public(&key())), Err(error), "{to:?}");
    }
    assert_eq!(Note::parse(good.trim_end()), Err(NoteError::NoSignatures));

    // Signed by the right key, and no checkpoint of ours.
    for (text, error) in [
        (format!("{ORIGIN}\n05\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), NoteError::Checkpoint("size")),
        (format!("{ORIGIN}\n+5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), NoteError::Checkpoint("size")),
        (format!("{ORIGIN}\n18446744073709551616\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), NoteError::Checkpoint("size")),
        (format!("{ORIGIN}\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n"), NoteError::Checkpoint("root")),
        (format!("{ORIGIN}\n5\n47DEQpj8\n"), NoteError::Checkpoint("root")),
        (format!("{ORIGIN}\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nextension\n"), NoteError::Checkpoint("not three lines")),
        // Two padded texts in a row, which decode to 32 bytes.
        (format!("{ORIGIN}\n5\n47DEQpg=HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA\n"), NoteError::Checkpoint("root")),
        ("fp.example.cn\n5\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".into(), NoteError::Checkpoint("origin")),
    ] {
        let note = Note::sign(text, ORIGIN, &key()).encode();
        assert_eq!(Checkpoint::open(&note, &origin, &public(&key())).map(|_| ()), Err(error), "{note}");
    }
    let other = Checkpoint { origin: Origin::parse("other.example/0123456789abcdef").expect("an origin"), ..checkpoint(5) };
    let signed_as_us = Note::sign(other.text(), ORIGIN, &key()).encode();
    assert_eq!(Checkpoint::open(&signed_as_us, &origin, &public(&key())), Err(NoteError::OtherOrigin(other.origin)));
}

#[test]
fn origins_and_hosts() {
    for good in ["a/0123456789abcdef", "127.0.0.1:8080/0123456789abcdef"] {
        assert_eq!(Origin::parse(good).expect("an origin").as_str(), good);
    }
    let long = format!("{}/0123456789abcdef", "a".repeat(29));
    for bad in [
        "",
        "a",
        "/0123456789abcdef",
        "a/0123456789ABCDEF",
        "a/0123456789abcde",
        "A/0123456789abcdef",
        "a b/0123456789abcdef",
        "a/b/0123456789abcdef",
        &long,
    ] {
        assert_eq!(Origin::parse(bad), None, "{bad}");
    }
    let host = Host::parse("fp.example.cn:8443").expect("a host");
    let origin = Origin::new(&host, [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    assert_eq!((origin.as_str(), origin.host()), (ORIGIN, host.as_str()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is accepted is written back as it came, and another implementation accepts it too.
    #[test]
    fn changed_notes_are_refused_or_the_same(at in any::<prop::sample::Index>(), to in any::<char>()) {
        let mut chars: Vec<char> = checkpoint(77).sign(&key()).encode().chars().collect();
        *at.get_mut(&mut chars) = to;
        let text: String = chars.into_iter().collect();
        if let Ok(note) = Note::parse(&text) {
            prop_assert_eq!(note.encode(), text.clone());
        }
        if let Ok((opened, _)) = Checkpoint::open(&text, &checkpoint(77).origin, &public(&key())) {
            prop_assert_eq!(opened, checkpoint(77));
            prop_assert_eq!(text, checkpoint(77).sign(&key()).encode());
        }
    }
}
