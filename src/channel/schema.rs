//! What is generated from the tables: the JSON Schema of a draft, and the catalogue of the rules as JSON and as a page of the manual.
//!
//! The files are committed, and a test compares them with what these functions say.

use serde_json::{Map, Value, json};

use crate::domain::draft::fields::{self, Field, Form, Group, Scope, Spec, When};
use crate::domain::fault::Severity;
use crate::domain::kind::Kind;
use crate::domain::rules::{OnImport, RULES, Rule};
use crate::ledger::Refusal;

/// `schemas/draft.json`: JSON Schema, draft 2020-12. Every draft that is accepted is valid; not every valid one is accepted, for sums,
/// check digits and neighbours are beyond a schema.
pub fn draft_schema() -> Value {
    let mut properties = Map::new();
    for spec in fields::head() {
        let own = match spec.field {
            Field::Lines => rows(spec, fields::line()),
            Field::Fees => rows(spec, fields::fee()),
            _ => member(spec),
        };
        match spec.scope() {
            Scope::Group(group) => {
                for alias in spec.aliases {
                    properties.insert((*alias).to_owned(), alias_of(spec, format!("#/properties/{}/properties/{}", group.name(), spec.name())));
                }
            }
            Scope::Top | Scope::Line | Scope::Fee => {
                for alias in spec.aliases {
                    properties.insert((*alias).to_owned(), alias_of(spec, format!("#/properties/{}", spec.name())));
                }
                properties.insert(spec.name().to_owned(), own);
            }
        }
    }
    for group in Group::all() {
        let nested: Map<String, Value> =
            fields::head().iter().filter(|spec| spec.scope() == Scope::Group(group)).map(|spec| (spec.name().to_owned(), member(spec))).collect();
        let absent = json!({ "enum": ["", null] });
        let object = json!({ "type": ["object", "string", "null"], "if": { "type": "string" }, "then": absent, "properties": nested, "additionalProperties": false });
        properties.insert(group.name().to_owned(), object);
    }
    let mut all_of: Vec<Value> = fields::head().iter().filter(|spec| spec.required.is_all() && spec.when == When::Always).map(present).collect();
    all_of.extend(Kind::ALL.map(of_kind));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:fapiao:draft:1",
        "title": "发票草稿 / invoice draft",
        "description": "Empty strings and null mean absent. A member may be written under its name or one of its pinyin aliases, once.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "allOf": all_of,
    })
}

/// A member by itself: its meaning, who requires and allows it, and the pattern of its text.
fn member(spec: &Spec) -> Value {
    let mut limits = Vec::new();
    match (spec.when, spec.required.is_all(), spec.allowed.is_all()) {
        (When::Always, true, _) => limits.push("required".to_owned()),
        (When::Always, false, _) => {
            let required: Vec<_> = spec.required.codes().collect();
            if !required.is_empty() {
                limits.push(format!("required: {}", required.join(" ")));
            }
            if !spec.allowed.is_all() {
                limits.push(format!("allowed: {}", spec.allowed.codes().collect::<Vec<_>>().join(" ")));
            }
        }
        (When::Red, ..) => limits.push(format!("red-letter invoices: {}", spec.allowed.codes().collect::<Vec<_>>().join(" "))),
        (When::Import, ..) => limits.push("import only".to_owned()),
    }
    if spec.limit > 0 && spec.form != Form::List {
        limits.push(format!("at most {} GBK bytes", spec.limit));
    }
    let mut description = format!("{}; {}", spec.zh, spec.en);
    if !limits.is_empty() {
        description += &format!(" ({})", limits.join("; "));
    }
    let mut schema = json!({ "description": description, "type": ["string", "null"] });
    if spec.form == Form::Flag {
        schema["type"] = json!(["boolean", "string", "null"]);
    }
    if let Some(pattern) = pattern(spec.form) {
        schema["pattern"] = json!(format!("^({pattern})?$"));
    }
    if spec.limit > 0 && spec.form != Form::List {
        // No character takes less than one byte.
        schema["maxLength"] = json!(spec.limit);
    }
    schema
}

fn rows(spec: &Spec, members: &'static [Spec]) -> Value {
    let mut properties = Map::new();
    for member_spec in members {
        for alias in member_spec.aliases {
            let target = format!("#/properties/{}/items/properties/{}", spec.name(), member_spec.name());
            properties.insert((*alias).to_owned(), alias_of(member_spec, target));
        }
        properties.insert(member_spec.name().to_owned(), member(member_spec));
    }
    json!({
        "description": format!("{}; {}", spec.zh, spec.en),
        "type": ["array", "string", "null"],
        "maxLength": 0,
        "maxItems": spec.limit,
        "items": { "type": "object", "properties": properties, "additionalProperties": false },
    })
}

fn alias_of(spec: &Spec, target: String) -> Value {
    json!({ "description": format!("{} = {}", spec.zh, spec.path), "$ref": target })
}

/// What all drafts of a type have, and what none has.
fn of_kind(kind: Kind) -> Value {
    let is_kind = |name: &str| json!({ "properties": { name: { "const": kind.profile().code } }, "required": [name] });
    let kinds: Vec<Value> = names(Field::Kind.spec()).map(is_kind).collect();
    let required = fields::head().iter().filter(|spec| spec.required.has(kind) && !spec.required.is_all() && spec.when == When::Always).map(present);
    let mut absent = Map::new();
    let mut nested_absent: Map<String, Value> = Map::new();
    for spec in fields::head().iter().filter(|spec| !spec.allowed.has(kind)) {
        let nothing = match spec.form {
            Form::List => json!({ "enum": ["", null, []] }),
            _ => json!({ "enum": ["", null] }),
        };
        match spec.scope() {
            Scope::Group(group) => {
                absent.extend(spec.aliases.iter().map(|alias| ((*alias).to_owned(), nothing.clone())));
                let nested = nested_absent.entry(group.name()).or_insert_with(|| json!({ "properties": {} }));
                nested["properties"][spec.name()] = nothing;
            }
            Scope::Top | Scope::Line | Scope::Fee => absent.extend(names(spec).map(|name| (name.to_owned(), nothing.clone()))),
        }
    }
    absent.extend(nested_absent);
    for (list, members) in [(Field::Lines, fields::line()), (Field::Fees, fields::fee())] {
        if !list.spec().allowed.has(kind) {
            continue;
        }
        let required: Vec<Value> = members.iter().filter(|spec| spec.required.has(kind)).map(present).collect();
        let not_allowed: Map<String, Value> = members
            .iter()
            .filter(|spec| !spec.allowed.has(kind))
            .flat_map(|spec| names(spec).map(|name| (name.to_owned(), json!({ "enum": ["", null] }))))
            .collect();
        let rows = json!({ "items": { "properties": not_allowed, "allOf": required } });
        absent.extend(names(list.spec()).map(|name| (name.to_owned(), rows.clone())));
    }
    json!({ "if": { "anyOf": kinds }, "then": { "allOf": required.collect::<Vec<_>>(), "properties": absent } })
}

/// The member is there under one of its names.
fn present(spec: &Spec) -> Value {
    let own = match spec.scope() {
        Scope::Group(group) => json!({ "required": [group.name()], "properties": { group.name(): { "type": "object", "required": [spec.name()] } } }),
        Scope::Top | Scope::Line | Scope::Fee => json!({ "required": [spec.name()] }),
    };
    let aliases = spec.aliases.iter().map(|alias| json!({ "required": [alias] }));
    json!({ "anyOf": std::iter::once(own).chain(aliases).collect::<Vec<_>>() })
}

fn names(spec: &Spec) -> impl Iterator<Item = &'static str> {
    std::iter::once(spec.name()).chain(spec.aliases.iter().copied())
}

/// The text of a form, not anchored; `None` where any text may be right.
fn pattern(form: Form) -> Option<&'static str> {
    match form {
        Form::Text => Some("[^\\u0000-\\u001f\\u007f-\\u009f]+"),
        Form::Multiline => Some("([^\\u0000-\\u001f\\u007f-\\u009f]|\\n)+"),
        Form::UpperCase | Form::List => None,
        Form::Kind => Some("01|02|03|04|10|11"),
        Form::Code => Some("[0-9]{10}|[0-9]{12}"),
        Form::Number => Some("[0-9]{8}"),
        Form::Date => Some("[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"),
        Form::CheckCode => Some("([0-9] *){20}| +([0-9] *){20}"),
        Form::MachineNumber => Some("[0-9]{12}"),
        Form::TaxId => Some("[0-9A-Z]{15}|[0-9A-Z]{17,18}|[0-9A-Z]{20}"),
        Form::Amount => Some("-?[0-9]{1,11}(\\.[0-9]{1,2})?"),
        Form::TaxCell => Some("-?[0-9]{1,11}(\\.[0-9]{1,2})?|\\*\\*\\*"),
        Form::Decimal => Some("-?[0-9]{1,10}(\\.[0-9]{1,8})?"),
        Form::Rate => Some("[0-9](\\.[0-9]{1,5})?|[0-9]{1,2}(\\.[0-9]{1,3})?%|免税|不征税|\\*\\*\\*"),
        Form::Treatment => Some("[0-3]"),
        Form::Nature => Some("[0126]"),
        Form::Flag => Some("true|false|[01]"),
        Form::TaxClass => Some("[0-9]{19}"),
        Form::OfficeCode => Some("[0-9]{9}|[0-9]{11}"),
        Form::NoticeNumber => Some("[0-9]{16,24}"),
        Form::Reason => Some("[1-4]"),
        Form::Vin => Some("[0-9A-HJ-NPR-Z]{17}"),
        Form::KeyId => Some("[0-9a-f]{16}"),
        Form::Signature => Some("[0-9a-f]{128}"),
        Form::State => Some("normal|voided|red_flushed|abnormal|[0NY234]"),
    }
}

/// `schemas/faults.json`: every rule, and every refusal of the ledger.
pub fn fault_catalogue() -> Value {
    let rules = RULES.iter().map(|rule| {
        json!({
            "code": rule.code, "severity": rule.severity.name(), "on_import": on_import(rule),
            "from": day(rule.from), "until": day(rule.until), "source": rule.source, "zh": rule.zh, "en": rule.en,
        })
    });
    let refusals = Refusal::examples()
        .into_iter()
        .map(|refusal| json!({ "code": refusal.code(), "severity": "refusal", "zh": refusal.chinese(), "en": refusal.english() }));
    rules.chain(refusals).collect()
}

fn on_import(rule: &Rule) -> &'static str {
    match (rule.severity, rule.on_import) {
        (Severity::Fault, OnImport::Stays) => "fault",
        (Severity::Fault, OnImport::Warns) | (Severity::Warning, _) => "warning",
    }
}

fn day(yyyymmdd: u32) -> Option<String> {
    (yyyymmdd > 0).then(|| format!("{:04}-{:02}-{:02}", yyyymmdd / 10_000, yyyymmdd / 100 % 100, yyyymmdd % 100))
}

/// `src/manual/faults.md`: every rule, as a page.
pub fn fault_page() -> String {
    const CHAPTERS: [&str; 10] =
        ["form", "identity and code", "parties", "sums", "lines", "rates", "freight", "motor vehicle", "roll", "red-letter invoices"];
    let mut page = String::from(
        "# Faults\n\nEvery rule that a draft can break, generated from the table in `domain/rules`. A *fault* refuses the draft, a *warning* does not; the third\n\
         column says what becomes of it when a historic invoice is imported. Rules with dates apply to invoices of those days only. Codes never change\n\
         their meaning.\n",
    );
    let mut chapter = "";
    for rule in RULES {
        let of_rule = &rule.code[3..5];
        if of_rule != chapter {
            chapter = of_rule;
            let title = chapter.parse::<usize>().ok().and_then(|number| CHAPTERS.get(number - 1)).copied().unwrap_or_default();
            page += &format!(
                "\n## {chapter} {title}\n\n| code | severity | on import | dates | source | 中文 | English |\n|---|---|---|---|---|---|---|\n"
            );
        }
        let dates = match (day(rule.from), day(rule.until)) {
            (None, None) => String::new(),
            (from, until) => format!("{} … {}", from.unwrap_or_default(), until.unwrap_or_default()).trim().to_owned(),
        };
        let (code, severity, import) = (rule.code, rule.severity.name(), on_import(rule));
        page += &format!("| `{code}` | {severity} | {import} | {dates} | {} | {} | {} |\n", rule.source, rule.zh, rule.en);
    }
    page += "\n## 20 decided on the ledger\n\nWell-formed, and not possible on the state it would change. Texts with the particulars of an example.\n\n\
             | code | 中文 | English |\n|---|---|---|\n";
    for refusal in Refusal::examples() {
        page += &format!("| `{}` | {} | {} |\n", refusal.code(), refusal.chinese(), refusal.english());
    }
    page
}
