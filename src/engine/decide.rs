//! The parent of all decisions: [`react`] says what an input means, [`advance`] what comes next. Both are pure.
//!
//! `advance` looks at the state as it is, not at how it came about: after a crash the same state leads to the same next steps,
//! which is why recovery has no path of its own.

use super::admission;
use super::effect::{Class, Effect};
use super::guardrail::exposure::Exposure;
use super::progress::{self, Progress};
use super::session::{Purpose, Session, TRIES};
use super::step::{Allowed, Context, Step};
use super::watch::{self, Leave};
use super::wave::{self, PREPARE_AT_ONCE};
use super::{forward, operation, revert};
use crate::guard::{self, Guard};
use crate::model::event::{Event, Prepared, Settlement};
use crate::model::halt::Hold;
use crate::model::ids::TargetId;
use crate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use crate::model::time::{self, Now};
use std::collections::BTreeSet;

pub use super::react::{Input, Refusal, react};

/// What comes next: facts to record first, then effects to give out. When there are facts, call again after applying them.
#[must_use]
#[derive(Debug, Default)]
pub struct Advance {
    /// To be durable before any of the effects.
    pub events: Vec<Event>,
    /// To be given out after that.
    pub effects: Vec<Effect>,
}

/// What comes next in the whole state. Level-triggered: it may be called at any time, and gives nothing out twice.
pub fn advance(state: &State, session: &mut Session, now: Now) -> Advance {
    let mut next = Advance::default();
    acknowledge_kills(state, &mut next);
    // INVARIANT: S4. While something of an older leader may still start, only fences and reads go out, anywhere.
    let fencing = state.has_stale_work() && guard::holds(Guard::FenceOnTakeover);
    let mut motion = None;
    for rollout in state.open_rollouts() {
        let killed = state.kill_mode(rollout);
        let stopped = killed.is_some() && guard::holds(Guard::KillStopsForward);
        let may_go = !stopped && rollout.hold.is_none() && !fencing;
        let Progress { mut events, until, opening } = progress::advance(rollout, state, may_go, killed, now);
        if let Some(until) = until {
            session.wake_at(now.monotonic + time::since(now.wall, until));
        }
        if events.is_empty() && !fencing {
            let looked = watch::look(session, rollout, state, Leave { may_go, opening }, now);
            events = looked.events;
            next.effects.extend(looked.effects);
        }
        if events.is_empty() {
            advance_targets(
                state,
                session,
                rollout,
                Turn { may_go, fencing, urgent: killed.is_some() },
                &mut motion,
                now,
                &mut next,
            );
        } else {
            next.events.extend(events);
        }
    }
    if next.events.is_empty() {
        next.effects.extend(session.plan_observations(now.monotonic));
    } else {
        session.clear_wants();
    }
    next
}

fn acknowledge_kills(state: &State, next: &mut Advance) {
    for kill in state.kills.values().filter(|k| k.in_force() && !k.acknowledged) {
        // INVARIANT: S2. Acknowledged only when every intended forward call is proven started or fenced.
        if state.pending_of(&kill.kill).is_empty() || !guard::holds(Guard::FenceOnKill) {
            next.events.push(Event::KillAcknowledged { kill: kill.kill.id.clone() });
        }
    }
}

/// What targets may do in this pass.
#[derive(Clone, Copy, Debug)]
struct Turn {
    may_go: bool,
    fencing: bool,
    urgent: bool,
}

fn advance_targets(
    state: &State,
    session: &mut Session,
    rollout: &Rollout,
    turn: Turn,
    motion: &mut Option<Exposure>,
    now: Now,
    next: &mut Advance,
) {
    let reverting = rollout.phase == RolloutPhase::Reverting;
    let chosen = match rollout.phase {
        RolloutPhase::Reverting => revert::next_targets(rollout),
        RolloutPhase::Rolling { wave } if turn.may_go => {
            let next = wave::next_targets(rollout, wave);
            let room = admission::within_limits(state, rollout, wave, next, motion, now.wall);
            if let Some(until) = room.until {
                session.wake_at(now.monotonic + time::since(now.wall, until));
            }
            room.may
        }
        _ => BTreeSet::new(),
    };
    let mut preparing = rollout.targets.values().filter(|t| matches!(t.phase, Phase::Preparing { .. })).count();
    let mut hold = None;
    for (id, target) in &rollout.targets {
        if is_at_rest(target, reverting) {
            continue;
        }
        let Some(planned) = rollout.plan.targets.get(id) else { continue };
        let ctx = Context { state, rollout, id, planned, target, now };
        let work = session.work(&rollout.plan.rollout, id, target, now.monotonic);
        if work.busy {
            continue;
        }
        if work.not_before > now.monotonic {
            let at = work.not_before;
            session.wake_at(at);
            continue;
        }
        if work.failures >= TRIES
            && rollout.hold.is_none()
            && guard::holds(Guard::BoundedTries)
            && let Some(error) = work.error.clone()
        {
            work.failures = 0;
            hold = Some(Hold::ProviderUnavailable { target: Some(id.clone()), error, tries: TRIES });
        }
        let step = if turn.fencing {
            fence(&ctx, work)
        } else if reverting {
            revert::step(&ctx, work, chosen.contains(id))
        } else {
            let allowed = allowed(rollout, id, turn, chosen.contains(id), &mut preparing);
            left_out(&ctx, work, allowed).unwrap_or_else(|| forward::step(&ctx, work, allowed))
        };
        take(session, &ctx, step, turn.urgent || reverting, next, &mut hold);
    }
    // On the way back only a provider that does not answer is a reason to page; the revert goes on trying all the same.
    let pages = |hold: &Hold| !reverting || matches!(hold, Hold::ProviderUnavailable { .. });
    let id = &rollout.plan.rollout;
    if let Some(hold) = hold.filter(|hold| rollout.hold.is_none() && pages(hold)) {
        next.events.push(Event::RolloutHeld { rollout: id.clone(), hold });
    }
    // INVARIANT: S12. A reason to hold that comes up in this pass holds what this pass would have let go, too.
    if next.events.iter().any(|event| matches!(event, Event::RolloutHeld { rollout, .. } if rollout == id)) {
        session.withdraw_forward(&mut next.effects, id);
    }
}

fn is_at_rest(target: &Target, reverting: bool) -> bool {
    match &target.phase {
        Phase::Settled(Settlement::Applied { .. }) => !reverting,
        Phase::Settled(_) => true,
        Phase::Untouched | Phase::Captured => reverting,
        _ => false,
    }
}

/// What an older leader left: prepared change sets are deleted, intended calls resolved; what runs is looked at again when the fences
/// are up.
fn fence(ctx: &Context<'_>, work: &mut super::session::Work) -> Step {
    const WHY: &str = "fenced by a newer leader";
    if !ctx.target.is_stale(ctx.state.epoch) {
        return Step::Nothing;
    }
    match &ctx.target.phase {
        Phase::Preparing { name, .. } => forward::give_up(ctx, work, name, WHY),
        Phase::Ready { prepared: Prepared::ChangeSet { arn, .. }, .. } => forward::give_up(ctx, work, arn, WHY),
        Phase::Intended(op) => operation::start(ctx, work, op, false),
        _ => Step::Nothing,
    }
}

fn allowed(rollout: &Rollout, id: &TargetId, turn: Turn, chosen: bool, preparing: &mut usize) -> Allowed {
    if !turn.may_go {
        return Allowed::Follow;
    }
    if chosen {
        return Allowed::Execute;
    }
    let Some((planned, target)) = rollout.plan.targets.get(id).zip(rollout.targets.get(id)) else {
        return Allowed::Follow;
    };
    // The next wave is prepared while this one runs or bakes.
    let soon = match rollout.phase {
        RolloutPhase::Previewing => true,
        RolloutPhase::Rolling { wave } => planned.wave <= wave + 1,
        RolloutPhase::Baking { wave } => planned.wave == wave + 1,
        RolloutPhase::Reverting | RolloutPhase::Ended(_) => false,
    };
    let begins = matches!(target.phase, Phase::Captured);
    if begins && *preparing >= PREPARE_AT_ONCE {
        return Allowed::Follow;
    }
    if begins && soon {
        *preparing += 1;
    }
    // A call that was sent for an intended target goes on; a new one needs its turn.
    let sent = matches!(target.phase, Phase::Intended(_));
    if sent {
        Allowed::Execute
    } else if soon {
        Allowed::Prepare
    } else {
        Allowed::Follow
    }
}

/// A stack behind a failed one of its cell is not changed any more.
fn left_out(ctx: &Context<'_>, work: &super::session::Work, allowed: Allowed) -> Option<Step> {
    if allowed == Allowed::Follow || !wave::is_left_out(ctx.rollout, ctx.id) {
        return None;
    }
    Some(match &ctx.target.phase {
        Phase::Untouched | Phase::Captured => ctx.settled(Settlement::Unchanged),
        Phase::Ready { prepared: Prepared::ChangeSet { arn: change_set, .. }, .. }
        | Phase::Preparing { name: change_set, .. } => {
            forward::give_up(ctx, work, change_set, "an earlier stack of its cell failed")
        }
        Phase::Ready { .. } => {
            let why = "an earlier stack of its cell failed".to_owned();
            Step::event(Event::ChangeSetGone { rollout: ctx.rollout_id(), target: ctx.id.clone(), why })
        }
        _ => return None,
    })
}

fn take(
    session: &mut Session,
    ctx: &Context<'_>,
    step: Step,
    urgent: bool,
    next: &mut Advance,
    hold: &mut Option<Hold>,
) {
    let rollout = &ctx.rollout.plan.rollout;
    match step {
        Step::Events(events) => next.events.extend(events),
        Step::Ask(ask, class, call) => {
            let purpose = Purpose::Target(rollout.clone(), ctx.id.clone(), ask);
            let urgent = urgent || matches!(class, Class::Fence | Class::Reverse);
            next.effects.push(session.effect(purpose, class, urgent, &ctx.planned.scope, call));
            if let Some(work) = session.known_work(rollout, ctx.id) {
                work.busy = true;
            }
        }
        Step::View { at_once } => session.want_view(&ctx.planned.scope, &ctx.planned.stack, at_once, urgent),
        Step::Wait(until) => session.wake_at(until),
        Step::Hold(why) => {
            hold.get_or_insert(why);
        }
        Step::Nothing => {}
    }
}
