//! How fast changes come, against how fast they usually come.

use super::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose changes are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateOf {
    /// One agent's.
    Agent(String),
    /// Everybody's.
    Fleet,
}

impl fmt::Display for RateOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent {name}"),
            Self::Fleet => f.write_str("the fleet"),
        }
    }
}

/// Far more changes were proposed within a window than is usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRateAlarm {
    /// Whose.
    pub of: RateOf,
    /// So many proposals within the window.
    pub seen: u32,
    /// So many are usual in a window of this length.
    pub usual: f64,
    /// From so many on it alarms.
    pub threshold: u32,
    /// The window.
    pub window: Millis,
    /// When it was noticed.
    pub at: Timestamp,
}
