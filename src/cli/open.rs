//! Opening a data directory as the options say.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::Failure;
use super::remote::{Remote, ServerOptions};
use crate::engine::{Config, Engine, keyring_path, read_secret};

/// Passphrases are read up to this length, bytes.
const PASSPHRASE_BYTES_MAX: usize = 4_096;

/// Where the ledger is and how its keys open.
#[derive(Args)]
pub(super) struct DataOptions {
    /// Data directory. Its keys lie in it, its lock record beside it (DIR.lock)
    #[arg(long, value_name = "DIR")]
    pub(super) data: PathBuf,
    #[command(flatten)]
    keys: KeyOptions,
}

/// How the keys of a ledger open, and what it prints into its codes.
#[derive(Args)]
struct KeyOptions {
    /// File with the passphrase of the key file; without it DIR/keys/passphrase is used if there is one, else the terminal is asked
    #[arg(long, value_name = "FILE", env = "FAPIAO_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    /// Host for signed QR codes, at most 28 characters with its port
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST")]
    host: String,
}

/// A ledger in a directory, or a server that has one.
#[derive(Args)]
pub(super) struct PlaceOptions {
    /// Data directory, which nobody else may have open. Its keys lie in it, its lock record beside it (DIR.lock) 数据目录
    #[arg(long, value_name = "DIR", required_unless_present = "server")]
    data: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyOptions,
    #[command(flatten)]
    server: ServerOptions,
}

/// Which of the two it is.
pub(super) enum Place {
    Data(DataOptions),
    Server(Remote),
}

impl PlaceOptions {
    pub(super) fn place(self) -> Result<Place, Failure> {
        match (self.data, self.server.remote()?) {
            (_, Some(remote)) => Ok(Place::Server(remote)),
            (Some(data), None) => Ok(Place::Data(DataOptions { data, keys: self.keys })),
            (None, None) => Err(Failure::Usage("give --data DIR or --server URL".to_owned())),
        }
    }
}

/// The passphrase that a demo leaves beside its keys, for the demo only.
pub(super) fn passphrase_beside(directory: &Path) -> PathBuf {
    directory.join("keys").join("passphrase")
}

impl DataOptions {
    /// Opens the ledger with its keys; asks for the passphrase if there is a terminal to ask at.
    pub(super) fn open(&self) -> Result<Engine, Failure> {
        self.open_with(self.passphrase_for_writing()?)
    }

    /// The passphrase from a file or the terminal; none if there are no keys that it could open.
    pub(super) fn passphrase_for_writing(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match self.passphrase_from_file()? {
            None if keyring_path(&self.data).exists() => prompt("Passphrase 口令: ").map(Some),
            passphrase => Ok(passphrase),
        }
    }

    /// Opens the ledger with its keys if they open without asking, else for reading.
    pub(super) fn open_to_read(&self) -> Result<Engine, Failure> {
        let passphrase = self.passphrase_from_file()?;
        self.open_with(passphrase)
    }

    fn open_with(&self, passphrase: Option<Zeroizing<String>>) -> Result<Engine, Failure> {
        Ok(Engine::open(self.config(passphrase))?)
    }

    pub(super) fn config(&self, passphrase: Option<Zeroizing<String>>) -> Config {
        Config { host: self.keys.host.to_ascii_lowercase(), ..Config::new(&self.data, passphrase) }
    }

    pub(super) fn passphrase_from_file(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        passphrase_from(self.keys.passphrase_file.as_deref(), &self.data)
    }
}

/// The passphrase in a file that is named or, for a demo, lies beside the keys.
pub(super) fn passphrase_from(named: Option<&Path>, directory: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    let beside = passphrase_beside(directory);
    let path = match named {
        Some(path) => path,
        None if beside.exists() => &beside,
        None => return Ok(None),
    };
    let bytes = read_secret(path, PASSPHRASE_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Usage(format!("{}: the passphrase is not UTF-8", path.display())))?;
    Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}

/// Asks at the terminal, without echo. Without a terminal that is an error which names the way out.
pub(super) fn prompt(question: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask for the passphrase; give --passphrase-file FILE".to_owned()));
    }
    Ok(Zeroizing::new(rpassword::prompt_password(question)?))
}
