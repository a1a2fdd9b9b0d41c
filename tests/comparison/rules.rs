//! What a person relies on, one by one.

use super::world::{BAKE, HISTORY, World, health, run};
use wavegate::model::verdict::{Problem, Verdict};

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
