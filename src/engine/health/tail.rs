//! The newest ticks of a series and no more: what the comparison takes in at each look, of thousands of cells.

use super::evidence::{Index, Sample};
use super::samples::slot_of;
use crate::model::ids::CellId;
use crate::model::observation::{Completeness, Series};
use crate::model::pipeline::{Metric, MetricSource, RatioPart};
use jiff::Timestamp;

/// Bad ones may be so much more than all, as a share: sums of doubles are not exact.
const ROUNDING: f64 = 1e-9;

/// Nobody counts less than this and more than nothing, or more than this, in a tick: a source that says so is out of order. What is kept out
/// here would be infinite once it is squared or divided by, and a record that holds an infinite number cannot be read back.
const COUNTS: std::ops::RangeInclusive<f64> = 1e-6..=1e12;
/// The same for values, of which only logarithms are taken.
const VALUES: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// The samples of the ticks `first..=last`, by their number since 1970; `last` is closed. A series that is not whole, or in another unit
/// than the pipeline says, has none. The same as [`super::evidence::ticks`] says of them, without looking at any other tick.
pub fn samples(index: &Index<'_>, metric: &Metric, cell: &CellId, first: i64, last: i64) -> Vec<Sample> {
    let of = |name: &str, unit: Option<&str>| {
        let series = index.get(&(cell, name)).copied().filter(|series| is_sound(series, unit));
        series.map_or_else(|| vec![None; length(first, last)], |series| cut(metric, &series.points, first, last))
    };
    match &metric.source {
        MetricSource::Ratio { bad, total, absent_bad_is_zero, .. } => {
            let counts =
                of(&metric.bad_series(), unit_of(bad)).into_iter().zip(of(&metric.total_series(), unit_of(total)));
            counts.map(|(bad, total)| ratio(bad.or(absent_bad_is_zero.then_some(0.0)), total)).collect()
        }
        source => {
            let unit = if let MetricSource::Metric(stat) = source { stat.unit.as_deref() } else { None };
            let values = of(&metric.name, unit);
            if metric.min_samples == 0 {
                return values.into_iter().map(value).collect();
            }
            let counted =
                index.get(&(cell, metric.name.as_str())).map(|series| cut(metric, &series.samples, first, last));
            let enough = |samples: Option<f64>| samples.is_some_and(|n| n >= f64::from(metric.min_samples));
            let pairs = values.into_iter().zip(counted.unwrap_or_default());
            pairs.map(|(of, n)| value(of.filter(|_| enough(n)))).collect()
        }
    }
}

fn ratio(bad: Option<f64>, total: Option<f64>) -> Sample {
    match (bad, total) {
        (Some(bad), Some(total))
            if bad >= 0.0 && bad <= total * (1.0 + ROUNDING) && is_count(bad) && is_count(total) =>
        {
            Sample::Counts { bad: bad.min(total), total }
        }
        _ => Sample::Missing,
    }
}

fn is_count(value: f64) -> bool {
    value == 0.0 || COUNTS.contains(&value)
}

/// A value, if a logarithm of it is of use; 0 and less are as far below usual as a value can be.
fn value(of: Option<f64>) -> Sample {
    let sane = of.filter(|value| *value == 0.0 || VALUES.contains(&value.abs()));
    sane.map_or(Sample::Missing, Sample::Value)
}

fn unit_of(part: &RatioPart) -> Option<&str> {
    if let RatioPart::Metric(stat) = part { stat.unit.as_deref() } else { None }
}

fn is_sound(series: &Series, unit: Option<&str>) -> bool {
    let as_wanted = |(have, need): (&str, &str)| have == need;
    series.completeness == Completeness::Complete && series.unit.as_deref().zip(unit).is_none_or(as_wanted)
}

fn length(first: i64, last: i64) -> usize {
    usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0)
}

/// Finite values by tick, the newest first looked at: points come oldest first.
fn cut(metric: &Metric, points: &[(Timestamp, f64)], first: i64, last: i64) -> Vec<Option<f64>> {
    let mut ticks = vec![None; length(first, last)];
    for (at, value) in points.iter().rev() {
        let slot = slot_of(metric, *at);
        if slot < first {
            break;
        }
        let place = usize::try_from(slot - first).ok().and_then(|n| ticks.get_mut(n));
        if let Some(place) = place.filter(|place| place.is_none() && value.is_finite()) {
            *place = Some(*value);
        }
    }
    ticks
}
