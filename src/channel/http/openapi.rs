//! The description of the interface (OpenAPI 3.1), made from the table of endpoints, and the page of who may do what, made from the same.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::CACHE_CONTROL;
use serde_json::{Map, Value, json};

use super::components::{self, named};
use super::reply::{BYTES, HTML, JSON, LINES, OPENMETRICS, PNG, PROBLEM, Reply, SVG};
use super::route::{Body, ENDPOINTS, Endpoint, Operation};
use crate::channel::problem::Kind;
use crate::domain::caller::Role;

/// A draft that the description shows: the same as the first sample of the demo's electronic invoices.
const DRAFT_EXAMPLE: &str = include_str!("../../../fixtures/drafts/10-multi-line.json");

/// `GET /openapi.json`.
pub(super) fn reply() -> Reply {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| description().to_string().into());
    Reply::new(JSON, TEXT.clone()).header(CACHE_CONTROL, "public, max-age=300")
}

/// What one endpoint says of itself beyond its row.
struct Words {
    zh: &'static str,
    en: &'static str,
    parameters: Value,
    request: Option<Value>,
    /// Status, content type, schema, description. Without a schema there is no content.
    replies: Vec<(u16, &'static str, Value, &'static str)>,
    /// Problems beyond those that any request can have.
    problems: &'static [Kind],
}

/// The whole description.
pub fn description() -> Value {
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        // A template of OpenAPI matches one step, and has no sign for more.
        let item = paths.entry(endpoint.path.replace("{+", "{")).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(endpoint.method.as_str().to_ascii_lowercase(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "fapiao 发票查验",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "令牌由管理员发放 / issued by an administrator" } },
            "schemas": components::schemas(),
        },
    })
}

const INTRODUCTION: &str = "Issue and verify Chinese VAT invoices (01, 02, 03, 04, 10, 11).\n\n\
Amounts are decimal strings, dates `YYYY-MM-DD`. A verdict is a result (200), whatever it says. Problems are RFC 9457, in Chinese or English by \
`Accept-Language`; `type` is stable. After 503, or without a reply, submit the same draft again: the same again gets the first receipt (200).\n\n\
Questions are limited per caller and never per invoice: `RateLimit-Policy` and `RateLimit` say how much is left, `Retry-After` when to ask again. \
Signed QR codes are exempt from the limits of addresses.\n\n\
金额为十进制字符串，日期为 `YYYY-MM-DD`。查验结论一律为 200。错误为 RFC 9457 格式，语言由 `Accept-Language` 决定。遇 503 或无响应请原样重新提交。";

fn operation(endpoint: &Endpoint) -> Value {
    let words = words(endpoint.operation);
    let mut responses = Map::new();
    for (status, content_type, schema, description) in &words.replies {
        let entry = responses.entry(status.to_string()).or_insert_with(|| json!({ "description": description, "content": {} }));
        if !schema.is_null() {
            entry["content"][*content_type] = json!({ "schema": schema });
        }
    }
    let anybody = endpoint.roles.has(Role::Anonymous);
    let mut kinds =
        vec![Kind::BadRequest, Kind::Unauthorised, Kind::RequestTimeout, Kind::TooLarge, Kind::Throttled, Kind::Internal, Kind::Unavailable];
    kinds.extend_from_slice(words.problems);
    if !anybody {
        kinds.push(Kind::Forbidden);
    }
    if endpoint.body != Body::None {
        kinds.push(Kind::UnsupportedMediaType);
    }
    for kind in kinds {
        let content = json!({ PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } });
        responses.entry(kind.status().to_string()).or_insert_with(|| json!({ "description": kind.title().1, "content": content }));
    }
    let roles: Vec<&str> = endpoint.roles.iter().map(Role::name).collect();
    let mut value = json!({
        "operationId": endpoint.name,
        "summary": format!("{} / {}", words.zh, words.en),
        "description": format!("Roles: {}.", roles.join(", ")),
        "parameters": words.parameters,
        "responses": responses,
        "security": if anybody { json!([{}, { "token": [] }]) } else { json!([{ "token": [] }]) },
    });
    if let Some(request) = words.request {
        let content_type = if endpoint.body == Body::Lines { LINES } else { JSON };
        value["requestBody"] = json!({ "required": true, "content": { content_type: request } });
        if endpoint.body == Body::Lines {
            // What programs send that know no type for JSON lines.
            let mut plain = value["requestBody"]["content"][LINES].clone();
            let example = if endpoint.operation == Operation::VerifyBulk { question_examples()["check"]["value"].clone() } else { draft_example() };
            plain["example"] = format!("{example}\n").into();
            value["requestBody"]["content"]["text/plain"] = plain;
        }
    }
    value
}

fn path(name: &str, description: &str, pattern: Option<&str>) -> Value {
    let mut schema = json!({ "type": "string", "minLength": 1 });
    if let Some(pattern) = pattern {
        schema["pattern"] = pattern.into();
    }
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn query(name: &str, description: &str, required: bool) -> Value {
    let schema = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    json!({ "name": name, "in": "query", "required": required, "description": description, "schema": schema })
}

fn invoice_path() -> Value {
    json!([path("code", "发票代码 invoice code", Some("^([0-9]{10}|[0-9]{12})$")), path("number", "发票号码 invoice number", Some("^[0-9]{8}$")),])
}

fn prefer() -> Value {
    let description = "`return=minimal` leaves the receipt out (RFC 7240)";
    json!({ "name": "Prefer", "in": "header", "required": false, "description": description, "schema": { "type": "string" } })
}

fn body(schema: &str, example: Value) -> Option<Value> {
    Some(json!({ "schema": named(schema), "example": example }))
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn words(operation: Operation) -> Words {
    let none = || json!([]);
    let logged = || vec![(201, JSON, named("Logged"), "logged"), (200, JSON, named("Logged"), "the same again: the first receipt")];
    let event = |zh, en, parameters, request| Words {
        zh,
        en,
        parameters,
        request,
        replies: logged(),
        problems: &[Kind::NotFound, Kind::Refused, Kind::Faulty],
    };
    match operation {
        Operation::Verify => Words {
            zh: "查验发票",
            en: "ask whether an invoice is genuine",
            parameters: none(),
            request: Some(json!({ "schema": named("Question"), "examples": question_examples() })),
            replies: vec![(200, JSON, named("Answer"), "the answer, whatever it says")],
            problems: &[],
        },
        Operation::VerifyBulk => Words {
            zh: "批量查验：JSON 行入，JSON 行出，次序相同；可整体签名，任一行均可单独证明",
            en: "ask about many: JSON lines in, one line for each out, in their order, read while you write; signed as a whole if wanted, so that any line can be proved",
            parameters: json!([{
                "name": "proof", "in": "query", "required": false, "description": "sign over all rows, in the last line", "schema": { "type": "boolean" },
            }]),
            request: Some(json!({ "schema": { "type": "string", "minLength": 1 } })),
            replies: vec![(200, LINES, text(), "a line for each question: its answer and line; and a last one with status, rows, verdicts, proof")],
            problems: &[],
        },
        Operation::Page => Words {
            zh: "签名二维码背后的页面",
            en: "what stands behind a signed QR code: a page, or JSON by Accept",
            parameters: json!([path("payload", "base32 of the signed QR code, as it stands in its text", None)]),
            request: None,
            replies: vec![(200, JSON, named("Answer"), "the answer"), (200, HTML, text(), "the answer")],
            problems: &[Kind::NotFound, Kind::Throttled],
        },
        Operation::Issue => Words {
            zh: "开具一张发票",
            en: "issue one invoice: checked, signed, on disk and in the log before it is answered",
            parameters: json!([prefer()]),
            request: body("DraftBody", draft_example()),
            replies: logged(),
            problems: &[Kind::Refused, Kind::Faulty],
        },
        Operation::IssueBulk => Words {
            zh: "批量开具：JSON 行入，JSON 行出，次序相同",
            en: "issue many: JSON lines in, one line for each out, in their order; read while you write, or send at most 1,000 at a time",
            parameters: json!([prefer()]),
            request: Some(json!({ "schema": { "type": "string", "minLength": 1 } })),
            replies: vec![(200, LINES, text(), "a line for each draft: status, line, and what belongs to it")],
            problems: &[],
        },
        Operation::CheckDraft => Words {
            zh: "试验性检查，不登记",
            en: "all faults and warnings of a draft; nothing is stored",
            parameters: none(),
            request: body("CheckBody", draft_example()),
            replies: vec![(200, JSON, named("Checked"), "what accepting it would say")],
            problems: &[],
        },
        Operation::Invoice => Words {
            zh: "发票与回执（仅限当事方）",
            en: "an invoice with its receipt, for its seller, its buyer and the administration",
            parameters: invoice_path(),
            request: None,
            replies: vec![(200, JSON, named("Invoice"), "the invoice; each look is recorded")],
            problems: &[Kind::NotFound],
        },
        Operation::InvoiceQr => Words {
            zh: "签名二维码图片（仅限当事方）",
            en: "the signed QR code of an invoice as PNG, or SVG by Accept",
            parameters: invoice_path(),
            request: None,
            replies: vec![(200, PNG, text(), "the picture"), (200, SVG, text(), "the picture")],
            problems: &[Kind::NotFound],
        },
        Operation::Void => event("作废发票", "void an invoice of this month", invoice_path(), None),
        Operation::Status => event(
            "标记发票：遗失、被盗、异常、解除",
            "mark one invoice, or lift its mark",
            invoice_path(),
            body("InvoiceMark", json!({ "mark": "abnormal" })),
        ),
        Operation::Erase => Words {
            zh: "依法删除发票的加密正文，不可恢复",
            en: "erase what only the encrypted body of an invoice knows, for good and by legal duty",
            parameters: invoice_path(),
            request: body("Erase", json!({ "reason": "PIPL art. 47, file 2026-118" })),
            replies: vec![(200, JSON, named("Erased"), "it is erased, and no file of the ledger has it any more")],
            problems: &[Kind::NotFound, Kind::Refused, Kind::Faulty],
        },
        Operation::Allot => event(
            "分配号段",
            "allot numbers to a taxpayer",
            none(),
            body(
                "Allotment",
                json!({ "taxpayer": "91330106MA2CFKXX0Q", "kind": "10", "code": "033001900111", "first": "00000001", "last": "00001000" }),
            ),
        ),
        Operation::AllotmentStatus => event(
            "标记号段：遗失、被盗、空白作废、解除",
            "mark allotted numbers, or lift a mark",
            none(),
            body("RangeMark", json!({ "code": "033001900111", "first": "00000900", "last": "00000999", "mark": "stolen" })),
        ),
        Operation::Keys => Words {
            zh: "公钥及有效期",
            en: "public keys with their validity, for checking offline",
            parameters: none(),
            request: None,
            replies: vec![(200, JSON, named("Keys"), "the keys")],
            problems: &[],
        },
        Operation::Revocations => Words {
            zh: "撤销清单：作废、红冲、异常的发票，供离线核验",
            en: "the signed, dated list of void, red-flushed and suspended invoices, for checking offline",
            parameters: none(),
            request: None,
            replies: vec![(200, BYTES, text(), "the list, in the layout of the manual's page on formats"), (304, "", Value::Null, "as you know it")],
            problems: &[],
        },
        Operation::RotateKey => Words {
            zh: "轮换密钥；可同时吊销旧密钥",
            en: "put a new key in the place of the one of a role that is in use, and perhaps revoke that one",
            parameters: none(),
            request: body("Rotate", json!({ "role": "answering", "overlap_seconds": 86_400 })),
            replies: vec![(200, JSON, named("Rotated"), "the new key is in use")],
            problems: &[Kind::Refused, Kind::Faulty, Kind::TooLarge, Kind::UnsupportedMediaType],
        },
        Operation::RevokeKey => Words {
            zh: "吊销已被替换的密钥",
            en: "revoke a key that is no longer in use",
            parameters: none(),
            request: body("Revoke", json!({ "key_id": "0123456789abcdef", "reason": "compromised" })),
            replies: vec![(200, JSON, named("KeyRevoked"), "it is revoked")],
            problems: &[Kind::NotFound, Kind::Refused, Kind::Faulty, Kind::TooLarge, Kind::UnsupportedMediaType],
        },
        Operation::AnswerProof => Words {
            zh: "某个已签名应答的入账证明",
            en: "what the log has of a signed answer: below which root it is, not yet, or never",
            parameters: json!([path("hash", "SHA-256 of a zero byte, the answer's bytes and its signature", Some("^[0-9a-f]{64}$"))]),
            request: None,
            replies: vec![(200, JSON, named("AnswerProof"), "what there is")],
            problems: &[],
        },
        Operation::AnswerRoots => Words {
            zh: "某一时刻前后的应答汇总",
            en: "the roots over answers of a time, with the hashes below those that may be over it",
            parameters: json!([query("time", "milliseconds since 1970", true)]),
            request: None,
            replies: vec![(200, JSON, named("AnswerRoots"), "all there are")],
            problems: &[],
        },
        Operation::Policies => Words {
            zh: "账本公布检查点所依的见证策略",
            en: "the policies by which checkpoints are published, as the log tells of them",
            parameters: json!([query("before", "a leaf: only policies before it; the newest without it", false)]),
            request: None,
            replies: vec![(200, JSON, named("Policies"), "at most eight, the newest first; each names the one before it")],
            problems: &[],
        },
        Operation::Inclusion => Words {
            zh: "包含证明",
            en: "proof that a leaf is in the log of a published size (RFC 6962)",
            parameters: json!([query("index", "place of the leaf", true), query("size", "published size; the newest without it", false)]),
            request: None,
            replies: vec![(200, JSON, named("Inclusion"), "the proof")],
            problems: &[Kind::NotFound],
        },
        Operation::Consistency => Words {
            zh: "一致性证明",
            en: "proof that a published log continues an earlier one (RFC 6962)",
            parameters: json!([query("from", "the earlier published size", true), query("to", "the later; the newest without it", false)]),
            request: None,
            replies: vec![(200, JSON, named("Consistency"), "the proof")],
            problems: &[Kind::NotFound],
        },
        Operation::Checkpoint => Words {
            zh: "公开日志最新的已签名检查点",
            en: "the newest signed checkpoint of the public log (C2SP tlog-tiles)",
            parameters: json!([{
                "name": "If-None-Match", "in": "header", "required": false, "description": "ETag of the checkpoint that is known", "schema": { "type": "string" },
            }]),
            request: None,
            replies: vec![(200, "text/plain", text(), "a signed note"), (304, "", Value::Null, "the one that is known")],
            problems: &[],
        },
        Operation::Entries => {
            tile("公开日志的记录，每块 256 条", "256 leaves of the public log, each after its length (C2SP tlog-tiles)", json!([tile_path()]))
        }
        Operation::Tile => tile(
            "公开日志的哈希数据块",
            "256 hashes of the public log's tree (C2SP tlog-tiles)",
            json!([path("level", "row of the tree; 0 has the leaf hashes", Some("^[0-7]$")), tile_path()]),
        ),
        Operation::Callers => Words {
            zh: "调用方列表",
            en: "callers and what they may do",
            parameters: json!([
                { "name": "after", "in": "query", "required": false, "description": "id after which to go on", "schema": { "type": "string", "pattern": "^[0-9a-f]{16}$" } },
                query("limit", "at most so many", false),
            ]),
            request: None,
            replies: vec![(200, JSON, named("Callers"), "a page of callers")],
            problems: &[],
        },
        Operation::AddCaller => Words {
            zh: "登记调用方，令牌仅显示一次",
            en: "enrol a caller; its token is shown once",
            parameters: none(),
            request: body("NewCaller", json!({ "role": "issuer", "taxpayers": ["91330106MA2CFKXX0Q"], "label": "till 7" })),
            replies: vec![(201, JSON, named("Enrolled"), "the caller and its token")],
            problems: &[Kind::Refused, Kind::Faulty],
        },
        Operation::RevokeCaller => Words {
            zh: "撤销令牌",
            en: "end a caller's token",
            parameters: json!([path("id", "the caller", Some("^[0-9a-f]{16}$"))]),
            request: None,
            replies: vec![(200, JSON, named("Revoked"), "revoked")],
            problems: &[Kind::NotFound],
        },
        Operation::Audit => Words {
            zh: "审计记录",
            en: "who did what with a privilege",
            parameters: json!([query("from", "number of the first entry", false), query("limit", "at most so many", false)]),
            request: None,
            replies: vec![(200, JSON, named("Audit"), "a page of entries")],
            problems: &[],
        },
        Operation::Health => plain("进程存活", "the process runs", "text/plain"),
        Operation::Ready => plain("可签发可查验", "the server answers and signs; 503 says why not", "text/plain"),
        Operation::Metrics => plain("Prometheus 指标", "figures for Prometheus", OPENMETRICS),
        Operation::OpenApi => {
            Words { replies: vec![(200, JSON, json!({ "type": "object" }), "OpenAPI 3.1")], ..plain("本描述", "this description", JSON) }
        }
    }
}

fn plain(zh: &'static str, en: &'static str, content_type: &'static str) -> Words {
    Words { zh, en, parameters: json!([]), request: None, replies: vec![(200, content_type, text(), en)], problems: &[] }
}

fn tile_path() -> Value {
    let description = "place in the row, in threes: `067`, `x001/x234/067`; the first w of a tile are `067.p/w`";
    path("tile", description, Some("^[0-9]{3}$"))
}

fn tile(zh: &'static str, en: &'static str, parameters: Value) -> Words {
    Words { zh, en, parameters, request: None, replies: vec![(200, BYTES, json!({}), "the tile, which never changes")], problems: &[Kind::NotFound] }
}

fn draft_example() -> Value {
    serde_json::from_str(DRAFT_EXAMPLE).unwrap_or(Value::Null)
}

fn question_examples() -> Value {
    json!({
        "check": {
            "summary": "04, 10, 11: last six digits of the check code",
            "value": { "code": "033001600211", "number": "11255692", "date": "2018-02-27", "check": "533932" },
        },
        "amount": {
            "summary": "01, 02, 03: amount excluding tax",
            "value": { "code": "3200204130", "number": "09264957", "date": "2021-02-20", "amount": "34192.04" },
        },
        "classic_qr": {
            "summary": "text of the QR code printed on paper",
            "value": { "qr": "01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9," },
        },
    })
}

/// `src/manual/access.md`: who may do what, as a page.
pub fn access_page() -> String {
    let mut page = String::from(
        "# Who may do what\n\nGenerated from the table in `channel/http/route`, which the router enforces. Whoever has no token gets 401 where a cell is empty, \
         whoever has one gets 403.\n\n| method | path |",
    );
    for role in Role::ALL {
        page += &format!(" {} |", role.name());
    }
    page += &format!(" |\n|---|---|{}---|\n", "---|".repeat(Role::ALL.len()));
    for endpoint in &ENDPOINTS {
        page += &format!("| {} | `{}` |", endpoint.method, endpoint.path);
        for role in Role::ALL {
            page += if endpoint.roles.has(role) { " yes |" } else { " |" };
        }
        page += &format!(" {} |\n", words(endpoint.operation).en);
    }
    page
}
