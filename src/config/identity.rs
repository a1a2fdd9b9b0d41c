//! Who is known, beside the tokens of the state directory: local users, issuers of signed tokens, client certificates.

use crate::model::principal::{Principal, PrincipalKind, Role};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Names are for tables and records.
const NAME_MAX: usize = 100;
/// The longest address, name of a claim, audience: they stand in records and messages.
const TEXT_MAX: usize = 300;
/// Clocks that are further apart are to be set right, not forgiven.
const LEEWAY_MAX: u64 = 300;
/// Clocks that are kept by NTP are well within it.
const LEEWAY: u64 = 30;
/// Signatures whose key is public: whoever checks one of these cannot make one. With HMAC (`HS256`), whoever can check can forge; with
/// `none` everybody can.
pub const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// What is accepted unless the configuration says otherwise.
const USUAL: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// Who somebody is, and what they may do.
pub type Identity = (Principal, BTreeSet<Role>);

/// Who is known, beside the tokens of the state directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// Local users, at the Unix socket. Beside them whoever runs the daemon, and root, come in with every role.
    #[serde(default)]
    pub users: Vec<UserEntry>,
    /// Issuers of signed bearer tokens (OpenID Connect).
    #[serde(default)]
    pub oidc: Vec<OidcConfig>,
    /// Client certificates, which the door has verified against its own authority.
    #[serde(default)]
    pub certificates: Vec<CertificateEntry>,
}

/// One local user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// By number,
    pub uid: Option<u32>,
    /// or by the system's name.
    pub user: Option<String>,
    /// Who that is here.
    pub name: String,
    /// What they are.
    #[serde(default = "human")]
    pub kind: PrincipalKind,
    /// For whom they act.
    #[serde(default)]
    pub party: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// In which groups they are.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

/// One client certificate, or one for each of several replicas: whatever has this name in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateEntry {
    /// By a URI among its subject alternative names, as `spiffe://example.org/agent`,
    pub uri: Option<String>,
    /// or by a DNS name among them,
    pub dns: Option<String>,
    /// or by the SHA-256 of the whole certificate, in hex, with or without colons.
    pub sha256: Option<String>,
    /// Who that is here.
    pub name: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// For whom they act.
    #[serde(default)]
    pub party: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// In which groups they are.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

/// One issuer of signed tokens, for one audience.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// As it stands in the tokens' `iss`, letter by letter.
    pub issuer: String,
    /// What the tokens' `aud` must hold.
    pub audience: String,
    /// Where its keys are; none: where its `/.well-known/openid-configuration` says.
    pub jwks_url: Option<String>,
    /// The signatures that are accepted.
    #[serde(default = "usual")]
    pub algorithms: Vec<String>,
    /// Which claim says what.
    #[serde(default)]
    pub claims: Claims,
    /// Which word in the claim of roles gives which roles. A token without any is refused.
    pub roles: BTreeMap<String, BTreeSet<Role>>,
    /// What its tokens' holders are, unless a claim tells.
    pub kind: Option<PrincipalKind>,
    /// For whom they act, unless a claim tells.
    #[serde(default)]
    pub party: String,
    /// By how many seconds its clock and this one may differ.
    #[serde(default = "leeway")]
    pub leeway: u64,
}

/// Which claim says what. A name with dots is looked for as it is, then as a path: `realm_access.roles`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// The principal's name.
    pub name: String,
    /// The party.
    pub party: Option<String>,
    /// `agent`, `human` or `service`.
    pub kind: Option<String>,
    /// What `roles` maps.
    pub roles: String,
    /// The groups that pipelines ask approvals of; none: those of `roles`.
    pub groups: Option<String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { name: "sub".into(), party: None, kind: None, roles: "groups".into(), groups: None }
    }
}

fn human() -> PrincipalKind {
    PrincipalKind::Human
}

fn usual() -> Vec<String> {
    USUAL.map(Into::into).into()
}

fn leeway() -> u64 {
    LEEWAY
}

impl UserEntry {
    /// True for the user of this id, who has this name.
    pub fn is(&self, uid: u32, name: Option<&str>) -> bool {
        match (&self.uid, &self.user) {
            (Some(own), _) => *own == uid,
            (None, Some(user)) => Some(user.as_str()) == name,
            (None, None) => false,
        }
    }

    /// Who that is.
    pub fn identity(&self) -> Identity {
        identity(&self.name, self.kind, &self.party, &self.groups, &self.roles)
    }

    fn check(&self) -> Result<(), String> {
        match (&self.uid, &self.user) {
            (Some(_), Some(_)) | (None, None) => return Err("name the user by `uid` or by `user`, one of them".into()),
            (None, Some(user)) if user.trim().is_empty() => return Err("`user` is empty".into()),
            _ => {}
        }
        check_principal(&self.name, self.kind, &self.party, &self.roles, &self.groups)
    }

    fn key(&self) -> String {
        self.uid
            .map_or_else(|| format!("user {}", self.user.as_deref().unwrap_or_default()), |uid| format!("uid {uid}"))
    }
}

impl CertificateEntry {
    /// Who that is.
    pub fn identity(&self) -> Identity {
        identity(&self.name, self.kind, &self.party, &self.groups, &self.roles)
    }

    /// True for this URI.
    pub fn is_uri(&self, found: &str) -> bool {
        self.uri.as_deref() == Some(found)
    }

    /// True for this DNS name, in whatever case.
    pub fn is_dns(&self, found: &str) -> bool {
        self.dns.as_deref().is_some_and(|dns| dns.eq_ignore_ascii_case(found))
    }

    /// True for the certificate of this digest, in lower-case hex.
    pub fn is_sha256(&self, found: &str) -> bool {
        self.digest().as_deref() == Some(found)
    }

    fn digest(&self) -> Option<String> {
        self.sha256.as_deref().map(|text| text.replace(':', "").to_ascii_lowercase())
    }

    fn check(&self) -> Result<(), String> {
        match (self.uri.as_deref(), self.dns.as_deref(), self.digest().as_deref()) {
            (Some(uri), None, None) if !uri.contains(':') => return Err(format!("`uri`: `{uri}` is no URI")),
            (None, Some(dns), None) if dns.is_empty() || dns.contains('*') => {
                return Err(format!("`dns`: `{dns}` is not the name of one host"));
            }
            (None, None, Some(hex)) if hex.len() != 64 || !hex.bytes().all(|c| c.is_ascii_hexdigit()) => {
                return Err(
                    "`sha256` has 64 characters of hex: `openssl x509 -noout -fingerprint -sha256` prints it".into()
                );
            }
            (Some(_), None, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
            _ => return Err("name the certificate by `uri`, `dns` or `sha256`, one of them".into()),
        }
        check_principal(&self.name, self.kind, &self.party, &self.roles, &self.groups)
    }

    fn key(&self) -> String {
        let dns = self.dns.as_ref().map(|dns| format!("dns {}", dns.to_ascii_lowercase()));
        let uri = self.uri.as_ref().map(|uri| format!("uri {uri}"));
        uri.or(dns).unwrap_or_else(|| format!("sha256 {}", self.digest().unwrap_or_default()))
    }
}

impl OidcConfig {
    /// What is wrong, with the field's name first.
    fn check(&self) -> Result<(), String> {
        check_address(&self.issuer).map_err(|why| format!("issuer: {why}"))?;
        check_text(&self.audience).map_err(|why| format!("audience: {why}"))?;
        if let Some(url) = &self.jwks_url {
            check_address(url).map_err(|why| format!("jwks_url: {why}"))?;
        }
        self.check_algorithms()?;
        self.check_claims()?;
        self.check_roles()?;
        if self.leeway > LEEWAY_MAX {
            return Err(format!("leeway: at most {LEEWAY_MAX} seconds; set the clocks right instead"));
        }
        if self.party.chars().any(char::is_control) || self.party.chars().count() > NAME_MAX {
            return Err(format!("party: at most {NAME_MAX} characters, and no control characters"));
        }
        Ok(())
    }

    fn check_algorithms(&self) -> Result<(), String> {
        if self.algorithms.is_empty() {
            return Err("algorithms: name one at least, or leave the field out".into());
        }
        for (at, name) in self.algorithms.iter().enumerate() {
            if !ALGORITHMS.contains(&name.as_str()) {
                let known = ALGORITHMS.join(", ");
                return Err(format!("algorithms[{at}]: `{name}` is not accepted here; these are: {known}"));
            }
        }
        Ok(())
    }

    fn check_claims(&self) -> Result<(), String> {
        let claims = &self.claims;
        let named = [
            ("name", Some(&claims.name)),
            ("party", claims.party.as_ref()),
            ("kind", claims.kind.as_ref()),
            ("roles", Some(&claims.roles)),
            ("groups", claims.groups.as_ref()),
        ];
        for (field, claim) in named {
            claim.map_or(Ok(()), |claim| check_text(claim)).map_err(|why| format!("claims.{field}: {why}"))?;
        }
        match self.kind.is_none() && claims.kind.is_none() {
            true => Err("kind: say what the holders are (human, agent or service), or which claim tells".into()),
            false => Ok(()),
        }
    }

    fn check_roles(&self) -> Result<(), String> {
        if self.roles.is_empty() {
            return Err("roles: without any, every token would be refused; map one word of the claim at least".into());
        }
        for (word, roles) in &self.roles {
            if roles.is_empty() {
                return Err(format!("roles.{word}: it gives no role"));
            }
            // With a claim that tells the kind, the one who comes in is looked at.
            if let (Some(kind), None) = (self.kind, &self.claims.kind) {
                check_roles(kind, roles).map_err(|why| format!("roles.{word}: {why}"))?;
            }
        }
        Ok(())
    }
}

impl IdentityConfig {
    /// What a reader of the shape alone cannot see.
    ///
    /// # Errors
    /// What is wrong, beginning with its place in the file.
    pub fn check(&self) -> Result<(), String> {
        let users = self.users.iter().map(|user| (user.check(), user.key()));
        check_all("users", ": ", users)?;
        let oidc = self.oidc.iter().map(|o| (o.check(), format!("issuer {} for audience {}", o.issuer, o.audience)));
        check_all("oidc", ".", oidc)?;
        let certificates = self.certificates.iter().map(|entry| (entry.check(), entry.key()));
        check_all("certificates", ": ", certificates)
    }
}

fn check_all(
    list: &str,
    between: &str,
    entries: impl Iterator<Item = (Result<(), String>, String)>,
) -> Result<(), String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (at, (checked, key)) in entries.enumerate() {
        checked.map_err(|why| format!("identity.{list}[{at}]{between}{why}"))?;
        if let Some(first) = seen.insert(key.clone(), at) {
            return Err(format!("identity.{list}[{at}]: `{key}` is there already, as identity.{list}[{first}]"));
        }
    }
    Ok(())
}

/// What nobody can be, wherever it is written.
///
/// # Errors
/// What is wrong, in words.
pub fn check_principal(
    name: &str,
    kind: PrincipalKind,
    party: &str,
    roles: &BTreeSet<Role>,
    groups: &BTreeSet<String>,
) -> Result<(), String> {
    check_name("the name", name)?;
    if !party.is_empty() {
        check_name("the party", party)?;
    }
    groups.iter().try_for_each(|group| check_name("a group", group))?;
    if roles.is_empty() {
        return Err(format!("`{name}` has no role; give one at least: {}", Role::ALL.map(Role::name).join(", ")));
    }
    check_roles(kind, roles)
}

/// A name that can stand in a table and a record.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err(format!("{what} is empty"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("{what} holds control characters"));
    }
    match name.chars().count() > NAME_MAX {
        true => Err(format!("{what} is longer than {NAME_MAX} characters")),
        false => Ok(()),
    }
}

/// INVARIANT: S6. Refused, not left out: whoever wrote it meant something else, and should learn so.
fn check_roles(kind: PrincipalKind, roles: &BTreeSet<Role>) -> Result<(), String> {
    match roles.iter().find(|role| !kind.may_have(**role)) {
        Some(role) if kind == PrincipalKind::Agent => {
            Err(format!("an agent cannot be {role}: agents propose and stop, people approve and operate"))
        }
        Some(role) => Err(format!("a {kind} cannot be {role}: only people approve")),
        None => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), String> {
    match text.trim().is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        true => Err(format!("write 1 to {TEXT_MAX} characters, without control characters")),
        false => Ok(()),
    }
}

/// INVARIANT: S20. An address with a password in it is not repeated.
fn check_address(text: &str) -> Result<(), String> {
    check_text(text)?;
    let (scheme, rest) = text.split_once("://").ok_or("write it as https://issuer.example.com")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("the address holds a user or a password; keys are public, and need none".into());
    }
    if authority.is_empty() || text.contains(['?', '#']) || text.contains(char::is_whitespace) {
        return Err("write it as https://issuer.example.com, without `?` and `#`".into());
    }
    match scheme {
        "https" => Ok(()),
        "http" if is_loopback(authority) => Ok(()),
        "http" => Err("keys that come over http are anybody's: use https (http is for this machine alone)".into()),
        _ => Err("the address begins with https://".into()),
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn identity(
    name: &str,
    kind: PrincipalKind,
    party: &str,
    groups: &BTreeSet<String>,
    roles: &BTreeSet<Role>,
) -> Identity {
    let principal = Principal { name: name.into(), kind, party: party.into(), groups: groups.clone() };
    (principal, roles.clone())
}

#[cfg(test)]
mod tests;
