//! What health says, and why: every reason is a variant that carries its numbers.

use super::comparison::Interval;
use super::ids::CellId;
use super::observation::ProviderError;
use super::pipeline::Threshold;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What health says. Ordered by how much it stops: of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Fresh, complete and sufficient evidence, all of it good.
    Pass,
    /// Not enough evidence. Never "go".
    Inconclusive,
    /// The evidence could not be read or cannot be trusted. Never "go".
    Error,
    /// Health is broken.
    Fail,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
            Self::Fail => "fail",
        })
    }
}

/// One judgement: the verdict with everything that speaks against a pass, and the values that were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The greatest of the findings' verdicts; `Pass` when there is none.
    pub verdict: Verdict,
    /// What speaks against a pass.
    pub findings: Vec<Finding>,
    /// The newest usable value of each metric in each cell, for people.
    pub readings: Vec<Reading>,
}

/// A metric's newest value against its threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// In which cell.
    pub cell: CellId,
    /// Which metric.
    pub metric: String,
    /// The newest usable value.
    pub value: Option<f64>,
    /// What is bad; none for a metric that is only compared.
    #[serde(default)]
    pub threshold: Option<Threshold>,
    /// Usable points since the bake began.
    pub points: u32,
}

/// Something that speaks against a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// In which cell; none: in the whole fleet.
    pub cell: Option<CellId>,
    /// The metric's or alarm's name.
    pub signal: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Problem {
    /// M of N points are bad.
    Breach {
        /// So many bad points (missing ones counted where the pipeline says so) …
        bad: u32,
        /// … among so many.
        of: u32,
        /// The threshold.
        threshold: Threshold,
        /// The worst value; none when the bad points are missing ones.
        worst: Option<f64>,
    },
    /// The alarm is in ALARM.
    AlarmOpen {
        /// The provider's reason.
        reason: String,
    },
    /// Points that should be there are not.
    Missing {
        /// So many missing …
        missing: u32,
        /// … of so many expected.
        of: u32,
    },
    /// Fewer points in the bake than the wave asks for.
    TooFewPoints {
        /// Had.
        have: u32,
        /// Needed.
        need: u32,
    },
    /// Points rest on too few samples.
    TooFewSamples {
        /// The smallest number seen.
        have: f64,
        /// Needed.
        need: u32,
    },
    /// The newest point is too old.
    Stale {
        /// When the newest point began; none: there is no point at all.
        newest: Option<Timestamp>,
    },
    /// NaN or infinite.
    NotFinite,
    /// The points are in another unit than the pipeline says.
    WrongUnit {
        /// The source's.
        have: String,
        /// The pipeline's.
        need: String,
    },
    /// A ratio whose counts cannot be: below 0, or more bad ones than there were.
    Impossible {
        /// The counts.
        said: String,
    },
    /// The series was there before the bake and stopped.
    Vanished {
        /// When its last point began.
        last: Timestamp,
    },
    /// A point from the future: a clock is wrong.
    FutureDated {
        /// Its time.
        at: Timestamp,
    },
    /// `PartialData` after the last page.
    Partial,
    /// `Forbidden`.
    Forbidden,
    /// The source failed inside or said something unknown.
    SourceTrouble {
        /// Its word.
        said: String,
    },
    /// The source could not be read.
    Unreadable {
        /// Why.
        error: ProviderError,
    },
    /// `INSUFFICIENT_DATA`.
    InsufficientData,
    /// The alarm does not exist (any more).
    AlarmVanished,
    /// The alarm came out of another state during the bake: it must be OK for the whole of it.
    AlarmChanged {
        /// Since when it is OK.
        since: Timestamp,
    },
    /// Changed cells are worse than unchanged ones, beyond what chance and noise explain.
    WorseThanUntouched {
        /// How many times likelier than chance allows …
        evidence: f64,
        /// … and from how much on a revert is due: 1 / alpha.
        needed: f64,
        /// How many times what it should be the metric is; none where it has no counts.
        interval: Option<Interval>,
    },
    /// Changed cells break a threshold, and so do most of the unchanged ones: it cannot be laid at the change's door, or the change
    /// harms its neighbours. A person decides.
    Unattributed {
        /// The threshold.
        threshold: Threshold,
        /// Unchanged cells that break it too …
        untouched: u32,
        /// … of so many that were judged.
        of: u32,
    },
    /// Worse than ever in its own history, without a comparison that says whose doing it is. A person decides.
    WorseThanItsPast {
        /// So many times its own history …
        ratio: f64,
        /// … where its history never had more than this.
        most: f64,
    },
    /// A change by this ratio could not have been seen yet: what was not looked for is not absent.
    CannotSeeYet {
        /// The ratio that the gate must be able to see.
        ratio: f64,
        /// How much of the evidence that it would have given could have come in, 0 to 1.
        share: f64,
    },
    /// Changed cells look worse than unchanged ones, not clearly enough for a revert, and too clearly for a pass.
    Suspicious {
        /// How many times likelier than chance allows …
        evidence: f64,
        /// … where a revert is due at this.
        needed: f64,
    },
    /// Ticks in which no unchanged cell had a point.
    NotCompared {
        /// So many.
        ticks: u32,
    },
    /// There is no history to compare with.
    NoHistory,
    /// The alarm's evaluation is in trouble.
    AlarmTrouble {
        /// `EvaluationState` or an unknown state word.
        said: String,
    },
    /// Somebody has silenced the alarm: what it says is no signal.
    AlarmMuted {
        /// How.
        said: String,
    },
    /// The alarm watches several series at once, one that vanishes reads OK, and nothing else is watched.
    AlarmSeveralSeries,
}

impl Problem {
    /// How much it stops.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Breach { .. } | Self::AlarmOpen { .. } | Self::WorseThanUntouched { .. } => Verdict::Fail,
            Self::Missing { .. }
            | Self::TooFewPoints { .. }
            | Self::TooFewSamples { .. }
            | Self::Stale { .. }
            | Self::Vanished { .. }
            | Self::InsufficientData
            | Self::Unattributed { .. }
            | Self::WorseThanItsPast { .. }
            | Self::CannotSeeYet { .. }
            | Self::Suspicious { .. }
            | Self::NotCompared { .. }
            | Self::NoHistory
            | Self::AlarmMuted { .. }
            | Self::AlarmChanged { .. } => Verdict::Inconclusive,
            Self::NotFinite
            | Self::FutureDated { .. }
            | Self::WrongUnit { .. }
            | Self::Impossible { .. }
            | Self::Partial
            | Self::Forbidden
            | Self::SourceTrouble { .. }
            | Self::Unreadable { .. }
            | Self::AlarmVanished
            | Self::AlarmSeveralSeries
            | Self::AlarmTrouble { .. } => Verdict::Error,
        }
    }
}

impl Judgement {
    /// Puts findings and readings together; the verdict follows from the findings.
    pub fn of(findings: Vec<Finding>, readings: Vec<Reading>) -> Self {
        let verdict = findings.iter().map(|f| f.problem.verdict()).max().unwrap_or(Verdict::Pass);
        Self { verdict, findings, readings }
    }
}
