//! The one table of what the server answers: path and method, who may ask, what is read. The router, the OpenAPI description, the page of the manual
//! and the tests all walk it, so an endpoint without a row cannot exist.

use hyper::Method;

use crate::domain::caller::Role;
use crate::limits::JSON_BODY_BYTES_MAX;

use super::super::json::DRAFT_BYTES_MAX;

/// One thing that can be asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// 查验: one question, one answer.
    Verify,
    /// 批量查验: questions as JSON lines.
    VerifyBulk,
    /// The page behind a signed QR code.
    Page,
    /// 开具: one draft.
    Issue,
    /// Drafts as JSON lines.
    IssueBulk,
    /// What is wrong with a draft; nothing is stored.
    CheckDraft,
    /// An invoice and its receipt, for its parties.
    Invoice,
    /// The signed QR code of an invoice as a picture, for its parties.
    InvoiceQr,
    /// 作废.
    Void,
    /// Lost, stolen, abnormal, lifted.
    Status,
    /// 删除: what only the encrypted body knows is erased for good.
    Erase,
    /// 发票领用.
    Allot,
    /// Marks on a range of numbers.
    AllotmentStatus,
    /// Public keys with their validity.
    Keys,
    /// 撤销清单: what a signed code is checked by offline, besides the keys.
    Revocations,
    /// 密钥轮换: a new key in the place of one.
    RotateKey,
    /// 吊销: a key that is no longer in use.
    RevokeKey,
    /// What the log has of a signed answer.
    AnswerProof,
    /// The roots over answers of some time.
    AnswerRoots,
    /// The policies by which checkpoints are published.
    Policies,
    /// A leaf is in the log of some size.
    Inclusion,
    /// A log of some size continues an earlier one.
    Consistency,
    /// The newest signed checkpoint of the public log.
    Checkpoint,
    /// A tile of the public log: leaves.
    Entries,
    /// A tile of the public log: hashes of the tree.
    Tile,
    /// Callers and what they may do.
    Callers,
    /// A new caller with its token.
    AddCaller,
    /// A token ends.
    RevokeCaller,
    /// The audit table.
    Audit,
    /// The process runs.
    Health,
    /// The process answers and signs.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// This description.
    OpenApi,
}

/// What is read of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a body is discarded with the connection.
    None,
    /// JSON of at most so many bytes.
    Json(usize),
    /// JSON lines, read as they come.
    Lines,
}

/// A set of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    const fn of(roles: &[Role]) -> Roles {
        let (mut set, mut next) = (0, 0);
        while next < roles.len() {
            set |= 1 << roles[next].number();
            next += 1;
        }
        Roles(set)
    }

    /// Whether the role is one of these.
    pub const fn has(self, role: Role) -> bool {
        self.0 & 1 << role.number() != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Endpoint {
    /// What it does.
    pub operation: Operation,
    /// Stable name: `operationId`, label of the metrics.
    pub name: &'static str,
    /// Method; `HEAD` is answered where `GET` is.
    pub method: Method,
    /// Path; a step in braces matches any one step, one with a plus all that follow.
    pub path: &'static str,
    /// Who may ask. Anybody else gets 401 without and 403 with a token.
    pub roles: Roles,
    /// What is read.
    pub body: Body,
}

const ANYBODY: Roles = Roles::of(&Role::ALL);
const BUSINESSES: Roles = Roles::of(&[Role::Business, Role::Administrator]);
const ISSUERS: Roles = Roles::of(&[Role::Issuer]);
const DRAFTERS: Roles = Roles::of(&[Role::Issuer, Role::Administrator]);
const PARTIES: Roles = Roles::of(&[Role::Issuer, Role::Business, Role::Administrator]);
const ADMINISTRATORS: Roles = Roles::of(&[Role::Administrator]);
const READERS: Roles = Roles::of(&[Role::Auditor, Role::Administrator]);

const SMALL: Body = Body::Json(JSON_BODY_BYTES_MAX);
const DRAFT: Body = Body::Json(DRAFT_BYTES_MAX);

const fn row(operation: Operation, name: &'static str, method: Method, path: &'static str, roles: Roles, body: Body) -> Endpoint {
    Endpoint { operation, name, method, path, roles, body }
}

/// Every endpoint, the busiest first.
pub static ENDPOINTS: [Endpoint; 34] = [
    row(Operation::Verify, "verify", Method::POST, "/v1/verify", ANYBODY, SMALL),
    row(Operation::VerifyBulk, "verify_bulk", Method::POST, "/v1/verify/bulk", BUSINESSES, Body::Lines),
    row(Operation::Issue, "issue", Method::POST, "/v1/invoices", ISSUERS, DRAFT),
    row(Operation::IssueBulk, "issue_bulk", Method::POST, "/v1/invoices/bulk", ISSUERS, Body::Lines),
    row(Operation::CheckDraft, "check_draft", Method::POST, "/v1/invoices/check", DRAFTERS, DRAFT),
    row(Operation::Invoice, "invoice", Method::GET, "/v1/invoices/{code}/{number}", PARTIES, Body::None),
    row(Operation::InvoiceQr, "invoice_qr", Method::GET, "/v1/invoices/{code}/{number}/qr", PARTIES, Body::None),
    row(Operation::Void, "void", Method::POST, "/v1/invoices/{code}/{number}/void", DRAFTERS, Body::None),
    row(Operation::Status, "status", Method::POST, "/v1/invoices/{code}/{number}/status", ADMINISTRATORS, SMALL),
    row(Operation::Erase, "erase", Method::POST, "/v1/invoices/{code}/{number}/erase", ADMINISTRATORS, SMALL),
    row(Operation::Allot, "allot", Method::POST, "/v1/allotments", ADMINISTRATORS, SMALL),
    row(Operation::AllotmentStatus, "allotment_status", Method::POST, "/v1/allotments/status", ADMINISTRATORS, SMALL),
    row(Operation::Page, "page", Method::GET, "/Q/{payload}", ANYBODY, Body::None),
    row(Operation::Page, "page_lower", Method::GET, "/q/{payload}", ANYBODY, Body::None),
    row(Operation::Keys, "keys", Method::GET, "/v1/keys", ANYBODY, Body::None),
    row(Operation::RotateKey, "rotate_key", Method::POST, "/v1/keys/rotate", ADMINISTRATORS, SMALL),
    row(Operation::RevokeKey, "revoke_key", Method::POST, "/v1/keys/revoke", ADMINISTRATORS, SMALL),
    row(Operation::Revocations, "revocations", Method::GET, "/v1/revocations", ANYBODY, Body::None),
    row(Operation::AnswerProof, "answer_proof", Method::GET, "/v1/proofs/answer/{hash}", ANYBODY, Body::None),
    row(Operation::AnswerRoots, "answer_roots", Method::GET, "/v1/proofs/answers", ANYBODY, Body::None),
    row(Operation::Policies, "policies", Method::GET, "/v1/proofs/policies", ANYBODY, Body::None),
    row(Operation::Inclusion, "inclusion", Method::GET, "/v1/proofs/inclusion", ANYBODY, Body::None),
    row(Operation::Consistency, "consistency", Method::GET, "/v1/proofs/consistency", ANYBODY, Body::None),
    row(Operation::Checkpoint, "checkpoint", Method::GET, "/checkpoint", ANYBODY, Body::None),
    row(Operation::Entries, "entries", Method::GET, "/tile/entries/{+tile}", ANYBODY, Body::None),
    row(Operation::Tile, "tile", Method::GET, "/tile/{level}/{+tile}", ANYBODY, Body::None),
    row(Operation::Callers, "callers", Method::GET, "/v1/callers", READERS, Body::None),
    row(Operation::AddCaller, "add_caller", Method::POST, "/v1/callers", ADMINISTRATORS, SMALL),
    row(Operation::RevokeCaller, "revoke_caller", Method::POST, "/v1/callers/{id}/revoke", ADMINISTRATORS, Body::None),
    row(Operation::Audit, "audit", Method::GET, "/v1/audit", READERS, Body::None),
    row(Operation::Health, "health", Method::GET, "/healthz", ANYBODY, Body::None),
    row(Operation::Ready, "ready", Method::GET, "/readyz", ANYBODY, Body::None),
    row(Operation::Metrics, "metrics", Method::GET, "/metrics", ANYBODY, Body::None),
    row(Operation::OpenApi, "openapi", Method::GET, "/openapi.json", ANYBODY, Body::None),
];

/// Where a request leads.
#[derive(Debug)]
pub enum Route {
    /// An endpoint, and the steps of the path that stand for its braces.
    To(&'static Endpoint, Steps),
    /// The path is known, the method is not: what is allowed there.
    OtherMethod(String),
    /// No such path.
    Nowhere,
}

/// The steps of a path that stand for the braces of its pattern, as ranges: at most two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps([(usize, usize); 2]);

impl Steps {
    /// The step at this place of the path that was matched, as it was written.
    pub fn get(self, path: &str, at: usize) -> &str {
        self.0.get(at).and_then(|(from, to)| path.get(*from..*to)).unwrap_or_default()
    }
}

/// Finds the endpoint for a request.
pub fn find(method: &Method, path: &str) -> Route {
    // A step that is spelled out is preferred to one in braces: such a row is listed before the other.
    let mut known = ENDPOINTS.iter().filter_map(|endpoint| matched(endpoint.path, path).map(|steps| (endpoint, steps))).peekable();
    if known.peek().is_none() {
        return Route::Nowhere;
    }
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allowed = Vec::new();
    for (endpoint, steps) in known {
        if endpoint.method == *wanted {
            return Route::To(endpoint, steps);
        }
        allowed.push(endpoint.method.as_str());
        if endpoint.method == Method::GET {
            allowed.push(Method::HEAD.as_str());
        }
    }
    allowed.push(Method::OPTIONS.as_str());
    Route::OtherMethod(allowed.join(", "))
}

fn matched(pattern: &str, path: &str) -> Option<Steps> {
    let mut steps = Steps::default();
    if !pattern.contains('{') {
        return (pattern == path).then_some(steps);
    }
    let (mut found, mut from) = (0, 0);
    let mut patterns = pattern.split('/');
    for step in path.split('/') {
        let wanted = patterns.next()?;
        if wanted.starts_with('{') {
            if step.is_empty() {
                return None;
            }
            if wanted.starts_with("{+") {
                *steps.0.get_mut(found)? = (from, path.len());
                break;
            }
            *steps.0.get_mut(found)? = (from, from + step.len());
            found += 1;
        } else if wanted != step {
            return None;
        }
        from += step.len() + 1;
    }
    patterns.next().is_none().then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(method: &Method, path: &str) -> Option<&'static str> {
        match find(method, path) {
            Route::To(endpoint, _) => Some(endpoint.name),
            Route::OtherMethod(_) | Route::Nowhere => None,
        }
    }

    #[test]
    fn paths_lead_to_their_endpoints() {
        for endpoint in &ENDPOINTS {
            let path = endpoint
                .path
                .replace("{code}", "033001900104")
                .replace("{number}", "00000001")
                .replace("{payload}", "AE")
                .replace("{id}", "00")
                .replace("{hash}", "00")
                .replace("{level}", "0")
                .replace("{+tile}", "x001/000.p/7");
            assert_eq!(name(&endpoint.method, &path), Some(endpoint.name));
            assert!(matches!(find(&Method::DELETE, &path), Route::OtherMethod(_)), "{path}");
        }
        assert_eq!(name(&Method::HEAD, "/healthz"), Some("health"));
        for nowhere in [
            "",
            "/",
            "/v1/verify/",
            "/v1/invoices/1",
            "/v1/invoices/1/2/3",
            "//v1/verify",
            "/q/",
            "/q/a/b",
            "/v1/invoices//2",
            "/tile/0",
            "/tile/0/",
            "/tile//000",
            "/checkpoint/",
        ] {
            assert!(matches!(find(&Method::POST, nowhere), Route::Nowhere), "{nowhere}");
        }
    }

    #[test]
    fn the_steps_are_cut_out_of_the_path() {
        let path = "/v1/invoices/033001900104/00000001/void";
        let Route::To(endpoint, steps) = find(&Method::POST, path) else { panic!("no route") };
        assert_eq!((endpoint.operation, steps.get(path, 0), steps.get(path, 1)), (Operation::Void, "033001900104", "00000001"));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let Route::OtherMethod(allowed) = find(&Method::PUT, "/v1/callers") else { panic!("found") };
        assert_eq!(allowed, "GET, HEAD, POST, OPTIONS");
    }
}
