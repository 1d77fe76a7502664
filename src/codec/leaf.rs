//! A leaf of the log: 96 public bytes that say when something happened and commit to what, without showing it.
//!
//! ```text
//!  0         2       3      4         6         8            16            24           56           88        96
//!  +---------+-------+------+---------+---------+------------+-------------+------------+------------+---------+
//!  | version | event | kind | shard   | flags   | time_ms    | ref_index   | id_tag     | commit     | key_id  |
//!  | u16 = 1 | u8    | u8   | u16 = 0 | u16     | u64        | u64         | 32 bytes   | 32 bytes   | 8 bytes |
//!  +---------+-------+------+---------+---------+------------+-------------+------------+------------+---------+
//! ```

use std::fmt;

use super::event::Event;
use super::reader::{DecodeError, DecodeReason, Reader};
use super::writer::Writer;
use crate::domain::kind::Kind;

/// Eight bytes that name a key: of a public key the beginning of its hash, of a secret key drawn at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// Parses 16 lower-case hex digits.
    pub fn parse(text: &str) -> Option<KeyId> {
        let mut bytes = [0; 8];
        let canonical = text.len() == 16 && data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
        canonical.then_some(KeyId(bytes))
    }
}

impl fmt::Display for KeyId {
    /// 16 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One event as the public sees it. Version is 1 and shard is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What happened.
    pub event: Event,
    /// The invoice's kind, for events 1 to 4; none for the others.
    pub kind: Option<Kind>,
    /// Flag bit 0: brought in by `import`.
    pub imported: bool,
    /// Milliseconds since 1970-01-01T00:00:00Z, never less than those of the leaf before.
    pub time_ms: u64,
    /// Leaf that this one refers to: for a red its original's, for void and status the invoice's own; none for other events.
    pub ref_index: Option<u64>,
    /// Tag of the invoice, of the original for reds; zeros for events 5 and above.
    pub id_tag: [u8; 32],
    /// Hiding commitment to what was signed.
    pub commit: [u8; 32],
    /// Authority key that signed it.
    pub key_id: KeyId,
}

impl Leaf {
    /// Length of every leaf, in bytes.
    pub const LEN: usize = 96;
    const NO_REF: u64 = u64::MAX;
    const IMPORTED: u16 = 1;

    /// Whether it was brought in by `import`.
    pub fn is_imported(&self) -> bool {
        self.imported
    }

    /// The bytes that are hashed into the tree.
    pub fn encode(&self) -> [u8; Leaf::LEN] {
        let mut writer = Writer::with_capacity(Leaf::LEN);
        writer.u16(1).u8(self.event.number()).u8(self.kind.map_or(0, Kind::number)).u16(0);
        writer.u16(if self.imported { Leaf::IMPORTED } else { 0 }).u64(self.time_ms).u64(self.ref_index.unwrap_or(Leaf::NO_REF));
        writer.bytes(&self.id_tag).bytes(&self.commit).bytes(&self.key_id.0);
        writer.into_bytes().try_into().unwrap_or_else(|_| unreachable!("the fields add up to 96 bytes"))
    }

    /// The leaf in these bytes, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Leaf, DecodeError> {
        Reader::all(bytes, |reader| {
            if reader.u16()? != 1 {
                return reader.fault(0, DecodeReason::Version);
            }
            let event = reader.value("event", Reader::u8, Event::from_number)?;
            let kind = reader.value("kind", Reader::u8, |number| match number {
                0 => (!event.is_of_invoice()).then_some(None),
                number => Kind::from_number(number).filter(|_| event.is_of_invoice()).map(Some),
            })?;
            reader.value("shard", Reader::u16, |shard| (shard == 0).then_some(()))?;
            let imported = reader.value("flags", Reader::u16, |flags| (flags & !Leaf::IMPORTED == 0).then_some(flags == Leaf::IMPORTED))?;
            let time_ms = reader.u64()?;
            let ref_index = reader.value("ref_index", Reader::u64, |index| {
                let index = (index != Leaf::NO_REF).then_some(index);
                let suits = match event {
                    Event::Issue | Event::Allot | Event::AllotmentStatus | Event::Key | Event::AnswersRoot | Event::Reopen | Event::Policy => {
                        index.is_none()
                    }
                    Event::Red | Event::Void | Event::Status => index.is_some(),
                    // Reserved: their rules come with their layouts.
                    Event::LotteryManifest | Event::Freeze | Event::Result | Event::ClaimBatch | Event::RevocationList => true,
                };
                suits.then_some(index)
            })?;
            let id_tag = reader.value("id_tag", Reader::array, |tag| (event.is_of_invoice() || tag == [0; 32]).then_some(tag))?;
            Ok(Leaf { event, kind, imported, time_ms, ref_index, id_tag, commit: reader.array()?, key_id: KeyId(reader.array()?) })
        })
    }
}
