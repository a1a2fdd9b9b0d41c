//! Whole rollouts over the embedded world: the real engine, journal, issuer and driver, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use sim::{Change, Harness, V1, V2, V2_BAD, V2_FAILS};
use std::time::Duration;
use tokio::time::Instant;
use wavegate::cloud::sim::{Fault, Operation};
use wavegate::engine::decide::{Input, Refusal};
use wavegate::model::event::{Event, Outcome, StartSeen};
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};

fn kill(mode: KillMode) -> Input {
    Input::Kill(Kill {
        id: "k-1".into(),
        scope: KillScope::All,
        mode,
        by: "on-call".into(),
        door: KillDoor::Cli,
        at: jiff::Timestamp::UNIX_EPOCH,
        reason: String::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_healthy_change_goes_through_every_wave() {
    let mut h = Harness::new(1, &[1, 2, 3]).await;
    h.propose(Change::update(V2)).await;
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
    for cell in h.cells() {
        assert_eq!(h.template(&cell), V2, "{cell}");
    }
    h.assert_no_leftovers();
}

#[tokio::test(start_paused = true)]
async fn a_bad_change_is_reverted_last_wave_first() {
    let mut h = Harness::new(2, &[1, 2, 3]).await;
    let before: Vec<_> = h.cells().iter().map(|c| h.content(c)).collect();
    h.propose(Change::update(V2_BAD)).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    let after: Vec<_> = h.cells().iter().map(|c| h.content(c)).collect();
    assert_eq!(before, after);
    h.assert_reverted_last_wave_first();
    h.assert_no_leftovers();
}

#[tokio::test(start_paused = true)]
async fn a_failing_update_is_rolled_back_by_the_provider_and_reverts_the_wave() {
    let mut h = Harness::new(3, &[1, 2]).await;
    h.propose(Change::update(V2_FAILS)).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    for cell in h.cells() {
        assert_eq!(h.template(&cell), V1, "{cell}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_resolved_by_the_token() {
    for (seed, fault) in [(4, Fault::AmbiguousAfterEffect), (5, Fault::AmbiguousBeforeEffect), (6, Fault::Throttle)] {
        let mut h = Harness::new(seed, &[1, 2]).await;
        for operation in [Operation::ExecuteChangeSet, Operation::CreateChangeSet, Operation::DeleteChangeSet] {
            h.world.inject(operation, fault, 2);
        }
        h.propose(Change::update(V2)).await;
        assert_eq!(h.run_to_end().await, Outcome::Succeeded, "{fault:?}");
        h.assert_executed_once_per_token();
        h.assert_no_leftovers();
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_lets_nothing_forward_start_after_its_acknowledgement() {
    for mode in [KillMode::Pause, KillMode::Halt, KillMode::Revert] {
        let mut h = Harness::new(7, &[1, 4]).await;
        h.propose(Change::update(V2)).await;
        h.run_until(|core| {
            core.state().rollouts.values().any(|r| r.wave_states(1).any(|t| t.phase.name() == "running"))
        })
        .await;
        h.input(kill(mode)).await;
        h.run_until(|core| core.state().kills.values().all(|k| k.acknowledged)).await;
        let acknowledged = h.world.wall();
        h.run_for(Duration::from_secs(900)).await;
        assert_eq!(h.forward_executions_after(acknowledged), 0, "{mode}");
        if mode == KillMode::Revert {
            assert_eq!(h.outcome(), Some(Outcome::Reverted));
        }
        if mode == KillMode::Halt {
            assert!(h.calls(Operation::CancelUpdate) > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_s_fix_is_not_overwritten() {
    let mut h = Harness::new(8, &[1, 2]).await;
    h.propose(Change::update(V2_BAD)).await;
    h.run_until(|core| core.state().rollouts.values().any(|r| r.wave_states(0).any(|t| t.is_applied()))).await;
    let first = h.cells().remove(0);
    h.edit(&first, &V2.replace("30", "45"));
    assert_eq!(h.run_to_end().await, Outcome::Stuck);
    assert!(h.template(&first).contains("45"));
}

#[tokio::test(start_paused = true)]
async fn a_target_belongs_to_one_rollout_at_a_time() {
    let mut h = Harness::new(11, &[1, 2]).await;
    h.propose(Change::update(V2)).await;
    let mut plan = sim::plan(&[1], &Change::update(V2_BAD));
    plan.rollout = "r-second".into();
    let digest = plan.digest().unwrap();
    let second = Input::Propose { plan: std::sync::Arc::new(plan), digest, by: "test".into(), handed_in: None };
    assert!(matches!(h.try_input(second).await, Err(Refusal::TargetOwned { .. })));
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_created_stack_is_deleted_on_revert_and_its_shell_on_cancel() {
    let mut h = Harness::new(9, &[1, 1]).await;
    h.propose(Change::create(V2_BAD)).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    assert!(h.created_stacks().is_empty(), "{:?}", h.created_stacks());
}

#[tokio::test(start_paused = true)]
async fn a_created_stack_is_not_taken_for_an_empty_one() {
    let mut h = Harness::new(12, &[1]).await;
    // The stack is created, and the answer is lost; until its change set is deleted, the creation is done.
    h.world.inject(Operation::ExecuteChangeSet, Fault::AmbiguousAfterEffect, 1);
    h.world.inject(Operation::DeleteChangeSet, Fault::Unavailable, 6);
    h.propose(Change::create(V2)).await;
    h.run_until(|core| core.state().rollouts.values().any(|r| r.wave_states(0).any(|t| t.phase.name() == "intended")))
        .await;
    // The next look shows the stack as it was before: empty, REVIEW_IN_PROGRESS.
    h.world.inject(Operation::Describe, Fault::Stale(2), 1);
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
    assert_eq!((h.calls(Operation::ExecuteChangeSet), h.calls(Operation::DeleteStack)), (1, 0));
    h.assert_executed_once_per_token();
}

fn not_started(h: &Harness) -> usize {
    h.events().iter().filter(|event| matches!(event, Event::OperationNotStarted { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_comes_late_is_not_called_one_that_never_started() {
    let mut h = Harness::new(13, &[1, 1]).await;
    // Nothing can fence a deletion. The provider begins it twenty seconds after the answer was given up.
    h.world.inject(Operation::DeleteStack, Fault::DelayedEffect(Duration::from_secs(20)), 1);
    h.propose(Change::create(V2_BAD)).await;
    assert_eq!(h.run_to_end().await, Outcome::Reverted);
    assert_eq!(not_started(&h), 0);
    assert!(h.created_stacks().is_empty(), "{:?}", h.created_stacks());
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_found_though_its_stack_was_deleted_meanwhile() {
    let mut h = Harness::new(14, &[1]).await;
    h.world.inject(Operation::ExecuteChangeSet, Fault::AmbiguousAfterEffect, 1);
    h.world.inject(Operation::DeleteChangeSet, Fault::Unavailable, 4);
    h.propose(Change::update(V2)).await;
    h.run_until(|core| core.state().rollouts.values().any(|r| r.wave_states(0).any(|t| t.phase.name() == "intended")))
        .await;
    h.run_for(Duration::from_secs(1)).await;
    let first = h.cells().remove(0);
    h.remove(&first);
    h.run_for(Duration::from_secs(120)).await;
    assert_eq!(not_started(&h), 0);
    assert!(h.events().iter().any(|e| matches!(e, Event::OperationStarted { seen: StartSeen::Found, .. })));
}

/// More questions than the loop can answer, from other threads: it takes what the world answers in between all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_flood_of_questions_does_not_keep_the_worlds_answers_waiting() {
    let mut h = Harness::new(7, &[30, 30]).await;
    let flood: Vec<_> = (0..200)
        .map(|_| {
            let orders = h.orders();
            tokio::spawn(async move {
                while orders.look(|_| std::thread::sleep(Duration::from_micros(300))).await.is_ok() {}
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    h.propose(Change::update(V2)).await;
    let captured = async {
        // Many answers: the runtime lets a task that never waits have some hundred of them.
        while h.events().iter().filter(|event| matches!(event, Event::RestorePointCaptured { .. })).count() < 60 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), captured).await;
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(in_time.is_ok(), "nothing that the world answered was taken for a minute");
}

/// Whoever stops does not stand in the queue of those who ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stop_order_waits_behind_no_question() {
    let h = Harness::new(7, &[1]).await;
    let flood: Vec<_> = (0..200)
        .map(|_| {
            let orders = h.orders();
            tokio::spawn(async move {
                while orders.look(|_| std::thread::sleep(Duration::from_millis(10))).await.is_ok() {}
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    h.orders().look(|_| ()).await.unwrap();
    let question = began.elapsed();
    let began = Instant::now();
    h.orders().input(kill(KillMode::Pause)).await.unwrap().unwrap();
    let stop = began.elapsed();
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(stop < question, "a stop order took {stop:?}, a question {question:?}");
}

/// A loop that is told to end first takes the stop orders that are there: the next daemon finds them on record.
#[tokio::test(start_paused = true)]
async fn a_stop_order_that_came_before_the_end_is_on_record() {
    let h = Harness::new(7, &[1]).await;
    let orders = h.orders();
    let stop = |id: &str, mode| {
        let Input::Kill(order) = kill(mode) else { unreachable!() };
        orders.input(Input::Kill(Kill { id: id.into(), ..order }))
    };
    // They take turns: the end is taken before the third one.
    let (one, two, three, ()) = tokio::join!(
        stop("k-1", KillMode::Pause),
        stop("k-2", KillMode::Halt),
        stop("k-3", KillMode::Revert),
        orders.stop()
    );
    assert_eq!((one, two, three), (Ok(Ok(())), Ok(Ok(())), Ok(Ok(()))));
    assert_eq!(h.events().iter().filter(|event| matches!(event, Event::KillRequested { .. })).count(), 3);
}
