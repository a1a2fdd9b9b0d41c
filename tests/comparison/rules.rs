//! What a person relies on, one by one.

use super::world::{BAKE, HISTORY, SHORT, World, health, run, run_with};
use wavegate::engine::comparison::attribute;
use wavegate::model::pipeline::{Comparison, Threshold};
use wavegate::model::verdict::{Finding, Judgement, Problem, Verdict};

fn fails_at(world: &World) -> Option<usize> {
    run(world, &health(2.0), None).iter().position(|told| told.verdict == Verdict::Fail)
}

fn with_errors(requests: f64, times: f64, seed: u64) -> World {
    let mut world = World::calm(8, 1, requests, seed);
    (0..BAKE).for_each(|minute| world.worsen(0, minute, times));
    world
}

#[test]
fn a_healthy_change_passes_where_a_doubling_could_have_been_seen() {
    let told = run(&World::calm(8, 1, 1000.0, 1), &health(2.0), None);
    assert_eq!(told.last().unwrap().verdict, Verdict::Pass, "{:?}", told.last());
    assert_eq!(told[2].verdict, Verdict::Inconclusive, "three minutes are not enough to say so");
}

#[test]
fn a_bad_change_is_found_soon() {
    let delays: Vec<usize> = (0..9).map(|seed| fails_at(&with_errors(1000.0, 5.0, seed)).unwrap()).collect();
    assert!(delays.iter().all(|delay| *delay <= 8), "{delays:?}");
}

#[test]
fn ten_requests_a_minute_never_pass_a_gate_that_must_see_a_doubling() {
    for seed in 0..50 {
        let told = run(&World::calm(8, 1, 10.0, seed), &health(2.0), None);
        assert!(told.iter().all(|told| told.verdict != Verdict::Pass), "seed {seed}");
        let last = told.last().unwrap();
        let why = |p: &Problem| matches!(p, Problem::CannotSeeYet { ratio, share } if *ratio >= 2.0 && *share < 1.0);
        assert!(last.judgement.findings.iter().any(|f| f.signal == "errors" && why(&f.problem)), "{last:?}");
    }
}

#[test]
fn a_silent_cell_is_found_and_a_silent_fleet_is_not_blamed_on_the_change() {
    let mut world = World::calm(8, 1, 100.0, 3);
    (0..BAKE).for_each(|minute| world.points[0][HISTORY + minute] = None);
    assert!(fails_at(&world).is_some_and(|delay| delay <= 6), "{:?}", fails_at(&world));
    world.points.iter_mut().for_each(|cell| cell[HISTORY..].fill(None));
    assert_eq!(fails_at(&world), None);
    assert_ne!(run(&world, &health(2.0), None).last().unwrap().verdict, Verdict::Pass);
}

#[test]
fn without_an_untouched_cell_nothing_is_compared() {
    let mut world = World::calm(3, 3, 1000.0, 4);
    (0..3).for_each(|cell| (0..BAKE).for_each(|minute| world.worsen(cell, minute, 9.0)));
    assert_eq!(fails_at(&world), None);
}

#[test]
fn absurd_numbers_leave_a_record_that_can_be_read_back() {
    // A restart at every other tick reads the record: an infinite number in it would be none any more.
    let absurd = [0.0, -1.0, 5e-324, 1e-200, 1e13, 1e200, f64::MAX];
    for (n, value) in absurd.into_iter().enumerate() {
        for since in [0, HISTORY] {
            let mut world = World::calm(5, 1, 1000.0, 7).short();
            for minute in (since..HISTORY + SHORT).step_by(2) {
                world.points[n % 5][minute] = Some((value, value, value));
                world.points[(n + 1) % 5][minute] = Some((value, 0.0, value));
            }
            for restart in [1, SHORT / 2, SHORT] {
                let told = run(&world, &health(2.0), Some(restart));
                assert!(told.iter().all(|told| told.ln_e.is_finite()), "{value} {since}: {told:?}");
            }
        }
    }
}

#[test]
fn a_point_that_comes_late_is_noted_and_not_used() {
    let world = with_errors(1000.0, 1.0, 5);
    // Of the third minute one untouched and one changed cell's points come two minutes late.
    let hidden =
        |minutes: usize, cell: usize, minute: usize| cell < 2 && minute == HISTORY + 2 && minutes < HISTORY + 5;
    let (late, noted) = run_with(&world, &health(2.0), None, &hidden);
    let mut never = world.clone();
    (0..2).for_each(|cell| never.points[cell][HISTORY + 2] = None);
    let evidence = |told: &[super::world::Told]| told.iter().map(|told| told.ln_e).collect::<Vec<_>>();
    assert_eq!(evidence(&late), evidence(&run(&never, &health(2.0), None)));
    let mut told: Vec<_> = noted.iter().map(|late| (late.metric.as_str(), late.cell.as_str())).collect();
    told.sort_unstable();
    let cells = ["cell-00", "cell-01"];
    assert_eq!(told, ["errors", "latency"].map(|metric| cells.map(|cell| (metric, cell))).concat());
}

#[test]
fn what_most_untouched_cells_break_too_is_not_laid_at_the_changes_door() {
    let threshold = Threshold { op: Comparison::Above, value: 5.0 };
    let breach = |cell: &str, signal: &str| Finding {
        cell: Some(cell.into()),
        signal: signal.into(),
        problem: Problem::Breach { bad: 3, of: 5, threshold, worst: Some(9.0) },
    };
    let judged = |of: &[&str]| Judgement::of(of.iter().map(|cell| breach(cell, "errors")).collect(), Vec::new());
    let changed = || judged(&["eu-1"]);
    let verdict = |untouched: &[&str], of: usize| attribute(changed(), &judged(untouched), of).verdict;
    assert_eq!(verdict(&[], 3), Verdict::Fail);
    assert_eq!(verdict(&["eu-2"], 3), Verdict::Fail, "one of three is its own trouble");
    assert_eq!(verdict(&["eu-2"], 2), Verdict::Fail, "half is not most");
    assert_eq!(verdict(&["eu-2", "eu-2"], 3), Verdict::Fail, "one cell is one cell");
    assert_eq!(verdict(&["eu-2", "eu-3"], 3), Verdict::Inconclusive);
    assert_eq!(verdict(&[], 0), Verdict::Fail, "nobody is left to compare with");
    let other = Judgement::of(vec![breach("eu-2", "latency"), breach("eu-3", "latency")], Vec::new());
    assert_eq!(attribute(changed(), &other, 2).verdict, Verdict::Fail, "another metric excuses nothing");
}

#[test]
fn without_a_comparison_a_cell_worse_than_its_past_holds_and_never_reverts() {
    let mut world = World::calm(3, 3, 1000.0, 6);
    (0..BAKE).for_each(|minute| world.worsen(1, minute, 9.0));
    let told = run(&world, &health(2.0), None);
    let own = |f: &Finding| matches!(f.problem, Problem::WorseThanItsPast { .. });
    let last = told.last().unwrap();
    assert_eq!(last.verdict, Verdict::Inconclusive);
    assert!(last.judgement.findings.iter().any(|f| own(f) && f.cell.as_ref().is_some_and(|c| c.as_str() == "cell-01")));
    let calm = run(&World::calm(3, 3, 1000.0, 6), &health(2.0), None);
    assert!(!calm.iter().flat_map(|told| &told.judgement.findings).any(own));
}
