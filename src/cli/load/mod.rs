//! `fapiao load`: a load generator that holds every answer against what it knows must be answered, with a goal and an end.

mod answers;
mod drafts;
pub mod drive;
pub mod http;
mod kept;
pub mod picture;
mod report;
pub mod tally;
mod work;

use std::io::{self, IsTerminal as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::answers::Verifier;
use self::drafts::{DRAFTS_MAX, KIND};
use self::drive::{Driven, Plan, Stop, drive};
use self::http::Connection;
use self::kept::Keeper;
use self::report::{Goal, Rechecked, Report, quantile_ms};
use self::work::{Acknowledged, Caller, Heads, Known, Mix, Site};
use super::sample::{self, Seed};
use super::{Exit, Failure, print};
use crate::domain::kind::AREAS;
use crate::domain::number::{InvoiceCode, InvoiceNumber};
use crate::domain::taxpayer::TaxpayerId;
use crate::engine::{random, read_bounded, today};
use crate::limits::{
    LOAD_BATCH_MAX, LOAD_BULK_CONNECTIONS, LOAD_CONNECTIONS_MAX, LOAD_PATIENCE_SECONDS, LOAD_PIPELINE_MAX, LOAD_RECHECKED, LOAD_SAMPLES_BYTES_MAX,
    LOAD_THREADS_MAX,
};

pub use self::drafts::Drafts;
pub use self::report::figures;

const AFTER_HELP: &str = "\
Every answer is checked: of a verification the verdict, the number, the date, the amounts, the seller, the leaf and that the ledger never shrinks; of \
an issue the status, and of a share of them the receipt, offline and with the log's public keys. In the end invoices that were acknowledged are asked \
for again.
Without --rate each connection sends when it was answered (closed loop). With --rate arrivals follow a fixed schedule, and a latency counts from when \
the request should have been sent: a server that stalls is charged for all that would have come meanwhile.
每个答复都会核对：结论、号码、日期、金额、销售方、账本位置；开具的回执按比例离线验证；最后复查已确认的发票。不带 --rate 为闭环；带 --rate 按固定时刻表到达，延迟从应发时刻计。

  fapiao demo --json demo.json &    fapiao load --samples demo.json --duration 10
  fapiao load --server http://127.0.0.1:8080 --admin-token A --token ISSUER --mode mixed --rate 5000 --duration 900 --survive-restarts

Exit status: 0 all answers right and all goals met, 1 a wrong answer, an error, something lost or a goal missed, 2 usage, 3 the server cannot be reached.
退出码：0 答复全部正确且目标达到，1 有错误答复、失败、丢失或未达目标，2 用法有误，3 无法连接服务。";

/// `fapiao load`
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Load {
    /// Where the server is, http://HOST:PORT 服务地址
    #[arg(long, value_name = "URL", required_unless_present = "samples")]
    server: Option<String>,
    /// Token of an issuer, or of a business if nothing is issued 令牌
    #[arg(long, env = "FAPIAO_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Administrator's token: allots the numbers of a code of its own to the load 管理员令牌
    #[arg(long, env = "FAPIAO_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// What `fapiao demo --json FILE` wrote: URL, tokens, and samples to ask about 样例文件
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// What to do 方式
    #[arg(long, value_enum, default_value_t = Mode::Verify)]
    mode: Mode,
    /// Connections, each kept 连接数
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=LOAD_CONNECTIONS_MAX as i64))]
    connections: u16,
    /// Threads of this client 线程数
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=LOAD_THREADS_MAX as i64))]
    threads: u16,
    /// Open loop: so many requests a second, on a fixed schedule 每秒请求数
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// How long, in seconds; default: 10, or until all --requests are answered 时长
    #[arg(long, value_name = "S")]
    duration: Option<f64>,
    /// How many requests 请求数
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Seconds at the beginning that do not count, within the duration 预热
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    warmup: f64,
    /// Invoices to issue first, in bulk; default: 10,000 if there is something to verify and no samples 预先开具
    #[arg(long, value_name = "N")]
    prefill: Option<u32>,
    /// Requests under way on a connection at once 流水线
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=LOAD_PIPELINE_MAX as i64))]
    pipeline: u16,
    /// Drafts in a bulk request 每批草稿数
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(LOAD_BATCH_MAX)))]
    batch: u32,
    /// Of a hundred mixed requests so many issue 开具占比
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    issue_share: u32,
    /// Of a hundred questions so many are by signed QR code, whose signature the server checks 扫码占比
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    qr_share: u32,
    /// Code whose numbers are allotted to the seller already, for a load without administrator 已领用代码
    #[arg(long)]
    code: Option<String>,
    /// First number of that code that is free 起始号码
    #[arg(long, default_value = "00000001")]
    first: String,
    /// Seller, whose issuer's token it is 销售方
    #[arg(long, value_name = "ID", default_value = sample::DEFAULT_SELLER)]
    seller: String,
    /// Goal: 99 of 100 requests are answered within so many milliseconds 目标延迟
    #[arg(long, value_name = "MS")]
    goal_p99: Option<f64>,
    /// Goal: invoices a second 目标速率
    #[arg(long, value_name = "R")]
    goal_rate: Option<f64>,
    /// All of it ends after so many seconds, done or not 最长时间
    #[arg(long, value_name = "S")]
    deadline: Option<f64>,
    /// A server that goes away is waited for, and what it left open is sent again; in the end all that was acknowledged is asked for 跨越重启
    #[arg(long)]
    survive_restarts: bool,
    /// Acknowledged invoices to ask for in the end, spread over all; default: 10,000, with --survive-restarts all 复查数
    #[arg(long, value_name = "N")]
    recheck: Option<usize>,
    /// Write down what was acknowledged; --mode recheck asks for all of it 记录文件
    #[arg(long, value_name = "FILE", required_if_eq("mode", "recheck"))]
    keep: Option<PathBuf>,
    /// Invoices that a former load wrote down with --keep: they are asked about, and none are issued first 已知发票
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw throughput over time and the latency distribution 图表
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Questions 查验
    Verify,
    /// Invoices, one by one 逐张开具
    Issue,
    /// Invoices, many in a request 批量开具
    Bulk,
    /// Questions, and a share of invoices 混合
    Mixed,
    /// Everything that a former load wrote down with --keep 复查
    Recheck,
}

/// Where the server is, and who asks.
struct Server {
    address: SocketAddr,
    host: String,
    token: Option<String>,
    admin_token: Option<String>,
}

impl Load {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let samples = match &self.samples {
            Some(path) => {
                let bytes = read_bounded(path, LOAD_SAMPLES_BYTES_MAX)?;
                serde_json::from_slice(&bytes).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?
            }
            None => Value::Null,
        };
        let server = self.server(&samples)?;
        let deadline = self.deadline.map(|seconds| seconds_of("--deadline", seconds)).transpose()?.map(|limit| Instant::now() + limit);
        let stop = stop_on_interrupt();

        let verifier = match server.ask("GET", "/v1/keys", None, "")? {
            (200, body) => Some(Verifier::parse(&body).map_err(|reason| Failure::Usage(format!("the server's keys: {reason}")))?),
            (_, _) => None,
        };
        let written_down = if self.mode == Mode::Recheck { &self.keep } else { &self.known };
        let (drafts, mut acknowledged) = match written_down {
            Some(path) => kept::read(path)?,
            None => (self.drafts(&server, &samples)?, Vec::new()),
        };
        let questions = if self.mode == Mode::Verify && self.prefill.is_none() { questions(&samples) } else { Vec::new() };
        let prefill = self.prefill.unwrap_or(match self.mode {
            Mode::Verify | Mode::Mixed if questions.is_empty() && acknowledged.is_empty() => 10_000,
            _ => 0,
        });
        let keeper = match &self.keep {
            Some(path) if self.mode != Mode::Recheck => Some(Keeper::create(path, &drafts)?),
            _ => None,
        };
        let next =
            InvoiceNumber::parse(&self.first).ok_or_else(|| Failure::Usage("--first: an invoice number has 8 digits, not all zero".to_owned()))?;
        let site = Arc::new(Site {
            address: server.address,
            drafts,
            heads: Heads::new(&server.host, server.token.as_deref()),
            verifier,
            // Behind all that is known already.
            next: AtomicU32::new(acknowledged.iter().map(|(nth, _)| nth + 1).max().unwrap_or(next.ordinal() - 1)),
            receipts: AtomicU64::new(0),
            keeper,
        });
        let session = Session { load: &self, site, deadline, stop };

        let mut known = Known { questions, acknowledged: std::mem::take(&mut acknowledged), ..Known::default() };
        if prefill > 0 {
            let mut driven = session.prefill(prefill)?;
            if driven.tally.wrong + driven.tally.errors > 0 || driven.unreachable || session.is_stopped() {
                return session.finish(driven, Vec::new(), "the invoices to ask about could not be issued");
            }
            for work in &mut driven.work {
                known.acknowledged.append(&mut work.acknowledged);
                known.codes.append(&mut work.codes);
            }
        }
        let mut driven = if self.mode == Mode::Recheck {
            session.recheck(Arc::new(known))
        } else {
            let (known, mix) = (Arc::new(known), self.mix());
            let driven = session.measure(&known, &mix)?;
            acknowledged.extend_from_slice(&known.acknowledged);
            driven
        };
        for work in &mut driven.work {
            acknowledged.append(&mut work.acknowledged);
        }
        session.finish(driven, acknowledged, "")
    }

    /// From the arguments, or else from the samples' file.
    fn server(&self, samples: &Value) -> Result<Server, Failure> {
        let made = |member: &str| samples.pointer(member).and_then(Value::as_str).map(str::to_owned);
        let url = self.server.clone().or_else(|| made("/url")).ok_or_else(|| Failure::Usage("--server URL is needed".to_owned()))?;
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).filter(|host| !host.contains('/'));
        let host = host.ok_or_else(|| Failure::Usage(format!("{url} is not http://HOST:PORT")))?;
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = with_port.to_socket_addrs().map_err(|error| Failure::Usage(format!("{host}: {error}")))?;
        let address = addresses.next().ok_or_else(|| Failure::Usage(format!("{host} has no address")))?;
        let issues = !matches!(self.mode, Mode::Verify | Mode::Recheck) || self.prefill.is_some() || self.samples.is_none();
        let token = self.token.clone().or_else(|| made(if issues { "/tokens/issuer" } else { "/tokens/business" }));
        let admin_token = self.admin_token.clone().or_else(|| made("/tokens/administrator"));
        Ok(Server { address, host: host.to_owned(), token, admin_token })
    }

    /// Drafts under a code that is allotted to them.
    fn drafts(&self, server: &Server, samples: &Value) -> Result<Drafts, Failure> {
        let seller = TaxpayerId::parse(&self.seller).ok_or_else(|| Failure::Usage("--seller is no taxpayer id".to_owned()))?;
        let date = today();
        if let Some(code) = &self.code {
            let code = InvoiceCode::parse(code).ok_or_else(|| Failure::Usage("--code: an invoice code has 10 or 12 digits".to_owned()))?;
            return Ok(Drafts::new(code, date, seller));
        }
        let mut seed = Seed(u64::from_be_bytes(random()?));
        let mut any_code = || {
            let area = AREAS[usize::try_from(seed.below(AREAS.len() as u32)).unwrap_or_default()].0;
            // Year, batch, 1 for special invoices, copies, and a digit that says nothing here.
            let text = format!("{area}{:02}{}1{}{}", date.yyyymmdd() / 10_000 % 100, 1 + seed.below(9), 1 + seed.below(9), seed.below(10));
            InvoiceCode::parse(&text)
        };
        let issues = self.mode != Mode::Verify || self.prefill.is_some_and(|count| count > 0) || questions(samples).is_empty();
        let Some(admin_token) = server.admin_token.as_deref().filter(|_| issues) else {
            if issues {
                return Err(Failure::Usage("to issue, --admin-token or --code is needed (--samples FILE brings a demo's)".to_owned()));
            }
            return any_code().map(|code| Drafts::new(code, date, seller)).ok_or_else(|| Failure::Usage("no code".to_owned()));
        };
        let mut refused = String::new();
        for code in (0..20).filter_map(|_| any_code()) {
            let last = format!("{DRAFTS_MAX:08}");
            let body =
                json!({ "taxpayer": seller.as_str(), "kind": KIND.profile().code, "code": code.to_string(), "first": "00000001", "last": last });
            match server.ask("POST", "/v1/allotments", Some(admin_token), &body.to_string())? {
                (200 | 201, _) => return Ok(Drafts::new(code, date, seller)),
                // Somebody has numbers of this code.
                (409, body) => refused = answers::excerpt(&body),
                (status, body) => return Err(Failure::Usage(format!("no numbers are allotted: status {status}: {}", answers::excerpt(&body)))),
            }
        }
        Err(Failure::Usage(format!("no numbers are allotted: {refused}")))
    }

    fn mix(&self) -> Mix {
        match self.mode {
            Mode::Verify | Mode::Recheck => Mix::Asking { issue: 0, by_code: self.qr_share },
            Mode::Issue => Mix::Asking { issue: 100, by_code: 0 },
            Mode::Mixed => Mix::Asking { issue: self.issue_share, by_code: self.qr_share },
            Mode::Bulk => Mix::Bulk(self.batch),
        }
    }

    fn settings(&self) -> Value {
        json!({
            "mode": self.mode.to_possible_value().map(|mode| mode.get_name().to_owned()),
            "loop": if self.rate.is_some() { "open" } else { "closed" },
            "connections": self.connections,
            "threads": self.threads,
            "rate": self.rate,
            "pipeline": self.pipeline,
            "batch": self.batch,
            "issue_share": self.issue_share,
            "qr_share": self.qr_share,
            "warmup": self.warmup,
        })
    }
}

/// The questions about samples: by QR code and by fields, each with the verdict that is expected.
fn questions(samples: &Value) -> Vec<(Vec<u8>, u64)> {
    let mut questions = Vec::new();
    for sample in samples.get("samples").and_then(Value::as_array).into_iter().flatten() {
        let text = |member: &str| sample.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(expected) = sample.get("expect").and_then(Value::as_u64) else { continue };
        let mut add = |question: Value| questions.push((question.to_string().into_bytes(), expected));
        for code in [text("signed_qr"), text("classic_qr")].into_iter().flatten() {
            add(json!({ "qr": code }));
        }
        if let (Some(code), Some(number), Some(date), Some(amount)) = (text("code"), text("number"), text("date"), text("amount")) {
            match text("check") {
                Some(check) => add(json!({ "code": code, "number": number, "date": date, "check": check })),
                None => add(json!({ "code": code, "number": number, "date": date, "amount": amount })),
            }
        }
    }
    questions
}

impl Server {
    /// One request on a connection of its own.
    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        let mut request = work::request_head(method, path, &self.host, token, "content-type: application/json\r\n");
        request.extend_from_slice(format!("{}\r\n\r\n{body}", body.len()).as_bytes());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async {
            let mut connection = Connection::open(self.address).await?;
            connection.send(&request).await?;
            let response = connection.receive().await?;
            Ok::<_, io::Error>((response.status, connection.body(&response).to_vec()))
        });
        answer.map_err(|error| Failure::Stream(io::Error::other(format!("http://{} cannot be reached: {error}", self.host))))
    }
}

/// Set by the first interrupt; the second ends the process.
fn stop_on_interrupt() -> Stop {
    let stop = Stop::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
    stop
}

/// A run with its end in sight.
struct Session<'a> {
    load: &'a Load,
    site: Arc<Site>,
    deadline: Option<Instant>,
    stop: Stop,
}

impl Session<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn left(&self) -> Duration {
        // A run without a deadline has its requests or its duration as an end.
        self.deadline.map_or(Duration::from_secs(10 * 365 * 86_400), |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// A closed loop over so many requests.
    fn plan(&self, connections: usize, requests: u64) -> Plan {
        Plan {
            connections,
            threads: self.load.threads.into(),
            pipeline: 1,
            rate: None,
            duration: self.left(),
            requests,
            warmup: Duration::ZERO,
            patience: self.load.survive_restarts.then(|| Duration::from_secs(LOAD_PATIENCE_SECONDS)),
        }
    }

    fn drive(&self, plan: &Plan, known: &Arc<Known>, mix: &Mix, end: u32, what: &'static str) -> Driven<Caller> {
        let callers = (0..plan.connections).map(|nth| Caller::new(&self.site, known, mix, end, nth)).collect();
        let progress = progress(plan, what);
        let driven = drive(plan, callers, &self.stop, |taken| match plan.requests {
            u64::MAX => progress.set_position(taken),
            requests => progress.set_position(taken.min(requests)),
        });
        progress.finish_and_clear();
        driven
    }

    fn prefill(&self, count: u32) -> Result<Driven<Caller>, Failure> {
        if !work::has_numbers(&self.site, count) {
            return Err(Failure::Usage("--prefill goes beyond the last number".to_owned()));
        }
        let (batch, first) = (self.load.batch, self.site.next.load(Ordering::Relaxed));
        let connections = usize::from(self.load.connections).min(LOAD_BULK_CONNECTIONS);
        let plan = self.plan(connections, u64::from(count.div_ceil(batch)));
        let driven = self.drive(&plan, &Arc::default(), &Mix::Bulk(batch), first + count, "预先开具 prefilling");
        // Connections may have reached beyond the end in search of more.
        self.site.next.store(first + count, Ordering::Relaxed);
        Ok(driven)
    }

    fn measure(&self, known: &Arc<Known>, mix: &Mix) -> Result<Driven<Caller>, Failure> {
        let load = self.load;
        if load.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(Failure::Usage("--rate is a number above 0".to_owned()));
        }
        let duration = match (load.duration, load.requests) {
            (Some(seconds), _) => seconds_of("--duration", seconds)?,
            (None, Some(_)) => Duration::MAX,
            (None, None) => Duration::from_secs(10),
        };
        let numbers = u64::from(DRAFTS_MAX - self.site.next.load(Ordering::Relaxed).min(DRAFTS_MAX));
        let (requests, pipeline) = match mix {
            Mix::Bulk(batch) => (numbers.div_ceil(u64::from(*batch)), 1),
            Mix::Asking { issue: 100, .. } => (numbers, load.pipeline.into()),
            Mix::Asking { .. } | Mix::Each(_) => (u64::MAX, load.pipeline.into()),
        };
        let plan = Plan {
            pipeline,
            rate: load.rate,
            duration: duration.min(self.left()),
            warmup: seconds_of("--warmup", load.warmup)?,
            ..self.plan(load.connections.into(), requests.min(load.requests.unwrap_or(u64::MAX)))
        };
        Ok(self.drive(&plan, known, mix, DRAFTS_MAX, "运行 running"))
    }

    /// Asks for each of these.
    fn recheck(&self, known: Arc<Known>) -> Driven<Caller> {
        let plan = self.plan(self.load.connections.into(), known.acknowledged.len() as u64);
        self.drive(&plan, &known, &Mix::Each(Arc::default()), 0, "复查 rechecking")
    }

    /// Asks for what was acknowledged, and says how it went; `gave_up` is why there was no run.
    fn finish(&self, mut driven: Driven<Caller>, acknowledged: Vec<Acknowledged>, gave_up: &'static str) -> Result<Exit, Failure> {
        let load = self.load;
        let overdue = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let cut_short = match () {
            () if !gave_up.is_empty() => Some(gave_up),
            () if driven.unreachable => Some("the server cannot be reached"),
            () if self.is_stopped() => Some("interrupted"),
            () if overdue => Some("the deadline has passed"),
            () => None,
        };
        let all = acknowledged.len();
        let rechecks = load.mode != Mode::Recheck && all > 0 && cut_short.is_none();
        let rechecked = rechecks.then(|| {
            let wanted = load.recheck.unwrap_or(if load.survive_restarts { all } else { LOAD_RECHECKED }).min(all);
            // Spread over all of them; the product fits as long as both are below 2^32.
            let spread = (0..wanted).map(|at| acknowledged[at * all / wanted]).collect();
            let again = self.recheck(Arc::new(Known { acknowledged: spread, ..Known::default() }));
            driven.unreachable |= again.unreachable;
            driven.tally.wrong += again.tally.wrong;
            driven.tally.errors += again.tally.errors;
            driven.tally.interruptions += again.tally.interruptions;
            driven.tally.examples.extend(again.tally.examples.iter().map(|what| format!("asked again: {what}")));
            Rechecked { of: all as u64, asked: wanted as u64, right: again.tally.requests() }
        });

        let p99 = quantile_ms(&driven.tally.latency(), 0.99);
        let rate = driven.tally.rate();
        let goals = [
            load.goal_p99.map(|wanted| Goal { name: "p99 <= ms", wanted, seen: p99, met: p99 <= wanted && driven.tally.requests() > 0 }),
            load.goal_rate.map(|wanted| Goal { name: "invoices/s >=", wanted, seen: rate, met: rate >= wanted }),
        ];
        let unreachable = driven.unreachable;
        let report = Report {
            settings: load.settings(),
            tally: driven.tally,
            receipts: self.site.receipts.load(Ordering::Relaxed),
            verifies_receipts: self.site.verifier.is_some(),
            rechecked,
            goals: goals.into_iter().flatten().collect(),
            cut_short,
        };
        if let Some(path) = &load.svg {
            std::fs::write(path, report.to_svg())?;
        }
        print(load.json, &report.to_json(), &report.to_text())?;
        Ok(match () {
            () if unreachable => Exit::Unavailable,
            () if report.is_fine() => Exit::Fine,
            () => Exit::Other,
        })
    }
}

fn seconds_of(option: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Failure::Usage(format!("{option} is a number of seconds")))
}

fn progress(plan: &Plan, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match plan.requests {
        u64::MAX => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed} {pos} ({per_sec})"),
        requests => (ProgressBar::new(requests), "{msg} {bar:30} {pos}/{len} ({per_sec}, {eta})"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what)
}
