//! Sealed bodies and the key file: they open with the right key and nothing else, and nothing hostile makes them allocate or panic.

use fapiao::codec::canonical;
use fapiao::codec::event::{Algorithm, KeyRecord};
use fapiao::codec::leaf::KeyId;
use fapiao::codec::reader::DecodeReason;
use fapiao::crypto::body::{self, BodyError, OpenBody};
use fapiao::crypto::hash;
use fapiao::crypto::keyfile::{self, KdfCost, KeyFileError};
use fapiao::crypto::keyring::{Keyring, KeyringError, Logged, PublicKeys, Role, SecretKey, SignatureCheck};
use fapiao::crypto::sign::PublicKeyError;
use fapiao::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::time::UnixMillis;
use fapiao::limits::REST_BYTES_MAX;
use proptest::prelude::*;

use crate::codec::invoice;

const KEY_ID: KeyId = KeyId([9; 8]);
const KEY: [u8; 32] = [1; 32];

fn only_key(key_id: KeyId) -> Option<&'static [u8; 32]> {
    (key_id == KEY_ID).then_some(&KEY)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_open_as_they_were_sealed(invoice in invoice(), nonce in any::<[u8; 24]>(), salt in any::<[u8; 16]>(), bit in any::<prop::sample::Index>()) {
        let (face, rest) = (canonical::encode_face(&invoice.face()), canonical::encode_rest(&invoice, None));
        let commit = hash::commit(&face, &hash::rest_digest(&salt, &rest));
        let sealed = body::seal((KEY_ID, &KEY), &nonce, &commit, &salt, &rest).expect("sealed");
        prop_assert_eq!(&sealed[..33], &[&[1][..], &KEY_ID.0, &nonce].concat()[..]);
        let opened = body::open(&sealed, only_key, &commit);
        prop_assert_eq!(opened, Ok(OpenBody { salt, rest }));

        let mut altered = sealed.clone();
        let bit = bit.index(altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(body::open(&altered, only_key, &commit).is_err());
        prop_assert_eq!(body::open(&sealed, only_key, &[0; 32]), Err(BodyError::Altered));
        prop_assert_eq!(body::open(&sealed, |_| None, &commit), Err(BodyError::UnknownKey(KEY_ID)));
        prop_assert_eq!(body::open(&sealed, |_| Some(&[2; 32]), &commit), Err(BodyError::Altered));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(body::open(&bytes, |_| Some(&KEY), &[0; 32]).is_err());
        prop_assert!(keyfile::open(&bytes, "passphrase").is_err());
    }
}

/// Seals what is no compressed salt and rest, as somebody with the data key could.
fn seal_raw(frame: &[u8]) -> Vec<u8> {
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    let cipher = chacha20poly1305::XChaCha20Poly1305::new(&KEY.into());
    let sealed = cipher.encrypt(&[0; 24].into(), Payload { msg: frame, aad: &[0; 32] }).expect("sealed");
    [&[1][..], &KEY_ID.0, &[0; 24], &sealed].concat()
}

#[test]
fn decompression_is_bounded() {
    let open = |frame: &[u8]| body::open(&seal_raw(frame), only_key, &[0; 32]);
    let compressed = |length: usize| zstd::bulk::compress(&vec![0; length], 1).expect("compressed");
    assert_eq!(open(&compressed(16)), Ok(OpenBody { salt: [0; 16], rest: vec![] }));
    assert_eq!(open(&compressed(16 + REST_BYTES_MAX)).map(|opened| opened.rest.len()), Ok(REST_BYTES_MAX));
    // A few hundred bytes that would be 64 MiB; too short for a salt; no frame; a frame that does not state its size; a frame cut short.
    for frame in [compressed(64 << 20), compressed(15), vec![], b"not zstd".to_vec(), zstd::stream::encode_all(&[0; 100][..], 1).expect("compressed")]
    {
        assert_eq!(open(&frame), Err(BodyError::Compression));
    }
    let whole = compressed(1000);
    assert_eq!(open(&whole[..whole.len() - 1]), Err(BodyError::Compression));
    assert_eq!(body::seal((KEY_ID, &KEY), &[0; 24], &[0; 32], &[0; 16], &vec![0; REST_BYTES_MAX + 1]), Err(BodyError::TooLong));
    // What does not compress at all still fits.
    let noise: Vec<u8> = (0..REST_BYTES_MAX as u64 / 32).flat_map(|block| hash::sha256(&[&block.to_be_bytes()])).collect();
    let sealed = body::seal((KEY_ID, &KEY), &[0; 24], &[0; 32], &[0; 16], &noise).expect("sealed");
    assert_eq!(body::open(&sealed, only_key, &[0; 32]).map(|opened| opened.rest == noise), Ok(true));
}

fn keyring() -> Keyring {
    Keyring::found([[1; 32], [2; 32], [3; 32]], (KeyId([4; 8]), [4; 32]), (KeyId([5; 8]), [5; 32])).expect("a keyring")
}

#[test]
fn the_key_file_opens_with_its_passphrase_only() {
    let file = keyfile::seal(&keyring(), "correct horse", &[6; 16], &[7; 24], KdfCost::TRIVIAL).expect("sealed");
    assert_eq!(file.len(), 53 + 5 * 43 + 16);
    assert_eq!(file[..13], [2, 0, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0, 1]);
    let opened = keyfile::open(&file, "correct horse").expect("opened");
    let id = InvoiceId { code: InvoiceCode::parse("1100153130").expect("a code"), number: InvoiceNumber::parse("12345678").expect("a number") };
    assert_eq!(opened.authority().key.public(), keyring().authority().key.public());
    assert_eq!(opened.checkpoint().key_id, hash::key_id(Algorithm::Ed25519, Role::Checkpoint, &keyring().checkpoint().key.public()));
    assert_eq!(opened.id_tag(id), keyring().id_tag(id));
    assert_eq!(opened.data(), (KeyId([5; 8]), &[5; 32]));

    assert_eq!(keyfile::open(&file, "correct house").map(|_| ()), Err(KeyFileError::Passphrase));
    for bit in (0..file.len() * 8).step_by(97) {
        let mut altered = file.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(keyfile::open(&altered, "correct horse").is_err(), "bit {bit}");
    }
    // A tampered header cannot make the machine pay.
    for (offset, bytes) in [(1, [0xff; 4]), (1, [0; 4]), (5, [0xff; 4]), (5, [0; 4]), (9, [0xff; 4]), (9, [0; 4])] {
        let mut altered = file.clone();
        altered[offset..offset + 4].copy_from_slice(&bytes);
        assert_eq!(keyfile::open(&altered, "correct horse").map(|_| ()), Err(KeyFileError::Cost));
    }
    let other_version = [&[3], &file[1..]].concat();
    assert!(matches!(keyfile::open(&other_version, "correct horse"), Err(KeyFileError::Layout(error)) if error.reason == DecodeReason::Version));
    let printed = format!("{:?}", keyring());
    assert!(!printed.contains("[1, 1") && !printed.contains("0101"), "{printed}");
}

#[test]
fn a_keyring_has_each_role_and_one_tag_key() {
    let signing = |role, seed| SecretKey::signing(role, [seed; 32]).expect("a signing role");
    let symmetric = |role, id| SecretKey::symmetric(role, KeyId([id; 8]), [id; 32]).expect("a secret role");
    let five = vec![
        signing(Role::Authority, 1),
        signing(Role::Answering, 2),
        signing(Role::Checkpoint, 3),
        symmetric(Role::Tag, 4),
        symmetric(Role::Data, 5),
    ];
    let with = |more: SecretKey| Keyring::new([five.clone(), vec![more]].concat());
    // A rotation: the newest is used, the old data key still opens.
    let rotated = with(symmetric(Role::Data, 6)).expect("a keyring");
    assert_eq!((rotated.data().0, rotated.data_key(KeyId([5; 8]))), (KeyId([6; 8]), Some(&[5; 32])));
    let rotated = with(signing(Role::Authority, 7)).expect("a keyring");
    assert_eq!(rotated.authority().key_id, signing(Role::Authority, 7).key_id());

    assert_eq!(with(symmetric(Role::Tag, 6)).map(|_| ()), Err(KeyringError::TwoTagKeys));
    assert_eq!(with(signing(Role::Issuer, 6)).map(|_| ()), Err(KeyringError::IssuerKey));
    assert_eq!(with(symmetric(Role::Data, 5)).map(|_| ()), Err(KeyringError::Twice(KeyId([5; 8]))));
    for (missing, key) in five.iter().enumerate() {
        let mut four = five.clone();
        four.remove(missing);
        assert_eq!(Keyring::new(four).map(|_| ()), Err(KeyringError::Missing(key.role())));
    }
    assert!(SecretKey::signing(Role::Tag, [1; 32]).is_none() && SecretKey::symmetric(Role::Authority, KeyId([1; 8]), [1; 32]).is_none());
    // The same seed in two roles has two ids: roles never share a key id.
    assert_ne!(signing(Role::Authority, 1).key_id(), signing(Role::Answering, 1).key_id());
}

#[test]
fn public_keys_count_in_their_role_and_window() {
    let signer = keyring().authority().clone();
    let record = |until| KeyRecord::new(Role::Authority, signer.key.public(), UnixMillis(100), until).expect("a record");
    let mut keys = PublicKeys::new();
    keys.enrol(record(Some(UnixMillis(200))), 0).expect("a sound key");
    let signature = signer.key.sign(b"message").expect("signed");
    let check =
        |keys: &PublicKeys, role, time, message: &[u8]| keys.check(role, signer.key_id, UnixMillis(time), Logged::Unknown, message, &signature);
    for (role, time, message, expected) in [
        (Role::Authority, 100, &b"message"[..], SignatureCheck::Valid),
        (Role::Authority, 199, b"message", SignatureCheck::Valid),
        (Role::Authority, 99, b"message", SignatureCheck::OutsideWindow),
        (Role::Authority, 200, b"message", SignatureCheck::OutsideWindow),
        (Role::Answering, 150, b"message", SignatureCheck::OtherRole),
        (Role::Authority, 150, b"massage", SignatureCheck::WrongSignature),
    ] {
        assert_eq!(check(&keys, role, time, message), expected);
    }
    assert_eq!(keys.check(Role::Authority, KeyId([0; 8]), UnixMillis(150), Logged::Unknown, b"message", &signature), SignatureCheck::UnknownKey);
    keys.enrol(record(None), 1).expect("a sound key");
    assert_eq!(check(&keys, Role::Authority, 200, b"message"), SignatureCheck::Valid);

    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = KeyRecord::new(Role::Authority, identity, UnixMillis(0), None).expect("a record");
    assert_eq!(keys.enrol(weak, 2), Err(PublicKeyError::Weak));
}
