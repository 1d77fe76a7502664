//! Who asks (调用方): its role, whom it acts for and where. What each role may do is one table of the channel; here are only the words.

use std::fmt;

use super::taxpayer::TaxpayerId;

/// What a caller is to the administration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// 公众: anybody, without a token.
    Anonymous = 0,
    /// 开票方: issues for the taxpayers that its token is bound to.
    Issuer = 1,
    /// 受票企业: checks purchases.
    Business = 2,
    /// 有奖发票运营方: runs the lottery of its regions.
    Operator = 3,
    /// 政府部门: asks for a purpose, within a division, until a day.
    Department = 4,
    /// 审计: reads the logs.
    Auditor = 5,
    /// 税务机关: keys, allotments, status events, callers.
    Administrator = 6,
}

impl Role {
    /// Every role, by number.
    pub const ALL: [Role; 7] = [Role::Anonymous, Role::Issuer, Role::Business, Role::Operator, Role::Department, Role::Auditor, Role::Administrator];

    /// The stable number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The role with this number.
    pub fn from_number(number: u8) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.number() == number)
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Anonymous => "anonymous",
            Role::Issuer => "issuer",
            Role::Business => "business",
            Role::Operator => "operator",
            Role::Department => "department",
            Role::Auditor => "auditor",
            Role::Administrator => "administrator",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Names one caller, in logs and in the audit table. Random, says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub [u8; 8]);

impl CallerId {
    /// Parses 16 lower-case hex digits.
    pub fn parse(text: &str) -> Option<CallerId> {
        let mut bytes = [0; 8];
        let canonical = text.len() == 16 && data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
        canonical.then_some(CallerId(bytes))
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A part of the country: the beginning of an administrative division code (行政区划代码), 2, 4 or 6 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(String);

impl Region {
    /// Two, four or six digits.
    pub fn parse(text: &str) -> Option<Region> {
        (matches!(text.len(), 2 | 4 | 6) && text.bytes().all(|b| b.is_ascii_digit())).then(|| Region(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a division lies in it. A division of fewer digits than the region is not known to.
    pub fn contains(&self, division: &str) -> bool {
        division.starts_with(&self.0)
    }
}

/// Somebody who asks, as known from a token; nobody in particular without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Absent for the anonymous.
    pub id: Option<CallerId>,
    /// What it is.
    pub role: Role,
    /// Whom it acts for; issuers and businesses.
    pub taxpayers: Vec<TaxpayerId>,
    /// Where it may act; empty for the whole country.
    pub regions: Vec<Region>,
    /// Ed25519 key that the issuer registered: from then on each of its submissions must be signed with it.
    pub issuer_key: Option<[u8; 32]>,
}

impl Caller {
    /// Anybody.
    pub const ANONYMOUS: Caller = Caller { id: None, role: Role::Anonymous, taxpayers: Vec::new(), regions: Vec::new(), issuer_key: None };

    /// Whoever has the data directory and its passphrase: the administration, in person.
    pub const CONSOLE: Caller = Caller { id: None, role: Role::Administrator, taxpayers: Vec::new(), regions: Vec::new(), issuer_key: None };

    /// Whether it acts for this taxpayer.
    pub fn acts_for(&self, taxpayer: &TaxpayerId) -> bool {
        self.taxpayers.contains(taxpayer)
    }

    /// Whether it may act in this division.
    pub fn acts_in(&self, division: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|region| region.contains(division))
    }
}
