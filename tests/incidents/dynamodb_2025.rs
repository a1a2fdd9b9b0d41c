//! DynamoDB's DNS, October 2025: a worker that was delayed applied an old plan over a newer one, and a clean-up then deleted what was in
//! force. Here a new leader fences what the old one left before it does anything else, and names carry the epoch.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, plan, targets};
use crate::wire::Wires;
use std::collections::BTreeSet;
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation};
use wavegate::daemon::core::Fatal;
use wavegate::guard::Guard;
use wavegate::journal::JournalError;
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::Hold;
use wavegate::model::ids::TargetId;
use wavegate::model::plan::Plan;

/// What is wanted by the time that the old plan arrives.
const NEWER: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 60, DelaySeconds: {Ref: Delay}}\n";

const OLD_CELL: &str = "cell-00/orders";

/// How long the worker's call is on its way: longer than the lease, and into the bake of the newer plan's first wave.
const LATE: Duration = Duration::from_secs(90);

/// The old plan is for one cell.
fn old() -> Plan {
    plan(&[1], GOOD)
}

/// The newer one reaches that cell in its second wave.
fn newer() -> Plan {
    let mut plan = plan(&[1, 1], NEWER);
    plan.rollout = "r-newer".into();
    for target in plan.targets.values_mut() {
        target.wave = 1 - target.wave;
    }
    plan.waves[0].targets = vec!["cell-01/orders".into()];
    plan.waves[1].targets = vec![OLD_CELL.into()];
    plan
}

/// The worker stands still with its call on the way. Another daemon takes over, a person gives the old plan up and hands the newer one in.
async fn take_over(operation: Operation) -> (Stage, Daemon, Daemon) {
    let (mut stage, worker) = Stage::open(21, &newer(), Wires::default()).await;
    stage.world.inject(operation, Fault::DelayedEffect(LATE), 1);
    worker.propose(&old()).await;
    if operation == Operation::DeleteChangeSet {
        worker
            .until("ready", |s| s.rollouts.values().any(|r| r.wave_states(0).any(|t| t.phase.name() == "ready")))
            .await;
        worker.send_back("r-test").await;
    }
    while stage.calls(operation).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.stand_still(true);
    let successor = stage.start().await.unwrap();
    if operation == Operation::ExecuteChangeSet {
        successor.send_back("r-test").await;
    }
    assert_eq!(successor.outcome("r-test").await, Outcome::Cancelled, "on record, nothing of the old plan was done");
    successor.propose(&newer()).await;
    (stage, worker, successor)
}

/// When the delayed call reached the provider, and whether it did anything.
fn arrival(stage: &Stage, operation: Operation) -> (Option<jiff::Timestamp>, bool) {
    let calls = stage.calls(operation);
    (calls[0].acted_at, calls[0].took_effect)
}

#[tokio::test(start_paused = true)]
async fn a_delayed_worker_does_not_apply_its_old_plan() {
    let guards = Guards::in_place();
    let (stage, worker, successor) = take_over(Operation::ExecuteChangeSet).await;
    // The fence is up before the newcomer does anything else, and it is of exactly what the worker had intended, by ARN.
    let late = stage.calls(Operation::ExecuteChangeSet).remove(0);
    let fence = stage.calls(Operation::DeleteChangeSet).remove(0);
    assert!(late.change_set.as_deref().is_some_and(|arn| arn.starts_with("arn:") && arn.contains("-e1/")), "{late:?}");
    assert_eq!(fence.change_set, late.change_set);
    assert!(stage.when(|e| matches!(e, Event::OperationNotStarted { .. })).is_some());
    assert_eq!(successor.outcome("r-newer").await, Outcome::Succeeded);
    // The old plan arrived in the middle of the newer rollout, and found nothing to execute.
    let (arrived, took_effect) = arrival(&stage, Operation::ExecuteChangeSet);
    assert!(arrived > stage.when(|e| matches!(e, Event::BakeStarted { .. })) && !took_effect);
    assert!(arrived < stage.when(|e| matches!(e, Event::WaveStarted { wave: 1, .. })));
    assert_eq!(stage.with_template(&newer(), NEWER), targets(&newer(), &[0, 1]));
    let by_newer: BTreeSet<String> =
        stage.calls(Operation::ExecuteChangeSet).into_iter().skip(1).filter_map(|call| call.change_set).collect();
    assert!(by_newer.iter().all(|arn| arn.contains("-e2/")), "{by_newer:?}");
    // The worker wakes up, and finds out before it does anything.
    let before = stage.world.calls().len();
    worker.stand_still(false);
    assert!(matches!(worker.end().await, Err(Fatal::Journal(JournalError::Overtaken { .. }))));
    assert_eq!(stage.world.calls().len(), before);

    guards.without(&[Guard::FenceOnTakeover, Guard::FenceOnDoubt]);
    let (stage, _worker, successor) = take_over(Operation::ExecuteChangeSet).await;
    let cell = TargetId::from(OLD_CELL);
    assert_eq!(successor.hold("r-newer").await, Hold::StackChanged { target: cell.clone() });
    let (_, took_effect) = arrival(&stage, Operation::ExecuteChangeSet);
    assert!(took_effect, "without the fence the old plan is applied, after it was given up");
    assert_eq!(stage.template(&newer(), &cell), GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_clean_up_deletes_nothing_of_the_newer_plan() {
    let _guards = Guards::in_place();
    let (stage, _worker, successor) = take_over(Operation::DeleteChangeSet).await;
    // Its name says whose it is: the newer plan's change sets have other ones, and are all executed at their first try.
    assert_eq!(successor.outcome("r-newer").await, Outcome::Succeeded);
    let (arrived, _) = arrival(&stage, Operation::DeleteChangeSet);
    assert!(arrived > stage.when(|e| matches!(e, Event::BakeStarted { .. })));
    assert!(
        arrived < stage.when(|e| matches!(e, Event::WaveStarted { wave: 1, .. })),
        "its change sets were made before"
    );
    let made = stage.calls(Operation::CreateChangeSet);
    let newer_ones: Vec<_> =
        made.iter().filter_map(|call| call.change_set.as_deref()).filter(|n| n.contains("r-newer")).collect();
    assert_eq!(newer_ones.len(), 2, "{newer_ones:?}");
    assert!(newer_ones.iter().all(|name| name.ends_with("-1-e2")), "{newer_ones:?}");
    assert!(stage.holds().is_empty());
    assert_eq!(stage.with_template(&newer(), BASE), BTreeSet::new());
}
