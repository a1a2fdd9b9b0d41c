//! What guardrails need beside a preview: who imports what the stack exports, and the few properties that a price depends on.

use super::preview::Walk;
use super::{Answer, CloudFormation, convert};
use crate::cloud::call::Operation;
use crate::cloud::classify::unusable_answer;
use crate::cloud::sizes;
use crate::model::observation::{ProviderError, ProviderErrorKind};
use crate::model::preview::{ContextWanted, PreviewContext, ResourceChange, Sizes};
use crate::model::stack::Scope;
use aws_sdk_cloudformation::types::Change;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Pages of a region's exports, at a hundred each: ten for each of the 2,000 stacks that the quota allows by default.
const MAX_EXPORT_PAGES: u32 = 200;

/// Pages of one export's importers, at a hundred each: as many as the region may have stacks.
const MAX_IMPORT_PAGES: u32 = 20;

/// Exports of one stack with those nested in it. A template declares at most 200 outputs.
const MAX_EXPORTS: usize = 2_000;

/// So many exports are asked for at once: half of what the call budget lets work at once.
const IMPORTS_AT_ONCE: usize = 8;

impl CloudFormation<'_> {
    pub(in crate::cloud) async fn preview_context(
        &self,
        stack_id: &str,
        change_set: Option<&str>,
        wanted: ContextWanted,
    ) -> Answer<PreviewContext> {
        let mut context = PreviewContext::default();
        if wanted.exports {
            context.exports = unless_denied(self.scope, self.exports(stack_id).await)?;
        }
        if let Some(arn) = change_set.filter(|_| wanted.sizes) {
            self.add_sizes(arn, "", 0, &mut Walk::default(), &mut context.sizes).await?;
        }
        Ok(context)
    }

    async fn exports(&self, stack_id: &str) -> Answer<BTreeMap<String, Vec<String>>> {
        // An export of a nested stack goes and changes with its root.
        let stacks: BTreeSet<String> = self.hierarchy(stack_id).await?.into_iter().collect();
        let names = self.export_names(&stacks).await?;
        let importers = names.into_iter().map(|name| async move {
            let importers = self.importers(&name).await?;
            Ok::<_, ProviderError>((name, importers))
        });
        futures_util::stream::iter(importers).buffered(IMPORTS_AT_ONCE).try_collect().await
    }

    async fn export_names(&self, stacks: &BTreeSet<String>) -> Answer<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let mut token = None;
        for _ in 0..MAX_EXPORT_PAGES {
            let send = || self.client.list_exports().set_next_token(token.clone()).send();
            let page = self.caller.call(self.call(Operation::ListExports), send).await?;
            let ours = |id: &Option<String>| id.as_ref().is_some_and(|id| stacks.contains(id));
            let exports =
                page.exports.unwrap_or_default().into_iter().filter(|export| ours(&export.exporting_stack_id));
            names.extend(exports.filter_map(|export| export.name));
            if names.len() > MAX_EXPORTS {
                return Err(unusable_answer(Operation::ListExports, "the stack has too many exports"));
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(names);
            }
        }
        // To leave an export out would say that nobody depends on it.
        Err(unusable_answer(Operation::ListExports, "the region's exports have too many pages"))
    }

    async fn importers(&self, export: &str) -> Answer<Vec<String>> {
        let mut importers = BTreeSet::new();
        let mut token = None;
        for _ in 0..MAX_IMPORT_PAGES {
            let send = || self.client.list_imports().export_name(export).set_next_token(token.clone()).send();
            let page = match self.caller.call(self.call(Operation::ListImports), send).await {
                Err(error) if says_nobody(&error) => return Ok(importers.into_iter().collect()),
                page => page?,
            };
            importers.extend(page.imports.unwrap_or_default());
            token = page.next_token;
            if token.is_none() {
                return Ok(importers.into_iter().collect());
            }
        }
        Err(unusable_answer(Operation::ListImports, "an export's importers have too many pages"))
    }

    /// Adds the sizes of a change set and of those nested in it.
    async fn add_sizes(
        &self,
        change_set: &str,
        within: &str,
        depth: usize,
        walk: &mut Walk,
        into: &mut BTreeMap<String, Sizes>,
    ) -> Answer<()> {
        let (_, changes) = self.change_set_pages(None, change_set, true).await?;
        for change in changes {
            let (before, after) = contexts(&change);
            let change = convert::change(change);
            let path = match within {
                "" => change.logical_id.clone(),
                within => format!("{within}/{}", change.logical_id),
            };
            if let Some(nested) = &change.nested_change_set {
                walk.enter(Operation::DescribeChangeSet, depth)?;
                Box::pin(self.add_sizes(nested, &path, depth + 1, walk, into)).await?;
            }
            into.extend(sizes_of(&change, &before, &after).map(|sizes| (path, sizes)));
        }
        Ok(())
    }
}

/// None: the role may not ask, so that nobody can say. Every other failure is one.
fn unless_denied<T>(scope: &Scope, answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        // Expired or wrong credentials are `Denied` too, but they say nothing of what the role may do.
        Err(error) if error.kind == ProviderErrorKind::Denied && error.code.starts_with("AccessDenied") => {
            let operation = error.operation.as_str();
            tracing::warn!(%scope, operation, "the role may not read who imports a stack's exports: it counts as unknown");
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// CloudFormation has no code for it, only this text.
fn says_nobody(error: &ProviderError) -> bool {
    error.kind == ProviderErrorKind::Rejected && error.message.contains("is not imported by any stack")
}

/// What the provider says of the resource before and after: JSON with everything in it, to be read here and kept nowhere (S20).
/// What cannot be read is as if it were not there.
fn contexts(change: &Change) -> (Value, Value) {
    let resource = change.resource_change.as_ref();
    let read = |text: Option<&String>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    (
        read(resource.and_then(|change| change.before_context.as_ref())),
        read(resource.and_then(|change| change.after_context.as_ref())),
    )
}

fn sizes_of(change: &ResourceChange, before: &Value, after: &Value) -> Option<Sizes> {
    let property = |context: &Value, name: &str| context.get("Properties").and_then(|all| all.get(name)).cloned();
    sizes::of_change(change, |name| property(before, name), |name| property(after, name))
}
