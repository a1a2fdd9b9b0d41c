//! What an event is about: its rollout, its target, and its name as it is stored.

use super::Event;
use crate::model::ids::{RolloutId, TargetId};

impl Event {
    /// The rollout that it concerns.
    pub fn rollout(&self) -> Option<&RolloutId> {
        match self {
            Self::LeaderStarted { .. }
            | Self::KillRequested { .. }
            | Self::KillAcknowledged { .. }
            | Self::KillLifted { .. }
            | Self::KillLiftAsked { .. }
            | Self::OrderRefused { .. }
            | Self::ChangeRateAlarmed { .. }
            | Self::TokenListed { .. }
            | Self::TokenEnded { .. }
            | Self::DrillEnded { .. } => None,
            Self::RolloutProposed { plan, .. } => Some(&plan.rollout),
            Self::ApprovalGiven { approval } => Some(&approval.rollout),
            Self::RestorePointCaptured { rollout, .. }
            | Self::ChangeSetRequested { rollout, .. }
            | Self::TargetPrepared { rollout, .. }
            | Self::ChangeSetGone { rollout, .. }
            | Self::OperationIntended { rollout, .. }
            | Self::OperationStarted { rollout, .. }
            | Self::OperationNotStarted { rollout, .. }
            | Self::CancelIntended { rollout, .. }
            | Self::OperationEnded { rollout, .. }
            | Self::TargetSettled { rollout, .. }
            | Self::OperationOverdue { rollout, .. }
            | Self::GuardrailsJudged { rollout, .. }
            | Self::RolloutWaits { rollout, .. }
            | Self::ApprovalRevoked { rollout, .. }
            | Self::ApprovalRejected { rollout, .. }
            | Self::ApprovalRefused { rollout, .. }
            | Self::ApprovalsUsed { rollout, .. }
            | Self::EnvironmentSignedOff { rollout, .. }
            | Self::WaveStarted { rollout, .. }
            | Self::BakeStarted { rollout, .. }
            | Self::BaselineTaken { rollout, .. }
            | Self::TicksCompared { rollout, .. }
            | Self::HealthJudged { rollout, .. }
            | Self::GatePassed { rollout, .. }
            | Self::RolloutHeld { rollout, .. }
            | Self::RolloutResumed { rollout, .. }
            | Self::RevertStarted { rollout, .. }
            | Self::RolloutEnded { rollout, .. } => Some(rollout),
        }
    }

    /// The target that it concerns.
    pub fn target(&self) -> Option<&TargetId> {
        match self {
            Self::RestorePointCaptured { target, .. }
            | Self::ChangeSetRequested { target, .. }
            | Self::TargetPrepared { target, .. }
            | Self::ChangeSetGone { target, .. }
            | Self::OperationIntended { target, .. }
            | Self::OperationStarted { target, .. }
            | Self::OperationNotStarted { target, .. }
            | Self::CancelIntended { target, .. }
            | Self::OperationEnded { target, .. }
            | Self::TargetSettled { target, .. }
            | Self::OperationOverdue { target, .. } => Some(target),
            _ => None,
        }
    }

    /// The event's name as it is stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LeaderStarted { .. } => "leader_started",
            Self::RolloutProposed { .. } => "rollout_proposed",
            Self::RestorePointCaptured { .. } => "restore_point_captured",
            Self::ChangeSetRequested { .. } => "change_set_requested",
            Self::TargetPrepared { .. } => "target_prepared",
            Self::ChangeSetGone { .. } => "change_set_gone",
            Self::OperationIntended { .. } => "operation_intended",
            Self::OperationStarted { .. } => "operation_started",
            Self::OperationNotStarted { .. } => "operation_not_started",
            Self::CancelIntended { .. } => "cancel_intended",
            Self::OperationEnded { .. } => "operation_ended",
            Self::TargetSettled { .. } => "target_settled",
            Self::OperationOverdue { .. } => "operation_overdue",
            Self::GuardrailsJudged { .. } => "guardrails_judged",
            Self::RolloutWaits { .. } => "rollout_waits",
            Self::ApprovalGiven { .. } => "approval_given",
            Self::ApprovalRevoked { .. } => "approval_revoked",
            Self::ApprovalRejected { .. } => "approval_rejected",
            Self::ApprovalRefused { .. } => "approval_refused",
            Self::ApprovalsUsed { .. } => "approvals_used",
            Self::EnvironmentSignedOff { .. } => "environment_signed_off",
            Self::WaveStarted { .. } => "wave_started",
            Self::BakeStarted { .. } => "bake_started",
            Self::BaselineTaken { .. } => "baseline_taken",
            Self::TicksCompared { .. } => "ticks_compared",
            Self::HealthJudged { .. } => "health_judged",
            Self::GatePassed { .. } => "gate_passed",
            Self::RolloutHeld { .. } => "rollout_held",
            Self::RolloutResumed { .. } => "rollout_resumed",
            Self::RevertStarted { .. } => "revert_started",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::KillRequested { .. } => "kill_requested",
            Self::KillAcknowledged { .. } => "kill_acknowledged",
            Self::KillLifted { .. } => "kill_lifted",
            Self::KillLiftAsked { .. } => "kill_lift_asked",
            Self::OrderRefused { .. } => "order_refused",
            Self::ChangeRateAlarmed { .. } => "change_rate_alarmed",
            Self::TokenListed { .. } => "token_listed",
            Self::TokenEnded { .. } => "token_ended",
            Self::DrillEnded { .. } => "drill_ended",
        }
    }
}
