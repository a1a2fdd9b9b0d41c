//! The log of every call, and refusals in the provider's words.

use super::faults::FaultKind;
use crate::cloud::Priority;
use crate::model::ids::Token;
use crate::model::observation::{ProviderError, ProviderErrorKind};
use crate::model::stack::Scope;
use jiff::Timestamp;

/// One method of [`crate::cloud::Stacks`] or [`crate::cloud::Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the trait's method of the same name")]
pub enum Operation {
    Describe,
    DescribeById,
    Template,
    ChangeSetTemplate,
    Policy,
    Resources,
    PreviewContext,
    CreateChangeSet,
    DescribeChangeSet,
    DeleteChangeSet,
    ExecuteChangeSet,
    DeleteStack,
    CancelUpdate,
    ContinueRollback,
    FindOperation,
    Metrics,
    Alarms,
}

impl Operation {
    /// The provider's name of the call.
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Describe | Self::DescribeById => "DescribeStacks",
            Self::Template | Self::ChangeSetTemplate => "GetTemplate",
            Self::Policy => "GetStackPolicy",
            Self::Resources => "ListStackResources",
            Self::PreviewContext => "ListExports",
            Self::CreateChangeSet => "CreateChangeSet",
            Self::DescribeChangeSet => "DescribeChangeSet",
            Self::DeleteChangeSet => "DeleteChangeSet",
            Self::ExecuteChangeSet => "ExecuteChangeSet",
            Self::DeleteStack => "DeleteStack",
            Self::CancelUpdate => "CancelUpdateStack",
            Self::ContinueRollback => "ContinueUpdateRollback",
            Self::FindOperation => "DescribeStackEvents",
            Self::Metrics => "GetMetricData",
            Self::Alarms => "DescribeAlarms",
        }
    }

    /// The provider's name of the service.
    pub(super) fn service(self) -> &'static str {
        if matches!(self, Self::Metrics | Self::Alarms) { "cloudwatch" } else { "cloudformation" }
    }

    /// True when the call may change something, so that a lost answer is ambiguous.
    pub fn changes_the_world(self) -> bool {
        matches!(
            self,
            Self::CreateChangeSet
                | Self::DeleteChangeSet
                | Self::ExecuteChangeSet
                | Self::DeleteStack
                | Self::CancelUpdate
                | Self::ContinueRollback
        )
    }
}

/// How a call ended for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// No answer yet, or the caller stopped waiting.
    Pending,
    /// It gave an answer.
    Ok,
    /// It gave an error.
    Failed {
        /// Of this kind.
        kind: ProviderErrorKind,
        /// With this code; empty when there was no answer.
        code: String,
    },
}

/// One call, as the world saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When the caller made it.
    pub at: Timestamp,
    /// When the provider acted on it; none while it is under way, or when it never arrived or was turned away unread.
    pub acted_at: Option<Timestamp>,
    /// Whether what the provider did took effect: true when it acted and did not refuse.
    pub took_effect: bool,
    /// Which call.
    pub operation: Operation,
    /// Where to.
    pub scope: Scope,
    /// The stack's name or ARN; several names are joined by commas.
    pub stack: Option<String>,
    /// `ClientRequestToken`.
    pub token: Option<Token>,
    /// The change set's name or ARN.
    pub change_set: Option<String>,
    /// How urgent, where the caller says.
    pub priority: Option<Priority>,
    /// What went wrong on the way, if the world let something go wrong.
    pub fault: Option<FaultKind>,
    /// What the caller heard.
    pub outcome: CallOutcome,
}

impl CallRecord {
    /// A call that has just been made.
    pub(super) fn new(operation: Operation, scope: &Scope, priority: Option<Priority>) -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            acted_at: None,
            took_effect: false,
            operation,
            scope: scope.clone(),
            stack: None,
            token: None,
            change_set: None,
            priority,
            fault: None,
            outcome: CallOutcome::Pending,
        }
    }
    pub(super) fn stack(mut self, stack: impl ToString) -> Self {
        self.stack = Some(stack.to_string());
        self
    }
    pub(super) fn token(mut self, token: &Token) -> Self {
        self.token = Some(token.clone());
        self
    }
    pub(super) fn change_set(mut self, change_set: &str) -> Self {
        self.change_set = Some(change_set.to_owned());
        self
    }
}

/// The provider's "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ProviderErrorKind,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(kind: ProviderErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }
    /// CloudFormation's code for nearly everything that it does not like.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(ProviderErrorKind::Rejected, "ValidationError", message)
    }
    /// A missing stack has no code of its own: the text tells.
    pub(super) fn no_stack(stack: impl std::fmt::Display) -> Self {
        Self::new(ProviderErrorKind::NotFound, "ValidationError", format!("Stack [{stack}] does not exist"))
    }
    pub(super) fn no_change_set(change_set: &str) -> Self {
        let message = format!("ChangeSet [{change_set}] does not exist");
        Self::new(ProviderErrorKind::NotFound, "ChangeSetNotFound", message)
    }
    /// As the caller of `operation` hears it.
    pub(super) fn heard_by(self, operation: Operation) -> ProviderError {
        ProviderError {
            operation: operation.api_name().to_owned(),
            kind: self.kind,
            code: self.code.to_owned(),
            message: self.message,
        }
    }
}
