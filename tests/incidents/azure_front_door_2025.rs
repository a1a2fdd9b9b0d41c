//! Azure Front Door, October 2025: the fault came minutes after "healthy", and by then the last known good configuration had been
//! overwritten. Here earlier waves stay watched, and a restore point is the one of before the rollout, whatever happens meanwhile.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, breached, plan, runs, targets};
use crate::wire::Wires;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation};
use wavegate::daemon::core::Fatal;
use wavegate::guard::Guard;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::{Attempt, Digest, TargetId};
use wavegate::model::plan::Plan;
use wavegate::model::stack::RestorePoint;
use wavegate::model::state::RolloutPhase;

/// Healthy for four minutes, which is longer than the bake.
const LATE_FAULT: &str = "Metadata:\n  Sim:\n    Effects: [{Metric: 5xx, Factor: 400, After: 240}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31, DelaySeconds: {Ref: Delay}}\n";

fn is_gate_of_the_first_wave(event: &Event) -> bool {
    matches!(event, Event::GatePassed { wave: 0, .. })
}

/// Rolls `LATE_FAULT` out. `stuck`: an update of the second wave does not come to its end, so that the fault meets a wave that rolls.
async fn roll_out(stuck: bool) -> (Stage, Daemon, Plan, BTreeMap<TargetId, Digest>) {
    let plan = plan(&[1, 2, 3], LATE_FAULT);
    let (stage, daemon) = Stage::open(51, &plan, Wires::default()).await;
    let before = stage.contents(&plan);
    daemon.propose(&plan).await;
    if stuck {
        daemon.until("the second wave", |s| runs(s, 1)).await;
        let place = &plan.targets[&"cell-01/orders".into()];
        assert!(stage.world.stick(&place.scope, &place.stack));
    }
    (stage, daemon, plan, before)
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_healthy_takes_everything_back() {
    let guards = Guards::in_place();
    for stuck in [false, true] {
        guards.without(&[]);
        let (stage, daemon, plan, before) = roll_out(stuck).await;
        daemon.until("going back", |s| s.rollouts.values().any(|r| r.phase == RolloutPhase::Reverting)).await;
        let place = &plan.targets[&"cell-01/orders".into()];
        stage.world.unstick(&place.scope, &place.stack);
        assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
        // The first wave had been called healthy, and it alone broke: the second one's four minutes were not over.
        let passed = stage.when(is_gate_of_the_first_wave).expect("the first wave passed");
        assert!(passed < stage.when(|e| matches!(e, Event::RevertStarted { .. })).unwrap());
        let Some(RevertReason::GateFailed { wave, findings }) = stage.revert_reason() else {
            panic!("{:?}", stage.revert_reason())
        };
        assert_eq!(wave, if stuck { 0 } else { 1 }, "while the second wave rolled, or baked");
        assert_eq!(breached(&findings), BTreeSet::from(["cell-00".into()]));
        // The third wave never saw it; everything else is as before, the last wave first.
        assert_eq!(stage.touched(), targets(&plan, &[0, 1]));
        assert_eq!(stage.contents(&plan), before);
        let back: Vec<usize> = stage.began(Direction::Revert).iter().map(|(_, id)| plan.targets[id].wave).collect();
        assert!(back.is_sorted_by(|a, b| a >= b) && back.last() == Some(&0), "{back:?}");

        guards.without(&[Guard::RevertOnFail]);
        let (stage, daemon, plan, _) = roll_out(stuck).await;
        let bad = |s: &wavegate::model::state::State| {
            s.rollouts
                .values()
                .any(|r| r.health.as_ref().is_some_and(|h| !h.findings.is_empty()) && !r.gates.is_empty())
        };
        daemon.until("it is seen", bad).await;
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert!(stage.began(Direction::Revert).is_empty(), "it is seen, and nothing is done about it");
        assert!(stage.with_template(&plan, LATE_FAULT).contains(&"cell-00/orders".into()));
    }
}

/// Restore points on record, by target: all of them, so that a second one would show.
fn restore_points(stage: &Stage) -> BTreeMap<TargetId, Vec<RestorePoint>> {
    let mut points: BTreeMap<TargetId, Vec<RestorePoint>> = BTreeMap::new();
    for (_, event) in stage.record() {
        if let Event::RestorePointCaptured { target, restore_point, .. } = event {
            points.entry(target).or_default().push((*restore_point).clone());
        }
    }
    points
}

#[tokio::test(start_paused = true)]
async fn the_last_known_good_is_not_overwritten_by_retries_and_restarts() {
    let _guards = Guards::in_place();
    let plan = plan(&[1, 2], GOOD);
    let (mut stage, daemon) = Stage::open(52, &plan, Wires::default()).await;
    let before = stage.contents(&plan);
    let originals: Vec<String> = plan.targets.keys().map(|id| stage.template(&plan, id)).collect();
    // Every way there is repeated: calls are lost before and after their effect, and refused.
    for fault in [Fault::AmbiguousBeforeEffect, Fault::AmbiguousAfterEffect, Fault::Throttle] {
        stage.world.inject(Operation::ExecuteChangeSet, fault, 2);
        stage.world.inject(Operation::CreateChangeSet, fault, 2);
    }
    daemon.propose(&plan).await;
    // The daemon dies with the change in place in the first wave, and again when all of it is: that would be the moment to take the new for
    // the last known good.
    daemon.until("the first wave is done", |s| s.rollouts.values().any(|r| r.bake.is_some())).await;
    daemon.kill_9().await;
    let daemon = stage.start().await.unwrap();
    daemon.until("all is done", |s| s.rollouts.values().all(|r| r.targets.values().all(|t| t.is_applied()))).await;
    assert_eq!(stage.with_template(&plan, GOOD), targets(&plan, &[0, 1]));
    daemon.kill_9().await;
    let daemon = stage.start().await.unwrap();
    let tries = stage.state().rollouts[&"r-test".into()].targets.values().map(|t| t.attempt).max();
    assert!(tries > Some(Attempt(1)), "something was tried again");
    daemon.send_back("r-test").await;
    assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
    // One restore point a target, captured before, and what it holds is what is there again, to the byte.
    let points = restore_points(&stage);
    assert_eq!(points.keys().cloned().collect::<BTreeSet<_>>(), targets(&plan, &[0, 1]));
    for (id, captured) in &points {
        let [RestorePoint::Stack(original)] = captured.as_slice() else { panic!("{id}: {captured:?}") };
        assert_eq!(original.template.body(), BASE, "{id}");
        assert_eq!(original.content_digest().unwrap(), before[id], "{id}");
    }
    assert_eq!(plan.targets.keys().map(|id| stage.template(&plan, id)).collect::<Vec<_>>(), originals);
    assert_eq!(stage.contents(&plan), before);
}

#[tokio::test(start_paused = true)]
async fn without_a_durable_restore_point_nothing_is_touched() {
    let guards = Guards::in_place();
    let plan = plan(&[1, 2], GOOD);
    // The engine loses it on its way to the record: the issuer does not find it there, and lets nothing out.
    guards.without(&[Guard::RestorePointFirst]);
    let (stage, daemon) = Stage::open(53, &plan, Wires::default()).await;
    daemon.propose(&plan).await;
    daemon.hold("r-test").await;
    let first = stage.objections().remove(0);
    assert_eq!(first.to_string(), "no restore point of target cell-00/orders is on record");
    assert!(stage.touched().is_empty());

    guards.without(&[Guard::RestorePointFirst, Guard::IssuerRestorePoint]);
    let (mut stage, daemon) = Stage::open(53, &plan, Wires::default()).await;
    daemon.propose(&plan).await;
    daemon.until("the first wave is done", |s| s.rollouts.values().any(|r| r.bake.is_some())).await;
    daemon.kill_9().await;
    let lost: Fatal = stage.start().await.err().expect("the record does not hold together");
    assert_eq!(stage.with_template(&plan, GOOD), targets(&plan, &[0]), "{lost}: changed, and nothing to go back to");
    assert!(restore_points(&stage).is_empty());
}
