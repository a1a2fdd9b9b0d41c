//! The `CreateChangeSet` request. The difference that matters: a list that is left out keeps what the stack has, an empty
//! list takes it away.

use crate::model::ids::StackName;
use crate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, RollbackConfiguration};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::create_change_set::builders::CreateChangeSetFluentBuilder;
use aws_sdk_cloudformation::types::{self, Capability, ChangeSetType, Parameter, RollbackTrigger, Tag};
use std::collections::BTreeMap;

/// The request; its client token is the change set's name, so that the provider knows a repetition as such.
pub(super) fn request(
    client: &Client,
    stack: &StackName,
    name: &str,
    inputs: &ChangeSetInputs,
) -> CreateChangeSetFluentBuilder {
    let kind = match inputs.kind {
        ChangeSetKind::Create => ChangeSetType::Create,
        ChangeSetKind::Update => ChangeSetType::Update,
    };
    let parameters: Vec<_> = inputs.parameters.iter().map(parameter).collect();
    let capabilities: Vec<_> = inputs.capabilities.iter().map(|word| Capability::from(word.as_str())).collect();
    let request = client
        .create_change_set()
        .stack_name(stack.as_str())
        .change_set_name(name)
        .client_token(name)
        .description(format!("Wavegate {name}"))
        .change_set_type(kind)
        // INVARIANT: S22. Always: whether a template has nested stacks may show only after its macros have run, and for one that
        // has none it means nothing. A hierarchy whose nested changes cannot be worked out is refused here, unseen by nobody.
        .include_nested_stacks(true)
        .set_parameters(Some(parameters).filter(|list| !list.is_empty()))
        .set_capabilities(Some(capabilities).filter(|list| !list.is_empty()))
        .set_tags(inputs.tags.as_ref().map(tags))
        .set_role_arn(inputs.role_arn.clone())
        .set_notification_arns(inputs.notification_arns.clone())
        .set_rollback_configuration(inputs.rollback_configuration.as_ref().map(rollback));
    match &inputs.template {
        Some(template) => request.template_body(template.body()),
        None => request.use_previous_template(true),
    }
}

fn parameter((key, input): (&String, &ParameterInput)) -> Parameter {
    let parameter = Parameter::builder().parameter_key(key);
    match input {
        ParameterInput::Value(value) => parameter.parameter_value(value).build(),
        ParameterInput::Previous => parameter.use_previous_value(true).build(),
    }
}

fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn rollback(configuration: &RollbackConfiguration) -> types::RollbackConfiguration {
    let triggers =
        configuration.triggers.iter().map(|(arn, kind)| RollbackTrigger::builder().arn(arn).r#type(kind).build());
    types::RollbackConfiguration::builder()
        .set_rollback_triggers(Some(triggers.collect()))
        .set_monitoring_time_in_minutes(configuration.monitoring_minutes)
        .build()
}
