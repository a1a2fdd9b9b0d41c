//! What waits to be told, by channel: kept by whoever delivers, and read with each scrape. It asks neither the loop nor the outbox.

use super::numbers::{gauge, gauges};
use super::{Labels, Metrics, label};
use crate::model::time;
use jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a message can become.
const OUTCOMES: [&str; 3] = ["delivered", "failed", "dead"];

/// How many wait, and since when the oldest one does.
type Waiting = (u64, Option<Timestamp>);

/// Where the messages stand.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    waiting: Mutex<BTreeMap<String, Waiting>>,
    trouble: AtomicBool,
}

impl Metrics {
    /// There is such a channel. A counter that is born with its first dead message has never risen, and nobody is alarmed by it: all of
    /// them are there from the start, at 0.
    pub fn delivers_by(&self, channel: &str) {
        for outcome in OUTCOMES {
            drop(self.0.deliveries.series(&[("channel", channel), ("outcome", outcome)]));
        }
        self.waits(channel, 0, None);
    }

    /// So many messages wait in this channel, the oldest since then.
    pub fn waits(&self, channel: &str, pending: u64, oldest: Option<Timestamp>) {
        let mut waiting = self.0.waiting.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(label(channel), (pending, oldest));
    }

    /// Whether something is wrong with the outbox itself.
    pub fn delivers_with_trouble(&self, trouble: bool) {
        self.0.waiting.trouble.store(trouble, Ordering::Relaxed);
    }

    /// What waits, as of `now`.
    pub(super) fn register_waiting(&self, to: &mut Registry, now: Timestamp) {
        let waiting = self.0.waiting.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let pending = waiting.iter().map(|(channel, (pending, _))| (channel.clone(), *pending)).collect();
        gauges(to, "deliveries_pending", "Notices that wait to be delivered", "channel", pending);
        // An age and not a moment: one rule fits, whether something waits or not. It grows also when whoever delivers stands still.
        let ages: Family<Labels, Gauge<f64, AtomicU64>> = Family::default();
        for (channel, (_, oldest)) in waiting {
            let age = oldest.map(|at| time::since(at, now)).unwrap_or_default();
            ages.get_or_create(&vec![("channel", channel)]).set(age.as_secs_f64());
        }
        to.register("deliveries_oldest_pending_seconds", "For how long the oldest one waits; 0: none does", ages);
        let trouble = self.0.waiting.trouble.load(Ordering::Relaxed);
        let help = "1: the outbox is in trouble, and notices may be in memory alone";
        gauge(to, "deliveries_trouble", help, u64::from(trouble));
    }
}
