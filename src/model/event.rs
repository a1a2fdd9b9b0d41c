//! Journal events: the only way in which state changes. Each is a fact that was decided or observed.
//!
//! The format is versioned ([`EVENT_VERSION`]); a record of a newer version, or one that cannot be read, stops the daemon.

mod look;
mod parts;

pub use parts::{Direction, Left, Operation, OperationCall, Outcome, Prepared, RestoredBy, Settlement, StartSeen};

use super::approval::Approval;
use super::class::Classified;
use super::comparison::{Baseline, Compared};
use super::decision::{Found, Judged};
use super::drill::Drill;
use super::halt::{Hold, Kill, RevertReason};
use super::ids::{Attempt, Digest, Epoch, KillId, RolloutId, TargetId};
use super::observation::ResourceFailure;
use super::plan::Plan;
use super::preview::{PreviewContext, PreviewCounts, ResourceChange};
use super::principal::{HandedIn, Principal, RefusedOrder};
use super::rate::ChangeRateAlarm;
use super::stack::{RestorePoint, StackStatus};
use super::time::Millis;
use super::token::{TokenEnd, TokenGrant};
use super::verdict::{Finding, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The version of the records that this release writes.
pub const EVENT_VERSION: u32 = 1;

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
        /// Who that is, and by which credential and door; none in journals from before people were known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handed_in: Option<Box<HandedIn>>,
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
    /// One of the two people who lift a stop order has asked for it.
    KillLiftAsked {
        /// Which order.
        kill: KillId,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Somebody was refused: an unknown caller, one who may not, or an order that cannot be taken.
    OrderRefused {
        /// Who, what, why, and how often.
        refused: Box<RefusedOrder>,
    },
    /// Changes come far faster than they usually do.
    ChangeRateAlarmed {
        /// Whose, and how fast.
        alarm: Box<ChangeRateAlarm>,
    },
    /// A token lets somebody in from now on; or what it grants was changed by hand.
    TokenListed {
        /// Whom.
        token: Box<TokenGrant>,
        /// It was on record before, with another grant or as revoked.
        changed: bool,
    },
    /// A token lets nobody in any more.
    TokenEnded {
        /// Its public name.
        token: String,
        /// Whose it was.
        name: String,
        /// How.
        end: TokenEnd,
    },
    /// A kill drill has ended.
    DrillEnded {
        /// What was tried, and what came of it.
        drill: Box<Drill>,
    },
}
