//! Exports and imports: what one stack gives to others, and what it may then not take away.
//!
//! An export that is imported can neither be removed nor changed: the update is rolled back once its resources are done, and a
//! deletion does not begin; the stack goes back to the status that it had. Names may be made of plain words, `Ref` and `Fn::Sub` of
//! parameters and of `AWS::StackName`, `AWS::Region` and `AWS::AccountId`; an export whose name is anything else is not seen.
//! Source: CloudFormation user guide, "Fn::ImportValue", "Outputs".

use super::calls::Refusal;
use super::stacks::{Content, Stack};
use super::template::{references, resolve};
use super::world::{Inner, Place};
use crate::cloud::sizes;
use crate::model::ids::StackName;
use crate::model::preview::{ContextWanted, PreviewContext, Replacement, ResourceAction, ResourceChange, Sizes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One of `Outputs` that is exported.
#[derive(Debug)]
struct Export {
    value: Value,
    /// The resources that its value comes from.
    from: BTreeSet<String>,
}

/// Values that a template's functions may name: its parameters and the pseudo parameters.
fn named_values(content: &Content, place: &Place, name: &StackName) -> BTreeMap<String, String> {
    let mut values = content.parameters.clone();
    values.insert("AWS::StackName".to_owned(), name.to_string());
    values.insert("AWS::Region".to_owned(), place.region.to_string());
    values.insert("AWS::AccountId".to_owned(), place.account.to_string());
    values
}

fn exports(content: &Content, place: &Place, name: &StackName) -> BTreeMap<String, Export> {
    let values = named_values(content, place, name);
    let export = |output: &Value| {
        let name = resolve(output.get("Export")?.get("Name")?, &values);
        let value = output.get("Value")?;
        let from = references(value).into_iter().map(|(resource, _)| resource).collect();
        Some((name.as_str()?.to_owned(), Export { value: resolve(value, &values), from }))
    };
    content.parsed.outputs.values().filter_map(export).collect()
}

fn imports(content: &Content, place: &Place, name: &StackName) -> BTreeSet<String> {
    let values = named_values(content, place, name);
    let properties = content.parsed.resources.values().flat_map(|resource| resource.properties.values());
    let mut found = BTreeSet::new();
    properties.chain(content.parsed.outputs.values()).for_each(|value| collect(value, &values, &mut found));
    found
}

fn collect(value: &Value, values: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, values, found)),
        Value::Object(map) => {
            for (key, value) in map {
                if key == "Fn::ImportValue" {
                    found.extend(resolve(value, values).as_str().map(ToOwned::to_owned));
                }
                collect(value, values, found);
            }
        }
        _ => {}
    }
}

/// True when what the stack puts out stays the same. A change of that alone is a change without changed resources.
pub(super) fn same_outputs(before: &Content, after: &Content) -> bool {
    let outputs = |content: &Content| -> BTreeMap<String, Value> {
        let resolved = |(id, output): (&String, &Value)| (id.clone(), resolve(output, &content.parameters));
        content.parsed.outputs.iter().map(resolved).collect()
    };
    outputs(before) == outputs(after)
}

impl Inner {
    /// What the stack exports, each with the names of the stacks that import it, sorted.
    pub(super) fn exports_of(&self, stack: &Stack) -> BTreeMap<String, Vec<String>> {
        let Some(content) = &stack.content else { return BTreeMap::new() };
        let names = exports(content, &stack.place, &stack.name).into_keys();
        names.map(|name| (name.clone(), self.importers(&stack.place, &name))).collect()
    }

    fn importers(&self, place: &Place, export: &str) -> Vec<String> {
        let imports_it = |stack: &&Stack| {
            let content = stack.content.as_ref();
            content.is_some_and(|content| imports(content, place, &stack.name).contains(export))
        };
        let mut names: Vec<_> = self.live_in(place).filter(imports_it).map(|stack| stack.name.to_string()).collect();
        names.sort_unstable();
        names
    }

    fn live_in(&self, place: &Place) -> impl Iterator<Item = &Stack> {
        self.stacks.values().filter(move |stack| stack.place == *place && !stack.is_deleted())
    }

    /// Why a creation or an update of the stack cannot succeed for its exports or imports.
    pub(super) fn refused_by_exports(
        &self,
        place: &Place,
        name: &StackName,
        after: &Content,
        changes: &[ResourceChange],
    ) -> Option<String> {
        let before = self.live(place, name).and_then(|stack| stack.content.as_ref());
        let old = before.map(|content| exports(content, place, name)).unwrap_or_default();
        let new = exports(after, place, name);
        let in_use = old.iter().filter_map(|(export, old)| {
            let verb = match new.get(export) {
                None => "deleted",
                Some(new) if old.value != new.value || is_replaced(new, changes) => "updated",
                Some(_) => return None,
            };
            self.in_use(place, export, verb)
        });
        let taken = new.keys().filter(|export| !old.contains_key(*export)).filter_map(|export| {
            let mut others = self.live_in(place).filter(|stack| stack.name != *name);
            let other = others.find(|stack| is_exported_by(stack, export))?;
            Some(format!("Export with name {export} is already exported by stack {}.", other.name))
        });
        let missing = imports(after, place, name).into_iter().filter_map(|import| {
            let exported = self.live_in(place).any(|stack| is_exported_by(stack, &import));
            (!exported).then(|| format!("No export named {import} found."))
        });
        in_use.chain(taken).chain(missing).next()
    }

    /// Why the stack cannot be deleted for its exports.
    pub(super) fn undeletable_for_exports(&self, stack: &Stack) -> Option<String> {
        self.exports_of(stack).keys().find_map(|export| self.in_use(&stack.place, export, "deleted"))
    }

    fn in_use(&self, place: &Place, export: &str, verb: &str) -> Option<String> {
        let importers = self.importers(place, export);
        let words = || format!("Export {export} cannot be {verb} as it is in use by {}", importers.join(", "));
        (!importers.is_empty()).then(words)
    }

    /// What is read beside a preview. Sizes come from the two templates.
    pub(super) fn preview_context(
        &self,
        place: &Place,
        stack_id: &str,
        change_set: Option<&str>,
        wanted: ContextWanted,
    ) -> Result<PreviewContext, Refusal> {
        let stack = self.by_name_or_arn(place, stack_id).ok_or_else(|| Refusal::no_stack(stack_id))?;
        let mut context = PreviewContext::default();
        if wanted.exports {
            context.exports = Some(self.exports_of(stack));
        }
        if let Some(arn) = change_set.filter(|_| wanted.sizes) {
            let (_, set) = self.change_set(place, &stack.name, arn)?;
            let sized = |change: &ResourceChange| {
                let sizes = sizes_of(change, stack.content.as_ref(), &set.content)?;
                Some((change.logical_id.clone(), sizes))
            };
            context.sizes = set.changes.iter().filter_map(sized).collect();
        }
        Ok(context)
    }
}

fn is_exported_by(stack: &Stack, export: &str) -> bool {
    stack.content.as_ref().is_some_and(|content| exports(content, &stack.place, &stack.name).contains_key(export))
}

fn is_replaced(export: &Export, changes: &[ResourceChange]) -> bool {
    let gone = |change: &ResourceChange| {
        change.action == ResourceAction::Remove || change.replacement == Some(Replacement::True)
    };
    changes.iter().any(|change| gone(change) && export.from.contains(&change.logical_id))
}

fn sizes_of(change: &ResourceChange, before: Option<&Content>, after: &Content) -> Option<Sizes> {
    // INVARIANT: S20. A hidden parameter's value is hidden here as well.
    let value = |content: &Content, name: &str| {
        let shown = content.shown_parameters().into_iter().map(|(key, parameter)| (key, parameter.value)).collect();
        let declared = content.parsed.resources.get(&change.logical_id)?;
        declared.properties.get(name).map(|value| resolve(value, &shown))
    };
    sizes::of_change(change, |name| before.and_then(|content| value(content, name)), |name| value(after, name))
}
