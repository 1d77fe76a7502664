//! Following a log from outside, over HTTP (c2sp.org/tlog-tiles): its checkpoint, its leaves, and what they say together. A log may be reached at several
//! addresses; all of them must show one history.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use hyper::StatusCode;

use super::peer::{Conversation, Said};
use crate::codec::leaf::Leaf;
use crate::codec::tile::{Row, TileName};
use crate::crypto::cosignature::Seconds;
use crate::crypto::merkle::{self, TILE_WIDTH};
use crate::crypto::note::{Checkpoint, Origin};
use crate::crypto::policy::Policy;
use crate::domain::time::UnixMillis;
use crate::limits::{BUNDLE_BYTES_MAX, MONITOR_PATIENCE_SECS, MONITOR_TRIES_MAX, MONITOR_WAIT_SECS_MAX, NOTE_BYTES_MAX, PROOF_FILE_BYTES_MAX};
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
        /// What was served as the checkpoint, for evidence.
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
    /// What was read beyond that at an address whose look broke off, so that the next one need not begin again.
    reading: Option<(usize, Followed)>,
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
            Ok(Place { conversation, size: 0 })
        };
        let places = urls.iter().map(place).collect::<Result<Vec<_>, String>>()?;
        Ok(Monitor { origin, policy, freshest, followed, reading: None, places })
    }

    /// What was seen of the log.
    pub fn followed(&self) -> &Followed {
        &self.followed
    }

    /// Looks at each address once. `progress` is told how far it has read, and of how much.
    pub async fn look(&mut self, now: Now<'_>, progress: &dyn Fn(u64, u64)) -> Vec<(String, Found)> {
        let mut found = Vec::with_capacity(self.places.len());
        for at in 0..self.places.len() {
            let url = self.places.get(at).map(|place| place.conversation.url()).unwrap_or_default();
            found.push((url, self.look_at(at, now, progress).await));
        }
        found
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
                let Some(checkpoint) = stated(&served) else { return alarm(weak) };
                return match self.continues(at, &checkpoint).await {
                    Ok(Some(graver)) => alarm(graver),
                    Ok(None) | Err(_) => alarm(weak),
                };
            }
            Err(wrong) => return alarm(wrong),
        };
        if let Some(place) = self.places.get_mut(at) {
            if checkpoint.size < place.size {
                return alarm(Alarm::WentBack { from: place.size, to: checkpoint.size });
            }
            place.size = checkpoint.size;
        }
        if checkpoint.size <= self.followed.size() {
            return match self.continues(at, &checkpoint).await {
                Ok(Some(graver)) => alarm(graver),
                Ok(None) => Found::Well(checkpoint.size),
                Err(_) if self.places.len() == 1 && checkpoint.size < self.followed.size() => {
                    alarm(Alarm::WentBack { from: self.followed.size(), to: checkpoint.size })
                }
                Err(why) => Found::Silent(why),
            };
        }
        let begun = self.reading.take().filter(|(of, read)| *of == at && (self.followed.size()..=checkpoint.size).contains(&read.size()));
        let is_resumed = begun.is_some();
        let mut next = begun.map_or_else(|| self.followed.clone(), |(_, read)| read);
        while next.size() < checkpoint.size {
            progress(next.size(), checkpoint.size);
            let leaves = match self.leaves(at, next.size(), checkpoint.size).await {
                Ok(leaves) => leaves,
                Err(Missing::Silent(why)) => {
                    self.reading = Some((at, next));
                    return Found::Silent(why);
                }
                Err(Missing::Withheld(why)) => return alarm(Alarm::Withheld(why)),
            };
            if let Err(wrong) = next.take(&leaves, now().0) {
                return alarm(wrong);
            }
        }
        progress(checkpoint.size, checkpoint.size);
        match next.arrive(&checkpoint, &served) {
            Ok(()) => {
                let before = std::mem::replace(&mut self.followed, next).policy();
                // The first one takes nothing from anybody.
                match self.followed.policy() {
                    Some(index) if before.is_some_and(|before| before != index) => alarm(Alarm::Policy { index }),
                    Some(_) | None => Found::Well(checkpoint.size),
                }
            }
            // What was read of it in an earlier look may be of what it was then: it is read again, whole, before anybody is alarmed.
            Err(_) if is_resumed => Found::Silent("what was read of it in two looks does not fit; it is read again".to_owned()),
            // Either what was seen before is not its beginning, or what it serves is not what it signed.
            Err(other) => match self.continues(at, &checkpoint).await {
                Ok(Some(graver)) => alarm(graver),
                Ok(None) | Err(_) => alarm(other),
            },
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
                    let proof = std::str::from_utf8(&body).ok().and_then(proof);
                    if proof.is_some_and(|proof| merkle::verify_consistency(old, &old_root, new, &new_root, &proof)) {
                        return Ok(None);
                    }
                }
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
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if tries < MONITOR_TRIES_MAX => {
                    tokio::time::sleep(Duration::from_secs(said.retry_after.unwrap_or(1).min(MONITOR_WAIT_SECS_MAX))).await;
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

fn stated(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(crate::crypto::note::Note::parse(note).ok()?.text()).ok()
}

/// The hashes of a proof of consistency as the server gives it.
fn proof(text: &str) -> Option<Vec<[u8; 32]>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let hash = |hash: &serde_json::Value| HEXLOWER.decode(hash.as_str()?.as_bytes()).ok()?.try_into().ok();
    value.get("hashes")?.as_array()?.iter().map(hash).collect()
}
