//! What is shown of the state, as data: the command line draws it, `--json` prints it.

use super::admission::{AdmissionView, Explanation};
use super::comparing::{self, ComparisonView, ForecastView};
use super::notify::outbox::DeliveriesView;
use super::reasons;
use super::words::{self, Explained};
use crate::daemon::core::Core;
use crate::engine::admission;
use crate::model::drill::is_drill;
use crate::model::event::{Outcome, Settlement};
use crate::model::halt::KillScope;
use crate::model::ids::{CellId, KillId, RolloutId, TargetId};
use crate::model::preview::{PreviewCounts, ResourceChange};
use crate::model::state::{KillState, LastHealth, Phase, Rollout, RolloutPhase, State, Target};
use crate::model::time::Millis;
use crate::model::verdict::{Reading, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything, or one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatusView {
    /// The leader's term.
    pub epoch: u64,
    /// Newest last.
    pub rollouts: Vec<RolloutView>,
    /// In force, and lifted ones.
    pub kills: Vec<KillView>,
    /// Messages to people.
    #[serde(default)]
    pub deliveries: DeliveriesView,
}

/// A stop order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KillView {
    /// Its name.
    #[schema(value_type = String)]
    pub kill: KillId,
    /// What it stops.
    pub scope: String,
    /// How hard.
    pub mode: String,
    /// Who gave it.
    pub by: String,
    /// `pending`, `acknowledged` or `lifted`.
    pub state: String,
    /// The first of the two people who lift it.
    #[serde(default)]
    pub lift_asked_by: Option<String>,
    /// Open rollouts that it stops: none may be a mistyped scope.
    #[schema(value_type = Vec<String>)]
    pub covers: Vec<RolloutId>,
    /// Targets whose intended forward call is not proven started or fenced.
    #[schema(value_type = Vec<String>)]
    pub pending: Vec<TargetId>,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RolloutView {
    /// Its name.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// Untrusted text.
    pub title: String,
    /// Untrusted text.
    pub agent: String,
    /// Untrusted text.
    pub reasoning: String,
    /// By which pipeline.
    pub pipeline: String,
    /// The plan's digest.
    pub plan: String,
    /// `previewing`, `rolling`, `baking`, `reverting` or `ended`.
    pub phase: String,
    /// It only looks: a preview.
    #[serde(default)]
    pub look_only: bool,
    /// The wave that rolls or bakes, from 0.
    pub wave: Option<usize>,
    /// How it ended.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<Outcome>,
    /// Why it waits, and what to do.
    pub hold: Option<Explained>,
    /// Why it goes, or went, back.
    pub revert: Option<String>,
    /// In order.
    pub waves: Vec<WaveView>,
    /// The newest judgement.
    pub health: Option<HealthView>,
    /// What the comparison has seen; none: nothing is compared, or it has not begun.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub comparison: Option<ComparisonView>,
    /// What each wave's bake can see, at the fleet's usual traffic.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub forecast: Option<ForecastView>,
    /// A stop order on it, in force.
    pub killed: Option<String>,
    /// Guardrails and approvals; none: not judged yet.
    #[serde(default)]
    pub admission: Option<AdmissionView>,
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WaveView {
    /// Its name.
    pub name: String,
    /// `waiting`, `rolling`, `baking`, `passed`, `reverting`, `reverted`.
    pub state: String,
    /// The first one in production.
    pub one_box: bool,
    /// In the order in which they start.
    pub targets: Vec<TargetView>,
    /// Watched time so far, while it bakes.
    #[schema(value_type = Option<u64>)]
    pub baked: Option<Millis>,
    /// How long it is watched.
    #[schema(value_type = u64)]
    pub bake: Millis,
    /// When the bake is given up.
    #[schema(value_type = u64)]
    pub max_bake: Millis,
    /// Points that each metric must have shown.
    pub bake_datapoints: u32,
    /// Targets in flight at once.
    pub max_concurrent: u32,
    /// Failed targets that the wave bears.
    pub failure_tolerance: u32,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetView {
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
    /// Percent of the environment's customers that its cell serves.
    #[serde(default)]
    pub traffic_share: f64,
    /// The phase in one word, as `applied`.
    pub state: String,
    /// True while it goes back.
    pub reverting: bool,
    /// The preview in numbers.
    #[schema(value_type = Object)]
    pub counts: PreviewCounts,
    /// The preview in full, where it was asked for.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<ResourceChange>,
    /// The restore point's digest.
    pub restore_point: Option<String>,
    /// Why it is stuck, and the next step.
    pub stuck: Option<Explained>,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthView {
    /// What health says.
    #[schema(value_type = String)]
    pub verdict: Verdict,
    /// Why not pass, in words.
    pub findings: Vec<String>,
    /// Values against thresholds, where this daemon has looked itself.
    #[schema(value_type = Vec<Object>)]
    pub readings: Vec<Reading>,
}

/// Everything, or one rollout; `full` adds the previews' resources.
pub fn status(core: &Core, only: Option<&RolloutId>, full: bool) -> StatusView {
    let state = core.state();
    let rollouts = state.rollouts.values().filter(|r| only.is_none_or(|id| r.plan.rollout == *id));
    StatusView {
        epoch: state.epoch.0,
        rollouts: rollouts.map(|r| rollout(core, r, full)).collect(),
        kills: state.kills.values().filter(|k| !is_past_drill(state, k)).map(|k| kill(state, k)).collect(),
        // The core knows nothing of them.
        deliveries: DeliveriesView::default(),
    }
}

/// True for an order of a kill drill whose rollout has ended: it stops nothing any more, and never will again. It is still in the list of
/// all orders, and on record.
fn is_past_drill(state: &State, kill: &KillState) -> bool {
    let KillScope::Rollout(rollout) = &kill.kill.scope else { return false };
    let ended = state.rollouts.get(rollout).filter(|rollout| rollout.is_ended());
    kill.acknowledged && ended.is_some_and(|rollout| is_drill(&rollout.plan))
}

/// One stop order.
pub fn kill(state: &State, kill: &KillState) -> KillView {
    let word = match (kill.in_force(), kill.acknowledged) {
        (true, true) if is_past_drill(state, kill) => "over",
        (false, _) => "lifted",
        (true, true) => "acknowledged",
        (true, false) => "pending",
    };
    let pending = if word == "pending" { state.pending_of(&kill.kill) } else { Vec::new() };
    KillView {
        kill: kill.kill.id.clone(),
        scope: kill.kill.scope.to_string(),
        mode: kill.kill.mode.to_string(),
        by: kill.kill.by.clone(),
        state: word.into(),
        lift_asked_by: kill.lift_asked.as_ref().filter(|_| kill.in_force()).map(|(by, _)| by.clone()),
        covers: state
            .open_rollouts()
            .filter(|r| kill.kill.scope.covers(&r.plan))
            .map(|r| r.plan.rollout.clone())
            .collect(),
        pending: pending.into_iter().map(|(_, target)| target).collect(),
    }
}

/// One rollout, with what this daemon has seen of its health.
pub fn rollout(core: &Core, rollout: &Rollout, full: bool) -> RolloutView {
    let recorded = recorded(core.state(), rollout, full);
    let live = core.session().watches.get(&rollout.plan.rollout).and_then(|w| w.judgement.as_ref());
    let live = live.map(|live| HealthView {
        verdict: live.verdict,
        findings: live.findings.iter().map(words::finding).collect(),
        readings: live.readings.clone(),
    });
    RolloutView { health: live.or(recorded.health), ..recorded }
}

/// Where a rollout stands, in one word.
pub fn phase(rollout: &Rollout) -> &'static str {
    match rollout.phase {
        RolloutPhase::Previewing => "previewing",
        RolloutPhase::Rolling { .. } => "rolling",
        RolloutPhase::Baking { .. } => "baking",
        RolloutPhase::Reverting => "reverting",
        RolloutPhase::Ended(_) => "ended",
    }
}

/// One rollout, by the records alone.
pub fn recorded(state: &State, rollout: &Rollout, full: bool) -> RolloutView {
    let wave = match rollout.phase {
        RolloutPhase::Rolling { wave } | RolloutPhase::Baking { wave } => Some(wave),
        RolloutPhase::Previewing | RolloutPhase::Reverting | RolloutPhase::Ended(_) => None,
    };
    let plan = &rollout.plan;
    RolloutView {
        rollout: plan.rollout.clone(),
        title: plan.change_set.title.clone(),
        agent: plan.change_set.agent.clone(),
        reasoning: plan.change_set.reasoning.clone(),
        pipeline: plan.pipeline.name.clone(),
        plan: rollout.plan_digest.to_string(),
        phase: phase(rollout).into(),
        look_only: plan.look_only,
        wave,
        outcome: rollout.outcome(),
        hold: rollout.hold.as_ref().map(words::hold),
        revert: rollout.revert.as_ref().map(words::revert),
        waves: (0..plan.waves.len()).filter_map(|n| wave_view(rollout, n, full)).collect(),
        health: rollout.health.as_ref().map(last_health),
        comparison: rollout.baseline.as_ref().zip(rollout.compared.as_ref()).map(|(b, c)| comparing::view(b, c)),
        forecast: (plan.look_only || rollout.baseline.is_some())
            .then(|| comparing::forecast(plan, rollout.baseline.as_deref())),
        killed: state
            .kill_on(rollout)
            .filter(|_| !rollout.is_ended())
            .map(|k| format!("{} ({}) by {}", k.kill.id, k.kill.mode, k.kill.by)),
        admission: super::admission::view(rollout, None),
    }
}

/// The newest judgement that is recorded.
pub fn last_health(last: &LastHealth) -> HealthView {
    HealthView {
        verdict: last.verdict,
        findings: last.findings.iter().map(words::finding).collect(),
        readings: Vec::new(),
    }
}

fn wave_view(rollout: &Rollout, index: usize, full: bool) -> Option<WaveView> {
    let planned = rollout.plan.waves.get(index)?;
    let bake = rollout.bake.as_ref().filter(|b| b.wave == index);
    let ids = planned.targets.iter();
    Some(WaveView {
        name: planned.name.clone(),
        state: wave_state(rollout, index).into(),
        one_box: planned.one_box,
        targets: ids.filter_map(|id| target_view(rollout, id, full)).collect(),
        baked: bake.map(|b| b.elapsed),
        bake: planned.bake,
        max_bake: planned.max_bake,
        bake_datapoints: planned.bake_datapoints,
        max_concurrent: planned.max_concurrent,
        failure_tolerance: planned.failure_tolerance,
    })
}

fn wave_state(rollout: &Rollout, index: usize) -> &'static str {
    let back = matches!(
        rollout.phase,
        RolloutPhase::Reverting | RolloutPhase::Ended(Outcome::Reverted | Outcome::Stuck | Outcome::Cancelled)
    );
    if back {
        let touched = rollout.wave_states(index).any(Target::is_touched);
        let open = rollout.wave_states(index).any(Target::needs_revert);
        let stuck = rollout.wave_states(index).any(|t| matches!(t.phase, Phase::Settled(Settlement::Stuck { .. })));
        return match (touched, open, stuck) {
            (false, ..) => "untouched",
            (true, true, _) => "reverting",
            (true, false, true) => "stuck",
            (true, false, false) => "reverted",
        };
    }
    match rollout.phase {
        _ if rollout.gates.contains(&index) => "passed",
        RolloutPhase::Rolling { wave } if wave == index => "rolling",
        RolloutPhase::Baking { wave } if wave == index => "baking",
        _ => "waiting",
    }
}

fn target_view(rollout: &Rollout, id: &TargetId, full: bool) -> Option<TargetView> {
    let (planned, target) = rollout.plan.targets.get(id).zip(rollout.targets.get(id))?;
    let stuck = match &target.phase {
        Phase::Settled(Settlement::Stuck { reason, .. }) => Some(words::stuck(reason)),
        _ => None,
    };
    Some(TargetView {
        target: id.clone(),
        cell: planned.cell.clone(),
        stack: planned.stack.to_string(),
        account: planned.scope.account.to_string(),
        region: planned.scope.region.to_string(),
        environment: planned.environment.clone(),
        traffic_share: rollout.plan.cells.get(&planned.cell).map_or(0.0, |cell| cell.traffic_share),
        state: target.phase.name().into(),
        reverting: rollout.phase == RolloutPhase::Reverting && target.needs_revert(),
        counts: target.counts,
        changes: if full { target.changes.clone() } else { Vec::new() },
        restore_point: target.restore_digest.as_ref().map(ToString::to_string),
        stuck,
    })
}

/// Why a rollout does not go on; none: there is none of that name.
pub fn explain(core: &Core, id: &RolloutId, at: Timestamp) -> Option<Explanation> {
    let state = core.state();
    let rollout = state.rollouts.get(id)?;
    let killed = recorded(state, rollout, false).killed;
    let stalled = admission::stalled(state, rollout, at).iter().map(reasons::view).collect();
    Some(super::admission::explain(rollout, killed, stalled, at))
}
