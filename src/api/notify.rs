//! Telling people: what the journal says that they should know goes to their channels, at least once.
//!
//! ```text
//! journal ──► courier ──► outbox.db ──► one task for each channel ──► webhook, Slack, SNS
//! ```
//!
//! The loop knows nothing of it. The courier reads the journal behind its own cursor, as a follower of the stream does; cursor and messages
//! are one transaction, so a crash in between makes them again, with the same ids. No trouble here stops the daemon: it is logged, counted
//! and shown by `status`, and told by the channels that still work.

mod channel;
mod courier;
mod fallback;
mod making;
pub mod message;
pub mod outbox;
mod render;
mod undelivered;

use super::metrics::Metrics;
use crate::cloud::outbound::slack::Slack;
use crate::cloud::outbound::sns::Sns;
use crate::cloud::outbound::webhook::Webhook;
use crate::cloud::outbound::{Deliver as _, Parcel, Undelivered, Way};
use crate::config::notify::{ChannelConfig, NotifyConfig};
use crate::daemon::clock::Clock;
use crate::daemon::core::Fatal;
use crate::journal::outbox::{NewLetter, Outbox, OutboxError};
use crate::journal::{Journal, JournalError};
use crate::model::ids::{Digest, Seq};
use crate::model::notice::NoticeKind;
use fallback::Memory;
use jiff::Timestamp;
use making::Making;
use message::Message;
use outbox::DeliveriesView;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A daemon that has lost its store waits no longer than this until its last words are out: whoever restarts it waits for it.
pub const LAST_WORDS: Duration = Duration::from_secs(10);
/// The file of the outbox, in the state directory.
pub const FILE: &str = "outbox.db";

/// What became of the messages of one channel since the start of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that arrived.
    pub delivered: u64,
    /// Tries that failed.
    pub failed_tries: u64,
    /// Messages that were given up.
    pub dead: u64,
}

/// One way to people, with its numbers.
#[derive(Debug)]
struct Channel {
    config: ChannelConfig,
    way: Way,
    /// Rung when there is something for it.
    bell: Notify,
    delivered: AtomicU64,
    failed_tries: AtomicU64,
    dead: AtomicU64,
    /// Why the newest try failed.
    failing: Mutex<Option<String>>,
    /// Its receiver has asked for a pause.
    not_before: Mutex<Option<Instant>>,
}

impl Channel {
    fn new(config: &ChannelConfig) -> Option<Self> {
        // The configuration was checked: there is exactly one.
        let way = if let Some(webhook) = &config.webhook {
            Way::Webhook(Webhook::new(webhook.url.clone(), webhook.secrets()))
        } else if let Some(slack) = &config.slack {
            Way::Slack(Slack::new(slack.url_file.clone()))
        } else {
            let sns = config.sns.as_ref()?;
            Way::Sns(Box::new(Sns::new(sns.topic_arn.clone(), sns.region())))
        };
        Some(Self {
            config: config.clone(),
            way,
            bell: Notify::new(),
            delivered: AtomicU64::new(0),
            failed_tries: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            failing: Mutex::default(),
            not_before: Mutex::default(),
        })
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    fn way(&self) -> &'static str {
        match self.way {
            Way::Webhook(_) => "webhook",
            Way::Slack(_) => "slack",
            Way::Sns(_) => "sns",
        }
    }

    /// Sends a message once.
    async fn send(&self, id: &str, stored: &str, about: &str, at: Timestamp) -> Result<(), Undelivered> {
        let message: Message = serde_json::from_str(stored)
            .map_err(|_| Undelivered::Never { why: "the message in the outbox cannot be read".into() })?;
        let body = render::body(&self.config, stored, &message, id);
        let subject = render::subject(&message);
        let group = if about.is_empty() { "wavegate" } else { about };
        self.way.deliver(&Parcel { id, at: at.as_second(), body: &body, subject: &subject, group }).await
    }
}

/// What the courier and the channels share.
#[derive(Debug)]
struct Shared {
    channels: Vec<Channel>,
    source: Option<String>,
    journal: PathBuf,
    /// When the journal's first record was written: no other journal has the same.
    born: Option<Timestamp>,
    /// Where the outbox's file is.
    file: PathBuf,
    outbox: Mutex<Outbox>,
    /// Up to which record messages were put in, as it was last seen.
    told: AtomicU64,
    making: Making,
    view: Mutex<DeliveriesView>,
    trouble: Mutex<Option<String>>,
    /// The file cannot be used for now.
    memory: Mutex<Option<Memory>>,
    clock: Clock,
    metrics: Metrics,
}

/// Tells people.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// None: there is no channel.
    shared: Option<Arc<Shared>>,
}

impl Notifier {
    /// Opens the outbox in the state directory. Where that cannot be used, messages are kept in memory, and `status` says so. To be called
    /// before anything happens: from here on nothing is missed.
    ///
    /// # Errors
    /// The journal cannot be read, or there is no memory.
    pub fn open(config: &NotifyConfig, dir: &Path, clock: Clock, metrics: Metrics) -> Result<Self, NotifyError> {
        if config.channels.is_empty() {
            return Ok(Self { shared: None });
        }
        let journal = dir.join("journal.db");
        let records = Journal::open_read_only(&journal)?;
        let (newest, first) = (records.newest_seq()?, records.entries_after(Seq(0), 1)?);
        let file = dir.join(FILE);
        let (outbox, trouble) = match Outbox::open(&file, newest) {
            Ok(outbox) => (outbox, None),
            Err(error) => (Outbox::in_memory(newest)?, Some(error)),
        };
        let shared = Shared {
            channels: config.channels.iter().filter_map(Channel::new).collect(),
            source: config.source.clone(),
            journal,
            born: first.first().map(|entry| entry.at),
            file,
            told: AtomicU64::new(outbox.cursor()?.0),
            outbox: Mutex::new(outbox),
            making: Making::default(),
            view: Mutex::default(),
            trouble: Mutex::default(),
            memory: Mutex::default(),
            clock,
            metrics,
        };
        if let Some(error) = trouble {
            shared.keep_in_memory(&error, newest);
        }
        shared.channels.iter().for_each(|channel| shared.metrics.delivers_by(channel.name()));
        shared.refresh();
        Ok(Self { shared: Some(Arc::new(shared)) })
    }

    /// Starts the courier and a task for each channel. `written` is the position of the newest record.
    pub fn start(&self, written: watch::Receiver<u64>) {
        let Some(shared) = &self.shared else { return };
        tokio::spawn(courier::run(Arc::clone(shared), written));
        for n in 0..shared.channels.len() {
            tokio::spawn(channel::run(Arc::clone(shared), n));
        }
    }

    /// Where the messages stand. Asks nobody and waits for nothing.
    pub fn view(&self) -> DeliveriesView {
        self.shared.as_ref().map(|shared| lock(&shared.view).clone()).unwrap_or_default()
    }

    /// By channel, what became of its messages since the start.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let counts = |channel: &Channel| Counts {
            delivered: channel.delivered.load(Ordering::Relaxed),
            failed_tries: channel.failed_tries.load(Ordering::Relaxed),
            dead: channel.dead.load(Ordering::Relaxed),
        };
        let channels = self.shared.iter().flat_map(|shared| &shared.channels);
        channels.map(|channel| (channel.name().to_owned(), counts(channel))).collect()
    }

    /// Tells every channel, directly and once, that this daemon has stopped: there may be no disk to keep a message on. All at the same
    /// time, within [`LAST_WORDS`]. That the store is lost, or that there is a defect, is told whatever a channel asks for.
    pub async fn last_words(&self, error: &Fatal, why: &str) {
        let Some(shared) = &self.shared else { return };
        let (kind, next) = last_notice(error);
        let at = shared.now();
        let stored = shared.stored(message::plain(kind, last_headline(kind), why, next, at));
        let what = last_name(kind, why, shared.born, at);
        let told = shared.channels.iter().filter(|channel| kind != NoticeKind::Overtaken || channel.config.wants(kind));
        let sending = told.map(|channel| {
            let (stored, id) = (&stored, id(channel.name(), kind, &what));
            async move {
                match channel.send(&id, stored, "", at).await {
                    Ok(()) => tracing::info!(channel = channel.name(), "the last words have arrived"),
                    Err(why) => tracing::error!(channel = channel.name(), %why, "the last words did not arrive"),
                }
            }
        });
        if tokio::time::timeout(LAST_WORDS, futures_util::future::join_all(sending)).await.is_err() {
            tracing::error!("not all of the last words arrived in time");
        }
    }
}

/// Why nobody can be told anything.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// What is told follows from the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No outbox, not even in memory.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

fn last_notice(error: &Fatal) -> (NoticeKind, &'static str) {
    match error {
        Fatal::Journal(JournalError::Overtaken { .. }) => {
            (NoticeKind::Overtaken, "nothing is lost; find out why this daemon stood still, and end what is left of it")
        }
        Fatal::Journal(_) => (
            NoticeKind::StoreLost,
            "nothing is watched or reverted until it runs again: see to the disk, then start the daemon; it goes on where it was",
        ),
        Fatal::Illegal(_) | Fatal::Livelock => (
            NoticeKind::Defect,
            "nothing is watched or reverted until it runs again: start the daemon; if it stops again, keep the journal and report it",
        ),
    }
}

/// What names the last words. A defect that is met again after each start is one page an hour, and not one for each start. `born` tells
/// daemons apart that share a receiver.
fn last_name(kind: NoticeKind, why: &str, born: Option<Timestamp>, at: Timestamp) -> String {
    match (kind, born) {
        (NoticeKind::Defect, Some(born)) => format!("{born}\n{}\n{why}", at.as_second().div_euclid(3600)),
        _ => uuid::Uuid::now_v7().to_string(),
    }
}

fn last_headline(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Overtaken => "another daemon has taken over, this one has stopped",
        NoticeKind::StoreLost => "THE DAEMON HAS LOST ITS STORE and has stopped",
        _ => "THE DAEMON HAS STOPPED by a defect of its own",
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The message as it is kept.
    fn stored(&self, mut message: Message) -> String {
        message.data.source.clone_from(&self.source);
        // Text and numbers cannot fail to be written.
        serde_json::to_string(&message).unwrap_or_default()
    }

    /// The same message for each channel that wants it. `what` is the same whenever the message is made again.
    fn letters(&self, message: Message, about: &str, what: &str, but: Option<&str>) -> Vec<NewLetter> {
        let kind = message.data.kind;
        let body = self.stored(message);
        let wanted = self.channels.iter().filter(|c| Some(c.name()) != but && c.config.wants(kind));
        wanted
            .map(|channel| NewLetter {
                channel: channel.name().to_owned(),
                id: id(channel.name(), kind, what),
                kind,
                about: about.to_owned(),
                body: body.clone(),
            })
            .collect()
    }

    /// Works with the outbox, away from the tasks that wait.
    async fn with_outbox<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Outbox) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut lock(&shared.outbox));
            shared.refresh();
            done
        });
        match done.await {
            Ok(done) => done,
            // It panicked, which is on record then, or the process ends.
            Err(_) => Err(OutboxError::BrokenOff),
        }
    }

    /// Shows anew what the outbox holds.
    fn refresh(&self) {
        let holds = lock(&self.outbox).holds();
        let channels = self.channels.iter();
        let channels = channels.map(|c| (c.name().to_owned(), c.way(), lock(&c.failing).clone())).collect();
        match holds {
            Ok(holds) => {
                let view = DeliveriesView::of(&holds, channels, lock(&self.trouble).clone());
                view.channels.iter().for_each(|c| self.metrics.waits(&c.channel, c.pending, c.oldest_pending));
                self.metrics.delivers_with_trouble(view.trouble.is_some());
                *lock(&self.view) = view;
            }
            Err(error) => self.show_trouble(chain(&error)),
        }
    }

    /// Something is wrong with the outbox itself: in the log once, and in `status` until it is over.
    fn report(&self, trouble: String) {
        let mut known = lock(&self.trouble);
        if known.as_ref() != Some(&trouble) {
            tracing::error!(%trouble, "messages to people are in trouble");
            *known = Some(trouble.clone());
        }
        drop(known);
        self.show_trouble(trouble);
    }

    fn show_trouble(&self, trouble: String) {
        self.metrics.delivers_with_trouble(true);
        lock(&self.view).trouble = Some(trouble);
    }

    fn ring(&self) {
        self.channels.iter().for_each(|channel| channel.bell.notify_one());
    }
}

/// Names a message towards one receiver.
fn id(channel: &str, kind: NoticeKind, what: &str) -> String {
    let digest = Digest::of_bytes(format!("{channel}\n{kind}\n{what}").as_bytes());
    format!("msg_{}", digest.as_str().get(..32).unwrap_or_default())
}

/// What follows from a record, named so that no other record of any daemon has the same name.
fn of_record(seq: Seq, at: Timestamp, about: &str) -> String {
    format!("{seq}\n{at}\n{about}")
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source()).map(ToString::to_string);
    causes.collect::<Vec<_>>().join(": ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the start, and with an outbox that cannot be used: that is when somebody looks.
    #[test]
    fn what_waits_is_shown_to_prometheus() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(&dir.path().join("journal.db")).unwrap();
        let config = serde_yaml::from_str("channels: [{name: a, slack: {url_file: /none}}]").unwrap();
        let open = || {
            let metrics = Metrics::default();
            let notifier = Notifier::open(&config, dir.path(), Clock::system(), metrics.clone()).unwrap();
            (notifier.shared.unwrap(), metrics)
        };
        let (shared, metrics) = open();
        let text = metrics.of_doors(shared.now());
        for line in ["total{channel=\"a\",outcome=\"dead\"} 0\n", "pending{channel=\"a\"} 0\n", "trouble 0\n"] {
            assert!(text.contains(&format!("wavegate_deliveries_{line}")), "{line} {text}");
        }
        let message = message::plain(NoticeKind::Kill, "x", "y", "z", shared.now());
        let letters = shared.letters(message, "", "x", None);
        let since = shared.now() - jiff::SignedDuration::from_secs(700);
        lock(&shared.outbox).take_in(Seq(0), &letters, since).unwrap();
        shared.refresh();
        let text = metrics.of_doors(since + jiff::SignedDuration::from_secs(700));
        for line in ["pending{channel=\"a\"} 1\n", "oldest_pending_seconds{channel=\"a\"} 700"] {
            assert!(text.contains(&format!("wavegate_deliveries_{line}")), "{line} {text}");
        }
        drop(shared);
        std::fs::write(dir.path().join(FILE), "no database at all ".repeat(500)).unwrap();
        let (shared, metrics) = open();
        assert!(metrics.of_doors(shared.now()).contains("wavegate_deliveries_trouble 1\n"));
    }

    #[test]
    fn the_last_words_of_a_defect_are_one_message_an_hour() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let name = |kind, why, born, now| last_name(kind, why, Some(at(born)), at(now));
        let (defect, first) = (NoticeKind::Defect, name(NoticeKind::Defect, "livelock", 1, 7200));
        assert_eq!(name(defect, "livelock", 1, 10_799), first);
        for other in [
            name(defect, "livelock", 1, 10_800),
            name(defect, "illegal", 1, 7200),
            name(defect, "livelock", 2, 7200),
            name(NoticeKind::StoreLost, "livelock", 1, 7200),
        ] {
            assert_ne!(other, first);
        }
        assert_ne!(name(NoticeKind::StoreLost, "x", 1, 0), name(NoticeKind::StoreLost, "x", 1, 0));
    }
}
