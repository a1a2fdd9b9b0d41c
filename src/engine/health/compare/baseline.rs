//! What history says of each cell and of the noise between cells. Frozen before the first wave and journaled: the same record gives
//! the same verdict after a restart.

use super::noise::{Counted, Overdispersion};
use super::{past, ranks};
use crate::engine::health::evidence::Sample;
use crate::model::comparison::{CellBaseline, CountNoise, Horizon, MetricBaseline, Usual};
use crate::model::pipeline::Worse;

/// What to learn one metric from.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// Its name.
    pub name: &'a str,
    /// Which direction is bad.
    pub worse: Worse,
    /// Logarithm of the ratio that never matters.
    pub least_margin: f64,
    /// Seconds per tick.
    pub period_s: u32,
    /// What is planned.
    pub horizon: Horizon,
    /// The ratio that a gate must have been able to see.
    pub detect: f64,
    /// `samples[cell][tick]`, oldest first, all equally long.
    pub samples: &'a [Vec<Sample>],
}

/// Each cell's rate borrows so many bad events' worth from all cells: a cell that had none yet is not taken to have none ever.
const BORROWED: f64 = 5.0;
/// A tick's bad events beyond this quantile of the cell's ticks are taken as this quantile: histories hold incidents.
const WINSOR: f64 = 0.98;
/// A rate of one tick borrows so many bad events' worth from the cell's own rate, so that it has a logarithm.
const SMOOTH: f64 = 2.0;

impl MetricBaseline {
    /// Learns from history. Cells without a point stand on the others'.
    pub fn learn(history: &History<'_>) -> Self {
        let counted = history.samples.iter().flatten().any(|s| matches!(s, Sample::Counts { .. }));
        let mut cells: Vec<CellBaseline> = history.samples.iter().map(|cell| silence(cell)).collect();
        if counted {
            rates(history.samples, &mut cells);
        }
        levels(history.samples, &mut cells);
        let noise = counted.then(|| noise(history.samples, &cells));
        let residuals = residuals(history.samples, &cells);
        Self {
            name: history.name.to_owned(),
            worse: history.worse,
            period_s: history.period_s,
            horizon: history.horizon,
            detect: history.detect,
            least_margin: history.least_margin,
            past: past::worst(history.worse, history.samples, &cells),
            counts: noise,
            ranks: Usual::learn(&residuals, history.least_margin),
            cells,
        }
    }
}

impl CellBaseline {
    /// Logarithm of this tick's value against the cell's own history; none without a point.
    pub fn off(&self, sample: Sample) -> Option<f64> {
        Some(self.ln_value(sample)? - self.level)
    }

    fn ln_value(&self, sample: Sample) -> Option<f64> {
        match sample {
            Sample::Value(value) if value > 0.0 => Some(value.ln()),
            // A load of exactly nothing has no logarithm; it is as far below usual as a value can sensibly be.
            Sample::Value(_) => Some(self.level.min(0.0) - 10.0),
            Sample::Counts { bad, total } if total > 0.0 && self.rate > 0.0 => {
                let lent = SMOOTH / self.rate;
                Some(((bad + SMOOTH) / (total + lent)).ln())
            }
            Sample::Counts { .. } | Sample::Missing => None,
        }
    }
}

/// A cell's silence counts from its first point on: before that it was not there, or nobody kept what it said.
fn silence(cell: &[Sample]) -> CellBaseline {
    let first = cell.iter().position(|sample| !matches!(sample, Sample::Missing)).unwrap_or(0);
    let cell = cell.get(first..).unwrap_or_default();
    let silent = cell.iter().filter(|s| matches!(s, Sample::Missing)).count();
    let silence = if cell.is_empty() { 1.0 } else { silent as f64 / cell.len() as f64 };
    CellBaseline { rate: 0.0, traffic: 0.0, level: 0.0, silence, own: silent < cell.len() }
}

fn rates(samples: &[Vec<Sample>], cells: &mut [CellBaseline]) {
    let sums: Vec<(f64, f64, f64)> = samples.iter().map(|cell| winsorised(cell)).collect();
    let (bad, total) = sums.iter().fold((0.0, 0.0), |(b, t), (bad, total, _)| (b + bad, t + total));
    // Half an event in all of the history: a fleet that never had one is not a fleet that never will.
    let fleet = if total > 0.0 { (bad + 0.5) / (total + 1.0) } else { 0.5 };
    let lent = BORROWED / fleet;
    let ticks = sums.iter().map(|(_, _, ticks)| ticks).sum::<f64>().max(1.0);
    for (cell, (bad, of, points)) in cells.iter_mut().zip(sums) {
        cell.rate = (bad + lent * fleet) / (of + lent);
        cell.traffic = if points > 0.0 { of / points } else { total / ticks };
    }
}

/// Bad events with the worst ticks cut, all events, ticks with a point.
fn winsorised(cell: &[Sample]) -> (f64, f64, f64) {
    let counts: Vec<(f64, f64)> = cell
        .iter()
        .filter_map(|sample| match sample {
            Sample::Counts { bad, total } => Some((*bad, *total)),
            _ => None,
        })
        .collect();
    let mut bads: Vec<f64> = counts.iter().map(|(bad, _)| *bad).collect();
    bads.sort_by(f64::total_cmp);
    let at = (bads.len() as f64 * WINSOR).floor() as usize;
    let cut = bads.get(at.min(bads.len().saturating_sub(1))).copied().unwrap_or(0.0);
    counts.iter().fold((0.0, 0.0, 0.0), |(b, t, n), (bad, total)| (b + bad.min(cut), t + total, n + 1.0))
}

/// The median of the logarithm; of all cells' medians where a cell has none.
fn levels(samples: &[Vec<Sample>], cells: &mut [CellBaseline]) {
    let own: Vec<Option<f64>> = samples
        .iter()
        .zip(cells.iter())
        .map(|(points, cell)| ranks::median(points.iter().filter_map(|s| cell.ln_value(*s)).collect()))
        .collect();
    let fleet = ranks::median(own.iter().flatten().copied().collect()).unwrap_or(0.0);
    for (cell, level) in cells.iter_mut().zip(own) {
        cell.level = level.unwrap_or(fleet);
    }
    let reporting: Vec<f64> = cells.iter().filter(|c| c.own).map(|c| c.silence).collect();
    let usual = reporting.iter().sum::<f64>() / reporting.len().max(1) as f64;
    for cell in cells.iter_mut().filter(|cell| !cell.own) {
        cell.silence = usual;
    }
}

fn noise(samples: &[Vec<Sample>], cells: &[CellBaseline]) -> CountNoise {
    let counted: Vec<Counted> = samples
        .iter()
        .zip(cells)
        .map(|(points, cell)| {
            let one = |sample: &Sample| match sample {
                Sample::Counts { bad, total } => Some((*bad, total * cell.rate)),
                _ => None,
            };
            points.iter().map(one).collect()
        })
        .collect();
    let learnt = Overdispersion::learn(&counted);
    CountNoise { tick: learnt.tick, lasting: learnt.lasting }
}

/// By cell and tick: how far the cell is from its own history, less the others' median at that tick.
fn residuals(samples: &[Vec<Sample>], cells: &[CellBaseline]) -> Vec<Vec<Option<f64>>> {
    let ticks = samples.iter().map(Vec::len).max().unwrap_or(0);
    let mut by_cell: Vec<Vec<Option<f64>>> = vec![Vec::with_capacity(ticks); cells.len()];
    for tick in 0..ticks {
        let off: Vec<Option<f64>> = samples
            .iter()
            .zip(cells)
            .map(|(points, cell)| cell.off(points.get(tick).copied().unwrap_or(Sample::Missing)))
            .collect();
        let others = ranks::medians_of_others(&off);
        for ((of_cell, off), others) in by_cell.iter_mut().zip(off).zip(others) {
            of_cell.push(off.zip(others).map(|(off, others)| off - others));
        }
    }
    by_cell
}
