//! Recorded metrics of one staged rollout, in memory: what the generator and the data readers make, and what every judge is given.

/// One recorded rollout. Every index is bounded by the lengths of `cells`, `series` and `ticks`.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Names, in no meaningful order.
    pub cells: Vec<String>,
    /// Names as in a recording file: `errors.bad`, `errors.total`, `slow90.bad`, `slow90.total`, `p99` …
    pub series: Vec<String>,
    /// Seconds per tick.
    pub period_s: u32,
    /// Ticks before the first cell is changed.
    pub history: usize,
    /// All ticks, history included.
    pub ticks: usize,
    /// `values[series][cell][tick]`; none: no point.
    pub values: Vec<Vec<Vec<Option<f64>>>>,
    /// By cell: the tick from whose start on it runs the new version.
    pub applied: Vec<Option<usize>>,
    /// By wave: first tick of its bake, and the tick after its last.
    pub waves: Vec<(usize, usize)>,
    /// First tick of the fault; none: healthy.
    pub onset: Option<usize>,
}
