//! Following a log from outside, over HTTP (c2sp.org/tlog-tiles): its checkpoint, its leaves, and what they say together. A log may be reached at several
//! addresses; all of them must show one history.

use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;

use super::log_proof;
use super::peer::{Conversation, Said};
use crate::codec::leaf::Leaf;
use crate::codec::tile::{Row, TileName};
use crate::crypto::cosignature::Seconds;
use crate::crypto::merkle::{self, TILE_WIDTH};
use crate::crypto::note::{Checkpoint, Origin};
use crate::crypto::policy::Policy;
use crate::domain::time::UnixMillis;
use crate::limits::{
    BUNDLE_BYTES_MAX, MONITOR_PATIENCE_SECS, MONITOR_TRIES_MAX, MONITOR_UNREAD_SECS_MAX, MONITOR_WAIT_SECS_MAX, MONITOR_WAITS_SECS_MAX,
    NOTE_BYTES_MAX, PROOF_FILE_BYTES_MAX,
};
use crate::witness::follow::{Alarm, Followed, judge_note};

/// What was found at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All is well at this size.
    Well(u64),
    /// Somebody has to look.
    Alarm {
        /// Why.
        alarm: Alarm,
        /// What was served as the checkpoint, and what else was said, for evidence.
        served: String,
    },
    /// It shows a signed checkpoint, and what that is over could not be read, or compared with what was seen.
    Unread {
        /// Why not.
        why: String,
        /// What was served as the checkpoint.
        served: String,
    },
    /// It could not be asked.
    Silent(String),
}

/// A log that is followed.
#[derive(Debug)]
pub struct Monitor {
    origin: Origin,
    policy: Policy,
    /// How old the newest cosignature may be.
    freshest: Seconds,
    followed: Followed,
    /// What was read beyond that in a look that broke off, so that the next one need not begin again: the root says whether it was right.
    reading: Option<Followed>,
    /// What was said in this look besides, for evidence: a proof from one size to another gives the root that the other history had at the first.
    shown: Vec<String>,
    /// Time that was spent waiting in this look.
    waited: Duration,
    places: Vec<Place>,
}

/// The time of day, as it is asked for again and again in a look that may take hours.
pub type Now<'a> = &'a (dyn Fn() -> UnixMillis + Sync);

/// An address of the log.
#[derive(Debug)]
struct Place {
    conversation: Conversation,
    /// The largest size that it showed.
    size: u64,
    /// Since when what it shows could not be read, without any progress.
    unread_since: Option<UnixMillis>,
}

impl Monitor {
    /// A monitor of the log of this name at these addresses, from what was seen of it before.
    pub fn of(
        origin: Origin,
        policy: Policy,
        freshest: Seconds,
        followed: Followed,
        urls: &[String],
        authorities: Option<&Path>,
    ) -> Result<Monitor, String> {
        let place = |url: &String| {
            let conversation = Conversation::with(url, authorities).map_err(|why| format!("{url}: {why}"))?;
            Ok(Place { conversation, size: 0, unread_since: None })
        };
        let places = urls.iter().map(place).collect::<Result<Vec<_>, String>>()?;
        Ok(Monitor { origin, policy, freshest, followed, reading: None, shown: Vec::new(), waited: Duration::ZERO, places })
    }

    /// What was seen of the log.
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Its addresses, by number.
    pub fn addresses(&self) -> Vec<String> {
        self.places.iter().map(|place| place.conversation.url()).collect()
    }

    /// Looks at one address, by number, once. `progress` is told how far it has read, and of how much. What was read when this is dropped is read on later.
    pub async fn look(&mut self, at: usize, now: Now<'_>, progress: &dyn Fn(u64, u64)) -> Found {
        self.waited = Duration::ZERO;
        let before = self.read();
        self.shown.clear();
        let found = match self.look_at(at, now, progress).await {
            Found::Alarm { alarm, served } => {
                if let Alarm::Policy { .. } = alarm
                    && let Ok(text) = self.text(at, "/v1/proofs/policies", PROOF_FILE_BYTES_MAX).await
                {
                    self.shown.push(text);
                }
                Found::Alarm { alarm, served: std::iter::once(served).chain(self.shown.drain(..)).collect::<Vec<_>>().join("\n") }
            }
            found => found,
        };
        let (time, progressed) = (now(), self.read() > before);
        let Some(place) = self.places.get_mut(at) else { return found };
        place.unread_since = match &found {
            Found::Unread { .. } if !progressed => place.unread_since.or(Some(time)),
            Found::Silent(_) => place.unread_since,
            Found::Unread { .. } | Found::Well(_) | Found::Alarm { .. } => None,
        };
        match (found, place.unread_since) {
            // Whoever shows a second history may keep quiet about the rest of it.
            (Found::Unread { why, served }, Some(since)) if time.0.saturating_sub(since.0) > MONITOR_UNREAD_SECS_MAX * 1_000 => {
                Found::Alarm { alarm: Alarm::Withheld(format!("since {since} {why}")), served }
            }
            (found, _) => found,
        }
    }

    /// Leaves that were read, whether a checkpoint is over them or not.
    fn read(&self) -> u64 {
        self.reading.as_ref().unwrap_or(&self.followed).size()
    }

    async fn look_at(&mut self, at: usize, now: Now<'_>, progress: &dyn Fn(u64, u64)) -> Found {
        let served = match self.text(at, "/checkpoint", NOTE_BYTES_MAX).await {
            Ok(text) => text,
            Err(why) => return Found::Silent(why),
        };
        let alarm = |alarm| Found::Alarm { alarm, served: served.clone() };
        let checkpoint = match judge_note(&served, &self.origin, &self.policy, now().0 / 1_000, self.freshest) {
            Ok(checkpoint) => checkpoint,
            // What is stale or not cosigned may be of another history all the same, which is graver.
            Err(weak @ (Alarm::Stale { .. } | Alarm::NotCosigned { .. })) => {
                let Ok(checkpoint) = log_proof::stated(&served) else { return alarm(weak) };
                return alarm(self.graver(at, &checkpoint, weak).await);
            }
            Err(wrong) => return alarm(wrong),
        };
        if let Some(place) = self.places.get_mut(at) {
            if checkpoint.size < place.size {
                let weak = Alarm::WentBack { from: place.size, to: checkpoint.size };
                return alarm(self.graver(at, &checkpoint, weak).await);
            }
            place.size = checkpoint.size;
        }
        if checkpoint.size <= self.followed.size() {
            return match self.continues(at, &checkpoint).await {
                Ok(Some(graver)) => alarm(graver),
                _ if self.places.len() == 1 && checkpoint.size < self.followed.size() => {
                    alarm(Alarm::WentBack { from: self.followed.size(), to: checkpoint.size })
                }
                Ok(None) => Found::Well(checkpoint.size),
                Err(why) => Found::Unread { why, served },
            };
        }
        let followed = self.followed.size();
        self.reading.take_if(|read| !(followed..=checkpoint.size).contains(&read.size()));
        let is_resumed = self.reading.is_some();
        while self.read() < checkpoint.size {
            progress(self.read(), checkpoint.size);
            let leaves = match self.leaves(at, self.read(), checkpoint.size).await {
                Ok(leaves) => leaves,
                Err(Missing::Silent(why)) => {
                    return match self.continues(at, &checkpoint).await {
                        Ok(Some(graver)) => alarm(graver),
                        Ok(None) | Err(_) => Found::Unread { why, served },
                    };
                }
                Err(Missing::Withheld(why)) => return alarm(self.graver(at, &checkpoint, Alarm::Withheld(why)).await),
            };
            let followed = &self.followed;
            if let Err(wrong) = self.reading.get_or_insert_with(|| followed.clone()).take(&leaves, now().0) {
                self.reading = None;
                return alarm(self.graver(at, &checkpoint, wrong).await);
            }
        }
        progress(checkpoint.size, checkpoint.size);
        let mut next = self.reading.take().unwrap_or_else(|| self.followed.clone());
        let Err(other) = next.arrive(&checkpoint, &served) else {
            let before = std::mem::replace(&mut self.followed, next).policy();
            // The first one takes nothing from anybody.
            return match self.followed.policy() {
                Some(index) if before.is_some_and(|before| before != index) => alarm(Alarm::Policy { index }),
                Some(_) | None => Found::Well(checkpoint.size),
            };
        };
        // Either what was seen before is not its beginning, or what it serves is not what it signed.
        match self.continues(at, &checkpoint).await {
            Ok(Some(graver)) => alarm(graver),
            // What was read of it in an earlier look may be of what it was then, or of another address: it is read again, whole, before anybody is alarmed.
            Ok(None) | Err(_) if is_resumed => {
                Found::Unread { why: "what was read of it in two looks does not fit; it is read again".to_owned(), served }
            }
            Ok(None) | Err(_) => alarm(other),
        }
    }

    /// The alarm to give: what is wrong at first sight may come of another history, whose leaves do not follow on those that were seen.
    async fn graver(&mut self, at: usize, checkpoint: &Checkpoint, weak: Alarm) -> Alarm {
        match self.continues(at, checkpoint).await {
            Ok(Some(graver)) => graver,
            Ok(None) | Err(_) => weak,
        }
    }

    /// Whether a checkpoint and what was seen of the log continue each other, by a proof that any of the addresses gives. The alarm if none can; an error if
    /// one that could did not say anything.
    async fn continues(&mut self, at: usize, checkpoint: &Checkpoint) -> Result<Option<Alarm>, String> {
        let (size, root) = (self.followed.size(), self.followed.root());
        let ((old, old_root), (new, new_root)) = match checkpoint.size <= size {
            true => ((checkpoint.size, checkpoint.root), (size, root)),
            false => ((size, root), (checkpoint.size, checkpoint.root)),
        };
        let two_histories = Some(Alarm::TwoHistories { one: size, other: checkpoint.size });
        if old == new || old == 0 {
            let fits = merkle::verify_consistency(old, &old_root, new, &new_root, &[]);
            return Ok(if fits { None } else { two_histories });
        }
        let path = format!("/v1/proofs/consistency?from={old}&to={new}");
        let (mut said, mut silent, many) = (false, None, self.places.len());
        for place in (0..many).map(|step| (at + step) % many) {
            match self.ask(place, &path, PROOF_FILE_BYTES_MAX).await {
                Ok(Said { status: StatusCode::OK, body, .. }) => {
                    said = true;
                    let text = String::from_utf8_lossy(&body).into_owned();
                    let proof = proof(&text);
                    self.shown.push(text);
                    if proof.is_some_and(|proof| merkle::verify_consistency(old, &old_root, new, &new_root, &proof)) {
                        return Ok(None);
                    }
                }
                // Whoever shows what is longer disowns a checkpoint that the log signed.
                Ok(Said { status: StatusCode::NOT_FOUND, .. }) if place == at && old == size => said = true,
                // A copy that never had one of the two sizes says so, and proves nothing.
                Ok(Said { status: StatusCode::NOT_FOUND, .. }) if many > 1 => {}
                Ok(other) => silent = Some(format!("{path}: HTTP {}", other.status.as_u16())),
                Err(why) => silent = Some(why),
            }
        }
        match silent {
            Some(why) if !said => Err(why),
            _ => Ok(two_histories),
        }
    }

    /// Leaves from `from` on, as many as a tile has of a log of `size`.
    async fn leaves(&mut self, at: usize, from: u64, size: u64) -> Result<Vec<[u8; Leaf::LEN]>, Missing> {
        let (n, skip) = (from / TILE_WIDTH, from % TILE_WIDTH);
        let width = (size - n * TILE_WIDTH).min(TILE_WIDTH);
        let name = TileName { row: Row::Entries, n, width: u16::try_from(width).unwrap_or(256) };
        let path = format!("/tile/{name}");
        let mut tries = 0;
        let said = loop {
            let said = self.ask(at, &path, BUNDLE_BYTES_MAX).await.map_err(Missing::Silent)?;
            tries += 1;
            match said.status {
                StatusCode::OK => break said,
                StatusCode::NOT_FOUND => return Err(Missing::Withheld(format!("{path} is not there"))),
                // Whoever reads a whole log asks more than most.
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if tries < MONITOR_TRIES_MAX && !self.waited_enough() => {
                    let wait = Duration::from_secs(said.retry_after.unwrap_or(1).min(MONITOR_WAIT_SECS_MAX));
                    self.waited += wait;
                    tokio::time::sleep(wait).await;
                }
                status => return Err(Missing::Silent(format!("{path}: HTTP {}", status.as_u16()))),
            }
        };
        let (entries, rest) = said.body.as_chunks::<{ 2 + Leaf::LEN }>();
        if entries.len() as u64 != width || !rest.is_empty() {
            return Err(Missing::Withheld(format!("{path} holds {} bytes", said.body.len())));
        }
        let leaf = |entry: &[u8; 2 + Leaf::LEN]| match entry.split_first_chunk::<2>() {
            Some(([0, 96], leaf)) => <[u8; Leaf::LEN]>::try_from(leaf).ok(),
            _ => None,
        };
        let leaves: Option<Vec<_>> = entries.iter().skip(usize::try_from(skip).unwrap_or(0)).map(leaf).collect();
        leaves.ok_or_else(|| Missing::Withheld(format!("{path} is no bundle of leaves")))
    }

    /// One address does not keep the others from being looked at.
    fn waited_enough(&self) -> bool {
        self.places.len() > 1 && self.waited.as_secs() >= MONITOR_WAITS_SECS_MAX
    }

    async fn text(&mut self, at: usize, path: &str, limit: usize) -> Result<String, String> {
        let said = self.ask(at, path, limit).await?;
        match said.status {
            StatusCode::OK => String::from_utf8(said.body.to_vec()).map_err(|_| format!("{path}: not UTF-8")),
            status => Err(format!("{path}: HTTP {}", status.as_u16())),
        }
    }

    async fn ask(&mut self, at: usize, path: &str, limit: usize) -> Result<Said, String> {
        let Some(place) = self.places.get_mut(at) else { return Err("no such address".to_owned()) };
        place.conversation.ask(path, None, limit, Duration::from_secs(MONITOR_PATIENCE_SECS)).await
    }
}

/// Why leaves are not at hand.
enum Missing {
    Silent(String),
    Withheld(String),
}

/// The hashes of a proof of consistency as the server gives it.
fn proof(text: &str) -> Option<Vec<[u8; 32]>> {
    log_proof::hash_list(serde_json::from_str::<serde_json::Value>(text).ok()?.get("hashes")?)
}
