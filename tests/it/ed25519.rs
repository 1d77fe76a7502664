//! Signatures: the vectors of RFC 8032, another implementation, and the edge cases where implementations are known to differ.

use data_encoding::HEXLOWER;
use fapiao::crypto::sign::{PublicKey, PublicKeyError, SigningKey, verify};
use proptest::prelude::*;
use serde_json::Value;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).expect("hex").try_into().expect("N bytes")
}

/// RFC 8032, section 7.1: TEST 1 to 3.
#[test]
fn rfc_8032() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let key = SigningKey::from_seed(&hex(seed));
        let message = HEXLOWER.decode(message.as_bytes()).expect("hex");
        assert_eq!(key.public(), hex::<32>(public));
        assert_eq!(key.sign(&message), hex::<64>(signature));
        assert!(verify(&key.public(), &message, &hex(signature)));
        assert_eq!(*key.seed(), hex::<32>(seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ring_agrees(seed in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..200), bit in 0usize..512) {
        use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
        let ours = SigningKey::from_seed(&seed);
        let theirs = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
        prop_assert_eq!(&ours.public()[..], theirs.public_key().as_ref());
        let signature = ours.sign(&message);
        let their_signature = theirs.sign(&message);
        prop_assert_eq!(&signature[..], their_signature.as_ref());
        prop_assert!(verify(&ours.public(), &message, &signature));

        let mut wrong = signature;
        wrong[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify(&ours.public(), &message, &wrong));
        prop_assert!(UnparsedPublicKey::new(&ED25519, ours.public()).verify(&message, &wrong).is_err());
    }

    #[test]
    fn no_bytes_panic(public in any::<[u8; 32]>(), message in any::<Vec<u8>>(), halves in any::<[[u8; 32]; 2]>()) {
        prop_assert!(!verify(&public, &message, &halves.concat().try_into().expect("64 bytes")));
    }
}

/// The numbers of the edge cases that we accept, frozen: a signature that counts today must count for ever, and no other.
#[test]
fn the_accepted_edge_cases_are_frozen() {
    let cases: Value = serde_json::from_str(include_str!("../../fixtures/vectors/ed25519-cctv.json")).expect("JSON");
    let frozen: Value = serde_json::from_str(include_str!("../../fixtures/vectors/ed25519-accepted.json")).expect("JSON");
    let text = |case: &Value, member: &str| case[member].as_str().expect("a string").to_owned();
    let mut accepted = Vec::new();
    for case in cases.as_array().expect("a list") {
        let flags: Vec<&str> = case["flags"].as_array().map(|flags| flags.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
        let public = hex(&text(case, "key"));
        if verify(&public, text(case, "msg").as_bytes(), &hex(&text(case, "sig"))) {
            let forbidden = ["low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R", "low_order_residue"];
            assert!(!flags.iter().any(|flag| forbidden.contains(flag)), "case {} is accepted with {flags:?}", case["number"]);
            accepted.push(case["number"].clone());
        }
        if flags.contains(&"low_order_A") {
            assert!(matches!(PublicKey::parse(&public), Err(PublicKeyError::Weak | PublicKeyError::NotCanonical)));
        }
    }
    assert_eq!(Value::Array(accepted), frozen);
}

/// The all-zero-like key that accepts any message under plain verification.
#[test]
fn weak_keys_are_no_keys() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut forged = [0; 64];
    forged[0] = 1;
    assert_eq!(PublicKey::parse(&identity), Err(PublicKeyError::Weak));
    assert!(!verify(&identity, b"anything", &forged));
    assert_eq!(PublicKey::parse(&[0xff; 32]), Err(PublicKeyError::NotCanonical));
}
