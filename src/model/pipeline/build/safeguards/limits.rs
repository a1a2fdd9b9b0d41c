//! The smaller guardrails: rate, cost, dependents, drift, environment order, kill drill.

use super::{LEVELS, lasting, level};
use crate::model::class::Autonomy;
use crate::model::document::fields::{Faults, known_or, text};
use crate::model::document::{Fields, Node, Value};
use crate::model::pipeline::beside::Beside;
use crate::model::price_book::{PriceBook, read};
use crate::model::safeguards::{Cost, Dependents, Drift, EnvironmentOrder, KillDrill, Rate, Set};
use crate::model::time::Millis;

/// How many changes may start without a person.
pub fn rate(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<Rate> {
    const WHOSE: [&str; 3] = ["agent", "pipeline", "fleet"];
    let per = fields.need("per", "1h").and_then(|_| lasting(fields, "per"));
    if WHOSE.iter().all(|whose| !fields.has(whose)) {
        fields.fault("`rate` limits nobody", "add `agent`, `pipeline` or `fleet`, as `agent: 5`");
    }
    // 0 is a limit that means something here: each change needs a person.
    let limit = |whose| fields.whole(whose, 0..=100_000).map(|limit| beside.set(fields, whose, limit));
    let [agent, pipeline, fleet] = WHOSE.map(limit);
    Some(Rate { per: per?, agent, pipeline, fleet })
}

/// What a change may add to the monthly bill.
pub fn cost(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<Cost> {
    let book = fields.need("price_book", "prices.yaml").and_then(|node| price_book(node, beside, fields.faults()));
    let cap = fields.need("max_monthly_increase", "500").and_then(|_| fields.amount("max_monthly_increase"));
    let over = fields.word("over", &LEVELS).unwrap_or(Autonomy::OneApproval);
    if let (Autonomy::Autonomous, Some(node)) = (over, fields.get("over")) {
        asks_nothing(node, "cost", fields.faults());
    }
    let max_monthly_increase = cap.map(|cap| beside.set(fields, "max_monthly_increase", cap));
    Some(Cost { price_book: book?, max_monthly_increase: max_monthly_increase?, over })
}

fn price_book(node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<PriceBook> {
    let (path, bytes) = beside.read(node, faults)?;
    read::read(&path, &bytes).map_err(|broken| beside.broken(node, broken, faults)).ok()
}

fn asks_nothing(node: &Node, guardrail: &str, faults: &Faults) {
    let fix = "write `one_approval` or stricter; to watch only, keep that and add `dry_run: true`";
    faults.at(node, format!("with `autonomous` the guardrail `{guardrail}` asks nothing"), fix);
}

/// What is asked where other stacks import what this one exports.
pub fn dependents(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<Dependents> {
    let node = fields.need("imported", "one_approval")?;
    let imported = level(fields, "imported", beside)?;
    if imported.is == Autonomy::Autonomous {
        asks_nothing(node, "dependents", fields.faults());
    }
    Some(Dependents { imported })
}

/// What is asked where a stack is not as its template says.
pub fn drift(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<Drift> {
    // A day: drift is looked for nightly, where it is looked for.
    const MAX_AGE: Millis = Millis::from_secs(24 * 3600);
    let node = fields.need("drifted", "one_approval");
    let drifted = level(fields, "drifted", beside);
    // What is not known is judged as if it had drifted, where the pipeline does not say otherwise (S24).
    let unknown = match fields.get("unknown") {
        Some(_) => level(fields, "unknown", beside),
        None => drifted.map(|drifted| Set { line: 0, ..drifted }),
    };
    if let (Some(Autonomy::Autonomous), Some(node)) = (drifted.map(|drifted| drifted.is), node) {
        asks_nothing(node, "drift", fields.faults());
    }
    let max_age = lasting(fields, "max_age").unwrap_or(MAX_AGE);
    Some(Drift { drifted: drifted?, unknown: unknown?, max_age })
}

/// Which environment comes first, and who signs it off.
pub fn order(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<EnvironmentOrder> {
    let faults = fields.faults();
    fields.need("order", "[staging, production]");
    let order = names(fields, "order");
    if let ([_], Some(key)) = (order.as_slice(), fields.key("order")) {
        faults.at(key, "an order of one environment orders nothing", "name at least two, from the first to the last");
    }
    let sign_off = names(fields, "sign_off");
    let known: Vec<&str> = order.iter().map(String::as_str).collect();
    for (name, node) in sign_off.iter().zip(fields.list("sign_off")) {
        if !order.contains(name) {
            let fix = known_or(name, &known, "name an environment of `order`");
            faults.at(node, format!("`{name}` is not in `order`"), fix);
        } else if order.last() == Some(name) {
            let message = format!("nothing waits for the sign-off of `{name}`: it is the last one");
            faults.at(node, message, "remove it; who may change it is said in `autonomy`");
        }
    }
    Some(EnvironmentOrder {
        order: beside.set(fields, "order", order),
        sign_off: beside.set(fields, "sign_off", sign_off),
    })
}

/// How long ago the newest kill drill may have been: whole days, since nobody drills by the hour.
pub fn kill_drill(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<KillDrill> {
    let node = fields.need("max_age", "30d")?;
    let days = match &node.value {
        Value::Text(text, _) => text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()),
        _ => None,
    };
    // What has not been tried for a year is not known to work.
    let Some(days) = days.filter(|days| (1..=366).contains(days)) else {
        fields.faults().at(node, "`max_age` is a number of days, from 1 to 366", "write `max_age: 30d`");
        return None;
    };
    Some(KillDrill { max_age: beside.set(fields, "max_age", Millis::from_secs(days * 24 * 3600)) })
}

/// Environments, each once. A fault in one makes the guardrail unsound, and ends the list: places stay right.
fn names(fields: &Fields<'_>, key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in fields.list(key) {
        let Some(name) = text(node, fields.faults()) else { break };
        if names.contains(&name) {
            fields.faults().at(node, format!("`{name}` stands twice"), "name it once");
        }
        names.push(name);
    }
    names
}
