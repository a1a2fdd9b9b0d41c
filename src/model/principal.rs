//! Who acts: of which kind, for which party, in which groups.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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

fn is_same_name(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}
