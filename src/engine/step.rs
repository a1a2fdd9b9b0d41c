//! What one look at one target yields.

use super::effect::{Call, Class};
use super::names;
use super::session::Ask;
use crate::model::event::{Direction, Event, Operation, OperationCall, Settlement};
use crate::model::halt::{Hold, StuckReason};
use crate::model::ids::{Attempt, TargetId};
use crate::model::plan::PlannedTarget;
use crate::model::stack::{RestorePoint, StackRecord};
use crate::model::state::{Rollout, State, Target};
use crate::model::time::Now;
use jiff::Timestamp;
use std::time::Duration;

/// The next step of one target.
#[must_use]
#[derive(Debug)]
pub enum Step {
    /// Facts to record; the target is looked at again after that.
    Events(Vec<Event>),
    /// Ask the world.
    Ask(Ask, Class, Call),
    /// See the stack: at once, or with the next look at its scope.
    View {
        /// Not before the next regular look: false.
        at_once: bool,
    },
    /// Nothing before this time.
    Wait(Duration),
    /// A person must decide.
    Hold(Hold),
    /// Nothing to do.
    Nothing,
}

impl Step {
    /// One event.
    pub fn event(event: Event) -> Self {
        Self::Events(vec![event])
    }
}

/// How far a target may be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// Only follow what is in flight, and give up what is not.
    Follow,
    /// Also read and preview.
    Prepare,
    /// Also execute.
    Execute,
}

/// Everything that a step may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// All of it.
    pub state: &'a State,
    /// The target's rollout.
    pub rollout: &'a Rollout,
    /// The target's id.
    pub id: &'a TargetId,
    /// What is wanted of it.
    pub planned: &'a PlannedTarget,
    /// Where it stands.
    pub target: &'a Target,
    /// When.
    pub now: Now,
}

impl Context<'_> {
    /// The rollout's id.
    pub fn rollout_id(&self) -> crate::model::ids::RolloutId {
        self.rollout.plan.rollout.clone()
    }

    /// The stack as it was before the rollout; none: there was no stack, or it is not captured yet.
    pub fn original(&self) -> Option<&StackRecord> {
        match self.target.restore_point.as_deref() {
            Some(RestorePoint::Stack(record)) => Some(record),
            _ => None,
        }
    }

    /// There was no stack before.
    pub fn is_created_here(&self) -> bool {
        self.target.restore_point.as_deref() == Some(&RestorePoint::Absent)
    }

    /// The next attempt.
    pub fn next_attempt(&self) -> Attempt {
        self.target.attempt.next()
    }

    /// The settlement of this target as an event.
    pub fn settled(&self, settlement: Settlement) -> Step {
        Step::event(Event::TargetSettled { rollout: self.rollout_id(), target: self.id.clone(), settlement })
    }

    /// This target needs a person.
    pub fn stuck(&self, reason: StuckReason, evidence: Option<String>) -> Step {
        self.settled(Settlement::Stuck { reason, evidence })
    }

    /// The request for a change set of the next attempt.
    pub fn request(&self, direction: Direction) -> Step {
        let attempt = self.next_attempt();
        let epoch = self.state.epoch;
        Step::event(Event::ChangeSetRequested {
            rollout: self.rollout_id(),
            target: self.id.clone(),
            direction,
            name: names::change_set_name(&self.rollout.plan.rollout, self.id, attempt, epoch),
            attempt,
            epoch,
        })
    }

    /// The intent of an operation.
    pub fn intend(
        &self,
        direction: Direction,
        call: OperationCall,
        attempt: Attempt,
        before: Option<Timestamp>,
    ) -> Event {
        let epoch = self.state.epoch;
        Event::OperationIntended {
            rollout: self.rollout_id(),
            target: self.id.clone(),
            operation: Operation {
                direction,
                call,
                token: names::token(&self.rollout.plan.rollout, self.id, attempt, epoch),
                attempt,
                epoch,
                intended_at: self.now.wall,
                before,
            },
        }
    }
}
