//! A ledger that signs: submissions are taken, frames go their way step by step, and after each step everything is held against the model.

use fapiao::ledger::{Outcome, Stepped, Submission, SubmitError};
use tokio::sync::oneshot::error::TryRecvError;

use super::{Doing, Life, Sight, Waiting, World};
use crate::simulation::auditor::{Kept, ReadFault, Violation, ensure};
use crate::simulation::model::Expected;
use crate::simulation::submissions::SUBMISSIONS;

impl World {
    pub(super) fn submit(&mut self, submission: Submission) -> Kept {
        let now = self.now();
        if self.disk.is_down() {
            return Ok(());
        }
        let Some(Life { ledger, stepper: Some(stepper), pending, .. }) = &mut self.life else { return Ok(()) };
        let may_write = ledger.may_write();
        let expected = self.auditor.decided.decide(&submission, now);
        let line = format!("submit {} at {}", named(&submission), now.0);
        let reads = self.disk.is_read_failing();
        let mut receiver = stepper.take(submission);
        let read_failed = reads && !self.disk.is_read_failing();
        let answer = match receiver.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => return Err(Violation(format!("{line}: nobody will ever answer"))),
        };
        if let Some(Err(error)) = &answer {
            self.sights.insert(Sight::Undecided(reason(error)));
        }
        self.trace.push(format!("     {line}: {}", answer.as_ref().map_or("taken".into(), |answer| format!("{answer:?}"))));
        match (may_write, expected) {
            (Err(error), _) => ensure!(answer == Some(Err(error.clone())), "{line}: the ledger says {error}, and answers {answer:?}"),
            (Ok(()), _) if read_failed => {
                ensure!(matches!(answer, Some(Err(SubmitError::Unavailable(_)))), "{line}: a row could not be read, and the answer is {answer:?}");
                if ledger.may_write().is_err() {
                    let size = self.attempted.unwrap_or(self.auditor.visible.size);
                    self.auditor.truncate(size);
                }
            }
            (Ok(()), Expected::ClockBehind { head }) => {
                ensure!(answer == Some(Err(SubmitError::ClockBehind { now, head })), "{line}: the clock is behind, and the answer is {answer:?}");
            }
            (Ok(()), expected) => {
                if let Some(answer) = answer {
                    ensure!(self.damaged.is_some(), "{line}: answered at once: {answer:?}");
                    ensure!(matches!(answer, Err(SubmitError::Poisoned(_))), "{line}: a row is damaged, and the answer is {answer:?}");
                    return Ok(());
                }
                let expected = match expected {
                    Expected::Logged(entries, warning) => {
                        let index = self.auditor.decided.size;
                        self.auditor.enter(entries);
                        Outcome::Logged { index, repeated: false, warning }
                    }
                    Expected::Repeated(index) => Outcome::Logged { index, repeated: true, warning: None },
                    Expected::Refused(refusal) => Outcome::Refused(refusal),
                    Expected::ClockBehind { .. } => unreachable!("handled above"),
                };
                pending.push(Waiting { receiver, expected });
            }
        }
        Ok(())
    }

    pub(super) fn step(&mut self) -> Kept<Stepped> {
        let Some(Life { ledger, stepper: Some(stepper), pending, in_flight }) = &mut self.life else { return Ok(Stepped::Idle) };
        let troubled = matches!(ledger.may_write(), Err(SubmitError::Unavailable(_)));
        self.doing = if troubled && !stepper.is_committing() { Doing::Resuming } else { Doing::Committing };
        let stepped = stepper.step();
        self.disk.calm_reads();
        let may_write = ledger.may_write();
        self.trace.push(format!("     step: {stepped:?}{}", may_write.as_ref().err().map_or(String::new(), |error| format!(", {error}"))));
        if self.disk.is_down() {
            return Ok(stepped);
        }
        match stepped {
            Stepped::Idle => ensure!(pending.is_empty() && !troubled, "idle, with {} waiting", pending.len()),
            Stepped::Closed if stepper.is_committing() => {
                std::mem::swap(pending, in_flight);
                self.attempted = Some(self.auditor.decided.size);
            }
            Stepped::Closed => {
                let waiting = std::mem::take(pending);
                self.answered(waiting, may_write.is_ok())?;
            }
            Stepped::Written => {
                if self.damaged.is_none() {
                    let size = self.auditor.check_disk(&self.disk)?;
                    ensure!(Some(size) == self.attempted, "a frame up to {:?} was written, and the disk has {size} leaves", self.attempted);
                }
                self.auditor.check_checkpoints(ledger, self.damaged.is_some())?;
            }
            Stepped::Locked => self.lock_damaged = false,
            Stepped::Published => {
                let size = ledger.published().size;
                ensure!(Some(size) == self.attempted, "a frame up to {:?} was published as {size}", self.attempted);
                self.attempted = None;
                if size / 256 > self.auditor.visible.size / 256 {
                    self.sights.insert(Sight::TileFilled);
                }
                self.auditor.publish(ledger, self.damaged.is_some())?;
                let waiting = std::mem::take(in_flight);
                self.answered(waiting, true)?;
            }
            Stepped::Failed => {
                let waiting = std::mem::take(in_flight);
                self.answered(waiting, false)?;
            }
            Stepped::Resumed if may_write.is_ok() => {
                let size = ledger.published().size;
                self.resumed(size)?;
            }
            Stepped::Resumed => ensure!(self.troubled, "it cannot go on, with nothing wrong"),
        }
        self.audit()?;
        Ok(stepped)
    }

    /// Everybody who waited for a frame has an answer, and the right one.
    pub(super) fn answered(&mut self, waiting: Vec<Waiting>, well: bool) -> Kept {
        for Waiting { mut receiver, expected } in waiting {
            let answer = receiver.try_recv().map_err(|_| Violation(format!("nobody was told {expected:?}")))?;
            match answer {
                Ok(outcome) => {
                    ensure!(well, "the frame failed, and somebody was told {outcome:?}");
                    ensure!(outcome == expected, "somebody was told {outcome:?} instead of {expected:?}");
                    if let Outcome::Logged { index, .. } = outcome {
                        self.auditor.acknowledge(index)?;
                    }
                }
                Err(error) => {
                    ensure!(!well, "the frame was published, and somebody was told {error}");
                    self.check_error(&error)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_error(&self, error: &SubmitError) -> Kept {
        let fitting = match error {
            SubmitError::Unavailable(_) => self.troubled,
            SubmitError::Poisoned(_) => self.damaged.is_some() || self.lock_damaged,
            SubmitError::ReadOnly(_) | SubmitError::ClockBehind { .. } | SubmitError::Late | SubmitError::Unsigned(_) | SubmitError::Closing => false,
        };
        ensure!(fitting, "with nothing wrong that would explain it: {error}");
        Ok(())
    }

    /// The ledger went on after trouble, from what is on the disk.
    pub(super) fn resumed(&mut self, size: u64) -> Kept {
        let reachable = size == self.auditor.visible.size || Some(size) == self.attempted;
        ensure!(reachable, "it went on from {size}, published are {} and {:?} was tried", self.auditor.visible.size, self.attempted);
        if self.attempted.take().is_some() {
            self.sights.insert(Sight::WentOn { with_the_frame: size > self.auditor.visible.size });
        }
        self.auditor.truncate(size);
        if self.damaged.is_none() {
            let there = self.auditor.check_disk(&self.disk)?;
            ensure!(there == size, "it went on from {size}, and {there} leaves are on the disk");
        }
        let Life { ledger, .. } = self.life.as_ref().expect("alive");
        self.auditor.publish(ledger, self.damaged.is_some())
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.life.as_ref().is_some_and(|life| matches!(life.ledger.may_write(), Err(SubmitError::Poisoned(_))))
    }

    /// What holds at every moment.
    pub(super) fn audit(&mut self) -> Kept {
        let Some(Life { ledger, stepper, .. }) = &self.life else { return Ok(()) };
        let published = ledger.published().size;
        ensure!(published == self.auditor.visible.size, "{published} is published, with no frame that could have");
        let may_write = ledger.may_write();
        match &may_write {
            Ok(()) => ensure!(stepper.is_some(), "it may write, and nothing is there to do it"),
            Err(SubmitError::ReadOnly(why)) => {
                let obstacle = ledger.obstacle().map(ToString::to_string);
                ensure!(obstacle.as_ref() == Some(why), "it refuses because of {why:?}, and the obstacle is {obstacle:?}");
            }
            Err(error) => self.check_error(error)?,
        }
        if stepper.is_some() && !self.lying && !self.lock_damaged {
            self.auditor.check_lock(&self.disk)?;
        }
        let Some(Life { ledger, pending, in_flight, .. }) = &mut self.life else { return Ok(()) };
        for Waiting { receiver, expected } in pending.iter_mut().chain(in_flight) {
            let answer = receiver.try_recv();
            ensure!(matches!(answer, Err(TryRecvError::Empty)), "{expected:?} was answered before its frame was published: {answer:?}");
        }
        if self.disk.is_read_failing() || self.disk.is_down() {
            return Ok(());
        }
        self.auditor.check_reads(ledger, &mut self.chance, self.damaged.is_some())?;
        if may_write.is_ok() && self.disk.is_calm() && !self.full {
            self.troubled = false;
        }
        Ok(())
    }

    pub(super) fn read(&mut self) -> Kept {
        let Life { ledger, .. } = self.life.as_ref().expect("alive");
        let damaged = self.damaged.is_some();
        for _ in 0..8 {
            self.auditor.check_reads(ledger, &mut self.chance, damaged)?;
        }
        Ok(())
    }

    /// A read fails, at whatever comes next.
    pub(super) fn fail_read(&mut self) -> Kept {
        let at = 1 + self.chance.under(12);
        self.troubled = true;
        self.disk.fail_read_in(at);
        self.say(|| format!("read {at} from now fails"));
        match self.chance.under(4) {
            0 => {
                let submission = SUBMISSIONS.pick(&mut self.chance);
                self.submit(submission)?;
            }
            1 => drop(self.step()?),
            2 => {
                let Life { ledger, .. } = self.life.as_ref().expect("alive");
                let read = self.auditor.read(ledger, &mut self.chance);
                let failed = !self.disk.is_read_failing();
                match read {
                    Ok(()) => ensure!(!failed, "a read failed, and there was an answer"),
                    Err(ReadFault::Refused(error)) => {
                        let explained = failed && error.is_trouble() || self.damaged.is_some();
                        ensure!(explained, "a read failed: {failed}, and the answer is {error:?}");
                    }
                    Err(ReadFault::Wrong(violation)) => return Err(violation),
                }
            }
            _ => {
                self.life = None;
                self.open()?;
            }
        }
        self.disk.calm_reads();
        Ok(())
    }

    pub(super) fn calm(&mut self) {
        self.disk.calm();
        self.disk.set_full(false);
        self.full = false;
    }

    /// The trouble is over, and the ledger goes on without a restart.
    pub(super) fn relieve(&mut self) -> Kept {
        if self.disk.is_down() {
            return Ok(());
        }
        self.say(|| "the trouble is over".into());
        self.calm();
        for _ in 0..8 {
            self.step()?;
        }
        let Life { ledger, .. } = self.life.as_ref().expect("alive");
        let may_write = ledger.may_write();
        let excused = matches!(may_write, Err(SubmitError::Poisoned(_))) && (self.damaged.is_some() || self.lock_damaged);
        ensure!(may_write.is_ok() || excused, "the trouble is over, and it does not go on: {may_write:?}");
        Ok(())
    }
}

fn reason(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Poisoned(_) => "poisoned",
        SubmitError::ReadOnly(_) => "read only",
        SubmitError::ClockBehind { .. } => "clock behind",
        SubmitError::Unavailable(_) => "unavailable",
        SubmitError::Late => "late",
        SubmitError::Unsigned(_) => "unsigned",
        SubmitError::Closing => "closing",
    }
}

fn named(submission: &Submission) -> String {
    match submission {
        Submission::Invoice(invoice) => {
            let what = if invoice.imported { "import" } else { "issue" };
            match invoice.original {
                Some(original) => format!("red {} of {original}", invoice.face.id),
                None => format!("{what} {} over {}", invoice.face.id, invoice.face.totals.amount),
            }
        }
        Submission::Void { id, callers, day, .. } => format!("void {id} by {callers:?} on {day}"),
        Submission::Status { id, mark, .. } => format!("{} {id}", mark.name()),
        Submission::Allot { allotment, .. } => format!("allot {:?}", allotment.range),
        Submission::AllotmentStatus { range, mark, .. } => format!("{} {range:?}", mark.name()),
        Submission::Keys { .. } => "keys".into(),
        Submission::Announcement { of, .. } => of.name().replace('_', " "),
    }
}
