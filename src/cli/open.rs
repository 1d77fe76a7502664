//! Opening a data directory as the options say.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::Failure;
use super::remote::{Remote, ServerOptions};
use crate::engine::{Config, Engine, TokenConfig, keyring_path, read_secret};
use crate::limits::{PIN_BYTES_MAX, TOKEN_LABEL_BYTES_MAX};

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

/// How a token (PKCS#11) is reached that has signing keys. The PIN is never an argument: everybody on the machine can read those.
#[derive(Args)]
struct TokenOptions {
    /// Library of a token (PKCS#11) that has signing keys 密码机模块
    #[arg(long, value_name = "FILE", env = "FAPIAO_PKCS11_MODULE", requires = "pkcs11_token")]
    pkcs11_module: Option<PathBuf>,
    /// Label of the token 密码机标签
    #[arg(long, value_name = "LABEL", env = "FAPIAO_PKCS11_TOKEN", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// File with the token's PIN; without it the terminal is asked 密码机口令文件
    #[arg(long, value_name = "FILE", env = "FAPIAO_PIN_FILE")]
    pin_file: Option<PathBuf>,
}

impl TokenOptions {
    fn token(&self) -> Result<Option<TokenConfig>, Failure> {
        match (&self.pkcs11_module, &self.pkcs11_token) {
            (Some(module), Some(token)) => reach_token(module, token, self.pin_file.as_deref()).map(Some),
            _ => Ok(None),
        }
    }
}

/// A token with its PIN, from a file or the terminal.
pub(super) fn reach_token(module: &Path, token: &str, pin_file: Option<&Path>) -> Result<TokenConfig, Failure> {
    if token.is_empty() || token.len() > TOKEN_LABEL_BYTES_MAX {
        return Err(Failure::Usage(format!("the label of a token has 1 to {TOKEN_LABEL_BYTES_MAX} bytes")));
    }
    let pin = match pin_file {
        Some(path) => secret_line(path, PIN_BYTES_MAX)?,
        None => prompt("PIN 密码机口令: ", "--pin-file FILE")?,
    };
    Ok(TokenConfig { module: module.into(), token: token.to_owned(), pin })
}

/// How the keys of a ledger open, and what it prints into its codes.
#[derive(Args)]
struct KeyOptions {
    /// File with the passphrase of the key file; without it DIR/keys/passphrase is used if there is one, else the terminal is asked
    #[arg(long, value_name = "FILE", env = "FAPIAO_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    token: TokenOptions,
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
        Ok(Engine::open(self.config_to_sign(self.passphrase_for_writing()?)?)?)
    }

    /// The passphrase from a file or the terminal; none if there are no keys that it could open.
    pub(super) fn passphrase_for_writing(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        match self.passphrase_from_file()? {
            None if keyring_path(&self.data).exists() => prompt("Passphrase 口令: ", PASSPHRASE_FILE).map(Some),
            passphrase => Ok(passphrase),
        }
    }

    /// Opens the ledger with its keys if they open without asking, else for reading.
    pub(super) fn open_to_read(&self) -> Result<Engine, Failure> {
        let passphrase = self.passphrase_from_file()?;
        Ok(Engine::open(self.config(passphrase))?)
    }

    /// As [`DataOptions::config`], with the way to the token if one is named.
    pub(super) fn config_to_sign(&self, passphrase: Option<Zeroizing<String>>) -> Result<Config, Failure> {
        Ok(Config { token: self.keys.token.token()?, ..self.config(passphrase) })
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
    secret_line(path, PASSPHRASE_BYTES_MAX).map(Some)
}

/// What stands in a file, without the end of its line.
fn secret_line(path: &Path, limit: usize) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_secret(path, limit)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::Usage(format!("{}: it is not UTF-8", path.display())))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The option that stands in for the terminal when it is asked for the passphrase.
pub(super) const PASSPHRASE_FILE: &str = "--passphrase-file FILE";

/// Asks at the terminal, without echo. Without a terminal that is an error which names the way out.
pub(super) fn prompt(question: &str, instead: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        let secret = if instead == PASSPHRASE_FILE { "passphrase" } else { "PIN" };
        return Err(Failure::Usage(format!("no terminal to ask for the {secret}; give {instead}")));
    }
    Ok(Zeroizing::new(rpassword::prompt_password(question)?))
}
