//! A witness over HTTP: `POST /add-checkpoint` (c2sp.org/tlog-witness), and what it is and cosigned for whoever asks.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::door::{Door, Host};
use super::reply::{PLAIN, Reply, ReplyBody};
use crate::crypto::add_checkpoint::AddCheckpoint;
use crate::crypto::note::Origin;
use crate::engine::{EngineError, Witness, WitnessFault, Witnessed};
use crate::limits::{ADD_CHECKPOINT_BYTES_MAX, WITNESS_BODIES_MAX, WITNESS_BODY_SECS, WITNESS_TURN_SECS};
use crate::witness::Judgement;

/// What a log that asked with the wrong size is told the right one in.
pub const SIZE: &str = "text/x.tlog.size";

/// A witness that is reached over HTTP.
#[derive(Debug)]
pub struct WitnessSite {
    witness: Arc<Witness>,
    /// Submissions that are being read.
    bodies: Semaphore,
    /// One is judged at a time, as one is written at a time.
    turn: Semaphore,
    since: Instant,
    /// The second, since then, of the last line about a proof that does not fit: strangers decide how often that happens.
    told: AtomicU64,
    door: Door,
}

impl WitnessSite {
    /// A site over a witness.
    pub fn new(witness: Arc<Witness>, door: Door) -> WitnessSite {
        let (bodies, turn) = (Semaphore::new(WITNESS_BODIES_MAX), Semaphore::new(1));
        WitnessSite { witness, bodies, turn, since: Instant::now(), told: AtomicU64::new(0), door }
    }

    async fn route(&self, request: Request<Incoming>) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/add-checkpoint") => self.add_checkpoint(request.into_body()).await,
            (&Method::GET, "/") => Reply::new(PLAIN, self.about()),
            (&Method::GET, "/healthz") => Reply::new(PLAIN, "ok\n"),
            (_, "/add-checkpoint") => told(StatusCode::METHOD_NOT_ALLOWED, "submit with POST 请使用 POST").header(ALLOW, "POST"),
            (_, "/" | "/healthz") => told(StatusCode::METHOD_NOT_ALLOWED, "ask with GET 请使用 GET").header(ALLOW, "GET"),
            _ => told(StatusCode::NOT_FOUND, "a witness has /add-checkpoint, / and /healthz 无此地址"),
        }
    }

    /// Its key, and the newest checkpoint of each log that it cosigned.
    fn about(&self) -> String {
        let seen: String = self.witness.seen().iter().map(|seen| format!("\n{}", seen.note.encode())).collect();
        format!("fapiao witness {}\n{seen}", self.witness.cosigner().encode())
    }

    async fn add_checkpoint(&self, body: Incoming) -> Reply {
        let busy = |seconds: u64| told(StatusCode::SERVICE_UNAVAILABLE, "busy; come again 繁忙，请稍后再试").header(RETRY_AFTER, seconds.to_string());
        if self.door.is_stopping() {
            return busy(5);
        }
        let Ok(place) = self.bodies.try_acquire() else { return busy(1) };
        let read = tokio::time::timeout(Duration::from_secs(WITNESS_BODY_SECS), Limited::new(body, ADD_CHECKPOINT_BYTES_MAX).collect());
        let body: Bytes = match read.await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return told(StatusCode::PAYLOAD_TOO_LARGE, "longer than any submission 内容过长"),
            Ok(Err(_)) => return told(StatusCode::BAD_REQUEST, "the body broke off 内容不完整"),
            Err(_) => return told(StatusCode::REQUEST_TIMEOUT, "the body did not come in time 内容未及时到达"),
        };
        let submitted = match AddCheckpoint::parse(&body) {
            Ok(submitted) => submitted,
            Err(fault) => return told(StatusCode::BAD_REQUEST, &format!("{fault} 格式有误")),
        };
        drop(body);
        let Ok(Ok(_turn)) = tokio::time::timeout(Duration::from_secs(WITNESS_TURN_SECS), self.turn.acquire()).await else { return busy(1) };
        let (witness, origin) = (Arc::clone(&self.witness), submitted.checkpoint.origin.clone());
        let size = submitted.checkpoint.size;
        // Syncs.
        let judged = tokio::task::spawn_blocking(move || witness.add(&submitted)).await;
        drop(place);
        match judged {
            Ok(Ok(Witnessed::Cosigned(line))) => Reply::new(PLAIN, line.encode()),
            Ok(Ok(Witnessed::Refused { judgement, evidence })) => {
                self.tell(judgement, &origin, size, evidence);
                self.refused(judgement, &origin)
            }
            Ok(Err(fault)) => {
                tracing::error!(%origin, size, error = %fault, "a checkpoint could not be cosigned");
                let status = if matches!(fault, WitnessFault::Submitted(_)) { StatusCode::BAD_REQUEST } else { StatusCode::SERVICE_UNAVAILABLE };
                told(status, &format!("{fault} 暂不能联署")).header(RETRY_AFTER, "5")
            }
            Err(error) => {
                tracing::error!(%error, "a handler panicked");
                busy(5)
            }
        }
    }

    /// Says what contradicts what was cosigned.
    fn tell(&self, judgement: Judgement, origin: &Origin, size: u64, evidence: Option<Result<PathBuf, EngineError>>) {
        let kept = match evidence {
            Some(Ok(path)) => path.display().to_string(),
            Some(Err(error)) => format!("none: {error}"),
            None => "as before".to_owned(),
        };
        let second = self.since.elapsed().as_secs() + 1;
        match judgement {
            Judgement::TwoRoots => tracing::error!(%origin, size, evidence = kept, "a log signed another history than the one that was cosigned"),
            Judgement::Inconsistent if self.told.swap(second, Ordering::Relaxed) != second => {
                tracing::warn!(%origin, size, evidence = kept, "a proof did not show that a checkpoint continues what was cosigned");
            }
            _ => {}
        }
    }

    fn refused(&self, judgement: Judgement, origin: &Origin) -> Reply {
        let contradicts = |status, what: &str| {
            let seen =
                self.witness.seen_of(origin).map_or_else(String::new, |seen| format!(" cosigned at size {} ({})", seen.checkpoint.size, seen.when()));
            let text = format!(
                "{what} what this witness{seen}: another copy of this log signs or signed, or its history was changed. Sign nothing more with the copy that \
                 submitted this; find the other one. What was submitted is kept as evidence. 与本见证人已联署的历史不一致：另有副本在签名，或历史被改动；\
                 请停止使用此副本签名并查找另一副本"
            );
            told(status, &text)
        };
        match judgement {
            Judgement::OtherSize(size) => Reply::new(SIZE, format!("{size}\n")).status(StatusCode::CONFLICT),
            Judgement::TwoRoots => contradicts(StatusCode::CONFLICT, "this has the same size as, and another root than,"),
            Judgement::Inconsistent => contradicts(StatusCode::UNPROCESSABLE_ENTITY, "the proof does not show that this continues"),
            Judgement::NeedlessProof => told(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this is the checkpoint that was cosigned last, and needs no proof 与上次联署的检查点相同，无需证明",
            ),
            Judgement::UnknownLog => {
                told(StatusCode::NOT_FOUND, "this witness does not know the log; its operator adds a line `log <verifier key>` 未登记此日志")
            }
            Judgement::NotSigned => told(
                StatusCode::FORBIDDEN,
                "none of the keys that this witness knows the log by signed this; after a rotation its operator adds the new one 签名密钥未登记",
            ),
            Judgement::Backwards => told(StatusCode::BAD_REQUEST, "the old size is larger than the checkpoint's 起始大小超过检查点"),
            Judgement::Cosign => unreachable!("what is cosigned is not refused"),
        }
    }
}

fn told(status: StatusCode, text: &str) -> Reply {
    Reply::new(PLAIN, format!("{text}\n")).status(status)
}

impl Host for WitnessSite {
    fn door(&self) -> &Door {
        &self.door
    }

    async fn answer(self: Arc<Self>, _: IpAddr, request: Request<Incoming>, too_many: bool) -> Response<ReplyBody> {
        let id = self.door.next_request_id();
        let reply =
            if too_many { Reply::new(PLAIN, "").status(StatusCode::SERVICE_UNAVAILABLE).header(RETRY_AFTER, "1") } else { self.route(request).await };
        reply.finish(id)
    }
}
