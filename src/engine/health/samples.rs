//! From the points of a series to what each tick holds: what cannot be used is left out, and said.

use super::evidence::{Index, Quality, Sample, Span, is_blind};
use crate::guard::{self, Guard};
use crate::model::ids::CellId;
use crate::model::observation::{Completeness, Series};
use crate::model::pipeline::Metric;
use crate::model::time;
use crate::model::verdict::Problem;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A point that begins later than this after `now` is from the future: clocks in AWS agree within a second.
const FUTURE: Duration = Duration::from_secs(5);
/// Bad ones may be so much more than all, as a share: sums of doubles are not exact.
const ROUNDING: f64 = 1e-9;

/// What closed ticks hold, by their number since 1970, in its order. A look has tens of thousands of these: they are lists.
#[derive(Clone, Debug, Default)]
pub struct Slots(Vec<(i64, Held)>);

impl Slots {
    /// Appends a tick that is not before the newest; of two points of one tick the later counts.
    fn put(&mut self, slot: i64, held: Held) {
        match self.0.last_mut().filter(|(newest, _)| *newest == slot) {
            Some(last) => last.1 = held,
            None => self.0.push((slot, held)),
        }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[(i64, Held)] {
        &self.0
    }

    /// Those from `first` on and before `end`.
    pub fn between(&self, first: i64, end: i64) -> &[(i64, Held)] {
        let at = |slot: i64| self.0.partition_point(|(n, _)| *n < slot);
        self.0.get(at(first)..at(end)).unwrap_or_default()
    }

    /// One of them.
    pub fn get(&self, slot: i64) -> Option<&Held> {
        self.between(slot, slot.saturating_add(1)).first().map(|(_, held)| held)
    }
}

/// What one tick holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// The value, or none that can be used.
    pub sample: Sample,
    /// Why not.
    pub quality: Quality,
    /// How many samples it rests on, where that was asked.
    pub samples: f64,
}

/// What a ratio's two counts are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Counts<'a> {
    /// The unit of the bad ones.
    pub bad: Option<&'a str>,
    /// The unit of all.
    pub total: Option<&'a str>,
    /// A period with a total and no bad point has 0 bad ones.
    pub absent_bad_is_zero: bool,
}

fn period(metric: &Metric) -> i64 {
    i64::from(metric.period_s.max(1))
}

/// The tick that a moment lies in.
pub fn slot_of(metric: &Metric, at: Timestamp) -> i64 {
    // `as_second` rounds towards 1970: before it, and there only, that is the wrong way.
    let before = i64::from(at.subsec_nanosecond() < 0);
    (at.as_second() - before).div_euclid(period(metric))
}

/// The first tick that begins at `from` or later: a fraction of a second after its start is too late.
pub fn first_slot(metric: &Metric, from: Timestamp) -> i64 {
    let slot = slot_of(metric, from);
    if start_of(metric, slot) < from { slot.saturating_add(1) } else { slot }
}

/// When a tick begins.
pub fn start_of(metric: &Metric, slot: i64) -> Timestamp {
    let second = slot.saturating_mul(period(metric));
    Timestamp::from_second(second).unwrap_or(if second < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The newest tick whose end is past by the lag.
pub fn last_closed(metric: &Metric, lag: Duration, now: Timestamp) -> i64 {
    let before = jiff::SignedDuration::try_from(lag).ok().and_then(|lag| now.checked_sub(lag).ok());
    slot_of(metric, before.unwrap_or(Timestamp::MIN)) - 1
}

/// The smallest number of samples that a tick rests on which is too small; none where there is no such tick.
pub fn fewest(slots: &Slots, of: RangeInclusive<i64>) -> Option<f64> {
    let ticks = slots.between(*of.start(), of.end().saturating_add(1));
    let small = ticks.iter().filter(|(_, held)| held.quality == Quality::TooSmall);
    small.map(|(_, held)| held.samples).reduce(f64::min)
}

/// Notes a problem, and of each kind the first only: a thousand points can be wrong in the same way.
fn note(problems: &mut Vec<Problem>, problem: Problem) {
    let kind = std::mem::discriminant(&problem);
    if problems.iter().all(|noted| std::mem::discriminant(noted) != kind) {
        problems.push(problem);
    }
}

/// What the ticks of a metric hold that is read as one series.
pub fn values(
    metric: &Metric,
    index: &Index<'_>,
    cell: &CellId,
    unit: Option<&str>,
    (last, span): (i64, &Span),
    problems: &mut Vec<Problem>,
) -> Slots {
    let Some(series) = find(index, cell, &metric.name, problems) else { return Slots::default() };
    // A count that is no number counts nothing; and a finding that holds one could not be read back from the journal.
    let counted = series.samples.iter().copied().filter(|(_, count)| count.is_finite());
    let samples: BTreeMap<Timestamp, f64> = counted.collect();
    let asked = f64::from(metric.min_samples);
    let mut slots = Slots::default();
    for (at, value) in points(series, metric, unit, (last, span), problems) {
        let samples = samples.get(&at).copied().unwrap_or(0.0);
        let (sample, quality) = match metric.min_samples > 0 && samples < asked {
            true => (Sample::Missing, Quality::TooSmall),
            false => (Sample::Value(value), Quality::Complete),
        };
        slots.put(slot_of(metric, at), Held { sample, quality, samples });
    }
    slots
}

/// What the ticks of a ratio hold. Where one of the two counts is not there the tick is missing, but for bad ones that nobody reports
/// when there are none.
pub fn ratio(
    metric: &Metric,
    index: &Index<'_>,
    cell: &CellId,
    counts: &Counts<'_>,
    (last, span): (i64, &Span),
    problems: &mut Vec<Problem>,
) -> Slots {
    let bad = find(index, cell, &metric.bad_series(), problems);
    let total = find(index, cell, &metric.total_series(), problems);
    let (Some(bad), Some(total)) = (bad, total) else { return Slots::default() };
    let of = |series, unit, problems: &mut Vec<Problem>| -> Vec<(i64, f64)> {
        let points = points(series, metric, unit, (last, span), problems);
        points.into_iter().map(|(at, value)| (slot_of(metric, at), value)).collect()
    };
    let bad = of(bad, counts.bad, problems);
    let total = of(total, counts.total, problems);
    let mut slots = Slots::default();
    for (slot, total) in total {
        let absent = counts.absent_bad_is_zero.then_some(0.0);
        let end = bad.partition_point(|(n, _)| *n <= slot);
        let there = end.checked_sub(1).and_then(|n| bad.get(n)).filter(|(n, _)| *n == slot);
        let Some(bad) = there.map(|(_, bad)| *bad).or(absent) else { continue };
        let (sample, quality) = if bad < 0.0 || total < 0.0 || bad > total * (1.0 + ROUNDING) {
            if slot >= first_slot(metric, span.from) {
                note(problems, Problem::Impossible { said: format!("{bad} bad of {total}") });
            }
            (Sample::Missing, Quality::NotFinite)
        } else {
            let small = total < f64::from(metric.min_samples);
            let quality = if small { Quality::TooSmall } else { Quality::Complete };
            (Sample::Counts { bad: bad.min(total), total }, quality)
        };
        slots.put(slot, Held { sample, quality, samples: total });
    }
    slots
}

fn find<'a>(index: &Index<'a>, cell: &CellId, name: &str, problems: &mut Vec<Problem>) -> Option<&'a Series> {
    let found = index.get(&(cell, name)).copied();
    if found.is_none() {
        note(problems, Problem::SourceTrouble { said: "no series came back".into() });
    }
    found
}

/// The points of closed ticks that can be what they say, and what is wrong with the rest of those in the span.
fn points(
    series: &Series,
    metric: &Metric,
    unit: Option<&str>,
    (last, span): (i64, &Span),
    problems: &mut Vec<Problem>,
) -> Vec<(Timestamp, f64)> {
    if let Some(problem) = incomplete(&series.completeness) {
        note(problems, problem);
    }
    if let (Some(have), Some(need)) = (series.unit.as_deref(), unit)
        && have != need
    {
        note(problems, Problem::WrongUnit { have: have.to_owned(), need: need.to_owned() });
        return Vec::new();
    }
    let fresh = guard::holds(Guard::EvidenceFresh);
    let mut points = Vec::new();
    for (at, value) in series.points.iter().copied() {
        let asked = at >= span.from;
        if fresh && time::since(span.now, at) > FUTURE {
            note(problems, Problem::FutureDated { at });
        } else if slot_of(metric, at) > last {
            // Not closed: more of it may come.
        } else if value.is_finite() || !fresh {
            points.push((at, value));
        } else if asked {
            note(problems, Problem::NotFinite);
        }
    }
    points.sort_by_key(|(at, _)| *at);
    points
}

fn incomplete(completeness: &Completeness) -> Option<Problem> {
    match completeness {
        Completeness::Complete => None,
        _ if is_blind() => None,
        Completeness::Partial => Some(Problem::Partial),
        Completeness::Forbidden => Some(Problem::Forbidden),
        Completeness::InternalError => Some(Problem::SourceTrouble { said: "InternalError".into() }),
        Completeness::Unknown(said) => Some(Problem::SourceTrouble { said: said.clone() }),
    }
}
