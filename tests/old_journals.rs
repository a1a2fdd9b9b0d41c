//! Journals that earlier releases wrote are replayed to the state that those releases came to, and a record of a newer release stops
//! (S19). The corpus and how it grows: `tests/old_journals/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "old_journals/asked.rs"]
mod asked;
#[path = "old_journals/doors.rs"]
mod doors;
#[path = "old_journals/render.rs"]
mod render;
#[path = "old_journals/scenarios.rs"]
mod scenarios;
mod sim;
#[path = "old_journals/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use wavegate::journal::{Journal, JournalError, chain};
use wavegate::model::event::EVENT_VERSION;
use wavegate::model::ids::Seq;

/// One file is looked at by many people's `git clone`.
const SIZE_MAX: u64 = 100_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old_journals")
}

/// Every journal of every version.
fn journals() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let files = versions.flat_map(|version| std::fs::read_dir(version).unwrap().map(|e| e.unwrap().path()));
    let mut journals: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "db")).collect();
    journals.sort();
    assert!(journals.len() >= 5, "{journals:?}");
    journals
}

/// A copy that may be opened for writing, as a daemon does.
fn copy_of(journal: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::fs::copy(journal, &path).unwrap();
    (dir, path)
}

#[test]
fn every_old_journal_replays_to_the_state_of_its_release() {
    for journal in journals() {
        let golden = std::fs::read_to_string(journal.with_extension("state")).unwrap();
        let state = Journal::open_read_only(&journal).unwrap().replay().unwrap();
        assert_eq!(render::render(&state), golden, "{}", journal.display());
        // As a daemon of this release does: opened for writing, with the lead taken from whoever had it.
        let (_dir, path) = copy_of(&journal);
        let mut opened = Journal::open(&path).unwrap();
        let seen = opened.lease().unwrap();
        opened.take_lead(seen.as_ref(), "newer").unwrap();
        assert_eq!(opened.replay().unwrap(), state);
        assert!(opened.epoch() > state.epoch);
    }
}

#[test]
fn the_journals_are_small_and_left_as_they_were() {
    for journal in journals() {
        assert!(journal.metadata().unwrap().len() <= SIZE_MAX, "{}", journal.display());
        for beside in ["db-wal", "db-shm", "db-journal"] {
            assert!(!journal.with_extension(beside).exists(), "{} has a {beside}", journal.display());
        }
    }
}

#[test]
fn every_kind_of_event_is_in_an_old_journal() {
    let mut seen = BTreeSet::new();
    for journal in journals() {
        for entry in Journal::open_read_only(&journal).unwrap().entries_after(Seq(0), usize::MAX).unwrap() {
            seen.insert(entry.event.name());
        }
    }
    // Read from the source, so that a new kind cannot be left out.
    let source = include_str!("../src/model/event/look.rs");
    let names = source.split_once("pub fn name(&self)").unwrap().1;
    let kinds: BTreeSet<&str> = names.lines().filter_map(|l| l.split_once("=> \"")?.1.split('"').next()).collect();
    assert!(kinds.len() >= 32, "{kinds:?}");
    assert_eq!(seen, kinds, "a kind without an old journal: see tests/old_journals/README.md");
}

#[test]
fn this_release_has_its_journals() {
    let folder = corpus().join(env!("CARGO_PKG_VERSION"));
    assert!(folder.is_dir(), "a release adds its journals: see tests/old_journals/README.md");
}

#[test]
fn a_record_of_a_newer_release_stops() {
    let unknown_name = "body = json_set(body, '$.event', 'wave_skipped'), name = 'wave_skipped'";
    let newer_version = &format!("version = {}", EVENT_VERSION + 1);
    for (change, said) in [(unknown_name, "wave_skipped"), (newer_version, "and this release knows")] {
        for journal in journals() {
            let (_dir, path) = copy_of(&journal);
            let last = change_last(&path, change);
            for opened in [Journal::open(&path), Journal::open_read_only(&path)] {
                match opened.unwrap().replay() {
                    Err(JournalError::Unreadable { seq, reason }) => {
                        assert_eq!(seq, last);
                        assert!(reason.contains(said), "{reason}");
                    }
                    other => panic!("{}, {change}: {other:?}", journal.display()),
                }
            }
        }
    }
}

/// Changes the last record and chains it as whoever wrote it would have; its position.
fn change_last(path: &Path, change: &str) -> u64 {
    let db = rusqlite::Connection::open(path).unwrap();
    let last = "seq = (SELECT max(seq) FROM events)";
    db.execute(&format!("UPDATE events SET {change} WHERE {last}"), []).unwrap();
    let (seq, at, epoch, version, body) = db
        .query_row(&format!("SELECT seq, at, epoch, version, body FROM events WHERE {last}"), [], |r| {
            Ok((r.get(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?, r.get::<_, u32>(3)?, r.get::<_, String>(4)?))
        })
        .unwrap();
    let seq: i64 = seq;
    let before: String = db.query_row("SELECT link FROM events WHERE seq = ?", [seq - 1], |r| r.get(0)).unwrap();
    let link = chain::link(&before, seq.unsigned_abs(), &format!("{at}\n{epoch}\n{version}\n{body}"));
    db.execute("UPDATE events SET link = ? WHERE seq = ?", (link.as_str(), seq)).unwrap();
    seq.unsigned_abs()
}

/// `UPDATE_OLD_JOURNALS=1 cargo test --test old_journals write_the_corpus -- --ignored`
#[test]
#[ignore = "writes the journals of this release, once"]
fn write_the_corpus() {
    if std::env::var_os("UPDATE_OLD_JOURNALS").is_none() {
        panic!("set UPDATE_OLD_JOURNALS=1: this writes into the source tree");
    }
    let folder = corpus().join(env!("CARGO_PKG_VERSION"));
    let made = tempfile::tempdir().unwrap();
    for name in scenarios::NAMES {
        let path = made.path().join(format!("{name}.db"));
        scenarios::write(name, &path);
        let state = Journal::open_read_only(&path).unwrap().replay().unwrap();
        std::fs::write(path.with_extension("state"), render::render(&state)).unwrap();
    }
    // Only when all of them are there; and what has been written once is not written again.
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(made.path()).unwrap() {
        let from = entry.unwrap().path();
        let to = folder.join(from.file_name().unwrap());
        if !to.exists() {
            std::fs::copy(&from, to).unwrap();
        }
    }
}

/// The same run twice gives the same records: the corpus can be explained.
#[test]
fn the_scenarios_are_deterministic() {
    let dir = tempfile::tempdir().unwrap();
    let records = |n: usize| {
        let path = dir.path().join(format!("{n}.db"));
        scenarios::write("killed_taken_over_reverted", &path);
        let journal = Journal::open_read_only(&path).unwrap();
        journal.entries_after(Seq(0), usize::MAX).unwrap().into_iter().map(|e| (e.at, e.event)).collect::<Vec<_>>()
    };
    assert_eq!(records(1), records(2));
}
