//! Which steps an operation takes, and when: made at its start, and anew when it is rolled back.

use super::operations::{Planned, Running, Step, later};
use crate::model::preview::ResourceAction;
use crate::model::stack::StackStatus;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a clean-up after an operation takes.
const CLEANUP: Duration = Duration::from_millis(1_200);

/// Steps with their times, in order.
pub(super) type Steps = VecDeque<(Timestamp, Step)>;

fn failed_to(verb: &str, logical_id: &str) -> String {
    format!("The following resource(s) failed to {verb}: [{logical_id}]. ")
}

fn resource(logical_id: &str, status: &'static str) -> Step {
    Step::Resource { logical_id: logical_id.to_owned(), status, reason: None }
}

fn stack_step(status: StackStatus) -> Step {
    Step::Stack { status, reason: None }
}

/// The words of a planned change: `(in progress, complete, failed, verb)`.
fn words(planned: &Planned) -> (&'static str, &'static str, &'static str, &'static str) {
    match planned.action {
        ResourceAction::Add => ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_FAILED", "create"),
        ResourceAction::Remove if planned.retained => {
            ("DELETE_IN_PROGRESS", "DELETE_SKIPPED", "DELETE_FAILED", "delete")
        }
        ResourceAction::Remove => ("DELETE_IN_PROGRESS", "DELETE_COMPLETE", "DELETE_FAILED", "delete"),
        _ => ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED", "update"),
    }
}

/// One resource after the other over the whole duration, up to the first that fails. True when all went well.
fn work_through<'a>(
    steps: &mut Steps,
    items: impl ExactSizeIterator<Item = &'a Planned>,
    at: Timestamp,
    duration: Duration,
) -> bool {
    let slot = duration / u32::try_from(items.len().max(1)).unwrap_or(u32::MAX);
    let mut begin = at;
    for item in items {
        let (doing, done, failed, verb) = words(item);
        let end = later(begin, slot);
        steps.push_back((begin, resource(&item.logical_id, doing)));
        if let Some(reason) = &item.fails {
            let logical_id = item.logical_id.clone();
            steps.push_back((end, Step::Resource { logical_id, status: failed, reason: Some(reason.clone()) }));
            steps.push_back((end, Step::RollBack { reason: failed_to(verb, &item.logical_id) }));
            return false;
        }
        steps.push_back((end, resource(&item.logical_id, done)));
        begin = end;
    }
    true
}

/// The end of a creation or an update that cannot succeed though every resource was done.
fn refusal(running: &Running) -> Option<Step> {
    running.refused.clone().map(|reason| Step::RollBack { reason })
}

pub(super) fn create_steps(running: &Running, at: Timestamp) -> Steps {
    let mut steps = VecDeque::new();
    if work_through(&mut steps, running.plan.iter(), at, running.duration) {
        let end = refusal(running).unwrap_or_else(|| stack_step(StackStatus::CreateComplete));
        steps.push_back((later(at, running.duration), end));
    }
    steps
}

pub(super) fn update_steps(running: &Running, at: Timestamp) -> Steps {
    // A removal is part of the clean-up, unless a stack policy forbids it: that is found out first.
    let (late, early): (Vec<_>, Vec<_>) =
        running.plan.iter().partition(|p| p.action == ResourceAction::Remove && p.fails.is_none());
    let mut steps = VecDeque::new();
    if !work_through(&mut steps, early.iter().copied(), at, running.duration) {
        return steps;
    }
    let updated = later(at, running.duration);
    if let Some(refusal) = refusal(running) {
        steps.push_back((updated, refusal));
        return steps;
    }
    steps.push_back((updated, stack_step(StackStatus::UpdateCompleteCleanupInProgress)));
    let gone = late.into_iter().chain(early.into_iter().filter(|p| p.replaces.is_some()));
    for planned in gone {
        let done = if planned.retained { "DELETE_SKIPPED" } else { "DELETE_COMPLETE" };
        steps.push_back((updated, resource(&planned.logical_id, "DELETE_IN_PROGRESS")));
        steps.push_back((later(updated, CLEANUP / 2), resource(&planned.logical_id, done)));
    }
    steps.make_contiguous().sort_by_key(|(at, _)| *at);
    steps.push_back((later(updated, CLEANUP), stack_step(StackStatus::UpdateComplete)));
    steps
}

/// `was`: the status before.
pub(super) fn delete_steps(running: &Running, was: &StackStatus, at: Timestamp) -> Steps {
    let mut steps = VecDeque::new();
    // A deletion that does not begin is no failure of the stack: it is as it was, with the reason.
    if let Some(reason) = &running.refused {
        let end = Step::Stack { status: was.clone(), reason: Some(reason.clone()) };
        return [(later(at, running.duration), end)].into();
    }
    let went_well = work_through(&mut steps, running.plan.iter(), at, running.duration);
    let end = if went_well {
        (later(at, running.duration), stack_step(StackStatus::DeleteComplete))
    } else {
        // A deletion is not rolled back: it stops where it failed.
        match steps.pop_back() {
            Some((at, Step::RollBack { reason })) => {
                (at, Step::Stack { status: StackStatus::DeleteFailed, reason: Some(reason) })
            }
            _ => (at, stack_step(StackStatus::DeleteFailed)),
        }
    };
    steps.push_back(end);
    steps
}

pub(super) fn uncreate_steps(running: &Running, at: Timestamp) -> Steps {
    let end = later(at, running.duration / 2);
    let mut steps = VecDeque::new();
    for planned in running.plan.iter().rev().filter(|p| running.touched.contains(&p.logical_id)) {
        steps.push_back((at, resource(&planned.logical_id, "DELETE_IN_PROGRESS")));
        steps.push_back((end, resource(&planned.logical_id, "DELETE_COMPLETE")));
    }
    steps.make_contiguous().sort_by_key(|(at, _)| *at);
    steps.push_back((end, stack_step(StackStatus::RollbackComplete)));
    steps
}

pub(super) fn rollback_steps(running: &Running, at: Timestamp) -> Steps {
    let end = later(at, running.duration / 2);
    let mut steps = VecDeque::new();
    let touched = || running.plan.iter().rev().filter(|p| running.touched.contains(&p.logical_id));
    if let Some(stubborn) = touched().find(|p| running.rollback_tries > 0 && p.rollback_tries > 0) {
        let id = stubborn.logical_id.clone();
        let failed = Some(failed_to("update", &id));
        let reason = Some("The resource could not be put back.".to_owned());
        steps.push_back((end, Step::Resource { logical_id: id, status: "UPDATE_FAILED", reason }));
        steps.push_back((end, Step::Stack { status: StackStatus::UpdateRollbackFailed, reason: failed }));
        return steps;
    }
    for planned in touched().filter(|p| p.action == ResourceAction::Modify) {
        steps.push_back((end, resource(&planned.logical_id, "UPDATE_COMPLETE")));
    }
    steps.push_back((end, stack_step(StackStatus::UpdateRollbackCompleteCleanupInProgress)));
    for planned in touched().filter(|p| p.action == ResourceAction::Add) {
        steps.push_back((later(end, CLEANUP / 2), resource(&planned.logical_id, "DELETE_COMPLETE")));
    }
    steps.push_back((later(end, CLEANUP), stack_step(StackStatus::UpdateRollbackComplete)));
    steps
}
