//! What a change set does, down to the last nested stack.
//!
//! Nested stacks have change sets of their own, made, executed and deleted with the root's. The root's may be complete while
//! theirs are still being made, so that it is ready here only when all of them are.
//! Source: CloudFormation user guide, "Change sets for nested stacks"; API reference, `DescribeChangeSet`, `DeleteChangeSet`.

use super::{Answer, CloudFormation, MAX_DEPTH, MAX_NESTED, convert, is_arn};
use crate::cloud::call::Operation;
use crate::cloud::classify::unusable_answer;
use crate::model::ids::StackName;
use crate::model::preview::{ChangeSetStatus, DescribedChangeSet, ExecutionStatus, Preview};
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::Change;

/// Pages of one change set, at a megabyte each: far more than the 500 resources of a template can fill, nested ones
/// being change sets of their own.
const MAX_CHANGE_SET_PAGES: u32 = 50;

/// How far the nested change sets of one root have been read.
#[derive(Debug, Default)]
pub(super) struct Walk {
    seen: usize,
}

impl Walk {
    /// Counts one more. An error when there are too many, or when they lie too deep.
    // INVARIANT: S5. Part of a preview is no preview.
    pub(super) fn enter(&mut self, operation: Operation, depth: usize) -> Answer<()> {
        self.seen += 1;
        if depth >= MAX_DEPTH {
            let message = format!("nested stacks lie deeper than {MAX_DEPTH} levels");
            return Err(unusable_answer(operation, &message));
        }
        if self.seen > MAX_NESTED {
            return Err(unusable_answer(operation, &format!("more than {MAX_NESTED} nested stacks")));
        }
        Ok(())
    }
}

/// What became of a nested change set.
enum Nested {
    Ready(Preview),
    NotYet,
    /// It failed, or is in a state that says nothing: nobody can see what will happen.
    Unknown,
}

impl CloudFormation<'_> {
    pub(in crate::cloud) async fn describe_change_set(
        &self,
        stack: &StackName,
        change_set: &str,
    ) -> Answer<DescribedChangeSet> {
        let stack = (!is_arn(change_set)).then(|| stack.as_str());
        let mut described = self.described(stack, change_set).await?;
        if described.is_ready() && !self.expand(&mut described.preview, 0, &mut Walk::default()).await? {
            described.status = ChangeSetStatus::CreateInProgress;
            described.execution_status = ExecutionStatus::Unavailable;
            described.preview = Preview::default();
        }
        Ok(described)
    }

    /// Reads what nested stacks will do. False: one of them is not worked out yet.
    async fn expand(&self, preview: &mut Preview, depth: usize, walk: &mut Walk) -> Answer<bool> {
        for change in &mut preview.changes {
            let Some(arn) = &change.nested_change_set else { continue };
            walk.enter(Operation::DescribeChangeSet, depth)?;
            match Box::pin(self.nested(arn, depth, walk)).await? {
                Nested::Ready(nested) => change.nested = Some(Box::new(nested)),
                Nested::NotYet => return Ok(false),
                Nested::Unknown => {}
            }
        }
        Ok(true)
    }

    async fn nested(&self, arn: &str, depth: usize, walk: &mut Walk) -> Answer<Nested> {
        let mut described = self.described(None, arn).await?;
        Ok(match &described.status {
            ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress => Nested::NotYet,
            ChangeSetStatus::CreateComplete => match self.expand(&mut described.preview, depth + 1, walk).await? {
                true => Nested::Ready(described.preview),
                false => Nested::NotYet,
            },
            // The parent says "perhaps", the nested change set that there is nothing.
            _ if described.says_no_changes() => Nested::Ready(Preview::default()),
            _ => Nested::Unknown,
        })
    }

    async fn described(&self, stack: Option<&str>, change_set: &str) -> Answer<DescribedChangeSet> {
        let (page, changes) = self.change_set_pages(stack, change_set, false).await?;
        convert::described(page, changes.into_iter().map(convert::change).collect())
    }

    /// The last page, with the changes of all of them.
    pub(super) async fn change_set_pages(
        &self,
        stack: Option<&str>,
        change_set: &str,
        with_values: bool,
    ) -> Answer<(DescribeChangeSetOutput, Vec<Change>)> {
        let mut changes = Vec::new();
        let mut token = None;
        for _ in 0..MAX_CHANGE_SET_PAGES {
            let send = || {
                let request = self.client.describe_change_set().change_set_name(change_set);
                let request = request.set_stack_name(stack.map(Into::into)).include_property_values(with_values);
                request.set_next_token(token.clone()).send()
            };
            let mut page = self.caller.call(self.call(Operation::DescribeChangeSet), send).await?;
            changes.extend(page.changes.take().unwrap_or_default());
            token = page.next_token.take();
            if token.is_none() {
                return Ok((page, changes));
            }
        }
        // INVARIANT: S5. Part of a preview is no preview.
        Err(unusable_answer(Operation::DescribeChangeSet, "the change set has too many pages"))
    }
}
