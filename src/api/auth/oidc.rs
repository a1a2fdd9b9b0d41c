//! Signed bearer tokens (JWT) of the issuers that the configuration names.
//!
//! Source: RFC 7519 (JWT), RFC 8725 (best current practices), OpenID Connect Core 1.0 section 3.1.3.7. The signature, `exp`, `nbf`,
//! `iss` and `aud` are checked by `jsonwebtoken`; here is what it leaves open: which key, which type of token, `iat`, and what the
//! claims mean.

mod claims;
mod keys;

use super::{Unauthenticated, refused};
use crate::cloud::jwks::Documents;
use crate::config::identity::{Identity, IdentityConfig, OidcConfig};
use crate::model::principal::PrincipalKind;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use keys::Keys;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A subject's longest name. Source: OpenID Connect Core 1.0 section 2, `sub`.
const SUBJECT_MAX: usize = 255;
/// The types of token that say who calls; a logout token or a proof of possession is signed with the same key. Source: RFC 8725 section
/// 3.11, RFC 9068 section 2.1.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// The issuers.
#[derive(Debug)]
pub struct Issuers {
    issuers: Vec<Issuer>,
}

#[derive(Debug)]
struct Issuer {
    config: OidcConfig,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
}

impl Issuers {
    /// Those of the configuration. Asks nobody yet: an issuer that is away stops no daemon.
    pub fn of(config: &IdentityConfig, documents: &Arc<dyn Documents>) -> Self {
        let issuers = config.oidc.iter().map(|config| Issuer {
            // Names that are none have been refused by `check`.
            algorithms: config.algorithms.iter().filter_map(|name| name.parse().ok()).collect(),
            keys: Keys::of(config, Arc::clone(documents)),
            config: config.clone(),
        });
        Self { issuers: issuers.collect() }
    }

    /// Who has this token, and what to call it in records.
    ///
    /// # Errors
    /// [`Unauthenticated::Refused`], and [`Unauthenticated::Unknown`] where no issuer is named at all.
    pub async fn find(&self, token: &str, now: Timestamp) -> Result<(Identity, String), Unauthenticated> {
        if self.issuers.is_empty() {
            return Err(Unauthenticated::Unknown);
        }
        let header = header(token)?;
        let issuer = self.issuer(token)?;
        if !issuer.algorithms.contains(&header.alg) {
            return Err(refused("the token is signed in a way that is not accepted here (`alg`)"));
        }
        let key = issuer.keys.find(header.kid.as_deref(), header.alg).await.map_err(refused)?;
        let claims = decode::<Map<String, Value>>(token, &key, &issuer.validation(header.alg));
        let claims = claims.map_err(|error| refused(in_words(error.kind())))?.claims;
        issuer.check_issued_at(&claims, now)?;
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.is_empty() || subject.len() > SUBJECT_MAX || subject.chars().any(char::is_control) {
            return Err(refused("the token's `sub` is no subject"));
        }
        let credential = format!("oidc {} {subject}", issuer.config.issuer);
        Ok((claims::identity(&issuer.config, &claims).map_err(refused)?, credential))
    }

    /// The issuer that the token claims to be from and for; nothing of that is proven yet.
    fn issuer(&self, token: &str) -> Result<&Issuer, Unauthenticated> {
        let claims: Map<String, Value> = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused("the token cannot be read: its claims are no JSON"))?;
        // INVARIANT: one issuer. The library would take a list of them that holds the right one.
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let mut named = self.issuers.iter().filter(|known| known.config.issuer == issuer).peekable();
        if named.peek().is_none() {
            return Err(refused("the token is of an issuer that is not known here (`iss`)"));
        }
        let audience = claims.get("aud").unwrap_or(&Value::Null);
        let mut meant = named.filter(|known| is_meant(audience, &known.config.audience));
        match (meant.next(), meant.next()) {
            (Some(issuer), None) => Ok(issuer),
            (None, _) => Err(refused("the token is for somebody else (`aud`)")),
            (Some(_), Some(_)) => Err(refused("the token is for two audiences of this daemon (`aud`): ask for one")),
        }
    }
}

impl Issuer {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.config.leeway;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    /// A token from the future is of a clock that is wrong, and so is its end.
    fn check_issued_at(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Unauthenticated> {
        let Some(issued) = claims.get("iat") else { return Ok(()) };
        let leeway = i32::try_from(self.config.leeway).map_or(0.0, f64::from);
        let latest = Value::from(now.as_second()).as_f64().unwrap_or_default() + leeway;
        match issued.as_f64() {
            Some(at) if at <= latest => Ok(()),
            Some(_) => Err(refused("the token was issued in the future (`iat`): is a clock wrong?")),
            None => Err(refused("the token does not say when it was issued (`iat`)")),
        }
    }
}

/// A header that this release understands whole.
fn header(token: &str) -> Result<Header, Unauthenticated> {
    // `none` is no algorithm to the library: a token with it ends here.
    let header = decode_header(token).map_err(|_| refused("the token cannot be read: is it signed? (`alg`)"))?;
    if header.crit.is_some() {
        return Err(refused("the token asks for an extension that is not known here (`crit`)"));
    }
    match &header.typ {
        Some(typ) if !TYPES.contains(&typ.to_ascii_lowercase().as_str()) => {
            Err(refused("the token is not of a type that says who calls (`typ`)"))
        }
        _ => Ok(header),
    }
}

fn is_meant(audience: &Value, ours: &str) -> bool {
    match audience {
        Value::String(one) => one == ours,
        Value::Array(many) => many.iter().any(|one| one.as_str() == Some(ours)),
        _ => false,
    }
}

/// INVARIANT: S20. The library's own words may repeat parts of the token.
fn in_words(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired (`exp`); ask its issuer for a new one",
        ErrorKind::ImmatureSignature => "the token does not hold yet (`nbf`): is a clock wrong?",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::InvalidIssuer => "the token is of an issuer that is not known here (`iss`)",
        ErrorKind::InvalidAudience => "the token is for somebody else (`aud`)",
        ErrorKind::InvalidAlgorithm => "the token is signed in a way that is not accepted here (`alg`)",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of `exp`, `iss`, `aud` and `sub`",
        ErrorKind::InvalidClaimFormat(_) => "a time in the token is none (`exp`, `nbf`)",
        _ => "the token cannot be checked",
    }
}

/// The word of a claim or a table.
fn kind_of(text: &str) -> Option<PrincipalKind> {
    [PrincipalKind::Agent, PrincipalKind::Human, PrincipalKind::Service].into_iter().find(|kind| kind.name() == text)
}
