//! Stop orders and the reasons why a rollout does not go on, each with its numbers. Words are made at the edge.

use super::ids::{Digest, KillId, RolloutId, TargetId};
use super::observation::{ProviderError, ResourceFailure};
use super::plan::{Plan, PlannedTarget};
use super::principal::is_same_name;
use super::stack::StackStatus;
use super::time::Millis;
use super::verdict::Finding;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How hard a kill stops. Modes only escalate: the order of the variants is the order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillMode {
    /// Start nothing forward; what is in flight goes to its end.
    Pause,
    /// Also cancel what is in flight.
    Halt,
    /// Also revert every touched target.
    Revert,
}

impl fmt::Display for KillMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Halt => "halt",
            Self::Revert => "revert",
        })
    }
}

impl FromStr for KillMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pause" => Ok(Self::Pause),
            "halt" => Ok(Self::Halt),
            "revert" => Ok(Self::Revert),
            other => Err(format!("`{other}` is no kill mode: say `pause`, `halt` or `revert`")),
        }
    }
}

/// What a kill stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillScope {
    /// Everything.
    All,
    /// Every rollout with a target in this environment.
    Environment(String),
    /// … in this region.
    Region(String),
    /// … in this cell.
    Cell(String),
    /// Every rollout of this pipeline.
    Pipeline(String),
    /// Every rollout that this agent proposed.
    Agent(String),
    /// One rollout.
    Rollout(RolloutId),
}

impl KillScope {
    /// True when the order stops this rollout. One matching target stops all of it: half a wave is no safe place to go on
    /// from. Names match in any case: an agent that is stopped does not go on under another spelling.
    pub fn covers(&self, plan: &Plan) -> bool {
        let any = |test: &dyn Fn(&PlannedTarget) -> bool| plan.targets.values().any(test);
        match self {
            Self::All => true,
            Self::Environment(name) => any(&|t| is_same_name(&t.environment, name)),
            Self::Region(name) => any(&|t| is_same_name(t.scope.region.as_str(), name)),
            Self::Cell(name) => any(&|t| is_same_name(t.cell.as_str(), name)),
            Self::Pipeline(name) => is_same_name(&plan.pipeline.name, name),
            Self::Agent(name) => {
                let proposer = plan.proposer.as_ref().map(|proposer| proposer.name.as_str());
                is_same_name(&plan.change_set.agent, name) || proposer.is_some_and(|agent| is_same_name(agent, name))
            }
            Self::Rollout(id) => plan.rollout == *id,
        }
    }

    /// True when both stop the same, however their names are written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::Environment(a), Self::Environment(b))
            | (Self::Region(a), Self::Region(b))
            | (Self::Cell(a), Self::Cell(b))
            | (Self::Pipeline(a), Self::Pipeline(b))
            | (Self::Agent(a), Self::Agent(b)) => is_same_name(a, b),
            (Self::Rollout(a), Self::Rollout(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for KillScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Environment(name) => write!(f, "environment={name}"),
            Self::Region(name) => write!(f, "region={name}"),
            Self::Cell(name) => write!(f, "cell={name}"),
            Self::Pipeline(name) => write!(f, "pipeline={name}"),
            Self::Agent(name) => write!(f, "agent={name}"),
            Self::Rollout(id) => write!(f, "rollout={id}"),
        }
    }
}

impl FromStr for KillScope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let known =
            "say `all`, or one of `environment=`, `region=`, `cell=`, `pipeline=`, `agent=`, `rollout=` with a name";
        match text.split_once('=').map(|(kind, name)| (kind.trim(), name.trim())) {
            Some((_, name)) if name.contains(char::is_control) => {
                Err(format!("`{}` is no kill scope: its name holds a control character", text.escape_debug()))
            }
            Some((_, "")) | None => Err(format!("`{text}` is no kill scope: {known}")),
            Some(("environment", name)) => Ok(Self::Environment(name.to_owned())),
            Some(("region", name)) => Ok(Self::Region(name.to_owned())),
            Some(("cell", name)) => Ok(Self::Cell(name.to_owned())),
            Some(("pipeline", name)) => Ok(Self::Pipeline(name.to_owned())),
            Some(("agent", name)) => Ok(Self::Agent(name.to_owned())),
            Some(("rollout", name)) => Ok(Self::Rollout(name.into())),
            Some(_) => Err(format!("`{text}` is no kill scope: {known}")),
        }
    }
}

/// By which door a kill came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillDoor {
    /// The command line, over the socket.
    Cli,
    /// The file `KILL` in the state directory.
    File,
    /// A signal to the daemon.
    Signal,
    /// HTTP.
    Http,
    /// The Model Context Protocol.
    Mcp,
}

impl fmt::Display for KillDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cli => "cli",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Http => "http",
            Self::Mcp => "mcp",
        })
    }
}

/// A stop order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// Its name.
    pub id: KillId,
    /// What it stops.
    pub scope: KillScope,
    /// How hard.
    pub mode: KillMode,
    /// Who gave it.
    pub by: String,
    /// By which door.
    pub door: KillDoor,
    /// When.
    pub at: Timestamp,
    /// Why, in the person's words.
    pub reason: String,
}

/// Why a rollout waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Hold {
    /// Somebody paused it.
    Paused {
        /// Who.
        by: String,
    },
    /// The fleet was red before the rollout touched it.
    RedBeforeStart {
        /// What was red.
        findings: Vec<Finding>,
    },
    /// A stack is not in a state from which it can be changed.
    StackNotReady {
        /// Which.
        target: TargetId,
        /// Its status; none: it does not exist.
        status: Option<StackStatus>,
    },
    /// A stack that is to be created exists already.
    StackExists {
        /// Which.
        target: TargetId,
        /// Its status.
        status: StackStatus,
    },
    /// Somebody changed the stack after its restore point was captured.
    StackChanged {
        /// Which.
        target: TargetId,
    },
    /// The provider refused to preview the change.
    PreviewFailed {
        /// Of which target.
        target: TargetId,
        /// The provider's words.
        reason: String,
    },
    /// What would be executed is not what was previewed and approved.
    PreviewDiffers {
        /// Of which target.
        target: TargetId,
        /// The digest that was approved.
        approved: Digest,
        /// The digest just read.
        found: Digest,
    },
    /// The guardrails' judgement has no digest: it could not be approved.
    NotJudged {
        /// Why.
        reason: String,
    },
    /// The bake ran to its `max_bake` without evidence enough for a verdict.
    BakeInconclusive {
        /// Index of the wave.
        wave: usize,
        /// After how long.
        after: Millis,
        /// What was missing.
        findings: Vec<Finding>,
    },
    /// The pipeline says hold, not revert, and this is what went wrong.
    Unhealthy {
        /// Why it would have been reverted.
        reason: RevertReason,
    },
    /// The provider did not answer within the retry budget (L5).
    ProviderUnavailable {
        /// For which target; none: for the health of the fleet.
        target: Option<TargetId>,
        /// The last error.
        error: ProviderError,
        /// How often it was tried.
        tries: u32,
    },
}

/// Why a rollout is reverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum RevertReason {
    /// Health broke.
    GateFailed {
        /// The wave that was baking or rolling.
        wave: usize,
        /// What broke.
        findings: Vec<Finding>,
    },
    /// More targets failed than the wave bears.
    WaveFailed {
        /// Which wave.
        wave: usize,
        /// How many failed.
        failed: u32,
        /// How many it bears.
        tolerance: u32,
    },
    /// A kill with mode `revert`.
    Killed {
        /// Which.
        kill: KillId,
    },
    /// A person asked for it.
    Requested {
        /// Who.
        by: String,
    },
    /// Whoever proposed it took it back.
    Withdrawn {
        /// Who.
        by: String,
    },
    /// `plan` only wanted to look.
    PlanOnly,
    /// A guardrail forbids it; what was found is in `guardrails_judged`.
    Denied,
    /// A person said no.
    Rejected {
        /// Who.
        by: String,
        /// Why, in their words.
        reason: String,
    },
}

/// Why a target cannot be settled without a person.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum StuckReason {
    /// The stack is not as the rollout left it: somebody else changed it, and it is not overwritten (S15).
    Conflict {
        /// Its status now; none: it is gone.
        status: Option<StackStatus>,
    },
    /// `ContinueUpdateRollback` was tried as often as the pipeline allows.
    RollbackFailed {
        /// How often it was continued.
        continued: u32,
        /// The resources that stand in the way.
        failures: Vec<ResourceFailure>,
    },
    /// The revert was executed and the provider did not complete it.
    RevertFailed {
        /// The status it ended in.
        status: StackStatus,
        /// The resources that failed.
        failures: Vec<ResourceFailure>,
    },
    /// What the rollout deleted does not come back with its data.
    Irreversible,
    /// The provider says complete, and the read shows something else than what was asked for (S8, S9).
    ProofDiffers {
        /// Template, parameters, tags or stack.
        differs: Vec<String>,
    },
    /// A status from which no automatic way leads on.
    DeadEnd {
        /// Which.
        status: StackStatus,
        /// The provider's words.
        reason: Option<String>,
    },
    /// The provider refuses what the revert needs.
    Refused {
        /// Its answer.
        error: ProviderError,
    },
}
