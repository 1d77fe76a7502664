//! The public log as strangers follow it: over HTTP, with nothing but its checkpoint key.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fapiao::crypto::merkle::{self, Hash, TILE_WIDTH};
use fapiao::crypto::note::{Checkpoint, Note, Origin, verifier_key};
use fapiao::crypto::sign::PublicKey;
use fapiao::domain::kind::Kind;
use fapiao::engine::Engine;
use proptest::prelude::*;
use signed_note::{Note as TheirNote, StandardVerifier, VerifierList};

use crate::integrate::{blocks, run};
use crate::support::http::{Client, Reply};
use crate::support::server::{Running, SILENT, Server, serve};
use crate::support::{Site, allot_all, copy_tree, generated, logged, submit};

/// Somebody who knows a log's name and key, and asks on one connection.
struct Follower {
    client: RefCell<Client>,
    origin: Origin,
    key: PublicKey,
}

impl Follower {
    fn new(running: &Running, site: &Site) -> Follower {
        let client = RefCell::new(Client::connect(running.address));
        let key = PublicKey::parse(&site.keyring().checkpoint().key.public()).expect("a sound key");
        let note = ask(&client, "/checkpoint").text().to_owned();
        let origin = Checkpoint::parse(Note::parse(&note).expect("a note").text()).expect("a checkpoint").origin;
        Follower { client, origin, key }
    }

    fn get(&self, path: &str) -> Reply {
        ask(&self.client, path)
    }

    /// The newest checkpoint, which is signed.
    fn checkpoint(&self) -> Checkpoint {
        let reply = self.get("/checkpoint");
        assert_eq!(reply.status, 200, "{}", reply.text());
        Checkpoint::open(reply.text(), &self.origin, &self.key).expect("signed").0
    }

    /// The first `width` of a tile of this row, which must be there.
    fn tile(&self, row: &str, n: u64, width: u64) -> Vec<u8> {
        let path = path(row, n, width);
        let reply = self.get(&path);
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        assert_eq!(
            (reply.header("content-type"), reply.header("cache-control")),
            ("application/octet-stream", "public, max-age=31536000, immutable"),
            "{path}"
        );
        reply.body
    }

    fn has_no(&self, path: &str) {
        let reply = self.get(path);
        let told = (reply.status, reply.header("cache-control"), reply.header("content-type"));
        assert_eq!(told, (404, "no-store", "application/problem+json"), "{path}");
    }

    /// The root over `size` leaves, out of tiles that are asked for as they are in a tree of that size.
    fn root_at(&self, size: u64) -> Hash {
        let read = |level: u8, n: u64| {
            let row = size >> (8 * u32::from(level));
            Ok::<_, ()>(self.tile(&level.to_string(), n, (row - n * TILE_WIDTH).min(TILE_WIDTH)))
        };
        merkle::root_at(size, read).expect("a root")
    }
}

fn ask(client: &RefCell<Client>, path: &str) -> Reply {
    client.borrow_mut().ask("GET", path, &[], b"")
}

/// As the specification has it, written a second time.
fn path(row: &str, n: u64, width: u64) -> String {
    let digits = format!("{n:021}");
    let groups: Vec<&str> = digits.as_bytes().chunks(3).map(|group| std::str::from_utf8(group).expect("digits")).collect();
    let (last, above) = groups.split_last().expect("seven groups");
    let above: String = above.iter().skip_while(|group| **group == "000").map(|group| format!("x{group}/")).collect();
    let partial = if width == TILE_WIDTH { String::new() } else { format!(".p/{width}") };
    format!("/tile/{row}/{above}{last}{partial}")
}

#[test]
fn the_checkpoint_is_the_newest_and_is_asked_for_again() {
    let server = Server::with(SILENT, |_| ());
    let follower = Follower::new(&server.running, &server.site);
    let first = follower.get("/checkpoint");
    assert_eq!((first.header("content-type"), first.header("cache-control")), ("text/plain; charset=utf-8", "no-cache"));
    let tag = first.header("etag").to_owned();
    let verifier = StandardVerifier::new(&verifier_key(follower.origin.as_str(), &follower.key.to_bytes())).expect("a verifier key");
    let theirs = TheirNote::from_bytes(&first.body).expect("a note");
    assert_eq!(theirs.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("verified").0.len(), 1);

    let asked_with = |known: &str| server.running.ask("GET", "/checkpoint", &[("If-None-Match", known)], b"");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let unchanged = asked_with(&known);
        assert_eq!((unchanged.status, unchanged.header("etag"), unchanged.header("cache-control")), (304, tag.as_str(), "no-cache"), "{known}");
    }
    for unknown in ["\"other\"", "", tag.trim_matches('"')] {
        assert_eq!(asked_with(unknown).body, first.body, "{unknown}");
    }
    let head = server.running.ask("HEAD", "/checkpoint", &[], b"");
    assert_eq!((head.status, head.header("etag"), head.header("content-length")), (200, tag.as_str(), first.body.len().to_string().as_str()));

    let before = follower.checkpoint();
    server.issue(1..2);
    let after = asked_with(&tag);
    assert_eq!((after.status, after.header("etag") == tag), (200, false));
    assert_eq!(follower.checkpoint().size, before.size + 1);
    let path = path("0", 0, before.size);
    let head = server.running.ask("HEAD", &path, &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, (32 * before.size).to_string().as_str()), "{path}");
}

#[test]
fn a_tile_that_is_not_there_is_not_kept_by_caches() {
    let server = Server::with(SILENT, |_| ());
    let follower = Follower::new(&server.running, &server.site);
    let size = follower.checkpoint().size;
    for row in ["0", "entries"] {
        follower.tile(row, 0, size);
        let next = path(row, 0, size + 1);
        for absent in [next.as_str(), &path(row, 0, TILE_WIDTH), &path(row, 1, 1), &path(row, u64::MAX, 1), &path(row, u64::MAX / TILE_WIDTH, 255)] {
            follower.has_no(absent);
        }
        // Other spellings of a tile that is there.
        for spelled in
            ["0.p/1", "00.p/1", "0000.p/1", "x000/000.p/1", "000.p/01", "000.p/+1", "000.p/0", "000.p/", "000.p", "000.p/1/", "%3000.p/1", "000/.p/1"]
        {
            follower.has_no(&format!("/tile/{row}/{spelled}"));
        }
    }
    for absent in
        ["/tile/1/000.p/1", "/tile/63/000.p/1", "/tile/64/000.p/1", "/tile/00/000.p/1", "/tile/-1/000.p/1", "/tile/data/000.p/1", "/tile/0", "/tile/"]
    {
        follower.has_no(absent);
    }
    server.issue(1..2);
    for row in ["0", "entries"] {
        follower.tile(row, 0, size + 1);
    }
}

/// The rows of the tree over these leaves, from the definition.
fn rows(leaves: &[&[u8]]) -> Vec<Vec<Hash>> {
    let mut rows = vec![leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect::<Vec<_>>()];
    while let Some(below) = rows.last().filter(|row| row.len() >= 256) {
        let above = below.chunks_exact(256).map(|tile| {
            let mut row = tile.to_vec();
            while row.len() > 1 {
                row = row.chunks(2).map(|pair| merkle::node_hash(&pair[0], &pair[1])).collect();
            }
            row[0]
        });
        rows.push(above.collect());
    }
    rows
}

/// Every leaf of the log of this size, from the bundles.
fn entries(follower: &Follower, size: u64) -> Vec<u8> {
    let mut leaves = Vec::new();
    for n in 0..size.div_ceil(TILE_WIDTH) {
        let bundle = follower.tile("entries", n, (size - n * TILE_WIDTH).min(TILE_WIDTH));
        for entry in bundle.chunks(98) {
            assert_eq!((entry.len(), &entry[..2]), (98, &[0, 96][..]));
            leaves.extend_from_slice(&entry[2..]);
        }
    }
    leaves
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3, ..ProptestConfig::default() })]

    /// Of each width that a tile has or once had.
    #[test]
    fn every_tile_is_the_one_that_the_leaves_make(steps in prop::collection::vec(1u32..420, 1..4)) {
        let server = Server::with(SILENT, |_| ());
        let follower = Follower::new(&server.running, &server.site);
        let mut next = 1;
        for step in steps {
            server.issue(next..next + step);
            next += step;
            let Checkpoint { size, root, .. } = follower.checkpoint();
            let leaves = entries(&follower, size);
            let leaves: Vec<&[u8]> = leaves.chunks(96).collect();
            prop_assert_eq!(leaves.len() as u64, size);
            let rows = rows(&leaves);
            let bytes = |level: u8, n: u64| {
                let tile = rows[usize::from(level)].chunks(256).nth(usize::try_from(n).expect("small")).unwrap_or_default();
                Ok::<_, ()>(tile.as_flattened().to_vec())
            };
            prop_assert_eq!(merkle::root_at(size, bytes), Ok(root));
            for (level, row) in rows.iter().enumerate() {
                for (n, tile) in (0..).zip(row.chunks(256)) {
                    for width in 1..=tile.len() {
                        let expected = tile[..width].as_flattened();
                        prop_assert_eq!(follower.tile(&level.to_string(), n, width as u64), expected, "{}/{} of {}", level, n, size);
                    }
                }
                follower.has_no(&path(&level.to_string(), row.len() as u64 / TILE_WIDTH, row.len() as u64 % TILE_WIDTH + 1));
            }
            follower.has_no(&path(&rows.len().to_string(), 0, 1));
            for (n, bundle) in (0..).zip(leaves.chunks(256)) {
                for width in 1..=bundle.len() {
                    let expected: Vec<u8> = bundle[..width].iter().flat_map(|leaf| [&[0, 96][..], leaf].concat()).collect();
                    prop_assert_eq!(follower.tile("entries", n, width as u64), expected, "entries/{} of {}", n, size);
                }
            }
        }
    }
}

/// While invoices are issued, whoever asks later is never shown an older log, whatever is shown is signed and locked, and all its tiles are there.
#[test]
fn under_load_no_checkpoint_is_older_than_one_before() {
    const SIZES: usize = 6;
    let server = Server::with(SILENT, |_| ());
    let newest = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let following: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let follower = Follower::new(&server.running, &server.site);
                    let mut sizes = Vec::new();
                    while sizes.len() < SIZES {
                        let before = newest.load(Ordering::SeqCst);
                        let Checkpoint { size, root, .. } = follower.checkpoint();
                        assert!(size >= before, "{size} was shown after {before}");
                        newest.fetch_max(size, Ordering::SeqCst);
                        let lock = fs::read_to_string(server.site.lock_path()).expect("a lock record");
                        let locked = Checkpoint::open(&lock, &follower.origin, &follower.key).expect("signed").0;
                        assert!(locked.size >= size, "{size} was shown, {} is locked", locked.size);
                        if sizes.last() != Some(&size) {
                            assert_eq!(follower.root_at(size), root, "size {size}");
                            assert_eq!(entries(&follower, size).len() as u64, 96 * size);
                            sizes.push(size);
                        }
                    }
                })
            })
            .collect();
        let (server, done) = (&server, &done);
        scope.spawn(move || {
            for nth in (0..).take_while(|_| !done.load(Ordering::SeqCst)) {
                server.issue(1 + nth * 100..1 + (nth + 1) * 100);
            }
        });
        let followed: Vec<_> = following.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::SeqCst);
        assert!(followed.iter().all(Result::is_ok), "a follower was wronged");
    });
}

/// Another implementation reads tiles by its own paths, and checks all that it reads against the root.
struct Tiles<'a>(&'a Follower);

impl tlog_tiles::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let theirs = tile.path();
            let reply = self.0.get(&format!("/tile/{}", theirs.strip_prefix("tile/8/").expect("of this height")));
            assert_eq!(reply.status, 200, "{theirs}");
            reply.body
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_proves_from_the_tiles_what_the_leaves_say() {
    let server = Server::with(SILENT, |_| ());
    server.issue(1..300);
    let follower = Follower::new(&server.running, &server.site);
    let Checkpoint { size, root, .. } = follower.checkpoint();
    let (tiles, root) = (Tiles(&follower), tlog_tiles::Hash(root));
    let read = tlog_tiles::TileHashReader::new(size, root, &tiles);
    assert_eq!(tlog_tiles::tree_hash(size, &read).expect("a root"), root);
    let leaves = entries(&follower, size);
    for (index, leaf) in (0..).zip(leaves.chunks(96)) {
        let proof = tlog_tiles::prove_record(size, index, &read).expect("a proof");
        let leaf = tlog_tiles::Hash(merkle::leaf_hash(leaf));
        tlog_tiles::check_record(&proof, size, root, index, leaf).unwrap_or_else(|error| panic!("leaf {index} of {size}: {error:?}"));
    }
}

#[test]
fn a_copy_that_does_not_sign_publishes_no_checkpoint_and_one_reopened_goes_on_under_another_origin() {
    let site = Site::new();
    let engine = site.create();
    allot_all(&engine);
    logged(submit(&engine, &generated(Kind::Electronic, 1, 1)));
    let here = engine.ledger().published().size;
    drop(engine);
    copy_tree(&site.directory(), &site.file("copy"));
    let running = serve(&site, SILENT);
    let before = Follower::new(&running, &site);
    assert_eq!(before.checkpoint().size, here);
    let old_root = before.checkpoint().root;
    drop(running);
    let engine = site.open().expect("opened");
    logged(submit(&engine, &generated(Kind::Electronic, 2, 2)));
    drop(engine);

    fs::remove_dir_all(site.directory()).expect("removed");
    copy_tree(&site.file("copy"), &site.directory());
    let running = serve(&site, SILENT);
    let refused = running.ask("GET", "/checkpoint", &[], b"");
    let told = (refused.status, refused.header("retry-after"), refused.header("cache-control"));
    assert_eq!(told, (503, "60", "no-store"), "{}", refused.text());
    // What a tile says is so whoever tells it.
    assert_eq!(running.ask("GET", &path("0", 0, here), &[], b"").body.len() as u64, 32 * here);
    drop(running);

    Engine::reopen(&site.config(), "the newest copy is lost").expect("reopened");
    let running = serve(&site, SILENT);
    let after = Follower::new(&running, &site);
    let newest = after.checkpoint();
    assert!(newest.origin != before.origin && newest.size > here, "{newest:?}");
    assert_eq!(after.root_at(newest.size), newest.root);
    let proof = after.get(&format!("/v1/proofs/consistency?from={here}")).json();
    let hashes: Vec<Hash> = proof["hashes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hash| data_encoding::HEXLOWER.decode(hash.as_str().expect("hex").as_bytes()).expect("hex").try_into().expect("32 bytes"))
        .collect();
    assert!(merkle::verify_consistency(here, &old_root, newest.size, &newest.root, &hashes));
}

#[test]
fn a_tile_costs_what_a_question_costs_and_a_checkpoint_nothing() {
    let server = Server::with("[quota]\naddress_burst = 3\naddress_per_minute = 1\n", |_| ());
    let follower = Follower::new(&server.running, &server.site);
    let statuses: Vec<u16> =
        ["/tile/0/000.p/1", "/tile/entries/000.p/1", "/tile/9/000", "/tile/0/000.p/1"].map(|path| follower.get(path).status).into();
    assert_eq!(statuses, [200, 200, 404, 429]);
    assert_eq!(follower.get("/tile/entries/000.p/1").header("cache-control"), "no-store");
    for _ in 0..10 {
        follower.checkpoint();
    }
    assert_eq!(server.ask_as("business", "GET", "/tile/0/000.p/1", b"").status, 200, "a token has a quota of its own");
}

#[test]
fn the_page_for_followers_runs_as_it_stands() {
    let said = run(&(blocks(include_str!("../../src/manual/log.md")).collect::<String>() + "cat verifier.txt\n"));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(" leaves: they make the root"), "{said}");
    assert!(StandardVerifier::new(lines[1]).is_ok(), "{said}");
}
