//! What has been touched and is still in motion, over every rollout: what limits of the moment and of a time are asked of (S10).
//!
//! There are two ways to it, on purpose (S12): [`Exposure::of`] reads the engine's state, and [`super::ledger::Ledger`] counts along
//! with the events of the durable record.

use super::finding::{agent_of, is_unchanged, resources_of};
use crate::model::drill::is_drill;
use crate::model::event::Settlement;
use crate::model::ids::{AccountId, CellId, Region, RolloutId, TargetId};
use crate::model::plan::{Plan, PlannedTarget};
use crate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use crate::model::time::Millis;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// No window looks further back: 30 days.
pub const LOOK_BACK_MAX: Millis = Millis::from_secs(30 * 24 * 3600);

/// One target that a forward call was intended for, or soon will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Touch {
    /// By which rollout.
    pub rollout: RolloutId,
    /// Who proposed that, in lower case.
    pub agent: Arc<str>,
    /// Through which pipeline.
    pub pipeline: Arc<str>,
    /// Which target.
    pub target: TargetId,
    /// In which cell.
    pub cell: CellId,
    /// In which account.
    pub account: AccountId,
    /// In which region.
    pub region: Region,
    /// Percent of customers that the cell serves.
    pub traffic_share: f64,
    /// Resources of it that change.
    pub resources: u32,
    /// When the first forward call was intended; of what is only claimed, when its wave's first was.
    pub at: Timestamp,
    /// Where it stands.
    pub motion: Motion,
}

/// Where a touched target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Motion {
    /// Its gate has passed, it was put back, or its rollout has ended: it only counts in a time.
    AtRest,
    /// Not touched yet, but its wave has begun: its failure domain and its cell are taken, since the wave goes to its end before
    /// anything of it comes to rest. It does not count in a time.
    Claimed,
    /// Settled, and its wave is still watched.
    Watched,
    /// From the intent of an operation until it is settled, in either direction; also while it waits to be reverted.
    InFlight,
}

/// A cell, wherever it is named: two pipelines may reach the same one, or have two of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place<'a> {
    pub account: &'a str,
    pub region: &'a str,
    pub cell: &'a str,
}

impl Touch {
    /// True when a forward call was intended for it.
    pub fn is_touched(&self) -> bool {
        self.motion != Motion::Claimed
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { account: self.account.as_str(), region: self.region.as_str(), cell: self.cell.as_str() }
    }
}

/// What all touches of one rollout have in common.
pub(super) struct Of<'a> {
    plan: &'a Plan,
    agent: Arc<str>,
    pipeline: Arc<str>,
}

impl<'a> Of<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        Self { plan, agent: agent_of(plan), pipeline: plan.pipeline.name.as_str().into() }
    }

    /// None: the plan has no such target.
    pub fn touch(&self, id: &TargetId, resources: u32, at: Timestamp, motion: Motion) -> Option<Touch> {
        Some(self.touch_of(id, self.plan.targets.get(id)?, resources, at, motion))
    }

    /// The same for a target of the plan that is at hand.
    fn touch_of(&self, id: &TargetId, planned: &PlannedTarget, resources: u32, at: Timestamp, motion: Motion) -> Touch {
        Touch {
            rollout: self.plan.rollout.clone(),
            agent: Arc::clone(&self.agent),
            pipeline: Arc::clone(&self.pipeline),
            target: id.clone(),
            cell: planned.cell.clone(),
            account: planned.scope.account.clone(),
            region: planned.scope.region.clone(),
            traffic_share: self.plan.cells.get(&planned.cell).map_or(0.0, |cell| cell.traffic_share),
            resources,
            at,
            motion,
        }
    }
}

/// Every touch, by rollout and target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposure {
    touches: Vec<Touch>,
}

impl Exposure {
    /// As the engine's state has it. Of ended rollouts only what was touched at or after `since`: no window looks further back
    /// ([`super::finding::before`] and [`LOOK_BACK_MAX`] give that time).
    pub fn of(state: &State, since: Timestamp) -> Self {
        let mut touches = Vec::new();
        for rollout in state.rollouts.values() {
            add(&mut touches, rollout, since);
        }
        Self { touches }
    }

    /// From touches in any order.
    pub fn new(mut touches: Vec<Touch>) -> Self {
        touches.sort_by(|a, b| (&a.rollout, &a.target).cmp(&(&b.rollout, &b.target)));
        Self { touches }
    }

    /// The same once these targets of a wave are on their way, and with them the rest of the wave is claimed: what is let go in one
    /// breath counts for what is let go after it.
    #[must_use]
    pub fn with(&self, rollout: &Rollout, wave: usize, begun: &BTreeSet<TargetId>, at: Timestamp) -> Self {
        if begun.is_empty() {
            return self.clone();
        }
        let of = Of::new(&rollout.plan);
        let id = &rollout.plan.rollout;
        let mut touches: Vec<Touch> =
            self.touches.iter().filter(|t| t.rollout != *id || !begun.contains(&t.target)).cloned().collect();
        for target in rollout.wave_targets(wave) {
            let state = rollout.targets.get(target);
            let motion = match begun.contains(target) {
                true => Motion::InFlight,
                false if self.get(id, target).is_some() || state.is_none_or(is_unchanged) => continue,
                false => Motion::Claimed,
            };
            touches.extend(of.touch(target, state.map_or(u32::MAX, resources_of), at, motion));
        }
        Self::new(touches)
    }

    /// All of them, by rollout and target.
    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }

    /// The touch of one target by one rollout.
    pub fn get(&self, rollout: &RolloutId, target: &TargetId) -> Option<&Touch> {
        let at = self.touches.binary_search_by(|t| (&t.rollout, &t.target).cmp(&(rollout, target))).ok()?;
        self.touches.get(at)
    }
}

fn add(touches: &mut Vec<Touch>, rollout: &Rollout, since: Timestamp) {
    // Ended rollouts stay in the state for good: those of long ago are passed over without a look at each target.
    let ended = rollout.is_ended();
    // A kill drill touches nothing that serves anybody: it takes no room from others.
    if !rollout.targets.values().any(Target::is_touched) || is_drill(&rollout.plan) {
        return;
    }
    let of = Of::new(&rollout.plan);
    let begun = begun(rollout);
    for ((id, planned), target) in rollout.plan.targets.iter().zip(rollout.targets.values()) {
        let (at, motion) = match (target.touched_at.filter(|_| target.is_touched()), begun.get(planned.wave)) {
            (Some(at), _) if ended && at < since => continue,
            (Some(at), _) => (at, motion(rollout, planned.wave, target)),
            (None, Some(Some(at))) if !is_unchanged(target) => (*at, Motion::Claimed),
            (None, _) => continue,
        };
        touches.push(of.touch_of(id, planned, resources_of(target), at, motion));
    }
}

/// Of each wave that has begun and goes forward, when its first target was touched.
fn begun(rollout: &Rollout) -> Vec<Option<Timestamp>> {
    let mut begun = vec![None; rollout.plan.waves.len()];
    if rollout.is_ended() || rollout.phase == RolloutPhase::Reverting {
        return begun;
    }
    for (planned, target) in rollout.plan.targets.values().zip(rollout.targets.values()) {
        if let (Some(at), Some(first)) = (target.touched_at, begun.get_mut(planned.wave))
            && target.is_touched()
            && !rollout.gates.contains(&planned.wave)
        {
            *first = Some(first.map_or(at, |first: Timestamp| first.min(at)));
        }
    }
    begun
}

fn motion(rollout: &Rollout, wave: usize, target: &Target) -> Motion {
    let reverting = rollout.phase == RolloutPhase::Reverting;
    match &target.phase {
        _ if rollout.is_ended() => Motion::AtRest,
        Phase::Settled(Settlement::Applied { .. }) if reverting => Motion::InFlight,
        // What is stuck is not known to serve: it counts for as long as what was changed beside it.
        Phase::Settled(Settlement::Applied { .. } | Settlement::Stuck { .. })
            if reverting || !rollout.gates.contains(&wave) =>
        {
            Motion::Watched
        }
        Phase::Settled(_) => Motion::AtRest,
        _ => Motion::InFlight,
    }
}
