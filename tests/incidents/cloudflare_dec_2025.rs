//! Cloudflare, 5 December 2025: the kill switch itself had a path that was never staged and never exercised. Here it is pulled at every
//! state that a rollout reaches, in every mode, and does what it promises each time.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, plan, runs, targets};
use crate::wire::Wires;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation};
use wavegate::guard::Guard;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::KillMode;
use wavegate::model::plan::Plan;
use wavegate::model::time::Millis;

/// One cell, then one more, with a short bake: few records, and every phase among them.
fn small(template: &'static str) -> Plan {
    let mut plan = plan(&[1, 1], template);
    plan.health.interval = Millis::from_secs(60);
    for wave in &mut plan.waves {
        (wave.bake, wave.bake_datapoints) = (Millis::from_secs(60), 1);
    }
    plan
}

/// As `BAD`, at once: the records of a revert are among the states too.
const BAD_AT_ONCE: &str = "Metadata:\n  Sim:\n    Effects: [{Metric: 5xx, Factor: 400, After: 0}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31, DelaySeconds: {Ref: Delay}}\n";

async fn roll_out(plan: &Plan) -> (Stage, Daemon) {
    let (stage, daemon) = Stage::open(71, plan, Wires::default()).await;
    daemon.propose(plan).await;
    (stage, daemon)
}

/// Kills, waits for the acknowledgement and then for longer than all of the rollout would take. The forward operations that began after it.
async fn pull(stage: &Stage, daemon: &Daemon, mode: KillMode) -> usize {
    daemon.kill(mode).await;
    daemon.until("acknowledged", |s| s.kills.values().all(|k| k.acknowledged)).await;
    let acknowledged = stage.when(|e| matches!(e, Event::KillAcknowledged { .. })).unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    stage.began(Direction::Forward).iter().filter(|(at, _)| *at > acknowledged).count()
}

/// Runs side by side: each waits for its disk more than it works.
const SIDE_BY_SIDE: usize = 8;

/// A fresh run, in which the kill comes as soon as record `at` is written.
async fn pull_at(template: &'static str, undisturbed: Outcome, mode: KillMode, at: u64) {
    let plan = small(template);
    let (stage, mut daemon) = roll_out(&plan).await;
    assert!(daemon.reaches(at).await);
    assert_eq!(pull(&stage, &daemon, mode).await, 0, "{mode} at record {at}");
    // The last records are written in one turn: then the kill found nothing open.
    let ended = stage.position(|e| matches!(e, Event::RolloutEnded { .. }));
    if ended.is_some_and(|n| Some(n) < stage.position(|e| matches!(e, Event::KillRequested { .. }))) {
        return assert_eq!(daemon.outcome("r-test").await, undisturbed);
    }
    // Reverts run while it is in force, and one that was asked for by the kill has begun by itself.
    if stage.revert_reason().is_none() {
        assert!(mode != KillMode::Revert, "{mode} at record {at}: it does not go back");
        daemon.send_back("r-test").await;
    }
    let outcome = daemon.outcome("r-test").await;
    assert!(matches!(outcome, Outcome::Reverted | Outcome::Cancelled), "{mode} at record {at}: {outcome:?}");
    assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]), "{mode} at record {at}");
    assert!(stage.objections().is_empty(), "{mode} at record {at}: {:?}", stage.objections());
}

/// How the rollout ends when nobody kills it, and its states: each turn's last record, for an order comes in between two turns.
async fn undisturbed(template: &'static str) -> (Outcome, Vec<u64>) {
    let (stage, daemon) = roll_out(&small(template)).await;
    let outcome = daemon.outcome("r-test").await;
    let times: Vec<_> = stage.record().into_iter().map(|(at, _)| at).collect();
    let last_of_turn = (2..times.len()).filter(|n| times[*n] != times[*n - 1]);
    (outcome, last_of_turn.map(|n| n as u64).collect())
}

fn in_virtual_time<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(run)
}

#[test]
fn the_kill_switch_works_in_every_state() {
    let _guards = Guards::in_place();
    let mut runs = Vec::new();
    for (template, wanted) in [(GOOD, Outcome::Succeeded), (BAD_AT_ONCE, Outcome::Reverted)] {
        let (outcome, states) = in_virtual_time(undisturbed(template));
        assert_eq!(outcome, wanted);
        assert!(states.len() > 15, "{states:?}");
        for mode in [KillMode::Pause, KillMode::Halt, KillMode::Revert] {
            runs.extend(states.iter().map(|at| (template, outcome, mode, *at)));
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((template, outcome, mode, at)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    in_virtual_time(pull_at(template, *outcome, *mode, *at));
                }
            });
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_kill_switch_that_is_not_wired_lets_the_rollout_go_on() {
    let guards = Guards::in_place();
    let mut plan = plan(&[1, 4], GOOD);
    plan.waves[1].max_concurrent = 1;
    for removed in [&[][..], &[Guard::KillStopsForward, Guard::IssuerStops][..]] {
        guards.without(removed);
        let (stage, daemon) = roll_out(&plan).await;
        daemon.until("mid-wave", |s| runs(s, 1)).await;
        let after = pull(&stage, &daemon, KillMode::Pause).await;
        assert_eq!(after, if removed.is_empty() { 0 } else { 3 });
    }
}

/// The kill comes while a call is on its way: it starts a minute later, or never.
#[tokio::test(start_paused = true)]
async fn the_acknowledgement_waits_for_what_is_on_its_way() {
    let guards = Guards::in_place();
    let plan = plan(&[1], GOOD);
    for removed in [&[][..], &[Guard::FenceOnKill, Guard::FenceOnDoubt][..]] {
        guards.without(removed);
        let (stage, daemon) = Stage::open(72, &plan, Wires::default()).await;
        stage.world.inject(Operation::ExecuteChangeSet, Fault::DelayedEffect(Duration::from_secs(60)), 1);
        daemon.propose(&plan).await;
        while stage.calls(Operation::ExecuteChangeSet).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let after = pull(&stage, &daemon, KillMode::Pause).await;
        let proven = stage.when(|e| matches!(e, Event::OperationNotStarted { .. }));
        let acknowledged = stage.when(|e| matches!(e, Event::KillAcknowledged { .. }));
        if removed.is_empty() {
            assert_eq!(after, 0);
            assert!(
                proven.is_some() && proven <= acknowledged,
                "proven not started first: {proven:?} {acknowledged:?}"
            );
        } else {
            assert_eq!(after, 1, "acknowledged, and then it starts");
        }
    }
}
