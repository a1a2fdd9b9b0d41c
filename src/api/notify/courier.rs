//! Reads the journal behind its own cursor, and puts into the outbox what people should know.

use super::{NotifyError, Shared, chain, lock, message, of_record};
use crate::engine::notice;
use crate::journal::outbox::{GIVE_UP, NewLetter};
use crate::journal::store::Entry;
use crate::journal::{Journal, JournalError};
use crate::model::ids::Seq;
use crate::model::state::State;
use crate::model::time::since;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// So many records are read at once.
const READ_AT_ONCE: usize = 2_000;
/// Without a new record it looks so often: for a stop order whose acknowledgement does not come.
const LOOK: Duration = Duration::from_secs(1);
/// After a trouble, the next try.
const PAUSE: Duration = Duration::from_secs(2);
/// After so many tries in a row memory takes the place of the outbox's file: about ten seconds without a message.
const GIVE_UP_OUTBOX: u32 = 5;
/// A stop order is acknowledged, or said to be pending, within two seconds; a call that was sent just before may take ten to come back.
/// From then on it is more than a slow answer.
const PENDING: Duration = Duration::from_secs(10);
/// A stop order that stays pending is told so often.
const PENDING_AGAIN: Duration = Duration::from_secs(3600);
/// Old messages are looked for so often.
const TIDY: Duration = Duration::from_secs(600);

/// Where the courier stands in the journal.
#[derive(Debug, Default)]
struct Reader {
    state: State,
    at: Seq,
    /// Not in the outbox yet.
    made: Vec<NewLetter>,
    tidied: Option<Instant>,
}

/// What came of one reading.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There is more to be read.
    More,
    /// There is nothing new.
    Done,
    /// It failed, and is tried again.
    Failed,
}

/// Reads on whenever there is something new, for as long as the process lives.
pub(super) async fn run(shared: Arc<Shared>, mut written: watch::Receiver<u64>) {
    let mut courier = Courier { shared, reader: Reader::default(), failed: 0 };
    loop {
        let newest = Seq(*written.borrow_and_update());
        match courier.turn(newest).await {
            Turn::More => {}
            Turn::Done => {
                // A sender that is gone is the end of the process.
                let _ = timeout(LOOK, written.changed()).await;
                if written.has_changed().is_err() {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Turn::Failed => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The reader, and how it fares.
struct Courier {
    shared: Arc<Shared>,
    reader: Reader,
    /// So many tries in a row the outbox has failed.
    failed: u32,
}

impl Courier {
    async fn turn(&mut self, newest: Seq) -> Turn {
        let (shared, mut reader) = (Arc::clone(&self.shared), std::mem::take(&mut self.reader));
        let read = tokio::task::spawn_blocking(move || {
            if shared.back_to_file(Instant::now()) {
                reader = Reader::default();
            }
            let result = match reader.has_all(newest) {
                true => reader.look_around(&shared).map(|()| false),
                false => reader.read_on(&shared, newest),
            };
            (reader, result)
        });
        // After a panic nothing of what was read is believed: the reader that was taken out does not come back.
        let Ok((reader, result)) = read.await else {
            self.shared.broke();
            return Turn::Failed;
        };
        self.reader = reader;
        match result {
            Ok(more) => {
                self.failed = 0;
                self.shared.recovered();
                self.shared.ring();
                if more { Turn::More } else { Turn::Done }
            }
            Err(error) => {
                self.failed(&error);
                Turn::Failed
            }
        }
    }

    /// A journal that cannot be read says nothing about the outbox.
    fn failed(&mut self, error: &NotifyError) {
        self.shared.report(chain(error));
        if let NotifyError::Outbox(error) = error {
            self.failed += 1;
            if self.failed >= GIVE_UP_OUTBOX {
                self.failed = 0;
                self.shared.fall_back(error);
            }
        }
    }
}

impl Reader {
    fn has_all(&self, newest: Seq) -> bool {
        self.at > Seq(0) && newest <= self.at && self.made.is_empty()
    }

    /// What follows from time alone.
    fn look_around(&mut self, shared: &Shared) -> Result<(), NotifyError> {
        let now = shared.now();
        self.tell_pending(shared, now)?;
        self.tidy(shared, now)?;
        shared.refresh();
        Ok(())
    }

    /// Takes in what is new up to `durable`, the newest record that the loop has acknowledged; true: there is more. After an error of the
    /// outbox nothing is read again: what was made of it is put in with the next try.
    fn read_on(&mut self, shared: &Shared, durable: Seq) -> Result<bool, NotifyError> {
        let journal = Journal::open_read_only(&shared.journal)?;
        let now = shared.now();
        let cursor = self.cursor(&journal, shared)?;
        self.put(cursor, shared, now)?;
        let mut entries = journal.entries_after(self.at, READ_AT_ONCE)?;
        entries.retain(|entry| entry.seq <= durable);
        let more = entries.len() == READ_AT_ONCE;
        if let Err(error) = self.read(&entries, cursor, shared, now) {
            // Its state was changed in part: all of it is read again.
            *self = Self::default();
            return Err(error.into());
        }
        self.put(cursor, shared, now)?;
        if !more {
            self.look_around(shared)?;
        }
        Ok(more)
    }

    fn read(&mut self, entries: &[Entry], cursor: Seq, shared: &Shared, now: Timestamp) -> Result<(), JournalError> {
        for entry in entries {
            let illegal = |source| JournalError::Illegal { seq: entry.seq.0, source };
            self.state.apply(&entry.event).map_err(illegal)?;
            self.at = entry.seq;
            // What is older than any message is kept for is no news: channels were configured anew after a long time.
            if entry.seq > cursor && since(entry.at, now) < GIVE_UP {
                self.made.extend(shared.made(entry, || of(&self.state, entry, shared)));
            }
        }
        Ok(())
    }

    fn put(&mut self, cursor: Seq, shared: &Shared, now: Timestamp) -> Result<(), NotifyError> {
        if self.at > cursor || !self.made.is_empty() {
            let mut outbox = lock(&shared.outbox);
            let dead = outbox.take_in(self.at, &self.made, now)?;
            self.made.clear();
            shared.told_up_to(cursor.max(self.at));
            shared.overflowed(&mut outbox, &dead, now)?;
        }
        Ok(())
    }

    /// Up to which record messages were made. A journal that ends before it is another one, or was restored from a copy.
    fn cursor(&self, journal: &Journal, shared: &Shared) -> Result<Seq, NotifyError> {
        let mut outbox = lock(&shared.outbox);
        let (cursor, newest) = (outbox.cursor()?, journal.newest_seq()?);
        if cursor > newest {
            tracing::warn!(%cursor, %newest, "the journal ends before what was told of it; messages go on from its end");
            outbox.rewind(newest)?;
        }
        let cursor = cursor.min(newest);
        shared.told_up_to(cursor);
        Ok(cursor)
    }

    fn tell_pending(&self, shared: &Shared, now: Timestamp) -> Result<(), NotifyError> {
        // A clock that was set back does not put off what is critical: an order of the future is taken for an old one.
        let is_late = |at| now < at || since(at, now) >= PENDING;
        let late = self.state.kills.values().filter(|kill| is_late(kill.kill.at));
        for (kill, notice) in late.filter_map(|kill| Some((kill, notice::of_pending(&self.state, kill)?))) {
            let id = kill.kill.id.as_str();
            let message = message::of(&self.state, &notice, self.at.0, now);
            let letters = shared.letters(message, id, &format!("{id}\n{now}"), None);
            let mut outbox = lock(&shared.outbox);
            let dead = outbox.tell(&format!("pending/{id}"), PENDING_AGAIN, &letters, now)?;
            shared.overflowed(&mut outbox, &dead.unwrap_or_default(), now)?;
        }
        Ok(())
    }

    fn tidy(&mut self, shared: &Shared, now: Timestamp) -> Result<(), NotifyError> {
        if self.tidied.is_some_and(|at| at.elapsed() < TIDY) {
            return Ok(());
        }
        let names: Vec<String> = shared.channels.iter().map(|channel| channel.name().to_owned()).collect();
        lock(&shared.outbox).tidy(&names, now)?;
        self.tidied = Some(Instant::now());
        Ok(())
    }
}

fn of(state: &State, entry: &Entry, shared: &Shared) -> Vec<NewLetter> {
    let Some(notice) = notice::of(state, &entry.event) else { return Vec::new() };
    let about = notice.rollout.as_ref().map(|id| id.as_str()).or(notice.kill.as_ref().map(|id| id.as_str()));
    let about = about.unwrap_or_default().to_owned();
    let message = message::of(state, &notice, entry.seq.0, entry.at);
    shared.letters(message, &about, &of_record(entry.seq, entry.at, &about), None)
}

#[cfg(test)]
mod tests;
