//! What a look at a certain time would have read of a recording: the closed periods, back to where they matter.

use super::{Recorded, Recording};
use crate::engine::health::Evidence;
use crate::model::ids::CellId;
use crate::model::observation::{Completeness, Series};
use crate::model::pipeline::{Cell, Health, Metric};
use jiff::{SignedDuration, Timestamp};

/// The points of `cells` whose period began at `from` or later, and has closed by `now`. A series without any is there, and empty: the
/// source was asked, and had nothing.
pub fn evidence(recording: &Recording, health: &Health, cells: &[&Cell], from: Timestamp, now: Timestamp) -> Evidence {
    let mut series = Vec::new();
    for cell in cells {
        for metric in &health.metrics {
            for name in metric.series() {
                series.push(one(recording, health, metric, &cell.name, name, from, now));
            }
        }
    }
    Evidence { series, to: Some(now), ..Evidence::default() }
}

fn one(
    recording: &Recording,
    health: &Health,
    metric: &Metric,
    cell: &CellId,
    name: String,
    from: Timestamp,
    now: Timestamp,
) -> Series {
    let recorded = recording.cells.get(cell).and_then(|series| series.get(&name));
    let closed = back(now, metric.period() + health.lag());
    let cut =
        |of: fn(&Recorded) -> &[(Timestamp, f64)]| recorded.map_or_else(Vec::new, |r| between(of(r), from, closed));
    Series {
        cell: cell.clone(),
        completeness: Completeness::Complete,
        points: cut(|recorded| &recorded.points),
        samples: cut(|recorded| &recorded.samples),
        unit: recorded.and_then(|recorded| recorded.unit.clone()),
        metric: name,
    }
}

fn between(points: &[(Timestamp, f64)], from: Timestamp, to: Timestamp) -> Vec<(Timestamp, f64)> {
    let first = points.partition_point(|(at, _)| *at < from);
    let last = points.partition_point(|(at, _)| *at <= to);
    points.get(first..last).unwrap_or_default().to_vec()
}

/// A time before another one.
pub fn back(at: Timestamp, span: std::time::Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// A time after another one.
pub fn on(at: Timestamp, span: std::time::Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
