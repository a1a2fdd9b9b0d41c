//! CloudFormation's calls in the model's terms: what is asked, which pages are read, what an absence means.
//!
//! How an answer becomes a model value is in `convert`, a stack's history in `events`, a new change set in `create`; what a change
//! set does is in `preview`, what a deletion does in `deletion`, both down to the last nested stack; what guardrails need beside
//! them in `context`.

mod context;
mod convert;
mod create;
mod deletion;
mod events;
mod policies;
mod preview;

use super::Priority;
use super::call::{Call, Caller, Operation};
use super::classify::unusable_answer;
use crate::model::ids::{StackName, Token};
use crate::model::observation::{OperationTrace, ProviderError, ProviderErrorKind};
use crate::model::stack::{ChangeSetInputs, Scope, StackStatus, StackView, Template};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::TemplateStage;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Up to this many stacks are asked for by name. A listing costs about one call per hundred stacks of the region, so
/// that from four names on it is rarely dearer and often far cheaper.
const MAX_BY_NAME: usize = 3;

/// Pages of one listing of a region. At a hundred stacks a page, ten times the default quota of 2,000 stacks.
const MAX_STACK_PAGES: u32 = 200;

/// How deep nested stacks are followed. CloudFormation itself nests four levels without a quota's increase; what lies deeper is
/// not seen, and what is not seen is no preview.
const MAX_DEPTH: usize = 8;

/// How many nested stacks of one stack are followed, on all levels. CloudFormation changes at most 2,500 resources of a
/// hierarchy at once; a hierarchy of 200 stacks takes about 20 s to read.
const MAX_NESTED: usize = 200;

/// The type of a nested stack.
const STACK_TYPE: &str = "AWS::CloudFormation::Stack";

/// Pages of a stack's events, at a hundred each. An operation on 500 resources with its rollback writes about 4,000.
const MAX_EVENT_PAGES: u32 = 80;

/// CloudFormation in one scope.
#[derive(Debug)]
pub struct CloudFormation<'a> {
    /// The SDK's client for the scope.
    pub client: Client,
    /// The way out.
    pub caller: &'a Caller,
    /// Where it is.
    pub scope: &'a Scope,
    /// For all calls.
    pub priority: Priority,
}

type Answer<T> = Result<T, ProviderError>;

impl CloudFormation<'_> {
    fn call(&self, operation: Operation) -> Call<'_> {
        Call { operation, scope: self.scope, priority: self.priority }
    }

    pub(super) async fn describe(&self, names: &[StackName]) -> Answer<BTreeMap<StackName, StackView>> {
        if names.len() > MAX_BY_NAME {
            return self.list(names).await;
        }
        let views = names.iter().map(|name| Box::pin(self.describe_one(name.as_str())));
        let views = futures_util::future::try_join_all(views).await?;
        // A name that was deleted is free: only its ARN still leads to what was there.
        let there = views.into_iter().flatten().filter(|view| view.status != StackStatus::DeleteComplete);
        Ok(there.map(|view| (view.name.clone(), view)).collect())
    }

    pub(super) async fn describe_one(&self, name_or_id: &str) -> Answer<Option<StackView>> {
        let send = || self.client.describe_stacks().stack_name(name_or_id).send();
        let answer = match self.caller.call(self.call(Operation::DescribeStacks), send).await {
            Err(error) if error.kind == ProviderErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        // An empty list is not the provider's way to say that there is none.
        let stack = answer.stacks.unwrap_or_default().into_iter().next();
        let stack = stack.ok_or_else(|| unusable_answer(Operation::DescribeStacks, "no stack in the answer"))?;
        convert::stack_view(stack).map(Some)
    }

    async fn list(&self, names: &[StackName]) -> Answer<BTreeMap<StackName, StackView>> {
        let mut wanted: BTreeSet<&str> = names.iter().map(StackName::as_str).collect();
        let mut found = BTreeMap::new();
        let mut token = None;
        for _ in 0..MAX_STACK_PAGES {
            let send = || self.client.describe_stacks().set_next_token(token.clone()).send();
            let page = self.caller.call(self.call(Operation::DescribeStacks), send).await?;
            for stack in page.stacks.unwrap_or_default() {
                let deleted = stack.stack_status.as_ref().is_some_and(|s| s.as_str() == "DELETE_COMPLETE");
                if !deleted && stack.stack_name.as_deref().is_some_and(|name| wanted.remove(name)) {
                    let view = convert::stack_view(stack)?;
                    found.insert(view.name.clone(), view);
                }
            }
            token = page.next_token;
            if token.is_none() || wanted.is_empty() {
                return Ok(found);
            }
        }
        // To leave a name out would say that it does not exist.
        Err(unusable_answer(Operation::DescribeStacks, "the region's listing has too many pages"))
    }

    pub(super) async fn template(&self, stack: Option<&str>, change_set: Option<&str>) -> Answer<Template> {
        let stack = stack.filter(|_| !change_set.is_some_and(is_arn));
        let send = || {
            let request = self.client.get_template().template_stage(TemplateStage::Original);
            request.set_stack_name(stack.map(Into::into)).set_change_set_name(change_set.map(Into::into)).send()
        };
        let answer = self.caller.call(self.call(Operation::GetTemplate), send).await?;
        let body = answer.template_body.filter(|body| !body.is_empty());
        body.map(Template::new).ok_or_else(|| unusable_answer(Operation::GetTemplate, "no template in the answer"))
    }

    pub(super) async fn policy(&self, stack: &StackName) -> Answer<Option<String>> {
        let send = || self.client.get_stack_policy().stack_name(stack.as_str()).send();
        let answer = self.caller.call(self.call(Operation::GetStackPolicy), send).await?;
        Ok(answer.stack_policy_body.filter(|body| !body.is_empty()))
    }

    pub(super) async fn create_change_set(
        &self,
        stack: &StackName,
        name: &str,
        inputs: &ChangeSetInputs,
    ) -> Answer<String> {
        let send = || create::request(&self.client, stack, name, inputs).send();
        let answer = self.caller.call(self.call(Operation::CreateChangeSet), send).await?;
        answer.id.ok_or_else(|| unusable_answer(Operation::CreateChangeSet, "no id in the answer"))
    }

    pub(super) async fn delete_change_set(&self, stack: &StackName, change_set: &str) -> Answer<()> {
        let stack = (!is_arn(change_set)).then(|| stack.to_string());
        let send = || self.client.delete_change_set().change_set_name(change_set).set_stack_name(stack.clone()).send();
        match self.caller.call(self.call(Operation::DeleteChangeSet), send).await {
            Err(error) if error.kind == ProviderErrorKind::NotFound => Ok(()),
            answer => answer.map(drop),
        }
    }

    pub(super) async fn execute_change_set(&self, arn: &str, token: &Token) -> Answer<()> {
        let send = || {
            let request = self.client.execute_change_set().change_set_name(arn);
            // The reference's text says that the default is true here and false elsewhere: it is always said.
            request.client_request_token(token.as_str()).disable_rollback(false).send()
        };
        self.caller.call(self.call(Operation::ExecuteChangeSet), send).await.map(drop)
    }

    pub(super) async fn delete_stack(&self, stack_id: &str, token: &Token) -> Answer<()> {
        let send = || self.client.delete_stack().stack_name(stack_id).client_request_token(token.as_str()).send();
        self.caller.call(self.call(Operation::DeleteStack), send).await.map(drop)
    }

    pub(super) async fn cancel_update(&self, stack: &StackName, token: &Token) -> Answer<()> {
        let send =
            || self.client.cancel_update_stack().stack_name(stack.as_str()).client_request_token(token.as_str()).send();
        self.caller.call(self.call(Operation::CancelUpdateStack), send).await.map(drop)
    }

    pub(super) async fn continue_rollback(&self, stack: &StackName, token: &Token) -> Answer<()> {
        let send = || {
            let request = self.client.continue_update_rollback().stack_name(stack.as_str());
            request.client_request_token(token.as_str()).send()
        };
        self.caller.call(self.call(Operation::ContinueUpdateRollback), send).await.map(drop)
    }

    pub(super) async fn find_operation(
        &self,
        stack: &str,
        token: &Token,
        not_before: Timestamp,
    ) -> Answer<OperationTrace> {
        let mut reader = events::Reader::new(token, not_before);
        let mut next = None;
        for _ in 0..MAX_EVENT_PAGES {
            let send = || self.client.describe_stack_events().stack_name(stack).set_next_token(next.clone()).send();
            let page = match self.caller.call(self.call(Operation::DescribeStackEvents), send).await {
                Err(error) if error.kind == ProviderErrorKind::NotFound => return Ok(reader.finish()),
                page => page?,
            };
            let events = page.stack_events.unwrap_or_default();
            let ended = events.into_iter().any(|event| reader.read(event).is_break());
            next = page.next_token;
            if ended || next.is_none() {
                return Ok(reader.finish());
            }
        }
        let trace = reader.finish();
        // INVARIANT: S9. "Not found" may be said only by a reader who has read everything.
        if trace.found { Ok(trace) } else { Err(unusable_answer(Operation::DescribeStackEvents, "too many pages")) }
    }
}

/// A change set's ARN names its stack as well; a bare name needs the stack beside it.
fn is_arn(name: &str) -> bool {
    name.starts_with("arn:")
}

#[cfg(test)]
mod tests;
