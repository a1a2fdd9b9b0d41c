//! What may start at the moment of issue, beside everything else (S10), and that nobody waits for ever (L2).

use crate::blast_radius::with;
use crate::fixture::*;
use wavegate::engine::guardrail::blast_radius::{Moment, at_issue};
use wavegate::engine::guardrail::exposure::{Exposure, Motion};
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Found, Reason};
use wavegate::model::event::Outcome;
use wavegate::model::safeguards::{AtOnce, BlastRadius, FailureDomain, Reach, ReachWindow, Safeguards};
use wavegate::model::state::{RolloutPhase, State};

fn at_once(at_once: AtOnce) -> Safeguards {
    with(BlastRadius { at_once, ..BlastRadius::default() })
}

fn domains(max: u32) -> Safeguards {
    at_once(AtOnce { max_failure_domains: Some(set(max)), ..AtOnce::default() })
}

fn exposure(state: &State) -> Exposure {
    Exposure::of(state, ago(60 * 24 * 30))
}

/// Both ways to ask: the engine's, before there is an intent, and the issuer's. They agree.
fn ask(state: &State, rollout: &str, cell: &str) -> Option<Found> {
    let exposure = exposure(state);
    let known = &state.rollouts[&rollout.into()];
    let wave = known.plan.targets[&id(cell)].wave;
    let engine = Moment::new(known, wave, &exposure, NOW).and_then(|moment| moment.judge(&id(cell), 1));
    let mut intended = state.clone();
    let moved = target(&mut intended, rollout, cell);
    applied(moved, NOW);
    let issued = at_issue(&known.plan, &id(cell), 1, &Exposure::of(&intended, ago(60 * 24 * 30)), NOW);
    assert_eq!(engine.is_some(), issued.is_some(), "{engine:?} {issued:?}");
    engine
}

fn other(state: &mut State, rollout: &str, safeguards: Safeguards, places: &[Place]) {
    propose(state, plan(rollout, safeguards, places));
}

#[test]
fn operations_in_flight_are_counted_over_all_rollouts() {
    let limit = |max| at_once(AtOnce { max_targets: Some(set(max)), ..AtOnce::default() });
    for (max, passes) in [(3, true), (2, false)] {
        let mut state = one(limit(max), &places(2));
        other(&mut state, "o", Safeguards::default(), &[place(0, "x", 1.0), place(0, "y", 1.0)]);
        for cell in ["x", "y"] {
            applied(target(&mut state, "o", cell), ago(1));
        }
        // What was applied and goes back is in flight until it is back.
        state.rollouts.get_mut(&"o".into()).unwrap().phase = RolloutPhase::Reverting;
        let found = ask(&state, "r", "c0");
        assert_eq!(found.is_none(), passes);
        if let Some(found) = found {
            assert_eq!(found.what, Reason::TooManyTargets { in_flight: 2, max: 2 });
            assert_eq!(found.follows, Consequence::Waits { until: None });
        }
    }
}

#[test]
fn those_let_go_in_one_breath_count() {
    let state = one(at_once(AtOnce { max_targets: Some(set(2)), ..AtOnce::default() }), &places(3));
    let exposure = exposure(&state);
    let mut moment = Moment::new(r(&state), 0, &exposure, NOW).unwrap();
    for cell in ["c0", "c1"] {
        assert_eq!(moment.judge(&id(cell), 1), None);
        moment.begin(&id(cell), 1);
    }
    assert_eq!(moment.judge(&id("c2"), 1).unwrap().what, Reason::TooManyTargets { in_flight: 2, max: 2 });
    assert_eq!(moment.judge(&id("c1"), 1), None, "it is one of the two");
}

#[test]
fn one_failure_domain_at_a_time_across_rollouts() {
    let mut state = one(domains(1), &[place(0, "eu", 1.0)]);
    other(&mut state, "o", Safeguards::default(), &[in_region("us-east-1", place(0, "us", 1.0))]);
    assert_eq!(ask(&state, "r", "eu"), None);
    // Settled, and still watched.
    applied(target(&mut state, "o", "us"), ago(1));
    let found = ask(&state, "r", "eu").unwrap();
    let busy = ["us-east-1".to_owned()].into();
    assert_eq!(found.what, Reason::FailureDomainsBusy { wants: "eu-west-1".into(), busy, max: 1 });
    // Its gate passes: it is at rest.
    state.rollouts.get_mut(&"o".into()).unwrap().gates.insert(0);
    assert_eq!(ask(&state, "r", "eu"), None);
    // It goes back after all.
    state.rollouts.get_mut(&"o".into()).unwrap().phase = RolloutPhase::Reverting;
    assert!(ask(&state, "r", "eu").is_some());
    ended(&mut state, "o", Outcome::Reverted);
    assert_eq!(ask(&state, "r", "eu"), None);
}

#[test]
fn the_only_busy_domain_may_be_the_targets_own() {
    let mut state = one(domains(1), &[place(0, "eu", 1.0)]);
    other(&mut state, "o", Safeguards::default(), &[place(0, "eu-2", 1.0)]);
    applied(target(&mut state, "o", "eu-2"), ago(1));
    assert_eq!(ask(&state, "r", "eu"), None);
    // The same two are two cells.
    let by_cell =
        AtOnce { max_failure_domains: Some(set(1)), failure_domain: FailureDomain::Cell, ..AtOnce::default() };
    let mut state = one(at_once(by_cell), &[place(0, "eu", 1.0)]);
    other(&mut state, "o", Safeguards::default(), &[place(0, "eu-2", 1.0)]);
    applied(target(&mut state, "o", "eu-2"), ago(1));
    assert!(ask(&state, "r", "eu").is_some());
}

#[test]
fn a_rollouts_own_earlier_wave_does_not_keep_its_next_one_back() {
    let mut state = one(domains(1), &[place(0, "eu", 1.0), in_region("us-east-1", place(1, "us", 1.0))]);
    applied(target(&mut state, "r", "eu"), ago(1));
    state.rollouts.get_mut(&"r".into()).unwrap().gates.insert(0);
    assert_eq!(ask(&state, "r", "us"), None);
}

#[test]
fn customers_left_are_those_in_cells_that_nobody_changes() {
    let limit = |min| at_once(AtOnce { min_capacity_percent: Some(set(min)), ..AtOnce::default() });
    for (min, passes) in [(70.0, true), (70.5, false)] {
        let mut state = one(limit(min), &[place(0, "a", 10.0)]);
        other(&mut state, "o", Safeguards::default(), &[place(0, "b", 20.0), place(1, "c", 40.0)]);
        applied(target(&mut state, "o", "b"), ago(1));
        let found = ask(&state, "r", "a");
        assert_eq!(found.is_none(), passes);
        if let Some(found) = found {
            assert_eq!(found.what, Reason::TooLittleCapacity { left: 70.0, min: 70.5 });
        }
    }
}

/// Two rollouts that each hold a domain and want a third one, under a limit of two: whoever begins takes all that its wave needs.
#[test]
fn a_wave_takes_all_of_its_domains_when_it_begins() {
    let mut state = one(domains(2), &[place(0, "eu", 1.0), in_region("ap-south-1", place(0, "ap", 1.0))]);
    let theirs = [in_region("us-east-1", place(0, "us", 1.0)), in_region("ap-south-1", place(0, "ap-2", 1.0))];
    other(&mut state, "o", domains(2), &theirs);
    applied(target(&mut state, "r", "eu"), ago(1));
    let claimed = exposure(&state).get(&"r".into(), &id("ap")).unwrap().motion;
    assert_eq!(claimed, Motion::Claimed);
    // The second one may not even begin, and the first one goes to its end.
    assert!(ask(&state, "o", "us").is_some());
    assert_eq!(ask(&state, "r", "ap"), None);
    applied(target(&mut state, "r", "ap"), ago(1));
    state.rollouts.get_mut(&"r".into()).unwrap().gates.insert(0);
    assert_eq!(ask(&state, "o", "us"), None);
}

#[test]
fn the_window_holds_at_the_moment_of_issue() {
    let reach = |max| Reach { max_targets: Some(set(max)), ..Reach::default() };
    let windowed = |max| {
        let window =
            ReachWindow { per: hours(1), agent: Reach::default(), pipeline: Reach::default(), fleet: reach(max) };
        with(BlastRadius { window: Some(window), ..BlastRadius::default() })
    };
    let mut state = one(windowed(2), &places(2));
    other(&mut state, "o", Safeguards::default(), &[place(0, "x", 1.0)]);
    applied(target(&mut state, "o", "x"), ago(10));
    assert_eq!(ask(&state, "r", "c0"), None);
    applied(target(&mut state, "r", "c0"), ago(5));
    let found = ask(&state, "r", "c1").unwrap();
    assert_eq!(found.follows, Consequence::Waits { until: Some(ago(10 - 60)) });
    // Those let go in one breath count here, too.
    let state = one(windowed(1), &places(2));
    let exposure = exposure(&state);
    let mut moment = Moment::new(r(&state), 0, &exposure, NOW).unwrap();
    moment.begin(&id("c0"), 1);
    assert_eq!(moment.judge(&id("c0"), 1), None);
    assert!(moment.judge(&id("c1"), 1).is_some());
    let state = one(windowed(0), &places(1));
    assert_eq!(ask(&state, "r", "c0").unwrap().follows, Consequence::Needs(Autonomy::Forbidden));
}

#[test]
fn a_dry_run_only_records() {
    let mut safeguards = at_once(AtOnce { max_targets: Some(set(0)), ..AtOnce::default() });
    safeguards.guardrails.blast_radius.as_mut().unwrap().dry_run = true;
    assert!(ask(&one(safeguards, &places(1)), "r", "c0").unwrap().dry_run);
}
