//! The fuzz targets over their committed corpus. Most of it are seeds, made here, that show each target what is accepted; the others are
//! inputs that once found something. `FAPIAO_BLESS=1` writes the seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fapiao::channel::json::parse_draft;
use fapiao::channel::{proof, qr};
use fapiao::codec::canonical::{self, IssuerSlot};
use fapiao::codec::event::{Algorithm, AnswersNotice, Event, EventData, KeyRecord, Notice, PolicyNotice, Role};
use fapiao::codec::leaf::{KeyId, Leaf};
use fapiao::codec::proof::{Answer, ConsistencyProof, LogProof};
use fapiao::codec::rows::{Rows, row_hash};
use fapiao::crypto::add_checkpoint::AddCheckpoint;
use fapiao::crypto::cosignature::CosigningKey;
use fapiao::crypto::keyfile::{self, KdfCost};
use fapiao::crypto::keyring::SecretKey;
use fapiao::crypto::merkle::Hash;
use fapiao::crypto::note::{Checkpoint, Host, Note, Origin, verifier_key};
use fapiao::crypto::sign::{PublicKey, SigningKey, TokenKey};
use fapiao::crypto::{body, hash, merkle};
use fapiao::domain::allotment::{Allotment, Mark, NumberRange};
use fapiao::domain::kind::Kind;
use fapiao::domain::money::{Fen, upper_case};
use fapiao::domain::number::CheckCode;
use fapiao::domain::rules::{Mode, Terms, accept};
use fapiao::domain::taxpayer::TaxpayerId;
use fapiao::domain::time::{Day, UnixMillis};
use fapiao::engine::{Inclusion, SignedAnswer, SignedRows};
use fapiao::ledger::value::{self, AllotRecord, AuditRecord, CallerRecord, CountRecord, EventSeal, HeadRecord, InvRecord, InvoiceSeal, Seal};

use targets::bytes::face_of;
use targets::sealed::{ANSWERED, COMMIT, DATA_KEY, NONCE, PASSPHRASE, SALT, listed, log_keyring, log_keys, logged};
use targets::text::{ORIGIN, log_key};
use targets::{Subject, TARGETS};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

const FILE_BYTES_MAX: u64 = 8 << 10;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(path)
}

/// A target, a file name, and what is in it.
type Seed = (&'static str, String, Vec<u8>);

#[test]
fn the_seeds_are_fresh() {
    for (target, name, bytes) in seeds() {
        let path = fuzz("corpus").join(target).join(name);
        if std::env::var_os("FAPIAO_BLESS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(&path, &bytes).expect("writable");
        }
        assert!(fs::read(&path).unwrap_or_default() == bytes, "{} is not what the code makes: FAPIAO_BLESS=1 rewrites it", path.display());
    }
}

#[test]
fn every_target_holds_over_its_corpus() {
    for (name, target) in TARGETS {
        let mut accepted = 0;
        for file in fs::read_dir(fuzz("corpus").join(name)).expect("a corpus") {
            let path = file.expect("a file").path();
            let input = fs::read(&path).expect("readable");
            assert!(input.len() as u64 <= FILE_BYTES_MAX, "{} is large", path.display());
            accepted += usize::from(target(&input, Subject::Sound));
            // The planted bug is for the fuzzer to find, not for the corpus to give away.
            target(&input, Subject::Planted);
        }
        assert!(accepted > 0, "nothing in the corpus of {name} is accepted");
    }
}

#[test]
fn every_target_has_a_binary_and_nothing_else_has() {
    let names = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz(folder)).expect("a folder").map(|file| file.expect("a file").path());
        files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).expect("readable");
    for name in &targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let binary = fs::read_to_string(fuzz("fuzz_targets").join(name).with_extension("rs")).expect("readable");
        assert!(binary.contains(&format!("run(\"{name}\", data)")), "{name}");
    }
}

fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut add = |target: &'static str, name: &str, bytes: Vec<u8>| seeds.push((target, name.to_owned(), bytes));
    of_drafts(&mut add);
    of_events(&mut add);
    of_log(&mut add);
    of_sealed(&mut add);
    of_questions(&mut add);
    of_numbers(&mut add);
    of_values(&mut add);
    of_requests(&mut add);
    seeds
}

fn of_drafts(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    for name in
        ["01-red-partial", "02-multi-fee", "03-imported", "03-trailer-levy", "04-exempt", "10-discount", "10-pinyin", "11-multi-line", "11-pinyin"]
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/drafts").join(name).with_extension("json");
        let json = fs::read(file).expect("a fixture");
        let draft = parse_draft(&json).expect("JSON");
        let today = Day::new(2021, 1, 1).expect("a day");
        let terms = Terms { today, mode: Mode::Import, check_code: CheckCode::from_random([1, 2]), original_date: None };
        let invoice = accept(&draft, &terms).expect("accepted").invoice;
        let kind = Kind::ALL.into_iter().position(|kind| kind == invoice.kind()).expect("a kind");
        let choice = if invoice.red.is_some() { kind + Kind::ALL.len() } else { kind };
        let slot = IssuerSlot { key_id: KeyId([3; 8]), signature: [4; 64] };
        let rest = canonical::encode_rest(&invoice, Some(&slot).filter(|_| invoice.red.is_some()));
        add("draft", name, json);
        add("face", name, canonical::encode_face(&invoice.face()));
        add("rest", name, [&[u8::try_from(choice).expect("one of twelve")][..], &rest].concat());
    }
}

/// What a request says in its head and in its body.
fn of_requests(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    for (name, lines) in [
        ("typed", ["/v1/verify", "", "en", "", "", r#"{"code":"033001900111","number":"00000001","date":"2019-11-11","check":"123456"}"#]),
        ("scanned", ["/v1/verify", "", "zh-CN,en;q=0.5", "198.51.100.7", "10.0.0.2", r#"{"qr":"01,10,","proof":true}"#]),
        ("invoice", ["/v1/invoices/033001900111/00000001/void", "", "", "::1", "", ""]),
        ("proof", ["/v1/proofs/inclusion", "index=7&size=60", "fr;q=0.1", "", "::ffff:10.0.0.2", "[]"]),
        ("tile", ["/tile/entries/x001/x234/067.p/5", "", "", "", "", ""]),
        ("page", ["/q/AE", "from=1&to=2&limit=3&after=00", "*", "x", "", "{}"]),
    ] {
        add("request", name, lines.join("\n").into());
    }
}

/// One stored value of each table.
fn of_values(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let face = canonical::encode_face(&face_of(Kind::Electronic));
    let invoice = InvoiceSeal {
        face: face.clone(),
        rest_digest: [1; 32],
        signature: [2; 64],
        content_digest: [3; 32],
        check_code_generated: true,
        original: Some([0x11; 10]),
    };
    let row = InvRecord {
        index: 300,
        time_ms: 1_573_430_400_000,
        face,
        commit: [4; 32],
        content_digest: [3; 32],
        check_code_generated: true,
        imported: false,
        original: None,
        voided: None,
        suspended: Some((2, 301)),
        live_reds: 1,
        remaining_amount: -100,
        remaining_tax: 70_000,
        last_event: 301,
        last_event_ms: 1_573_430_400_001,
    };
    let event = EventSeal { salt: [5; 16], data: vec![1, 2, 3], signature: [6; 64] };
    let allotment = AllotRecord { first: [0, 0, 0, 1], taxpayer: "91110108MA01GJK44X".into(), kind: 10, mark: 0, index: 12 };
    let head = HeadRecord { note: "example.cn/0123456789abcdef\n0\n".into(), time_ms: 1_573_430_400_000 };
    let caller = CallerRecord {
        role: 1,
        taxpayers: vec!["91110108MA01GJK44X".into()],
        regions: vec!["33".into(), "3302".into()],
        issuer_key: Some([7; 32]),
        token_hash: [8; 32],
        label: "三号店".into(),
        created_ms: 1_573_430_400_000,
        expires_ms: Some(1_573_430_400_001),
        revoked_ms: None,
    };
    let entry = AuditRecord {
        time_ms: 1_573_430_400_000,
        caller: Some([9; 8]),
        role: 6,
        act: 4,
        subject: "033001900111 00000001-00000010".into(),
        outcome: "logged".into(),
    };
    for (name, table, bytes) in [
        ("seal", 0u8, value::encode(&Seal::Invoice(invoice))),
        ("event", 0, value::encode(&Seal::Event(event))),
        ("row", 1, value::encode(&row)),
        ("allotment", 2, value::encode(&allotment)),
        ("head", 3, value::encode(&head)),
        ("count", 4, value::encode(&CountRecord { count: 3, first_ms: 1_573_430_400_000 })),
        ("caller", 5, value::encode(&caller)),
        ("audit", 6, value::encode(&entry)),
    ] {
        add("value", name, [&[table][..], &bytes].concat());
    }
}

fn of_events(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let id = face_of(Kind::Electronic).id;
    let range = NumberRange::new(id.code, id.number, id.number).expect("one number");
    let taxpayer = TaxpayerId::parse("91110108MA01GJK44X").expect("an id");
    let key = log_key().public();
    for data in [
        EventData::Void { id, day: Day::new(2019, 11, 30).expect("a day") },
        EventData::Status { id, mark: Mark::Lost },
        EventData::Allot(Allotment { taxpayer, kind: Kind::Electronic, range }),
        EventData::AllotmentStatus { range, mark: Mark::Stolen },
        EventData::Key(KeyRecord::new(Role::Authority, key, UnixMillis(0), Some(UnixMillis(ANSWERED.2))).expect("a record")),
        EventData::AnswersRoot(AnswersNotice::new(7, 3, [1; 32], (UnixMillis(0), UnixMillis(ANSWERED.2))).expect("answers")),
        EventData::Reopen(Notice {
            previous: Origin::parse("fapiao.example/0011223344556677").expect("an origin"),
            size: 100,
            root: [1; 32],
            lost: Some((120, [2; 32])),
            origin: Origin::parse("fapiao.example/8899aabbccddeeff").expect("an origin"),
            reason: "恢复 restored".to_owned(),
        }),
        EventData::Policy(PolicyNotice { previous: Some(7), text: "quorum none\n".to_owned() }),
    ] {
        let choice = Event::ALL.into_iter().position(|event| event == data.event()).expect("an event");
        add("event", data.event().name(), [&[u8::try_from(choice).expect("one of 15")][..], &data.encode()].concat());
    }
    let (issue, ..) = logged();
    let key = Leaf { event: Event::Key, kind: None, imported: false, id_tag: [0; 32], ..issue.clone() };
    for leaf in [
        Leaf { event: Event::Void, imported: false, ref_index: Some(7), ..issue.clone() },
        Leaf { event: Event::Freeze, ref_index: Some(9), ..key.clone() },
        key,
        issue,
    ] {
        add("leaf", leaf.event.name(), leaf.encode().to_vec());
    }
}

/// Answers, notes, proofs, and a kept answer with all of them.
fn of_log(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let (size, index, time) = ANSWERED;
    let origin = Origin::parse(ORIGIN).expect("an origin");
    let (leaf, path, root) = logged();

    let answer = Answer {
        verdict: 1,
        query_digest: [5; 32],
        origin: origin.clone(),
        size,
        root,
        time: UnixMillis(time),
        count: 2,
        first: Some(UnixMillis(time - 1)),
        commit: Some([2; 32]),
        remaining: Some((Fen(30_000), Fen(1_800))),
    };
    add("answer", "genuine", answer.encode());
    add("answer", "not_found", Answer { verdict: 10, count: 1, first: None, commit: None, remaining: None, ..answer.clone() }.encode());

    let checkpoint = Checkpoint { origin, size, root };
    let mut cosigned = checkpoint.sign(&log_key());
    add("note", "signed", cosigned.encode().into_bytes());
    let witness = Note::sign(checkpoint.text(), "witness.example", &SigningKey::from_seed(&[8; 32])).encode();
    cosigned.add_line(witness.lines().last().expect("a signature line")).expect("a second line");
    add("note", "cosigned", cosigned.encode().into_bytes());
    add("note", "other_text", Note::sign("not a checkpoint\n\n".into(), ORIGIN, &log_key()).encode().into_bytes());

    let proven = LogProof { extra: Some(b"leaf".to_vec()), index, hashes: path.clone(), checkpoint: cosigned.encode() };
    add("proof", "path", proven.encode().into_bytes());
    add("proof", "alone", LogProof { extra: None, index: 0, hashes: vec![], checkpoint: "checkpoint\n".into() }.encode().into_bytes());

    let empty = Checkpoint { size: 0, root: merkle::EMPTY_ROOT, ..checkpoint.clone() }.sign(&log_key()).encode();
    let grown = ConsistencyProof { from: 0, to: size, hashes: vec![], older: empty, newer: cosigned.encode() };
    add("consistency", "from_nothing", grown.encode().into_bytes());
    let same = ConsistencyProof { from: size, hashes: path.clone(), older: cosigned.encode(), ..grown };
    add("consistency", "path", same.encode().into_bytes());

    add("submission", "first", AddCheckpoint::encode(0, &[], &cosigned.encode()).into_bytes());
    add("submission", "next", AddCheckpoint::encode(size - 1, &path, &checkpoint.sign(&log_key()).encode()).into_bytes());
    let cosigner = |seed: u8| CosigningKey::new("witness.example/w", SigningKey::from_seed(&[seed; 32])).expect("a key").cosigner().encode();
    let witnesses = format!("witness W1 {} https://w.example/1\nwitness W2 {}\n", cosigner(1), cosigner(2));
    let log = verifier_key(ORIGIN, &log_key().public());
    add("policy", "groups", format!("log {log}\n# both\n{witnesses}group G\tany W1 W2\ngroup H 1 G\nquorum H\n").into_bytes());
    add("policy", "none", format!("log {log} https://log.example\nquorum none\n").into_bytes());

    let keyring = log_keyring();
    let signed = SignedAnswer {
        signature: keyring.answering().key.sign(&answer.encode()).expect("signed"),
        key_id: keyring.answering().key_id,
        bytes: answer.encode(),
        checkpoint: Some(checkpoint.sign_by(&keyring.checkpoint().key).expect("signed").encode()),
        inclusion: Some(Inclusion { index, leaf: leaf.encode(), path }),
    };
    let listed = listed();
    let hashes: Vec<Hash> = listed.iter().map(|row| row_hash(row)).collect();
    let rows = Rows {
        origin: checkpoint.origin.clone(),
        size,
        root,
        time: UnixMillis(time),
        count: listed.len() as u64,
        rows_root: merkle::root_of(&hashes),
    };
    add("rows", "row", listed[3].clone());
    add("rows", "rows", rows.encode());
    let signed_rows = SignedRows {
        signature: keyring.answering().key.sign(&rows.encode()).expect("signed"),
        key_id: keyring.answering().key_id,
        bytes: rows.encode(),
        checkpoint: checkpoint.sign_by(&keyring.checkpoint().key).expect("signed").encode(),
    };
    let path = merkle::path_of(3, &hashes).expect("a row");
    add("row_file", "genuine", proof::row_json(&proof::rows_json(&signed_rows, log_keys()), &listed[3], 3, &path).to_string().into_bytes());
    add("answer_file", "genuine", proof::to_json(&signed, log_keys()).to_string().into_bytes());
}

fn of_sealed(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let keyring = log_keyring();
    let file = keyfile::seal(&keyring, PASSPHRASE, &SALT, &NONCE, KdfCost { memory_kib: 8, passes: 1, lanes: 1 }).expect("sealed");
    add("keyfile", "file", [&[0][..], &file].concat());
    add("keyfile", "hostile", [&[0, 1][..], &[0xff; 12], &file[13..]].concat());
    let keys = keyring.keys().iter().zip(1u8..).flat_map(|(key, secret)| {
        let numbers = [key.role().algorithm() as u8, key.role() as u8];
        [&numbers[..], &key.key_id().0, &[secret; 32]].concat()
    });
    add("keyfile", "keys", [1].into_iter().chain(keys).collect());
    let public = PublicKey::parse(&SigningKey::from_seed(&[3; 32]).public()).expect("a key");
    let in_token = SecretKey::in_token(Role::Answering, TokenKey { public, token: "token".into(), id: vec![7; 16] }).expect("a signing role");
    let mut keys: Vec<u8> = keyring
        .keys()
        .iter()
        .zip(1u8..)
        .flat_map(|(key, secret)| [&[key.role().algorithm() as u8, key.role() as u8][..], &key.key_id().0, &[0], &[secret; 32]].concat())
        .collect();
    keys.extend([&[Algorithm::Ed25519 as u8, Role::Answering as u8][..], &in_token.key_id().0, &[1], &public.to_bytes()].concat());
    keys.extend([&[5][..], b"token", &[16], &[7; 16]].concat());
    add("keyfile", "keys_in_token", [2].into_iter().chain(keys).collect());

    let (salt, rest) = ([6; 16], b"what an invoice says beyond its face");
    add("body", "stored", [&[0][..], &body::seal(DATA_KEY, &NONCE, &COMMIT, &salt, rest).expect("sealed")].concat());
    let plain = [&salt[..], rest].concat();
    add("body", "frame", [&[1][..], &zstd::bulk::compress(&plain, 1).expect("compressed")].concat());
    add("body", "repeating_frame", [&[1][..], &zstd::bulk::compress(&[7; 150], 1).expect("compressed")].concat());
    add("body", "plain", [&[2][..], &plain].concat());
}

const CLASSIC: [(&str, &str); 5] = [
    ("electronic", "01,10,033001600211,11255692,349997.85,20180227,62521957050111533932,7DF9,"),
    ("special", "01,01,1200154130,03630024,94339.62,20160621,,9335,"),
    ("swallowed", "01,01,1200154130,03630024,94339.62,20160621,9335"),
    ("short_crc", "01,01,3100204130,06039254,5015.00,20210315,,D2,"),
    ("no_crc", "01,04,4200161350,00015045,165106.00,20160501,48114255542168294433,"),
];

fn of_questions(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    for (name, text) in CLASSIC {
        add("qr_classic", name, text.into());
        add("question", name, text.into());
    }
    let host = Host::parse("fp.example.cn:8443").expect("a host");
    for (name, kind) in [("signed_electronic", Kind::Electronic), ("signed_special", Kind::Special)] {
        let face = canonical::encode_face(&face_of(kind));
        let text = qr::print_signed(&host, KeyId([3; 8]), &face, &hash::rest_digest(&SALT, b"rest"), &[4; 64]);
        add("question", name, text.clone().into_bytes());
        add("qr_signed", name, text.replacen("HTTPS", if kind == Kind::Special { "HTTP" } else { "HTTPS" }, 1).into_bytes());
    }
    add("question", "title_card", b"$01$ACME".to_vec());
    add("question", "fully_digital", b"01,31,,24112000000012345678,100.00,20240105,,C1B2,".to_vec());
    for (name, text) in [
        ("by_check_code", "033001600211\n11255692\n2018-02-27\n\n533932"),
        ("by_amount", "1200154130\n03630024\n20160621\n94339.62"),
        ("by_all", " 011001900311\n21010038 \n20200407\n64.9\n01731 58164 94365 15692"),
        ("fully_digital", "\n24112000000012345678\n20240105"),
    ] {
        add("typed", name, text.into());
    }
}

fn of_numbers(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    add("upper", "amount", [&[0][..], &(-12_345_678i64).to_be_bytes()].concat());
    // 壹拾圆零伍分; （负数）贰佰万圆整
    add("upper", "numerals", vec![1, 1, 10, 15, 0, 5, 18]);
    add("upper", "negative_numerals", vec![1, 23, 21, 22, 24, 2, 11, 13, 15, 19]);
    add("upper", "text", [&[2][..], upper_case(Fen(12_345_678)).as_bytes()].concat());
    for (name, text) in [
        ("amount", "-1234.50"),
        ("decimal", "3.14159265"),
        ("rate", "0.13"),
        ("percent", "1.5%"),
        ("day", "20200229"),
        ("day_with_dashes", "2019-11-23"),
        ("code_12", "011001500111"),
        ("code_10", "1100153130"),
        ("number", "00012345"),
        ("check_code", "01731 58164 94365 15692"),
        ("taxpayer", "91110108MA01GJK44X"),
        ("vin", "LSVAA4187E2184847"),
        ("key_id", "0123456789abcdef"),
        ("origin", ORIGIN),
    ] {
        add("scalar", name, text.into());
    }
}
