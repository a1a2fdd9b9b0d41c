//! Kill drills: proof, by doing it, that each door and each mode of a kill works.

use super::halt::{KillDoor, KillMode};
use super::ids::RolloutId;
use super::plan::Plan;
use super::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The account of the embedded cells that drills are held on. AWS gives nobody this number; the daemon never sends a call for it out.
pub const DRILL_ACCOUNT: &str = "000000000000";
/// The pipeline that is built in for drills. Nobody can propose through it.
pub const DRILL_PIPELINE: &str = "kill-drill";

/// True for a rollout of a drill in the embedded world: everything that it touches is there.
pub fn is_drill(plan: &Plan) -> bool {
    !plan.targets.is_empty() && plan.targets.values().all(|target| target.scope.account.as_str() == DRILL_ACCOUNT)
}

/// Where a drill was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "place")]
pub enum DrillPlace {
    /// The embedded world of the running daemon.
    Embedded,
    /// A sandbox cell, by this pipeline.
    Sandbox {
        /// The pipeline's name.
        pipeline: String,
    },
}

/// One door and one mode, tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillCheck {
    /// Which door.
    pub door: KillDoor,
    /// Which mode.
    pub mode: KillMode,
    /// The rollout that was stopped.
    pub rollout: RolloutId,
    /// From the order to its acknowledgement; none: it was not acknowledged in time.
    pub acknowledged_after: Option<Millis>,
    /// What was expected and seen, in words.
    pub evidence: String,
    /// True when it did what it must.
    pub passed: bool,
}

/// A drill that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Its name.
    pub id: String,
    /// Where.
    pub place: DrillPlace,
    /// Who held it.
    pub by: String,
    /// When it ended.
    pub at: Timestamp,
    /// Every door and mode.
    pub checks: Vec<DrillCheck>,
    /// Doors that were not tried, and why, in words. They are not passed, and not failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_drilled: Vec<String>,
}

impl Drill {
    /// True when every check passed, and there were some.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}
