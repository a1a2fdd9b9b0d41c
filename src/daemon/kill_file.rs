//! The file `KILL` in the state directory: a kill that needs no daemon to be given, only a person who may write there.
//!
//! An empty file pauses everything. Its first line may hold a mode (`halt`), its second a scope (`region=eu-west-1`), and the rest is
//! the reason. What cannot be read or understood pauses everything: unknown means stop. A scope that is none stops everything, and sends
//! nothing back. A line `---` stands between two orders: whoever adds one takes none away.

use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{Digest, KillId};
use jiff::Timestamp;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The file's name.
pub const NAME: &str = "KILL";
/// A file that is larger is not read whole: what it says beyond is taken for a stop order, too.
const READ_AT_MOST: usize = 64 << 10;
/// So many orders are read: what looks like more is no list of orders.
const ORDERS: usize = 64;
/// So much of a reason is kept, in characters.
const REASON_MAX: usize = 500;
/// Stands between two orders.
const NEXT: &str = "---";
/// Of what a scope says what it stops.
const KINDS: [&str; 6] = ["environment", "region", "cell", "pipeline", "agent", "rollout"];

/// Where it is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// The orders that the file gives; none: there is no file. The same content is the same orders.
pub fn read(file: &Path, now: Timestamp) -> Vec<Kill> {
    let mut bytes = Vec::new();
    match File::open(file).and_then(|open| open.take(READ_AT_MOST as u64 + 1).read_to_end(&mut bytes)) {
        // A letter that is none takes nothing from the rest.
        Ok(_) => parse_all(&String::from_utf8_lossy(&bytes), now),
        Err(_) if is_absent(file) => Vec::new(),
        // It is there, or nobody knows, and it cannot be read: somebody wants to stop.
        Err(error) => vec![everything(&format!("the kill file cannot be read: {error}"), now)],
    }
}

fn everything(why: &str, now: Timestamp) -> Kill {
    Kill { reason: why.to_owned(), ..parse("", now) }
}

/// The orders that a text gives: one at least, and each once.
pub fn parse_all(text: &str, now: Timestamp) -> Vec<Kill> {
    let mut orders = vec![String::new()];
    for line in text.lines() {
        match orders.last_mut() {
            Some(order) if line.trim() != NEXT => {
                order.push_str(line);
                order.push('\n');
            }
            _ => orders.push(String::new()),
        }
    }
    let is_long = text.len() > READ_AT_MOST;
    // The last one is cut somewhere: in its reason, or in what it stops.
    let in_its_reason = || text.lines().filter(|line| !line.trim().is_empty()).take(3).count() == 3;
    if is_long && (orders.len() > 1 || !in_its_reason()) {
        orders.pop();
    }
    let is_long = is_long || orders.len() > ORDERS;
    let mut kills: Vec<Kill> = Vec::new();
    for order in orders.iter().take(ORDERS) {
        let kill = parse(order, now);
        if !kills.iter().any(|known| known.mode == kill.mode && known.scope.is_same(&kill.scope)) {
            kills.push(kill);
        }
    }
    if is_long && !kills.iter().any(|kill| kill.scope == KillScope::All) {
        kills.push(everything("the kill file is too long to be read whole", now));
    }
    for (number, kill) in kills.iter_mut().enumerate().skip(1) {
        kill.id = KillId::new(format!("{}-{number}", kill.id.as_str()));
    }
    kills
}

/// There is no such file. This needs no file descriptor: a process that has none left does not take that for a stop order.
fn is_absent(file: &Path) -> bool {
    file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The order that a text of one gives.
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
    let reason: String =
        lines.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
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

/// `regoin=eu-west-1`, or `region = eu west`: one word that says of what, or what is known to be such a word. A reason has spaces.
fn is_like_a_scope(line: &str) -> bool {
    let Some((kind, _)) = line.split_once('=') else { return false };
    !line.contains(char::is_whitespace) || KINDS.contains(&kind.trim().to_lowercase().as_str())
}

/// What became of an order that was added to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// The file says it, beside what it said before.
    Written,
    /// The file said as much already.
    Held,
    /// The order cannot be written, for this reason; a file without one can: it pauses everything.
    Empty(String),
}

/// Adds an order to the file, durably. The file is there whole or not at all, and what it said before stays in force.
///
/// # Errors
/// The file system's. What the file said before is still there.
pub fn add(file: &Path, mode: KillMode, scope: &KillScope, reason: &str) -> std::io::Result<Added> {
    let _turn = turn(file);
    let there = read(file, Timestamp::UNIX_EPOCH);
    if there.iter().any(|kill| kill.mode >= mode && (kill.scope == KillScope::All || kill.scope.is_same(scope))) {
        return Ok(Added::Held);
    }
    let lesser = |kill: &Kill| kill.mode <= mode && (*scope == KillScope::All || scope.is_same(&kill.scope));
    let kept = there.iter().filter(|kill| !lesser(kill)).map(|kill| text(kill.mode, &kill.scope, &kill.reason));
    let all: Vec<String> = kept.chain([text(mode, scope, reason)]).collect();
    let mut said = all.join(&format!("{NEXT}\n"));
    if said.len() > READ_AT_MOST || all.len() > ORDERS {
        said = text(KillMode::Halt, &KillScope::All, "there are more orders than the kill file holds");
    }
    match write(file, &said) {
        Ok(()) => Ok(Added::Written),
        // An empty file needs no room, and stops.
        Err(error) if there.is_empty() => match OpenOptions::new().write(true).create_new(true).open(file) {
            Ok(_) => {
                make_last(file);
                Ok(Added::Empty(error.to_string()))
            }
            Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// For whoever else works on the file: one at a time, for as long as this is held. One that hangs keeps nobody from stopping for long.
#[must_use]
pub fn turn(file: &Path) -> Option<File> {
    // The folder, which every writer may read: a file for the lock could be somebody else's.
    let lock = File::open(file.parent()?).ok()?;
    for _ in 0..100 {
        match lock.try_lock() {
            Ok(()) => return Some(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            // There are no locks here.
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Drafts of one process have names of their own.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = file.with_file_name(format!(".KILL.{}.{number}", std::process::id()));
    let written = File::create(&draft).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&draft, file));
    if moved.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    moved?;
    make_last(file);
    Ok(())
}

/// It is in force. That the folder cannot be told to last is no reason to say that it is not.
fn make_last(file: &Path) {
    if let Some(Err(error)) = file.parent().map(|folder| File::open(folder).and_then(|folder| folder.sync_all())) {
        tracing::warn!(%error, "the kill file is there, and may not outlast a power cut");
    }
}

/// What is written for an order. A reason is one line: it begins no other order.
pub fn text(mode: KillMode, scope: &KillScope, reason: &str) -> String {
    let scope = scope.to_string().replace(char::is_control, " ");
    let words: Vec<&str> = reason.split_whitespace().collect();
    let mut reason: String = words.join(" ").chars().take(REASON_MAX).collect();
    if reason.trim() == NEXT {
        reason = "- - -".into();
    }
    format!("{mode}\n{scope}\n{reason}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn all(file: &Path) -> Vec<(KillMode, KillScope, String)> {
        let kills = read(file, Timestamp::UNIX_EPOCH);
        kills.into_iter().map(|kill| (kill.mode, kill.scope, kill.reason)).collect()
    }

    fn cell(name: &str) -> KillScope {
        KillScope::Cell(name.into())
    }

    #[test]
    fn nobody_takes_away_what_somebody_else_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        let add = |mode, scope: &KillScope, why| add(&file, mode, scope, why).unwrap();
        assert_eq!(add(KillMode::Pause, &cell("a"), "one"), Added::Written);
        assert_eq!(add(KillMode::Halt, &cell("A"), "two"), Added::Written);
        assert_eq!(all(&file), [(KillMode::Halt, cell("A"), "two".into())]);
        assert_eq!(add(KillMode::Pause, &cell("a"), "three"), Added::Held);
        assert_eq!(add(KillMode::Revert, &cell("b"), "four\n---\nrevert\nall\n"), Added::Written);
        let both =
            [(KillMode::Halt, cell("A"), "two".into()), (KillMode::Revert, cell("b"), "four --- revert all".into())];
        assert_eq!(all(&file), both, "a pause of one and a revert of another are no revert of everything");
        assert_eq!(add(KillMode::Halt, &KillScope::All, "five"), Added::Written);
        let both = [
            (KillMode::Revert, cell("b"), "four --- revert all".into()),
            (KillMode::Halt, KillScope::All, "five".into()),
        ];
        assert_eq!(all(&file), both);
        assert_eq!(add(KillMode::Halt, &cell("c"), "six"), Added::Held);
        assert_eq!(add(KillMode::Revert, &KillScope::All, "seven"), Added::Written);
        assert_eq!(all(&file), [(KillMode::Revert, KillScope::All, "seven".into())]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn an_empty_file_goes_on_pausing_everything() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        std::fs::write(&file, "").unwrap();
        assert_eq!(add(&file, KillMode::Pause, &cell("a"), "").unwrap(), Added::Held);
        assert_eq!(add(&file, KillMode::Halt, &cell("a"), "x").unwrap(), Added::Written);
        assert_eq!(
            all(&file),
            [(KillMode::Pause, KillScope::All, String::new()), (KillMode::Halt, cell("a"), "x".into())]
        );
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        std::thread::scope(|scope| {
            for n in 0..4 {
                let file = &file;
                scope.spawn(move || add(file, KillMode::Halt, &cell(&n.to_string()), "").unwrap());
            }
        });
        assert_eq!(read(&file, Timestamp::UNIX_EPOCH).len(), 4);
    }

    #[test]
    fn what_is_no_text_takes_nothing_from_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        std::fs::write(&file, b"halt\nregion=eu-west-1\n\xff\xfe").unwrap();
        assert_eq!(all(&file)[0].1, KillScope::Region("eu-west-1".into()));
        // Nobody knows what stands beyond what is read.
        std::fs::write(&file, format!("halt\nregion=eu-west-1\n{}", "ä".repeat(40_000))).unwrap();
        let found = all(&file);
        assert_eq!((found[0].0, &found[0].1), (KillMode::Halt, &KillScope::Region("eu-west-1".into())));
        assert_eq!((found[1].0, &found[1].1), (KillMode::Pause, &KillScope::All));
        std::fs::remove_file(&file).unwrap();
        assert!(all(&file).is_empty());
        // A folder in its place cannot be read: somebody wants to stop.
        std::fs::create_dir(&file).unwrap();
        let found = all(&file);
        assert_eq!((found[0].0, &found[0].1), (KillMode::Pause, &KillScope::All));
        assert!(found[0].2.contains("cannot be read"), "{found:?}");
    }

    /// Each is recorded under its own id, once: what the record does not take would end the daemon.
    #[test]
    fn orders_in_one_file_are_different_ones() {
        let orders = |text: &str| parse_all(text, Timestamp::UNIX_EPOCH);
        for text in ["---\n", "---\n---\n---", "---\npause\nall\n---\n", "pause\n---\nPause\n"] {
            assert_eq!(orders(text).len(), 1, "{text:?}");
        }
        assert_eq!(orders("halt\ncell=a\n---\nhalt\ncell=A\n").len(), 1);
        let many: String = (0..1_000).map(|n| format!("halt\ncell={n}\n---\n")).collect();
        let kills = orders(&many);
        assert_eq!((kills.len(), &kills[ORDERS].scope), (ORDERS + 1, &KillScope::All));
        let mut state = crate::model::state::State::default();
        for kill in kills {
            state.apply(&crate::model::event::Event::KillRequested { kill }).unwrap();
        }
    }

    #[test]
    fn an_order_that_is_cut_counts_for_what_it_says_and_no_more() {
        let orders = |text: String| -> Vec<_> {
            let kills = parse_all(&text, Timestamp::UNIX_EPOCH);
            kills.into_iter().map(|kill| (kill.mode, kill.scope)).collect()
        };
        let all = (KillMode::Pause, KillScope::All);
        let long = "x".repeat(READ_AT_MOST);
        assert_eq!(orders(format!("halt\ncell=a\nwhy\n{long}")), [(KillMode::Halt, cell("a")), all.clone()]);
        assert_eq!(orders(format!("revert\ncell={long}")), std::slice::from_ref(&all));
        assert_eq!(orders(format!("halt\ncell=a\n---\nrevert\ncell={long}")), [(KillMode::Halt, cell("a")), all]);
    }

    #[test]
    fn a_reason_is_no_other_order() {
        for reason in ["---", "----", " --- ", "a\n---\nrevert\n", "-- -"] {
            let written = text(KillMode::Halt, &cell("a"), reason);
            let more = format!("{written}{NEXT}\n{written}");
            assert_eq!(parse_all(&more, Timestamp::UNIX_EPOCH).len(), 1, "{reason:?}");
        }
    }

    #[test]
    fn a_scope_that_is_none_stops_everything_and_sends_nothing_back() {
        for (text, mode) in [
            ("revert\nregoin=eu-west-1\n", KillMode::Halt),
            ("halt\nregoin=eu-west-1\n", KillMode::Halt),
            ("revert\ncell=a\t# api\n", KillMode::Halt),
            ("revert\nRegion = eu west\n", KillMode::Halt),
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
