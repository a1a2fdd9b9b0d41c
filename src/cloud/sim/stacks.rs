//! Stacks as the world keeps them: what is deployed, what is shown, what is remembered.

use super::change_sets::ChangeSet;
use super::operations::Running;
use super::template::{Effect, ParsedTemplate};
use super::world::Place;
use crate::model::ids::{StackName, Token};
use crate::model::observation::{OperationTrace, ResourceFailure};
use crate::model::stack::{
    DriftView, ParameterView, RollbackConfiguration, StackRecord, StackStatus, StackView, Template,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many old views a stack keeps for stale reads: more than any fault asks for.
const KEPT_VERSIONS: usize = 32;

/// How many events are read back at most, as the real reader's bound.
const MAX_EVENTS_READ: usize = 1_000;

/// What is deployed, or will be: a template with everything that was handed in with it. Values are the true ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) template: Template,
    pub(super) parsed: Arc<ParsedTemplate>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) capabilities: BTreeSet<String>,
    pub(super) role_arn: Option<String>,
    pub(super) notification_arns: Vec<String>,
    pub(super) rollback_configuration: RollbackConfiguration,
}

impl Content {
    /// Parameters as the provider shows them: `NoEcho` values as `****`.
    pub(super) fn shown_parameters(&self) -> BTreeMap<String, ParameterView> {
        let shown = |key: &String, value: &String| {
            let hidden = self.parsed.parameters.get(key).is_some_and(|p| p.no_echo);
            ParameterView { value: if hidden { "****".to_owned() } else { value.clone() }, resolved: None }
        };
        self.parameters.iter().map(|(key, value)| (key.clone(), shown(key, value))).collect()
    }
}

/// A resource that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: String,
    pub(super) physical_id: String,
}

/// One of a stack's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackEvent {
    /// When.
    pub at: Timestamp,
    /// `ClientRequestToken` of the operation that it belongs to.
    pub token: Option<Token>,
    /// The resource's name in the template, or the stack's own name.
    pub logical_id: String,
    /// Its name at the provider, when it has one; the stack's ARN for the stack itself.
    pub physical_id: String,
    /// Its type; `AWS::CloudFormation::Stack` for the stack itself.
    pub resource_type: String,
    /// `ResourceStatus`.
    pub status: String,
    /// `ResourceStatusReason`.
    pub reason: Option<String>,
}

/// From when on which effects are in force.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) from: Timestamp,
    pub(super) effects: Vec<Effect>,
}

/// A stack, live or deleted.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) id: String,
    pub(super) name: StackName,
    pub(super) place: Place,
    pub(super) status: StackStatus,
    pub(super) reason: Option<String>,
    /// None: the shell that a change set of type CREATE leaves.
    pub(super) content: Option<Content>,
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) policy: Option<String>,
    pub(super) termination_protection: bool,
    pub(super) drift: Option<DriftView>,
    pub(super) updated: Timestamp,
    pub(super) running: Option<Running>,
    /// By name.
    pub(super) change_sets: BTreeMap<String, ChangeSet>,
    /// Oldest first.
    pub(super) events: Vec<StackEvent>,
    /// Oldest first.
    pub(super) deployments: Vec<Deployment>,
    pub(super) stuck_since: Option<Timestamp>,
    versions: VecDeque<StackView>,
}

impl Stack {
    /// An empty shell in `REVIEW_IN_PROGRESS`.
    pub(super) fn shell(id: String, name: StackName, place: Place, at: Timestamp) -> Self {
        let mut stack = Self {
            id,
            name,
            place,
            status: StackStatus::ReviewInProgress,
            reason: None,
            content: None,
            resources: BTreeMap::new(),
            policy: None,
            termination_protection: false,
            drift: None,
            updated: at,
            running: None,
            change_sets: BTreeMap::new(),
            events: Vec::new(),
            deployments: Vec::new(),
            stuck_since: None,
            versions: VecDeque::new(),
        };
        stack.enter(StackStatus::ReviewInProgress, Some("User Initiated".to_owned()), None, at);
        stack
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.status == StackStatus::DeleteComplete
    }

    /// Takes a status and says so in an event.
    pub(super) fn enter(&mut self, status: StackStatus, reason: Option<String>, token: Option<Token>, at: Timestamp) {
        self.events.push(StackEvent {
            at,
            token,
            logical_id: self.name.to_string(),
            physical_id: self.id.clone(),
            resource_type: "AWS::CloudFormation::Stack".to_owned(),
            status: status.to_string(),
            reason: reason.clone(),
        });
        self.status = status;
        self.reason = reason;
        self.remember();
    }

    /// Keeps the present view for stale reads.
    pub(super) fn remember(&mut self) {
        let view = self.view();
        if self.versions.back() != Some(&view) {
            self.versions.push_back(view);
        }
        while self.versions.len() > KEPT_VERSIONS {
            self.versions.pop_front();
        }
    }

    /// The view of `back` versions ago; the oldest one that is kept when there are not so many.
    pub(super) fn view_back(&self, back: usize) -> StackView {
        if back == 0 {
            return self.view();
        }
        let index = self.versions.len().saturating_sub(back.saturating_add(1));
        self.versions.get(index).cloned().unwrap_or_else(|| self.view())
    }

    /// As `DescribeStacks` shows it.
    pub(super) fn view(&self) -> StackView {
        let content = self.content.as_ref();
        StackView {
            stack_id: self.id.clone(),
            name: self.name.clone(),
            status: self.status.clone(),
            status_reason: self.reason.clone(),
            parameters: content.map(Content::shown_parameters).unwrap_or_default(),
            tags: content.map(|c| c.tags.clone()).unwrap_or_default(),
            capabilities: content.map(|c| c.capabilities.clone()).unwrap_or_default(),
            role_arn: content.and_then(|c| c.role_arn.clone()),
            notification_arns: content.map(|c| c.notification_arns.clone()).unwrap_or_default(),
            rollback_configuration: content.map(|c| c.rollback_configuration.clone()).unwrap_or_default(),
            termination_protection: self.termination_protection,
            last_updated: Some(self.updated),
            drift: self.drift.clone(),
        }
    }

    /// The stack with its template and policy; none for a shell.
    pub(super) fn record(&self) -> Option<StackRecord> {
        let template = self.content.as_ref()?.template.clone();
        Some(StackRecord { view: self.view(), template, policy: self.policy.clone() })
    }

    /// What is deployed is in force from now on: metrics react to it.
    pub(super) fn deploy(&mut self, at: Timestamp) {
        let effects = match (&self.content, self.is_deleted()) {
            (Some(content), false) => content.parsed.effects.clone(),
            _ => Vec::new(),
        };
        self.deployments.push(Deployment { from: at, effects });
    }

    /// What the events say of the operation with this token.
    pub(super) fn trace(&self, token: &Token, not_before: Timestamp) -> OperationTrace {
        let read = self.events.iter().rev().take(MAX_EVENTS_READ).take_while(|event| event.at >= not_before);
        let mine: Vec<_> = read.filter(|event| event.token.as_ref() == Some(token)).collect();
        let of_stack = |event: &&&StackEvent| event.physical_id == self.id;
        let failed = mine.iter().rev().filter(|event| !of_stack(event) && event.status.ends_with("_FAILED"));
        OperationTrace {
            token: token.clone(),
            found: !mine.is_empty(),
            last_event: mine.first().map(|event| words(event)),
            failures: failed
                .map(|event| ResourceFailure {
                    logical_id: event.logical_id.clone(),
                    resource_type: event.resource_type.clone(),
                    reason: event.reason.clone().unwrap_or_default(),
                })
                .collect(),
            stack_status: mine.iter().find(of_stack).map(|event| StackStatus::from(event.status.as_str())),
        }
    }
}

fn words(event: &StackEvent) -> String {
    let reason = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} {} {}{reason}", event.status, event.resource_type, event.logical_id)
}
