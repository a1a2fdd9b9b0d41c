//! What a change set will do: two templates with their parameters and tags, compared resource by resource.

use super::resource_types::{Recreation, is_tagged, recreation, removal_policy, replacement_policy};
use super::stacks::{Content, Resource};
use super::template::{ResourceDeclaration, references, resolve};
use crate::model::preview::{Replacement, ResourceAction, ResourceChange};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Attributes of a resource whose change is an update of it. `DependsOn` and `Condition` are not.
const ATTRIBUTES: [&str; 5] = ["CreationPolicy", "DeletionPolicy", "Metadata", "UpdatePolicy", "UpdateReplacePolicy"];

/// The list of changes from `before` (none: the stack is to be created) to `after`, by logical id.
pub(super) fn preview(
    before: Option<&Content>,
    after: &Content,
    resources: &BTreeMap<String, Resource>,
) -> Vec<ResourceChange> {
    let mut changes = BTreeMap::new();
    for (id, new) in &after.parsed.resources {
        let old = before.and_then(|b| b.parsed.resources.get(id).map(|r| (b, r)));
        match old {
            None => drop(changes.insert(id.clone(), Draft::addition())),
            Some((before, old)) => {
                let draft = modification((before, old), (after, new));
                if !draft.is_empty() {
                    changes.insert(id.clone(), draft);
                }
            }
        }
    }
    if before.is_some() {
        follow_replacements(after, &mut changes);
    }
    let mut list: Vec<_> = changes
        .into_iter()
        .filter_map(|(id, draft)| Some(draft.finish(&id, after.parsed.resources.get(&id)?, resources.get(&id))))
        .collect();
    list.extend(before.into_iter().flat_map(|before| removals(before, after, resources)));
    list.sort_by(|a, b| a.logical_id.cmp(&b.logical_id));
    list
}

/// A removal as the provider lists it.
pub(super) fn removal(id: &str, declared: &ResourceDeclaration, resource: Option<&Resource>) -> ResourceChange {
    ResourceChange {
        action: ResourceAction::Remove,
        logical_id: id.to_owned(),
        physical_id: resource.map(|r| r.physical_id.clone()),
        resource_type: declared.kind.clone(),
        replacement: None,
        policy_action: Some(removal_policy(declared).into()),
        scope: Vec::new(),
        details: Vec::new(),
        nested_change_set: None,
        nested: None,
    }
}

fn removals(before: &Content, after: &Content, resources: &BTreeMap<String, Resource>) -> Vec<ResourceChange> {
    let gone = before.parsed.resources.iter().filter(|(id, _)| !after.parsed.resources.contains_key(*id));
    gone.map(|(id, declared)| removal(id, declared, resources.get(id))).collect()
}

/// A resource's change while its reasons are gathered.
#[derive(Debug)]
struct Draft {
    action: ResourceAction,
    worst: Recreation,
    scope: BTreeSet<String>,
    details: BTreeSet<String>,
}

impl Draft {
    fn new(action: ResourceAction) -> Self {
        Self { action, worst: Recreation::Never, scope: BTreeSet::new(), details: BTreeSet::new() }
    }
    fn addition() -> Self {
        Self::new(ResourceAction::Add)
    }
    fn is_empty(&self) -> bool {
        self.details.is_empty()
    }
    fn is_certain_replacement(&self) -> bool {
        self.worst == Recreation::Always
    }

    /// One reason: `Properties.DelaySeconds Never Static DirectModification`.
    fn because(&mut self, attribute: &str, name: Option<&str>, recreation: Recreation, source: &str) {
        let target = name.map_or_else(|| attribute.to_owned(), |name| format!("{attribute}.{name}"));
        self.details.insert(format!("{target} {} {source}", recreation.as_str()));
        self.scope.insert(attribute.to_owned());
        // What is only known at execution ("Dynamic") makes a replacement conditional (API reference, `ResourceChange`).
        let certain = source.starts_with("Static");
        let weight = if certain { recreation } else { recreation.min(Recreation::Conditionally) };
        self.worst = self.worst.max(weight);
    }

    fn finish(self, id: &str, declared: &ResourceDeclaration, resource: Option<&Resource>) -> ResourceChange {
        let modified = self.action == ResourceAction::Modify;
        let replacement = match self.worst {
            Recreation::Never => Replacement::False,
            Recreation::Conditionally => Replacement::Conditional,
            Recreation::Always => Replacement::True,
        };
        let replaces = modified && replacement != Replacement::False;
        ResourceChange {
            action: self.action,
            logical_id: id.to_owned(),
            physical_id: resource.filter(|_| modified).map(|r| r.physical_id.clone()),
            resource_type: declared.kind.clone(),
            replacement: modified.then_some(replacement),
            policy_action: replaces.then(|| replacement_policy(declared).into()),
            scope: self.scope.into_iter().collect(),
            details: self.details.iter().map(|detail| detail.as_str().into()).collect(),
            nested_change_set: None,
            nested: None,
        }
    }
}

fn modification(
    (before, old): (&Content, &ResourceDeclaration),
    (after, new): (&Content, &ResourceDeclaration),
) -> Draft {
    let mut draft = Draft::new(ResourceAction::Modify);
    if old.kind != new.kind {
        // Only the world's own types may take another's place (see `change_sets`): a new kind is a new resource.
        draft.because("Properties", Some("Type"), Recreation::Always, "Static DirectModification");
    }
    let keys: BTreeSet<_> = old.properties.keys().chain(new.properties.keys()).collect();
    for key in keys {
        let (a, b) = (old.properties.get(key), new.properties.get(key));
        if resolved(a, before) == resolved(b, after) {
            continue;
        }
        let recreation = recreation(&new.kind, key);
        let (attribute, name) = if key == "Tags" { ("Tags", None) } else { ("Properties", Some(key.as_str())) };
        if a == b {
            for parameter in moved_parameters(b, before, after) {
                draft.because(attribute, name, recreation, &format!("Static ParameterReference {parameter}"));
            }
        } else {
            draft.because(attribute, name, recreation, "Static DirectModification");
        }
    }
    for attribute in ATTRIBUTES {
        if old.attributes.get(attribute) != new.attributes.get(attribute) {
            draft.because(attribute, None, Recreation::Never, "Static DirectModification");
        }
    }
    if before.tags != after.tags && is_tagged(&new.kind) {
        draft.because("Tags", None, Recreation::Never, "Static DirectModification");
    }
    draft
}

fn resolved(value: Option<&Value>, content: &Content) -> Option<Value> {
    value.map(|value| resolve(value, &content.parameters))
}

fn moved_parameters(value: Option<&Value>, before: &Content, after: &Content) -> Vec<String> {
    let names = value.map(references).unwrap_or_default().into_iter().map(|(name, _)| name);
    names.filter(|name| before.parameters.get(name) != after.parameters.get(name)).collect()
}

/// A resource that refers to one that is certainly replaced gets new values, and is perhaps replaced itself.
fn follow_replacements(after: &Content, changes: &mut BTreeMap<String, Draft>) {
    let replaced: BTreeSet<String> =
        changes.iter().filter(|(_, draft)| draft.is_certain_replacement()).map(|(id, _)| id.clone()).collect();
    for (id, resource) in &after.parsed.resources {
        if changes.get(id).is_some_and(|draft| draft.action == ResourceAction::Add) {
            continue;
        }
        for (key, value) in &resource.properties {
            for (name, is_attribute) in references(value).into_iter().filter(|(name, _)| replaced.contains(name)) {
                let source = if is_attribute { "ResourceAttribute" } else { "ResourceReference" };
                let draft = changes.entry(id.clone()).or_insert_with(|| Draft::new(ResourceAction::Modify));
                let source = format!("Dynamic {source} {name}");
                draft.because("Properties", Some(key), recreation(&resource.kind, key), &source);
            }
        }
    }
}
