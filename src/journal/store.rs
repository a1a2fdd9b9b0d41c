//! The journal's file.

use super::chain::{self, GENESIS};
use crate::guard::{self, Guard};
use crate::model::event::{EVENT_VERSION, Event};
use crate::model::ids::{Epoch, RolloutId, Seq};
use crate::model::state::{IllegalTransition, State};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The layout of the file; a newer one is refused.
pub(super) const LAYOUT: i32 = 1;
/// The oldest SQLite that may write: 3.51.3 mends a race in which a WAL reset could lose a committed transaction.
const SQLITE_MIN: i32 = 3_051_003;
/// How long another process may hold the write lock: a lease renewal takes a millisecond.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Why the journal cannot be used. Each of these stops the daemon.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite failed: disk full, I/O error, lock.
    #[error(
        "the journal `{path}` cannot be used; see that its disk has room, is sound and may be written, then start the daemon again"
    )]
    Storage {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// A file that is only to be read is no journal, or is not there.
    #[error("`{path}` cannot be read as a journal; name a `journal.db` of a state directory, or a copy of one")]
    Unopened {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The library is too old.
    #[error(
        "SQLite {found} is older than {SQLITE_MIN}, the first that does not lose commits when a WAL is reset; build with the bundled one"
    )]
    OldSqlite {
        /// Its version number.
        found: i32,
    },
    /// The file is of a newer release.
    #[error("the journal `{path}` has layout {found}, and this release knows {LAYOUT}; run the release that wrote it")]
    NewerLayout {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i32,
    },
    /// A setting did not take.
    #[error("the journal `{path}` does not take `{setting}`; use a local file system that supports it")]
    Setting {
        /// The file.
        path: PathBuf,
        /// Which.
        setting: &'static str,
    },
    /// A record of a newer release, or one that cannot be read (S19).
    #[error(
        "record {seq} of the journal cannot be read: {reason}; run the release that wrote it, or restore the file from a copy"
    )]
    Unreadable {
        /// Which.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// The chain of digests is broken.
    #[error("record {seq} of the journal was changed, or one before it is missing; restore the file from a copy")]
    Broken {
        /// The first record that does not fit.
        seq: u64,
    },
    /// A record that does not fit the state.
    #[error("record {seq} of the journal does not fit")]
    Illegal {
        /// Which.
        seq: u64,
        /// How.
        #[source]
        source: IllegalTransition,
    },
    /// Another daemon leads now: this one issues nothing more.
    #[error("daemon of epoch {newer} has taken over from epoch {ours}; this one stops")]
    Overtaken {
        /// Ours.
        ours: Epoch,
        /// Theirs.
        newer: Epoch,
    },
    /// Another daemon leads and is alive.
    #[error("another daemon ({holder}) leads in this state directory; talk to it, or end it first")]
    Led {
        /// Who.
        holder: String,
    },
}

/// One record as read back.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// When it was written, by the wall clock.
    pub at: Timestamp,
    /// By which leader.
    pub epoch: Epoch,
    /// The fact.
    pub event: Event,
}

/// The journal, open.
#[derive(Debug)]
pub struct Journal {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pub(super) last: (u64, String),
    pub(super) epoch: Epoch,
    #[cfg(feature = "proof")]
    pub(super) tap: super::tap::Slot,
}

impl Journal {
    /// Opens the journal for writing; makes it where there is none.
    ///
    /// # Errors
    /// [`JournalError`] when the file, its layout or the library is not fit.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open(path).map_err(|source| JournalError::Storage { path: path.to_owned(), source })?;
        let mut journal = Self {
            db,
            path: path.to_owned(),
            last: (0, GENESIS.to_owned()),
            epoch: Epoch(0),
            #[cfg(feature = "proof")]
            tap: super::tap::Slot::default(),
        };
        journal.settings()?;
        journal.layout()?;
        journal.last = journal.read_last()?;
        Ok(journal)
    }

    /// A journal in memory, for commands that need no daemon.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_memory() -> Result<Self, JournalError> {
        let path = PathBuf::from(":memory:");
        let db = Connection::open_in_memory().map_err(|source| JournalError::Storage { path: path.clone(), source })?;
        let journal = Self {
            db,
            path,
            last: (0, GENESIS.to_owned()),
            epoch: Epoch(0),
            #[cfg(feature = "proof")]
            tap: super::tap::Slot::default(),
        };
        journal.layout()?;
        Ok(journal)
    }

    pub(super) fn storage(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Storage { path: self.path.clone(), source }
    }

    fn settings(&self) -> Result<(), JournalError> {
        let found = rusqlite::version_number();
        if found < SQLITE_MIN {
            return Err(JournalError::OldSqlite { found });
        }
        self.db.busy_timeout(BUSY).map_err(|e| self.storage(e))?;
        self.switch_to_wal().map_err(|e| self.storage(e))?;
        // SQLite finds out with the next read in which mode the file really is.
        let mode: String = self
            .db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .and_then(|()| self.db.query_row("PRAGMA journal_mode", [], |r| r.get(0)))
            .map_err(|e| self.storage(e))?;
        if mode != "wal" {
            return Err(JournalError::Setting { path: self.path.clone(), setting: "journal_mode = WAL" });
        }
        self.db.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;").map_err(|e| self.storage(e))?;
        let level: i32 = self.db.query_row("PRAGMA synchronous", [], |r| r.get(0)).map_err(|e| self.storage(e))?;
        if level != 2 {
            return Err(JournalError::Setting { path: self.path.clone(), setting: "synchronous = FULL" });
        }
        Ok(())
    }

    /// The pragma answers `wal` before it writes that into the file: only its last step tells whether that worked.
    fn switch_to_wal(&self) -> Result<(), rusqlite::Error> {
        let mut pragma = self.db.prepare("PRAGMA journal_mode = WAL")?;
        let mut rows = pragma.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    fn layout(&self) -> Result<(), JournalError> {
        let found: i32 = self.db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(|e| self.storage(e))?;
        if found > LAYOUT {
            return Err(JournalError::NewerLayout { path: self.path.clone(), found });
        }
        self.db
            .execute_batch(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS events (
                     seq INTEGER PRIMARY KEY, at TEXT NOT NULL, epoch INTEGER NOT NULL, version INTEGER NOT NULL,
                     name TEXT NOT NULL, rollout TEXT, target TEXT, body TEXT NOT NULL, link TEXT NOT NULL);
                 CREATE INDEX IF NOT EXISTS events_of ON events (rollout, target, name);
                 CREATE INDEX IF NOT EXISTS events_named ON events (name);
                 CREATE TABLE IF NOT EXISTS lease (
                     one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, holder TEXT NOT NULL, beat INTEGER NOT NULL);
                 PRAGMA user_version = 1;
                 COMMIT;",
            )
            .map_err(|e| self.storage(e))
    }

    fn read_last(&self) -> Result<(u64, String), JournalError> {
        let row = self
            .db
            .query_row("SELECT seq, link FROM events ORDER BY seq DESC LIMIT 1", [], |r| {
                Ok((r.get::<_, i64>(0)?, r.get(1)?))
            })
            .optional()
            .map_err(|e| self.storage(e))?;
        Ok(row.map_or_else(|| (0, GENESIS.to_owned()), |(seq, link)| (seq.unsigned_abs(), link)))
    }

    /// Appends facts in one transaction, durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`] when another daemon leads: nothing is written then. Any other error leaves it open whether
    /// the facts are durable: the caller must stop (a failed fsync may have dropped the pages, so a second try proves nothing).
    pub fn append(&mut self, at: Timestamp, events: &[Event]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        #[cfg(feature = "proof")]
        self.tap_before(at, events)?;
        let (mut seq, mut link) = self.last.clone();
        let path = self.path.clone();
        let storage = |source| JournalError::Storage { path: path.clone(), source };
        let epoch = self.epoch;
        let when = at.to_string();
        let tx = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(storage)?;
        // INVARIANT: S4. The lease is read in the same transaction: no fact of an overtaken daemon gets in.
        let leader: Option<i64> = tx
            .prepare_cached("SELECT epoch FROM lease")
            .and_then(|mut q| q.query_row([], |r| r.get(0)).optional())
            .map_err(storage)?;
        let leader = Epoch(leader.unwrap_or(0).unsigned_abs());
        if leader != epoch && guard::holds(Guard::LeaseInTransaction) {
            return Err(JournalError::Overtaken { ours: epoch, newer: leader });
        }
        {
            let mut insert = tx
                .prepare_cached("INSERT INTO events (seq, at, epoch, version, name, rollout, target, body, link) VALUES (?,?,?,?,?,?,?,?,?)")
                .map_err(storage)?;
            for event in events {
                let body = serde_json::to_string(event)
                    .map_err(|e| JournalError::Unreadable { seq: seq + 1, reason: e.to_string() })?;
                seq += 1;
                link = chain::link(&link, seq, &chained(&when, epoch.0, EVENT_VERSION, &body)).as_str().to_owned();
                let rollout = event.rollout().map(ToString::to_string);
                let target = event.target().map(ToString::to_string);
                insert
                    .execute(params![
                        seq.cast_signed(),
                        &when,
                        epoch.0.cast_signed(),
                        EVENT_VERSION,
                        event.name(),
                        rollout,
                        target,
                        body,
                        link
                    ])
                    .map_err(storage)?;
            }
        }
        tx.commit().map_err(storage)?;
        #[cfg(feature = "proof")]
        let first = Seq(self.last.0 + 1);
        self.last = (seq, link);
        #[cfg(feature = "proof")]
        self.tap_after(first, at, events)?;
        Ok(())
    }

    /// Reads the end again: another daemon may have written since this one opened the file.
    pub(super) fn refresh(&mut self) -> Result<(), JournalError> {
        self.last = self.read_last()?;
        Ok(())
    }

    /// The position of the newest record.
    pub fn last_seq(&self) -> Seq {
        Seq(self.last.0)
    }

    /// The newest link of the chain: it names everything that was written.
    pub fn last_link(&self) -> &str {
        &self.last.1
    }

    /// Replays everything: the state is what the records say, and nothing else.
    ///
    /// # Errors
    /// The first record that cannot be read, is not chained to the one before, or does not fit.
    pub fn replay(&self) -> Result<State, JournalError> {
        let mut state = State::default();
        self.replay_into(&mut state, |_| ())?;
        Ok(state)
    }

    /// As [`Self::replay`], and shows each record once it has been applied. Where it stops, `state` is that of the record before.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn replay_into(&self, state: &mut State, mut applied: impl FnMut(&Entry)) -> Result<(), JournalError> {
        self.each_after(Seq(0), |entry| {
            state.apply(&entry.event).map_err(|source| JournalError::Illegal { seq: entry.seq.0, source })?;
            applied(&entry);
            Ok(())
        })
    }

    /// The records after `seq`, in order, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn entries_after(&self, seq: Seq, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.some_after(seq, limit, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    /// The records of one rollout after `seq`, in order, at most `limit`. Each is read and parsed; the chain between them is not
    /// checked, since other records lie between.
    ///
    /// # Errors
    /// Storage, or a record that cannot be read.
    pub fn entries_of(&self, rollout: &RolloutId, seq: Seq, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let mut query = self
            .db
            .prepare("SELECT seq, at, epoch, version, body, link, name, rollout, target FROM events WHERE rollout = ? AND seq > ? ORDER BY seq LIMIT ?")
            .map_err(|e| self.storage(e))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![rollout.as_str(), position(seq), limit], Raw::read);
        rows.map_err(|e| self.storage(e))?.map(|raw| raw.map_err(|e| self.storage(e))?.parse()).collect()
    }

    /// The position of the newest record in the file, whoever wrote it.
    ///
    /// # Errors
    /// Storage.
    pub fn newest_seq(&self) -> Result<Seq, JournalError> {
        Ok(Seq(self.read_last()?.0))
    }

    fn each_after(&self, after: Seq, visit: impl FnMut(Entry) -> Result<(), JournalError>) -> Result<(), JournalError> {
        self.some_after(after, usize::MAX, visit)
    }

    fn some_after(
        &self,
        after: Seq,
        limit: usize,
        mut visit: impl FnMut(Entry) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let before: Option<String> = self
            .db
            .query_row("SELECT link FROM events WHERE seq = ?", [position(after)], |r| r.get(0))
            .optional()
            .map_err(|e| self.storage(e))?;
        let mut link = before.unwrap_or_else(|| GENESIS.to_owned());
        let mut expected = after.0;
        let mut query = self
            .db
            .prepare("SELECT seq, at, epoch, version, body, link, name, rollout, target FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
            .map_err(|e| self.storage(e))?;
        let mut rows = query
            .query(params![position(after), i64::try_from(limit).unwrap_or(i64::MAX)])
            .map_err(|e| self.storage(e))?;
        while let Some(row) = rows.next().map_err(|e| self.storage(e))? {
            expected += 1;
            let raw = Raw::read(row).map_err(|e| JournalError::Unreadable {
                seq: expected,
                reason: format!("a column has another type: {e}"),
            })?;
            link = raw.check(expected, &link)?;
            visit(raw.parse()?)?;
        }
        Ok(())
    }
}

/// A position as SQLite has it: one beyond its largest number has nothing after it.
fn position(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// What a link covers. Name, rollout and target are columns for look-ups only: they must follow from the body.
fn chained(at: &str, epoch: u64, version: u32, body: &str) -> String {
    format!("{at}\n{epoch}\n{version}\n{body}")
}

/// A row before anything in it is believed.
struct Raw {
    seq: u64,
    at: String,
    epoch: u64,
    version: u32,
    lookup: (String, Option<String>, Option<String>),
    body: String,
    link: String,
}

impl Raw {
    fn read(row: &rusqlite::Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: row.get::<_, i64>(0)?.unsigned_abs(),
            at: row.get(1)?,
            epoch: row.get::<_, i64>(2)?.unsigned_abs(),
            version: row.get(3)?,
            body: row.get(4)?,
            link: row.get(5)?,
            lookup: (row.get(6)?, row.get(7)?, row.get(8)?),
        })
    }

    fn check(&self, expected: u64, before: &str) -> Result<String, JournalError> {
        let link = chain::link(before, self.seq, &chained(&self.at, self.epoch, self.version, &self.body));
        let chained = self.seq == expected && link.as_str() == self.link;
        if !chained && guard::holds(Guard::ChainedRecords) {
            return Err(JournalError::Broken { seq: expected });
        }
        Ok(self.link.clone())
    }

    fn parse(self) -> Result<Entry, JournalError> {
        let unreadable = |reason: String| JournalError::Unreadable { seq: self.seq, reason };
        if self.version > EVENT_VERSION {
            return Err(unreadable(format!("it has version {}, and this release knows {EVENT_VERSION}", self.version)));
        }
        let event: Event = serde_json::from_str(&self.body).map_err(|e| unreadable(e.to_string()))?;
        let (name, rollout, target) = &self.lookup;
        let follows = name == event.name()
            && rollout.as_deref() == event.rollout().map(crate::model::ids::RolloutId::as_str)
            && target.as_deref() == event.target().map(crate::model::ids::TargetId::as_str);
        if !follows {
            return Err(JournalError::Broken { seq: self.seq });
        }
        let at = self.at.parse().map_err(|e: jiff::Error| unreadable(e.to_string()))?;
        Ok(Entry { seq: Seq(self.seq), at, epoch: Epoch(self.epoch), event })
    }
}
