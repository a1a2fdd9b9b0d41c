//! Change sets: made, described, deleted, executed once.

use super::calls::Refusal;
use super::exports::same_outputs;
use super::lifecycle::{Order, check_updatable, not_updatable};
use super::operations::{Work, later};
use super::preview::preview;
use super::resource_types::missing_capability;
use super::stacks::{Content, Stack};
use super::template::ParsedTemplate;
use super::world::{Inner, Place};
use crate::model::ids::{StackName, Token};
use crate::model::observation::ProviderErrorKind;
use crate::model::preview::{
    ChangeSetStatus, DescribedChangeSet, ExecutionStatus, Preview, PreviewContext, ResourceChange,
};
use crate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, StackStatus};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// CloudFormation's words for a change set that changes nothing; it has no code for it.
const NO_CHANGES: &str =
    "The submitted information didn't contain changes. Submit different information to create a change set.";

/// `CfnChangeSet`, as the world keeps it.
#[derive(Debug)]
pub(super) struct ChangeSet {
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) kind: ChangeSetKind,
    pub(super) status: ChangeSetStatus,
    pub(super) execution: ExecutionStatus,
    reason: Option<String>,
    /// When CloudFormation has worked it out.
    ready_at: Timestamp,
    pub(super) content: Content,
    pub(super) changes: Vec<ResourceChange>,
    /// What the stack puts out changes, be it with no resource.
    outputs_change: bool,
}

impl ChangeSet {
    /// `CREATE_IN_PROGRESS` ends once `ready_at` has come.
    pub(super) fn settle(&mut self, now: Timestamp) {
        if self.status != ChangeSetStatus::CreateInProgress || now < self.ready_at {
            return;
        }
        if self.changes.is_empty() && !self.outputs_change {
            self.status = ChangeSetStatus::Failed;
            self.reason = Some(NO_CHANGES.to_owned());
        } else {
            self.status = ChangeSetStatus::CreateComplete;
            if self.execution == ExecutionStatus::Unavailable {
                self.execution = ExecutionStatus::Available;
            }
        }
    }

    pub(super) fn is_named(&self, name_or_arn: &str) -> bool {
        self.name == name_or_arn || self.arn == name_or_arn
    }

    fn described(&self, stack: &Stack) -> DescribedChangeSet {
        let ready = self.status != ChangeSetStatus::CreateInProgress;
        DescribedChangeSet {
            arn: self.arn.clone(),
            name: self.name.clone(),
            stack_id: stack.id.clone(),
            status: self.status.clone(),
            status_reason: self.reason.clone(),
            execution_status: self.execution.clone(),
            parameters: self.content.shown_parameters(),
            tags: self.content.tags.clone(),
            capabilities: self.content.capabilities.clone(),
            preview: Preview { changes: if ready { self.changes.clone() } else { Vec::new() } },
            context: PreviewContext::default(),
        }
    }
}

impl Inner {
    /// `CreateChangeSet`: gives the ARN; the rest follows in time.
    pub(super) fn create_change_set(
        &mut self,
        place: &Place,
        name: &StackName,
        change_set: &str,
        inputs: &ChangeSetInputs,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        check_name(change_set)?;
        let found = self.live(place, name);
        match (inputs.kind, found) {
            (ChangeSetKind::Update, None) => return Err(Refusal::no_stack(name)),
            (ChangeSetKind::Update, Some(stack)) => check_updatable(stack)?,
            (ChangeSetKind::Create, Some(stack)) if stack.status != StackStatus::ReviewInProgress => {
                return Err(Refusal::validation(format!(
                    "Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]."
                )));
            }
            (ChangeSetKind::Create, _) => {}
        }
        if found.is_some_and(|stack| stack.change_sets.contains_key(change_set)) {
            let message = format!("ChangeSet {change_set} already exists");
            return Err(Refusal::new(ProviderErrorKind::AlreadyExists, "AlreadyExistsException", message));
        }
        let before = found.and_then(|stack| stack.content.as_ref());
        let content = content_of(inputs, before)?;
        let changes = match found {
            Some(stack) => preview(before, &content, &stack.resources),
            None => preview(None, &content, &BTreeMap::new()),
        };
        let outputs_change = before.is_some_and(|before| !same_outputs(before, &content));
        let arn = self.new_arn(place, "changeSet", change_set);
        let made = ChangeSet {
            arn: arn.clone(),
            name: change_set.to_owned(),
            kind: inputs.kind,
            status: ChangeSetStatus::CreateInProgress,
            execution: ExecutionStatus::Unavailable,
            reason: None,
            ready_at: later(now, self.draw(Duration::from_millis(300)..=Duration::from_millis(1_500))),
            content,
            changes,
            outputs_change,
        };
        if self.live(place, name).is_none() {
            self.add_shell(place, name, now);
        }
        if let Some(stack) = self.live_mut(place, name) {
            stack.change_sets.insert(change_set.to_owned(), made);
        }
        Ok(arn)
    }

    /// The stack that a change-set call names, with the change set.
    pub(super) fn change_set(
        &self,
        place: &Place,
        name: &StackName,
        wanted: &str,
    ) -> Result<(&Stack, &ChangeSet), Refusal> {
        let Some(stack) = self.live(place, name) else {
            // With an ARN CloudFormation looks for the change set itself; with a name it looks for the stack first.
            let by_arn = wanted.starts_with("arn:");
            return Err(if by_arn { Refusal::no_change_set(wanted) } else { Refusal::no_stack(name) });
        };
        let found = stack.change_sets.values().find(|set| set.is_named(wanted));
        found.map(|set| (stack, set)).ok_or_else(|| Refusal::no_change_set(wanted))
    }

    pub(super) fn describe_change_set(
        &self,
        place: &Place,
        name: &StackName,
        wanted: &str,
    ) -> Result<DescribedChangeSet, Refusal> {
        self.change_set(place, name, wanted).map(|(stack, set)| set.described(stack))
    }

    /// `DeleteChangeSet`: one that is not there is a success.
    pub(super) fn delete_change_set(&mut self, place: &Place, name: &StackName, wanted: &str) -> Result<(), Refusal> {
        let Some(stack) = self.live_mut(place, name) else { return Ok(()) };
        let Some(set) = stack.change_sets.values().find(|set| set.is_named(wanted)) else { return Ok(()) };
        if set.execution == ExecutionStatus::ExecuteInProgress {
            return Err(wrong_status(set, "deleted"));
        }
        let key = set.name.clone();
        stack.change_sets.remove(&key);
        Ok(())
    }

    /// `ExecuteChangeSet`: once, and the stack's other change sets are gone.
    pub(super) fn execute_change_set(
        &mut self,
        place: &Place,
        name: &StackName,
        arn: &str,
        token: &Token,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (stack, set) = self.change_set(place, name, arn)?;
        if set.execution != ExecutionStatus::Available {
            return Err(wrong_status(set, "executed"));
        }
        let work = match set.kind {
            ChangeSetKind::Create if stack.status == StackStatus::ReviewInProgress => Work::Create,
            ChangeSetKind::Create => return Err(not_updatable(stack)),
            ChangeSetKind::Update => {
                check_updatable(stack)?;
                Work::Update
            }
        };
        let (content, changes, key) = (set.content.clone(), set.changes.clone(), set.name.clone());
        if let Some(stack) = self.live_mut(place, name) {
            stack.change_sets.retain(|name, _| *name == key);
            if let Some(set) = stack.change_sets.get_mut(&key) {
                set.execution = ExecutionStatus::ExecuteInProgress;
            }
        }
        self.begin(place, name, Order { work, content, changes: &changes, token, change_set: Some(key) }, now);
        Ok(())
    }
}

fn wrong_status(set: &ChangeSet, verb: &str) -> Refusal {
    let message = format!(
        "ChangeSet [{}] cannot be {verb} in its current execution status of [{}] and status of [{}]",
        set.arn, set.execution, set.status
    );
    Refusal::new(ProviderErrorKind::Rejected, "InvalidChangeSetStatus", message)
}

/// API reference, `ChangeSetName`: `[a-zA-Z][-a-zA-Z0-9]*`, at most 128.
fn check_name(name: &str) -> Result<(), Refusal> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_well && name.len() <= 128 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(());
    }
    Err(Refusal::validation(format!(
        "1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
    )))
}

/// What the stack will hold: the inputs, and what the stack has where they say nothing.
fn content_of(inputs: &ChangeSetInputs, before: Option<&Content>) -> Result<Content, Refusal> {
    let (template, parsed) = match (&inputs.template, before) {
        (Some(template), _) => (template.clone(), Arc::new(ParsedTemplate::parse(template.body())?)),
        (None, Some(before)) => (before.template.clone(), Arc::clone(&before.parsed)),
        (None, None) => {
            return Err(Refusal::validation("Either Template URL or Template Body must be specified."));
        }
    };
    if let Some(missing) = missing_capability(&parsed, &inputs.capabilities) {
        let message = format!("Requires capabilities : [{missing}]");
        return Err(Refusal::new(ProviderErrorKind::Rejected, "InsufficientCapabilitiesException", message));
    }
    if let Some(before) = before {
        refuse_changed_types(&before.parsed, &parsed)?;
    }
    let parameters = parsed.values(&given_values(inputs, before)?)?;
    Ok(Content {
        template,
        parsed,
        parameters,
        tags: inputs.tags.clone().or_else(|| before.map(|b| b.tags.clone())).unwrap_or_default(),
        capabilities: inputs.capabilities.clone(),
        role_arn: inputs.role_arn.clone().or_else(|| before.and_then(|b| b.role_arn.clone())),
        notification_arns: inputs
            .notification_arns
            .clone()
            .or_else(|| before.map(|b| b.notification_arns.clone()))
            .unwrap_or_default(),
        rollback_configuration: inputs
            .rollback_configuration
            .clone()
            .or_else(|| before.map(|b| b.rollback_configuration.clone()))
            .unwrap_or_default(),
    })
}

fn given_values(inputs: &ChangeSetInputs, before: Option<&Content>) -> Result<BTreeMap<String, String>, Refusal> {
    let value = |(key, input): (&String, &ParameterInput)| match input {
        ParameterInput::Value(value) => Ok((key.clone(), value.clone())),
        ParameterInput::Previous => match before.and_then(|b| b.parameters.get(key)) {
            Some(value) => Ok((key.clone(), value.clone())),
            None => Err(Refusal::validation(format!(
                "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a parameter key not \
                 in the previous template"
            ))),
        },
    };
    inputs.parameters.iter().map(value).collect()
}

/// A resource keeps its type. The world's own types are an exception, so that a script can make any resource fail.
fn refuse_changed_types(before: &ParsedTemplate, after: &ParsedTemplate) -> Result<(), Refusal> {
    let changed: Vec<_> = after
        .resources
        .iter()
        .filter(|(id, new)| {
            let sim = |kind: &str| kind.starts_with("Sim::");
            before.resources.get(*id).is_some_and(|old| old.kind != new.kind && !sim(&old.kind) && !sim(&new.kind))
        })
        .map(|(id, _)| id.as_str())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Refusal::validation(format!(
        "Update of resource type is not permitted. The new template modifies resource type of the following resources: [{}]",
        changed.join(", ")
    )))
}
