//! How a process ends, and how the next one opens what it left.

use fapiao::codec::event::Role;
use fapiao::ledger::{Ledger, Opening};

use super::{Doing, Life, OPENINGS_MAX, Sight, World, said};
use crate::simulation::auditor::{Kept, Standing, Violation, ensure};

impl World {
    pub(super) fn power_cut(&mut self) {
        self.life = None;
        if self.disk.is_down()
            && let Some((step, done)) = self.disk.crashed()
        {
            self.sights.insert(Sight::Last(self.doing, step, done));
            let doing = self.doing;
            self.say(|| format!("down while {doing:?}, at {step:?}, done: {done}"));
            if self.chance.one_in(4) {
                self.say(|| "only the process was killed".into());
                self.disk.kill();
                return;
            }
        }
        self.disk.crash();
        self.betrayed |= self.lying;
        self.tore |= self.tearing;
        if self.chance.one_in(2) {
            (self.lying, self.tearing) = (false, false);
            self.disk.set_lying(false);
            self.disk.set_tearing(false);
        }
    }

    /// Opens the ledger, however long it takes.
    pub(super) fn open(&mut self) -> Kept {
        for attempt in 0..2 * OPENINGS_MAX {
            if attempt >= OPENINGS_MAX {
                self.calm();
            }
            if self.disk.is_down() {
                self.power_cut();
            }
            let torn = if self.tore { self.auditor.check_disk(&self.disk).err() } else { None };
            // What lies there in pieces is not asked what it permits. A ledger that signs moves its lock record, so it is asked before; a write that
            // failed may turn up as the database is opened, so one that does not sign is asked again afterwards.
            let standing = if torn.is_some() || self.damaged.is_some() { None } else { Some(self.auditor.standing(&self.disk)?) };
            self.doing = Doing::Opening;
            let opened = Ledger::open_stepped(self.opening());
            self.disk.calm_reads();
            self.say(|| format!("open: {}, {standing:?}", said(&opened)));
            if self.disk.is_down() {
                continue;
            }
            match opened {
                Ok(_) if torn.is_some() => return Err(Violation(format!("a torn frame is taken for whole: {torn:?}"))),
                Ok((ledger, stepper)) => {
                    let standing = match (standing, ledger.obstacle()) {
                        (Some(_), Some(_)) => self.auditor.standing(&self.disk)?,
                        (Some(standing), None) => standing,
                        (None, said) => Standing::of(said),
                    };
                    self.life = Some(Life { ledger, stepper, pending: Vec::new(), in_flight: Vec::new() });
                    return self.opened(standing);
                }
                Err(error) if error.is_trouble() => {
                    ensure!(self.troubled, "it does not open, with nothing wrong: {error}");
                    if self.chance.one_in(2) {
                        self.disk.set_full(false);
                        self.full = false;
                    }
                }
                Err(error) if torn.is_some() => {
                    self.sights.insert(Sight::Torn);
                    self.say(|| format!("torn: {error}"));
                    return self.bring_back();
                }
                Err(error) => {
                    ensure!(self.damaged.is_some(), "it does not open: {error}");
                    return self.repair();
                }
            }
        }
        Err(Violation("it could not be opened in any number of tries".into()))
    }

    pub(super) fn opened(&mut self, standing: Standing) -> Kept {
        let Life { ledger, stepper, .. } = self.life.as_ref().expect("open");
        let size = ledger.published().size;
        let faithful = !self.betrayed;
        let (published, attempted) = (self.auditor.visible.size, self.attempted.take());
        let reachable = size == published || Some(size) == attempted;
        ensure!(reachable || !faithful, "it opened with {size} leaves; {published} were published, and {attempted:?} were tried");
        ensure!(size <= self.auditor.decided.size, "it opened with {size} leaves, and {} were decided", self.auditor.decided.size);
        ensure!(stepper.is_some() == (standing == Standing::Signs), "it is {standing:?}, and writes: {}", stepper.is_some());
        if self.signing && faithful && !self.lock_damaged {
            ensure!(standing == Standing::Signs, "it does not sign after a power cut or a restart: {standing:?}");
        }
        self.sights.insert(Sight::Opened(standing));
        if faithful && self.signing && attempted.is_some() {
            self.sights.insert(Sight::CameBack { with_the_frame: size > published });
        }
        if size < published && standing == Standing::Signs {
            self.sights.insert(Sight::Betrayed);
        }
        self.auditor.truncate(size);
        if self.damaged.is_none() {
            let there = self.auditor.check_disk(&self.disk)?;
            ensure!(there == size, "it opened with {size} leaves, and {there} are on the disk");
        }
        self.auditor.publish(ledger, self.damaged.is_some())?;
        self.auditor.check_opened(ledger, standing)?;
        self.signing = standing == Standing::Signs;
        (self.betrayed, self.tore) = (false, false);
        if self.signing {
            self.lock_damaged = false;
        }
        self.audit()
    }

    /// Opens it without the secret keys.
    pub(super) fn look(&mut self) -> Kept {
        if !self.disk.is_calm() || self.full || self.damaged.is_some() || self.lock_damaged || !self.auditor.names(Role::Checkpoint) {
            return Ok(());
        }
        self.say(|| "somebody looks at it without the keys".into());
        self.life = None;
        let opening = Opening { keyring: None, ..self.opening() };
        let (ledger, stepper) = Ledger::open_stepped(opening).map_err(|error| Violation(format!("it cannot be looked at: {error}")))?;
        ensure!(stepper.is_none(), "it signs without keys");
        let size = ledger.published().size;
        let reachable = size == self.auditor.visible.size || Some(size) == self.attempted;
        ensure!(reachable, "it shows {size} leaves; {} were published", self.auditor.visible.size);
        self.auditor.truncate(size);
        self.attempted = None;
        self.auditor.check_disk(&self.disk)?;
        let standing = self.auditor.standing(&self.disk)?;
        self.auditor.publish(&ledger, false)?;
        let standing = if standing.is_behind() { standing } else { Standing::KeysLocked };
        self.auditor.check_opened(&ledger, standing)?;
        self.sights.insert(Sight::Opened(standing));
        for _ in 0..4 {
            self.auditor.check_reads(&ledger, &mut self.chance, false)?;
        }
        drop(ledger);
        self.open()
    }
}
