//! The shape of `health`.

use super::Percent;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How health is judged. At least one metric or alarm.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
pub struct HealthYaml {
    /// Between two looks. Default: 30s.
    interval: Option<String>,
    /// Points that begin less than this after a deploy are not judged. Default: 0s.
    settle: Option<String>,
    /// A point is judged so long after its period's end: by then it has come, or it is missing. Default: 2m, which CloudWatch needs.
    lag: Option<String>,
    /// Metrics with thresholds, or compared, or both.
    metrics: Option<Vec<MetricYaml>>,
    /// Alarms that must be OK.
    alarms: Option<Vec<AlarmYaml>>,
    /// Compares cells that have the change with those that do not have it yet. Without it nothing is compared.
    compare: Option<CompareYaml>,
    /// The server that `prometheus` queries go to, as `http://127.0.0.1:9090`; placeholders are filled in for each cell.
    prometheus: Option<String>,
}

/// How cells are compared. `{}` takes every default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct CompareYaml {
    /// The chance that a healthy rollout is reverted by comparison, over the whole rollout. Default: 0.01.
    #[schemars(range(min = 0.000_001, max = 0.1))]
    alpha: Option<f64>,
    /// How much of the past is read before the first wave, 30m to 24h. Default: 4h.
    history: Option<String>,
    /// A difference that never matters. Default: 10%.
    margin: Option<Percent>,
    /// The ratio that a gate must have been able to see before it may pass. Default: 2.
    #[schemars(range(min = 1.1, max = 100))]
    detect: Option<f64>,
}

/// A metric: `namespace` + `metric`, `expression` + `inputs`, `ratio`, or `prometheus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct MetricYaml {
    /// Unique in the pipeline.
    name: String,
    /// As `AWS/ApplicationELB`.
    namespace: Option<String>,
    /// As `HTTPCode_Target_5XX_Count`.
    metric: Option<String>,
    /// By name; `{cell}`, `{account}`, `{region}`, `{environment}` and `{cell.KEY}` are filled in.
    dimensions: Option<BTreeMap<String, String>>,
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, `p99` …
    statistic: Option<String>,
    /// Only points of this unit.
    unit: Option<String>,
    /// CloudWatch metric math over the inputs' names.
    expression: Option<String>,
    /// What the expression is over.
    inputs: Option<BTreeMap<String, InputYaml>>,
    /// Bad ones of all: two counts.
    ratio: Option<RatioYaml>,
    /// PromQL. Placeholders are filled in; other braces stay.
    prometheus: Option<String>,
    /// Per point: 10s, 20s, 30s or whole minutes (1s and 5s for custom metrics of high resolution); of Prometheus, whole seconds.
    period: String,
    /// The bad value, as `> 5`. Without it the metric is only compared.
    fail_when: Option<String>,
    /// M of N: so many bad points … Default: 3.
    datapoints_to_alarm: Option<u32>,
    /// … of so many. Default: 5.
    evaluation_periods: Option<u32>,
    /// What a missing point means. Default: hold.
    missing_data: Option<MissingDataYaml>,
    /// A point that rests on fewer samples counts as missing; of a ratio, the total is asked. Default: for a percentile what it needs,
    /// as 1,000 for p99; else 0, not asked.
    min_samples: Option<u32>,
    /// What `fail_when` is held against. Default: cell.
    scope: Option<ScopeYaml>,
    /// Which direction is worse when cells are compared. Default where `health.compare` is there: that of `fail_when`.
    compare: Option<WorseYaml>,
    /// The ratio that a gate must have been able to see in this metric. Default: that of `health.compare`.
    #[schemars(range(min = 1.1, max = 100))]
    detect: Option<f64>,
}

/// What a missing data point means. None of them is health: `bake_datapoints` are met by real points.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MissingDataYaml {
    /// The verdict waits for it.
    Hold,
    /// It is a bad point. As `breaching` of a CloudWatch alarm.
    Breaching,
    /// The same as `breaching`.
    Fail,
    /// It is a good point. As `notBreaching` of a CloudWatch alarm.
    NotBreaching,
    /// What was decided before stays. As `ignore` of a CloudWatch alarm.
    Ignore,
    /// It is left out; where all are missing nothing is decided. As `missing` of a CloudWatch alarm.
    Missing,
}

/// What a threshold is held against.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ScopeYaml {
    /// Each cell by itself.
    Cell,
    /// All cells of the wave together. Ratios only.
    Wave,
}

/// Which direction is worse.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WorseYaml {
    /// As with errors and latency.
    HigherIsWorse,
    /// As with success and throughput.
    LowerIsWorse,
    /// Both.
    Either,
    /// It is not compared.
    Off,
}

/// `bad` of `total`, divided here so that the counts stay known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct RatioYaml {
    /// What went wrong.
    bad: RatioPartYaml,
    /// What was tried.
    total: RatioPartYaml,
    /// The value is 100 times the ratio. Default: false.
    percent: Option<bool>,
    /// What a period with a total and no bad point has. Default: missing.
    absent_bad: Option<AbsentBadYaml>,
}

/// What a period with a total and no bad point has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AbsentBadYaml {
    /// No value: it is missing.
    Missing,
    /// No bad ones. CloudWatch has no point for a minute without errors.
    Zero,
}

/// One of a ratio's counts: `namespace` + `metric`, or `prometheus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct RatioPartYaml {
    /// As `AWS/ApplicationELB`.
    namespace: Option<String>,
    /// As `RequestCount`.
    metric: Option<String>,
    /// By name, with placeholders.
    dimensions: Option<BTreeMap<String, String>>,
    /// `Sum`, `SampleCount`, or a trimmed count as `TC(0.5:)`.
    statistic: Option<String>,
    /// Only points of this unit.
    unit: Option<String>,
    /// PromQL that counts what happened in the period.
    prometheus: Option<String>,
}

/// One input of an expression.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct InputYaml {
    /// As `AWS/ApplicationELB`.
    namespace: String,
    /// As `RequestCount`.
    metric: String,
    /// By name, with placeholders.
    dimensions: Option<BTreeMap<String, String>>,
    /// `Sum`, `Average` …
    statistic: String,
    /// Only points of this unit.
    unit: Option<String>,
}

/// An alarm, metric or composite.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct AlarmYaml {
    /// Its name; placeholders make it one for each cell.
    name: String,
}
