//! What the health section of a pipeline says: which series are read, what of them is bad, and what is compared.

use crate::model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after a period's end its point is expected, where a pipeline does not say. CloudWatch needs up to two minutes until a
/// period's points are all in (User Guide, "Metrics retention and latency"; peers query with the same lag).
pub const LAG: Duration = Duration::from_secs(120);

/// How health is judged. At least one metric or alarm: a gate that cannot fire is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Between two looks.
    pub interval: Millis,
    /// Points that begin less than this after a deploy are not judged.
    pub settle: Millis,
    /// A tick closes this long after its period's end, and is never reopened. None: [`LAG`], as in journals of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Millis>,
    /// Metrics with thresholds, or compared, or both.
    pub metrics: Vec<Metric>,
    /// Alarms that must be OK.
    pub alarms: Vec<AlarmGate>,
    /// How treated cells are compared with those that are not; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// The Prometheus server that `prometheus:` queries go to, as `http://127.0.0.1:9090`, with placeholders still in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<String>,
}

impl Health {
    /// How long after its period's end a tick closes.
    pub fn lag(&self) -> Duration {
        self.lag.map_or(LAG, Millis::duration)
    }
}

/// Treated cells against those that are not treated yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compare {
    /// The chance that a healthy rollout is reverted by comparison, over the whole rollout: above 0, at most 0.1.
    pub alpha: f64,
    /// How much of the past is read before the first wave.
    pub history: Millis,
    /// A ratio that never matters, as 0.10 for 10 %.
    pub margin: f64,
    /// The ratio that a gate must have been able to see before it may pass, 1.1 to 100. A metric may say its own.
    pub detect: f64,
}

impl Default for Compare {
    fn default() -> Self {
        Self { alpha: 0.01, history: Millis::from_secs(4 * 3600), margin: 0.10, detect: 2.0 }
    }
}

/// A metric: what is read, and how it is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Unique in the pipeline; without a `.`.
    pub name: String,
    /// What is read, with `{…}` placeholders still in it.
    pub source: MetricSource,
    /// Seconds per point.
    pub period_s: u32,
    /// The value that is bad; none only where the metric is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_when: Option<Threshold>,
    /// M: so many bad points …
    pub datapoints_to_alarm: u32,
    /// … of N.
    pub evaluation_periods: u32,
    /// What a missing point means.
    pub missing_data: MissingData,
    /// A point with fewer samples counts as missing; 0: not asked. Of a ratio, its total is asked.
    pub min_samples: u32,
    /// What the threshold is held against.
    #[serde(default, skip_serializing_if = "MetricScope::is_cell")]
    pub scope: MetricScope,
    /// Which direction is worse when cells are compared; none: it is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Worse>,
    /// The ratio that a gate must have been able to see, where it differs from [`Compare::detect`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<f64>,
}

impl Metric {
    /// The names of the series that it is computed from, as queries and recordings say them: its own, or `NAME.bad` and `NAME.total`.
    pub fn series(&self) -> Vec<String> {
        match &self.source {
            MetricSource::Ratio { .. } => vec![self.bad_series(), self.total_series()],
            _ => vec![self.name.clone()],
        }
    }

    /// The name of a ratio's upper series.
    pub fn bad_series(&self) -> String {
        format!("{}.bad", self.name)
    }

    /// The name of a ratio's lower series.
    pub fn total_series(&self) -> String {
        format!("{}.total", self.name)
    }

    /// One period.
    pub fn period(&self) -> Duration {
        Duration::from_secs(u64::from(self.period_s.max(1)))
    }
}

/// What a threshold is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricScope {
    /// Each cell by itself: one sick cell is not averaged away.
    #[default]
    Cell,
    /// The judged wave's cells together. Ratios only: their counts can be added, and an average of percentiles is not a percentile.
    Wave,
}

impl MetricScope {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
    fn is_cell(&self) -> bool {
        *self == Self::Cell
    }
}

/// Which direction of a compared metric is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// Errors, latency.
    Higher,
    /// Success, throughput.
    Lower,
    /// Either: a queue that is as suspicious empty as full.
    Either,
}

/// Where a metric's values come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricSource {
    /// One CloudWatch metric.
    Metric(StatTemplate),
    /// Metric math.
    Expression {
        /// Over the inputs' ids.
        expression: String,
        /// By id.
        inputs: BTreeMap<String, StatTemplate>,
    },
    /// `bad` of `total`, divided here so that the counts stay known.
    Ratio {
        /// What went wrong.
        bad: RatioPart,
        /// What was tried.
        total: RatioPart,
        /// 1, or 100 for percent.
        scale: f64,
        /// A period with a total and no bad point has 0 bad ones: CloudWatch has no point for a minute without errors.
        absent_bad_is_zero: bool,
    },
    /// PromQL, with placeholders.
    Prometheus(String),
}

/// Where one of a ratio's two counts comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatioPart {
    /// One CloudWatch metric, as a count.
    Metric(StatTemplate),
    /// PromQL, with placeholders.
    Prometheus(String),
}

/// A CloudWatch metric, with placeholders in its dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatTemplate {
    /// As `AWS/ApplicationELB`.
    pub namespace: String,
    /// As `HTTPCode_Target_5XX_Count`.
    pub name: String,
    /// By name, with placeholders.
    pub dimensions: BTreeMap<String, String>,
    /// `Sum`, `Average`, `p99` …
    pub statistic: String,
    /// The unit that points must have.
    pub unit: Option<String>,
}

/// `> 5`, `>= 5`, `< 5`, `<= 5`: when it holds, the point is bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The comparison.
    pub op: Comparison,
    /// Finite.
    pub value: f64,
}

impl Threshold {
    /// True when `value` is bad. NaN is never judged here: the caller has refused it.
    pub fn is_bad(&self, value: f64) -> bool {
        match self.op {
            Comparison::Above => value > self.value,
            Comparison::AtLeast => value >= self.value,
            Comparison::Below => value < self.value,
            Comparison::AtMost => value <= self.value,
        }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let op = match self.op {
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
        };
        write!(f, "{op} {}", self.value)
    }
}

/// How a threshold compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

/// What a missing data point means. None of them is health: whatever is written here, a wave's `bake_datapoints` are met by real points.
/// All but `Hold` are CloudWatch's (User Guide, "Configuring how CloudWatch alarms treat missing data").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingData {
    /// It is a bad point: CloudWatch's `breaching`.
    #[serde(alias = "breaching")]
    Fail,
    /// The verdict is inconclusive until the point comes.
    #[default]
    Hold,
    /// What was decided before stays.
    Ignore,
    /// It is a good point.
    NotBreaching,
    /// It is left out, and without any point nothing is decided.
    Missing,
}

/// An alarm that must be OK, per cell where its name has a placeholder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmGate {
    /// With `{…}` placeholders.
    pub name: String,
}
