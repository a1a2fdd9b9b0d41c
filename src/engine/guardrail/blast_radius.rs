//! How far changes may reach: one rollout ([`rollout`]), all within a time ([`window()`]), and all of them at the moment of issue
//! ([`Moment`], [`at_issue`]; S10). Each rollout obeys its own pipeline's limits, over the exposure of everybody.

mod moment;
mod window;

pub use moment::{Moment, at_issue};
pub use window::{look_back, window};

use super::exposure::Place;
use super::finding::{Origin, changing, exceeds, resources_of};
use crate::model::class::Autonomy;
use crate::model::decision::{Consequence, Found, Measure, Reason};
use crate::model::ids::TargetId;
use crate::model::plan::{Plan, PlannedTarget};
use crate::model::safeguards::{AtOnce, BlastRadius, FailureDomain, Guardrail, Reach, Set};
use crate::model::state::Rollout;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const FORBIDDEN: Consequence = Consequence::Needs(Autonomy::Forbidden);

/// The pipeline's limits with where they stand; none: it sets none.
fn limits(plan: &Plan) -> Option<(&Guardrail<BlastRadius>, Origin<'_>)> {
    let safeguards = plan.safeguards.as_deref()?;
    let guardrail = safeguards.guardrails.blast_radius.as_ref()?;
    Some((guardrail, Origin::new(safeguards, guardrail.dry_run)))
}

/// How far something reaches.
#[derive(Default)]
struct Reached<'a> {
    targets: u64,
    resources: u64,
    cells: Cells<'a>,
}

/// Each cell once, with the percent of customers that it serves. In the order in which they came, so that sums are the same each
/// time; a map would be the slowest part of a judgement of thousands of targets.
#[derive(Default)]
struct Cells<'a> {
    shares: Vec<(Place<'a>, f64)>,
    index: HashMap<Place<'a>, usize>,
}

impl<'a> Cells<'a> {
    /// Two pipelines may give one cell two shares: the greater one counts.
    fn add(&mut self, place: Place<'a>, share: f64) {
        let index = *self.index.entry(place).or_insert(self.shares.len());
        match self.shares.get_mut(index) {
            Some((_, known)) if exceeds(share, *known) => *known = share,
            Some(_) => {}
            None => self.shares.push((place, share)),
        }
    }

    /// True when it was the last one to come. A plan's targets, and touches, are in the order of their cells: mostly it was.
    fn is_newest(&self, place: &Place<'_>) -> bool {
        self.shares.last().is_some_and(|(newest, _)| newest == place)
    }

    fn contains(&self, place: &Place<'_>) -> bool {
        self.index.contains_key(place)
    }

    fn iter(&self) -> impl Iterator<Item = (Place<'a>, f64)> {
        self.shares.iter().copied()
    }

    /// What those cells serve that are not among these.
    fn beside(&self, these: &Cells<'_>) -> f64 {
        self.iter().filter(|(place, _)| !these.contains(place)).map(|(_, share)| share).sum()
    }

    fn sum(&self) -> f64 {
        self.iter().map(|(_, share)| share).sum()
    }
}

impl<'a> Reached<'a> {
    fn add(&mut self, plan: &'a Plan, target: &'a PlannedTarget, resources: u32) {
        self.targets += 1;
        self.resources += u64::from(resources);
        let place = place(target);
        if !self.cells.is_newest(&place) {
            self.cells.add(place, share(plan, target));
        }
    }

    /// What is measured, and the limit where there is one, in a settled order.
    fn against<'l>(&self, limits: &'l Reach) -> impl Iterator<Item = (Measure, f64, f64, u32, &'static str)> + use<'l> {
        let counted = |limit: &Option<Set<u32>>| limit.map(|set| (f64::from(set.is), set.line));
        let shared = limits.max_percent_of_traffic.map(|set| (set.is, set.line));
        let rows = [
            (Measure::Targets, number(self.targets), counted(&limits.max_targets), "max_targets"),
            (Measure::Resources, number(self.resources), counted(&limits.max_resources), "max_resources"),
            (Measure::PercentOfTraffic, self.cells.sum(), shared, "max_percent_of_traffic"),
        ];
        rows.into_iter().filter_map(|(measure, reach, limit, name)| {
            let (max, line) = limit?;
            Some((measure, reach, max, line, name))
        })
    }
}

/// Counts are far below 2^32; what is not counts as more than any limit.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn place(target: &PlannedTarget) -> Place<'_> {
    Place { account: target.scope.account.as_str(), region: target.scope.region.as_str(), cell: target.cell.as_str() }
}

fn share(plan: &Plan, target: &PlannedTarget) -> f64 {
    plan.cells.get(&target.cell).map_or(0.0, |cell| cell.traffic_share)
}

/// What fails together, as people name it. Cells of one name in two places are two.
fn domain<'a>(kind: FailureDomain, place: Place<'a>) -> (&'a str, Place<'a>) {
    match kind {
        FailureDomain::Region => (place.region, Place { account: "", region: place.region, cell: "" }),
        FailureDomain::Account => (place.account, Place { account: place.account, region: "", cell: "" }),
        FailureDomain::Cell => (place.cell, place),
    }
}

/// What one rollout may reach at all: from its first wave to its last, and in each of its waves. More is refused.
pub fn rollout(rollout: &Rollout) -> Vec<Found> {
    let Some((guardrail, origin)) = limits(&rollout.plan) else { return Vec::new() };
    let mut found = Vec::new();
    let mut reached = Reached::default();
    for (_, planned, target) in changing(rollout) {
        reached.add(&rollout.plan, planned, resources_of(target));
    }
    for (measure, reaches, max, line, name) in reached.against(&guardrail.rule.rollout) {
        if exceeds(reaches, max) {
            let what = Reason::RolloutTooLarge { measure, reaches, max };
            found.push(origin.found(what, line, format!("guardrails.blast_radius.rollout.{name}"), FORBIDDEN));
        }
    }
    found.extend(waves_that_never_fit(rollout, &guardrail.rule.at_once, origin));
    found
}

/// All of a wave is watched in one bake: a wave of more failure domains or cells than may be busy at once would wait for itself (L2).
fn waves_that_never_fit(rollout: &Rollout, at_once: &AtOnce, origin: Origin<'_>) -> Vec<Found> {
    if at_once.max_failure_domains.is_none() && at_once.min_capacity_percent.is_none() {
        return Vec::new();
    }
    let mut waves: BTreeMap<usize, Taken<'_>> = BTreeMap::new();
    for (_, planned, _) in changing(rollout) {
        waves.entry(planned.wave).or_default().take_planned(at_once.failure_domain, &rollout.plan, planned);
    }
    let found = waves.values().flat_map(|own| {
        let nobody = Taken::default();
        [own.domains_beyond(&nobody, at_once, origin), own.capacity_beyond(&nobody, at_once, origin)]
    });
    let mut found: Vec<Found> = found.flatten().collect();
    found.iter_mut().for_each(|found| found.follows = FORBIDDEN);
    found
}

/// Failure domains and cells in which something is changed or watched, or soon will be.
#[derive(Default)]
struct Taken<'a> {
    domains: BTreeMap<Place<'a>, &'a str>,
    cells: Cells<'a>,
}

impl<'a> Taken<'a> {
    /// Takes a target's cell. All that is taken is of this plan.
    fn take_planned(&mut self, kind: FailureDomain, plan: &'a Plan, target: &'a PlannedTarget) {
        let place = place(target);
        if !self.cells.is_newest(&place) {
            self.take(kind, place, share(plan, target));
        }
    }

    fn take(&mut self, kind: FailureDomain, place: Place<'a>, share: f64) {
        if !self.cells.is_newest(&place) {
            let (name, domain) = domain(kind, place);
            self.domains.entry(domain).or_insert(name);
        }
        self.cells.add(place, share);
    }

    /// Whether these domains, beside those of others, are more than may be busy at once.
    fn domains_beyond(&self, others: &Taken<'_>, at_once: &AtOnce, origin: Origin<'_>) -> Option<Found> {
        let max = at_once.max_failure_domains?;
        let apart = others.domains.keys().filter(|domain| !self.domains.contains_key(domain)).count();
        if self.domains.len() + apart <= usize::try_from(max.is).unwrap_or(usize::MAX) {
            return None;
        }
        let wants: BTreeSet<&str> = self.domains.values().copied().collect();
        let busy = others.domains.iter().filter(|(domain, _)| !self.domains.contains_key(domain));
        let what = Reason::FailureDomainsBusy {
            wants: wants.into_iter().collect::<Vec<_>>().join(", "),
            busy: busy.map(|(_, name)| (*name).to_owned()).collect(),
            max: max.is,
        };
        let rule = "guardrails.blast_radius.at_once.max_failure_domains";
        Some(origin.found(what, max.line, rule, Consequence::Waits { until: None }))
    }

    /// Whether these cells, beside those of others, leave too few customers in cells that nobody changes.
    fn capacity_beyond(&self, others: &Taken<'_>, at_once: &AtOnce, origin: Origin<'_>) -> Option<Found> {
        let min = at_once.min_capacity_percent?;
        let taken = self.cells.sum() + others.cells.beside(&self.cells);
        // The same as `left < min`, and true as well where one of them is no number.
        if !exceeds(taken + min.is, 100.0) {
            return None;
        }
        let what = Reason::TooLittleCapacity { left: (100.0 - taken).max(0.0), min: min.is };
        let rule = "guardrails.blast_radius.at_once.min_capacity_percent";
        Some(origin.found(what, min.line, rule, Consequence::Waits { until: None }))
    }
}

/// What one target adds.
fn one<'a>(plan: &'a Plan, id: &TargetId, resources: u32) -> Option<Reached<'a>> {
    let mut reached = Reached::default();
    reached.add(plan, plan.targets.get(id)?, resources);
    Some(reached)
}
