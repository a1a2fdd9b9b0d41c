//! The real binary, its real SQLite and a disk that fails: fsync and write errors, a full disk, `kill -9` in the middle of a commit,
//! each followed by a power cut that takes what was not synced. The daemon stops and says so, what it acknowledged is there, nothing
//! left it that has no durable intent, and started again it settles everything (S3, S17).
//!
//! Faults are injected by `strace` into the system calls that SQLite makes: `fsync` (the bundled one is built without `fdatasync`)
//! and `pwrite64`. The full disk is also a real one where a tmpfs may be mounted. How many moments each fault takes is in
//! `WAVEGATE_STORAGE_FAULTS` (3 without it).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;
#[path = "storage_faults/trace.rs"]
mod trace;
mod world;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Calls, Daemon, Emulator, Fate, fixture, wait_for};
use trace::{Fault, SmallDisk, Trace};
use wavegate::journal::{Entry, Journal};
use wavegate::model::event::{Event, OperationCall};
use wavegate::model::ids::Seq;
use world::{Cell, Shape, cells, place};

const LIMIT: Duration = Duration::from_secs(60);
const SIDE_BY_SIDE: usize = 4;
/// A call that was on the wire when the fault struck may reach the proxy this much later: it is dated when the proxy's thread runs.
const ON_THE_WIRE: Duration = Duration::from_secs(1);
const WRITES: [&str; 7] = [
    "CreateChangeSet",
    "ExecuteChangeSet",
    "DeleteChangeSet",
    "DeleteStack",
    "CancelUpdateStack",
    "ContinueUpdateRollback",
    "UpdateStack",
];

fn moments() -> usize {
    std::env::var("WAVEGATE_STORAGE_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

/// What the daemon let a person see before it ended.
#[derive(Debug, Default)]
struct Seen {
    rollout: Option<String>,
    applied: BTreeSet<String>,
}

struct Runner<'a> {
    emulator: &'a Emulator,
    fleet: &'a [Cell],
    what: String,
}

impl Runner<'_> {
    fn prepare(&self) -> (Daemon, PathBuf) {
        self.emulator.reset();
        world::create_small_stacks(self.emulator, self.fleet);
        for cell in self.fleet {
            place(self.emulator, cell).put_metric("Orders", "Errors", &[("Cell", &cell.name)], 1.0, "Count");
        }
        let pipeline = world::pipeline(self.fleet, &Shape::default());
        world::daemon(self.emulator, &pipeline, "setting-v2.yaml", "")
    }

    /// Proposes and watches until the daemon has ended, or the rollout where nothing is to go wrong.
    fn live(&self, daemon: &mut Daemon, change_set: &Path, act: impl Fn(&Seen)) -> (Seen, Option<ExitStatus>) {
        let lines = daemon.spawn();
        let mut seen = Seen::default();
        // It may end before it is ready; then the lines end.
        if lines.iter().any(|line| line.starts_with("wavegate: ready")) {
            let proposed = daemon.cli(&["propose", change_set.to_str().unwrap(), "--json"]);
            if proposed.code == 0 {
                seen.rollout = proposed.json()["rollout"].as_str().map(str::to_owned);
            }
        }
        let ended = wait_for(&format!("{}: an end", self.what), LIMIT, || {
            if daemon.ended().is_some() {
                return Some(true);
            }
            let id = seen.rollout.clone()?;
            let status = daemon.cli(&["status", &id, "--json"]);
            if status.code == 0 {
                let status = status.json();
                for target in status["waves"].as_array().unwrap().iter().flat_map(|w| w["targets"].as_array().unwrap())
                {
                    if target["state"] == "applied" {
                        seen.applied.insert(target["target"].as_str().unwrap().to_owned());
                    }
                }
                act(&seen);
                return (self.what.is_empty() && status["outcome"] == "succeeded").then_some(false);
            }
            None
        });
        (seen, ended.then(|| daemon.wait(LIMIT)))
    }

    /// What an undisturbed rollout does to its disk.
    fn undisturbed(&self) -> Trace {
        let (mut daemon, change_set) = self.prepare();
        let to = daemon.home().join("trace");
        daemon.serve_under(&trace::strace(&to, None));
        let (_, ended) = self.live(&mut daemon, &change_set, |_| ());
        assert!(ended.is_none(), "{}", daemon.log());
        daemon.kill9();
        Trace::read(&to, &trace::wal_of(&journal_of(&daemon)))
    }

    /// One rollout with a fault and a power cut; true when the cut took something.
    fn run(&self, fault: Fault, at: usize) -> bool {
        let (mut daemon, change_set) = self.prepare();
        let to = daemon.home().join("trace");
        daemon.serve_under(&trace::strace(&to, Some((fault, at))));
        let (seen, ended) = self.live(&mut daemon, &change_set, |_| ());
        let ended = ended.unwrap_or_else(|| panic!("{}: it went on: {}", self.what, daemon.log()));
        if fault.is_kill() {
            assert_eq!(ended.signal(), Some(9), "{}", self.what);
        } else {
            self.assert_said_so(&daemon, ended);
        }
        wait_for("the end of the trace", LIMIT, || {
            std::fs::read_to_string(&to).unwrap().contains("+++ ").then_some(())
        });
        let journal = journal_of(&daemon);
        let wal = trace::wal_of(&journal);
        let trace = Trace::read(&to, &wal);
        let lost = trace::cut_power(&trace, &wal);
        let struck = UNIX_EPOCH + trace.struck.unwrap_or_else(|| panic!("{}: it did not strike", self.what));
        let calls = self.emulator.proxy().calls();
        self.assert_nothing_left_after(&calls, struck);
        let before = self.assert_kept(&journal, &seen, &calls);
        daemon.serve_under(&[]);
        self.assert_settles(&mut daemon, &change_set, &before);
        lost
    }

    fn assert_said_so(&self, daemon: &Daemon, ended: ExitStatus) {
        let log = daemon.log();
        assert_eq!(ended.code(), Some(1), "{}: {log}", self.what);
        let said = log.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(
            said.contains(journal_of(daemon).to_str().unwrap()),
            "{}: it does not name the journal: {log}",
            self.what
        );
        assert!(said.contains("start the daemon again"), "{}: it does not say what to do: {log}", self.what);
    }

    fn assert_nothing_left_after(&self, calls: &Calls, struck: SystemTime) {
        let late = calls.filter(|c| WRITES.contains(&c.action.as_str()) && c.at > struck + ON_THE_WIRE);
        assert!(late.is_empty(), "{}: calls after the failed write: {late:?}", self.what);
    }

    /// What was acknowledged is on record, and whatever was executed has its intent there; the records.
    fn assert_kept(&self, journal: &Path, seen: &Seen, calls: &Calls) -> Vec<Entry> {
        let executed = calls.of("ExecuteChangeSet").filter(|c| c.fate != Fate::CutBefore);
        let Ok(opened) = Journal::open_read_only(journal) else {
            // It struck while the file was made.
            assert!(seen.rollout.is_none() && executed.is_empty(), "{}: no journal, and yet {seen:?}", self.what);
            return Vec::new();
        };
        let state = opened.replay().unwrap_or_else(|e| panic!("{}: {e}", self.what));
        let entries = opened.entries_after(Seq(0), usize::MAX).unwrap();
        if let Some(id) = &seen.rollout {
            let rollout = state.rollouts.get(&id.as_str().into());
            let rollout = rollout.unwrap_or_else(|| panic!("{}: the acknowledged rollout is lost", self.what));
            for target in &seen.applied {
                assert!(
                    rollout.targets[&target.as_str().into()].is_applied(),
                    "{}: {target} was shown as applied",
                    self.what
                );
            }
        }
        let intents: BTreeSet<(String, String)> = entries.iter().filter_map(intent).collect();
        for call in executed.iter() {
            let sent = (call.token().unwrap_or_default().to_owned(), call.change_set().unwrap_or_default().to_owned());
            assert!(intents.contains(&sent), "{}: executed without a durable intent: {sent:?}", self.what);
        }
        entries
    }

    /// Without the fault it goes on where it was, to the end.
    fn assert_settles(&self, daemon: &mut Daemon, change_set: &Path, before: &[Entry]) {
        daemon.run();
        let status = daemon.cli(&["status", "--json"]).expect_code(0).json();
        let rollout = match status["rollouts"][0]["rollout"].as_str() {
            Some(rollout) => rollout.to_owned(),
            // Nobody was told that it was taken.
            None => daemon.propose(change_set),
        };
        assert_eq!(daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}: {}", self.what, daemon.log());
        for cell in self.fleet {
            let snapshot = place(self.emulator, cell).snapshot(&cell.stack);
            assert_eq!(snapshot.template, fixture("setting-v2.yaml"), "{}: {}", self.what, cell.name);
        }
        let twice = self.emulator.proxy().calls().accepted_executes_per_token();
        assert!(twice.values().all(|n| *n == 1), "{}: executed twice: {twice:?}", self.what);
        let after = Journal::open_read_only(&journal_of(daemon)).unwrap().entries_after(Seq(0), usize::MAX).unwrap();
        assert!(after.len() > before.len());
        for (old, new) in before.iter().zip(&after) {
            assert_eq!((old.seq, old.at, &old.event), (new.seq, new.at, &new.event), "{}", self.what);
        }
    }
}

fn intent(entry: &Entry) -> Option<(String, String)> {
    match &entry.event {
        Event::OperationIntended { operation, .. } => match &operation.call {
            OperationCall::ExecuteChangeSet { arn, .. } => Some((operation.token.to_string(), arn.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn journal_of(daemon: &Daemon) -> PathBuf {
    daemon.state_dir().join("journal.db")
}

fn fleet() -> Vec<Cell> {
    cells(&["111111111111"], &["eu-west-1"], 3)
}

#[test]
fn a_failing_disk_stops_the_daemon_and_loses_nothing() {
    let Some(first) = Emulator::start() else { return };
    if let Some(why) = trace::missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let fleet = fleet();
    let Trace { syncs, writes, folder_syncs, .. } =
        Runner { emulator: &first, fleet: &fleet, what: String::new() }.undisturbed();
    drop(first);
    // Spread over the whole of an undisturbed rollout, the making of the file included.
    let mut left: Vec<(Fault, usize)> = Vec::new();
    for fault in Fault::ALL {
        let all = if fault.is_at_sync() { syncs } else { writes };
        let wanted = moments().min(all);
        let spread = (0..wanted).map(|n| 1 + (2 * n + 1) * all / (2 * wanted));
        let of_file = |at: usize| if fault.is_at_sync() && folder_syncs.contains(&at) { at + 1 } else { at };
        left.extend(spread.map(|at| (fault, of_file(at))));
    }
    // While the file is made, every one of them: SQLite has more ways then.
    let made = 1..folder_syncs.last().copied().unwrap_or(0);
    left.extend(made.filter(|at| !folder_syncs.contains(at)).map(|at| (Fault::SyncOnce, at)));
    let total = left.len();
    let left = Mutex::new(left);
    let lost = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(total) {
            scope.spawn(|| {
                let emulator = Emulator::start().unwrap();
                loop {
                    let Some((fault, at)) = left.lock().unwrap().pop() else { return };
                    let what = format!("{fault:?} at {at}");
                    if (Runner { emulator: &emulator, fleet: &fleet, what }).run(fault, at) {
                        *lost.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    let lost = lost.into_inner().unwrap();
    println!(
        "{total} faults of {} kinds among {syncs} fsyncs and {writes} writes of a rollout, all settled; a power cut took unsynced \
         records in {lost} of them",
        Fault::ALL.len()
    );
}

/// SQLite syncs the folder when it makes its files and does not look how that went; the daemon does it again, and looks.
#[test]
fn a_folder_that_cannot_be_synced_stops_the_start() {
    let Some(emulator) = Emulator::start() else { return };
    if let Some(why) = trace::missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let fleet = fleet();
    let what = "a folder that cannot be synced".to_owned();
    let undisturbed = Runner { emulator: &emulator, fleet: &fleet, what: String::new() }.undisturbed();
    assert_eq!(undisturbed.folder_syncs.len(), 3, "{undisturbed:?}");
    let runner = Runner { emulator: &emulator, fleet: &fleet, what };
    let (mut daemon, change_set) = runner.prepare();
    let at = undisturbed.folder_syncs[2];
    daemon.serve_under(&trace::strace(&daemon.home().join("trace"), Some((Fault::SyncOnce, at))));
    let (seen, ended) = runner.live(&mut daemon, &change_set, |_| ());
    assert_eq!((seen.rollout, ended.unwrap().code()), (None, Some(1)));
    let said = format!("error: the state directory `{}` cannot be used", daemon.state_dir().display());
    assert!(daemon.log().contains(&said), "{}", daemon.log());
    daemon.serve_under(&[]);
    runner.assert_settles(&mut daemon, &change_set, &[]);
}

/// A disk that is really full: somebody fills it while a wave rolls. With the room given back, it goes on.
#[test]
fn a_full_disk_stops_the_daemon_until_there_is_room() {
    let Some(emulator) = Emulator::start() else { return };
    let fleet = fleet();
    let runner = Runner { emulator: &emulator, fleet: &fleet, what: "a full disk".into() };
    let (mut daemon, change_set) = runner.prepare();
    let _disk = match SmallDisk::mount(&daemon.state_dir(), "2m") {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!(
                "skipped: no tmpfs may be mounted here ({why}); a full disk is tested as an injected ENOSPC alone"
            );
            return;
        }
    };
    let filler = daemon.state_dir().join("filler");
    let fill = |seen: &Seen| {
        if !seen.applied.is_empty() && !filler.exists() {
            // Until nothing goes in any more.
            let full = std::fs::write(&filler, vec![0_u8; 4 << 20]);
            assert!(full.is_err());
        }
    };
    let (seen, ended) = runner.live(&mut daemon, &change_set, fill);
    runner.assert_said_so(&daemon, ended.unwrap());
    assert!(daemon.log().contains("full"), "{}", daemon.log());
    let calls = emulator.proxy().calls();
    let before = runner.assert_kept(&journal_of(&daemon), &seen, &calls);
    std::fs::remove_file(&filler).unwrap();
    runner.assert_settles(&mut daemon, &change_set, &before);
    daemon.kill9();
}
