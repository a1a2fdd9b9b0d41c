//! How far a change reaches: its class, whether it can be undone, and what people must say to it. Design §6.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a change does, taken from the provider's preview and never from the agent's words. A change may have several classes;
/// none of them excuses another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeClass {
    /// A resource is added.
    Additive,
    /// A resource is changed where it is.
    InPlace,
    /// A resource without data is replaced or removed, or a change interrupts it.
    Disruptive,
    /// A resource that holds data is removed or replaced.
    Destructive,
    /// What is lost is nowhere else.
    Irreversible,
    /// An identity, a trust or a permission may become wider.
    Privilege,
    /// What will happen cannot be told beforehand.
    Opaque,
}

impl ChangeClass {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Additive,
        Self::InPlace,
        Self::Disruptive,
        Self::Destructive,
        Self::Irreversible,
        Self::Privilege,
        Self::Opaque,
    ];

    /// As YAML and people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Additive => "additive",
            Self::InPlace => "in_place",
            Self::Disruptive => "disruptive",
            Self::Destructive => "destructive",
            Self::Irreversible => "irreversible",
            Self::Privilege => "privilege",
            Self::Opaque => "opaque",
        }
    }
}

impl fmt::Display for ChangeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What Wavegate's own revert can do about a change. The order is that of severity: of several, the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    /// The revert brings everything back without anybody noticing.
    #[default]
    Reversible,
    /// The revert brings it back; the resource is away or new for a while.
    WithInterruption,
    /// The revert does not bring it back.
    Irreversible,
}

impl fmt::Display for Reversibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reversible => "reversible",
            Self::WithInterruption => "reversible with interruption",
            Self::Irreversible => "irreversible",
        })
    }
}

/// What people must say to a change before it may start. The order is that of severity: of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// Nothing.
    Autonomous,
    /// One person who is not of the proposer's party agrees.
    OneApproval,
    /// Two people agree, who are not of the proposer's party.
    TwoApprovals,
    /// It does not happen, whoever agrees.
    Forbidden,
}

impl Autonomy {
    /// As YAML and people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::OneApproval => "one_approval",
            Self::TwoApprovals => "two_approvals",
            Self::Forbidden => "forbidden",
        }
    }

    /// One step stricter: an agent whose change was reverted has earned it. What is forbidden, and what two people decide, stays.
    #[must_use]
    pub fn dropped(self) -> Self {
        match self {
            Self::Autonomous => Self::OneApproval,
            Self::OneApproval | Self::TwoApprovals => Self::TwoApprovals,
            Self::Forbidden => Self::Forbidden,
        }
    }
}

impl fmt::Display for Autonomy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a change has its classes, as the approver is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum ClassReason {
    /// It is new.
    Added,
    /// It stays where it is.
    ChangedInPlace,
    /// The property cannot be changed without an interruption.
    Interrupts {
        /// Which.
        property: String,
    },
    /// It is replaced, certainly or perhaps.
    Replaced {
        /// Whether the provider is not sure.
        perhaps: bool,
        /// What becomes of the old one.
        old: Fate,
    },
    /// It is removed.
    Removed {
        /// What becomes of it.
        old: Fate,
    },
    /// A resource that was there before comes under the stack's control: a revert would take it out again by removing it.
    Imported,
    /// `DeletionPolicy` or `UpdateReplacePolicy` changes: what a later removal does is not what it was.
    ProtectionChanged,
    /// It can give somebody a permission.
    Grants {
        /// By which property; none: the whole resource is a grant.
        property: Option<String>,
    },
    /// It runs code of its own.
    RunsCode,
    /// A nested stack, of which the provider shows no changes.
    NestedNotExpanded,
    /// The template goes through a macro that is not the provider's own.
    Macro {
        /// Its name.
        name: String,
    },
    /// The provider used a word that is not known.
    UnknownWord {
        /// Which.
        word: String,
    },
}

/// What becomes of a resource that is removed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is deleted, with all that it holds.
    Deleted,
    /// It stays, and is no longer the stack's.
    Kept,
    /// A snapshot of it stays.
    Snapshot,
}

/// One resource's change, judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassifiedChange {
    /// Its name in the template; of a nested stack, with the names of the stacks around it, as `Storage/Table`.
    pub path: String,
    /// As `AWS::RDS::DBInstance`.
    pub resource_type: String,
    /// What it does. Never empty.
    pub classes: BTreeSet<ChangeClass>,
    /// Whether it can be undone.
    pub reversibility: Reversibility,
    /// Why, each reason once.
    pub reasons: BTreeSet<ClassReason>,
}

/// One target's change, judged: every resource, and all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Classified {
    /// Every class that occurs.
    pub classes: BTreeSet<ChangeClass>,
    /// The worst that occurs.
    pub reversibility: Reversibility,
    /// Of the target as a whole, beside its resources.
    pub reasons: BTreeSet<ClassReason>,
    /// By path.
    pub changes: Vec<ClassifiedChange>,
}
