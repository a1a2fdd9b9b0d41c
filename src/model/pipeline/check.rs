//! How the parts of a pipeline fit together: every fault, each at the part that is wrong.

mod gates;
mod health;
mod safeguards;

use super::build::Built;
use super::{Cell, Select, WaveSpec};
use crate::model::document::fields::{Faults, known_or};
use crate::model::document::{Node, Value};
use crate::model::drill::{DRILL_ACCOUNT, DRILL_PIPELINE};
use crate::model::ids::CellId;
use std::collections::{BTreeMap, BTreeSet};

/// Percentages that are to add up to 100 may miss it by this much: thirds are written with two digits.
const SUM_TOLERANCE: f64 = 0.05;

/// Notes every fault.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let unique = check_cells(built, faults);
    check_waves(built, faults);
    check_percentages(built, faults);
    if built.fleet_whole {
        check_traffic(built, faults);
        check_names(built, faults);
        check_accounts(built, faults);
        // Waves that name what is not there reach less than they were meant to.
        if built.waves_whole && unique {
            check_reach(built, faults);
        }
    }
    health::check(built, faults);
    gates::check(built, faults);
    safeguards::check(built, faults);
}

/// Notes every fault of a health section that stands alone: how it fits waves and cells is not asked.
pub fn check_gate(built: &Built<'_>, faults: &Faults) {
    health::check(built, faults);
}

/// Which cells each wave takes, in order: from those of its environment that no earlier wave took, in the fleet's order.
pub fn select_cells(cells: &[Cell], waves: &[WaveSpec]) -> Vec<Vec<CellId>> {
    let mut taken: BTreeSet<&CellId> = BTreeSet::new();
    let mut selected = Vec::new();
    for wave in waves {
        let pool: Vec<&Cell> =
            cells.iter().filter(|c| wave.environment.as_ref().is_none_or(|e| c.environment == *e)).collect();
        let left: Vec<&Cell> = pool.iter().copied().filter(|c| !taken.contains(&c.name)).collect();
        let chosen = choose(&wave.select, &pool, &left);
        taken.extend(chosen.iter().map(|c| &c.name));
        selected.push(chosen.into_iter().map(|c| c.name.clone()).collect());
    }
    selected
}

fn choose<'a>(select: &Select, pool: &[&'a Cell], left: &[&'a Cell]) -> Vec<&'a Cell> {
    match select {
        Select::Cells(names) => left.iter().copied().filter(|c| names.contains(&c.name)).collect(),
        Select::Count(count) => left.iter().copied().take(usize::try_from(*count).unwrap_or(usize::MAX)).collect(),
        Select::PercentOfTargets(percent) => {
            let count = super::Amount::Percent(*percent).of(pool.len(), 1);
            left.iter().copied().take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
        }
        Select::PercentOfTraffic(percent) => {
            let mut share = 0.0;
            let mut chosen = Vec::new();
            for cell in left {
                if !chosen.is_empty() && share + cell.traffic_share > percent + SUM_TOLERANCE {
                    break;
                }
                share += cell.traffic_share;
                chosen.push(*cell);
            }
            chosen
        }
        Select::Remaining => left.to_vec(),
    }
}

/// True when each cell has a name of its own.
fn check_cells(built: &Built<'_>, faults: &Faults) -> bool {
    let mut names: BTreeSet<&CellId> = BTreeSet::new();
    let mut stacks = BTreeMap::new();
    for (cell, node) in built.pipeline.cells.iter().zip(&built.cells) {
        if !names.insert(&cell.name) {
            faults.at(
                &at_key(node, "name"),
                format!("there are two cells `{}`", cell.name),
                "give each cell a name of its own",
            );
        }
        for stack in cell.stacks.values() {
            if let Some(other) = stacks.insert((&cell.account, &cell.region, stack), &cell.name) {
                let message = format!(
                    "stack `{stack}` of account {} in {} belongs to cell `{other}` already",
                    cell.account, cell.region
                );
                faults.at(
                    &at_key(node, "stacks"),
                    message,
                    "a stack is one target: give this cell a stack of its own, or remove one of the two",
                );
            }
        }
    }
    names.len() == built.pipeline.cells.len()
}

/// The account of kill drills is not for files: the daemon never sends a call for it out.
fn check_accounts(built: &Built<'_>, faults: &Faults) {
    if built.pipeline.name == DRILL_PIPELINE {
        return;
    }
    for (cell, node) in built.pipeline.cells.iter().zip(&built.cells) {
        if cell.account.as_str() == DRILL_ACCOUNT {
            let message =
                format!("account {DRILL_ACCOUNT} is nobody's: it is kept for the embedded cells of kill drills");
            faults.at(&at_key(node, "account"), message, "name the account that the cell is in");
        }
    }
}

/// What is underlined for a part as a whole: its first key.
fn first_key(node: &Node) -> Node {
    match &node.value {
        Value::Map(entries) => entries.first().map_or_else(
            || node.clone(),
            |(key, value)| Node {
                path: node.path.clone(),
                span: key.span.start..value.span.end.max(key.span.end),
                value: key.value.clone(),
            },
        ),
        _ => node.clone(),
    }
}

/// What is underlined for one key of a part: the value, where it is there.
fn at_key(node: &Node, key: &str) -> Node {
    let Value::Map(entries) = &node.value else { return node.clone() };
    let found = entries.iter().find(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == key));
    match found {
        Some((key, Node { value: Value::Map(_) | Value::List(_), path, .. })) => {
            Node { path: path.clone(), ..key.clone() }
        }
        Some((_, value)) => value.clone(),
        None => first_key(node),
    }
}

/// What is underlined for the selection of a wave: its one key with its value.
fn at_select(node: &Node) -> Node {
    let Value::Map(entries) = &node.value else { return node.clone() };
    let select = entries.iter().find(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == "select"));
    select.map_or_else(|| first_key(node), |(_, select)| first_key(select))
}

/// The place of a cell's name in a wave's selection.
fn at_name(node: &Node, name: &CellId, nth: usize) -> Node {
    fn find<'a>(node: &'a Node, name: &str, left: &mut usize) -> Option<&'a Node> {
        match &node.value {
            Value::Text(text, _) if text == name => left.checked_sub(1).map_or(Some(node), |n| {
                *left = n;
                None
            }),
            Value::List(items) => items.iter().find_map(|item| find(item, name, left)),
            Value::Map(entries) => entries.iter().find_map(|(_, value)| find(value, name, left)),
            _ => None,
        }
    }
    let Value::Map(entries) = &node.value else { return node.clone() };
    let select = entries.iter().find(|(k, _)| matches!(&k.value, Value::Text(key, _) if key == "select"));
    select
        .and_then(|(_, select)| find(select, name.as_str(), &mut { nth }))
        .map_or_else(|| first_key(node), Node::clone)
}

fn check_traffic(built: &Built<'_>, faults: &Faults) {
    let mut sums: BTreeMap<&str, (f64, &Node)> = BTreeMap::new();
    for (cell, node) in built.pipeline.cells.iter().zip(&built.cells) {
        let sum = sums.entry(&cell.environment).or_insert((0.0, node));
        sum.0 += cell.traffic_share;
        if sum.0 <= 100.0 + SUM_TOLERANCE {
            // The cell with which the sum goes over is shown, or the last one when it stays below.
            sum.1 = node;
        }
    }
    for (environment, (sum, node)) in sums {
        if sum > 0.0 && (sum - 100.0).abs() > SUM_TOLERANCE {
            let message = format!("the `traffic_share` of `{environment}` adds up to {sum:.2}, not to 100");
            faults.at(
                &at_key(node, "traffic_share"),
                message,
                "make the shares of an environment's cells add up to 100, or leave them all out",
            );
        }
    }
}

fn check_waves(built: &Built<'_>, faults: &Faults) {
    let mut names = BTreeSet::new();
    let mut named: BTreeMap<&CellId, &str> = BTreeMap::new();
    for (wave, node) in built.pipeline.waves.iter().zip(&built.waves) {
        if !names.insert(&wave.name) {
            faults.at(
                &at_key(node, "name"),
                format!("there are two waves `{}`", wave.name),
                "give each wave a name of its own",
            );
        }
        if wave.bake > wave.max_bake {
            let message = format!("`max_bake` ({}) is shorter than `bake` ({})", wave.max_bake, wave.bake);
            faults.at(
                &at_key(node, "max_bake"),
                message,
                "make `max_bake` the longer one: it is when waiting for a verdict is given up",
            );
        }
        let Select::Cells(wanted) = &wave.select else { continue };
        let mut here: BTreeMap<&CellId, usize> = BTreeMap::new();
        for cell in wanted {
            let nth = here.entry(cell).or_default();
            if *nth > 0 {
                let message = format!("cell `{cell}` stands twice in wave `{}`", wave.name);
                faults.at(&at_name(node, cell, *nth), message, "name it once");
            } else if let Some(other) = named.insert(cell, &wave.name) {
                let message = format!("cell `{cell}` is in wave `{other}` and in wave `{}`", wave.name);
                faults.at(&at_name(node, cell, 0), message, "name a cell in one wave");
            }
            *nth += 1;
        }
    }
}

/// Environments and cells that waves name are in the fleet.
fn check_names(built: &Built<'_>, faults: &Faults) {
    let environments: BTreeSet<&str> = built.pipeline.cells.iter().map(|c| c.environment.as_str()).collect();
    let environments: Vec<&str> = environments.into_iter().collect();
    let cells: BTreeMap<&CellId, &Cell> = built.pipeline.cells.iter().map(|c| (&c.name, c)).collect();
    let names: Vec<&str> = cells.keys().map(|name| name.as_str()).collect();
    for (wave, node) in built.pipeline.waves.iter().zip(&built.waves) {
        let environment = wave.environment.as_deref();
        if let Some(environment) = environment.filter(|e| !environments.contains(e)) {
            let fix =
                known_or(environment, &environments, &format!("name one of the fleet: {}", environments.join(", ")));
            faults.at(&at_key(node, "environment"), format!("no cell has the environment `{environment}`"), fix);
            continue;
        }
        let Select::Cells(wanted) = &wave.select else { continue };
        for name in wanted {
            match cells.get(name) {
                None => {
                    let fix = known_or(name.as_str(), &names, "name cells of the fleet");
                    faults.at(&at_name(node, name, 0), format!("there is no cell `{name}`"), fix);
                }
                Some(cell) if environment.is_some_and(|e| e != cell.environment) => {
                    let message = format!(
                        "cell `{name}` is in {}, and the wave takes cells of {} only",
                        cell.environment,
                        environment.unwrap_or_default()
                    );
                    faults.at(&at_name(node, name, 0), message, "move it to a wave of its environment");
                }
                Some(_) => {}
            }
        }
    }
}

/// Percentages of the same pool must not promise more than there is.
fn check_percentages(built: &Built<'_>, faults: &Faults) {
    let mut sums: BTreeMap<(&str, bool), f64> = BTreeMap::new();
    for (wave, node) in built.pipeline.waves.iter().zip(&built.waves) {
        let (percent, traffic) = match wave.select {
            Select::PercentOfTargets(p) => (p, false),
            Select::PercentOfTraffic(p) => (p, true),
            _ => continue,
        };
        let sum = sums.entry((wave.environment.as_deref().unwrap_or("*"), traffic)).or_default();
        *sum += percent;
        if *sum > 100.0 + SUM_TOLERANCE {
            faults.at(
                &at_select(node),
                format!("the waves' percentages add up to {sum:.2} with this one"),
                "keep their sum at 100 or below, and let the last wave say `remaining: true`",
            );
        }
    }
}

/// Every cell is reached, and every wave reaches something. What waves name is checked before: a wave with an unknown environment
/// or cell says so, and not besides that it reaches nothing.
fn check_reach(built: &Built<'_>, faults: &Faults) {
    let pipeline = &built.pipeline;
    let selected = select_cells(&pipeline.cells, &pipeline.waves);
    let known = |e: &String| pipeline.cells.iter().any(|c| c.environment == *e);
    let mut all_known = true;
    for (at, ((wave, node), cells)) in pipeline.waves.iter().zip(&built.waves).zip(&selected).enumerate() {
        if wave.environment.as_ref().is_some_and(|e| !known(e)) {
            all_known = false;
            continue;
        }
        match &wave.select {
            Select::Cells(_) => {
                all_known &= check_taken(built, wave, node, selected.get(..at).unwrap_or_default(), faults)
            }
            _ if cells.is_empty() => {
                let message = format!("wave `{}` reaches no cell: earlier waves have taken them all", wave.name);
                faults.at(&at_select(node), message, "remove it, or let earlier waves take fewer");
            }
            _ => {}
        }
        if wave.one_box && cells.len() > 1 {
            faults.at(
                &at_select(node),
                format!("the one-box wave `{}` reaches {} cells", wave.name, cells.len()),
                "let it select `count: 1`",
            );
        }
    }
    let reached: BTreeSet<&CellId> = selected.iter().flatten().collect();
    for (cell, node) in
        pipeline.cells.iter().zip(&built.cells).filter(|(cell, _)| all_known && !reached.contains(&cell.name))
    {
        let fix = "let the last wave of its environment say `select: {remaining: true}`";
        faults.at(&at_key(node, "name"), format!("no wave reaches cell `{}`", cell.name), fix);
    }
}

/// Cells that a wave names, and that an earlier wave takes by a count or a percentage. False when the wave names what is not there.
fn check_taken(built: &Built<'_>, wave: &WaveSpec, node: &Node, earlier: &[Vec<CellId>], faults: &Faults) -> bool {
    let Select::Cells(wanted) = &wave.select else { return true };
    let environment =
        |name: &CellId| built.pipeline.cells.iter().find(|c| c.name == *name).map(|c| c.environment.as_str());
    for name in
        wanted.iter().filter(|name| wave.environment.is_none() || environment(name) == wave.environment.as_deref())
    {
        let taker = built.pipeline.waves.iter().zip(earlier).find(|(_, cells)| cells.contains(name));
        if let Some((taker, _)) = taker.filter(|(taker, _)| !matches!(taker.select, Select::Cells(_))) {
            let message = format!("cell `{name}` is taken by the earlier wave `{}` already", taker.name);
            faults.at(&at_name(node, name, 0), message, "put this wave first, or let the earlier one name its cells");
        }
    }
    wanted.iter().all(|name| built.pipeline.cells.iter().any(|c| c.name == *name))
}

fn node_has(node: &Node, key: &str) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.iter().any(|(k, _)| matches!(&k.value, Value::Text(name, _) if name == key)))
}
