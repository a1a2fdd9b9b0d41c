//! What an agent hands off, checked: `Submitted` text becomes an [`Admitted`] change set through one constructor.

pub mod read;

use super::ids::{Digest, StackKey};
use super::stack::{ParameterInput, Template};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A change set that was read whole and found without fault. Nothing else goes on to the planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// SHA-256 of the raw bytes that were handed in.
    pub digest: Digest,
    /// Who proposes it. Untrusted text without control characters.
    pub agent: String,
    /// One line. Untrusted text.
    pub title: String,
    /// Why. Untrusted text.
    pub reasoning: String,
    /// The pipeline that it goes through.
    pub pipeline: String,
    /// Alarms that it claims to repair: they may be in ALARM before the rollout.
    pub repairs: BTreeSet<String>,
    /// In the order of the file, which is the order within a cell.
    pub stacks: Vec<(StackKey, StackChange)>,
}

/// What is wanted for one stack, in every cell that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackChange {
    /// Update, create or delete.
    pub action: Action,
    /// The new template; none for an update: keep the stack's own.
    pub template: Option<Template>,
    /// Parameters that are set; the others keep their value where the template still has them.
    pub parameters: BTreeMap<String, ParameterInput>,
    /// The whole set of tags; none: keep them.
    pub tags: Option<BTreeMap<String, String>>,
    /// Capabilities to acknowledge.
    pub capabilities: BTreeSet<String>,
}

/// What happens to a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Change an existing stack.
    #[default]
    Update,
    /// Make a new one.
    Create,
    /// Remove it. Has no inverse.
    Delete,
}
