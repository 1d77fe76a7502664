//! Two implementations of the manual's byte formats agree: this one, and a Python program that was written from the manual alone
//! (`tests/second_implementation.py`). Both answer the same requests; what they must answer is frozen in `fixtures/vectors/bytes.json`
//! (`FAPIAO_BLESS=1` rewrites it from this implementation). And both refuse the same damaged bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use fapiao::channel::json::{draft_of, parse_draft};
use fapiao::channel::qr;
use fapiao::codec::canonical::{self, IssuerSlot};
use fapiao::codec::event::{Algorithm, AnswersNotice, Event, EventData, KeyRecord, ListNotice, Notice, PolicyNotice, Role, Withdrawal};
use fapiao::codec::leaf::{KeyId, Leaf};
use fapiao::codec::proof;
use fapiao::codec::revocations::RevocationList;
use fapiao::codec::rows::{Row, Rows, row_hash};
use fapiao::crypto::keyring::Keyring;
use fapiao::crypto::merkle::{self, Tree};
use fapiao::crypto::note::{Checkpoint, Host, Note, Origin};
use fapiao::crypto::sign::{PublicKey, SignError, SigningKey};
use fapiao::crypto::{hash, sign};
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::invoice::Face;
use fapiao::domain::kind::Kind;
use fapiao::domain::money::Fen;
use fapiao::domain::number::{CheckCode, InvoiceCode, InvoiceId, InvoiceNumber};
use fapiao::domain::rules::Accepted;
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::issue::{self, Randomness};
use fapiao::ledger::Submission;
use serde_json::{Value, json};

use crate::fixtures::{date, drafts, judge_with};
use crate::support::of_file;

/// As long as a host may be.
const HOST: &str = "cha-yan.example.gov.cn:65535";
const ORIGIN: &str = "cha-yan.example.gov.cn/0123456789abcdef";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

/// Bytes that are fixed for ever by their name.
fn fixed(purpose: &str, name: &str) -> [u8; 32] {
    hash::sha256(&[b"fapiao vector ", purpose.as_bytes(), b" ", name.as_bytes()])
}

fn short<const N: usize>(bytes: [u8; 32]) -> [u8; N] {
    *bytes.first_chunk().expect("at most 32 bytes")
}

fn keyring(name: &str) -> Keyring {
    let seeds = ["authority", "answering", "checkpoint"].map(|role| fixed(role, name));
    let symmetric = |role| (KeyId(short(fixed(&format!("{role} id"), name))), fixed(role, name));
    Keyring::found(seeds, symmetric("tag"), symmetric("data")).expect("a keyring")
}

/// What a program is asked, and what it must answer.
struct Vector {
    name: String,
    request: Value,
    reply: Value,
}

fn vector(name: impl Into<String>, request: Value, reply: Value) -> Vector {
    Vector { name: name.into(), request, reply }
}

/// Answers of the Python program, in order. Only that something is an error is compared, not in which words.
pub(crate) fn python(requests: &[Value]) -> Vec<Value> {
    let interpreter = std::env::var("FAPIAO_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(&interpreter)
        .arg(root("tests/second_implementation.py"))
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{interpreter}: {error}; FAPIAO_PYTHON names a Python 3 that has the package cryptography"));
    let mut stdin = child.stdin.take().expect("piped");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let input: String = requests.iter().map(|request| format!("{request}\n")).collect();
    // A program that ends early closes its input; what it did not answer is missed below.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok());
    let replies: Vec<Value> = stdout
        .lines()
        .map(|line| {
            let reply: Value = serde_json::from_str(&line.expect("UTF-8")).expect("a line of JSON");
            if reply.get("error").is_some() { json!({ "error": true }) } else { reply }
        })
        .collect();
    let written = writer.join().expect("the writer does not panic");
    let status = child.wait().expect("a child");
    assert!(
        written && status.success() && replies.len() == requests.len(),
        "{interpreter} answered {} of {} requests ({status}); it needs the package cryptography",
        replies.len(),
        requests.len()
    );
    replies
}

fn check_python(vectors: &[Vector]) {
    let requests: Vec<Value> = vectors.iter().map(|vector| vector.request.clone()).collect();
    for (vector, reply) in vectors.iter().zip(python(&requests)) {
        assert_eq!(reply, vector.reply, "{}", vector.name);
    }
}

/// A fixture as everything that is made of it.
struct Made {
    name: String,
    accepted: Accepted,
    face_bytes: Vec<u8>,
    rest: Vec<u8>,
    slot: Option<IssuerSlot>,
    rest_digest: [u8; 32],
    commit: [u8; 32],
    signature: [u8; 64],
    content_digest: [u8; 32],
    keys: Keyring,
    check_code: CheckCode,
}

fn made() -> Vec<Made> {
    let drafts = drafts();
    let dates: BTreeMap<InvoiceId, Day> = drafts.values().map(|draft| (draft.id().expect("an id"), date(draft))).collect();
    drafts
        .iter()
        .map(|(name, draft)| {
            let [low, high] = ["low", "high"].map(|half| u64::from_be_bytes(short(fixed(half, name))));
            let check_code = CheckCode::from_random([low, high]);
            let accepted = judge_with(draft, &dates, check_code);
            make(name, accepted, check_code)
        })
        .collect()
}

/// Through the same code that issues; with an issuer's signature on the fixtures in pinyin.
fn make(name: &str, accepted: Accepted, check_code: CheckCode) -> Made {
    let keys = keyring(name);
    let random = Randomness { salt: short(fixed("salt", name)), nonce: short(fixed("nonce", name)), event_salt: short(fixed("event salt", name)) };
    let Submission::Invoice(sealed) = issue::invoice(&accepted, false, &keys, &random).expect("sealed") else { panic!("{name}: no invoice") };
    let (face, face_bytes) = (sealed.face, sealed.face_bytes);
    let slot = name.ends_with("pinyin").then(|| {
        let issuer = SigningKey::from_seed(&fixed("issuer", name));
        let rest = canonical::encode_rest_without_slot(&accepted.invoice);
        let event = if accepted.invoice.red.is_some() { Event::Red } else { Event::Issue };
        let signature = issuer.sign(&hash::submit_message(event, &face_bytes, &rest));
        IssuerSlot { key_id: hash::key_id(Algorithm::Ed25519, Role::Issuer, &issuer.public()), signature }
    });
    let rest = canonical::encode_rest(&accepted.invoice, slot.as_ref());
    let (rest_digest, commit, signature) = match &slot {
        None => (sealed.rest_digest, sealed.commit, sealed.signature),
        Some(_) => {
            let rest_digest = hash::rest_digest(&random.salt, &rest);
            let signature = keys.authority().key.sign(&hash::invoice_message(&face_bytes, &rest_digest)).expect("signed");
            (rest_digest, hash::commit(&face_bytes, &rest_digest), signature)
        }
    };
    assert_eq!(canonical::decode_face(&face_bytes), Ok(face));
    let content_digest = sealed.content_digest;
    Made { name: name.to_owned(), accepted, face_bytes, rest, slot, rest_digest, commit, signature, content_digest, keys, check_code }
}

impl Made {
    fn face(&self) -> Face {
        self.accepted.invoice.face()
    }

    fn signed_qr(&self) -> String {
        let host = Host::parse(HOST).expect("a host");
        qr::print_signed(&host, self.keys.authority().key_id, &self.face_bytes, &self.rest_digest, &self.signature)
    }

    /// The draft is named, not repeated.
    fn encode(&self) -> Vector {
        let name = &self.name;
        let mut request = json!({
            "op": "encode", "draft": name, "check_code": self.check_code.to_string(), "salt": hex(short::<16>(fixed("salt", name))),
            "authority_seed": hex(fixed("authority", name)), "tag_key": hex(fixed("tag", name)), "host": HOST,
        });
        if self.slot.is_some() {
            request["issuer_seed"] = hex(fixed("issuer", name)).into();
        }
        let original = self.accepted.invoice.red.as_ref().map(|red| hex(self.keys.id_tag(red.original)));
        let reply = json!({
            "face": hex(&self.face_bytes), "rest": hex(&self.rest), "rest_digest": hex(self.rest_digest), "commit": hex(self.commit),
            "signature": hex(self.signature), "key_id": self.keys.authority().key_id.to_string(),
            "id_tag": hex(self.keys.id_tag(self.accepted.invoice.id)), "original_id_tag": original, "content_digest": hex(self.content_digest),
            "signed_qr": self.signed_qr(), "classic_qr": qr::print_classic(&self.face()),
        });
        vector(format!("encode {name}"), request, reply)
    }

    fn decode(&self) -> Vector {
        let (face, rest) = (hex(&self.face_bytes), hex(&self.rest));
        let issuer = self.slot.map(|slot| json!({ "key_id": slot.key_id.to_string(), "signature": hex(slot.signature) }));
        let reply = json!({ "draft": draft_of(&self.accepted.invoice), "issuer": issuer, "re_encoded_face": face, "re_encoded_rest": rest });
        vector(format!("decode {}", self.name), json!({ "op": "decode", "face": face, "rest": rest }), reply)
    }

    fn decode_qr(&self) -> Vector {
        let text = self.signed_qr();
        let public = self.keys.authority().key.public();
        let read = qr::parse_signed(&text).expect("ours");
        assert!(sign::verify(&public, &read.message(), &read.signature), "{}", self.name);
        let face = self.face();
        assert_eq!(read.face, face, "{}", self.name);
        let mut fields = json!({
            "kind": face.kind.profile().code, "code": face.id.code.to_string(), "number": face.id.number.to_string(), "date": face.date.to_string(),
            "amount": face.totals.amount.to_string(), "tax": face.totals.tax().to_string(), "total": face.totals.total.to_string(),
            "seller": { "tax_id": face.seller_id.as_str() },
        });
        if let Some(check_code) = face.check_code {
            fields["check_code"] = check_code.to_string().into();
        }
        let reply = json!({
            "key_id": read.key_id.to_string(), "face": hex(&read.face_bytes), "fields": fields, "rest_digest": hex(read.rest_digest),
            "signature": hex(read.signature), "commit": hex(read.commit()), "valid": true,
        });
        vector(format!("decode_qr {}", self.name), json!({ "op": "decode_qr", "text": text, "public_key": hex(public) }), reply)
    }
}

fn id(code: &str, number: &str) -> InvoiceId {
    InvoiceId { code: InvoiceCode::parse(code).expect("a code"), number: InvoiceNumber::parse(number).expect("a number") }
}

fn range(code: &str, first: &str, last: &str) -> NumberRange {
    NumberRange::new(id(code, first).code, id(code, first).number, id(code, last).number).expect("a range")
}

fn events() -> Vec<EventData> {
    let mut events = vec![
        EventData::Void { id: id("011001500111", "00012345"), day: Day::new(2020, 2, 29).expect("a day") },
        EventData::Void { id: id("1100153130", "12345678"), day: Day::new(2999, 12, 31).expect("a day") },
    ];
    for mark in [Mark::Lost, Mark::Stolen, Mark::Abnormal, Mark::Lifted, Mark::RedBeforeImport] {
        events.push(EventData::Status { id: id("1100153130", "00000001"), mark });
    }
    for (kind, taxpayer, code) in [
        (Kind::Special, "110108123456789", "1100193130"),
        (Kind::Freight, "11010812345678900", "4400151720"),
        (Kind::MotorVehicle, "91110108MA00CL7X4R", "142001723001"),
        (Kind::Ordinary, "11010819900101123X01", "032001900104"),
        (Kind::Electronic, "91110108MA00CL7X4R", "033001900111"),
        (Kind::Roll, "91110108MA00CL7X4R", "051001800107"),
    ] {
        let taxpayer = TaxpayerId::parse(taxpayer).expect("an id");
        events.push(EventData::Allot(Allotment { taxpayer, kind, range: range(code, "00000001", "99999999") }));
    }
    for mark in [Mark::Lost, Mark::Stolen, Mark::BlankVoid, Mark::Lifted] {
        events.push(EventData::AllotmentStatus { range: range("1100193130", "00000100", "00000100"), mark });
    }
    for (role, until) in
        [(Role::Authority, None), (Role::Answering, Some(u64::MAX - 1)), (Role::Checkpoint, Some(1_600_000_000_001)), (Role::Issuer, None)]
    {
        let public = SigningKey::from_seed(&fixed("public", role.name())).public();
        let record = KeyRecord::new(role, public, UnixMillis(1_600_000_000_000), until.map(UnixMillis)).expect("a record");
        events.push(EventData::Key(record));
    }
    for lost in [None, Some((120, fixed("lost", "reopen")))] {
        let [previous, origin] =
            ["fapiao.example/0011223344556677", "fapiao.example/8899aabbccddeeff"].map(|text| Origin::parse(text).expect("an origin"));
        let reason = "磁盘损坏，从备份恢复 disk lost, restored from a backup".to_owned();
        events.push(EventData::Reopen(Notice { previous, size: 100, root: fixed("root", "reopen"), lost, origin, reason }));
    }
    events.push(EventData::RevocationList(ListNotice {
        made: UnixMillis(1_600_000_000_000),
        size: 1 << 40,
        tokens: 1_000_000,
        digest: fixed("digest", "revocations"),
    }));
    // Vectors have their places by number: later ones come last.
    for (role, reason) in
        [(Role::Authority, Withdrawal::Compromised), (Role::Answering, Withdrawal::Superseded), (Role::Checkpoint, Withdrawal::Lost)]
    {
        let public = SigningKey::from_seed(&fixed("public", role.name())).public();
        let record = KeyRecord::new(role, public, UnixMillis(1_600_000_000_000), Some(UnixMillis(1_700_000_000_000)));
        events.push(EventData::Key(record.and_then(|record| record.withdrawn_for(reason)).expect("a record")));
    }
    for (first, count, latest) in [(0, 1, 1_600_000_000_000), (u64::MAX - u64::from(u32::MAX), u32::MAX, u64::MAX)] {
        let times = (UnixMillis(1_600_000_000_000), UnixMillis(latest));
        events.push(EventData::AnswersRoot(AnswersNotice::new(first, count, fixed("root", "answers"), times).expect("answers")));
    }
    for (previous, text) in
        [(None, "quorum none\n"), (Some(1 << 40), "witness w1 witness.example/w1+4d1f2c5a+BJmWm0 https://见证.example/w1\nquorum w1\n")]
    {
        events.push(EventData::Policy(PolicyNotice { previous, text: text.to_owned() }));
    }
    events
}

/// Lists of no, one, and so many invoices that their quotients are of every length.
fn revocation_vectors() -> Vec<Vector> {
    let one = |count: u32| {
        let commits: Vec<[u8; 32]> = (0..count).map(|n| fixed("commit", &n.to_string())).collect();
        let seed = fixed("authority", "revocations");
        let (key_id, key) = (KeyId(short(fixed("key", "revocations"))), SigningKey::from_seed(&seed));
        let origin = Origin::parse("fapiao.example/0011223344556677").expect("an origin");
        let (made, next) = (UnixMillis(1_600_000_000_000), UnixMillis(1_600_003_600_000));
        let tokens = commits.iter().map(hash::revocation_token).collect();
        let list = RevocationList::new(origin.clone(), 77, fixed("root", "revocations"), made, next, tokens).expect("few");
        let signed = list.signed(key_id, |message| Ok::<_, SignError>(key.sign(message))).expect("signed");
        let request = json!({
            "op": "revocations", "commits": commits.iter().map(hex).collect::<Vec<_>>(), "origin": origin.as_str(), "size": 77,
            "root": hex(fixed("root", "revocations")), "made": made.0, "next": next.0, "key_id": key_id.to_string(), "seed": hex(seed),
        });
        vector(format!("revocations {count}"), request, json!({ "list": hex(signed.as_bytes()) }))
    };
    [0, 1, 2, 3, 4, 63, 64, 1_000].map(one).into()
}

fn id_json(id: InvoiceId) -> Value {
    json!({ "code": id.code.to_string(), "number": id.number.to_string() })
}

fn event_json(data: &EventData) -> Value {
    match data {
        EventData::Void { id, day } => json!({ "id": id_json(*id), "day": day.to_string() }),
        EventData::Status { id, mark } => json!({ "id": id_json(*id), "mark": *mark as u8 }),
        EventData::Allot(Allotment { taxpayer, kind, range }) => json!({
            "taxpayer": taxpayer.as_str(), "kind": kind.profile().code, "code": range.code.to_string(), "first": range.first.to_string(),
            "last": range.last.to_string(),
        }),
        EventData::AllotmentStatus { range, mark } => json!({
            "code": range.code.to_string(), "first": range.first.to_string(), "last": range.last.to_string(), "mark": *mark as u8,
        }),
        EventData::AnswersRoot(answers) => json!({
            "first": answers.first, "count": answers.count, "root": hex(answers.root), "earliest": answers.earliest.0, "latest": answers.latest.0,
        }),
        EventData::RevocationList(list) => json!({
            "made": list.made.0, "size": list.size, "tokens": list.tokens, "digest": hex(list.digest),
        }),
        EventData::Policy(policy) => json!({ "previous": policy.previous, "policy": policy.text }),
        EventData::Reopen(notice) => json!({
            "previous": notice.previous.as_str(), "size": notice.size, "root": hex(notice.root), "origin": notice.origin.as_str(),
            "lost": notice.lost.map(|(size, root)| json!({ "size": size, "root": hex(root) })), "reason": notice.reason,
        }),
        EventData::Key(record) => {
            let mut value = json!({
                "algorithm": 1, "role": record.role() as u8, "key_id": record.key_id().to_string(), "public_key": hex(record.public()),
                "valid_from": record.valid_from().0, "valid_until": record.valid_until().map(|until| until.0),
            });
            if let Some(reason) = record.withdrawn() {
                value["reason"] = json!(reason as u8);
            }
            value
        }
    }
}

fn event_vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (at, data) in events().iter().enumerate() {
        let name = format!("event {at}");
        let salt: [u8; 16] = short(fixed("event salt", &name));
        let sealed = issue::event_of(data, salt, &keyring("events")).expect("signed");
        let number = data.event().number();
        let request = json!({ "op": "event", "event": number, "data": event_json(data), "salt": hex(salt), "authority_seed": hex(fixed("authority", "events")) });
        let reply = json!({ "data": hex(&sealed.data), "commit": hex(sealed.commit), "signature": hex(sealed.signature) });
        vectors.push(vector(name.clone(), request, reply));
        assert_eq!(EventData::decode(data.event(), &sealed.data).as_ref(), Ok(data));
        vectors.push(vector(format!("decode {name}"), json!({ "op": "decode_event", "event": number, "data": hex(&sealed.data) }), event_json(data)));
    }
    vectors
}

fn leaves() -> Vec<Leaf> {
    let keys = keyring("leaves");
    Event::ALL
        .into_iter()
        .zip(0u64..)
        .map(|(event, at)| Leaf {
            event,
            kind: event.is_of_invoice().then(|| Kind::ALL[usize::try_from(at).expect("small") % 6]),
            imported: matches!(event, Event::Issue | Event::Void),
            time_ms: 1_600_000_000_000 + at,
            ref_index: matches!(event, Event::Red | Event::Void | Event::Status).then_some(at * 1_000_000_007),
            id_tag: if event.is_of_invoice() { keys.id_tag(id("1100153130", "00000001")) } else { [0; 32] },
            commit: fixed("commit", event.name()),
            key_id: keys.authority().key_id,
        })
        .collect()
}

fn leaf_json(leaf: &Leaf) -> Value {
    json!({
        "event": leaf.event.number(), "kind": leaf.kind.map_or(0, Kind::number), "flags": u8::from(leaf.imported), "time_ms": leaf.time_ms,
        "ref_index": leaf.ref_index, "id_tag": hex(leaf.id_tag), "commit": hex(leaf.commit), "key_id": leaf.key_id.to_string(),
    })
}

fn leaf_vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for leaf in leaves() {
        let bytes = leaf.encode();
        let mut request = leaf_json(&leaf);
        request["op"] = "leaf".into();
        let name = leaf.event.name();
        vectors.push(vector(format!("leaf {name}"), request, json!({ "leaf": hex(bytes), "leaf_hash": hex(merkle::leaf_hash(&bytes)) })));
        vectors.push(vector(format!("decode leaf {name}"), json!({ "op": "decode_leaf", "leaf": hex(bytes) }), leaf_json(&leaf)));
    }
    vectors
}

/// Root and every inclusion path of a tree over the numbers from 0 as two-byte leaves.
fn tree_vector(size: u16) -> Vector {
    let leaves: Vec<[u8; 2]> = (0..size).map(u16::to_be_bytes).collect();
    let mut tree = Tree::new();
    let mut tiles = BTreeMap::new();
    for leaf in &leaves {
        tiles.extend(tree.append(merkle::leaf_hash(leaf)).into_iter().map(|full| ((full.level, full.n), full.bytes.to_vec())));
    }
    let read = |level: u8, n: u64| -> Result<Vec<u8>, std::convert::Infallible> {
        Ok(tiles.get(&(level, n)).cloned().unwrap_or_else(|| tree.partial_tile(level).concat()))
    };
    let path =
        |index: u16| -> Vec<String> { merkle::inclusion_proof(index.into(), size.into(), read).expect("in the tree").into_iter().map(hex).collect() };
    let inclusion: Vec<Vec<String>> = (0..size).map(path).collect();
    let request = json!({ "op": "tree", "leaves": leaves.iter().map(hex).collect::<Vec<_>>() });
    vector(format!("tree of {size}"), request, json!({ "root": hex(tree.root()), "inclusion": inclusion }))
}

fn checkpoint(size: u64) -> Checkpoint {
    let root = if size == 0 { hash::sha256(&[]) } else { fixed("root", &size.to_string()) };
    Checkpoint { origin: Origin::parse(ORIGIN).expect("an origin"), size, root }
}

fn checkpoint_vectors() -> Vec<Vector> {
    let mut vectors = Vec::new();
    let key = &of_file(&keyring("log").checkpoint().key);
    let public = PublicKey::parse(&key.public()).expect("a key");
    let origin = Origin::parse(ORIGIN).expect("an origin");
    for size in [0, 1, 300, u64::MAX] {
        let checkpoint = checkpoint(size);
        let note = checkpoint.sign(key).encode();
        let request =
            json!({ "op": "checkpoint", "origin": ORIGIN, "size": size, "root": hex(checkpoint.root), "seed": hex(fixed("checkpoint", "log")) });
        vectors.push(vector(format!("checkpoint {size}"), request, json!({ "note": note })));
    }
    let ours = checkpoint(300).sign(key);
    let mut cosigned = ours.clone();
    let witness = SigningKey::from_seed(&fixed("witness", "log"));
    let line = Note::sign(checkpoint(300).text(), "witness.example/w1", &witness).encode();
    cosigned.add_line(line.rsplit_once("\n\n").expect("a block").1).expect("a line");
    let mut twice_wrong = ours.clone();
    let line = checkpoint(301).sign(key).encode();
    twice_wrong.add_line(line.rsplit_once("\n\n").expect("a block").1).expect("a line");
    let (good, text) = (ours.encode(), checkpoint(300).text());
    let by_other = Note::sign(text.clone(), ORIGIN, &witness).encode();
    let odd = |text: String| Note::sign(text, ORIGIN, key).encode();
    let root = text.lines().nth(2).expect("a root").to_owned();
    for (name, note) in [
        ("ours", good.clone()),
        ("cosigned", cosigned.encode()),
        ("a second line of our key is wrong", twice_wrong.encode()),
        ("another size", good.replace("\n300\n", "\n301\n")),
        ("by another key", by_other),
        ("an extension line", odd(format!("{text}extension\n"))),
        ("two lines", odd(format!("{ORIGIN}\n300\n"))),
        ("leading zero", odd(format!("{ORIGIN}\n0300\n{root}\n"))),
        ("size beyond u64", odd(format!("{ORIGIN}\n18446744073709551616\n{root}\n"))),
        ("root without padding", odd(format!("{ORIGIN}\n300\n{}\n", root.trim_end_matches('=')))),
        ("another origin in the text", odd(text.replace("cha-yan", "cha-xun"))),
        ("no newline at the end", good.trim_end().to_owned()),
        ("a hyphen for the dash", good.replace('\u{2014}', "-")),
        ("carriage return", good.replace("\n\n", "\r\n\r\n")),
        ("empty", String::new()),
    ] {
        let request = json!({ "op": "verify_checkpoint", "note": note, "origin": ORIGIN, "public_key": hex(key.public()) });
        let reply = match Checkpoint::open(&note, &origin, &public) {
            Ok((read, _)) => json!({ "size": read.size, "root": hex(read.root) }),
            Err(_) => json!({ "error": true }),
        };
        assert_eq!(reply.get("error").is_none(), matches!(name, "ours" | "cosigned"), "{name}");
        vectors.push(vector(format!("verify_checkpoint {name}"), request, reply));
    }
    let shouted = ORIGIN.to_ascii_uppercase();
    let note = Note::sign(format!("{shouted}\n300\n{root}\n"), &shouted, key).encode();
    assert!(Checkpoint::open(&note, &origin, &public).is_err() && Origin::parse(&shouted).is_none());
    let request = json!({ "op": "verify_checkpoint", "note": note, "origin": shouted, "public_key": hex(key.public()) });
    vectors.push(vector("verify_checkpoint upper-case origin", request, json!({ "error": true })));
    vectors
}

fn answer_vectors() -> Vec<Vector> {
    let signed = |name: String, query: Value, asked: proof::Query<'_>, verdict: u8, first: Option<u64>, shown: bool| {
        let answer = proof::Answer {
            verdict,
            query_digest: asked.digest().expect("short enough"),
            origin: Origin::parse(ORIGIN).expect("an origin"),
            size: 300,
            root: fixed("root", "300"),
            time: UnixMillis(1_600_000_000_123),
            count: u64::from(shown) * 3,
            first: first.map(UnixMillis),
            commit: shown.then(|| fixed("commit", &name)),
            remaining: shown.then_some((Fen(-1_250), Fen(9_999_999_999_999))),
        };
        let bytes = answer.encode();
        assert_eq!(proof::Answer::decode(&bytes), Ok(answer.clone()));
        let request = json!({
            "op": "answer", "verdict": verdict, "query": query, "origin": ORIGIN, "size": 300, "root": hex(answer.root), "time": answer.time.0,
            "times_verified": answer.count, "first_verified": first, "commit": answer.commit.map(hex),
            "remaining": answer.remaining.map(|(amount, tax)| json!({ "amount": amount.to_string(), "tax": tax.to_string() })),
            "seed": hex(fixed("answering", "log")),
        });
        let signature = keyring("log").answering().key.sign(&bytes).expect("signed");
        vector(name, request, json!({ "answer": hex(&bytes), "signature": hex(signature) }))
    };
    let typed = |date, amount, check| proof::Query::Typed {
        code: "1100153130",
        number: "00000001",
        date,
        amount,
        check,
        total: None,
        seller_id: None,
        buyer_id: None,
    };
    let stronger = |total, seller_id, buyer_id| proof::Query::Typed {
        code: "033001900111",
        number: "00000001",
        date: Some("2020-01-01"),
        amount: None,
        check: Some("123456"),
        total,
        seller_id,
        buyer_id,
    };
    let text = "01,01,1100153130,00000001,100.00,20200101,,1234,";
    let mut vectors = vec![
        signed(
            "answer to nothing but a number".into(),
            json!({ "code": "1100153130", "number": "00000001" }),
            typed(None, None, None),
            20,
            None,
            false,
        ),
        signed(
            "answer to all fields".into(),
            json!({ "code": "1100153130", "number": "00000001", "date": "2020-01-01", "amount": " 100", "check": "12 3456" }),
            typed(Some("2020-01-01"), Some(" 100"), Some("12 3456")),
            1,
            Some(1_600_000_000_000),
            true,
        ),
        signed(
            "answer to empty fields".into(),
            json!({ "code": "1100153130", "number": "00000001", "date": "", "amount": "1", "check": null }),
            typed(None, Some("1"), None),
            20,
            None,
            false,
        ),
        signed(
            "answer to full-width digits".into(),
            json!({ "code": "１１００", "number": "" }),
            proof::Query::Typed {
                code: "１１００", number: "", date: None, amount: None, check: None, total: None, seller_id: None, buyer_id: None
            },
            20,
            None,
            false,
        ),
        signed(
            "answer to total and tax ids".into(),
            json!({
                "code": "033001900111", "number": "00000001", "date": "2020-01-01", "check": "123456",
                "total": "113.00", "seller_id": "91310115P12455XH31", "buyer_id": "无",
            }),
            stronger(Some("113.00"), Some("91310115P12455XH31"), Some("无")),
            1,
            None,
            true,
        ),
        signed(
            "answer to a seller's tax id".into(),
            json!({
                "code": "033001900111", "number": "00000001", "date": "2020-01-01", "check": "123456",
                "total": "", "seller_id": "91310115P12455XH31",
            }),
            stronger(None, Some("91310115P12455XH31"), None),
            10,
            None,
            false,
        ),
    ];
    for verdict in proof::VERDICTS {
        vectors.push(signed(format!("answer {verdict} to a QR code"), json!({ "text": text }), proof::Query::Qr(text), verdict, None, verdict < 10));
    }
    vectors
}

/// Roots over so many answers, the times of which are in no order.
fn answers_vectors() -> Vec<Vector> {
    let one = |count: u64| {
        let signed = |at: u64| {
            let bytes = [&fixed("answer", &at.to_string())[..], &at.to_be_bytes()].concat();
            let signature = SigningKey::from_seed(&fixed("seed", "answers")).sign(&bytes);
            (bytes, signature, 1_600_000_000_000 + at * 7 % 5)
        };
        let answers: Vec<_> = (0..count).map(signed).collect();
        let hashes: Vec<_> = answers.iter().map(|(bytes, signature, _)| proof::answer_hash(bytes, signature)).collect();
        let times = answers.iter().map(|(.., time)| UnixMillis(*time));
        let times = (times.clone().min().expect("some"), times.max().expect("some"));
        let notice = AnswersNotice::new(40, u32::try_from(count).expect("few"), merkle::root_of(&hashes), times).expect("answers");
        let paths = (0..hashes.len()).map(|at| merkle::path_of(at, &hashes).expect("among them"));
        let answers = answers.iter().map(|(bytes, signature, time)| json!({ "answer": hex(bytes), "signature": hex(signature), "time": time }));
        vector(
            format!("root over {count} answers"),
            json!({ "op": "answers", "first": 40, "answers": answers.collect::<Vec<_>>() }),
            json!({
                "data": hex(EventData::AnswersRoot(notice).encode()), "hashes": hashes.iter().map(hex).collect::<Vec<_>>(),
                "paths": paths.map(|path| path.iter().map(hex).collect::<Vec<_>>()).collect::<Vec<_>>(),
            }),
        )
    };
    [1, 2, 3, 5, 8, 13].map(one).into()
}

/// So many rows of one result, with what is signed over them.
fn rows_vectors() -> Vec<Vector> {
    let one = |count: u64| {
        let row = |at: u64| Row {
            salt: fixed("salt", &format!("row {at}"))[..16].try_into().expect("16 bytes"),
            verdict: proof::VERDICTS[at as usize % proof::VERDICTS.len()],
            query_digest: if at % 3 == 2 { hash::line_digest(format!("line {at}").as_bytes()) } else { fixed("query", &at.to_string()) },
            size: 300 + at,
            time: UnixMillis(1_600_000_000_000 + at),
            count: at,
            first: (at % 2 == 1).then_some(UnixMillis(1_500_000_000_000)),
            commit: (at % 2 == 1).then(|| fixed("commit", &at.to_string())),
            remaining: (at % 4 == 1).then_some((Fen(-1_250), Fen(9_999_999_999_999))),
        };
        let listed: Vec<Row> = (0..count).map(row).collect();
        let encoded: Vec<Vec<u8>> = listed.iter().map(Row::encode).collect();
        let hashes: Vec<_> = encoded.iter().map(|row| row_hash(row)).collect();
        let rows = Rows {
            origin: Origin::parse(ORIGIN).expect("an origin"),
            size: 400,
            root: fixed("root", "400"),
            time: UnixMillis(1_600_000_001_000),
            count,
            rows_root: merkle::root_of(&hashes),
        };
        let asked = listed.iter().zip(0u64..).map(|(row, at)| {
            let mut asked = json!({
                "salt": hex(row.salt), "verdict": row.verdict, "size": row.size, "time": row.time.0, "times_verified": row.count,
                "first_verified": row.first.map(|first| first.0), "commit": row.commit.map(hex),
                "remaining": row.remaining.map(|(amount, tax)| json!({ "amount": amount.to_string(), "tax": tax.to_string() })),
            });
            match at % 3 {
                2 => asked["line"] = json!(format!("line {at}")),
                _ => asked["query_digest"] = json!(hex(row.query_digest)),
            }
            asked
        });
        let signature = keyring("log").answering().key.sign(&rows.encode()).expect("signed");
        let paths = (0..hashes.len()).map(|at| merkle::path_of(at, &hashes).expect("among them"));
        vector(
            format!("a result of {count} rows"),
            json!({
                "op": "rows", "list": asked.collect::<Vec<_>>(), "origin": ORIGIN, "size": 400, "root": hex(rows.root), "time": rows.time.0,
                "seed": hex(fixed("answering", "log")),
            }),
            json!({
                "list": encoded.iter().map(hex).collect::<Vec<_>>(), "rows": hex(rows.encode()), "signature": hex(signature),
                "hash": hex(proof::answer_hash(&rows.encode(), &signature)),
                "paths": paths.map(|path| path.iter().map(hex).collect::<Vec<_>>()).collect::<Vec<_>>(),
            }),
        )
    };
    [1, 2, 5, 16].map(one).into()
}

fn classic_reply(text: &str) -> Value {
    match qr::parse_classic(text) {
        Ok(read) => json!({
            "type": read.kind.profile().code, "code": read.id.code.to_string(), "number": read.id.number.to_string(), "amount": read.amount.to_string(),
            "date": read.date.to_string(), "check_code": read.check.map(|check| check.to_string()), "crc_ok": read.crc_ok,
        }),
        Err(_) => json!({ "error": true }),
    }
}

fn classic_vectors() -> Vec<Vector> {
    [
        "01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,",
        "01,01,1200154130,03630024,94339.62,20160621,,9335,",
        "01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,DBFE,",
        "01,10,011001900311,21010038,300,20200407,01731581649436515692,53F1,",
        "01,01,3100204130,06039254,5015.00,20210315,,D2,",
        "01,01,3100204130,06039254,5015.00,20210315,,00d2",
        "01,10,011001700112,10113872,32,20180224,17602940807063740560,0819",
        "01,10,031002100411,25096213,6.56,20210903,11631437361999467829,F168,",
        "01,10,033001600211,73843482,28.30,20170628,61180471846138424764,9F5B,",
        "01,10,033001600211,73843482,28.30,20170628,61180471846138424764,,",
        "01,10,033001600211,73843482,28.30,20170628,61180471846138424764,",
        "01,10,033001600211,73843482,28.30,20170628,61180471846138424764\r\n",
        "01,01,1200154130,03630024,94339.62,20160621,9335,\0",
        "01,01,1200154130,03630024,94339.62,20160621,9336",
        "01,01,1200154130,03630024,-94339.62,20160621",
        "01,01,1200154130,03630024,94339.62,20160621,,",
        "01,03,142001723001,00050011,100000.01,20170506,,",
        // Malformed, or of another kind.
        "01,01,1200154130,03630024,94339.62,20160621,,9335,,",
        "01,01,1200154130,03630024,94339.62,20160621,,G335,",
        "01,01,1200154130,03630024,94339.62,20160621,,12345,",
        "01,01,1200154130,03630024,94339.62,2016-06-21,,9335,",
        "01,01,1200154130,03630024,94339.62,20160631,,9335,",
        "01,01,1200154130,00000000,94339.62,20160621,,9335,",
        "01,01,120015413,03630024,94339.62,20160621,,9335,",
        "01,01,1200154130,03630024,94339.625,20160621,,9335,",
        "01,01,1200154130,03630024,,20160621,,9335,",
        "01,10,033001600211,11255692,349997.85,20180227,6252195705011153393,7DF9,",
        "01,10,033001600211,11255692,349997.85,20180227,62521 95705 01115 33932,7DF9,",
        "02,01,1200154130,03630024,94339.62,20160621,,9335,",
        "01,1,1200154130,03630024,94339.62,20160621,,9335,",
        "01,31,,24112000000012345678,100.00,20240105,,C1B2",
        "01,01,1200154130,03630024,94339.62",
        " 01,01,1200154130,03630024,94339.62,20160621,,9335,",
        "01，01,1200154130,03630024,94339.62,20160621,,9335,",
    ]
    .into_iter()
    .map(|text| vector(format!("classic_qr {text:?}"), json!({ "op": "classic_qr", "text": text }), classic_reply(text)))
    .collect()
}

fn frozen_vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = made().iter().map(Made::encode).collect();
    vectors.extend(event_vectors());
    vectors.extend(leaf_vectors());
    vectors.extend([0, 1, 2, 3, 4, 7, 11].map(tree_vector));
    vectors.extend(checkpoint_vectors());
    vectors.extend(answer_vectors());
    vectors.extend(classic_vectors());
    vectors.extend(answers_vectors());
    vectors.extend(rows_vectors());
    vectors
}

/// One vector a line, so that a change shows where it is.
#[test]
fn the_bytes_are_frozen() {
    let lines: Vec<String> = frozen_vectors()
        .iter()
        .map(|Vector { name, request, reply }| json!({ "name": name, "request": request, "reply": reply }).to_string())
        .collect();
    let about = "Requests to tests/second_implementation.py and what both implementations answer. A draft is named by its file in fixtures/drafts.";
    let generated = format!("{{\"about\": {},\n\"vectors\": [\n{}\n]}}\n", json!(about), lines.join(",\n"));
    let path = root("fixtures/vectors/bytes.json");
    if std::env::var_os("FAPIAO_BLESS").is_some() {
        fs::write(&path, &generated).expect("writable");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    for (line, expected) in generated.lines().zip(committed.lines()) {
        assert_eq!(line, expected, "signed bytes never change; FAPIAO_BLESS=1 rewrites {}", path.display());
    }
    assert!(generated == committed, "vectors are missing from bytes.json, or left over; FAPIAO_BLESS=1 rewrites it");
}

#[test]
fn python_writes_the_frozen_bytes() {
    let text = fs::read_to_string(root("fixtures/vectors/bytes.json")).expect("bytes.json");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let vectors: Vec<Vector> = file["vectors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            let mut request = entry["request"].clone();
            if let Some(name) = request["draft"].as_str() {
                let draft = fs::read(root(&format!("fixtures/drafts/{name}.json"))).expect("a fixture");
                request["draft"] = serde_json::from_slice(&draft).expect("JSON");
            }
            vector(entry["name"].as_str().expect("a name"), request, entry["reply"].clone())
        })
        .collect();
    assert!(vectors.iter().filter(|vector| vector.request["op"] == "encode").count() == drafts().len(), "one vector for each draft");
    check_python(&vectors);
}

/// What Python reads out of our bytes is the draft that we print, and that draft is accepted as the same invoice.
#[test]
fn python_reads_our_bytes() {
    let made = made();
    let drafts = drafts();
    let dates: BTreeMap<InvoiceId, Day> = drafts.values().map(|draft| (draft.id().expect("an id"), date(draft))).collect();
    let vectors: Vec<Vector> = made.iter().map(Made::decode).collect();
    let replies = python(&vectors.iter().map(|vector| vector.request.clone()).collect::<Vec<_>>());
    for ((made, vector), reply) in made.iter().zip(&vectors).zip(&replies) {
        assert_eq!(reply, &vector.reply, "{}", made.name);
        let draft = parse_draft(reply["draft"].to_string().as_bytes()).expect("JSON");
        let again = judge_with(&draft, &dates, CheckCode::from_random([0, 0]));
        assert_eq!(again.invoice, made.accepted.invoice, "{}", made.name);
        assert!(!again.check_code_generated, "{}", made.name);
        let (read, slot) = canonical::decode_rest(&made.face(), &made.rest).expect("ours");
        assert_eq!((&read, slot), (&made.accepted.invoice, made.slot), "{}", made.name);
    }
    check_python(&made.iter().map(Made::decode_qr).collect::<Vec<_>>());
    check_python(&[255, 256, 257, 600].map(tree_vector));
    check_python(&revocation_vectors());
}

/// Every byte changed in turn, bytes cut off and bytes added.
fn damaged(bytes: &[u8], name: &str, most: usize) -> Vec<Vec<u8>> {
    let mut damaged = Vec::new();
    for at in 0..bytes.len() {
        let seed: [u8; 32] = fixed(&format!("damage {at}"), name);
        // Long inputs are sampled, their first bytes (lengths, marks, options) are not.
        if at >= 64 && usize::from(u16::from_be_bytes([seed[2], seed[3]])) % bytes.len() > most {
            continue;
        }
        let changes = [bytes[at] ^ 1 << (seed[0] % 8), seed[1], 0, 1];
        for change in changes.into_iter().filter(|change| *change != bytes[at]) {
            let mut changed = bytes.to_vec();
            changed[at] = change;
            damaged.push(changed);
        }
    }
    // Texts emptied, wherever there seems to be one, and everything from somewhere replaced by an empty list and no slot.
    for at in 0..bytes.len().saturating_sub(2).min(400) {
        let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        if (1..=200).contains(&length) && at + 2 + length <= bytes.len() {
            damaged.push([&bytes[..at], &[0, 0], &bytes[at + 2 + length..]].concat());
        }
        damaged.push([&bytes[..at], &[0, 0, 0]].concat());
    }
    damaged.extend([0, 1, bytes.len() / 2, bytes.len() - 1].map(|length| bytes[..length].to_vec()));
    damaged.extend([&[0][..], &[1], &[0xff; 72]].map(|more| [bytes, more].concat()));
    damaged
}

#[test]
fn both_refuse_the_same_damaged_bytes() {
    let mut cases: Vec<(String, Value, bool)> = Vec::new();
    for made in made() {
        let (name, face) = (&made.name, made.face());
        for changed in damaged(&made.face_bytes, name, usize::MAX) {
            let read = canonical::decode_face(&changed).and_then(|face| canonical::decode_rest(&face, &made.rest));
            cases.push((format!("face of {name}"), json!({ "op": "decode", "face": hex(changed), "rest": hex(&made.rest) }), read.is_ok()));
        }
        for changed in damaged(&made.rest, name, 60) {
            let read = canonical::decode_rest(&face, &changed);
            cases.push((format!("rest of {name}"), json!({ "op": "decode", "face": hex(&made.face_bytes), "rest": hex(changed) }), read.is_ok()));
        }
    }
    for (data, at) in events().iter().zip(0..) {
        for changed in damaged(&data.encode(), "event", usize::MAX) {
            let read = EventData::decode(data.event(), &changed).is_ok();
            cases.push((format!("event {at}"), json!({ "op": "decode_event", "event": data.event().number(), "data": hex(changed) }), read));
        }
    }
    for leaf in leaves() {
        for changed in damaged(&leaf.encode(), leaf.event.name(), usize::MAX) {
            cases.push((leaf.event.name().into(), json!({ "op": "decode_leaf", "leaf": hex(&changed) }), Leaf::decode(&changed).is_ok()));
        }
    }
    let signed = made().swap_remove(0);
    let public = hex(signed.keys.authority().key.public());
    for changed in damaged(signed.signed_qr().as_bytes(), "qr", usize::MAX) {
        let text = changed.iter().map(|byte| char::from(byte & 0x7f)).collect::<String>();
        let read = qr::parse_signed(&text).is_ok();
        cases.push((text.clone(), json!({ "op": "decode_qr", "text": text, "public_key": public }), read));
    }
    for vector in classic_vectors() {
        let text = vector.request["text"].as_str().expect("a text");
        for changed in damaged(text.as_bytes(), text, usize::MAX) {
            let text = changed.iter().map(|byte| char::from(byte & 0x7f)).collect::<String>();
            cases.push((format!("{text:?}"), json!({ "op": "classic_qr", "text": text }), qr::parse_classic(&text).is_ok()));
        }
    }
    let replies = python(&cases.iter().map(|(_, request, _)| request.clone()).collect::<Vec<_>>());
    let mut accepted = 0;
    for ((name, request, ours), reply) in cases.iter().zip(&replies) {
        assert_eq!(reply.get("error").is_none(), *ours, "{name}: {request}");
        accepted += usize::from(*ours);
    }
    assert!(accepted > cases.len() / 20 && accepted < cases.len(), "{accepted} of {} are no damage", cases.len());
}
