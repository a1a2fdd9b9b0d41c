//! A cell against nothing but its own past. It may hold and page, never revert: the hour, the season and the neighbours change too,
//! and a test against the past alone does not keep its error rate (on recorded incidents 6 to 12 % of healthy changes for a nominal 1 %).

use super::process::signs;
use crate::engine::health::evidence::Sample;
use crate::model::comparison::{CellBaseline, MetricBaseline};
use crate::model::pipeline::Worse;

/// Ticks that are looked at together.
pub const WINDOW: usize = 10;
/// Beyond the worst that its history ever had, so many times as far.
const BEYOND: f64 = 1.5;
/// A window borrows so many bad events from what was expected: none at all has no ratio.
const BORROWED: f64 = 2.0;

/// How bad the worst window of a history was, as the logarithm of a ratio; over all cells, because none has seen much.
pub fn worst(worse: Worse, samples: &[Vec<Sample>], cells: &[CellBaseline]) -> f64 {
    let windows =
        samples.iter().zip(cells).flat_map(|(ticks, cell)| ticks.chunks_exact(WINDOW).map(move |w| (cell, w)));
    let bad = windows.filter_map(|(cell, window)| off(worse, cell, window));
    bad.fold(0.0, f64::max)
}

/// The ratio to its history and the greatest that is usual, where a cell's newest window is beyond it.
pub fn beyond(metric: &MetricBaseline, cell: &CellBaseline, window: &[Sample]) -> Option<(f64, f64)> {
    let most = metric.past.max(metric.least_margin) * BEYOND;
    let now = off(metric.worse, cell, window)?;
    (window.len() >= WINDOW && now - by_chance(window) > most).then(|| (now.exp(), most.exp()))
}

/// Two standard deviations of a count's logarithm: a handful of events is more or less than usual by chance alone.
fn by_chance(window: &[Sample]) -> f64 {
    let counts = window.iter().filter_map(|s| if let Sample::Counts { bad, .. } = s { Some(*bad) } else { None });
    let (some, bad) = counts.fold((false, 0.0), |(_, sum), bad| (true, sum + bad));
    if some { 2.0 / (bad + BORROWED).sqrt() } else { 0.0 }
}

/// In the bad direction, as the logarithm of a ratio; none where most of the window has no point.
fn off(worse: Worse, cell: &CellBaseline, window: &[Sample]) -> Option<f64> {
    let there = window.iter().filter(|sample| **sample != Sample::Missing);
    if there.clone().count() * 2 <= window.len() {
        return None;
    }
    let (mut bad, mut expected, mut logs, mut values) = (0.0, 0.0, 0.0, 0.0);
    for sample in there {
        match sample {
            Sample::Counts { bad: b, total } => {
                bad += b;
                expected += total * cell.rate;
            }
            sample => {
                logs += cell.off(*sample)?;
                values += 1.0;
            }
        }
    }
    let ratio = if values > 0.0 { logs / values } else { ((bad + BORROWED) / (expected + BORROWED)).ln() };
    signs(worse).iter().map(|sign| sign * ratio).reduce(f64::max)
}
