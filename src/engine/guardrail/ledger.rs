//! The exposure once more, counted along with the journal's events alone: the second of the two checks before a forward effect (S10,
//! S12). It shares no transition with the engine's state.

use super::exposure::{Exposure, Motion, Of, Touch};
use super::finding::resources;
use crate::model::drill::is_drill;
use crate::model::event::{Direction, Event, Settlement};
use crate::model::ids::{RolloutId, TargetId};
use crate::model::plan::Plan;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What has been touched, as the durable record has it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: BTreeMap<RolloutId, Page>,
    past: BTreeMap<RolloutId, Vec<Touch>>,
}

/// One rollout that has not ended.
#[derive(Clone, Debug)]
struct Page {
    plan: Arc<Plan>,
    gates: BTreeSet<usize>,
    reverting: bool,
    lines: BTreeMap<TargetId, Line>,
}

/// One target.
#[derive(Clone, Debug, Default)]
struct Line {
    standing: Standing,
    /// Where it stands again when what was prepared or intended comes to nothing.
    rest: Standing,
    prepared: bool,
    at: Option<Timestamp>,
    resources: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Untouched,
    Unchanged,
    Moving,
    Applied,
    Restored,
    Stuck,
}

impl Ledger {
    /// Takes the next event of the record, in the record's order.
    pub fn record(&mut self, event: &Event) {
        match event {
            Event::RolloutProposed { plan, .. } => {
                let page =
                    Page { plan: Arc::clone(plan), gates: BTreeSet::new(), reverting: false, lines: BTreeMap::new() };
                self.open.insert(plan.rollout.clone(), page);
            }
            Event::RolloutEnded { rollout, .. } => {
                if let Some(page) = self.open.remove(rollout).filter(|page| !is_drill(&page.plan)) {
                    let mut touches = page.touches();
                    touches.retain(Touch::is_touched);
                    touches.iter_mut().for_each(|touch| touch.motion = Motion::AtRest);
                    self.past.insert(rollout.clone(), touches);
                }
            }
            _ => {
                if let Some(page) = event.rollout().and_then(|id| self.open.get_mut(id)) {
                    page.record(event);
                }
            }
        }
    }

    /// What is touched and in motion.
    pub fn exposure(&self) -> Exposure {
        // A kill drill touches nothing that serves anybody.
        let open = self.open.values().filter(|page| !is_drill(&page.plan)).flat_map(Page::touches);
        Exposure::new(self.past.values().flatten().cloned().chain(open).collect())
    }

    /// Forgets what ended rollouts touched before `since`: no window looks further back.
    pub fn forget(&mut self, since: Timestamp) {
        for touches in self.past.values_mut() {
            touches.retain(|touch| touch.at >= since);
        }
        self.past.retain(|_, touches| !touches.is_empty());
    }

    /// The plan of a rollout that has not ended; none: the record knows of none, and nothing of it may be let out.
    pub fn plan(&self, rollout: &RolloutId) -> Option<&Arc<Plan>> {
        self.open.get(rollout).map(|page| &page.plan)
    }

    /// How many resources of the target change; none: the record has no preview of it.
    pub fn resources(&self, rollout: &RolloutId, target: &TargetId) -> Option<u32> {
        self.open.get(rollout)?.lines.get(target)?.resources
    }
}

impl Page {
    fn record(&mut self, event: &Event) {
        match event {
            Event::GatePassed { wave, .. } => {
                self.gates.insert(*wave);
            }
            Event::RevertStarted { .. } => self.reverting = true,
            _ => {
                if let Some(id) = event.target() {
                    match self.lines.get_mut(id) {
                        Some(line) => line.record(event),
                        None => self.lines.entry(id.clone()).or_default().record(event),
                    }
                }
            }
        }
    }

    fn touches(&self) -> Vec<Touch> {
        let of = Of::new(&self.plan);
        let first = self.first_touches();
        let touch = |(id, line): (&TargetId, &Line)| {
            let wave = self.plan.targets.get(id)?.wave;
            let resources = line.resources.unwrap_or(0);
            match line.standing {
                Standing::Unchanged => None,
                Standing::Untouched => of.touch(id, resources, *first.get(&wave)?, Motion::Claimed),
                standing => of.touch(id, resources, line.at?, self.motion(standing, wave)),
            }
        };
        // A target without an event is one that nothing has happened to.
        let blank = Line::default();
        if first.is_empty() {
            return self.lines.iter().filter_map(touch).collect();
        }
        let all = self.plan.targets.keys().map(|id| (id, self.lines.get(id).unwrap_or(&blank)));
        all.filter_map(touch).collect()
    }

    /// Of each wave that has begun, is not through and does not go back, when it was first touched.
    fn first_touches(&self) -> BTreeMap<usize, Timestamp> {
        let mut first: BTreeMap<usize, Timestamp> = BTreeMap::new();
        if self.reverting {
            return first;
        }
        for (id, line) in self.lines.iter().filter(|(_, line)| line.is_touched()) {
            let wave = self.plan.targets.get(id).map(|target| target.wave).filter(|wave| !self.gates.contains(wave));
            if let (Some(wave), Some(at)) = (wave, line.at) {
                first.entry(wave).and_modify(|known| *known = at.min(*known)).or_insert(at);
            }
        }
        first
    }

    fn motion(&self, standing: Standing, wave: usize) -> Motion {
        let watched = self.reverting || !self.gates.contains(&wave);
        match standing {
            Standing::Moving => Motion::InFlight,
            Standing::Applied if self.reverting => Motion::InFlight,
            Standing::Applied | Standing::Stuck if watched => Motion::Watched,
            _ => Motion::AtRest,
        }
    }
}

impl Line {
    fn is_touched(&self) -> bool {
        !matches!(self.standing, Standing::Untouched | Standing::Unchanged)
    }

    fn record(&mut self, event: &Event) {
        match event {
            Event::ChangeSetRequested { direction, .. } => {
                self.prepare();
                if *direction == Direction::Revert {
                    self.standing = Standing::Moving;
                }
            }
            Event::TargetPrepared { counts, classified, .. } => {
                if !self.prepared {
                    self.prepare();
                }
                // The first preview is the way there; a later one is the same, or the way back.
                let listed = classified.as_ref().map_or(0, |classified| classified.changes.len());
                self.resources.get_or_insert(resources(counts, listed));
            }
            Event::OperationIntended { operation, .. } => {
                if !self.prepared {
                    self.rest = self.standing;
                }
                self.prepared = false;
                self.standing = Standing::Moving;
                if operation.direction == Direction::Forward {
                    self.at.get_or_insert(operation.intended_at);
                }
            }
            Event::ChangeSetGone { .. } | Event::OperationNotStarted { .. } => {
                self.prepared = false;
                self.standing = self.rest;
                if !self.is_touched() {
                    self.at = None;
                }
            }
            Event::TargetSettled { settlement, .. } => {
                self.prepared = false;
                self.standing = match settlement {
                    Settlement::Applied { .. } => Standing::Applied,
                    Settlement::Unchanged => Standing::Unchanged,
                    Settlement::Restored { .. } => Standing::Restored,
                    Settlement::Stuck { .. } => Standing::Stuck,
                };
            }
            _ => {}
        }
    }

    fn prepare(&mut self) {
        self.prepared = true;
        self.rest = self.standing;
    }
}
