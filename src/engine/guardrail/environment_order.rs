//! Which environment comes first: the same change must have passed the environments before, in this rollout or an earlier one.
//!
//! The fleet is not part of a plan: every environment of the order counts, and whoever checks a pipeline refuses one that its fleet
//! does not have. An environment that the order does not name is free.

use super::finding::Origin;
use crate::model::class::Autonomy;
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::event::Outcome;
use crate::model::plan::{Plan, PlannedTarget};
use crate::model::safeguards::EnvironmentOrder;
use crate::model::state::{Rollout, State};
use std::collections::BTreeSet;

const WAITS: Consequence = Consequence::Waits { until: None };
const FORBIDDEN: Consequence = Consequence::Needs(Autonomy::Forbidden);

/// Before the first wave: what can never pass. Empty: each environment has passed before, or will in an earlier wave.
pub fn at_plan(rollout: &Rollout, state: &State) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for wave in 0..rollout.plan.waves.len() {
        // What passes here in time, or has, is never refused: other rollouts need no look.
        let never = look_before(rollout, wave, state, |here| here == Passed::Never);
        let never = never.into_iter().filter(|found| found.follows == FORBIDDEN);
        let fresh: Vec<Found> = never.filter(|new| !found.contains(new)).collect();
        found.extend(fresh);
    }
    found
}

/// Before a wave begins: what it waits for. Empty: nothing.
pub fn at_wave(rollout: &Rollout, wave: usize, state: &State) -> Vec<Found> {
    look_before(rollout, wave, state, |_| true)
}

fn look_before(rollout: &Rollout, wave: usize, state: &State, of_interest: impl Fn(Passed) -> bool) -> Vec<Found> {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Vec::new() };
    let Some(guardrail) = &safeguards.guardrails.environment_order else { return Vec::new() };
    let (rule, origin) = (&guardrail.rule, Origin::new(safeguards, guardrail.dry_run));
    let wanted = wanted(&rollout.plan, wave);
    let mut found = Vec::new();
    for (position, environment) in rule.order.is.iter().enumerate().filter(|(_, e)| wanted.contains(e.as_str())) {
        for before in rule.order.is.iter().take(position) {
            let here = passed_here(rollout, wave, before);
            if of_interest(here) {
                found.extend(look(rollout, here, environment, before, state, rule, origin));
            }
        }
    }
    found
}

/// True when a wave waits, or will wait, for somebody to sign an environment off.
pub fn asks_sign_off(rollout: &Rollout, state: &State) -> bool {
    let order = rollout.plan.safeguards.as_deref().and_then(|s| s.guardrails.environment_order.as_ref());
    let Some(guardrail) = order.filter(|guardrail| !guardrail.dry_run) else { return false };
    let rule = &guardrail.rule;
    let wanted: BTreeSet<&str> = rollout.plan.targets.values().map(|target| target.environment.as_str()).collect();
    let signed = |rollout: &Rollout, before: &str| rollout.admission.signed_off.contains(before);
    rule.order.is.iter().enumerate().filter(|(_, environment)| wanted.contains(environment.as_str())).any(
        |(position, environment)| {
            let mut before = rule.order.is.iter().take(position).filter(|before| rule.sign_off.is.contains(before));
            before.any(|before| {
                !signed(rollout, before)
                    && !earlier(rollout, environment, before, state).any(|earlier| signed(earlier, before))
            })
        },
    )
}

/// The environments of a wave's targets.
fn wanted(plan: &Plan, wave: usize) -> BTreeSet<&str> {
    plan.targets.values().filter(|target| target.wave == wave).map(|target| target.environment.as_str()).collect()
}

fn look(
    rollout: &Rollout,
    here: Passed,
    environment: &str,
    before: &str,
    state: &State,
    rule: &EnvironmentOrder,
    origin: Origin<'_>,
) -> Option<Found> {
    let earlier = || earlier(rollout, environment, before, state);
    if here != Passed::Yes && earlier().next().is_none() {
        let (wanted, before) = (environment.to_owned(), before.to_owned());
        let what = Reason::EnvironmentNotPassed { environment: wanted, before };
        let follows = if here == Passed::Will { WAITS } else { FORBIDDEN };
        return Some(origin.found(what, rule.order.line, "guardrails.environment_order.order", follows));
    }
    let asked = rule.sign_off.is.iter().any(|name| name == before);
    let signed = |rollout: &Rollout| rollout.admission.signed_off.contains(before);
    if !asked || signed(rollout) || earlier().any(signed) {
        return None;
    }
    let what = Reason::NotSignedOff { environment: before.to_owned(), wanted: environment.to_owned() };
    Some(origin.found(what, rule.sign_off.line, "guardrails.environment_order.sign_off", WAITS))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    Yes,
    Will,
    Never,
}

/// Whether the environment has passed all gates of this rollout before the wave, will, or never can.
fn passed_here(rollout: &Rollout, wave: usize, environment: &str) -> Passed {
    let mut passed = Passed::Never;
    for target in rollout.plan.targets.values().filter(|target| target.environment == environment) {
        passed = match (target.wave < wave, rollout.gates.contains(&target.wave)) {
            // Beside or behind what it should come before.
            (false, _) => return Passed::Never,
            (true, true) if passed != Passed::Will => Passed::Yes,
            (true, _) => Passed::Will,
        };
    }
    passed
}

/// Earlier rollouts, through any pipeline, that brought all of what this one brings to `environment` to the environment before, and
/// ended well there.
fn earlier<'a>(
    rollout: &'a Rollout,
    environment: &'a str,
    before: &'a str,
    state: &'a State,
) -> impl Iterator<Item = &'a Rollout> {
    let ended = state.rollouts.values().filter(|other| other.outcome() == Some(Outcome::Succeeded));
    let mut stacks: BTreeSet<&str> = BTreeSet::new();
    let one_of_each = of_environment(&rollout.plan, environment).filter(|target| stacks.insert(target.key.as_str()));
    let ours: Vec<&PlannedTarget> = one_of_each.collect();
    ended.filter(move |other| {
        let there: Vec<&PlannedTarget> = of_environment(&other.plan, before).collect();
        ours.iter().all(|target| {
            let mut same_stack = there.iter().filter(|other| other.key == target.key).peekable();
            same_stack.peek().is_some() && same_stack.all(|other| is_same_change(target, other))
        })
    })
}

fn of_environment<'a>(plan: &'a Plan, environment: &'a str) -> impl Iterator<Item = &'a PlannedTarget> {
    plan.targets.values().filter(move |target| target.environment == environment)
}

/// All that a change set says of a stack; a template is known by the digest of its bytes.
fn is_same_change(a: &PlannedTarget, b: &PlannedTarget) -> bool {
    a.action == b.action
        && a.template == b.template
        && a.parameters == b.parameters
        && a.tags == b.tags
        && a.capabilities == b.capabilities
}
