//! One rollout's state and its transitions.

use super::admission::Admission;
use super::target::{Phase, Target};
use super::{IllegalTransition, illegal};
use crate::guard::{self, Guard};
use crate::model::comparison::{Baseline, Compared};
use crate::model::event::{Event, Outcome, Settlement};
use crate::model::halt::{Hold, RevertReason};
use crate::model::ids::{Digest, TargetId};
use crate::model::plan::Plan;
use crate::model::principal::HandedIn;
use crate::model::time::Millis;
use crate::model::verdict::{Finding, Verdict};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// What will be done.
    pub plan: Arc<Plan>,
    /// The plan's digest: a gate that names another one is not this rollout's.
    pub plan_digest: Digest,
    /// Who handed it in.
    pub by: String,
    /// Who that is, and how it was known; none: it was handed in before people were known.
    pub handed_in: Option<Box<HandedIn>>,
    /// Where it stands.
    pub phase: RolloutPhase,
    /// Why it waits for a person.
    pub hold: Option<Hold>,
    /// By id, the same ids as in the plan.
    pub targets: BTreeMap<TargetId, Target>,
    /// Waves whose gate is durable as passed.
    pub gates: BTreeSet<usize>,
    /// The bake of the newest settled wave.
    pub bake: Option<Bake>,
    /// The newest judgement.
    pub health: Option<LastHealth>,
    /// What the comparison rests on; none: nothing is compared, or it has not begun.
    pub baseline: Option<Arc<Baseline>>,
    /// What the comparison has seen.
    pub compared: Option<Arc<Compared>>,
    /// Why it goes back.
    pub revert: Option<RevertReason>,
    /// What the guardrails found, and who has agreed.
    pub admission: Admission,
    /// Which of all rollouts it was to end; none: it has not.
    pub ended: Option<u64>,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutPhase {
    /// Restore points are captured and previews read; nothing is touched.
    Previewing,
    /// A wave's targets are being changed.
    Rolling {
        /// Which.
        wave: usize,
    },
    /// A wave is watched.
    Baking {
        /// Which.
        wave: usize,
    },
    /// Every touched target goes back, last wave first.
    Reverting,
    /// Nothing is left open.
    Ended(Outcome),
}

/// A bake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bake {
    /// Of which wave.
    pub wave: usize,
    /// When it began.
    pub since: Timestamp,
    /// Watched time so far.
    pub elapsed: Millis,
}

/// The newest judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct LastHealth {
    /// What health says.
    pub verdict: Verdict,
    /// Why not pass.
    pub findings: Vec<Finding>,
}

impl Rollout {
    pub(super) fn new(plan: Arc<Plan>, plan_digest: Digest, by: String, handed_in: Option<Box<HandedIn>>) -> Self {
        let targets = plan.targets.keys().map(|id| (id.clone(), Target::default())).collect();
        Self {
            plan,
            plan_digest,
            by,
            handed_in,
            phase: RolloutPhase::Previewing,
            hold: None,
            targets,
            gates: BTreeSet::new(),
            bake: None,
            health: None,
            baseline: None,
            compared: None,
            revert: None,
            admission: Admission::default(),
            ended: None,
        }
    }

    /// True when nothing is left open.
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, RolloutPhase::Ended(_))
    }

    /// How it ended.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            RolloutPhase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The target ids of a wave, in the order in which they start.
    pub fn wave_targets(&self, wave: usize) -> &[TargetId] {
        self.plan.waves.get(wave).map_or(&[], |w| &w.targets)
    }

    /// The targets of a wave, in the order in which they start.
    pub fn wave_states(&self, wave: usize) -> impl Iterator<Item = &Target> {
        self.wave_targets(wave).iter().filter_map(|id| self.targets.get(id))
    }

    /// True when the gates before `wave` have all passed (S1).
    pub fn gates_open_for(&self, wave: usize) -> bool {
        (0..wave).all(|n| self.gates.contains(&n))
    }

    /// True when the gate of `wave` is recorded as passed (S1).
    pub fn has_passed(&self, wave: usize) -> bool {
        self.gates.contains(&wave) || !guard::holds(Guard::GateBeforeWave)
    }

    pub(super) fn apply(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        let fits = match event {
            Event::WaveStarted { wave, .. } => self.start_wave(*wave),
            Event::BakeStarted { wave, at, .. } => self.start_bake(*wave, *at),
            Event::HealthJudged { wave, elapsed, verdict, findings, .. } => {
                let fits = self.watch(*wave, *elapsed);
                if fits {
                    self.health = Some(LastHealth { verdict: *verdict, findings: findings.clone() });
                }
                fits
            }
            Event::BaselineTaken { baseline, .. } => self.take_baseline(baseline),
            Event::TicksCompared { compared, .. } => self.compare(compared),
            Event::GatePassed { wave, plan, .. } => {
                let fits = self.phase == RolloutPhase::Baking { wave: *wave } && *plan == self.plan_digest;
                fits && self.gates.insert(*wave)
            }
            Event::RolloutHeld { hold, .. } => {
                let fits = !self.is_ended() && self.hold.is_none();
                if fits {
                    self.hold = Some(hold.clone());
                }
                fits
            }
            Event::RolloutResumed { .. } => !self.is_ended() && self.hold.take().is_some(),
            Event::GuardrailsJudged { .. }
            | Event::RolloutWaits { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRevoked { .. }
            | Event::ApprovalRejected { .. }
            | Event::ApprovalRefused { .. }
            | Event::ApprovalsUsed { .. }
            | Event::EnvironmentSignedOff { .. } => !self.is_ended() && self.admission.apply(event),
            Event::RevertStarted { reason, .. } => self.start_revert(reason),
            Event::RolloutEnded { outcome, .. } => self.end(*outcome),
            _ => return self.apply_to_target(event),
        };
        if fits {
            Ok(())
        } else {
            Err(illegal(event, format!("rollout {}", self.plan.rollout), format!("{:?}", self.phase)))
        }
    }

    fn apply_to_target(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        let id = event.target().ok_or_else(|| illegal(event, "a target", "none named".into()))?;
        if self.is_ended() {
            return Err(illegal(event, format!("target {id}"), "of an ended rollout".into()));
        }
        let target =
            self.targets.get_mut(id).ok_or_else(|| illegal(event, format!("target {id}"), "unknown".into()))?;
        if target.apply(event) {
            Ok(())
        } else {
            Err(illegal(event, format!("target {id}"), target.phase.name().into()))
        }
    }

    fn start_wave(&mut self, wave: usize) -> bool {
        let in_turn = match self.phase {
            RolloutPhase::Previewing => wave == 0,
            // INVARIANT: S1. The next wave starts from a bake whose gate has passed, and from nowhere else.
            RolloutPhase::Baking { wave: last } => wave == last + 1 && self.has_passed(last),
            _ => false,
        };
        // INVARIANT: S7. What needs people starts only once their approvals were used for this very wave.
        let admitted =
            self.plan.safeguards.is_none() || self.admission.covers(wave) || !guard::holds(Guard::ApprovalBeforeWave);
        let fits = in_turn && admitted && wave < self.plan.waves.len();
        if fits {
            self.phase = RolloutPhase::Rolling { wave };
        }
        fits
    }

    fn start_bake(&mut self, wave: usize, at: Timestamp) -> bool {
        let settled = self.wave_states(wave).all(Target::is_settled);
        let fits = self.phase == RolloutPhase::Rolling { wave } && settled;
        if fits {
            self.phase = RolloutPhase::Baking { wave };
            self.bake = Some(Bake { wave, since: at, elapsed: Millis(0) });
        }
        fits
    }

    fn watch(&mut self, wave: usize, elapsed: Millis) -> bool {
        match (&mut self.bake, self.phase) {
            (Some(bake), RolloutPhase::Baking { .. }) if bake.wave == wave && elapsed >= bake.elapsed => {
                bake.elapsed = elapsed;
                true
            }
            (_, RolloutPhase::Rolling { .. } | RolloutPhase::Previewing) => true,
            _ => false,
        }
    }

    /// Before the first wave only: what a rollout has touched is no history of it.
    fn take_baseline(&mut self, baseline: &Arc<Baseline>) -> bool {
        let fits = self.phase == RolloutPhase::Previewing;
        if fits {
            self.baseline = Some(baseline.clone());
        }
        fits
    }

    /// Evidence grows on one baseline, metric by metric in its order.
    fn compare(&mut self, compared: &Arc<Compared>) -> bool {
        let rolls = matches!(self.phase, RolloutPhase::Rolling { .. } | RolloutPhase::Baking { .. });
        let fits = rolls && self.baseline.as_ref().is_some_and(|b| b.metrics.len() == compared.metrics.len());
        if fits {
            self.compared = Some(compared.clone());
        }
        fits
    }

    fn start_revert(&mut self, reason: &RevertReason) -> bool {
        let fits = !self.is_ended() && self.phase != RolloutPhase::Reverting;
        if fits {
            self.phase = RolloutPhase::Reverting;
            self.revert = Some(reason.clone());
            self.hold = None;
        }
        fits
    }

    fn end(&mut self, outcome: Outcome) -> bool {
        let clean = self.targets.values().all(Target::is_clean);
        let last = self.plan.waves.len().saturating_sub(1);
        let stuck = self.targets.values().any(|t| matches!(t.phase, Phase::Settled(Settlement::Stuck { .. })));
        let back = self.targets.values().all(|t| !t.is_applied());
        let fits = clean
            && match outcome {
                Outcome::Succeeded => self.phase == RolloutPhase::Baking { wave: last } && self.has_passed(last),
                Outcome::Reverted => self.phase == RolloutPhase::Reverting && !stuck && back,
                Outcome::Stuck => self.phase == RolloutPhase::Reverting && stuck && back,
                Outcome::Cancelled => {
                    self.phase == RolloutPhase::Reverting && self.targets.values().all(|t| !t.is_touched())
                }
            };
        if fits {
            self.phase = RolloutPhase::Ended(outcome);
            self.hold = None;
        }
        fits
    }
}
