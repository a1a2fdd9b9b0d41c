//! Calls on their way: each may arrive late, be answered, be throttled or give no answer, also after its sender is gone.

use crate::machine::World;
use crate::properties;
use crate::provider::{Content, error};
use std::hash::{Hash, Hasher};
use wavegate::engine::decide::Input;
use wavegate::engine::effect::{Answer, EffectId, Reply};
use wavegate::model::ids::Token;
use wavegate::model::observation::ProviderErrorKind as Kind;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wire {
    /// `ExecuteChangeSet`.
    Execute {
        /// By ARN.
        arn: String,
        /// With this token.
        token: Token,
        /// Towards the change.
        forward: bool,
    },
    /// `DeleteChangeSet`.
    Fence {
        /// ARN or name.
        change_set: String,
    },
    /// `CancelUpdateStack`.
    Cancel,
    /// `ContinueUpdateRollback`.
    Continue {
        /// With this token.
        token: Token,
    },
    /// `CreateChangeSet`.
    Create {
        /// Of this name.
        name: String,
        /// With this content.
        to: Content,
        /// What it was answered with.
        arn: Option<String>,
    },
    /// `DescribeAlarms`: a read, but one during which much may happen.
    Alarms,
}

/// Where a call is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// On its way.
    Sent,
    /// It has had its effect, or was refused; the answer is on its way back.
    Answered(Option<u8>),
    /// On its way, and nobody waits for the answer any more.
    Orphan,
}

/// A call without the name of its effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Letter {
    /// To which stack.
    pub stack: usize,
    /// From which leader.
    pub epoch: u64,
    /// What is asked.
    pub wire: Wire,
    /// Where it is.
    pub stage: Stage,
}

/// A call in the network. Two that differ in the name of their effect alone are the same.
#[derive(Clone, Debug)]
pub struct Message {
    /// The call.
    pub letter: Letter,
    /// The sender's name for it.
    pub id: EffectId,
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.letter == other.letter
    }
}

impl Hash for Message {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.letter.hash(into);
    }
}

const REFUSALS: [Kind; 3] = [Kind::Rejected, Kind::NotFound, Kind::AlreadyExists];

impl Letter {
    fn operation(&self) -> &'static str {
        match self.wire {
            Wire::Execute { .. } => "ExecuteChangeSet",
            Wire::Fence { .. } => "DeleteChangeSet",
            Wire::Cancel => "CancelUpdateStack",
            Wire::Continue { .. } => "ContinueUpdateRollback",
            Wire::Create { .. } => "CreateChangeSet",
            Wire::Alarms => "DescribeAlarms",
        }
    }

    /// The call has its effect, if it still can. Every invariant that speaks of effects is checked here.
    pub fn arrive(&mut self, world: &mut World) -> Reply {
        if let Wire::Create { name, to, arn } = &mut self.wire {
            let reply = world.provider.create(self.stack, name, *to, self.epoch);
            if let Ok(Answer::Created(made)) = &reply {
                *arn = Some(made.clone());
            }
            return reply;
        }
        let before = world.provider.stacks[self.stack].clone();
        let stack = world.provider.stack(self.stack);
        let reply = match &self.wire {
            Wire::Execute { arn, token, .. } => stack.execute(arn, token),
            Wire::Fence { change_set } => stack.delete_set(change_set),
            Wire::Cancel => stack.cancel(),
            Wire::Continue { token } => stack.continue_rollback(token),
            Wire::Create { .. } => return Ok(Answer::Done),
            Wire::Alarms => world
                .provider
                .read(&wavegate::engine::effect::Call::ReadAlarms(Vec::new()))
                .expect("a read is answered"),
        };
        if reply.is_ok() {
            let found = properties::at_effect(world, &before, self);
            world.broken.note(found);
            if matches!(self.wire, Wire::Execute { .. }) {
                world.provider.newest = world.provider.newest.max(self.epoch);
            }
        }
        reply
    }

    /// The stage after the call has arrived with this outcome.
    pub fn answered(reply: &Reply) -> Stage {
        let refusal = reply.as_ref().err().and_then(|e| REFUSALS.iter().position(|kind| *kind == e.kind));
        debug_assert!(reply.is_ok() || refusal.is_some());
        Stage::Answered(refusal.map(|at| u8::try_from(at).unwrap_or(0)))
    }

    /// The answer that is on its way.
    pub fn reply(&self) -> Option<Reply> {
        match self.stage {
            Stage::Answered(None) => Some(Ok(match &self.wire {
                Wire::Create { arn: Some(arn), .. } => Answer::Created(arn.clone()),
                _ => Answer::Done,
            })),
            Stage::Answered(Some(at)) => Some(self.fails(REFUSALS[usize::from(at)])),
            Stage::Sent | Stage::Orphan => None,
        }
    }

    /// An answer of that kind.
    pub fn fails(&self, kind: Kind) -> Reply {
        Err(error(self.operation(), kind))
    }

    /// True when the call can have no effect any more: its change set is gone, and ARNs are never used twice.
    pub fn is_spent(&self, world: &World) -> bool {
        let stack = &world.provider.stacks[self.stack];
        match &self.wire {
            Wire::Execute { arn, .. } => !stack.sets.iter().any(|set| *set.arn == **arn && !set.executing),
            Wire::Fence { change_set } => {
                change_set.starts_with("arn:") && !stack.sets.iter().any(|set| *set.arn == **change_set)
            }
            Wire::Cancel | Wire::Continue { .. } | Wire::Create { .. } => false,
            Wire::Alarms => true,
        }
    }
}

impl Message {
    /// The reply, as the sender takes it in.
    pub fn input(&self, reply: Reply) -> Vec<Input> {
        vec![Input::Reply(self.id, reply)]
    }
}
