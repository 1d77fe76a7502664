//! The objects that the description of the interface names: what is sent, and what comes back (OpenAPI's components).

use serde_json::{Value, json};

use crate::channel::problem;
use crate::channel::schema::draft_schema;
use crate::domain::caller::Role;
use crate::domain::draft::fields::Field;
use crate::limits::{ERASE_REASON_BYTES_MAX, KEY_OVERLAP_MAX_MS, KEY_OVERLAP_MIN_MS};
use crate::verify::verdict::Verdict;

/// A reference to one of them.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The draft's own schema, with its references made good for where it stands here.
fn draft() -> Value {
    fn moved(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for (name, member) in object.iter_mut() {
                    match member {
                        Value::String(target) if name == "$ref" => *target = target.replacen("#/", "#/components/schemas/Draft/", 1),
                        other => moved(other),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(moved),
            _ => {}
        }
    }
    let mut schema = draft_schema();
    moved(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("$id");
    }
    schema
}

pub(super) fn schemas() -> Value {
    let hex = |digits: usize| json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$") });
    let hashes = json!({ "type": "array", "items": hex(64) });
    let number = json!({ "type": "string", "pattern": "^(0{0,7}[1-9]|[0-9]{0,7}[1-9][0-9]{0,7})$", "minLength": 8, "maxLength": 8 });
    let code = json!({ "type": "string", "pattern": "^([0-9]{10}|[0-9]{12})$" });
    let tax_id = json!({ "type": "string", "pattern": "^([0-9A-Z]{15}|[0-9A-Z]{17,18}|[0-9A-Z]{20})$" });
    let mut sellers = vec![
        json!({ "required": ["seller"], "properties": { "seller": { "type": "object", "required": ["tax_id"], "properties": { "tax_id": tax_id } } } }),
    ];
    sellers.extend(Field::SellerTaxId.spec().aliases.iter().map(|alias| json!({ "required": [alias], "properties": { *alias: tax_id } })));
    let optional = json!({ "type": ["string", "null"] });
    let verdicts: Vec<u8> = Verdict::ALL.iter().map(|verdict| verdict.number()).collect();
    let names: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
    let roles: Vec<&str> = Role::ALL.iter().filter(|role| **role != Role::Anonymous).map(|role| role.name()).collect();
    let mut schemas = json!({
        "Problem": problem::schema(),
        "Fault": {
            "type": "object", "description": "A rule that a draft breaks (schemas/faults.json)",
            "required": ["code", "severity", "path", "zh", "en"],
            "properties": {
                "code": { "type": "string" }, "severity": { "enum": ["fault", "warning"] }, "path": { "type": "string", "description": "JSON Pointer" },
                "zh": { "type": "string" }, "en": { "type": "string" },
            },
        },
        "Question": {
            "description": "The text of a QR code, or code and number with what the type needs",
            "anyOf": [
                {
                    "type": "object", "required": ["qr"], "additionalProperties": false,
                    "properties": { "qr": { "type": "string" }, "proof": { "type": "boolean" }, "details": { "type": "boolean" } },
                },
                {
                    "type": "object", "required": ["code", "number"], "additionalProperties": false,
                    "properties": {
                        "code": { "type": "string", "description": "发票代码" }, "number": { "type": "string", "description": "发票号码" },
                        "date": optional, "amount": optional, "check": optional, "total": optional, "seller_id": optional, "buyer_id": optional,
                        "proof": { "type": "boolean", "description": "sign the answer, to keep it" },
                        "details": { "type": "boolean", "description": "lines and parties, masked" },
                    },
                },
            ],
        },
        "Answer": {
            "type": "object", "required": ["verdict", "name", "zh", "en", "as_of"],
            "properties": {
                "verdict": { "enum": verdicts }, "name": { "enum": names }, "zh": { "type": "string" }, "en": { "type": "string" },
                "as_of": {
                    "type": "object", "required": ["size", "root", "time", "time_ms"],
                    "properties": {
                        "size": { "type": "integer" }, "root": hex(64), "time": { "type": "string" }, "time_ms": { "type": "integer" },
                    },
                },
                "code": { "type": "string" }, "number": { "type": "string" }, "area": { "type": "string" },
                "count": { "type": "integer" }, "first_verified": optional, "compare_with_paper": { "type": "boolean" },
                "crc_ok": { "type": "boolean" }, "warnings": { "type": "array", "items": { "type": "string" } },
                "mark": { "type": "string" }, "face": { "type": "object" }, "index": { "type": "integer" }, "commit": hex(64),
                "remaining": { "type": "object" }, "changed": { "type": "string" }, "imported": { "type": "boolean" },
                "details": { "type": "object" }, "proof": { "type": "object" },
                "malformed": { "type": "object" }, "unsupported": { "type": "object" },
            },
        },
        "Draft": draft(),
        "DraftBody": {
            "description": "A draft as `Draft` says, in full. Members may have their pinyin names. The seller must be one that the token acts for.",
            "type": "object",
            "anyOf": sellers,
        },
        "CheckBody": { "description": "A draft, finished or not", "type": "object" },
        "Checked": {
            "type": "object", "required": ["acceptable", "faults"],
            "properties": {
                "acceptable": { "type": "boolean" }, "faults": { "type": "array", "items": named("Fault") },
                "submission_message": { "type": "string", "description": "hex of what an issuer with a registered key signs" },
            },
        },
        "Logged": {
            "type": "object", "required": ["status", "index"],
            "properties": {
                "status": { "enum": ["logged", "repeated"] }, "index": { "type": "integer" }, "receipt": named("Receipt"),
                "signed_qr": { "type": "string" }, "classic_qr": optional, "warnings": { "type": "array", "items": named("Fault") },
                "remark": { "type": "object" },
            },
        },
        "Receipt": {
            "type": "object", "required": ["index", "event", "leaf", "checkpoint", "inclusion", "signature"],
            "properties": {
                "index": { "type": "integer" }, "event": { "type": "string" }, "leaf": hex(192), "salt": optional,
                "checkpoint": { "type": "string" }, "inclusion": hashes, "signature": hex(128),
                "face": { "type": "string" }, "rest_digest": hex(64), "data": { "type": "string" },
            },
        },
        "Invoice": {
            "type": "object", "required": ["state", "face", "draft", "receipt"],
            "properties": {
                "state": { "type": "object" }, "face": { "type": "object" }, "receipt": named("Receipt"),
                "draft": { "type": ["object", "null"], "description": "null where it was erased" },
                "erased": { "type": "string", "description": "when what is not on the face was erased, if it was" },
                "signed_qr": optional, "classic_qr": optional,
            },
        },
        "InvoiceMark": mark(&["lost", "stolen", "abnormal", "lifted"], json!({}), &[]),
        "Erase": {
            "type": "object", "additionalProperties": false, "required": ["reason"],
            "properties": {
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": ERASE_REASON_BYTES_MAX, "pattern": "^[!-~]+( [!-~]+)*$",
                    "description": "for the audit trail: the number of a file, no names",
                },
            },
        },
        "Erased": {
            "type": "object", "required": ["index", "erased", "repeated"],
            "properties": { "index": { "type": "integer" }, "erased": { "type": "string" }, "repeated": { "type": "boolean" } },
        },
        "RangeMark": mark(
            &["lost", "stolen", "blank_void", "lifted"],
            json!({ "code": code, "first": number, "last": number }),
            &["code", "first", "last"],
        ),
        "Allotment": {
            "type": "object", "additionalProperties": false, "required": ["taxpayer", "kind", "code", "first", "last"],
            "properties": {
                "taxpayer": tax_id, "kind": { "enum": ["01", "02", "03", "04", "10", "11"] }, "code": code, "first": number, "last": number,
            },
        },
    });
    // One literal of all of them is more than the compiler unfolds.
    let of_the_log = json!({
        "Keys": {
            "type": "object", "required": ["origin", "keys"],
            "properties": { "origin": { "type": "string" }, "keys": { "type": "array", "items": { "type": "object" } } },
        },
        "Rotate": {
            "type": "object", "additionalProperties": false, "required": ["role"],
            "properties": {
                "role": { "enum": ["authority", "answering", "checkpoint", "data"] },
                "place": { "enum": ["file", "token", null], "description": "Where the new key is to lie; unless told otherwise, where the replaced one does" },
                "overlap_seconds": {
                    "type": ["integer", "null"], "minimum": KEY_OVERLAP_MIN_MS / 1_000, "maximum": KEY_OVERLAP_MAX_MS / 1_000,
                    "description": "How long the replaced key goes on to count; a day unless told otherwise",
                },
                "revoke": { "enum": ["compromised", "superseded", "lost", null], "description": "Why the replaced key is revoked, if it is" },
            },
        },
        "Rotated": {
            "type": "object", "required": ["role", "key_id", "replaced"],
            "properties": {
                "role": { "type": "string" }, "key_id": hex(16), "replaced": hex(16), "until": { "type": ["string", "null"] },
                "index": { "type": ["integer", "null"], "description": "Leaf that names the new key; data keys are not in the log" },
            },
        },
        "Revoke": {
            "type": "object", "additionalProperties": false, "required": ["key_id", "reason"],
            "properties": { "key_id": hex(16), "reason": { "enum": ["compromised", "superseded", "lost"] } },
        },
        "KeyRevoked": {
            "type": "object", "required": ["key_id", "reason", "index"],
            "properties": { "key_id": hex(16), "reason": { "type": "string" }, "index": { "type": "integer" } },
        },
        "AnswerProof": {
            "type": "object", "required": ["status"],
            "properties": {
                "status": { "enum": ["logged", "not_yet", "never"] }, "due": { "type": "string" }, "origin": { "type": "string" },
                "place": { "type": "integer" }, "path": hashes, "root": named("AnswersRoot"), "checkpoint": { "type": "string" },
            },
        },
        "AnswerRoots": {
            "type": "object", "required": ["format", "time", "roots", "checkpoint"],
            "properties": {
                "format": { "const": "fapiao-roots/1" }, "time": { "type": "integer" },
                "roots": { "type": "array", "items": named("AnswersRoot") }, "checkpoint": { "type": "string" },
            },
        },
        "Policies": {
            "type": "object", "required": ["format", "policies", "checkpoint"],
            "properties": {
                "format": { "const": "fapiao-policies/1" }, "checkpoint": { "type": "string" },
                "policies": {
                    "type": "array",
                    "items": {
                        "type": "object", "required": ["index", "leaf", "salt", "data", "inclusion"],
                        "properties": {
                            "index": { "type": "integer" }, "leaf": hex(192), "salt": hex(32), "data": { "type": "string", "pattern": "^[0-9a-f]+$" },
                            "inclusion": hashes,
                        },
                    },
                },
            },
        },
        "AnswersRoot": {
            "type": "object", "required": ["index", "leaf", "salt", "data", "inclusion"],
            "properties": {
                "index": { "type": "integer" }, "leaf": hex(192), "salt": hex(32), "data": hex(122), "inclusion": hashes,
                "hashes": { "type": ["string", "null"], "description": "base64 of the hashes below it, joined" },
            },
        },
        "Inclusion": {
            "type": "object", "required": ["index", "size", "leaf", "path", "checkpoint"],
            "properties": {
                "index": { "type": "integer" }, "size": { "type": "integer" }, "leaf": hex(192), "path": hashes, "checkpoint": { "type": "string" },
            },
        },
        "Consistency": {
            "type": "object", "required": ["from", "to", "hashes", "older", "newer"],
            "properties": {
                "from": { "type": "integer" }, "to": { "type": "integer" }, "hashes": hashes, "older": { "type": "string" }, "newer": { "type": "string" },
            },
        },
        "NewCaller": {
            "type": "object", "additionalProperties": false, "required": ["role"],
            "properties": {
                "role": { "enum": roles }, "taxpayers": { "type": "array", "items": tax_id },
                "regions": { "type": "array", "items": { "type": "string", "pattern": "^([0-9]{2}|[0-9]{4}|[0-9]{6})$" } },
                "whole_country": { "type": "boolean" },
                "issuer_key": { "type": ["string", "null"], "pattern": "^[0-9a-f]{64}$" },
                "label": { "type": ["string", "null"] }, "expires": { "type": ["string", "null"], "format": "date", "pattern": "^2[0-9]{3}-" },
            },
        },
        "Enrolled": {
            "type": "object", "required": ["id", "token"], "properties": { "id": hex(16), "token": { "type": "string" } },
        },
        "Revoked": {
            "type": "object", "required": ["id", "revoked"], "properties": { "id": hex(16), "revoked": { "type": "boolean" } },
        },
        "Callers": {
            "type": "object", "required": ["callers", "next"],
            "properties": { "callers": { "type": "array", "items": { "type": "object" } }, "next": optional },
        },
        "Audit": {
            "type": "object", "required": ["entries", "next"],
            "properties": { "entries": { "type": "array", "items": { "type": "object" } }, "next": { "type": ["integer", "null"] } },
        },
    });
    if let (Some(all), Value::Object(more)) = (schemas.as_object_mut(), of_the_log) {
        all.extend(more);
    }
    schemas
}

fn mark(marks: &[&str], mut properties: Value, required: &[&str]) -> Value {
    properties["mark"] = json!({ "enum": marks });
    let required: Vec<&str> = required.iter().copied().chain(["mark"]).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}
