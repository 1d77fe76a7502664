//! The one decision: question, registered state and keys in, verdict out. Pure; the same on every channel and in bulk.

use super::query::{BuyerId, Factors, Query, SignedClaim, unsupported_by_code};
use super::verdict::Verdict;
use crate::codec::canonical;
use crate::codec::event::Role;
use crate::crypto::hash;
use crate::crypto::keyring::{Enrolled, Logged, PublicKeys, SignatureCheck};
use crate::domain::allotment::Mark;
use crate::domain::invoice::Face;
use crate::domain::kind::{Derived, Factor};
use crate::domain::money::Fen;
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::UnixMillis;
use crate::ledger::InvRecord;

/// What the ledger holds under the number that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Registered<'a> {
    /// The invoice's row, if it was issued.
    pub row: Option<&'a InvRecord>,
    /// The mark in force on its range, if any.
    pub mark: Option<Mark>,
    /// It is known that more was signed than this copy of the ledger has: whatever it holds may be out of date.
    pub behind: bool,
    /// The ledger was reopened from an older copy: invoices that were signed may be missing until they are submitted again.
    pub incomplete: bool,
    /// The buyer's tax id, if the question says anything of it.
    pub buyer: Buyer<'a>,
}

/// The buyer's tax id as registered. It is not on the face, so whoever looks the invoice up has to open its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buyer<'a> {
    /// The body was not opened: nobody asked, its key is not at hand, or it was erased.
    Unread,
    /// None was stated.
    Absent,
    /// This one.
    Stated(&'a TaxpayerId),
}

/// A verdict and, where every factor agreed, the proof that it was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The verdict.
    pub verdict: Verdict,
    /// Present exactly if the invoice is registered and every factor agreed.
    pub verified: Option<Verified>,
}

/// An invoice whose holder has shown to know it. Only [`check`] makes one; what it shows, and any reward, demands one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    face: Face,
    /// Nobody else can build one.
    _sealed: (),
}

impl Verified {
    /// What any holder knows, as registered.
    pub fn face(&self) -> &Face {
        &self.face
    }
}

fn only(verdict: Verdict) -> Checked {
    Checked { verdict, verified: None }
}

/// Compares a question with what is registered.
pub fn check(query: &Query, registered: Registered<'_>, keys: &PublicKeys) -> Checked {
    if registered.behind {
        return only(Verdict::NotYet);
    }
    let Some(row) = registered.row else {
        return only(match (query, registered.mark) {
            // Ours, and lost with the part of the log that was: nobody may call it forged before its issuer has submitted it again.
            (Query::Signed(claim), _) if registered.incomplete && signer(claim, keys).is_some_and(|key| key.is_sound_at(Logged::Unknown)) => {
                Verdict::NotYet
            }
            // Signed by us and not in the ledger, or not signed by us: either way nobody should have such a code.
            (Query::Signed(_), _) => Verdict::Forged,
            (Query::Factors(_), Some(_)) => Verdict::BlankMarked,
            (Query::Factors(factors), None) if factors.stated_kind.is_none() && unsupported_by_code(Derived::of(&factors.id.code)).is_some() => {
                Verdict::Unsupported
            }
            (Query::Factors(_), None) => Verdict::NotFound,
        });
    };
    // A row whose face does not decode is a damaged ledger; nothing genuine may be said from it.
    let Ok(face) = canonical::decode_face(&row.face) else { return only(Verdict::Unavailable) };
    match query {
        // Said whatever the other factors are: what cannot be compared neither agrees nor may it show that the others do.
        Query::Factors(Factors { buyer_id: Some(_), .. }) if registered.buyer == Buyer::Unread => return only(Verdict::Unavailable),
        Query::Signed(claim) if !signed_by_us(claim, row, registered.incomplete, keys) => return only(Verdict::Forged),
        Query::Factors(factors) if !agree(factors, &face, registered.buyer) => return only(Verdict::Mismatch),
        Query::Signed(_) | Query::Factors(_) => {}
    }
    Checked { verdict: state(row, registered.mark), verified: Some(Verified { face, _sealed: () }) }
}

/// The authority key of this log that made the signature, whenever that was.
fn signer<'k>(claim: &SignedClaim, keys: &'k PublicKeys) -> Option<&'k Enrolled> {
    let message = hash::invoice_message(&claim.face_bytes(), &claim.rest_digest);
    keys.get(claim.key_id).filter(|key| key.record.role() == Role::Authority && key.key.verify(&message, &claim.signature))
}

/// The signed content is what the leaf commits to, and the signature is of a key that was valid when the leaf was written. In a log that was reopened
/// an invoice that was submitted again is under a later leaf, and its printed code keeps the signature of its time.
fn signed_by_us(claim: &SignedClaim, row: &InvRecord, incomplete: bool, keys: &PublicKeys) -> bool {
    let face = claim.face_bytes();
    if hash::commit(&face, &claim.rest_digest) != row.commit {
        return false;
    }
    let (message, logged) = (hash::invoice_message(&face, &claim.rest_digest), Logged::At(row.index));
    match keys.check(Role::Authority, claim.key_id, UnixMillis(row.time_ms), logged, &message, &claim.signature) {
        SignatureCheck::Valid => true,
        // Its content is what the leaf commits to, so nobody gains by a signature of another time.
        SignatureCheck::OutsideWindow | SignatureCheck::Compromised => incomplete && signer(claim, keys).is_some(),
        SignatureCheck::UnknownKey | SignatureCheck::OtherRole | SignatureCheck::WrongSignature => false,
    }
}

/// Every factor that is claimed agrees, and the one that the registered type requires is among them.
fn agree(claimed: &Factors, face: &Face, buyer: Buyer<'_>) -> bool {
    let amount_agrees =
        claimed.amount.is_none_or(|amount| amount == face.totals.amount || (claimed.amount_may_include_tax && amount == face.totals.total));
    let check_agrees = claimed.check.as_ref().is_none_or(|digits| face.check_code.is_some_and(|registered| digits.agree_with(registered)));
    let required_given = match face.kind.profile().factor {
        Factor::Amount => claimed.amount.is_some(),
        Factor::CheckCode => claimed.check.is_some(),
    };
    let total_agrees = claimed.total.is_none_or(|total| total == face.totals.total);
    let seller_agrees = claimed.seller_id.as_ref().is_none_or(|seller| *seller == face.seller_id);
    let buyer_agrees = claimed.buyer_id.as_ref().is_none_or(|claimed| match (claimed, buyer) {
        (BuyerId::Stated(claimed), Buyer::Stated(registered)) => claimed == registered,
        (BuyerId::Absent, Buyer::Absent) => true,
        (BuyerId::Stated(_) | BuyerId::Absent, Buyer::Unread | Buyer::Absent | Buyer::Stated(_)) => false,
    });
    claimed.date == face.date && amount_agrees && check_agrees && required_given && total_agrees && seller_agrees && buyer_agrees
}

/// The state of a registered invoice, the gravest first.
pub fn state(row: &InvRecord, mark: Option<Mark>) -> Verdict {
    let red = row.original.is_some();
    let taken_back = row.remaining_amount == 0 && row.remaining_tax == 0;
    if row.suspended.is_some() || matches!(mark, Some(Mark::Lost | Mark::Stolen)) {
        Verdict::Suspended
    } else if row.voided.is_some() {
        Verdict::Voided
    } else if !red && taken_back {
        Verdict::RedFlushed
    } else if red {
        Verdict::RedLetter
    } else if row.live_reds > 0 {
        Verdict::PartlyRedFlushed
    } else {
        Verdict::Genuine
    }
}

/// What reds have left of an invoice: (amount excluding tax, tax). Shown with the verdicts of a blue invoice.
pub fn remaining(row: &InvRecord) -> (Fen, Fen) {
    (Fen(row.remaining_amount), Fen(row.remaining_tax))
}
