//! One operation, from its intent to its end. Design §4, steps 6 and 7.
//!
//! A call is sent once. When its outcome is not known, its change set is deleted (so that it cannot start any more) and the
//! stack's events are searched for its token; only then is it started, or not started and tried anew under another name.

use super::effect::{Call, Class};
use super::names;
use super::session::{Ask, Work};
use super::step::{Context, Step};
use crate::guard::{self, Guard};
use crate::model::event::{Direction, Event, Operation, OperationCall, StartSeen};
use crate::model::halt::{Hold, KillMode};
use crate::model::observation::{ProviderError, ProviderErrorKind};
use crate::model::stack::{StackStatus, StackView};
use crate::model::time;
use jiff::Timestamp;
use std::time::Duration;

/// Between two looks for a doubtful operation. CloudFormation promises no order between a call and the reads after it, so one
/// empty look proves nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(700);
/// So many empty looks, after the change set is gone, prove that the operation never started.
const EMPTY_LOOKS: u32 = 2;
/// A deletion and a continued rollback have no change set that could be fenced: more looks, …
const EMPTY_LOOKS_UNFENCED: u32 = 8;
/// … and so long between them that the last one is 35 s after the first. CloudFormation's gateway gives a request up at 30 s: what it
/// has not begun by then, it does not begin.
const LOOK_AGAIN_UNFENCED: Duration = Duration::from_secs(5);
/// So many attempts in a row that never started end in a hold: something refuses them for good.
const ATTEMPTS: u64 = 5;

/// The next step of an operation that is intended.
pub fn start(ctx: &Context<'_>, work: &mut Work, op: &Operation, may_send: bool) -> Step {
    if work.accepted {
        return started(ctx, StartSeen::Accepted);
    }
    // INVARIANT: S4, S9. A call of an older leader may have been sent by it: it is in doubt from the start. So is one that may
    // not be sent any more.
    let ours = op.epoch == ctx.state.epoch;
    if ours && !work.doubt && !work.sent && (may_send || op.direction == Direction::Revert) {
        work.sent = true;
        return send(ctx, op);
    }
    resolve(ctx, work, op)
}

fn send(ctx: &Context<'_>, op: &Operation) -> Step {
    let stack = ctx.planned.stack.clone();
    let token = op.token.clone();
    let direction = op.direction;
    let class = if direction == Direction::Forward { Class::Forward } else { Class::Reverse };
    match &op.call {
        OperationCall::ExecuteChangeSet { arn, .. } => {
            Step::Ask(Ask::Send, class, Call::ExecuteChangeSet { stack, arn: arn.clone(), token, direction })
        }
        OperationCall::DeleteStack { stack_id } => {
            Step::Ask(Ask::Send, class, Call::DeleteStack { stack_id: stack_id.clone(), token, direction })
        }
        // Going on with a rollback leads back to the restore point, whichever way the operation went.
        OperationCall::ContinueRollback { .. } => {
            Step::Ask(Ask::Send, Class::Reverse, Call::ContinueRollback { stack, token })
        }
    }
}

fn started(ctx: &Context<'_>, seen: StartSeen) -> Step {
    Step::event(Event::OperationStarted { rollout: ctx.rollout_id(), target: ctx.id.clone(), seen })
}

/// Fence, look for the token, and decide only on what was read.
fn resolve(ctx: &Context<'_>, work: &mut Work, op: &Operation) -> Step {
    if work.busy {
        return Step::Nothing;
    }
    if let (OperationCall::ExecuteChangeSet { arn, .. }, false) = (&op.call, work.fenced)
        && !work.trace.as_ref().is_some_and(|t| t.found)
        && guard::holds(Guard::FenceOnDoubt)
    {
        let fence_refused = work
            .error
            .as_ref()
            .is_some_and(|e| e.kind == ProviderErrorKind::Rejected && e.operation == "DeleteChangeSet");
        if !fence_refused {
            // Not the shell yet: the operation may have started, and a read that is out of date would call a live stack a shell.
            return Step::Ask(Ask::Fence, Class::Fence, delete_change_set(ctx, arn, false));
        }
        // It cannot be deleted: it is being executed, or was. The token will show; then, if not, the fence is tried again.
        work.error = None;
    }
    match work.trace.take() {
        Some(trace) if trace.found => started(ctx, StartSeen::Found),
        Some(_) => empty_look(ctx, work, op),
        None if !guard::holds(Guard::TokenLookup) => not_started(ctx, work, op),
        None => Step::Ask(Ask::Find, Class::Fence, find(ctx, op)),
    }
}

fn empty_look(ctx: &Context<'_>, work: &mut Work, op: &Operation) -> Step {
    let fenced = work.fenced || matches!(op.call, OperationCall::ExecuteChangeSet { .. });
    let (needed, pause) = if fenced { (EMPTY_LOOKS, LOOK_AGAIN) } else { (EMPTY_LOOKS_UNFENCED, LOOK_AGAIN_UNFENCED) };
    work.empty_looks += 1;
    let fence_open =
        matches!(op.call, OperationCall::ExecuteChangeSet { .. }) && !work.fenced && guard::holds(Guard::FenceOnDoubt);
    if work.empty_looks < needed || fence_open {
        work.pause(ctx.now.monotonic, pause);
        return Step::Wait(work.not_before);
    }
    match (&op.call, op.direction) {
        (OperationCall::ExecuteChangeSet { arn, .. }, Direction::Forward)
            if ctx.is_created_here() && !work.shell_gone =>
        {
            Step::Ask(Ask::Shell, Class::Fence, delete_change_set(ctx, arn, true))
        }
        _ => not_started(ctx, work, op),
    }
}

fn delete_change_set(ctx: &Context<'_>, arn: &str, shell: bool) -> Call {
    Call::DeleteChangeSet { stack: ctx.planned.stack.clone(), change_set: arn.to_owned(), shell }
}

fn not_started(ctx: &Context<'_>, work: &Work, op: &Operation) -> Step {
    let why = match &work.error {
        Some(error) => format!("no event carries its token; the last error was: {error}"),
        None if matches!(op.call, OperationCall::ExecuteChangeSet { .. }) => {
            "no event carries its token and its change set is gone".to_owned()
        }
        None => "no event carries its token".to_owned(),
    };
    let mut events =
        vec![Event::OperationNotStarted { rollout: ctx.rollout_id(), target: ctx.id.clone(), why: why.clone() }];
    if op.direction == Direction::Forward && op.attempt.0.is_multiple_of(ATTEMPTS) && ctx.rollout.hold.is_none() {
        let error = work.error.clone().unwrap_or_else(|| ProviderError {
            operation: "ExecuteChangeSet".into(),
            kind: ProviderErrorKind::Unavailable,
            code: String::new(),
            message: why,
        });
        let hold = Hold::ProviderUnavailable {
            target: Some(ctx.id.clone()),
            error,
            tries: u32::try_from(ATTEMPTS).unwrap_or(u32::MAX),
        };
        events.push(Event::RolloutHeld { rollout: ctx.rollout_id(), hold });
    }
    Step::Events(events)
}

fn find(ctx: &Context<'_>, op: &Operation) -> Call {
    // INVARIANT: S9. By ARN: a stack that was deleted has no name any more, and a name may be another stack's by now.
    let stack = match &op.call {
        OperationCall::DeleteStack { stack_id } | OperationCall::ContinueRollback { stack_id } => stack_id.clone(),
        OperationCall::ExecuteChangeSet { stack_id: Some(stack_id), .. } => stack_id.clone(),
        // An older record.
        OperationCall::ExecuteChangeSet { stack_id: None, .. } => ctx.planned.stack.as_str().to_owned(),
    };
    // INVARIANT: S9, S26. By the provider's clock: ours may be fast, and the operation's events would then seem too old to be its own.
    let since = op.before.unwrap_or(Timestamp::UNIX_EPOCH);
    Call::FindOperation { stack, token: op.token.clone(), since }
}

/// What the newest look at the stack says of a running operation.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    InProgress,
    /// An end that may be the end of an earlier operation.
    PerhapsOld,
    Ended(StackStatus),
}

/// The next step of an operation that has started.
pub fn follow(ctx: &Context<'_>, work: &mut Work, op: &Operation) -> Step {
    let Some((view, at)) = work.view.clone().filter(|(_, at)| *at >= work.since) else {
        return Step::View { at_once: false };
    };
    let newer = work.looked_at != Some(at);
    work.looked_at = Some(at);
    match look(op, view.as_ref()) {
        Look::InProgress => in_progress(ctx, work, op, view.as_ref()),
        Look::PerhapsOld => perhaps_old(ctx, work, op, view.as_ref(), newer),
        Look::Ended(status) => ended(ctx, work, op, status, view.and_then(|v| v.status_reason)),
    }
}

fn look(op: &Operation, view: Option<&StackView>) -> Look {
    let Some(view) = view else { return Look::Ended(StackStatus::DeleteComplete) };
    let status = &view.status;
    if status.is_in_progress() {
        return Look::InProgress;
    }
    let of_this_operation = match &op.call {
        // A read may be older than one before it: what was seen in progress does not make an old end a new one.
        OperationCall::ExecuteChangeSet { .. } => view.last_updated > op.before,
        OperationCall::DeleteStack { .. } => matches!(status, StackStatus::DeleteComplete | StackStatus::DeleteFailed),
        OperationCall::ContinueRollback { .. } => {
            *status == StackStatus::UpdateRollbackComplete && !view.is_older_than(op.before)
        }
    };
    // The shell of a stack that is about to be created.
    if *status == StackStatus::ReviewInProgress || !of_this_operation {
        Look::PerhapsOld
    } else {
        Look::Ended(status.clone())
    }
}

/// A look that may show the time before the operation: the events under its token decide, once a second look agrees.
fn perhaps_old(ctx: &Context<'_>, work: &mut Work, op: &Operation, view: Option<&StackView>, newer: bool) -> Step {
    work.empty_looks += u32::from(newer);
    if work.empty_looks < 2 {
        return Step::View { at_once: false };
    }
    match work.trace.take() {
        Some(trace) => match trace.stack_status.clone() {
            Some(status) if !status.is_in_progress() => {
                work.trace = Some(trace);
                // A deletion that the provider refuses leaves the stack in the status that it had, with the reason.
                let reason = view.filter(|view| view.status == status).and_then(|view| view.status_reason.clone());
                ended(ctx, work, op, status, reason)
            }
            _ => {
                work.empty_looks = 0;
                Step::View { at_once: false }
            }
        },
        None => Step::Ask(Ask::Find, Class::Read, find(ctx, op)),
    }
}

fn in_progress(ctx: &Context<'_>, work: &mut Work, op: &Operation, view: Option<&StackView>) -> Step {
    let halted = ctx.state.kill_mode(ctx.rollout).is_some_and(|mode| mode >= KillMode::Halt);
    let may_cancel =
        op.direction == Direction::Forward && view.is_some_and(|v| v.status == StackStatus::UpdateInProgress);
    if halted && may_cancel && !ctx.target.cancelling {
        return Step::event(Event::CancelIntended { rollout: ctx.rollout_id(), target: ctx.id.clone() });
    }
    if ctx.target.cancelling && may_cancel && !work.cancel_sent {
        let call = Call::CancelUpdate { stack: ctx.planned.stack.clone(), token: names::cancel_token(&op.token) };
        return Step::Ask(Ask::Cancel, Class::Reverse, call);
    }
    overdue(ctx, work, op).unwrap_or(Step::View { at_once: false })
}

/// L6: an operation past its deadline is reported, once, with its last provider event.
fn overdue(ctx: &Context<'_>, work: &mut Work, op: &Operation) -> Option<Step> {
    let deadline = ctx.rollout.plan.revert.operation_deadline.duration();
    let early = time::since(op.intended_at, ctx.now.wall) < deadline;
    if ctx.target.overdue || early || !guard::holds(Guard::OverdueIsReported) {
        return None;
    }
    Some(match work.trace.take() {
        Some(trace) => Step::event(Event::OperationOverdue {
            rollout: ctx.rollout_id(),
            target: ctx.id.clone(),
            last_event: trace.last_event,
        }),
        None => Step::Ask(Ask::Find, Class::Read, find(ctx, op)),
    })
}

fn ended(ctx: &Context<'_>, work: &mut Work, op: &Operation, status: StackStatus, reason: Option<String>) -> Step {
    let good = match &op.call {
        OperationCall::DeleteStack { .. } => status == StackStatus::DeleteComplete,
        _ => matches!(status, StackStatus::UpdateComplete | StackStatus::CreateComplete),
    };
    let failures = match work.trace.take() {
        Some(trace) => trace.failures,
        None if good => Vec::new(),
        // What failed is part of the record, so it is read before the end is recorded; a read that fails again and again does
        // not keep the end from being recorded.
        None if work.failures < 3 => return Step::Ask(Ask::Find, Class::Read, find(ctx, op)),
        None => Vec::new(),
    };
    Step::event(Event::OperationEnded { rollout: ctx.rollout_id(), target: ctx.id.clone(), status, reason, failures })
}
