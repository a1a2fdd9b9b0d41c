//! Two worlds side by side: the real one, and a small embedded one for kill drills. The account decides, and nothing else: what is of the
//! drills' account never leaves this process.

use super::perform::Perform;
use crate::cloud::sim::{SimOptions, SimWorld};
use crate::engine::effect::{Effect, EffectId, Reply};
use crate::model::drill::DRILL_ACCOUNT;
use crate::model::pipeline::Cell;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The embedded world of the drills. A clone is another hand on the same. It is made anew for each check, with every stack at its first
/// release, so that the log of its calls tells of that check alone, and does not grow.
#[derive(Clone, Debug)]
pub struct DrillWorld {
    cells: Arc<Vec<Cell>>,
    template: &'static str,
    current: Arc<Mutex<SimWorld>>,
}

impl DrillWorld {
    /// A world with the stacks of these cells. Make it inside of the daemon's runtime.
    pub fn new(cells: Vec<Cell>, template: &'static str, at: Timestamp) -> Self {
        let current = Arc::new(Mutex::new(made(&cells, template, at)));
        Self { cells: Arc::new(cells), template, current }
    }

    /// Begins anew. What a rollout that is still open did there is gone: only when there is none.
    pub fn renew(&self, at: Timestamp) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = made(&self.cells, self.template, at);
    }

    /// The world as it is now.
    pub fn world(&self) -> SimWorld {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// What every stack is at the beginning.
    pub fn template(&self) -> &'static str {
        self.template
    }
}

fn made(cells: &[Cell], template: &str, start: Timestamp) -> SimWorld {
    let quick = Duration::from_millis(200)..=Duration::from_millis(600);
    let world = SimWorld::new(SimOptions { start, update_duration: quick, ..SimOptions::default() });
    for cell in cells {
        let scope = cell.scope();
        for stack in cell.stacks.values() {
            // The cells are built in, each with a stack of its own: there is nothing to refuse.
            let _ = world.add_stack(&scope, stack, template, BTreeMap::new(), BTreeMap::new());
            world.bind(&scope, cell.name.as_str(), stack.clone());
        }
    }
    world
}

/// The real world, and that of the drills beside it.
#[derive(Debug)]
pub struct Split<W> {
    real: W,
    drills: DrillWorld,
}

impl<W> Split<W> {
    /// Both.
    pub fn new(real: W, drills: DrillWorld) -> Self {
        Self { real, drills }
    }
}

impl<W: Perform> Perform for Split<W> {
    async fn perform(&self, effect: Effect) -> (EffectId, Reply) {
        if effect.scope.account.as_str() == DRILL_ACCOUNT {
            self.drills.world().perform(effect).await
        } else {
            self.real.perform(effect).await
        }
    }
}
