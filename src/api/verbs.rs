//! What may be asked at every door, and what is answered. Who asks is not in the request: the door proves it.

use super::admission::Explanation;
use super::code::Code;
use super::drill::DrillProgress;
use super::listing::{
    AuditEntry, CallerView, FindingView, LiftView, Page, PipelineSummary, PipelineView, PlanView, RolloutSummary,
};
use super::view::{KillView, RolloutView, StatusView};
use crate::model::drill::Drill;
use crate::model::halt::{KillMode, KillScope};
use crate::model::ids::{KillId, RolloutId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change set with everything that it names, as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The file's name, for messages.
    #[serde(default = "unnamed")]
    pub file: String,
    /// Its raw text, YAML or JSON.
    pub text: String,
    /// Template files that it names, by path.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
}

fn unnamed() -> String {
    "change set".into()
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", deny_unknown_fields)]
pub enum Request {
    /// Admit a change set, plan it and roll it out.
    Propose {
        /// What is handed in.
        submission: Submission,
    },
    /// Show what a change set would do: previews and guardrails, without touching a resource. Answers with the name of a rollout that
    /// only looks.
    Preview {
        /// What is handed in.
        submission: Submission,
    },
    /// Take back what one proposed: what it touched goes back.
    Withdraw {
        /// Which.
        rollout: RolloutId,
    },
    /// How things stand: everything.
    Status {
        /// Only this rollout.
        rollout: Option<RolloutId>,
        /// With the previews' resources.
        full: bool,
    },
    /// Rollouts in short, newest first.
    Rollouts {
        /// Only open ones (true), only ended ones (false).
        open: Option<bool>,
        /// Those after this one, in the order of the list.
        after: Option<RolloutId>,
        /// So many at most.
        limit: usize,
    },
    /// A rollout's plan.
    Plan {
        /// Which rollout.
        rollout: RolloutId,
    },
    /// What the guardrails found, in open rollouts or in one.
    Findings {
        /// Only this rollout.
        rollout: Option<RolloutId>,
        /// Those after this position.
        after: usize,
        /// So many at most.
        limit: usize,
    },
    /// Hold a rollout.
    Pause {
        /// Which.
        rollout: RolloutId,
    },
    /// Let a held rollout go on.
    Resume {
        /// Which.
        rollout: RolloutId,
    },
    /// Take a rollout back.
    Revert {
        /// Which.
        rollout: RolloutId,
    },
    /// Stop.
    Kill {
        /// What.
        scope: KillScope,
        /// How hard.
        mode: KillMode,
        /// Why.
        reason: String,
    },
    /// Stop orders, newest first.
    Kills {
        /// Those after this one, in the order of the list.
        after: Option<KillId>,
        /// So many at most.
        limit: usize,
    },
    /// Lift a stop order: the first person asks, another one lifts.
    Lift {
        /// Which.
        kill: KillId,
    },
    /// What people are asked, of every rollout that asks.
    Approvals,
    /// Why a rollout does not go on, who can release it, what would make it pass.
    Explain {
        /// Which.
        rollout: RolloutId,
    },
    /// A person answers what a rollout asks.
    Answer {
        /// Which rollout.
        rollout: RolloutId,
        /// What they say.
        says: Says,
    },
    /// Pipelines, in short.
    Pipelines,
    /// One pipeline: its cells, waves, and what it asks.
    Pipeline {
        /// Its name.
        name: String,
    },
    /// Check a pipeline's text, with every fault.
    Check {
        /// The file's name, for messages.
        file: String,
        /// Its text.
        text: String,
    },
    /// The record, oldest first.
    Audit {
        /// Those after this position.
        after: u64,
        /// So many at most.
        limit: usize,
    },
    /// Kill drills, newest first, and the one that is being held.
    Drills,
    /// Hold a kill drill: by default over the embedded world of drills.
    Drill {
        /// On the cells of a sandbox instead.
        #[serde(default)]
        sandbox: Option<SandboxDrill>,
    },
    /// Who the caller is.
    Me,
    /// Which release runs.
    Version,
}

/// A drill on the cells of a sandbox: every cell of the pipeline is in an environment of that name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxDrill {
    /// The pipeline.
    pub pipeline: String,
    /// A change that is in flight for a while, and that needs nobody's approval.
    pub submission: Submission,
}

/// What a person says to a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "says", deny_unknown_fields)]
pub enum Says {
    /// Yes, to what this digest covers.
    Approve {
        /// Its first twelve characters, or all of it.
        digest: String,
        /// The name of the last wave that they agree to; none: all that are asked for.
        through: Option<String>,
        /// The key figure of a destructive change, in their words.
        confirm: Option<String>,
    },
    /// Not any more.
    Revoke {},
    /// No.
    Reject {
        /// Why.
        reason: String,
    },
    /// This environment is as it should be.
    SignOff {
        /// Which.
        environment: String,
    },
}

/// Kill drills.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrillsView {
    /// The one that is being held.
    #[schema(value_type = Option<Object>)]
    pub running: Option<DrillProgress>,
    /// Those that have ended, newest first.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Drill>,
    /// None: these are all.
    pub next: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Response {
    /// The rollout (or the look) has begun.
    Proposed {
        /// Its name.
        rollout: RolloutId,
        /// The same request had proposed it before.
        #[serde(default)]
        again: bool,
    },
    /// How things stand.
    Status(StatusView),
    /// Rollouts in short.
    Rollouts(Page<RolloutSummary>),
    /// A rollout's plan.
    Plan(Box<PlanView>),
    /// What the guardrails found.
    Findings(Page<FindingView>),
    /// The order was taken and is durable.
    Done,
    /// The stop order is in force.
    Killed(KillView),
    /// Stop orders.
    Kills(Page<KillView>),
    /// A lift was asked for, or done.
    Lift(LiftView),
    /// What people are asked.
    Approvals {
        /// Of each rollout that asks.
        rollouts: Vec<RolloutView>,
    },
    /// Why a rollout does not go on.
    Explained(Box<Explanation>),
    /// Pipelines in short.
    Pipelines(Page<PipelineSummary>),
    /// One pipeline.
    Pipeline(Box<PipelineView>),
    /// What is wrong with a pipeline's text; empty: nothing.
    Checked {
        /// In words, with file, line and column.
        faults: Vec<String>,
    },
    /// The record.
    Audit(Page<AuditEntry>),
    /// Kill drills.
    Drills(DrillsView),
    /// The drill is being held; `drills` tells how it goes.
    DrillStarted {
        /// Its name.
        id: String,
    },
    /// Who the caller is.
    Me(CallerView),
    /// Which release runs.
    Version {
        /// Of the daemon.
        version: String,
    },
    /// The order cannot be taken. It is on record that it was refused, and nothing else.
    Refused {
        /// Stable.
        code: Code,
        /// Why, and what to do.
        message: String,
    },
    /// The input is wrong; nothing was recorded.
    BadInput {
        /// Where and why, and what to do.
        message: String,
    },
}
