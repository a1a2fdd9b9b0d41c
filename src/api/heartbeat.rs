//! The dead-man signal: as long as this daemon is truly alive, an outside monitor hears from it. When it hears nothing, it raises the
//! alarm; no daemon has to be alive for that.
//!
//! Alive is: the loop answers, it leads by the durable record, and it has lately written to the journal. A daemon that stands still,
//! was overtaken, or has lost its disk sends nothing, and says why in its log where it still can.

use super::metrics::{Beat, Metrics};
use super::service::Service;
use crate::cloud::ping::{PingError, Pinger};
use crate::config::watch::HeartbeatConfig;
use crate::daemon::driver::Orders;
use crate::daemon::leader::LEASE;
use crate::journal::JournalError;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// A loop that is in order answers within milliseconds; a kill must be answered within this (L3).
const ANSWER: Duration = Duration::from_secs(2);
/// The largest address that is read from its file.
const URL_MAX: u64 = 4096;

/// Why a daemon does not count as alive.
#[derive(Debug, thiserror::Error)]
pub enum NotAlive {
    /// It has ended.
    #[error("the loop has ended")]
    Ended,
    /// It stands still.
    #[error("the loop did not answer within {ANSWER:?}")]
    NoAnswer,
    /// Another daemon leads, or the journal cannot be read.
    #[error("it does not lead by the durable record")]
    NotLeading(#[source] JournalError),
    /// The lease was not renewed: nothing can be written.
    #[error("its lease has not been renewed for {LEASE:?}")]
    NotWriting,
}

/// What was last seen of a daemon's life.
#[derive(Debug)]
pub struct Pulse {
    orders: Orders,
    lease: Option<(u64, Instant)>,
}

impl Pulse {
    /// Of the loop behind `orders`, which has just written that it leads.
    pub fn new(orders: Orders) -> Self {
        Self { orders, lease: None }
    }

    /// Succeeds when it is truly alive now.
    ///
    /// # Errors
    /// [`NotAlive`].
    pub async fn feel(&mut self) -> Result<(), NotAlive> {
        let look = self.orders.look(|core| {
            core.journal().must_lead()?;
            core.journal().lease()
        });
        let answer = tokio::time::timeout(ANSWER, look).await.map_err(|_| NotAlive::NoAnswer)?;
        let lease = answer.map_err(|_| NotAlive::Ended)?.map_err(NotAlive::NotLeading)?;
        // Each renewal is a durable write, and moves this number.
        let beat = lease.map_or(0, |lease| lease.beat);
        let now = Instant::now();
        match self.lease {
            Some((known, since)) if known == beat && now.duration_since(since) >= LEASE => Err(NotAlive::NotWriting),
            Some((known, _)) if known == beat => Ok(()),
            _ => {
                self.lease = Some((beat, now));
                Ok(())
            }
        }
    }
}

/// Sends the signal until the loop has ended.
pub async fn run(service: Arc<Service>, config: HeartbeatConfig, metrics: Metrics) {
    let pinger = Pinger::default();
    let mut pulse = Pulse::new(service.orders().clone());
    metrics.beats();
    let mut ticks = beats(config.every);
    loop {
        ticks.tick().await;
        match pulse.feel().await {
            Ok(()) => {}
            Err(NotAlive::Ended) => return,
            Err(why) => {
                tracing::error!(why = %chain(&why), "no heartbeat is sent");
                metrics.beat(Beat::Withheld, service.wall());
                continue;
            }
        }
        match send(&pinger, &config).await {
            Ok(()) => metrics.beat(Beat::Sent, service.wall()),
            Err(why) => {
                tracing::warn!(%why, "the heartbeat did not arrive");
                metrics.beat(Beat::Failed, service.wall());
            }
        }
    }
}

/// When it beats. The first time after one whole interval: a daemon that ends and is started again every few seconds is not alive, and the
/// monitor is to miss it.
fn beats(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    // After a standstill one beat is enough; a row of them would say that there was none.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn send(pinger: &Pinger, config: &HeartbeatConfig) -> Result<(), String> {
    let url = match (&config.url, &config.url_file) {
        (Some(url), _) => url.reveal().to_owned(),
        (None, Some(file)) => read(file).map_err(|e| format!("the file `{}` cannot be read: {e}", file.display()))?,
        (None, None) => return Err("no address is configured".to_owned()),
    };
    pinger.ping(url.trim()).await.map_err(|error: PingError| chain(&error))
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(URL_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source()).take(8);
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::sim::{SimOptions, SimWorld};
    use crate::daemon::clock::Clock;
    use crate::daemon::core::Core;
    use crate::daemon::driver::Driver;
    use crate::journal::Journal;
    use jiff::Timestamp;

    const NEVER: Duration = Duration::from_secs(1_000_000);

    fn driver(file: &Path, renew: Duration) -> (Driver<SimWorld>, Orders) {
        let mut journal = Journal::open(file).unwrap();
        journal.take_lead(None, "test").unwrap();
        let clock = Clock::world(Timestamp::UNIX_EPOCH);
        let core = Core::new(journal, "test", None, clock.now()).unwrap();
        let (driver, orders) = Driver::new(core, Arc::new(SimWorld::new(SimOptions::default())), clock, None);
        (driver.renew_every(renew), orders)
    }

    /// Or one that crashes over and over would keep the monitor content.
    #[tokio::test(start_paused = true)]
    async fn a_daemon_is_heard_of_only_after_a_whole_interval() {
        let (start, every) = (Instant::now(), Duration::from_secs(60));
        let mut ticks = beats(every);
        for beat in 1..=3 {
            ticks.tick().await;
            assert_eq!(start.elapsed(), every * beat);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_goes_on_is_alive_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (driver, orders) = driver(&folder.path().join("journal.db"), crate::daemon::leader::RENEW);
        let running = tokio::spawn(async move { driver.run(&mut |_, _| ()).await });
        let mut pulse = Pulse::new(orders.clone());
        for _ in 0..10 {
            pulse.feel().await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        orders.stop().await;
        running.await.unwrap().unwrap();
        assert!(matches!(pulse.feel().await, Err(NotAlive::Ended)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_or_write_or_lead_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        let (driver, orders) = driver(&file, NEVER);
        let mut pulse = Pulse::new(orders);
        assert!(matches!(pulse.feel().await, Err(NotAlive::NoAnswer)));
        tokio::spawn(async move { driver.run(&mut |_, _| ()).await });
        pulse.feel().await.unwrap();
        tokio::time::sleep(LEASE / 2).await;
        pulse.feel().await.unwrap();
        // The lease is never renewed.
        tokio::time::sleep(LEASE).await;
        assert!(matches!(pulse.feel().await, Err(NotAlive::NotWriting)));
        let mut other = Journal::open(&file).unwrap();
        let seen = other.lease().unwrap();
        other.take_lead(seen.as_ref(), "another").unwrap();
        assert!(matches!(pulse.feel().await, Err(NotAlive::NotLeading(_))));
    }
}
