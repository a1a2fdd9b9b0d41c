//! The verdict of thresholds and alarms over one look's evidence.

use super::evidence::{self, Evidence, LAG};
use crate::guard::{self, Guard};
use crate::model::ids::CellId;
use crate::model::observation::{AlarmState, AlarmView};
use crate::model::pipeline::{Cell, Metric, MissingData};
use crate::model::plan::Plan;
use crate::model::time;
use crate::model::verdict::{Finding, Judgement, Problem, Reading};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is judged.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The plan whose health section counts.
    pub plan: &'a Plan,
    /// The cells that are judged.
    pub cells: BTreeSet<&'a CellId>,
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

/// Judges every metric in every cell and every alarm.
pub fn judge(question: &Question<'_>, evidence: &Evidence) -> Judgement {
    let mut findings = Vec::new();
    let mut readings = Vec::new();
    let series: BTreeMap<(&CellId, &str), &crate::model::observation::Series> =
        evidence.series.iter().map(|s| ((&s.cell, s.metric.as_str()), s)).collect();
    for cell in question.cells.iter().filter_map(|id| question.plan.cells.get(*id)) {
        let scope = cell.scope();
        if let Some((_, error)) = evidence.errors.iter().find(|(of, _)| *of == scope) {
            findings.push(Finding {
                cell: Some(cell.name.clone()),
                signal: "source".into(),
                problem: Problem::Unreadable { error: error.clone() },
            });
            continue;
        }
        for metric in &question.plan.health.metrics {
            let problems = match series.get(&(&cell.name, metric.name.as_str())) {
                Some(series) => judge_series(question, cell, metric, series, &mut readings),
                None => vec![Problem::SourceTrouble { said: "no series came back".into() }],
            };
            findings.extend(problems.into_iter().map(|problem| Finding {
                cell: Some(cell.name.clone()),
                signal: metric.name.clone(),
                problem,
            }));
        }
        judge_alarms(question, cell, evidence, &mut findings);
    }
    findings.dedup();
    Judgement::of(findings, readings)
}

fn judge_series(
    question: &Question<'_>,
    cell: &Cell,
    metric: &Metric,
    series: &crate::model::observation::Series,
    readings: &mut Vec<Reading>,
) -> Vec<Problem> {
    let baking = question.baking.contains(&cell.name) && !question.as_of_now;
    let settled_at = question.bake_since.checked_add(question.plan.health.settle.duration()).unwrap_or(Timestamp::MAX);
    let period = Duration::from_secs(u64::from(metric.period_s));
    let lookback = period * metric.evaluation_periods + evidence::freshness(metric);
    let from = if baking { settled_at } else { question.now.checked_sub(lookback).unwrap_or(Timestamp::MIN) };
    let usable = evidence::usable(series, metric, from, question.now);
    let mut problems = usable.problems;
    let points = u32::try_from(usable.points.len()).unwrap_or(u32::MAX);
    readings.push(Reading {
        cell: cell.name.clone(),
        metric: metric.name.clone(),
        value: usable.points.last().map(|(_, v)| *v),
        threshold: metric.fail_when,
        points,
    });
    let slots = slots(&usable.points, metric, from, question.now, baking);
    problems.extend(breach(metric, &slots));
    problems.extend(missing(metric, &slots));
    let need = if baking { question.need_points.max(1) } else { 1 };
    if points < need && guard::holds(Guard::EvidenceComplete) {
        problems.push(Problem::TooFewPoints { have: points, need });
    }
    let newest = usable.points.last().map(|(at, _)| *at);
    let fresh = newest.is_some_and(|at| time::since(at, question.now) <= evidence::freshness(metric));
    // INVARIANT: S11. A gate rests on evidence from its bake, of the earlier waves' cells too.
    let bakes = !question.baking.is_empty() && !question.as_of_now;
    let before_bake = bakes && newest.is_some_and(|at| at < question.bake_since);
    if newest.is_some() && (!fresh || before_bake) && guard::holds(Guard::EvidenceFresh) {
        problems.push(Problem::Stale { newest });
    }
    problems
}

/// The period slots that are judged, oldest first: a value, or none for a period whose point should be there by now.
fn slots(
    points: &[(Timestamp, f64)],
    metric: &Metric,
    from: Timestamp,
    now: Timestamp,
    baking: bool,
) -> Vec<Option<f64>> {
    let period_s = i64::from(metric.period_s.max(1));
    let by_slot: BTreeMap<i64, f64> = points.iter().map(|(at, v)| (at.as_second().div_euclid(period_s), *v)).collect();
    let newest = by_slot.keys().next_back().copied();
    // A period is due when its end is past by more than the lag.
    let lag = i64::try_from(LAG.as_secs()).unwrap_or(0);
    let due = (now.as_second() - lag).div_euclid(period_s) - 1;
    let last = newest.map_or(due, |n| n.max(due));
    let first = match baking {
        // The first period that begins within the bake: a fraction of a second after its start is too late.
        true => (from.as_second() + i64::from(from.subsec_nanosecond() > 0) + period_s - 1).div_euclid(period_s),
        false => last - i64::from(metric.evaluation_periods) + 1,
    };
    // A bake of weeks is looked at from its newest end; 10,080 slots are a week of minutes.
    (first.max(last - 10_080)..=last).map(|slot| by_slot.get(&slot).copied()).collect()
}

/// M bad points among any N in a row. Every window of the bake counts, so that a flapping metric does not slip through between
/// two looks.
fn breach(metric: &Metric, slots: &[Option<f64>]) -> Option<Problem> {
    let is_bad = |slot: &Option<f64>| match slot {
        Some(value) => metric.fail_when.is_bad(*value),
        None => metric.missing_data == MissingData::Fail,
    };
    let judged: Vec<&Option<f64>> =
        slots.iter().filter(|s| s.is_some() || metric.missing_data != MissingData::Ignore).collect();
    let n = usize::try_from(metric.evaluation_periods.max(1)).unwrap_or(1);
    let windows = judged.windows(n.min(judged.len().max(1)));
    let worst = windows.map(|w| (w.iter().filter(|s| is_bad(s)).count(), w)).max_by_key(|(bad, _)| *bad)?;
    let (bad, window) = worst;
    if bad < usize::try_from(metric.datapoints_to_alarm.max(1)).unwrap_or(1) {
        return None;
    }
    let below = matches!(
        metric.fail_when.op,
        crate::model::pipeline::Comparison::Below | crate::model::pipeline::Comparison::AtMost
    );
    let values = window.iter().filter_map(|s| **s).filter(|v| metric.fail_when.is_bad(*v));
    let worst = values.reduce(|a, b| if below { a.min(b) } else { a.max(b) });
    Some(Problem::Breach {
        bad: u32::try_from(bad).unwrap_or(u32::MAX),
        of: u32::try_from(window.len()).unwrap_or(u32::MAX),
        threshold: metric.fail_when,
        worst,
    })
}

/// A missing point holds the verdict open, unless the pipeline says otherwise.
fn missing(metric: &Metric, slots: &[Option<f64>]) -> Option<Problem> {
    if metric.missing_data != MissingData::Hold || !guard::holds(Guard::EvidenceComplete) {
        return None;
    }
    let missing = slots.iter().filter(|s| s.is_none()).count();
    (missing > 0).then(|| Problem::Missing {
        missing: u32::try_from(missing).unwrap_or(u32::MAX),
        of: u32::try_from(slots.len()).unwrap_or(u32::MAX),
    })
}

fn judge_alarms(question: &Question<'_>, cell: &Cell, evidence: &Evidence, findings: &mut Vec<Finding>) {
    for gate in &question.plan.health.alarms {
        let Ok(name) = cell.fill(&gate.name) else { continue };
        let problem = match evidence.alarms.get(&(cell.scope(), name.clone())) {
            Some(Some(alarm)) => alarm_problem(question, alarm),
            Some(None) => Some(Problem::AlarmVanished),
            None => Some(Problem::SourceTrouble { said: "the alarm was not read".into() }),
        };
        if let Some(problem) = problem {
            let shared = !gate.name.contains('{');
            findings.push(Finding { cell: (!shared).then(|| cell.name.clone()), signal: name, problem });
        }
    }
}

fn alarm_problem(question: &Question<'_>, alarm: &AlarmView) -> Option<Problem> {
    if let Some(said) = &alarm.evaluation_trouble {
        return Some(Problem::AlarmTrouble { said: said.clone() });
    }
    match &alarm.state {
        AlarmState::Alarm if question.waived.contains(alarm.name.as_str()) => None,
        AlarmState::Alarm => Some(Problem::AlarmOpen { reason: alarm.reason.clone() }),
        AlarmState::InsufficientData => Some(Problem::InsufficientData),
        AlarmState::Unknown(said) => Some(Problem::AlarmTrouble { said: said.clone() }),
        // OK, but not for the whole bake: it was something else in between. It counts once it has been OK for as long as the
        // bake has lasted, which the caller's `max_bake` bounds.
        AlarmState::Ok => match alarm.since {
            Some(since)
                if !question.as_of_now
                    && since > question.bake_since
                    && !question.waived.contains(alarm.name.as_str()) =>
            {
                changed_lately(question, since)
            }
            _ => None,
        },
    }
}

fn changed_lately(question: &Question<'_>, since: Timestamp) -> Option<Problem> {
    let wanted = time::since(question.bake_since, question.now) / 2;
    (time::since(since, question.now) < wanted.max(Duration::from_secs(60))).then_some(Problem::AlarmChanged { since })
}
