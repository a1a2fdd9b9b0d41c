//! What a pipeline that asks for kill drills waits for.

use crate::fixture::*;
use jiff::{SignedDuration, Timestamp};
use wavegate::engine::guardrail::{judge, kill_drill};
use wavegate::model::decision::{Consequence, Reason};
use wavegate::model::drill::{Drill, DrillCheck, DrillPlace};
use wavegate::model::halt::{KillDoor, KillMode};
use wavegate::model::safeguards::{Guardrails, KillDrill, Safeguards};
use wavegate::model::state::State;
use wavegate::model::time::Millis;

const DAY: u64 = 24 * 3600;

fn asked() -> Safeguards {
    let rule = KillDrill { max_age: set(Millis::from_secs(30 * DAY)) };
    Safeguards {
        guardrails: Guardrails { kill_drill: guardrail(rule), ..Guardrails::default() },
        ..Safeguards::default()
    }
}

fn drill(at: Timestamp, passed: bool, place: DrillPlace) -> Drill {
    let check = DrillCheck {
        door: KillDoor::Cli,
        mode: KillMode::Pause,
        rollout: "r".into(),
        acknowledged_after: Some(Millis(5)),
        evidence: "seen".into(),
        passed,
    };
    Drill { id: "d".into(), place, by: "ann".into(), at, checks: vec![check], not_drilled: Vec::new() }
}

fn days_ago(days: i64) -> Timestamp {
    NOW - SignedDuration::from_hours(24 * days)
}

fn with(drills: Vec<Drill>) -> State {
    let mut state = one(asked(), &places(2));
    state.drills = drills;
    state
}

fn found(state: &State) -> Vec<Reason> {
    let rollout = r(state);
    kill_drill::findings(rollout, state, NOW).into_iter().map(|found| found.what).collect()
}

fn waits(newest: Option<Timestamp>) -> Vec<Reason> {
    vec![Reason::KillDrill { newest, max_age: Millis::from_secs(30 * DAY) }]
}

#[test]
fn without_a_drill_a_start_waits_and_a_later_wave_does_not() {
    let state = with(Vec::new());
    assert_eq!(found(&state), waits(None));
    let rollout = r(&state);
    let at_first = judge::waits(&state, rollout, 0, NOW);
    assert_eq!(at_first[0].follows, Consequence::Waits { until: None });
    assert_eq!((at_first.len(), at_first[0].cause.as_ref().unwrap().line), (1, 7));
    assert_eq!(judge::waits(&state, rollout, 1, NOW), []);
}

#[test]
fn a_drill_that_passed_counts_for_as_long_as_the_pipeline_says_wherever_it_was_held() {
    let sandbox = DrillPlace::Sandbox { pipeline: "s".into() };
    for place in [DrillPlace::Embedded, sandbox] {
        assert_eq!(found(&with(vec![drill(days_ago(30), true, place.clone())])), []);
        let old = days_ago(30) - SignedDuration::from_millis(1);
        assert_eq!(found(&with(vec![drill(old, true, place)])), waits(Some(old)));
    }
}

#[test]
fn what_failed_was_empty_or_lies_in_the_future_does_not_count() {
    assert_eq!(found(&with(vec![drill(days_ago(1), false, DrillPlace::Embedded)])), waits(None));
    let mut empty = drill(days_ago(1), true, DrillPlace::Embedded);
    empty.checks.clear();
    assert_eq!(found(&with(vec![empty])), waits(None));
    let tomorrow = drill(days_ago(-1), true, DrillPlace::Embedded);
    assert_eq!(found(&with(vec![tomorrow.clone()])), waits(None));
    // An honest one beside it does.
    assert_eq!(found(&with(vec![drill(days_ago(2), true, DrillPlace::Embedded), tomorrow])), []);
    // A failed one takes nothing from one that passed before.
    let both = vec![drill(days_ago(3), true, DrillPlace::Embedded), drill(days_ago(1), false, DrillPlace::Embedded)];
    assert_eq!(found(&with(both)), []);
}

#[test]
fn who_does_not_ask_does_not_wait_and_a_dry_run_only_records() {
    let state = one(Safeguards::default(), &places(1));
    assert_eq!(found(&state), []);
    let mut safeguards = asked();
    safeguards.guardrails.kill_drill.as_mut().unwrap().dry_run = true;
    let state = one(safeguards, &places(1));
    let found = kill_drill::findings(r(&state), &state, NOW);
    assert!(found[0].dry_run);
}
