//! S10, the calendar and the order of environments: how far changes reach at the moment at which one more begins, over all rollouts.
//! Counted anew from the records and from what the provider has running; nothing of the engine's exposure is asked.

use super::ledger::{Intent, Ledger};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wavegate::model::event::{Direction, Event, Outcome, Settlement};
use wavegate::model::ids::{RolloutId, TargetId};
use wavegate::model::plan::{Plan, PlannedTarget};
use wavegate::model::safeguards::{BlastRadius, FailureDomain};
use wavegate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use wavegate::model::time::since;

type Place = (RolloutId, TargetId);

/// What the provider has under way, and what was begun when.
#[derive(Clone, Debug, Default)]
pub struct Motion {
    /// Forward operations that the provider has started, and of which nobody has recorded the end.
    running: BTreeMap<Place, Intent>,
    /// When each target was first touched, by the world's clock.
    touched: BTreeMap<Place, Timestamp>,
}

fn rule_of(plan: &Plan) -> Option<&BlastRadius> {
    plan.safeguards.as_ref()?.guardrails.blast_radius.as_ref().map(|guardrail| &guardrail.rule)
}

/// Judged before a record is applied.
pub fn before_event(ledger: &mut Ledger, event: &Event, now: Timestamp) {
    match event {
        Event::OperationIntended { rollout, target, operation } if operation.direction == Direction::Forward => {
            invariant_s10(ledger, rollout, target, now);
            ledger.motion.touched.entry((rollout.clone(), target.clone())).or_insert(now);
        }
        Event::WaveStarted { rollout, wave } => {
            invariant_calendar(ledger, rollout, now);
            invariant_order(ledger, rollout, *wave);
        }
        Event::OperationNotStarted { rollout, target, .. } => {
            let place = (rollout.clone(), target.clone());
            let known = ledger.state.rollouts.get(rollout).and_then(|r| r.targets.get(target));
            if known.is_some_and(|t| t.left.is_none() && !t.failed) {
                ledger.motion.touched.remove(&place);
            }
            ledger.motion.running.remove(&place);
        }
        Event::OperationEnded { rollout, target, .. } => {
            ledger.motion.running.remove(&(rollout.clone(), target.clone()));
        }
        _ => {}
    }
}

/// True while something of ours may be under way at its stack.
fn is_moving(target: &Target) -> bool {
    matches!(target.phase, Phase::Intended(_) | Phase::Running(_) | Phase::Ended { .. })
}

/// True while it is changed, or watched, or has to go back.
fn is_in_motion(rollout: &Rollout, planned: &PlannedTarget, target: &Target) -> bool {
    let through = rollout.gates.contains(&planned.wave) && rollout.phase != RolloutPhase::Reverting;
    match &target.phase {
        _ if rollout.is_ended() => false,
        Phase::Settled(Settlement::Applied { .. }) => !through,
        Phase::Settled(_) => false,
        _ => target.is_touched(),
    }
}

fn all(state: &State) -> impl Iterator<Item = (&Rollout, &TargetId, &PlannedTarget, &Target)> {
    state.open_rollouts().flat_map(|rollout| {
        let both =
            rollout.plan.targets.iter().filter_map(|(id, planned)| Some((id, planned, rollout.targets.get(id)?)));
        both.map(move |(id, planned, target)| (rollout, id, planned, target))
    })
}

fn domain(kind: FailureDomain, planned: &PlannedTarget) -> String {
    match kind {
        FailureDomain::Region => planned.scope.region.to_string(),
        FailureDomain::Account => planned.scope.account.to_string(),
        FailureDomain::Cell => planned.cell.to_string(),
    }
}

/// S10: with this one, what is in motion stays within the limits of its pipeline.
fn invariant_s10(ledger: &mut Ledger, id: &RolloutId, target: &TargetId, now: Timestamp) {
    let state = &ledger.state;
    let Some(plan) = state.rollouts.get(id).map(|r| std::sync::Arc::clone(&r.plan)) else { return };
    let (Some(rule), Some(own)) = (rule_of(&plan), plan.targets.get(target)) else { return };
    let others: Vec<_> = all(state).filter(|(r, other, ..)| r.plan.rollout != *id || *other != target).collect();
    let moving = 1 + others.iter().filter(|(.., t)| is_moving(t)).count();
    let mut domains = BTreeSet::from([domain(rule.at_once.failure_domain, own)]);
    let mut cells = BTreeMap::from([(own.cell.clone(), share(&plan, own))]);
    for (rollout, _, planned, _) in others.iter().filter(|(r, _, p, t)| is_in_motion(r, p, t)) {
        domains.insert(domain(rule.at_once.failure_domain, planned));
        cells.insert(planned.cell.clone(), share(&rollout.plan, planned));
    }
    let left = 100.0 - cells.values().sum::<f64>();
    let over = |max: Option<u32>, n: usize| max.is_some_and(|max| n > usize::try_from(max).unwrap());
    let mut broken = Vec::new();
    if over(rule.at_once.max_targets.map(|m| m.is), moving) {
        broken.push(format!("{target} is the operation number {moving}"));
    }
    if over(rule.at_once.max_failure_domains.map(|m| m.is), domains.len()) {
        broken.push(format!("{target} begins while {domains:?} are in motion"));
    }
    if rule.at_once.min_capacity_percent.is_some_and(|min| left + 1e-6 < min.is) {
        broken.push(format!("{target} leaves {left}% of the customers alone"));
    }
    if let Some(window) = &rule.window
        && let Some(max) = window.fleet.max_targets
        && !ledger.clock_was_wrong
    {
        // A record is dated a little before it is durable.
        let per = window.per.duration().saturating_sub(Duration::from_secs(2));
        let place = (id.clone(), target.clone());
        let touched = ledger.motion.touched.iter().filter(|(other, at)| **other != place && since(**at, now) < per);
        let begun = 1 + touched.count();
        if over(Some(max.is), begun) {
            broken.push(format!("{target} is number {begun} within {per:?}"));
        }
    }
    broken.into_iter().for_each(|what| ledger.broken("S10", what));
}

fn share(plan: &Plan, planned: &PlannedTarget) -> f64 {
    plan.cells.get(&planned.cell).map_or(0.0, |cell| cell.traffic_share)
}

/// S10 once more, where the provider starts a forward call: what it has running of all rollouts.
pub fn started(ledger: &mut Ledger, rollout: &Rollout, intent: &Intent) {
    let place = (intent.rollout.clone(), intent.target.clone());
    ledger.motion.running.insert(place, intent.clone());
    let Some(rule) = rule_of(&rollout.plan) else { return };
    let planned = |i: &Intent| ledger.planned(&i.rollout, &i.target);
    let domains: BTreeSet<String> = ledger
        .motion
        .running
        .values()
        .filter_map(planned)
        .map(|planned| domain(rule.at_once.failure_domain, planned))
        .collect();
    let running = ledger.motion.running.len();
    let over = |max: Option<u32>, n: usize| max.is_some_and(|max| n > usize::try_from(max).unwrap());
    if over(rule.at_once.max_targets.map(|m| m.is), running) {
        ledger.broken("S10", format!("the provider starts {}, and has {running} running", intent.target));
    }
    if over(rule.at_once.max_failure_domains.map(|m| m.is), domains.len()) {
        ledger.broken("S10", format!("the provider starts {}, and has some running in {domains:?}", intent.target));
    }
}

/// No wave starts while changes are frozen.
fn invariant_calendar(ledger: &mut Ledger, rollout: &RolloutId, now: Timestamp) {
    let Some(rollout) = ledger.state.rollouts.get(rollout) else { return };
    let calendar = rollout.plan.safeguards.as_ref().and_then(|s| s.guardrails.calendar.as_ref());
    let clock = now.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let frozen = calendar.and_then(|c| c.rule.freezes.iter().find(|span| span.from <= clock && clock < span.to));
    let Some(span) = frozen.filter(|_| !ledger.clock_was_wrong).cloned() else { return };
    // A record is dated a little before it is durable.
    if (clock.duration_since(span.from)).as_secs() > 2 {
        let what = format!("a wave of {} starts at {clock}, within {} to {}", rollout.plan.rollout, span.from, span.to);
        ledger.broken("S7", what);
    }
}

/// The environment before has passed, and somebody has signed it off where that is asked.
fn invariant_order(ledger: &mut Ledger, rollout: &RolloutId, wave: usize) {
    let Some(rollout) = ledger.state.rollouts.get(rollout) else { return };
    let order = rollout.plan.safeguards.as_ref().and_then(|s| s.guardrails.environment_order.as_ref());
    let Some(order) = order.map(|order| &order.rule) else { return };
    let plan = &rollout.plan;
    if !plan.targets.values().any(|t| t.wave == wave && t.environment == "production") {
        return;
    }
    let mut staging = plan.targets.values().filter(|t| t.environment == "staging").peekable();
    let here = staging.peek().is_some() && staging.all(|t| t.wave < wave && rollout.gates.contains(&t.wave));
    let earlier = || {
        let ended = ledger.state.rollouts.values().filter(|r| r.outcome() == Some(Outcome::Succeeded));
        ended.filter(|r| r.plan.targets.values().any(|t| t.environment == "staging"))
    };
    let asked = order.sign_off.is.iter().any(|name| name == "staging");
    let signed = |r: &Rollout| ledger.cases.get(&r.plan.rollout).is_some_and(|c| c.signed_off.contains("staging"));
    let id = plan.rollout.clone();
    if !here && earlier().next().is_none() {
        ledger.broken("S7", format!("{id} goes to production before staging has passed"));
    } else if asked && !signed(rollout) && !earlier().any(signed) {
        ledger.broken("S7", format!("{id} goes to production, and nobody has signed staging off"));
    }
}

/// True for a plan of which a wave, or the whole, is larger than may ever be at once.
pub fn never_fits(plan: &Plan) -> bool {
    let Some(rule) = rule_of(plan) else { return false };
    let wave = |n: usize| plan.targets.values().filter(move |t| t.wave == n);
    let too_large = |n: usize| {
        let domains: BTreeSet<String> = wave(n).map(|t| domain(rule.at_once.failure_domain, t)).collect();
        let cells: BTreeMap<_, f64> = wave(n).map(|t| (&t.cell, share(plan, t))).collect();
        let left = 100.0 - cells.values().sum::<f64>();
        rule.at_once.max_failure_domains.is_some_and(|max| domains.len() > usize::try_from(max.is).unwrap())
            || rule.at_once.min_capacity_percent.is_some_and(|min| left < min.is)
    };
    let max = rule.window.as_ref().and_then(|w| w.fleet.max_targets);
    (0..plan.waves.len()).any(too_large) || max.is_some_and(|max| plan.targets.len() > usize::try_from(max.is).unwrap())
}
