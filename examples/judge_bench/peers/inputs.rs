//! What the peers read from a recording: error rate, median and 99th percentile, each relative to the cell's own history.

use crate::recording::Recording;

/// Time after a cell's change that no peer looks at: deploys are noisy.
pub const SETTLE_S: u32 = 180;

/// One metric of all cells, in two forms.
pub struct Metric {
    /// By cell and tick: what was seen, and what the cell's history lets expect of that. For counts both are events, for
    /// summaries the value and 1 of it; none: no point.
    points: Vec<Vec<Option<Seen>>>,
    is_errors: bool,
    /// What is added to sums so that their logarithm exists: half an event, or nothing to a summary.
    half: f64,
}

/// One point.
#[derive(Clone, Copy, Debug)]
struct Seen {
    value: f64,
    /// What the cell's history makes of `weight`.
    expected: f64,
    /// Requests of a count, 1 of a summary.
    weight: f64,
}

/// A recording as the peers see it.
pub struct Inputs<'a> {
    recording: &'a Recording,
    /// Error rate first, where there is one.
    pub metrics: Vec<Metric>,
    settle: usize,
}

impl<'a> Inputs<'a> {
    /// Reads `errors`, `p50` and `p99`; `failure` and `latency` where there are no percentiles.
    pub fn read(recording: &'a Recording) -> Self {
        let series =
            |name: &str| recording.series.iter().zip(&recording.values).find(|(n, _)| *n == name).map(|(_, v)| v);
        let mut metrics = Vec::new();
        if let (Some(bad), Some(total)) = (series("errors.bad"), series("errors.total")) {
            metrics.push(Metric::counts(bad, total, recording.history));
        }
        let percentiles = ["p50", "p99"];
        let has_percentiles = percentiles.iter().any(|name| series(name).is_some());
        let wanted = if has_percentiles { percentiles } else { ["failure", "latency"] };
        for (name, values) in wanted.into_iter().filter_map(|name| series(name).map(|values| (name, values))) {
            metrics.push(Metric { is_errors: name == "failure", ..Metric::summary(values, recording.history) });
        }
        let settle = SETTLE_S.div_ceil(recording.period_s.max(1)) as usize;
        Self { recording, metrics, settle }
    }

    /// Every tick of the rollout.
    pub fn ticks(&self) -> std::ops::Range<usize> {
        self.recording.history..self.recording.ticks
    }

    /// How many ticks a cell settles.
    pub const fn settle(&self) -> usize {
        self.settle
    }

    /// Cells that run the new version at this tick and have settled.
    pub fn treated(&self, tick: usize) -> impl Iterator<Item = usize> + Clone + '_ {
        let settled = move |applied: &Option<usize>| applied.is_some_and(|applied| applied + self.settle <= tick);
        self.recording.applied.iter().enumerate().filter(move |(_, applied)| settled(applied)).map(|(cell, _)| cell)
    }

    /// Cells that run the old version at this tick.
    pub fn controls(&self, tick: usize) -> impl Iterator<Item = usize> + Clone + '_ {
        let old = move |applied: &Option<usize>| applied.is_none_or(|applied| tick < applied);
        self.recording.applied.iter().enumerate().filter(move |(_, applied)| old(applied)).map(|(cell, _)| cell)
    }
}

/// How far above its reference a metric may stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// For error rates.
    pub errors: f64,
    /// For latencies.
    pub latency: f64,
}

impl Level {
    /// The same for all metrics.
    pub const fn same(level: f64) -> Self {
        Self { errors: level, latency: level }
    }

    /// For latencies the cube root of what it is for errors: 8 times the errors, twice the latency. Whoever sets levels by metric
    /// would choose them about so.
    pub fn by_metric(errors: f64) -> Self {
        Self { errors, latency: errors.cbrt() }
    }

    /// The one for this metric.
    pub const fn of(self, metric: &Metric) -> f64 {
        if metric.is_errors { self.errors } else { self.latency }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { errors, latency } = self;
        if errors == latency { write!(f, "{errors}") } else { write!(f, "{errors}/{latency:.2}") }
    }
}

impl Metric {
    fn counts(bad: &[Vec<Option<f64>>], total: &[Vec<Option<f64>>], history: usize) -> Self {
        let pairs = |bad: &[Option<f64>], total: &[Option<f64>]| -> Vec<Option<(f64, f64)>> {
            bad.iter().zip(total).map(|(bad, total)| Some(((*bad)?, (*total)?)).filter(|(_, n)| *n > 0.0)).collect()
        };
        let cells: Vec<Vec<Option<(f64, f64)>>> = bad.iter().zip(total).map(|(b, t)| pairs(b, t)).collect();
        Self::from_pairs(&cells, history, 0.5)
    }

    fn summary(values: &[Vec<Option<f64>>], history: usize) -> Self {
        let cells: Vec<Vec<Option<(f64, f64)>>> =
            values.iter().map(|cell| cell.iter().map(|value| value.map(|v| (v, 1.0))).collect()).collect();
        Self::from_pairs(&cells, history, 0.0)
    }

    /// From values and their weights. A cell's level is the weighted mean of its history, where `half` is added to the sum so that
    /// no cell's level is 0; the fleet's, where a cell has no history.
    fn from_pairs(cells: &[Vec<Option<(f64, f64)>>], history: usize, half: f64) -> Self {
        let sums = |cell: &[Option<(f64, f64)>]| {
            cell.iter().take(history).flatten().fold((half, 0.0), |(x, n), (value, weight)| (x + value, n + weight))
        };
        let by_cell: Vec<(f64, f64)> = cells.iter().map(|cell| sums(cell)).collect();
        let (x, n) = by_cell.iter().fold((0.0, 0.0), |(x, n), cell| (x + cell.0, n + cell.1));
        let fleet = if n > 0.0 && x > 0.0 { x / n } else { 1.0 };
        let points = cells
            .iter()
            .zip(by_cell)
            .map(|(cell, (x, n))| {
                let level = if n > 0.0 && x > 0.0 { x / n } else { fleet };
                let seen = |(value, weight): (f64, f64)| Seen { value, expected: level * weight, weight };
                cell.iter().map(|point| point.map(seen)).collect()
            })
            .collect();
        Self { points, is_errors: half > 0.0, half }
    }

    fn seen(&self, cell: usize, tick: usize) -> Option<Seen> {
        self.points.get(cell)?.get(tick).copied().flatten()
    }

    /// What a cell showed, by what its history lets expect.
    pub fn ratio(&self, cell: usize, tick: usize) -> Option<f64> {
        self.seen(cell, tick).map(|seen| seen.value / seen.expected)
    }

    /// The same of several cells together: the sum of what they showed by the sum of what was expected; none if none of them has
    /// a point.
    pub fn pooled(&self, cells: impl Iterator<Item = usize>, tick: usize) -> Option<f64> {
        let seen = cells.filter_map(|cell| self.seen(cell, tick));
        let (value, expected) = seen.fold((0.0, 0.0), |(v, e), seen| (v + seen.value, e + seen.expected));
        (expected > 0.0).then(|| value / expected)
    }

    /// The logarithm of that, with half an event on either side.
    pub fn pooled_log(&self, cells: impl Iterator<Item = usize>, tick: usize) -> Option<f64> {
        let seen = cells.filter_map(|cell| self.seen(cell, tick));
        let (value, expected) = seen.fold((self.half, self.half), |(v, e), seen| (v + seen.value, e + seen.expected));
        (value > 0.0 && expected > self.half).then(|| (value / expected).ln())
    }

    /// Several cells' values together without regard to their histories.
    pub fn pooled_raw(&self, cells: impl Iterator<Item = usize>, tick: usize) -> Option<f64> {
        let seen = cells.filter_map(|cell| self.seen(cell, tick));
        let (value, weight) = seen.fold((0.0, 0.0), |(v, w), seen| (v + seen.value, w + seen.weight));
        (weight > 0.0).then(|| value / weight)
    }
}
