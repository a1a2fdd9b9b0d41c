//! One target's state and its transitions: the CloudFormation protocol of one stack.
//!
//! ```text
//!  Untouched ─► Captured ─► Preparing ─► Ready ─► Intended ─► Running ─► Ended ─► Settled
//!                  ▲            │          │          │                    │         │
//!                  └────────────┴──────────┴──────────┘  gone, not started │         │ revert
//!                                          continue rollback, delete ◄─────┘         ▼
//!                                                                        Preparing … Restored | Stuck
//! ```

use crate::guard::{self, Guard};
use crate::model::class::Classified;
use crate::model::event::{Direction, Event, Left, Operation, OperationCall, Prepared, Settlement};
use crate::model::ids::{Attempt, Digest, Epoch};
use crate::model::observation::ResourceFailure;
use crate::model::preview::{PreviewContext, PreviewCounts, ResourceChange};
use crate::model::stack::{RestorePoint, StackStatus};
use jiff::Timestamp;
use std::sync::Arc;

/// One target.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub struct Target {
    /// Where it stands.
    pub phase: Phase,
    /// How to put it back; durable before it is touched (S13).
    pub restore_point: Option<Arc<RestorePoint>>,
    /// The restore point's digest.
    pub restore_digest: Option<Digest>,
    /// The digest of the first preview: what was shown and approved.
    pub approved: Option<Digest>,
    /// The first preview, in numbers.
    pub counts: PreviewCounts,
    /// The first preview, in full.
    pub changes: Vec<ResourceChange>,
    /// What the first preview comes to; none in the records of 0.1.0's first issues.
    pub classified: Option<Box<Classified>>,
    /// What was read beside the first preview.
    pub context: Option<Box<PreviewContext>>,
    /// When the first forward call on it was intended.
    pub touched_at: Option<Timestamp>,
    /// The newest try.
    pub attempt: Attempt,
    /// As the change left it, once applied.
    pub left: Option<Left>,
    /// A forward operation on it failed.
    pub failed: bool,
    /// `CancelUpdateStack` was intended for the running operation.
    pub cancelling: bool,
    /// How often its rollback was continued.
    pub continued: u32,
    /// How often its revert was executed.
    pub reverts: u32,
    /// The running operation was reported as overdue.
    pub overdue: bool,
    /// Where it goes back to when what it prepares comes to nothing.
    rest: Box<Phase>,
}

/// Where a target stands.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub enum Phase {
    /// Nothing is known of it yet.
    #[default]
    Untouched,
    /// Its restore point is durable.
    Captured,
    /// A change set of this name may exist.
    Preparing {
        /// Which way.
        direction: Direction,
        /// The change set's name.
        name: String,
        /// Of which leader.
        epoch: Epoch,
    },
    /// The change set (or the deletion) waits for its turn.
    Ready {
        /// Which way.
        direction: Direction,
        /// What is ready.
        prepared: Prepared,
        /// What was read when it became ready.
        digest: Digest,
    },
    /// The call may have been sent.
    Intended(Operation),
    /// The operation is proven to have started.
    Running(Operation),
    /// The provider is done; the proof is outstanding.
    Ended {
        /// What ended.
        operation: Operation,
        /// In which status.
        status: StackStatus,
        /// The provider's words.
        reason: Option<String>,
        /// What failed.
        failures: Vec<ResourceFailure>,
    },
    /// Proven.
    Settled(Settlement),
}

impl Phase {
    /// The phase in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Captured => "captured",
            Self::Preparing { .. } => "preparing",
            Self::Ready { .. } => "ready",
            Self::Intended(_) => "intended",
            Self::Running(_) => "running",
            Self::Ended { .. } => "proving",
            Self::Settled(Settlement::Applied { .. }) => "applied",
            Self::Settled(Settlement::Unchanged) => "unchanged",
            Self::Settled(Settlement::Restored { .. }) => "restored",
            Self::Settled(Settlement::Stuck { .. }) => "stuck",
        }
    }
}

impl Target {
    /// Proven applied, unchanged, restored or stuck.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled(_))
    }

    /// Nothing of ours is open at the provider.
    pub fn is_clean(&self) -> bool {
        matches!(self.phase, Phase::Untouched | Phase::Captured | Phase::Settled(_))
    }

    /// The change is in place.
    pub fn is_applied(&self) -> bool {
        matches!(self.phase, Phase::Settled(Settlement::Applied { .. }))
    }

    /// An operation of ours may have changed it, and it is not known to be as before.
    pub fn is_touched(&self) -> bool {
        match &self.phase {
            Phase::Intended(_) | Phase::Running(_) | Phase::Ended { .. } => true,
            Phase::Settled(settlement) => !matches!(settlement, Settlement::Unchanged),
            _ => self.left.is_some(),
        }
    }

    /// Touched, and neither restored nor stuck: a revert has work to do here.
    pub fn needs_revert(&self) -> bool {
        self.is_touched()
            && !matches!(self.phase, Phase::Settled(Settlement::Restored { .. } | Settlement::Stuck { .. }))
    }

    /// The operation that may be or is in flight.
    pub fn operation(&self) -> Option<&Operation> {
        match &self.phase {
            Phase::Intended(op) | Phase::Running(op) => Some(op),
            Phase::Ended { operation, .. } => Some(operation),
            _ => None,
        }
    }

    /// A forward call is intended and not yet proven started: it could still start.
    pub fn forward_may_start(&self) -> bool {
        matches!(&self.phase, Phase::Intended(op) if op.direction == Direction::Forward)
    }

    /// Something of an older leader than `epoch` may still be executed here.
    pub fn is_stale(&self, epoch: Epoch) -> bool {
        match &self.phase {
            Phase::Preparing { epoch: of, .. } => *of < epoch,
            Phase::Ready { prepared: Prepared::ChangeSet { epoch: of, .. }, .. } => *of < epoch,
            Phase::Intended(op) => op.epoch < epoch,
            _ => false,
        }
    }

    /// The one transition table of a target: false when the event does not fit.
    pub(super) fn apply(&mut self, event: &Event) -> bool {
        match (&self.phase, event) {
            (Phase::Untouched, Event::RestorePointCaptured { restore_point, digest, .. }) => {
                self.restore_digest = Some(digest.clone());
                self.restore_point = Some(Arc::clone(restore_point));
                self.phase = Phase::Captured;
                true
            }
            (
                Phase::Captured | Phase::Settled(_),
                Event::ChangeSetRequested { direction, name, attempt, epoch, .. },
            ) => self.request(*direction, name, *attempt, *epoch),
            (Phase::Captured, Event::TargetPrepared { prepared: Prepared::Deletion { .. }, .. }) => {
                self.ready(Direction::Forward, event)
            }
            (Phase::Preparing { direction, .. }, Event::TargetPrepared { .. }) => self.ready(*direction, event),
            (Phase::Preparing { .. } | Phase::Ready { .. }, Event::ChangeSetGone { .. }) => {
                self.phase = std::mem::take(&mut *self.rest);
                true
            }
            (_, Event::OperationIntended { operation, .. }) => self.intend(operation),
            (Phase::Intended(op), Event::OperationStarted { .. }) => {
                self.phase = Phase::Running(op.clone());
                true
            }
            (Phase::Intended(_), Event::OperationNotStarted { .. }) => {
                self.phase = std::mem::take(&mut *self.rest);
                // It never was: what comes later is the first time.
                if self.phase == Phase::Captured {
                    self.touched_at = None;
                }
                true
            }
            (Phase::Running(op), Event::CancelIntended { .. }) => {
                let fits = !self.cancelling && op.direction == Direction::Forward;
                self.cancelling |= fits;
                fits
            }
            (Phase::Running(_), Event::OperationOverdue { .. }) => !std::mem::replace(&mut self.overdue, true),
            (Phase::Running(op), Event::OperationEnded { status, reason, failures, .. }) => {
                self.phase = Phase::Ended {
                    operation: op.clone(),
                    status: status.clone(),
                    reason: reason.clone(),
                    failures: failures.clone(),
                };
                self.cancelling = false;
                true
            }
            (_, Event::TargetSettled { settlement, .. }) => self.settle(settlement),
            _ => false,
        }
    }

    fn request(&mut self, direction: Direction, name: &str, attempt: Attempt, epoch: Epoch) -> bool {
        let from_rest = match direction {
            Direction::Forward => self.phase == Phase::Captured,
            Direction::Revert => self.is_applied(),
        };
        let fits = from_rest && attempt > self.attempt && self.restore_point.is_some();
        if fits {
            *self.rest = std::mem::take(&mut self.phase);
            self.attempt = attempt;
            self.phase = Phase::Preparing { direction, name: name.to_owned(), epoch };
        }
        fits
    }

    fn ready(&mut self, direction: Direction, event: &Event) -> bool {
        let Event::TargetPrepared { prepared, digest, counts, changes, classified, context, .. } = event else {
            return false;
        };
        if direction == Direction::Forward {
            match &self.approved {
                // INVARIANT: S5. What becomes ready again is what was approved the first time.
                Some(approved) if approved != digest && guard::holds(Guard::ApprovedDigest) => return false,
                Some(_) => {}
                None => {
                    self.approved = Some(digest.clone());
                    self.counts = *counts;
                    self.changes = changes.clone();
                    self.classified = classified.clone();
                    self.context = context.clone();
                }
            }
        }
        if self.phase == Phase::Captured {
            *self.rest = Phase::Captured;
        }
        self.phase = Phase::Ready { direction, prepared: prepared.clone(), digest: digest.clone() };
        true
    }

    fn intend(&mut self, operation: &Operation) -> bool {
        // INVARIANT: S3, S13. No intent without a durable restore point.
        if self.restore_point.is_none() {
            return false;
        }
        let fits = match (&self.phase, &operation.call) {
            (
                Phase::Ready { prepared: Prepared::ChangeSet { arn, .. }, direction, .. },
                OperationCall::ExecuteChangeSet { arn: executed, .. },
            ) => arn == executed && *direction == operation.direction && operation.attempt == self.attempt,
            (
                Phase::Ready { prepared: Prepared::Deletion { stack_id }, .. },
                OperationCall::DeleteStack { stack_id: deleted },
            ) => stack_id == deleted && operation.direction == Direction::Forward && operation.attempt > self.attempt,
            // A stack that the rollout created, or tried to create, is deleted to revert it.
            (Phase::Settled(Settlement::Applied { .. }) | Phase::Ended { .. }, OperationCall::DeleteStack { .. }) => {
                operation.direction == Direction::Revert
                    && operation.attempt > self.attempt
                    && self.restore_point.as_deref() == Some(&RestorePoint::Absent)
            }
            (
                Phase::Ended { status: StackStatus::UpdateRollbackFailed, .. },
                OperationCall::ContinueRollback { .. },
            ) => operation.attempt > self.attempt,
            _ => false,
        };
        if fits {
            self.note_intent(operation);
        }
        fits
    }

    fn note_intent(&mut self, operation: &Operation) {
        match &operation.call {
            OperationCall::ContinueRollback { .. } => self.continued += 1,
            _ if operation.direction == Direction::Revert => self.reverts += 1,
            _ => {}
        }
        // A change set that was not executed leads back to where its preparation began, not to `Ready`: it is gone then.
        if matches!(self.phase, Phase::Settled(_) | Phase::Ended { .. }) {
            *self.rest = std::mem::take(&mut self.phase);
        }
        if operation.direction == Direction::Forward {
            self.touched_at.get_or_insert(operation.intended_at);
        }
        self.attempt = operation.attempt;
        self.overdue = false;
        self.phase = Phase::Intended(operation.clone());
    }

    fn settle(&mut self, settlement: &Settlement) -> bool {
        let fits = match (&self.phase, settlement) {
            // Left out, because an earlier stack of its cell failed.
            (Phase::Untouched | Phase::Captured, Settlement::Unchanged) => true,
            // A change set without changes: the stack already is as wanted.
            (Phase::Preparing { direction: Direction::Forward, .. }, Settlement::Unchanged) => true,
            (
                Phase::Preparing { direction: Direction::Revert, .. },
                Settlement::Restored { .. } | Settlement::Stuck { .. },
            ) => true,
            (Phase::Ended { operation, .. }, Settlement::Applied { .. }) => {
                operation.direction == Direction::Forward || self.left.is_some()
            }
            (Phase::Ended { .. }, Settlement::Restored { .. } | Settlement::Stuck { .. }) => true,
            (Phase::Settled(Settlement::Applied { .. }), Settlement::Restored { .. } | Settlement::Stuck { .. }) => {
                true
            }
            _ => false,
        };
        if fits {
            let forward = self.operation().is_some_and(|op| op.direction == Direction::Forward);
            self.failed |= forward && !matches!(settlement, Settlement::Applied { .. });
            if let Settlement::Applied { left } = settlement {
                self.left = Some(left.clone());
            }
            self.phase = Phase::Settled(settlement.clone());
        }
        fits
    }
}
