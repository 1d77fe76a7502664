//! `fapiao callers` and `fapiao audit`: who may ask a server, and what was done with a privilege.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::open::DataOptions;
use super::{Exit, Failure, print};
use crate::channel::caller::{end_of, entry_json, key, key_id, to_json};
use crate::domain::caller::{Caller, CallerId, Region, Role};
use crate::domain::taxpayer::TaxpayerId;
use crate::engine::{Listed, NewCaller, Territory};
use crate::limits::PAGE_ROWS_MAX;

/// `fapiao callers …`
#[derive(Subcommand)]
pub(super) enum Callers {
    /// Enrol a caller and print its token, this once. 登记调用方，令牌只显示一次
    Add(Add),
    /// List callers, revoked and expired ones too. 列出调用方
    List(List),
    /// Take a caller's token away for good. 吊销令牌
    Revoke(Revoke),
    /// Register an issuer's key in place of the one it had, or take it away. 登记或撤销开票方密钥
    Key(Key),
}

/// `fapiao callers add`
#[derive(Args)]
pub(super) struct Add {
    #[command(flatten)]
    data: DataOptions,
    /// What it is 角色
    #[arg(long)]
    role: RoleName,
    /// Taxpayer it acts for; may be given again 所代表的纳税人识别号
    #[arg(long = "taxpayer", value_name = "ID")]
    taxpayers: Vec<String>,
    /// Region it may act in, 2, 4 or 6 digits of a division code; may be given again 行政区划
    #[arg(long = "region", value_name = "DIGITS", conflicts_with = "whole_country")]
    regions: Vec<String>,
    /// It may act in the whole country 全国
    #[arg(long)]
    whole_country: bool,
    /// Ed25519 public key of an issuer: each of its submissions must then be signed 开票方公钥
    #[arg(long, value_name = "HEX")]
    issuer_key: Option<String>,
    /// What to call it: one line 备注
    #[arg(long, default_value = "", value_name = "TEXT")]
    label: String,
    /// Last day on which its token counts 有效期至
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao callers list`
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao callers revoke`
#[derive(Args)]
pub(super) struct Revoke {
    /// The caller's id 调用方编号
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    data: DataOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao callers key`
#[derive(Args)]
pub(super) struct Key {
    /// The caller's id 调用方编号
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    data: DataOptions,
    /// Ed25519 public key; without it the registered one is taken away 公钥
    #[arg(long, value_name = "HEX")]
    issuer_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `fapiao audit`
#[derive(Args)]
pub(super) struct Audit {
    #[command(flatten)]
    data: DataOptions,
    /// Number of the first entry 起始序号
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many at most 条数
    #[arg(long, default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=PAGE_ROWS_MAX as u64))]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    Issuer,
    Business,
    Operator,
    Department,
    Auditor,
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Issuer => Role::Issuer,
            RoleName::Business => Role::Business,
            RoleName::Operator => Role::Operator,
            RoleName::Department => Role::Department,
            RoleName::Auditor => Role::Auditor,
            RoleName::Administrator => Role::Administrator,
        }
    }
}

/// A value that was written with an option, or what is wrong with it.
fn understood<T>(text: &str, option: &str, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
    parse(text).ok_or_else(|| Failure::Usage(format!("{option}: {text:?} is not {what}")))
}

fn public_key(text: &str) -> Result<[u8; 32], Failure> {
    understood(text, "--issuer-key", "64 lower-case hex digits", key)
}

fn caller_id(text: &str) -> Result<CallerId, Failure> {
    understood(text, "ID", "16 lower-case hex digits", CallerId::parse)
}

impl Callers {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Callers::Add(add) => add.run(),
            Callers::List(list) => list.run(),
            Callers::Revoke(revoke) => {
                let id = caller_id(&revoke.id)?;
                revoke.data.open()?.revoke_caller(id, &Caller::CONSOLE)?;
                print(revoke.json, &json!({ "id": id.to_string(), "revoked": true }), &format!("已吊销 revoked {id}"))?;
                Ok(Exit::Fine)
            }
            Callers::Key(key) => {
                let id = caller_id(&key.id)?;
                let issuer_key = key.issuer_key.as_deref().map(public_key).transpose()?;
                key.data.open()?.set_issuer_key(id, issuer_key, &Caller::CONSOLE)?;
                let key_id = issuer_key.map(|key| key_id(&key));
                let text = match &key_id {
                    Some(key_id) => format!("已登记密钥 {id} signs with key {key_id} from now on"),
                    None => format!("已撤销密钥 {id} has no key any more"),
                };
                print(key.json, &json!({ "id": id.to_string(), "issuer_key_id": key_id }), &text)?;
                Ok(Exit::Fine)
            }
        }
    }
}

impl Add {
    fn run(self) -> Result<Exit, Failure> {
        let taxpayers = self.taxpayers.iter().map(|text| understood(text, "--taxpayer", "a taxpayer id", TaxpayerId::parse));
        let regions = self.regions.iter().map(|text| understood(text, "--region", "2, 4 or 6 digits", Region::parse));
        let issuer_key = self.issuer_key.as_deref().map(public_key).transpose()?;
        let new = NewCaller {
            role: self.role.into(),
            taxpayers: taxpayers.collect::<Result<_, _>>()?,
            regions: if self.whole_country { Territory::WholeCountry } else { Territory::Regions(regions.collect::<Result<_, _>>()?) },
            issuer_key,
            label: self.label,
            expires: self.expires.as_deref().map(|text| understood(text, "--expires", "a date", end_of)).transpose()?,
        };
        let role = new.role.name();
        let (id, token) = self.data.open()?.enrol(new, &Caller::CONSOLE)?;
        let token = token.reveal();
        let key_id = issuer_key.map(|key| key_id(&key));
        let mut text = format!("已登记 enrolled {role} {id}\n令牌 token, shown this once: {}", token.as_str());
        if let Some(key_id) = &key_id {
            text += &format!("\n开票方密钥 issuer key {key_id}: each submission must be signed with it");
        }
        print(self.json, &json!({ "id": id.to_string(), "role": role, "token": token.as_str(), "issuer_key_id": key_id }), &text)?;
        Ok(Exit::Fine)
    }
}

impl List {
    fn run(&self) -> Result<Exit, Failure> {
        let engine = self.data.open_to_read()?;
        let mut after = None;
        let mut any = false;
        loop {
            let page = engine.callers(after, PAGE_ROWS_MAX)?;
            for one in &page {
                let Listed { id, caller, label, revoked, expires, .. } = one;
                let state = match (revoked, expires) {
                    (Some(revoked), _) => format!("revoked {revoked}"),
                    (None, Some(expires)) => format!("until {expires}"),
                    (None, None) => String::new(),
                };
                let taxpayers = caller.taxpayers.iter().map(TaxpayerId::as_str).collect::<Vec<_>>().join(",");
                print(self.json, &to_json(one), format!("{id}  {}  {taxpayers}  {state}  {label}", caller.role.name()).trim_end())?;
                any = true;
            }
            match page.last() {
                Some(last) if page.len() == PAGE_ROWS_MAX => after = Some(last.id),
                _ => break,
            }
        }
        if !any && !self.json {
            print(false, &Value::Null, "no callers are enrolled")?;
        }
        Ok(Exit::Fine)
    }
}

impl Audit {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let engine = self.data.open_to_read()?;
        for (number, entry) in engine.audit_entries(self.from, self.limit)? {
            let value = entry_json(number, &entry);
            let by = entry.by.map(|id| id.to_string());
            let (by, role) = (by.as_deref().unwrap_or("console"), entry.role.name());
            print(self.json, &value, &format!("{number}  {}  {by} {role}  {} {}  {}", entry.time, entry.act.name(), entry.subject, entry.outcome))?;
        }
        Ok(Exit::Fine)
    }
}
