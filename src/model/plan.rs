//! The plan: every wave, target and byte that will be applied. Immutable; its digest names it in every gate and event.

use super::change_set::Action;
use super::ids::{CellId, Digest, DigestError, RolloutId, StackKey, StackName, TargetId};
use super::pipeline::{Cell, Health, RegionOrder, RevertPolicy};
use super::principal::Principal;
use super::safeguards::Safeguards;
use super::stack::{ParameterInput, Scope, Template};
use super::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What will be done, frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The rollout that it belongs to.
    pub rollout: RolloutId,
    /// Who wants it and why.
    pub change_set: PlannedChangeSet,
    /// By which pipeline.
    pub pipeline: PipelineRef,
    /// When it was made.
    pub created_at: Timestamp,
    /// `wavegate plan`: preview, clean up, end.
    pub look_only: bool,
    /// Every template, once.
    pub templates: BTreeMap<Digest, Template>,
    /// The cells that the targets are in.
    pub cells: BTreeMap<CellId, Cell>,
    /// In order. Never empty.
    pub waves: Vec<PlannedWave>,
    /// By id; each is in exactly one wave.
    pub targets: BTreeMap<TargetId, PlannedTarget>,
    /// How health is judged.
    pub health: Health,
    /// Alarms that the change set claims to repair.
    pub repairs: BTreeSet<String>,
    /// How a revert goes.
    pub revert: RevertPolicy,
    /// Who proposes it; none in the journals of 0.1.0's first issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<Principal>,
    /// What it has to satisfy; none as above: such a rollout was let in before there were safeguards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safeguards: Option<Arc<Safeguards>>,
}

/// The change set, without its stacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChangeSet {
    /// SHA-256 of the raw bytes.
    pub digest: Digest,
    /// Untrusted text.
    pub agent: String,
    /// Untrusted text.
    pub title: String,
    /// Untrusted text.
    pub reasoning: String,
}

/// The pipeline, by name and bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRef {
    /// Its name.
    pub name: String,
    /// SHA-256 of the file's raw bytes.
    pub digest: Digest,
}

/// One wave, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedWave {
    /// From the pipeline.
    pub name: String,
    /// The first one in production.
    pub one_box: bool,
    /// In the order in which they start: by region, then cell, then the change set's order of stacks.
    pub targets: Vec<TargetId>,
    /// Targets in flight at once; at least 1.
    pub max_concurrent: u32,
    /// Failed targets that the wave bears.
    pub failure_tolerance: u32,
    /// Whether a region waits for the one before.
    pub regions: RegionOrder,
    /// How long it is watched.
    pub bake: Millis,
    /// Points that each metric must have shown.
    pub bake_datapoints: u32,
    /// When the bake is given up.
    pub max_bake: Millis,
}

/// One stack in one cell, with what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTarget {
    /// Its cell.
    pub cell: CellId,
    /// The cell's environment.
    pub environment: String,
    /// The change set's name of the stack.
    pub key: StackKey,
    /// Its physical name.
    pub stack: StackName,
    /// Where calls for it go.
    pub scope: Scope,
    /// Index of its wave.
    pub wave: usize,
    /// Position within its cell: an earlier stack of the cell is applied before, and reverted after.
    pub order: u32,
    /// Update, create or delete.
    pub action: Action,
    /// The new template, in [`Plan::templates`].
    pub template: Option<Digest>,
    /// What the template declares, where there is a new one.
    pub declared: Option<BTreeSet<String>>,
    /// Parameters that are set.
    pub parameters: BTreeMap<String, ParameterInput>,
    /// The whole set of tags; none: keep.
    pub tags: Option<BTreeMap<String, String>>,
    /// Capabilities to acknowledge.
    pub capabilities: BTreeSet<String>,
}

impl Plan {
    /// The digest that gates, approvals and the issuer name.
    ///
    /// # Errors
    /// As [`Digest::of_value`].
    pub fn digest(&self) -> Result<Digest, DigestError> {
        Digest::of_value(self)
    }

    /// The cells of the waves up to and including `wave`.
    pub fn cells_through(&self, wave: usize) -> BTreeSet<&CellId> {
        self.targets.values().filter(|t| t.wave <= wave).map(|t| &t.cell).collect()
    }
}
