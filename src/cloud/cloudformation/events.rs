//! Reads a stack's events, newest first, for one operation: did it start, what failed, where does the stack stand.

use crate::cloud::aws::timestamp;
use crate::model::ids::Token;
use crate::model::observation::{OperationTrace, ResourceFailure};
use aws_sdk_cloudformation::types::StackEvent;
use jiff::{SignedDuration, Timestamp};
use std::ops::ControlFlow;

/// Our clock and the provider's may differ by this: beyond five minutes it refuses our signatures, so that there would be
/// no answer. Reading further back costs a page at most, and the token is in no other operation's events.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Failures that only say that another one came first.
const CANCELLED: [&str; 3] =
    ["Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled"];

/// Collects what the events say of one token.
#[derive(Debug)]
pub(super) struct Reader {
    not_before: Timestamp,
    trace: OperationTrace,
    cancelled: Vec<ResourceFailure>,
}

impl Reader {
    pub(super) fn new(token: &Token, not_before: Timestamp) -> Self {
        Self {
            not_before: not_before.checked_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::MIN),
            trace: OperationTrace {
                token: token.clone(),
                found: false,
                last_event: None,
                failures: Vec::new(),
                stack_status: None,
            },
            cancelled: Vec::new(),
        }
    }

    /// Takes the next older event; breaks when no older one can matter.
    pub(super) fn read(&mut self, event: StackEvent) -> ControlFlow<()> {
        if event.timestamp.as_ref().and_then(timestamp).is_some_and(|at| at < self.not_before) {
            return ControlFlow::Break(());
        }
        if event.client_request_token.as_deref() != Some(self.trace.token.as_str()) {
            return ControlFlow::Continue(());
        }
        self.trace.found = true;
        if self.trace.last_event.is_none() {
            self.trace.last_event = Some(in_words(&event));
        }
        let status = event.resource_status.as_ref().map_or("", |status| status.as_str()).to_owned();
        if event.physical_resource_id.is_some() && event.physical_resource_id == event.stack_id {
            self.trace.stack_status.get_or_insert_with(|| status.as_str().into());
            // With these an operation begins; nothing of it is older.
            return match status.as_str() {
                "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS" => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
        }
        if status.ends_with("_FAILED") {
            self.note_failure(event);
        }
        ControlFlow::Continue(())
    }

    fn note_failure(&mut self, event: StackEvent) {
        let failure = ResourceFailure {
            logical_id: event.logical_resource_id.unwrap_or_default(),
            resource_type: event.resource_type.unwrap_or_default(),
            reason: event.resource_status_reason.unwrap_or_default(),
        };
        let noise = CANCELLED.iter().any(|words| failure.reason.starts_with(words));
        if noise { self.cancelled.push(failure) } else { self.trace.failures.push(failure) }
    }

    /// What was found. Cancelled resources are named only when nothing else failed.
    pub(super) fn finish(self) -> OperationTrace {
        let mut trace = self.trace;
        if trace.failures.is_empty() {
            trace.failures = self.cancelled;
        }
        trace.failures.reverse();
        trace
    }
}

fn in_words(event: &StackEvent) -> String {
    let id = event.logical_resource_id.as_deref().unwrap_or("?");
    let status = event.resource_status.as_ref().map_or("?", |status| status.as_str());
    match event.resource_status_reason.as_deref().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{id} {status}: {reason}"),
        None => format!("{id} {status}"),
    }
}
