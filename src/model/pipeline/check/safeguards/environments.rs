//! Environments that safeguards name, and the order in which waves reach them.

use super::{environments, items, place, waves};
use crate::model::class::{Autonomy, ChangeClass};
use crate::model::document::Node;
use crate::model::document::fields::{Faults, known_or};
use crate::model::pipeline::build::Built;
use crate::model::pipeline::check::at_key;
use std::collections::BTreeSet;

/// Notes every fault.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let known: Vec<&str> = environments(built).into_iter().collect();
    if built.autonomy_whole {
        check_table(built, &known, faults);
    }
    check_order(built, &known, faults);
}

fn unknown(place: &Node, name: &str, known: &[&str], faults: &Faults) {
    let fix = known_or(name, known, &format!("name one of the fleet: {}", known.join(", ")));
    faults.at(place, format!("no cell has the environment `{name}`"), fix);
}

fn check_table(built: &Built<'_>, known: &[&str], faults: &Faults) {
    let table = &built.pipeline.safeguards.autonomy;
    for environment in table.rows.keys() {
        let place = place(built.root, &["autonomy", "environments", environment]);
        if !known.contains(&environment.as_str()) {
            unknown(&place, environment, known, faults);
        } else if ChangeClass::ALL.iter().all(|class| table.of(environment, *class).is == Autonomy::Forbidden) {
            let message =
                format!("everything is `forbidden` in `{environment}`, and waves reach it: no change can pass");
            faults.at(&place, message, "leave at least `in_place` to people, or take its cells out of the fleet");
        }
    }
}

fn check_order(built: &Built<'_>, known: &[&str], faults: &Faults) {
    const KEYS: [&str; 3] = ["guardrails", "environment_order", "order"];
    let Some(guardrail) = &built.pipeline.safeguards.guardrails.environment_order else { return };
    let order = &guardrail.rule.order;
    for (name, node) in order.is.iter().zip(items(built.root, &KEYS)) {
        if !known.contains(&name.as_str()) {
            unknown(node, name, known, faults);
        }
    }
    if !built.waves_whole || guardrail.dry_run {
        return;
    }
    let reached: Vec<BTreeSet<&str>> =
        waves(built).iter().map(|(_, cells)| cells.iter().map(|cell| cell.environment.as_str()).collect()).collect();
    let named: Vec<&str> = order.is.iter().map(String::as_str).filter(|name| known.contains(name)).collect();
    for (before, after) in named.iter().zip(named.iter().skip(1)) {
        let last = reached.iter().rposition(|environments| environments.contains(before));
        let first = reached.iter().position(|environments| environments.contains(after));
        let (Some(last), Some(first)) = (last, first) else { continue };
        let waves = &built.pipeline.waves;
        let (Some(early), Some(late), Some(node)) = (waves.get(first), waves.get(last), built.waves.get(first)) else {
            continue;
        };
        let message = match first.cmp(&last) {
            std::cmp::Ordering::Less => {
                format!("wave `{}` changes `{after}` before wave `{}` has changed `{before}`", early.name, late.name)
            }
            std::cmp::Ordering::Equal => format!("wave `{}` changes `{before}` and `{after}` together", early.name),
            std::cmp::Ordering::Greater => continue,
        };
        let fix = format!("put all of `{before}` into earlier waves, or mend `order` on line {}", order.line);
        faults.at(&at_key(node, "environment"), message, fix);
    }
}
