//! Opening a journal to read it: beside a daemon, or offline on a file that may be evidence. Nothing of it or beside it is changed.

use super::chain::GENESIS;
use super::store::{BUSY, Journal, JournalError, LAYOUT};
use crate::model::ids::Epoch;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

impl Journal {
    /// Opens an existing journal to read it, beside a daemon or without one.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        let storage = |source| JournalError::Unopened { path: path.to_owned(), source };
        let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = if has_wal(path) {
            Connection::open_with_flags(path, read)
        } else {
            // Nobody has it open, since whoever has keeps a WAL. SQLite would make one beside it and leave it there; as an immutable
            // file it is left alone, and can also be read in a folder that cannot be written.
            Connection::open_with_flags(immutable(path), read | OpenFlags::SQLITE_OPEN_URI)
        };
        let db = db.map_err(storage)?;
        db.busy_timeout(BUSY).map_err(storage)?;
        // The last one to close a file moves the WAL into it, or tries to: a reader leaves that to whoever writes.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(storage)?;
        // The first read: what is no database shows here. INVARIANT: S19. Nor is a layout of a newer release guessed at.
        let found: i32 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(storage)?;
        if found > LAYOUT {
            return Err(JournalError::NewerLayout { path: path.to_owned(), found });
        }
        // Without the table it is an empty file, or somebody else's database.
        db.prepare("SELECT seq, link FROM events LIMIT 0").map(drop).map_err(storage)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            last: (0, GENESIS.to_owned()),
            epoch: Epoch(0),
            #[cfg(feature = "proof")]
            tap: super::tap::Slot::default(),
        })
    }
}

fn has_wal(path: &Path) -> bool {
    let mut name = OsString::from(path.as_os_str());
    name.push("-wal");
    // One that cannot be looked for may be there.
    PathBuf::from(name).try_exists().unwrap_or(true)
}

/// `file:` with every byte of the path that could mean something else written as `%2F`.
fn immutable(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => uri.push(char::from(*byte)),
            // Writing to a String cannot fail.
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_add_to_the_uri() {
        assert_eq!(immutable(Path::new("/a b?mode=rwc#")), "file:%2Fa%20b%3Fmode%3Drwc%23?immutable=1");
    }
}
