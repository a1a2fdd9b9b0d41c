//! One panel: the lines of all cells, changed ones bold from their change on, the threshold dashed, bakes and settling shaded.

use super::scale::{Scale, label, round_numbers, seconds};
use super::svg::{Anchor, Svg};
use super::{FAINT, INK, LEFT, RED, RIGHT, WIDTH, wave_colour};
use crate::engine::health::recording::{Recorded, Recording};
use crate::engine::health::replay::Course;
use crate::model::pipeline::{Metric, MetricSource};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A panel's height.
pub const PANEL: f64 = 150.0;
/// Lines of untouched cells.
pub const GREY: &str = "#b4bcc6";
/// Width of a changed cell's line.
pub const BOLD: f64 = 2.0;
const BAKE: &str = "#e4eefb";
const SETTLE: &str = "#fff3c9";

/// Where a panel stands, and what was done when.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Time to place.
    pub x: Scale,
    /// Its upper edge.
    pub top: f64,
    /// What was done when.
    pub course: &'a Course,
    /// How long a change settles.
    pub settle: Duration,
}

/// A metric's values and its threshold.
pub fn metric(svg: &mut Svg, frame: &Frame<'_>, recording: &Recording, metric: &Metric) {
    let period = f64::from(metric.period_s.max(1));
    let mut unit = None;
    let mut lines = Vec::new();
    for (cell, series) in &recording.cells {
        let shown = |(at, _): &(f64, f64)| *at >= frame.x.from.0 && *at + period <= frame.x.from.1;
        let points: Vec<(f64, f64)> = values(metric, series).into_iter().filter(shown).collect();
        unit = unit.or_else(|| series.get(&metric.name).and_then(|recorded| recorded.unit.clone()));
        lines.push((frame.course.changes.get(cell), points));
    }
    let threshold = metric.fail_when.map(|threshold| threshold.value);
    let all = lines.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value)).chain(threshold);
    let (low, high) = all.fold((0.0_f64, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let y = frame.ground(svg, (low, if high > low { high * 1.08 } else { low + 1.0 }));
    // Untouched cells first: the bold lines lie on top.
    lines.sort_by_key(|(change, _)| change.map(|change| change.wave));
    for (change, points) in &lines {
        let since = change.map_or(f64::INFINITY, |change| seconds(change.at));
        let place = |(at, value): &(f64, f64)| (frame.x.at(at + period / 2.0), y.at(*value));
        for run in runs(points, period) {
            let cut = run.partition_point(|(at, _)| *at < since);
            let (before, after) = run.split_at(cut);
            draw(svg, &before.iter().map(place).collect::<Vec<_>>(), GREY, 1.0);
            draw(svg, &after.iter().map(place).collect::<Vec<_>>(), wave_colour(change.map_or(0, |c| c.wave)), BOLD);
        }
    }
    frame.close(svg, &y, &title(metric, unit.as_deref()));
    if let Some(threshold) = metric.fail_when {
        let words = format!("fails when {threshold}, {} of {}", metric.datapoints_to_alarm, metric.evaluation_periods);
        limit(svg, &y, threshold.value, &words);
    }
}

/// The comparison's evidence, as powers of ten.
pub fn evidence(svg: &mut Svg, frame: &Frame<'_>, points: &[(f64, f64)], needed: f64) {
    let most = points.iter().map(|(_, value)| *value).fold(needed, f64::max).min(needed * 4.0);
    let least = points.iter().map(|(_, value)| *value).fold(-1.0, f64::min).max(-needed);
    let y = frame.ground(svg, (least, most * 1.08));
    let places: Vec<(f64, f64)> = points.iter().map(|(at, value)| (frame.x.at(*at), y.at(*value))).collect();
    draw(svg, &places, INK, BOLD);
    frame.close(svg, &y, "comparison with untouched cells: evidence, as a power of ten");
    limit(svg, &y, needed, &format!("reverts at {}", label(10_f64.powf(needed))));
}

fn limit(svg: &mut Svg, y: &Scale, value: f64, words: &str) {
    let place = y.at(value);
    svg.line((LEFT, place), (WIDTH - RIGHT, place), RED, 1.4, "7 5");
    // Below the line where there is no room above it.
    let below = place < y.to.1 + 16.0;
    svg.text((LEFT + 6.0, if below { place + 14.0 } else { place - 5.0 }), Anchor::Start, 11.0, RED, words);
}

impl Frame<'_> {
    /// Ground, shaded spans and horizontal lines; gives the scale of its values.
    fn ground(&self, svg: &mut Svg, values: (f64, f64)) -> Scale {
        let y = Scale { from: values, to: (self.top + PANEL, self.top) };
        svg.rect((LEFT, self.top), (WIDTH - RIGHT - LEFT, PANEL), "#fafbfc");
        for bake in &self.course.bakes {
            let start = self.x.time(bake.start);
            let end = bake.end.map_or(WIDTH - RIGHT, |end| self.x.time(end));
            svg.rect((start, self.top), (end - start, PANEL), BAKE);
        }
        let mut changes: Vec<Timestamp> = self.course.changes.values().map(|change| change.at).collect();
        changes.sort_unstable();
        changes.dedup();
        for at in changes {
            let (start, end) = (self.x.time(at), self.x.at(seconds(at) + self.settle.as_secs_f64()));
            svg.rect((start, self.top), ((end - start).max(1.0), PANEL), SETTLE);
        }
        for value in round_numbers(values.0, values.1, 4.0) {
            let place = y.at(value);
            svg.line((LEFT, place), (WIDTH - RIGHT, place), "#e1e5ea", 1.0, "");
            svg.text((LEFT - 8.0, place + 4.0), Anchor::End, 11.0, INK, &label(value));
        }
        y
    }

    /// Title and frame.
    fn close(&self, svg: &mut Svg, y: &Scale, title: &str) {
        svg.text((LEFT, self.top - 8.0), Anchor::Start, 13.0, INK, title);
        svg.line((LEFT, y.to.0), (WIDTH - RIGHT, y.to.0), FAINT, 1.0, "");
        svg.line((LEFT, y.to.0), (LEFT, y.to.1), FAINT, 1.0, "");
    }
}

fn title(metric: &Metric, unit: Option<&str>) -> String {
    let unit = match &metric.source {
        MetricSource::Ratio { scale, .. } if *scale > 1.0 => Some("percent"),
        MetricSource::Ratio { .. } => Some("share"),
        _ => unit,
    };
    let unit = unit.map(|unit| format!(" [{unit}]")).unwrap_or_default();
    format!("{}{unit}, per {}s", metric.name, metric.period_s)
}

/// Values by the start of their period, in seconds.
fn values(metric: &Metric, series: &BTreeMap<String, Recorded>) -> Vec<(f64, f64)> {
    let points = |name: &str| series.get(name).map_or(&[][..], |recorded| &recorded.points);
    let MetricSource::Ratio { scale, absent_bad_is_zero, .. } = &metric.source else {
        return points(&metric.name).iter().map(|(at, value)| (seconds(*at), *value)).collect();
    };
    let bad: BTreeMap<Timestamp, f64> = points(&metric.bad_series()).iter().copied().collect();
    let of = |(at, total): &(Timestamp, f64)| {
        let bad = bad.get(at).copied().or(absent_bad_is_zero.then_some(0.0))?;
        (*total > 0.0).then(|| (seconds(*at), scale * bad / total))
    };
    points(&metric.total_series()).iter().filter_map(of).collect()
}

/// Runs of points without a missing one between them.
fn runs(points: &[(f64, f64)], period: f64) -> impl Iterator<Item = &[(f64, f64)]> {
    points.chunk_by(move |(a, _), (b, _)| b - a <= period * 1.5)
}

/// At most two points to a place across: a week of minutes stays a small file, and no peak is lost.
fn draw(svg: &mut Svg, points: &[(f64, f64)], stroke: &str, width: f64) {
    let mut thin: Vec<(f64, f64)> = Vec::new();
    for column in points.chunk_by(|(a, _), (b, _)| a.floor() == b.floor()) {
        match column {
            [] => {}
            [only] => thin.push(*only),
            many => {
                let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
                thin.extend(many.iter().min_by(by_height));
                thin.extend(many.iter().max_by(by_height));
            }
        }
    }
    if !thin.is_empty() {
        svg.path(&thin, stroke, width);
    }
}
