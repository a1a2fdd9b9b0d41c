//! Facebook, October 2021: the tool that audits commands let a bad one through, and with the network down the tools that would have
//! stopped it were down too. Here two checks must agree, and the kill file and the signal need no network.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, plan, regions, runs, targets};
use crate::support;
use crate::wire::Wires;
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation, Outage};
use wavegate::daemon::issuer::Objection;
use wavegate::daemon::kill_file;
use wavegate::guard::Guard;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::{Hold, Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::{RolloutId, TargetId};
use wavegate::model::plan::Plan;

async fn roll_out(plan: &Plan) -> (Stage, Daemon) {
    let (stage, daemon) = Stage::open(81, plan, Wires::default()).await;
    daemon.propose(plan).await;
    (stage, daemon)
}

#[tokio::test(start_paused = true)]
async fn what_the_first_check_lets_through_the_second_one_stops() {
    let guards = Guards::in_place();
    let plan = plan(&[1, 3], GOOD);
    guards.without(&[Guard::GateBeforeWave]);
    let (stage, daemon) = roll_out(&plan).await;
    let hold = daemon.hold("r-test").await;
    assert!(matches!(hold, Hold::ProviderUnavailable { target: Some(_), .. }), "{hold:?}");
    // The engine did let the second wave through …
    assert!(stage.when(|e| matches!(e, Event::WaveStarted { wave: 1, .. })).is_some());
    assert!(stage.when(|e| matches!(e, Event::GatePassed { .. })).is_none());
    // … and the issuer said why not, to each call. None of the second wave's has left.
    let objections = stage.objections();
    assert!(!objections.is_empty() && objections.iter().all(|o| *o == Objection::GateNotPassed(0)), "{objections:?}");
    let executed = stage.calls(Operation::ExecuteChangeSet);
    assert_eq!(executed.iter().map(|call| call.stack.as_deref()).collect::<Vec<_>>(), [Some("orders-00")]);

    guards.without(&[Guard::GateBeforeWave, Guard::IssuerGates]);
    let (stage, daemon) = roll_out(&plan).await;
    daemon.outcome("r-test").await;
    assert_eq!(stage.touched(), targets(&plan, &[0, 1]), "with neither of the two it goes everywhere");
    assert!(stage.objections().is_empty() && stage.when(|e| matches!(e, Event::GatePassed { .. })).is_none());
}

fn network(stage: &Stage, plan: &Plan, outage: Option<Outage>) {
    regions(plan).iter().for_each(|region| stage.world.set_outage(region, outage));
}

/// The whole network goes down in the middle of the second wave; then somebody who can reach the machine leaves the file.
async fn kill_by_file(plan: &Plan, outage: Outage) -> (Stage, Daemon) {
    let (stage, daemon) = roll_out(plan).await;
    daemon.until("mid-wave", |s| runs(s, 1)).await;
    network(&stage, plan, Some(outage));
    tokio::time::sleep(Duration::from_secs(30)).await;
    kill_file::add(&stage.kill_file(), KillMode::Pause, &KillScope::All, "it is our own doing").unwrap();
    (stage, daemon)
}

/// The order as the daemon took it from the file.
fn heeded(stage: &Stage) -> Option<Kill> {
    stage.record().into_iter().find_map(|(_, event)| match event {
        Event::KillRequested { kill } => Some(kill),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn the_kill_file_works_with_the_whole_network_down() {
    let guards = Guards::in_place();
    let mut plan = plan(&[1, 6], GOOD);
    plan.waves[1].max_concurrent = 1;
    for outage in [Outage::Unreachable, Outage::Silent] {
        guards.without(&[]);
        let (stage, daemon) = kill_by_file(&plan, outage).await;
        let left = stage.world.wall();
        // Within two seconds it is in force, and acknowledged: what runs is proven to have started, and nothing else is intended.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let kill = heeded(&stage).expect("it is in force");
        assert_eq!(
            (kill.door, kill.mode, kill.reason.as_str()),
            (KillDoor::File, KillMode::Pause, "it is our own doing")
        );
        assert!(stage.when(|e| matches!(e, Event::KillAcknowledged { .. })).is_some(), "{outage:?}");
        let touched = stage.touched();
        assert!(touched.len() < plan.targets.len());
        // The network comes back, and nothing forward with it.
        network(&stage, &plan, None);
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert_eq!(stage.touched(), touched, "{outage:?}");
        assert!(stage.began(Direction::Forward).iter().all(|(at, _)| *at < left), "{outage:?}");
        daemon.send_back("r-test").await;
        assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
        assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]));

        guards.without(&[Guard::KillStopsForward, Guard::IssuerStops, Guard::IssuerKillFile]);
        let (stage, _daemon) = kill_by_file(&plan, outage).await;
        let left = stage.world.wall();
        network(&stage, &plan, None);
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert!(stage.began(Direction::Forward).iter().any(|(at, _)| *at > left), "{outage:?}: nothing heeds the file");
    }
}

/// The network swallows a call and is gone; then the kill file is left. The record says a minute later which targets keep it pending.
async fn swallowed(plan: &Plan) -> (Stage, Daemon, Vec<(RolloutId, TargetId)>) {
    let (stage, daemon) = roll_out(plan).await;
    stage.world.inject(Operation::ExecuteChangeSet, Fault::AmbiguousBeforeEffect, 1);
    while stage.calls(Operation::ExecuteChangeSet).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    network(&stage, plan, Some(Outage::Silent));
    kill_file::add(&stage.kill_file(), KillMode::Pause, &KillScope::All, "").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let pending = stage.state().pending_of(&heeded(&stage).expect("in force"));
    (stage, daemon, pending)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_network_swallowed_keeps_the_kill_pending_by_name() {
    let guards = Guards::in_place();
    let plan = plan(&[1], GOOD);
    let acknowledged = |e: &Event| matches!(e, Event::KillAcknowledged { .. });
    let (stage, daemon, pending) = swallowed(&plan).await;
    assert_eq!(pending, [("r-test".into(), "cell-00/orders".into())]);
    assert_eq!(stage.when(acknowledged), None);
    network(&stage, &plan, None);
    daemon.until("acknowledged", |s| s.kills.values().all(|k| k.acknowledged)).await;
    let proven = stage.position(|e| matches!(e, Event::OperationNotStarted { .. }));
    assert!(proven.is_some() && proven < stage.position(acknowledged), "fenced first");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(stage.touched().is_empty());

    guards.without(&[Guard::FenceOnKill]);
    let (stage, _daemon, pending) = swallowed(&plan).await;
    assert!(
        pending.len() == 1 && stage.when(acknowledged).is_some(),
        "acknowledged, with a call that nobody can account for"
    );
}

/// The real binary, with a provider that nobody can reach. Signals are of a process, so this one is not simulated.
#[test]
fn the_signal_works_with_the_whole_network_down() {
    let nowhere = "http://127.0.0.1:9";
    let env = [
        ("AWS_ENDPOINT_URL", nowhere),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let pipeline = "version: 1\nname: test\nfleet:\n  cells:\n    - {name: c-1, account: \"111111111111\", region: eu-west-1, environment: production, role: \"arn:aws:iam::111111111111:role/cell\", stacks: {orders: orders-1}}\nwaves:\n  - {name: all, select: {remaining: true}, bake: 10m}\nhealth: {alarms: [{name: a}]}\n";
    let mut daemon = support::Daemon::prepare(env, &[("test.yaml", pipeline)]);
    let change = "version: 1\nagent: a\ntitle: t\nreasoning: r\npipeline: test\nstacks:\n  orders:\n    template: \"Resources: {Q: {Type: AWS::SQS::Queue}}\"\n";
    let change = daemon.write("change.yaml", change);
    daemon.run();
    let rollout = daemon.propose(&change);
    for (signal, mode) in [("USR1", "pause"), ("USR2", "halt")] {
        daemon.signal(signal);
        support::wait_for("the acknowledgement", Duration::from_secs(60), || {
            let status = daemon.cli(&["status", "--json"]).json();
            let acknowledged = |kill: &serde_json::Value| kill["mode"] == mode && kill["state"] == "acknowledged";
            status["kills"].as_array().is_some_and(|kills| kills.iter().any(acknowledged)).then_some(())
        });
    }
    assert!(!daemon.status(&rollout)["killed"].is_null());
}
