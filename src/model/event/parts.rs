//! What events are made of: operations, what a preparation left, how a target settled, how a rollout ended.

use crate::model::halt::StuckReason;
use crate::model::ids::{Attempt, Digest, Epoch, Token};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which way an operation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the change.
    Forward,
    /// Back to the restore point.
    Revert,
}

/// One provider operation on one target: at most one for each attempt (S8).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// Which way.
    pub direction: Direction,
    /// What is executed.
    pub call: OperationCall,
    /// On every event of the operation at the provider.
    pub token: Token,
    /// Which try.
    pub attempt: Attempt,
    /// Of which leader.
    pub epoch: Epoch,
    /// When the intent was recorded: events before are not of this operation.
    pub intended_at: Timestamp,
    /// The stack's `LastUpdatedTime` before the operation: a status that comes with this time is an old one.
    pub before: Option<Timestamp>,
}

/// What an operation executes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationCall {
    /// A change set, by ARN.
    ExecuteChangeSet {
        /// What is executed.
        arn: String,
        /// What was compared just before (S5).
        digest: Digest,
        /// The stack's ARN, also of one that is about to be created; not in the records of 0.1.0's first journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stack_id: Option<String>,
    },
    /// A stack's deletion, by ARN.
    DeleteStack {
        /// What is deleted.
        stack_id: String,
    },
    /// `ContinueUpdateRollback`.
    ContinueRollback {
        /// Of which stack.
        stack_id: String,
    },
}

/// What a target's preparation left at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prepared {
    /// A change set, ready to execute.
    ChangeSet {
        /// Its ARN.
        arn: String,
        /// Its name.
        name: String,
        /// Of which leader.
        epoch: Epoch,
    },
    /// A deletion has no change set: the stack itself.
    Deletion {
        /// Its ARN.
        stack_id: String,
    },
}

/// What a stack looked like when we left it: only that is reverted (S15).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Left {
    /// `StackRecord::content_digest`; none: the stack is gone.
    pub content: Option<Digest>,
    /// The stack's ARN.
    pub stack_id: String,
    /// `LastUpdatedTime` at the proof.
    pub last_updated: Option<Timestamp>,
}

/// How a target ended, proven by a read.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "as")]
pub enum Settlement {
    /// The change is in place.
    Applied {
        /// As it was then.
        left: Left,
    },
    /// There was nothing to change.
    Unchanged,
    /// The stack is as its restore point says.
    Restored {
        /// Who put it back.
        by: RestoredBy,
    },
    /// A person is needed.
    Stuck {
        /// Why.
        reason: StuckReason,
        /// The provider's last event on it.
        evidence: Option<String>,
    },
}

/// Who put a target back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoredBy {
    /// The provider's own rollback of a failing or cancelled operation.
    Provider,
    /// Our revert.
    Revert,
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every wave applied, baked and passed.
    Succeeded,
    /// Every touched target is proven restored.
    Reverted,
    /// At least one target needs a person.
    Stuck,
    /// It ended before any target was touched.
    Cancelled,
}

/// How a start was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartSeen {
    /// The provider accepted the call.
    Accepted,
    /// Found by the token in the stack's events.
    Found,
}
