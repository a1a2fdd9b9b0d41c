//! What a comparison of changed cells with unchanged ones rests on and has seen so far. Data only, journaled: a restart goes on with
//! the same numbers and comes to the same verdict. The reckoning is in `engine::health::compare`.

use super::ids::CellId;
use super::pipeline::Worse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What history says of each cell and of the noise between cells, frozen before the first wave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// When it was taken: ticks that begin later are compared.
    pub taken_at: Timestamp,
    /// The chance that a healthy rollout is reverted by comparison, over the whole rollout.
    pub alpha: f64,
    /// The cells that the lists of the metrics are about, in their order.
    pub cells: Vec<CellId>,
    /// Those metrics of the pipeline that are compared.
    pub metrics: Vec<MetricBaseline>,
}

/// One metric's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricBaseline {
    /// Its name.
    pub name: String,
    /// Which direction is bad.
    pub worse: Worse,
    /// Seconds per tick.
    pub period_s: u32,
    /// What was planned.
    pub horizon: Horizon,
    /// The ratio that a gate must have been able to see before it may pass.
    pub detect: f64,
    /// By cell.
    pub cells: Vec<CellBaseline>,
    /// Logarithm of the ratio that never matters, without what noise adds.
    pub least_margin: f64,
    /// Logarithm of the ratio to its own history in the worst ten ticks that any cell had.
    pub past: f64,
    /// Noise between cells, of counts; none: the metric has no counts.
    pub counts: Option<CountNoise>,
    /// Noise between cells, of residuals; none: too little history.
    pub ranks: Option<Usual>,
}

/// What was planned, in ticks of one metric: the prior of a fault's beginning rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Horizon {
    /// Waves that are compared.
    pub waves: u32,
    /// Ticks of all of their bakes.
    pub ticks: u32,
}

/// Overdispersion of counts, as variances of the logarithm of a cell's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CountNoise {
    /// From tick to tick.
    pub tick: f64,
    /// Of what stays.
    pub lasting: f64,
}

/// One cell's own history of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellBaseline {
    /// Bad events of all events; 0 where the metric has no counts.
    pub rate: f64,
    /// Events in a tick; 0 where the metric has no counts.
    pub traffic: f64,
    /// Logarithm of the usual value.
    pub level: f64,
    /// Share of ticks without a point.
    pub silence: f64,
    /// False: it had no point at all, and stands on the others' history.
    pub own: bool,
}

/// What is usual among the residuals of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// Residuals of the history (logarithms of ratios), sorted.
    pub residuals: Vec<f64>,
    /// Half of the distance between the 16th and the 84th of a hundred: their standard deviation, were they normal.
    pub spread: f64,
    /// Ticks that count as one; at least 1.
    pub tau: f64,
    /// What is given for free, as a logarithm of a ratio.
    pub margin: f64,
}

/// The evidence so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// In the order of the baseline's metrics.
    pub metrics: Vec<MetricState>,
    /// By wave: when its first cell was about to be touched, and when all of its cells were changed.
    pub waves: Vec<WaveMark>,
    /// Natural logarithm of the evidence of everything together; a revert is due from `ln(1 / alpha)` on.
    pub ln_e: f64,
    /// The greatest that it ever was.
    pub most: f64,
    /// Points that have come since the last look for ticks that were closed: noted here, and not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<LatePoint>,
}

/// A tick without a point, by position of the cell in the baseline and by number of the tick since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The cell.
    pub cell: u32,
    /// The tick.
    pub tick: i64,
}

/// A point that came too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatePoint {
    /// Of which metric.
    pub metric: String,
    /// In which cell.
    pub cell: CellId,
    /// When its period began.
    pub at: Timestamp,
}

/// When a wave was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveMark {
    /// From here on its cells are no comparison any more.
    pub touched: Option<Timestamp>,
    /// From here on, after the settle time, they are what is judged.
    pub changed: Option<Timestamp>,
}

/// The evidence on one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricState {
    /// The end of the newest tick that was taken in; none: of none.
    pub closed: Option<Timestamp>,
    /// Ticks since the first treated cell counted.
    pub ticks: u32,
    /// The newest wave that counts.
    pub wave: Option<u32>,
    /// Counts of all treated cells.
    pub counts: Onset,
    /// Counts (values, where there are none) of the newest wave's cells.
    pub newest: Onset,
    /// Ranks of all treated cells.
    pub ranks: Onset,
    /// Silence.
    pub absence: Onset,
    /// For the ratio's interval.
    pub likelihoods: Likelihoods,
    /// Bad events of the treated cells since the newest wave counts …
    pub observed: f64,
    /// … and what was to be expected by their history and the others' now.
    pub expected: f64,
    /// Expected logarithm that a change as large as the gate must be able to see would have added since the newest wave counts.
    pub could_have: f64,
    /// Standard deviation of lasting noise in the newest tick.
    pub lasting: f64,
    /// Untouched cells that reported in the newest tick …
    pub controls: u32,
    /// … of so many.
    pub untouched: u32,
    /// Ticks, since the newest wave counts, in which none of them did: what was not compared is not known to be well.
    pub blind: u32,
    /// Cells and ticks without a point that could still come late, the newest last; bounded.
    pub missing: Vec<Missed>,
    /// Treated cells that stood out most in the newest tick, the worst first.
    pub worst: Vec<CellLook>,
}

/// One cell in one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellLook {
    /// Which.
    pub cell: CellId,
    /// Its bad events, or its value; none: it was silent.
    pub observed: Option<f64>,
    /// What its history and the untouched cells would have.
    pub expected: f64,
}

/// A running mixture over every tick at which a fault may have begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Onset {
    /// By alternative, the natural logarithm of the evidence; empty before the first tick.
    pub ln_r: Vec<f64>,
    /// The prior that is used up.
    pub used: f64,
}

/// Likelihoods of a grid of ratios, since the newest wave counts. Single precision is enough for people, and a third of the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Likelihoods(pub Vec<f32>);

/// How many times what it should be a rate is: bounds at 99 %, valid at every look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The likeliest ratio.
    pub likeliest: f64,
    /// Upper end.
    pub high: f64,
}
