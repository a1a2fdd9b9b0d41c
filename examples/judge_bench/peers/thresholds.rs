//! Peers that compare each minute with a fixed level: alarms of M out of N points, Argo Rollouts, Flagger.
//!
//! Each looks at every treated cell and every metric for itself, as one alarm or analysis a cell would.

use super::inputs::{Inputs, Level, Metric};
use crate::judge::Judge;
use crate::recording::Recording;
use std::collections::{BTreeMap, VecDeque};

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compared {
    /// The cell's own history.
    History,
    /// The control cells at the same tick, both relative to their histories.
    Controls,
}

/// A CloudWatch alarm with `M` of `N` points to alarm and missing data `notBreaching` (CloudWatch User Guide, "Configuring how
/// alarms treat missing data").
#[derive(Clone, Copy, Debug)]
pub struct MOfN {
    /// So many breaching points alarm …
    pub m: usize,
    /// … among the last so many.
    pub n: usize,
    /// A point breaches above so many times the cell's history.
    pub level: Level,
}

impl Judge for MOfN {
    fn name(&self) -> String {
        format!("{}-of-{} at {}x history", self.m, self.n, self.level)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let inputs = Inputs::read(recording);
        let mut windows: BTreeMap<(usize, usize), VecDeque<bool>> = BTreeMap::new();
        inputs.ticks().find(|tick| {
            let mut alarm = false;
            for cell in inputs.treated(*tick) {
                for (number, metric) in inputs.metrics.iter().enumerate() {
                    let window = windows.entry((cell, number)).or_default();
                    window.push_back(metric.ratio(cell, *tick).is_some_and(|ratio| ratio > self.level.of(metric)));
                    if window.len() > self.n {
                        window.pop_front();
                    }
                    alarm |= window.iter().filter(|breach| **breach).count() >= self.m;
                }
            }
            alarm
        })
    }
}

/// An Argo Rollouts analysis in the background of the whole rollout (9f8d111, `analysis/analysis.go`): failed measurements add up
/// over the run, and more than `failure_limit` of them abort it.
#[derive(Clone, Copy, Debug)]
pub struct Argo {
    /// So many failed measurements are allowed, for each cell and metric.
    pub failure_limit: usize,
    /// What a measurement is compared with.
    pub compared: Compared,
    /// A measurement fails above so many times what it is compared with.
    pub level: Level,
    /// An empty answer is an error of the measurement, and more than 4 in a row abort, as Argo has it; else they count as nothing.
    pub errors_abort: bool,
}

impl Argo {
    const CONSECUTIVE_ERROR_LIMIT: usize = 4;

    fn measure(self, inputs: &Inputs, metric: &Metric, cell: usize, tick: usize) -> Option<f64> {
        let ratio = metric.ratio(cell, tick)?;
        match self.compared {
            Compared::History => Some(ratio),
            Compared::Controls => {
                let controls = metric.pooled(inputs.controls(tick), tick)?;
                (controls > 0.0).then(|| ratio / controls)
            }
        }
    }
}

impl Judge for Argo {
    fn name(&self) -> String {
        let compared = match self.compared {
            Compared::History => "history",
            Compared::Controls => "controls",
        };
        let errors = if self.errors_abort { ", errors abort" } else { "" };
        format!("Argo failureLimit {}, {}x {compared}{errors}", self.failure_limit, self.level)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let inputs = Inputs::read(recording);
        // By cell and metric: measurements failed so far, and in error in a row.
        let mut counts: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
        inputs.ticks().find(|tick| {
            let mut abort = false;
            for cell in inputs.treated(*tick) {
                for (number, metric) in inputs.metrics.iter().enumerate() {
                    let (failed, errors) = counts.entry((cell, number)).or_default();
                    match self.measure(&inputs, metric, cell, *tick) {
                        Some(ratio) => {
                            *failed += usize::from(ratio > self.level.of(metric));
                            *errors = 0;
                        }
                        None => *errors += 1,
                    }
                    abort |= *failed > self.failure_limit;
                    abort |= self.errors_abort && *errors > Self::CONSECUTIVE_ERROR_LIMIT;
                }
            }
            abort
        })
    }
}

/// Flagger (15bd6ad, `pkg/controller/scheduler.go`): a check fails if a metric is out of range or has no values; failed checks only
/// ever add up, and `threshold` of them roll back.
#[derive(Clone, Copy, Debug)]
pub struct Flagger {
    /// So many failed checks roll back.
    pub threshold: usize,
    /// A metric is out of range above so many times the cell's history.
    pub level: Level,
}

impl Judge for Flagger {
    fn name(&self) -> String {
        format!("Flagger {} failed checks, {}x history", self.threshold, self.level)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let inputs = Inputs::read(recording);
        let mut failed: BTreeMap<usize, usize> = BTreeMap::new();
        inputs.ticks().find(|tick| {
            let mut roll_back = false;
            for cell in inputs.treated(*tick) {
                let count = failed.entry(cell).or_default();
                let fails =
                    |metric: &Metric| metric.ratio(cell, *tick).is_none_or(|ratio| ratio > self.level.of(metric));
                *count += usize::from(inputs.metrics.iter().any(fails));
                roll_back |= *count >= self.threshold;
            }
            roll_back
        })
    }
}
