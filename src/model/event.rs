//! Journal events: the only way in which state changes. Each is a fact that was decided or observed.
//!
//! The format is versioned ([`EVENT_VERSION`]); a record of a newer version, or one that cannot be read, stops the daemon.

mod look;

use super::approval::Approval;
use super::class::Classified;
use super::comparison::{Baseline, Compared};
use super::decision::{Found, Judged};
use super::halt::{Hold, Kill, RevertReason, StuckReason};
use super::ids::{Attempt, Digest, Epoch, KillId, RolloutId, TargetId, Token};
use super::observation::ResourceFailure;
use super::plan::Plan;
use super::preview::{PreviewContext, PreviewCounts, ResourceChange};
use super::principal::Principal;
use super::stack::{RestorePoint, StackStatus};
use super::time::Millis;
use super::verdict::{Finding, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The version of the records that this release writes.
pub const EVENT_VERSION: u32 = 1;

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

/// One fact about the whole daemon, a rollout or a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A daemon took the state directory.
    LeaderStarted {
        /// Its term.
        epoch: Epoch,
        /// Who it is: process id and a random name.
        holder: String,
        /// Its version.
        version: String,
    },
    /// A change set was admitted and planned.
    RolloutProposed {
        /// The whole plan.
        plan: Arc<Plan>,
        /// Its digest.
        digest: Digest,
        /// The local user or party that handed it in.
        by: String,
    },
    /// All that is needed to put the target back is durable (S13).
    RestorePointCaptured {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// The restore point.
        restore_point: Arc<RestorePoint>,
        /// Its digest.
        digest: Digest,
    },
    /// A change set of this name may exist from now on.
    ChangeSetRequested {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// Which way.
        direction: Direction,
        /// Its name: carries rollout, target, attempt and epoch.
        name: String,
        /// Which try.
        attempt: Attempt,
        /// Of which leader.
        epoch: Epoch,
    },
    /// The preview was read and, after the first time, is what was approved.
    TargetPrepared {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// What is ready.
        prepared: Prepared,
        /// The approval digest (S5).
        digest: Digest,
        /// In numbers.
        counts: PreviewCounts,
        /// In full.
        changes: Vec<ResourceChange>,
        /// What it comes to, on the way there; none on the way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classified: Option<Box<Classified>>,
        /// What was read beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<Box<PreviewContext>>,
    },
    /// The prepared change set does not exist any more and can never be executed.
    ChangeSetGone {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// Why it was given up.
        why: String,
    },
    /// An operation will be sent; from here on it may have happened (S3).
    OperationIntended {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// Which.
        operation: Operation,
    },
    /// The operation is proven to have started.
    OperationStarted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// `accepted` by the answer to the call, or `found` by its token after a lost answer.
        seen: StartSeen,
    },
    /// The operation is proven never to have started, and cannot start any more.
    OperationNotStarted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// What proves it.
        why: String,
    },
    /// `CancelUpdateStack` will be sent.
    CancelIntended {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
    },
    /// The provider is done, one way or the other; the proof is still to come.
    OperationEnded {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// The status it ended in.
        status: StackStatus,
        /// The provider's words.
        reason: Option<String>,
        /// Resources that failed, where something failed.
        failures: Vec<ResourceFailure>,
    },
    /// A target is settled, proven by a read.
    TargetSettled {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// How.
        settlement: Settlement,
    },
    /// An operation takes longer than its deadline (L6).
    OperationOverdue {
        /// Of which rollout.
        rollout: RolloutId,
        /// Of which target.
        target: TargetId,
        /// The provider's last event.
        last_event: Option<String>,
    },
    /// The guardrails have looked at the plan and all of its previews.
    GuardrailsJudged {
        /// Of which rollout.
        rollout: RolloutId,
        /// What they found, and what follows.
        judged: Arc<Judged>,
    },
    /// What the next wave waits for, without anybody's doing, has changed; empty: it waits no longer.
    RolloutWaits {
        /// Of which rollout.
        rollout: RolloutId,
        /// What it waits for.
        found: Vec<Found>,
    },
    /// A person agreed.
    ApprovalGiven {
        /// To what, and who.
        approval: Approval,
    },
    /// A person took back what they had agreed to, before it was used.
    ApprovalRevoked {
        /// Of which rollout.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// A person said no: it does not happen.
    ApprovalRejected {
        /// Of which rollout.
        rollout: RolloutId,
        /// Who.
        by: Principal,
        /// Why, in their words.
        reason: String,
    },
    /// An answer that does not count.
    ApprovalRefused {
        /// Of which rollout.
        rollout: RolloutId,
        /// Whose.
        by: Principal,
        /// Why.
        why: String,
    },
    /// Approvals were used: they stand for these waves, and for nothing else any more (S7).
    ApprovalsUsed {
        /// Of which rollout.
        rollout: RolloutId,
        /// What they agreed to.
        digest: Digest,
        /// Whose.
        by: Vec<String>,
        /// Index of the last wave that they cover.
        through_wave: usize,
        /// When.
        at: Timestamp,
    },
    /// A person says that an environment is as it should be: the next one may start.
    EnvironmentSignedOff {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        environment: String,
        /// Who.
        by: Principal,
    },
    /// A wave may start: its gate is open.
    WaveStarted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Index of the wave.
        wave: usize,
    },
    /// Every target of the wave is settled; it is watched now.
    BakeStarted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Index of the wave.
        wave: usize,
        /// When.
        at: Timestamp,
    },
    /// What history says of each cell, for the comparison: frozen here, before the first wave.
    BaselineTaken {
        /// Of which rollout.
        rollout: RolloutId,
        /// The history.
        baseline: Arc<Baseline>,
    },
    /// Ticks have closed and were compared.
    TicksCompared {
        /// Of which rollout.
        rollout: RolloutId,
        /// All of the evidence so far.
        compared: Arc<Compared>,
    },
    /// A look at the health of the wave and all earlier ones.
    HealthJudged {
        /// Of which rollout.
        rollout: RolloutId,
        /// Index of the wave.
        wave: usize,
        /// Watched time so far, by the monotonic clock, without the time in which no daemon watched.
        elapsed: Millis,
        /// What health says.
        verdict: Verdict,
        /// Why not pass.
        findings: Vec<Finding>,
    },
    /// The next wave may start (S1).
    GatePassed {
        /// Of which rollout.
        rollout: RolloutId,
        /// Index of the wave whose bake ended.
        wave: usize,
        /// Of which plan.
        plan: Digest,
        /// Readings that were looked at.
        readings: u32,
    },
    /// The rollout waits for a person.
    RolloutHeld {
        /// Of which rollout.
        rollout: RolloutId,
        /// Why.
        hold: Hold,
    },
    /// A person let it go on.
    RolloutResumed {
        /// Of which rollout.
        rollout: RolloutId,
        /// Who.
        by: String,
    },
    /// From here on only back.
    RevertStarted {
        /// Of which rollout.
        rollout: RolloutId,
        /// Why.
        reason: RevertReason,
    },
    /// Nothing of the rollout is left open.
    RolloutEnded {
        /// Of which rollout.
        rollout: RolloutId,
        /// How.
        outcome: Outcome,
    },
    /// A stop order is in force.
    KillRequested {
        /// The order.
        kill: Kill,
    },
    /// No forward call that was intended can start any more (S2).
    KillAcknowledged {
        /// Which order.
        kill: KillId,
    },
    /// Two people ended it.
    KillLifted {
        /// Which order.
        kill: KillId,
        /// The two.
        by: [String; 2],
    },
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
