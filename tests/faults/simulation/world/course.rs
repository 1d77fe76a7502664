//! How a seed begins and ends: a ledger is founded, whatever breaks meanwhile; in the end all is made well, and everything must be there.

use std::num::NonZero;
use std::sync::Arc;

use fapiao::codec::event::Role;
use fapiao::ledger::{Creation, Fsck, Ledger, LedgerError, Opening, Stepped, StoreError};

use super::{Doing, LONG_LOG, Life, Machine, OPENINGS_MAX, World, said};
use crate::simulation::auditor::{Kept, Violation, ensure};
use crate::simulation::submissions::SUBMISSIONS;

impl World {
    pub(super) fn begin(&mut self) -> Kept {
        if self.auditor.decided.size == 0 {
            self.found()?;
        }
        self.open()?;
        for _ in 0..OPENINGS_MAX {
            if self.life.as_ref().is_some_and(|life| life.stepper.is_none()) {
                self.administer()?;
            }
        }
        ensure!(self.signing, "a new ledger does not sign");
        if self.auditor.decided.size == 0 {
            let mut first = SUBMISSIONS.keys.clone();
            if !self.chance.one_in(8) {
                first.extend(SUBMISSIONS.allotments.iter().cloned());
            }
            for submission in first {
                self.submit(submission)?;
            }
            for _ in 0..8 {
                self.step()?;
            }
            if self.disk.is_down() {
                self.power_cut();
                self.open()?;
            }
        }
        if self.machine != Machine::Honest {
            self.copy();
        }
        Ok(())
    }

    pub(super) fn found(&mut self) -> Kept {
        for _ in 0..OPENINGS_MAX {
            self.threaten(4);
            self.doing = Doing::Founding;
            let Opening { home, sizes, clock, .. } = self.opening();
            let (origin, keyring) = (self.auditor.decided.origin().clone(), Arc::clone(self.auditor.keyring()));
            let founded = match Ledger::may_create(&home) {
                Ok(()) => Ledger::found(Creation { home, sizes, origin, keyring, keys: Vec::new(), clock, observer: None }).map(drop),
                // An earlier try got as far as that.
                Err(LedgerError::Store(StoreError::Exists(_))) => return Ok(()),
                Err(error) => Err(error),
            };
            self.say(|| format!("found: {}", said(&founded)));
            match founded {
                Ok(()) => {
                    self.signing = true;
                    return Ok(());
                }
                Err(_) if self.disk.is_down() => self.power_cut(),
                Err(error) => {
                    ensure!(error.is_trouble() && self.troubled, "a ledger cannot be founded: {error}");
                    self.calm();
                }
            }
        }
        Err(Violation("no ledger could be founded".into()))
    }

    pub(super) fn make_long_log(&mut self) -> Kept {
        self.signing = true;
        let Opening { home, sizes, clock, keyring, .. } = self.opening();
        let creation = Creation {
            home,
            sizes,
            origin: self.auditor.decided.origin().clone(),
            keyring: keyring.expect("keys"),
            keys: Vec::new(),
            clock,
            observer: None,
        };
        Ledger::found(creation).map_err(|error| Violation(error.to_string()))?;
        self.open()?;
        let first = SUBMISSIONS.keys.iter().chain(&SUBMISSIONS.allotments).chain(&SUBMISSIONS.long).cloned();
        for submission in first {
            if self.auditor.decided.size == LONG_LOG {
                break;
            }
            self.submit(submission)?;
            if self.auditor.decided.size.is_multiple_of(17) || self.auditor.decided.size == LONG_LOG {
                while self.step()? != Stepped::Idle {}
            }
        }
        self.life = None;
        Ok(())
    }

    pub(super) fn end(&mut self) -> Kept {
        self.say(|| "all is made well".into());
        self.calm();
        if self.lying {
            // What it lied about is known only afterwards.
            self.power_cut();
            (self.lying, self.tearing) = (false, false);
            self.disk.set_lying(false);
            self.open()?;
        }
        self.tearing = false;
        self.disk.set_tearing(false);
        if self.damaged.is_some() || self.lock_damaged {
            self.repair()?;
        }
        for _ in 0..4 * OPENINGS_MAX {
            if !self.over && self.life.as_ref().is_some_and(|life| life.stepper.is_none()) {
                self.administer()?;
            }
        }
        if self.over {
            return Ok(());
        }
        self.relieve()?;
        self.set_now(self.now().0.max(self.auditor.decided.time));
        // Written without a restart.
        for at in 0..3 {
            self.submit(SUBMISSIONS.long[at].clone())?;
        }
        while self.step()? != Stepped::Idle {}
        if self.chance.one_in(2) {
            self.say(|| "power cut".into());
            self.power_cut();
        }
        self.life = None;
        self.open()?;
        self.check_all()?;
        if self.auditor.names(Role::Checkpoint) && self.auditor.names(Role::Authority) && self.chance.one_in(8) {
            let ledger = &self.life.as_ref().expect("open").ledger;
            let how = Fsck { secrets: Some(self.auditor.keyring()), progress: &|_, _| (), seed: [7; 32], workers: NonZero::<usize>::MIN };
            let report = ledger.fsck(&how);
            let report = report.map_err(|error| Violation(format!("fsck: {error}")))?;
            ensure!(report.findings.is_empty(), "fsck finds {:?}", report.findings);
        }
        Ok(())
    }

    pub(super) fn check_all(&mut self) -> Kept {
        let Life { ledger, .. } = self.life.as_ref().expect("open");
        self.auditor.check_all(ledger, &mut self.chance)
    }
}
