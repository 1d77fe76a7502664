//! What happens in the log, by number, and the data of the events that have no invoice of their own. Free of personal text.

use super::leaf::KeyId;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::crypto::hash;
use crate::crypto::note::Origin;
use crate::domain::allotment::{Allotment, Mark, NumberRange};
use crate::domain::kind::Kind;
use crate::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::domain::time::{Day, UnixMillis};
use crate::limits::{POLICY_BYTES_MAX, REASON_BYTES_MAX};

/// The kinds of leaves. Numbers are signed and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Event {
    /// 开具: an invoice.
    Issue = 1,
    /// 冲红: a red-letter invoice.
    Red = 2,
    /// 作废.
    Void = 3,
    /// A mark on one invoice.
    Status = 4,
    /// 发票领用: numbers for a taxpayer.
    Allot = 5,
    /// A mark on a range of numbers.
    AllotmentStatus = 6,
    /// A public key.
    Key = 7,
    /// Root over signed answers.
    AnswersRoot = 8,
    /// Rules of a draw.
    LotteryManifest = 9,
    /// Tickets of a draw, complete.
    Freeze = 10,
    /// Outcome of a draw.
    Result = 11,
    /// Prize claims.
    ClaimBatch = 12,
    /// A dated revocation list.
    RevocationList = 13,
    /// A part of the log was lost; it goes on under another origin.
    Reopen = 14,
    /// By which witnesses checkpoints are published.
    Policy = 15,
}

impl Event {
    /// Every event, by number.
    pub const ALL: [Event; 15] = [
        Event::Issue,
        Event::Red,
        Event::Void,
        Event::Status,
        Event::Allot,
        Event::AllotmentStatus,
        Event::Key,
        Event::AnswersRoot,
        Event::LotteryManifest,
        Event::Freeze,
        Event::Result,
        Event::ClaimBatch,
        Event::RevocationList,
        Event::Reopen,
        Event::Policy,
    ];

    /// The number that is signed, 1 to 15.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The event with this number.
    pub fn from_number(number: u8) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.number() == number)
    }

    /// The word of the interfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Issue => "issue",
            Event::Red => "red",
            Event::Void => "void",
            Event::Status => "status",
            Event::Allot => "allot",
            Event::AllotmentStatus => "allotment_status",
            Event::Key => "key",
            Event::AnswersRoot => "answers_root",
            Event::LotteryManifest => "lottery_manifest",
            Event::Freeze => "freeze",
            Event::Result => "result",
            Event::ClaimBatch => "claim_batch",
            Event::RevocationList => "revocation_list",
            Event::Reopen => "reopen",
            Event::Policy => "policy",
        }
    }

    /// Whether its leaf names the kind and the tag of one invoice: issue, red, void, status.
    pub const fn is_of_invoice(self) -> bool {
        self.number() <= Event::Status.number()
    }
}

/// What keys are for. Roles never share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Signs invoices and events.
    Authority = 1,
    /// Signs answers.
    Answering = 2,
    /// Signs checkpoints.
    Checkpoint = 3,
    /// Makes id tags; never rotates.
    Tag = 4,
    /// Encrypts bodies.
    Data = 5,
    /// Signs submissions; held by issuers.
    Issuer = 6,
}

impl Role {
    /// Every role, by number.
    pub const ALL: [Role; 6] = [Role::Authority, Role::Answering, Role::Checkpoint, Role::Tag, Role::Data, Role::Issuer];

    /// The role with this number.
    pub fn from_number(number: u8) -> Option<Role> {
        Role::ALL.into_iter().find(|role| *role as u8 == number)
    }

    /// The word of the interfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Authority => "authority",
            Role::Answering => "answering",
            Role::Checkpoint => "checkpoint",
            Role::Tag => "tag",
            Role::Data => "data",
            Role::Issuer => "issuer",
        }
    }

    /// What a key of this role is made for.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Role::Authority | Role::Answering | Role::Checkpoint | Role::Issuer => Algorithm::Ed25519,
            Role::Tag => Algorithm::HmacSha256,
            Role::Data => Algorithm::XChaCha20Poly1305,
        }
    }
}

/// Algorithms. 16 to 18 are reserved for SM2, SM3 and SM4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Algorithm {
    /// Signatures, RFC 8032.
    Ed25519 = 1,
    /// Tags, RFC 2104.
    HmacSha256 = 2,
    /// Sealing, draft-irtf-cfrg-xchacha.
    XChaCha20Poly1305 = 3,
}

impl Algorithm {
    /// Every algorithm, by number.
    pub const ALL: [Algorithm; 3] = [Algorithm::Ed25519, Algorithm::HmacSha256, Algorithm::XChaCha20Poly1305];

    /// The algorithm with this number.
    pub fn from_number(number: u8) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| *algorithm as u8 == number)
    }
}

/// Why a key is withdrawn (吊销) before its time. Numbers are signed and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Withdrawal {
    /// Somebody else may have the secret: what it signed counts only if it was logged before this is.
    Compromised = 1,
    /// Another key took its place: what it signed within its window goes on to count.
    Superseded = 2,
    /// The secret is gone: what it signed within its window goes on to count.
    Lost = 3,
}

impl Withdrawal {
    /// Every reason, by number.
    pub const ALL: [Withdrawal; 3] = [Withdrawal::Compromised, Withdrawal::Superseded, Withdrawal::Lost];

    /// The reason with this number.
    pub fn from_number(number: u8) -> Option<Withdrawal> {
        Withdrawal::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Withdrawal> {
        Withdrawal::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The word of the interfaces.
    pub const fn name(self) -> &'static str {
        match self {
            Withdrawal::Compromised => "compromised",
            Withdrawal::Superseded => "superseded",
            Withdrawal::Lost => "lost",
        }
    }
}

/// A public key as it enters the log: an Ed25519 key of a signing role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    role: Role,
    key_id: KeyId,
    public: [u8; 32],
    valid_from: UnixMillis,
    valid_until: Option<UnixMillis>,
    withdrawn: Option<Withdrawal>,
}

impl KeyRecord {
    /// `None` if the role has no public keys, or the window (first instant, first instant after; none: open) is empty.
    pub fn new(role: Role, public: [u8; 32], valid_from: UnixMillis, valid_until: Option<UnixMillis>) -> Option<KeyRecord> {
        let window = valid_until.is_none_or(|until| valid_from < until && until.0 < u64::MAX);
        let key_id = hash::key_id(Algorithm::Ed25519, role, &public);
        (role.algorithm() == Algorithm::Ed25519 && window).then_some(KeyRecord { role, key_id, public, valid_from, valid_until, withdrawn: None })
    }

    /// The same key, its window ending at `until`; `None` if the window would be empty.
    pub fn closed(&self, until: UnixMillis) -> Option<KeyRecord> {
        let closed = KeyRecord::new(self.role, self.public, self.valid_from, Some(until))?;
        Some(KeyRecord { withdrawn: self.withdrawn, ..closed })
    }

    /// The same key, withdrawn; `None` for a window that is open, as nobody could say until when it counted.
    pub fn withdrawn_for(&self, reason: Withdrawal) -> Option<KeyRecord> {
        self.valid_until.is_some().then_some(KeyRecord { withdrawn: Some(reason), ..*self })
    }

    /// Why it was withdrawn, if it was.
    pub fn withdrawn(&self) -> Option<Withdrawal> {
        self.withdrawn
    }

    /// What the key is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Beginning of the hash of algorithm, role and public key.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// RFC 8032 bytes.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// First instant at which its signatures count.
    pub fn valid_from(&self) -> UnixMillis {
        self.valid_from
    }

    /// First instant at which they no longer count; `None` while the window is open.
    pub fn valid_until(&self) -> Option<UnixMillis> {
        self.valid_until
    }

    /// Whether a signature made at `time` counts.
    pub fn is_valid_at(&self, time: UnixMillis) -> bool {
        self.valid_from <= time && self.valid_until.is_none_or(|until| time < until)
    }
}

/// Data of an event without an invoice of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventData {
    /// An invoice is void from this day.
    Void {
        /// Which.
        id: InvoiceId,
        /// Day of the void, UTC+8.
        day: Day,
    },
    /// What the administration says of one invoice: any mark but blank void.
    Status {
        /// Which.
        id: InvoiceId,
        /// What is said.
        mark: Mark,
    },
    /// Numbers for a taxpayer.
    Allot(Allotment),
    /// What the administration says of a range: lost, stolen, blank void or lifted.
    AllotmentStatus {
        /// Which numbers.
        range: NumberRange,
        /// What is said.
        mark: Mark,
    },
    /// A public key.
    Key(KeyRecord),
    /// Root over answers that were signed.
    AnswersRoot(AnswersNotice),
    /// A revocation list that was published.
    RevocationList(ListNotice),
    /// Why and where the log goes on under another origin.
    Reopen(Notice),
    /// By which policy checkpoints are published from now on.
    Policy(PolicyNotice),
}

/// What is said to everybody of answers that were signed one after the other, so that nobody who steals the key can add to them later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswersNotice {
    /// Number of the first of them: that of all answers before.
    pub first: u64,
    /// How many they are: not none.
    pub count: u32,
    /// RFC 6962 root over them. It hides them: each ends in a signature that nobody can guess who does not have the key.
    pub root: [u8; 32],
    /// Time of the earliest.
    pub earliest: UnixMillis,
    /// Time of the latest.
    pub latest: UnixMillis,
}

impl AnswersNotice {
    /// `None` without any answer, with more than can be counted, or with times in the wrong order.
    pub fn new(first: u64, count: u32, root: [u8; 32], times: (UnixMillis, UnixMillis)) -> Option<AnswersNotice> {
        let (earliest, latest) = times;
        let is_one = count > 0 && first.checked_add(u64::from(count)).is_some() && earliest <= latest;
        is_one.then_some(AnswersNotice { first, count, root, earliest, latest })
    }

    /// Number of the next answer after them.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Whether an answer of this time may be among them.
    pub fn spans(&self, time: UnixMillis) -> bool {
        (self.earliest..=self.latest).contains(&time)
    }
}

/// What is said to everybody of the trust policy (见证策略) by which checkpoints are published, so that nobody is asked less for a while in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyNotice {
    /// The leaf that told of the one before, if there was one: none can be left out of what is shown.
    pub previous: Option<u64>,
    /// Text of c2sp.org/tlog-policy: what it means is judged by [`crate::crypto::policy::Policy::parse`], and not here.
    pub text: String,
}

/// What is said to everybody of a revocation list, so that none can be shown to some and denied to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListNotice {
    /// When it was made.
    pub made: UnixMillis,
    /// Leaves of the log that it takes into account.
    pub size: u64,
    /// Tokens on it.
    pub tokens: u32,
    /// SHA-256 of the whole list with its signature.
    pub digest: [u8; 32],
}

/// What is said to everybody when a log goes on from a copy that is older than what was signed: its first leaf under the new origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The origin that is given up.
    pub previous: Origin,
    /// Leaves of the copy that goes on.
    pub size: u64,
    /// Root over them, the same under both origins.
    pub root: [u8; 32],
    /// Size and root of the last checkpoint that is known to have been signed under the old origin and is given up, if any is.
    pub lost: Option<(u64, [u8; 32])>,
    /// The origin from this leaf on.
    pub origin: Origin,
    /// Why, in the administrator's words: not empty, and free of personal text.
    pub reason: String,
}

impl EventData {
    /// The event that has such data.
    pub fn event(&self) -> Event {
        match self {
            EventData::Void { .. } => Event::Void,
            EventData::Status { .. } => Event::Status,
            EventData::Allot(_) => Event::Allot,
            EventData::AllotmentStatus { .. } => Event::AllotmentStatus,
            EventData::Key(_) => Event::Key,
            EventData::AnswersRoot(_) => Event::AnswersRoot,
            EventData::RevocationList(_) => Event::RevocationList,
            EventData::Reopen(_) => Event::Reopen,
            EventData::Policy(_) => Event::Policy,
        }
    }

    /// The bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64);
        writer.u8(match self {
            EventData::Key(KeyRecord { withdrawn: Some(_), .. }) => 2,
            EventData::Void { .. }
            | EventData::Status { .. }
            | EventData::Allot(_)
            | EventData::AllotmentStatus { .. }
            | EventData::Key(_)
            | EventData::AnswersRoot(_)
            | EventData::RevocationList(_)
            | EventData::Reopen(_)
            | EventData::Policy(_) => 1,
        });
        match self {
            EventData::Void { id, day } => writer.bytes(&id.to_bytes()).u32(day.yyyymmdd()),
            EventData::Status { id, mark } => writer.bytes(&id.to_bytes()).u8(*mark as u8),
            EventData::Allot(allotment) => {
                writer.text(allotment.taxpayer.as_str()).u8(allotment.kind.number());
                write_range(&mut writer, &allotment.range)
            }
            EventData::AllotmentStatus { range, mark } => write_range(&mut writer, range).u8(*mark as u8),
            EventData::Key(key) => {
                writer.u8(Algorithm::Ed25519 as u8).u8(key.role as u8).bytes(&key.key_id.0).u16(32).bytes(&key.public);
                writer.u64(key.valid_from.0).u64(key.valid_until.map_or(u64::MAX, |until| until.0));
                match key.withdrawn {
                    Some(reason) => writer.u8(reason as u8),
                    None => &mut writer,
                }
            }
            EventData::AnswersRoot(answers) => {
                writer.u64(answers.first).u32(answers.count).bytes(&answers.root).u64(answers.earliest.0).u64(answers.latest.0)
            }
            EventData::RevocationList(list) => writer.u64(list.made.0).u64(list.size).u32(list.tokens).bytes(&list.digest),
            EventData::Reopen(notice) => {
                writer.text(notice.previous.as_str()).u64(notice.size).bytes(&notice.root);
                writer.opt(notice.lost, |writer, (size, root)| {
                    writer.u64(size).bytes(&root);
                });
                writer.text(notice.origin.as_str()).text(&notice.reason)
            }
            EventData::Policy(policy) => {
                writer.opt(policy.previous, |writer, index| {
                    writer.u64(index);
                });
                writer.text(&policy.text)
            }
        };
        writer.into_bytes()
    }

    /// The data of `event` in these bytes, all of them.
    pub fn decode(event: Event, bytes: &[u8]) -> Result<EventData, DecodeError> {
        Reader::all(bytes, |reader| {
            if event == Event::Key {
                return read_key(reader).map(EventData::Key);
            }
            reader.version()?;
            match event {
                Event::Void => Ok(EventData::Void { id: read_id(reader)?, day: reader.value("day", Reader::u32, Day::from_yyyymmdd)? }),
                Event::Status => Ok(EventData::Status { id: read_id(reader)?, mark: read_mark(reader, |mark| mark != Mark::BlankVoid)? }),
                Event::Allot => Ok(EventData::Allot(Allotment {
                    taxpayer: reader.value("taxpayer", |reader| reader.text("taxpayer"), TaxpayerId::parse)?,
                    kind: reader.value("kind", Reader::u8, Kind::from_number)?,
                    range: read_range(reader)?,
                })),
                Event::AllotmentStatus => Ok(EventData::AllotmentStatus {
                    range: read_range(reader)?,
                    mark: read_mark(reader, |mark| matches!(mark, Mark::Lost | Mark::Stolen | Mark::BlankVoid | Mark::Lifted))?,
                }),
                Event::AnswersRoot => read_answers(reader).map(EventData::AnswersRoot),
                Event::RevocationList => Ok(EventData::RevocationList(ListNotice {
                    made: UnixMillis(reader.u64()?),
                    size: reader.u64()?,
                    tokens: reader.u32()?,
                    digest: reader.array()?,
                })),
                Event::Reopen => Ok(EventData::Reopen(Notice {
                    previous: reader.value("previous origin", |reader| reader.text("previous origin"), Origin::parse)?,
                    size: reader.u64()?,
                    root: reader.array()?,
                    lost: reader.opt("lost", |reader| Ok((reader.u64()?, reader.array()?)))?,
                    origin: reader.value("origin", |reader| reader.text("origin"), Origin::parse)?,
                    reason: reader.value(
                        "reason",
                        |reader| reader.text("reason"),
                        |text| (text.len() <= REASON_BYTES_MAX).then(|| text.to_owned()),
                    )?,
                })),
                Event::Policy => {
                    let previous = reader.opt("previous", Reader::u64)?;
                    let text =
                        reader.value("policy", |reader| reader.text_within("policy", POLICY_BYTES_MAX), |text| (!text.is_empty()).then_some(text))?;
                    Ok(EventData::Policy(PolicyNotice { previous, text: text.to_owned() }))
                }
                Event::Issue | Event::Red | Event::Key | Event::LotteryManifest | Event::Freeze | Event::Result | Event::ClaimBatch => {
                    reader.fault(0, DecodeReason::Reserved)
                }
            }
        })
    }
}

fn read_answers(reader: &mut Reader<'_>) -> Result<AnswersNotice, DecodeError> {
    let (first, count, root, earliest) = (reader.u64()?, reader.u32()?, reader.array()?, UnixMillis(reader.u64()?));
    reader.value("answers", Reader::u64, |latest| AnswersNotice::new(first, count, root, (earliest, UnixMillis(latest))))
}

fn write_range<'a>(writer: &'a mut Writer, range: &NumberRange) -> &'a mut Writer {
    writer.bytes(&range.code.to_bytes()).bytes(&range.first.to_bytes()).bytes(&range.last.to_bytes())
}

fn read_range(reader: &mut Reader<'_>) -> Result<NumberRange, DecodeError> {
    let code = reader.value("code", Reader::array, InvoiceCode::from_bytes)?;
    let first = reader.value("first number", Reader::array, InvoiceNumber::from_bytes)?;
    reader.value("last number", Reader::array, |last| NumberRange::new(code, first, InvoiceNumber::from_bytes(last)?))
}

fn read_id(reader: &mut Reader<'_>) -> Result<InvoiceId, DecodeError> {
    reader.value("invoice id", Reader::array, InvoiceId::from_bytes)
}

fn read_mark(reader: &mut Reader<'_>, allowed: impl Fn(Mark) -> bool) -> Result<Mark, DecodeError> {
    reader.value("mark", Reader::u8, |number| Mark::from_number(number).filter(|mark| allowed(*mark)))
}

/// Version 1, or version 2 of a key that is withdrawn.
fn read_key(reader: &mut Reader<'_>) -> Result<KeyRecord, DecodeError> {
    let is_withdrawn = match reader.u8()? {
        1 => false,
        2 => true,
        _ => return reader.fault(0, DecodeReason::Version),
    };
    reader.value("algorithm", Reader::u8, |number| (number == Algorithm::Ed25519 as u8).then_some(()))?;
    let role = reader.value("role", Reader::u8, |number| Role::from_number(number).filter(|role| role.algorithm() == Algorithm::Ed25519))?;
    let stated = reader.offset();
    let key_id = KeyId(reader.array()?);
    reader.value("public key", Reader::u16, |length| (length == 32).then_some(()))?;
    let public = reader.array()?;
    let valid_from = UnixMillis(reader.u64()?);
    let record = reader
        .value("valid until", Reader::u64, |until| KeyRecord::new(role, public, valid_from, (until != u64::MAX).then_some(UnixMillis(until))))?;
    if record.key_id != key_id {
        return reader.fault(stated, DecodeReason::OutOfRange("key id"));
    }
    if is_withdrawn { reader.value("reason", Reader::u8, |number| record.withdrawn_for(Withdrawal::from_number(number)?)) } else { Ok(record) }
}
