//! The file `KILL` in the state directory: a kill that needs no daemon to be given, only a person who may write there.
//!
//! An empty file pauses everything. Its first line may hold a mode (`halt`), its second a scope (`region=eu-west-1`), and the rest is
//! the reason. What cannot be read or understood pauses everything: unknown means stop. A scope that is none stops everything, and sends
//! nothing back.
//!
//! There is one file. Whoever adds an order to it takes nothing away: where neither order holds the other, the harder mode holds for all.

use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{Digest, KillId};
use jiff::Timestamp;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name.
pub const NAME: &str = "KILL";
/// More than this of the file is not read.
const READ_AT_MOST: u64 = 4096;

/// Where it is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// The order that the file gives; none: there is no file. The same content is the same order.
pub fn read(file: &Path, now: Timestamp) -> Option<Kill> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(READ_AT_MOST).read_to_end(&mut bytes));
    match read {
        // A letter that is none, or half of one at the end, takes nothing from the rest.
        Ok(_) => Some(parse(&String::from_utf8_lossy(&bytes), now)),
        Err(_) if is_absent(file) => None,
        // It is there, or nobody knows, and it cannot be read: somebody wants to stop.
        Err(error) => Some(Kill { reason: format!("the kill file cannot be read: {error}"), ..parse("", now) }),
    }
}

/// There is no such file. This needs no file descriptor: a process that has none left does not take that for a stop order.
fn is_absent(file: &Path) -> bool {
    file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The order that a text gives.
pub fn parse(text: &str, now: Timestamp) -> Kill {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mode = lines.peek().and_then(|line| line.parse::<KillMode>().ok());
    if mode.is_some() {
        lines.next();
    }
    let scope = lines.peek().and_then(|line| line.parse::<KillScope>().ok());
    let misspelt = scope.is_none() && lines.peek().is_some_and(|line| is_like_a_scope(line));
    if scope.is_some() {
        lines.next();
    }
    let mode = mode.unwrap_or(KillMode::Pause);
    let reason: String = lines.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(500).collect();
    let digest = Digest::of_bytes(text.as_bytes());
    Kill {
        id: KillId::new(format!("k-file-{}-{}", now.as_millisecond(), digest.as_str().get(..8).unwrap_or_default())),
        scope: scope.unwrap_or(KillScope::All),
        // Meant for a part, and nobody knows which: everything stops, and what went well is not sent back.
        mode: if misspelt { mode.min(KillMode::Halt) } else { mode },
        by: "kill file".into(),
        door: KillDoor::File,
        at: now,
        reason,
    }
}

/// `regoin=eu-west-1`: one word that says of what. A reason has spaces.
fn is_like_a_scope(line: &str) -> bool {
    line.contains('=') && !line.contains(char::is_whitespace)
}

/// What became of an order that was added to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// The file says it.
    Written,
    /// The file said as much already.
    Held,
    /// Another order was there that stops something else: together they stop everything, in the harder of both modes.
    Widened(KillMode),
}

/// Adds an order to the file, durably, so that the file is there whole or not at all. What it said before stays in force.
///
/// # Errors
/// The file system's. What the file said before is still there.
pub fn add(file: &Path, mode: KillMode, scope: &KillScope, reason: &str) -> std::io::Result<Added> {
    let _turn = turn(file);
    let wanted = (mode, scope.clone());
    let found = read(file, Timestamp::UNIX_EPOCH);
    let (added, text) = match found.map(|kill| ((kill.mode, kill.scope), kill.reason)) {
        None => (Added::Written, text(mode, scope, reason)),
        Some((there, _)) if holds(&there, &wanted) => return Ok(Added::Held),
        Some((there, _)) if holds(&wanted, &there) => (Added::Written, text(mode, scope, reason)),
        Some(((other, elsewhere), before)) => {
            let harder = mode.max(other);
            let both = format!("{other} {elsewhere} {before}; and {mode} {scope} {reason}");
            (Added::Widened(harder), text(harder, &KillScope::All, &both))
        }
    };
    write(file, &text)?;
    Ok(added)
}

/// One order is as hard as the other, and stops at least as much.
fn holds((mode, scope): &(KillMode, KillScope), (other_mode, other): &(KillMode, KillScope)) -> bool {
    mode >= other_mode && (*scope == KillScope::All || scope.is_same(other))
}

/// One writer at a time; one that hangs keeps nobody from stopping.
fn turn(file: &Path) -> Option<File> {
    let lock = File::create(file.with_file_name(".KILL.lock")).ok()?;
    for _ in 0..50 {
        if lock.try_lock().is_ok() {
            return Some(lock);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let draft = file.with_file_name(format!(".KILL.{}", std::process::id()));
    let written = File::create(&draft).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&draft, file));
    if moved.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    moved?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// What is written for an order.
pub fn text(mode: KillMode, scope: &KillScope, reason: &str) -> String {
    format!("{mode}\n{scope}\n{reason}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn nobody_takes_away_what_somebody_else_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        let found = || read(&file, Timestamp::UNIX_EPOCH).map(|kill| (kill.mode, kill.scope, kill.reason));
        let cell = |name: &str| KillScope::Cell(name.into());
        let add = |mode, scope: &KillScope, why| add(&file, mode, scope, why).unwrap();
        assert_eq!(add(KillMode::Pause, &cell("a"), "one"), Added::Written);
        assert_eq!(add(KillMode::Halt, &cell("A"), "two"), Added::Written);
        assert_eq!(found(), Some((KillMode::Halt, cell("A"), "two".into())));
        assert_eq!(add(KillMode::Pause, &cell("a"), "three"), Added::Held);
        assert_eq!(add(KillMode::Pause, &cell("b"), "four"), Added::Widened(KillMode::Halt));
        assert_eq!(found(), Some((KillMode::Halt, KillScope::All, "halt cell=A two; and pause cell=b four".into())));
        assert_eq!(add(KillMode::Halt, &cell("c"), "five"), Added::Held);
        assert_eq!(add(KillMode::Revert, &KillScope::All, "six"), Added::Written);
        assert_eq!(found(), Some((KillMode::Revert, KillScope::All, "six".into())));
        let rest: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(rest.len(), 2, "the file and its lock: {rest:?}");
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        std::thread::scope(|scope| {
            for mode in [KillMode::Pause, KillMode::Halt, KillMode::Revert] {
                let file = &file;
                scope.spawn(move || add(file, mode, &KillScope::Cell(mode.to_string()), "").unwrap());
            }
        });
        let kill = read(&file, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((kill.mode, kill.scope), (KillMode::Revert, KillScope::All));
    }

    #[test]
    fn what_is_no_text_takes_nothing_from_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        std::fs::write(&file, [b"halt\nregion=eu-west-1\n\xff\xfe", "ä".repeat(3000).as_bytes()].concat()).unwrap();
        let kill = read(&file, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((kill.mode, kill.scope), (KillMode::Halt, KillScope::Region("eu-west-1".into())));
        std::fs::remove_file(&file).unwrap();
        assert!(read(&file, Timestamp::UNIX_EPOCH).is_none());
        // A folder in its place cannot be read: somebody wants to stop.
        std::fs::create_dir(&file).unwrap();
        let kill = read(&file, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((kill.mode, kill.scope), (KillMode::Pause, KillScope::All));
        assert!(kill.reason.contains("cannot be read"), "{}", kill.reason);
    }

    #[test]
    fn a_scope_that_is_none_stops_everything_and_sends_nothing_back() {
        for (text, mode) in [
            ("revert\nregoin=eu-west-1\n", KillMode::Halt),
            ("halt\nregoin=eu-west-1\n", KillMode::Halt),
            ("revert\np99 = 3 s is too much\n", KillMode::Revert),
            ("revert\n", KillMode::Revert),
        ] {
            let kill = parse(text, Timestamp::UNIX_EPOCH);
            assert_eq!((kill.mode, kill.scope), (mode, KillScope::All), "{text:?}");
        }
    }

    #[test]
    fn an_empty_file_pauses_everything() {
        let kill = parse("", Timestamp::UNIX_EPOCH);
        assert_eq!((kill.mode, kill.scope), (KillMode::Pause, KillScope::All));
    }

    #[test]
    fn what_is_not_understood_pauses_everything() {
        for text in ["\u{0}\u{1}", "HALT!!", "please stop", "region="] {
            let kill = parse(text, Timestamp::UNIX_EPOCH);
            assert_eq!((kill.mode, kill.scope), (KillMode::Pause, KillScope::All), "{text:?}");
        }
    }

    #[test]
    fn mode_scope_and_reason_are_read() {
        let kill = parse("halt\nregion=eu-west-1\nlatency is up\n", Timestamp::UNIX_EPOCH);
        assert_eq!((kill.mode, kill.scope), (KillMode::Halt, KillScope::Region("eu-west-1".into())));
        assert_eq!(kill.reason, "latency is up");
    }
}
