//! What the guardrails found, and what follows: every reason with its numbers, the line that caused it, and what would satisfy it.

use super::approval::ApprovalRequest;
use super::class::{Autonomy, ChangeClass, Reversibility};
use super::ids::{Digest, RolloutId, TargetId};
use super::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What follows for a plan as a whole. The order is that of severity: of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may start.
    Allow,
    /// It may start when time or other rollouts have moved on; nobody need do anything.
    Wait,
    /// People must agree.
    NeedApproval,
    /// It does not happen, whoever agrees.
    Deny,
}

/// One thing that a guardrail found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What.
    pub what: Reason,
    /// Which line of which file asks for it; none: it is built in.
    pub cause: Option<Cause>,
    /// What follows.
    pub follows: Consequence,
    /// It is only recorded: the rule is on trial.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The pipeline's, price book's or policy's file.
    pub file: String,
    /// The line, from 1; 0: the file does not name it, it is the default.
    pub line: u32,
    /// As `guardrails.cost.max_monthly_increase`, or a policy's id.
    pub rule: String,
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// People must say this.
    Needs(Autonomy),
    /// It waits; until this time at the earliest, where that is known.
    Waits {
        /// Until when.
        until: Option<Timestamp>,
    },
}

impl Consequence {
    /// What follows for the whole.
    pub fn decision(self) -> Decision {
        match self {
            Self::Needs(Autonomy::Autonomous) => Decision::Allow,
            Self::Needs(Autonomy::OneApproval | Autonomy::TwoApprovals) => Decision::NeedApproval,
            Self::Needs(Autonomy::Forbidden) => Decision::Deny,
            Self::Waits { .. } => Decision::Wait,
        }
    }
}

/// Whose changes are added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SumOf {
    /// One agent's.
    Agent(String),
    /// A pipeline's.
    Pipeline(String),
    /// Everybody's.
    Fleet,
}

/// What is measured of a reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Stacks.
    Targets,
    /// Resources.
    Resources,
    /// Percent of customers.
    PercentOfTraffic,
}

/// What a guardrail found, with its numbers. The serialized `code` is stable: programs act on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Reason {
    /// The change has this class in this environment.
    Class {
        /// Where.
        environment: String,
        /// Which.
        class: ChangeClass,
        /// In so many targets.
        targets: u32,
        /// So many resources.
        resources: u32,
    },
    /// The agent's changes were reverted, and not enough have ended well since.
    AutonomyLost {
        /// Whose.
        agent: String,
        /// The newest rollout of it that was reverted.
        reverted: RolloutId,
        /// So many have ended well since …
        clean: u32,
        /// … of so many that give the autonomy back.
        needed: u32,
    },
    /// The rollout reaches further than one may.
    RolloutTooLarge {
        /// What is measured.
        measure: Measure,
        /// It reaches so far.
        reaches: f64,
        /// At most.
        max: f64,
    },
    /// All that began within a time would reach further than it may.
    WindowTooLarge {
        /// Whose changes.
        of: SumOf,
        /// What is measured.
        measure: Measure,
        /// Used up already.
        used: f64,
        /// The rollout adds.
        adds: f64,
        /// At most.
        max: f64,
        /// Within this time.
        per: Millis,
    },
    /// Too many operations are in flight.
    TooManyTargets {
        /// In flight.
        in_flight: u32,
        /// At most.
        max: u32,
    },
    /// Other failure domains are being changed or baked.
    FailureDomainsBusy {
        /// Which the rollout wants.
        wants: String,
        /// Which are busy.
        busy: BTreeSet<String>,
        /// At most so many at once.
        max: u32,
    },
    /// Too few customers would be left in cells that nobody changes.
    TooLittleCapacity {
        /// So many percent would be left.
        left: f64,
        /// At least.
        min: f64,
    },
    /// No change window is open, or a freeze is in force.
    Closed {
        /// The freeze's reason; none: no window is open.
        freeze: Option<String>,
        /// When it opens; none: not as far as the calendar reaches.
        opens_at: Option<Timestamp>,
    },
    /// The calendar's time zone is not known.
    UnknownTimeZone {
        /// Which.
        time_zone: String,
    },
    /// So many changes have started without a person.
    TooOften {
        /// Whose.
        of: SumOf,
        /// Started.
        started: u32,
        /// At most.
        max: u32,
        /// Within this time.
        per: Millis,
    },
    /// It costs more than it may, or nobody knows what it costs.
    Costs {
        /// More a month, of what has a price.
        monthly: f64,
        /// At most.
        max: f64,
        /// As `USD`.
        currency: String,
        /// Resource types without a price, with how many of each.
        unpriced: BTreeMap<String, u32>,
        /// The price book is too old to count.
        outdated: bool,
    },
    /// Other stacks import what this one exports.
    Imported {
        /// Whose exports.
        target: TargetId,
        /// Export → the stacks that import it.
        exports: BTreeMap<String, Vec<String>>,
    },
    /// Nobody could say who imports.
    ImportersUnknown {
        /// Of which target.
        target: TargetId,
    },
    /// The stack is not as its template says.
    Drifted {
        /// Which.
        target: TargetId,
    },
    /// Nobody has looked for drift lately.
    DriftUnknown {
        /// Of how many targets.
        targets: u32,
        /// One of them.
        example: TargetId,
    },
    /// The environment before has not passed.
    EnvironmentNotPassed {
        /// Which is wanted.
        environment: String,
        /// Which must pass first.
        before: String,
    },
    /// Nobody has signed the environment off.
    NotSignedOff {
        /// Which.
        environment: String,
        /// Which waits for it.
        wanted: String,
    },
    /// No kill drill has passed lately.
    KillDrill {
        /// When the newest one passed; none: never.
        newest: Option<Timestamp>,
        /// It counts for so long.
        max_age: Millis,
    },
    /// A policy forbids it.
    PolicyForbids {
        /// Its id.
        policy: String,
        /// What it says to whoever is refused (its `@message`).
        message: Option<String>,
        /// For so many targets.
        targets: u32,
        /// One of them.
        example: TargetId,
    },
    /// No policy permits it.
    PolicyPermitsNot {
        /// For so many targets.
        targets: u32,
        /// One of them.
        example: TargetId,
    },
    /// A policy could not be evaluated: that stops (S24).
    PolicyFailed {
        /// Its id.
        policy: String,
        /// What went wrong.
        error: String,
    },
    /// People must agree, and there are none who could.
    NobodyMayApprove {
        /// What is wanted of them.
        level: Autonomy,
        /// So many could.
        eligible: u32,
        /// So many must.
        needed: u32,
    },
}

/// What the change does, in numbers that an approver can check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScopeFigures {
    /// Stacks.
    pub targets: u32,
    /// Resources.
    pub resources: u32,
    /// Cells by environment.
    pub cells: BTreeMap<String, u32>,
    /// Percent of customers.
    pub percent_of_traffic: f64,
    /// What happens to which kind of thing, as "replaces 1 database": only what is disruptive or worse, the worst first.
    pub deeds: Vec<DeedCount>,
    /// Every class that occurs.
    pub classes: BTreeSet<ChangeClass>,
    /// The worst that occurs.
    pub reversibility: Reversibility,
    /// More a month, where there is a price book; none: nobody knows.
    pub monthly: Option<f64>,
}

/// So many things of a kind to which the same happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeedCount {
    /// What happens to them.
    pub deed: Deed,
    /// As `database`.
    pub thing: String,
    /// So many.
    pub count: u32,
}

/// What happens to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It is removed.
    Removes,
    /// It is replaced, certainly or perhaps.
    Replaces,
    /// It is away for a while.
    Interrupts,
    /// It may let somebody do more.
    Widens,
    /// Nobody can say.
    Obscures,
}

/// The judgement of a plan, before its first wave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What follows.
    pub decision: Decision,
    /// What people must say.
    pub level: Autonomy,
    /// All that was found; also what is only recorded.
    pub found: Vec<Found>,
    /// What it does.
    pub scope: ScopeFigures,
    /// What people are asked; none: nobody is asked.
    pub request: Option<ApprovalRequest>,
    /// Covers plan, previews, findings, policies and rule.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
}
