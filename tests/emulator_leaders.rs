//! Two daemons on one state directory: the second is refused while the first lives, takes over when it stands still, and the first one,
//! woken up again, issues nothing more.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

mod support;
mod world;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Emulator, send_signal, wait_for};
use world::{Feed, Shape, cells};

/// Stops the daemon while it does not hold the journal's write lock: one that is stopped in the middle of a write keeps the lock, and
/// whoever comes after must end it first (docs/architecture.md, "Known weak places").
fn stop_between_writes(daemon: &support::Daemon) {
    for _ in 0..100 {
        send_signal(daemon.pid(), "STOP");
        std::thread::sleep(Duration::from_millis(20));
        let journal = rusqlite::Connection::open(daemon.state_dir().join("journal.db")).unwrap();
        journal.busy_timeout(Duration::ZERO).unwrap();
        if journal.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
            return;
        }
        send_signal(daemon.pid(), "CONT");
        std::thread::sleep(Duration::from_millis(7));
    }
    panic!("the daemon never lets go of its journal");
}

#[test]
fn a_second_daemon_waits_its_turn_and_the_first_finds_itself_overtaken() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1"], 6);
    world::create_small_stacks(&emulator, &fleet);
    let _feed = Feed::start(&emulator, &fleet);
    let pipeline = world::pipeline(&fleet, &Shape { waves: &[1, 5], max_concurrent: 1, ..Shape::default() });
    let (mut first, change_set) = world::daemon(&emulator, &pipeline, "setting-v2.yaml", "");
    first.run();
    let serve = |first: &support::Daemon| {
        let mut command = first.command(&["serve"]);
        command.arg("--pipelines").arg(first.home().join("pipelines"));
        command
    };
    // It lives and moves its beat: the second one goes away by itself.
    let refused = serve(&first).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));

    let rollout = first.propose(&change_set);
    emulator
        .proxy()
        .wait_until("work under way", Duration::from_secs(60), |calls| calls.of("ExecuteChangeSet").len() >= 2);
    stop_between_writes(&first);
    let start = Instant::now();
    let mut second = serve(&first).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(second.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("epoch 2"));
    // L4: a leader that does not move is replaced within its lease (10 s) and 5 s more; the rest is for a slow machine's start.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let outcome = wait_for("the rollout's end", Duration::from_secs(90), || {
        first.status(&rollout)["outcome"].as_str().map(str::to_owned)
    });
    assert_eq!(outcome, "succeeded");
    let before = emulator.proxy().calls().of("ExecuteChangeSet").len();
    send_signal(first.pid(), "CONT");
    let ended = first.wait(Duration::from_secs(20));
    assert_eq!(ended.code(), Some(1));
    assert!(first.log().contains("has taken over"), "{}", first.log());
    let calls = emulator.proxy().calls();
    assert_eq!(calls.of("ExecuteChangeSet").len(), before);
    assert!(calls.accepted_executes_per_token().values().all(|n| *n == 1));
    send_signal(second.id(), "TERM");
    assert!(second.wait().unwrap().success());
}
