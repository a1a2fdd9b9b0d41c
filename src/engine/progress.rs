//! What a rollout as a whole does next, before its targets are looked at.

use super::admission::{self, Gate};
use super::watch;
use super::wave::{self, WaveStanding};
use crate::model::event::{Event, Outcome, Settlement};
use crate::model::halt::{KillMode, RevertReason};
use crate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use crate::model::time::Now;
use jiff::Timestamp;

/// What a rollout as a whole does next.
#[must_use]
#[derive(Debug, Default)]
pub struct Progress {
    /// Facts to record.
    pub events: Vec<Event>,
    /// When time alone may change that.
    pub until: Option<Timestamp>,
    /// The first wave may start, as far as guardrails and people are asked: the facts that belong to its start. Health is still to
    /// be looked at.
    pub opening: Option<Vec<Event>>,
}

impl Progress {
    fn of(events: Vec<Event>) -> Self {
        Self { events, ..Self::default() }
    }
}

/// What the rollout as a whole does next, before its targets are looked at.
pub fn advance(rollout: &Rollout, state: &State, may_go: bool, killed: Option<KillMode>, now: Now) -> Progress {
    let id = rollout.plan.rollout.clone();
    if let Some(reason) = goes_back(rollout, state, killed) {
        return Progress::of(vec![Event::RevertStarted { rollout: id, reason }]);
    }
    match rollout.phase {
        RolloutPhase::Previewing => before_start(rollout, state, now),
        RolloutPhase::Rolling { wave } => Progress::of(match wave::standing(rollout, wave) {
            // A kill stops where it stands: whether to go back is decided when it is lifted.
            WaveStanding::Failed { failed, tolerance } if killed.is_none() => {
                watch::unhealthy(rollout, RevertReason::WaveFailed { wave, failed, tolerance }).into_iter().collect()
            }
            WaveStanding::Settled => vec![Event::BakeStarted { rollout: id, wave, at: now.wall }],
            _ => Vec::new(),
        }),
        RolloutPhase::Baking { wave } if rollout.has_passed(wave) && may_go => after_gate(rollout, wave, state, now),
        RolloutPhase::Baking { .. } => Progress::default(),
        RolloutPhase::Reverting => Progress::of(end_revert(rollout).into_iter().collect()),
        RolloutPhase::Ended(_) => Progress::default(),
    }
}

/// What sends it back, wherever it stands.
fn goes_back(rollout: &Rollout, state: &State, killed: Option<KillMode>) -> Option<RevertReason> {
    if rollout.phase == RolloutPhase::Reverting {
        return None;
    }
    if let Some((by, reason)) = &rollout.admission.rejected {
        return Some(RevertReason::Rejected { by: by.clone(), reason: reason.clone() });
    }
    let kill = state.kill_on(rollout).filter(|_| killed == Some(KillMode::Revert))?;
    Some(RevertReason::Killed { kill: kill.kill.id.clone() })
}

fn before_start(rollout: &Rollout, state: &State, now: Now) -> Progress {
    let look_only = rollout.plan.look_only;
    let plan_only = || {
        let (rollout, reason) = (rollout.plan.rollout.clone(), RevertReason::PlanOnly);
        Progress::of(vec![Event::RevertStarted { rollout, reason }])
    };
    if !watch::is_previewed(rollout) {
        return if look_only && rollout.hold.is_some() { plan_only() } else { Progress::default() };
    }
    // Somebody who only looks wants to see the judgement too, and what the gates can see.
    let judged = rollout.admission.judged.is_some() || rollout.plan.safeguards.is_none();
    let learnt = rollout.baseline.is_some() || rollout.plan.health.compare.is_none();
    if look_only && ((judged && learnt) || rollout.hold.is_some()) {
        return plan_only();
    }
    match admission::gate(rollout, 0, state, now) {
        // It only looks: it never starts.
        Gate::Open(_) if look_only => Progress::default(),
        Gate::Open(opening) => Progress { opening: Some(opening), ..Progress::default() },
        Gate::Shut { events, until } => Progress { events, until, opening: None },
    }
}

fn after_gate(rollout: &Rollout, wave: usize, state: &State, now: Now) -> Progress {
    let id = rollout.plan.rollout.clone();
    let next = wave + 1;
    if next >= rollout.plan.waves.len() {
        return Progress::of(vec![Event::RolloutEnded { rollout: id, outcome: Outcome::Succeeded }]);
    }
    match admission::gate(rollout, next, state, now) {
        Gate::Open(mut events) => {
            events.push(Event::WaveStarted { rollout: id, wave: next });
            Progress::of(events)
        }
        Gate::Shut { events, until } => Progress { events, until, opening: None },
    }
}

fn end_revert(rollout: &Rollout) -> Option<Event> {
    let done = rollout.targets.values().all(|t| t.is_clean() && !t.needs_revert());
    if !done {
        return None;
    }
    let stuck = rollout.targets.values().any(|t| matches!(t.phase, Phase::Settled(Settlement::Stuck { .. })));
    let touched = rollout.targets.values().any(Target::is_touched);
    let outcome = match (stuck, touched) {
        (true, _) => Outcome::Stuck,
        (false, true) => Outcome::Reverted,
        (false, false) => Outcome::Cancelled,
    };
    Some(Event::RolloutEnded { rollout: rollout.plan.rollout.clone(), outcome })
}
