//! The revocation list beside what it could be instead: a million invoices revoked among a thousand million, which come from a counter and are never
//! stored. The page of decisions on it has these figures.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fapiao::codec::event::{KeyRecord, Role};
use fapiao::codec::revocations::{RevocationList, SignedList};
use fapiao::crypto::hash::revocation_token;
use fapiao::crypto::keyring::PublicKeys;
use fapiao::crypto::note::{Host, Origin};
use fapiao::domain::time::UnixMillis;
use fapiao::verify::offline::judge_list;

use crate::{Plan, site};

/// One invoice in so many is revoked.
const EVERY: u64 = 1_000;
/// Invoices that are looked up to measure one look-up.
const LOOKED_UP: u64 = 2_000_000;
/// Bytes of a shorter token.
const SHORT: u32 = 5;

pub(crate) fn measure(plan: &Plan) {
    if !plan.wants(&["revocations"]) {
        return;
    }
    let universe = if plan.smoke { 2_000_000 } else { 1_000_000_000 };
    println!("revocations: {} of {universe} invoices", universe / EVERY);
    let revoked: Vec<u64> = (0..universe).step_by(EVERY as usize).map(token).collect();
    list(&revoked, universe);
    cascade(&revoked, universe);
    short(&revoked, universe);
}

/// What an invoice's commit comes down to: 64 bits that look random. The counter is a bijection, so no two are alike.
fn token(counter: u64) -> u64 {
    let z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = black_box(what());
    (done, begun.elapsed())
}

/// Ours: as it is made, published and checked.
fn list(revoked: &[u64], universe: u64) {
    let keyring = site::loose_keyring();
    let (authority, made) = (keyring.authority(), site::noon());
    let mut keys = PublicKeys::new();
    let record = KeyRecord::new(Role::Authority, authority.key.public(), UnixMillis(0), None).expect("a window");
    keys.enrol(record, 0).expect("a good key");
    let origin = Origin::new(&Host::parse("fapiao.example").expect("a host"), [7; Origin::LOG_ID_LEN]);
    let (signed, build) = timed(|| {
        let next = UnixMillis(made.0 + 3_600_000);
        let list = RevocationList::new(origin, universe, [7; 32], made, next, revoked.to_vec()).expect("not too many");
        list.signed(authority.key_id, |message| authority.key.sign(message)).expect("signed")
    });
    let bytes = signed.as_bytes();
    let packed = zstd::bulk::compress(bytes, 19).expect("compressed").len();
    let (decoded, parse) = timed(|| SignedList::decode(bytes).expect("a list"));
    let (judged, verify) = timed(|| judge_list(&decoded, &keys));
    assert_eq!(judged, None, "the list counts");
    let (found, look) = timed(|| (0..LOOKED_UP).filter(|counter| decoded.list.tokens().binary_search(&token(*counter)).is_ok()).count() as u64);
    assert_eq!(found, LOOKED_UP.min(universe).div_ceil(EVERY), "those that are revoked, and no other");
    let (_, hashing) = timed(|| (0..LOOKED_UP).fold(0, |sum, counter| sum ^ revocation_token(&[counter as u8; 32])));
    let memory = bytes.len() + decoded.list.tokens().len() * 8;
    println!(
        "revocations: the list: {} bytes ({:.1} bits a token; by zstd 19 {:.3} of that), made and signed in {build:.0?}, cold check: read {parse:.1?}, \
         signature {verify:.1?}; warm look-up {:.0?} and {:.0?} for its hash; {:.1} MB in memory",
        bytes.len(),
        bytes.len() as f64 * 8.0 / revoked.len() as f64,
        packed as f64 / bytes.len() as f64,
        look / LOOKED_UP as u32,
        hashing / LOOKED_UP as u32,
        memory as f64 / 1e6,
    );
}

/// A Bloom filter of so many bits, for items that are hashes already.
struct Filter {
    bits: Vec<u64>,
    size: u64,
    hashes: u64,
    layer: u64,
}

impl Filter {
    /// Of so many items, with this part of others said to be among them.
    fn new(items: usize, rate: f64, layer: u64) -> Filter {
        let size = (items as f64 * (1.0 / rate).log2() / std::f64::consts::LN_2).ceil().max(64.0) as u64;
        Filter { bits: vec![0; size.div_ceil(64) as usize], size, hashes: (1.0 / rate).log2().round().max(1.0) as u64, layer }
    }

    /// Where the bits of an item lie. Every layer hashes anew: what one cannot tell apart another must.
    fn places(&self, item: u64) -> impl Iterator<Item = u64> + use<> {
        let (first, step) = (token(item ^ self.layer << 56), token(item.rotate_left(32) ^ self.layer << 56) | 1);
        let size = u128::from(self.size);
        (0..self.hashes).map(move |nth| ((u128::from(first.wrapping_add(nth.wrapping_mul(step))) * size) >> 64) as u64)
    }

    fn insert(&mut self, item: u64) {
        for place in self.places(item) {
            self.bits[(place / 64) as usize] |= 1 << (place % 64);
        }
    }

    fn has(&self, item: u64) -> bool {
        self.places(item).all(|place| self.bits[(place / 64) as usize] >> (place % 64) & 1 == 1)
    }
}

/// A cascade as CRLite's (Larisch and others, 2017): the first layer has the revoked ones; each further one has those of the other side that the one
/// before took for its own, until there are none.
fn cascade(revoked: &[u64], universe: u64) {
    let rate = revoked.len() as f64 * 0.5f64.sqrt() / (universe - revoked.len() as u64) as f64;
    let begun = Instant::now();
    let mut layers = vec![Filter::new(revoked.len(), rate, 0)];
    revoked.iter().for_each(|item| layers[0].insert(*item));
    // The whole universe is asked once, and never held.
    let mut mistaken: Vec<u64> = (0..universe).filter(|counter| counter % EVERY != 0).map(token).filter(|item| layers[0].has(*item)).collect();
    let mut others = revoked.to_vec();
    while !mistaken.is_empty() {
        let mut layer = Filter::new(mistaken.len(), 0.5, layers.len() as u64);
        mistaken.iter().for_each(|item| layer.insert(*item));
        others.retain(|item| layer.has(*item));
        std::mem::swap(&mut mistaken, &mut others);
        layers.push(layer);
    }
    let build = begun.elapsed();
    let bytes: usize = layers.iter().map(|layer| layer.size.div_ceil(8) as usize).sum();
    // Whichever layer does not have it decides; the last one has all that come to it.
    let is_revoked = |item: u64| layers.iter().position(|layer| !layer.has(item)).unwrap_or(layers.len()) % 2 == 1;
    let (found, look) = timed(|| (0..LOOKED_UP).filter(|counter| is_revoked(token(*counter))).count() as u64);
    assert_eq!(found, LOOKED_UP.min(universe).div_ceil(EVERY), "right about every invoice that it was made of");
    let asked = universe.min(10_000_000);
    let slandered = (universe..universe + asked).filter(|counter| is_revoked(token(*counter))).count();
    println!(
        "revocations: a Bloom filter cascade: {bytes} bytes ({:.1} bits a revoked one) in {} layers, built in {build:.1?} from tokens that cost nothing to \
         read; warm look-up {:.0?}; {bytes} bytes in memory; of {asked} invoices issued later {slandered} are said to be revoked, one in {:.0}",
        bytes as f64 * 8.0 / revoked.len() as f64,
        layers.len(),
        look / LOOKED_UP as u32,
        asked as f64 / slandered as f64,
    );
}

/// The same list of shorter tokens: how long it is, and how many invoices that are in force it has.
fn short(revoked: &[u64], universe: u64) {
    let bits = SHORT * 8;
    let cut = |token: u64| token >> (64 - bits);
    let mut tokens: Vec<u64> = revoked.iter().map(|token| cut(*token)).collect();
    tokens.sort_unstable();
    tokens.dedup();
    let low = bits - 1 - tokens.len().ilog2();
    let gaps = tokens.windows(2).map(|pair| ((pair[1] - pair[0] - 1) >> low) + 1 + u64::from(low));
    let bytes = gaps.sum::<u64>().div_ceil(8);
    // One bit for each value of the first 27 bits keeps most of the universe from the search.
    let coarse = |token: u64| (token >> (bits - 27)) as usize;
    let mut near = vec![0u64; 1 << 21];
    tokens.iter().for_each(|token| near[coarse(*token) / 64] |= 1 << (coarse(*token) % 64));
    let is_listed = |token: u64| near[coarse(token) / 64] >> (coarse(token) % 64) & 1 == 1 && tokens.binary_search(&token).is_ok();
    let slandered = (0..universe).filter(|counter| counter % EVERY != 0 && is_listed(cut(token(*counter)))).count();
    println!("revocations: a list of {SHORT}-byte tokens: {bytes} bytes; {slandered} of the invoices in force are said to be revoked");
}
