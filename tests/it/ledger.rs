//! The ledger through the engine.
use crate::support::*;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::verify::verdict::Verdict;

#[test]
fn smoke() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    for kind in Kind::ALL {
        let original = plain(kind, 1, Fen(10_000_00));
        logged(submit(&engine, &original));
        logged(submit(&engine, &generated(kind, 3, 9)));
        logged(submit(&engine, &red(&original, 2, Fen(4_000_00), Fen(100_00))));
    }
}
