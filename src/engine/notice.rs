//! Of which facts people are told without having asked. Every kind of event is decided on here: a new one does not compile until it is.

use crate::model::decision::{Found, Reason};
use crate::model::drill::is_drill;
use crate::model::event::{Event, Outcome, Settlement};
use crate::model::halt::{Hold, Kill, KillScope, RevertReason};
use crate::model::ids::RolloutId;
use crate::model::notice::{About, Notice, NoticeKind};
use crate::model::state::{KillState, Phase, Rollout, State};

/// What people are told of an event; none: nothing. `state` is the one after it.
pub fn of(state: &State, event: &Event) -> Option<Notice> {
    if is_of_drill(state, event) {
        return None;
    }
    match event {
        Event::GuardrailsJudged { rollout, .. } => {
            let asks = asks_people(state.rollouts.get(rollout)?);
            asks.then(|| of_rollout(NoticeKind::ApprovalWanted, rollout, About::Request))
        }
        Event::RolloutWaits { rollout, found } => sign_off(rollout, found),
        Event::RolloutHeld { rollout, hold } => held(state.rollouts.get(rollout)?, hold),
        Event::RevertStarted { rollout, reason } => going_back(state.rollouts.get(rollout)?, reason),
        Event::RolloutEnded { rollout, outcome } => ended(state.rollouts.get(rollout)?, *outcome),
        Event::TargetSettled { rollout, target, settlement: Settlement::Stuck { reason, .. } } => {
            is_first_stuck(state.rollouts.get(rollout)?).then(|| Notice {
                target: Some(target.clone()),
                ..of_rollout(NoticeKind::Stuck, rollout, About::Stuck(Box::new(reason.clone())))
            })
        }
        Event::OperationOverdue { rollout, target, last_event } => {
            let overdue = state.rollouts.get(rollout)?.targets.values().filter(|target| target.overdue);
            (overdue.take(2).count() == 1).then(|| Notice {
                target: Some(target.clone()),
                ..of_rollout(NoticeKind::Overdue, rollout, About::Overdue { last_event: last_event.clone() })
            })
        }
        Event::KillRequested { kill } => Some(Notice {
            kill: Some(kill.id.clone()),
            ..general(NoticeKind::Kill, About::Kill(Box::new(kill.clone())))
        }),
        Event::KillLifted { kill, by } => Some(Notice {
            kill: Some(kill.clone()),
            ..general(NoticeKind::KillLifted, About::Lifted { by: by.clone() })
        }),
        Event::ChangeRateAlarmed { alarm } => Some(general(NoticeKind::ChangeRate, About::Rate(alarm.clone()))),
        Event::DrillEnded { drill } => (!drill.passed()).then(|| {
            let failed = drill.checks.iter().filter(|check| !check.passed).count();
            let (checks, by) = (drill.checks.len(), drill.by.clone());
            general(NoticeKind::DrillFailed, About::Drill { drill: drill.id.clone(), by, checks, failed })
        }),
        // The daemon's own start, and steps that are told by what comes of them.
        Event::LeaderStarted { .. }
        | Event::TokenListed { .. }
        | Event::TokenEnded { .. }
        | Event::RolloutProposed { .. }
        | Event::RestorePointCaptured { .. }
        | Event::ChangeSetRequested { .. }
        | Event::TargetPrepared { .. }
        | Event::ChangeSetGone { .. }
        | Event::OperationIntended { .. }
        | Event::OperationStarted { .. }
        | Event::OperationNotStarted { .. }
        | Event::CancelIntended { .. }
        | Event::OperationEnded { .. }
        | Event::TargetSettled { .. }
        | Event::WaveStarted { .. }
        | Event::BakeStarted { .. }
        | Event::BaselineTaken { .. }
        | Event::TicksCompared { .. }
        | Event::HealthJudged { .. }
        | Event::GatePassed { .. } => None,
        // What people did themselves; a refusal is counted, and would be a way to flood a channel.
        Event::ApprovalGiven { .. }
        | Event::ApprovalRevoked { .. }
        | Event::ApprovalRejected { .. }
        | Event::ApprovalRefused { .. }
        | Event::ApprovalsUsed { .. }
        | Event::EnvironmentSignedOff { .. }
        | Event::RolloutResumed { .. }
        | Event::KillLiftAsked { .. }
        | Event::OrderRefused { .. } => None,
        // It is told when it does not come.
        Event::KillAcknowledged { .. } => None,
    }
}

/// A drill in its embedded world stops its own rollouts all day, if one likes; its end tells whether they stopped.
fn is_of_drill(state: &State, event: &Event) -> bool {
    let rollout = match (event, event.rollout()) {
        (_, Some(rollout)) => Some(rollout),
        (Event::KillRequested { kill }, _) => rollout_of(kill),
        (Event::KillLifted { kill, .. }, _) => state.kills.get(kill).and_then(|known| rollout_of(&known.kill)),
        _ => None,
    };
    rollout.and_then(|id| state.rollouts.get(id)).is_some_and(|rollout| is_drill(&rollout.plan))
}

/// True for a stop order that a drill gave to its own rollout: it stops nothing of anybody's.
pub fn is_kill_of_drill(state: &State, kill: &Kill) -> bool {
    rollout_of(kill).and_then(|id| state.rollouts.get(id)).is_some_and(|rollout| is_drill(&rollout.plan))
}

fn rollout_of(kill: &Kill) -> Option<&RolloutId> {
    match &kill.scope {
        KillScope::Rollout(rollout) => Some(rollout),
        _ => None,
    }
}

/// What people are told of a stop order that is not acknowledged. When that is due is for whoever has a clock.
pub fn of_pending(state: &State, kill: &KillState) -> Option<Notice> {
    let waits = kill.in_force() && !kill.acknowledged && !is_kill_of_drill(state, &kill.kill);
    waits.then(|| Notice {
        kill: Some(kill.kill.id.clone()),
        ..general(NoticeKind::KillPending, About::Kill(Box::new(kill.kill.clone())))
    })
}

fn general(kind: NoticeKind, about: About) -> Notice {
    Notice { kind, rollout: None, target: None, kill: None, about }
}

fn of_rollout(kind: NoticeKind, rollout: &RolloutId, about: About) -> Notice {
    Notice { rollout: Some(rollout.clone()), ..general(kind, about) }
}

/// A look asks nobody; nor does what goes back.
fn asks_people(rollout: &Rollout) -> bool {
    let admission = &rollout.admission;
    let request = admission.judged.as_ref().and_then(|judged| judged.request.as_ref());
    let may = rollout.revert.is_none() && admission.rejected.is_none() && !rollout.plan.look_only;
    may && request.is_some_and(|request| !admission.covers(request.through_wave))
}

fn sign_off(rollout: &RolloutId, found: &[Found]) -> Option<Notice> {
    let wanted = found.iter().find(|f| !f.dry_run && matches!(f.what, Reason::NotSignedOff { .. }))?;
    Some(of_rollout(NoticeKind::ApprovalWanted, rollout, About::SignOff { found: wanted.clone() }))
}

/// Whoever only looks is looking.
fn held(rollout: &Rollout, hold: &Hold) -> Option<Notice> {
    let kind = match hold {
        _ if rollout.plan.look_only => return None,
        Hold::Unhealthy { reason: RevertReason::GateFailed { .. } } => NoticeKind::GateFailed,
        _ => NoticeKind::Held,
    };
    Some(of_rollout(kind, &rollout.plan.rollout, About::Hold(Box::new(hold.clone()))))
}

/// One stuck target gets somebody out of bed; the other thousand stand in what they see then, and in the rollout's end.
fn is_first_stuck(rollout: &Rollout) -> bool {
    let stuck = rollout.targets.values().filter(|t| matches!(t.phase, Phase::Settled(Settlement::Stuck { .. })));
    stuck.take(2).count() == 1
}

/// Where nothing was touched, nothing goes back: its end says all.
fn going_back(rollout: &Rollout, reason: &RevertReason) -> Option<Notice> {
    let kind = match reason {
        RevertReason::PlanOnly => return None,
        RevertReason::GateFailed { .. } => NoticeKind::GateFailed,
        _ if !rollout.targets.values().any(|target| target.is_touched()) => return None,
        _ => NoticeKind::Reverting,
    };
    Some(of_rollout(kind, &rollout.plan.rollout, About::Revert(Box::new(reason.clone()))))
}

fn ended(rollout: &Rollout, outcome: Outcome) -> Option<Notice> {
    let kind = match outcome {
        _ if rollout.plan.look_only => return None,
        Outcome::Succeeded => NoticeKind::Succeeded,
        Outcome::Reverted => NoticeKind::Reverted,
        Outcome::Stuck => NoticeKind::Stuck,
        Outcome::Cancelled => NoticeKind::Cancelled,
    };
    Some(of_rollout(kind, &rollout.plan.rollout, About::Ended(outcome)))
}
