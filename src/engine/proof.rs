//! The proof: a status alone shows nothing. Template, parameters and tags are read back and compared. Design §4, step 8.

use super::effect::{Call, Class};
use super::forward;
use super::session::{Ask, Work};
use super::step::{Context, Step};
use crate::guard::{self, Guard};
use crate::model::event::{Direction, Left, Operation, OperationCall, RestoredBy, Settlement};
use crate::model::halt::StuckReason;
use crate::model::observation::ResourceFailure;
use crate::model::stack::{ParameterInput, StackRecord, StackStatus, StackView};

/// A revert that the provider rolled back is tried so often before the target is stuck: a second try meets a stack that has
/// settled, a third one would meet the same refusal.
pub const REVERTS: u32 = 2;

/// The next step of a target whose operation has ended.
pub fn prove(
    ctx: &Context<'_>,
    work: &mut Work,
    op: &Operation,
    status: &StackStatus,
    reason: Option<&str>,
    failures: &[ResourceFailure],
) -> Step {
    let dead_end = |ctx: &Context<'_>| {
        let reason = StuckReason::DeadEnd { status: status.clone(), reason: reason.map(str::to_owned) };
        ctx.stuck(reason, evidence(failures))
    };
    match (&op.call, status) {
        (OperationCall::DeleteStack { stack_id }, StackStatus::DeleteComplete) => deleted(ctx, op, stack_id),
        (OperationCall::DeleteStack { stack_id }, _)
            if op.direction == Direction::Revert && ctx.target.reverts < REVERTS =>
        {
            delete_created(ctx, stack_id.clone())
        }
        (OperationCall::DeleteStack { .. }, _) => dead_end(ctx),
        (_, StackStatus::UpdateComplete | StackStatus::CreateComplete) => {
            prove_record(ctx, work, |record| completed(ctx, op, record))
        }
        (_, StackStatus::UpdateRollbackComplete) => {
            prove_record(ctx, work, |record| rolled_back(ctx, op, status, failures, record))
        }
        (_, StackStatus::UpdateRollbackFailed) => continue_rollback(ctx, work, failures),
        (_, StackStatus::RollbackComplete | StackStatus::RollbackFailed | StackStatus::CreateFailed)
            if ctx.is_created_here() =>
        {
            match work.fresh_view() {
                Some(Some(view)) => delete_created(ctx, view.stack_id.clone()),
                Some(None) => ctx.settled(Settlement::Restored { by: RestoredBy::Provider }),
                None => Step::View { at_once: true },
            }
        }
        (_, StackStatus::DeleteComplete) => ctx.stuck(StuckReason::Conflict { status: None }, evidence(failures)),
        _ => dead_end(ctx),
    }
}

fn deleted(ctx: &Context<'_>, op: &Operation, stack_id: &str) -> Step {
    match op.direction {
        Direction::Forward => ctx.settled(Settlement::Applied {
            left: Left { content: None, stack_id: stack_id.to_owned(), last_updated: None },
        }),
        Direction::Revert => ctx.settled(Settlement::Restored { by: RestoredBy::Revert }),
    }
}

/// The intent to delete a stack that the rollout created, or tried to create.
pub fn delete_created(ctx: &Context<'_>, stack_id: String) -> Step {
    Step::event(ctx.intend(Direction::Revert, OperationCall::DeleteStack { stack_id }, ctx.next_attempt(), None))
}

/// Reads the record behind the newest view, then goes on with it.
pub fn prove_record(ctx: &Context<'_>, work: &mut Work, then: impl FnOnce(&StackRecord) -> Step) -> Step {
    if let Some(record) = work.record.take() {
        return then(&record);
    }
    match work.fresh_view() {
        None => Step::View { at_once: true },
        Some(None) => ctx.stuck(StuckReason::Conflict { status: None }, None),
        Some(Some(view)) if view.status.is_in_progress() || is_of_before(ctx, view) => {
            // Somebody else's operation, or a read of before: what is proven is a stack at rest.
            work.since = ctx.now.monotonic;
            Step::View { at_once: false }
        }
        Some(Some(view)) => {
            Step::Ask(Ask::Record, Class::Read, Call::ReadRecord { view: Box::new(view.clone()), with_policy: false })
        }
    }
}

/// A read of the time before the operation proves nothing of it.
fn is_of_before(ctx: &Context<'_>, view: &StackView) -> bool {
    ctx.target.operation().is_some_and(|op| view.is_older_than(op.before))
}

fn completed(ctx: &Context<'_>, op: &Operation, record: &StackRecord) -> Step {
    match op.direction {
        Direction::Forward => match differences(ctx, record) {
            differs if differs.is_empty() || !guard::holds(Guard::ProofByRead) => applied(ctx, record),
            differs => ctx.stuck(StuckReason::ProofDiffers { differs }, None),
        },
        Direction::Revert if is_original(ctx, record) => ctx.settled(Settlement::Restored { by: RestoredBy::Revert }),
        Direction::Revert => {
            ctx.stuck(StuckReason::ProofDiffers { differs: differences_from_original(ctx, record) }, None)
        }
    }
}

fn applied(ctx: &Context<'_>, record: &StackRecord) -> Step {
    match record.content_digest() {
        Ok(content) => ctx.settled(Settlement::Applied {
            left: Left {
                content: Some(content),
                stack_id: record.view.stack_id.clone(),
                last_updated: record.view.last_updated,
            },
        }),
        Err(error) => ctx.stuck(StuckReason::ProofDiffers { differs: vec![error.to_string()] }, None),
    }
}

fn rolled_back(
    ctx: &Context<'_>,
    op: &Operation,
    status: &StackStatus,
    failures: &[ResourceFailure],
    record: &StackRecord,
) -> Step {
    if is_original(ctx, record) {
        let by = if op.direction == Direction::Forward { RestoredBy::Provider } else { RestoredBy::Revert };
        return ctx.settled(Settlement::Restored { by });
    }
    let content = record.content_digest().ok();
    let as_left = ctx.target.left.as_ref().is_some_and(|left| left.content == content);
    match (op.direction, as_left) {
        // The provider undid our revert: the change is in place again.
        (Direction::Revert, true) if ctx.target.reverts < REVERTS => applied(ctx, record),
        (Direction::Revert, true) => {
            let reason = StuckReason::RevertFailed { status: status.clone(), failures: failures.to_vec() };
            ctx.stuck(reason, evidence(failures))
        }
        _ => {
            ctx.stuck(StuckReason::ProofDiffers { differs: differences_from_original(ctx, record) }, evidence(failures))
        }
    }
}

fn continue_rollback(ctx: &Context<'_>, work: &mut Work, failures: &[ResourceFailure]) -> Step {
    let Some(view) = work.fresh_view() else { return Step::View { at_once: true } };
    let Some(view) = view else { return ctx.stuck(StuckReason::Conflict { status: None }, evidence(failures)) };
    if ctx.target.continued >= ctx.rollout.plan.revert.continue_rollback_attempts {
        let reason = StuckReason::RollbackFailed { continued: ctx.target.continued, failures: failures.to_vec() };
        return ctx.stuck(reason, evidence(failures));
    }
    let direction = ctx.target.operation().map_or(Direction::Forward, |op| op.direction);
    let call = OperationCall::ContinueRollback { stack_id: view.stack_id.clone() };
    Step::event(ctx.intend(direction, call, ctx.next_attempt(), view.last_updated))
}

/// True when the stack's content is that of the restore point, byte by byte (hidden parameters excepted).
pub fn is_original(ctx: &Context<'_>, record: &StackRecord) -> bool {
    if !guard::holds(Guard::ProofByRead) {
        return true;
    }
    match (ctx.original().map(StackRecord::content_digest), record.content_digest()) {
        (Some(Ok(original)), Ok(found)) => original == found,
        _ => false,
    }
}

fn differences_from_original(ctx: &Context<'_>, record: &StackRecord) -> Vec<String> {
    let Some(original) = ctx.original() else { return vec!["the stack exists".into()] };
    let mut differs = Vec::new();
    let mut note = |is: bool, what: &str| {
        if is {
            differs.push(what.to_owned());
        }
    };
    note(original.view.stack_id != record.view.stack_id, "stack id");
    note(original.template.digest() != record.template.digest(), "template");
    let values =
        |r: &StackRecord| r.view.parameters.iter().map(|(k, p)| (k.clone(), p.value.clone())).collect::<Vec<_>>();
    note(values(original) != values(record), "parameters");
    note(original.view.tags != record.view.tags, "tags");
    note(original.view.role_arn != record.view.role_arn, "service role");
    note(original.view.notification_arns != record.view.notification_arns, "notification topics");
    note(original.view.rollback_configuration != record.view.rollback_configuration, "rollback triggers");
    differs
}

/// What of the wanted change is not there: empty means proven.
fn differences(ctx: &Context<'_>, record: &StackRecord) -> Vec<String> {
    let mut differs = Vec::new();
    if ctx.original().is_some_and(|o| o.view.stack_id != record.view.stack_id) {
        differs.push("stack id".to_owned());
    }
    if *record.template.digest() != forward::asked_template(ctx) {
        differs.push("template".to_owned());
    }
    for (key, input) in &forward::inputs(ctx).parameters {
        let found = record.view.parameters.get(key);
        let wanted = match input {
            ParameterInput::Value(value) => Some(value),
            ParameterInput::Previous => ctx.original().and_then(|o| o.view.parameters.get(key)).map(|p| &p.value),
        };
        let hidden = found.is_some_and(crate::model::stack::ParameterView::is_hidden);
        if !hidden && found.map(|p| &p.value) != wanted {
            differs.push(format!("parameter `{key}`"));
        }
    }
    let wanted_tags = ctx.planned.tags.as_ref().or(ctx.original().map(|o| &o.view.tags));
    if wanted_tags.is_some_and(|tags| *tags != record.view.tags) {
        differs.push("tags".to_owned());
    }
    differs
}

fn evidence(failures: &[ResourceFailure]) -> Option<String> {
    failures.first().map(|f| format!("{} ({}): {}", f.logical_id, f.resource_type, f.reason))
}
