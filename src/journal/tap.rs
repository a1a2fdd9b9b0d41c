//! What a test does to a write. Only in builds with the feature `proof`.

use super::store::{Journal, JournalError};
use crate::model::event::Event;
use crate::model::ids::{Epoch, Seq};
use jiff::Timestamp;
use rusqlite::ffi;
use std::fmt;

/// How a write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// `ENOSPC`.
    Full,
    /// `EIO`.
    Io,
}

/// Records about to be written, or just written.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The position of the first one.
    pub first: Seq,
    /// When, by the daemon's wall clock.
    pub at: Timestamp,
    /// By which leader.
    pub epoch: Epoch,
    /// The records, in order.
    pub events: &'a [Event],
}

/// Told of each write; may make it fail.
pub trait Tap: Send {
    /// Before anything is written. A fault means: nothing is.
    ///
    /// # Errors
    /// The fault that the daemon sees.
    fn before(&mut self, write: Write<'_>) -> Result<(), WriteFault>;

    /// After the commit. A fault means: the records are durable, and the daemon does not know.
    ///
    /// # Errors
    /// The fault that the daemon sees.
    fn after(&mut self, write: Write<'_>) -> Result<(), WriteFault>;
}

/// The tap of a journal, if it has one.
#[derive(Default)]
pub(super) struct Slot(Option<Box<dyn Tap>>);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Slot(tap)" } else { "Slot()" })
    }
}

impl Journal {
    /// Sets the tap.
    pub fn set_tap(&mut self, tap: Box<dyn Tap>) {
        self.tap = Slot(Some(tap));
    }

    pub(super) fn tap_before(&mut self, at: Timestamp, events: &[Event]) -> Result<(), JournalError> {
        let write = Write { first: Seq(self.last_seq().0 + 1), at, epoch: self.epoch(), events };
        let told = self.tap.0.as_mut().map_or(Ok(()), |tap| tap.before(write));
        told.map_err(|fault| self.failed(fault))
    }

    pub(super) fn tap_after(&mut self, first: Seq, at: Timestamp, events: &[Event]) -> Result<(), JournalError> {
        let write = Write { first, at, epoch: self.epoch(), events };
        let told = self.tap.0.as_mut().map_or(Ok(()), |tap| tap.after(write));
        told.map_err(|fault| self.failed(fault))
    }

    fn failed(&self, fault: WriteFault) -> JournalError {
        let code = match fault {
            WriteFault::Full => ffi::SQLITE_FULL,
            WriteFault::Io => ffi::SQLITE_IOERR,
        };
        self.storage(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }
}
