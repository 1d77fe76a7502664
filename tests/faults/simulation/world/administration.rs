//! What an administrator does, and what happens to the files of a ledger behind its back.

use std::sync::Arc;

use fapiao::codec::event::{EventData, Notice};
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::note::Origin;
use fapiao::issue;
use fapiao::ledger::{DERIVED, Ledger, LedgerError, Reopening, SubmitError};

use super::{Copied, Doing, Life, Machine, SIZES, Sight, World, host, said};
use crate::simulation::auditor::{Kept, Standing, ensure};
use crate::simulation::submissions::SUBMISSIONS;

impl World {
    pub(super) fn rebuild(&mut self) -> Kept {
        if self.tearing || self.damaged.is_some() {
            return Ok(());
        }
        self.life = None;
        let table = *self.chance.pick(&["tile", "inv", "allot", "tax", "key", "reopen", "leaf"]);
        self.threaten(2);
        self.rebuild_table(table)?;
        self.open()
    }

    pub(super) fn rebuild_table(&mut self, table: &str) -> Kept {
        self.doing = Doing::Rebuilding;
        let rebuilt = Ledger::rebuild(&self.home(), SIZES, table);
        self.say(|| format!("rebuild {table}: {rebuilt:?}"));
        match rebuilt {
            Ok(known) => ensure!(known == DERIVED.contains(&table), "whether {table} can be rebuilt: {known}"),
            Err(_) if self.disk.is_down() => self.power_cut(),
            Err(error) => ensure!(error.is_trouble() && self.troubled, "{table} cannot be rebuilt: {error}"),
        }
        Ok(())
    }

    /// Keeps a copy of the machine's disk.
    pub(super) fn copy(&mut self) {
        if self.damaged.is_none() && !self.lock_damaged && !self.lying && !self.disk.is_down() {
            let disk = self.disk.image(self.chance.next());
            self.say(|| "a copy is made".into());
            self.copies.push(Copied { disk, auditor: self.auditor.clone() });
        }
    }

    pub(super) fn dishonest(&mut self) -> Kept {
        match self.machine {
            Machine::Honest => {}
            Machine::Lying => {
                self.lying = true;
                self.disk.set_lying(true);
                self.say(|| "from now on the disk lies".into());
            }
            Machine::Tearing => {
                self.tearing = true;
                self.disk.set_tearing(true);
                let at = 1 + self.chance.under(3);
                self.troubled = true;
                self.disk.crash_in(at);
                self.say(|| format!("step {at} from now is the last, and tears"));
            }
            Machine::Flipping if self.damaged.is_none() && !self.lock_damaged => {
                if self.chance.one_in(4) {
                    self.disk.flip_file(self.auditor.lock_path());
                    self.lock_damaged = true;
                    self.say(|| "a bit of the lock record flips".into());
                } else {
                    let table = *self.chance.pick(&["leaf", "seal", "body", "tile", "head", "inv", "allot", "tax", "key", "meta"]);
                    if self.disk.flip_row(table) {
                        self.damaged = Some(table);
                        self.say(|| format!("a bit of {table} flips"));
                    }
                }
            }
            Machine::Flipping => {}
            Machine::Restored => {
                if self.disk.is_down() {
                    return Ok(());
                }
                // The newest copy can be brought back later.
                self.copy();
                self.life = None;
                self.restore()?;
                self.open()?;
            }
        }
        Ok(())
    }

    /// Puts a copy in place of what is there.
    pub(super) fn restore(&mut self) -> Kept {
        let at = self.chance.below(self.copies.len());
        let Copied { disk, auditor } = &self.copies[at];
        self.disk.restore_rows(disk);
        let lock = self.auditor.lock_path().to_owned();
        let how = match self.chance.under(4) {
            0 => {
                self.disk.set_file(&lock, disk.file(&lock));
                "with its lock record"
            }
            1 => {
                self.disk.set_file(&lock, None);
                "without a lock record"
            }
            _ => "beside the lock record",
        };
        self.auditor = auditor.clone();
        let size = self.disk.rows("leaf").len() as u64;
        // What the copy has is all that is left, published or not.
        self.auditor.truncate(size);
        self.attempted = Some(size);
        (self.signing, self.lock_damaged, self.damaged) = (false, false, None);
        self.say(|| format!("copy {at} of {size} leaves is restored {how}"));
        Ok(())
    }

    /// The newest copy in place of what cannot be opened any more.
    pub(super) fn bring_back(&mut self) -> Kept {
        self.life = None;
        if self.copies.is_empty() {
            self.over = true;
            return Ok(());
        }
        self.restore()?;
        self.tore = false;
        self.open()
    }

    /// What is damaged is made anew, if it can be.
    pub(super) fn repair(&mut self) -> Kept {
        self.life = None;
        if let Some(table) = self.damaged.filter(|table| DERIVED.contains(table)) {
            self.calm();
            self.rebuild_table(table)?;
            self.damaged = None;
            return self.open();
        }
        if self.damaged.is_some() {
            return self.bring_back();
        }
        self.open()
    }

    /// A ledger that does not sign: it still answers, and somebody decides what is to become of it.
    pub(super) fn administer(&mut self) -> Kept {
        self.audit()?;
        let Life { ledger, .. } = self.life.as_ref().expect("open");
        let answer = ledger.submit(SUBMISSIONS.keys[0].clone()).try_recv();
        let refused = matches!(&answer, Ok(Err(SubmitError::ReadOnly(why))) if Some(why) == ledger.obstacle().map(ToString::to_string).as_ref());
        ensure!(refused, "it does not sign, and answers {answer:?}");
        self.sights.insert(Sight::Undecided("read only"));
        self.read()?;
        self.life = None;
        self.threaten(3);
        match self.chance.under(8) {
            0..3 => self.adopt()?,
            3..6 => self.reopen()?,
            6 if !self.copies.is_empty() => self.restore()?,
            _ => {
                // A record that is none is taken away, which leaves it to the administrator's word.
                let standing = self.auditor.standing(&self.disk)?;
                if matches!(standing, Standing::LockUnreadable | Standing::LockForeign) {
                    self.disk.set_file(self.auditor.lock_path(), None);
                    self.say(|| "the lock record is removed".into());
                }
            }
        }
        self.open()
    }

    pub(super) fn adopt(&mut self) -> Kept {
        let (lock, _) = self.auditor.lock_standing(&self.disk)?;
        let permitted = matches!(lock, Standing::Signs | Standing::LockMissing | Standing::LockBehind);
        self.doing = Doing::Adopting;
        let adopted = Ledger::adopt(&self.home(), SIZES, self.auditor.keyring());
        self.say(|| format!("adopt: {}", said(&adopted)));
        match adopted {
            Ok(checkpoint) => {
                let size = self.auditor.visible.size;
                ensure!(permitted, "a copy was adopted whose lock record says {lock:?}");
                ensure!(checkpoint.size == size && checkpoint.root == self.auditor.root(size), "adopted as {checkpoint:?}");
                self.signing = true;
            }
            Err(_) if self.disk.is_down() => self.power_cut(),
            Err(LedgerError::NotAdopted(obstacle)) => {
                ensure!(
                    !permitted && Standing::of(Some(&obstacle)) == lock,
                    "not adopted because of {obstacle:?}, and the lock record says {lock:?}"
                );
            }
            Err(error) => ensure!(error.is_trouble() && self.troubled, "it cannot be adopted: {error}"),
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Kept {
        let standing = self.auditor.standing(&self.disk)?;
        let lost = self.auditor.lock_standing(&self.disk)?.1.filter(|_| standing.is_behind()).map(|locked| (locked.size, locked.root));
        let log_id = self.chance.next().to_be_bytes();
        let previous = self.auditor.decided.origin().clone();
        let (size, salt) = (self.auditor.visible.size, [7; 16]);
        let notice =
            Notice { previous, size, root: self.auditor.root(size), lost, origin: Origin::new(&host(), log_id), reason: "the disk is gone".into() };
        let keyring = Arc::clone(self.auditor.keyring());
        let sealed = issue::event_of(&EventData::Reopen(notice.clone()), salt, &keyring).expect("signed");
        let entry = self.auditor.decided.notice(&sealed, self.now());
        self.auditor.enter(vec![entry]);
        self.attempted = Some(size + 1);
        self.doing = Doing::Reopening;
        let reason = notice.reason.clone();
        let sign = |data: &EventData, keyring: &Keyring| issue::event_of(data, salt, keyring);
        let reopened = Ledger::reopen(Reopening { opening: self.opening(), log_id, reason, sign: &sign, keys: &|_, _, _| Ok(Vec::new()) });
        self.say(|| format!("reopen: {}", said(&reopened)));
        match reopened {
            Ok((at, said)) => {
                ensure!(standing != Standing::Signs, "it was reopened, and nothing kept it from signing");
                ensure!((at, &said) == (size, &notice), "the notice is {said:?} instead of {notice:?}");
                self.signing = true;
            }
            Err(_) if self.disk.is_down() => self.power_cut(),
            Err(LedgerError::NothingToReopen) => {
                ensure!(standing == Standing::Signs, "it was not reopened, and is {standing:?}");
                self.auditor.truncate(size);
                self.attempted = None;
            }
            Err(error) => ensure!(error.is_trouble() && self.troubled, "it cannot be reopened: {error}"),
        }
        Ok(())
    }
}
