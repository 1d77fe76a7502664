//! Damage of every shape rather than by chance: each is refused, and none is waited for.

use std::path::PathBuf;
use std::sync::Arc;

use fapiao::domain::kind::Kind;
use fapiao::domain::time::UnixMillis;
use fapiao::ledger::simulated::Disk;
use fapiao::ledger::{Files, Home, Ledger, LedgerError, Opening, Stepped, Stepper, StoreSizes, Submission};

use super::submissions::SUBMISSIONS;
use super::world;
use crate::support::{id, today};

fn opening(disk: &Disk) -> Opening {
    Opening {
        home: Home { directory: PathBuf::from("/ledger"), files: Files::Simulated(disk.clone()) },
        sizes: StoreSizes { block_cache: 0, wal: 0 },
        keyring: Some(Arc::clone(&SUBMISSIONS.keyring)),
        clock: Arc::new(|| UnixMillis(today().start().0 + 50_000_000)),
        observer: None,
    }
}

fn writing(disk: &Disk) -> (Ledger, Stepper) {
    let (ledger, stepper) = Ledger::open_stepped(opening(disk)).expect("opens");
    (ledger, stepper.expect("signs"))
}

/// Hands in and steps until the first of these comes.
fn commit(stepper: &mut Stepper, submissions: Vec<Submission>, until: Stepped) {
    let _receivers: Vec<_> = submissions.into_iter().map(|submission| stepper.take(submission)).collect();
    for _ in 0..4 {
        if stepper.step() == until {
            return;
        }
    }
    panic!("{until:?} did not come");
}

#[test]
fn a_frame_that_is_torn_anywhere_is_refused() {
    let disk = world::long_log(1);
    let (ledger, mut stepper) = writing(&disk);
    commit(&mut stepper, SUBMISSIONS.original_and_red(), Stepped::Published);
    // Every event, a tile that is filled, and a void that changes two invoices.
    disk.fail_in(2);
    commit(&mut stepper, SUBMISSIONS.one_of_each(), Stepped::Failed);
    drop((ledger, stepper));

    let mut rows = 0;
    for all_after in [false, true] {
        for lost in 0.. {
            let torn = disk.image(2);
            if !torn.crash_torn(lost, all_after) {
                break;
            }
            rows += 1;
            let size = torn.rows("leaf").len();
            match Ledger::open_stepped(opening(&torn)) {
                Err(error) => assert!(!error.is_trouble(), "{error}"),
                Ok(_) => assert!(all_after && lost == 0, "opened with {size} leaves, without row {lost} of the frame, all after it: {all_after}"),
            }
        }
    }
    assert!(rows > 60, "{rows} rows");
}

/// As of a copy that was made file by file while the ledger was written.
#[test]
fn a_state_that_is_ahead_of_its_log_is_refused_and_not_waited_for() {
    let older = world::long_log(1);
    let newer = older.image(2);
    let (ledger, mut stepper) = writing(&newer);
    commit(&mut stepper, SUBMISSIONS.original_and_red(), Stepped::Published);
    drop((ledger, stepper));
    older.restore_table("inv", &newer);

    let (ledger, _) = Ledger::open_stepped(opening(&older)).expect("opens");
    let (ahead, behind) = (id(Kind::Ordinary, 1), id(Kind::Ordinary, 101));
    assert!(matches!(ledger.look_up(ahead), Err(LedgerError::Broken { .. })));
    assert!(matches!(ledger.look_up_many(&[behind, ahead]), Err(LedgerError::Broken { .. })));
    assert!(ledger.look_up(behind).expect("readable").1.is_some());
}
