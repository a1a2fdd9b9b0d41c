//! The two traits over the world: each method writes its record and says what the provider does when the call arrives.

use super::calls::{CallRecord, Operation, Refusal};
use super::preview::removal;
use super::stacks::Content;
use super::world::{Inner, Place, SimWorld};
use crate::cloud::{Health, Priority, Stacks};
use crate::model::ids::{StackName, Token};
use crate::model::observation::{AlarmView, MetricQuery, OperationTrace, ProviderError, Series};
use crate::model::preview::{ContextWanted, DescribedChangeSet, PreviewContext, ResourceChange};
use crate::model::stack::{ChangeSetInputs, Scope, StackView, Template};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Stacks for SimWorld {
    async fn describe(
        &self,
        scope: &Scope,
        names: &[StackName],
        priority: Priority,
    ) -> Result<BTreeMap<StackName, StackView>, ProviderError> {
        let listed = names.iter().map(StackName::as_str).collect::<Vec<_>>().join(",");
        let record = CallRecord::new(Operation::Describe, scope, Some(priority)).stack(listed);
        let (place, names) = (Place::from(scope), names.to_vec());
        self.call(record, move |inner, _| {
            let view = |name: StackName| {
                let view = inner.live(&place, &name)?.view_back(inner.stale);
                Some((name, view))
            };
            Ok(names.into_iter().filter_map(view).collect())
        })
        .await
    }

    async fn describe_by_id(
        &self,
        scope: &Scope,
        stack_id: &str,
        priority: Priority,
    ) -> Result<Option<StackView>, ProviderError> {
        let record = CallRecord::new(Operation::DescribeById, scope, Some(priority)).stack(stack_id);
        let (place, id) = (Place::from(scope), stack_id.to_owned());
        self.call(record, move |inner, _| Ok(inner.by_name_or_arn(&place, &id).map(|s| s.view_back(inner.stale)))).await
    }

    async fn template(&self, scope: &Scope, stack: &StackName, priority: Priority) -> Result<Template, ProviderError> {
        let record = CallRecord::new(Operation::Template, scope, Some(priority)).stack(stack);
        let (place, name) = (Place::from(scope), stack.clone());
        self.call(record, move |inner, _| inner.content(&place, &name).map(|content| content.template.clone())).await
    }

    async fn change_set_template(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> Result<Template, ProviderError> {
        let record = CallRecord::new(Operation::ChangeSetTemplate, scope, Some(priority));
        let record = record.stack(stack).change_set(change_set);
        let (place, name, wanted) = (Place::from(scope), stack.clone(), change_set.to_owned());
        self.call(record, move |inner, _| {
            inner.change_set(&place, &name, &wanted).map(|(_, set)| set.content.template.clone())
        })
        .await
    }

    async fn policy(
        &self,
        scope: &Scope,
        stack: &StackName,
        priority: Priority,
    ) -> Result<Option<String>, ProviderError> {
        let record = CallRecord::new(Operation::Policy, scope, Some(priority)).stack(stack);
        let (place, name) = (Place::from(scope), stack.clone());
        self.call(record, move |inner, _| {
            inner.live(&place, &name).map(|stack| stack.policy.clone()).ok_or_else(|| Refusal::no_stack(&name))
        })
        .await
    }

    async fn resources(
        &self,
        scope: &Scope,
        stack: &StackName,
        priority: Priority,
    ) -> Result<Vec<ResourceChange>, ProviderError> {
        let record = CallRecord::new(Operation::Resources, scope, Some(priority)).stack(stack);
        let (place, name) = (Place::from(scope), stack.clone());
        self.call(record, move |inner, _| inner.removals(&place, &name)).await
    }

    async fn preview_context(
        &self,
        scope: &Scope,
        stack_id: &str,
        change_set: Option<&str>,
        wanted: ContextWanted,
        priority: Priority,
    ) -> Result<PreviewContext, ProviderError> {
        let record = CallRecord::new(Operation::PreviewContext, scope, Some(priority)).stack(stack_id);
        let record = change_set.map_or_else(|| record.clone(), |arn| record.clone().change_set(arn));
        let (place, id, change_set) = (Place::from(scope), stack_id.to_owned(), change_set.map(ToOwned::to_owned));
        self.call(record, move |inner, _| inner.preview_context(&place, &id, change_set.as_deref(), wanted)).await
    }

    async fn create_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        name: &str,
        inputs: &ChangeSetInputs,
        priority: Priority,
    ) -> Result<String, ProviderError> {
        let record = CallRecord::new(Operation::CreateChangeSet, scope, Some(priority)).stack(stack).change_set(name);
        let (place, stack, name, inputs) = (Place::from(scope), stack.clone(), name.to_owned(), inputs.clone());
        self.call(record, move |inner, now| inner.create_change_set(&place, &stack, &name, &inputs, now)).await
    }

    async fn describe_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> Result<DescribedChangeSet, ProviderError> {
        let record = CallRecord::new(Operation::DescribeChangeSet, scope, Some(priority));
        let record = record.stack(stack).change_set(change_set);
        let (place, name, wanted) = (Place::from(scope), stack.clone(), change_set.to_owned());
        self.call(record, move |inner, _| inner.describe_change_set(&place, &name, &wanted)).await
    }

    async fn delete_change_set(&self, scope: &Scope, stack: &StackName, change_set: &str) -> Result<(), ProviderError> {
        let record = CallRecord::new(Operation::DeleteChangeSet, scope, None).stack(stack).change_set(change_set);
        let (place, name, wanted) = (Place::from(scope), stack.clone(), change_set.to_owned());
        self.call(record, move |inner, _| inner.delete_change_set(&place, &name, &wanted)).await
    }

    async fn execute_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        arn: &str,
        token: &Token,
        priority: Priority,
    ) -> Result<(), ProviderError> {
        let record = CallRecord::new(Operation::ExecuteChangeSet, scope, Some(priority));
        let record = record.stack(stack).change_set(arn).token(token);
        let (place, name, arn, token) = (Place::from(scope), stack.clone(), arn.to_owned(), token.clone());
        self.call(record, move |inner, now| inner.execute_change_set(&place, &name, &arn, &token, now)).await
    }

    async fn delete_stack(
        &self,
        scope: &Scope,
        stack_id: &str,
        token: &Token,
        priority: Priority,
    ) -> Result<(), ProviderError> {
        let record = CallRecord::new(Operation::DeleteStack, scope, Some(priority)).stack(stack_id).token(token);
        let (place, id, token) = (Place::from(scope), stack_id.to_owned(), token.clone());
        self.call(record, move |inner, now| inner.delete_stack(&place, &id, &token, now)).await
    }

    async fn cancel_update(&self, scope: &Scope, stack: &StackName, token: &Token) -> Result<(), ProviderError> {
        let record = CallRecord::new(Operation::CancelUpdate, scope, None).stack(stack).token(token);
        let (place, name, token) = (Place::from(scope), stack.clone(), token.clone());
        self.call(record, move |inner, now| inner.cancel_update(&place, &name, &token, now)).await
    }

    async fn continue_rollback(&self, scope: &Scope, stack: &StackName, token: &Token) -> Result<(), ProviderError> {
        let record = CallRecord::new(Operation::ContinueRollback, scope, None).stack(stack).token(token);
        let (place, name, token) = (Place::from(scope), stack.clone(), token.clone());
        self.call(record, move |inner, now| inner.continue_rollback(&place, &name, &token, now)).await
    }

    async fn find_operation(
        &self,
        scope: &Scope,
        stack: &str,
        token: &Token,
        not_before: Timestamp,
        priority: Priority,
    ) -> Result<OperationTrace, ProviderError> {
        let record = CallRecord::new(Operation::FindOperation, scope, Some(priority)).stack(stack).token(token);
        let (place, stack, token) = (Place::from(scope), stack.to_owned(), token.clone());
        self.call(record, move |inner, _| {
            let found = inner.by_name_or_arn(&place, &stack).map(|stack| stack.trace(&token, not_before));
            Ok(found.unwrap_or(OperationTrace {
                token,
                found: false,
                last_event: None,
                failures: Vec::new(),
                stack_status: None,
            }))
        })
        .await
    }
}

impl Health for SimWorld {
    async fn metrics(
        &self,
        scope: &Scope,
        queries: &[(MetricQuery, bool)],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Series>, ProviderError> {
        let record = CallRecord::new(Operation::Metrics, scope, None);
        let (place, queries) = (Place::from(scope), queries.to_vec());
        self.call(record, move |inner, now| {
            queries.iter().map(|(query, samples)| inner.series(&place, query, *samples, (from, to), now)).collect()
        })
        .await
    }

    async fn alarms(
        &self,
        scope: &Scope,
        names: &[String],
    ) -> Result<BTreeMap<String, Option<AlarmView>>, ProviderError> {
        let record = CallRecord::new(Operation::Alarms, scope, None);
        let (place, names) = (Place::from(scope), names.to_vec());
        self.call(record, move |inner, now| {
            let view = |name: String| {
                let view = inner.alarm_view(&place, &name, now);
                (name, view)
            };
            Ok(names.into_iter().map(view).collect())
        })
        .await
    }
}

impl Inner {
    /// What the stack holds; a missing stack and a shell have the same answer but for the words.
    fn content(&self, place: &Place, name: &StackName) -> Result<&Content, Refusal> {
        let stack = self.live(place, name).ok_or_else(|| Refusal::no_stack(name))?;
        let no_template = || Refusal::validation(format!("Stack [{name}] has no template: it is in {}", stack.status));
        stack.content.as_ref().ok_or_else(no_template)
    }

    fn removals(&self, place: &Place, name: &StackName) -> Result<Vec<ResourceChange>, Refusal> {
        let stack = self.live(place, name).ok_or_else(|| Refusal::no_stack(name))?;
        let Some(content) = &stack.content else { return Ok(Vec::new()) };
        let existing = stack.resources.iter();
        Ok(existing
            .filter_map(|(id, resource)| Some(removal(id, content.parsed.resources.get(id)?, Some(resource))))
            .collect())
    }
}
