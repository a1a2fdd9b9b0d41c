//! A trace of each rollout, from proposal to settlement, for a collector of OpenTelemetry. Only with the feature `otel`.
//!
//! Traces are made from the journal and not from the running code, so that one trace is one rollout, however many daemons it took. A
//! task follows the stream of events; when a rollout has ended it reads all of its records and sends all spans at once. How far it has
//! come is in `traces.cursor` in the state directory: what ended while no daemon ran is sent after the start. A trace may be sent
//! twice, with the same ids; none is left out, unless the collector refuses it for good.

pub mod spans;

use super::doors::Doors;
use super::feed::{Feed, Filter, Frame};
use super::metrics::Metrics;
use super::service::Service;
use crate::cloud::otlp::{ExportError, Exporter, Span};
use crate::config::watch::TracesConfig;
use crate::daemon::driver::Stopped;
use crate::journal::{Journal, JournalError};
use crate::model::halt::Kill;
use crate::model::ids::{RolloutId, Seq};
use spans::Trace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The first pause after a collector did not take a trace; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// A collector that is away is asked no more often, for as long as it takes: the journal keeps everything.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Records that are read at once: previews make some of them large.
const READ_AT_ONCE: usize = 200;
/// The cursor is written after each trace, and otherwise after so many records: a start reads them again.
const CURSOR_EVERY: u64 = 5_000;

#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the reading was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Follows the journal and sends traces.
pub struct Tracer {
    journal: PathBuf,
    cursor: PathBuf,
    feed: Arc<Feed>,
    service: Arc<Service>,
    metrics: Metrics,
    exporter: Exporter,
}

impl Tracer {
    /// Over the journal of a state directory. Sends nothing yet.
    ///
    /// # Errors
    /// [`ExportError`] when no exporter can be made of what is configured.
    pub fn new(config: &TracesConfig, state_dir: &Path, doors: &Doors) -> Result<Self, ExportError> {
        Ok(Self {
            journal: state_dir.join("journal.db"),
            cursor: state_dir.join("traces.cursor"),
            feed: Arc::clone(&doors.feed),
            service: Arc::clone(&doors.service),
            metrics: doors.metrics.clone(),
            exporter: Exporter::new(&config.endpoint, config.headers_file.clone())?,
        })
    }

    /// Sends traces until the stream of events ends.
    pub async fn run(self) {
        let mut after = self.start();
        let mut written = after;
        loop {
            let mut follower = self.feed.follow(Filter::default(), after);
            loop {
                match follower.next().await {
                    Ok(Some(frames)) => {
                        for frame in frames {
                            after = frame.seq;
                            let sent = self.look_at(&frame).await;
                            if sent || after >= written + CURSOR_EVERY {
                                self.remember(after);
                                written = after;
                            }
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "traces wait: the journal cannot be read");
                        tokio::time::sleep(PAUSE_MAX).await;
                        break;
                    }
                }
            }
        }
    }

    /// Where to go on: what ended before traces were first asked for is not sent.
    fn start(&self) -> u64 {
        let newest = self.feed.newest();
        let known = std::fs::read_to_string(&self.cursor).ok().and_then(|text| text.trim().parse::<u64>().ok());
        match known {
            // The journal was replaced by a shorter one.
            Some(known) => known.min(newest),
            None => {
                self.remember(newest);
                newest
            }
        }
    }

    fn remember(&self, seq: u64) {
        // In one step, so that nobody reads half a number.
        let new = self.cursor.with_extension("cursor.new");
        let written = std::fs::write(&new, format!("{seq}\n")).and_then(|()| std::fs::rename(&new, &self.cursor));
        if let Err(error) = written {
            tracing::warn!(%error, "how far traces were sent cannot be written down: some will be sent again");
        }
    }

    /// Sends the trace of a rollout that has ended; true: something was sent, or given up.
    async fn look_at(&self, frame: &Frame) -> bool {
        let Some(rollout) = frame.rollout.as_ref().filter(|_| frame.event == "rollout_ended") else { return false };
        let mut pause = PAUSE;
        loop {
            match self.send(rollout).await {
                Ok(()) => self.metrics.trace("exported"),
                Err(TraceError::Export(ExportError::Refused(why))) => {
                    tracing::warn!(%rollout, %why, "a trace is given up");
                    self.metrics.trace("refused");
                }
                Err(error) => {
                    tracing::warn!(%rollout, %error, "a trace could not be sent; it is tried again");
                    self.metrics.trace("failed");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            }
            return true;
        }
    }

    async fn send(&self, rollout: &RolloutId) -> Result<(), TraceError> {
        let wanted = rollout.clone();
        let kills = self.service.orders().look(move |core| {
            let state = core.state();
            let plan = state.rollouts.get(&wanted).map(|rollout| Arc::clone(&rollout.plan));
            let covers = |kill: &&Kill| plan.as_ref().is_some_and(|plan| kill.scope.covers(plan));
            state.kills.values().map(|kill| &kill.kill).filter(covers).cloned().collect::<Vec<Kill>>()
        });
        let kills = kills.await?;
        let (file, wanted, durable) = (self.journal.clone(), rollout.clone(), Seq(self.feed.newest()));
        let spans = tokio::task::spawn_blocking(move || read(&file, &wanted, durable, &kills)).await??;
        Ok(self.exporter.export(spans).await?)
    }
}

/// The trace of a rollout, of what is `durable`: nothing after that position.
fn read(file: &Path, rollout: &RolloutId, durable: Seq, kills: &[Kill]) -> Result<Vec<Span>, JournalError> {
    let journal = Journal::open_read_only(file)?;
    let (mut trace, mut after) = (Trace::default(), Seq(0));
    loop {
        let entries = journal.entries_of(rollout, after, READ_AT_ONCE)?;
        entries.iter().filter(|entry| entry.seq <= durable).for_each(|entry| trace.add(entry));
        match entries.last() {
            Some(last) if entries.len() == READ_AT_ONCE => after = last.seq,
            _ => return Ok(trace.finish(kills)),
        }
    }
}
