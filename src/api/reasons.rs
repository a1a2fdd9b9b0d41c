//! What a guardrail found, in words: why it stands in the way, where the rule stands, and what would satisfy it. The words are for
//! people and for agents alike; the numbers are in the finding itself.

use super::words::{number, plural};
use crate::model::class::Autonomy;
use crate::model::decision::{Cause, Consequence, Found, Measure, Reason, SumOf};
use crate::model::time::Millis;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A finding with its words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonView {
    /// The finding: `what.code` is stable, and the numbers stand beside it.
    #[serde(flatten)]
    pub found: Found,
    /// What is the case.
    pub why: String,
    /// Where the rule stands, as `pipelines/default.yaml:41 (guardrails.cost.max_monthly_increase)`.
    pub rule: String,
    /// What would satisfy it.
    pub satisfied_by: String,
}

/// A finding with its words.
pub fn view(found: &Found) -> ReasonView {
    ReasonView {
        why: why(&found.what),
        rule: found.cause.as_ref().map(rule).unwrap_or_else(|| "built in".into()),
        satisfied_by: satisfied_by(found),
        found: found.clone(),
    }
}

/// Where a rule stands.
pub fn rule(cause: &Cause) -> String {
    match cause.line {
        0 => format!("{} ({}: the default)", cause.file, cause.rule),
        line => format!("{}:{line} ({})", cause.file, cause.rule),
    }
}

/// What is the case.
pub fn why(reason: &Reason) -> String {
    match reason {
        Reason::Class { environment, class, targets, resources } => format!(
            "{class} in {environment}: {resources} {} in {targets} {}",
            plural(*resources, "resource", "resources"),
            plural(*targets, "target", "targets")
        ),
        Reason::AutonomyLost { agent, reverted, clean, needed } => format!(
            "rollout {reverted} of agent {agent} was reverted, and {clean} of {needed} that would make up for it have ended well"
        ),
        Reason::RolloutTooLarge { measure, reaches, max } => {
            format!("the rollout reaches {}, and {} are allowed", amount(*measure, *reaches), number(*max))
        }
        Reason::WindowTooLarge { of, measure, used, adds, max, per } => format!(
            "{} within {per}: {} used, this adds {}, and {} are allowed",
            sum_of(of),
            amount(*measure, *used),
            number(*adds),
            number(*max)
        ),
        Reason::TooManyTargets { in_flight, max } => {
            format!(
                "{in_flight} {} in flight, and {max} may be at once",
                plural(*in_flight, "target is", "targets are")
            )
        }
        Reason::FailureDomainsBusy { wants, busy, max } => {
            let busy: Vec<&str> = busy.iter().map(String::as_str).collect();
            format!("it wants {wants} while {} being changed or baked, and {max} may be at once", are(&busy))
        }
        Reason::TooLittleCapacity { left, min } => format!(
            "cells for {}% of customers would be left that nobody is changing, and {}% must be",
            number(*left),
            number(*min)
        ),
        Reason::Closed { freeze: Some(reason), .. } => format!("a freeze is in force: {reason}"),
        Reason::Closed { freeze: None, .. } => "no change window is open".into(),
        Reason::UnknownTimeZone { time_zone } => format!("the time zone `{time_zone}` is not known to this release"),
        Reason::TooOften { of, started, max, per } => {
            format!("{} within {per}: {started} changes have started without a person, and {max} may", sum_of(of))
        }
        Reason::Costs { monthly, max, currency, unpriced, outdated } => {
            costs(*monthly, *max, currency, unpriced, *outdated)
        }
        Reason::Imported { target, exports } => {
            format!("{target}: other stacks import what it exports: {}", imports(exports))
        }
        Reason::ImportersUnknown { target } => format!("{target}: nobody could say who imports what it exports"),
        Reason::Drifted { target } => format!("{target}: the stack is not as its template says (drift)"),
        Reason::DriftUnknown { targets, example } => format!(
            "nobody has looked for drift lately in {targets} {} (as {example})",
            plural(*targets, "target", "targets")
        ),
        Reason::EnvironmentNotPassed { environment, before } => {
            format!("this change has not passed {before}, which comes before {environment}")
        }
        Reason::NotSignedOff { environment, wanted } => {
            format!("nobody has signed {environment} off, which {wanted} waits for")
        }
        Reason::KillDrill { newest: Some(at), max_age } => {
            format!("the newest kill drill that passed was at {}, and it counts for {}", minute(*at), days(*max_age))
        }
        Reason::KillDrill { newest: None, max_age } => {
            format!("no kill drill that passed is on record, and one of the last {} is asked for", days(*max_age))
        }
        Reason::PolicyForbids { policy, message, targets, example } => {
            let said = message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
            format!("policy `{policy}` forbids it for {}{said}", these(*targets, example.as_str()))
        }
        Reason::PolicyPermitsNot { targets, example } => {
            format!("no policy permits it for {}", these(*targets, example.as_str()))
        }
        Reason::PolicyFailed { policy, error } => format!("policy `{policy}` could not be evaluated: {error}"),
        Reason::NobodyMayApprove { level, eligible, needed } => format!(
            "{level} asks for {needed} {}, and {eligible} could approve this change",
            plural(*needed, "person", "people")
        ),
    }
}

/// What would satisfy it.
pub fn satisfied_by(found: &Found) -> String {
    match &found.what {
        Reason::NobodyMayApprove { .. } => {
            "an SRE adds people of other parties to `approvals.people` of the pipeline; or propose a change that needs nobody".into()
        }
        Reason::UnknownTimeZone { .. } => "an SRE mends `guardrails.calendar.time_zone`".into(),
        Reason::RolloutTooLarge { .. } => "propose less in one change set".into(),
        Reason::NotSignedOff { environment, .. } => {
            format!("a person runs `wavegate sign-off ROLLOUT --environment {environment}`")
        }
        Reason::EnvironmentNotPassed { before, .. } => format!("let the same change pass {before} first"),
        Reason::KillDrill { .. } => "a person runs `wavegate drill`; once it has passed, the rollout goes on by itself".into(),
        _ => by_consequence(found),
    }
}

fn by_consequence(found: &Found) -> String {
    match found.follows {
        Consequence::Needs(Autonomy::Autonomous) => "nothing: it is only noted".into(),
        Consequence::Needs(Autonomy::OneApproval) => "the approval of one person (`wavegate approvals`)".into(),
        Consequence::Needs(Autonomy::TwoApprovals) => "the approvals of two people (`wavegate approvals`)".into(),
        Consequence::Needs(Autonomy::Forbidden) => "nothing: propose a change without it".into(),
        Consequence::Waits { until: Some(until) } => format!("waiting until {}", minute(until)),
        Consequence::Waits { until: None } => "waiting until other rollouts have moved on".into(),
    }
}

fn days(span: Millis) -> String {
    let days = u32::try_from(span.0 / (24 * 3600 * 1000)).unwrap_or(u32::MAX);
    format!("{days} {}", plural(days, "day", "days"))
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn amount(measure: Measure, value: f64) -> String {
    let unit = match measure {
        Measure::Targets => " targets",
        Measure::Resources => " resources",
        Measure::PercentOfTraffic => "% of customers",
    };
    format!("{}{unit}", number(value))
}

fn sum_of(of: &SumOf) -> String {
    match of {
        SumOf::Agent(name) => format!("agent {name}"),
        SumOf::Pipeline(name) => format!("pipeline {name}"),
        SumOf::Fleet => "everybody".into(),
    }
}

fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        several => format!("{} are", several.join(", ")),
    }
}

fn these(targets: u32, example: &str) -> String {
    if targets == 1 { example.to_owned() } else { format!("{targets} targets (as {example})") }
}

fn costs(monthly: f64, max: f64, currency: &str, unpriced: &BTreeMap<String, u32>, outdated: bool) -> String {
    let mut parts = vec![format!("it adds {monthly:+.2} {currency} a month, and {max:.2} are allowed")];
    if !unpriced.is_empty() {
        let types: Vec<String> = unpriced.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        parts.push(format!("without a price, which counts as over: {}", types.join(", ")));
    }
    if outdated {
        parts.push("the price book is too old to count".into());
    }
    parts.join("; ")
}

fn imports(exports: &BTreeMap<String, Vec<String>>) -> String {
    let each = exports.iter().map(|(export, importers)| format!("{export} by {}", importers.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}
