//! When changes may start: weekly windows, one-time windows and freezes, all by the clock on the wall of one time zone.
//!
//! A window is open while the local clock reads a time within it. Where daylight saving repeats an hour, it reads the same time
//! twice; where it skips one, a window that lies within the gap does not open that day.

pub mod standing;

use jiff::civil::{DateTime, Time, Weekday};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// When changes may start. Without weekly windows they may at any time that is not frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calendar {
    /// An IANA name that is known to this release, as `Europe/Berlin`.
    pub time_zone: String,
    /// Open every week.
    pub weekly_windows: Vec<WeeklyWindow>,
    /// Open once, outside of the weekly windows.
    pub one_time_windows: Vec<Span>,
    /// Closed, whatever is open.
    pub freezes: Vec<Span>,
}

/// Hours of days of the week.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeeklyWindow {
    /// The days on which it opens. Never empty.
    pub days: BTreeSet<Day>,
    /// When it opens.
    pub from: Time,
    /// When it closes; at or before `from`: on the day after.
    pub to: Time,
    /// For whose changes.
    pub applies_to: Proposers,
}

/// From a local time to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When it begins.
    pub from: DateTime,
    /// When it is over; after `from`.
    pub to: DateTime,
    /// Why, for people.
    pub reason: String,
    /// For whose changes.
    pub applies_to: Proposers,
}

/// Whose changes a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proposers {
    /// Everybody's.
    #[default]
    Everyone,
    /// Those that an agent proposes.
    Agents,
    /// Those that a person proposes.
    People,
}

impl Proposers {
    /// True when the rule is for changes of an agent (`true`) or a person.
    pub fn include(self, agent: bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Agents => agent,
            Self::People => !agent,
        }
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// The week, as YAML writes it.
    pub const WEEK: [(&str, Self); 7] = [
        ("mon", Self::Mon),
        ("tue", Self::Tue),
        ("wed", Self::Wed),
        ("thu", Self::Thu),
        ("fri", Self::Fri),
        ("sat", Self::Sat),
        ("sun", Self::Sun),
    ];
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}
