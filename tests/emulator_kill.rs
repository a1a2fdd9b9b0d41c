//! The kill switch of the real binary against the emulator: by command, file and signal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;
mod world;

use std::path::PathBuf;
use std::time::Duration;
use support::{Daemon, Emulator, Match, fixture, wait_for};
use world::{Cell, Feed, Shape, cells, place};

const LIMIT: Duration = Duration::from_secs(120);

struct Scene {
    emulator: Emulator,
    fleet: Vec<Cell>,
    daemon: Daemon,
    change_set: PathBuf,
    _feed: Feed,
}

/// One cell, then eight: two at a time, so that a kill meets a wave that is far from done.
fn scene() -> Option<Scene> {
    let emulator = Emulator::start()?;
    let fleet = cells(&["111111111111"], &["eu-west-1"], 9);
    world::create_small_stacks(&emulator, &fleet);
    let feed = Feed::start(&emulator, &fleet);
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1, 8], max_concurrent: 2, ..Shape::default() });
    let (daemon, change_set) = world::daemon(&emulator, &pipeline, "setting-v2.yaml", "");
    Some(Scene { emulator, fleet, daemon, change_set, _feed: feed })
}

fn executions(scene: &Scene) -> usize {
    scene.emulator.proxy().calls().of("ExecuteChangeSet").len()
}

/// Waits until three stacks are executed, which is in the middle of the second wave.
fn in_mid_wave(scene: &Scene) {
    scene.emulator.proxy().wait_until("mid-wave", LIMIT, |calls| calls.of("ExecuteChangeSet").len() >= 3);
}

fn nothing_starts_any_more(scene: &Scene) {
    let before = executions(scene);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(executions(scene), before, "forward calls after the acknowledgement");
    assert!(before < scene.fleet.len());
}

#[test]
fn after_the_acknowledgement_nothing_forward_reaches_the_provider() {
    let Some(mut scene) = scene() else { return };
    scene.daemon.run();
    let rollout = scene.daemon.propose(&scene.change_set);
    in_mid_wave(&scene);
    // A call that is slow to answer leaves it pending for a while (6): then the acknowledgement is waited for.
    let out = scene.daemon.cli(&["kill", "--json"]);
    assert!(matches!(out.code, 0 | 6), "{out:?}");
    let out = out.json();
    wait_for("the acknowledgement", LIMIT, || {
        let status = scene.daemon.cli(&["status", "--json"]).json();
        (status["kills"][0]["state"] == "acknowledged").then_some(())
    });
    nothing_starts_any_more(&scene);
    // One person cannot lift it, two can, and then it goes on to its end.
    let kill = out["kill"].as_str().unwrap();
    let lift = |by: &str| {
        let token = scene.daemon.token(by, "human", "sre", &["operator"]);
        scene.daemon.cli_as(&token, &["resume", "--lift", kill])
    };
    lift("alice").expect_code(6);
    lift("Alice").expect_code(3);
    lift("bob").expect_code(0);
    assert_eq!(scene.daemon.wait_outcome(&rollout, LIMIT), "succeeded");
}

#[test]
fn a_call_under_way_keeps_the_kill_pending_until_it_is_proven() {
    let Some(mut scene) = scene() else { return };
    scene.daemon.run();
    let gate = scene.emulator.proxy().hold(Match::action("ExecuteChangeSet").skip(2).always());
    scene.daemon.propose(&scene.change_set);
    scene.emulator.proxy().wait_until("calls held", LIMIT, |calls| calls.of("ExecuteChangeSet").len() >= 4);
    let out = scene.daemon.cli(&["kill", "--json"]).expect_code(6).json();
    assert_eq!(out["state"], "pending");
    assert!(!out["pending"].as_array().unwrap().is_empty());
    gate.open();
    wait_for("the acknowledgement", LIMIT, || {
        let status = scene.daemon.cli(&["status", "--json"]).json();
        (status["kills"][0]["state"] == "acknowledged").then_some(())
    });
    nothing_starts_any_more(&scene);
}

#[test]
fn halt_cancels_what_is_in_flight() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1"], 1);
    for cell in &fleet {
        place(&emulator, cell).create_stack(
            &cell.stack,
            &fixture("orders-v1.yaml"),
            &[("ApiToken", "0123456789abcdef")],
            &[],
        );
    }
    let _feed = Feed::start(&emulator, &fleet);
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1], ..Shape::default() });
    let (mut daemon, change_set) = world::daemon(
        &emulator,
        &pipeline,
        "slow-update.yaml",
        "    capabilities: [CAPABILITY_IAM, CAPABILITY_NAMED_IAM]\n",
    );
    daemon.run();
    let rollout = daemon.propose(&change_set);
    world::wait_status(&daemon, &rollout, "running", LIMIT, |s| s["waves"][0]["targets"][0]["state"] == "running");
    let out = daemon.cli(&["kill", "--mode", "halt", "--scope", "cell=cell-00"]);
    assert!(matches!(out.code, 0 | 6), "{out:?}");
    emulator.proxy().wait_until("the cancellation", LIMIT, |calls| {
        calls.of("CancelUpdateStack").iter().any(support::Call::accepted)
    });
    // The emulator heeds a cancellation before its next resource, not in the middle of one: the one that waits is let go. Without the
    // cancellation the update would be complete then.
    place(&emulator, &fleet[0]).signal(&fleet[0].stack, "Warm");
    world::wait_status(&daemon, &rollout, "restored", LIMIT, |s| s["waves"][0]["targets"][0]["state"] == "restored");
    assert_eq!(place(&emulator, &fleet[0]).template(&fleet[0].stack), fixture("orders-v1.yaml"));
}

#[test]
fn the_file_and_the_signal_work_with_the_socket_gone() {
    for by_file in [true, false] {
        let Some(mut scene) = scene() else { return };
        scene.daemon.run();
        scene.daemon.propose(&scene.change_set);
        in_mid_wave(&scene);
        std::fs::remove_file(scene.daemon.state_dir().join("wavegate.sock")).unwrap();
        if by_file {
            scene.daemon.cli(&["kill", "--mode", "pause"]).expect_code(7);
            assert!(scene.daemon.kill_file().exists());
        } else {
            scene.daemon.signal("USR1");
        }
        wait_for("the kill", LIMIT, || scene.daemon.log().contains("kill_acknowledged").then_some(()));
        nothing_starts_any_more(&scene);
    }
}

#[test]
fn a_kill_file_found_at_start_is_in_force_before_the_first_effect() {
    let Some(mut scene) = scene() else { return };
    scene.daemon.run();
    let rollout = scene.daemon.propose(&scene.change_set);
    in_mid_wave(&scene);
    scene.daemon.kill9();
    std::fs::write(scene.daemon.kill_file(), "").unwrap();
    // What it had sent is on record there a moment later.
    std::thread::sleep(Duration::from_secs(1));
    let before = executions(&scene);
    scene.daemon.run();
    wait_for("the kill", LIMIT, || {
        let status = scene.daemon.cli(&["status", "--json"]).json();
        (status["kills"][0]["state"] == "acknowledged").then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(executions(&scene), before);
    assert!(!scene.daemon.status(&rollout)["killed"].is_null());
}
