//! `fapiao keys`: the beginning of a ledger, and how its keys are replaced and revoked.

use std::io::IsTerminal as _;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::open::{DataOptions, PASSPHRASE_FILE, Place, PlaceOptions, prompt};
use super::{Exit, Failure, print};
use crate::channel;
use crate::codec::event::{Role, Withdrawal};
use crate::codec::leaf::KeyId;
use crate::domain::caller::Caller;
use crate::engine::{Engine, EngineError, KeyPlace};
use crate::limits::KEY_OVERLAP_MS;

/// `fapiao keys …`
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Make keys and an empty ledger in a new directory. The key file is encrypted; losing its passphrase loses the ledger's ability to sign
    Create(Create),
    /// Print the public keys: all that a verifier needs offline
    Show(Show),
    /// Put a new key in the place of the one of a role that is in use. What the replaced one signed goes on to count 轮换
    Rotate(Rotate),
    /// Revoke a key that is no longer in use. One that is in use is replaced in the same act: rotate --revoke 吊销
    Revoke(Revoke),
}

/// `fapiao keys rotate`
#[derive(Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    place: PlaceOptions,
    /// Which key. The tag key never rotates
    #[arg(long)]
    role: RotatedRole,
    /// Where the new key is to lie. Default: where the replaced one does 新密钥的存放处
    #[arg(long)]
    to: Option<To>,
    /// As --to token: made in a token (PKCS#11), from which nobody can take it 新密钥在密码机内生成
    #[arg(long, conflicts_with = "to")]
    pkcs11: bool,
    /// How long the replaced key goes on to count, as 90s, 30m, 24h or 7d: until everybody has the new list of keys. Default: a day 重叠期
    #[arg(long, value_name = "DURATION", conflicts_with = "revoke")]
    overlap: Option<String>,
    /// Revoke the replaced key for this reason. What a compromised key signed counts only if it is in the log by now 吊销原因
    #[arg(long, value_name = "REASON")]
    revoke: Option<Reason>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao keys revoke`
#[derive(Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    place: PlaceOptions,
    /// The key: 16 hex digits (`fapiao keys show`) 密钥编号
    #[arg(long, value_name = "HEX")]
    key_id: String,
    /// Why. What a compromised key signed counts only if it is in the log by now 吊销原因
    #[arg(long)]
    reason: Reason,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RotatedRole {
    Authority,
    Answering,
    Checkpoint,
    Data,
}

impl From<RotatedRole> for Role {
    fn from(role: RotatedRole) -> Role {
        match role {
            RotatedRole::Authority => Role::Authority,
            RotatedRole::Answering => Role::Answering,
            RotatedRole::Checkpoint => Role::Checkpoint,
            RotatedRole::Data => Role::Data,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    File,
    Token,
}

impl From<To> for KeyPlace {
    fn from(to: To) -> KeyPlace {
        match to {
            To::File => KeyPlace::File,
            To::Token => KeyPlace::Token,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Reason {
    Compromised,
    Superseded,
    Lost,
}

impl From<Reason> for Withdrawal {
    fn from(reason: Reason) -> Withdrawal {
        match reason {
            Reason::Compromised => Withdrawal::Compromised,
            Reason::Superseded => Withdrawal::Superseded,
            Reason::Lost => Withdrawal::Lost,
        }
    }
}

/// `fapiao keys create`
#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    data: DataOptions,
    /// Make the three signing keys in a token (PKCS#11), from which nobody can take them 签名密钥在密码机内生成
    #[arg(long)]
    pkcs11: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao keys show`
#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    data: DataOptions,
    /// Say of the secret keys where each lies, and which of a token's no key file names, in place of the list 各密钥的存放处
    #[arg(long)]
    places: bool,
    /// With --places: print JSON
    #[arg(long, requires = "places")]
    json: bool,
}

impl Keys {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Keys::Create(create) => create.run(),
            Keys::Show(show) if show.places => show.places(),
            Keys::Show(show) => {
                let engine = show.data.open_to_read()?;
                let keys = channel::keys::to_json(&engine.ledger().keys());
                print(true, &keys, "")?;
                Ok(Exit::Fine)
            }
            Keys::Rotate(rotate) => rotate.run(),
            Keys::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Show {
    fn places(&self) -> Result<Exit, Failure> {
        let config = self.data.config_to_sign(self.data.passphrase_for_writing()?)?;
        let has_token = config.token.is_some();
        let engine = Engine::open(config)?;
        let hex = |id: &[u8]| data_encoding::HEXLOWER.encode(id);
        let (mut lines, mut keys) = (Vec::new(), Vec::new());
        for key in engine.held_keys()? {
            let place = match &key.token {
                Some((token, id)) => format!("密码机 token {token:?}, CKA_ID {}", hex(id)),
                None => "密钥文件 key file".to_owned(),
            };
            let used = if key.in_use { "使用中 in use" } else { "-" };
            lines.push(format!("{:<10}  {}  {used:<8}  {place}", key.role.name(), key.key_id));
            let token = key.token.map(|(token, id)| json!({ "token": token, "id": hex(&id) }));
            keys.push(json!({ "role": key.role.name(), "key_id": key.key_id.to_string(), "in_use": key.in_use, "token": token }));
        }
        let unclaimed = if has_token { engine.unclaimed_keys()? } else { Vec::new() };
        for key in &unclaimed {
            lines.push(format!("无主 unclaimed  {:?}, CKA_ID {}: no key file of this ledger names it; it signs nothing", key.label, hex(&key.id)));
        }
        let unclaimed: Vec<Value> = unclaimed.iter().map(|key| json!({ "label": key.label, "id": hex(&key.id) })).collect();
        print(self.json, &json!({ "keys": keys, "unclaimed": unclaimed }), &lines.join("\n"))?;
        Ok(Exit::Fine)
    }
}

impl Rotate {
    fn run(self) -> Result<Exit, Failure> {
        let overlap = match &self.overlap {
            Some(text) => seconds(text).ok_or_else(|| Failure::Usage("--overlap: a number and s, m, h or d, as 90s or 7d".to_owned()))?,
            None => u32::try_from(KEY_OVERLAP_MS / 1_000).unwrap_or(u32::MAX),
        };
        let (role, revoke) = (Role::from(self.role), self.revoke.map(Withdrawal::from));
        let to = if self.pkcs11 { Some(KeyPlace::Token) } else { self.to.map(KeyPlace::from) };
        let value = match self.place.place()? {
            Place::Data(data) => {
                let engine = data.open()?;
                let rotated = engine.rotate(role, to, u64::from(overlap) * 1_000, revoke, &Caller::CONSOLE)?;
                publish(&engine);
                say_untold(rotated.untold.as_ref());
                channel::keys::rotated(&rotated)
            }
            Place::Server(remote) => {
                let body = json!({
                    "role": role.name(),
                    "place": to.map(KeyPlace::name),
                    "overlap_seconds": overlap,
                    "revoke": revoke.map(Withdrawal::name),
                });
                remote.ask_once("/v1/keys/rotate", &body)?
            }
        };
        let said = |member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default();
        let (key_id, replaced) = (said("key_id"), said("replaced"));
        let rest = match (revoke, said("until")) {
            (Some(reason), _) => format!("{replaced} 已吊销 is revoked: {}", reason.name()),
            (None, "") => format!("{replaced} 继续用于解密 goes on to open what it sealed"),
            (None, until) => format!("{replaced} 有效至 counts until {until}"),
        };
        print(self.json, &value, &format!("已轮换 rotated: the {} key is {key_id} now\n  {rest}", role.name()))?;
        Ok(Exit::Fine)
    }
}

impl Revoke {
    fn run(self) -> Result<Exit, Failure> {
        let wrong = || Failure::Usage("--key-id: 16 lower-case hex digits, as fapiao keys show prints them".to_owned());
        let (key_id, reason) = (KeyId::parse(&self.key_id).ok_or_else(wrong)?, Withdrawal::from(self.reason));
        let value = match self.place.place()? {
            Place::Data(data) => {
                let engine = data.open()?;
                let revoked = engine.revoke_key(key_id, reason, &Caller::CONSOLE)?;
                publish(&engine);
                say_untold(revoked.untold.as_ref());
                channel::keys::revoked(key_id, reason, revoked.index)
            }
            Place::Server(remote) => remote.ask_once("/v1/keys/revoke", &json!({ "key_id": key_id.to_string(), "reason": reason.name() }))?,
        };
        let index = value.get("index").and_then(Value::as_u64).unwrap_or_default();
        let text = match reason {
            Withdrawal::Compromised => format!("已吊销 revoked: what {key_id} signed counts only before leaf {index}"),
            Withdrawal::Superseded | Withdrawal::Lost => format!("已吊销 revoked: {key_id}, {}; said by leaf {index}", reason.name()),
        };
        print(self.json, &value, &text)?;
        Ok(Exit::Fine)
    }
}

fn say_untold(untold: Option<&EngineError>) {
    if let Some(error) = untold {
        eprintln!(
            "fapiao: done and in force, do not do it again; only the log does not tell of all answers that the stolen key signed, and those that it does not \
             tell of count no more: {error}"
        );
    }
}

/// What the log says by now is in force, whether the list beside the key file could be written or not.
fn publish(engine: &Engine) {
    if let Err(error) = channel::keys::publish(engine) {
        let data = engine.ledger().directory().display();
        eprintln!(
            "fapiao: done and in force, do not do it again; only the list of public keys is still the old one: {error}\n  then: fapiao keys show --data \
             {data} > {data}/keys/public.json"
        );
    }
}

/// A number of seconds, minutes, hours or days.
fn seconds(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
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
        let place = if self.pkcs11 { KeyPlace::Token } else { KeyPlace::File };
        let engine = Engine::create_in(place, self.data.config_to_sign(Some(passphrase))?)?;
        channel::keys::publish(&engine)?;
        let value = json!({
            "origin": engine.ledger().origin().as_str(),
            "data": engine.ledger().directory(),
            "lock": engine.ledger().lock_path(),
            "keys": channel::keys::to_json(&engine.ledger().keys()),
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

fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    let first = prompt("New passphrase 新口令: ", PASSPHRASE_FILE)?;
    if std::io::stdin().is_terminal() && prompt("Again 再次输入: ", PASSPHRASE_FILE)? != first {
        return Err(Failure::Usage("the two passphrases differ".to_owned()));
    }
    Ok(first)
}
