//! The journal: an edit, a gap or a swap is found; an overtaken daemon writes nothing; what a newer release wrote is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use jiff::Timestamp;
use std::path::Path;
use wavegate::journal::{Journal, JournalError};
use wavegate::model::event::Event;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::{Epoch, KillId};

fn kill(n: usize) -> Event {
    Event::KillRequested {
        kill: Kill {
            id: KillId::new(format!("k-{n}")),
            scope: KillScope::All,
            mode: KillMode::Pause,
            by: "test".into(),
            door: KillDoor::Cli,
            at: Timestamp::UNIX_EPOCH,
            reason: String::new(),
        },
    }
}

fn lead(path: &Path) -> Journal {
    let mut journal = Journal::open(path).unwrap();
    let seen = journal.lease().unwrap();
    journal.take_lead(seen.as_ref(), "test").unwrap();
    journal
}

fn written(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let path = dir.path().join("journal.db");
    let mut journal = lead(&path);
    for n in 0..5 {
        journal.append(Timestamp::UNIX_EPOCH, &[kill(n)]).unwrap();
    }
    path
}

fn tampered(sql: &str) -> JournalError {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir);
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    Journal::open(&path).unwrap().replay().unwrap_err()
}

#[test]
fn what_was_written_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir);
    assert_eq!(Journal::open(&path).unwrap().replay().unwrap().kills.len(), 5);
    assert_eq!(Journal::open_read_only(&path).unwrap().replay().unwrap().kills.len(), 5);
}

#[test]
fn edits_gaps_and_swaps_are_found() {
    for sql in [
        "UPDATE events SET body = replace(body, 'pause', 'halt') WHERE seq = 3",
        "UPDATE events SET at = '2026-01-01T00:00:00Z' WHERE seq = 3",
        "UPDATE events SET epoch = 9 WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE events SET seq = 99 WHERE seq = 2; UPDATE events SET seq = 2 WHERE seq = 3; UPDATE events SET seq = 3 WHERE seq = 99",
    ] {
        let error = tampered(sql);
        assert!(matches!(error, JournalError::Broken { .. }), "{sql}: {error}");
    }
}

#[test]
fn a_look_up_column_that_does_not_follow_from_its_record_is_found() {
    let error = tampered("UPDATE events SET name = 'kill_lifted' WHERE seq = 3");
    assert!(matches!(error, JournalError::Broken { seq: 3 }), "{error}");
}

#[test]
fn a_newer_layout_and_a_newer_record_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::NewerLayout { found: 2, .. })));
}

#[test]
fn an_overtaken_daemon_writes_nothing_and_moves_no_lease() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut old = lead(&path);
    old.append(Timestamp::UNIX_EPOCH, &[kill(0)]).unwrap();
    let new = lead(&path);
    assert_eq!(new.epoch(), Epoch(2));
    let overtaken =
        |result: Result<(), JournalError>| matches!(result, Err(JournalError::Overtaken { newer: Epoch(2), .. }));
    assert!(overtaken(old.append(Timestamp::UNIX_EPOCH, &[kill(1)])));
    assert!(overtaken(old.renew()));
    assert!(overtaken(old.must_lead()));
    assert_eq!(new.replay().unwrap().kills.len(), 1);
}

#[test]
fn two_newcomers_do_not_both_lead() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    drop(lead(&path));
    let (mut one, mut two) = (Journal::open(&path).unwrap(), Journal::open(&path).unwrap());
    let seen = one.lease().unwrap();
    assert_eq!(two.lease().unwrap(), seen);
    one.take_lead(seen.as_ref(), "one").unwrap();
    assert!(matches!(two.take_lead(seen.as_ref(), "two"), Err(JournalError::Led { holder }) if holder == "one"));
}
