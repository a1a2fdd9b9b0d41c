//! The comparison as a part of the gate: which cell is what at which tick, what is learnt before the first wave, what each look adds,
//! and what follows for the verdict.

use super::compare::baseline::History;
use super::compare::past;
use super::compare::process::{self, Role};
use super::evidence::{Index, Sample};
use super::tail;
use crate::model::comparison::{Baseline, Compared, Horizon, LatePoint, MetricBaseline, MetricState, Missed, WaveMark};
use crate::model::ids::CellId;
use crate::model::observation::Completeness;
use crate::model::pipeline::{Cell, Compare, Health, Metric, Worse};
use crate::model::time::Millis;
use crate::model::verdict::{Finding, Problem};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Ticks that one look takes in at most: a week of minutes. After a longer pause the oldest are left out.
const MOST_TICKS: i64 = 10_080;

/// Ticks without a point that are remembered for each metric: enough for a cell's last half hour, or a fleet's last tick.
const MISSED_MAX: usize = 32;

/// What one cell is to the comparison, over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its wave, counted from 0.
    pub wave: u32,
    /// From here on it is no comparison any more; none: it has not been touched.
    pub touched: Option<Timestamp>,
    /// From here on it runs what is judged.
    pub changed: Option<Timestamp>,
    /// It belongs to another environment than the wave that is watched: its traffic says nothing about this one's.
    pub elsewhere: bool,
}

impl Standing {
    /// What the cell is during a tick.
    pub fn role(&self, tick: Timestamp, end: Timestamp, settle: Duration) -> Role {
        let settled = self.changed.and_then(|at| at.checked_add(settle).ok());
        match (settled, self.touched) {
            _ if self.elsewhere => Role::Neither,
            (Some(settled), _) if tick >= settled => Role::Treated(self.wave),
            (_, Some(touched)) if end > touched => Role::Neither,
            (Some(_), None) => Role::Neither,
            _ => Role::Control,
        }
    }
}

/// What a look has to go on.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The health section.
    pub health: &'a Health,
    /// All cells that are compared, those that are not touched yet among them, in the baseline's order once there is one.
    pub cells: Vec<&'a Cell>,
    /// What was read.
    pub read: Index<'a>,
    /// Now.
    pub now: Timestamp,
}

/// The comparison's own metrics, each with the direction that is bad.
pub fn compared_metrics(health: &Health) -> impl Iterator<Item = (&Metric, Worse)> {
    health.metrics.iter().filter_map(|metric| Some((metric, metric.compare?)))
}

/// Learns from what was read before the first wave. None where nothing is compared.
///
/// `bakes` are those of the waves that leave something to compare with. Cells without any point stand on the others' history;
/// what no cell has a history of is a finding of the gate, not of this.
pub fn learn(look: &Look<'_>, compare: &Compare, bakes: &[Millis]) -> Baseline {
    let metrics = compared_metrics(look.health).map(|(metric, worse)| {
        let period = i64::from(metric.period_s.max(1));
        let last = last_closed(look, period);
        let first = last - ticks_in(compare.history.duration(), period) + 1;
        let samples: Vec<Vec<Sample>> =
            look.cells.iter().map(|cell| samples(look, metric, cell, first, last)).collect();
        let planned: i64 = bakes.iter().map(|bake| ticks_in(bake.duration(), period)).sum();
        MetricBaseline::learn(&History {
            name: &metric.name,
            worse,
            least_margin: compare.margin.ln_1p(),
            period_s: metric.period_s,
            horizon: Horizon {
                waves: u32::try_from(bakes.len()).unwrap_or(u32::MAX),
                ticks: u32::try_from(planned).unwrap_or(u32::MAX),
            },
            detect: metric.detect.unwrap_or(compare.detect),
            samples: &samples,
        })
    });
    Baseline {
        taken_at: look.now,
        alpha: compare.alpha,
        metrics: metrics.collect(),
        cells: look.cells.iter().map(|cell| cell.name.clone()).collect(),
    }
}

/// Takes in every tick that has closed since the last look. True when there was one.
pub fn step(look: &Look<'_>, baseline: &Baseline, standing: &[Standing], compared: &mut Compared) -> bool {
    compared.metrics.resize(baseline.metrics.len(), MetricState::default());
    // What could not be read is not silence: its ticks stay open until it can.
    if !is_readable(look, standing) {
        return false;
    }
    let settle = look.health.settle.duration();
    let (mut closed, mut late) = (false, Vec::new());
    for (metric, state) in baseline.metrics.iter().zip(&mut compared.metrics) {
        let Some(source) = look.health.metrics.iter().find(|m| m.name == metric.name) else { continue };
        let period = i64::from(metric.period_s.max(1));
        let last = last_closed(look, period);
        let since = state.closed.unwrap_or(baseline.taken_at).as_second();
        let first = (since.div_euclid(period) + i64::from(since.rem_euclid(period) > 0)).max(last - MOST_TICKS);
        note_late(look, source, period, state, &mut late);
        if first > last {
            continue;
        }
        let by_cell: Vec<Vec<Sample>> =
            look.cells.iter().map(|cell| samples(look, source, cell, first, last)).collect();
        for (n, tick) in (first..=last).enumerate() {
            let (Some(start), Some(end)) = (start_of(tick, period), start_of(tick + 1, period)) else { continue };
            let now: Vec<Sample> = by_cell.iter().map(|cell| cell.get(n).copied().unwrap_or(Sample::Missing)).collect();
            let roles: Vec<Role> = standing.iter().map(|cell| cell.role(start, end, settle)).collect();
            state.step(metric, &baseline.cells, &now, &roles);
            state.closed = Some(end);
            note_missing(state, &now, tick);
            closed = true;
        }
    }
    compared.ln_e = compared.ln_e_of(baseline);
    compared.most = compared.most.max(compared.ln_e);
    compared.late = late;
    closed || !compared.late.is_empty()
}

/// Remembers which cells had no point, so that one that comes late is noted.
fn note_missing(state: &mut MetricState, samples: &[Sample], tick: i64) {
    let silent = samples.iter().enumerate().filter(|(_, sample)| **sample == Sample::Missing);
    state.missing.extend(silent.filter_map(|(cell, _)| Some(Missed { cell: u32::try_from(cell).ok()?, tick })));
    let over = state.missing.len().saturating_sub(MISSED_MAX);
    state.missing.drain(..over);
}

/// Points that have come since for ticks that were closed without them: noted, and not used.
fn note_late(look: &Look<'_>, metric: &Metric, period: i64, state: &mut MetricState, late: &mut Vec<LatePoint>) {
    state.missing.retain(|missed| {
        let cell = usize::try_from(missed.cell).ok().and_then(|n| look.cells.get(n));
        let (Some(cell), Some(at)) = (cell, start_of(missed.tick, period)) else { return false };
        let came = samples(look, metric, cell, missed.tick, missed.tick).first().is_some_and(|s| *s != Sample::Missing);
        if came {
            late.push(LatePoint { metric: metric.name.clone(), cell: cell.name.clone(), at });
        }
        !came
    });
}

/// True when every series of every cell that is compared came back whole.
fn is_readable(look: &Look<'_>, standing: &[Standing]) -> bool {
    let cells = look.cells.iter().zip(standing).filter(|(_, cell)| !cell.elsewhere);
    let mut each = cells.flat_map(|(cell, _)| compared_metrics(look.health).map(move |(metric, _)| (cell, metric)));
    each.all(|(cell, metric)| metric.series().iter().all(|name| is_whole(&look.read, &cell.name, name)))
}

fn is_whole(read: &Index<'_>, cell: &CellId, name: &str) -> bool {
    read.get(&(cell, name)).is_some_and(|series| series.completeness == Completeness::Complete)
}

/// What the comparison says against a pass.
pub fn findings(baseline: &Baseline, compared: &Compared) -> Vec<Finding> {
    let needed = -baseline.alpha.ln();
    if compared.most >= needed {
        return vec![worse(baseline, compared)];
    }
    let mut findings = Vec::new();
    if compared.ln_e >= needed / 2.0 {
        let finding = worse(baseline, compared);
        let problem = Problem::Suspicious { evidence: compared.ln_e.exp(), needed: needed.exp() };
        findings.push(Finding { problem, ..finding });
    }
    // Without an untouched cell there is nothing to compare with, and nothing that could ever be seen: `plan` has said so.
    let pairs = baseline.metrics.iter().zip(&compared.metrics).filter(|(_, state)| state.wave.is_some());
    for (metric, state) in pairs.filter(|(_, state)| state.untouched > 0) {
        let finding = |problem| Finding { cell: None, signal: metric.name.clone(), problem };
        let needed = process::needed(baseline, metric);
        if state.could_have < needed {
            let share = (state.could_have / needed).max(0.0);
            findings.push(finding(Problem::CannotSeeYet { ratio: metric.detect, share }));
        }
        if state.blind > 0 {
            findings.push(finding(Problem::NotCompared { ticks: state.blind }));
        }
    }
    findings
}

/// Treated cells that are worse than ever in their own past, where the comparison cannot say whose doing it is: no untouched cell is left,
/// or most of them are as bad.
pub fn own_past(look: &Look<'_>, baseline: &Baseline, standing: &[Standing]) -> Vec<Finding> {
    let each = baseline.metrics.iter().flat_map(|metric| past_of(look, metric, standing).unwrap_or_default());
    each.collect()
}

fn past_of(look: &Look<'_>, metric: &MetricBaseline, standing: &[Standing]) -> Option<Vec<Finding>> {
    let source = look.health.metrics.iter().find(|m| m.name == metric.name)?;
    let settle = look.health.settle.duration();
    let period = i64::from(metric.period_s.max(1));
    let last = last_closed(look, period);
    let first = last - i64::try_from(past::WINDOW).unwrap_or(i64::MAX) + 1;
    let (start, end) = (start_of(first, period)?, start_of(first + 1, period)?);
    let (mut untouched, mut as_bad, mut found) = (0, 0, Vec::new());
    for ((cell, usual), standing) in look.cells.iter().zip(&metric.cells).zip(standing) {
        let role = standing.role(start, end, settle);
        if role == Role::Neither {
            continue;
        }
        let beyond = past::beyond(metric, usual, &samples(look, source, cell, first, last));
        if role == Role::Control {
            untouched += 1;
            as_bad += i32::from(beyond.is_some());
        } else if let Some((ratio, most)) = beyond {
            let (cell, signal) = (Some(cell.name.clone()), metric.name.clone());
            found.push(Finding { cell, signal, problem: Problem::WorseThanItsPast { ratio, most } });
        }
    }
    (untouched == 0 || as_bad * 2 > untouched).then_some(found)
}

/// The metric that says it loudest, with the cell that stands out most.
fn worse(baseline: &Baseline, compared: &Compared) -> Finding {
    let pairs = baseline.metrics.iter().zip(&compared.metrics);
    let loudest = pairs.max_by(|(a, x), (b, y)| x.ln_e(a).total_cmp(&y.ln_e(b)));
    let cell = loudest.and_then(|(_, state)| state.worst.first()).map(|look| look.cell.clone());
    let signal = loudest.map(|(metric, _)| metric.name.clone()).unwrap_or_default();
    let interval = loudest.and_then(|(_, state)| state.interval());
    let problem = Problem::WorseThanUntouched { evidence: compared.most.exp(), needed: 1.0 / baseline.alpha, interval };
    Finding { cell, signal, problem }
}

/// By cell, what it is: from the marks of the waves, and the index of each cell's wave.
pub fn standing(waves: &[WaveMark], of: impl Iterator<Item = (usize, bool)>) -> Vec<Standing> {
    of.map(|(wave, elsewhere)| {
        let mark = waves.get(wave).copied().unwrap_or_default();
        let wave = u32::try_from(wave).unwrap_or(u32::MAX);
        Standing { wave, touched: mark.touched, changed: mark.changed, elsewhere }
    })
    .collect()
}

/// How far back a look has to read for the comparison.
pub fn reads_from(
    health: &Health,
    baseline: Option<&Baseline>,
    compared: Option<&Compared>,
    now: Timestamp,
) -> Option<Timestamp> {
    let compare = health.compare.as_ref()?;
    let Some(baseline) = baseline else {
        let longest = health.metrics.iter().map(|m| m.period_s).max().unwrap_or(60);
        let back = compare.history.duration() + health.lag() + Duration::from_secs(u64::from(longest) * 2);
        return now.checked_sub(SignedDuration::try_from(back).ok()?).ok();
    };
    let open = compared.into_iter().flat_map(|compared| &compared.metrics).filter_map(|state| state.closed).min();
    let longest = i64::from(baseline.metrics.iter().map(|m| m.period_s).max().unwrap_or(60));
    let window = SignedDuration::from_secs(longest * (i64::try_from(past::WINDOW).unwrap_or(i64::MAX) + 1));
    let newest = now.checked_sub(SignedDuration::try_from(health.lag()).ok()?).ok()?;
    open.unwrap_or(baseline.taken_at).min(newest).checked_sub(window).ok()
}

/// Cells by name, in the order of a baseline.
pub fn in_order<'a>(baseline: &Baseline, find: impl Fn(&CellId) -> Option<&'a Cell>) -> Vec<&'a Cell> {
    baseline.cells.iter().filter_map(find).collect()
}

/// The index of the newest tick whose end is past by more than the lag.
fn last_closed(look: &Look<'_>, period: i64) -> i64 {
    let lag = i64::try_from(look.health.lag().as_secs()).unwrap_or(i64::MAX);
    (look.now.as_second().saturating_sub(lag)).div_euclid(period) - 1
}

fn ticks_in(span: Duration, period: i64) -> i64 {
    (i64::try_from(span.as_secs()).unwrap_or(i64::MAX) / period).clamp(1, MOST_TICKS)
}

fn start_of(tick: i64, period: i64) -> Option<Timestamp> {
    Timestamp::from_second(tick.checked_mul(period)?).ok()
}

fn samples(look: &Look<'_>, metric: &Metric, cell: &Cell, first: i64, last: i64) -> Vec<Sample> {
    tail::samples(&look.read, metric, &cell.name, first, last)
}
