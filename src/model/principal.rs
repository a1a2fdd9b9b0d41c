//! Who acts: of which kind, for which party, in which groups.

use super::ids::{Digest, RolloutId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A program that proposes changes by its own judgement. It may stop, and never let go on.
    Agent,
    /// A person.
    Human,
    /// A program that does what it is told: a pipeline, a webhook.
    Service,
}

/// Somebody who acts. An agent and a service belong to the party of whoever operates them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The person's, agent's or service's name: the same whatever token it comes with.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// For whom it acts: a team, a vendor.
    pub party: String,
    /// Groups that pipelines ask approvals of.
    pub groups: BTreeSet<String>,
}

impl Principal {
    /// True when both are one person, however the name is written.
    pub fn is_same_person(&self, other: &Self) -> bool {
        is_same_name(&self.name, &other.name)
    }

    /// True when both act for one party. Somebody without a party is in everybody's: what is not known does not count as apart.
    pub fn is_of_party(&self, party: &str) -> bool {
        self.party.trim().is_empty() || party.trim().is_empty() || is_same_name(&self.party, party)
    }
}

/// What somebody may do. Which verb needs which role is decided in `engine/authority.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Previews and proposes change sets, and takes its own back.
    Proposer,
    /// Writes pipelines and policies, and has them checked.
    Author,
    /// Approves, rejects, signs off. People only.
    Approver,
    /// Pauses, resumes, reverts, stops, drills.
    Operator,
    /// Reads the whole record.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Proposer, Self::Author, Self::Approver, Self::Operator, Self::Auditor];

    /// As it is written in files and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposer => "proposer",
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PrincipalKind {
    /// False for roles that let others go on: an agent is no approver and no operator, a service no approver, whatever gave them out.
    ///
    /// INVARIANT: S6, S23.
    pub fn may_have(self, role: Role) -> bool {
        match self {
            Self::Agent => !matches!(role, Role::Approver | Role::Operator),
            Self::Service => role != Role::Approver,
            Self::Human => true,
        }
    }

    /// As it is written in files and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Human => "human",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for PrincipalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// By which door somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// The Unix socket in the state directory.
    Socket,
    /// HTTP.
    Http,
    /// The Model Context Protocol.
    Mcp,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket",
            Self::Http => "http",
            Self::Mcp => "mcp",
        })
    }
}

/// Somebody whose identity was proven, with what they may do. Only `api/auth` makes one from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// What proved it, without any secret: `token t-1a2b`, `uid 1000`, `certificate spiffe://…`, `oidc https://issuer sub`.
    pub credential: String,
    /// By which door.
    pub door: Door,
    /// Somebody has named them: a token, an issuer, a certificate, the configuration. False: whoever runs the daemon, or root, as they
    /// come in where nobody is named. One person may be both.
    pub named: bool,
}

/// Who handed a change set in, and how that was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedIn {
    /// Who.
    pub by: Principal,
    /// What proved it; never a secret.
    pub credential: String,
    /// By which door.
    pub door: Door,
    /// Names the request: the digest of the caller and their idempotency key. A second one with the same key is the same proposal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// The digest of what was handed in: the same key with something else is a mistake.
    pub content: Digest,
}

/// An order that was not taken, or a caller who was not let in. Repetitions within a short time are one of these, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOrder {
    /// Who; none: it is not known who that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// What was shown as proof, without any secret; empty: nothing.
    pub credential: String,
    /// By which door.
    pub door: Door,
    /// What they wanted, as `approve`.
    pub verb: String,
    /// Of which rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<RolloutId>,
    /// The stable code of the refusal.
    pub code: String,
    /// Why.
    pub why: String,
    /// How often, since the last record of this refusal.
    pub times: u64,
    /// When it was first refused of those times.
    pub at: Timestamp,
}

/// True when both are one name, however it is written: in another case, or with spaces around it.
pub fn is_same_name(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}
