//! The file `KILL` in the state directory: a kill that needs no daemon to be given, only a person who may write there.
//!
//! An empty file pauses everything. Its first line may hold a mode (`halt`), its second a scope (`region=eu-west-1`), and the rest is
//! the reason. What cannot be read or understood pauses everything: unknown means stop.

use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{Digest, KillId};
use jiff::Timestamp;
use std::io::Read as _;
use std::path::{Path, PathBuf};

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
    let text = match std::fs::File::open(file) {
        Ok(open) => {
            let mut text = String::new();
            // A file that is no text pauses everything, like an empty one.
            let read = open.take(READ_AT_MOST).read_to_string(&mut text);
            if read.is_ok() { text } else { String::new() }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        // It is there and cannot be read: somebody wants to stop.
        Err(_) => String::new(),
    };
    Some(parse(&text, now))
}

/// The order that a text gives.
pub fn parse(text: &str, now: Timestamp) -> Kill {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let mode = lines.peek().and_then(|line| line.parse::<KillMode>().ok());
    if mode.is_some() {
        lines.next();
    }
    let scope = lines.peek().and_then(|line| line.parse::<KillScope>().ok());
    if scope.is_some() {
        lines.next();
    }
    let reason: String = lines.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(500).collect();
    let digest = Digest::of_bytes(text.as_bytes());
    Kill {
        id: KillId::new(format!("k-file-{}-{}", now.as_millisecond(), digest.as_str().get(..8).unwrap_or_default())),
        scope: scope.unwrap_or(KillScope::All),
        mode: mode.unwrap_or(KillMode::Pause),
        by: "kill file".into(),
        door: KillDoor::File,
        at: now,
        reason,
    }
}

/// Writes the file, so that it is there whole or not at all.
///
/// # Errors
/// The file system's.
pub fn write(state_dir: &Path, mode: KillMode, scope: &KillScope, reason: &str) -> std::io::Result<PathBuf> {
    let file = path(state_dir);
    let draft = state_dir.join(".KILL.draft");
    std::fs::write(&draft, text(mode, scope, reason))?;
    std::fs::rename(&draft, &file)?;
    Ok(file)
}

/// What is written for an order.
pub fn text(mode: KillMode, scope: &KillScope, reason: &str) -> String {
    format!("{mode}\n{scope}\n{reason}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

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
