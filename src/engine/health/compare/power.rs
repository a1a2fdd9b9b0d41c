//! What could be seen: the expected growth of the evidence if the change had made things worse by a given ratio.
//!
//! By Wald: `ticks ≈ ln(1 / (alpha · weight · prior)) / growth`, with the growth of one tick the Kullback–Leibler divergence between
//! the two shares, times the events that count as independent.

use super::counts::{CAP, Groups};
use super::process;
use super::ranks::{CALIBRATORS, LEAST_CONTROLS};
use crate::model::comparison::{Baseline, MetricBaseline, Usual};
use crate::model::pipeline::Worse;

/// Expected logarithm that one tick of counts adds, at these expectations, if the ratio is `ratio` and ratios up to `boundary` do not
/// count. 0 where it could never be seen.
pub fn of_counts(groups: &Groups, ratio: f64, boundary: f64, tick_noise: f64) -> f64 {
    // INVARIANT: S11. What lies within the margin can never be seen, and is never said to have been looked for.
    let beyond = if boundary >= 1.0 { ratio / boundary } else { boundary / ratio };
    if beyond <= 1.0 {
        return 0.0;
    }
    let events = groups.treated_expected * ratio + groups.control_expected;
    let (there, null) = (groups.share(ratio), groups.share(boundary));
    let rho = groups.rho(null, tick_noise);
    let independent = events / (1.0 + (events - 1.0).max(0.0) * rho);
    (independent * divergence(there, null)).min(CAP.ln())
}

fn divergence(p: f64, q: f64) -> f64 {
    let part = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

/// Expected logarithm that one tick of a single cell's residual adds, by the best calibrator, if its value is `ratio` times as much.
pub fn of_ranks(usual: &Usual, ratio: f64) -> f64 {
    let shift = ratio.ln().abs();
    let sample = usual.residuals.iter().step_by(usual.residuals.len().div_ceil(200).max(1));
    let ps: Vec<f64> = sample.map(|residual| usual.p(residual + shift - usual.margin)).collect();
    let growth = |kappa: &f64| {
        let each = |p: &f64| ((kappa * p.powf(kappa - 1.0)).ln() / usual.tau).min(CAP.ln());
        ps.iter().map(each).sum::<f64>() / ps.len().max(1) as f64
    };
    CALIBRATORS.iter().map(growth).fold(0.0, f64::max)
}

/// The ratios that a forecast names.
pub const NAMED: [f64; 5] = [1.2, 1.5, 2.0, 5.0, 20.0];

/// When a wave would be found out, at the fleet's usual traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// By ratio of [`NAMED`] and the metric's own `detect`, ascending: ticks until it is expected to be seen; none: never.
    pub ticks: Vec<(f64, Option<f64>)>,
}

/// Forecasts one metric with these cells treated (`Some(true)`) and untouched (`Some(false)`), in the baseline's order. None where one of
/// the groups is empty: there is nothing to compare.
pub fn forecast(baseline: &Baseline, metric: &MetricBaseline, cells: &[Option<bool>]) -> Option<Forecast> {
    let count = |of: bool| cells.iter().filter(|cell| **cell == Some(of)).count();
    if count(true) == 0 || count(false) == 0 {
        return None;
    }
    let needed = process::needed(baseline, metric);
    let mut ratios: Vec<f64> = NAMED.into_iter().chain([metric.detect]).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.dedup();
    let lower = metric.worse == Worse::Lower;
    let ticks = ratios.into_iter().map(|ratio| {
        let growth = growth(metric, cells, if lower { 1.0 / ratio } else { ratio }, count(false));
        (ratio, (growth > 0.0).then(|| (needed / growth).ceil()))
    });
    Some(Forecast { ticks: ticks.collect() })
}

/// Expected logarithm of one tick.
fn growth(metric: &MetricBaseline, cells: &[Option<bool>], ratio: f64, controls: usize) -> f64 {
    let Some(noise) = metric.counts else {
        let usual = metric.ranks.as_ref().filter(|_| controls >= LEAST_CONTROLS);
        return usual.map_or(0.0, |usual| of_ranks(usual, ratio));
    };
    let (mut groups, mut squares) = (Groups::default(), [0.0; 2]);
    for (cell, treated) in metric.cells.iter().zip(cells) {
        if let Some(treated) = treated {
            groups.add(&mut squares, *treated, 0.0, cell.traffic * cell.rate);
        }
    }
    let Some(groups) = groups.close(squares) else { return 0.0 };
    let margin = process::margin(metric, noise.lasting, groups.spread);
    let boundary = if ratio < 1.0 { (-margin).exp() } else { margin.exp() };
    of_counts(&groups, ratio, boundary, noise.tick)
}
