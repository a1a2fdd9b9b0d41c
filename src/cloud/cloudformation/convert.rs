//! CloudFormation's answers as model values. A word that is not known stays visible as such; a part without which nothing
//! could be decided makes the answer unusable.

use crate::cloud::aws::timestamp;
use crate::cloud::call::Operation;
use crate::cloud::classify::unusable_answer;
use crate::model::observation::ProviderError;
use crate::model::preview::{
    ChangeDetail, DescribedChangeSet, Preview, PreviewContext, ResourceAction, ResourceChange,
};
use crate::model::stack::{DriftStatus, DriftView, ParameterView, RollbackConfiguration, StackStatus, StackView};
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{self, Capability, Change, Parameter, ResourceChangeDetail, Stack, Tag};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn stack_view(stack: Stack) -> Result<StackView, ProviderError> {
    let lacks = |part: &str| unusable_answer(Operation::DescribeStacks, &format!("a stack without its {part}"));
    let status = stack.stack_status.ok_or_else(|| lacks("status"))?;
    Ok(StackView {
        stack_id: stack.stack_id.filter(|id| !id.is_empty()).ok_or_else(|| lacks("id"))?,
        name: stack.stack_name.ok_or_else(|| lacks("name"))?.into(),
        status: StackStatus::from(status.as_str()),
        status_reason: stack.stack_status_reason.filter(|reason| !reason.is_empty()),
        parameters: parameters(stack.parameters),
        tags: tags(stack.tags),
        capabilities: capabilities(stack.capabilities),
        role_arn: stack.role_arn.filter(|arn| !arn.is_empty()),
        notification_arns: stack.notification_arns.unwrap_or_default(),
        rollback_configuration: stack.rollback_configuration.map(rollback).unwrap_or_default(),
        termination_protection: stack.enable_termination_protection.unwrap_or_default(),
        last_updated: stack.last_updated_time.or(stack.creation_time).as_ref().and_then(timestamp),
        drift: stack.drift_information.and_then(drift),
    })
}

/// None: nobody has looked. Then there is nothing to record, and a stack is recorded as it was before drift was read.
fn drift(information: types::StackDriftInformation) -> Option<DriftView> {
    let status = DriftStatus::from(information.stack_drift_status?.as_str());
    let checked_at = information.last_check_timestamp.as_ref().and_then(timestamp);
    (status != DriftStatus::NotChecked).then_some(DriftView { status, checked_at })
}

pub(super) fn described(
    page: DescribeChangeSetOutput,
    mut changes: Vec<ResourceChange>,
) -> Result<DescribedChangeSet, ProviderError> {
    let lacks = |part: &str| unusable_answer(Operation::DescribeChangeSet, &format!("a change set without its {part}"));
    changes.sort_by(|a, b| a.logical_id.cmp(&b.logical_id).then_with(|| a.cmp(b)));
    Ok(DescribedChangeSet {
        arn: page.change_set_id.filter(|arn| !arn.is_empty()).ok_or_else(|| lacks("id"))?,
        name: page.change_set_name.ok_or_else(|| lacks("name"))?,
        stack_id: page.stack_id.filter(|id| !id.is_empty()).ok_or_else(|| lacks("stack id"))?,
        status: page.status.ok_or_else(|| lacks("status"))?.as_str().into(),
        status_reason: page.status_reason.filter(|reason| !reason.is_empty()),
        execution_status: page.execution_status.ok_or_else(|| lacks("execution status"))?.as_str().into(),
        parameters: parameters(page.parameters),
        tags: tags(page.tags),
        capabilities: capabilities(page.capabilities),
        preview: Preview { changes },
        context: PreviewContext::default(),
    })
}

pub(super) fn change(change: Change) -> ResourceChange {
    // A change that is not of a resource is unknown to us, and must not vanish from the preview (S24).
    let kind = change.r#type.map(|kind| kind.as_str().to_owned()).unwrap_or_default();
    let resource = change.resource_change.unwrap_or_else(|| types::ResourceChange::builder().build());
    let action =
        resource.action.as_ref().map_or_else(|| ResourceAction::Unknown(kind), |action| action.as_str().into());
    let nested_change_set = resource.change_set_id.filter(|id| !id.is_empty());
    // The shell of a nested stack that is to be added is a new one with every change set: its name would make two equal previews
    // differ.
    let shell = action == ResourceAction::Add && nested_change_set.is_some();
    ResourceChange {
        action,
        logical_id: resource.logical_resource_id.unwrap_or_default(),
        physical_id: resource.physical_resource_id.filter(|id| !id.is_empty() && !shell),
        resource_type: resource.resource_type.unwrap_or_default(),
        replacement: resource.replacement.map(|word| word.as_str().into()),
        policy_action: resource.policy_action.map(|word| word.as_str().into()),
        scope: sorted(resource.scope.unwrap_or_default().iter().map(|word| word.as_str().to_owned())),
        details: sorted(resource.details.unwrap_or_default().iter().map(detail)),
        nested_change_set,
        nested: None,
    }
}

fn detail(detail: &ResourceChangeDetail) -> ChangeDetail {
    let target = detail.target.as_ref();
    ChangeDetail::new(
        target.and_then(|t| t.attribute.as_ref()).map(types::ResourceAttribute::as_str),
        target.and_then(|t| t.name.as_deref()),
        target.and_then(|t| t.requires_recreation.as_ref()).map(types::RequiresRecreation::as_str),
        detail.evaluation.as_ref().map(types::EvaluationType::as_str),
        detail.change_source.as_ref().map(types::ChangeSource::as_str),
        detail.causing_entity.as_deref(),
    )
}

fn sorted<T: Ord>(words: impl Iterator<Item = T>) -> Vec<T> {
    let mut words: Vec<T> = words.collect();
    words.sort_unstable();
    words
}

fn parameters(parameters: Option<Vec<Parameter>>) -> BTreeMap<String, ParameterView> {
    let view = |p: Parameter| {
        let view = ParameterView { value: p.parameter_value.unwrap_or_default(), resolved: p.resolved_value };
        p.parameter_key.map(|key| (key, view))
    };
    parameters.unwrap_or_default().into_iter().filter_map(view).collect()
}

fn tags(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    let pair = |tag: Tag| Some((tag.key?, tag.value.unwrap_or_default()));
    tags.unwrap_or_default().into_iter().filter_map(pair).collect()
}

fn capabilities(capabilities: Option<Vec<Capability>>) -> BTreeSet<String> {
    capabilities.unwrap_or_default().iter().map(|word| word.as_str().to_owned()).collect()
}

fn rollback(configuration: types::RollbackConfiguration) -> RollbackConfiguration {
    let triggers = configuration.rollback_triggers.unwrap_or_default();
    RollbackConfiguration {
        triggers: triggers
            .into_iter()
            .map(|trigger| (trigger.arn.unwrap_or_default(), trigger.r#type.unwrap_or_default()))
            .collect(),
        monitoring_minutes: configuration.monitoring_time_in_minutes,
    }
}
