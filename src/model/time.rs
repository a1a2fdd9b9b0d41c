//! Time as the pure layers see it: handed in, never read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The moment of a decision, on two clocks.
///
/// `wall` dates what people and providers see. `monotonic` (since the daemon's start) measures how long something lasted,
/// so that a jump of the wall clock can lengthen a bake and never shorten it (S26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// Since the daemon's start; never goes back.
    pub monotonic: Duration,
}

impl Now {
    /// `wall` moved back by `span`, or the earliest time there is.
    pub fn wall_before(&self, span: Duration) -> Timestamp {
        jiff::SignedDuration::try_from(span)
            .ok()
            .and_then(|span| self.wall.checked_sub(span).ok())
            .unwrap_or(Timestamp::MIN)
    }
}

/// How long `later` is after `earlier`; zero when it is not.
pub fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// A span in whole milliseconds, as it is stored and digested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// From seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }
    /// As a `Duration`.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
    /// Whole milliseconds of `span`, at most `u64::MAX`.
    pub fn of(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// `1h 30m`, `45s`, `250ms`: short enough for a table.
impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ms, s) = (self.0 % 1000, self.0 / 1000);
        match (s / 3600, s / 60 % 60, s % 60) {
            (0, 0, 0) if ms > 0 => write!(f, "{ms}ms"),
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, 0) => write!(f, "{m}m"),
            (0, m, s) => write!(f, "{m}m {s}s"),
            (h, 0, _) => write!(f, "{h}h"),
            (h, m, _) => write!(f, "{h}h {m}m"),
        }
    }
}
