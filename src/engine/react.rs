//! What an input means: facts to record, or a refusal. A reply is filed in the session; what it means is decided by
//! [`super::decide::advance`].

use super::answer::{self, PersonsAnswer};
use super::effect::{Answer, EffectId, Reply};
use super::rate;
use super::session::{Ask, Purpose, Session};
use super::stop;
use super::tokens;
use crate::guard::{self, Guard};
use crate::model::drill::Drill;
use crate::model::event::Event;
use crate::model::halt::{Hold, Kill, RevertReason};
use crate::model::ids::{Digest, KillId, RolloutId, TargetId};
use crate::model::plan::Plan;
use crate::model::principal::{HandedIn, Principal, PrincipalKind, RefusedOrder};
use crate::model::state::{Rollout, RolloutPhase, State};
use crate::model::time::{self, Now};
use crate::model::token::TokenSeen;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The second person lifts a kill within this time of the first: both look at the same situation.
pub const LIFT_WITHIN: Duration = Duration::from_secs(3600);

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
        /// How that is known; none: nobody proved it (the demo, tests).
        handed_in: Option<Box<HandedIn>>,
    },
    /// Whoever proposed a change takes it back: what it touched goes back, too.
    Withdraw {
        /// Which.
        rollout: RolloutId,
        /// Who.
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
    /// A stop order of somebody who came in by a door.
    Stop {
        /// The order, as it is if it is a new one.
        kill: Kill,
        /// What they are.
        kind: PrincipalKind,
    },
    /// One of two people lifts a stop order: the first one asks, the second one lifts.
    Lift {
        /// Which.
        kill: KillId,
        /// Who.
        by: String,
    },
    /// Somebody was refused at a door.
    OrderRefused(Box<RefusedOrder>),
    /// The file of tokens, as it is now.
    TokensSeen(BTreeMap<String, TokenSeen>),
    /// A kill drill has ended.
    DrillEnded(Box<Drill>),
    /// A person answers what a rollout asks.
    Answer(PersonsAnswer),
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
    /// The same request was made before: it is this rollout.
    #[error("this idempotency key has proposed rollout `{0}` already")]
    KeyUsed(RolloutId),
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
    /// The same caller has given the same order: it is this one.
    #[error("the kill `{0}` is the same order, and in force")]
    InForce(KillId),
    /// No such stop order.
    #[error("there is no kill `{0}` in force")]
    UnknownKill(KillId),
    /// A resume needs two people.
    #[error("lifting a kill needs two people, and `{0}` is one")]
    OnePerson(String),
    /// Agents stop, and never let go on (S6).
    #[error("`{0}` is an agent: agents may stop, and never approve, resume, widen or lift; ask a person")]
    AgentMayNot(String),
    /// Nothing is asked of people.
    #[error("rollout `{0}` asks nobody for an approval; `wavegate explain {0}` says what it waits for")]
    NotAsked(RolloutId),
    /// Nothing of theirs is there to be taken back.
    #[error("`{by}` has no approval of rollout `{rollout}` that could be taken back; one that was used stands")]
    NothingToRevoke {
        /// Which rollout.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// The environment is not one that waits for it.
    #[error("environment `{environment}` of rollout `{rollout}` is not waiting to be signed off")]
    NoSignOff {
        /// Which rollout.
        rollout: RolloutId,
        /// Which environment.
        environment: String,
    },
    /// An answer that does not count. It is recorded.
    #[error("{why}")]
    NotCounted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Whose.
        by: Box<Principal>,
        /// Why, and what to do.
        why: String,
    },
}

impl Refusal {
    /// What is recorded of it: whoever tried to approve, and could not, is of interest later.
    pub fn record(&self) -> Option<Event> {
        match self {
            Self::NotCounted { rollout, by, why } => {
                let (rollout, by, why) = (rollout.clone(), (**by).clone(), why.clone());
                Some(Event::ApprovalRefused { rollout, by, why })
            }
            _ => None,
        }
    }
}

/// What an input means: facts to record. A reply is filed in the session; what it means is decided by [`super::decide::advance`].
///
/// # Errors
/// [`Refusal`] for an order that cannot be taken.
pub fn react(state: &State, session: &mut Session, input: Input, now: Now) -> Result<Vec<Event>, Refusal> {
    match input {
        Input::Propose { plan, digest, by, handed_in } => {
            let alarms = rate::alarms(state, &plan, &session.rate, now.wall);
            let mut events = vec![propose(state, plan, digest, by, handed_in)?];
            events.extend(alarms.into_iter().map(|alarm| Event::ChangeRateAlarmed { alarm: Box::new(alarm) }));
            Ok(events)
        }
        Input::Withdraw { rollout, by } => match open(state, &rollout)?.phase {
            RolloutPhase::Reverting => Err(Refusal::Reverting(rollout)),
            _ => Ok(vec![Event::RevertStarted { rollout, reason: RevertReason::Withdrawn { by } }]),
        },
        Input::Pause { rollout, by } => {
            let open = open(state, &rollout)?;
            match (open.hold.is_some(), open.phase) {
                (_, RolloutPhase::Reverting) => Err(Refusal::Reverting(rollout)),
                (true, _) => Err(Refusal::AlreadyHeld(rollout)),
                (false, _) => Ok(vec![Event::RolloutHeld { rollout, hold: Hold::Paused { by } }]),
            }
        }
        Input::Resume { rollout, by } => match open(state, &rollout)?.hold {
            Some(_) if is_agent(state, &by) => Err(Refusal::AgentMayNot(by)),
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
        Input::Stop { kill, kind } => stop::take(state, kill, kind),
        Input::Lift { kill, by } => lift(state, kill, by, now),
        Input::OrderRefused(refused) => Ok(vec![Event::OrderRefused { refused }]),
        Input::TokensSeen(seen) => Ok(tokens::changes(state, &seen)),
        Input::DrillEnded(drill) => Ok(vec![Event::DrillEnded { drill }]),
        Input::Answer(answered) => answer::take(state, answered, now),
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

fn propose(
    state: &State,
    plan: Arc<Plan>,
    digest: Digest,
    by: String,
    handed_in: Option<Box<HandedIn>>,
) -> Result<Event, Refusal> {
    let key = handed_in.as_ref().and_then(|handed_in| handed_in.key.as_ref());
    if let Some(rollout) = key.and_then(|key| state.keys.get(key)) {
        return Err(Refusal::KeyUsed(rollout.clone()));
    }
    // INVARIANT: S16. One rollout at a time owns a target.
    for (id, target) in &plan.targets {
        if let Some(owner) = state.owner_of(target).filter(|_| guard::holds(Guard::OneOwner)) {
            return Err(Refusal::TargetOwned { target: id.clone(), owner: owner.plan.rollout.clone() });
        }
    }
    Ok(Event::RolloutProposed { plan, digest, by, handed_in })
}

/// INVARIANT: S6. Whoever any open rollout knows as an agent.
fn is_agent(state: &State, name: &str) -> bool {
    let agents = guard::holds(Guard::PeopleApprove);
    agents && state.open_rollouts().any(|rollout| answer::is_agent_of(&rollout.plan, name))
}

pub(super) fn open<'a>(state: &'a State, id: &RolloutId) -> Result<&'a Rollout, Refusal> {
    let rollout = state.rollouts.get(id).ok_or_else(|| Refusal::UnknownRollout(id.clone()))?;
    if rollout.is_ended() { Err(Refusal::Ended(id.clone())) } else { Ok(rollout) }
}

/// INVARIANT: S23. The first person asks; another one, soon enough, lifts.
fn lift(state: &State, kill: KillId, by: String, now: Now) -> Result<Vec<Event>, Refusal> {
    let known = state.kills.get(&kill).filter(|known| known.in_force());
    let Some(known) = known else { return Err(Refusal::UnknownKill(kill)) };
    if by.trim().is_empty() {
        return Err(Refusal::OnePerson(by));
    }
    if is_agent(state, &by) {
        return Err(Refusal::AgentMayNot(by));
    }
    match &known.lift_asked {
        // INVARIANT: S26. A clock that was set back makes the first one's word one of the future: it does not count.
        Some((first, at)) if now.wall >= *at && time::since(*at, now.wall) <= LIFT_WITHIN => {
            match first.trim().to_lowercase() == by.trim().to_lowercase() {
                true => Err(Refusal::OnePerson(by)),
                false => Ok(vec![Event::KillLifted { kill, by: [first.clone(), by] }]),
            }
        }
        _ => Ok(vec![Event::KillLiftAsked { kill, by, at: now.wall }]),
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
