//! What health says, and why: every reason is a variant that carries its numbers.

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
    /// What is bad.
    pub threshold: Threshold,
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
    /// The alarm's evaluation is in trouble.
    AlarmTrouble {
        /// `EvaluationState` or an unknown state word.
        said: String,
    },
}

impl Problem {
    /// How much it stops.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Breach { .. } | Self::AlarmOpen { .. } => Verdict::Fail,
            Self::Missing { .. }
            | Self::TooFewPoints { .. }
            | Self::TooFewSamples { .. }
            | Self::Stale { .. }
            | Self::InsufficientData
            | Self::AlarmChanged { .. } => Verdict::Inconclusive,
            Self::NotFinite
            | Self::FutureDated { .. }
            | Self::Partial
            | Self::Forbidden
            | Self::SourceTrouble { .. }
            | Self::Unreadable { .. }
            | Self::AlarmVanished
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
