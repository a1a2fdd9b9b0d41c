//! What was read for one look, and what of it may be trusted, tick by tick. Design §5: a sample set that is missing, stale, partial,
//! forbidden, in the wrong unit, NaN, future-dated or too small is not health.
//!
//! A tick is one period of a metric. It closes [`Health::lag`] after its period's end; a point of a tick that is not closed is not used,
//! neither for a pass nor for a fail, since more of it may come.

use super::samples::{self, Held, Slots};
use crate::guard::{self, Guard};
use crate::model::ids::CellId;
use crate::model::observation::{AlarmView, ProviderError, Series};
use crate::model::pipeline::health::LAG;
use crate::model::pipeline::{Health, Metric, MetricScope, MetricSource, RatioPart};
use crate::model::stack::Scope;
use crate::model::verdict::Problem;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use super::reads::{Reads, reads};

/// The most ticks of one metric in one cell that are looked at: a week of minutes. Of a longer span the newest count.
pub const TICKS_MAX: i64 = 10_080;

/// Everything that one look has read.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Series, in no order.
    pub series: Vec<Series>,
    /// Alarms by name and scope.
    pub alarms: BTreeMap<(Scope, String), Option<AlarmView>>,
    /// Scopes that could not be read.
    pub errors: Vec<(Scope, ProviderError)>,
    /// Until when was read.
    pub to: Option<Timestamp>,
}

/// Series by cell and name.
pub type Index<'a> = HashMap<(&'a CellId, &'a str), &'a Series>;

impl Evidence {
    /// The series, to be found by cell and name.
    pub fn index(&self) -> Index<'_> {
        self.series.iter().map(|s| ((&s.cell, s.metric.as_str()), s)).collect()
    }

    /// Why a scope could not be read, where it could not.
    pub fn error_of(&self, scope: &Scope) -> Option<&ProviderError> {
        self.errors.iter().find(|(of, _)| of == scope).map(|(_, error)| error)
    }
}

/// What a sample set, or one of its ticks, is worth. Only what is `Complete` contributes to a pass. Ordered: of several, the greatest is
/// said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// All of it is there, and can be what it says.
    #[default]
    Complete,
    /// It rests on too few samples.
    TooSmall,
    /// No point where one should be.
    Missing,
    /// The newest point is too old.
    Stale,
    /// The series was there before the bake, and stopped.
    Vanished,
    /// The source says that there is more.
    Partial,
    /// A clock is wrong.
    FutureDated,
    /// NaN, infinite, or counts that cannot be.
    NotFinite,
    /// In another unit than the pipeline says.
    WrongUnit,
    /// The source failed, or said something unknown.
    SourceTrouble,
    /// The source may not be read.
    Forbidden,
}

impl Quality {
    /// The quality that a problem of the evidence stands for; none for problems of another kind, as a breach.
    pub fn of(problem: &Problem) -> Option<Self> {
        Some(match problem {
            Problem::TooFewSamples { .. } => Self::TooSmall,
            Problem::Missing { .. } | Problem::TooFewPoints { .. } => Self::Missing,
            Problem::Stale { .. } => Self::Stale,
            Problem::Vanished { .. } => Self::Vanished,
            Problem::Partial => Self::Partial,
            Problem::FutureDated { .. } => Self::FutureDated,
            Problem::NotFinite | Problem::Impossible { .. } => Self::NotFinite,
            Problem::WrongUnit { .. } => Self::WrongUnit,
            Problem::SourceTrouble { .. } | Problem::Unreadable { .. } => Self::SourceTrouble,
            Problem::Forbidden => Self::Forbidden,
            _ => return None,
        })
    }
}

/// What one tick holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// A value, finite.
    Value(f64),
    /// A ratio's counts: finite, 0 or more, `bad` at most `total`. A `total` of 0 is a period in which nothing was tried.
    Counts {
        /// What went wrong.
        bad: f64,
        /// What was tried.
        total: f64,
    },
    /// No point, or none that can be used.
    Missing,
}

impl Sample {
    /// What a threshold is held against; none where there is nothing, or nothing was tried.
    pub fn value(self, metric: &Metric) -> Option<f64> {
        match (self, &metric.source) {
            (Self::Value(value), _) => Some(value),
            (Self::Counts { bad, total }, MetricSource::Ratio { scale, .. }) if total > 0.0 => {
                Some(scale * bad / total)
            }
            _ => None,
        }
    }
}

/// One closed period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// When it begins.
    pub start: Timestamp,
    /// What it holds.
    pub sample: Sample,
    /// `TooSmall` beside `Counts`: fewer than `min_samples` were tried. Whoever adds counts up may use them, a threshold does not.
    pub quality: Quality,
}

impl Tick {
    /// The value that may be judged by itself.
    pub fn usable(&self, metric: &Metric) -> Option<f64> {
        self.sample.value(metric).filter(|_| self.quality != Quality::TooSmall)
    }
}

/// The closed ticks of one metric in one cell, with what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleSet {
    /// One for each closed tick of the span, oldest first, without a gap.
    pub ticks: Vec<Tick>,
    /// The worst of the problems.
    pub quality: Quality,
    /// What is wrong, apart from missing ticks: what those mean is the judge's.
    pub problems: Vec<Problem>,
    /// The newest tick with something in it, in the span or before it.
    pub newest: Option<Timestamp>,
    /// The newest one before the span.
    pub before: Option<Timestamp>,
    /// Ticks in the span that the caller had closed already and that hold something now. What it had as missing has come late: it is to
    /// be logged, and not used.
    pub late: Vec<Timestamp>,
}

/// Which ticks are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first tick begins at or after this.
    pub from: Timestamp,
    /// Now: the last tick is closed by then.
    pub now: Timestamp,
    /// The start of the newest tick that the caller has closed already; only newer ones are returned. None: all of the span.
    pub closed_until: Option<Timestamp>,
}

/// The closed ticks of a metric in a cell, from the points of its series.
pub fn ticks(health: &Health, metric: &Metric, index: &Index<'_>, cell: &CellId, span: &Span) -> SampleSet {
    let last = samples::last_closed(metric, health.lag(), span.now);
    let mut set = SampleSet::default();
    let slots = match &metric.source {
        MetricSource::Ratio { bad, total, absent_bad_is_zero, .. } => {
            let counts =
                samples::Counts { bad: unit(bad), total: unit(total), absent_bad_is_zero: *absent_bad_is_zero };
            samples::ratio(metric, index, cell, &counts, (last, span), &mut set.problems)
        }
        source => {
            let unit = if let MetricSource::Metric(stat) = source { stat.unit.as_deref() } else { None };
            samples::values(metric, index, cell, unit, (last, span), &mut set.problems)
        }
    };
    cut(metric, &slots, last, span, &mut set);
    set.quality = set.problems.iter().filter_map(Quality::of).max().unwrap_or_default();
    set
}

fn unit(part: &RatioPart) -> Option<&str> {
    if let RatioPart::Metric(stat) = part { stat.unit.as_deref() } else { None }
}

/// Cuts the span out of what there is, and gives each of its ticks a place.
fn cut(metric: &Metric, slots: &Slots, last: i64, span: &Span, set: &mut SampleSet) {
    let begins = samples::first_slot(metric, span.from);
    let first = begins.max(last.saturating_sub(TICKS_MAX - 1));
    let closed = span.closed_until.map(|at| samples::slot_of(metric, at));
    let holds = |(slot, held): &(i64, Held)| (held.sample != Sample::Missing).then_some(*slot);
    let start = |slot| samples::start_of(metric, slot);
    set.newest = slots.all().iter().rev().find_map(holds).map(start);
    set.before = slots.between(i64::MIN, begins).iter().rev().find_map(holds).map(start);
    let new = closed.map_or(first, |closed| first.max(closed.saturating_add(1)));
    if new > first {
        set.late = slots.between(first, new).iter().filter_map(holds).map(start).collect();
    }
    set.ticks = (new..=last)
        .map(|slot| {
            let held = slots.get(slot);
            let (sample, quality) = held.map_or((Sample::Missing, Quality::Missing), |h| (h.sample, h.quality));
            Tick { start: start(slot), sample, quality }
        })
        .collect();
    // The counts of a wave are asked when they have been added up.
    let small = (metric.scope == MetricScope::Cell).then(|| samples::fewest(slots, new..=last)).flatten();
    set.problems.extend(small.map(|have| Problem::TooFewSamples { have, need: metric.min_samples }));
}

/// How long a metric's newest point may be old: three periods and the lag. A series that stopped is not health. A pipeline that closes its
/// ticks sooner than CloudWatch is sure to have them is given CloudWatch's time here: a tick that is late is missing, and no stale series.
pub fn freshness(health: &Health, metric: &Metric) -> Duration {
    metric.period() * 3 + health.lag().max(LAG)
}

/// How far back a look reads beyond the bake: the longest span that a threshold looks at, so that it is also seen which series were there
/// before.
pub fn lookback(health: &Health) -> Duration {
    let spans = health.metrics.iter().map(|m| m.period() * m.evaluation_periods.saturating_add(5));
    spans.max().unwrap_or_default() + health.lag().max(LAG)
}

/// True where evidence of every quality counts: only with the guard out of place.
pub(super) fn is_blind() -> bool {
    !guard::holds(Guard::EvidenceComplete)
}
