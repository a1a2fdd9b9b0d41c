//! Memory in place of an outbox whose file cannot be used, and the way back: a lock that somebody held for a minute, or a disk that was full,
//! is no reason to keep what waits there until the next start.

use super::{Shared, chain, lock};
use crate::journal::outbox::{Outbox, OutboxError};
use crate::model::ids::Seq;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The file is tried again so often.
const REOPEN: Duration = Duration::from_secs(60);

/// What is known while memory takes the place of the file.
#[derive(Debug)]
pub(super) struct Memory {
    /// It has what follows this record; what comes before is for the file.
    from: Seq,
    tried: Instant,
    trouble: String,
}

impl Shared {
    /// Memory in place of a file that cannot be used. What waits in the file goes out when it can be used again.
    pub(super) fn fall_back(&self, error: &OutboxError) {
        let told = Seq(self.told.load(Ordering::Relaxed));
        if let Ok(memory) = Outbox::in_memory(told) {
            *lock(&self.outbox) = memory;
            // Memory after memory still stands for the same file.
            let from = lock(&self.memory).as_ref().map_or(told, |memory| memory.from);
            self.keep_in_memory(error, from);
        }
    }

    /// Messages go on without a file, and whoever asks is told so.
    pub(super) fn keep_in_memory(&self, error: &OutboxError, from: Seq) {
        let trouble = format!("{}; messages are kept in memory until it can be used again", chain(error));
        *lock(&self.memory) = Some(Memory { from, tried: Instant::now(), trouble: trouble.clone() });
        self.report(trouble);
    }

    /// Goes back to the file once it can be used, with all that memory holds. True: records are to be read once more, for messages that
    /// memory never had.
    pub(super) fn back_to_file(&self, now: Instant) -> bool {
        let from = match &mut *lock(&self.memory) {
            Some(memory) if now.saturating_duration_since(memory.tried) >= REOPEN => {
                memory.tried = now;
                memory.from
            }
            _ => return false,
        };
        match self.move_to_file(from) {
            Ok(again) => {
                *lock(&self.memory) = None;
                again
            }
            Err(error) => {
                tracing::debug!(%error, "messages stay in memory");
                false
            }
        }
    }

    fn move_to_file(&self, from: Seq) -> Result<bool, OutboxError> {
        let newest = lock(&self.outbox).cursor()?;
        // Waits for whoever writes there; meanwhile memory goes on.
        let mut file = Outbox::open(&self.file, newest)?;
        let (now, cursor) = (self.now(), file.cursor()?);
        // A file that ends before memory began was not to be read at the start: messages for what lies between were never made. Some that
        // memory has had are made again, with the same ids.
        let again = cursor < from;
        let mut outbox = lock(&self.outbox);
        let dead = file.take_over(&outbox, !again, now)?;
        *outbox = file;
        // What was moved is safe, whatever becomes of the report.
        self.overflowed(&mut outbox, &dead, now).unwrap_or_else(|error| self.report(chain(&error)));
        tracing::info!(dead = dead.len(), "messages are back in the outbox's file");
        Ok(again)
    }

    /// The outbox works. What is kept in memory is a trouble all the same.
    pub(super) fn recovered(&self) {
        let memory = lock(&self.memory).as_ref().map(|memory| memory.trouble.clone());
        let was = std::mem::replace(&mut *lock(&self.trouble), memory.clone());
        if was != memory {
            if memory.is_none() {
                tracing::info!("the trouble with messages to people is over");
            }
            self.refresh();
        }
    }
}
