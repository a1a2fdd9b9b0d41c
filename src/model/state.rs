//! State, and the one table by which it changes: [`State::apply`]. Recovery is replay through the same function.
//!
//! A pair of state and event that is not in the table is an error: it stops the daemon, since either the journal or this
//! program is wrong.

mod admission;
mod rollout;
mod target;

pub use admission::{Admission, Used};
pub use rollout::{Bake, LastHealth, Rollout, RolloutPhase};
pub use target::{Phase, Target};

use super::drill::Drill;
use super::event::Event;
use super::halt::{Kill, KillMode};
use super::ids::{Digest, Epoch, KillId, RolloutId, TargetId};
use super::rate::{ChangeRateAlarm, RateOf};
use super::token::{TokenEnd, TokenState};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that the journal says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The term of the newest leader.
    pub epoch: Epoch,
    /// All rollouts, also ended ones.
    pub rollouts: BTreeMap<RolloutId, Rollout>,
    /// All stop orders, also lifted ones.
    pub kills: BTreeMap<KillId, KillState>,
    /// How many rollouts have ended: the place in line of the next one that does.
    pub ended: u64,
    /// The rollout of each idempotency key.
    pub keys: BTreeMap<Digest, RolloutId>,
    /// The newest alarm on each rate of changes.
    pub rate_alarms: BTreeMap<RateOf, ChangeRateAlarm>,
    /// Kill drills, oldest first.
    pub drills: Vec<Drill>,
    /// Tokens, by their public names; ended ones for as long as the file keeps them.
    pub tokens: BTreeMap<String, TokenState>,
    /// Refusals on record, repetitions counted.
    pub refused: u64,
}

/// A stop order and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct KillState {
    /// The order.
    pub kill: Kill,
    /// No forward call that was intended before can start any more.
    pub acknowledged: bool,
    /// The two people who lifted it.
    pub lifted_by: Option<[String; 2]>,
    /// The first of two people who want it lifted, and since when.
    pub lift_asked: Option<(String, Timestamp)>,
}

impl KillState {
    /// True until two people lifted it.
    pub fn in_force(&self) -> bool {
        self.lifted_by.is_none()
    }
}

/// An event that does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event `{event}` does not fit {subject} in state `{state}`")]
pub struct IllegalTransition {
    /// The event's name.
    pub event: &'static str,
    /// What it is about.
    pub subject: String,
    /// Where that stands.
    pub state: String,
}

impl State {
    /// Applies one event.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event does not fit; the state is then unchanged.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        match event {
            Event::LeaderStarted { epoch, .. } => {
                if *epoch <= self.epoch {
                    return Err(illegal(event, "the daemon", format!("epoch {}", self.epoch)));
                }
                self.epoch = *epoch;
                Ok(())
            }
            Event::RolloutProposed { plan, digest, by, handed_in } => {
                if self.rollouts.contains_key(&plan.rollout) {
                    return Err(illegal(event, format!("rollout {}", plan.rollout), "proposed".into()));
                }
                if let Some(key) = handed_in.as_ref().and_then(|handed_in| handed_in.key.clone()) {
                    self.keys.insert(key, plan.rollout.clone());
                }
                let rollout = Rollout::new(Arc::clone(plan), digest.clone(), by.clone(), handed_in.clone());
                self.rollouts.insert(plan.rollout.clone(), rollout);
                Ok(())
            }
            Event::KillRequested { kill } => {
                if self.kills.contains_key(&kill.id) {
                    return Err(illegal(event, format!("kill {}", kill.id), "requested".into()));
                }
                let state = KillState { kill: kill.clone(), acknowledged: false, lifted_by: None, lift_asked: None };
                self.kills.insert(kill.id.clone(), state);
                Ok(())
            }
            Event::KillAcknowledged { kill } => self.change_kill(event, kill, |k| {
                let open = k.in_force() && !k.acknowledged;
                k.acknowledged |= open;
                open
            }),
            Event::KillLifted { kill, by } => self.change_kill(event, kill, |k| {
                let [first, second] = by;
                let open = k.in_force() && first != second;
                if open {
                    k.lifted_by = Some(by.clone());
                }
                open
            }),
            Event::KillLiftAsked { kill, by, at } => self.change_kill(event, kill, |k| {
                let open = k.in_force();
                if open {
                    k.lift_asked = Some((by.clone(), *at));
                }
                open
            }),
            Event::OrderRefused { refused } => {
                self.refused = self.refused.saturating_add(refused.times);
                Ok(())
            }
            Event::ChangeRateAlarmed { alarm } => {
                self.rate_alarms.insert(alarm.of.clone(), (**alarm).clone());
                Ok(())
            }
            Event::DrillEnded { drill } => {
                self.drills.push((**drill).clone());
                Ok(())
            }
            Event::TokenListed { token, .. } => {
                let known = self.tokens.get(&token.id);
                if known.is_some_and(|known| known.grant == **token && !known.ended) {
                    return Err(illegal(event, format!("token {}", token.id), "listed".into()));
                }
                self.tokens.insert(token.id.clone(), TokenState { grant: (**token).clone(), ended: false });
                Ok(())
            }
            Event::TokenEnded { token, end, .. } => self.end_token(event, token, end),
            _ => self.apply_to_rollout(event),
        }
    }

    fn end_token(&mut self, event: &Event, id: &str, end: &TokenEnd) -> Result<(), IllegalTransition> {
        match (self.tokens.get_mut(id), end) {
            (Some(_), TokenEnd::Removed) => drop(self.tokens.remove(id)),
            (Some(known), TokenEnd::Revoked { .. }) if !known.ended => known.ended = true,
            (known, _) => {
                let stands = if known.is_some() { "ended" } else { "unknown" };
                return Err(illegal(event, format!("token {id}"), stands.into()));
            }
        }
        Ok(())
    }

    fn change_kill(
        &mut self,
        event: &Event,
        id: &KillId,
        change: impl FnOnce(&mut KillState) -> bool,
    ) -> Result<(), IllegalTransition> {
        match self.kills.get_mut(id) {
            Some(kill) => {
                if change(kill) {
                    Ok(())
                } else {
                    Err(illegal(event, format!("kill {id}"), "acknowledged or lifted".into()))
                }
            }
            None => Err(illegal(event, format!("kill {id}"), "unknown".into())),
        }
    }

    fn apply_to_rollout(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        let ended = self.ended;
        let known = event.rollout().and_then(|id| self.rollouts.get_mut(id));
        let rollout = known.ok_or_else(|| illegal(event, "a rollout", "unknown".into()))?;
        rollout.apply(event)?;
        if rollout.is_ended() {
            rollout.ended = Some(ended);
            self.ended += 1;
        }
        Ok(())
    }

    /// Rollouts that have not ended.
    pub fn open_rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values().filter(|r| !r.is_ended())
    }

    /// The open rollout that owns this physical stack (S16).
    pub fn owner_of(&self, target: &super::plan::PlannedTarget) -> Option<&Rollout> {
        self.open_rollouts().find(|r| {
            r.plan.targets.values().any(|t| {
                t.stack == target.stack
                    && t.scope.account == target.scope.account
                    && t.scope.region == target.scope.region
            })
        })
    }

    /// Kills in force that cover the rollout.
    pub fn kills_on<'a>(&'a self, rollout: &'a Rollout) -> impl Iterator<Item = &'a KillState> {
        self.kills.values().filter(|k| k.in_force() && k.kill.scope.covers(&rollout.plan))
    }

    /// The hardest kill in force on the rollout.
    pub fn kill_on<'a>(&'a self, rollout: &'a Rollout) -> Option<&'a KillState> {
        self.kills_on(rollout).max_by_key(|k| k.kill.mode)
    }

    /// The hardest mode in force on the rollout.
    pub fn kill_mode(&self, rollout: &Rollout) -> Option<KillMode> {
        self.kill_on(rollout).map(|k| k.kill.mode)
    }

    /// What keeps a kill from being acknowledged: targets whose intended forward call is not proven started or fenced.
    pub fn pending_of(&self, kill: &Kill) -> Vec<(RolloutId, TargetId)> {
        self.open_rollouts()
            .filter(|r| kill.scope.covers(&r.plan))
            .flat_map(|r| {
                r.targets
                    .iter()
                    .filter(|(_, t)| t.forward_may_start())
                    .map(|(id, _)| (r.plan.rollout.clone(), id.clone()))
            })
            .collect()
    }

    /// True while something of an older leader may still be executed at the provider (S4).
    pub fn has_stale_work(&self) -> bool {
        self.open_rollouts().any(|r| r.targets.values().any(|t| t.is_stale(self.epoch)))
    }
}

fn illegal(event: &Event, subject: impl Into<String>, state: String) -> IllegalTransition {
    IllegalTransition { event: event.name(), subject: subject.into(), state }
}
