//! The world, behind small traits in model terms. No decision is made here: each call says what it knows, and no more.
//!
//! | module | what |
//! |---|---|
//! | `aws` | both traits over the AWS SDK and Prometheus: clients, credentials, timeouts |
//! | `cloudformation` | the calls behind [`Stacks`] |
//! | `cloudwatch` | the calls behind [`Health`] |
//! | `prometheus` | series from Prometheus servers |
//! | `outbound` | messages that leave the house: webhooks, Slack, SNS |
//! | `otlp` | traces out; only with the feature `otel` |
//! | `ping` | one request to an outside monitor |
//! | `source` | what a source of series promises, and the way to the right one |
//! | `call` | the one way out: budget, retry, count, log |
//! | `classify` | what an SDK error proves about the effect |
//! | `retry` | full jitter with a deadline, for calls that may be repeated |
//! | `budget` | calls per account and region, with a share kept for reverts |
//! | `jwks` | public documents of issuers of tokens: their keys |
//! | `drill_http` | one request of a kill drill to the daemon's own HTTP door |
//! | `sizes` | the few properties that may leave the provider's answer for a price |
//! | `web` | what all clients of HTTP have in common: TLS, no redirect, bounded answers |
//! | `sim` | a deterministic world for the demo and for tests |

pub mod aws;
pub mod budget;
pub mod call;
pub mod classify;
pub mod cloudformation;
pub mod cloudwatch;
pub mod drill_http;
pub mod jwks;
#[cfg(feature = "otel")]
pub mod otlp;
pub mod outbound;
pub mod ping;
pub mod prometheus;
pub mod retry;
pub mod sim;
mod sizes;
pub mod source;
mod web;

use crate::model::ids::{StackName, Token};
use crate::model::observation::{AlarmView, MetricQuery, OperationTrace, ProviderError, Series};
use crate::model::preview::{ContextWanted, DescribedChangeSet, PreviewContext, ResourceChange};
use crate::model::stack::{ChangeSetInputs, Scope, StackView, Template};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;

/// How urgent a call is for the budget: the reserved share is for calls that make things safer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Forward work and everything that prepares it.
    Normal,
    /// Reverts, fences and the reads that they wait for.
    Reserved,
}

/// CloudFormation, one call a method.
///
/// Contract for every method: it ends within a bounded time. An error of kind `Ambiguous` is returned when and only when
/// the call may have had its effect; every other kind promises that it had none. Reads and calls that may be repeated
/// (`describe_change_set`, `delete_change_set`) are retried inside on `Throttled` and `Unavailable`;
/// the others are retried only on answers that prove that nothing happened.
pub trait Stacks: Send + Sync + 'static {
    /// The stacks that exist among `names`, by name; a name that is missing from the map does not exist. Idempotent.
    /// Many names are read with one paged listing of the scope.
    fn describe(
        &self,
        scope: &Scope,
        names: &[StackName],
        priority: Priority,
    ) -> impl Future<Output = Result<BTreeMap<StackName, StackView>, ProviderError>> + Send;

    /// One stack by its ARN, which also finds deleted stacks (status `DELETE_COMPLETE`). `None`: no such stack. Idempotent.
    fn describe_by_id(
        &self,
        scope: &Scope,
        stack_id: &str,
        priority: Priority,
    ) -> impl Future<Output = Result<Option<StackView>, ProviderError>> + Send;

    /// The stack's template, stage `Original`: the bytes that were handed in. Idempotent.
    fn template(
        &self,
        scope: &Scope,
        stack: &StackName,
        priority: Priority,
    ) -> impl Future<Output = Result<Template, ProviderError>> + Send;

    /// The template inside a change set, stage `Original`. Idempotent.
    fn change_set_template(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> impl Future<Output = Result<Template, ProviderError>> + Send;

    /// The stack policy's text, if one is set. Idempotent.
    fn policy(
        &self,
        scope: &Scope,
        stack: &StackName,
        priority: Priority,
    ) -> impl Future<Output = Result<Option<String>, ProviderError>> + Send;

    /// The stack's resources as `Remove` changes with their deletion policies where the provider tells: the preview of a
    /// deletion. Those of nested stacks that go with it are in `nested`. All or an error. Idempotent.
    fn resources(
        &self,
        scope: &Scope,
        stack: &StackName,
        priority: Priority,
    ) -> impl Future<Output = Result<Vec<ResourceChange>, ProviderError>> + Send;

    /// What a guardrail needs beside a preview, and nothing that was not wanted. `change_set` is an ARN; none: the stack is to
    /// be deleted, and there are no sizes. Of properties only those leave that a price may depend on (S20). Exports are none
    /// where the provider refuses to tell. Idempotent.
    fn preview_context(
        &self,
        scope: &Scope,
        stack_id: &str,
        change_set: Option<&str>,
        wanted: ContextWanted,
        priority: Priority,
    ) -> impl Future<Output = Result<PreviewContext, ProviderError>> + Send;

    /// Creates a change set of that name; gives its ARN. Changes no resource. A name that is taken is `AlreadyExists`.
    /// Nested stacks get change sets of their own, which are executed and deleted with it.
    fn create_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        name: &str,
        inputs: &ChangeSetInputs,
        priority: Priority,
    ) -> impl Future<Output = Result<String, ProviderError>> + Send;

    /// Describes a change set, all pages, and those of its nested stacks. `change_set` is its ARN or its name. It is ready when
    /// all of them are; until then its preview is empty. Idempotent.
    fn describe_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> impl Future<Output = Result<DescribedChangeSet, ProviderError>> + Send;

    /// Deletes a change set by ARN or name. One that does not exist is a success: it cannot be executed. Idempotent.
    /// One that is being executed is `Rejected`.
    fn delete_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Executes a change set by ARN with `DisableRollback` set to false. Sent at most once: never repeated inside after an
    /// ambiguous outcome. A change set can be executed once; the provider refuses the second time.
    fn execute_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        arn: &str,
        token: &Token,
        priority: Priority,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Deletes a stack by its ARN. Sent at most once, as `execute_change_set`.
    fn delete_stack(
        &self,
        scope: &Scope,
        stack_id: &str,
        token: &Token,
        priority: Priority,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// `CancelUpdateStack`: the provider rolls the update back. `Rejected` when no update is in progress.
    fn cancel_update(
        &self,
        scope: &Scope,
        stack: &StackName,
        token: &Token,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// `ContinueUpdateRollback`, skipping nothing. Sent at most once.
    fn continue_rollback(
        &self,
        scope: &Scope,
        stack: &StackName,
        token: &Token,
    ) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// Reads the stack's events, newest first and bounded, back to `not_before`, for those that carry `token`. `stack` is a
    /// name or an ARN. A stack that does not exist gives a trace that found nothing. Idempotent.
    fn find_operation(
        &self,
        scope: &Scope,
        stack: &str,
        token: &Token,
        not_before: Timestamp,
        priority: Priority,
    ) -> impl Future<Output = Result<OperationTrace, ProviderError>> + Send;
}

/// What health is read from, one batch a method.
///
/// Contract: as [`Stacks`] for reads.
pub trait Health: Send + Sync + 'static {
    /// Series for the queries over `[from, to)`, whatever their sources; the flag says for which queries the sample counts are
    /// wanted. As [`source::MetricSource::read`].
    fn metrics(
        &self,
        scope: &Scope,
        queries: &[(MetricQuery, bool)],
        from: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<Vec<Series>, ProviderError>> + Send;

    /// CloudWatch's alarms of these names, metric and composite; `None` for one that does not exist.
    fn alarms(
        &self,
        scope: &Scope,
        names: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, Option<AlarmView>>, ProviderError>> + Send;
}

/// The whole world that a daemon needs.
pub trait World: Stacks + Health {}
impl<T: Stacks + Health> World for T {}
