//! One tick of values without counts (a percentile, an average, a load), as an e-value: where the treated cells' residuals rank among
//! those of cells that nobody had changed.
//!
//! A residual is `ln(value) − ln(own history)`, less the median of the same over the untouched cells at that tick, so that what
//! strikes everybody cancels. Its p-value becomes an e-value by `κ · p^(κ−1)` (Vovk and Wang, "E-values: calibration, combination and
//! applications", Annals of Statistics 2021). Neighbouring ticks resemble each other: the e-value is raised to `1 / τ`, with `τ` the
//! ticks that count as one.

use super::counts::CAP;
use crate::model::comparison::Usual;

/// Calibrators; a mixture, because the best one depends on how far out the residuals are.
pub const CALIBRATORS: [f64; 3] = [0.1, 0.25, 0.5];
/// Fewer residuals than this cannot say what is rare.
pub const LEAST_RESIDUALS: usize = 40;
/// Kept of them: a sorted sample of this size has every percentile that is asked of it, and fits into a record.
const KEPT: usize = 1_000;
/// Fewer untouched cells than this have no median worth the name.
pub const LEAST_CONTROLS: usize = 2;
/// Standard deviations of a chi-squared sum beyond its mean that are no accident.
const CLEARLY: f64 = 2.5;
/// Standard deviations of what stays that are given for free.
const SIGMAS: f64 = 2.5;
/// Ticks over which noise is taken to stay.
const BLOCK: usize = 10;

impl Usual {
    /// Learns from residuals by cell and tick (none: no point). None where there are too few.
    pub fn learn(by_cell: &[Vec<Option<f64>>], least_margin: f64) -> Option<Self> {
        let mut residuals: Vec<f64> = by_cell.iter().flatten().flatten().copied().collect();
        if residuals.len() < LEAST_RESIDUALS {
            return None;
        }
        let alike = autocorrelation(by_cell).clamp(0.0, 0.95);
        let stays = spread_of_blocks(by_cell) * alike.sqrt();
        residuals.sort_by(f64::total_cmp);
        let at = |share: f64| residuals.get((residuals.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        Some(Self {
            spread: (at(0.84) - at(0.16)) / 2.0,
            residuals: thin(residuals),
            tau: (1.0 + alike) / (1.0 - alike),
            margin: least_margin.max(SIGMAS * stays),
        })
    }

    /// How many times further apart than usual the untouched cells are right now, from their residuals; 1 where it is no clear
    /// difference. A shock that strikes everybody strikes cells unequally.
    pub fn stretch(&self, controls: &[f64]) -> f64 {
        let cells = controls.len() as f64;
        let squares: f64 = controls.iter().map(|r| (r / self.spread).powi(2)).sum();
        let clearly = cells + CLEARLY * (2.0 * cells).sqrt();
        if self.spread > 0.0 && squares > clearly { (squares / cells).sqrt() } else { 1.0 }
    }

    /// Natural logarithms of the e-values of one tick, one for each calibrator: the mean over the treated cells' residuals, of which
    /// high ones are bad. None without residuals.
    pub fn ln_e(&self, treated: &[f64]) -> Option<Vec<f64>> {
        if treated.is_empty() {
            return None;
        }
        let ps: Vec<f64> = treated.iter().map(|residual| self.p(residual - self.margin)).collect();
        let of = |kappa: &f64| {
            let mean = ps.iter().map(|p| kappa * p.powf(kappa - 1.0)).sum::<f64>() / ps.len() as f64;
            (mean.ln() / self.tau).min(CAP.ln())
        };
        Some(CALIBRATORS.iter().map(of).collect())
    }

    /// The same with the other direction as the bad one.
    pub fn mirrored(&self) -> Self {
        let residuals = self.residuals.iter().rev().map(|residual| -residual).collect();
        Self { residuals, ..*self }
    }

    /// The share of usual residuals that are as high, counting this one.
    pub fn p(&self, residual: f64) -> f64 {
        let below = self.residuals.partition_point(|usual| *usual < residual);
        let all = self.residuals.len() as f64;
        (all - below as f64 + 1.0) / (all + 1.0)
    }
}

/// Every so-manieth of a sorted list, its ends included.
fn thin(sorted: Vec<f64>) -> Vec<f64> {
    if sorted.len() <= KEPT {
        return sorted;
    }
    let last = sorted.len() - 1;
    (0..KEPT).filter_map(|n| sorted.get(n * last / (KEPT - 1)).copied()).collect()
}

/// Lag 1, over all cells, about zero: residuals are centred by their making.
fn autocorrelation(by_cell: &[Vec<Option<f64>>]) -> f64 {
    let (mut with_next, mut own) = (0.0, 0.0);
    for cell in by_cell {
        for (here, next) in cell.iter().zip(cell.iter().skip(1)) {
            if let (Some(here), Some(next)) = (here, next) {
                with_next += here * next;
                own += (here * here + next * next) / 2.0;
            }
        }
    }
    if own > 0.0 { with_next / own } else { 0.0 }
}

/// Standard deviation of the blocks' medians.
fn spread_of_blocks(by_cell: &[Vec<Option<f64>>]) -> f64 {
    let medians: Vec<f64> = by_cell
        .iter()
        .flat_map(|cell| cell.chunks(BLOCK))
        .filter_map(|block| median(block.iter().flatten().copied().collect()))
        .collect();
    let squares: f64 = medians.iter().map(|m| m * m).sum();
    if medians.is_empty() { 0.0 } else { (squares / medians.len() as f64).sqrt() }
}

/// The median; none of nothing.
pub fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    let upper = of.get(of.len() / 2).copied()?;
    if of.len() % 2 == 1 {
        return Some(upper);
    }
    of.get(of.len() / 2 - 1).map(|lower| (lower + upper) / 2.0)
}

/// The median of all but the one at `without`, for every position at once: `values` need not be sorted. None where there is no value
/// or fewer than [`LEAST_CONTROLS`] others.
pub fn medians_of_others(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let others = sorted.len().saturating_sub(1);
    values
        .iter()
        .map(|value| {
            let value = (*value)?;
            if others < LEAST_CONTROLS {
                return None;
            }
            let own = sorted.partition_point(|v| *v < value);
            let at = |n: usize| sorted.get(if n < own { n } else { n + 1 }).copied();
            let upper = at(others / 2)?;
            if others % 2 == 1 { Some(upper) } else { Some((at(others / 2 - 1)? + upper) / 2.0) }
        })
        .collect()
}
