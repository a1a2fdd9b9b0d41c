//! What all rollouts began within a time, added up, so that many small changes do not add up unseen.

use super::{FORBIDDEN, Reached, limits, number, place, share};
use crate::engine::guardrail::exposure::{Exposure, Place, Touch};
use crate::engine::guardrail::finding::{Origin, after, agent_of, before, changing, exceeds, resources_of};
use crate::model::decision::{Consequence, Found, Measure, Reason, SumOf};
use crate::model::ids::TargetId;
use crate::model::plan::Plan;
use crate::model::safeguards::{Reach, ReachWindow};
use crate::model::state::{Rollout, Target};
use crate::model::time::Millis;
use jiff::Timestamp;
use std::collections::HashMap;

/// What this rollout still adds to what began within the pipeline's time. It waits until enough of the rest is long enough ago; what
/// alone is more than may begin within the time is refused.
pub fn window(rollout: &Rollout, exposure: &Exposure, at: Timestamp) -> Vec<Found> {
    let plan = &*rollout.plan;
    let Some((guardrail, origin)) = limits(plan) else { return Vec::new() };
    let Some(window) = &guardrail.rule.window else { return Vec::new() };
    let (mut whole, mut rest) = (Reached::default(), Reached::default());
    let begun = rollout.targets.values().any(Target::is_touched);
    for (_, planned, target) in changing(rollout) {
        whole.add(plan, planned, resources_of(target));
        if begun && !target.is_touched() {
            rest.add(plan, planned, resources_of(target));
        }
    }
    let adds = if begun { &rest } else { &whole };
    let tallies = tallies(plan, window, exposure, at);
    tallies.iter().flat_map(|tally| tally.judge(adds, &whole, None, origin)).collect()
}

/// How far back the plan's window looks; none: the pipeline sets none.
pub fn look_back(plan: &Plan) -> Option<Millis> {
    limits(plan)?.0.rule.window.as_ref().map(|window| window.per)
}

/// The sums that the window asks for: of the agent, the pipeline, the fleet.
pub(super) fn tallies<'a>(
    plan: &Plan,
    window: &'a ReachWindow,
    exposure: &'a Exposure,
    at: Timestamp,
) -> Vec<Tally<'a>> {
    let since = before(at, window.per);
    // A touch that is dated in the future (the clock was set back) is within every window.
    let recent = || exposure.touches().iter().filter(|touch| touch.is_touched() && touch.at > since);
    let (agent, pipeline) = (agent_of(plan), plan.pipeline.name.as_str());
    let mut tallies = Vec::new();
    if asks(&window.agent) {
        let of = SumOf::Agent(agent.to_string());
        tallies.push(Tally::new(of, &window.agent, window.per, recent().filter(|touch| touch.agent == agent)));
    }
    if asks(&window.pipeline) {
        let through = recent().filter(|touch| *touch.pipeline == *pipeline);
        tallies.push(Tally::new(SumOf::Pipeline(pipeline.to_owned()), &window.pipeline, window.per, through));
    }
    if asks(&window.fleet) {
        tallies.push(Tally::new(SumOf::Fleet, &window.fleet, window.per, recent()));
    }
    tallies
}

fn asks(limits: &Reach) -> bool {
    limits.max_targets.is_some() || limits.max_resources.is_some() || limits.max_percent_of_traffic.is_some()
}

/// One touch, as far as the sums need it.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub at: Timestamp,
    pub resources: u32,
    pub place: Place<'a>,
    pub share: f64,
}

impl<'a> Item<'a> {
    pub fn of(touch: &'a Touch) -> Self {
        Self { at: touch.at, resources: touch.resources, place: touch.place(), share: touch.traffic_share }
    }

    /// A target of the plan that is let go now.
    pub fn planned(plan: &'a Plan, id: &TargetId, resources: u32, at: Timestamp) -> Option<Self> {
        let planned = plan.targets.get(id)?;
        Some(Self { at, resources, place: place(planned), share: share(plan, planned) })
    }
}

/// Whose changes within the window, added up.
pub(super) struct Tally<'a> {
    of: SumOf,
    limits: &'a Reach,
    per: Millis,
    items: Vec<Item<'a>>,
    used: Sums,
    /// How many touches each cell has had, and its share.
    cells: HashMap<Place<'a>, (u32, f64)>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    targets: u64,
    resources: u64,
    share: f64,
}

impl Sums {
    fn amount(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Targets => number(self.targets),
            Measure::Resources => number(self.resources),
            Measure::PercentOfTraffic => self.share,
        }
    }
}

impl<'a> Tally<'a> {
    fn new(of: SumOf, limits: &'a Reach, per: Millis, touches: impl Iterator<Item = &'a Touch>) -> Self {
        let items: Vec<Item<'a>> = touches.map(Item::of).collect();
        let (mut used, mut cells) = (Sums::default(), HashMap::new());
        // Touches are in the order of their targets: those of a cell stand side by side.
        for run in items.chunk_by(|a, b| a.place == b.place) {
            let Some(first) = run.first() else { continue };
            used.resources += run.iter().map(|item| u64::from(item.resources)).sum::<u64>();
            let (times, share) = cells.entry(first.place).or_insert((0, first.share));
            if *times == 0 {
                used.share += *share;
            }
            *times += u32::try_from(run.len()).unwrap_or(u32::MAX);
        }
        used.targets = u64::try_from(items.len()).unwrap_or(u64::MAX);
        Self { of, limits, per, items, used, cells }
    }

    /// Counts one more.
    pub fn add(&mut self, item: Item<'a>) {
        self.used.targets += 1;
        self.used.resources += u64::from(item.resources);
        let (times, share) = self.cells.entry(item.place).or_insert((0, item.share));
        if *times == 0 {
            self.used.share += *share;
        }
        *times += 1;
        self.items.push(item);
    }

    fn remove(&mut self, item: &Item<'a>) {
        self.used.targets = self.used.targets.saturating_sub(1);
        self.used.resources = self.used.resources.saturating_sub(item.resources.into());
        if let Some((times, share)) = self.cells.get_mut(&item.place) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.used.share -= *share;
            }
        }
    }

    /// What would be too much. `whole`: all of what is asked for, of which `adds` is the rest. `itself`: what is counted already of
    /// what `adds` counts.
    pub fn judge(
        &self,
        adds: &Reached<'_>,
        whole: &Reached<'_>,
        itself: Option<Item<'_>>,
        origin: Origin<'_>,
    ) -> Vec<Found> {
        let used = self.without(itself);
        let adding = self.adding(adds, itself);
        let mut found = Vec::new();
        for (measure, most, max, line, name) in whole.against(self.limits) {
            let (used, adds_so_much) = (used.amount(measure), adding.amount(measure));
            if !exceeds(used + adds_so_much, max) {
                continue;
            }
            let follows = match exceeds(most, max) {
                true => FORBIDDEN,
                false => Consequence::Waits { until: self.until(adds, measure, max, itself) },
            };
            let (of, per) = (self.of.clone(), self.per);
            let what = Reason::WindowTooLarge { of, measure, used, adds: adds_so_much, max, per };
            found.push(origin.found(what, line, self.rule(name), follows));
        }
        found
    }

    fn rule(&self, name: &str) -> String {
        let of = match self.of {
            SumOf::Agent(_) => "agent",
            SumOf::Pipeline(_) => "pipeline",
            SumOf::Fleet => "fleet",
        };
        format!("guardrails.blast_radius.window.{of}.{name}")
    }

    fn is_only(&self, item: &Item<'_>) -> bool {
        self.cells.get(&item.place).is_some_and(|(times, _)| *times == 1)
    }

    fn without(&self, itself: Option<Item<'_>>) -> Sums {
        let Some(item) = itself else { return self.used };
        Sums {
            targets: self.used.targets.saturating_sub(1),
            resources: self.used.resources.saturating_sub(item.resources.into()),
            share: if self.is_only(&item) { self.used.share - item.share } else { self.used.share },
        }
    }

    /// A cell that was reached already is not reached a second time.
    fn adding(&self, adds: &Reached<'_>, itself: Option<Item<'_>>) -> Sums {
        let alone = itself.filter(|item| self.is_only(item)).map(|item| item.place);
        let reached = |place: &Place<'_>| alone.as_ref() != Some(place) && self.cells.contains_key(place);
        let fresh = adds.cells.iter().filter(|(place, _)| !reached(place));
        Sums { targets: adds.targets, resources: adds.resources, share: fresh.map(|(_, share)| share).sum() }
    }

    /// When so many of the oldest touches are long enough ago that the rest leaves room.
    fn until(&self, adds: &Reached<'_>, measure: Measure, max: f64, itself: Option<Item<'_>>) -> Option<Timestamp> {
        let mut left = Tally::new(self.of.clone(), self.limits, self.per, std::iter::empty());
        let mut items = self.items.clone();
        if let Some(item) = itself {
            let same = |other: &Item<'_>| other.at == item.at && other.place == item.place;
            items.iter().position(same).map(|index| items.remove(index));
        }
        items.sort_by_key(|item| item.at);
        items.iter().for_each(|item| left.add(*item));
        // Cells that are added are reached for as long as anybody looks: they must not leave with the oldest touch.
        left.used.share += left.adding(adds, None).share;
        for (place, share) in adds.cells.iter() {
            left.cells.entry(place).or_insert((0, share)).0 += 1;
        }
        let more = Sums { targets: adds.targets, resources: adds.resources, share: 0.0 };
        for item in &items {
            left.remove(item);
            if !exceeds(left.used.amount(measure) + more.amount(measure), max) {
                return Some(after(item.at, self.per));
            }
        }
        None
    }
}
