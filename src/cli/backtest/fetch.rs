//! The metrics of a past interval, from the sources that the daemon itself reads.

use crate::cloud::Health;
use crate::engine::health::recording::{POINTS_MAX, Recorded, Recording};
use crate::engine::health::replay::Setting;
use crate::engine::health::{evidence, gate};
use crate::model::observation::{Completeness, MetricQuery, ProviderError, Series};
use crate::model::stack::Scope;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// CloudWatch gives at most 100,800 points in a page; a request of fewer needs few pages.
const POINTS_PER_CALL: u64 = 90_000;
/// Prometheus refuses a series of more than 11,000 points.
const POINTS_PER_SERIES: u64 = 10_000;
/// Parts of a day, the longest first.
const HOURS: [u64; 7] = [12, 8, 6, 4, 3, 2, 1];

/// Reads the series of every cell of the fleet, from before `from` by what the comparison learns from (or the thresholds look back on) to
/// `to`. Nothing of an interval is used that did not come back whole.
///
/// # Errors
/// For people: what could not be read, and why.
pub async fn fetch(
    world: &impl Health,
    setting: &Setting,
    from: Timestamp,
    to: Timestamp,
) -> Result<Recording, String> {
    let history = gate::reads_from(&setting.health, None, None, from).unwrap_or(from);
    let from = history.min(from.checked_sub(signed(evidence::lookback(&setting.health) * 2)).unwrap_or(Timestamp::MIN));
    let mut recording = Recording::default();
    let mut points = 0;
    for (scope, chunks) in evidence::reads(&setting.health, &setting.fleet).metrics {
        for queries in chunks {
            for (start, end) in slices(&queries, from, to) {
                let series = world.metrics(&scope, &queries, start, end).await.map_err(|e| unreadable(&scope, &e))?;
                for series in series {
                    points += series.points.len();
                    add(&mut recording, series)?;
                }
                if points > POINTS_MAX {
                    return Err(format!("more than {POINTS_MAX} points: name a shorter past"));
                }
            }
        }
    }
    for series in recording.cells.values_mut().flat_map(|cell| cell.values_mut()) {
        tidy(&mut series.points);
        tidy(&mut series.samples);
        recording.newest = recording.newest.max(series.points.last().map(|(at, _)| *at));
    }
    Ok(recording)
}

fn unreadable(scope: &Scope, error: &ProviderError) -> String {
    format!("metrics of {scope} cannot be read: {error}; see whether the daemon's role may read them there")
}

fn add(recording: &mut Recording, series: Series) -> Result<(), String> {
    let Series { cell, metric, completeness, points, samples, unit } = series;
    let trouble = match completeness {
        Completeness::Complete => None,
        Completeness::Partial => Some("came back in part only".to_owned()),
        Completeness::Forbidden => Some("may not be read".to_owned()),
        Completeness::InternalError => Some("met an internal error of its source".to_owned()),
        Completeness::Unknown(said) => Some(format!("came back with `{said}`")),
    };
    if let Some(trouble) = trouble {
        return Err(format!(
            "`{metric}` of `{cell}` {trouble}: no past is judged on half of it; try again, or a shorter past"
        ));
    }
    let recorded: &mut Recorded = recording.cells.entry(cell).or_default().entry(metric).or_default();
    recorded.points.extend(points.into_iter().filter(|(_, value)| value.is_finite()));
    recorded.samples.extend(samples.into_iter().filter(|(_, value)| value.is_finite()));
    recorded.unit = recorded.unit.take().or(unit);
    Ok(())
}

/// By time, each once.
fn tidy(points: &mut Vec<(Timestamp, f64)>) {
    points.sort_by_key(|(at, _)| *at);
    points.dedup_by_key(|(at, _)| *at);
}

/// Cuts an interval so that one call asks for few pages. Cuts lie on whole days, or on parts of them that long
/// periods fit into: no period is cut in two.
fn slices(queries: &[(MetricQuery, bool)], from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let per_day = queries.iter().map(|(query, samples)| {
        let points = 86_400 / u64::from(query.period_s.max(1));
        if *samples { points * 2 } else { points }
    });
    let shortest = queries.iter().map(|(query, _)| u64::from(query.period_s.max(1))).min().unwrap_or(60);
    let hours = (POINTS_PER_CALL * 24 / per_day.sum::<u64>().max(1)).min(POINTS_PER_SERIES * shortest / 3600);
    let hours = if hours >= 24 { hours / 24 * 24 } else { HOURS.into_iter().find(|of| *of <= hours).unwrap_or(1) };
    let step = Duration::from_secs(hours * 3600);
    let mut slices = Vec::new();
    let grid = i64::try_from(step.as_secs()).unwrap_or(i64::MAX);
    let mut start = from;
    while start < to {
        let next = (start.as_second().div_euclid(grid) + 1).saturating_mul(grid);
        let end = Timestamp::from_second(next).map_or(to, |next| next.min(to));
        slices.push((start, end));
        start = end;
    }
    slices
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
