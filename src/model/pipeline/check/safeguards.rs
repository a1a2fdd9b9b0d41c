//! How the safeguards fit to the fleet, the waves and each other: rules that nobody can satisfy, and limits that nothing passes. Such a
//! rule looks like safety, and is found out when it is in the way of a repair.

mod calendar;
mod environments;
mod people;
mod reach;

use super::{first_key, select_cells};
use crate::model::class::{Autonomy, ChangeClass};
use crate::model::document::fields::Faults;
use crate::model::document::{Node, Value};
use crate::model::ids::CellId;
use crate::model::pipeline::build::Built;
use crate::model::pipeline::{Cell, WaveSpec};
use crate::model::safeguards::Guardrails;
use std::collections::{BTreeMap, BTreeSet};

/// Notes every fault.
pub fn check(built: &Built<'_>, faults: &Faults) {
    calendar::check(built, faults);
    if built.fleet_whole {
        environments::check(built, faults);
        reach::check(built, faults);
    }
    if built.fleet_whole && built.autonomy_whole && built.approvals_whole && built.root.entry("approvals").is_some() {
        people::check(built, &asked(built), faults);
    }
}

/// The place of a value by its keys: the value, or its key where the value is long; where it is not there, what is around it.
fn place(root: &Node, keys: &[&str]) -> Node {
    let (mut at, mut found) = (root, None);
    for key in keys {
        let Some((key, value)) = at.entry(key) else { break };
        (at, found) = (value, Some((key, value)));
    }
    match found {
        Some((key, Node { value: Value::Map(_) | Value::List(_), path, .. })) => {
            Node { path: path.clone(), ..key.clone() }
        }
        Some((_, value)) => value.clone(),
        None => first_key(root),
    }
}

/// The place of a key, whatever its value is.
fn place_of_key(root: &Node, keys: &[&str]) -> Node {
    let (last, before) = keys.split_last().unwrap_or((&"", &[]));
    let around = before.iter().try_fold(root, |at, key| at.entry(key).map(|(_, value)| value));
    around.and_then(|node| node.entry(last)).map_or_else(|| place(root, before), |(key, _)| key.clone())
}

/// The items of a list by its keys.
fn items<'a>(root: &'a Node, keys: &[&str]) -> &'a [Node] {
    let list = keys.iter().try_fold(root, |at, key| at.entry(key).map(|(_, value)| value));
    match list.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn environments<'a>(built: &'a Built<'_>) -> BTreeSet<&'a str> {
    built.pipeline.cells.iter().map(|cell| cell.environment.as_str()).collect()
}

/// A wave's cells, or those of them that have a stack. They are watched together until the wave's gate has passed.
type Together<'a> = (&'a WaveSpec, Vec<&'a Cell>);

/// The waves, with the cells that each one takes.
fn waves<'a>(built: &'a Built<'_>) -> Vec<Together<'a>> {
    let (cells, waves) = (&built.pipeline.cells, &built.pipeline.waves);
    let by_name: BTreeMap<&CellId, &Cell> = cells.iter().map(|cell| (&cell.name, cell)).collect();
    let taken = select_cells(cells, waves).into_iter();
    let taken = taken.map(|names| names.iter().filter_map(|name| by_name.get(name).copied()).collect());
    waves.iter().zip(taken).collect()
}

/// The levels that something in this pipeline may ask for, each with the first thing that does, for people.
fn asked(built: &Built<'_>) -> BTreeMap<Autonomy, String> {
    let safeguards = &built.pipeline.safeguards;
    let mut asked = BTreeMap::new();
    for environment in environments(built) {
        for class in ChangeClass::ALL {
            let level = safeguards.autonomy.of(environment, class).is;
            asked.entry(level).or_insert_with(|| format!("`{class}` in `{environment}`"));
        }
    }
    for (level, why) in asked_by(&safeguards.guardrails) {
        asked.entry(level).or_insert_with(|| why.to_owned());
    }
    if safeguards.autonomy.earned.is_some() {
        let dropped: Vec<Autonomy> = asked.keys().map(|level| level.dropped()).collect();
        for level in dropped {
            asked.entry(level).or_insert_with(|| "an agent whose change was reverted".to_owned());
        }
    }
    asked
}

fn asked_by(guardrails: &Guardrails) -> Vec<(Autonomy, &'static str)> {
    let mut asked = Vec::new();
    if let Some(rule) = guardrails.cost.as_ref().filter(|rule| !rule.dry_run) {
        asked.push((rule.rule.over, "the guardrail `cost`"));
    }
    if let Some(rule) = guardrails.dependents.as_ref().filter(|rule| !rule.dry_run) {
        asked.push((rule.rule.imported.is, "the guardrail `dependents`"));
    }
    if let Some(rule) = guardrails.drift.as_ref().filter(|rule| !rule.dry_run) {
        asked.extend([rule.rule.drifted.is, rule.rule.unknown.is].map(|level| (level, "the guardrail `drift`")));
    }
    if guardrails.rate.as_ref().is_some_and(|rule| !rule.dry_run) {
        asked.push((Autonomy::OneApproval, "the guardrail `rate`"));
    }
    let order = guardrails.environment_order.as_ref();
    if order.is_some_and(|rule| !rule.dry_run && !rule.rule.sign_off.is.is_empty()) {
        asked.push((Autonomy::OneApproval, "the sign-off of an environment"));
    }
    asked
}
