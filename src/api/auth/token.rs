//! One token: 256 random bits behind a public name, and what is kept of them.
//!
//! A token is `wgt_ID_SECRET`. The id (8 hex characters) is its public name, in lists and records; the secret (43 characters of
//! base64url) is shown once. What is kept is the SHA-256 of the whole: with 256 random bits there is nothing to guess, so that a slow
//! digest would protect nothing.

use super::secret::Secret;
use crate::config::identity::Identity;
use crate::model::principal::{Principal, PrincipalKind, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// What every token begins with: searches for leaked secrets find it.
pub const PREFIX: &str = "wgt_";
/// A public name's length: four random bytes in hex.
const ID_LENGTH: usize = 8;
/// The secret's length: 32 bytes in base64url without padding.
const SECRET_LENGTH: usize = 43;

/// The SHA-256 of a token, in hex. Not the token, and yet nobody's to read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Another name for it, for the record: one cannot be had from the other, and a token has too many bits to be guessed by it.
    pub(super) fn tag(&self) -> String {
        let mut tag = hex(&Sha256::digest([b"wavegate token on record\n".as_slice(), &self.0].concat()));
        tag.truncate(16);
        tag
    }

    /// Compared in constant time: how long it takes tells nothing of the digest that is kept.
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[fingerprint]")
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "not 64 characters of hex";
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or(wrong)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect();
        // An odd digit at the end would be dropped by the pairs.
        if digits.len() != 64 {
            return Err(wrong);
        }
        bytes.try_into().map(Self).map_err(|_| wrong)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        hex(&fingerprint.0)
    }
}

/// Bytes in lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its public name.
    pub id: String,
    /// Whose it is: the principal's name. Several tokens may have one: to change a token is to make the next one before the last one
    /// is revoked.
    pub name: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// For whom they act.
    pub party: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// In which groups they are.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// What is compared.
    pub sha256: Fingerprint,
    /// When it was made.
    pub created_at: Timestamp,
    /// By which local user.
    pub created_by: String,
    /// From then on it lets nobody in.
    pub expires_at: Timestamp,
    /// When it was revoked; none: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// Who revoked a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// When.
    pub at: Timestamp,
    /// The local user.
    pub by: String,
}

/// Whether a token lets anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    Active,
    /// It was good until lately.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl Standing {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Kept {
    /// How it stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match (&self.revoked, now < self.expires_at) {
            (Some(_), _) => Standing::Revoked,
            (None, false) => Standing::Expired,
            (None, true) => Standing::Active,
        }
    }

    /// Since when it lets nobody in; none: it does.
    pub fn ended_at(&self, now: Timestamp) -> Option<Timestamp> {
        match (&self.revoked, self.standing(now)) {
            (Some(revoked), _) => Some(revoked.at),
            (None, Standing::Active) => None,
            (None, _) => Some(self.expires_at),
        }
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        let (name, kind) = (self.name.clone(), self.kind);
        (Principal { name, kind, party: self.party.clone(), groups: self.groups.clone() }, self.roles.clone())
    }

    /// True when this is the token.
    pub fn is(&self, token: &str) -> bool {
        self.sha256.is(&Fingerprint::of(token))
    }
}

/// The public name in a token; none: it has not the shape of one.
pub fn id_of(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let is_secret = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (is_id(id) && secret.len() == SECRET_LENGTH && secret.bytes().all(is_secret)).then_some(id)
}

/// True when a text looks like a token's public name.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// A token that nobody else has: the token, its public name, what is kept of it.
///
/// # Errors
/// The system gives no random bits.
pub fn generate() -> Result<(Secret, String, Fingerprint), getrandom::Error> {
    let (mut id, mut secret) = ([0; ID_LENGTH / 2], [0; 32]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = hex(&id);
    let token = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    let fingerprint = Fingerprint::of(&token);
    Ok((Secret::new(token), id, fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_shape_and_is_nobody_elses() {
        let (a, id, kept) = generate().unwrap();
        let (b, ..) = generate().unwrap();
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(id_of(a.reveal()), Some(id.as_str()));
        assert_eq!(a.reveal().len(), 4 + 8 + 1 + 43);
        assert!(kept.is(&Fingerprint::of(a.reveal())) && !kept.is(&Fingerprint::of(b.reveal())));
    }

    #[test]
    fn what_is_no_token_has_no_public_name() {
        let secret = "a".repeat(43);
        assert!(id_of(&format!("wgt_0123abcd_{secret}")).is_some());
        for wrong in [
            String::new(),
            "wgt_".into(),
            format!("wgx_0123abcd_{secret}"),
            format!("wgt_0123ABCD_{secret}"),
            format!("wgt_0123abc_{secret}"),
            format!("wgt_0123abcd_{secret}a"),
            format!("wgt_0123abcd_{}=", &secret[1..]),
            format!("wgt_0123abcd_{}\u{e9}", &secret[2..]),
            format!(" wgt_0123abcd_{secret}"),
        ] {
            assert_eq!(id_of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_back_and_does_not_show() {
        let (_, _, kept) = generate().unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), kept);
        assert_eq!(format!("{kept:?}"), "[fingerprint]");
        for wrong in ["", "zz", &"a".repeat(63), &"a".repeat(65), &"a".repeat(66), &"\u{e9}".repeat(32)] {
            assert!(Fingerprint::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
