//! The configuration file of `fapiao serve`: TOML, read whole and checked before anything starts. What is wrong is told with line and column.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::crypto::note::Host;
use crate::engine::read_bounded;
use crate::limits::{CONFIG_BYTES_MAX, HTTP_CONNECTIONS_MAX, HTTP_DRAIN_SECS, HTTP_THREADS_MAX, ISSUE_DAYS_BACK, PROXIES_MAX};
use crate::verify::quota::{Policies, Policy};

/// Every key with its default and what it means: what `--print-config` fills in.
const EXAMPLE: &str = include_str!("../../deploy/fapiao.toml");

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Configuration {
    /// Data directory.
    pub(super) data: Option<PathBuf>,
    /// File with the passphrase of the key file.
    pub(super) passphrase_file: Option<PathBuf>,
    pub(super) keys: Keys,
    pub(super) issue: Issue,
    pub(super) storage: Storage,
    pub(super) http: Http,
    pub(super) tls: Tls,
    pub(super) revocations: Revocations,
    pub(super) witness: Witness,
    pub(super) answers: Answers,
    pub(super) quota: Quota,
    pub(super) log: Log,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    pub(super) pkcs11: Pkcs11,
}

/// A token that has signing keys: module and label, both or neither.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pkcs11 {
    /// Its maker's PKCS#11 library.
    pub(super) module: Option<PathBuf>,
    /// Its label.
    pub(super) token: Option<String>,
    /// File with the user's PIN.
    pub(super) pin_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Issue {
    /// Host in signed QR codes.
    pub(super) host: HostName,
    /// How many days back the date of a new invoice may lie.
    pub(super) days_back: Bounded<0, 36_500>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    /// Cache of uncompressed blocks, MiB.
    pub(super) block_cache_mib: Bounded<8, 1_048_576>,
    /// Write-ahead log at most, MiB: bounds how long a start after a crash takes.
    pub(super) wal_mib: Bounded<8, 65_536>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    /// Where to listen.
    pub(super) listen: SocketAddr,
    /// Threads that serve sockets; 0 is one for each core.
    pub(super) threads: Bounded<0, { HTTP_THREADS_MAX as u32 }>,
    /// Connections at a time.
    pub(super) connections: Bounded<16, { HTTP_CONNECTIONS_MAX as u32 }>,
    /// Seconds that requests may take to end after SIGTERM.
    pub(super) drain_seconds: Bounded<0, 3_600>,
    /// Proxies whose X-Forwarded-For is believed.
    pub(super) proxies: Vec<IpAddr>,
}

/// Files in PEM; both or neither.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    /// Certificate chain, the server's own first.
    pub(super) certificate: Option<PathBuf>,
    /// Its private key.
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Revocations {
    /// Minutes from one revocation list to the next; 0 makes none.
    pub(super) minutes: Bounded<0, 1_440>,
}

/// Those who cosign the log's checkpoints.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Witness {
    /// Trust policy: witnesses, their addresses, how many are enough.
    pub(super) policy: Option<PathBuf>,
    /// Certificates (PEM) that are believed of them in place of the system's.
    pub(super) ca: Option<PathBuf>,
    /// Seconds from one round to the next.
    pub(super) seconds: Bounded<1, 3_600>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answers {
    /// Minutes that a signed answer waits at most for the root that the log tells of it.
    pub(super) minutes: Bounded<1, 1_440>,
}

/// Questions per minute and at once; 0 per minute is no limit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Quota {
    pub(super) address_per_minute: u32,
    pub(super) address_burst: u32,
    pub(super) phone_per_minute: u32,
    pub(super) phone_burst: u32,
    pub(super) key_per_minute: u32,
    pub(super) key_burst: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) format: Format,
    /// Which requests are logged.
    pub(super) requests: Requests,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Requests {
    Failures,
    All,
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "i64", into = "i64")]
pub(super) struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    pub(super) const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let within = u32::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
        within.map(Bounded).ok_or_else(|| format!("{number} is not between {MIN} and {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for i64 {
    fn from(bounded: Bounded<MIN, MAX>) -> i64 {
        i64::from(bounded.0)
    }
}

/// A host that fits a signed QR code.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "String", into = "String")]
pub(super) struct HostName(String);

impl HostName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        match Host::parse(&text) {
            Some(_) => Ok(HostName(text)),
            None => Err(format!("{text:?} is no host: at most 28 characters of letters, digits, dots, dashes and a port")),
        }
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> String {
        host.0
    }
}

impl Default for Issue {
    fn default() -> Self {
        Issue { host: HostName("127.0.0.1:8080".into()), days_back: Bounded(ISSUE_DAYS_BACK) }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Storage { block_cache_mib: Bounded(256), wal_mib: Bounded(64) }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            threads: Bounded(0),
            connections: Bounded(HTTP_CONNECTIONS_MAX as u32),
            drain_seconds: Bounded(HTTP_DRAIN_SECS as u32),
            proxies: Vec::new(),
        }
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Revocations { minutes: Bounded(60) }
    }
}

impl Default for Witness {
    fn default() -> Self {
        Witness { policy: None, ca: None, seconds: Bounded(1) }
    }
}

impl Default for Answers {
    fn default() -> Self {
        Answers { minutes: Bounded(60) }
    }
}

impl Default for Quota {
    fn default() -> Self {
        let Policies { address, phone, key } = Policies::STANDARD;
        let per_minute = |policy: Option<Policy>| policy.map_or(0, |policy| policy.per_minute.get());
        let burst = |policy: Option<Policy>| policy.map_or(1, |policy| policy.burst.get());
        Quota {
            address_per_minute: per_minute(address),
            address_burst: burst(address),
            phone_per_minute: per_minute(phone),
            phone_burst: burst(phone),
            key_per_minute: per_minute(key),
            key_burst: burst(key),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: Level::Info, format: Format::Json, requests: Requests::Failures }
    }
}

impl Quota {
    pub(super) fn policies(&self) -> Policies {
        Policies {
            address: Policy::new(self.address_burst, self.address_per_minute),
            phone: Policy::new(self.phone_burst, self.phone_per_minute),
            key: Policy::new(self.key_burst, self.key_per_minute),
        }
    }
}

impl Configuration {
    /// Reads a file. Everything that is wrong with it is a usage error that names the place.
    pub(super) fn read(path: &Path) -> Result<Configuration, Failure> {
        let bytes = read_bounded(path, CONFIG_BYTES_MAX).map_err(|error| Failure::Usage(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{}: not UTF-8", path.display())))?;
        Configuration::parse(&text).map_err(|wrong| Failure::Usage(format!("{}:{wrong}", path.display())))
    }

    /// Parses the text of a file; an error begins with line and column.
    fn parse(text: &str) -> Result<Configuration, String> {
        let configuration: Configuration = toml::from_str(text).map_err(|error| {
            let (line, column) = place(text, error.span().map_or(0, |span| span.start));
            let mut told = format!("{line}:{column}: {}", error.message());
            if let Some(hint) = hint(error.message()) {
                let _ = write!(told, "; did you mean `{hint}`?");
            }
            told
        })?;
        if configuration.http.proxies.len() > PROXIES_MAX {
            let (line, column) = place(text, text.find("proxies").unwrap_or(0));
            return Err(format!("{line}:{column}: more than {PROXIES_MAX} proxies"));
        }
        if configuration.tls.certificate.is_some() != configuration.tls.key.is_some() {
            let (line, column) = place(text, text.find("[tls]").unwrap_or(0));
            return Err(format!("{line}:{column}: `certificate` and `key` belong together"));
        }
        let Pkcs11 { module, token, pin_file } = &configuration.keys.pkcs11;
        if module.is_some() != token.is_some() || (pin_file.is_some() && module.is_none()) {
            let (line, column) = place(text, text.find("[keys.pkcs11]").unwrap_or(0));
            return Err(format!("{line}:{column}: `module` and `token` belong together, and `pin_file` with them"));
        }
        if configuration.witness.ca.is_some() && configuration.witness.policy.is_none() {
            let (line, column) = place(text, text.find("[witness]").unwrap_or(0));
            return Err(format!("{line}:{column}: `ca` is of the witnesses that `policy` names"));
        }
        Ok(configuration)
    }

    /// The configuration as a file that says the same, with what each line means.
    pub(super) fn print(&self) -> Result<String, Failure> {
        let whole = toml::Table::try_from(self).map_err(|error| Failure::Usage(error.to_string()))?;
        let mut table = &whole;
        let mut printed = String::with_capacity(EXAMPLE.len());
        for line in EXAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let inner = name.split('.').try_fold(&whole, |table, name| table.get(name)?.as_table());
                table = inner.unwrap_or(table);
            }
            // What has no default stands in the example behind a mark, as a line that would do.
            match line.trim_start_matches('#').split_once(" = ").and_then(|(key, _)| Some((key, table.get(key)?))) {
                Some((key, value)) => writeln!(printed, "{key} = {value}"),
                None => writeln!(printed, "{line}"),
            }
            .map_err(|error| Failure::Usage(error.to_string()))?;
        }
        Ok(printed)
    }
}

/// Line and column, from 1, of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}

/// The known name that is nearest to an unknown one, by the error's own words: "unknown field `a`, expected one of `b`, `c`".
fn hint(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ").then(|| names.next()).flatten()?;
    let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(unknown, known))?;
    (strsim::damerau_levenshtein(unknown, nearest) <= 3).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let text = Configuration::default().print().expect("TOML");
        let again = Configuration::parse(&text).expect("the same");
        assert_eq!(again.print().expect("TOML"), text);
    }

    #[test]
    fn the_example_says_every_default() {
        let printed = Configuration::default().print().expect("TOML");
        assert_eq!(printed, EXAMPLE, "deploy/fapiao.toml is what --print-config prints");
    }

    #[test]
    fn what_is_printed_says_every_key() {
        let mut configuration = Configuration { data: Some("/a \"b\"".into()), passphrase_file: Some("/p".into()), ..Configuration::default() };
        configuration.http.proxies = vec!["10.0.0.1".parse().expect("an address"), "::1".parse().expect("an address")];
        configuration.tls = Tls { certificate: Some("/c".into()), key: Some("/k".into()) };
        configuration.witness = Witness { policy: Some("/w".into()), ca: Some("/a".into()), seconds: Bounded(5) };
        configuration.keys.pkcs11 = Pkcs11 { module: Some("/m".into()), token: Some("t".into()), pin_file: Some("/pin".into()) };
        configuration.log.level = Level::Debug;
        configuration.quota.key_burst = 7;
        let printed = configuration.print().expect("TOML");
        let read = |text: &str| toml::from_str::<toml::Table>(text).expect("TOML");
        assert_eq!(read(&printed), read(&toml::to_string(&configuration).expect("TOML")));
        assert!(Configuration::parse(&printed).is_ok());
    }

    #[test]
    fn errors_name_place_and_hint() {
        for (text, expected) in [
            ("[http]\nlsten = \"127.0.0.1:80\"\n", "2:1: unknown field `lsten`"),
            ("[http]\nlisten = \"nowhere\"\n", "2:10: invalid socket address"),
            ("[htp]\n", "1:2: unknown field `htp`"),
            ("[issue]\nhost = \"a host that is much too long for it\"\n", "2:8: "),
            ("[storage]\nwal_mib = 1\n", "2:11: 1 is not between 8 and 65536"),
            ("[log]\nlevel = \"loud\"\n", "2:9: unknown variant `loud`"),
            ("data = 5\n", "1:8: invalid type"),
            ("data = \"a\"\n[tls]\nkey = \"b\"\n", "2:1: `certificate` and `key` belong together"),
            ("[witness]\nca = \"a\"\n", "1:1: `ca` is of the witnesses"),
            ("[keys.pkcs11]\nmodule = \"a\"\n", "1:1: `module` and `token` belong together"),
            ("[keys.pkcs11]\npin_file = \"a\"\n", "1:1: `module` and `token` belong together"),
            ("[keys.pkcs11]\npin = \"1234\"\n", "2:1: unknown field `pin`"),
            ("data = \n", "1:8: "),
        ] {
            let told = Configuration::parse(text).expect_err(text);
            assert!(told.starts_with(expected), "{text:?}: {told}");
        }
        assert!(Configuration::parse("[http]\nlsten = \"\"").expect_err("unknown").ends_with("did you mean `listen`?"));
        assert!(Configuration::parse("[http]\nproxies = [\"10.0.0.1\"]").is_ok());
    }
}
