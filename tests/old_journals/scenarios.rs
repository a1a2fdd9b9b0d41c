//! The journals of the corpus: what each of them goes through. In virtual time over the embedded world, so that a second run writes
//! the same records.

use super::sim::{self, Change, Harness, V2, V2_BAD};
use std::path::Path;
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation};
use wavegate::engine::decide::Input;
use wavegate::model::event::Outcome;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::pipeline::{Compare, Worse};
use wavegate::model::time::Millis;

/// Takes longer than its deadline of an hour.
const SLOW: &str = "Metadata:\n  Sim: {UpdateSeconds: 4000}\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 33}\n";
/// Fails, and its rollback fails too until it is continued for the first time.
const FAILS_ROLLBACK: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 34}\n  Broken:\n    Type: Sim::FailsRollback\n    Properties: {Tries: 1}\n";

pub const NAMES: [&str; 12] = [
    "paused_and_succeeded",
    "reverted",
    "killed_taken_over_reverted",
    "stuck_conflict",
    "created_reverted",
    "overdue",
    "rollback_continued",
    "open_in_a_wave",
    "every_word",
    "asked",
    "compared",
    "doors",
];

/// Lives through the scenario of that name and leaves its journal in `to`.
pub fn write(name: &str, to: &Path) {
    if name == "asked" {
        return super::asked::write(to);
    }
    if name == "doors" {
        return super::doors::write(to);
    }
    if name == "every_word" {
        return super::words::write(to);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        match name {
            "paused_and_succeeded" => paused_and_succeeded().await,
            "reverted" => ended(1, &[1, 2], Change::update(V2_BAD), Outcome::Reverted).await,
            "killed_taken_over_reverted" => killed_taken_over_reverted().await,
            "stuck_conflict" => stuck_conflict().await,
            "created_reverted" => ended(4, &[1, 1], Change::create(V2_BAD), Outcome::Reverted).await,
            "overdue" => ended(5, &[1], Change::update(SLOW), Outcome::Succeeded).await,
            "rollback_continued" => ended(6, &[1, 1], Change::update(FAILS_ROLLBACK), Outcome::Reverted).await,
            "open_in_a_wave" => open_in_a_wave().await,
            "compared" => compared().await,
            other => panic!("no scenario {other}"),
        }
        .copy_journal(to);
    });
}

async fn ended(seed: u64, waves: &[usize], change: Change, outcome: Outcome) -> Harness {
    let mut h = Harness::new(seed, waves).await;
    h.propose(change).await;
    assert_eq!(h.run_to_end().await, outcome);
    h
}

/// A person pauses and resumes it; then the first execution is lost on its way, and tried again under another name.
async fn paused_and_succeeded() -> Harness {
    let mut h = Harness::new(2, &[1, 2]).await;
    h.world.inject(Operation::ExecuteChangeSet, Fault::AmbiguousBeforeEffect, 1);
    h.propose(Change::update(V2)).await;
    h.input(Input::Pause { rollout: "r-test".into(), by: "anna".into() }).await;
    h.run_for(Duration::from_secs(60)).await;
    h.input(Input::Resume { rollout: "r-test".into(), by: "anna".into() }).await;
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
    h
}

/// On-call kills it in the second wave; while that is cancelled and taken back, a second daemon takes over. Two people lift the kill.
async fn killed_taken_over_reverted() -> Harness {
    let mut h = in_second_wave(3, &[1, 4]).await;
    h.input(Input::Kill(kill())).await;
    h.crash_at(h.seq() + 3).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    for by in ["anna", "ben"] {
        h.input(Input::Lift { kill: "k-1".into(), by: by.into() }).await;
    }
    h
}

/// A person mends a cell by hand; the revert leaves their work alone.
async fn stuck_conflict() -> Harness {
    let mut h = Harness::new(8, &[1, 2]).await;
    h.propose(Change::update(V2_BAD)).await;
    h.run_until(|core| core.state().rollouts.values().any(|r| r.wave_states(0).any(|t| t.is_applied()))).await;
    let first = h.cells().remove(0);
    h.edit(&first, &V2.replace("30", "45"));
    assert_eq!(h.run_to_end().await, Outcome::Stuck);
    h
}

/// Not over: what a daemon of the next release finds that is started in the middle of a rollout.
async fn open_in_a_wave() -> Harness {
    in_second_wave(7, &[1, 4]).await
}

/// Nothing but the comparison with untouched cells finds it.
async fn compared() -> Harness {
    let mut plan = sim::plan(&[1, 2], &Change::update(V2_BAD));
    plan.health.compare = Some(Compare { history: Millis::from_secs(1800), ..Compare::default() });
    plan.health.lag = Some(Millis::from_secs(5));
    let metric = &mut plan.health.metrics[0];
    (metric.fail_when, metric.compare) = (None, Some(Worse::Higher));
    let mut h = Harness::new(9, &[1, 2]).await;
    h.propose_plan(plan).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    h
}

async fn in_second_wave(seed: u64, waves: &[usize]) -> Harness {
    let mut h = Harness::new(seed, waves).await;
    h.propose(Change::update(V2)).await;
    h.run_until(|core| core.state().rollouts.values().any(|r| r.wave_states(1).any(|t| t.phase.name() == "running")))
        .await;
    h
}

fn kill() -> Kill {
    Kill {
        id: "k-1".into(),
        scope: KillScope::Environment("production".into()),
        mode: KillMode::Revert,
        by: "on-call".into(),
        door: KillDoor::Cli,
        at: "2026-11-21T08:10:00Z".parse().unwrap(),
        reason: "errors on the status page".into(),
    }
}
