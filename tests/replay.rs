//! `wavegate replay`: a journal is told from its first record to its last, offline; what is wrong with it is named by its record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::Timestamp;
use serde_json::Value;
use sim::{Change, Harness, V2_BAD};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wavegate::journal::Journal;
use wavegate::model::event::{Event, Outcome};

const NO_ARGS: [&str; 0] = [];

fn replay(path: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wavegate")).arg("replay").arg(path).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A journal of a reverted rollout, closed.
fn reverted(dir: &Path) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut h = Harness::new(2, &[1, 2]).await;
        h.propose(Change::update(V2_BAD)).await;
        assert_eq!(h.run_to_end().await, Outcome::Reverted);
        let path = dir.join("a copy?.db");
        h.copy_journal(&path);
        path
    })
}

fn files(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_journal_is_told_record_by_record_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = reverted(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let (code, out, err) = replay(&path, &NO_ARGS);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("leader_started") && lines[0].contains("epoch 1"), "{out}");
    assert!(lines[1].contains("rollout_proposed") && lines[1].contains("3 targets in 2 waves"), "{out}");
    for said in ["operation_intended", "forward: execute arn:", "back: execute arn:", "health broke with wave"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(out.contains("\n    cell-00/orders  restored\n"), "{out}");
    assert_eq!(files(dir.path()), ["a copy?.db"], "replay leaves nothing behind");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn json_has_every_record_whole_and_the_state_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = reverted(dir.path());
    let (code, out, _) = replay(&path, &["--json"]);
    assert_eq!(code, 0);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, records) = lines.split_last().unwrap();
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], n + 1);
        let event: Event = serde_json::from_value(record["event"].clone()).unwrap();
        assert_eq!(record["name"], event.name());
    }
    assert_eq!(last["seq"], records.len());
    assert_eq!(last["state"]["rollouts"][0]["outcome"], "reverted");
}

#[test]
fn what_is_wrong_is_named_by_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let sound = reverted(dir.path());
    // (damage, what is said of it, the last record before it)
    let damages = [
        (
            "UPDATE events SET body = replace(body, 'restore', 'xestore') WHERE seq = 7",
            "record 7 of the journal was changed",
            6,
        ),
        ("DELETE FROM events WHERE seq = 5", "record 5 of the journal was changed, or one before it is missing", 4),
        ("UPDATE events SET body = x'00' WHERE seq = 9", "record 9 of the journal cannot be read", 8),
        ("UPDATE events SET name = 'wave_started' WHERE seq = 3", "record 3 of the journal was changed", 2),
    ];
    for (sql, said, before) in damages {
        let path = dir.path().join("damaged.db");
        std::fs::copy(&sound, &path).unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1, "{sql}");
        drop(db);
        let (code, out, err) = replay(&path, &NO_ARGS);
        assert_eq!(code, 1, "{sql}");
        assert!(err.contains(said), "{sql}: {err}");
        assert!(out.contains(&format!("after record {before}: ")), "{sql}: {out}");
        assert_eq!(out.lines().take_while(|line| !line.is_empty()).count(), before, "{sql}");
    }
}

#[test]
fn a_record_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut journal = Journal::open(&path).unwrap();
    journal.take_lead(None, "test").unwrap();
    let lifted = Event::KillLifted { kill: "k-1".into(), by: ["a".into(), "b".into()] };
    journal.append(Timestamp::UNIX_EPOCH, &[lifted]).unwrap();
    // Read beside the process that has it open, too.
    let (code, _, err) = replay(&path, &NO_ARGS);
    assert_eq!(code, 1);
    assert!(err.contains("record 1 of the journal does not fit") && err.contains("kill k-1"), "{err}");
}

#[test]
fn what_is_no_journal_is_bad_usage_and_a_newer_layout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    std::fs::write(&text, "version: 1\n".repeat(200)).unwrap();
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for path in [text, other, dir.path().join("none"), dir.path().to_owned()] {
        let (code, out, err) = replay(&path, &NO_ARGS);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("cannot be read as a journal"), "{err}");
    }
    let newer = reverted(dir.path());
    rusqlite::Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let (code, _, err) = replay(&newer, &NO_ARGS);
    assert_eq!(code, 1);
    assert!(err.contains("layout 2"), "{err}");
}

#[test]
fn a_reader_who_has_gone_is_no_failure_and_a_full_disk_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = reverted(dir.path());
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate"));
        command.arg("replay").arg(&path).arg("--json").stderr(Stdio::piped());
        command
    };
    let mut child = command().stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command().stdout(full).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not be written"), "{output:?}");
}
