//! What holds for every fleet: a thousand cases each where the build is fast (`tests/run properties`), a few where it is not.

use super::world::{ALPHA, HISTORY, SHORT, Told, World, health, run};
use proptest::prelude::*;
use wavegate::model::verdict::{Problem, Verdict};

fn verdicts(told: &[Told]) -> Vec<Verdict> {
    told.iter().map(|told| told.verdict).collect()
}

fn reverts(told: &[Told]) -> bool {
    let by_comparison =
        |told: &Told| told.judgement.findings.iter().any(|f| matches!(f.problem, Problem::WorseThanUntouched { .. }));
    told.iter().any(by_comparison)
}

/// The evidence stays below this part of what a revert needs. Where chance alone has brought it further, which Ville's inequality bounds
/// and does not forbid, a little more may be enough.
fn stays_below(told: &[Told], part: f64) -> bool {
    told.iter().all(|told| told.ln_e < part * (1.0 / ALPHA).ln())
}

/// What happens to some cells in some minutes.
#[derive(Clone, Debug)]
struct Trouble {
    cell: usize,
    from: usize,
    minutes: usize,
    times: f64,
    silent: bool,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    (0..5_usize, 0..SHORT, 1..SHORT, 1.0..20.0_f64, any::<bool>())
        .prop_map(|(cell, from, minutes, times, silent)| Trouble { cell, from, minutes, times, silent })
}

fn world() -> impl Strategy<Value = World> {
    let fleet = (3..6_usize, 1..3_usize, prop_oneof![Just(10.0), Just(100.0), Just(1000.0)], any::<u64>());
    (fleet, prop::collection::vec(trouble(), 0..3)).prop_map(|((cells, changed, requests, seed), troubles)| {
        let mut world = World::calm(cells, changed, requests, seed).short();
        for trouble in troubles {
            let cell = trouble.cell % cells;
            for minute in trouble.from..(trouble.from + trouble.minutes).min(SHORT) {
                match trouble.silent {
                    true => world.points[cell][HISTORY + minute] = None,
                    false => world.worsen(cell, minute, trouble.times),
                }
            }
        }
        world
    })
}

/// A thousand take a debug build ten minutes.
const CASES: u32 = if cfg!(debug_assertions) { 40 } else { 1_000 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn the_unit_of_a_metric_changes_no_verdict(world in world(), power in -20..20_i32) {
        let scaled = World { unit: 2_f64.powi(power), ..world.clone() };
        prop_assert_eq!(verdicts(&run(&world, &health(2.0), None)), verdicts(&run(&scaled, &health(2.0), None)));
    }

    #[test]
    fn the_names_and_the_order_of_cells_change_no_verdict(world in world(), seed in any::<u64>()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut other = world.clone();
        // Within each group: a changed cell stays changed.
        rng.shuffle(&mut other.points[..world.changed]);
        rng.shuffle(&mut other.points[world.changed..]);
        other.names = (0..world.names.len()).map(|n| format!("{:08x}-{n}", rng.u32(..))).collect();
        prop_assert_eq!(verdicts(&run(&world, &health(2.0), None)), verdicts(&run(&other, &health(2.0), None)));
    }

    #[test]
    fn a_restart_at_any_tick_changes_nothing(world in world(), at in 1..=SHORT) {
        prop_assert_eq!(run(&world, &health(2.0), None), run(&world, &health(2.0), Some(at)));
    }

    #[test]
    fn one_point_never_decides(seed in any::<u64>(), minute in 0..SHORT, times in 1.0..1e6_f64, latency in 1.0..1e6_f64, silent in any::<bool>()) {
        let mut world = World::calm(4, 1, 1000.0, seed).short();
        // What one point adds is bounded, whatever it says.
        let quiet = stays_below(&run(&world, &health(2.0), None), 0.25);
        world.worsen(0, minute, times);
        if let Some(point) = &mut world.points[0][HISTORY + minute] {
            point.2 *= latency;
        }
        if silent {
            world.points[0][HISTORY + minute] = None;
        }
        prop_assert!(!quiet || !reverts(&run(&world, &health(2.0), None)));
    }

    #[test]
    fn dropping_data_never_makes_a_pass(world in world(), dropped in prop::collection::vec(0..SHORT, 1..6), all_others in any::<bool>()) {
        // A gate that asks for little, so that it can pass in a short bake.
        let full = run(&world, &health(10.0), None);
        let mut less = world.clone();
        let (changed, others) = less.points.split_at_mut(world.changed);
        let cells = if all_others { others } else { changed };
        for cell in cells {
            for minute in &dropped {
                cell[HISTORY + minute] = None;
            }
        }
        for (full, less) in full.iter().zip(run(&less, &health(10.0), None)) {
            prop_assert!(less.verdict != Verdict::Pass || full.verdict == Verdict::Pass);
        }
    }
}

/// A shock multiplies counts, and their noise with them: beyond what history has shown, and only the untouched cells tell how far. So
/// what is promised is the budget, not never; about one in twenty thousand was seen.
#[test]
fn a_shock_common_to_all_cells_reverts_within_the_budget() {
    let mut reverted = 0;
    for seed in 0..u64::from(CASES) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::calm(5, 1, 300.0, rng.u64(..)).short();
        let (from, minutes, silent) = (rng.usize(0..SHORT), rng.usize(1..SHORT), rng.bool());
        let (times, slower) = (1.0 + 19.0 * rng.f64(), 1.0 + 4.0 * rng.f64());
        for cell in 0..5 {
            for minute in from..(from + minutes).min(SHORT) {
                world.worsen(cell, minute, times);
                if let Some(point) = &mut world.points[cell][HISTORY + minute] {
                    point.2 *= slower;
                }
                if silent {
                    world.points[cell][HISTORY + minute] = None;
                }
            }
        }
        reverted += u32::from(reverts(&run(&world, &health(2.0), None)));
    }
    assert!(f64::from(reverted) <= ALPHA * f64::from(CASES), "{reverted} of {CASES}");
}
