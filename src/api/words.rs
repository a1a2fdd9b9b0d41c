//! Words for people: what the model says in variants and numbers, and the next step of whoever reads it.

use crate::model::halt::{Hold, RevertReason, StuckReason};
use crate::model::observation::ResourceFailure;
pub use crate::model::shown::plain;
use crate::model::verdict::{Finding, Problem};

/// A reason, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Explained {
    /// What is the case.
    pub why: String,
    /// What to do.
    pub next: String,
}

fn explained(why: impl Into<String>, next: impl Into<String>) -> Explained {
    Explained { why: why.into(), next: next.into() }
}

/// Why a rollout waits.
pub fn hold(hold: &Hold) -> Explained {
    match hold {
        Hold::Paused { by } => {
            explained(format!("paused by {by}"), "`wavegate resume` lets it go on, `wavegate revert` takes it back")
        }
        Hold::RedBeforeStart { findings } => explained(
            format!("the fleet was red, or could not be judged, before anything was touched: {}", all(findings)),
            "mend the fleet and resume; a change that repairs exactly these alarms names them under `repairs:`",
        ),
        Hold::StackNotReady { target, status: None } => explained(
            format!("{target}: the stack does not exist"),
            "revert, then propose it with `action: create` or mend the pipeline's fleet",
        ),
        Hold::StackNotReady { target, status: Some(status) } => explained(
            format!("{target}: the stack is {status}, not settled"),
            "bring the stack to a `*_COMPLETE` status and resume",
        ),
        Hold::StackExists { target, status } => explained(
            format!("{target}: the stack to be created exists already ({status})"),
            "revert, then propose it with `action: update`",
        ),
        Hold::StackChanged { target } => explained(
            format!("{target}: somebody changed the stack after its restore point was captured"),
            "revert, then propose again: the plan was made for another stack",
        ),
        Hold::PreviewFailed { target, reason } => explained(
            format!("{target}: CloudFormation cannot preview the change: {reason}"),
            "revert, mend the change set, propose again",
        ),
        Hold::PreviewDiffers { target, approved, found } => explained(
            format!(
                "{target}: what would be executed ({}) is not what was previewed ({})",
                found.short(),
                approved.short()
            ),
            "revert, then propose again and look at the new preview",
        ),
        Hold::NotJudged { reason } => explained(
            format!("the guardrails cannot judge the change: {reason}"),
            "revert, mend the change set, propose again",
        ),
        Hold::BakeInconclusive { wave, after, findings } => explained(
            format!("wave {} baked for {after} without evidence enough: {}", wave + 1, all(findings)),
            "mend the metrics and resume: it is looked at once more, and goes on if it passes; or revert",
        ),
        Hold::Unhealthy { reason } => explained(
            format!("{}; the pipeline says hold", revert(reason)),
            "look at the fleet; then `wavegate revert`, or resume",
        ),
        Hold::ProviderUnavailable { target, error, tries } => explained(
            format!("{}{error} ({tries} tries)", target.as_ref().map(|t| format!("{t}: ")).unwrap_or_default()),
            "see whether the provider, the network or the credentials are at fault, then resume; or revert",
        ),
    }
}

/// Why a rollout goes back.
pub fn revert(reason: &RevertReason) -> String {
    match reason {
        RevertReason::GateFailed { wave, findings } => {
            format!("health broke with wave {} out: {}", wave + 1, all(findings))
        }
        RevertReason::WaveFailed { wave, failed, tolerance } => {
            format!(
                "{failed} {} of wave {} failed, and it bears {tolerance}",
                plural(*failed, "target", "targets"),
                wave + 1
            )
        }
        RevertReason::Killed { kill } => format!("kill {kill} says revert"),
        RevertReason::Withdrawn { by } => format!("{by}, who proposed it, took it back"),
        RevertReason::Requested { by } => format!("{by} asked for it"),
        RevertReason::PlanOnly => "it was only a plan".into(),
        RevertReason::Denied => "the guardrails refuse it".into(),
        RevertReason::Rejected { by, reason } => format!("{by} rejected it: {reason}"),
    }
}

/// Why a target is stuck, and the next human step.
pub fn stuck(reason: &StuckReason) -> Explained {
    match reason {
        StuckReason::Conflict { status: None } => explained(
            "the stack is gone, and not by us",
            "find out who deleted it; its restore point is in the journal",
        ),
        StuckReason::Conflict { status: Some(status) } => explained(
            format!("somebody changed the stack after us (now {status}); their work is not overwritten"),
            "agree with whoever changed it on what it should be; its restore point is in the journal",
        ),
        StuckReason::RollbackFailed { continued, failures } => explained(
            format!("the provider's rollback failed, also after {continued} continuations: {}", resources(failures)),
            "mend the resources named, then continue the rollback in CloudFormation, skipping what cannot be mended",
        ),
        StuckReason::RevertFailed { status, failures } => explained(
            format!("the revert ended in {status}: {}", resources(failures)),
            "mend what failed, then update the stack by its restore point",
        ),
        StuckReason::Irreversible => {
            explained("a deleted stack does not come back with its data", "restore it from backups")
        }
        StuckReason::ProofDiffers { differs } => explained(
            format!("the provider says complete, and yet it differs in: {}", differs.join(", ")),
            "compare the stack with the plan and its restore point",
        ),
        StuckReason::DeadEnd { status, reason } => explained(
            format!("the stack is {status}{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default()),
            "CloudFormation offers no automatic way out of this status; see its troubleshooting page",
        ),
        StuckReason::Refused { error } => explained(
            format!("the provider refuses the revert: {error}"),
            "mend what it names, then update the stack by its restore point",
        ),
    }
}

/// Failed resources in one line.
pub fn resources(failures: &[ResourceFailure]) -> String {
    if failures.is_empty() {
        return "no resource named".into();
    }
    failures
        .iter()
        .map(|f| format!("{} ({}): {}", f.logical_id, f.resource_type, f.reason))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Several findings in one line; more than three are counted.
pub fn all(findings: &[Finding]) -> String {
    let mut parts: Vec<String> = findings.iter().take(3).map(finding).collect();
    if findings.len() > 3 {
        parts.push(format!("and {} more", findings.len() - 3));
    }
    if parts.is_empty() { "nothing in particular".into() } else { parts.join("; ") }
}

/// One finding.
pub fn finding(finding: &Finding) -> String {
    let place = finding.cell.as_ref().map(|c| format!(" in {c}")).unwrap_or_default();
    format!("{}{place} {}", finding.signal, problem(&finding.problem))
}

fn problem(problem: &Problem) -> String {
    match problem {
        Problem::Breach { bad, of, threshold, worst: Some(worst) } => {
            format!("was {threshold} in {bad} of {of} points (worst {})", number(*worst))
        }
        Problem::Breach { bad, of, threshold, worst: None } => {
            format!("had {bad} of {of} points missing, which counts as {threshold}")
        }
        Problem::AlarmOpen { reason } => format!("is in ALARM: {reason}"),
        Problem::Missing { missing, of } => format!("has {missing} of {of} points missing"),
        Problem::TooFewPoints { have, need } => {
            format!("has {have} of the {need} {} it needs", plural(*need, "point", "points"))
        }
        Problem::TooFewSamples { have, need } => format!("rests on {} samples where {need} are needed", number(*have)),
        Problem::Stale { newest: Some(at) } => format!("is stale: its newest point is of {at}"),
        Problem::Stale { newest: None } => "has no point at all".into(),
        Problem::NotFinite => "has a value that is no number".into(),
        Problem::FutureDated { at } => format!("has a point of the future ({at})"),
        Problem::Partial => "came back in part only".into(),
        Problem::Forbidden => "may not be read".into(),
        Problem::SourceTrouble { said } => format!("could not be judged: {said}"),
        Problem::Unreadable { error } => format!("could not be read: {error}"),
        Problem::WorseThanUntouched { evidence, needed, interval } => {
            let times = interval.map(|i| format!(", {:.1}× to {:.1}× of what it should be", i.low, i.high));
            format!(
                "is worse than in the untouched cells{} (evidence {}, a revert is due at {})",
                times.unwrap_or_default(),
                number(*evidence),
                number(*needed)
            )
        }
        Problem::Unattributed { threshold, untouched, of } => format!(
            "was {threshold}, and so it was in {untouched} of {of} untouched cells: it cannot be laid at the change's door"
        ),
        Problem::WorseThanItsPast { ratio, most } => {
            format!("is {ratio:.1}× its own history, which never had more than {most:.1}×, and no untouched cell is better")
        }
        Problem::CannotSeeYet { ratio, share } => {
            format!("could not have shown a change by ×{ratio} yet ({:.0} % of the evidence that needs)", share * 100.0)
        }
        Problem::Suspicious { evidence, needed } => format!(
            "looks worse than in the untouched cells (evidence {}; a revert is due at {})",
            number(*evidence),
            number(*needed)
        ),
        Problem::NotCompared { ticks } => format!(
            "could not be compared in {ticks} {}: no untouched cell had a point",
            plural(*ticks, "tick", "ticks")
        ),
        Problem::NoHistory => "has no history to compare with".into(),
        Problem::InsufficientData => "has INSUFFICIENT_DATA".into(),
        Problem::AlarmVanished => "does not exist".into(),
        Problem::AlarmChanged { since } => format!("was not OK for the whole bake (OK since {since})"),
        Problem::WrongUnit { have, need } => format!("is in {have}, and the pipeline says {need}"),
        Problem::Impossible { said } => format!("has counts that cannot be: {said}"),
        Problem::Vanished { last } => format!("stopped: it was there before the bake, and its last point is of {last}"),
        Problem::AlarmMuted { said } => format!("is silenced, so its state says nothing: {said}"),
        Problem::AlarmSeveralSeries => {
            "watches several series at once: one that stops reads OK, and nothing else is watched; add a metric, or an alarm on one series".into()
        }
        Problem::AlarmTrouble { said } => format!("is not evaluated properly: {said}"),
    }
}

/// A value with as many digits as a person reads.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == v.trunc() => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// `one` for 1, else `many`.
pub fn plural<'a>(count: u32, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
