//! Questions that the issuer asks of the durable record, past the state in memory: the second of the two checks before a forward
//! effect (S12). Nothing here is cached but plans, which never change.

use super::store::{Journal, JournalError};
use crate::model::event::Event;
use crate::model::halt::Kill;
use crate::model::ids::{RolloutId, Seq, TargetId};
use rusqlite::{OptionalExtension, Params, params};

impl Journal {
    /// One view of the record for all questions that are asked while it is held: nothing that another daemon writes meanwhile is
    /// seen by some of them only.
    ///
    /// # Errors
    /// Storage.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, JournalError> {
        self.db.unchecked_transaction().map(Snapshot).map_err(|e| self.storage(e))
    }

    /// The plan with its digest, as recorded.
    ///
    /// # Errors
    /// Storage, or a record that cannot be read.
    pub fn recorded_proposal(&self, rollout: &RolloutId) -> Result<Option<Event>, JournalError> {
        self.one(
            "SELECT seq, body FROM events WHERE rollout = ? AND target IS NULL AND name = 'rollout_proposed'",
            params![rollout.as_str()],
        )
    }

    /// The newest record about a target.
    ///
    /// # Errors
    /// As [`Self::recorded_proposal`].
    pub fn newest_of_target(&self, rollout: &RolloutId, target: &TargetId) -> Result<Option<Event>, JournalError> {
        self.one(
            "SELECT seq, body FROM events WHERE rollout = ? AND target = ? ORDER BY seq DESC LIMIT 1",
            params![rollout.as_str(), target.as_str()],
        )
    }

    /// True when the target's restore point is durable.
    ///
    /// # Errors
    /// Storage.
    pub fn has_restore_point(&self, rollout: &RolloutId, target: &TargetId) -> Result<bool, JournalError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE rollout = ? AND target = ? AND name = 'restore_point_captured')")
            .and_then(|mut q| q.query_row(params![rollout.as_str(), target.as_str()], |r| r.get(0)))
            .map_err(|e| self.storage(e))
    }

    /// Gates of the rollout that are recorded as passed, its holds, and whether its revert was started, in order.
    ///
    /// # Errors
    /// As [`Self::recorded_proposal`].
    pub fn recorded_gates(&self, rollout: &RolloutId) -> Result<Vec<Event>, JournalError> {
        self.all(
            "SELECT seq, body FROM events WHERE rollout = ? AND target IS NULL
             AND name IN ('gate_passed', 'rollout_held', 'rollout_resumed', 'revert_started', 'rollout_ended') ORDER BY seq",
            params![rollout.as_str()],
        )
    }

    /// What the guardrails found, and what people said to it, in order.
    ///
    /// # Errors
    /// As [`Self::recorded_proposal`].
    pub fn recorded_admission(&self, rollout: &RolloutId) -> Result<Vec<Event>, JournalError> {
        self.all(
            "SELECT seq, body FROM events WHERE rollout = ? AND target IS NULL
             AND name IN ('guardrails_judged', 'approval_given', 'approval_revoked', 'approval_rejected', 'approvals_used')
             ORDER BY seq",
            params![rollout.as_str()],
        )
    }

    /// What was recorded after `seq` of plans, previews, operations, gates, reverts and ends: all that is in motion follows from it. With
    /// the position of the last of them.
    ///
    /// # Errors
    /// As [`Self::recorded_proposal`].
    pub fn recorded_motion(&self, after: Seq) -> Result<(Seq, Vec<Event>), JournalError> {
        let last = self
            .db
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM events")
            .and_then(|mut q| q.query_row([], |r| r.get::<_, i64>(0)))
            .map_err(|e| self.storage(e))?;
        let events = self.all(
            "SELECT seq, body FROM events WHERE seq > ? AND seq <= ? AND rollout IS NOT NULL
             AND name NOT IN ('health_judged', 'guardrails_judged', 'restore_point_captured') ORDER BY seq",
            params![after.0.cast_signed(), last],
        )?;
        Ok((Seq(last.unsigned_abs()), events))
    }

    /// Stop orders that nobody lifted.
    ///
    /// # Errors
    /// As [`Self::recorded_proposal`].
    pub fn kills_in_force(&self) -> Result<Vec<Kill>, JournalError> {
        let events =
            self.all("SELECT seq, body FROM events WHERE name IN ('kill_requested', 'kill_lifted') ORDER BY seq", [])?;
        let mut kills: Vec<Kill> = Vec::new();
        for event in events {
            match event {
                Event::KillRequested { kill } => kills.push(kill),
                Event::KillLifted { kill, .. } => kills.retain(|k| k.id != kill),
                _ => {}
            }
        }
        Ok(kills)
    }

    fn one(&self, sql: &str, params: impl Params) -> Result<Option<Event>, JournalError> {
        let row = self
            .db
            .prepare_cached(sql)
            .and_then(|mut q| q.query_row(params, |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?))).optional())
            .map_err(|e| self.storage(e))?;
        row.map(|(seq, body)| parse(seq, &body)).transpose()
    }

    fn all(&self, sql: &str, params: impl Params) -> Result<Vec<Event>, JournalError> {
        let mut query = self.db.prepare_cached(sql).map_err(|e| self.storage(e))?;
        let rows = query
            .query_map(params, |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))
            .map_err(|e| self.storage(e))?;
        let mut events = Vec::new();
        for row in rows {
            let (seq, body) = row.map_err(|e| self.storage(e))?;
            events.push(parse(seq, &body)?);
        }
        Ok(events)
    }
}

/// A view of the record; it ends when it is dropped.
#[derive(Debug)]
#[must_use = "the view ends when it is dropped"]
pub struct Snapshot<'a>(#[expect(dead_code, reason = "held, not used")] rusqlite::Transaction<'a>);

fn parse(seq: i64, body: &str) -> Result<Event, JournalError> {
    serde_json::from_str(body).map_err(|e| JournalError::Unreadable { seq: seq.unsigned_abs(), reason: e.to_string() })
}
