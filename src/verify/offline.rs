//! What a signed QR code is worth without a network: the public keys and a revocation list in, a finding out. Pure.

use super::query::SignedClaim;
use super::verdict::Verdict;
use crate::codec::revocations::{RevocationList, SignedList};
use crate::crypto::hash;
use crate::crypto::keyring::{Logged, PublicKeys, Role, SignatureCheck};
use crate::domain::time::UnixMillis;
use crate::limits::CLOCK_BEHIND_MAX_MS;

/// What can be told without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Signed by the authority, and neither void nor red-flushed nor suspended as of then.
    Genuine {
        /// When the list was made.
        as_of: UnixMillis,
    },
    /// Signed by the authority, and void, red-flushed (partly too) or suspended as of then: which of them, only asking tells.
    Revoked {
        /// When the list was made.
        as_of: UnixMillis,
    },
    /// Signed by the authority; whether it is still in force is not known, because the list is older than it may be.
    ListTooOld {
        /// When the list was made.
        as_of: UnixMillis,
    },
    /// Signed by the authority; the list is from the future, so the clock here is wrong and nothing can be said of the list's age.
    ClockBehind {
        /// When the list was made.
        as_of: UnixMillis,
    },
    /// Signed by the authority; without a list nobody can tell whether it is still in force.
    NoList,
    /// A key is not among those at hand: the code's, or the list's. Never a sign of forgery.
    UpdateKeys,
    /// The code, or the list, is signed by a key that was stolen: only the log knows whether that was before. Never a sign of forgery.
    AskOnline,
    /// The list is not signed by the authority: it is no list.
    ListForged,
    /// The code is not signed by the key that it names, or that key signs no invoices.
    Forged,
}

impl Finding {
    /// The word of the interfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Finding::Genuine { .. } => "genuine",
            Finding::Revoked { .. } => "revoked",
            Finding::ListTooOld { .. } => "list_too_old",
            Finding::ClockBehind { .. } => "clock_behind",
            Finding::NoList => "no_list",
            Finding::UpdateKeys => "update_keys",
            Finding::AskOnline => "ask_online",
            Finding::ListForged => "list_forged",
            Finding::Forged => "forged",
        }
    }

    /// When the list was made, if it has a say.
    pub const fn as_of(self) -> Option<UnixMillis> {
        match self {
            Finding::Genuine { as_of } | Finding::Revoked { as_of } | Finding::ListTooOld { as_of } | Finding::ClockBehind { as_of } => Some(as_of),
            Finding::NoList | Finding::UpdateKeys | Finding::AskOnline | Finding::ListForged | Finding::Forged => None,
        }
    }
}

/// Keys and a revocation list, judged once for as many codes as are checked: the signature of a list is over all of it.
#[derive(Clone, Copy, Debug)]
pub struct Checker<'a> {
    keys: &'a PublicKeys,
    list: Result<&'a RevocationList, Finding>,
}

impl<'a> Checker<'a> {
    /// Judges the list, if there is one.
    pub fn new(keys: &'a PublicKeys, list: Option<&'a SignedList>) -> Checker<'a> {
        let list = match list {
            Some(signed) => judge_list(signed, keys).map_or(Ok(&signed.list), Err),
            None => Err(Finding::NoList),
        };
        Checker { keys, list }
    }

    /// Judges a code at `now`, by a list that may be `max_age_ms` old.
    ///
    /// Windows of keys are not looked at: they are about when a leaf was written, which the code does not say. What was signed outside of them is not in
    /// the log, and only asking tells.
    pub fn check(&self, claim: &SignedClaim, now: UnixMillis, max_age_ms: u64) -> Finding {
        let face = claim.face_bytes();
        match signed_by(self.keys, claim.key_id, &hash::invoice_message(&face, &claim.rest_digest), &claim.signature) {
            SignatureCheck::Valid => {}
            SignatureCheck::UnknownKey => return Finding::UpdateKeys,
            SignatureCheck::Compromised => return Finding::AskOnline,
            SignatureCheck::OtherRole | SignatureCheck::OutsideWindow | SignatureCheck::WrongSignature => return Finding::Forged,
        }
        let list = match self.list {
            Ok(list) => list,
            Err(worthless) => return worthless,
        };
        let as_of = list.made;
        if list.has(&hash::commit(&face, &claim.rest_digest)) {
            // True however old the list is: but for a suspension, none of it is ever taken back.
            Finding::Revoked { as_of }
        } else if as_of.0 > now.0.saturating_add(CLOCK_BEHIND_MAX_MS) {
            Finding::ClockBehind { as_of }
        } else if now.0.saturating_sub(as_of.0) > max_age_ms {
            Finding::ListTooOld { as_of }
        } else {
            Finding::Genuine { as_of }
        }
    }
}

/// Why a list says nothing, if so.
pub fn judge_list(signed: &SignedList, keys: &PublicKeys) -> Option<Finding> {
    match keys.check(Role::Authority, signed.key_id, signed.list.made, Logged::Unknown, signed.message(), &signed.signature) {
        SignatureCheck::Valid => None,
        SignatureCheck::UnknownKey => Some(Finding::UpdateKeys),
        SignatureCheck::Compromised => Some(Finding::AskOnline),
        SignatureCheck::OtherRole | SignatureCheck::OutsideWindow | SignatureCheck::WrongSignature => Some(Finding::ListForged),
    }
}

/// As the keys judge a signature whose time nobody knows.
fn signed_by(keys: &PublicKeys, key_id: crate::codec::leaf::KeyId, message: &[u8], signature: &[u8; 64]) -> SignatureCheck {
    let from = keys.get(key_id).map_or(UnixMillis(0), |key| key.record.valid_from());
    keys.check(Role::Authority, key_id, from, Logged::Unknown, message, signature)
}

/// Whether an invoice of which this is said stands on the revocation list.
pub const fn is_revoked(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Voided | Verdict::RedFlushed | Verdict::PartlyRedFlushed | Verdict::Suspended => true,
        Verdict::Genuine
        | Verdict::BlankMarked
        | Verdict::RedLetter
        | Verdict::Mismatch
        | Verdict::NotFound
        | Verdict::NotYet
        | Verdict::Forged
        | Verdict::Malformed
        | Verdict::Unsupported
        | Verdict::Throttled
        | Verdict::Unavailable => false,
    }
}
