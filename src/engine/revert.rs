//! One target, back: only the state that we left is reverted (S15), by a change set with the restore point's inputs and with the
//! same protocol and proof; and which targets go back next: last wave first (S14).

use super::effect::{Call, Class};
use super::forward;
use super::operation;
use super::proof::{self, REVERTS};
use super::session::{Ask, Work};
use super::step::{Context, Step};
use crate::guard::{self, Guard};
use crate::model::change_set::Action;
use crate::model::event::{Direction, Event, Left, OperationCall, Prepared, RestoredBy, Settlement};
use crate::model::halt::StuckReason;
use crate::model::ids::TargetId;
use crate::model::observation::ProviderErrorKind;
use crate::model::pipeline::Amount;
use crate::model::preview::{ChangeSetStatus, DescribedChangeSet, ExecutionStatus};
use crate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, StackRecord, StackStatus, StackView};
use crate::model::state::{Phase, Rollout};
use std::collections::BTreeSet;
use std::time::Duration;

/// The targets that may be taken back now: of the last wave that still has one, no more at once than the pipeline says, and
/// within a cell the last stack first.
pub fn next_targets(rollout: &Rollout) -> BTreeSet<TargetId> {
    // INVARIANT: S14. The wave is the last one with a touched target that is not settled; no earlier wave is looked at.
    let mut open = (0..rollout.plan.waves.len())
        .filter(|w| rollout.wave_states(*w).any(crate::model::state::Target::needs_revert));
    let last = if guard::holds(Guard::LastWaveFirst) { open.next_back() } else { open.next() };
    let Some(wave) = last else { return BTreeSet::new() };
    let ids = rollout.wave_targets(wave);
    let percent = rollout.plan.revert.max_concurrent_percent;
    // Back at least as many at once as there: what was safe for a change is safe for its undo.
    let there = rollout.plan.waves.get(wave).map_or(1, |w| w.max_concurrent);
    let limit = usize::try_from(Amount::Percent(percent).of(ids.len(), there)).unwrap_or(1);
    let state_of = |id: &TargetId| rollout.targets.get(id);
    let mut going: BTreeSet<TargetId> =
        ids.iter().filter(|id| state_of(id).is_some_and(|t| t.needs_revert() && !t.is_applied())).cloned().collect();
    let waiting = ids.iter().rev().filter(|id| state_of(id).is_some_and(crate::model::state::Target::is_applied));
    for id in waiting {
        if going.len() >= limit {
            break;
        }
        if !has_later_sibling(rollout, id) {
            going.insert(id.clone());
        }
    }
    going
}

/// A stack of the same cell that was applied after this one is still to be reverted.
fn has_later_sibling(rollout: &Rollout, id: &TargetId) -> bool {
    let Some(planned) = rollout.plan.targets.get(id) else { return false };
    rollout.wave_targets(planned.wave).iter().any(|other| {
        rollout.plan.targets.get(other).is_some_and(|o| o.cell == planned.cell && o.order > planned.order)
            && rollout.targets.get(other).is_some_and(crate::model::state::Target::needs_revert)
    })
}

/// The next step of a target in a rollout that goes back. `turn`: it is among [`next_targets`].
pub fn step(ctx: &Context<'_>, work: &mut Work, turn: bool) -> Step {
    match &ctx.target.phase {
        Phase::Preparing { direction: Direction::Forward, name, .. } => {
            forward::give_up(ctx, work, name, "the rollout goes back")
        }
        Phase::Ready { direction: Direction::Forward, prepared, .. } => match prepared {
            Prepared::ChangeSet { arn, .. } => forward::give_up(ctx, work, arn, "the rollout goes back"),
            Prepared::Deletion { .. } => Step::event(Event::ChangeSetGone {
                rollout: ctx.rollout_id(),
                target: ctx.id.clone(),
                why: "the rollout goes back".into(),
            }),
        },
        Phase::Intended(op) => operation::start(ctx, work, op, false),
        Phase::Running(op) => operation::follow(ctx, work, op),
        Phase::Ended { operation, status, reason, failures } => {
            proof::prove(ctx, work, operation, status, reason.as_deref(), failures)
        }
        Phase::Settled(Settlement::Applied { left }) if turn => begin(ctx, work, left),
        Phase::Preparing { direction: Direction::Revert, name, .. } => prepare(ctx, work, name),
        Phase::Ready { direction: Direction::Revert, prepared, digest } => execute(ctx, prepared, digest),
        _ => Step::Nothing,
    }
}

/// Looks whether the stack is still as we left it, then asks for the change set that restores it.
fn begin(ctx: &Context<'_>, work: &mut Work, left: &Left) -> Step {
    if ctx.planned.action == Action::Delete {
        return ctx.stuck(StuckReason::Irreversible, None);
    }
    if !work.reverting {
        work.reverting = true;
        work.since = ctx.now.monotonic;
    }
    let Some(view) = work.fresh_view() else { return Step::View { at_once: true } };
    let Some(view) = view.cloned() else {
        // Somebody deleted it. Where there was no stack before, that is the restore point.
        return match ctx.is_created_here() {
            true => ctx.settled(Settlement::Restored { by: RestoredBy::Revert }),
            false => ctx.stuck(StuckReason::Conflict { status: None }, None),
        };
    };
    if view.is_older_than(left.last_updated) {
        // A read of the time before the change: it would look as if somebody had put the stack back.
        work.since = ctx.now.monotonic + Duration::from_millis(1);
        return Step::View { at_once: false };
    }
    if view.status.is_in_progress() {
        // Somebody else's operation: wait for its end, then see what it left.
        work.since = ctx.now.monotonic + Duration::from_millis(1);
        return Step::View { at_once: false };
    }
    if !view.status.is_settled_complete() {
        return ctx.stuck(StuckReason::Conflict { status: Some(view.status) }, view.status_reason);
    }
    if view.stack_id == left.stack_id && view.last_updated == left.last_updated {
        return go_back(ctx, &view);
    }
    let Some(record) = work.record.take() else {
        return Step::Ask(Ask::Record, Class::Read, Call::ReadRecord { view: Box::new(view), with_policy: false });
    };
    // INVARIANT: S15. Touched by somebody else: only what reads exactly as we left it is reverted.
    match (proof::is_original(ctx, &record), record.content_digest().ok() == left.content) {
        (true, _) => ctx.settled(Settlement::Restored { by: RestoredBy::Revert }),
        (false, true) => go_back(ctx, &record.view),
        (false, false) if !guard::holds(Guard::OnlyWhatWeLeft) => go_back(ctx, &record.view),
        (false, false) => ctx.stuck(StuckReason::Conflict { status: Some(record.view.status) }, None),
    }
}

fn go_back(ctx: &Context<'_>, view: &StackView) -> Step {
    if ctx.target.reverts >= REVERTS {
        let reason = StuckReason::RevertFailed { status: view.status.clone(), failures: Vec::new() };
        return ctx.stuck(reason, view.status_reason.clone());
    }
    match ctx.is_created_here() {
        true => proof::delete_created(ctx, view.stack_id.clone()),
        false => ctx.request(Direction::Revert),
    }
}

/// The restore point as a change set's inputs. Hidden values are kept: they were never changed, since a change that alters one
/// is irreversible and not let in.
fn inputs(ctx: &Context<'_>, original: &StackRecord) -> ChangeSetInputs {
    let view = &original.view;
    let parameters = view
        .parameters
        .iter()
        .map(|(key, p)| {
            (key.clone(), if p.is_hidden() { ParameterInput::Previous } else { ParameterInput::Value(p.value.clone()) })
        })
        .collect();
    ChangeSetInputs {
        kind: ChangeSetKind::Update,
        template: Some(original.template.clone()),
        parameters,
        tags: Some(view.tags.clone()),
        // What the change acknowledged is acknowledged for its undo, too: removing a role needs the same capability.
        capabilities: view.capabilities.union(&ctx.planned.capabilities).cloned().collect(),
        role_arn: view.role_arn.clone(),
        notification_arns: Some(view.notification_arns.clone()),
        rollback_configuration: Some(view.rollback_configuration.clone()),
    }
}

fn prepare(ctx: &Context<'_>, work: &mut Work, name: &str) -> Step {
    let Some(original) = ctx.original() else { return ctx.stuck(StuckReason::Conflict { status: None }, None) };
    if let Some((described, template)) = work.described.take() {
        let foreign = template.is_some_and(|t| t.digest() != original.template.digest());
        return described_revert(ctx, work, *described, foreign);
    }
    let refusal = work.error.as_ref().filter(|e| {
        matches!(e.kind, ProviderErrorKind::Rejected | ProviderErrorKind::NotFound) && e.operation == "CreateChangeSet"
    });
    match (&work.arn, work.unsure_created, refusal) {
        (Some(arn), ..) => forward::describe(ctx, arn.clone(), false),
        (None, true, _) => forward::describe(ctx, name.to_owned(), true),
        (None, false, Some(error)) => ctx.stuck(StuckReason::Refused { error: error.clone() }, None),
        (None, false, None) => {
            let inputs = Box::new(inputs(ctx, original));
            let call = Call::CreateChangeSet { stack: ctx.planned.stack.clone(), name: name.to_owned(), inputs };
            Step::Ask(Ask::Create, Class::Read, call)
        }
    }
}

fn described_revert(ctx: &Context<'_>, work: &mut Work, described: DescribedChangeSet, foreign: bool) -> Step {
    if foreign {
        return ctx.stuck(
            StuckReason::ProofDiffers { differs: vec!["a change set of our name holds another template".into()] },
            None,
        );
    }
    match &described.status {
        ChangeSetStatus::CreateComplete if described.execution_status == ExecutionStatus::Available => {
            let Some(original) = ctx.original() else { return Step::Nothing };
            match is_still_as_left(ctx, work) {
                Ok(true) => {}
                // Given up; whether it is a conflict is decided anew from where the revert began.
                Ok(false) => {
                    let arn = described.arn.clone();
                    work.described = Some((Box::new(described), None));
                    return forward::give_up(ctx, work, &arn, "the stack changed before its change set was made");
                }
                Err(look) => {
                    work.described = Some((Box::new(described), None));
                    return look;
                }
            }
            match described.approval_digest(original.template.digest(), ctx.planned.scope.role.as_deref(), false) {
                Ok(digest) => Step::event(Event::TargetPrepared {
                    rollout: ctx.rollout_id(),
                    target: ctx.id.clone(),
                    prepared: Prepared::ChangeSet { arn: described.arn, name: described.name, epoch: ctx.state.epoch },
                    digest,
                    counts: described.preview.counts(),
                    changes: Vec::new(),
                    classified: None,
                    context: None,
                }),
                Err(error) => ctx.stuck(StuckReason::ProofDiffers { differs: vec![error.to_string()] }, None),
            }
        }
        status if forward::is_being_made(status, &described.execution_status) => {
            forward::wait_for_change_set(ctx, work, &described).unwrap_or_else(|| {
                let status = StackStatus::Unknown(format!("change set {}", described.status));
                ctx.stuck(StuckReason::RevertFailed { status, failures: Vec::new() }, described.status_reason.clone())
            })
        }
        // Somebody updated the stack meanwhile: begin anew, which finds out whether it is still as we left it.
        ChangeSetStatus::CreateComplete => {
            let arn = described.arn.clone();
            work.described = Some((Box::new(described), None));
            forward::give_up(ctx, work, &arn, "the change set cannot be executed any more")
        }
        // Nothing to change back: then a read must show that the stack is as its restore point says.
        _ if described.says_no_changes() => {
            let arn = described.arn.clone();
            work.described = Some((Box::new(described), None));
            if !work.fenced {
                let call = Call::DeleteChangeSet { stack: ctx.planned.stack.clone(), change_set: arn, shell: false };
                return Step::Ask(Ask::Fence, Class::Fence, call);
            }
            proof::prove_record(ctx, work, |record| match proof::is_original(ctx, record) {
                true => ctx.settled(Settlement::Restored { by: RestoredBy::Revert }),
                false => ctx.stuck(
                    StuckReason::ProofDiffers { differs: vec!["nothing to change, and yet not as before".into()] },
                    None,
                ),
            })
        }
        status => ctx.stuck(
            StuckReason::RevertFailed { status: StackStatus::Unknown(status.to_string()), failures: Vec::new() },
            described.status_reason.clone(),
        ),
    }
}

/// INVARIANT: S15. CloudFormation gives up a change set when its stack changes, so a look after it was made shows whether it
/// starts from what we left; what changed before it was made would be overwritten. `Err`: what must be read first.
fn is_still_as_left(ctx: &Context<'_>, work: &mut Work) -> Result<bool, Step> {
    let Some(left) = &ctx.target.left else { return Ok(false) };
    if !guard::holds(Guard::OnlyWhatWeLeft) {
        return Ok(true);
    }
    let view = match work.fresh_view() {
        None => return Err(Step::View { at_once: true }),
        Some(view) => view.filter(|view| view.status.is_settled_complete()),
    };
    let Some(view) = view else { return Ok(false) };
    if view.is_older_than(left.last_updated) {
        // A read of the time before the change.
        work.since = ctx.now.monotonic + Duration::from_millis(1);
        return Err(Step::View { at_once: false });
    }
    if view.stack_id == left.stack_id && view.last_updated == left.last_updated {
        return Ok(true);
    }
    match &work.record {
        Some(record) => Ok(record.content_digest().ok() == left.content),
        None => {
            let call = Call::ReadRecord { view: Box::new(view.clone()), with_policy: false };
            Err(Step::Ask(Ask::Record, Class::Read, call))
        }
    }
}

/// The change set was read just before: its intent is recorded at once.
fn execute(ctx: &Context<'_>, prepared: &Prepared, digest: &crate::model::ids::Digest) -> Step {
    let Prepared::ChangeSet { arn, .. } = prepared else { return Step::Nothing };
    let call = OperationCall::ExecuteChangeSet {
        arn: arn.clone(),
        digest: digest.clone(),
        stack_id: ctx.target.left.as_ref().map(|left| left.stack_id.clone()),
    };
    let before = ctx.target.left.as_ref().and_then(|left| left.last_updated);
    Step::event(ctx.intend(Direction::Revert, call, ctx.target.attempt, before))
}
