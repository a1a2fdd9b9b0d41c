//! One target, there: restore point ► change set ► compare with what was approved ► intent. Design §4, steps 1–5.

use super::effect::{Call, Class};
use super::session::{Ask, Work};
use super::step::{Allowed, Context, Step};
use super::{classify, macros, operation, proof};
use crate::guard::{self, Guard};
use crate::model::change_set::Action;
use crate::model::event::{Direction, Event, OperationCall, Prepared, Settlement};
use crate::model::halt::Hold;
use crate::model::ids::{Digest, DigestError};
use crate::model::preview::{
    ChangeSetStatus, ContextWanted, DescribedChangeSet, ExecutionStatus, Preview, PreviewContext,
};
use crate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, RestorePoint, StackStatus, StackView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at a change set that is being made.
const DESCRIBE_AGAIN: Duration = Duration::from_millis(1_000);
/// So many looks at a change set in the making: ten minutes. CloudFormation takes seconds, for nested stacks minutes.
const MAKING: u32 = 600;
/// How often to look whether a stack that should not be there, and is being deleted, has gone.
const LEAVING: u32 = 60;

/// The next step of a target that is on its way forward.
pub fn step(ctx: &Context<'_>, work: &mut Work, allowed: Allowed) -> Step {
    use crate::model::state::Phase;
    match &ctx.target.phase {
        Phase::Untouched if allowed >= Allowed::Prepare => capture(ctx, work),
        Phase::Captured if allowed >= Allowed::Prepare => prepare(ctx, work),
        Phase::Preparing { name, .. } if allowed >= Allowed::Prepare => preview(ctx, work, name),
        Phase::Ready { prepared, .. } if allowed == Allowed::Execute => verify(ctx, work, prepared),
        // The look that `verify` asks for may be made ahead: no slot waits for it then.
        Phase::Ready { .. } if allowed == Allowed::Prepare && work.fresh_view().is_none() => {
            Step::View { at_once: false }
        }
        Phase::Intended(op) => operation::start(ctx, work, op, allowed == Allowed::Execute),
        Phase::Running(op) => operation::follow(ctx, work, op),
        Phase::Ended { operation, status, reason, failures } => {
            proof::prove(ctx, work, operation, status, reason.as_deref(), failures)
        }
        _ => Step::Nothing,
    }
}

/// Deletes what was prepared and will not be executed, and records that it is gone.
pub fn give_up(ctx: &Context<'_>, work: &Work, change_set: &str, why: &str) -> Step {
    if work.fenced {
        return Step::event(Event::ChangeSetGone {
            rollout: ctx.rollout_id(),
            target: ctx.id.clone(),
            why: why.to_owned(),
        });
    }
    let stack = ctx.planned.stack.clone();
    let call = Call::DeleteChangeSet { stack, change_set: change_set.to_owned(), shell: ctx.is_created_here() };
    Step::Ask(Ask::Fence, Class::Fence, call)
}

/// Step 1 and 2: the stack must be settled; its restore point is captured.
fn capture(ctx: &Context<'_>, work: &Work) -> Step {
    let Some(view) = work.fresh_view() else { return Step::View { at_once: true } };
    let captured = |restore_point: RestorePoint| match restore_point.digest() {
        Ok(digest) => Step::event(Event::RestorePointCaptured {
            rollout: ctx.rollout_id(),
            target: ctx.id.clone(),
            restore_point: Arc::new(restore_point),
            digest,
        }),
        Err(error) => preview_failed(ctx, &error.to_string()),
    };
    match (view, ctx.planned.action) {
        (None, Action::Create) => captured(RestorePoint::Absent),
        (Some(view), Action::Create) => {
            Step::Hold(Hold::StackExists { target: ctx.id.clone(), status: view.status.clone() })
        }
        (None, Action::Update | Action::Delete) => {
            Step::Hold(Hold::StackNotReady { target: ctx.id.clone(), status: None })
        }
        (Some(view), Action::Update) if let Some(key) = alters_hidden(ctx, view) => {
            preview_failed(ctx, &format!("the stack hides the value of parameter `{key}`: it could not be put back"))
        }
        (Some(view), Action::Update | Action::Delete) if may_be_touched(&view.status) => match &work.record {
            Some(record) => captured(RestorePoint::Stack(record.clone())),
            None => Step::Ask(
                Ask::Record,
                Class::Read,
                Call::ReadRecord { view: Box::new(view.clone()), with_policy: true },
            ),
        },
        (Some(view), _) => {
            Step::Hold(Hold::StackNotReady { target: ctx.id.clone(), status: Some(view.status.clone()) })
        }
    }
}

/// INVARIANT: S24. What is touched is in a status that is known to be settled.
fn may_be_touched(status: &StackStatus) -> bool {
    status.is_settled_complete() || !guard::holds(Guard::KnownStatus)
}

/// A parameter that the change sets and the stack hides: its old value could not be put back.
fn alters_hidden(ctx: &Context<'_>, view: &StackView) -> Option<String> {
    let set = ctx.planned.parameters.iter().filter(|(_, input)| matches!(input, ParameterInput::Value(_)));
    set.map(|(key, _)| key)
        .find(|key| view.parameters.get(*key).is_some_and(crate::model::stack::ParameterView::is_hidden))
        .cloned()
}

/// Step 3: a change set's name is recorded before it is made. A later try first looks whether the stack is still as captured.
fn prepare(ctx: &Context<'_>, work: &mut Work) -> Step {
    if ctx.target.attempt.0 > 0
        && let Some(step) = unless_as_captured(ctx, work)
    {
        return step;
    }
    match (ctx.planned.action, ctx.original()) {
        (Action::Delete, Some(original)) => prepare_deletion(ctx, work, &original.view),
        _ => ctx.request(Direction::Forward),
    }
}

/// None: the stack is as its restore point says. Else what must happen first.
fn unless_as_captured(ctx: &Context<'_>, work: &mut Work) -> Option<Step> {
    let Some(view) = work.fresh_view() else { return Some(Step::View { at_once: true }) };
    if is_as_captured(ctx, view) {
        return None;
    }
    let of_before = |view: &StackView| view.is_older_than(ctx.original().and_then(|o| o.view.last_updated));
    let leaves = ctx.original().is_none() && view.is_some_and(|v| v.status == StackStatus::DeleteInProgress);
    if view.is_some_and(of_before) || (leaves && work.empty_looks < LEAVING) {
        // The shell of a change set that was just fenced takes a moment to go; that nobody changed anything shows once it is gone.
        work.empty_looks += u32::from(leaves);
        work.since = ctx.now.monotonic + Duration::from_millis(1);
        return Some(Step::View { at_once: false });
    }
    Some(Step::Hold(Hold::StackChanged { target: ctx.id.clone() }))
}

fn is_as_captured(ctx: &Context<'_>, view: Option<&StackView>) -> bool {
    match (ctx.original(), view) {
        (Some(original), Some(view)) => {
            view.stack_id == original.view.stack_id
                && view.last_updated == original.view.last_updated
                && view.status == original.view.status
        }
        (None, None) => true,
        (None, Some(view)) => view.status == StackStatus::ReviewInProgress,
        (Some(_), None) => false,
    }
}

/// A deletion has no change set: its preview is the stack's resources with their deletion policies.
fn prepare_deletion(ctx: &Context<'_>, work: &mut Work, original: &StackView) -> Step {
    let Some((changes, context)) = work.resources.take() else {
        let (stack, stack_id) = (ctx.planned.stack.clone(), original.stack_id.clone());
        // What goes adds nothing to the bill.
        let context = ContextWanted { sizes: false, ..context_wanted(ctx).unwrap_or_default() };
        return Step::Ask(Ask::Resources, Class::Read, Call::ReadResources { stack, stack_id, context });
    };
    match Digest::of_value(&(&original.stack_id, &changes)) {
        Ok(digest) => {
            let preview = Preview { changes };
            let stack_id = original.stack_id.clone();
            prepared(ctx, Prepared::Deletion { stack_id }, digest, preview, context)
        }
        Err(error) => preview_failed(ctx, &error.to_string()),
    }
}

/// Steps 3 and 4: make the change set, describe it, compare it with what was approved.
fn preview(ctx: &Context<'_>, work: &mut Work, name: &str) -> Step {
    if let Some((described, template)) = work.described.take() {
        return previewed(ctx, work, &described, template.as_ref().map(crate::model::stack::Template::digest));
    }
    match (&work.arn, work.unsure_created) {
        (Some(arn), _) => describe(ctx, arn.clone(), false),
        (None, true) => describe(ctx, name.to_owned(), true),
        (None, false) if is_refusal(work) => {
            preview_failed(ctx, &work.error.as_ref().map(ToString::to_string).unwrap_or_default())
        }
        (None, false) => {
            let call = Call::CreateChangeSet {
                stack: ctx.planned.stack.clone(),
                name: name.to_owned(),
                inputs: Box::new(inputs(ctx)),
            };
            Step::Ask(Ask::Create, Class::Read, call)
        }
    }
}

fn is_refusal(work: &Work) -> bool {
    use crate::model::observation::ProviderErrorKind as Kind;
    work.error.as_ref().is_some_and(|e| {
        matches!(e.kind, Kind::Rejected | Kind::Denied | Kind::NotFound) && e.operation == "CreateChangeSet"
    })
}

/// The call that describes a change set.
pub fn describe(ctx: &Context<'_>, change_set: String, with_template: bool) -> Step {
    let (stack, context) = (ctx.planned.stack.clone(), context_wanted(ctx));
    Step::Ask(Ask::Describe, Class::Read, Call::DescribeChangeSet { stack, change_set, with_template, context })
}

/// What the guardrails need beside the first preview; later ones are equal to it by digest, and a revert is not judged.
fn context_wanted(ctx: &Context<'_>) -> Option<ContextWanted> {
    let guardrails = &ctx.rollout.plan.safeguards.as_ref()?.guardrails;
    let wanted = ContextWanted { exports: guardrails.dependents.is_some(), sizes: guardrails.cost.is_some() };
    Some(wanted).filter(|wanted| wanted.anything() && ctx.target.approved.is_none())
}

fn previewed(
    ctx: &Context<'_>,
    work: &mut Work,
    described: &DescribedChangeSet,
    read_template: Option<&Digest>,
) -> Step {
    match &described.status {
        ChangeSetStatus::CreateComplete if described.execution_status == ExecutionStatus::Available => {
            let asked = asked_template(ctx);
            if read_template.is_some_and(|read| *read != asked) {
                return preview_failed(ctx, "a change set of our name holds another template than ours");
            }
            match approval_digest(ctx, described) {
                Ok(found) => compare(ctx, described, found),
                Err(error) => preview_failed(ctx, &error.to_string()),
            }
        }
        status if is_being_made(status, &described.execution_status) => match wait_for_change_set(ctx, work, described)
        {
            Some(wait) => wait,
            None => preview_failed(ctx, &format!("CloudFormation has not made it after {MAKING} looks")),
        },
        // Somebody updated the stack meanwhile: what was made is for a stack that is no more.
        ChangeSetStatus::CreateComplete => {
            work.described = Some((Box::new(described.clone()), None));
            give_up(ctx, work, &described.arn, "the change set cannot be executed any more")
        }
        _ if described.says_no_changes() && ctx.target.approved.is_none() => match work.fenced {
            true => ctx.settled(Settlement::Unchanged),
            // The failed change set is cleaned up before the target is called unchanged.
            false => {
                work.described = Some((Box::new(described.clone()), None));
                let stack = ctx.planned.stack.clone();
                let call =
                    Call::DeleteChangeSet { stack, change_set: described.arn.clone(), shell: ctx.is_created_here() };
                Step::Ask(Ask::Fence, Class::Fence, call)
            }
        },
        _ if described.says_no_changes() => Step::Hold(Hold::StackChanged { target: ctx.id.clone() }),
        status => preview_failed(
            ctx,
            &format!("{status}: {}", described.status_reason.as_deref().unwrap_or("no reason given")),
        ),
    }
}

/// True while CloudFormation works on a change set.
pub fn is_being_made(status: &ChangeSetStatus, execution: &ExecutionStatus) -> bool {
    match status {
        ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress => true,
        ChangeSetStatus::CreateComplete => *execution == ExecutionStatus::Unavailable,
        _ => false,
    }
}

/// Looks again later; none: it has been looked at often enough (L5).
pub fn wait_for_change_set(ctx: &Context<'_>, work: &mut Work, described: &DescribedChangeSet) -> Option<Step> {
    work.arn = Some(described.arn.clone());
    work.empty_looks += 1;
    if work.empty_looks > MAKING {
        return None;
    }
    work.not_before = ctx.now.monotonic + DESCRIBE_AGAIN;
    Some(Step::Wait(work.not_before))
}

fn compare(ctx: &Context<'_>, described: &DescribedChangeSet, found: Digest) -> Step {
    match &ctx.target.approved {
        Some(approved) if *approved != found && guard::holds(Guard::ApprovedDigest) => {
            Step::Hold(Hold::PreviewDiffers { target: ctx.id.clone(), approved: approved.clone(), found })
        }
        _ => {
            let change_set = Prepared::ChangeSet {
                arn: described.arn.clone(),
                name: described.name.clone(),
                epoch: ctx.state.epoch,
            };
            prepared(ctx, change_set, found, described.preview.clone(), described.context.clone())
        }
    }
}

fn prepared(ctx: &Context<'_>, prepared: Prepared, digest: Digest, preview: Preview, context: PreviewContext) -> Step {
    // List and judgement are journaled with the first preview; later ones are equal to it by digest. Journaled, and not made anew at
    // a replay: a later release may know more types.
    let first = ctx.target.approved.is_none();
    Step::event(Event::TargetPrepared {
        rollout: ctx.rollout_id(),
        target: ctx.id.clone(),
        prepared,
        digest,
        counts: preview.counts(),
        classified: first.then(|| Box::new(classify::classify(&preview, &macros_of(ctx)))),
        context: first.then(|| Box::new(context)),
        changes: if first { preview.changes } else { Vec::new() },
    })
}

/// The macros of the template that the change set is made of.
fn macros_of(ctx: &Context<'_>) -> BTreeSet<String> {
    let planned = ctx.planned.template.as_ref().and_then(|digest| ctx.rollout.plan.templates.get(digest));
    let template = planned.or_else(|| ctx.original().map(|record| &record.template));
    template.map(|template| macros::of(template.body())).unwrap_or_default()
}

fn preview_failed(ctx: &Context<'_>, reason: &str) -> Step {
    Step::Hold(Hold::PreviewFailed { target: ctx.id.clone(), reason: reason.to_owned() })
}

/// Steps 4 and 5: read the change set again, just before it is executed, and record the intent only if it is what was
/// approved.
fn verify(ctx: &Context<'_>, work: &mut Work, prepared: &Prepared) -> Step {
    let Prepared::ChangeSet { arn, .. } = prepared else { return verify_deletion(ctx, work) };
    // INVARIANT: S13. An update makes the stack's change sets obsolete, so a look after the change set was made shows whether it
    // was made for the stack that the restore point holds.
    if let Some(step) = unless_as_captured(ctx, work) {
        return step;
    }
    if let Some((described, _)) = work.described.take() {
        if described.execution_status != ExecutionStatus::Available {
            return give_up_vanished(ctx, work, arn);
        }
        return match approval_digest(ctx, &described) {
            // INVARIANT: S5.
            Ok(found) if is_approved(ctx, &found) => {
                let before = ctx.original().and_then(|o| o.view.last_updated);
                let call = OperationCall::ExecuteChangeSet {
                    arn: arn.clone(),
                    digest: found,
                    stack_id: Some(described.stack_id.clone()),
                };
                Step::event(ctx.intend(Direction::Forward, call, ctx.target.attempt, before))
            }
            Ok(found) => match ctx.target.approved.clone() {
                Some(approved) => Step::Hold(Hold::PreviewDiffers { target: ctx.id.clone(), approved, found }),
                None => preview_failed(ctx, "no preview was approved"),
            },
            Err(error) => preview_failed(ctx, &error.to_string()),
        };
    }
    if work.fenced || vanished(work) {
        return give_up_vanished(ctx, work, arn);
    }
    describe(ctx, arn.clone(), false)
}

fn is_approved(ctx: &Context<'_>, found: &Digest) -> bool {
    ctx.target.approved.as_ref() == Some(found) || !guard::holds(Guard::ApprovedDigest)
}

fn vanished(work: &Work) -> bool {
    use crate::model::observation::ProviderErrorKind as Kind;
    work.error.as_ref().is_some_and(|e| e.kind == Kind::NotFound)
}

fn give_up_vanished(ctx: &Context<'_>, work: &mut Work, arn: &str) -> Step {
    if !work.fenced {
        work.error = None;
        work.described = None;
    }
    give_up(ctx, work, arn, "the change set vanished or cannot be executed any more")
}

fn verify_deletion(ctx: &Context<'_>, work: &mut Work) -> Step {
    let Some(view) = work.fresh_view() else { return Step::View { at_once: true } };
    match (is_as_captured(ctx, view), ctx.original()) {
        (true, Some(original)) => {
            let call = OperationCall::DeleteStack { stack_id: original.view.stack_id.clone() };
            Step::event(ctx.intend(Direction::Forward, call, ctx.next_attempt(), original.view.last_updated))
        }
        _ => Step::Hold(Hold::StackChanged { target: ctx.id.clone() }),
    }
}

fn approval_digest(ctx: &Context<'_>, described: &DescribedChangeSet) -> Result<Digest, DigestError> {
    described.approval_digest(&asked_template(ctx), ctx.planned.scope.role.as_deref(), ctx.is_created_here())
}

/// The digest of the template that the target is to have.
pub fn asked_template(ctx: &Context<'_>) -> Digest {
    let kept = || ctx.original().map(|o| o.template.digest().clone());
    ctx.planned.template.clone().or_else(kept).unwrap_or_else(|| Digest::of_bytes(b""))
}

/// What is asked of CloudFormation for the change: parameters that are not named keep their value where the template still
/// has them.
pub fn inputs(ctx: &Context<'_>) -> ChangeSetInputs {
    let planned = ctx.planned;
    let template = planned.template.as_ref().and_then(|digest| ctx.rollout.plan.templates.get(digest)).cloned();
    let mut parameters = BTreeMap::new();
    if let Some(original) = ctx.original() {
        let declared = |key: &String| planned.declared.as_ref().is_none_or(|declared| declared.contains(key));
        parameters.extend(
            original.view.parameters.keys().filter(|k| declared(k)).map(|k| (k.clone(), ParameterInput::Previous)),
        );
    }
    parameters.extend(planned.parameters.clone());
    ChangeSetInputs {
        kind: if ctx.is_created_here() { ChangeSetKind::Create } else { ChangeSetKind::Update },
        template,
        parameters,
        tags: planned.tags.clone(),
        // Only what the change set acknowledges itself: a capability that the stack once had is not the agent's.
        capabilities: planned.capabilities.clone(),
        role_arn: None,
        notification_arns: None,
        rollback_configuration: None,
    }
}
