//! What people are told without having asked. Kinds and numbers; words are made at the edge.

use super::decision::Found;
use super::event::Outcome;
use super::halt::{Hold, Kill, RevertReason, StuckReason};
use super::ids::{KillId, RolloutId, TargetId};
use super::rate::ChangeRateAlarm;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much it matters. The order of the variants is the order of severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Somebody should look today: something waits for a person.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// What people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A rollout asks people.
    ApprovalWanted,
    /// A rollout waits for a person.
    Held,
    /// Health broke: the rollout goes back, or is held where the pipeline says so.
    GateFailed,
    /// A rollout goes back for another reason than its health.
    Reverting,
    /// Every touched target is proven restored.
    Reverted,
    /// A target needs a person.
    Stuck,
    /// An operation takes longer than its deadline.
    Overdue,
    /// A stop order is in force.
    Kill,
    /// A stop order is not acknowledged for longer than it may take.
    KillPending,
    /// A stop order was lifted.
    KillLifted,
    /// Changes come far faster than they usually do.
    ChangeRate,
    /// A kill drill did not pass.
    DrillFailed,
    /// The daemon cannot write its journal any more, and has stopped.
    StoreLost,
    /// Another daemon leads; this one has stopped.
    Overtaken,
    /// The daemon has stopped by a defect of its own.
    Defect,
    /// Another channel does not take its messages.
    Undelivered,
    /// A rollout has ended well.
    Succeeded,
    /// A rollout ended before it touched anything.
    Cancelled,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::ApprovalWanted,
        Self::Held,
        Self::GateFailed,
        Self::Reverting,
        Self::Reverted,
        Self::Stuck,
        Self::Overdue,
        Self::Kill,
        Self::KillPending,
        Self::KillLifted,
        Self::ChangeRate,
        Self::DrillFailed,
        Self::StoreLost,
        Self::Overtaken,
        Self::Defect,
        Self::Undelivered,
        Self::Succeeded,
        Self::Cancelled,
    ];

    /// As it is written in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApprovalWanted => "approval_wanted",
            Self::Held => "held",
            Self::GateFailed => "gate_failed",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Stuck => "stuck",
            Self::Overdue => "overdue",
            Self::Kill => "kill",
            Self::KillPending => "kill_pending",
            Self::KillLifted => "kill_lifted",
            Self::ChangeRate => "change_rate",
            Self::DrillFailed => "drill_failed",
            Self::StoreLost => "store_lost",
            Self::Overtaken => "overtaken",
            Self::Defect => "defect",
            Self::Undelivered => "undelivered",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        match self {
            Self::GateFailed | Self::Stuck | Self::Kill | Self::KillPending | Self::StoreLost | Self::Defect => {
                Severity::Critical
            }
            Self::ApprovalWanted
            | Self::Held
            | Self::Reverting
            | Self::Overdue
            | Self::ChangeRate
            | Self::DrillFailed
            | Self::Overtaken
            | Self::Undelivered => Severity::Warning,
            Self::Reverted | Self::KillLifted | Self::Succeeded | Self::Cancelled => Severity::Info,
        }
    }

    /// True when it is told without anybody having asked for it: what has gone as it should is not.
    pub fn is_usual(self) -> bool {
        !matches!(self, Self::Succeeded | Self::Cancelled)
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that people are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is.
    pub kind: NoticeKind,
    /// Of which rollout.
    pub rollout: Option<RolloutId>,
    /// Of which target.
    pub target: Option<TargetId>,
    /// Of which stop order.
    pub kill: Option<KillId>,
    /// The numbers.
    pub about: About,
}

impl Notice {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

/// The numbers of a notice. What it says of a rollout beyond them is in the rollout's state.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// People are asked: the request is in the rollout's admission.
    Request,
    /// A sign-off is wanted.
    SignOff {
        /// What the next wave waits for.
        found: Found,
    },
    /// It waits.
    Hold(Box<Hold>),
    /// It goes back.
    Revert(Box<RevertReason>),
    /// It has ended.
    Ended(Outcome),
    /// A target is stuck.
    Stuck(Box<StuckReason>),
    /// An operation takes too long.
    Overdue {
        /// The provider's last event.
        last_event: Option<String>,
    },
    /// A stop order.
    Kill(Box<Kill>),
    /// A stop order was lifted.
    Lifted {
        /// By whom.
        by: [String; 2],
    },
    /// A rate of changes.
    Rate(Box<ChangeRateAlarm>),
    /// A drill.
    Drill {
        /// Its name.
        drill: String,
        /// Who held it.
        by: String,
        /// So many checks.
        checks: usize,
        /// So many of them failed.
        failed: usize,
    },
}
