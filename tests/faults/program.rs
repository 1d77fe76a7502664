//! `fapiao issue` as a process of its own on the ledger of a site: drafts go in from a thread for as long as it takes any, lines come out.

use std::fs;
use std::io::Write as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use fapiao::domain::kind::Kind;
use fapiao::domain::number::InvoiceId;

use crate::support::{Site, copy_tree, generated, id};

/// What may lie in a pipe unread, bytes: Linux gives a pipe 16 pages.
const PIPE_BYTES: usize = 64 << 10;

/// Kind and number of the draft with this place in the stream of all drafts. The kinds take turns.
fn place(nth: u32) -> (Kind, u32) {
    (Kind::ALL[nth as usize % Kind::ALL.len()], 1 + nth / u32::try_from(Kind::ALL.len()).expect("six"))
}

/// The invoice that it becomes.
pub(crate) fn draft_id(nth: u32) -> InvoiceId {
    let (kind, number) = place(nth);
    id(kind, number)
}

/// The line that is sent for it.
pub(crate) fn draft_line(nth: u32) -> String {
    let (kind, number) = place(nth);
    format!("{}\n", generated(kind, u64::from(nth), number))
}

/// The same ledger at another place, as a copying tool makes it.
pub(crate) fn copied(site: &Site) -> Site {
    let other = Site::new();
    other.set_now(site.now());
    copy_tree(&site.directory(), &other.directory());
    fs::copy(site.lock_path(), other.lock_path()).expect("copied");
    other
}

/// `fapiao issue` on the ledger of a site.
pub(crate) fn issue(site: &Site) -> Command {
    // The drafts are of the day on which tests happen; the program goes by the clock of the machine.
    site.program(&["issue", "--days-back", "36500"])
}

/// A running program.
pub(crate) struct Running {
    pub(crate) child: Child,
    writer: JoinHandle<()>,
    written: Arc<Written>,
}

#[derive(Default)]
struct Written {
    drafts: AtomicUsize,
    /// Those of them that cannot all lie in the pipe any more.
    read: AtomicUsize,
}

impl Running {
    /// Starts it and sends it drafts until there are no more or it is gone.
    pub(crate) fn start(mut program: Command, drafts: impl Iterator<Item = String> + Send + 'static) -> (Running, ChildStdout) {
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("started");
        let (mut input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let written = Arc::new(Written::default());
        let counts = Arc::clone(&written);
        let writer = std::thread::spawn(move || {
            let (mut bytes, mut ends) = (0, Vec::new());
            for line in drafts {
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
                bytes += line.len();
                ends.push(bytes);
                let read = ends.partition_point(|end| end + PIPE_BYTES <= bytes);
                counts.read.store(read, Ordering::SeqCst);
                counts.drafts.store(ends.len(), Ordering::SeqCst);
            }
        });
        (Running { child, writer, written }, output)
    }

    /// How many drafts the program has surely taken out of the pipe.
    pub(crate) fn read(&self) -> usize {
        self.written.read.load(Ordering::SeqCst)
    }

    /// Kills it with SIGKILL; what it had said already can still be read.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
    }

    /// How many drafts it was given, now that it is gone.
    pub(crate) fn given(mut self) -> usize {
        self.child.wait().expect("ended");
        self.writer.join().expect("no panic");
        self.written.drafts.load(Ordering::SeqCst)
    }
}
