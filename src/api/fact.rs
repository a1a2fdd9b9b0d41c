//! The essential of one journal record, in one line of words.

use super::{reasons, words};
use crate::model::decision::{Decision, Judged};
use crate::model::event::{Direction, Event, OperationCall, Outcome, Prepared, RestoredBy, Settlement, StartSeen};
use crate::model::plan::Plan;
use crate::model::preview::PreviewCounts;
use crate::model::principal::RefusedOrder;
use crate::model::stack::RestorePoint;
use crate::model::token::TokenEnd;
use crate::model::verdict::Verdict;

/// What the record says beyond its name and target. It holds untrusted text.
pub fn detail(event: &Event) -> String {
    match event {
        Event::LeaderStarted { epoch, holder, version } => format!("epoch {epoch}: {holder}, wavegate {version}"),
        Event::RolloutProposed { plan, digest, by, .. } => proposed(plan, digest.short(), by),
        Event::KillRequested { kill } => {
            let reason = if kill.reason.is_empty() { String::new() } else { format!(": {}", kill.reason) };
            format!("{}: {} on {} by {}{reason}", kill.id, kill.mode, kill.scope, kill.by)
        }
        Event::KillAcknowledged { kill } => format!("{kill}: nothing forward can start any more"),
        Event::KillLifted { kill, by: [first, second] } => format!("{kill}: by {first} and {second}"),
        Event::KillLiftAsked { kill, by, .. } => format!("{kill}: {by} wants it lifted; one more person is needed"),
        Event::OrderRefused { refused } => refusal(refused),
        Event::ChangeRateAlarmed { alarm } => format!(
            "{}: {} proposals within {}, usual are {}",
            alarm.of,
            alarm.seen,
            alarm.window,
            words::number(alarm.usual)
        ),
        Event::TokenListed { token, changed } => {
            let roles = token.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ");
            let what = if *changed { "was changed: it lets in" } else { "lets in" };
            let (id, kind, name) = (&token.id, token.kind, &token.name);
            let until = token.expires_at.strftime("%Y-%m-%d %H:%M UTC");
            format!("t-{id} {what} {kind} {name} ({roles}) until {until}; made by {}", token.created_by)
        }
        Event::TokenEnded { token, name, end: TokenEnd::Revoked { by, at } } => {
            format!("t-{token} of {name}: revoked by {by} at {}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
        }
        Event::TokenEnded { token, name, end: TokenEnd::Removed } => format!("t-{token} of {name}: not kept any more"),
        Event::DrillEnded { drill } => {
            let failed = drill.checks.iter().filter(|check| !check.passed).count();
            format!("{} by {}: {} checks, {failed} failed", drill.id, drill.by, drill.checks.len())
        }
        Event::WaveStarted { wave, .. } | Event::BakeStarted { wave, .. } => format!("wave {}", wave + 1),
        Event::HealthJudged { wave, elapsed, verdict, findings, .. } => {
            let why = if *verdict == Verdict::Pass { String::new() } else { format!(": {}", words::all(findings)) };
            format!("wave {} watched for {elapsed}: {verdict}{why}", wave + 1)
        }
        Event::BaselineTaken { baseline, .. } => format!(
            "{} {} of {} cells; evidence needed {}",
            baseline.metrics.len(),
            words::plural(u32::try_from(baseline.metrics.len()).unwrap_or(u32::MAX), "metric", "metrics"),
            baseline.cells.len(),
            words::number(1.0 / baseline.alpha)
        ),
        Event::TicksCompared { compared, .. } => {
            format!(
                "evidence {}, at most {} so far",
                words::number(compared.ln_e.exp()),
                words::number(compared.most.exp())
            )
        }
        Event::GatePassed { wave, plan, readings, .. } => {
            format!(
                "wave {}, plan {}, {readings} {}",
                wave + 1,
                plan.short(),
                words::plural(*readings, "reading", "readings")
            )
        }
        Event::RolloutHeld { hold, .. } => words::hold(hold).why,
        Event::RolloutResumed { by, .. } => format!("by {by}"),
        Event::GuardrailsJudged { judged, .. } => judgement(judged),
        Event::RolloutWaits { found, .. } => match found.is_empty() {
            true => "no longer".into(),
            false => found.iter().map(|f| reasons::why(&f.what)).collect::<Vec<_>>().join("; "),
        },
        Event::ApprovalGiven { approval } => {
            let (by, party) = (&approval.by.name, &approval.by.party);
            format!("{by} of {party}, digest {}, up to wave {}", approval.digest.short(), approval.through_wave + 1)
        }
        Event::ApprovalRevoked { by, .. } => format!("by {by}"),
        Event::ApprovalRejected { by, reason, .. } => format!("by {}: {reason}", by.name),
        Event::ApprovalRefused { by, why, .. } => format!("of {}: {why}", by.name),
        Event::ApprovalsUsed { digest, by, through_wave, .. } => {
            format!("of {}, digest {}, up to wave {}", by.join(" and "), digest.short(), through_wave + 1)
        }
        Event::EnvironmentSignedOff { environment, by, .. } => format!("{environment} by {}", by.name),
        Event::RevertStarted { reason, .. } => words::revert(reason),
        Event::RolloutEnded { outcome, .. } => ended(*outcome).into(),
        _ => of_target(event),
    }
}

fn refusal(refused: &RefusedOrder) -> String {
    let who = refused.by.as_ref().map_or("somebody unknown", |by| by.name.as_str());
    let times = if refused.times > 1 { format!(", {} times", refused.times) } else { String::new() };
    format!("{who} by {}: {} [{}]: {}{times}", refused.door, refused.verb, refused.code, refused.why)
}

fn of_target(event: &Event) -> String {
    match event {
        Event::RestorePointCaptured { restore_point, digest, .. } => match restore_point.as_ref() {
            RestorePoint::Absent => format!("{}: there is no stack yet", digest.short()),
            RestorePoint::Stack(record) => {
                format!("{}: {} in {}", digest.short(), record.view.name, record.view.status)
            }
        },
        Event::ChangeSetRequested { direction, name, .. } => format!("{} {name}", way(*direction)),
        Event::TargetPrepared { prepared, digest, counts, .. } => {
            let what = match prepared {
                Prepared::ChangeSet { name, .. } => name,
                Prepared::Deletion { stack_id } => stack_id,
            };
            format!("{what}, digest {}: {}", digest.short(), preview(counts))
        }
        Event::ChangeSetGone { why, .. } | Event::OperationNotStarted { why, .. } => why.clone(),
        Event::OperationIntended { operation, .. } => {
            let call = match &operation.call {
                OperationCall::ExecuteChangeSet { arn, .. } => format!("execute {arn}"),
                OperationCall::DeleteStack { stack_id } => format!("delete {stack_id}"),
                OperationCall::ContinueRollback { stack_id } => format!("continue the rollback of {stack_id}"),
            };
            format!("{} {call}, attempt {}, token {}", way(operation.direction), operation.attempt, operation.token)
        }
        Event::OperationStarted { seen: StartSeen::Accepted, .. } => "the call was accepted".into(),
        Event::OperationStarted { seen: StartSeen::Found, .. } => "found by its token".into(),
        Event::OperationEnded { status, reason, failures, .. } => {
            let reason = reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            let failed = if failures.is_empty() { String::new() } else { format!("; {}", words::resources(failures)) };
            format!("{status}{reason}{failed}")
        }
        Event::TargetSettled { settlement, .. } => settled(settlement),
        Event::OperationOverdue { last_event, .. } => {
            format!("last event: {}", last_event.as_deref().unwrap_or("none"))
        }
        // The others say all in their name.
        _ => String::new(),
    }
}

fn proposed(plan: &Plan, digest: &str, by: &str) -> String {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (targets, waves) = (count(plan.targets.len()), count(plan.waves.len()));
    format!(
        "“{}” by {}, handed in by {by}: {targets} {} in {waves} {} of {}, plan {digest}",
        plan.change_set.title,
        plan.change_set.agent,
        words::plural(targets, "target", "targets"),
        words::plural(waves, "wave", "waves"),
        plan.pipeline.name
    )
}

fn judgement(judged: &Judged) -> String {
    let blocking = judged.found.iter().filter(|f| !f.dry_run && f.follows.decision() > Decision::Allow);
    let why: Vec<String> = blocking.map(|f| reasons::why(&f.what)).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
    format!("{}, digest {}{why}", judged.level, judged.digest.short())
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward:",
        Direction::Revert => "back:",
    }
}

fn preview(counts: &PreviewCounts) -> String {
    let PreviewCounts { added, modified, replaced, removed } = counts;
    format!("{added} added, {modified} modified, {replaced} replaced, {removed} removed")
}

fn settled(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Applied { left } => match &left.content {
            Some(content) => format!("applied, content {}", content.short()),
            None => "applied, the stack is gone".into(),
        },
        Settlement::Unchanged => "unchanged".into(),
        Settlement::Restored { by: RestoredBy::Provider } => "restored by the provider".into(),
        Settlement::Restored { by: RestoredBy::Revert } => "restored".into(),
        Settlement::Stuck { reason, .. } => format!("stuck: {}", words::stuck(reason).why),
    }
}

pub(super) fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Reverted => "reverted",
        Outcome::Stuck => "stuck",
        Outcome::Cancelled => "cancelled: nothing was touched",
    }
}
