//! The public log 公开日志 as C2SP tlog-tiles: whoever follows it needs nothing else, and whatever stands between may keep it.

use data_encoding::HEXLOWER;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG};

use super::operation::{Fault, Handled};
use super::reply::{BYTES, PLAIN, Reply};
use super::request::Request;
use super::verify::charge;
use crate::channel::problem::{Kind, Problem};
use crate::codec::tile::{Row, TileName, bundle};
use crate::crypto::hash;
use crate::ledger::Ledger;

/// A tile never changes once there is one, nor does the beginning of one.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// `GET /checkpoint`.
pub(super) fn checkpoint(request: &Request) -> Handled {
    let ledger = request.site.engine.ledger();
    refuse_unsigned(ledger)?;
    let Some(note) = request.site.engine.checkpoint() else {
        let en = "no checkpoint has been cosigned by enough witnesses yet";
        return Err(Problem::because(Kind::Unavailable, "尚无检查点得到足够的见证联署", en).after(1).into());
    };
    // Of the note and not of the tree: cosignatures are added to a tree that stays as it is.
    let tag = format!("\"{}\"", HEXLOWER.encode(&hash::sha256(&[note.as_bytes()])));
    let reply = if request.knows(&tag) { Reply::new(PLAIN, "").status(StatusCode::NOT_MODIFIED) } else { Reply::new(PLAIN, note) };
    Ok(reply.header(CACHE_CONTROL, "no-cache").header(ETAG, tag))
}

/// Of a copy that does not sign nobody knows that it is the newest: its checkpoint may be older than one that was told before, or one that a crash kept out
/// of the lock record and that nobody was ever told.
pub(super) fn refuse_unsigned(ledger: &Ledger) -> Result<(), Problem> {
    if ledger.obstacle().is_none() {
        return Ok(());
    }
    let zh = "此副本不签名，不公布检查点，请联系管理员";
    let en = "this copy does not sign, and so publishes no checkpoint; its administrator knows";
    Err(Problem::because(Kind::Unavailable, zh, en).after(60))
}

/// `GET /tile/<level>/<n>[.p/<w>]` and `GET /tile/entries/<n>[.p/<w>]`.
pub(super) async fn tile(request: Request) -> Handled {
    charge(&request)?;
    // What may come later is not there in the same words as what never will, and neither is kept by a cache.
    let absent = || {
        let en = "the published log has no such tile; if the path is right it may come";
        Fault::from(Problem::because(Kind::NotFound, "公开日志中没有此数据块；若路径无误，以后可能会有", en))
    };
    let name = request.head.uri.path().strip_prefix("/tile/").and_then(TileName::parse).ok_or_else(absent)?;
    let bytes = request
        .blocking(move |engine, _| match name.row {
            Row::Hashes(level) => engine.ledger().tile(level, name.n, name.width),
            Row::Entries => Ok(engine.ledger().leaves_of_tile(name.n, name.width)?.map(|leaves| bundle(&leaves))),
        })
        .await??;
    // A copy that does not sign may hold what the log has given up.
    let kept = if request.site.engine.ledger().obstacle().is_none() { FOR_EVER } else { "no-store" };
    Ok(Reply::new(BYTES, bytes.ok_or_else(absent)?).header(CACHE_CONTROL, kept))
}
