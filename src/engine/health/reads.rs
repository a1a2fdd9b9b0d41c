//! What must be read to judge cells: queries for their metrics, names of their alarms, cut into calls.

use crate::model::observation::{MetricQuery, QuerySource};
use crate::model::pipeline::{Cell, Health, Metric, MetricSource, RatioPart};
use crate::model::stack::Scope;
use std::collections::{BTreeMap, BTreeSet};

/// CloudWatch takes at most 500 queries in one call; a query with sample counts, or with inputs, counts as several.
pub const QUERIES_PER_CALL: usize = 500;

/// The calls of one look, by where they go.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Queries, each with whether its sample counts are wanted, in chunks of one call. A chunk goes to CloudWatch or to Prometheus, never
    /// to both.
    pub metrics: BTreeMap<Scope, Vec<Vec<(MetricQuery, bool)>>>,
    /// Names for `DescribeAlarms`.
    pub alarms: BTreeMap<Scope, BTreeSet<String>>,
}

/// What must be read to judge these cells. A placeholder without a value was refused by the pipeline's check; if one is left,
/// the query is left out and its absence is an error of the judgement.
pub fn reads<'a>(health: &Health, cells: impl IntoIterator<Item = &'a Cell>) -> Reads {
    let mut reads = Reads::default();
    for cell in cells {
        let scope = cell.scope();
        let queries = health.metrics.iter().flat_map(|metric| queries(health, metric, cell));
        let chunks = reads.metrics.entry(scope.clone()).or_default();
        queries.for_each(|query| add(chunks, query));
        let names = health.alarms.iter().filter_map(|alarm| cell.fill(&alarm.name).ok());
        reads.alarms.entry(scope).or_default().extend(names);
    }
    reads.metrics.retain(|_, chunks| !chunks.is_empty());
    reads.alarms.retain(|_, names| !names.is_empty());
    reads
}

/// The queries of one metric for one cell: one for each of its series.
fn queries(health: &Health, metric: &Metric, cell: &Cell) -> Vec<(MetricQuery, bool)> {
    let query = |name: String, source: Result<QuerySource, String>, samples: bool| {
        let query =
            MetricQuery { cell: cell.name.clone(), metric: name, source: source.ok()?, period_s: metric.period_s };
        Some((query, samples))
    };
    match &metric.source {
        // A ratio's counts are its samples: none are asked for beside them.
        MetricSource::Ratio { bad, total, .. } => [(metric.bad_series(), bad), (metric.total_series(), total)]
            .into_iter()
            .filter_map(|(name, part)| query(name, fill_part(health, part, cell), false))
            .collect(),
        source => query(metric.name.clone(), fill(health, source, cell), metric.min_samples > 0).into_iter().collect(),
    }
}

fn fill(health: &Health, source: &MetricSource, cell: &Cell) -> Result<QuerySource, String> {
    Ok(match source {
        MetricSource::Metric(stat) => QuerySource::Metric(stat.fill(cell)?),
        MetricSource::Expression { expression, inputs } => QuerySource::Expression {
            expression: expression.clone(),
            inputs: inputs
                .iter()
                .map(|(id, stat)| Ok((id.clone(), stat.fill(cell)?)))
                .collect::<Result<_, String>>()?,
        },
        MetricSource::Prometheus(query) => prometheus(health, query, cell)?,
        MetricSource::Ratio { .. } => return Err("a ratio is two queries".to_owned()),
    })
}

fn fill_part(health: &Health, part: &RatioPart, cell: &Cell) -> Result<QuerySource, String> {
    match part {
        RatioPart::Metric(stat) => Ok(QuerySource::Metric(stat.fill(cell)?)),
        RatioPart::Prometheus(query) => prometheus(health, query, cell),
    }
}

fn prometheus(health: &Health, query: &str, cell: &Cell) -> Result<QuerySource, String> {
    let server = health.prometheus.as_deref().ok_or("no server")?;
    Ok(QuerySource::Prometheus { server: cell.fill(server)?, query: cell.fill_promql(query)? })
}

fn weight((query, samples): &(MetricQuery, bool)) -> usize {
    let series = match &query.source {
        QuerySource::Metric(_) | QuerySource::Prometheus { .. } => 1,
        QuerySource::Expression { inputs, .. } => 1 + inputs.len(),
    };
    series + if *samples { series } else { 0 }
}

fn is_promql((query, _): &(MetricQuery, bool)) -> bool {
    matches!(query.source, QuerySource::Prometheus { .. })
}

/// Puts a query into the last chunk of its kind that has room.
fn add(chunks: &mut Vec<Vec<(MetricQuery, bool)>>, query: (MetricQuery, bool)) {
    let same_kind = |chunk: &&mut Vec<_>| chunk.first().is_some_and(|first| is_promql(first) == is_promql(&query));
    let last = chunks.iter_mut().rev().find(same_kind);
    let room = |chunk: &&mut Vec<_>| chunk.iter().map(weight).sum::<usize>() + weight(&query) <= QUERIES_PER_CALL;
    match last.filter(room) {
        Some(chunk) => chunk.push(query),
        None => chunks.push(vec![query]),
    }
}
