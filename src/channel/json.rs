//! Drafts and faults as JSON. A draft is read member by member straight into [`Draft`]: what is odd about it (unknown, repeated or wrongly
//! typed members) is reported by the rules together with everything else, and only text that is not JSON at all is an error here.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::codec::canonical::IssuerSlot;
use crate::domain::draft::fields::{self, Field, Form, Member, Scope, resolve};
use crate::domain::draft::{At, Draft, Strangeness, pointer_step};
use crate::domain::fault::Fault;
use crate::domain::invoice::Invoice;

/// Largest draft in bytes: [`crate::domain::draft::LINES_MAX`] lines of full texts, twice over.
pub const DRAFT_BYTES_MAX: usize = 4 << 20;

/// Why a text is not read as a draft at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MalformedJson {
    /// More than [`DRAFT_BYTES_MAX`] bytes.
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not UTF-8.
    NotUtf8 {
        /// How many bytes are.
        valid_up_to: usize,
    },
    /// Not JSON.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What was expected.
        reason: String,
    },
}

impl fmt::Display for MalformedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MalformedJson::TooLarge { bytes } => write!(f, "{bytes} bytes are more than a draft's {DRAFT_BYTES_MAX}"),
            MalformedJson::NotUtf8 { valid_up_to } => write!(f, "not UTF-8 after byte {valid_up_to}"),
            MalformedJson::Syntax { line, column, reason } => write!(f, "not JSON at line {line}, column {column}: {reason}"),
        }
    }
}

impl std::error::Error for MalformedJson {}

/// Reads one draft, which must be all of `bytes`.
pub fn parse_draft(bytes: &[u8]) -> Result<Draft, MalformedJson> {
    if bytes.len() > DRAFT_BYTES_MAX {
        return Err(MalformedJson::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| MalformedJson::NotUtf8 { valid_up_to: error.valid_up_to() })?;
    let mut draft = Draft::with_capacity(bytes.len());
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object { draft: &mut draft, scope: Scope::Top, row: 0 }.deserialize(&mut json).and_then(|()| json.end());
    match read {
        Ok(()) => Ok(draft),
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            Err(MalformedJson::Syntax { line: error.line(), column: error.column(), reason: error.to_string().replace(&place, "") })
        }
    }
}

/// How deep a draft may be nested: as deep as serde_json reads. A draft itself has a depth of three.
pub const DEPTH_MAX: usize = 127;

/// A value that nobody looks at. It may be [`DEPTH_MAX`] deep; what serde itself offers to ignore a value has no
/// bound.
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Skipped, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Skipped;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_unit<E>(self) -> Result<Skipped, E> {
                Ok(Skipped)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
                while seq.next_element::<Skipped>()?.is_some() {}
                Ok(Skipped)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
                while map.next_entry::<Skipped, Skipped>()?.is_some() {}
                Ok(Skipped)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The draft that says what the invoice says, under English names; [`parse_draft`] and the rules give the invoice back.
pub fn draft_of(invoice: &Invoice) -> Value {
    let draft = Draft::of(invoice);
    let mut top = members(&draft, fields::head(), 0);
    for (list, specs, rows) in [(Field::Lines, fields::line(), draft.lines()), (Field::Fees, fields::fee(), draft.fees())] {
        if rows > 0 {
            top.insert(list.spec().name().to_owned(), (0..rows).map(|row| Value::Object(members(&draft, specs, row))).collect());
        }
    }
    Value::Object(top)
}

/// As [`draft_of`], with the signature it was submitted with: submitted again, it is the same to the last byte.
pub fn draft_of_signed(invoice: &Invoice, issuer: Option<&IssuerSlot>) -> Value {
    let mut draft = draft_of(invoice);
    if let (Some(top), Some(slot)) = (draft.as_object_mut(), issuer) {
        top.insert("issuer".into(), json!({ "key_id": slot.key_id.to_string(), "signature": HEXLOWER.encode(&slot.signature) }));
    }
    draft
}

fn members(draft: &Draft, specs: &'static [fields::Spec], row: usize) -> Map<String, Value> {
    let mut object = Map::new();
    for spec in specs {
        let at = At { field: spec.field, row };
        let Some(text) = draft.get(at) else { continue };
        let value = if spec.form == Form::Flag { Value::Bool(text == "true") } else { Value::from(text) };
        match spec.scope() {
            Scope::Group(group) => {
                let nested = object.entry(group.name()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(nested) = nested {
                    nested.insert(spec.name().to_owned(), value);
                }
            }
            Scope::Top | Scope::Line | Scope::Fee => {
                object.insert(spec.name().to_owned(), value);
            }
        }
    }
    object
}

/// A fault as callers read it.
pub fn fault(fault: &Fault) -> Value {
    json!({ "code": fault.code, "severity": fault.severity.name(), "path": fault.path, "zh": fault.zh, "en": fault.en })
}

/// Faults in their order.
pub fn faults(faults: &[Fault]) -> Value {
    faults.iter().map(fault).collect()
}

/// Reads an object of this scope into the draft. Anything else is odd, but for `null` and empty text, which mean absent.
struct Object<'d> {
    draft: &'d mut Draft,
    scope: Scope,
    row: usize,
}

impl Object<'_> {
    fn wrong_type(self) {
        let path = self.draft.scope_path(self.scope, self.row);
        self.draft.odd(Strangeness::WrongType, path);
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}/{}", self.draft.scope_path(self.scope, self.row), pointer_step(name))
    }
}

/// Visits of what no member may be.
macro_rules! odd_visits {
    ($($visit:ident $of:ty),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<(), E> {
            self.wrong_type();
            Ok(())
        })*
    };
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut groups_seen = 0;
        while let Some(name) = map.next_key_seed(Name(self.scope))? {
            match name {
                Ok(Member::Field(field, name)) => match (field, field.spec().form) {
                    (Field::Lines | Field::Fees, _) if self.draft.is_written(field) => {
                        self.draft.put(field.into(), name, "");
                        map.next_value::<Skipped>()?;
                    }
                    (Field::Lines | Field::Fees, _) => {
                        self.draft.put(field.into(), name, "");
                        map.next_value_seed(Rows { draft: self.draft, list: field })?;
                    }
                    (_, form) => map.next_value_seed(Text { draft: self.draft, at: At { field, row: self.row }, name, flag: form == Form::Flag })?,
                },
                Ok(Member::Group(group)) if groups_seen & group.bit() != 0 => {
                    self.draft.odd(Strangeness::Duplicate, self.path_of(group.name()));
                    map.next_value::<Skipped>()?;
                }
                Ok(Member::Group(group)) => {
                    groups_seen |= group.bit();
                    map.next_value_seed(Object { draft: self.draft, scope: Scope::Group(group), row: 0 })?;
                }
                Err(unknown) => {
                    self.draft.odd(Strangeness::Unknown, self.path_of(&unknown));
                    map.next_value::<Skipped>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        self.wrong_type();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        // A draft or a row must be there; a nested object may be absent.
        if !matches!(self.scope, Scope::Group(_)) {
            self.wrong_type();
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !(matches!(self.scope, Scope::Group(_)) && text.is_empty()) {
            self.wrong_type();
        }
        Ok(())
    }

    odd_visits!(visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64);
}

/// Reads a member's name: what it means in this scope, or the name itself if nothing.
struct Name(Scope);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Result<Member, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Result<Member, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(resolve(self.0, name).ok_or_else(|| name.to_owned()))
    }
}

/// Reads the array of lines or fees.
struct Rows<'d> {
    draft: &'d mut Draft,
    list: Field,
}

impl Rows<'_> {
    fn wrong_type(self) {
        let path = self.draft.path(self.list);
        self.draft.odd(Strangeness::WrongType, path);
    }
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        // A row is begun only when the array turns out to have one more, so an element is read through the seed that begins it.
        while seq.next_element_seed(NextRow { draft: self.draft, list: self.list })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        self.wrong_type();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !text.is_empty() {
            self.wrong_type();
        }
        Ok(())
    }

    odd_visits!(visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64);
}

/// Begins the next row and reads it; beyond the limit, reads it into nothing.
struct NextRow<'d> {
    draft: &'d mut Draft,
    list: Field,
}

impl<'de> DeserializeSeed<'de> for NextRow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let (scope, row) = match self.list {
            Field::Fees => (Scope::Fee, self.draft.begin_fee()),
            _ => (Scope::Line, self.draft.begin_line()),
        };
        match row {
            Some(row) => Object { draft: self.draft, scope, row }.deserialize(deserializer),
            None => {
                let path = self.draft.path(self.list);
                if self.draft.oddities().last().is_none_or(|last| last.what != Strangeness::TooMany || last.path != path) {
                    self.draft.odd(Strangeness::TooMany, path);
                }
                Skipped::deserialize(deserializer).map(|_| ())
            }
        }
    }
}

/// Reads a member's text.
struct Text<'d> {
    draft: &'d mut Draft,
    at: At,
    name: u8,
    flag: bool,
}

impl Text<'_> {
    fn wrong_type(self) {
        // Written, though with nothing that can be read: it shall not be reported as missing too.
        self.draft.put(self.at, self.name, "");
        let path = self.draft.path(self.at);
        self.draft.odd(Strangeness::WrongType, path);
    }
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.draft.put(self.at, self.name, text);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.draft.put(self.at, self.name, "");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        if self.flag {
            self.draft.put(self.at, self.name, if value { "true" } else { "false" });
        } else {
            self.wrong_type();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        self.wrong_type();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        self.wrong_type();
        Ok(())
    }

    odd_visits!(visit_i64 i64, visit_u64 u64, visit_f64 f64);
}
