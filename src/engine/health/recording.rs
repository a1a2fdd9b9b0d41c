//! Recorded metrics and events, checked line by line: what a replay rests on. Reading files is somebody else's work.
//!
//! Lines come in the order of time. A point belongs to the period in which it begins; what precedes the first event is history.

use crate::model::document::fields::known_or;
use crate::model::ids::CellId;
use crate::model::pipeline::Health;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// More cells than a fleet has.
pub const CELLS_MAX: usize = 1_000;
/// Some 160 megabytes of points: a week of minutes, of 100 cells with five series each.
pub const POINTS_MAX: usize = 5_000_000;
/// Two for each cell would do.
pub const EVENTS_MAX: usize = 10_000;
/// The longest name of a cell.
const NAME_MAX: usize = 128;
/// Series beside those of the gate: told by name, and no recorder has more kinds of them.
const LEFT_OUT_MAX: usize = 1_000;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A point of one series.
    Point(Point),
    /// Something that happened.
    Happened(Happening),
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When its period begins.
    pub at: Timestamp,
    /// In which cell.
    pub cell: CellId,
    /// The series' name: the metric's, or `NAME.bad` and `NAME.total` of a ratio.
    pub series: String,
    /// Finite.
    pub value: f64,
    /// Its unit, where the source tells it.
    pub unit: Option<String>,
    /// How many samples it rests on, where the source tells it.
    pub samples: Option<f64>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A cell was changed.
    Applied(CellId),
    /// The cells that were changed since the bake before are watched from here on: wave so-and-so.
    BakeStart(u32),
    /// The watching ends.
    BakeEnd(u32),
}

/// The points of one series in one cell, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The unit of all of them, where it was told.
    pub unit: Option<String>,
    /// By the start of their period.
    pub points: Vec<(Timestamp, f64)>,
    /// Samples behind them, where they were told.
    pub samples: Vec<(Timestamp, f64)>,
}

/// A recording without a fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// By cell and series; a cell that was changed is here also without a point.
    pub cells: BTreeMap<CellId, BTreeMap<String, Recorded>>,
    /// In the order of time.
    pub events: Vec<Happening>,
    /// When the newest point begins; none: there is no point.
    pub newest: Option<Timestamp>,
    /// Series that no metric of the gate has, each with the one that may be meant: a recording may hold more than one gate looks at.
    pub left_out: BTreeMap<String, Option<String>>,
}

/// What is wrong with a line, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Time goes back.
    #[error("`at` is {at}, and an earlier line has {newest}: sort the lines by `at`")]
    OutOfOrder {
        /// This line's.
        at: Timestamp,
        /// The newest before it.
        newest: Timestamp,
    },
    /// Two points in one period.
    #[error("`{series}` of `{cell}` has a point for the {period_s}s from {at} already: keep one of the two")]
    Duplicate {
        /// Where.
        cell: CellId,
        /// Of what.
        series: String,
        /// The period's start …
        at: Timestamp,
        /// … and length.
        period_s: u32,
    },
    /// One series in two units.
    #[error("`{series}` of `{cell}` is in {have} here and in {had} before: convert one of them")]
    UnitChanged {
        /// Where.
        cell: CellId,
        /// Of what.
        series: String,
        /// Here.
        have: String,
        /// Before.
        had: String,
    },
    /// A number that is none.
    #[error("`{key}` is no finite number: leave the point out, an absent point is a missing one")]
    NotFinite {
        /// Of which key.
        key: &'static str,
    },
    /// No name for a cell.
    #[error("`cell` must be 1 to {NAME_MAX} characters without blanks: write it as the pipeline's fleet does")]
    BadCell,
    /// Changed again.
    #[error("cell `{cell}` was applied at {first} already: keep the one line at which it was really changed")]
    AppliedTwice {
        /// Which.
        cell: CellId,
        /// When.
        first: Timestamp,
    },
    /// Two bakes at once.
    #[error("bake {wave} starts while bake {open} is open: add `bake_end` of wave {open} before it")]
    BakeOpen {
        /// This one.
        wave: u32,
        /// The one that is open.
        open: u32,
    },
    /// Nothing to bake.
    #[error(
        "bake {wave} ends before any cell was changed: add an `applied` line for each changed cell before it starts"
    )]
    NothingApplied {
        /// Which.
        wave: u32,
    },
    /// Waves go up.
    #[error("bake {wave} comes after bake {before}: number the waves upwards")]
    WaveOrder {
        /// This one.
        wave: u32,
        /// The one before.
        before: u32,
    },
    /// An end without a start.
    #[error("bake {wave} ends and has not started: add its `bake_start` line, or remove this one")]
    NoBake {
        /// Which.
        wave: u32,
    },
    /// Another bake is open.
    #[error("bake {wave} ends while bake {open} is open: end wave {open}")]
    OtherBake {
        /// This one.
        wave: u32,
        /// The one that is open.
        open: u32,
    },
    /// More than is read.
    #[error("more than {most} {what}: cut the recording into smaller ones")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many are read.
        most: usize,
    },
}

/// Takes lines in and checks each against those before it.
#[derive(Clone, Debug)]
pub struct Recorder {
    known: BTreeMap<String, u32>,
    recording: Recording,
    newest: Option<Timestamp>,
    points: usize,
    applied: BTreeMap<CellId, Timestamp>,
    open: Option<u32>,
    wave: Option<u32>,
}

impl Recorder {
    /// For the series of a health section.
    pub fn new(health: &Health) -> Self {
        let named = |metric: &crate::model::pipeline::Metric| {
            let period = metric.period_s.max(1);
            metric.series().into_iter().map(move |name| (name, period)).collect::<Vec<_>>()
        };
        Self {
            known: health.metrics.iter().flat_map(named).collect(),
            recording: Recording::default(),
            newest: None,
            points: 0,
            applied: BTreeMap::new(),
            open: None,
            wave: None,
        }
    }

    /// Takes one line in. A line with a fault is left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, entry: Entry) -> Result<(), Fault> {
        let at = match &entry {
            Entry::Point(point) => point.at,
            Entry::Happened(happening) => happening.at,
        };
        if let Some(newest) = self.newest.filter(|newest| at < *newest) {
            return Err(Fault::OutOfOrder { at, newest });
        }
        self.newest = Some(at);
        match entry {
            Entry::Point(point) => self.point(point),
            Entry::Happened(happening) => self.happened(happening),
        }
    }

    /// All that was taken in.
    pub fn finish(self) -> Recording {
        self.recording
    }

    fn point(&mut self, point: Point) -> Result<(), Fault> {
        let Point { at, cell, series, value, unit, samples } = point;
        let Some(period_s) = self.known.get(&series).copied() else { return self.leave_out(series) };
        let finite = |key, value: f64| if value.is_finite() { Ok(()) } else { Err(Fault::NotFinite { key }) };
        finite("value", value)?;
        finite("samples", samples.unwrap_or(0.0))?;
        let at = start_of_period(at, period_s);
        let recorded = self.cell(&cell)?.entry(series.clone()).or_default();
        // Lines are in order of time: only the newest point can be of the same period.
        if recorded.points.last().is_some_and(|(newest, _)| *newest >= at) {
            return Err(Fault::Duplicate { cell, series, at, period_s });
        }
        match (&recorded.unit, unit) {
            (Some(had), Some(have)) if *had != have => {
                return Err(Fault::UnitChanged { cell, series, have, had: had.clone() });
            }
            (None, Some(unit)) => recorded.unit = Some(unit),
            _ => {}
        }
        recorded.points.push((at, value));
        recorded.samples.extend(samples.map(|samples| (at, samples)));
        self.recording.newest = self.recording.newest.max(Some(at));
        self.points += 1;
        match self.points > POINTS_MAX {
            true => Err(Fault::TooMany { what: "points", most: POINTS_MAX }),
            false => Ok(()),
        }
    }

    fn leave_out(&mut self, series: String) -> Result<(), Fault> {
        let left_out = &mut self.recording.left_out;
        if left_out.contains_key(&series) {
            return Ok(());
        }
        if left_out.len() >= LEFT_OUT_MAX {
            return Err(Fault::TooMany { what: "series that the pipeline does not have", most: LEFT_OUT_MAX });
        }
        let known: Vec<&str> = self.known.keys().map(String::as_str).collect();
        let ratio = self.known.contains_key(&format!("{series}.bad"));
        let meant = match ratio {
            true => format!("it is a ratio: record `{series}.bad` and `{series}.total`"),
            false => known_or(&series, &known, ""),
        };
        left_out.insert(series, Some(meant).filter(|meant| !meant.is_empty()));
        Ok(())
    }

    fn cell(&mut self, cell: &CellId) -> Result<&mut BTreeMap<String, Recorded>, Fault> {
        let name = cell.as_str();
        if name.is_empty()
            || name.chars().count() > NAME_MAX
            || name.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(Fault::BadCell);
        }
        if self.recording.cells.len() >= CELLS_MAX && !self.recording.cells.contains_key(cell) {
            return Err(Fault::TooMany { what: "cells", most: CELLS_MAX });
        }
        Ok(self.recording.cells.entry(cell.clone()).or_default())
    }

    fn happened(&mut self, happening: Happening) -> Result<(), Fault> {
        if self.recording.events.len() >= EVENTS_MAX {
            return Err(Fault::TooMany { what: "events", most: EVENTS_MAX });
        }
        match &happening.what {
            What::Applied(cell) => {
                if let Some(first) = self.applied.get(cell) {
                    return Err(Fault::AppliedTwice { cell: cell.clone(), first: *first });
                }
                self.cell(cell)?;
                self.applied.insert(cell.clone(), happening.at);
            }
            What::BakeStart(wave) => self.bake_start(*wave)?,
            What::BakeEnd(wave) => match self.open {
                Some(open) if open == *wave && self.applied.is_empty() => {
                    return Err(Fault::NothingApplied { wave: *wave });
                }
                Some(open) if open == *wave => self.open = None,
                Some(open) => return Err(Fault::OtherBake { wave: *wave, open }),
                None => return Err(Fault::NoBake { wave: *wave }),
            },
        }
        // Of one moment a change comes before the bake that watches it, in whatever order they were written.
        let first = self.recording.events.partition_point(|event| event.at < happening.at);
        let starts = |event: &Happening| matches!(event.what, What::BakeStart(_));
        let applied = matches!(happening.what, What::Applied(_));
        let before = self.recording.events.iter().skip(first).position(starts).filter(|_| applied);
        let place = before.map_or(self.recording.events.len(), |n| first + n);
        self.recording.events.insert(place, happening);
        Ok(())
    }

    fn bake_start(&mut self, wave: u32) -> Result<(), Fault> {
        if let Some(open) = self.open {
            return Err(Fault::BakeOpen { wave, open });
        }
        if let Some(before) = self.wave.filter(|before| wave <= *before) {
            return Err(Fault::WaveOrder { wave, before });
        }
        (self.open, self.wave) = (Some(wave), Some(wave));
        Ok(())
    }
}

/// The start of the period in which a time lies.
fn start_of_period(at: Timestamp, period_s: u32) -> Timestamp {
    let period = i64::from(period_s.max(1));
    let second = at.as_second().div_euclid(period) * period;
    Timestamp::from_second(second).unwrap_or(at)
}
