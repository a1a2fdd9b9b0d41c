//! The parent of all decisions: [`react`] says what an input means, [`advance`] what comes next. Both are pure.
//!
//! `advance` looks at the state as it is, not at how it came about: after a crash the same state leads to the same next steps,
//! which is why recovery has no path of its own.

use super::effect::{Answer, Class, Effect, EffectId, Reply};
use super::session::{Ask, Purpose, Session, TRIES};
use super::step::{Allowed, Context, Step};
use super::watch;
use super::wave::{self, PREPARE_AT_ONCE, WaveStanding};
use super::{forward, operation, revert};
use crate::guard::{self, Guard};
use crate::model::event::{Event, Outcome, Prepared, Settlement};
use crate::model::halt::{Hold, Kill, KillMode, RevertReason};
use crate::model::ids::{Digest, KillId, RolloutId, TargetId};
use crate::model::plan::Plan;
use crate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use crate::model::time::Now;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What comes in.
#[derive(Clone, Debug)]
pub enum Input {
    /// A plan, with its digest, from whom.
    Propose {
        /// What to do.
        plan: Arc<Plan>,
        /// Its digest.
        digest: Digest,
        /// Who handed it in.
        by: String,
    },
    /// A person pauses a rollout.
    Pause {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// A person lets a held rollout go on.
    Resume {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// A person sends a rollout back.
    Revert {
        /// Which.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// A stop order.
    Kill(Kill),
    /// Two people lift a stop order.
    Lift {
        /// Which.
        kill: KillId,
        /// The two.
        by: [String; 2],
    },
    /// The world answered.
    Reply(EffectId, Reply),
    /// The issuer did not let an effect out.
    Refused(EffectId, String),
}

/// An order that cannot be taken, with its reason. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such rollout.
    #[error("there is no rollout `{0}`")]
    UnknownRollout(RolloutId),
    /// It is over.
    #[error("rollout `{0}` has ended")]
    Ended(RolloutId),
    /// It already waits.
    #[error("rollout `{0}` is held already")]
    AlreadyHeld(RolloutId),
    /// It does not wait.
    #[error("rollout `{0}` is not held")]
    NotHeld(RolloutId),
    /// It is on its way back.
    #[error("rollout `{0}` is being reverted; that is not stopped")]
    Reverting(RolloutId),
    /// Another rollout owns a target (S16).
    #[error("target `{target}` belongs to rollout `{owner}`, which has not ended")]
    TargetOwned {
        /// Which target.
        target: TargetId,
        /// Whose it is.
        owner: RolloutId,
    },
    /// No such stop order.
    #[error("there is no kill `{0}` in force")]
    UnknownKill(KillId),
    /// A resume needs two people.
    #[error("lifting a kill needs two people, and `{0}` is one")]
    OnePerson(String),
}

/// What an input means: facts to record. A reply is filed in the session; what it means is decided by [`advance`].
///
/// # Errors
/// [`Refusal`] for an order that cannot be taken.
pub fn react(state: &State, session: &mut Session, input: Input, now: Now) -> Result<Vec<Event>, Refusal> {
    match input {
        Input::Propose { plan, digest, by } => propose(state, plan, digest, by),
        Input::Pause { rollout, by } => {
            let open = open(state, &rollout)?;
            match (open.hold.is_some(), open.phase) {
                (_, RolloutPhase::Reverting) => Err(Refusal::Reverting(rollout)),
                (true, _) => Err(Refusal::AlreadyHeld(rollout)),
                (false, _) => Ok(vec![Event::RolloutHeld { rollout, hold: Hold::Paused { by } }]),
            }
        }
        Input::Resume { rollout, by } => match open(state, &rollout)?.hold {
            Some(_) => {
                session.try_anew(&rollout);
                Ok(vec![Event::RolloutResumed { rollout, by }])
            }
            None => Err(Refusal::NotHeld(rollout)),
        },
        Input::Revert { rollout, by } => match open(state, &rollout)?.phase {
            RolloutPhase::Reverting => Err(Refusal::Reverting(rollout)),
            _ => Ok(vec![Event::RevertStarted { rollout, reason: RevertReason::Requested { by } }]),
        },
        Input::Kill(kill) => Ok(vec![Event::KillRequested { kill }]),
        Input::Lift { kill, by } => lift(state, kill, by),
        Input::Reply(id, reply) => {
            file(state, session, id, reply, now);
            Ok(Vec::new())
        }
        Input::Refused(id, _) => {
            refuse(session, id);
            Ok(Vec::new())
        }
    }
}

fn propose(state: &State, plan: Arc<Plan>, digest: Digest, by: String) -> Result<Vec<Event>, Refusal> {
    // INVARIANT: S16. One rollout at a time owns a target.
    for (id, target) in &plan.targets {
        if let Some(owner) = state.owner_of(target).filter(|_| guard::holds(Guard::OneOwner)) {
            return Err(Refusal::TargetOwned { target: id.clone(), owner: owner.plan.rollout.clone() });
        }
    }
    Ok(vec![Event::RolloutProposed { plan, digest, by }])
}

fn open<'a>(state: &'a State, id: &RolloutId) -> Result<&'a Rollout, Refusal> {
    let rollout = state.rollouts.get(id).ok_or_else(|| Refusal::UnknownRollout(id.clone()))?;
    if rollout.is_ended() { Err(Refusal::Ended(id.clone())) } else { Ok(rollout) }
}

fn lift(state: &State, kill: KillId, by: [String; 2]) -> Result<Vec<Event>, Refusal> {
    let [first, second] = &by;
    if first.trim().to_lowercase() == second.trim().to_lowercase()
        || first.trim().is_empty()
        || second.trim().is_empty()
    {
        return Err(Refusal::OnePerson(first.clone()));
    }
    match state.kills.get(&kill) {
        Some(known) if known.in_force() => Ok(vec![Event::KillLifted { kill, by }]),
        _ => Err(Refusal::UnknownKill(kill)),
    }
}

fn file(state: &State, session: &mut Session, id: EffectId, reply: Reply, now: Now) {
    match session.take(id) {
        Some(Purpose::Target(rollout, target, ask)) => {
            if let Some(work) = session.known_work(&rollout, &target) {
                work.file(ask, reply, now.monotonic);
            }
        }
        Some(Purpose::Observe(scope, asked)) => {
            let stacks = reply.map(|answer| match answer {
                Answer::Stacks(stacks) => stacks,
                _ => std::collections::BTreeMap::new(),
            });
            session.observed(state, &scope, &asked, stacks, now.monotonic);
        }
        Some(Purpose::Health(rollout, scope)) => file_health(session, &rollout, scope, id, reply),
        None => {}
    }
}

fn file_health(
    session: &mut Session,
    rollout: &RolloutId,
    scope: crate::model::stack::Scope,
    id: EffectId,
    reply: Reply,
) {
    let Some(watch) = session.watches.get_mut(rollout) else { return };
    // A reply to a look of an earlier phase is of no use.
    if !watch.outstanding.remove(&id) {
        return;
    }
    let Some(round) = &mut watch.round else { return };
    match reply {
        Ok(Answer::Series(series)) => round.series.extend(series),
        Ok(Answer::Alarms(alarms)) => {
            round.alarms.extend(alarms.into_iter().map(|(name, view)| ((scope.clone(), name), view)))
        }
        Ok(_) => {}
        Err(error) => round.errors.push((scope, error)),
    }
}

/// An effect that was not let out was not sent. It is treated as in doubt all the same: its change set is fenced and the target
/// starts anew, if it still may.
fn refuse(session: &mut Session, id: EffectId) {
    if let Some(Purpose::Target(rollout, target, ask)) = session.take(id)
        && let Some(work) = session.known_work(&rollout, &target)
    {
        work.busy = false;
        work.doubt |= ask == Ask::Send;
    }
}

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
    for rollout in state.open_rollouts() {
        let killed = state.kill_mode(rollout);
        let stopped = killed.is_some() && guard::holds(Guard::KillStopsForward);
        let may_go = !stopped && rollout.hold.is_none() && !fencing;
        let mut events = advance_rollout(rollout, state, may_go, killed, now);
        if events.is_empty() && !fencing {
            let looked = watch::look(session, rollout, may_go, now);
            events = looked.events;
            next.effects.extend(looked.effects);
        }
        if events.is_empty() {
            advance_targets(
                state,
                session,
                rollout,
                Turn { may_go, fencing, urgent: killed.is_some() },
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

/// What the rollout as a whole does next, before its targets are looked at.
fn advance_rollout(rollout: &Rollout, state: &State, may_go: bool, killed: Option<KillMode>, now: Now) -> Vec<Event> {
    let id = rollout.plan.rollout.clone();
    if let (Some(KillMode::Revert), true) = (killed, rollout.phase != RolloutPhase::Reverting)
        && let Some(kill) = state.kill_on(rollout)
    {
        return vec![Event::RevertStarted { rollout: id, reason: RevertReason::Killed { kill: kill.kill.id.clone() } }];
    }
    match rollout.phase {
        RolloutPhase::Previewing
            if rollout.plan.look_only && (watch::is_previewed(rollout) || rollout.hold.is_some()) =>
        {
            vec![Event::RevertStarted { rollout: id, reason: RevertReason::PlanOnly }]
        }
        RolloutPhase::Previewing => Vec::new(),
        RolloutPhase::Rolling { wave } => match wave::standing(rollout, wave) {
            // A kill stops where it stands: whether to go back is decided when it is lifted.
            WaveStanding::Failed { failed, tolerance } if killed.is_none() => {
                watch::unhealthy(rollout, RevertReason::WaveFailed { wave, failed, tolerance }).into_iter().collect()
            }
            WaveStanding::Settled => vec![Event::BakeStarted { rollout: id, wave, at: now.wall }],
            _ => Vec::new(),
        },
        RolloutPhase::Baking { wave } if rollout.has_passed(wave) && may_go => after_gate(rollout, wave),
        RolloutPhase::Baking { .. } => Vec::new(),
        RolloutPhase::Reverting => end_revert(rollout).into_iter().collect(),
        RolloutPhase::Ended(_) => Vec::new(),
    }
}

fn after_gate(rollout: &Rollout, wave: usize) -> Vec<Event> {
    let rollout_id = rollout.plan.rollout.clone();
    if wave + 1 < rollout.plan.waves.len() {
        return vec![Event::WaveStarted { rollout: rollout_id, wave: wave + 1 }];
    }
    vec![Event::RolloutEnded { rollout: rollout_id, outcome: Outcome::Succeeded }]
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

/// What targets may do in this pass.
#[derive(Clone, Copy, Debug)]
struct Turn {
    may_go: bool,
    fencing: bool,
    urgent: bool,
}

fn advance_targets(state: &State, session: &mut Session, rollout: &Rollout, turn: Turn, now: Now, next: &mut Advance) {
    let reverting = rollout.phase == RolloutPhase::Reverting;
    let chosen = match rollout.phase {
        RolloutPhase::Reverting => revert::next_targets(rollout),
        RolloutPhase::Rolling { wave } if turn.may_go => wave::next_targets(rollout, wave),
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
