//! What one rollout may reach, and all of them within a time.

use crate::fixture::*;
use wavegate::engine::guardrail::blast_radius;
use wavegate::engine::guardrail::exposure::Exposure;
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Cause, Consequence, Found, Measure, Reason, SumOf};
use wavegate::model::event::Outcome;
use wavegate::model::preview::PreviewCounts;
use wavegate::model::safeguards::{AtOnce, BlastRadius, Guardrails, Reach, ReachWindow, Safeguards};
use wavegate::model::state::State;

const FORBIDDEN: Consequence = Consequence::Needs(Autonomy::Forbidden);

pub fn with(rule: BlastRadius) -> Safeguards {
    let guardrails = Guardrails { blast_radius: guardrail(rule), ..Guardrails::default() };
    Safeguards { guardrails, ..Safeguards::default() }
}

fn of_rollout(rollout: Reach) -> Safeguards {
    with(BlastRadius { rollout, ..BlastRadius::default() })
}

fn targets(max: u32) -> Reach {
    Reach { max_targets: Some(set(max)), ..Reach::default() }
}

fn look(safeguards: Safeguards, places: &[Place]) -> Vec<Found> {
    blast_radius::rollout(r(&one(safeguards, places)))
}

#[test]
fn a_rollout_may_reach_as_many_targets_as_the_limit_and_no_more() {
    assert_eq!(look(of_rollout(targets(3)), &places(3)), []);
    let what = Reason::RolloutTooLarge { measure: Measure::Targets, reaches: 4.0, max: 3.0 };
    let rule = "guardrails.blast_radius.rollout.max_targets".to_owned();
    let cause = Some(Cause { file: "p.yaml".into(), line: 7, rule });
    let found = Found { what, cause, follows: FORBIDDEN, dry_run: false };
    assert_eq!(look(of_rollout(targets(3)), &places(4)), [found]);
    assert_eq!(look(of_rollout(targets(0)), &places(1)).len(), 1);
}

#[test]
fn no_limit_and_no_safeguards_ask_nothing() {
    assert_eq!(look(Safeguards::default(), &places(9)), []);
    let mut old = plan("r", Safeguards::default(), &places(9));
    old.safeguards = None;
    let mut state = State::default();
    propose(&mut state, old);
    assert_eq!(blast_radius::rollout(r(&state)), []);
}

#[test]
fn resources_count_as_classified_or_as_counted_whichever_is_more() {
    let safeguards = || of_rollout(Reach { max_resources: Some(set(5)), ..Reach::default() });
    let mut state = one(safeguards(), &places(2));
    target(&mut state, "r", "c0").counts = PreviewCounts { added: 1, modified: 1, replaced: 1, removed: 1 };
    assert_eq!(blast_radius::rollout(r(&state)), []);
    target(&mut state, "r", "c1").classified = Some(Box::new(classified(&[in_place(), in_place()])));
    let found = blast_radius::rollout(r(&state));
    assert_eq!(found[0].what, Reason::RolloutTooLarge { measure: Measure::Resources, reaches: 6.0, max: 5.0 });
}

#[test]
fn a_cells_traffic_counts_once_and_sums_are_not_spoiled_by_rounding() {
    let limit = |max| of_rollout(Reach { max_percent_of_traffic: Some(set(max)), ..Reach::default() });
    let cells: Vec<Place> = (0..3).map(|n| place(0, format!("c{n}"), 0.1)).collect();
    assert_eq!(look(limit(0.3), &cells), []);
    assert_eq!(look(limit(0.29), &cells).len(), 1);
    let mut two_stacks = plan("r", limit(10.0), &[place(0, "c", 10.0)]);
    let mut second = two_stacks.targets[&id("c")].clone();
    second.key = "other".into();
    two_stacks.targets.insert("c/other".into(), second);
    let mut state = State::default();
    propose(&mut state, two_stacks);
    assert_eq!(blast_radius::rollout(r(&state)), []);
}

#[test]
fn what_is_no_number_is_too_much() {
    let limit = of_rollout(Reach { max_percent_of_traffic: Some(set(50.0)), ..Reach::default() });
    assert_eq!(look(limit, &[place(0, "c", f64::NAN)]).len(), 1);
}

#[test]
fn a_dry_run_only_records() {
    let mut safeguards = of_rollout(targets(1));
    safeguards.guardrails.blast_radius.as_mut().unwrap().dry_run = true;
    let found = look(safeguards, &places(2));
    assert!(found.len() == 1 && found[0].dry_run);
}

#[test]
fn a_wave_that_would_wait_for_itself_is_refused() {
    let at_once = AtOnce { max_failure_domains: Some(set(1)), ..AtOnce::default() };
    let safeguards = || with(BlastRadius { at_once: at_once.clone(), ..BlastRadius::default() });
    let apart = [place(0, "a", 1.0), in_region("us-east-1", place(1, "b", 1.0))];
    assert_eq!(look(safeguards(), &apart), []);
    let together = [place(0, "a", 1.0), in_region("us-east-1", place(0, "b", 1.0))];
    let found = look(safeguards(), &together);
    let wants = "eu-west-1, us-east-1".to_owned();
    let what = Reason::FailureDomainsBusy { wants, busy: Default::default(), max: 1 };
    assert_eq!((&found[0].what, found[0].follows), (&what, FORBIDDEN));
}

#[test]
fn a_wave_that_leaves_too_few_customers_is_refused() {
    let at_once = AtOnce { min_capacity_percent: Some(set(70.0)), ..AtOnce::default() };
    let safeguards = || with(BlastRadius { at_once: at_once.clone(), ..BlastRadius::default() });
    assert_eq!(look(safeguards(), &[place(0, "a", 20.0), place(0, "b", 10.0), place(1, "c", 30.0)]), []);
    let found = look(safeguards(), &[place(0, "a", 20.0), place(0, "b", 10.5)]);
    let what = Reason::TooLittleCapacity { left: 69.5, min: 70.0 };
    assert_eq!((&found[0].what, found[0].follows), (&what, FORBIDDEN));
}

fn windowed(agent: Reach, pipeline: Reach, fleet: Reach) -> Safeguards {
    with(BlastRadius { window: Some(ReachWindow { per: hours(24), agent, pipeline, fleet }), ..BlastRadius::default() })
}

/// Rollout `r` with so many targets, after earlier ones of one target each, touched so many minutes ago.
fn after(safeguards: Safeguards, targets: usize, earlier: &[i64]) -> State {
    let mut state = one(safeguards, &places(targets));
    for (n, minutes) in earlier.iter().enumerate() {
        let (rollout, cell) = (format!("e{n}"), format!("e{n}"));
        propose(&mut state, plan(&rollout, Safeguards::default(), &[place(0, cell.as_str(), 2.0)]));
        applied(target(&mut state, &rollout, &cell), ago(*minutes));
        ended(&mut state, &rollout, Outcome::Succeeded);
    }
    state
}

fn look_back(state: &State) -> Vec<Found> {
    blast_radius::window(r(state), &Exposure::of(state, ago(60 * 24 * 30)), NOW)
}

#[test]
fn many_small_rollouts_add_up_within_the_window() {
    let fleet = || windowed(Reach::default(), Reach::default(), targets(5));
    assert_eq!(look_back(&after(fleet(), 2, &[10, 20, 30])), []);
    let found = look_back(&after(fleet(), 2, &[10, 20, 30, 40]));
    let what = Reason::WindowTooLarge {
        of: SumOf::Fleet,
        measure: Measure::Targets,
        used: 4.0,
        adds: 2.0,
        max: 5.0,
        per: hours(24),
    };
    // One of the four must be a day ago: the one of forty minutes ago comes first.
    let until = Some(ago(40 - 24 * 60));
    assert_eq!((&found[0].what, found[0].follows), (&what, Consequence::Waits { until }));
    assert_eq!(rules(&found)[0].0, "guardrails.blast_radius.window.fleet.max_targets");
}

#[test]
fn what_left_the_window_counts_no_longer_and_the_future_counts() {
    let fleet = || windowed(Reach::default(), Reach::default(), targets(2));
    assert_eq!(look_back(&after(fleet(), 1, &[24 * 60, 30])), []);
    assert_eq!(look_back(&after(fleet(), 1, &[24 * 60 - 1, 30])).len(), 1);
    // The clock was set back since.
    assert_eq!(look_back(&after(fleet(), 1, &[-600, 30])).len(), 1);
}

#[test]
fn what_alone_is_more_than_the_window_bears_is_refused() {
    let found = look_back(&after(windowed(Reach::default(), targets(3), Reach::default()), 4, &[]));
    assert_eq!(rules(&found), [("guardrails.blast_radius.window.pipeline.max_targets", FORBIDDEN)]);
}

#[test]
fn another_agents_and_another_pipelines_changes_are_not_this_ones() {
    let limits = || windowed(targets(1), targets(1), targets(9));
    let mut state = after(limits(), 1, &[10]);
    assert_eq!(look_back(&state).len(), 2);
    let mut other = plan("e0", Safeguards::default(), &[place(0, "e0", 2.0)]);
    other.change_set.agent = "agent-2".into();
    other.pipeline.name = "q".into();
    state.rollouts.get_mut(&"e0".into()).unwrap().plan = other.into();
    assert_eq!(look_back(&state), []);
    // Another way to write the name is not another agent.
    let mut same = plan("e0", Safeguards::default(), &[place(0, "e0", 2.0)]);
    same.change_set.agent = " AGENT-1".into();
    same.pipeline.name = "q".into();
    state.rollouts.get_mut(&"e0".into()).unwrap().plan = same.into();
    assert_eq!(rules(&look_back(&state))[0].0, "guardrails.blast_radius.window.agent.max_targets");
}

#[test]
fn a_cell_is_reached_once_however_often_it_is_changed() {
    let share = |max| Reach { max_percent_of_traffic: Some(set(max)), ..Reach::default() };
    let fleet = || windowed(Reach::default(), Reach::default(), share(5.0));
    let mut state = one(fleet(), &[place(0, "x", 3.0)]);
    for (rollout, minutes) in [("e0", 50), ("e1", 40)] {
        propose(&mut state, plan(rollout, Safeguards::default(), &[place(0, "x", 3.0)]));
        applied(target(&mut state, rollout, "x"), ago(minutes));
        ended(&mut state, rollout, Outcome::Succeeded);
    }
    assert_eq!(look_back(&state), []);
    for (rollout, cell, minutes) in [("e2", "y", 30), ("e3", "y", 20)] {
        propose(&mut state, plan(rollout, Safeguards::default(), &[place(0, cell, 3.0)]));
        applied(target(&mut state, rollout, cell), ago(minutes));
        ended(&mut state, rollout, Outcome::Succeeded);
    }
    // 3 of `x` and 3 of `y` are used; `x` adds nothing. `y` leaves with the second of its touches.
    let found = look_back(&state);
    let Reason::WindowTooLarge { used, adds, .. } = found[0].what else { panic!("{found:?}") };
    assert_eq!((used, adds), (6.0, 0.0));
    assert_eq!(found[0].follows, Consequence::Waits { until: Some(ago(20 - 24 * 60)) });
}

#[test]
fn a_rollout_on_its_way_adds_only_what_is_left_of_it() {
    let mut state = after(windowed(Reach::default(), Reach::default(), targets(4)), 3, &[10]);
    applied(target(&mut state, "r", "c0"), ago(5));
    assert_eq!(look_back(&state), []);
    let mut state = after(windowed(Reach::default(), Reach::default(), targets(3)), 3, &[10]);
    applied(target(&mut state, "r", "c0"), ago(5));
    let found = look_back(&state);
    let Reason::WindowTooLarge { used, adds, .. } = found[0].what else { panic!("{found:?}") };
    assert_eq!((used, adds), (2.0, 2.0));
}
