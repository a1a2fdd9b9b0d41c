//! Time, read here and handed on.

use crate::model::time::Now;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    /// Set: the wall clock of an embedded world, which began at this time.
    world_began: Option<Timestamp>,
    /// By how many milliseconds the wall clock of that world is wrong.
    wrong_by: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self { started: Instant::now(), world_began: None, wrong_by: Arc::default() }
    }

    /// A wall clock that began at `at` and goes as fast as the runtime's (paused or not).
    pub fn world(at: Timestamp) -> Self {
        Self { started: Instant::now(), world_began: Some(at), wrong_by: Arc::default() }
    }

    /// Sets the wall clock of an embedded world wrong, by so many milliseconds from now on; the machine's clock stays.
    pub fn set_wrong_by(&self, ms: i64) {
        self.wrong_by.store(ms, Ordering::Relaxed);
    }

    /// Both clocks, now.
    #[expect(clippy::disallowed_methods, reason = "this is where time is read")]
    pub fn now(&self) -> Now {
        let monotonic = self.started.elapsed();
        let wall = match self.world_began {
            Some(began) => SignedDuration::try_from(monotonic)
                .ok()
                .and_then(|d| began.checked_add(d).ok())
                .and_then(|at| at.checked_add(SignedDuration::from_millis(self.wrong_by.load(Ordering::Relaxed))).ok())
                .unwrap_or(Timestamp::MAX),
            None => Timestamp::now(),
        };
        Now { wall, monotonic }
    }

    /// The runtime's instant of a monotonic time.
    pub fn instant(&self, monotonic: Duration) -> Instant {
        self.started + monotonic
    }
}
