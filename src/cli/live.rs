//! Events as they come, over restarts of the daemon: nobody who follows misses one or sees one twice.

use super::args::Common;
use super::call::{complain, failed, place, try_connect};
use super::complain::note;
use super::exit::Exit;
use crate::api::client::{CallError, Following};
use crate::api::listing::AuditEntry;
use crate::model::ids::RolloutId;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// After a lost connection; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Never longer: a daemon that is back is noticed by a person within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many batches wait for whoever shows them; the daemon waits beyond that, and not its rollouts.
const AHEAD: usize = 64;

/// Why there are no more events.
enum End {
    /// The daemon lets nobody follow.
    Error(CallError),
    /// The daemon has been away for too long.
    GivenUp(String),
}

/// A stream of events.
pub struct Live {
    events: mpsc::Receiver<Result<Vec<AuditEntry>, End>>,
    task: JoinHandle<()>,
}

impl Live {
    /// Follows what comes after a position: of one rollout, or everything. Gives up when the daemon has been away for `patience`; none:
    /// never.
    pub fn start(common: &Common, rollout: Option<RolloutId>, after: u64, patience: Option<Duration>) -> Self {
        let (to, events) = mpsc::channel(AHEAD);
        let follower = Follower { common: common.clone(), rollout, after, patience, to, away: None };
        Self { events, task: tokio::spawn(follower.run()) }
    }

    /// The next events, in order. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The exit code of a daemon that lets nobody follow, or is away for too long; explained.
    pub async fn next(&mut self) -> Result<Vec<AuditEntry>, Exit> {
        match self.events.recv().await {
            Some(Ok(entries)) => Ok(entries),
            Some(Err(End::Error(error))) => Err(failed(&error)),
            Some(Err(End::GivenUp(words))) => {
                complain(&words);
                Err(Exit::Unreachable)
            }
            // Whoever asks again has not listened.
            None => Err(Exit::Failed),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The daemon is away.
struct Away {
    since: Instant,
    pause: Duration,
}

struct Follower {
    common: Common,
    rollout: Option<RolloutId>,
    /// The last position that was seen.
    after: u64,
    patience: Option<Duration>,
    to: mpsc::Sender<Result<Vec<AuditEntry>, End>>,
    away: Option<Away>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let error = match self.open().await {
                Ok(following) => match self.read(following).await {
                    Some(error) => error,
                    None => return,
                },
                Err(error) => error,
            };
            if let Some(end) = self.wait(error).await {
                // Nobody listens any more: nobody is told.
                let _ = self.to.send(Err(end)).await;
                return;
            }
        }
    }

    async fn open(&self) -> Result<Following, CallError> {
        let place = place(&self.common).map_err(|_| CallError::Setup("there is no daemon to follow".into()))?;
        try_connect(&self.common, &place).await?.follow(self.rollout.as_ref(), self.after).await
    }

    /// Hands events on until the connection is lost: why. Nothing: nobody listens any more.
    async fn read(&mut self, mut following: Following) -> Option<CallError> {
        let opened = Instant::now();
        loop {
            match following.next().await {
                Ok(mut entries) => {
                    self.is_back();
                    // What comes again after a reconnection was seen already.
                    entries.retain(|entry| entry.seq > self.after);
                    self.after = entries.last().map_or(self.after, |entry| entry.seq);
                    if !entries.is_empty() && self.to.send(Ok(entries)).await.is_err() {
                        return None;
                    }
                }
                Err(error) => {
                    // A door that opens and closes at once is not back.
                    if opened.elapsed() > LONGEST_PAUSE {
                        self.is_back();
                    }
                    return Some(error);
                }
            }
        }
    }

    fn is_back(&mut self) {
        if self.away.take().is_some() {
            note("the daemon answers again");
        }
    }

    /// Waits a little before the next attempt; or the end, when there is none.
    async fn wait(&mut self, error: CallError) -> Option<End> {
        if !error.passes() {
            return Some(End::Error(error));
        }
        let away = self.away.get_or_insert_with(|| {
            note("the daemon does not answer; watching on");
            Away { since: Instant::now(), pause: FIRST_PAUSE }
        });
        if let Some(patience) = self.patience.filter(|patience| away.since.elapsed() >= *patience) {
            let seconds = patience.as_secs();
            return Some(End::GivenUp(format!(
                "given up after {seconds} s: {error}; the rollouts go on when the daemon does"
            )));
        }
        tokio::time::sleep(away.pause).await;
        away.pause = (away.pause * 2).min(LONGEST_PAUSE);
        None
    }
}
