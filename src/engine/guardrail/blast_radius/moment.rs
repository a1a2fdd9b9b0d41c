//! What may start at this moment, over every rollout (S10).
//!
//! Nobody waits for ever (L2). A wave takes the failure domains and cells of all of its targets when its first one begins, and others
//! see them as taken ([`Motion::Claimed`]) until its gate passes or it is put back. So no two waves hold what the other one still
//! wants: of the waves that have begun, the newest found room for all of itself beside all others, and nothing that began later
//! stands in its way; it goes to its end, bakes, and comes to rest, and then the next newest. Neither does a rollout wait for itself:
//! its earlier waves are at rest when the next one begins, and a wave that is larger than the limits is refused as a whole
//! ([`super::rollout`]). Reverts ask nobody. Limits of operations in flight and of a window of time need no claim: an operation ends,
//! and time passes, whatever else waits.

use super::window::{Item, Tally, tallies};
use super::{Taken, limits, one};
use crate::engine::guardrail::exposure::{Exposure, Motion, Touch};
use crate::engine::guardrail::finding::{Origin, before, changing};
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::ids::{RolloutId, TargetId};
use crate::model::plan::Plan;
use crate::model::safeguards::{BlastRadius, FailureDomain};
use crate::model::state::Rollout;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The limits of one wave at one moment. Made once, it judges any number of the wave's targets.
pub struct Moment<'a> {
    plan: &'a Plan,
    exposure: &'a Exposure,
    at: Timestamp,
    rule: &'a BlastRadius,
    origin: Origin<'a>,
    /// What holds for the whole wave.
    wave: Option<Found>,
    /// Operations in flight.
    in_flight: BTreeSet<(&'a RolloutId, &'a TargetId)>,
    tallies: Vec<Tally<'a>>,
    begun: BTreeSet<TargetId>,
}

impl<'a> Moment<'a> {
    /// None: the pipeline sets no limits.
    pub fn new(rollout: &'a Rollout, wave: usize, exposure: &'a Exposure, at: Timestamp) -> Option<Self> {
        let (guardrail, _) = limits(&rollout.plan)?;
        let kind = guardrail.rule.at_once.failure_domain;
        let mut own = Taken::default();
        for (_, planned, _) in changing(rollout).filter(|(_, planned, _)| planned.wave == wave) {
            own.take_planned(kind, &rollout.plan, planned);
        }
        Self::beside(&rollout.plan, own, exposure, at)
    }

    fn beside(plan: &'a Plan, own: Taken<'a>, exposure: &'a Exposure, at: Timestamp) -> Option<Self> {
        let (guardrail, origin) = limits(plan)?;
        let rule = &guardrail.rule;
        let others = taken(exposure, rule.at_once.failure_domain, |touch| touch.rollout != plan.rollout);
        let wave = own
            .domains_beyond(&others, &rule.at_once, origin)
            .or_else(|| own.capacity_beyond(&others, &rule.at_once, origin));
        let moving = exposure.touches().iter().filter(|touch| touch.motion == Motion::InFlight);
        let tallies = rule.window.as_ref().map(|window| tallies(plan, window, exposure, at)).unwrap_or_default();
        Some(Self {
            plan,
            exposure,
            at,
            rule,
            origin,
            wave,
            in_flight: moving.map(|touch| (&touch.rollout, &touch.target)).collect(),
            tallies,
            begun: BTreeSet::new(),
        })
    }

    /// Whether this target, of which so many resources change, may start beside everything else. A target that the exposure has
    /// already counts once.
    pub fn judge(&self, id: &TargetId, resources: u32) -> Option<Found> {
        self.too_many(id).or_else(|| self.wave.clone()).or_else(|| self.beyond_window(id, resources))
    }

    /// Counts a target that is let go in the same breath, before it is in any exposure.
    pub fn begin(&mut self, id: &TargetId, resources: u32) {
        let known = self.exposure.get(&self.plan.rollout, id).is_some_and(Touch::is_touched);
        if known || !self.begun.insert(id.clone()) {
            return;
        }
        if let Some(item) = Item::planned(self.plan, id, resources, self.at) {
            self.tallies.iter_mut().for_each(|tally| tally.add(item));
        }
    }

    fn too_many(&self, id: &TargetId) -> Option<Found> {
        let max = self.rule.at_once.max_targets?;
        let itself = usize::from(self.in_flight.contains(&(&self.plan.rollout, id)));
        let begun = self.begun.iter().filter(|other| *other != id).count();
        let in_flight = u32::try_from(self.in_flight.len() - itself + begun).unwrap_or(u32::MAX);
        if in_flight < max.is {
            return None;
        }
        let what = Reason::TooManyTargets { in_flight, max: max.is };
        let rule = "guardrails.blast_radius.at_once.max_targets";
        Some(self.origin.found(what, max.line, rule, Consequence::Waits { until: None }))
    }

    fn beyond_window(&self, id: &TargetId, resources: u32) -> Option<Found> {
        if self.tallies.is_empty() {
            return None;
        }
        let adds = one(self.plan, id, resources)?;
        let since = before(self.at, self.rule.window.as_ref()?.per);
        let touch = self.exposure.get(&self.plan.rollout, id).filter(|touch| touch.is_touched() && touch.at > since);
        let begun = || Item::planned(self.plan, id, resources, self.at).filter(|_| self.begun.contains(id));
        let itself = touch.map(Item::of).or_else(begun);
        self.tallies.iter().find_map(|tally| tally.judge(&adds, &adds, itself, self.origin).into_iter().next())
    }
}

fn taken(exposure: &Exposure, kind: FailureDomain, of: impl Fn(&Touch) -> bool) -> Taken<'_> {
    let mut taken = Taken::default();
    for touch in exposure.touches().iter().filter(|touch| touch.motion != Motion::AtRest && of(touch)) {
        taken.take(kind, touch.place(), touch.traffic_share);
    }
    taken
}

/// INVARIANT: S10. Whether a target may start at the moment of issue, by the plan and the durable record's exposure alone: whoever
/// issues asks this again (S12). None: it may. The intent is on record by then, and with it the claim of its whole wave.
pub fn at_issue(plan: &Plan, id: &TargetId, resources: u32, exposure: &Exposure, at: Timestamp) -> Option<Found> {
    let (guardrail, _) = limits(plan)?;
    let kind = guardrail.rule.at_once.failure_domain;
    let mut own = taken(exposure, kind, |touch| touch.rollout == plan.rollout);
    if let Some(planned) = plan.targets.get(id) {
        own.take_planned(kind, plan, planned);
    }
    Moment::beside(plan, own, exposure, at)?.judge(id, resources)
}
