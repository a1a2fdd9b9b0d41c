//! Who leads. One row holds the epoch, the holder and a beat that the holder moves on; whoever wants to take over watches the beat
//! by its own monotonic clock, so that no wall clock can extend a lease (S26).

use super::store::{Journal, JournalError};
use crate::model::ids::Epoch;
use rusqlite::{OptionalExtension, params};

/// The lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The leader's term.
    pub epoch: Epoch,
    /// Who it is.
    pub holder: String,
    /// Moves on while the holder lives.
    pub beat: u64,
}

impl Journal {
    /// The lease as it stands; none before the first daemon.
    ///
    /// # Errors
    /// Storage.
    pub fn lease(&self) -> Result<Option<Lease>, JournalError> {
        let read = |r: &rusqlite::Row<'_>| {
            Ok(Lease {
                epoch: Epoch(r.get::<_, i64>(0)?.unsigned_abs()),
                holder: r.get(1)?,
                beat: r.get::<_, i64>(2)?.unsigned_abs(),
            })
        };
        let query = self.db.prepare_cached("SELECT epoch, holder, beat FROM lease");
        query.and_then(|mut q| q.query_row([], read).optional()).map_err(|e| self.storage(e))
    }

    /// Takes the lease with the next epoch, if it still stands as `seen`.
    ///
    /// # Errors
    /// [`JournalError::Led`] when somebody else moved it in between.
    pub fn take_lead(&mut self, seen: Option<&Lease>, holder: &str) -> Result<Epoch, JournalError> {
        let epoch = seen.map_or(Epoch(1), |lease| lease.epoch.next());
        let tx = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
        let taken = tx.and_then(|tx| {
            let changed = match seen {
                None => tx.execute(
                    "INSERT OR IGNORE INTO lease (one, epoch, holder, beat) VALUES (1, ?, ?, 0)",
                    params![epoch.0.cast_signed(), holder],
                )?,
                Some(lease) => tx.execute(
                    "UPDATE lease SET epoch = ?, holder = ?, beat = 0 WHERE epoch = ? AND beat = ?",
                    params![epoch.0.cast_signed(), holder, lease.epoch.0.cast_signed(), lease.beat.cast_signed()],
                )?,
            };
            tx.commit()?;
            Ok(changed)
        });
        match taken.map_err(|e| self.storage(e))? {
            1 => {
                self.epoch = epoch;
                self.refresh()?;
                Ok(epoch)
            }
            _ => Err(JournalError::Led { holder: self.lease()?.map(|l| l.holder).unwrap_or_default() }),
        }
    }

    /// Moves the beat on.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`] when another daemon leads.
    pub fn renew(&mut self) -> Result<(), JournalError> {
        let changed = self
            .db
            .prepare_cached("UPDATE lease SET beat = beat + 1 WHERE epoch = ?")
            .and_then(|mut q| q.execute([self.epoch.0.cast_signed()]))
            .map_err(|e| self.storage(e))?;
        if changed == 1 { Ok(()) } else { Err(self.overtaken()?) }
    }

    /// Fails unless this journal's daemon leads, by the durable record.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`].
    pub fn must_lead(&self) -> Result<(), JournalError> {
        match self.lease()? {
            Some(lease) if lease.epoch == self.epoch => Ok(()),
            _ => Err(self.overtaken()?),
        }
    }

    fn overtaken(&self) -> Result<JournalError, JournalError> {
        let newer = self.lease()?.map_or(Epoch(0), |lease| lease.epoch);
        Ok(JournalError::Overtaken { ours: self.epoch, newer })
    }

    /// The epoch that this journal writes under.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}
