//! What the daemon says of itself to Prometheus, in the OpenMetrics text format.
//!
//! Two kinds: what the doors count as they go ([`Metrics`]' own counters), and what is read from the state with each scrape
//! (`metrics/numbers`). Names, units and meanings are in [`Metrics::render`]. Label values that come from agents are untrusted:
//! they are cut, stripped of control characters, and bounded in number.

mod deliveries;
mod numbers;

use super::feed::Feed;
use super::service::Service;
use super::words;
use jiff::Timestamp;
use numbers::Numbers;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Series of one counter. Doors label with their own words, of which there are far fewer; what is above this is `other`.
const SERIES_MAX: usize = 256;
/// Agents with series of their own, the busiest first; the rest is `other`.
const AGENTS_MAX: usize = 50;
/// Characters of a label value.
const LABEL_MAX: usize = 100;
/// A loop that is in order answers within milliseconds. One that does not is reported as down, and the scrape ends before Prometheus
/// gives it up (10 s).
const ANSWER: Duration = Duration::from_secs(5);
/// From a look at the state to a page over a slow disk; a kill must be answered within 2 s.
const SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0];

type Labels = Vec<(&'static str, String)>;
type Counters = Bounded<Counter, fn() -> Counter>;
type Histograms = Bounded<Histogram, fn() -> Histogram>;

/// What became of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The monitor has it.
    Sent,
    /// It was sent, and did not arrive.
    Failed,
    /// The daemon was not truly alive: nothing was sent.
    Withheld,
}

/// The counters of all doors. A clone is another hand on the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: Counters,
    durations: Histograms,
    followers: Gauge,
    failures: Counters,
    mcp: Counters,
    deliveries: Counters,
    waiting: deliveries::Deliveries,
    beats: Counters,
    traces: Counters,
    /// Milliseconds since 1970; 0: never.
    last_beat: AtomicI64,
    last_turn: AtomicI64,
    turns: AtomicU64,
    /// Somebody waits for heartbeats.
    beating: AtomicBool,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            requests: Bounded::new(Counter::default),
            durations: Bounded::new(|| Histogram::new(SECONDS)),
            followers: Gauge::default(),
            failures: Bounded::new(Counter::default),
            mcp: Bounded::new(Counter::default),
            deliveries: Bounded::new(Counter::default),
            waiting: deliveries::Deliveries::default(),
            beats: Bounded::new(Counter::default),
            traces: Bounded::new(Counter::default),
            last_beat: AtomicI64::new(0),
            last_turn: AtomicI64::new(0),
            turns: AtomicU64::new(0),
            beating: AtomicBool::new(false),
        }
    }
}

/// Counts one follower of the stream of events for as long as it is held.
#[derive(Debug)]
pub struct Following(Metrics);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.0.followers.dec();
    }
}

impl Metrics {
    /// One HTTP request was answered. `route` is the route's template (`/v1/rollouts/{id}`), never the path that was asked for;
    /// `unmatched` where there is none.
    pub fn http(&self, route: &str, method: &str, status: u16, took: Duration) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method);
        let method = if known { method } else { "other" };
        count(&self.0.requests, &[("route", route), ("method", method), ("status", &status.to_string())]);
        self.0.durations.series(&[("route", route), ("method", method)]).observe(took.as_secs_f64());
    }

    /// Somebody follows the stream of events, until what is returned is dropped.
    #[must_use]
    pub fn follows(&self) -> Following {
        self.0.followers.inc();
        Following(self.clone())
    }

    /// Somebody at a door (`http`, `mcp`, `socket`) could not be told who they are.
    pub fn authentication_failed(&self, door: &str) {
        count(&self.0.failures, &[("door", door)]);
    }

    /// A tool of MCP was called. `tool` is one that is offered, or `unknown`; `outcome` is `ok`, `refused` or `error`.
    pub fn mcp_call(&self, tool: &str, outcome: &str) {
        count(&self.0.mcp, &[("tool", tool), ("outcome", outcome)]);
    }

    /// A notice went out by a channel: `delivered`, `failed` (it is tried again) or `dead`.
    pub fn delivery(&self, channel: &str, outcome: &str) {
        count(&self.0.deliveries, &[("channel", channel), ("outcome", outcome)]);
    }

    /// A trace was handed to the collector (`exported`), was not (`failed`; it is tried again), or was given up (`refused`).
    pub fn trace(&self, outcome: &str) {
        count(&self.0.traces, &[("outcome", outcome)]);
    }

    /// Heartbeats are to be sent: their series are there before the first one, at 0.
    pub fn beats(&self) {
        self.0.beating.store(true, Ordering::Relaxed);
        for outcome in ["sent", "failed", "withheld"] {
            drop(self.0.beats.series(&[("outcome", outcome)]));
        }
    }

    /// What became of a heartbeat.
    pub fn beat(&self, beat: Beat, at: Timestamp) {
        let outcome = match beat {
            Beat::Sent => "sent",
            Beat::Failed => "failed",
            Beat::Withheld => "withheld",
        };
        if beat == Beat::Sent {
            self.0.last_beat.store(at.as_millisecond(), Ordering::Relaxed);
        }
        count(&self.0.beats, &[("outcome", outcome)]);
    }

    /// The loop has made a turn.
    pub fn turned(&self, at: Timestamp) {
        self.0.last_turn.store(at.as_millisecond(), Ordering::Relaxed);
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, in the OpenMetrics text format. A loop that does not answer is said to be down; the counters are shown all the same.
    ///
    /// | name | what |
    /// |---|---|
    /// | `wavegate_build_info{version}` | 1 |
    /// | `wavegate_up` | 1: the loop answered this scrape |
    /// | `wavegate_loop_answer_seconds` | how long that took |
    /// | `wavegate_loop_turns_total`, `wavegate_loop_last_turn_timestamp_seconds` | turns; an idle loop makes none |
    /// | `wavegate_epoch` | the leader's term |
    /// | `wavegate_leads` | 1: by the durable record this daemon leads |
    /// | `wavegate_journal_records`, `wavegate_journal_newest_record_timestamp_seconds` | how many there are, and when the newest one was written |
    /// | `wavegate_feed_lag_records` | records that the stream of events has not shown yet |
    /// | `wavegate_rollouts{phase}` | open rollouts: `previewing`, `rolling`, `baking`, `reverting` |
    /// | `wavegate_rollouts_ended_total{outcome}` | `succeeded`, `reverted`, `stuck`, `cancelled` |
    /// | `wavegate_rollouts_held` | open rollouts that wait for a person |
    /// | `wavegate_targets_stuck` | targets of open rollouts that need a person |
    /// | `wavegate_kills_in_force{mode}`, `wavegate_kills_pending` | stop orders; those not acknowledged yet |
    /// | `wavegate_refusals_total` | refusals on record |
    /// | `wavegate_change_rate_window_seconds` | the window of what follows |
    /// | `wavegate_agent_changes{agent}`, `…_usual`, `…_threshold` | changes within the window; how many are usual; from how many on it alarms |
    /// | `wavegate_fleet_changes`, `…_usual`, `…_threshold` | the same of all agents |
    /// | `wavegate_change_rate_alarms` | agents, and the fleet, with an alarm within the last window |
    /// | `wavegate_heartbeats_total{outcome}`, `wavegate_heartbeat_last_success_timestamp_seconds` | `sent`, `failed`, `withheld`; only where heartbeats are configured |
    /// | `wavegate_http_requests_total{route,method,status}`, `wavegate_http_request_duration_seconds{route,method}` | the HTTP door |
    /// | `wavegate_followers` | who follows the stream of events |
    /// | `wavegate_authentication_failures_total{door}` | callers who are not known |
    /// | `wavegate_mcp_calls_total{tool,outcome}` | the MCP door |
    /// | `wavegate_deliveries_total{channel,outcome}` | notices: `delivered`, `failed` (tries), `dead`; of each channel from the start |
    /// | `wavegate_deliveries_pending{channel}`, `wavegate_deliveries_oldest_pending_seconds{channel}` | notices that wait, and for how long the oldest one does |
    /// | `wavegate_deliveries_trouble` | 1: something is wrong with the outbox itself |
    /// | `wavegate_traces_total{outcome}` | traces that were handed to the collector |
    pub async fn render(&self, service: &Service, feed: &Feed) -> String {
        let (wall, asked) = (service.wall(), Instant::now());
        let look = service.orders().look(move |core| Numbers::of(core, wall));
        let numbers = tokio::time::timeout(ANSWER, look).await.ok().and_then(Result::ok);
        let took = asked.elapsed();
        let mut registry = Registry::with_prefix("wavegate");
        self.register(&mut registry);
        self.register_waiting(&mut registry, wall);
        numbers::own(&mut registry, numbers.is_some(), took);
        if let Some(numbers) = &numbers {
            numbers.register(&mut registry, feed.newest());
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }

    /// What it shows without the loop, for a test.
    #[cfg(test)]
    pub(super) fn of_doors(&self, now: Timestamp) -> String {
        let mut registry = Registry::with_prefix("wavegate");
        self.register(&mut registry);
        self.register_waiting(&mut registry, now);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn register(&self, to: &mut Registry) {
        let inner = &self.0;
        to.register("http_requests", "HTTP requests that were answered", inner.requests.family.clone());
        let help = "How long HTTP requests took, to the head of the answer";
        to.register("http_request_duration_seconds", help, inner.durations.family.clone());
        to.register("followers", "Followers of the stream of events", inner.followers.clone());
        to.register("authentication_failures", "Callers who are not known", inner.failures.family.clone());
        to.register("mcp_calls", "Calls of MCP tools", inner.mcp.family.clone());
        to.register("deliveries", "Notices that were sent", inner.deliveries.family.clone());
        to.register("traces", "Traces that were handed to the collector", inner.traces.family.clone());
        let turns: Counter = Counter::default();
        turns.inc_by(inner.turns.load(Ordering::Relaxed));
        to.register("loop_turns", "Turns of the loop; an idle one makes none", turns);
        numbers::time(
            to,
            "loop_last_turn_timestamp_seconds",
            "The newest turn",
            inner.last_turn.load(Ordering::Relaxed),
        );
        if inner.beating.load(Ordering::Relaxed) {
            to.register("heartbeats", "Signals to the outside monitor", inner.beats.family.clone());
            let last = inner.last_beat.load(Ordering::Relaxed);
            let help = "When the outside monitor took the newest signal; 0: never";
            numbers::time(to, "heartbeat_last_success_timestamp_seconds", help, last);
        }
    }
}

fn count(counters: &Counters, labels: &[(&'static str, &str)]) {
    counters.series(labels).inc();
}

/// Series by labels, at most [`SERIES_MAX`] of them and one for all others.
#[derive(Debug)]
struct Bounded<M, C> {
    family: Family<Labels, M, C>,
    series: AtomicUsize,
}

impl<M: Clone> Bounded<M, fn() -> M> {
    fn new(make: fn() -> M) -> Self {
        Self { family: Family::new_with_constructor(make), series: AtomicUsize::new(0) }
    }

    fn series(&self, labels: &[(&'static str, &str)]) -> M {
        let wanted: Labels = labels.iter().map(|(name, value)| (*name, label(value))).collect();
        if let Some(known) = self.family.get(&wanted) {
            return known.clone();
        }
        // Two at the same time may go one above it.
        if self.series.load(Ordering::Relaxed) < SERIES_MAX {
            self.series.fetch_add(1, Ordering::Relaxed);
            return self.family.get_or_create_owned(&wanted);
        }
        let other: Labels = labels.iter().map(|(name, _)| (*name, "other".to_owned())).collect();
        self.family.get_or_create_owned(&other)
    }
}

/// INVARIANT: S21. Untrusted text as a label's value.
fn label(text: &str) -> String {
    let cut: String = text.chars().take(LABEL_MAX).collect();
    words::plain(&cut).replace('\n', " ")
}

#[cfg(test)]
mod tests;
