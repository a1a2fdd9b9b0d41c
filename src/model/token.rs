//! Tokens as the record knows them: who can come in by which, since when, and how that ended. Never what is compared.

use super::principal::{PrincipalKind, Role};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Whom a token lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// The token's public name.
    pub id: String,
    /// The principal's name.
    pub name: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// For whom they act.
    pub party: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// In which groups they are.
    pub groups: BTreeSet<String>,
    /// Changes with the secret, and tells nothing of it; so that a secret that somebody put in another's place is on record.
    pub tag: String,
    /// The local user who made it, as the file says.
    pub created_by: String,
    /// When, as the file says.
    pub created_at: Timestamp,
    /// From then on it lets nobody in.
    pub expires_at: Timestamp,
}

/// How a token ended, other than by its expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum TokenEnd {
    /// Somebody took it back.
    Revoked {
        /// The local user, as the file says.
        by: String,
        /// When, as the file says.
        at: Timestamp,
    },
    /// It is not in the file any more.
    Removed,
}

/// A token as the file shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSeen {
    /// Whom it lets in.
    pub grant: TokenGrant,
    /// It was taken back.
    pub revoked: Option<TokenEnd>,
}

/// A token on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenState {
    /// Whom it lets in.
    pub grant: TokenGrant,
    /// It does not any more.
    pub ended: bool,
}
