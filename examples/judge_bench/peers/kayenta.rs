//! Kayenta's judge (spinnaker/kayenta a69573b: `MannWhitney.scala`, `MannWhitneyClassifier.scala`, `NetflixACAJudge.scala`).
//!
//! A metric is High if the lower end of the Mann-Whitney interval of the shift is above 0.25 times the Hodges-Lehmann estimate, and
//! the effect, a ratio of means, is at least `allowed_increase`. One High metric of three takes the score below the usual pass mark
//! of 75; a metric without data passes, as it does there. The interval's ends are read off the sorted differences, where Kayenta
//! seeks them with a root finder whose absolute tolerance of 1e-4 makes it blind to small rates: this port is kinder than that.

use super::inputs::{Inputs as Seen, Level, Metric};
use crate::judge::Judge;
use crate::recording::Recording;

/// Kayenta hard-codes the tolerance, and the confidence of 0.98, whose normal quantile this is.
const TOLERANCE: f64 = 0.25;
const QUANTILE_99: f64 = 2.326_347_874_040_841;

/// What the two groups' values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// As they were reported, which is how Kayenta is run.
    Raw,
    /// Relative to the cells' histories.
    DifferenceInDifferences,
}

/// When it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// At the end of each bake.
    EndOfBake,
    /// Also every so many seconds of each bake, from settling on: on its first five points, then on ten …
    Every(u32),
}

/// A canary analysis a wave: the treated cells' values, tick by tick, against the controls'.
#[derive(Clone, Copy, Debug)]
pub struct Kayenta {
    /// What it is fed.
    pub inputs: Inputs,
    /// The ratio of means that is large enough to matter; Kayenta's default is 1.
    pub allowed_increase: Level,
    /// When it is asked.
    pub looks: Looks,
}

impl Judge for Kayenta {
    fn name(&self) -> String {
        let inputs = match self.inputs {
            Inputs::Raw => "raw",
            Inputs::DifferenceInDifferences => "DiD",
        };
        let looks = match self.looks {
            Looks::EndOfBake => String::new(),
            Looks::Every(seconds) => format!(", every {} min", seconds / 60),
        };
        format!("Kayenta {inputs} {}{looks}", self.allowed_increase)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let seen = Seen::read(recording);
        let every = match self.looks {
            Looks::EndOfBake => usize::MAX,
            Looks::Every(seconds) => seconds.div_ceil(recording.period_s.max(1)).max(1) as usize,
        };
        recording.waves.iter().find_map(|(start, end)| {
            let settled = start + seen.settle();
            (settled..*end)
                .filter(|tick| tick + 1 == *end || (tick + 1 - settled).is_multiple_of(every))
                .find(|tick| seen.metrics.iter().any(|metric| self.is_high(&seen, metric, settled..tick + 1)))
        })
    }
}

impl Kayenta {
    fn is_high(&self, seen: &Seen, metric: &Metric, ticks: std::ops::Range<usize>) -> bool {
        let pool = |cells: &mut dyn Iterator<Item = usize>, tick| match self.inputs {
            Inputs::Raw => metric.pooled_raw(cells, tick),
            Inputs::DifferenceInDifferences => metric.pooled(cells, tick),
        };
        let experiment: Vec<f64> = ticks.clone().filter_map(|tick| pool(&mut seen.treated(tick), tick)).collect();
        let control: Vec<f64> = ticks.filter_map(|tick| pool(&mut seen.controls(tick), tick)).collect();
        let Some(shift) = Shift::of(&experiment, &control) else { return false };
        let (up, down) = (mean(&experiment), mean(&control));
        // Kayenta does not look at the effect where it cannot compute it.
        let effect = if up == 0.0 || down == 0.0 { f64::INFINITY } else { up / down };
        shift.lower > TOLERANCE * shift.estimate.abs() && effect >= self.allowed_increase.of(metric)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// By how much one sample lies above another.
#[derive(Clone, Copy, Debug)]
struct Shift {
    /// Hodges-Lehmann: the median of all differences.
    estimate: f64,
    /// Lower end of the 98 % interval.
    lower: f64,
}

impl Shift {
    /// The asymptotic interval of R's `wilcox.test` with its continuity correction; ties are corrected for within the samples. None if
    /// a sample is empty, or all values are the same.
    fn of(experiment: &[f64], control: &[f64]) -> Option<Self> {
        let (n, m) = (experiment.len() as f64, control.len() as f64);
        let mut differences: Vec<f64> = experiment.iter().flat_map(|x| control.iter().map(move |y| x - y)).collect();
        let pairs = differences.len();
        if pairs == 0 {
            return None;
        }
        let ties = (tied(experiment) + tied(control)) / ((n + m) * (n + m - 1.0));
        let sd = (n * m / 12.0 * (n + m + 1.0 - ties)).sqrt();
        if sd.is_nan() || sd <= 0.0 {
            return None;
        }
        // The bound is where so many differences still lie above; the smallest difference, if there are not so many.
        let above = (n * m / 2.0 + 0.5 + QUANTILE_99 * sd).ceil() as usize;
        let lower = nth(&mut differences, pairs.saturating_sub(above))?;
        let high = nth(&mut differences, pairs / 2)?;
        let low = nth(&mut differences, (pairs - 1) / 2)?;
        Some(Self { estimate: 0.5 * (low + high), lower })
    }
}

/// The value that has this place in ascending order.
fn nth(values: &mut [f64], place: usize) -> Option<f64> {
    (place < values.len()).then(|| *values.select_nth_unstable_by(place, f64::total_cmp).1)
}

/// The sum of `t^3 - t` over all groups of `t` equal values.
fn tied(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_that_of_r() {
        // wilcox.test(x, y, conf.int = TRUE, conf.level = 0.98, exact = FALSE), by its formulas.
        let x = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let y = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.15, 1.29];
        let shift = Shift::of(&x, &y).unwrap();
        assert!((shift.estimate - 0.56).abs() < 0.01, "{shift:?}");
        assert!((shift.lower + 0.56).abs() < 0.01, "{shift:?}");
    }

    #[test]
    fn a_verdict_does_not_depend_on_the_unit() {
        let x: Vec<f64> = (0..27).map(|i| 2.0 + f64::from(i * 7 % 27) / 27.0).collect();
        let y: Vec<f64> = (0..27).map(|i| 1.0 + f64::from(i * 5 % 27) / 27.0).collect();
        let scaled = |values: &[f64]| -> Vec<f64> { values.iter().map(|v| v * 1e-6).collect() };
        let (one, other) = (Shift::of(&x, &y).unwrap(), Shift::of(&scaled(&x), &scaled(&y)).unwrap());
        assert!(one.lower > TOLERANCE * one.estimate);
        assert!((one.lower * 1e-6 / other.lower - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_to_tell_apart_is_no_shift() {
        assert!(Shift::of(&[], &[1.0]).is_none());
        assert!(Shift::of(&[0.0; 9], &[0.0; 9]).is_none_or(|shift| shift.lower <= 0.0));
    }
}
