//! Putting messages in: as they are made, or all that another outbox holds. Only so many of one channel may wait; one more gives way, or has
//! a less severe one give way to it.

use super::{DeadAtOnce, GIVE_UP, NewLetter, Outbox, OutboxError, PENDING_MAX, kind_of, ms, ms_of};
use crate::model::notice::{NoticeKind, Severity};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter};
use std::collections::BTreeMap;

/// A row of another outbox: what is looked at, and all of it as it stands.
struct Moved {
    channel: String,
    id: String,
    kind: NoticeKind,
    waits: bool,
    all: Vec<Value>,
}

impl Outbox {
    /// Puts in what another outbox holds, as it stands there; what is here already stays as it is. `to_its_end`: messages were made up to
    /// that one's cursor.
    ///
    /// # Errors
    /// Storage, of either; nothing has changed then.
    pub fn take_over(&mut self, other: &Self, to_its_end: bool, now: Timestamp) -> Result<DeadAtOnce, OutboxError> {
        let (letters, told, cursor) = (other.rows()?, other.told()?, other.cursor()?);
        let taken = self.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            let mut room = Room::default();
            for letter in &letters {
                if insert(&tx, &letter.all)? && letter.waits {
                    room.entered(&tx, &letter.channel, &letter.id, letter.kind, now)?;
                }
            }
            for (what, at) in &told {
                let sql = "INSERT INTO told (what, at) VALUES (?, ?)
                           ON CONFLICT (what) DO UPDATE SET at = max(at, excluded.at)";
                tx.prepare_cached(sql)?.execute(params![what, at])?;
            }
            if to_its_end {
                tx.execute("UPDATE cursor SET seq = max(seq, ?)", [cursor.0.cast_signed()])?;
            }
            tx.commit().map(|()| room.dead)
        });
        taken.map_err(|e| self.storage(e))
    }

    fn rows(&self) -> Result<Vec<Moved>, OutboxError> {
        let sql = "SELECT channel, id, kind, about, body, since, give_up, tries, next_try, died, why FROM letters ORDER BY row";
        let read = |r: &Row<'_>| {
            Ok(Moved {
                channel: r.get(0)?,
                id: r.get(1)?,
                kind: kind_of(&r.get::<_, String>(2)?),
                waits: r.get::<_, Option<i64>>(9)?.is_none(),
                all: (0..11).map(|column| r.get(column)).collect::<Result<_, _>>()?,
            })
        };
        let rows = self.db.prepare_cached(sql).and_then(|mut q| q.query_map([], read)?.collect());
        rows.map_err(|e| self.storage(e))
    }

    fn told(&self) -> Result<Vec<(String, i64)>, OutboxError> {
        let read = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?));
        let told =
            self.db.prepare_cached("SELECT what, at FROM told").and_then(|mut q| q.query_map([], read)?.collect());
        told.map_err(|e| self.storage(e))
    }
}

/// Puts messages in that were just made.
pub(super) fn put(tx: &Transaction<'_>, letters: &[NewLetter], now: Timestamp) -> Result<DeadAtOnce, rusqlite::Error> {
    let (at, give_up) = (Value::from(ms(now)), Value::from(ms(now).saturating_add(ms_of(GIVE_UP))));
    let mut room = Room::default();
    for NewLetter { channel, id, kind, about, body } in letters {
        let texts = [channel.as_str(), id, kind.name(), about, body].map(|text| Value::from(text.to_owned()));
        let rest = [at.clone(), give_up.clone(), Value::from(0), at.clone(), Value::Null, Value::Null];
        if insert(tx, &[texts.as_slice(), &rest].concat())? {
            room.entered(tx, channel, id, *kind, now)?;
        }
    }
    Ok(room.dead)
}

/// True: it was not here yet.
fn insert(tx: &Transaction<'_>, row: &[Value]) -> Result<bool, rusqlite::Error> {
    let sql =
        "INSERT OR IGNORE INTO letters (channel, id, kind, about, body, since, give_up, tries, next_try, died, why)
               VALUES (?,?,?,?,?,?,?,?,?,?,?)";
    tx.prepare_cached(sql)?.execute(params_from_iter(row)).map(|new| new > 0)
}

/// How many wait, and who had to give way.
#[derive(Default)]
struct Room {
    waiting: BTreeMap<String, u32>,
    dead: DeadAtOnce,
}

impl Room {
    /// One has come in, and waits. Where that is one too many, the oldest of the least severe gives way, if that is less severe than the
    /// new one: a page is not lost because a receiver was away while a thousand reports came. Otherwise the new one does.
    fn entered(
        &mut self,
        tx: &Transaction<'_>,
        channel: &str,
        id: &str,
        kind: NoticeKind,
        now: Timestamp,
    ) -> Result<(), rusqlite::Error> {
        let waiting = match self.waiting.get(channel) {
            Some(known) => known.saturating_add(1),
            None => {
                let sql = "SELECT count(*) FROM letters WHERE channel = ? AND died IS NULL";
                tx.prepare_cached(sql)?.query_row([channel], |r| r.get(0))?
            }
        };
        let full = waiting > PENDING_MAX;
        self.waiting.insert(channel.to_owned(), waiting - u32::from(full));
        if full {
            let less = less_severe(tx, channel, kind)?;
            let why = if less.is_some() { pushed_out() } else { too_many() };
            let (id, kind) = less.unwrap_or_else(|| (id.to_owned(), kind));
            let sql = "UPDATE letters SET died = ?2, why = ?3 WHERE id = ?1";
            tx.prepare_cached(sql)?.execute(params![id, ms(now), why])?;
            self.dead.push((channel.to_owned(), kind));
        }
        Ok(())
    }
}

/// Of those that wait the oldest one of the least severity, if that is less than this one's.
fn less_severe(
    tx: &Transaction<'_>,
    channel: &str,
    kind: NoticeKind,
) -> Result<Option<(String, NoticeKind)>, rusqlite::Error> {
    for severity in [Severity::Info, Severity::Warning].into_iter().filter(|less| *less < kind.severity()) {
        let kinds = NoticeKind::ALL.into_iter().filter(|kind| kind.severity() == severity).map(NoticeKind::name);
        // Names cannot fail to be written.
        let kinds = serde_json::to_string(&kinds.collect::<Vec<_>>()).unwrap_or_default();
        let sql = "SELECT id, kind FROM letters WHERE channel = ?1 AND died IS NULL
                   AND kind IN (SELECT value FROM json_each(?2)) ORDER BY row LIMIT 1";
        let read = |r: &Row<'_>| Ok((r.get(0)?, kind_of(&r.get::<_, String>(1)?)));
        let found = tx.prepare_cached(sql)?.query_row(params![channel, kinds], read).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Why a message is dead as it comes in.
pub fn too_many() -> String {
    format!("{PENDING_MAX} messages of this channel were waiting already")
}

fn pushed_out() -> String {
    format!("{}, and a more severe one came", too_many())
}
