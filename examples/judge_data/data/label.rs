//! What is known about a recording beside its points: where it comes from, and whether the change in it was bad.

use crate::recording::Recording;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A recording and the truth about it.
#[derive(Clone, Debug)]
pub struct Labelled {
    pub recording: Recording,
    pub label: Label,
}

/// The truth about one recording; no judge sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Unique in its set, and fit for a file's name.
    pub name: String,
    /// The experiment that it is from.
    pub case: String,
    /// Whose change it is.
    pub service: String,
    /// The change did harm.
    pub bad: bool,
    /// What kind of harm, in the data set's words. Of a healthy change: what struck its neighbours then, or nothing.
    pub fault: String,
}

/// A line of the labels' file: what the scorer knows about a recording without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub label: Label,
    /// From when on the first cell runs the new version.
    pub applied: Timestamp,
    /// Seconds per tick.
    pub period_s: u32,
}
