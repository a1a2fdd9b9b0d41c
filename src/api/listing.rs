//! What lists and single things look like, as data: short lines of rollouts, plans, pipelines, findings, the record.

use super::fact;
use super::reasons::{self, ReasonView};
use crate::journal::Entry;
use crate::model::change_set::Action;
use crate::model::event::Outcome;
use crate::model::ids::{CellId, KillId, RolloutId, TargetId};
use crate::model::pipeline::Pipeline;
use crate::model::plan::Plan;
use crate::model::principal::{Caller, Door, PrincipalKind, Role};
use crate::model::state::{Rollout, State};
use crate::model::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// What to ask for next, as `after`; none: that was the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of these, and the name of the last one where there are more.
    pub fn of(items: impl Iterator<Item = T>, limit: usize, name: impl Fn(&T) -> String) -> Self {
        let mut items: Vec<T> = items.take(limit.saturating_add(1)).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(name);
        Self { items, next }
    }

    /// A list that fits into one answer.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// One rollout in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RolloutSummary {
    /// Its name.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// Untrusted text.
    pub title: String,
    /// Untrusted text.
    pub agent: String,
    /// By which pipeline.
    pub pipeline: String,
    /// When it was proposed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// It only looks: a preview.
    pub look_only: bool,
    /// `previewing`, `rolling`, `baking`, `reverting` or `ended`.
    pub phase: String,
    /// How it ended.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<Outcome>,
    /// Waves whose gate passed.
    pub waves_passed: usize,
    /// All of them.
    pub waves: usize,
    /// It waits for a person.
    pub held: bool,
    /// A stop order is on it.
    pub killed: bool,
}

/// What a rollout will do, without the bytes of its templates and the values of its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanView {
    /// The rollout that it belongs to.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// What gates and approvals name.
    pub digest: String,
    /// The change set's own digest.
    pub change_set: String,
    /// By which pipeline.
    pub pipeline: String,
    /// The digest of the pipeline's file.
    pub pipeline_digest: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// It only looks.
    pub look_only: bool,
    /// In order.
    pub waves: Vec<PlanWaveView>,
}

/// One wave of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanWaveView {
    /// Its name.
    pub name: String,
    /// The first one in production.
    pub one_box: bool,
    /// How long it is watched, in milliseconds.
    #[schema(value_type = u64)]
    pub bake: Millis,
    /// In the order in which they start.
    pub targets: Vec<PlanTargetView>,
}

/// One target of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanTargetView {
    /// Its id.
    #[schema(value_type = String)]
    pub target: TargetId,
    /// Its cell.
    #[schema(value_type = String)]
    pub cell: CellId,
    /// The stack's name.
    pub stack: String,
    /// Where.
    pub account: String,
    /// Where.
    pub region: String,
    /// Of which environment.
    pub environment: String,
    /// What is done with the stack.
    #[schema(value_type = String)]
    pub action: Action,
    /// The digest of the new template; none: it stays.
    pub template: Option<String>,
    /// Parameters that are set, by name.
    pub parameters: BTreeSet<String>,
}

/// One finding of one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FindingView {
    /// Of which rollout.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// What was found, by which rule, and what would satisfy it.
    #[schema(value_type = Object)]
    pub finding: ReasonView,
}

/// A lift that was asked for, or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiftView {
    /// Which stop order.
    #[schema(value_type = String)]
    pub kill: KillId,
    /// It is lifted; false: one more person is needed, within an hour.
    pub lifted: bool,
    /// Who asked for it so far.
    pub by: Vec<String>,
}

/// One pipeline in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineSummary {
    /// Its name; for a file that does not check, the file's.
    pub name: String,
    /// The names of its waves, in order.
    pub waves: Vec<String>,
    /// How many cells it may reach.
    pub cells: usize,
    /// The names that change sets use for its stacks.
    pub stacks: BTreeSet<String>,
    /// What is wrong with it; none: it is sound.
    pub fault: Option<String>,
}

/// One pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// The digest of its file.
    pub digest: String,
    /// The names that change sets use for its stacks.
    pub stacks: BTreeSet<String>,
    /// Every cell that it may reach.
    pub cells: Vec<PipelineCellView>,
    /// In order.
    pub waves: Vec<PipelineWaveView>,
    /// What health looks at, by name.
    pub metrics: Vec<String>,
    /// Environment → class → what people must say, where the pipeline says so itself.
    pub autonomy: BTreeMap<String, BTreeMap<String, String>>,
    /// People who may approve.
    pub approvers: Vec<String>,
}

/// One cell of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineCellView {
    /// Its name.
    #[schema(value_type = String)]
    pub cell: CellId,
    /// Where.
    pub account: String,
    /// Where.
    pub region: String,
    /// Of which environment.
    pub environment: String,
    /// Percent of the environment's customers.
    pub traffic_share: f64,
}

/// One wave of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineWaveView {
    /// Its name.
    pub name: String,
    /// The first one in production.
    pub one_box: bool,
    /// How long it is watched, in milliseconds.
    #[schema(value_type = u64)]
    pub bake: Millis,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Its position; positions have no gaps.
    pub seq: u64,
    /// When it was written, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// By which leader.
    pub epoch: u64,
    /// The event's name.
    pub event: String,
    /// The rollout that it concerns.
    #[schema(value_type = Option<String>)]
    pub rollout: Option<RolloutId>,
    /// The target that it concerns.
    #[schema(value_type = Option<String>)]
    pub target: Option<TargetId>,
    /// The essential of it, in words. It holds untrusted text.
    pub detail: String,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallerView {
    /// The name.
    pub name: String,
    /// Of which kind.
    #[schema(value_type = String)]
    pub kind: PrincipalKind,
    /// For whom.
    pub party: String,
    /// What they may do.
    #[schema(value_type = Vec<String>)]
    pub roles: BTreeSet<Role>,
    /// What proved it, without any secret.
    pub credential: String,
    /// By which door.
    #[schema(value_type = String)]
    pub door: Door,
}

/// One rollout in short.
pub fn summary(state: &State, rollout: &Rollout) -> RolloutSummary {
    let plan = &rollout.plan;
    RolloutSummary {
        rollout: plan.rollout.clone(),
        title: plan.change_set.title.clone(),
        agent: plan.change_set.agent.clone(),
        pipeline: plan.pipeline.name.clone(),
        created_at: plan.created_at,
        look_only: plan.look_only,
        phase: super::view::phase(rollout).into(),
        outcome: rollout.outcome(),
        waves_passed: rollout.gates.len(),
        waves: plan.waves.len(),
        held: rollout.hold.is_some(),
        killed: !rollout.is_ended() && state.kill_on(rollout).is_some(),
    }
}

/// A plan without its bytes.
pub fn plan(rollout: &Rollout) -> PlanView {
    let plan = &rollout.plan;
    PlanView {
        rollout: plan.rollout.clone(),
        digest: rollout.plan_digest.to_string(),
        change_set: plan.change_set.digest.to_string(),
        pipeline: plan.pipeline.name.clone(),
        pipeline_digest: plan.pipeline.digest.to_string(),
        created_at: plan.created_at,
        look_only: plan.look_only,
        waves: plan
            .waves
            .iter()
            .map(|wave| PlanWaveView {
                name: wave.name.clone(),
                one_box: wave.one_box,
                bake: wave.bake,
                targets: wave.targets.iter().filter_map(|id| plan_target(plan, id)).collect(),
            })
            .collect(),
    }
}

fn plan_target(plan: &Plan, id: &TargetId) -> Option<PlanTargetView> {
    let target = plan.targets.get(id)?;
    Some(PlanTargetView {
        target: id.clone(),
        cell: target.cell.clone(),
        stack: target.stack.to_string(),
        account: target.scope.account.to_string(),
        region: target.scope.region.to_string(),
        environment: target.environment.clone(),
        action: target.action,
        template: target.template.as_ref().map(ToString::to_string),
        parameters: target.parameters.keys().cloned().collect(),
    })
}

/// What was found in a rollout.
pub fn findings(rollout: &Rollout) -> impl Iterator<Item = FindingView> + '_ {
    let judged = rollout.admission.judged.iter().flat_map(|judged| &judged.found);
    judged
        .chain(&rollout.admission.waits)
        .map(|found| FindingView { rollout: rollout.plan.rollout.clone(), finding: reasons::view(found) })
}

/// One pipeline in short.
pub fn pipeline_summary(pipeline: &Pipeline) -> PipelineSummary {
    PipelineSummary {
        name: pipeline.name.clone(),
        waves: pipeline.waves.iter().map(|wave| wave.name.clone()).collect(),
        cells: pipeline.cells.len(),
        stacks: stacks(pipeline),
        fault: None,
    }
}

/// One pipeline.
pub fn pipeline(pipeline: &Pipeline) -> PipelineView {
    let safeguards = &pipeline.safeguards;
    let row = |classes: &BTreeMap<_, crate::model::safeguards::Set<crate::model::class::Autonomy>>| {
        classes
            .iter()
            .map(|(class, set): (&crate::model::class::ChangeClass, _)| (class.to_string(), set.is.to_string()))
            .collect()
    };
    PipelineView {
        name: pipeline.name.clone(),
        digest: pipeline.digest.to_string(),
        stacks: stacks(pipeline),
        cells: pipeline
            .cells
            .iter()
            .map(|cell| PipelineCellView {
                cell: cell.name.clone(),
                account: cell.account.to_string(),
                region: cell.region.to_string(),
                environment: cell.environment.clone(),
                traffic_share: cell.traffic_share,
            })
            .collect(),
        waves: pipeline
            .waves
            .iter()
            .map(|wave| PipelineWaveView { name: wave.name.clone(), one_box: wave.one_box, bake: wave.bake })
            .collect(),
        metrics: pipeline.health.metrics.iter().map(|metric| metric.name.clone()).collect(),
        autonomy: safeguards.autonomy.rows.iter().map(|(name, classes)| (name.clone(), row(classes))).collect(),
        approvers: safeguards.approvals.people.values().map(|person| person.name.clone()).collect(),
    }
}

fn stacks(pipeline: &Pipeline) -> BTreeSet<String> {
    pipeline.cells.iter().flat_map(|cell| cell.stacks.keys()).map(ToString::to_string).collect()
}

/// One record.
pub fn entry(entry: &Entry) -> AuditEntry {
    AuditEntry {
        seq: entry.seq.0,
        at: entry.at,
        epoch: entry.epoch.0,
        event: entry.event.name().into(),
        rollout: entry.event.rollout().cloned(),
        target: entry.event.target().cloned(),
        detail: fact::detail(&entry.event),
    }
}

/// Who a caller is.
pub fn caller(caller: &Caller) -> CallerView {
    CallerView {
        name: caller.principal.name.clone(),
        kind: caller.principal.kind,
        party: caller.principal.party.clone(),
        roles: caller.roles.clone(),
        credential: caller.credential.clone(),
        door: caller.door,
    }
}
