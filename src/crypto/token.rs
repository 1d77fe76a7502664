//! Bearer tokens: a caller's id and 32 random bytes. The ledger keeps a hash of the bytes, and the token is printed once.
//!
//! ```text
//! fp1_ | 16 hex digits of the caller's id | _ | 52 characters of base32, lower case, unpadded
//! ```

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::hash;
use crate::domain::caller::CallerId;

const PREFIX: &str = "fp1_";
/// 32 bytes in base32.
const SECRET_CHARACTERS: usize = 52;
const LABEL: &[u8] = b"fapiao/token/1\0";

/// A token; its bytes are wiped when it is dropped and never printed by accident.
pub struct Token {
    id: CallerId,
    secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, …)", self.id)
    }
}

impl Token {
    /// Length in characters.
    pub const LEN: usize = PREFIX.len() + 16 + 1 + SECRET_CHARACTERS;

    /// The token of this caller with these random bytes.
    pub fn new(id: CallerId, secret: [u8; 32]) -> Token {
        Token { id, secret: Zeroizing::new(secret) }
    }

    /// The token in this text, which has one spelling.
    pub fn parse(text: &str) -> Option<Token> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = CallerId::parse(id)?;
        let mut upper = Zeroizing::new([0; SECRET_CHARACTERS]);
        if secret.len() != upper.len() || secret.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        upper.copy_from_slice(secret.as_bytes());
        upper.make_ascii_uppercase();
        let mut bytes = Zeroizing::new([0; 32]);
        // Trailing bits that are not zero are refused by the decoder.
        BASE32_NOPAD.decode_mut(&*upper, &mut *bytes).ok()?;
        Some(Token { id, secret: bytes })
    }

    /// Whose it says it is.
    pub fn id(&self) -> CallerId {
        self.id
    }

    /// What is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        hash::sha256(&[LABEL, &*self.secret])
    }

    /// Whether this is the token with that hash. Takes the same time wherever the two differ.
    pub fn has_hash(&self, stored: &[u8; 32]) -> bool {
        let differing = self.hash().iter().zip(stored).fold(0, |differing, (one, other)| differing | (one ^ other));
        std::hint::black_box(differing) == 0
    }

    /// The text, to be shown once.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(Token::LEN));
        text.push_str(PREFIX);
        text.push_str(&self.id.to_string());
        text.push('_');
        BASE32_NOPAD.encode_append(&*self.secret, &mut text);
        text.make_ascii_lowercase();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_spelling() {
        let token = Token::new(CallerId([0xab; 8]), [7; 32]);
        let text = token.reveal();
        assert_eq!(text.len(), Token::LEN);
        assert_eq!(text.as_str(), "fp1_abababababababab_a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dq");
        let again = Token::parse(&text).expect("a token");
        assert!(again.id() == token.id() && again.has_hash(&token.hash()));
        assert_eq!(format!("{token:?}"), "Token(abababababababab, …)");
        // Upper case, a bit behind the end, too short, too long, another version, no id.
        for broken in [
            text.to_uppercase(),
            format!("{}r", &text[..text.len() - 1]),
            text[..text.len() - 1].to_owned(),
            format!("{}a", text.as_str()),
            text.replace("fp1_", "fp2_"),
            text.replace("ab", ""),
            String::new(),
        ] {
            assert!(Token::parse(&broken).is_none(), "{broken}");
        }
        let mut other = token.hash();
        other[31] ^= 1;
        assert!(!token.has_hash(&other));
    }
}
