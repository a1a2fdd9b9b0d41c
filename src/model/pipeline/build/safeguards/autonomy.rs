//! Environment × class → what people must say.

use super::level;
use crate::model::class::{Autonomy, ChangeClass};
use crate::model::document::fields::{Faults, text};
use crate::model::document::{Fields, Node, Value};
use crate::model::pipeline::beside::Beside;
use crate::model::safeguards::{AutonomyTable, Earned, Set};
use std::collections::BTreeMap;

const KEYS: [&str; 2] = ["environments", "earned"];

/// The table.
pub fn autonomy(node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<AutonomyTable> {
    let misplaced = misplaced(node, faults);
    let fields = Fields::of(node, &[&KEYS[..], &misplaced].concat(), faults)?;
    if node.value == Value::Map(Vec::new()) {
        fields.fault("`autonomy` says nothing", "add `environments: {production: {…}}`, or remove the key");
    }
    let rows = fields.get("environments").map(|node| rows(node, beside, faults)).unwrap_or_default();
    let earned = fields.get("earned").and_then(|node| earned(node, beside, faults));
    Some(AutonomyTable { rows, earned })
}

/// Environments that stand beside `environments` instead of in it: each is a fault.
fn misplaced<'a>(node: &'a Node, faults: &Faults) -> Vec<&'a str> {
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let is_row = |value: &Node| ChangeClass::ALL.iter().any(|class| value.entry(class.as_str()).is_some());
    let found = entries.iter().filter_map(|(key, value)| match &key.value {
        Value::Text(name, _) if !KEYS.contains(&name.as_str()) && is_row(value) => Some((key, name.as_str())),
        _ => None,
    });
    let told = found.map(|(key, name)| {
        let fix = format!("write `environments: {{{name}: {{…}}}}`");
        faults.at(key, format!("the environment `{name}` stands outside of `environments`"), fix);
        name
    });
    told.collect()
}

type Row = BTreeMap<ChangeClass, Set<Autonomy>>;

fn rows(node: &Node, beside: &Beside<'_>, faults: &Faults) -> BTreeMap<String, Row> {
    let Value::Map(entries) = &node.value else {
        let fix = "write `environments:` and entries as `production: {destructive: forbidden}`";
        faults.at(node, format!("{} where a mapping belongs", node.value.kind()), fix);
        return BTreeMap::new();
    };
    let row = |(key, value): &(Node, Node)| Some((text(key, faults)?, row(key, value, beside, faults)?));
    entries.iter().filter_map(row).collect()
}

fn row(key: &Node, node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<Row> {
    let classes = ChangeClass::ALL.map(ChangeClass::as_str);
    if node.value == Value::Null || node.value == Value::Map(Vec::new()) {
        faults.at(
            key,
            "an environment without classes",
            "name a class, as `destructive: forbidden`, or remove the key",
        );
        return None;
    }
    let fields = Fields::of(node, &classes, faults)?;
    let row = ChangeClass::ALL.into_iter().filter_map(|class| Some((class, level(&fields, class.as_str(), beside)?)));
    Some(row.collect())
}

fn earned(node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<Earned> {
    let fields = Fields::of(node, &["return_after"], faults)?;
    fields.need("return_after", "5")?;
    let return_after = fields.whole("return_after", 1..=1000)?;
    Some(Earned { return_after: beside.set(&fields, "return_after", return_after) })
}
