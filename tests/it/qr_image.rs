//! The codes as they are printed: small enough, and read back by a decoder that is not ours (zbar).

use std::path::Path;
use std::process::Command;

use fapiao::channel::qr_image;
use fapiao::domain::kind::Kind;
use fapiao::engine::{Config, Engine};
use qrcode::{EcLevel, QrCode, Version};

use crate::fixtures::issue_all;
use crate::support::{Site, classic_qr, face, scan, signed_qr};

fn read_back(path: &Path) -> String {
    let output = Command::new("zbarimg")
        .args(["-q", "--raw", "--oneshot", "-Sbinary"])
        .arg(path)
        .output()
        .unwrap_or_else(|error| panic!("zbarimg: {error}; this test needs it (Debian: apt install zbar-tools)"));
    assert!(output.status.success(), "zbarimg cannot read {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_fixture_fits_version_10_m_and_is_read_back() {
    let site = Site::new();
    // As long as a host may be.
    let host = "cha-yan.example.gov.cn:65535";
    let (engine, issued) = issue_all(&site, |config| Engine::create(Config { host: host.to_owned(), ..config }).expect("a new ledger"));
    let folder = tempfile::tempdir().expect("a directory");
    let (mut printed, mut largest) = (0, 0);
    for (name, id) in &issued {
        let kind = face(&engine, *id).kind;
        let mut texts = vec![("signed", signed_qr(&engine, *id))];
        assert!(texts[0].1.starts_with("HTTPS://CHA-YAN.EXAMPLE.GOV.CN:65535/Q/"), "{name}");
        let classic = classic_qr(&engine, *id);
        assert_eq!(classic.is_some(), matches!(kind, Kind::Special | Kind::Ordinary | Kind::Electronic), "{name}");
        texts.extend(classic.map(|text| ("classic", text)));
        for (which, text) in texts {
            let code = QrCode::with_error_correction_level(&text, EcLevel::M).expect("it fits");
            match code.version() {
                Version::Normal(version) if version <= 10 => largest = largest.max(version),
                version => panic!("{name}: {which} code of {} characters needs {version:?}", text.len()),
            }
            let path = folder.path().join(format!("{name}-{which}.png"));
            std::fs::write(&path, qr_image::png(&text).expect("a picture")).expect("writable");
            let read = read_back(&path);
            assert_eq!(read, text, "{name}: {which}");
            assert!(scan(&engine, &read).matched(), "{name}: {which}");
            printed += 1;
        }
    }
    // The same modules as paths, quiet zone included.
    let svg = qr_image::svg("HTTPS://EXAMPLE/Q/AE").expect("a picture");
    assert!(svg.starts_with("<?xml") && svg.contains("width=\"232\"") && svg.ends_with("</svg>"), "{svg}");
    assert!(largest == 10 && printed > issued.len(), "the largest code is of version {largest}; {printed} were read");
}

/// The longest signed code there can be: version 10 has room for 311 characters at level M.
#[test]
fn the_longest_signed_code_fits() {
    let text = format!("HTTPS://{}/Q/{}", "X".repeat(28), "A".repeat(271));
    let fits = |text: &str| QrCode::with_version(text, Version::Normal(10), EcLevel::M).is_ok();
    assert!(fits(&text) && fits(&format!("{text}A")) && !fits(&format!("{text}AA")), "{}", text.len());
}
