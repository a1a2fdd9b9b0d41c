//! What people are asked, and what they answered. An approval is bound to one digest, one rollout and a number of waves.

use super::ids::{Digest, RolloutId};
use super::principal::Principal;
use super::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// So many people.
    pub count: u32,
    /// Of as many parties.
    pub parties: u32,
    /// Among them so many of each of these groups.
    pub groups: BTreeMap<String, u32>,
}

impl ApprovalRule {
    /// True when nobody is asked.
    pub fn asks_nobody(&self) -> bool {
        self.count == 0 && self.groups.values().all(|n| *n == 0)
    }
}

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// For which rollout.
    pub rollout: RolloutId,
    /// Covers plan, previews, findings, policies and the rule: whatever changes in them makes it another one (S7).
    pub digest: Digest,
    /// Who must agree.
    pub rule: ApprovalRule,
    /// Who proposed the change.
    pub proposer: Principal,
    /// Who handed it in, where the pipeline knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_in_by: Option<Principal>,
    /// Index of the last wave that is asked for.
    pub through_wave: usize,
    /// What an approver of a destructive change repeats, as `replaces 1 database`.
    pub key_figure: Option<String>,
    /// How long an approval counts.
    pub valid_for: Millis,
}

/// What somebody answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// What was looked at.
    pub digest: Digest,
    /// Who agrees.
    pub by: Principal,
    /// Index of the last wave that is agreed to.
    pub through_wave: usize,
    /// The key figure, as the person wrote it.
    pub confirm: Option<String>,
    /// When.
    pub at: Timestamp,
}
