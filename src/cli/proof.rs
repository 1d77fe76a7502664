//! `fapiao proof`: checking kept answers, rows of bulk results and proofs about the log without a network.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::open::{Place, PlaceOptions};
use super::remote::Remote;
use super::verify::exit;
use super::{Exit, Failure, print};
use crate::channel::lines::Lines;
use crate::channel::log_proof::{self, Continued, Included, LogProofFault};
use crate::channel::logged::{self, ShownRoot};
use crate::channel::policies::{POLICIES_FORMAT, PoliciesFault, ShownPolicy};
use crate::channel::proof::{Evidence, ProofFault, Stated};
use crate::channel::receipt::{self, Received};
use crate::channel::{keys, policies, proof, rows};
use crate::codec::event::AnswersNotice;
use crate::codec::proof::{ConsistencyProof, LogProof};
use crate::crypto::keyring::PublicKeys;
use crate::crypto::note::{Checkpoint, Note};
use crate::domain::time::UnixMillis;
use crate::engine::{FullReceipt, read_bounded, write_private, write_public};
use crate::limits::{ANSWER_ROOTS_BYTES_MAX, PROOF_FILE_BYTES_MAX};
use crate::verify::verdict::Verdict;

/// `fapiao proof …`
#[derive(Subcommand)]
pub(super) enum Proof {
    /// Check a kept answer, a row of a bulk result, a receipt, or a proof about the log, and say what it proves. 0: it holds, 1: it does not (or another answer), 2: it is none,
    /// 3: only later can it be said 验证凭证
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
    /// Add to a kept answer, to a bulk result or to a row of one what the log has of it, an hour later or whenever: then it counts even if its key turns out to be stolen. 0: done, 1: the log
    /// never had it, 3: not yet 取得入账证明
    Log(Fetch),
    /// Take the proof of one answer out of a bulk result (fapiao bulk --proof), to show it without the others 单行凭证
    Row(Row),
    /// Get the roots over all answers of a kept answer's time: `fapiao proof verify --roots` says by them whether it was signed then 取得当时的汇总
    Roots(Fetch),
}

const VERIFY_HELP: &str = "\
FILE is recognised by what is in it: a kept answer (fapiao verify --proof, fapiao proof log), a row of a bulk result (fapiao proof row), a receipt (a line of fapiao issue), proof of inclusion or of
consistency as text or as a server's JSON, the policies that a log tells of (/v1/proofs/policies). What was signed with keys that were replaced since holds with today's list of keys, which has the old ones.
凭证、回执、包含证明、一致性证明与见证策略均可识别；密钥轮换后，旧凭证以最新公钥表仍可验证。";

/// `fapiao proof row`
#[derive(Args)]
pub(super) struct Row {
    /// The whole result, as `fapiao bulk --proof`, `POST /v1/verify/bulk?proof=true` or `fapiao proof log` wrote it
    result: PathBuf,
    /// Line of the question in what was asked: "line" of its answer 行号
    line: u64,
    /// Write to FILE, which may not exist yet; else to standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Row {
    fn run(self) -> Result<Exit, Failure> {
        let usage = |why: &dyn Display| Failure::Usage(format!("{}: {why}", self.result.display()));
        let file = File::open(&self.result).map_err(|error| usage(&error))?;
        let row = rows::prove(BufReader::new(file), self.line).map_err(|fault| usage(&fault))?;
        match &self.out {
            Some(out) => write_private(out, format!("{row:#}\n").as_bytes())?,
            None => writeln!(io::stdout().lock(), "{row:#}")?,
        }
        Ok(Exit::Fine)
    }
}

/// `fapiao proof log` and `fapiao proof roots`
#[derive(Args)]
pub(super) struct Fetch {
    /// The kept answer, the proof of a row, or a whole bulk result
    file: PathBuf,
    #[command(flatten)]
    place: PlaceOptions,
    /// Write to FILE, which may not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao proof verify`
#[derive(Args)]
pub(super) struct Verify {
    /// What `fapiao verify --proof`, `fapiao proof log`, `fapiao proof row`, `fapiao issue`, `fapiao ledger prove` or `fapiao ledger prove-consistency`
    /// wrote, or what a server gave as a proof or as its policies
    file: PathBuf,
    /// The log's public keys (`fapiao keys show`), from somebody you trust 公钥. Proofs about the log need them; a kept answer brings its own, which
    /// are used without this
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The leaf whose inclusion is to be proved, 96 bytes in hex; default: the one that the proof carries 叶子
    #[arg(long, value_name = "HEX")]
    leaf: Option<String>,
    /// The roots over answers of that time (`fapiao proof roots`): a kept answer that is below none of them was signed later 当时的应答汇总
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// A later head of the log: a proof of consistency from the checkpoint in FILE on, or the URL of a server that gives one 当前日志头
    #[arg(long, value_name = "FILE|URL")]
    head: Option<String>,
    /// Believe the certificates in this file (PEM) for --head URL, in place of the system's 信任的证书
    #[arg(long, value_name = "FILE", requires = "head")]
    ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Proof {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Proof::Verify(verify) => verify.run(),
            Proof::Log(fetch) => fetch.log(),
            Proof::Row(row) => row.run(),
            Proof::Roots(fetch) => fetch.roots(),
        }
    }
}

impl Fetch {
    fn log(self) -> Result<Exit, Failure> {
        let Kept { mut file, result, stated } = self.kept()?;
        let found = match self.place.place()? {
            Place::Data(data) => logged::to_json(&data.open_to_read()?.answer_in_log(&stated.hash)?),
            Place::Server(remote) => remote.get(&format!("/v1/proofs/answer/{}", HEXLOWER.encode(&stated.hash)))?,
        };
        let due = found.get("due").and_then(Value::as_str).unwrap_or_default();
        let (exit, text) = match found.get("status").and_then(Value::as_str) {
            Some("logged") => (Exit::Fine, format!("已入账 the log has it; written to {}", self.out.display())),
            Some("not_yet") => (Exit::Unavailable, format!("尚未入账 the log has it not yet: ask again after {due}")),
            Some("never") if found.get("origin").and_then(Value::as_str).is_some_and(|origin| origin != stated.said.origin().as_str()) => {
                (Exit::Other, format!("未入账，账本已重开 {}", ProofFault::Reopened))
            }
            Some("never") => {
                let why = "it was not signed by this server, or with a stolen key; fapiao proof roots gets what shows that to others";
                (Exit::Other, format!("未入账 the log never had it: {why}"))
            }
            Some(_) | None => return Err(Failure::Server { exit: Exit::Unavailable, text: "the server's reply is none".to_owned() }),
        };
        let status = json!({ "status": found.get("status"), "due": found.get("due") });
        if exit == Exit::Fine {
            match result {
                None => {
                    file["logged"] = found;
                    write_private(&self.out, format!("{file:#}\n").as_bytes())?;
                }
                Some(begin) => {
                    file["proof"]["logged"] = found;
                    copy_result(&self.file, begin, &file, &self.out)?;
                }
            }
        }
        print(self.json, &status, &text)?;
        Ok(exit)
    }

    fn roots(self) -> Result<Exit, Failure> {
        let time = self.kept()?.stated.said.time();
        let roots = match self.place.place()? {
            Place::Data(data) => logged::roots_json(&data.open_to_read()?.answer_roots_around(time)?),
            Place::Server(remote) => remote.get(&format!("/v1/proofs/answers?time={}", time.0))?,
        };
        let count = roots.get("roots").and_then(Value::as_array).map_or(0, Vec::len);
        write_public(&self.out, format!("{roots}\n").as_bytes())?;
        let text = format!("已写入 {count} roots around {time} written to {}", self.out.display());
        print(self.json, &json!({ "roots": count, "time": time.to_string() }), &text)?;
        Ok(Exit::Fine)
    }

    fn kept(&self) -> Result<Kept, Failure> {
        let none = |why: &dyn Display| Failure::Usage(format!("{}: {why}", self.file.display()));
        let open = || File::open(&self.file).map(BufReader::new).map_err(|error| none(&error));
        let first = Lines::new(open()?, PROOF_FILE_BYTES_MAX).next_line().map_err(|error| none(&error))?;
        if first.is_some_and(|(_, line)| rows::is_result(&line)) {
            let (begin, file) = rows::last_line(open()?).map_err(|fault| none(&fault))?;
            let stated = proof::stated(file.get("proof").unwrap_or(&Value::Null)).map_err(|fault| none(&fault))?;
            return Ok(Kept { file, result: Some(begin), stated });
        }
        let file: Value = serde_json::from_slice(&read_bounded(&self.file, PROOF_FILE_BYTES_MAX)?).map_err(|error| none(&error))?;
        let stated = proof::stated(&file).map_err(|fault| none(&fault))?;
        Ok(Kept { file, result: None, stated })
    }
}

/// What was kept.
struct Kept {
    /// The file, or the last line of a result.
    file: Value,
    /// Of a result, where that line begins.
    result: Option<u64>,
    stated: Stated,
}

/// Writes a result again with another last line, to a file that may not exist yet.
fn copy_result(from: &Path, begin: u64, last: &Value, to: &Path) -> Result<(), Failure> {
    let usage = |path: &Path, error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
    let mut rows = File::open(from).map_err(|error| usage(from, error))?.take(begin);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| usage(to, error))?;
    io::copy(&mut rows, &mut out)?;
    writeln!(out, "{last}")?;
    Ok(out.sync_all()?)
}

/// What a file holds, as far as can be told before anything is checked.
enum Subject {
    Answer,
    Row,
    Receipt(Box<FullReceipt>),
    Inclusion(String),
    Consistency(String),
    Policies(Value),
}

impl Subject {
    fn of(file: &[u8]) -> Subject {
        let begins = |header: &str| file.starts_with(header.split_once('@').map_or(header, |(name, _)| name).as_bytes());
        // What is no UTF-8 is none of the two either.
        let text = || String::from_utf8_lossy(file).into_owned();
        if begins(LogProof::HEADER) {
            return Subject::Inclusion(text());
        }
        if begins(ConsistencyProof::HEADER) {
            return Subject::Consistency(text());
        }
        let Ok(value) = serde_json::from_slice::<Value>(file) else { return Subject::Answer };
        if value.get("format").and_then(Value::as_str) == Some(POLICIES_FORMAT) {
            return Subject::Policies(value);
        }
        if value.get("format").is_some() {
            return if proof::is_row(&value) { Subject::Row } else { Subject::Answer };
        }
        if let Some(text) = log_proof::inclusion_text(&value) {
            return Subject::Inclusion(text);
        }
        if let Some(text) = log_proof::consistency_text(&value) {
            return Subject::Consistency(text);
        }
        receipt::parse(&value).map_or(Subject::Answer, |receipt| Subject::Receipt(Box::new(receipt)))
    }

    /// The size of the checkpoint in it.
    fn size(&self, file: &[u8]) -> Option<u64> {
        match self {
            Subject::Answer | Subject::Row => Some(proof::stated(&serde_json::from_slice(file).ok()?).ok()?.said.size()),
            Subject::Receipt(receipt) => Some(receipt.receipt.size),
            Subject::Inclusion(text) => {
                let note = Note::parse(&LogProof::parse(text).ok()?.checkpoint).ok()?;
                Some(Checkpoint::parse(note.text()).ok()?.size)
            }
            Subject::Consistency(_) => None,
            Subject::Policies(value) => policies::size(value),
        }
    }
}

/// Public keys in a file: as `fapiao keys show` prints them, or as a server says them with its origin.
pub(super) fn read_public_keys(path: &Path) -> Result<PublicKeys, Failure> {
    let usage = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let value: Value = serde_json::from_slice(&read_bounded(path, PROOF_FILE_BYTES_MAX)?).map_err(|error| usage(error.to_string()))?;
    keys::parse(value.get("keys").unwrap_or(&value)).map_err(|error| usage(error.to_string()))
}

/// What is said of a proof that holds, as JSON and as text.
type Proven = Result<(Value, String), LogProofFault>;

impl Verify {
    fn run(self) -> Result<Exit, Failure> {
        let trusted = self.keys.as_deref().map(read_public_keys).transpose()?;
        let file = read_bounded(&self.file, PROOF_FILE_BYTES_MAX)?;
        let subject = Subject::of(&file);
        if self.leaf.is_some() && !matches!(subject, Subject::Inclusion(_)) {
            return Err(Failure::Usage("--leaf goes with a proof of inclusion (c2sp.org/tlog-proof)".to_owned()));
        }
        let brings_keys = matches!(subject, Subject::Answer | Subject::Row);
        if self.roots.is_some() && !brings_keys {
            return Err(Failure::Usage("--roots goes with a kept answer, or the proof of a row".to_owned()));
        }
        if self.head.is_some() && matches!(subject, Subject::Consistency(_)) {
            return Err(Failure::Usage("--head goes with what has one checkpoint; a proof of consistency has two".to_owned()));
        }
        let needs_keys = !brings_keys || self.head.is_some();
        let keys = match trusted {
            None if needs_keys => return Err(Failure::Usage("a proof about the log carries no keys; give --keys FILE".to_owned())),
            keys => keys,
        };
        let head = match (&self.head, &keys) {
            (Some(head), Some(keys)) => match self.head(head, subject.size(&file), keys)? {
                Ok(head) => Some(head),
                Err(fault) => return self.does_not_hold(&format!("the head: {fault}"), fault.is_malformed()),
            },
            (Some(_), None) | (None, _) => None,
        };
        let head = head.as_ref();
        let proven = match (&subject, &keys) {
            (Subject::Row, keys) => return self.row(&file, keys.as_ref(), head),
            (Subject::Answer, _) | (_, None) => return self.answer(&file, keys.as_ref(), head),
            (Subject::Receipt(receipt), Some(keys)) => return self.receipt(receipt, keys, head),
            (Subject::Inclusion(text), Some(keys)) => self.inclusion(text, keys, head)?,
            (Subject::Consistency(text), Some(keys)) => self.consistency(text, keys),
            (Subject::Policies(value), Some(keys)) => return self.policies(value, keys, head),
        };
        match proven {
            Ok((value, text)) => self.holds(value, text, head),
            Err(fault) => self.does_not_hold(&fault.to_string(), fault.is_malformed()),
        }
    }

    /// The head that continues the checkpoint of this size: from a file, or from a server.
    fn head(&self, head: &str, size: Option<u64>, keys: &PublicKeys) -> Result<Result<Continued, LogProofFault>, Failure> {
        let text = if head.starts_with("http://") || head.starts_with("https://") {
            let size = size.ok_or_else(|| Failure::Usage(format!("{}: no checkpoint is in it", self.file.display())))?;
            log_proof::consistency_text(&Remote::at("--head", head, self.ca.as_deref())?.get(&format!("/v1/proofs/consistency?from={size}"))?)
        } else {
            let file = read_bounded(Path::new(head), PROOF_FILE_BYTES_MAX)?;
            let value = serde_json::from_slice::<Value>(&file).ok();
            value.and_then(|value| log_proof::consistency_text(&value)).or_else(|| String::from_utf8(file).ok())
        };
        let text = text.ok_or_else(|| Failure::Usage(format!("--head {head}: not a proof of consistency")))?;
        Ok(log_proof::verify_head(&text, keys))
    }

    /// Says that it holds, and that the log of then is the beginning of a later one, if that was shown.
    fn holds(&self, mut value: Value, mut text: String, head: Option<&Continued>) -> Result<Exit, Failure> {
        if let Some(head) = head {
            value["head"] = checkpoint_json(&head.newer);
            text.push_str(&format!("\n  当时的日志是现在日志的前缀 the log of then is a prefix of the log of now: {}", checkpoint_text(&head.newer)));
        }
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }

    fn receipt(&self, full: &FullReceipt, keys: &PublicKeys, head: Option<&Continued>) -> Result<Exit, Failure> {
        let receipt = &full.receipt;
        match receipt::verify(receipt, keys, head) {
            Ok(Received { id, checkpoint }) => {
                let value = json!({
                    "holds": true,
                    "proves": "receipt",
                    "index": receipt.index,
                    "event": receipt.leaf.event.name(),
                    "time": UnixMillis(receipt.leaf.time_ms).to_string(),
                    "code": id.map(|id| id.code.to_string()),
                    "number": id.map(|id| id.number.to_string()),
                    "checkpoint": checkpoint_json(&checkpoint),
                });
                let of = id.map_or_else(String::new, |id| format!(" of invoice {id}"));
                let text = format!(
                    "回执有效 the receipt holds: leaf {} of the log, event {}{of}, {}\n  {}",
                    receipt.index,
                    receipt.leaf.event.name(),
                    UnixMillis(receipt.leaf.time_ms),
                    checkpoint_text(&checkpoint)
                );
                self.holds(value, text, head)
            }
            Err(fault) => self.does_not_hold(&fault.to_string(), false),
        }
    }

    fn inclusion(&self, text: &str, keys: &PublicKeys, head: Option<&Continued>) -> Result<Proven, Failure> {
        let leaf = match &self.leaf {
            Some(hex) => {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
                Some(bytes.map_err(|error| Failure::Usage(format!("--leaf is not hex: {error}")))?)
            }
            None => None,
        };
        Ok(log_proof::verify_inclusion_before(text, leaf.as_deref(), keys, head).map(|Included { checkpoint, index, leaf }| {
            let value = json!({
                "holds": true,
                "proves": "inclusion",
                "index": index,
                "event": leaf.event.name(),
                "commit": data_encoding::HEXLOWER.encode(&leaf.commit),
                "leaf": data_encoding::HEXLOWER.encode(&leaf.encode()),
                "leaf_from": if self.leaf.is_some() { "--leaf" } else { "the proof itself" },
                "checkpoint": checkpoint_json(&checkpoint),
            });
            let text = format!(
                "证明有效 the proof holds: leaf {index} of the log is this one, of event {}\n  {}",
                leaf.event.name(),
                checkpoint_text(&checkpoint)
            );
            (value, text)
        }))
    }

    fn consistency(&self, text: &str, keys: &PublicKeys) -> Proven {
        let Continued { older, newer } = log_proof::verify_consistency(text, keys)?;
        let reopened = older.origin != newer.origin;
        let value = json!({
            "holds": true,
            "proves": "consistency",
            "from": checkpoint_json(&older),
            "to": checkpoint_json(&newer),
            "reopened": reopened,
        });
        let (from, to) = (checkpoint_text(&older), checkpoint_text(&newer));
        let mut text = format!("证明有效 the proof holds: the log only grew, and nothing in it was changed\n  from {from}\n  to   {to}");
        if reopened {
            text.push_str(&format!("\n  账本曾重开 the origins differ: {} continues {}, as a reopened ledger does", newer.origin, older.origin));
        }
        Ok((value, text))
    }

    fn policies(&self, value: &Value, keys: &PublicKeys, head: Option<&Continued>) -> Result<Exit, Failure> {
        match policies::verify(value, keys, head) {
            Ok((told, checkpoint)) => {
                let one = |policy: &ShownPolicy| json!({ "index": policy.index, "time": policy.time.to_string(), "previous": policy.previous, "policy": policy.text });
                let listed: Vec<Value> = told.iter().map(one).collect();
                let value = json!({ "holds": true, "proves": "policies", "policies": listed, "checkpoint": checkpoint_json(&checkpoint) });
                let mut text = format!("证明有效 the proof holds\n  {}", checkpoint_text(&checkpoint));
                if told.is_empty() {
                    text.push_str("\n  账本未登记见证策略 the log tells of no policy");
                }
                for ShownPolicy { index, time, text: policy, .. } in &told {
                    let policy = policy.lines().map(|line| format!("\n    {line}")).collect::<String>();
                    text.push_str(&format!("\n  见证策略 the policy from leaf {index} on, {time}:{policy}"));
                }
                if let Some(index) = told.last().and_then(|oldest| oldest.previous) {
                    text.push_str(&format!("\n  还有更早的策略 there are earlier ones: /v1/proofs/policies?before={}", index + 1));
                }
                text.push_str("\n  是否有更新的策略，须读取日志记录 whether there is a newer one, its leaves show (fapiao monitor)");
                self.holds(value, text, head)
            }
            Err(PoliciesFault::Checkpoint(fault)) => self.does_not_hold(&fault.to_string(), fault.is_malformed()),
            Err(fault) => self.does_not_hold(&fault.to_string(), matches!(fault, PoliciesFault::Malformed(_))),
        }
    }

    fn does_not_hold(&self, reason: &str, is_malformed: bool) -> Result<Exit, Failure> {
        print(self.json, &json!({ "holds": false, "reason": reason }), &format!("凭证无效 the proof does not hold: {reason}"))?;
        Ok(if is_malformed { Exit::Usage } else { Exit::Other })
    }

    /// The roots that are brought, if any.
    fn roots(&self) -> Result<Option<Value>, Failure> {
        let Some(path) = &self.roots else { return Ok(None) };
        let usage = |error: serde_json::Error| Failure::Usage(format!("{}: {error}", path.display()));
        Ok(Some(serde_json::from_slice(&read_bounded(path, ANSWER_ROOTS_BYTES_MAX)?).map_err(usage)?))
    }

    fn answer(&self, file: &[u8], trusted: Option<&PublicKeys>, head: Option<&Continued>) -> Result<Exit, Failure> {
        let roots = self.roots()?;
        let proven = match proof::verify_with(file, trusted, Evidence { roots: roots.as_ref(), head }) {
            Ok(proven) => proven,
            Err(fault) => return self.fault(&fault),
        };
        let answer = &proven.answer;
        let value = json!({
            "holds": true,
            "verdict": proven.verdict.number(),
            "name": proven.verdict.name(),
            "origin": answer.origin.as_str(),
            "size": answer.size,
            "time": answer.time.to_string(),
            "count": answer.count,
            "index": proven.index,
            "logged": logged_json(proven.logged.as_ref()),
            "keys": keys_from(proven.own_keys),
        });
        let mut text = format!("凭证有效 the proof holds: {}\n  {} at size {}, {}", told(proven.verdict), answer.origin, answer.size, answer.time);
        if let Some(index) = proven.index {
            text.push_str(&format!("\n  the invoice is leaf {index} of that log"));
        }
        text.push_str(&logged_text("the answer itself", proven.logged.as_ref(), proven.own_keys));
        self.holds(value, text, head)?;
        Ok(exit(proven.verdict))
    }

    fn row(&self, file: &[u8], trusted: Option<&PublicKeys>, head: Option<&Continued>) -> Result<Exit, Failure> {
        let roots = self.roots()?;
        let proven = match proof::verify_row(file, trusted, Evidence { roots: roots.as_ref(), head }) {
            Ok(proven) => proven,
            Err(fault) => return self.fault(&fault),
        };
        let (row, rows) = (&proven.row, &proven.rows);
        let value = json!({
            "holds": true,
            "proves": "row",
            "verdict": proven.verdict.number(),
            "name": proven.verdict.name(),
            "query_digest": HEXLOWER.encode(&row.query_digest),
            "origin": rows.origin.as_str(),
            "size": row.size,
            "time": row.time.to_string(),
            "count": row.count,
            "place": proven.place,
            "rows": rows.count,
            "signed": rows.time.to_string(),
            "logged": logged_json(proven.logged.as_ref()),
            "keys": keys_from(proven.own_keys),
        });
        let mut text = format!("凭证有效 the proof holds: {}\n  {} at size {}, {}", told(proven.verdict), rows.origin, row.size, row.time);
        text.push_str(&format!("\n  第 {} 行 row {} of {}, signed together {}", proven.place + 1, proven.place + 1, rows.count, rows.time));
        text.push_str(&logged_text("what was signed over the rows", proven.logged.as_ref(), proven.own_keys));
        self.holds(value, text, head)?;
        Ok(exit(proven.verdict))
    }

    /// Says why an answer or a row is not shown to be what it says.
    fn fault(&self, fault: &ProofFault) -> Result<Exit, Failure> {
        match fault {
            ProofFault::NotLogged(roots) => {
                let one = |root: &ShownRoot| {
                    let AnswersNotice { count, earliest, latest, .. } = root.notice;
                    json!({ "index": root.index, "answers": count, "earliest": earliest.to_string(), "latest": latest.to_string() })
                };
                let listed: Vec<Value> = roots.iter().map(one).collect();
                let value = json!({ "holds": false, "outcome": "not_logged", "reason": fault.to_string(), "roots": listed });
                print(self.json, &value, &format!("未入账，倒签 not in the log of its time, so backdated: {fault}"))?;
                Ok(Exit::Other)
            }
            ProofFault::NotLoggedYet => {
                let value = json!({ "holds": false, "outcome": "not_logged_yet", "reason": fault.to_string() });
                print(self.json, &value, &format!("尚不能断定 it cannot be said yet: {fault}"))?;
                Ok(Exit::Unavailable)
            }
            _ => self.does_not_hold(&fault.to_string(), matches!(fault, ProofFault::Malformed(_) | ProofFault::Keys(_))),
        }
    }
}

fn told(verdict: Verdict) -> String {
    format!("{} {} | {}", verdict.number(), verdict.chinese(), verdict.english())
}

fn logged_json(logged: Option<&ShownRoot>) -> Value {
    logged.map_or(Value::Null, |root| json!({ "index": root.index, "time": root.time.to_string() }))
}

fn keys_from(own: bool) -> &'static str {
    if own { "from the file itself" } else { "trusted" }
}

fn logged_text(what: &str, logged: Option<&ShownRoot>, own_keys: bool) -> String {
    let mut text = match logged {
        Some(root) => format!("\n  已入账 {what} is in the log: below the root in leaf {}, since {}", root.index, root.time),
        None => format!("\n  是否入账未示 whether the log has {what} is not shown; fapiao proof log gets that"),
    };
    if own_keys {
        text.push_str("\n  checked against the keys in the file; compare them with the authority's (--keys FILE)");
    }
    text
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    json!({ "origin": checkpoint.origin.as_str(), "size": checkpoint.size, "root": data_encoding::HEXLOWER.encode(&checkpoint.root) })
}

fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    format!("{} at size {}", checkpoint.origin, checkpoint.size)
}
