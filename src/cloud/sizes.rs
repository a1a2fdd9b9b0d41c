//! What may leave the provider's answer for a price: the properties that [`PRICED_PROPERTIES`] lists, as plain words.
//!
//! INVARIANT: S20. Everything else that a property may hold, a password among it, ends here.

use crate::model::preview::{PolicyAction, ResourceAction, ResourceChange, Sizes};
use crate::model::price_book::PRICED_PROPERTIES;
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest value that a price depends on, as `db.serverless-r7gd.48xlarge`, has half of it.
const MAX_CHARS: usize = 64;

/// A changed resource's priced properties; `before` and `after` give a property's value by its name. None: no price depends on
/// its type.
pub(super) fn of_change(
    change: &ResourceChange,
    before: impl Fn(&str) -> Option<Value>,
    after: impl Fn(&str) -> Option<Value>,
) -> Option<Sizes> {
    let (_, properties) = PRICED_PROPERTIES.iter().find(|(kind, _)| *kind == change.resource_type)?;
    let words = |value_of: &dyn Fn(&str) -> Option<Value>| -> BTreeMap<String, String> {
        let word = |name: &&str| Some(((*name).to_owned(), word(&value_of(name)?)?));
        properties.iter().filter_map(word).collect()
    };
    let kept = matches!(change.policy_action, Some(PolicyAction::Retain | PolicyAction::ReplaceAndRetain));
    let (before, after) = match change.action {
        ResourceAction::Add | ResourceAction::Import => (None, Some(words(&after))),
        // What leaves the stack but goes on existing goes on costing.
        ResourceAction::Remove if kept => (Some(words(&before)), Some(words(&before))),
        ResourceAction::Remove => (Some(words(&before)), None),
        // The old one goes on beside the new one, so that the new one's price is added.
        _ if kept => (None, Some(words(&after))),
        _ => (Some(words(&before)), Some(words(&after))),
    };
    Some(Sizes { before, after })
}

/// A size or a kind is one short word. What is hidden (`****`), not known yet (`{{changeSet:KNOWN_AFTER_APPLY}}`), looked up at
/// execution (`{{resolve:…}}`, an intrinsic function) or no word at all is missing.
fn word(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!text.is_empty() && text.len() <= MAX_CHARS && text.chars().all(plain)).then_some(text)
}
