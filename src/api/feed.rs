//! The journal as a stream of events, for as many followers as there are: nobody misses one, nobody sees one twice, and the loop does not
//! wait for any of them.
//!
//! One task reads each new record from the file, makes one [`Frame`] of it, and keeps the newest frames at hand. A follower takes
//! frames by position; one that fell behind, or came back with an older position, reads the file itself. Only what is durable is shown.
//! Followers at the same position get the same bytes: they are put together once.

mod chunks;

use super::listing;
use crate::journal::{Journal, JournalError};
use crate::model::ids::{RolloutId, Seq};
use axum::body::Bytes;
use chunks::{Chunk, Chunks};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// So many frames are kept at hand: some minutes of a rollout of a thousand targets, in about 20 MB.
const AT_HAND: usize = 65_536;
/// So many records are taken at once, from the file or from what is at hand.
const AT_ONCE: usize = 2_000;
/// Followers are woken no more often: a thousand of them then take several frames with each waking.
const PAUSE: Duration = Duration::from_millis(50);
/// When the file cannot be read, the next try comes after this.
const AGAIN: Duration = Duration::from_secs(1);
/// So many followers read the file at once: the others wait, and may find what they want already put together.
const READERS: usize = 4;

/// One event, ready to be sent: every follower sends the same bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its position in the journal.
    pub seq: u64,
    /// The rollout that it concerns.
    pub rollout: Option<RolloutId>,
    /// The event's name.
    pub event: String,
    /// [`listing::AuditEntry`] as JSON, on one line.
    pub data: String,
}

/// What a follower wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// Only of this rollout.
    pub rollout: Option<RolloutId>,
}

impl Filter {
    fn takes(&self, frame: &Frame) -> bool {
        self.rollout.as_ref().is_none_or(|wanted| frame.rollout.as_ref() == Some(wanted))
    }
}

/// How far the stream has come.
#[derive(Clone, Copy, Debug)]
struct Newest {
    seq: u64,
    /// Nothing more comes: the daemon stops.
    ended: bool,
}

/// The stream.
#[derive(Debug)]
pub struct Feed {
    file: PathBuf,
    at_hand: Mutex<VecDeque<Arc<Frame>>>,
    chunks: Mutex<Chunks>,
    readers: Semaphore,
    newest: watch::Sender<Newest>,
}

impl Feed {
    /// The stream of a journal, from its end on; older records are read when somebody asks for them.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn open(file: &Path) -> Result<Arc<Self>, JournalError> {
        let journal = Journal::open_read_only(file)?;
        let newest = Newest { seq: journal.newest_seq()?.0, ended: false };
        Ok(Arc::new(Self {
            file: file.to_owned(),
            at_hand: Mutex::default(),
            chunks: Mutex::default(),
            readers: Semaphore::new(READERS),
            newest: watch::Sender::new(newest),
        }))
    }

    /// Reads on whenever `written` changes (the position of the newest record), until its sender is gone. Then the stream ends.
    pub async fn keep_up(self: Arc<Self>, mut written: watch::Receiver<u64>) {
        while written.changed().await.is_ok() {
            let to = *written.borrow_and_update();
            while self.newest() < to {
                let feed = Arc::clone(&self);
                match tokio::task::spawn_blocking(move || feed.read_on(to)).await {
                    Ok(Ok(true)) => continue,
                    Ok(Ok(false)) => tracing::warn!(to, "the stream of events does not find the newest records"),
                    Ok(Err(error)) => tracing::warn!(%error, "the stream of events cannot read the journal"),
                    Err(error) => tracing::warn!(%error, "the stream of events broke off"),
                }
                // The loop notices a broken disk by itself. Without a loop nobody waits for the rest.
                if written.has_changed().is_err() {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.newest.send_modify(|newest| newest.ended = true);
    }

    /// Reads what is new up to a position; false: nothing was.
    fn read_on(&self, to: u64) -> Result<bool, JournalError> {
        let frames = read(&self.file, self.newest(), to, &Filter::default())?;
        let Some(last) = frames.last().map(|frame| frame.seq) else { return Ok(false) };
        let mut at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        at_hand.extend(frames);
        let over = at_hand.len().saturating_sub(AT_HAND);
        at_hand.drain(..over);
        drop(at_hand);
        self.newest.send_modify(|newest| newest.seq = last);
        Ok(true)
    }

    /// The position of the newest event.
    pub fn newest(&self) -> u64 {
        self.newest.borrow().seq
    }

    /// A follower of what comes after `after`.
    pub fn follow(self: &Arc<Self>, filter: Filter, after: u64) -> Follower {
        Follower { feed: Arc::clone(self), filter, after, newest: self.newest.subscribe() }
    }

    /// Frames after a position, and the position up to which they go; none: they are not at hand any more.
    fn at_hand(&self, after: u64, filter: &Filter) -> Option<Taken> {
        let at_hand = self.at_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let first = at_hand.front().map(|frame| frame.seq)?;
        // Positions have no gaps.
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let next = at_hand.range(skip.min(at_hand.len())..).take(AT_ONCE);
        let to = next.clone().next_back().map_or(after, |frame| frame.seq);
        let frames = next.filter(|frame| filter.takes(frame)).cloned().collect();
        Some(Taken { frames, to })
    }

    /// The same from the file. `newest` was the newest position before it was read.
    async fn read_file(&self, after: u64, filter: &Filter, newest: u64) -> Result<Taken, JournalError> {
        let (file, wanted) = (self.file.clone(), filter.clone());
        let read = tokio::task::spawn_blocking(move || read(&file, after, newest, &wanted)).await;
        // A reader that broke off has read nothing, and nothing is passed over.
        let Ok(frames) = read else { return Ok(Taken { frames: Vec::new(), to: after }) };
        let frames = frames?;
        // Fewer than were asked for: there is nothing more of it up to what was the newest one.
        let whole = frames.len() < AT_ONCE;
        let last = frames.last().map_or(after, |frame| frame.seq);
        Ok(Taken { to: if whole { last.max(newest) } else { last }, frames })
    }

    fn chunk(&self, filter: &Filter, after: u64) -> Option<Chunk> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).get(filter, after)
    }
}

/// Frames, and the position up to which there are no others.
#[derive(Debug)]
struct Taken {
    frames: Vec<Arc<Frame>>,
    to: u64,
}

/// Somebody who follows.
#[derive(Debug)]
pub struct Follower {
    feed: Arc<Feed>,
    filter: Filter,
    after: u64,
    newest: watch::Receiver<Newest>,
}

impl Follower {
    /// The next events, at least one, in order; none: the stream has ended. Dropped before its end, it has taken nothing.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Frame>>>, JournalError> {
        while let Some(newest) = self.more().await {
            let taken = self.take(newest).await?;
            self.after = taken.to;
            if !taken.frames.is_empty() {
                return Ok(Some(taken.frames));
            }
        }
        Ok(None)
    }

    /// The same as server-sent events, in one piece: `id`, `event` and `data` of each.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, JournalError> {
        while let Some(newest) = self.more().await {
            let chunk = match self.feed.chunk(&self.filter, self.after) {
                Some(chunk) => chunk,
                None => self.put_together(newest).await?,
            };
            self.after = chunk.to;
            if !chunk.bytes.is_empty() {
                return Ok(Some(chunk.bytes));
            }
        }
        Ok(None)
    }

    /// Waits until there is something after its position; none: nothing more comes.
    async fn more(&mut self) -> Option<u64> {
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest.seq > self.after {
                return Some(newest.seq);
            }
            if newest.ended || self.newest.changed().await.is_err() {
                return None;
            }
        }
    }

    async fn take(&self, newest: u64) -> Result<Taken, JournalError> {
        if let Some(taken) = self.feed.at_hand(self.after, &self.filter) {
            return Ok(taken);
        }
        let _turn = self.feed.readers.acquire().await;
        self.feed.read_file(self.after, &self.filter, newest).await
    }

    async fn put_together(&self, newest: u64) -> Result<Chunk, JournalError> {
        let taken = match self.feed.at_hand(self.after, &self.filter) {
            Some(taken) => taken,
            None => {
                let _turn = self.feed.readers.acquire().await;
                // Somebody at the same position may have been faster.
                if let Some(chunk) = self.feed.chunk(&self.filter, self.after) {
                    return Ok(chunk);
                }
                let taken = self.feed.read_file(self.after, &self.filter, newest).await?;
                return Ok(self.keep(&taken));
            }
        };
        Ok(self.keep(&taken))
    }

    fn keep(&self, taken: &Taken) -> Chunk {
        let chunk = Chunk::of(&taken.frames, taken.to);
        let mut chunks = self.feed.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.keep(&self.filter, self.after, chunk.clone());
        chunk
    }
}

/// Frames after a position, up to another: what the loop has said is durable. Beyond it the file may hold a record whose fsync failed;
/// SQLite shows that to whoever opens the file after the writer has let go of it, and a power cut takes it away again.
fn read(file: &Path, after: u64, to: u64, filter: &Filter) -> Result<Vec<Arc<Frame>>, JournalError> {
    let journal = Journal::open_read_only(file)?;
    let entries = match &filter.rollout {
        Some(rollout) => journal.entries_of(rollout, Seq(after), AT_ONCE)?,
        None => journal.entries_after(Seq(after), AT_ONCE)?,
    };
    let durable = entries.iter().take_while(|entry| entry.seq.0 <= to);
    Ok(durable.map(|entry| Arc::new(frame(&listing::entry(entry)))).collect())
}

fn frame(entry: &listing::AuditEntry) -> Frame {
    Frame {
        seq: entry.seq,
        rollout: entry.rollout.clone(),
        event: entry.event.clone(),
        // Text and numbers cannot fail to be written.
        data: serde_json::to_string(entry).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
