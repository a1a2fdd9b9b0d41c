//! What comes back from the world: data with its quality, and errors that say what is known about the effect.

use super::ids::{CellId, Token};
use super::stack::StackStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A provider's call that did not give an answer we can use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{operation}: {kind}{}{message}", if code.is_empty() { ": ".to_owned() } else { format!(" ({code}): ") })]
pub struct ProviderError {
    /// The API operation, as `ExecuteChangeSet`.
    pub operation: String,
    /// What it means for us.
    pub kind: ProviderErrorKind,
    /// The provider's error code, empty when there was no answer.
    pub code: String,
    /// The provider's words. Never holds a credential.
    pub message: String,
}

/// What an error means. The difference that matters most: is it *known* that nothing happened?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderErrorKind {
    /// Refused for its rate: nothing happened, try later.
    Throttled,
    /// The thing named does not exist: nothing happened.
    NotFound,
    /// The name is taken: nothing happened now, but perhaps an earlier, lost call made it.
    AlreadyExists,
    /// Refused for what it asks (validation, wrong state): nothing happened, and the same call will be refused again.
    Rejected,
    /// Credentials or permissions: nothing happened.
    Denied,
    /// The call never left this machine, or the provider said 5xx to a call that changes nothing.
    Unavailable,
    /// The call may or may not have had its effect. Only a newer read decides (S9).
    Ambiguous,
}

impl std::fmt::Display for ProviderErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Rejected => "rejected",
            Self::Denied => "access denied",
            Self::Unavailable => "unavailable",
            Self::Ambiguous => "outcome unknown",
        })
    }
}

/// What a stack's events say of one operation, found by its `ClientRequestToken`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationTrace {
    /// The token that was looked for.
    pub token: Token,
    /// True when an event of the stack carries the token: the call reached the provider and started.
    pub found: bool,
    /// The newest event with the token, in words.
    pub last_event: Option<String>,
    /// Resources that failed in this operation, each with the provider's reason, oldest first.
    pub failures: Vec<ResourceFailure>,
    /// The stack's status at the newest event of the stack itself under this token.
    pub stack_status: Option<StackStatus>,
}

/// A resource that an operation could not change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceFailure {
    /// Its name in the template.
    pub logical_id: String,
    /// Its type.
    pub resource_type: String,
    /// The provider's reason.
    pub reason: String,
}

/// A query for one series of one cell, ready for its source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricQuery {
    /// The cell that the series speaks of.
    pub cell: CellId,
    /// The series' name: the metric's in the pipeline, or `NAME.bad` and `NAME.total` of a ratio.
    pub metric: String,
    /// What to fetch.
    pub source: QuerySource,
    /// Seconds per point.
    pub period_s: u32,
}

/// What a query fetches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QuerySource {
    /// One CloudWatch metric.
    Metric(MetricStat),
    /// Metric math over named inputs.
    Expression {
        /// The expression, over the inputs' ids.
        expression: String,
        /// `(id, metric)`, fetched but not returned.
        inputs: Vec<(String, MetricStat)>,
    },
    /// A range query of a Prometheus server.
    Prometheus {
        /// Its base address, as `http://127.0.0.1:9090`.
        server: String,
        /// PromQL, filled in for the cell.
        query: String,
    },
}

/// One CloudWatch metric with its statistic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricStat {
    /// As `AWS/ApplicationELB`.
    pub namespace: String,
    /// As `HTTPCode_Target_5XX_Count`.
    pub name: String,
    /// Filled in for the cell, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// `Sum`, `Average`, `p99` …
    pub statistic: String,
    /// The unit to select; none: whatever was published.
    pub unit: Option<String>,
}

/// One series, with everything that says whether it may be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Of which cell.
    pub cell: CellId,
    /// Which one: the name of its query.
    pub metric: String,
    /// What the source said of its completeness, over all pages.
    pub completeness: Completeness,
    /// `(start of the period, value)`, oldest first. Values may be NaN or infinite: the judge decides.
    pub points: Vec<(Timestamp, f64)>,
    /// Samples behind each point where they were asked for, by the same timestamps.
    pub samples: Vec<(Timestamp, f64)>,
    /// The unit of the points, where the source tells it: recordings may, CloudWatch and Prometheus do not.
    pub unit: Option<String>,
}

/// `StatusCode` of a series after the last page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// `Complete`.
    Complete,
    /// `PartialData` with no page left to fetch.
    Partial,
    /// `InternalError`.
    InternalError,
    /// `Forbidden`.
    Forbidden,
    /// A code that this release does not know, or a series that never came back.
    Unknown(String),
}

/// An alarm as `DescribeAlarms` shows it; an alarm that was asked for and is not there is `None` in the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// Its name.
    pub name: String,
    /// `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub state: AlarmState,
    /// The provider's words.
    pub reason: String,
    /// When the state last changed.
    pub since: Option<Timestamp>,
    /// `EvaluationState` other than none: `PARTIAL_DATA`, `EVALUATION_ERROR`, `EVALUATION_FAILURE`.
    pub evaluation_trouble: Option<String>,
    /// A composite alarm.
    pub composite: bool,
    /// Why its state is no signal: its actions are disabled, a mute rule is in force, or a composite's actions are suppressed. Whoever
    /// silenced it expects it to be wrong.
    #[serde(default)]
    pub muted: Option<String>,
    /// A Metrics Insights query with several series: one that vanishes reads OK (User Guide, "Missing data in CloudWatch Metrics Insights
    /// alarms"), so that a dead cell looks well.
    #[serde(default)]
    pub several_series: bool,
}

/// `StateValue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// `OK`.
    Ok,
    /// `ALARM`.
    Alarm,
    /// `INSUFFICIENT_DATA`: not health.
    InsufficientData,
    /// A word that this release does not know.
    Unknown(String),
}
