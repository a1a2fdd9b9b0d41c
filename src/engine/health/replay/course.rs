//! What a recording's events say was done when: which cells were changed, by which wave, and when each wave was watched.

use crate::engine::health::recording::{Happening, What};
use crate::model::ids::CellId;
use crate::model::time::{self, Millis};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One wave as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bake {
    /// Its number in the recording.
    pub number: u32,
    /// The cells that were changed since the bake before it.
    pub cells: Vec<CellId>,
    /// When it began.
    pub start: Timestamp,
    /// When it ended; none: the recording ends before it.
    pub end: Option<Timestamp>,
}

/// When a cell was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The index of its wave among [`Course::bakes`]; one past the last: it was never baked.
    pub wave: usize,
}

/// The whole course.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Waves in order.
    pub bakes: Vec<Bake>,
    /// Changed cells.
    pub changes: BTreeMap<CellId, Change>,
    /// When the first event was.
    pub first: Option<Timestamp>,
}

impl Course {
    /// From checked events.
    pub fn of(events: &[Happening]) -> Self {
        let mut course = Self { first: events.first().map(|event| event.at), ..Self::default() };
        let mut fresh = Vec::new();
        for Happening { at, what } in events {
            match what {
                What::Applied(cell) => {
                    course.changes.insert(cell.clone(), Change { at: *at, wave: course.bakes.len() });
                    fresh.push(cell.clone());
                }
                What::BakeStart(number) => {
                    let cells = std::mem::take(&mut fresh);
                    course.bakes.push(Bake { number: *number, cells, start: *at, end: None });
                }
                What::BakeEnd(_) => {
                    if let Some(bake) = course.bakes.last_mut() {
                        bake.end = Some(*at);
                    }
                }
            }
        }
        course
    }

    /// The bake that a tick with this end belongs to. A tick that ends with the bake is its last one.
    pub fn baking(&self, end: Timestamp) -> Option<(usize, &Bake)> {
        let runs = |bake: &Bake| bake.start < end && bake.end.is_none_or(|until| end <= until);
        self.bakes.iter().enumerate().find(|(_, bake)| runs(bake))
    }

    /// Waves whose bake has begun before a tick's end.
    pub fn begun(&self, end: Timestamp) -> usize {
        self.bakes.iter().take_while(|bake| bake.start < end).count()
    }

    /// Cells that were changed before a tick's end, and whose bake has not begun by then.
    pub fn rolling(&self, end: Timestamp) -> impl Iterator<Item = (&CellId, Change)> {
        let begun = self.begun(end);
        self.changes.iter().filter(move |(_, change)| change.at < end && change.wave >= begun).map(|(c, at)| (c, *at))
    }

    /// The last change of one wave, and not before its bake began: from here on its points count, after the settle time.
    pub fn counts_from(&self, wave: usize, bake: &Bake) -> Timestamp {
        let of_wave = self.changes.values().filter(|change| change.wave == wave).map(|change| change.at);
        of_wave.max().map_or(bake.start, |newest| newest.max(bake.start))
    }

    /// The wave of the pipeline that a bake stands for, counted from 0. Recordings count from 1, or from 0 where their first bake is 0.
    pub fn planned(&self, bake: &Bake) -> usize {
        let first = self.bakes.first().map_or(1, |bake| bake.number.min(1));
        usize::try_from(bake.number.saturating_sub(first)).unwrap_or(usize::MAX)
    }

    /// True when every changed cell was baked, and every bake has its end.
    pub fn is_whole(&self) -> bool {
        let baked = self.changes.values().all(|change| change.wave < self.bakes.len());
        baked && !self.bakes.is_empty() && self.bakes.iter().all(|bake| bake.end.is_some())
    }

    /// When the last bake ended, where the course is whole.
    pub fn end(&self) -> Option<Timestamp> {
        self.bakes.last().and_then(|bake| bake.end).filter(|_| self.is_whole())
    }

    /// The bakes of those waves that leave an untouched cell among so many, for a recording that ends at `end`.
    pub fn compared(&self, cells: usize, end: Timestamp) -> Vec<Millis> {
        let mut changed = 0;
        let mut bakes = Vec::new();
        for bake in &self.bakes {
            changed += bake.cells.len();
            if changed < cells {
                bakes.push(Millis::of(time::since(bake.start, bake.end.unwrap_or(end))));
            }
        }
        bakes
    }
}
