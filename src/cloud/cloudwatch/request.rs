//! From the model's queries to `GetMetricData` requests: companions for sample counts, ids that are unique in a request,
//! and batches of the size that the API takes.

use super::expression;
use crate::model::observation::{MetricQuery, MetricStat, QuerySource};
use aws_sdk_cloudwatch::types::{self, Dimension, MetricDataQuery, StandardUnit};
use std::collections::{BTreeMap, HashMap};

/// Queries in one request, by the API reference of `GetMetricData`; inputs of expressions count.
const MAX_QUERIES: usize = 500;

/// What a returned series is to its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The values.
    Value,
    /// Sample counts of the metric, or of one input.
    Samples,
}

/// One request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// At most 500.
    pub(super) queries: Vec<MetricDataQuery>,
    /// What comes back under which id: the indexes of the model's queries that it answers, and the part.
    pub(super) parts: BTreeMap<String, (Vec<usize>, Part)>,
}

/// All requests.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In order.
    pub(super) batches: Vec<Batch>,
    /// Queries that cannot be asked, with the reason.
    pub(super) refused: Vec<(usize, String)>,
}

/// One question, and who asks it.
struct Asked<'a> {
    query: &'a MetricQuery,
    with_samples: bool,
    by: Vec<usize>,
}

/// What is asked, each question once: a total that two ratios share is read, and paid, once.
fn distinct(queries: &[(MetricQuery, bool)]) -> Vec<Asked<'_>> {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let mut known: HashMap<(&QuerySource, u32, bool), usize> = HashMap::new();
    for (index, (query, with_samples)) in queries.iter().enumerate() {
        let position = *known.entry((&query.source, query.period_s, *with_samples)).or_insert(asked.len());
        match asked.get_mut(position) {
            Some(same) => same.by.push(index),
            None => asked.push(Asked { query, with_samples: *with_samples, by: vec![index] }),
        }
    }
    asked
}

/// Queries with what belongs to them are kept in one request, since expressions see only their own request's series.
pub(super) fn plan(queries: &[(MetricQuery, bool)]) -> Plan {
    let mut plan = Plan::default();
    let mut batch = Batch::default();
    for asked in distinct(queries) {
        let size = size(asked.query, asked.with_samples);
        if size > MAX_QUERIES {
            plan.refuse(&asked, &format!("needs {size} queries in one request of at most {MAX_QUERIES}"));
            continue;
        }
        if batch.queries.len() + size > MAX_QUERIES {
            plan.batches.push(std::mem::take(&mut batch));
        }
        if let Err(reason) = batch.add(&asked) {
            plan.refuse(&asked, &reason);
        }
    }
    if !batch.queries.is_empty() {
        plan.batches.push(batch);
    }
    plan
}

fn size(query: &MetricQuery, with_samples: bool) -> usize {
    let (own, metrics) = match &query.source {
        QuerySource::Metric(_) => (0, 1),
        QuerySource::Expression { inputs, .. } => (1, inputs.len()),
        QuerySource::Prometheus { .. } => (0, 0),
    };
    own + metrics * (1 + usize::from(with_samples))
}

impl Plan {
    fn refuse(&mut self, asked: &Asked<'_>, reason: &str) {
        self.refused.extend(asked.by.iter().map(|index| (*index, reason.to_owned())));
    }
}

impl Batch {
    fn add(&mut self, asked: &Asked<'_>) -> Result<(), String> {
        let Asked { query, with_samples, by } = asked;
        let period = i32::try_from(query.period_s).map_err(|_| "the period is too long".to_owned())?;
        match &query.source {
            QuerySource::Metric(stat) => {
                let id = self.push_stat(stat, &stat.statistic, period, true);
                self.parts.insert(id, (by.clone(), Part::Value));
                self.push_samples(by, stat, period, *with_samples);
            }
            QuerySource::Expression { expression, inputs } => {
                // The ids are known before anything is pushed: a refused expression leaves no trace.
                let next = self.queries.len();
                let ids = inputs.iter().enumerate().map(|(n, (id, _))| (id.clone(), id_of(next + n))).collect();
                let text = expression::rename(expression, &ids).map_err(|problem| problem.to_string())?;
                for (_, stat) in inputs {
                    self.push_stat(stat, &stat.statistic, period, false);
                }
                self.push_expression(by, text, inputs.is_empty().then_some(period));
                for (_, stat) in inputs {
                    self.push_samples(by, stat, period, *with_samples);
                }
            }
            QuerySource::Prometheus { .. } => return Err("CloudWatch cannot answer PromQL".to_owned()),
        }
        Ok(())
    }

    fn push_expression(&mut self, by: &[usize], expression: String, period: Option<i32>) {
        let id = id_of(self.queries.len());
        let query = MetricDataQuery::builder().id(&id).expression(expression).return_data(true);
        // The period of math is that of its inputs; a search or an Insights query has none but this.
        self.queries.push(query.set_period(period).build());
        self.parts.insert(id, (by.to_vec(), Part::Value));
    }

    fn push_samples(&mut self, by: &[usize], stat: &MetricStat, period: i32, wanted: bool) {
        if wanted {
            let id = self.push_stat(stat, "SampleCount", period, true);
            self.parts.insert(id, (by.to_vec(), Part::Samples));
        }
    }

    fn push_stat(&mut self, stat: &MetricStat, statistic: &str, period: i32, returned: bool) -> String {
        let id = id_of(self.queries.len());
        let dimensions =
            stat.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
        let metric = types::Metric::builder()
            .namespace(&stat.namespace)
            .metric_name(&stat.name)
            .set_dimensions(Some(dimensions.collect()))
            .build();
        let metric_stat = types::MetricStat::builder()
            .metric(metric)
            .period(period)
            .stat(statistic)
            .set_unit(stat.unit.as_deref().map(StandardUnit::from))
            .build();
        self.queries.push(MetricDataQuery::builder().id(&id).metric_stat(metric_stat).return_data(returned).build());
        id
    }
}

/// By position, so that an id is unique in its request.
fn id_of(position: usize) -> String {
    format!("m{position}")
}
