//! Which environment comes first, and who signed it off.

use crate::fixture::*;
use wavegate::engine::guardrail::environment_order::{at_plan, at_wave};
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Reason};
use wavegate::model::event::Outcome;
use wavegate::model::safeguards::{EnvironmentOrder, Guardrails, Safeguards};
use wavegate::model::state::State;

const WAITS: Consequence = Consequence::Waits { until: None };
const FORBIDDEN: Consequence = Consequence::Needs(Autonomy::Forbidden);

fn ordered(sign_off: &[&str]) -> Safeguards {
    let list = |names: &[&str]| set(names.iter().map(|name| (*name).to_owned()).collect());
    let rule = EnvironmentOrder { order: list(&["development", "staging", "production"]), sign_off: list(sign_off) };
    let guardrails = Guardrails { environment_order: guardrail(rule), ..Guardrails::default() };
    Safeguards { guardrails, ..Safeguards::default() }
}

fn dev(wave: usize) -> Place {
    in_environment("development", place(wave, format!("d{wave}"), 0.0))
}

fn staging(wave: usize) -> Place {
    in_environment("staging", place(wave, format!("s{wave}"), 0.0))
}

fn production(wave: usize) -> Place {
    place(wave, format!("p{wave}"), 1.0)
}

fn not_passed(environment: &str, before: &str) -> Reason {
    Reason::EnvironmentNotPassed { environment: environment.into(), before: before.into() }
}

fn pass(state: &mut State, wave: usize) {
    state.rollouts.get_mut(&"r".into()).unwrap().gates.insert(wave);
}

#[test]
fn each_environment_waits_for_the_gates_of_those_before() {
    let mut state = one(ordered(&[]), &[dev(0), staging(1), production(2)]);
    assert_eq!(at_plan(r(&state), &state), []);
    assert_eq!(at_wave(r(&state), 0, &state), []);
    let found = at_wave(r(&state), 2, &state);
    assert_eq!(found[0].what, not_passed("production", "development"));
    assert_eq!(found[1].what, not_passed("production", "staging"));
    assert!(found.iter().all(|found| found.follows == WAITS));
    pass(&mut state, 0);
    assert_eq!(at_wave(r(&state), 1, &state), []);
    assert_eq!(at_wave(r(&state), 2, &state).len(), 1);
    pass(&mut state, 1);
    assert_eq!(at_wave(r(&state), 2, &state), []);
}

#[test]
fn an_environment_that_never_passes_is_refused_at_once() {
    let without = one(ordered(&[]), &[dev(0), production(1)]);
    let found = at_plan(r(&without), &without);
    assert_eq!((&found[0].what, found[0].follows), (&not_passed("production", "staging"), FORBIDDEN));
    assert_eq!(found.len(), 1);
    // Beside what it should come before, or behind it.
    let beside = one(ordered(&[]), &[dev(0), staging(1), production(1)]);
    assert_eq!(at_plan(r(&beside), &beside).len(), 1);
    let behind = one(ordered(&[]), &[dev(0), staging(1), production(2), staging(3)]);
    assert_eq!(at_plan(r(&behind), &behind).len(), 1);
    let free = one(ordered(&[]), &[in_environment("sandbox", place(0, "x", 0.0))]);
    assert_eq!(at_plan(r(&free), &free), []);
}

/// An earlier rollout of development and staging, which ended so, before one of production alone.
fn earlier(outcome: Outcome, change: impl FnOnce(&mut wavegate::model::plan::Plan)) -> State {
    let mut state = one(ordered(&["staging"]), &[production(0)]);
    let mut before = plan("e", Safeguards::default(), &[dev(0), staging(1)]);
    change(&mut before);
    propose(&mut state, before);
    ended(&mut state, "e", outcome);
    state
}

#[test]
fn an_earlier_rollout_of_the_same_change_counts() {
    let same = earlier(Outcome::Succeeded, |before| before.pipeline.name = "another".into());
    assert_eq!(at_plan(r(&same), &same), []);
    let reverted = earlier(Outcome::Reverted, |_| {});
    assert_eq!(at_plan(r(&reverted), &reverted).len(), 2);
    let template = earlier(Outcome::Succeeded, |before| {
        before.targets.values_mut().for_each(|target| target.template = None);
    });
    assert_eq!(at_plan(r(&template), &template).len(), 2);
    let parameter = earlier(Outcome::Succeeded, |before| {
        let target = before.targets.values_mut().next_back().unwrap();
        target.parameters.insert("Delay".into(), wavegate::model::stack::ParameterInput::Previous);
    });
    assert_eq!(at_plan(r(&parameter), &parameter)[0].what, not_passed("production", "staging"));
    let stack = earlier(Outcome::Succeeded, |before| {
        before.targets.values_mut().for_each(|target| target.key = "another".into());
    });
    assert_eq!(at_plan(r(&stack), &stack).len(), 2);
}

#[test]
fn an_environment_is_signed_off_by_a_person_in_this_rollout_or_the_earlier_one() {
    let mut state = one(ordered(&["staging"]), &[dev(0), staging(1), production(2)]);
    pass(&mut state, 0);
    pass(&mut state, 1);
    let found = at_wave(r(&state), 2, &state);
    let what = Reason::NotSignedOff { environment: "staging".into(), wanted: "production".into() };
    assert_eq!((&found[0].what, found[0].follows), (&what, WAITS));
    assert_eq!(rules(&found)[0].0, "guardrails.environment_order.sign_off");
    state.rollouts.get_mut(&"r".into()).unwrap().admission.signed_off.insert("staging".into());
    assert_eq!(at_wave(r(&state), 2, &state), []);
    let mut state = earlier(Outcome::Succeeded, |_| {});
    assert_eq!(at_wave(r(&state), 0, &state).len(), 1);
    state.rollouts.get_mut(&"e".into()).unwrap().admission.signed_off.insert("staging".into());
    assert_eq!(at_wave(r(&state), 0, &state), []);
}

#[test]
fn a_dry_run_only_records() {
    let mut safeguards = ordered(&[]);
    safeguards.guardrails.environment_order.as_mut().unwrap().dry_run = true;
    let state = one(safeguards, &[production(0)]);
    assert!(at_plan(r(&state), &state).iter().all(|found| found.dry_run));
}
