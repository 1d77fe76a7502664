//! `fapiao keys`: the beginning of a ledger.

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::open::{DataOptions, prompt};
use super::{Exit, Failure, print};
use crate::channel;
use crate::engine::{Engine, write_private};

/// `fapiao keys …`
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Make keys and an empty ledger in a new directory. The key file is encrypted; losing its passphrase loses the ledger's ability to sign
    Create(Create),
    /// Print the public keys: all that a verifier needs offline
    Show(Show),
}

/// `fapiao keys create`
#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao keys show`
#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    data: DataOptions,
}

impl Keys {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Keys::Create(create) => create.run(),
            Keys::Show(show) => {
                let engine = show.data.open_to_read()?;
                let keys = channel::keys::to_json(engine.ledger().keys());
                print(true, &keys, "")?;
                Ok(Exit::Fine)
            }
        }
    }
}

impl Create {
    fn run(self) -> Result<Exit, Failure> {
        let passphrase = match self.data.passphrase_from_file()? {
            Some(passphrase) => passphrase,
            None => new_passphrase()?,
        };
        if passphrase.chars().count() < 8 {
            return Err(Failure::Usage("a passphrase has at least 8 characters".to_owned()));
        }
        let engine = Engine::create(self.data.config(Some(passphrase)))?;
        publish_keys(&engine)?;
        let value = json!({
            "origin": engine.ledger().origin().as_str(),
            "data": engine.ledger().directory(),
            "lock": engine.ledger().lock_path(),
            "keys": channel::keys::to_json(engine.ledger().keys()),
        });
        let text = format!(
            "Created the ledger {}\n  data     {}\n  lock     {}  (never part of a backup)\n  keys     {}/keys  (encrypted; keep a copy of it and of its passphrase apart)",
            engine.ledger().origin(),
            engine.ledger().directory().display(),
            engine.ledger().lock_path().display(),
            engine.ledger().directory().display(),
        );
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }
}

/// Writes `DIR/keys/public.json`.
pub(super) fn publish_keys(engine: &Engine) -> Result<(), Failure> {
    let path = engine.ledger().directory().join("keys").join("public.json");
    let text = format!("{:#}\n", channel::keys::to_json(engine.ledger().keys()));
    Ok(write_private(&path, text.as_bytes())?)
}

fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    let first = prompt("New passphrase 新口令: ")?;
    if std::io::stdin().is_terminal() && prompt("Again 再次输入: ")? != first {
        return Err(Failure::Usage("the two passphrases differ".to_owned()));
    }
    Ok(first)
}
