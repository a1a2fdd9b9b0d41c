//! What a pipeline asks of a change before it may start: autonomy, approvals, guardrails and policies, checked and frozen in the plan.
//!
//! Every number keeps the line that set it, so that whoever is refused learns where the rule stands. Design §6.

use super::approval::ApprovalRule;
use super::calendar::Calendar;
use super::class::{Autonomy, ChangeClass};
use super::ids::Digest;
use super::price_book::PriceBook;
use super::principal::Principal;
use super::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A value with the line of the file that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set<T> {
    /// The value.
    pub is: T,
    /// The line, from 1; 0: no line, it is the default.
    pub line: u32,
}

/// Everything that a pipeline asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Safeguards {
    /// The pipeline's file, for whoever is refused.
    pub file: String,
    /// Environment × class → what people must say.
    pub autonomy: AutonomyTable,
    /// Who may say it, and how many must.
    pub approvals: Approvals,
    /// The rules with numbers.
    pub guardrails: Guardrails,
    /// Everything else, in Cedar.
    pub policies: Vec<PolicyFile>,
}

/// What people must say, by environment and class. What the pipeline does not name is as [`AutonomyTable::default_of`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutonomyTable {
    /// By environment, then class.
    pub rows: BTreeMap<String, BTreeMap<ChangeClass, Set<Autonomy>>>,
    /// Whether an agent's reverts count against it.
    pub earned: Option<Earned>,
}

/// Autonomy that is lost by a revert and earned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earned {
    /// So many of an agent's rollouts in a row that ended well give back what one revert took. At least 1.
    pub return_after: Set<u32>,
}

impl AutonomyTable {
    /// What people must say to a change of this class in this environment, and the line that says so (0: the default).
    pub fn of(&self, environment: &str, class: ChangeClass) -> Set<Autonomy> {
        let row = self.rows.get(environment).and_then(|row| row.get(&class)).copied();
        row.unwrap_or(Set { is: Self::default_of(environment, class), line: 0 })
    }

    /// As shipped. Development is free but for what destroys or cannot be seen; whatever is not named `development` is judged as
    /// production.
    pub fn default_of(environment: &str, class: ChangeClass) -> Autonomy {
        use ChangeClass as Class;
        match (environment == "development", class) {
            (true, Class::Destructive | Class::Irreversible | Class::Opaque) => Autonomy::OneApproval,
            (true, _) | (false, Class::Additive | Class::InPlace) => Autonomy::Autonomous,
            (false, Class::Disruptive) => Autonomy::OneApproval,
            (false, Class::Destructive | Class::Irreversible | Class::Privilege | Class::Opaque) => {
                Autonomy::TwoApprovals
            }
        }
    }
}

/// Who may approve, and what an approval takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approvals {
    /// The people who may, by lower-case name, and for which party. Empty: nobody may, and what needs people is refused.
    pub people: BTreeMap<String, Principal>,
    /// The party of each agent, by lower-case name.
    pub agents: BTreeMap<String, Principal>,
    /// What `one_approval` asks for.
    pub one: Set<ApprovalRule>,
    /// What `two_approvals` asks for.
    pub two: Set<ApprovalRule>,
    /// How long an approval counts before it is used.
    pub valid_for: Millis,
}

impl Approvals {
    /// An approval counts for so long where the pipeline does not say: a working day's half.
    pub const VALID_FOR: Millis = Millis::from_secs(4 * 3600);

    /// The rule of a level; none where nobody is asked.
    pub fn rule(&self, level: Autonomy) -> Option<&Set<ApprovalRule>> {
        match level {
            Autonomy::Autonomous | Autonomy::Forbidden => None,
            Autonomy::OneApproval => Some(&self.one),
            Autonomy::TwoApprovals => Some(&self.two),
        }
    }
}

impl Default for Approvals {
    fn default() -> Self {
        let rule = |count, parties| ApprovalRule { count, parties, groups: BTreeMap::new() };
        Self {
            people: BTreeMap::new(),
            agents: BTreeMap::new(),
            one: Set { is: rule(1, 1), line: 0 },
            two: Set { is: rule(2, 2), line: 0 },
            valid_for: Self::VALID_FOR,
        }
    }
}

/// The rules with numbers. A rule that the pipeline does not name asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guardrails {
    /// How far one rollout, and all of them together, may reach.
    pub blast_radius: Option<Guardrail<BlastRadius>>,
    /// When changes may start.
    pub calendar: Option<Guardrail<Calendar>>,
    /// How many changes may start without a person.
    pub rate: Option<Guardrail<Rate>>,
    /// What a change may cost.
    pub cost: Option<Guardrail<Cost>>,
    /// What is asked where other stacks import what this one exports.
    pub dependents: Option<Guardrail<Dependents>>,
    /// What is asked where a stack is not as its template says.
    pub drift: Option<Guardrail<Drift>>,
    /// Which environment comes first, and who signs it off.
    pub environment_order: Option<Guardrail<EnvironmentOrder>>,
    /// How long ago the newest kill drill may have been.
    // Not written where it is not asked for: digests of plans from before there were drills stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_drill: Option<Guardrail<KillDrill>>,
}

/// A guardrail, in force or only watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guardrail<T> {
    /// What it asks.
    pub rule: T,
    /// It records what it finds, and stops nothing.
    pub dry_run: bool,
    /// The line on which it begins.
    pub line: u32,
}

/// How far changes may reach, on resolved targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlastRadius {
    /// One rollout, from its first wave to its last. More is refused: propose less.
    pub rollout: Reach,
    /// All running rollouts of this daemon at one moment. More waits.
    pub at_once: AtOnce,
    /// All that began within a time. More waits, or is refused where it can never fit.
    pub window: Option<ReachWindow>,
}

/// Upper limits of a reach. What is not set has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Stacks.
    pub max_targets: Option<Set<u32>>,
    /// Resources that are added, changed, replaced or removed.
    pub max_resources: Option<Set<u32>>,
    /// Percent of customers: the `traffic_share` of the cells, each once.
    pub max_percent_of_traffic: Option<Set<f64>>,
}

/// Limits at one moment, over every rollout of this daemon. A target counts from its intent until it is settled; a failure domain
/// and a cell's traffic count as well while a rollout bakes there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AtOnce {
    /// Stacks whose operation is in flight.
    pub max_targets: Option<Set<u32>>,
    /// Failure domains in which something is being changed or baked.
    pub max_failure_domains: Option<Set<u32>>,
    /// What a failure domain is.
    pub failure_domain: FailureDomain,
    /// Percent of customers whose cells nobody is changing or baking, at least.
    pub min_capacity_percent: Option<Set<f64>>,
}

/// What fails together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureDomain {
    /// A region.
    #[default]
    Region,
    /// An account.
    Account,
    /// A cell.
    Cell,
}

/// Limits of what begins within a time, so that many small changes do not add up unseen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReachWindow {
    /// How far back is looked.
    pub per: Millis,
    /// Of one agent.
    pub agent: Reach,
    /// Through this pipeline.
    pub pipeline: Reach,
    /// Of everybody through every pipeline.
    pub fleet: Reach,
}

/// How many rollouts may start without a person within a time. One more needs one approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How far back is looked.
    pub per: Millis,
    /// Of one agent.
    pub agent: Option<Set<u32>>,
    /// Through this pipeline.
    pub pipeline: Option<Set<u32>>,
    /// Of everybody through every pipeline.
    pub fleet: Option<Set<u32>>,
}

/// What a change may add to the monthly bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// What things cost.
    pub price_book: PriceBook,
    /// More than this a month, in the price book's currency, needs [`Self::over`].
    pub max_monthly_increase: Set<f64>,
    /// What people must say to more, and to what has no price.
    pub over: Autonomy,
}

/// What people must say where other stacks import what this one exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependents {
    /// To any change of a stack whose exports others import.
    pub imported: Set<Autonomy>,
}

/// What people must say where a stack is not as its template says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The provider found drift.
    pub drifted: Set<Autonomy>,
    /// The provider was not asked, or not within [`Self::max_age`].
    pub unknown: Set<Autonomy>,
    /// A result that is older says nothing.
    pub max_age: Millis,
}

/// Which environment comes first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentOrder {
    /// From the first to the last. A target in one of them needs the same change to have passed the gates of the one before, in this
    /// rollout or an earlier one.
    pub order: Set<Vec<String>>,
    /// Environments that a person must sign off before the next one starts.
    pub sign_off: Set<Vec<String>>,
}

/// How long ago the newest kill drill may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillDrill {
    /// A drill that passed longer ago proves nothing any more.
    pub max_age: Set<Millis>,
}

/// A Cedar policy file, as it was when the change was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Its path, as the pipeline names it.
    pub file: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The policies.
    pub text: String,
    /// It records what it would have said, and stops nothing.
    pub dry_run: bool,
    /// The pipeline's line that names it.
    pub line: u32,
}
