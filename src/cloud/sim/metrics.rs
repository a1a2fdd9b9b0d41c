//! Series that react to what is deployed. A value depends on the seed, the metric, its dimensions and the start of the
//! period alone, times what deployments and incidents did at that time: the past stays as it was.

use super::calls::Refusal;
use super::faults::MetricFault;
use super::math;
use super::operations::later;
use super::stacks::Deployment;
use super::world::{Inner, Place};
use crate::model::observation::{Completeness, MetricQuery, MetricStat, QuerySource, Series};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long after the end of a period its point appears.
const LATENESS: Duration = Duration::from_secs(2);

/// Points that one reply may hold (API reference, `GetMetricData`).
const MAX_POINTS: i64 = 100_800;

/// What a metric does that no deployment explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Part of the metric's name, in any case.
    pub metric: String,
    /// A dimension value or a cell; none: all.
    pub dimension_value: Option<String>,
    /// Values are multiplied by this.
    pub factor: f64,
    /// From when on.
    pub from: Timestamp,
    /// Until when; none: it stays.
    pub until: Option<Timestamp>,
}

/// A series before it has a unit, a statistic or a query: what is measured, and of what.
#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    pub(super) metric: &'a str,
    /// Dimension values, in the order of their names.
    pub(super) dimensions: Vec<&'a str>,
    /// The cell that the query names.
    pub(super) cell: Option<&'a str>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(stat: &'a MetricStat, cell: &'a str) -> Self {
        let dimensions = stat.dimensions.iter().map(|(_, value)| value.as_str()).collect();
        Self { metric: &stat.name, dimensions, cell: Some(cell) }
    }

    fn concerns(&self, metric: &str, value: Option<&str>) -> bool {
        self.metric.to_lowercase().contains(&metric.to_lowercase())
            && value.is_none_or(|value| self.cell == Some(value) || self.dimensions.contains(&value))
    }
}

/// The histories that move a series.
pub(super) struct Influences<'a> {
    deployments: Vec<&'a [Deployment]>,
    incidents: Vec<&'a Incident>,
}

impl Influences<'_> {
    /// The mean factor over the period.
    fn factor(&self, subject: &Subject<'_>, period: (Timestamp, Timestamp)) -> f64 {
        let deployed: f64 = self.deployments.iter().map(|history| deployed_factor(history, subject, period)).product();
        let share = |i: &Incident| overlap(period, (i.from, i.until.unwrap_or(Timestamp::MAX)));
        let happened: f64 = self.incidents.iter().map(|i| 1.0 + (i.factor - 1.0) * share(i)).product();
        deployed * happened
    }
}

/// Values by the starts of their periods.
type Values = BTreeMap<Timestamp, f64>;

impl Inner {
    /// The series of one query over `[from, to)`, as it can be read at `now`.
    pub(super) fn series(
        &self,
        place: &Place,
        query: &MetricQuery,
        with_samples: bool,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<Series, Refusal> {
        let period = i64::from(query.period_s.max(1));
        if to.as_second().saturating_sub(from.as_second()) / period > MAX_POINTS {
            return Err(Refusal::validation(format!("You have requested more than {MAX_POINTS} datapoints.")));
        }
        let starts = finished(from, to, period, now);
        let stats: Vec<&MetricStat> = match &query.source {
            QuerySource::Metric(stat) => vec![stat],
            QuerySource::Expression { inputs, .. } => inputs.iter().map(|(_, stat)| stat).collect(),
            QuerySource::Prometheus { .. } => {
                return Err(Refusal::validation("This world has no Prometheus server.".to_owned()));
            }
        };
        let cell = query.cell.as_str();
        let points: Values = match &query.source {
            QuerySource::Metric(stat) => self.stat_values(place, stat, cell, &starts, period),
            QuerySource::Expression { expression, inputs } => {
                let inputs = inputs
                    .iter()
                    .map(|(id, stat)| (id.as_str(), self.stat_values(place, stat, cell, &starts, period)))
                    .collect();
                math::evaluate(expression, &inputs, &starts).map_err(Refusal::validation)?
            }
            QuerySource::Prometheus { .. } => Values::new(),
        };
        let samples = |start: &Timestamp| {
            let each = stats.iter().map(|stat| self.sample_count(place, &Subject::of(stat, cell), *start));
            (*start, each.fold(f64::INFINITY, f64::min))
        };
        let mut series = Series {
            cell: query.cell.clone(),
            metric: query.metric.clone(),
            completeness: Completeness::Complete,
            samples: if with_samples { points.keys().map(samples).collect() } else { Vec::new() },
            points: points.into_iter().collect(),
            unit: None,
        };
        for fault in self.faults_of(place, &stats, cell) {
            strike(&mut series, fault, now);
        }
        Ok(series)
    }

    fn stat_values(&self, place: &Place, stat: &MetricStat, cell: &str, starts: &[Timestamp], period: i64) -> Values {
        let subject = Subject::of(stat, cell);
        let influences = self.influences(place, &subject);
        let value = |start: Timestamp| match stat.statistic.as_str() {
            "SampleCount" => self.sample_count(place, &subject, start),
            _ => self.value(place, &subject, &influences, start, period),
        };
        starts.iter().map(|start| (*start, value(*start))).collect()
    }

    /// The metric faults that a series over these metrics meets.
    fn faults_of(&self, place: &Place, stats: &[&MetricStat], cell: &str) -> Vec<MetricFault> {
        let rules = self.faults.metrics.iter().filter(|rule| rule.place == *place);
        let met = rules.filter(|rule| {
            stats.iter().any(|stat| Subject::of(stat, cell).concerns(&rule.metric, rule.dimension.as_deref()))
        });
        met.map(|rule| rule.fault).collect()
    }

    /// True when the alarm over this subject sees no data at `start`.
    pub(super) fn is_blind(&self, place: &Place, subject: &Subject<'_>, start: Timestamp) -> bool {
        self.faults.metrics.iter().any(|rule| {
            let missing = match rule.fault {
                MetricFault::MissingFrom(from) => start >= from,
                MetricFault::FutureDated(_)
                | MetricFault::Partial
                | MetricFault::Late(_)
                | MetricFault::Flapping
                | MetricFault::Huge => false,
                _ => true,
            };
            missing && rule.place == *place && subject.concerns(&rule.metric, rule.dimension.as_deref())
        })
    }

    /// The value of one period: baseline with noise, times what is in force.
    pub(super) fn value(
        &self,
        place: &Place,
        subject: &Subject<'_>,
        influences: &Influences<'_>,
        start: Timestamp,
        period: i64,
    ) -> f64 {
        let (base, noise) = baseline(subject.metric);
        let swing = self.chance("value", place, subject, start) * 2.0 - 1.0;
        let end = later(start, Duration::from_secs(period.unsigned_abs()));
        base * (1.0 + noise * swing) * influences.factor(subject, (start, end))
    }

    /// About a thousand: samples do not react to what is deployed.
    fn sample_count(&self, place: &Place, subject: &Subject<'_>, start: Timestamp) -> f64 {
        (950.0 + 100.0 * self.chance("samples", place, subject, start)).round()
    }

    /// A number in `[0, 1)` that depends on nothing but its arguments and the seed.
    fn chance(&self, what: &str, place: &Place, subject: &Subject<'_>, start: Timestamp) -> f64 {
        let second = start.as_second().to_string();
        let place = [place.account.as_str(), place.region.as_str(), what, subject.metric, second.as_str()];
        let parts = place.into_iter().chain(subject.dimensions.iter().copied());
        fastrand::Rng::with_seed(fnv1a(self.options.seed, parts)).f64()
    }

    /// All that may change the values of this series.
    pub(super) fn influences(&self, place: &Place, subject: &Subject<'_>) -> Influences<'_> {
        let names = self.concerned(place, subject);
        let stacks = self.stacks.values().filter(|stack| stack.place == *place && names.contains(stack.name.as_str()));
        let incidents = self.incidents.iter().filter(|(at, incident)| {
            at == place && subject.concerns(&incident.metric, incident.dimension_value.as_deref())
        });
        Influences {
            deployments: stacks.map(|stack| stack.deployments.as_slice()).collect(),
            incidents: incidents.map(|(_, incident)| incident).collect(),
        }
    }

    /// The names of the stacks that the series speaks of: by binding, or because a dimension value mentions them.
    fn concerned<'a>(&'a self, place: &Place, subject: &Subject<'_>) -> BTreeSet<&'a str> {
        let said = || subject.dimensions.iter().copied().chain(subject.cell);
        let bound = said()
            .filter_map(|value| self.bindings.get(&(place.clone(), value.to_owned())))
            .flatten()
            .map(crate::model::ids::StackName::as_str);
        let here = self.stacks.values().filter(|stack| stack.place == *place).map(|stack| stack.name.as_str());
        let mentioned = here.filter(|name| subject.dimensions.iter().any(|value| mentions(value, name)));
        bound.chain(mentioned).collect()
    }
}

/// The starts of the periods in `[from, to)` whose points are there at `now`.
fn finished(from: Timestamp, to: Timestamp, period: i64, now: Timestamp) -> Vec<Timestamp> {
    let first = from.as_second().div_euclid(period).saturating_mul(period);
    let span = Duration::from_secs(period.unsigned_abs()) + LATENESS;
    std::iter::successors(Some(first), |second| second.checked_add(period))
        .map_while(|second| Timestamp::from_second(second).ok())
        .take_while(|start| *start < to && later(*start, span) <= now)
        .collect()
}

/// The newest period of this length whose point is there at `now`.
pub(super) fn newest_finished(period: i64, now: Timestamp) -> Option<Timestamp> {
    let lateness = i64::try_from(LATENESS.as_secs()).unwrap_or(0);
    // A period that ends within the second `now` has ended: the fraction does not matter.
    let end = now.as_second().saturating_sub(lateness).div_euclid(period).saturating_mul(period);
    Timestamp::from_second(end.saturating_sub(period)).ok()
}

/// `(value, share of noise)` of a healthy metric, by its name.
fn baseline(metric: &str) -> (f64, f64) {
    let name = metric.to_lowercase();
    if name.contains("5xx") || name.contains("error") {
        (0.2, 0.3)
    } else if name.contains("latency") || name.contains("responsetime") {
        (80.0, 0.1)
    } else if name.contains("request") {
        (1_000.0, 0.1)
    } else {
        (1.0, 0.05)
    }
}

fn deployed_factor(deployments: &[Deployment], subject: &Subject<'_>, period: (Timestamp, Timestamp)) -> f64 {
    let ends = deployments.iter().skip(1).map(|next| next.from).chain([Timestamp::MAX]);
    let each = deployments.iter().zip(ends).flat_map(|(deployment, end)| {
        let mine = deployment.effects.iter().filter(|effect| subject.concerns(&effect.metric, None));
        mine.map(move |effect| {
            let from = later(deployment.from, effect.after);
            1.0 + (effect.factor - 1.0) * overlap(period, (from, end))
        })
    });
    each.product()
}

/// Which share of `period` lies in `[from, until)`.
fn overlap((start, end): (Timestamp, Timestamp), (from, until): (Timestamp, Timestamp)) -> f64 {
    let common = crate::model::time::since(start.max(from), end.min(until));
    let whole = crate::model::time::since(start, end);
    if whole.is_zero() { 0.0 } else { common.as_secs_f64() / whole.as_secs_f64() }
}

/// True when `value` names the stack as a whole word: `app/orders/50dc` names `orders`, and `orders-api` does not.
fn mentions(value: &str, name: &str) -> bool {
    let joins = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    value.match_indices(name).any(|(at, _)| {
        let before = value.get(..at).and_then(|text| text.chars().next_back());
        let after = value.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

fn strike(series: &mut Series, fault: MetricFault, now: Timestamp) {
    let clear = |series: &mut Series| (series.points, series.samples) = (Vec::new(), Vec::new());
    match fault {
        MetricFault::MissingFrom(from) => {
            series.points.retain(|(at, _)| *at < from);
            series.samples.retain(|(at, _)| *at < from);
        }
        MetricFault::NotANumber => series.points.iter_mut().for_each(|(_, value)| *value = f64::NAN),
        MetricFault::FutureDated(ahead) => series.points.push((later(now, ahead), 0.0)),
        MetricFault::Partial => {
            series.points.truncate(series.points.len() / 2);
            series.samples.truncate(series.points.len());
            series.completeness = Completeness::Partial;
        }
        MetricFault::Forbidden => {
            clear(series);
            series.completeness = Completeness::Forbidden;
        }
        MetricFault::InternalError => {
            clear(series);
            series.completeness = Completeness::InternalError;
        }
        MetricFault::Late(by) => {
            let there = |at: &Timestamp| crate::model::time::since(*at, now) >= by;
            series.points.retain(|(at, _)| there(at));
            series.samples.retain(|(at, _)| there(at));
        }
        MetricFault::WrongUnit => clear(series),
        MetricFault::Flapping => {
            let odd = |at: &Timestamp| at.as_second().div_euclid(60).rem_euclid(2) == 1;
            series.points.iter_mut().for_each(|(at, value)| *value = if odd(at) { 1e6 } else { 0.0 });
        }
        MetricFault::Huge => series.points.iter_mut().for_each(|(_, value)| *value = 1e300),
    }
}

/// FNV-1a, 64 bits: the same on every release and platform, unlike the standard library's hasher.
fn fnv1a<'a>(seed: u64, parts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = parts.flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
