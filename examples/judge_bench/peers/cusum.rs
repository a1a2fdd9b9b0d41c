//! The textbook's sequential test: a cumulative sum (Page 1954) of the difference in differences.

use super::inputs::{Inputs, Metric};
use crate::judge::Judge;
use crate::recording::Recording;

/// Adds up by how many standard deviations the treated cells stand above the controls, less `k` a tick; alarms above `h`.
#[derive(Clone, Copy, Debug)]
pub struct Cusum {
    /// Standard deviations a tick that are let pass: half the change that is sought.
    pub k: f64,
    /// Standard deviations, summed, that alarm.
    pub h: f64,
}

/// Mean and standard deviation, in the history, of a wave's treated cells less its controls.
struct Scale {
    mean: f64,
    sd: f64,
}

/// Logarithm of treated by controls at one tick, each relative to its history, for the cells that are treated and not at `at`.
fn difference(inputs: &Inputs, metric: &Metric, at: usize, tick: usize) -> Option<f64> {
    Some(metric.pooled_log(inputs.treated(at), tick)? - metric.pooled_log(inputs.controls(at), tick)?)
}

impl Scale {
    fn learn(inputs: &Inputs, metric: &Metric, at: usize) -> Option<Self> {
        let seen: Vec<f64> =
            (0..inputs.ticks().start).filter_map(|tick| difference(inputs, metric, at, tick)).collect();
        let n = seen.len() as f64;
        let mean = seen.iter().sum::<f64>() / n;
        let sd = (seen.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        (seen.len() >= 2 && sd > 0.0).then_some(Self { mean, sd })
    }
}

impl Judge for Cusum {
    fn name(&self) -> String {
        format!("CUSUM k={} h={} on DiD", self.k, self.h)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let inputs = Inputs::read(recording);
        let first_alarm = |metric: &Metric| {
            let mut sum = 0.0_f64;
            let mut sizes = (0, 0);
            let mut scale = None;
            inputs.ticks().find(|tick| {
                // The pools are smoother the larger they are: every wave has its own scale.
                let now = (inputs.treated(*tick).count(), inputs.controls(*tick).count());
                if now != sizes {
                    sizes = now;
                    scale = Scale::learn(&inputs, metric, *tick);
                }
                let standing = scale.as_ref().zip(difference(&inputs, metric, *tick, *tick));
                let Some((scale, difference)) = standing else { return false };
                sum = (sum + (difference - scale.mean) / scale.sd - self.k).max(0.0);
                sum > self.h
            })
        };
        inputs.metrics.iter().filter_map(first_alarm).min()
    }
}
