//! Messages on their way to people, and those that did not arrive: a file of its own beside the journal, so that no trouble with messages
//! touches the record.
//!
//! The journal is the source: a cursor says up to which record messages were made, and it moves in the same transaction that puts them in.
//! SQLite in WAL mode with `synchronous=NORMAL`: a power cut can take the newest transactions, whole, and the cursor with them; then the
//! same messages are made again, with the same ids. So nothing is lost, and the disk is left to the journal's fsyncs.

mod room;

pub use room::too_many;

use crate::model::ids::Seq;
use crate::model::notice::NoticeKind;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The layout of the file; a newer one is refused.
const LAYOUT: i32 = 1;
/// How long a command of a person may hold the write lock.
const BUSY: Duration = Duration::from_secs(5);
/// Messages that wait, of one channel: a receiver that is away for a day while the fleet is on fire. What comes on top is dead at once, or
/// has a less severe one die in its place.
pub const PENDING_MAX: u32 = 2_000;
/// Dead messages that are kept, of one channel; the oldest make room. All that waited may die of the same outage.
pub const DEAD_MAX: u32 = PENDING_MAX;
/// So long a dead message is listed.
pub const DEAD_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// A message is tried for so long. After a day whoever should have been told has found out, or never will by this.
pub const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// No pause between two tries is longer, whatever a receiver asks for: a receiver that is back gets its messages within five minutes, and
/// what is critical does not wait an hour behind what is not.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Messages about one rollout go in order, until the first of them has failed so often: then the next may overtake it.
const IN_ORDER_TRIES: u32 = 3;
/// What stays of an error's words.
const WHY_MAX: usize = 300;

/// Why the outbox cannot be used. It stops nothing but messages.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// SQLite failed: disk full, I/O error, lock, or the file is none of its own.
    #[error("the outbox `{path}` cannot be used; see that its disk has room, is sound and may be written")]
    Storage {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is of a newer release.
    #[error(
        "the outbox `{path}` has layout {found}, and this release knows {LAYOUT}; run the release that wrote it, or remove the file"
    )]
    NewerLayout {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i32,
    },
    /// A task that worked with it has ended before it was done.
    #[error("work with the outbox was broken off; this is a defect of wavegate, and is tried again")]
    BrokenOff,
}

/// A message to be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// By which channel.
    pub channel: String,
    /// Names the message towards the receiver.
    pub id: String,
    /// What it tells.
    pub kind: NoticeKind,
    /// What it is about: messages of one channel about the same thing go in order. Empty: none.
    pub about: String,
    /// What it says, as JSON.
    pub body: String,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The message itself.
    pub letter: NewLetter,
    /// Since when it is here.
    pub since: Timestamp,
    /// When it is given up.
    pub give_up: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    pub why: Option<String>,
}

/// Channel and kind of each message that died as something came in, because too many of its channel were waiting.
pub type DeadAtOnce = Vec<(String, NoticeKind)>;

/// What the outbox holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// By channel: how many wait, and since when the oldest one does.
    pub pending: BTreeMap<String, (u64, Timestamp)>,
    /// Oldest first.
    pub dead: Vec<Letter>,
}

/// The outbox, open.
#[derive(Debug)]
pub struct Outbox {
    db: Connection,
    path: PathBuf,
}

impl Outbox {
    /// Opens the outbox; makes it where there is none, and begins after `newest` then: nobody gets the news of a year.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn open(path: &Path, newest: Seq) -> Result<Self, OutboxError> {
        let db = Connection::open(path).map_err(|source| OutboxError::Storage { path: path.to_owned(), source })?;
        let outbox = Self { db, path: path.to_owned() };
        outbox.set_up(true, newest)?;
        Ok(outbox)
    }

    /// Opens one that is there, for a person's command beside the daemon.
    ///
    /// # Errors
    /// [`OutboxError`], also when there is none.
    pub fn open_existing(path: &Path) -> Result<Self, OutboxError> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)
            .map_err(|source| OutboxError::Storage { path: path.to_owned(), source })?;
        let outbox = Self { db, path: path.to_owned() };
        outbox.db.busy_timeout(BUSY).map_err(|e| outbox.storage(e))?;
        outbox.layout()?;
        Ok(outbox)
    }

    /// One in memory, for when there is no disk to keep it on: better told twice, or not after a crash, than not at all.
    ///
    /// # Errors
    /// [`OutboxError`]: there is no memory either.
    pub fn in_memory(newest: Seq) -> Result<Self, OutboxError> {
        let path = PathBuf::from(":memory:");
        let db = Connection::open_in_memory().map_err(|source| OutboxError::Storage { path: path.clone(), source })?;
        let outbox = Self { db, path };
        outbox.set_up(false, newest)?;
        Ok(outbox)
    }

    fn storage(&self, source: rusqlite::Error) -> OutboxError {
        OutboxError::Storage { path: self.path.clone(), source }
    }

    fn layout(&self) -> Result<(), OutboxError> {
        let found: i32 = self.db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(|e| self.storage(e))?;
        if found > LAYOUT { Err(OutboxError::NewerLayout { path: self.path.clone(), found }) } else { Ok(()) }
    }

    fn set_up(&self, wal: bool, newest: Seq) -> Result<(), OutboxError> {
        self.db.busy_timeout(BUSY).map_err(|e| self.storage(e))?;
        self.layout()?;
        if wal {
            let mode: Result<String, _> = self.db.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0));
            mode.map_err(|e| self.storage(e))?;
        }
        self.db
            .execute_batch(
                "PRAGMA synchronous = NORMAL;
                 BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL);
                 CREATE TABLE IF NOT EXISTS letters (
                     row INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
                     about TEXT NOT NULL, body TEXT NOT NULL, since INTEGER NOT NULL, give_up INTEGER NOT NULL,
                     tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL, died INTEGER, why TEXT);
                 CREATE INDEX IF NOT EXISTS letters_of ON letters (channel, died, about);
                 CREATE TABLE IF NOT EXISTS told (what TEXT PRIMARY KEY, at INTEGER NOT NULL);
                 PRAGMA user_version = 1;
                 COMMIT;",
            )
            .and_then(|()| {
                self.db.execute("INSERT OR IGNORE INTO cursor (one, seq) VALUES (1, ?)", [newest.0.cast_signed()])
            })
            .map(drop)
            .map_err(|e| self.storage(e))
    }

    /// Up to which record messages were made.
    ///
    /// # Errors
    /// Storage.
    pub fn cursor(&self) -> Result<Seq, OutboxError> {
        let seq: Result<i64, _> = self.db.query_row("SELECT seq FROM cursor", [], |r| r.get(0));
        seq.map(|seq| Seq(seq.unsigned_abs())).map_err(|e| self.storage(e))
    }

    /// Moves the cursor back: the journal was restored from a copy.
    ///
    /// # Errors
    /// Storage.
    pub fn rewind(&mut self, to: Seq) -> Result<(), OutboxError> {
        self.change("UPDATE cursor SET seq = ?", [to.0.cast_signed()])
    }

    /// Puts messages in and moves the cursor, both or neither. One that is here already stays as it is.
    ///
    /// # Errors
    /// Storage; nothing has changed then.
    pub fn take_in(&mut self, to: Seq, letters: &[NewLetter], now: Timestamp) -> Result<DeadAtOnce, OutboxError> {
        let taken = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).and_then(|tx| {
            let dead = room::put(&tx, letters, now)?;
            tx.execute("UPDATE cursor SET seq = max(seq, ?)", [to.0.cast_signed()])?;
            tx.commit().map(|()| dead)
        });
        taken.map_err(|e| self.storage(e))
    }

    /// Puts messages in that follow from no record, unless the same was told less than `every` ago: then none.
    ///
    /// # Errors
    /// Storage; nothing has changed then.
    pub fn tell(
        &mut self,
        what: &str,
        every: Duration,
        letters: &[NewLetter],
        now: Timestamp,
    ) -> Result<Option<DeadAtOnce>, OutboxError> {
        let told = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).and_then(|tx| {
            let last: Option<i64> =
                tx.query_row("SELECT at FROM told WHERE what = ?", [what], |r| r.get(0)).optional()?;
            // A clock that was set back does not keep us silent.
            if last.is_some_and(|at| (at..at.saturating_add(ms_of(every))).contains(&ms(now))) {
                return Ok(None);
            }
            let dead = room::put(&tx, letters, now)?;
            tx.execute("INSERT OR REPLACE INTO told (what, at) VALUES (?, ?)", params![what, ms(now)])?;
            tx.commit().map(|()| Some(dead))
        });
        told.map_err(|e| self.storage(e))
    }

    /// Messages of a channel whose time has come, oldest first. Those about one thing come one after the other, unless the first of them
    /// has failed several times: a receiver that chokes on one message gets the next ones all the same.
    ///
    /// # Errors
    /// Storage, or a row that cannot be read.
    pub fn due(&self, channel: &str, now: Timestamp, limit: u32) -> Result<Vec<Letter>, OutboxError> {
        // A time further off than any pause was set by a clock that was wrong.
        let far = ms(now).saturating_add(ms_of(PAUSE_MAX));
        self.letters(
            "channel = ?1 AND died IS NULL AND (next_try <= ?2 OR next_try > ?3) AND NOT EXISTS (
                 SELECT 1 FROM letters AS first WHERE first.channel = letters.channel AND first.died IS NULL
                 AND first.about = letters.about AND first.about <> '' AND first.row < letters.row AND first.tries < ?4)
             ORDER BY row LIMIT ?5",
            params![channel, ms(now), far, IN_ORDER_TRIES, limit],
        )
    }

    fn letters(&self, which: &str, values: impl rusqlite::Params) -> Result<Vec<Letter>, OutboxError> {
        let sql =
            format!("SELECT channel, id, kind, about, body, since, give_up, tries, why FROM letters WHERE {which}");
        let mut query = self.db.prepare_cached(&sql).map_err(|e| self.storage(e))?;
        let rows = query.query_map(values, letter).and_then(Iterator::collect);
        rows.map_err(|e| self.storage(e))
    }

    /// The message of this id has arrived. Whoever settles a message names it by its id: its row is of this file alone, and memory may have
    /// taken the file's place while the message was on the wire.
    ///
    /// # Errors
    /// Storage: it will be sent once more.
    pub fn delivered(&mut self, id: &str) -> Result<(), OutboxError> {
        self.change("DELETE FROM letters WHERE id = ?", [id])
    }

    /// What waits in this channel is tried now: its receiver is there.
    ///
    /// # Errors
    /// Storage.
    pub fn hurry(&mut self, channel: &str, now: Timestamp) -> Result<(), OutboxError> {
        let sql = "UPDATE letters SET next_try = ?2 WHERE channel = ?1 AND died IS NULL AND next_try > ?2";
        self.change(sql, params![channel, ms(now)])
    }

    /// It has not arrived, and is tried again at `next`.
    ///
    /// # Errors
    /// Storage.
    pub fn failed(&mut self, id: &str, next: Timestamp, why: &str) -> Result<(), OutboxError> {
        let sql = "UPDATE letters SET tries = tries + 1, next_try = ?2, why = ?3 WHERE id = ?1";
        self.change(sql, params![id, ms(next), cut(why)])
    }

    /// It is given up. It stays listed for [`DEAD_KEPT`], or until somebody has it tried again.
    ///
    /// # Errors
    /// Storage.
    pub fn died(&mut self, id: &str, at: Timestamp, why: &str) -> Result<(), OutboxError> {
        let sql = "UPDATE letters SET tries = tries + 1, died = ?2, why = ?3 WHERE id = ?1";
        self.change(sql, params![id, ms(at), cut(why)])
    }

    /// Has dead messages tried again, of one channel or of all; how many.
    ///
    /// # Errors
    /// Storage.
    pub fn retry(&mut self, channel: Option<&str>, now: Timestamp) -> Result<usize, OutboxError> {
        let sql = "UPDATE letters SET died = NULL, tries = 0, next_try = ?2, give_up = ?3
                   WHERE died IS NOT NULL AND (?1 IS NULL OR channel = ?1)";
        let give_up = ms(now).saturating_add(ms_of(GIVE_UP));
        self.db.execute(sql, params![channel, ms(now), give_up]).map_err(|e| self.storage(e))
    }

    /// Forgets dead messages, of one channel or of all; how many.
    ///
    /// # Errors
    /// Storage.
    pub fn forget(&mut self, channel: Option<&str>) -> Result<usize, OutboxError> {
        let sql = "DELETE FROM letters WHERE died IS NOT NULL AND (?1 IS NULL OR channel = ?1)";
        self.db.execute(sql, params![channel]).map_err(|e| self.storage(e))
    }

    /// Keeps it small: what is dead for long is forgotten, and so is what was told long ago. Messages of channels that are not there any
    /// more are dead.
    ///
    /// # Errors
    /// Storage.
    pub fn tidy(&mut self, channels: &[String], now: Timestamp) -> Result<(), OutboxError> {
        let old = ms(now).saturating_sub(ms_of(DEAD_KEPT));
        self.change("DELETE FROM letters WHERE died IS NOT NULL AND died < ?", [old])?;
        self.change("DELETE FROM told WHERE at < ?", [old])?;
        self.change(
            "DELETE FROM letters WHERE row IN (
                 SELECT row FROM (SELECT row, row_number() OVER (PARTITION BY channel ORDER BY row DESC) AS nth
                 FROM letters WHERE died IS NOT NULL) WHERE nth > ?)",
            [DEAD_MAX],
        )?;
        let known = serde_json::to_string(channels).unwrap_or_default();
        self.change(
            "UPDATE letters SET died = ?2, why = 'the configuration has no such channel any more'
             WHERE died IS NULL AND channel NOT IN (SELECT value FROM json_each(?1))",
            params![known, ms(now)],
        )
    }

    /// Makes it unusable, for a test.
    #[cfg(test)]
    pub(crate) fn spoil(&self) {
        self.db.execute_batch("ALTER TABLE letters RENAME TO elsewhere").unwrap();
    }

    /// Makes it usable again.
    #[cfg(test)]
    pub(crate) fn mend(&self) {
        self.db.execute_batch("ALTER TABLE elsewhere RENAME TO letters").unwrap();
    }

    fn change(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), OutboxError> {
        let changed = self.db.prepare_cached(sql).and_then(|mut q| q.execute(values));
        changed.map(drop).map_err(|e| self.storage(e))
    }

    /// What it holds.
    ///
    /// # Errors
    /// Storage.
    pub fn holds(&self) -> Result<Holds, OutboxError> {
        let sql = "SELECT channel, count(*), min(since) FROM letters WHERE died IS NULL GROUP BY channel";
        let mut query = self.db.prepare_cached(sql).map_err(|e| self.storage(e))?;
        let read = |r: &Row<'_>| Ok((r.get(0)?, (r.get::<_, i64>(1)?.unsigned_abs(), time(r.get(2)?))));
        let pending: Result<_, _> = query.query_map([], read).and_then(Iterator::collect);
        Ok(Holds {
            pending: pending.map_err(|e| self.storage(e))?,
            dead: self.letters("died IS NOT NULL ORDER BY row", [])?,
        })
    }
}

fn letter(row: &Row<'_>) -> Result<Letter, rusqlite::Error> {
    let kind: String = row.get(2)?;
    let letter = NewLetter {
        channel: row.get(0)?,
        id: row.get(1)?,
        kind: kind_of(&kind),
        about: row.get(3)?,
        body: row.get(4)?,
    };
    let (since, give_up) = (time(row.get(5)?), time(row.get(6)?));
    Ok(Letter { letter, since, give_up, tries: row.get(7)?, why: row.get(8)? })
}

/// One of a later release is shown as what it is closest to: a message that something did not arrive.
fn kind_of(name: &str) -> NoticeKind {
    NoticeKind::ALL.into_iter().find(|known| known.name() == name).unwrap_or(NoticeKind::Undelivered)
}

fn cut(why: &str) -> String {
    why.chars().take(WHY_MAX).collect()
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn ms_of(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
