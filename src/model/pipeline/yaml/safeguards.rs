//! The shape of `autonomy`, `approvals`, `guardrails` and `policies`.

use super::Percent;
use crate::model::calendar::{Day, Proposers};
use crate::model::class::Autonomy;
use crate::model::safeguards::FailureDomain;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What people must say to which change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[expect(dead_code, reason = "read for its shape")]
pub struct AutonomyYaml {
    /// By environment, then class.
    environments: Option<BTreeMap<String, ClassesYaml>>,
    /// A revert of an agent's change makes its next ones stricter by one level, until it has earned that back. Without this it
    /// does not.
    earned: Option<EarnedYaml>,
}

/// What people must say, by class. What is not named: in `development` nothing, and one approval where data may be lost or nobody
/// can tell; elsewhere as each class says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[expect(dead_code, reason = "read for its shape")]
struct ClassesYaml {
    /// A resource is added. Default: autonomous.
    additive: Option<Autonomy>,
    /// A resource is changed where it is. Default: autonomous.
    in_place: Option<Autonomy>,
    /// A resource without data is replaced or removed, or a change interrupts it. Default: one_approval.
    disruptive: Option<Autonomy>,
    /// A resource that holds data is removed or replaced. Default: two_approvals.
    destructive: Option<Autonomy>,
    /// What is lost is nowhere else. Default: two_approvals.
    irreversible: Option<Autonomy>,
    /// An identity, a trust or a permission may become wider. Default: two_approvals.
    privilege: Option<Autonomy>,
    /// What will happen cannot be told beforehand. Default: two_approvals.
    opaque: Option<Autonomy>,
}

/// Autonomy that is lost by a revert and earned back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct EarnedYaml {
    /// So many rollouts of the agent in a row that end well give back what one revert took.
    #[schemars(range(min = 1, max = 1000))]
    return_after: u32,
}

/// Who may approve, and what an approval takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
pub struct ApprovalsYaml {
    /// The people who may approve.
    #[schemars(length(min = 1))]
    people: Option<Vec<PersonYaml>>,
    /// The party of each agent. What an agent proposes that is not named here, nobody can approve: it is of everybody's party.
    #[schemars(length(min = 1))]
    agents: Option<Vec<AgentYaml>>,
    /// What `one_approval` asks for. Default: one person.
    one_approval: Option<RuleYaml>,
    /// What `two_approvals` asks for. Default: two people of two parties.
    two_approvals: Option<RuleYaml>,
    /// How long an approval counts before it is used. Default: 4h.
    valid_for: Option<String>,
}

/// Somebody who may approve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct PersonYaml {
    /// The same whatever token they use; compared without case.
    name: String,
    /// For whom they act: a team. Nobody approves what their own party proposes.
    party: String,
    /// Groups that rules ask for.
    #[schemars(length(min = 1))]
    groups: Option<Vec<String>>,
}

/// An agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct AgentYaml {
    /// As its change sets say.
    name: String,
    /// The party of whoever operates it.
    party: String,
}

/// What one level asks for. People of the proposer's party do not count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct RuleYaml {
    /// So many people.
    #[schemars(range(min = 1, max = 100))]
    count: Option<u32>,
    /// Of so many parties.
    #[schemars(range(min = 1, max = 100))]
    parties: Option<u32>,
    /// Among them so many of each group.
    groups: Option<BTreeMap<String, u32>>,
}

/// Rules with numbers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
pub struct GuardrailsYaml {
    /// How far one rollout, and all of them together, may reach.
    blast_radius: Option<BlastRadiusYaml>,
    /// When changes may start.
    calendar: Option<CalendarYaml>,
    /// How many rollouts may start without a person; one more needs one approval.
    rate: Option<RateYaml>,
    /// What a change may add to the monthly bill.
    cost: Option<CostYaml>,
    /// What is asked where other stacks import what this one exports.
    dependents: Option<DependentsYaml>,
    /// What is asked where a stack is not as its template says.
    drift: Option<DriftYaml>,
    /// Which environment comes first, and which ones are signed off.
    environment_order: Option<EnvironmentOrderYaml>,
    /// How long ago the newest kill drill that passed may have been. Until there is one, a rollout waits before its first wave.
    kill_drill: Option<KillDrillYaml>,
}

/// How far changes may reach, on resolved targets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct BlastRadiusYaml {
    /// One rollout, from its first wave to its last. More is refused.
    rollout: Option<ReachYaml>,
    /// All running rollouts at one moment. More waits.
    at_once: Option<AtOnceYaml>,
    /// All that began within a time, so that many small changes do not add up unseen.
    window: Option<WindowYaml>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// Upper limits. What is not named has none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
#[expect(dead_code, reason = "read for its shape")]
struct ReachYaml {
    /// Stacks.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_targets: Option<u32>,
    /// Resources that are added, changed, replaced or removed.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_resources: Option<u32>,
    /// Percent of customers: the `traffic_share` of the cells, each once.
    max_percent_of_traffic: Option<Percent>,
}

/// Limits at one moment, over every running rollout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct AtOnceYaml {
    /// Stacks whose operation is in flight.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_targets: Option<u32>,
    /// Failure domains in which something is changed or baked.
    #[schemars(range(min = 1, max = 1_000_000))]
    max_failure_domains: Option<u32>,
    /// What fails together. Default: region.
    failure_domain: Option<FailureDomain>,
    /// Percent of customers whose cells nobody changes or bakes, at least.
    min_capacity_percent: Option<Percent>,
}

/// Limits of what begins within a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct WindowYaml {
    /// How far back is looked, as `24h`.
    per: String,
    /// Of one agent.
    agent: Option<ReachYaml>,
    /// Through this pipeline.
    pipeline: Option<ReachYaml>,
    /// Of everybody through every pipeline.
    fleet: Option<ReachYaml>,
}

/// When changes may start, by the clocks of one time zone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct CalendarYaml {
    /// An IANA name, as `Europe/Berlin`.
    time_zone: String,
    /// Open every week. Without any, it is open at any time that is not frozen.
    #[schemars(length(min = 1))]
    weekly_windows: Option<Vec<WeeklyWindowYaml>>,
    /// Open once, outside of the weekly windows.
    #[schemars(length(min = 1))]
    one_time_windows: Option<Vec<SpanYaml>>,
    /// Closed, whatever is open.
    #[schemars(length(min = 1))]
    freezes: Option<Vec<SpanYaml>>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// Hours of days of the week.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct WeeklyWindowYaml {
    /// The days on which it opens.
    #[schemars(length(min = 1))]
    days: Vec<Day>,
    /// When it opens, in quotes: `"09:00"`.
    #[schemars(regex(pattern = "^[0-2][0-9]:[0-5][0-9]$"))]
    from: String,
    /// When it closes; at or before `from`: on the day after.
    #[schemars(regex(pattern = "^[0-2][0-9]:[0-5][0-9]$"))]
    to: String,
    /// For whose changes. One for agents alone does not close the calendar for people; one for people alone does for agents.
    /// Default: everyone.
    applies_to: Option<Proposers>,
}

/// From a local time to another one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct SpanYaml {
    /// When it begins, as `"2026-12-21T00:00"`.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]$"))]
    from: String,
    /// When it is over.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]$"))]
    to: String,
    /// Why: whoever has to wait reads it.
    reason: String,
    /// For whose changes. Default: everyone.
    applies_to: Option<Proposers>,
}

/// How many rollouts may start without a person within a time. 0: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct RateYaml {
    /// How far back is looked, as `1h`.
    per: String,
    /// Of one agent.
    #[schemars(range(max = 100_000))]
    agent: Option<u32>,
    /// Through this pipeline.
    #[schemars(range(max = 100_000))]
    pipeline: Option<u32>,
    /// Of everybody through every pipeline.
    #[schemars(range(max = 100_000))]
    fleet: Option<u32>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// What a change may add to the monthly bill.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct CostYaml {
    /// The price book, relative to this file.
    price_book: String,
    /// More than this a month, in the price book's currency, needs what `over` says. What has no price counts as more.
    #[schemars(range(min = 0))]
    max_monthly_increase: f64,
    /// What people must say to more. Default: one_approval.
    over: Option<Autonomy>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// What people must say where other stacks import what this one exports.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct DependentsYaml {
    /// To any change of such a stack.
    imported: Autonomy,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// What people must say where a stack is not as its template says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct DriftYaml {
    /// CloudFormation found drift.
    drifted: Autonomy,
    /// It was not asked within `max_age`. Default: as `drifted`.
    unknown: Option<Autonomy>,
    /// A result that is older says nothing. Default: 24h.
    max_age: Option<String>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// Which environment comes first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct EnvironmentOrderYaml {
    /// From the first to the last: each one waits until the same change has passed the gates of the one before.
    #[schemars(length(min = 2))]
    order: Vec<String>,
    /// Environments that a person signs off before the next one starts.
    #[schemars(length(min = 1))]
    sign_off: Option<Vec<String>>,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// Whether the kills are known to work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct KillDrillYaml {
    /// A drill (`wavegate drill`) that passed longer ago does not count: days, as `30d`, at most a year.
    #[schemars(regex(pattern = "^[1-9][0-9]{0,2}d$"))]
    max_age: String,
    /// It records what it finds, and stops nothing. Default: false.
    dry_run: Option<bool>,
}

/// A file of Cedar policies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
pub struct PolicyYaml {
    /// Relative to this file.
    file: String,
    /// It records what it would have said, and stops nothing. Default: false.
    dry_run: Option<bool>,
}
