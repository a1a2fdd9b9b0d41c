//! Google Compute Engine, April 2016: the canary said that the configuration was unsafe, and a second fault kept that from being passed
//! on. Here the issuer reads the verdict from the durable record itself, before each call that leaves.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BAD, BASE, GOOD, Stage, plan, runs, targets};
use crate::wire::Wires;
use std::collections::BTreeSet;
use std::time::Duration;
use wavegate::daemon::issuer::Objection;
use wavegate::engine::decide::Input;
use wavegate::guard::Guard;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::{Hold, KillMode};
use wavegate::model::plan::Plan;
use wavegate::model::verdict::Verdict;

/// As `BAD`, and slow: the canary has been judged by the time that the next wave would be done.
const SLOWLY_BAD: &str = "Metadata:\n  Sim:\n    UpdateSeconds: 180\n    Effects: [{Metric: 5xx, Factor: 400, After: 20}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31, DelaySeconds: {Ref: Delay}}\n";

/// The engine judges the canary, and then goes on as if it had not.
const NOT_PASSED_ON: [Guard; 2] = [Guard::RevertOnFail, Guard::GateBeforeWave];

fn is_unsafe(event: &Event) -> bool {
    matches!(event, Event::HealthJudged { wave: 0, verdict: Verdict::Fail, .. })
}

fn goes_on(event: &Event) -> bool {
    matches!(event, Event::WaveStarted { wave: 1, .. })
}

async fn canary(plan: &Plan) -> (Stage, Daemon) {
    let (stage, daemon) = Stage::open(41, plan, Wires::default()).await;
    daemon.propose(plan).await;
    (stage, daemon)
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_the_engine_forgets_still_stops_the_next_wave() {
    let guards = Guards::in_place();
    let plan = plan(&[1, 3], SLOWLY_BAD);
    guards.without(&NOT_PASSED_ON);
    let (mut stage, daemon) = canary(&plan).await;
    // The engine goes on to the next wave; every call of it is refused at the gate, until the tries are spent and a person is asked.
    let hold = daemon.hold("r-test").await;
    assert!(matches!(hold, Hold::ProviderUnavailable { .. }), "{hold:?}");
    assert!(stage.when(goes_on).is_some());
    let objections = stage.objections();
    assert!(!objections.is_empty() && objections.iter().all(|o| *o == Objection::GateNotPassed(0)), "{objections:?}");
    daemon
        .until("the canary is judged", |s| {
            s.rollouts.values().any(|r| r.health.as_ref().is_some_and(|h| h.verdict == Verdict::Fail))
        })
        .await;
    assert!(stage.when(is_unsafe).is_some());
    // Neither a person in a hurry nor a restart helps it past the record.
    for restart in [false, true] {
        daemon.orders.stop().await;
        let daemon = stage.start().await.unwrap();
        if !restart {
            daemon.input(Input::Resume { rollout: "r-test".into(), by: "in a hurry".into() }).await;
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        daemon.kill_9().await;
    }
    let more = stage.objections();
    assert!(more.len() > objections.len() && more.iter().all(|o| matches!(o, Objection::GateNotPassed(0))), "{more:?}");
    assert_eq!(stage.touched(), targets(&plan, &[0]));
    assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[1]));
    // A sound engine does not even take up what the faulty one wrote: a wave without its gate is no state that it knows.
    guards.without(&[]);
    let error = stage.start().await.err().expect("it does not start");
    assert!(format!("{error:?}").contains("wave_started"), "{error:?}");

    guards.without(&[Guard::RevertOnFail, Guard::GateBeforeWave, Guard::IssuerGates]);
    let (stage, daemon) = canary(&plan).await;
    assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded, "the unsafe change is everywhere");
    assert!(stage.when(is_unsafe).is_some(), "though the canary said so");
    assert_eq!(stage.with_template(&plan, SLOWLY_BAD), targets(&plan, &[0, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_survives_kill_9_wherever_it_strikes() {
    let _guards = Guards::in_place();
    let plan = plan(&[1, 2], BAD);
    let (stage, daemon) = canary(&plan).await;
    assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
    let record = stage.record();
    let judged = record.iter().position(|(_, event)| is_unsafe(event)).expect("the canary is judged");
    for at in judged..record.len() {
        let (mut stage, mut daemon) = canary(&plan).await;
        assert!(daemon.reaches(at as u64).await);
        daemon.kill_9().await;
        let daemon = stage.start().await.unwrap();
        assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted, "kill -9 at record {at}");
        assert_eq!(stage.touched(), targets(&plan, &[0]), "kill -9 at record {at}");
        assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]), "kill -9 at record {at}");
    }
}

/// A stop order in the middle of the second wave, which the engine forgets; then `kill -9`, and a new start. The stage, and the forward
/// operations that began after the acknowledgement.
async fn forgotten_kill() -> (Stage, usize) {
    let plan = plan(&[1, 6], GOOD);
    let (mut stage, daemon) = canary(&plan).await;
    daemon.until("mid-wave", |s| runs(s, 1)).await;
    daemon.kill(KillMode::Pause).await;
    daemon.until("acknowledged", |s| s.kills.values().all(|k| k.acknowledged)).await;
    let acknowledged = stage.world.wall();
    tokio::time::sleep(Duration::from_secs(60)).await;
    daemon.kill_9().await;
    let daemon = stage.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let after = stage.began(Direction::Forward).iter().filter(|(at, _)| *at > acknowledged).count();
    daemon.kill_9().await;
    (stage, after)
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_the_engine_forgets_still_stops() {
    let guards = Guards::in_place();
    guards.without(&[Guard::KillStopsForward]);
    let (stage, after) = forgotten_kill().await;
    assert_eq!(after, 0);
    let killed: BTreeSet<String> = stage.objections().iter().map(ToString::to_string).collect();
    assert!(killed.contains("a kill is in force: all (pause) by on-call"), "{killed:?}");

    guards.without(&[Guard::KillStopsForward, Guard::IssuerStops]);
    let (stage, after) = forgotten_kill().await;
    assert!(after > 0 && stage.objections().is_empty(), "nothing stops it any more");
}
