//! What was read for one look, and what of it may be trusted. Design §5: a sample set that is missing, stale, partial, forbidden,
//! NaN, future-dated or too small is not health.

use crate::guard::{self, Guard};
use crate::model::ids::CellId;
use crate::model::observation::QuerySource;
use crate::model::observation::{AlarmView, Completeness, MetricQuery, ProviderError, Series};
use crate::model::pipeline::{Health, Metric, MetricSource};
use crate::model::plan::Plan;
use crate::model::stack::Scope;
use crate::model::verdict::Problem;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// CloudWatch needs up to two minutes until a period's points are all in (User Guide, "Metrics retention and latency"; peers
/// query with the same lag). A point younger than this is used when it is there, and not missed when it is not.
pub const LAG: Duration = Duration::from_secs(120);
/// A point that begins later than this after `now` is from the future: clocks in AWS agree within a second.
const FUTURE: Duration = Duration::from_secs(5);
/// CloudWatch takes at most 500 queries in one call; a query with sample counts, or with inputs, counts as several.
pub const QUERIES_PER_CALL: usize = 500;

/// Everything that one look has read.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Series, in no order.
    pub series: Vec<Series>,
    /// Alarms by name and scope.
    pub alarms: BTreeMap<(Scope, String), Option<AlarmView>>,
    /// Scopes that could not be read.
    pub errors: Vec<(Scope, ProviderError)>,
    /// Until when was read.
    pub to: Option<Timestamp>,
}

/// One call's worth of metric queries, and the alarms of the same scope.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Chunks for `GetMetricData`.
    pub metrics: BTreeMap<Scope, Vec<Vec<(MetricQuery, bool)>>>,
    /// Names for `DescribeAlarms`.
    pub alarms: BTreeMap<Scope, BTreeSet<String>>,
}

/// What must be read to judge these cells. A placeholder without a value was refused by the pipeline's check; if one is left,
/// the query is left out and its absence is an error of the judgement.
pub fn reads(plan: &Plan, cells: &BTreeSet<&CellId>) -> Reads {
    let mut reads = Reads::default();
    for cell in cells.iter().filter_map(|id| plan.cells.get(*id)) {
        let scope = cell.scope();
        for metric in &plan.health.metrics {
            let Ok(source) = fill(metric, cell) else { continue };
            let query =
                MetricQuery { cell: cell.name.clone(), metric: metric.name.clone(), source, period_s: metric.period_s };
            add(reads.metrics.entry(scope.clone()).or_default(), (query, metric.min_samples > 0));
        }
        let names = plan.health.alarms.iter().filter_map(|alarm| cell.fill(&alarm.name).ok());
        reads.alarms.entry(scope).or_default().extend(names);
    }
    reads.alarms.retain(|_, names| !names.is_empty());
    reads
}

fn fill(metric: &Metric, cell: &crate::model::pipeline::Cell) -> Result<QuerySource, String> {
    Ok(match &metric.source {
        MetricSource::Metric(stat) => QuerySource::Metric(stat.fill(cell)?),
        MetricSource::Expression { expression, inputs } => QuerySource::Expression {
            expression: expression.clone(),
            inputs: inputs
                .iter()
                .map(|(id, stat)| Ok((id.clone(), stat.fill(cell)?)))
                .collect::<Result<_, String>>()?,
        },
    })
}

fn weight((query, samples): &(MetricQuery, bool)) -> usize {
    let series = match &query.source {
        QuerySource::Metric(_) => 1,
        QuerySource::Expression { inputs, .. } => 1 + inputs.len(),
    };
    series + if *samples { series } else { 0 }
}

fn add(chunks: &mut Vec<Vec<(MetricQuery, bool)>>, query: (MetricQuery, bool)) {
    let full =
        chunks.last().is_none_or(|chunk| chunk.iter().map(weight).sum::<usize>() + weight(&query) > QUERIES_PER_CALL);
    if full {
        chunks.push(Vec::new());
    }
    if let Some(chunk) = chunks.last_mut() {
        chunk.push(query);
    }
}

/// The usable points of one series, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usable {
    /// Finite, of the past, with samples enough; oldest first.
    pub points: Vec<(Timestamp, f64)>,
    /// What is wrong with the rest.
    pub problems: Vec<Problem>,
}

/// Sorts out what of a series may be used, for points that begin at `from` or later.
pub fn usable(series: &Series, metric: &Metric, from: Timestamp, now: Timestamp) -> Usable {
    let mut usable = Usable::default();
    match &series.completeness {
        Completeness::Complete => {}
        _ if !guard::holds(Guard::EvidenceComplete) => {}
        Completeness::Partial => usable.problems.push(Problem::Partial),
        Completeness::Forbidden => usable.problems.push(Problem::Forbidden),
        Completeness::InternalError => usable.problems.push(Problem::SourceTrouble { said: "InternalError".into() }),
        Completeness::Unknown(said) => usable.problems.push(Problem::SourceTrouble { said: said.clone() }),
    }
    // A count that is no number counts nothing; and a finding that holds one could not be read back from the journal.
    let counted = series.samples.iter().copied().filter(|(_, count)| count.is_finite());
    let samples: BTreeMap<Timestamp, f64> = counted.collect();
    let mut fewest: Option<f64> = None;
    for (at, value) in series.points.iter().filter(|(at, _)| *at >= from) {
        if !guard::holds(Guard::EvidenceFresh) {
            usable.points.push((*at, *value));
        } else if crate::model::time::since(now, *at) > FUTURE {
            usable.problems.push(Problem::FutureDated { at: *at });
        } else if !value.is_finite() {
            usable.problems.push(Problem::NotFinite);
        } else if metric.min_samples > 0 && samples.get(at).copied().unwrap_or(0.0) < f64::from(metric.min_samples) {
            let have = samples.get(at).copied().unwrap_or(0.0);
            fewest = Some(fewest.map_or(have, |f| f.min(have)));
        } else {
            usable.points.push((*at, *value));
        }
    }
    if let Some(have) = fewest {
        usable.problems.push(Problem::TooFewSamples { have, need: metric.min_samples });
    }
    usable.points.sort_by_key(|(at, _)| *at);
    usable
}

/// How long a metric's newest point may be old: three periods and the lag. A series that stopped is not health.
pub fn freshness(metric: &Metric) -> Duration {
    Duration::from_secs(u64::from(metric.period_s) * 3) + LAG
}

/// The longest span back that a threshold looks at.
pub fn lookback(health: &Health) -> Duration {
    let spans = health
        .metrics
        .iter()
        .map(|m| Duration::from_secs(u64::from(m.period_s) * (u64::from(m.evaluation_periods) + 3)));
    spans.max().unwrap_or_default() + LAG
}
