//! Both halves of the sequencer without their threads, one step at a time, for a simulation that chooses the order.

use tokio::sync::oneshot;

use super::decider::{Decider, Head, Work};
use super::{Committer, Job, Tools};
use crate::ledger::faults::{Bug, planted};
use crate::ledger::{LedgerError, Submission, SubmitError};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Nothing was there to do.
    Idle,
    /// The open frame was closed; without entries it was answered at once.
    Closed,
    /// The frame is durable.
    Written,
    /// The frame is in the lock record.
    Locked,
    /// The frame is visible and answered.
    Published,
    /// The frame failed and its waiters were told.
    Failed,
    /// It was tried to go on after trouble with the disk.
    Resumed,
}

/// A thing that the committer does with a frame.
type Deed = fn(&Committer, &Work) -> Result<(), LedgerError>;

/// What a frame still needs, and what is said once it is done; last first.
type Todo = Vec<(Stepped, Deed)>;

/// The sequencer of one open ledger, driven by hand.
pub struct Stepper {
    decider: Decider,
    committer: Committer,
    in_flight: Option<(Work, Todo)>,
}

impl Stepper {
    pub(in crate::ledger) fn new(tools: Tools, head: Head) -> Stepper {
        Stepper { committer: Committer::new(&tools), decider: Decider::new(tools, head), in_flight: None }
    }

    /// Decides a submission. The outcome comes when its frame is published.
    pub fn take(&mut self, submission: Submission) -> oneshot::Receiver<Result<crate::ledger::Outcome, SubmitError>> {
        let (reply, receiver) = oneshot::channel();
        self.decider.take(Job { submission, reply });
        receiver
    }

    /// Whether a frame is on its way to the disk.
    pub fn is_committing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Does the next thing that the two threads would do.
    pub fn step(&mut self) -> Stepped {
        match self.in_flight.take() {
            Some((work, todo)) => self.go_on(work, todo),
            None if self.decider.has_waiters() => {
                if let Some(mut work) = self.decider.close() {
                    if planted(Bug::AnswerBeforeSync) {
                        self.committer.answer(&mut work);
                    }
                    let mut todo: Todo =
                        vec![(Stepped::Published, Committer::publish), (Stepped::Locked, Committer::lock), (Stepped::Written, Committer::write)];
                    if planted(Bug::Reorder) {
                        todo.swap(1, 2);
                    }
                    self.in_flight = Some((work, todo));
                }
                Stepped::Closed
            }
            None if self.decider.in_trouble() => {
                self.decider.try_resume();
                Stepped::Resumed
            }
            None => Stepped::Idle,
        }
    }

    fn go_on(&mut self, mut work: Work, mut todo: Todo) -> Stepped {
        let Some((stepped, next)) = todo.pop() else { return Stepped::Idle };
        if let Err(error) = next(&self.committer, &work) {
            self.committer.fail(work, &error);
            return Stepped::Failed;
        }
        if todo.is_empty() {
            self.committer.answer(&mut work);
        } else {
            self.in_flight = Some((work, todo));
        }
        stepped
    }
}
