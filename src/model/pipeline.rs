//! A pipeline, checked: what an SRE's YAML means once nothing in it is wrong.
//!
//! [`read::read_with`] is the only way to get one. `beside` finds the files that it names; `yaml` is the shape that editors get as JSON Schema; `build` takes the values out of a
//! document, `check` looks at how they fit together. Every fault has a path, line and column.

pub mod beside;
pub mod build;
pub mod check;
mod fill;
pub mod health;
pub mod read;
pub mod yaml;

use super::ids::{AccountId, CellId, Digest, Region, StackKey, StackName};
use super::safeguards::Safeguards;
use super::stack::Scope;
use super::time::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use health::{
    AlarmGate, Compare, Comparison, Health, Metric, MetricScope, MetricSource, MissingData, RatioPart, StatTemplate,
    Threshold, Worse,
};

/// An SRE's pipeline: fleet, waves, health, revert policy. Every reference in it is known to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name, as change sets say it.
    pub name: String,
    /// SHA-256 of the file's raw bytes.
    pub digest: Digest,
    /// The cells that it may reach, in the file's order. Never empty; names are unique.
    pub cells: Vec<Cell>,
    /// The waves, in order. Never empty; together they select every cell exactly once.
    pub waves: Vec<WaveSpec>,
    /// How health is judged.
    pub health: Health,
    /// What happens when it breaks.
    pub revert: RevertPolicy,
    /// What a change has to satisfy before it may start.
    pub safeguards: Arc<Safeguards>,
}

/// One isolated copy of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Unique in the pipeline.
    pub name: CellId,
    /// Twelve digits.
    pub account: AccountId,
    /// As `eu-west-1`.
    pub region: Region,
    /// As `production`.
    pub environment: String,
    /// The role that the daemon assumes there.
    pub role: Option<Arc<str>>,
    /// Percent of customers that it serves.
    pub traffic_share: f64,
    /// The change set's name of a stack → its physical name here.
    pub stacks: BTreeMap<StackKey, StackName>,
    /// Free values for `{cell.KEY}` in dimensions and alarm names.
    pub attributes: BTreeMap<String, String>,
}

impl Cell {
    /// Where calls for this cell go.
    pub fn scope(&self) -> Scope {
        Scope { account: self.account.clone(), region: self.region.clone(), role: self.role.clone() }
    }
}

/// One wave as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveSpec {
    /// Unique in the pipeline.
    pub name: String,
    /// Only cells of this environment; none: of every environment.
    pub environment: Option<String>,
    /// Which of the cells that no earlier wave took.
    pub select: Select,
    /// The first wave in production: exactly one cell.
    pub one_box: bool,
    /// Targets in flight at once.
    pub max_concurrent: Amount,
    /// Failed targets that the wave bears; one more reverts the rollout.
    pub failure_tolerance: Amount,
    /// Whether a region waits for the one before.
    pub regions: RegionOrder,
    /// How long the wave is watched.
    pub bake: Millis,
    /// Data points that each metric must have shown in the bake.
    pub bake_datapoints: u32,
    /// After this the bake is given up: pause and page.
    pub max_bake: Millis,
}

/// Which cells a wave takes, among those that no earlier wave took, in the fleet's order.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// These.
    Cells(Vec<CellId>),
    /// So many.
    Count(u32),
    /// So many percent of all cells of the environment (or fleet); rounds down, minimum one.
    PercentOfTargets(f64),
    /// Cells until their `traffic_share` would pass so many percent; minimum one.
    PercentOfTraffic(f64),
    /// All that are left.
    Remaining,
}

/// A count, or a percentage of a wave's targets (rounds down).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many percent.
    Percent(f64),
}

impl Amount {
    /// The count for `total`, at least `minimum`. Percentages round down, as in StackSets.
    pub fn of(self, total: usize, minimum: u32) -> u32 {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        match self {
            Self::Count(n) => n.max(minimum),
            Self::Percent(p) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 ≤ p ≤ 100 is checked; rounding down is the rule"
                )]
                let n = (f64::from(total) * p / 100.0).floor() as u32;
                n.max(minimum)
            }
        }
    }
}

/// Whether the regions of a wave go one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionOrder {
    /// A region starts when the one before has settled.
    #[default]
    Sequential,
    /// All at once, within `max_concurrent`.
    Parallel,
}

/// What happens when health breaks, and how a revert is paced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevertPolicy {
    /// Revert, or stop and page.
    pub on_failure: OnFailure,
    /// Targets reverted at once, of those in a wave, in percent; never fewer than the wave's own `max_concurrent`.
    pub max_concurrent_percent: f64,
    /// Whether a change that cannot be undone may be proposed at all.
    pub irreversible: Irreversible,
    /// How often `ContinueUpdateRollback` is tried before the target is stuck.
    pub continue_rollback_attempts: u32,
    /// An operation that takes longer is reported with its last provider event.
    pub operation_deadline: Millis,
}

/// What a failed gate or wave leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Revert every completed wave.
    #[default]
    Revert,
    /// Stop and page.
    Hold,
}

/// Whether changes without an inverse are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Irreversible {
    /// Refused when it is proposed.
    #[default]
    Refuse,
    /// Let in; a revert leaves such a target stuck, with the next human step.
    Allow,
}
