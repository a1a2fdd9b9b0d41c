//! What a deletion does: the stack's resources with what becomes of each, down to the last nested stack.

use super::preview::Walk;
use super::{Answer, CloudFormation, STACK_TYPE, policies};
use crate::cloud::call::Operation;
use crate::cloud::classify::unusable_answer;
use crate::model::observation::ProviderErrorKind;
use crate::model::preview::{PolicyAction, Preview, ResourceAction, ResourceChange};
use aws_sdk_cloudformation::types::StackResourceSummary;
use std::collections::BTreeMap;

/// Pages of a stack's resources, at a hundred each: four times the 500 that a template may declare.
const MAX_RESOURCE_PAGES: u32 = 20;

impl CloudFormation<'_> {
    pub(in crate::cloud) async fn resources(&self, stack: &str) -> Answer<Vec<ResourceChange>> {
        self.removals(stack, 0, &mut Walk::default()).await
    }

    async fn removals(&self, stack: &str, depth: usize, walk: &mut Walk) -> Answer<Vec<ResourceChange>> {
        let policies = match self.template(Some(stack), None).await {
            Ok(template) => policies::deletion_policies(template.body()),
            // Without its template the preview tells less, and what it does not tell is judged as the worst.
            Err(e) if matches!(e.kind, ProviderErrorKind::Rejected | ProviderErrorKind::Denied) => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        let present = self.stack_resources(stack).await?;
        let mut changes: Vec<_> = present.into_iter().map(|resource| removal(resource, &policies)).collect();
        changes.sort_by(|a, b| a.logical_id.cmp(&b.logical_id));
        for change in &mut changes {
            // A nested stack that is kept keeps its resources.
            let kept = change.policy_action == Some(PolicyAction::Retain);
            let Some(nested) = change.physical_id.as_deref().filter(|_| change.resource_type == STACK_TYPE && !kept)
            else {
                continue;
            };
            walk.enter(Operation::ListStackResources, depth)?;
            match Box::pin(self.removals(nested, depth + 1, walk)).await {
                Ok(changes) => change.nested = Some(Box::new(Preview { changes })),
                // The parent still lists it: what it holds stays unknown.
                Err(e) if e.kind == ProviderErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(changes)
    }

    /// The resources that exist, in the provider's order.
    async fn stack_resources(&self, stack: &str) -> Answer<Vec<StackResourceSummary>> {
        let mut resources = Vec::new();
        let mut token = None;
        for _ in 0..MAX_RESOURCE_PAGES {
            let send = || self.client.list_stack_resources().stack_name(stack).set_next_token(token.clone()).send();
            let page = self.caller.call(self.call(Operation::ListStackResources), send).await?;
            let listed = page.stack_resource_summaries.unwrap_or_default();
            resources.extend(listed.into_iter().filter(|resource| !is_gone(resource)));
            token = page.next_token;
            if token.is_none() {
                return Ok(resources);
            }
        }
        Err(unusable_answer(Operation::ListStackResources, "the stack's resources have too many pages"))
    }

    /// The ARNs of the stack and of all stacks nested in it, as they are now.
    pub(super) async fn hierarchy(&self, stack_id: &str) -> Answer<Vec<String>> {
        let (mut stacks, mut walk) = (Vec::new(), Walk::default());
        let mut open = vec![(stack_id.to_owned(), 0)];
        while let Some((stack, depth)) = open.pop() {
            let resources = match self.stack_resources(&stack).await {
                Err(error) if error.kind == ProviderErrorKind::NotFound => Vec::new(),
                resources => resources?,
            };
            stacks.push(stack);
            for resource in resources.into_iter().filter(|r| r.resource_type.as_deref() == Some(STACK_TYPE)) {
                walk.enter(Operation::ListStackResources, depth)?;
                open.extend(resource.physical_resource_id.map(|id| (id, depth + 1)));
            }
        }
        Ok(stacks)
    }
}

fn is_gone(resource: &StackResourceSummary) -> bool {
    resource.resource_status.as_ref().is_some_and(|status| status.as_str() == "DELETE_COMPLETE")
}

fn removal(resource: StackResourceSummary, policies: &BTreeMap<String, String>) -> ResourceChange {
    let logical_id = resource.logical_resource_id.unwrap_or_default();
    ResourceChange {
        action: ResourceAction::Remove,
        policy_action: policies.get(&logical_id).map(|word| word.as_str().into()),
        logical_id,
        physical_id: resource.physical_resource_id.filter(|id| !id.is_empty()),
        resource_type: resource.resource_type.unwrap_or_default(),
        replacement: None,
        scope: Vec::new(),
        details: Vec::new(),
        nested_change_set: None,
        nested: None,
    }
}
