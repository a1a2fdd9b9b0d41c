//! What calls do to stacks: begin an operation, delete, cancel, continue a rollback.

use super::calls::Refusal;
use super::operations::{self, Planned, Running, Work};
use super::policy;
use super::resource_types::{given_name, removal_policy};
use super::stacks::{Content, Resource, Stack};
use super::template::{ParsedTemplate, ResourceDeclaration};
use super::world::{Inner, Place};
use crate::model::ids::{StackName, Token};
use crate::model::observation::ProviderErrorKind;
use crate::model::preview::{PolicyAction, Replacement, ResourceAction, ResourceChange};
use crate::model::stack::StackStatus;
use jiff::Timestamp;
use std::time::Duration;

/// How long an operation takes that has no resource to work on, as the deletion of an empty shell.
const EMPTY_WORK: Duration = Duration::from_millis(400);

/// Refuses what CloudFormation refuses: an update starts from a settled state alone.
pub(super) fn check_updatable(stack: &Stack) -> Result<(), Refusal> {
    if stack.status.is_settled_complete() {
        return Ok(());
    }
    Err(not_updatable(stack))
}

pub(super) fn not_updatable(stack: &Stack) -> Refusal {
    Refusal::validation(format!("Stack:{} is in {} state and can not be updated.", stack.id, stack.status))
}

/// An operation to begin.
pub(super) struct Order<'a> {
    pub(super) work: Work,
    /// What the stack will hold.
    pub(super) content: Content,
    pub(super) changes: &'a [ResourceChange],
    pub(super) token: &'a Token,
    /// The name of the change set that is executed.
    pub(super) change_set: Option<String>,
}

impl Inner {
    /// Starts a creation or an update whose checks are done.
    pub(super) fn begin(&mut self, place: &Place, name: &StackName, order: Order<'_>, now: Timestamp) {
        let Order { work, content, changes, token, change_set } = order;
        let range = self.options.update_duration.clone();
        let duration = content.parsed.update_time.unwrap_or_else(|| self.draw(range));
        let plan = changes.iter().map(|change| self.planned(place, name, work, &content, change)).collect();
        let refused = self.refused_by_exports(place, name, &content, changes);
        let Some(stack) = self.live_mut(place, name) else { return };
        let before = Some((stack.content.replace(content), stack.resources.clone()));
        operations::start(
            stack,
            Running { change_set, before, refused, ..Running::new(work, token, plan, duration) },
            now,
        );
    }

    fn planned(
        &mut self,
        place: &Place,
        name: &StackName,
        work: Work,
        content: &Content,
        change: &ResourceChange,
    ) -> Planned {
        let declared = content.parsed.resources.get(&change.logical_id);
        let stack_policy = self.live(place, name).and_then(|stack| stack.policy.clone());
        let replaced = change.replacement == Some(Replacement::True);
        let physical_id = match (&change.physical_id, replaced) {
            (Some(kept), false) => kept.clone(),
            _ => self.new_physical_id(name, &change.logical_id, declared),
        };
        let fails = policy::refusal(stack_policy.as_deref(), change)
            .filter(|_| work == Work::Update)
            .or_else(|| declared.and_then(|declared| failure(declared, work)));
        Planned {
            logical_id: change.logical_id.clone(),
            action: change.action.clone(),
            resource: Resource { kind: change.resource_type.clone(), physical_id },
            replaces: change.physical_id.clone().filter(|_| replaced),
            retained: matches!(change.policy_action, Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain)),
            fails,
            rollback_tries: declared.map_or(0, rollback_tries),
        }
    }

    /// A name as CloudFormation makes it: `stack-Logical-1A2B3C4D5E6F`, or the one that the template gives.
    pub(super) fn new_physical_id(
        &mut self,
        stack: &StackName,
        logical_id: &str,
        declared: Option<&ResourceDeclaration>,
    ) -> String {
        let suffix: String = std::iter::repeat_with(|| self.rng.alphanumeric().to_ascii_uppercase()).take(12).collect();
        declared.and_then(given_name).unwrap_or_else(|| format!("{stack}-{logical_id}-{suffix}"))
    }

    /// `DeleteStack` by ARN. A stack that is gone is a success.
    pub(super) fn delete_stack(
        &mut self,
        place: &Place,
        stack_id: &str,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let range = self.options.update_duration.clone();
        let duration = self.draw(range);
        let refused = self.stacks.get(stack_id).and_then(|stack| self.undeletable_for_exports(stack));
        let Some(stack) = self.stacks.get_mut(stack_id).filter(|stack| stack.place == *place) else { return Ok(()) };
        if stack.is_deleted() || stack.status == StackStatus::DeleteInProgress {
            return Ok(());
        }
        if stack.termination_protection {
            return Err(Refusal::validation(format!(
                "Stack [{stack_id}] cannot be deleted while TerminationProtection is enabled"
            )));
        }
        if stack.status.is_in_progress() && stack.status != StackStatus::CreateInProgress {
            return Err(Refusal::validation(format!(
                "Stack [{stack_id}] cannot be deleted while in status {}",
                stack.status
            )));
        }
        let plan = if refused.is_some() { Vec::new() } else { deletions(stack) };
        let duration = if plan.is_empty() { EMPTY_WORK } else { duration };
        let running = Running { refused, ..Running::new(Work::Delete, token, plan, duration) };
        operations::start(stack, running, now);
        Ok(())
    }

    /// `CancelUpdateStack`, in `UPDATE_IN_PROGRESS` alone.
    pub(super) fn cancel_update(
        &mut self,
        place: &Place,
        name: &StackName,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(stack) = self.live_mut(place, name) else { return Err(Refusal::no_stack(name)) };
        if stack.status != StackStatus::UpdateInProgress {
            return Err(Refusal::validation(format!(
                "CancelUpdateStack cannot be called from current stack status: {}",
                stack.status
            )));
        }
        operations::cancel(stack, token.clone(), now);
        Ok(())
    }

    /// `ContinueUpdateRollback`, in `UPDATE_ROLLBACK_FAILED` alone.
    pub(super) fn continue_rollback(
        &mut self,
        place: &Place,
        name: &StackName,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(stack) = self.live_mut(place, name) else { return Err(Refusal::no_stack(name)) };
        if stack.status != StackStatus::UpdateRollbackFailed {
            return Err(Refusal::validation(format!(
                "Stack:{} is in {} state and can not continue update rollback.",
                stack.id, stack.status
            )));
        }
        // API reference, `ContinueUpdateRollback`, errors: a request that arrives twice does not go on twice.
        if stack.events.iter().any(|event| event.token.as_ref() == Some(token)) {
            let message = format!("Token already exists: {token}");
            return Err(Refusal::new(ProviderErrorKind::Rejected, "TokenAlreadyExistsException", message));
        }
        // A status that a script forced has nothing behind it: there is nothing left to put back.
        stack.running.get_or_insert_with(|| Running::new(Work::Update, token, Vec::new(), EMPTY_WORK));
        operations::continue_rollback(stack, token.clone(), now);
        Ok(())
    }
}

fn failure(declared: &ResourceDeclaration, work: Work) -> Option<String> {
    let broken = matches!(declared.kind.as_str(), "Sim::Fails" | "Sim::FailsRollback");
    let told = declared.says(if work == Work::Create { "FailCreate" } else { "FailUpdate" });
    (broken || told).then(|| "Resource handler returned message: \"Service refused the request\"".to_owned())
}

fn rollback_tries(declared: &ResourceDeclaration) -> u32 {
    let tries = declared.property("Tries").and_then(|text| text.parse().ok()).unwrap_or(1);
    if declared.kind == "Sim::FailsRollback" { tries } else { 0 }
}

fn deletions(stack: &Stack) -> Vec<Planned> {
    let parsed: Option<&ParsedTemplate> = stack.content.as_ref().map(|content| &*content.parsed);
    let declared = |id: &str| parsed.and_then(|parsed| parsed.resources.get(id));
    stack
        .resources
        .iter()
        .map(|(id, resource)| Planned {
            logical_id: id.clone(),
            action: ResourceAction::Remove,
            resource: resource.clone(),
            replaces: None,
            retained: declared(id).is_some_and(|declared| removal_policy(declared) == "Retain"),
            fails: declared(id)
                .filter(|declared| declared.kind == "Sim::FailsDelete")
                .map(|_| "Resource handler returned message: \"Resource is in use\"".to_owned()),
            rollback_tries: 0,
        })
        .collect()
}
