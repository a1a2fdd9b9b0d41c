//! A recording, replayed: tick by tick, each judged as the daemon would have judged it once it had closed. The judges are the daemon's
//! own; here is only the course of time.
//!
//! A tick is the end of a period. It closes by the pipeline's `lag` later, and rests on nothing that came after that. What happened
//! before a tick's end is in force for it: a tick that ends with a bake is the bake's last.

pub mod course;
mod judges;
mod window;

pub use super::recording::{Happening, Recorded, Recording};
pub use course::{Bake, Course};

use crate::model::comparison::{Baseline, Compared};
use crate::model::ids::{AccountId, CellId, Region};
use crate::model::pipeline::{Cell, Health};
use crate::model::time;
use crate::model::verdict::{Finding, Reading, Verdict};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A recording with more ticks than this is cut by whoever made it: two years of minutes.
const TICKS_MAX: u64 = 1_051_200;

/// What is asked of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The health section; its alarms are not judged, for no recording has them.
    pub health: Health,
    /// By wave, the points that each metric of a baking cell must have shown.
    pub need_points: Vec<u32>,
    /// Cells that are known by name, with their environment.
    pub fleet: Vec<Cell>,
}

/// Why a recording cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to judge.
    #[error("nothing was changed: add an `applied` line for each cell, at the time at which it was changed")]
    NoEvent,
    /// It is too long.
    #[error(
        "from the first event to the end there are {ticks} ticks, and at most {TICKS_MAX} are replayed: cut the recording"
    )]
    TooLong {
        /// So many.
        ticks: u64,
    },
    /// Only alarms are asked for.
    #[error("the health section has no metric, and a recording has no alarms: there is nothing to judge")]
    NoMetric,
}

/// What a tick belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is changed yet.
    Before,
    /// Cells were changed, and their bake has not begun: only a fail counts.
    Rolling,
    /// The bake of the wave with this number runs.
    Baking(u32),
    /// The bakes so far are over: what was changed is still watched, and only a fail counts.
    Between,
}

/// One closed tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// When it closed: the period's end and the lag.
    pub at: Timestamp,
    /// Its period's end.
    pub end: Timestamp,
    /// What it belongs to.
    pub phase: Phase,
    /// Of all judges together.
    pub verdict: Verdict,
    /// What speaks against a pass.
    pub findings: Vec<Finding>,
    /// What the thresholds say by themselves.
    pub thresholds: Verdict,
    /// What the comparison says by itself; none: nothing is compared.
    pub comparison: Option<Verdict>,
    /// The newest values.
    pub readings: Vec<Reading>,
    /// Changed cells that had settled by the beginning of its shortest period.
    pub treated: usize,
}

/// How the replay ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Fail, if any tick failed; else pass, if the last tick of every bake passed.
    pub verdict: Verdict,
    /// When the deciding tick closed.
    pub decided_at: Timestamp,
    /// Ticks from the first with a settled changed cell to the deciding one.
    pub ticks: u32,
    /// What speaks against a pass.
    pub findings: Vec<Finding>,
    /// What is missing in the recording for a pass.
    pub unfinished: Option<Unfinished>,
}

/// Why a recording cannot pass whatever its metrics say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A bake has no end.
    BakeOpen(u32),
    /// Changed cells were never baked.
    NotBaked(Vec<CellId>),
    /// No tick closed within a bake.
    NoTick(u32),
}

/// A replay on its way.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    setting: &'a Setting,
    recording: &'a Recording,
    course: Course,
    cells: BTreeMap<CellId, Cell>,
    baseline: Option<Baseline>,
    compared: Compared,
    first: Timestamp,
    last: Timestamp,
    newest: Timestamp,
    ticks: u32,
    failed: Option<Outcome>,
    bakes: BTreeMap<usize, Tick>,
}

impl<'a> Replay<'a> {
    /// Begins with the first of these events: what precedes it is history, and is learnt from now.
    ///
    /// # Errors
    /// There is nothing to replay, or too much.
    pub fn new(setting: &'a Setting, recording: &'a Recording, events: &[Happening]) -> Result<Self, ReplayError> {
        let course = Course::of(events);
        let first = course.first.ok_or(ReplayError::NoEvent)?;
        if course.changes.is_empty() {
            return Err(ReplayError::NoEvent);
        }
        let periods = setting.health.metrics.iter().map(|metric| metric.period());
        let shortest = periods.min().ok_or(ReplayError::NoMetric)?;
        let longest = setting.health.metrics.iter().map(|metric| metric.period()).max().unwrap_or(shortest);
        let newest = recording.newest.map_or(first, |at| window::on(at, longest));
        let last = course.end().unwrap_or_else(|| newest.max(events.last().map_or(first, |event| event.at)));
        let ticks = time::since(first, last).as_secs() / shortest.as_secs().max(1);
        if ticks > TICKS_MAX {
            return Err(ReplayError::TooLong { ticks });
        }
        let cells = cells(setting, recording, &course);
        let mut replay = Self {
            setting,
            recording,
            course,
            cells,
            baseline: None,
            compared: Compared::default(),
            first,
            last,
            newest: first,
            ticks: 0,
            failed: None,
            bakes: BTreeMap::new(),
        };
        replay.learn();
        Ok(replay)
    }

    /// What was learnt from history; none: nothing is compared.
    pub fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// What the comparison has seen so far.
    pub fn compared(&self) -> &Compared {
        &self.compared
    }

    /// What was done when.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// From the first event to the end.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        (self.first, self.last)
    }

    /// Judges the next tick; none: there is no more.
    pub fn tick(&mut self) -> Option<Tick> {
        let end = self.next_end().filter(|end| *end <= self.last)?;
        self.newest = end;
        let now = window::on(end, self.setting.health.lag());
        let treated = self.treated(end);
        if treated > 0 || self.ticks > 0 {
            self.ticks = self.ticks.saturating_add(1);
        }
        let (phase, mut findings, readings) = self.thresholds(end, now);
        let thresholds = verdict(&findings);
        let compared = self.compare(now);
        let comparison = compared.as_deref().map(verdict);
        findings.extend(compared.unwrap_or_default());
        let verdict = match (phase, verdict(&findings)) {
            (Phase::Baking(_), verdict) | (_, verdict @ Verdict::Fail) => verdict,
            _ => Verdict::Inconclusive,
        };
        let tick = Tick { at: now, end, phase, verdict, findings, thresholds, comparison, readings, treated };
        self.remember(&tick);
        Some(tick)
    }

    /// What follows from the ticks so far.
    pub fn outcome(&self) -> Outcome {
        if let Some(failed) = &self.failed {
            return failed.clone();
        }
        let decided_at = window::on(self.newest, self.setting.health.lag());
        let worst = self.bakes.values().max_by_key(|tick| tick.verdict);
        let unfinished = self.unfinished();
        let verdict = worst.map_or(Verdict::Inconclusive, |tick| tick.verdict);
        Outcome {
            verdict: if unfinished.is_some() { verdict.max(Verdict::Inconclusive) } else { verdict },
            decided_at,
            ticks: self.ticks,
            findings: worst.map(|tick| tick.findings.clone()).unwrap_or_default(),
            unfinished,
        }
    }

    fn unfinished(&self) -> Option<Unfinished> {
        let unbaked = self.course.changes.iter().filter(|(_, change)| change.wave >= self.course.bakes.len());
        let unbaked: Vec<CellId> = unbaked.map(|(cell, _)| cell.clone()).collect();
        let open = self.course.bakes.iter().find(|bake| bake.end.is_none());
        let unseen = self.course.bakes.iter().enumerate().find(|(wave, _)| !self.bakes.contains_key(wave));
        match (open, unseen) {
            (Some(bake), _) => Some(Unfinished::BakeOpen(bake.number)),
            _ if !unbaked.is_empty() => Some(Unfinished::NotBaked(unbaked)),
            (None, Some((_, bake))) => Some(Unfinished::NoTick(bake.number)),
            (None, None) => None,
        }
    }

    fn remember(&mut self, tick: &Tick) {
        if let Some((wave, _)) = self.course.baking(tick.end) {
            self.bakes.insert(wave, tick.clone());
        }
        if tick.verdict == Verdict::Fail && self.failed.is_none() {
            let findings = tick.findings.iter().filter(|f| f.problem.verdict() == Verdict::Fail).cloned().collect();
            let (verdict, decided_at, ticks) = (Verdict::Fail, tick.at, self.ticks);
            self.failed = Some(Outcome { verdict, decided_at, ticks, findings, unfinished: None });
        }
    }

    /// The next end of a period of any metric.
    fn next_end(&self) -> Option<Timestamp> {
        let after = self.newest.as_second();
        let periods = self.setting.health.metrics.iter().map(|metric| i64::from(metric.period_s.max(1)));
        let next = periods.map(|period| (after.div_euclid(period) + 1).saturating_mul(period)).min()?;
        Timestamp::from_second(next).ok()
    }

    /// Changed cells that had settled before the shortest of the periods that end here began.
    fn treated(&self, end: Timestamp) -> usize {
        let settle = self.setting.health.settle.duration();
        let ends_here = |period: &Duration| {
            let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
            end.as_second().rem_euclid(seconds.max(1)) == 0
        };
        let periods = self.setting.health.metrics.iter().map(|metric| metric.period());
        let start = window::back(end, periods.filter(ends_here).min().unwrap_or_default());
        self.course.changes.values().filter(|change| window::on(change.at, settle) <= start).count()
    }
}

fn verdict(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.problem.verdict()).max().unwrap_or(Verdict::Pass)
}

/// The recording's cells. One that no fleet knows stands for itself.
fn cells(setting: &Setting, recording: &Recording, course: &Course) -> BTreeMap<CellId, Cell> {
    let names: BTreeSet<&CellId> = recording.cells.keys().chain(course.changes.keys()).collect();
    let known = |name: &CellId| setting.fleet.iter().find(|cell| cell.name == *name).cloned();
    let unknown = |name: &CellId| Cell {
        name: name.clone(),
        account: AccountId::new("000000000000"),
        region: Region::new("recorded"),
        environment: String::new(),
        role: None,
        traffic_share: 0.0,
        stacks: BTreeMap::new(),
        attributes: BTreeMap::new(),
    };
    names.into_iter().map(|name| (name.clone(), known(name).unwrap_or_else(|| unknown(name)))).collect()
}
