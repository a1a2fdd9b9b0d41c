//! The verdict of thresholds and alarms over one look's evidence.

use super::alarm;
use super::evidence::{self, Evidence, Index, Quality, SampleSet, Span, Tick};
use super::missing_data::{AlarmDecision, Treatment, evaluate, evaluation_range};
use super::pool;
use crate::guard::{self, Guard};
use crate::model::ids::CellId;
use crate::model::pipeline::{Cell, Comparison, Health, Metric, MetricScope, MissingData, Threshold};
use crate::model::time;
use crate::model::verdict::{Finding, Judgement, Problem, Reading};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What is judged.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The health section that counts.
    pub health: &'a Health,
    /// The cells that are judged.
    pub cells: Vec<&'a Cell>,
    /// Cells of the wave that is baking, whose evidence must come from the bake itself.
    pub baking: BTreeSet<&'a CellId>,
    /// When the bake began; points of baking cells count from here, after the settle time.
    pub bake_since: Timestamp,
    /// Points that each metric of a baking cell must have shown since then.
    pub need_points: u32,
    /// True when the wave asks for no evidence from its bake (`bake` and `bake_datapoints` are 0): then the newest points as
    /// of now are judged.
    pub as_of_now: bool,
    /// Alarms that may be in ALARM, because the change claims to repair them and has not been applied yet.
    pub waived: BTreeSet<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl Question<'_> {
    /// True where a cell's evidence must come from the bake.
    pub(super) fn bakes(&self, cell: &CellId) -> bool {
        self.baking.contains(cell) && !self.as_of_now
    }

    /// The ticks that count for a metric: those of the bake after the settle time, or the newest.
    pub(super) fn span(&self, metric: &Metric, bakes: bool) -> Span {
        let settled = self.bake_since.checked_add(self.health.settle.duration()).unwrap_or(Timestamp::MAX);
        let back = metric.period() * metric.evaluation_periods + evidence::freshness(self.health, metric);
        let from = if bakes { settled } else { self.now.checked_sub(back).unwrap_or(Timestamp::MIN) };
        Span { from, now: self.now, closed_until: None }
    }
}

/// Judges every metric with a threshold in every cell, or in the wave as a whole, and every alarm. Comparison is judged elsewhere; that the
/// data of compared metrics are there is judged here.
pub fn judge(question: &Question<'_>, evidence: &Evidence) -> Judgement {
    let mut findings = Vec::new();
    let mut readings = Vec::new();
    let index = evidence.index();
    for cell in &question.cells {
        let found =
            |signal: &str, problem| Finding { cell: Some(cell.name.clone()), signal: signal.to_owned(), problem };
        let error = evidence.error_of(&cell.scope());
        findings.extend(error.map(|error| found("source", Problem::Unreadable { error: error.clone() })));
        for metric in &question.health.metrics {
            // What came back before the error is judged: it cannot pass any more, and it may fail.
            let came = metric.series().iter().all(|name| index.contains_key(&(&cell.name, name.as_str())));
            if error.is_none() || came {
                let problems = judge_metric(question, cell, metric, &index, &mut readings);
                findings.extend(problems.into_iter().map(|problem| found(&metric.name, problem)));
            }
        }
        findings.extend(alarm::judge(question, cell, evidence));
    }
    findings.extend(pool::judge(question, &index));
    findings.dedup();
    Judgement::of(findings, readings)
}

fn judge_metric(
    question: &Question<'_>,
    cell: &Cell,
    metric: &Metric,
    index: &Index<'_>,
    readings: &mut Vec<Reading>,
) -> Vec<Problem> {
    let bakes = question.bakes(&cell.name);
    let set = evidence::ticks(question.health, metric, index, &cell.name, &question.span(metric, bakes));
    let slots: Vec<Option<f64>> = set.ticks.iter().map(|tick| value(metric, tick)).collect();
    let points = u32::try_from(slots.iter().flatten().count()).unwrap_or(u32::MAX);
    readings.push(Reading {
        cell: cell.name.clone(),
        metric: metric.name.clone(),
        value: slots.iter().rev().copied().flatten().next(),
        threshold: metric.fail_when,
        points,
    });
    let mut problems = set.problems.clone();
    // The wave's sum is judged in `pool`; each cell must still be there.
    if metric.scope == MetricScope::Cell {
        problems.extend(decide(metric, &slots, bakes));
    }
    let need = if bakes { question.need_points.max(1) } else { 1 };
    if points < need && guard::holds(Guard::EvidenceComplete) {
        problems.push(Problem::TooFewPoints { have: points, need });
    }
    problems.extend(stopped(question, metric, &set, bakes));
    let gaps = |p: &Problem| matches!(p, Problem::Missing { .. } | Problem::TooFewPoints { .. });
    // A tick with too few samples is a missing one: where the pipeline says what a missing one means, that is all that it means.
    if metric.missing_data != MissingData::Hold && !problems.iter().any(gaps) {
        problems.retain(|p| Quality::of(p) != Some(Quality::TooSmall));
    }
    problems
}

fn value(metric: &Metric, tick: &Tick) -> Option<f64> {
    match metric.scope {
        MetricScope::Cell => tick.usable(metric),
        MetricScope::Wave => tick.sample.value(metric),
    }
}

/// A series that is too old, or that was there before the bake and has stopped.
fn stopped(question: &Question<'_>, metric: &Metric, set: &SampleSet, bakes: bool) -> Option<Problem> {
    let newest = set.newest?;
    let fresh = time::since(newest, question.now) <= evidence::freshness(question.health, metric);
    // INVARIANT: S11. A gate rests on evidence from its bake, of the earlier waves' cells too.
    let in_bake = !question.baking.is_empty() && !question.as_of_now;
    let before_bake = in_bake && newest < question.bake_since;
    if !guard::holds(Guard::EvidenceFresh) || (fresh && !before_bake) {
        return None;
    }
    // A series without a single point in its span is silent, not stale: that is asked with what is missing.
    if set.before == Some(newest) && !guard::holds(Guard::EvidenceComplete) {
        return None;
    }
    let due = set.ticks.iter().any(|tick| tick.start >= question.bake_since);
    match bakes && due && set.before.is_some_and(|before| before < question.bake_since) {
        true => Some(Problem::Vanished { last: newest }),
        false => Some(Problem::Stale { newest: Some(newest) }),
    }
}

/// What a threshold makes of ticks, oldest first; in a bake of every window in it, so that a flapping metric does not slip through between
/// two looks. A missing tick holds the verdict open unless the pipeline says otherwise.
pub(super) fn decide(metric: &Metric, slots: &[Option<f64>], bakes: bool) -> Vec<Problem> {
    let n = usize::try_from(metric.evaluation_periods.max(1)).unwrap_or(1);
    let m = usize::try_from(metric.datapoints_to_alarm.max(1)).unwrap_or(1);
    let treatment = Treatment::of(metric.missing_data);
    let width = if treatment.is_some() { evaluation_range(n) } else { n };
    // Outside a bake the newest window is judged.
    let judged = if bakes { slots } else { slots.get(slots.len().saturating_sub(width)..).unwrap_or(slots) };
    let mut problems = Vec::new();
    let mut open = None;
    match (metric.fail_when, treatment) {
        (Some(threshold), Some(treatment)) => {
            let decided = as_an_alarm(judged, threshold, (n, m, treatment), bakes);
            problems.extend(decided.breach);
            open = decided.is_open.then(|| missing(judged)).flatten();
        }
        (Some(threshold), None) => {
            problems.extend(held(judged, threshold, (n, m)));
            open = missing(judged);
        }
        (None, None) => open = missing(judged),
        (None, Some(_)) => {}
    }
    problems.extend(open.filter(|_| guard::holds(Guard::EvidenceComplete)));
    problems
}

/// What an alarm would say of ticks.
struct Decided {
    breach: Option<Problem>,
    /// Nothing was decided, or a missing tick may hide a breach.
    is_open: bool,
}

/// Evaluates as a CloudWatch alarm does, at every tick of a bake or at the newest one. ALARM at any of them is a breach.
fn as_an_alarm(
    slots: &[Option<f64>],
    threshold: Threshold,
    (n, m, treatment): (usize, usize, Treatment),
    bakes: bool,
) -> Decided {
    let points: Vec<Option<bool>> = slots.iter().map(|slot| slot.map(|value| threshold.is_bad(value))).collect();
    let mut last = None;
    let first = if bakes { 1 } else { points.len() };
    for end in first..=points.len() {
        let range = end.saturating_sub(evaluation_range(n))..end;
        let (Some(bad), Some(values)) = (points.get(range.clone()), slots.get(range)) else { continue };
        match evaluate(bad, n, m, treatment) {
            AlarmDecision::Alarm => {
                return Decided { breach: Some(breach(values, threshold, n, treatment)), is_open: false };
            }
            AlarmDecision::Retain => {}
            decided => last = Some(decided),
        }
    }
    // An alarm may go by the points that are there. A gate may not, where those that are not there could have been M bad ones of N.
    let strict = matches!(treatment, Treatment::Missing | Treatment::Breaching);
    let hides = |window: &[Option<bool>]| {
        window.contains(&None) && window.iter().filter(|point| **point != Some(false)).count() >= m
    };
    let hidden = strict && points.windows(n.min(points.len().max(1))).any(hides);
    Decided { breach: None, is_open: hidden || !matches!(last, Some(AlarmDecision::Ok)) }
}

/// The numbers of an evaluation that went off.
fn breach(range: &[Option<f64>], threshold: Threshold, n: usize, treatment: Treatment) -> Problem {
    let real: Vec<f64> = range.iter().rev().copied().flatten().take(n).collect();
    let filled = n.saturating_sub(real.len()).min(range.len().saturating_sub(real.len()));
    let counted = if treatment == Treatment::Breaching { filled } else { 0 };
    breached(&real, threshold, counted, real.len() + filled)
}

/// M bad ones among any N ticks in a row, of those that are there.
fn held(slots: &[Option<f64>], threshold: Threshold, (n, m): (usize, usize)) -> Option<Problem> {
    let bad = |window: &[Option<f64>]| window.iter().flatten().filter(|value| threshold.is_bad(**value)).count();
    let windows = slots.windows(n.min(slots.len().max(1)));
    let worst = windows.max_by_key(|window| bad(window)).filter(|window| bad(window) >= m)?;
    let real: Vec<f64> = worst.iter().copied().flatten().collect();
    Some(breached(&real, threshold, 0, worst.len()))
}

fn breached(real: &[f64], threshold: Threshold, filled: usize, of: usize) -> Problem {
    let below = matches!(threshold.op, Comparison::Below | Comparison::AtMost);
    let bad: Vec<f64> = real.iter().copied().filter(|value| threshold.is_bad(*value)).collect();
    Problem::Breach {
        bad: u32::try_from(bad.len() + filled).unwrap_or(u32::MAX),
        of: u32::try_from(of).unwrap_or(u32::MAX),
        threshold,
        worst: bad.into_iter().reduce(|a, b| if below { a.min(b) } else { a.max(b) }),
    }
}

fn missing(slots: &[Option<f64>]) -> Option<Problem> {
    let missing = slots.iter().filter(|slot| slot.is_none()).count();
    (missing > 0).then(|| Problem::Missing {
        missing: u32::try_from(missing).unwrap_or(u32::MAX),
        of: u32::try_from(slots.len()).unwrap_or(u32::MAX),
    })
}
