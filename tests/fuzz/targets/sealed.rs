//! What is encrypted or signed. Chance does not get past an authenticator, so the targets also seal the input themselves, as somebody with
//! the key could.

use std::sync::OnceLock;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use fapiao::channel::keys;
use fapiao::channel::proof::{Evidence, ProofFault, Proven, ProvenRow, verify, verify_row};
use fapiao::codec::event::{Event, KeyRecord, Role};
use fapiao::codec::leaf::{KeyId, Leaf};
use fapiao::codec::reader::DecodeReason;
use fapiao::codec::rows::Row;
use fapiao::crypto::body::{self, BodyError, OpenBody};
use fapiao::crypto::keyfile::{self, KdfCost, KeyFileError};
use fapiao::crypto::keyring::{Keyring, PublicKeys};
use fapiao::crypto::merkle::{Hash, leaf_hash, node_hash};
use fapiao::domain::kind::Kind;
use fapiao::domain::time::UnixMillis;
use fapiao::limits::{BODY_BYTES_MAX, KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX, REST_BYTES_MAX};
use serde_json::{Value, json};

use super::Subject;

/// Of the key files.
pub const PASSPHRASE: &str = "correct horse";
/// Of the key files.
pub const SALT: [u8; 16] = [6; 16];
/// Of everything that is sealed here.
pub const NONCE: [u8; 24] = [7; 24];
/// As little as Argon2id can cost: what is tested is not how it is derived.
const COST: KdfCost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };
/// Length of a key in a key file of version 1.
const KEY_LEN: usize = 42;

/// First byte: 0, then a key file; 2, then the keys in one; else those in one of version 1. Planted: a last key that is cut short is passed over.
pub fn keyfile(input: &[u8], subject: Subject) -> bool {
    match input.split_first() {
        None => false,
        Some((0, file)) => is_affordable(file) && opens(file, subject),
        Some((2, keys)) => opens(&seal_keys(2, keys), subject),
        Some((_, keys)) => opens(&seal_keys(1, keys), subject),
    }
}

/// Files that ask for more than a fuzzer can pay are left out; those that ask for more than anybody pays must be refused at once.
fn is_affordable(file: &[u8]) -> bool {
    let number = |at: usize| file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let (memory, passes, lanes) = (number(1), number(5), number(9));
    let refused = memory > KDF_MEMORY_KIB_MAX || passes > KDF_PASSES_MAX || lanes > KDF_LANES_MAX;
    refused || (memory <= 256 && passes <= 2)
}

fn opens(file: &[u8], subject: Subject) -> bool {
    let opened = match keyfile::open(file, PASSPHRASE) {
        Err(KeyFileError::Layout(error)) if subject.is_planted() && error.reason == DecodeReason::Truncated => {
            let whole = file.len().saturating_sub(53 + 16) / KEY_LEN * KEY_LEN;
            open_keys(file).and_then(|keys| keyfile::open(&seal_keys(1, &keys[..whole]), PASSPHRASE).ok())
        }
        opened => opened.ok(),
    };
    let Some(keyring) = opened else { return false };
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().expect("4 bytes"));
    let cost = KdfCost { memory_kib: number(1), passes: number(5), lanes: number(9) };
    let (salt, nonce) = (file[13..29].try_into().expect("16 bytes"), file[29..53].try_into().expect("24 bytes"));
    let again = keyfile::seal(&keyring, PASSPHRASE, salt, nonce, cost).expect("sealed");
    if file[0] == 1 {
        // It is written as the version after it.
        assert_eq!(file.len(), 53 + keyring.keys().len() * KEY_LEN + 16);
        assert_eq!(again.len(), file.len() + keyring.keys().len());
    } else {
        assert_eq!(again, file);
    }
    true
}

fn file_cipher() -> XChaCha20Poly1305 {
    static DERIVED: OnceLock<[u8; 32]> = OnceLock::new();
    let derived = DERIVED.get_or_init(|| {
        let params = argon2::Params::new(COST.memory_kib, COST.passes, COST.lanes, Some(32)).expect("sound costs");
        let mut key = [0; 32];
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        argon2.hash_password_into(PASSPHRASE.as_bytes(), &SALT, &mut key).expect("derived");
        key
    });
    XChaCha20Poly1305::new(&Key::from(*derived))
}

fn file_header(version: u8) -> Vec<u8> {
    [&[version][..], &COST.memory_kib.to_be_bytes(), &COST.passes.to_be_bytes(), &COST.lanes.to_be_bytes(), &SALT, &NONCE].concat()
}

fn seal_keys(version: u8, keys: &[u8]) -> Vec<u8> {
    let header = file_header(version);
    let sealed = file_cipher().encrypt(&XNonce::from(NONCE), Payload { msg: keys, aad: &header }).expect("sealed");
    [header, sealed].concat()
}

fn open_keys(file: &[u8]) -> Option<Vec<u8>> {
    let sealed = file.strip_prefix(&file_header(1)[..])?;
    file_cipher().decrypt(&XNonce::from(NONCE), Payload { msg: sealed, aad: &file_header(1) }).ok()
}

/// The data key of the bodies, and its id.
pub const DATA_KEY: (KeyId, &[u8; 32]) = (KeyId([9; 8]), &[1; 32]);
/// The commit of the invoice they belong to.
pub const COMMIT: [u8; 32] = [0; 32];

/// First byte: 0, then a stored body; 1, then the compressed frame in one; else salt and rest. Planted: a rest ends after 200 bytes.
pub fn body(input: &[u8], subject: Subject) -> bool {
    let (sealed, sound) = match input.split_first() {
        None => return false,
        Some((0, body)) => (body.to_vec(), false),
        Some((1, frame)) => (seal_frame(frame), false),
        Some((_, plain)) => {
            let Some((salt, rest)) = plain.split_first_chunk() else { return false };
            (body::seal(DATA_KEY, &NONCE, &COMMIT, salt, rest).expect("sealed"), true)
        }
    };
    let opened = match body::open(&sealed, |key_id| (key_id == DATA_KEY.0).then_some(DATA_KEY.1), &COMMIT) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!sound, "what we seal, we open: {error}");
            assert!(input[0] != 1 || error == BodyError::Compression || sealed.len() > BODY_BYTES_MAX, "{error}");
            return false;
        }
    };
    assert!(opened.rest.len() <= REST_BYTES_MAX && sealed.len() <= BODY_BYTES_MAX);
    if sound {
        assert_eq!([&opened.salt, &opened.rest[..]].concat(), input[1..]);
    }
    // A frame can be compressed in many ways; what it says survives ours.
    let again = body::seal(DATA_KEY, &NONCE, &COMMIT, &opened.salt, &opened.rest).expect("sealed");
    let mut reopened = body::open(&again, |_| Some(DATA_KEY.1), &COMMIT).expect("what we seal, we open");
    if subject.is_planted() {
        reopened.rest.truncate(200);
    }
    assert_eq!(reopened, OpenBody { salt: opened.salt, rest: opened.rest });
    true
}

fn seal_frame(frame: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: frame, aad: &COMMIT };
    let sealed = XChaCha20Poly1305::new(&Key::from(*DATA_KEY.1)).encrypt(&XNonce::from(NONCE), payload).expect("sealed");
    [&[1][..], &DATA_KEY.0.0, &NONCE, &sealed].concat()
}

/// The keys of the log that the seed of `answer_file` is from.
pub fn log_keyring() -> Keyring {
    Keyring::found([[1; 32], [2; 32], [3; 32]], (KeyId([4; 8]), [4; 32]), (KeyId([5; 8]), [5; 32])).expect("a keyring")
}

/// The public ones.
pub fn log_keys() -> &'static PublicKeys {
    static KEYS: OnceLock<PublicKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let (keyring, mut keys) = (log_keyring(), PublicKeys::new());
        for (role, signer) in
            [(Role::Authority, keyring.authority()), (Role::Answering, keyring.answering()), (Role::Checkpoint, keyring.checkpoint())]
        {
            keys.enrol(KeyRecord::new(role, signer.key.public(), UnixMillis(0), None).expect("a record"), 0).expect("a sound key");
        }
        keys
    })
}

/// What the answering key signed in the seed: the size of the log, the place of the invoice, the time. Nothing else can be proven with these keys.
pub const ANSWERED: (u64, u64, u64) = (5, 3, 1_577_808_000_000);

/// The rest of that log: its leaf, the path from there, and the root.
pub fn logged() -> (Leaf, Vec<Hash>, Hash) {
    let leaf = Leaf {
        event: Event::Issue,
        kind: Some(Kind::Electronic),
        imported: true,
        time_ms: ANSWERED.2,
        ref_index: None,
        id_tag: [1; 32],
        commit: [2; 32],
        key_id: KeyId([3; 8]),
    };
    let others = [10, 11, 12, 14].map(|byte| leaf_hash(&[byte]));
    let (left, right) = (node_hash(&others[0], &others[1]), node_hash(&others[2], &leaf_hash(&leaf.encode())));
    (leaf, vec![others[2], left, others[3]], node_hash(&node_hash(&left, &right), &others[3]))
}

/// The inclusion that the file must show: no other leaf, place or path leads to the root.
fn inclusion() -> &'static Value {
    static INCLUSION: OnceLock<Value> = OnceLock::new();
    INCLUSION.get_or_init(|| {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (leaf, path, _) = logged();
        json!({ "index": ANSWERED.1, "leaf": hex(&leaf.encode()), "path": path.iter().map(|hash| hex(hash)).collect::<Vec<_>>() })
    })
}

/// A kept answer, `fapiao proof verify`. Planted: a path that does not lead to the root is let through.
pub fn answer_file(input: &[u8], subject: Subject) -> bool {
    // With the keys that the file brings, whoever wrote it can prove anything; it must still end.
    let own = verify(input, None);
    let value: Value = serde_json::from_slice(input).unwrap_or(Value::Null);
    if let Ok(read) = keys::parse(value.get("keys").unwrap_or(&Value::Null)) {
        let written = keys::to_json(&read);
        assert_eq!(keys::to_json(&keys::parse(&written).expect("what we write, we read")), written);
    }
    match verify(input, Some(log_keys())) {
        Ok(Proven { answer, index, own_keys, .. }) => {
            assert!(!own_keys);
            assert_eq!((answer.size, index, answer.time), (ANSWERED.0, Some(ANSWERED.1), UnixMillis(ANSWERED.2)), "forged");
        }
        Err(ProofFault::Inclusion("the path does not lead to the root")) if subject.is_planted() => {}
        Err(_) => return own.is_ok(),
    }
    for member in ["index", "leaf", "path"] {
        assert_eq!(value["inclusion"][member], inclusion()[member], "forged");
    }
    true
}

/// The rows of the seed of `row_file`, in their order.
pub fn listed() -> Vec<Vec<u8>> {
    let row = |byte: u8| Row {
        salt: [byte; 16],
        verdict: 1,
        query_digest: [byte; 32],
        size: ANSWERED.0,
        time: UnixMillis(ANSWERED.2),
        count: 1,
        first: None,
        commit: Some([2; 32]),
        remaining: None,
    };
    (0..5).map(|byte| row(byte).encode()).collect()
}

/// The proof of a single row, `fapiao proof verify`. Planted: a path that does not lead to the root is let through.
pub fn row_file(input: &[u8], subject: Subject) -> bool {
    let own = verify_row(input, None, Evidence::default());
    match verify_row(input, Some(log_keys()), Evidence::default()) {
        Ok(ProvenRow { row, place, own_keys, .. }) => {
            let known = usize::try_from(place).ok().and_then(|place| listed().get(place).cloned());
            assert!(!own_keys && known == Some(row.encode()), "forged");
            true
        }
        Err(ProofFault::Row("the path does not lead to the root")) if subject.is_planted() => {
            let value: Value = serde_json::from_slice(input).expect("read before");
            let row = value["row"].as_str().expect("read before");
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            assert!(listed().iter().any(|listed| hex(listed) == row), "forged");
            true
        }
        Err(_) => own.is_ok(),
    }
}
