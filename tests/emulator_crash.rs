//! `kill -9` of the real binary at many moments of a rollout, there and back, against the emulator: started again, it ends settled every
//! time, and no attempt is executed twice.
//!
//! A moment is "before the n-th call reaches the provider" or "after the provider did it, before the daemon has the answer". Every
//! run takes other ones; how many a run takes is in `WAVEGATE_CRASHES` (for each direction; 24 without it).

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

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Daemon, Emulator, When, fixture, send_signal, wait_for};
use world::{Cell, Shape, cells, place};

const LIMIT: Duration = Duration::from_secs(90);
/// Emulators side by side: a run waits more than it works.
const SIDE_BY_SIDE: usize = 5;
const WAVES: [usize; 3] = [1, 3, 8];

fn crashes() -> usize {
    std::env::var("WAVEGATE_CRASHES").ok().and_then(|n| n.parse().ok()).unwrap_or(24)
}

/// Both releases with a parameter `Kind`, which release 2 gives to its setting: a stack whose `Kind` is no kind cannot be updated, its wave
/// fails, and everything goes back.
fn with_kind(release: &str) -> String {
    let text = fixture(release).replacen("Parameters:\n", "Parameters:\n  Kind: {Type: String, Default: String}\n", 1);
    match release {
        "setting-v2.yaml" => {
            text.replacen("      Type: String\n      Value: !Sub", "      Type: !Ref Kind\n      Value: !Sub", 1)
        }
        _ => text,
    }
}

/// The rollout has come to its end.
fn has_ended(daemon: &Daemon) -> bool {
    let status = daemon.cli(&["status", "--json"]);
    status.code == 0 && status.json()["rollouts"][0]["outcome"].is_string()
}

struct Runner<'a> {
    emulator: &'a Emulator,
    fleet: Vec<Cell>,
    forward: bool,
}

impl Runner<'_> {
    /// One rollout with a crash at call `at`; gives the number of calls that it took in all, and whether it was that call that ended it.
    fn run(&self, crash: Option<(usize, bool)>) -> (usize, bool) {
        let mut struck = false;
        self.emulator.reset();
        for (n, cell) in self.fleet.iter().enumerate() {
            let last = n + 1 == self.fleet.len();
            let kind = if last && !self.forward { "Nope" } else { "String" };
            let parameters = [("Level", "high"), ("Kind", kind)];
            place(self.emulator, cell).create_stack(
                &cell.stack,
                &with_kind("setting-v1.yaml"),
                &parameters,
                &[("team", "orders")],
            );
        }
        for cell in &self.fleet {
            place(self.emulator, cell).put_metric("Orders", "Errors", &[("Cell", &cell.name)], 1.0, "Count");
        }
        let shape = Shape { waves: &WAVES, ..Shape::default() };
        let (mut daemon, change_set) =
            world::daemon(self.emulator, &world::pipeline(&self.fleet, &shape), "setting-v2.yaml", "");
        daemon.write("setting-v2.yaml", &with_kind("setting-v2.yaml"));
        daemon.run();
        if let Some((at, after)) = crash {
            let pid = daemon.pid();
            let when = if after { When::After } else { When::Before };
            self.emulator.proxy().at_call(at, when, move |_| send_signal(pid, "KILL"));
        }
        // The command may find its daemon gone: what counts is what the journal holds.
        let proposed = daemon.cli(&["propose", change_set.to_str().unwrap(), "--json"]);
        if crash.is_some() {
            // A run may take fewer calls than the undisturbed one, which polled more: then its end is the moment.
            let mut looks = 0;
            wait_for("the crash", LIMIT, || {
                looks += 1;
                struck = daemon.ended().is_some();
                (struck || looks % 100 == 0 && has_ended(&daemon)).then_some(())
            });
            daemon.restart();
        } else {
            proposed.expect_code(0);
        }
        let rollout = wait_for("the rollout", LIMIT, || {
            let status = daemon.cli(&["status", "--json"]).json();
            status["rollouts"][0]["rollout"].as_str().map(str::to_owned)
        });
        let outcome = daemon.wait_outcome(&rollout, LIMIT);
        assert_eq!(outcome, if self.forward { "succeeded" } else { "reverted" }, "crash {crash:?}: {}", daemon.log());
        self.assert_settled(crash);
        (self.emulator.proxy().mark(), struck)
    }

    fn assert_settled(&self, crash: Option<(usize, bool)>) {
        let wanted = with_kind(if self.forward { "setting-v2.yaml" } else { "setting-v1.yaml" });
        for cell in &self.fleet {
            let snapshot = place(self.emulator, cell).snapshot(&cell.stack);
            assert_eq!(snapshot.template, wanted, "crash {crash:?}: {}", cell.name);
            assert_eq!(snapshot.parameters.get("Level").map(String::as_str), Some("high"));
            assert_eq!(snapshot.tags.get("team").map(String::as_str), Some("orders"));
        }
        let calls = self.emulator.proxy().calls();
        let twice: Vec<_> = calls.accepted_executes_per_token().into_iter().filter(|(_, n)| *n > 1).collect();
        assert!(twice.is_empty(), "crash {crash:?}: executed twice: {twice:?}");
    }
}

fn crash_at_many_moments(forward: bool) {
    let (done, struck) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let next = AtomicUsize::new(0);
    let moments: Mutex<Vec<(usize, bool)>> = Mutex::new(Vec::new());
    let Some(first) = Emulator::start() else { return };
    let fleet = cells(&["111111111111"], &["eu-west-1", "us-east-1"], 6);
    let (total, _) = Runner { emulator: &first, fleet: fleet.clone(), forward }.run(None);
    // Spread over all calls of an undisturbed rollout, each before and after.
    let all: Vec<(usize, bool)> = (1..=total).flat_map(|n| [(n, false), (n, true)]).collect();
    let wanted = crashes().min(all.len());
    moments.lock().unwrap().extend((0..wanted).map(|n| all[n * all.len() / wanted]));
    drop(first);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let emulator = Emulator::start().unwrap();
                let runner = Runner { emulator: &emulator, fleet: fleet.clone(), forward };
                loop {
                    let moment = moments.lock().unwrap().get(next.fetch_add(1, Ordering::SeqCst)).copied();
                    let Some(moment) = moment else { return };
                    let (_, is_struck) = runner.run(Some(moment));
                    struck.fetch_add(usize::from(is_struck), Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let (done, struck) = (done.into_inner(), struck.into_inner());
    assert!(struck * 2 >= done, "only {struck} of {done} were ended by their call");
    println!(
        "{done} crashes at {wanted} different moments of {} ({total} calls), all settled, nothing executed twice",
        if forward { "a rollout" } else { "a revert" }
    );
    assert_eq!(done, wanted);
}

#[test]
fn kill_9_at_many_moments_of_a_rollout() {
    crash_at_many_moments(true);
}

#[test]
fn kill_9_at_many_moments_of_a_reverting_rollout() {
    crash_at_many_moments(false);
}
