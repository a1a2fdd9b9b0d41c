//! How an operation goes on as virtual time passes: steps with their times, carried out when somebody looks.
//!
//! No background task: [`settle`] takes every step that has become due. All chances are drawn when an operation starts, so
//! that it does not matter how often anybody looks.

use super::schedule::{Steps, create_steps, delete_steps, rollback_steps, uncreate_steps, update_steps};
use super::stacks::{Content, Resource, Stack, StackEvent};
use crate::model::ids::Token;
use crate::model::preview::{ChangeSetStatus, ExecutionStatus, ResourceAction};
use crate::model::stack::StackStatus;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an operation does to one resource.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) logical_id: String,
    pub(super) action: ResourceAction,
    /// The resource as it will be; for a removal as it is.
    pub(super) resource: Resource,
    /// The old one's name when it is replaced.
    pub(super) replaces: Option<String>,
    /// What is removed or replaced goes on existing, outside of the stack.
    pub(super) retained: bool,
    /// Why the provider cannot do it.
    pub(super) fails: Option<String>,
    /// How many `ContinueUpdateRollback` its rollback needs.
    pub(super) rollback_tries: u32,
}

/// The kind of stack operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Create,
    Update,
    Delete,
}

/// An operation under way, or stopped in `UPDATE_ROLLBACK_FAILED`.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) work: Work,
    pub(super) token: Token,
    /// The name of the change set that is executed.
    pub(super) change_set: Option<String>,
    pub(super) plan: Vec<Planned>,
    pub(super) duration: Duration,
    /// What to put back.
    pub(super) before: Option<(Option<Content>, BTreeMap<String, Resource>)>,
    pub(super) rollback_tries: u32,
    /// Why it cannot succeed, though every resource can.
    pub(super) refused: Option<String>,
    pub(super) touched: BTreeSet<String>,
    pub(super) steps: Steps,
}

impl Running {
    /// An operation that is not yet started.
    pub(super) fn new(work: Work, token: &Token, plan: Vec<Planned>, duration: Duration) -> Self {
        Self {
            work,
            token: token.clone(),
            change_set: None,
            rollback_tries: plan.iter().map(|p| p.rollback_tries).max().unwrap_or(0),
            plan,
            duration,
            before: None,
            refused: None,
            touched: BTreeSet::new(),
            steps: Steps::new(),
        }
    }
}

/// One thing that happens at one time.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Resource { logical_id: String, status: &'static str, reason: Option<String> },
    Stack { status: StackStatus, reason: Option<String> },
    RollBack { reason: String },
}

/// `at` plus `span`; stays put at the end of time.
pub(super) fn later(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_add(span).unwrap_or(at)
}

/// Starts an operation: its first status now, its steps as they become due.
pub(super) fn start(stack: &mut Stack, mut running: Running, at: Timestamp) {
    let (status, steps) = match running.work {
        Work::Create => (StackStatus::CreateInProgress, create_steps(&running, at)),
        Work::Update => (StackStatus::UpdateInProgress, update_steps(&running, at)),
        Work::Delete => (StackStatus::DeleteInProgress, delete_steps(&running, &stack.status, at)),
    };
    running.steps = steps;
    stack.updated = at;
    // What was found is of the stack as it was.
    stack.drift = None;
    let token = running.token.clone();
    stack.running = Some(running);
    stack.enter(status, Some("User Initiated".to_owned()), Some(token), at);
}

/// Rolls the running operation back from now on, under `token`.
pub(super) fn roll_back(stack: &mut Stack, token: Token, reason: &str, at: Timestamp) {
    let Some(running) = &mut stack.running else { return };
    running.token = token;
    let (status, steps) = match running.work {
        Work::Create => (StackStatus::RollbackInProgress, uncreate_steps(running, at)),
        _ => (StackStatus::UpdateRollbackInProgress, rollback_steps(running, at)),
    };
    running.steps = steps;
    enter(stack, status, Some(reason.to_owned()), at);
}

/// Cancels an update: the resource that is being worked on fails, then everything is rolled back under `token`.
pub(super) fn cancel(stack: &mut Stack, token: Token, at: Timestamp) {
    let Some(running) = &stack.running else { return };
    let under_way = running.steps.iter().find_map(|(_, step)| match step {
        Step::Resource { logical_id, .. } if running.touched.contains(logical_id) => Some(logical_id.clone()),
        _ => None,
    });
    if let Some(logical_id) = under_way {
        touch(stack, &logical_id, "UPDATE_FAILED", Some("Resource update cancelled".to_owned()), at);
    }
    roll_back(stack, token, "Stack update cancelled", at);
}

/// One more try to finish a failed rollback.
pub(super) fn continue_rollback(stack: &mut Stack, token: Token, at: Timestamp) {
    if let Some(running) = &mut stack.running {
        running.rollback_tries = running.rollback_tries.saturating_sub(1);
    }
    roll_back(stack, token, "User Initiated", at);
}

/// Takes every step that is due. A stuck stack takes none.
pub(super) fn settle(stack: &mut Stack, now: Timestamp) {
    for change_set in stack.change_sets.values_mut() {
        change_set.settle(now);
    }
    while stack.stuck_since.is_none() {
        let Some(running) = &mut stack.running else { break };
        let Some((at, step)) = running.steps.pop_front_if(|(at, _)| *at <= now) else { break };
        take(stack, at, step);
    }
}

/// Takes every step at once.
pub(super) fn finish_now(stack: &mut Stack, now: Timestamp) {
    while let Some((_, step)) = stack.running.as_mut().and_then(|running| running.steps.pop_front()) {
        take(stack, now, step);
    }
}

/// Lets a stuck stack go on where it stopped.
pub(super) fn unstick(stack: &mut Stack, now: Timestamp) {
    let Some(since) = stack.stuck_since.take() else { return };
    let lost = crate::model::time::since(since, now);
    for (at, _) in stack.running.iter_mut().flat_map(|running| running.steps.iter_mut()) {
        *at = later(*at, lost);
    }
}

fn take(stack: &mut Stack, at: Timestamp, step: Step) {
    match step {
        Step::Stack { status, reason } => enter(stack, status, reason, at),
        Step::Resource { logical_id, status, reason } => touch(stack, &logical_id, status, reason, at),
        Step::RollBack { reason } => {
            let Some(token) = stack.running.as_ref().map(|running| running.token.clone()) else { return };
            roll_back(stack, token, &reason, at);
        }
    }
}

fn touch(stack: &mut Stack, logical_id: &str, status: &'static str, reason: Option<String>, at: Timestamp) {
    let Some(running) = &mut stack.running else { return };
    let Some(planned) = running.plan.iter().find(|p| p.logical_id == logical_id) else { return };
    running.touched.insert(logical_id.to_owned());
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" if stack.status != StackStatus::UpdateRollbackInProgress => {
            stack.resources.insert(logical_id.to_owned(), planned.resource.clone());
        }
        "DELETE_COMPLETE" | "DELETE_SKIPPED" if planned.replaces.is_none() => {
            stack.resources.remove(logical_id);
        }
        _ => {}
    }
    let old = planned.replaces.as_ref().filter(|_| status.starts_with("DELETE"));
    stack.events.push(StackEvent {
        at,
        token: Some(running.token.clone()),
        logical_id: logical_id.to_owned(),
        physical_id: old.unwrap_or(&planned.resource.physical_id).clone(),
        resource_type: planned.resource.kind.clone(),
        status: status.to_owned(),
        reason,
    });
}

/// Takes a status together with what it means: the one place where a status has consequences.
fn enter(stack: &mut Stack, status: StackStatus, reason: Option<String>, at: Timestamp) {
    let Some(running) = &mut stack.running else { return };
    let token = running.token.clone();
    let refused = running.work == Work::Delete && status != StackStatus::DeleteComplete;
    let mut ends = false;
    let mut executed = None;
    match status {
        StackStatus::UpdateRollbackInProgress => {
            if let Some((content, resources)) = running.before.clone() {
                (stack.content, stack.resources) = (content, resources);
            }
            stack.updated = at;
            executed = Some(ExecutionStatus::ExecuteFailed);
        }
        StackStatus::RollbackInProgress => executed = Some(ExecutionStatus::ExecuteFailed),
        StackStatus::UpdateComplete | StackStatus::CreateComplete => {
            executed = Some(ExecutionStatus::ExecuteComplete);
            ends = true;
        }
        StackStatus::UpdateRollbackComplete
        | StackStatus::RollbackComplete
        | StackStatus::DeleteComplete
        | StackStatus::DeleteFailed => ends = true,
        _ => {}
    }
    let name = running.change_set.clone();
    if let Some(change_set) = name.and_then(|name| stack.change_sets.get_mut(&name))
        && let Some(executed) = executed
    {
        change_set.execution = executed;
        change_set.status = ChangeSetStatus::CreateComplete;
    }
    if ends {
        stack.running = None;
    }
    let in_force = !refused
        && matches!(
            status,
            StackStatus::UpdateCompleteCleanupInProgress | StackStatus::CreateComplete | StackStatus::DeleteComplete
        );
    stack.enter(status, reason, Some(token), at);
    if stack.is_deleted() {
        stack.change_sets.clear();
        stack.resources.clear();
    }
    if in_force {
        stack.deploy(at);
    }
}
