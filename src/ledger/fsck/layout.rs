//! Leaves, faces and events read at their offsets, as the manual's page on formats has them, with no decoder of append.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::codec::event::{KeyRecord, Role, Withdrawal};
use crate::crypto::note::Origin;
use crate::domain::time::UnixMillis;
use crate::ledger::value::{self, AllotRecord};
use crate::limits::POLICY_BYTES_MAX;

pub(super) type Hash = [u8; 32];
/// An InvoiceId's bytes.
pub(super) type Id = [u8; 10];

pub(super) const ISSUE: u8 = 1;
pub(super) const RED: u8 = 2;
pub(super) const VOID: u8 = 3;
pub(super) const STATUS: u8 = 4;
pub(super) const ALLOT: u8 = 5;
pub(super) const ALLOTMENT_STATUS: u8 = 6;
pub(super) const KEY: u8 = 7;
pub(super) const ANSWERS: u8 = 8;
pub(super) const REOPEN: u8 = 14;
pub(super) const POLICY: u8 = 15;

/// Shorter faces have no place for a seller.
pub(super) const FACE_BYTES_MIN: usize = 49;
/// `ref_index` of a leaf that refers to none.
const NO_REFERENCE: u64 = u64::MAX;

/// The 96 bytes of a leaf.
#[derive(Clone, Copy)]
pub(super) struct Leaf(pub(super) [u8; 96]);

impl Leaf {
    pub(super) fn of(bytes: &[u8]) -> Option<Leaf> {
        bytes.try_into().ok().map(Leaf)
    }

    pub(super) fn event(&self) -> u8 {
        self.0[2]
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[3]
    }

    pub(super) fn is_imported(&self) -> bool {
        self.0[7] & 1 == 1
    }

    pub(super) fn time_ms(&self) -> u64 {
        u64_at(&self.0, 8)
    }

    pub(super) fn reference(&self) -> u64 {
        u64_at(&self.0, 16)
    }

    pub(super) fn tag(&self) -> Hash {
        array_at(&self.0, 24)
    }

    pub(super) fn commit(&self) -> Hash {
        array_at(&self.0, 56)
    }

    pub(super) fn key_id(&self) -> [u8; 8] {
        array_at(&self.0, 88)
    }

    /// Whether version, event, kind, shard, flags and reference are some that a leaf at `index` can have.
    pub(super) fn is_well_formed(&self, index: u64) -> bool {
        let of_invoice = self.event() <= STATUS;
        let refers = match self.event() {
            ISSUE | ALLOT | ALLOTMENT_STATUS | KEY | ANSWERS | REOPEN | POLICY => self.reference() == NO_REFERENCE,
            RED | VOID | STATUS => self.reference() < index,
            _ => true,
        };
        let fixed = [self.0[0], self.0[1], self.0[4], self.0[5], self.0[6], self.0[7] & !1] == [0, 1, 0, 0, 0, 0];
        fixed && (ISSUE..=POLICY).contains(&self.event()) && of_invoice == (self.kind() != 0) && refers
    }
}

/// A face, in its parts.
pub(super) struct Face<'a> {
    pub(super) kind: u8,
    pub(super) id: Id,
    pub(super) date: [u8; 4],
    pub(super) amount: i64,
    pub(super) total: i64,
    pub(super) seller: &'a [u8],
}

impl Face<'_> {
    /// Version, kind, id 10, date 4, amount 8, total 8, check code with its length, seller with its length.
    pub(super) fn of(bytes: &[u8]) -> Option<Face<'_>> {
        let check_digits = usize::from(*bytes.get(32)?);
        let seller = bytes.get(34 + check_digits..)?;
        let exact = bytes.len() >= FACE_BYTES_MIN
            && bytes[0] == 1
            && matches!(check_digits, 0 | 10)
            && usize::from(bytes[33 + check_digits]) == seller.len()
            && seller.len() <= 20;
        exact.then(|| Face {
            kind: bytes[1],
            id: array_at(bytes, 2),
            date: array_at(bytes, 12),
            amount: i64_at(bytes, 16),
            total: i64_at(bytes, 24),
            seller,
        })
    }

    /// Key of the row of `tax`: the seller in 20 bytes, the date, the leaf.
    pub(super) fn tax_key(&self, index: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[..self.seller.len()].copy_from_slice(self.seller);
        key[20..24].copy_from_slice(&self.date);
        key[24..].copy_from_slice(&index.to_be_bytes());
        key
    }
}

/// What stands in the place of a body that was erased.
pub(super) struct Erased<'a> {
    pub(super) time_ms: u64,
    /// The salt, sealed.
    pub(super) salt: Option<&'a [u8]>,
}

impl Erased<'_> {
    /// Version 2, time 8, and perhaps a body with nothing but a salt.
    pub(super) fn of(bytes: &[u8]) -> Option<Erased<'_>> {
        let (head, salt) = bytes.split_first_chunk::<9>()?;
        let [2, time @ ..] = *head else { return None };
        Some(Erased { time_ms: u64::from_be_bytes(time), salt: (!salt.is_empty()).then_some(salt) })
    }
}

/// The content digest that face and rest give. The slot at the end of a rest is a zero, or a one and 72 more bytes; a rest that could be read both ways
/// has two.
pub(super) fn content_digests(event: u8, face: &[u8], rest: &[u8]) -> [Option<Hash>; 2] {
    let check_digits = usize::from(face.get(32).copied().unwrap_or_default());
    let (before, after) = (face.get(..32).unwrap_or_default(), face.get(33 + check_digits..).unwrap_or_default());
    let digest = |rest: &[u8]| sha256(&[b"fapiao/content/1\0", &[event], before, &[0], after, rest]);
    let empty = rest.split_last_chunk::<1>().filter(|(_, slot)| slot[0] == 0);
    let filled = rest.split_last_chunk::<73>().filter(|(_, slot)| slot[0] == 1);
    [empty.map(|(rest, _)| digest(rest)), filled.map(|(rest, _)| digest(rest))]
}

/// What an event without an invoice of its own says.
pub(super) enum Said {
    Void(Id),
    Status(Id, u8),
    /// Key and value of a row of `allot`.
    Allotment(Vec<u8>, Vec<u8>),
    Key(KeyRecord),
    Answers(Answers),
    Reopen(Origin),
    Policy,
    /// Reserved events.
    Nothing,
}

/// What an answers event says.
#[derive(Clone, Copy)]
pub(super) struct Answers {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) root: Hash,
    /// Of the earliest and the latest.
    pub(super) times: (u64, u64),
}

/// Reads an event's data; `None` if they are laid out otherwise.
pub(super) fn said(event: u8, index: u64, data: &[u8]) -> Option<Said> {
    // A key that is withdrawn has a layout of its own, with the reason behind all else.
    let is_withdrawal = event == KEY && data.first() == Some(&2);
    if data.first() != Some(&1) && !is_withdrawal {
        return None;
    }
    let ends = |length: usize| data.len() == length;
    Some(match event {
        VOID => Said::Void(data.get(1..11).filter(|_| ends(15))?.try_into().ok()?),
        STATUS => Said::Status(data.get(1..11).filter(|_| ends(12))?.try_into().ok()?, data[11]),
        ALLOT => {
            let (taxpayer, after) = text_at(data, 1)?;
            let range = data.get(after + 1..).filter(|range| range.len() == 14)?;
            allotment(index, range, taxpayer.to_owned(), data[after], 0)
        }
        ALLOTMENT_STATUS => allotment(index, data.get(1..15).filter(|_| ends(16))?, String::new(), 0, data[15]),
        KEY => {
            let role = Role::from_number(*data.get(2)?)?;
            let until = Some(u64_at(data, 53)).filter(|until| *until != u64::MAX).map(UnixMillis);
            let length = if is_withdrawal { 62 } else { 61 };
            let stated = data.get(3..11).filter(|_| ends(length) && data[1] == 1 && data[11..13] == [0, 32])?;
            let record = KeyRecord::new(role, array_at(data, 13), UnixMillis(u64_at(data, 45)), until)?;
            let record = if is_withdrawal { record.withdrawn_for(Withdrawal::from_number(data[61])?)? } else { record };
            Said::Key(Some(record).filter(|record| record.key_id().0 == stated)?)
        }
        ANSWERS => {
            let count = u64::from(u32::from_be_bytes(array_at(data, 9)));
            let answers = Answers { first: u64_at(data, 1), count, root: array_at(data, 13), times: (u64_at(data, 45), u64_at(data, 53)) };
            let is_one = ends(61) && count > 0 && answers.first.checked_add(count).is_some() && answers.times.0 <= answers.times.1;
            Said::Answers(Some(answers).filter(|_| is_one)?)
        }
        REOPEN => {
            let (_, size) = text_at(data, 1)?;
            // Size and root of the copy, then perhaps those of the last checkpoint that is given up.
            let lost = size + 40;
            let origin = lost + 1 + if *data.get(lost)? == 0 { 0 } else { 40 };
            let (origin, reason) = text_at(data, origin)?;
            let (_, end) = text_at(data, reason)?;
            Said::Reopen(Origin::parse(origin).filter(|_| ends(end))?)
        }
        POLICY => {
            let text = if *data.get(1)? == 0 { 2 } else { 10 };
            let (policy, end) = text_at(data, text).filter(|_| data[1] <= 1)?;
            Some(Said::Policy).filter(|_| ends(end) && (1..=POLICY_BYTES_MAX).contains(&policy.len()))?
        }
        _ => Said::Nothing,
    })
}

/// A range is code 6, first 4, last 4; the row's key has code and last.
fn allotment(index: u64, range: &[u8], taxpayer: String, kind: u8, mark: u8) -> Said {
    let key = [&[u8::from(mark != 0)][..], &range[..6], &range[10..], &index.to_be_bytes()].concat();
    Said::Allotment(key, value::encode(&AllotRecord { first: array_at(range, 6), taxpayer, kind, mark, index }))
}

/// A text with its length in two bytes before it, and where it ends.
fn text_at(data: &[u8], at: usize) -> Option<(&str, usize)> {
    let length = data.get(at..at + 2)?;
    let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    Some((std::str::from_utf8(data.get(at + 2..end)?).ok()?, end))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Makes id tags: HMAC-SHA-256 with the key already worked in.
#[derive(Clone)]
pub(super) struct Tags(Hmac<Sha256>);

impl Tags {
    pub(super) fn new(key: &[u8; 32]) -> Tags {
        Tags(Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length")))
    }

    pub(super) fn of(&self, id: &Id) -> Hash {
        let mut mac = self.0.clone();
        mac.update(b"fapiao/id/1\0");
        mac.update(id);
        mac.finalize().into_bytes().into()
    }
}
