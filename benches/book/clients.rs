//! The peers' clients, each a process of its own, so that it can be kept to a core: the connections, the threads and the loop are those of
//! `fapiao load`, and every answer is compared with what was put in.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fapiao::cli::load::Drafts;
use fapiao::cli::load::drive::{Plan, Stop, Trouble, Work, drive};
use fapiao::cli::load::figures;
use fapiao::cli::load::http::Connection;
use fapiao::cli::load::tally::{Sort, Tally};
use fapiao::domain::number::{InvoiceCode, InvoiceId, InvoiceNumber};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, Statement};

use crate::site;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Questions to a server that says the same to each.
    Static,
    /// `GET` of a value.
    Redis,
    /// `SET` of every value, many at once.
    RedisFill,
    /// A prepared `SELECT` by primary key.
    Select,
    /// A prepared `INSERT`, each in a transaction of its own.
    Insert,
    /// Point reads of a ledger's table, in the process.
    Raw,
}

/// All that a client has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) ledger: PathBuf,
    /// Written by [`write_values`].
    pub(crate) values: PathBuf,
    pub(crate) code: String,
    /// Invoices.
    pub(crate) count: u32,
    /// Number of the first row that is inserted.
    pub(crate) first: u32,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    /// Bytes of the static answer.
    pub(crate) answer_bytes: usize,
}

impl Order {
    pub(crate) fn id(&self, nth: u32) -> InvoiceId {
        let code = InvoiceCode::parse(&self.code).expect("a code");
        InvoiceId { code, number: InvoiceNumber::from_ordinal(nth + 1).expect("a number") }
    }

    fn plan(&self, requests: u64) -> Plan {
        Plan {
            connections: self.connections,
            threads: self.threads,
            pipeline: if self.task == Task::RedisFill { 256 } else { 1 },
            rate: None,
            duration: if self.task == Task::RedisFill { Duration::MAX } else { Duration::from_secs_f64(self.seconds) },
            requests,
            warmup: Duration::from_secs_f64(self.warmup),
            patience: None,
        }
    }

    /// Does it, and prints the figures.
    pub(crate) fn run(&self) {
        let values = Arc::new(Values::read(&self.values));
        let order = Arc::new(self.clone());
        let next = Arc::new(AtomicU32::new(0));
        let many = |make: &dyn Fn(usize) -> Peer| (0..self.connections).map(make).collect::<Vec<_>>();
        let requests = if self.task == Task::RedisFill { u64::from(self.count) } else { u64::MAX };
        let tally = match self.task {
            Task::Raw => self.read_raw(&values),
            _ => {
                let request = Arc::new(self.question());
                let peer = |nth: usize| Peer {
                    order: Arc::clone(&order),
                    values: Arc::clone(&values),
                    next: Arc::clone(&next),
                    request: Arc::clone(&request),
                    seed: nth as u64,
                    link: Link::None,
                };
                let driven = drive(&self.plan(requests), many(&peer), &Stop::new(AtomicBool::new(false)), |_| {});
                assert!(!driven.unreachable, "{:?} cannot be reached", self.task);
                driven.tally
            }
        };
        println!("{}", serde_json::Value::Object(figures(&tally)));
    }

    /// The question that our own server is asked.
    fn question(&self) -> Vec<u8> {
        let mut question = Vec::new();
        Drafts::new(self.id(0).code, site::today(), site::seller()).append_question(0, &mut question);
        let head = format!(
            "POST /v1/verify HTTP/1.1\r\nhost: 127.0.0.1:65535\r\nauthorization: Bearer 0000000000000000000000000000000000000000000\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            question.len()
        );
        [head.as_bytes(), &question].concat()
    }

    fn read_raw(&self, values: &Values) -> Tally {
        let db = site::raw_database(&self.ledger, true);
        let table = db.cf_handle("inv").expect("a table");
        let start = Instant::now();
        let (begin, end) = (start + Duration::from_secs_f64(self.warmup), start + Duration::from_secs_f64(self.seconds));
        let (mut tally, mut seed) = (Tally::new(begin), 1);
        loop {
            let nth = below(&mut seed, self.count);
            let asked = Instant::now();
            if asked >= end {
                return tally;
            }
            let row = db.get_pinned_cf(table, self.id(nth).to_bytes()).expect("readable").expect("issued");
            assert_eq!(&*row, values.get(nth), "row {nth}");
            tally.answered(Sort::Verify, asked, Instant::now(), 1);
        }
    }
}

/// Values, one after the other in memory.
struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Values {
    fn read(path: &Path) -> Values {
        let file = fs::read(path).expect("values");
        let (mut bytes, mut ends, mut rest) = (Vec::with_capacity(file.len()), Vec::new(), file.as_slice());
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (value, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
            bytes.extend_from_slice(value);
            ends.push(bytes.len());
            rest = behind;
        }
        Values { bytes, ends }
    }

    /// In turn, when there are fewer.
    fn get(&self, nth: u32) -> &[u8] {
        let nth = nth as usize % self.ends.len();
        &self.bytes[if nth == 0 { 0 } else { self.ends[nth - 1] }..self.ends[nth]]
    }
}

pub(crate) fn write_values<'a>(path: &Path, values: impl Iterator<Item = &'a [u8]>) {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&u32::try_from(value.len()).expect("short").to_le_bytes());
        bytes.extend_from_slice(value);
    }
    fs::write(path, bytes).expect("written");
}

/// A number below `bound`, and the next seed (splitmix64).
fn below(seed: &mut u64, bound: u32) -> u32 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) % u64::from(bound)).expect("below")
}

/// A connection to whichever it is.
enum Link {
    None,
    Http(Connection),
    Redis(TcpStream, Vec<u8>),
    Postgres(Client, Statement),
}

struct Peer {
    order: Arc<Order>,
    values: Arc<Values>,
    next: Arc<AtomicU32>,
    /// To the bare server.
    request: Arc<Vec<u8>>,
    seed: u64,
    link: Link,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Work for Peer {
    async fn connect(&mut self) -> io::Result<()> {
        let address = self.order.address.expect("an address");
        self.link = match self.order.task {
            Task::Raw => Link::None,
            Task::Static => Link::Http(Connection::open(address).await?),
            Task::Redis | Task::RedisFill => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Link::Redis(stream, Vec::new())
            }
            Task::Select | Task::Insert => {
                let settings = format!("host={} port={} user=bench dbname=postgres", address.ip(), address.port());
                let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.map_err(other)?;
                // It ends with the client.
                tokio::spawn(async move { drop(connection.await) });
                let text = match self.order.task {
                    Task::Insert => "INSERT INTO issued (code, number, value) VALUES ($1, $2, $3)",
                    _ => "SELECT value FROM invoice WHERE code = $1 AND number = $2",
                };
                let statement = client.prepare(text).await.map_err(other)?;
                Link::Postgres(client, statement)
            }
        };
        Ok(())
    }

    async fn exchange(&mut self, count: usize, answered: &mut dyn FnMut(Sort, u64)) -> Result<(), Trouble> {
        let order = &self.order;
        let nth = below(&mut self.seed, order.count);
        let different = || Trouble::Wrong(format!("another value for {nth}"));
        match &mut self.link {
            Link::None => return Err(io::Error::from(ErrorKind::NotConnected).into()),
            Link::Http(connection) => {
                connection.send(&self.request).await?;
                let response = connection.receive().await?;
                if response.status != 200 || connection.body(&response).len() != order.answer_bytes {
                    return Err(different());
                }
                answered(Sort::Verify, 1);
            }
            Link::Redis(stream, buffer) if order.task == Task::Redis => {
                let mut request = *b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
                request[18..28].copy_from_slice(&order.id(nth).to_bytes());
                stream.write_all(&request).await?;
                buffer.clear();
                let value = self.values.get(nth);
                let head = format!("${}\r\n", value.len());
                while buffer.len() < head.len() + value.len() + 2 {
                    if stream.read_buf(buffer).await? == 0 {
                        return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
                    }
                }
                let said = buffer.strip_prefix(head.as_bytes()).and_then(|rest| rest.strip_suffix(b"\r\n"));
                if said != Some(value) {
                    return Err(different());
                }
                answered(Sort::Verify, 1);
            }
            Link::Redis(stream, buffer) => {
                let first = self.next.fetch_add(u32::try_from(count).expect("few"), Ordering::Relaxed);
                let (mut request, mut expected) = (Vec::new(), 0);
                for nth in first..(first + u32::try_from(count).expect("few")).min(order.count) {
                    let value = self.values.get(nth);
                    request.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$10\r\n");
                    request.extend_from_slice(&order.id(nth).to_bytes());
                    request.extend_from_slice(format!("\r\n${}\r\n", value.len()).as_bytes());
                    request.extend_from_slice(value);
                    request.extend_from_slice(b"\r\n");
                    expected += b"+OK\r\n".len();
                }
                stream.write_all(&request).await?;
                buffer.clear();
                while buffer.len() < expected {
                    if stream.read_buf(buffer).await? == 0 {
                        return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
                    }
                }
                if !buffer.chunks(5).all(|said| said == b"+OK\r\n") {
                    return Err(Trouble::Failed(String::from_utf8_lossy(buffer).into_owned()));
                }
                (0..count).for_each(|_| answered(Sort::Bulk, 1));
            }
            Link::Postgres(client, statement) if order.task == Task::Insert => {
                let row = self.next.fetch_add(1, Ordering::Relaxed);
                let number = i32::try_from(order.first + row).expect("small");
                let inserted = client.execute(statement, &[&order.code, &number, &self.values.get(row)]).await.map_err(other)?;
                if inserted != 1 {
                    return Err(different());
                }
                answered(Sort::Issue, 1);
            }
            Link::Postgres(client, statement) => {
                let number = i32::try_from(nth + 1).expect("small");
                let row = client.query_one(statement, &[&order.code, &number]).await.map_err(other)?;
                if row.get::<_, &[u8]>(0) != self.values.get(nth) {
                    return Err(different());
                }
                answered(Sort::Verify, 1);
            }
        }
        Ok(())
    }

    fn give_up(&mut self) {}

    fn sort(&self) -> Sort {
        if self.order.task == Task::Insert { Sort::Issue } else { Sort::Verify }
    }
}
