//! The bench book: our server beside bare hyper, raw RocksDB, Redis and PostgreSQL, in one run and by turns, so that what the machine does otherwise
//! happens to all of them alike.
//!
//! ```text
//!  core 0   the server whose turn it is; the others run and are not asked
//!  core 1   its client: the same loop, as many connections and threads for each
//! ```
//!
//! Where both cores are used by the server (issuing), nothing is kept to a core, for none of the peers.

mod clients;
mod machine;
mod servers;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fapiao::cli::load::Drafts;
use fapiao::domain::kind::Kind;
use fapiao::domain::taxpayer::TaxpayerId;
use serde_json::Value;
use tempfile::TempDir;

use self::clients::{Order, Task, write_values};
use self::machine::Machine;
use self::servers::{Running, can_pin, pinned};
use crate::Plan;
use crate::durable::Cost;
use crate::site::{self, Site, median, raw_database};

/// Tells a process of this program that it is a client, and of what.
const CLIENT: &str = "FAPIAO_BOOK_CLIENT";
/// Tells it that it is the bare server, and how long its answer is.
const BARE: &str = "FAPIAO_BOOK_BARE";
/// How many invoices there are.
const INVOICES: &str = "FAPIAO_BENCH_INVOICES";
/// Rows whose bytes are inserted in turn.
const INSERTED: u32 = 1_000;
/// The load's own seller.
const SELLER: &str = "91330106MA27QH5C5E";

/// Runs the child if this process is one.
pub(crate) fn is_child() -> bool {
    if let Ok(bytes) = std::env::var(BARE) {
        servers::serve_static(bytes.parse().expect("a number"));
        return true;
    }
    let Ok(order) = std::env::var(CLIENT) else { return false };
    serde_json::from_str::<Order>(&order).expect("an order").run();
    true
}

pub(crate) fn measure(plan: &Plan) {
    if plan.wants(&["book"]) {
        Book::open(plan).write();
    }
}

/// One client's figures.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// The server's, each request; where there is a server.
    pub(crate) cpu_us: Option<f64>,
    /// Microseconds, and which part was not slower.
    pub(crate) distribution: Vec<(f64, f64)>,
    /// Of each second.
    pub(crate) course: Vec<f64>,
}

impl Sample {
    fn of(figures: &Value) -> Sample {
        let number = |pointer: &str| figures.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
        for trouble in ["/wrong", "/errors", "/unserved"] {
            assert_eq!(number(trouble) as u64, 0, "{trouble}: {}", figures["examples"]);
        }
        let numbers = |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect::<Vec<f64>>();
        let pairs = figures["distribution"].as_array().into_iter().flatten().map(numbers);
        Sample {
            rate: number("/invoices_per_second"),
            p50_us: number("/latency_us/p50"),
            p99_us: number("/latency_us/p99"),
            p999_us: number("/latency_us/p999"),
            cpu_us: None,
            distribution: pairs.filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect(),
            course: numbers(&figures["per_second"]),
        }
    }
}

/// A peer in one discipline, with a sample for each round.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) discipline: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }
}

/// Everything that is set up, and what was measured.
struct Book {
    machine: Machine,
    count: u32,
    rounds: u32,
    seconds: f64,
    warmup: f64,
    connections: usize,
    /// Cores of servers and of clients.
    cores: [Option<u32>; 2],
    /// The order that each client's is made from.
    order: Order,
    insert_values: PathBuf,
    known: PathBuf,
    tokens: [String; 2],
    fapiao: Running,
    bare: Running,
    redis: Option<Running>,
    postgres: Option<Running>,
    rows: Vec<Row>,
    /// Where it is written to.
    out: PathBuf,
    /// Of the peers that are missing.
    skipped: Vec<&'static str>,
    // Last, so that the servers end before their files go.
    _root: TempDir,
}

impl Book {
    fn open(plan: &Plan) -> Book {
        let count = std::env::var(INVOICES).ok().and_then(|count| count.parse().ok()).unwrap_or_else(|| plan.scaled(1_000_000));
        let root = tempfile::tempdir().expect("a directory");
        // PostgreSQL runs as a user of its own.
        drop(Command::new("chmod").arg("755").arg(root.path()).status());
        let place = |name: &str| root.path().join(name);
        let directories = ["redis", "postgres"].map(|name| {
            fs::create_dir(place(name)).expect("a directory");
            place(name)
        });
        let cores = if can_pin() { [Some(0), Some(1)] } else { [None, None] };

        let (ledger, passphrase, configuration, known) = (place("ledger"), place("passphrase"), place("serve.toml"), place("known"));
        fs::write(&passphrase, "for measuring only").expect("written");
        // Nobody is to be kept from asking as fast as it can.
        fs::write(&configuration, "[quota]\nkey_per_minute = 0\naddress_per_minute = 0\n[log]\nlevel = \"warn\"\n").expect("written");
        let ours = |arguments: &[&str]| -> Value {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fapiao"));
            command.args(arguments).arg("--data").arg(&ledger).arg("--passphrase-file").arg(&passphrase).arg("--json");
            output(command)
        };
        ours(&["keys", "create"]);
        let roles = [["issuer", "--taxpayer", SELLER], ["administrator", "--whole-country", ""]];
        let tokens = roles.map(|role| {
            let mut arguments = vec!["callers", "add", "--role"];
            arguments.extend(role.iter().filter(|argument| !argument.is_empty()));
            ours(&arguments)["token"].as_str().expect("a token").to_owned()
        });
        let serve = |directory: &Path| servers::fapiao(cores[0], directory, &passphrase, &configuration);
        let filled_by = serve(&ledger);
        let mut filling = load(None, &filled_by, &tokens);
        let requests = count.div_ceil(1_000).to_string();
        filling.args(["--mode", "bulk", "--connections", "4", "--batch", &count.min(1_000).to_string(), "--requests", &requests]);
        let filled = output({
            filling.args(["--recheck", "0", "--keep"]).arg(&known);
            filling
        });
        println!("book: {count} invoices issued over HTTP, {:.0}/s", Sample::of(&filled).rate);
        let head = fs::read_to_string(&known).expect("readable");
        let head: Value = serde_json::from_str(head.lines().next().expect("a line")).expect("JSON");

        let mut order = Order {
            task: Task::Static,
            address: None,
            ledger,
            values: place("values"),
            code: head["code"].as_str().expect("a code").to_owned(),
            count,
            first: 1,
            connections: 32,
            threads: 1,
            seconds: if plan.smoke { 0.4 } else { 6.0 },
            warmup: if plan.smoke { 0.1 } else { 1.0 },
            answer_bytes: 0,
        };
        let insert_values = place("insert-values");
        // Whoever reads a database that is written to may find a file gone that was there a moment before.
        drop(filled_by);
        values(&order, &insert_values);
        let fapiao = serve(&order.ledger);
        order.answer_bytes = answer_bytes(&fapiao, &order, &tokens[0]);
        println!("book: a verification is answered with {} bytes of JSON", order.answer_bytes);
        let bare = servers::bare(cores[0], BARE, order.answer_bytes);
        let redis = servers::redis(cores[0], &directories[0]);
        let postgres = servers::postgres(cores[0], &directories[1]);
        let skipped = [("Redis", redis.is_none()), ("PostgreSQL", postgres.is_none())].into_iter().filter(|(_, missing)| *missing);
        let skipped = skipped.map(|(name, _)| name).collect();
        // This program is TARGET/PROFILE/deps/NAME.
        let program = std::env::current_exe().expect("this program");
        let target = program.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), Path::to_path_buf);
        let book = Book {
            machine: Machine::read(),
            count,
            rounds: if plan.smoke { 1 } else { 5 },
            seconds: order.seconds,
            warmup: order.warmup,
            connections: order.connections,
            cores,
            insert_values,
            known,
            tokens,
            fapiao,
            bare,
            redis,
            postgres,
            rows: Vec::new(),
            // What shows only that it runs is not kept.
            out: if plan.smoke { place("book") } else { target.join("bench-book") },
            skipped,
            order,
            _root: root,
        };
        book.fill_peers();
        book
    }

    /// The same keys and values for the peers.
    fn fill_peers(&self) {
        if let Some(redis) = &self.redis {
            output(self.client(Order { task: Task::RedisFill, connections: 2, warmup: 0.0, ..self.order.clone() }, Some(redis), None));
        }
        if let Some(postgres) = &self.postgres {
            let rows = self.order.values.with_extension("copy");
            fs::write(&rows, copy_text(&self.order)).expect("written");
            drop(Command::new("chmod").arg("644").arg(&rows).status());
            sql(
                postgres,
                &format!(
                    "CREATE TABLE invoice (code text NOT NULL, number int NOT NULL, value bytea NOT NULL, PRIMARY KEY (code, number));
                 CREATE TABLE issued (code text NOT NULL, number int NOT NULL, value bytea NOT NULL, PRIMARY KEY (code, number));
                 COPY invoice FROM '{}'",
                    rows.display()
                ),
            );
            sql(postgres, "VACUUM ANALYZE invoice");
            sql(postgres, "CHECKPOINT");
        }
    }

    fn client(&self, order: Order, server: Option<&Running>, core: Option<u32>) -> Command {
        let order = Order { address: server.map(|server| server.address), ..order };
        let mut command = pinned(core, std::env::current_exe().expect("this program"));
        command.env(CLIENT, serde_json::to_string(&order).expect("JSON"));
        command
    }

    /// One client's turn.
    fn turn(&mut self, discipline: &'static str, peer: &'static str, server: Option<&'static str>, command: Command) {
        let server = |book: &Book| -> f64 {
            let all = [Some(&book.fapiao), Some(&book.bare), book.redis.as_ref(), book.postgres.as_ref()];
            all.into_iter().flatten().find(|running| Some(running.name) == server).map_or(f64::NAN, Running::cpu)
        };
        let before = server(self);
        let figures = output(command);
        let mut sample = Sample::of(&figures);
        // The warm-up is in the CPU time and not in the figures; it is as fast.
        let requests = sample.rate * (self.seconds);
        sample.cpu_us = Some((server(self) - before) * 1e6 / requests).filter(|cpu| cpu.is_finite());
        println!("book:   {discipline:<18} {peer:<22} {:>9.0}/s   p50 {:>8.0} us   p99 {:>8.0} us", sample.rate, sample.p50_us, sample.p99_us);
        self.keep(discipline, peer, sample);
    }

    fn keep(&mut self, discipline: &'static str, peer: &'static str, sample: Sample) {
        match self.rows.iter_mut().find(|row| row.discipline == discipline && row.peer == peer) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { discipline, peer, samples: vec![sample] }),
        }
    }

    fn ours(&self, core: Option<u32>, mode: &str, connections: usize) -> Command {
        let mut command = load(core, &self.fapiao, &self.tokens);
        let (seconds, warmup, connections) = (self.seconds.to_string(), self.warmup.to_string(), connections.to_string());
        command.args(["--mode", mode, "--connections", &connections, "--duration", &seconds, "--warmup", &warmup, "--recheck", "0"]);
        command
    }

    fn verify_round(&mut self, round: u32) {
        let core = self.cores[1];
        // Each round begins with another of them.
        for step in 0..5 {
            match (step + round) % 5 {
                0 => {
                    let mut command = self.ours(core, "verify", self.connections);
                    command.arg("--known").arg(&self.known);
                    self.turn("verify", "fapiao", Some("fapiao"), command);
                }
                1 => {
                    let command = self.client(self.order.clone(), Some(&self.bare), core);
                    self.turn("verify", "bare hyper", Some("bare hyper"), command);
                }
                2 => {
                    if let Some(redis) = &self.redis {
                        let command = self.client(Order { task: Task::Redis, ..self.order.clone() }, Some(redis), core);
                        self.turn("verify", "Redis", Some("Redis"), command);
                    }
                }
                3 => {
                    if let Some(postgres) = &self.postgres {
                        let command = self.client(Order { task: Task::Select, ..self.order.clone() }, Some(postgres), core);
                        self.turn("verify", "PostgreSQL", Some("PostgreSQL"), command);
                    }
                }
                _ => {
                    let command = self.client(Order { task: Task::Raw, ..self.order.clone() }, None, self.cores[0]);
                    self.turn("verify", "raw RocksDB get", None, command);
                }
            }
        }
    }

    fn issue_round(&mut self, round: u32) {
        let command = self.ours(None, "issue", 64);
        self.turn("issue", "fapiao", Some("fapiao"), command);
        if let Some(postgres) = &self.postgres {
            let order = Order {
                task: Task::Insert,
                values: self.insert_values.clone(),
                first: 1 + round * 10_000_000,
                connections: 64,
                ..self.order.clone()
            };
            let command = self.client(order, Some(postgres), None);
            self.turn("issue", "PostgreSQL", Some("PostgreSQL"), command);
        }
        let command = self.ours(None, "bulk", 4);
        self.turn("bulk", "fapiao", Some("fapiao"), command);
        let (count, site) = (self.count.min(100_000), Site::new());
        let engine = site.create();
        let drafts = Drafts::new(site::code(Kind::Special), site::today(), site::seller());
        let text = |nth| {
            let mut draft = Vec::with_capacity(drafts.draft_len(nth));
            drafts.append_draft(nth, &mut draft);
            draft
        };
        let cost = Cost::of(count, || site::fill_with(&engine, 0, count, text));
        println!("book:   {:<18} {:<22} {:>9.0}/s", "bulk", "in process", cost.rate());
        let nothing = || f64::NAN;
        let (p50_us, p99_us, p999_us) = (nothing(), nothing(), nothing());
        let sample = Sample { rate: cost.rate(), p50_us, p99_us, p999_us, cpu_us: Some(cost.cpu_us()), distribution: Vec::new(), course: Vec::new() };
        self.keep("bulk", "in process", sample);
    }

    fn write(mut self) {
        for round in 0..self.rounds {
            println!("book: verify, round {} of {}", round + 1, self.rounds);
            self.verify_round(round);
        }
        for running in [Some(&self.fapiao), self.postgres.as_ref()].into_iter().flatten() {
            servers::unpin(running);
        }
        for round in 0..self.rounds {
            println!("book: issue, round {} of {}", round + 1, self.rounds);
            self.issue_round(round);
        }
        let goals = writing::write(&self);
        println!("{goals}");
        println!("book: written to {}", self.out.join("book.md").display());
    }
}

/// `fapiao load` against our server.
fn load(core: Option<u32>, server: &Running, tokens: &[String; 2]) -> Command {
    let mut command = pinned(core, env!("CARGO_BIN_EXE_fapiao"));
    command.args(["load", "--json", "--seller", SELLER, "--server", &format!("http://{}", server.address)]);
    command.env("FAPIAO_TOKEN", &tokens[0]).env("FAPIAO_ADMIN_TOKEN", &tokens[1]);
    command
}

/// The JSON that a program prints.
fn output(mut command: Command) -> Value {
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}: {}{text}", output.status, String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Writes down what the ledger has of each invoice: its state, which peers look up, and of some everything that issuing wrote, which peers insert.
fn values(order: &Order, insert_values: &Path) {
    let db = raw_database(&order.ledger, true);
    let table = |name| db.cf_handle(name).expect("a table");
    let state = |nth: u32| db.get_cf(table("inv"), order.id(nth).to_bytes()).expect("readable").expect("issued");
    let states: Vec<Vec<u8>> = (0..order.count).map(state).collect();
    write_values(&order.values, states.iter().map(Vec::as_slice));
    // Three keys, the callers' and the allotments' leaves come first; whose rows these are does not matter.
    let newest = u64::from(order.count);
    let first = newest.saturating_sub(u64::from(INSERTED)) + 1;
    let written: Vec<Vec<u8>> = (first..newest)
        .zip(&states)
        .map(|(leaf, state)| {
            let row = |name| db.get_cf(table(name), leaf.to_be_bytes()).expect("readable").unwrap_or_default();
            [row("leaf"), row("seal"), row("body"), state.clone()].concat()
        })
        .collect();
    write_values(insert_values, written.iter().map(Vec::as_slice));
    let bytes = |rows: &[Vec<u8>]| rows.iter().map(Vec::len).sum::<usize>() / rows.len().max(1);
    println!("book: values of {} bytes are looked up, of {} inserted", bytes(&states), bytes(&written));
}

/// Rows as PostgreSQL's COPY reads them.
fn copy_text(order: &Order) -> String {
    let mut text = String::new();
    let file = fs::read(&order.values).expect("values");
    let (mut rest, mut number) = (file.as_slice(), 0);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (value, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        number += 1;
        text.push_str(&format!("{}\t{number}\t\\\\x{}\n", order.code, data_encoding::HEXLOWER.encode(value)));
        rest = behind;
    }
    text
}

fn sql(server: &Running, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let settings = format!("host={} port={} user=bench dbname=postgres", server.address.ip(), server.address.port());
        // It accepts connections a moment before it serves them.
        let mut tries = 0;
        let (client, connection) = loop {
            match tokio_postgres::connect(&settings, tokio_postgres::NoTls).await {
                Ok(connected) => break connected,
                Err(error) => assert!(tries < 200, "{error}"),
            }
            tries += 1;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        tokio::spawn(async move { drop(connection.await) });
        client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    });
}

/// How long our answer to a verification is.
fn answer_bytes(server: &Running, order: &Order, token: &str) -> usize {
    let drafts = Drafts::new(order.id(0).code, fapiao::engine::today(), TaxpayerId::parse(SELLER).expect("an id"));
    let mut question = Vec::new();
    drafts.append_question(0, &mut question);
    let head = format!(
        "POST /v1/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        question.len()
    );
    let request = [head.as_bytes(), &question].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = fapiao::cli::load::http::Connection::open(server.address).await.expect("connected");
        connection.send(&request).await.expect("sent");
        let response = connection.receive().await.expect("an answer");
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(connection.body(&response)));
        connection.body(&response).len()
    })
}
