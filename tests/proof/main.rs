//! The simulation in small: that it repeats, that it is not blind, that it covers every guard. The large runs are those of
//! `examples/simulate.rs`; `docs/proof.md` has their figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod simulation;

use simulation::crash_points;
use simulation::mutants::{MUTANTS, Mutant, hunt};
use simulation::{Options, Report, Scenario, run};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wavegate::guard::{self, Guard};
use wavegate::journal::{Journal, JournalError};
use wavegate::model::event::Event;

/// Guards are removed for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    guard::remove(&[]);
    alone
}

#[test]
fn the_first_seeds_break_nothing() {
    let _alone = alone();
    let mut report = Report::default();
    (0..48).for_each(|seed| report.add(run(&Scenario::of(seed), &Options::default())));
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.rollouts > 40 && report.covered.len() > 200, "{report}");
}

/// Seeds that once showed a defect. What a seed stands for changes when the generators do; then others stand in for them.
#[test]
fn what_was_found_once_is_not_found_again() {
    let _alone = alone();
    for seed in [
        166, 230, 1744, 1978, 3119, 20248, 1_000_110, 1_014_718, 5_017_842, 10_005_868, 20_042_568, 20_074_994,
        30_055_244, 30_056_731, 40_014_061,
    ] {
        let ended = run(&Scenario::of(seed), &Options::default());
        assert!(ended.violations.is_empty(), "seed {seed}: {:?}", ended.violations);
    }
}

#[test]
fn a_seed_repeats_step_for_step() {
    let _alone = alone();
    for seed in [3, 8, 21] {
        let (once, again) =
            (run(&Scenario::of(seed), &Options::default()), run(&Scenario::of(seed), &Options::default()));
        assert_eq!(once.fingerprint, again.fingerprint, "seed {seed}");
        assert_eq!((once.steps, once.faults), (again.steps, again.faults), "seed {seed}");
    }
}

#[test]
fn a_planted_bug_is_found() {
    let _alone = alone();
    guard::remove(&[Guard::WholeBake]);
    let canary = Mutant { without: &[Guard::WholeBake], breaks: &["S11"] };
    assert!(hunt(&canary, 0..60).is_some(), "the checker is blind");
    guard::remove(&[]);
}

#[test]
fn a_death_at_any_write_of_a_run_loses_nothing() {
    let _alone = alone();
    let mut points = 0;
    crash_points::sweep(1, None, |plan, ended| {
        assert!(ended.violations.is_empty(), "{plan:?}: {:?}", ended.violations);
        points += 1;
        points < 60
    });
    assert!(points > 20, "{points}");
}

/// S19: without the chain a changed record is believed.
#[test]
fn a_changed_record_is_found_by_the_chain_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("journal.db");
    let mut journal = Journal::open(&file).unwrap();
    let epoch = journal.take_lead(None, "ada").unwrap();
    let began = Event::LeaderStarted { epoch, holder: "ada".into(), version: "0".into() };
    journal.append(jiff::Timestamp::UNIX_EPOCH, &[began]).unwrap();
    let change = "UPDATE events SET body = replace(body, 'ada', 'bob')";
    rusqlite::Connection::open(&file).unwrap().execute_batch(change).unwrap();
    assert!(matches!(journal.replay(), Err(JournalError::Broken { seq: 1 })));
    guard::remove(&[Guard::ChainedRecords]);
    assert!(journal.replay().is_ok(), "something else than the chain finds it");
    guard::remove(&[]);
}

/// Every guard has a mutant: here, in the model (`tests/model`), or in the test that is named.
#[test]
fn every_guard_has_a_mutant() {
    // The chain is broken below, in a file. A missing fence at a change of leader shows in an order of events that the model finds in
    // seconds and chance does not find in thousands of seeds; and before the issuer of a deposed daemon is asked, the loop here
    // nearly always finds that its lease is gone.
    let elsewhere = [Guard::ChainedRecords, Guard::FenceOnTakeover, Guard::IssuerLeads];
    for guard in Guard::ALL {
        let here = MUTANTS.iter().any(|m| m.without.contains(guard));
        assert!(here || elsewhere.contains(guard), "{} has no mutant", guard.name());
    }
}
