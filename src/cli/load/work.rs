//! What each connection asks, and what it keeps of the answers.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::answers::{self, Verifier, excerpt};
use super::drafts::{DRAFTS_MAX, Drafts};
use super::drive::{Trouble, Work};
use super::http::{Connection, Response};
use super::kept::Keeper;
use super::tally::Sort;
use crate::cli::sample::Seed;
use crate::limits::LOAD_CODES_KEPT;

/// Something that was acknowledged: which invoice, and its leaf.
pub(super) type Acknowledged = (u32, u32);

/// What every connection knows.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) drafts: Drafts,
    pub(super) heads: Heads,
    pub(super) verifier: Option<Verifier>,
    /// The first draft that nobody has taken.
    pub(super) next: AtomicU32,
    /// Receipts that were verified.
    pub(super) receipts: AtomicU64,
    pub(super) keeper: Option<Keeper>,
}

/// The beginnings of the requests, up to the value of `content-length`.
#[derive(Debug)]
pub(super) struct Heads {
    verify: Vec<u8>,
    issue: [Vec<u8>; 2],
    bulk: [Vec<u8>; 2],
}

impl Heads {
    pub(super) fn new(host: &str, token: Option<&str>) -> Heads {
        let head = |path: &str, content_type: &str, is_full: bool| {
            let prefer = if is_full { "" } else { "prefer: return=minimal\r\n" };
            request_head("POST", path, host, token, &format!("{prefer}content-type: {content_type}\r\n"))
        };
        Heads {
            verify: head("/v1/verify", "application/json", true),
            issue: [false, true].map(|is_full| head("/v1/invoices", "application/json", is_full)),
            bulk: [false, true].map(|is_full| head("/v1/invoices/bulk", "application/x-ndjson", is_full)),
        }
    }
}

/// A request up to the value of `content-length`.
pub(super) fn request_head(method: &str, path: &str, host: &str, token: Option<&str>, headers: &str) -> Vec<u8> {
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}{headers}content-length: ").into_bytes()
}

fn append_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// Invoices of which it is known that they were acknowledged.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Some of them with their signed QR codes.
    pub(super) codes: Vec<(String, Acknowledged)>,
    /// Questions from elsewhere as JSON, each with the verdict that is expected.
    pub(super) questions: Vec<(Vec<u8>, u64)>,
}

/// What is asked, in which shares.
#[derive(Clone, Debug)]
pub(super) enum Mix {
    /// Questions, and so many in a hundred that issue; of the questions so many in a hundred by signed QR code.
    Asking { issue: u32, by_code: u32 },
    /// Drafts, so many in a request.
    Bulk(u32),
    /// Questions about these and no others, each once.
    Each(Arc<AtomicU64>),
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Verify(Acknowledged),
    Code(usize),
    Question(usize),
    Issue { nth: u32, is_full: bool, again: bool },
    Bulk { first: u32, count: u32, is_full: bool, again: bool },
}

/// One connection.
#[derive(Debug)]
pub(super) struct Caller {
    site: Arc<Site>,
    known: Arc<Known>,
    mix: Mix,
    /// Of so many receipts one is asked for in full and verified.
    full_every: u32,
    /// Drafts up to here and no further.
    end: u32,
    seed: Seed,
    connection: Option<Connection>,
    pending: VecDeque<Item>,
    out: Vec<u8>,
    /// Acknowledged to this connection.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Signed QR codes of some of them.
    pub(super) codes: Vec<(String, Acknowledged)>,
    /// The largest ledger that an answer on this connection was about.
    size: u64,
}

impl Caller {
    pub(super) fn new(site: &Arc<Site>, known: &Arc<Known>, mix: &Mix, end: u32, nth: usize) -> Caller {
        Caller {
            site: Arc::clone(site),
            known: Arc::clone(known),
            mix: mix.clone(),
            full_every: match mix {
                Mix::Bulk(_) => 16,
                Mix::Asking { .. } | Mix::Each(_) => 64,
            },
            end,
            seed: Seed(nth as u64),
            connection: None,
            pending: VecDeque::new(),
            out: Vec::new(),
            acknowledged: Vec::new(),
            codes: Vec::new(),
            size: 0,
        }
    }

    /// What to ask next; `None` when nothing is left.
    fn next_item(&mut self) -> Option<Item> {
        match &self.mix {
            Mix::Asking { issue, by_code } => {
                let (issue, by_code) = (*issue, *by_code);
                if self.seed.below(100) < issue {
                    let nth = self.site.next.fetch_add(1, Ordering::Relaxed);
                    let is_full = nth.is_multiple_of(self.full_every);
                    return (nth < self.end).then_some(Item::Issue { nth, is_full, again: false });
                }
                Some(self.question(by_code))
            }
            Mix::Bulk(count) => {
                let count = *count;
                let first = self.site.next.fetch_add(count, Ordering::Relaxed);
                let is_full = (first / count).is_multiple_of(self.full_every);
                let left = self.end.saturating_sub(first);
                (left > 0).then_some(Item::Bulk { first, count: count.min(left), is_full, again: false })
            }
            Mix::Each(next) => {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                self.known.acknowledged.get(at).map(|known| Item::Verify(*known))
            }
        }
    }

    fn question(&mut self, by_code: u32) -> Item {
        let known = Arc::clone(&self.known);
        if !known.questions.is_empty() {
            return Item::Question(self.any_of(known.questions.len()));
        }
        if !known.codes.is_empty() && self.seed.below(100) < by_code {
            return Item::Code(self.any_of(known.codes.len()));
        }
        // What this connection has just issued must be known at once, so half of the questions are about that.
        let own = !self.acknowledged.is_empty() && (known.acknowledged.is_empty() || self.seed.below(2) == 0);
        let list = if own { &self.acknowledged } else { &known.acknowledged };
        let at = usize::try_from(self.seed.next() % (list.len().max(1) as u64)).unwrap_or_default();
        match list.get(at) {
            Some(known) => Item::Verify(*known),
            // Nothing to ask about yet: issue something.
            None => {
                let nth = self.site.next.fetch_add(1, Ordering::Relaxed);
                Item::Issue { nth, is_full: true, again: false }
            }
        }
    }

    fn any_of(&mut self, len: usize) -> usize {
        usize::try_from(self.seed.next() % (len as u64)).unwrap_or_default()
    }

    fn append(&mut self, item: Item) {
        let (site, out) = (&self.site, &mut self.out);
        match item {
            Item::Verify((nth, _)) => {
                let mut body = Vec::with_capacity(128);
                site.drafts.append_question(nth, &mut body);
                out.extend_from_slice(&site.heads.verify);
                append_length(body.len(), out);
                out.extend_from_slice(&body);
            }
            Item::Code(at) => {
                let code = self.known.codes.get(at).map_or("", |(code, _)| code);
                out.extend_from_slice(&site.heads.verify);
                // The alphabet of the codes needs no escapes.
                append_length(code.len() + 9, out);
                out.extend([b"{\"qr\":\"", code.as_bytes(), b"\"}"].into_iter().flatten());
            }
            Item::Question(at) => {
                let question = self.known.questions.get(at).map_or(&[][..], |(question, _)| question);
                out.extend_from_slice(&site.heads.verify);
                append_length(question.len(), out);
                out.extend_from_slice(question);
            }
            Item::Issue { nth, is_full, .. } => {
                out.extend_from_slice(&site.heads.issue[usize::from(is_full)]);
                append_length(site.drafts.draft_len(nth), out);
                site.drafts.append_draft(nth, out);
            }
            Item::Bulk { first, count, is_full, .. } => {
                let length = (first..first + count).map(|nth| site.drafts.draft_len(nth) + 1).sum();
                out.extend_from_slice(&site.heads.bulk[usize::from(is_full)]);
                append_length(length, out);
                for nth in first..first + count {
                    site.drafts.append_draft(nth, out);
                    out.push(b'\n');
                }
            }
        }
    }

    /// Judges the answer to the first request under way.
    fn judge(&mut self, response: &Response) -> Result<(Sort, u64), Trouble> {
        let (Some(item), Some(connection)) = (self.pending.front().copied(), &self.connection) else {
            return Err(Trouble::Failed("an answer that nobody asked for".to_owned()));
        };
        let body = connection.body(response);
        match response.status {
            200 | 201 => {}
            429 | 503 => return Err(Trouble::Busy(response.status, response.retry_after.unwrap_or(Duration::from_secs(1)))),
            status => return Err(Trouble::Failed(format!("status {status}: {}", excerpt(body)))),
        }
        let site = &self.site;
        let done = match item {
            Item::Verify((nth, index)) => {
                let size = answers::genuine(body, &site.drafts.expected(nth), u64::from(index)).map_err(Trouble::Wrong)?;
                self.size = grown(self.size, size)?;
                (Sort::Verify, 1)
            }
            Item::Code(at) => {
                let Some((_, (nth, index))) = self.known.codes.get(at) else { return Err(Trouble::Failed("no code".to_owned())) };
                let size = answers::genuine(body, &site.drafts.expected(*nth), u64::from(*index)).map_err(Trouble::Wrong)?;
                self.size = grown(self.size, size)?;
                (Sort::Verify, 1)
            }
            Item::Question(at) => {
                let Some((question, expected)) = self.known.questions.get(at) else { return Err(Trouble::Failed("no question".to_owned())) };
                let size = answers::has_verdict(body, *expected, &String::from_utf8_lossy(question)).map_err(Trouble::Wrong)?;
                self.size = grown(self.size, size)?;
                (Sort::Verify, 1)
            }
            Item::Issue { nth, is_full, again } => {
                let about = site.drafts.expected(nth);
                let index = answers::logged(body, &about, again, None).map_err(Trouble::Wrong)?;
                if is_full && let Some(verifier) = &site.verifier {
                    let code = verifier.check(body, &about, index).map_err(Trouble::Wrong)?;
                    site.receipts.fetch_add(1, Ordering::Relaxed);
                    if self.codes.len() < LOAD_CODES_KEPT {
                        self.codes.push((code, (nth, leaf(index)?)));
                    }
                }
                self.acknowledged.push((nth, leaf(index)?));
                (Sort::Issue, 1)
            }
            Item::Bulk { first, count, is_full, again } => {
                let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                for (line, nth) in (1..).zip(first..first + count) {
                    let Some(answer) = lines.next() else { return Err(Trouble::Wrong(format!("{} answers to {count} drafts", line - 1))) };
                    let about = site.drafts.expected(nth);
                    let index = answers::logged(answer, &about, again, Some(line)).map_err(Trouble::Wrong)?;
                    // One in 64 of the receipts is verified: that costs more than all the rest here.
                    if is_full
                        && nth.is_multiple_of(64)
                        && let Some(verifier) = &site.verifier
                    {
                        let code = verifier.check(answer, &about, index).map_err(Trouble::Wrong)?;
                        site.receipts.fetch_add(1, Ordering::Relaxed);
                        if self.codes.len() < LOAD_CODES_KEPT {
                            self.codes.push((code, (nth, leaf(index)?)));
                        }
                    }
                    self.acknowledged.push((nth, leaf(index)?));
                }
                if lines.next().is_some() {
                    return Err(Trouble::Wrong(format!("more than {count} answers to as many drafts")));
                }
                (Sort::Bulk, u64::from(count))
            }
        };
        if let Some(keeper) = &site.keeper
            && matches!(done.0, Sort::Issue | Sort::Bulk)
        {
            let new = usize::try_from(done.1).unwrap_or(usize::MAX).min(self.acknowledged.len());
            keeper.keep(&self.acknowledged[self.acknowledged.len() - new..])?;
        }
        Ok(done)
    }
}

/// The size of the ledger, which never shrinks.
fn grown(before: u64, now: u64) -> Result<u64, Trouble> {
    if now < before {
        return Err(Trouble::Wrong(format!("the ledger of size {before} has size {now} in a later answer")));
    }
    Ok(now)
}

fn leaf(index: u64) -> Result<u32, Trouble> {
    u32::try_from(index).map_err(|_| Trouble::Failed(format!("leaf {index} is more than a load can keep")))
}

impl Work for Caller {
    async fn connect(&mut self) -> io::Result<()> {
        self.connection = None;
        self.connection = Some(Connection::open(self.site.address).await?);
        Ok(())
    }

    async fn exchange(&mut self, count: usize, answered: &mut dyn FnMut(Sort, u64)) -> Result<(), Trouble> {
        for item in &mut self.pending {
            // Whether it was logged the last time is not known.
            if let Item::Issue { again, .. } | Item::Bulk { again, .. } = item {
                *again = true;
            }
        }
        while self.pending.len() < count {
            match self.next_item() {
                Some(item) => self.pending.push_back(item),
                None => break,
            }
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.out.clear();
        for at in 0..self.pending.len() {
            if let Some(item) = self.pending.get(at).copied() {
                self.append(item);
            }
        }
        let is_bulk = matches!(self.mix, Mix::Bulk(_));
        if !is_bulk && let Some(connection) = &mut self.connection {
            connection.send(&self.out).await?;
        }
        while !self.pending.is_empty() {
            let Some(connection) = &mut self.connection else { return Err(io::Error::from(io::ErrorKind::NotConnected).into()) };
            let response = if is_bulk { connection.exchange(&self.out).await? } else { connection.receive().await? };
            let outcome = self.judge(&response);
            match &outcome {
                Ok((sort, units)) => {
                    self.pending.pop_front();
                    answered(*sort, *units);
                }
                Err(Trouble::Wrong(_) | Trouble::Failed(_)) => {
                    self.pending.pop_front();
                }
                Err(Trouble::Lost(_) | Trouble::Busy(..)) => {}
            }
            outcome?;
        }
        Ok(())
    }

    fn give_up(&mut self) {
        self.pending.clear();
    }

    fn sort(&self) -> Sort {
        match self.mix {
            Mix::Asking { issue: 100.., .. } => Sort::Issue,
            Mix::Bulk(_) => Sort::Bulk,
            Mix::Asking { .. } | Mix::Each(_) => Sort::Verify,
        }
    }
}

/// Whether there are drafts left for `count` more invoices after those taken.
pub(super) fn has_numbers(site: &Site, count: u32) -> bool {
    site.next.load(Ordering::Relaxed).saturating_add(count) <= DRAFTS_MAX
}
