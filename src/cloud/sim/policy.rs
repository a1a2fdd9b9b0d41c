//! Stack policies: which updates of which resources a stack allows. `ExecuteChangeSet` enforces them, with no override.
//!
//! Source: CloudFormation user guide, "Prevent updates to stack resources". Of `Condition` only `ResourceType` is read.

use crate::model::preview::{Replacement, ResourceAction, ResourceChange};
use serde_json::Value;

/// Why the policy refuses the change; none when it allows it. A policy that cannot be read refuses everything.
pub(super) fn refusal(policy: Option<&str>, change: &ResourceChange) -> Option<String> {
    let policy: Value = serde_json::from_str(policy?).unwrap_or_default();
    if change.action == ResourceAction::Add {
        return None;
    }
    let verb = verb(change);
    let statements = policy.get("Statement").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let says = |effect: &str| {
        statements.iter().any(|s| s.get("Effect").and_then(Value::as_str) == Some(effect) && covers(s, verb, change))
    };
    // All is denied that no statement allows, and a denial wins.
    let allowed = says("Allow") && !says("Deny");
    (!allowed).then(|| {
        format!("Action denied by stack policy: no statement allows [{verb}] for resource [{}]", change.logical_id)
    })
}

fn verb(change: &ResourceChange) -> &'static str {
    match (&change.action, &change.replacement) {
        (ResourceAction::Remove, _) => "Update:Delete",
        (_, Some(Replacement::True | Replacement::Conditional)) => "Update:Replace",
        _ => "Update:Modify",
    }
}

fn covers(statement: &Value, verb: &str, change: &ResourceChange) -> bool {
    let resource = format!("LogicalResourceId/{}", change.logical_id);
    matches_field(statement, "Action", verb)
        && matches_field(statement, "Resource", &resource)
        && matches_type(statement, &change.resource_type)
}

/// True when the field, or no entry of its `Not…` form, matches.
fn matches_field(statement: &Value, field: &str, text: &str) -> bool {
    match (statement.get(field), statement.get(format!("Not{field}"))) {
        (Some(patterns), _) => any_matches(patterns, text),
        (None, Some(patterns)) => !any_matches(patterns, text),
        (None, None) => false,
    }
}

fn matches_type(statement: &Value, kind: &str) -> bool {
    let Some(condition) = statement.get("Condition").and_then(Value::as_object) else { return true };
    condition.values().filter_map(|test| test.get("ResourceType")).all(|patterns| any_matches(patterns, kind))
}

fn any_matches(patterns: &Value, text: &str) -> bool {
    match patterns {
        Value::String(pattern) => glob(pattern, text),
        Value::Array(items) => items.iter().any(|item| any_matches(item, text)),
        _ => false,
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(at, _)| at)
                .chain([tail.len()])
                .any(|at| tail.get(at..).is_some_and(|end| glob(rest, end)))
        }),
    }
}
