//! How far changes may reach: in one rollout, at one moment, within a time.

use super::{lasting, limit};
use crate::model::document::{Fields, Node};
use crate::model::pipeline::beside::Beside;
use crate::model::safeguards::{AtOnce, BlastRadius, FailureDomain, Reach, ReachWindow};

/// What it may say.
pub const KEYS: [&str; 3] = ["rollout", "at_once", "window"];

/// The guardrail.
pub fn blast_radius(fields: &Fields<'_>, beside: &Beside<'_>) -> Option<BlastRadius> {
    if KEYS.iter().all(|key| fields.get(key).is_none()) {
        fields.fault("`blast_radius` limits nothing", "add `rollout: {max_targets: 10}`, or remove the guardrail");
    }
    Some(BlastRadius {
        rollout: reach(fields, "rollout", beside),
        at_once: fields.get("at_once").and_then(|node| at_once(node, fields, beside)).unwrap_or_default(),
        window: fields.get("window").and_then(|node| window(node, fields, beside)),
    })
}

fn reach(fields: &Fields<'_>, key: &str, beside: &Beside<'_>) -> Reach {
    const LIMITS: [&str; 3] = ["max_targets", "max_resources", "max_percent_of_traffic"];
    let found = fields.get(key).and_then(|node| Fields::of(node, &LIMITS, fields.faults()));
    let Some(limits) = found else { return Reach::default() };
    if let (true, Some(key_node)) = (LIMITS.iter().all(|limit| !limits.has(limit)), fields.key(key)) {
        let fix = "add `max_targets`, `max_resources` or `max_percent_of_traffic`, or remove the key";
        fields.faults().at(key_node, format!("`{key}` limits nothing"), fix);
    }
    let percent = limits.percent("max_percent_of_traffic", false);
    Reach {
        max_targets: limit(&limits, "max_targets", beside),
        max_resources: limit(&limits, "max_resources", beside),
        max_percent_of_traffic: percent.map(|percent| beside.set(&limits, "max_percent_of_traffic", percent)),
    }
}

fn at_once(node: &Node, section: &Fields<'_>, beside: &Beside<'_>) -> Option<AtOnce> {
    const LIMITS: [&str; 3] = ["max_targets", "max_failure_domains", "min_capacity_percent"];
    let keys = [LIMITS.as_slice(), &["failure_domain"]].concat();
    let fields = Fields::of(node, &keys, section.faults())?;
    if let (true, Some(key)) = (LIMITS.iter().all(|limit| !fields.has(limit)), section.key("at_once")) {
        let fix = "add `max_targets`, `max_failure_domains` or `min_capacity_percent`, or remove the key";
        section.faults().at(key, "`at_once` limits nothing", fix);
    }
    let domains =
        [("region", FailureDomain::Region), ("account", FailureDomain::Account), ("cell", FailureDomain::Cell)];
    let capacity = fields.percent("min_capacity_percent", false);
    Some(AtOnce {
        max_targets: limit(&fields, "max_targets", beside),
        max_failure_domains: limit(&fields, "max_failure_domains", beside),
        failure_domain: fields.word("failure_domain", &domains).unwrap_or_default(),
        min_capacity_percent: capacity.map(|percent| beside.set(&fields, "min_capacity_percent", percent)),
    })
}

fn window(node: &Node, section: &Fields<'_>, beside: &Beside<'_>) -> Option<ReachWindow> {
    const WHOSE: [&str; 3] = ["agent", "pipeline", "fleet"];
    let keys = [WHOSE.as_slice(), &["per"]].concat();
    let fields = Fields::of(node, &keys, section.faults())?;
    if WHOSE.iter().all(|whose| !fields.has(whose)) {
        fields.fault("`window` limits nobody", "add `agent`, `pipeline` or `fleet`, as `fleet: {max_targets: 50}`");
    }
    let per = fields.need("per", "24h").and_then(|_| lasting(&fields, "per"));
    let [agent, pipeline, fleet] = WHOSE.map(|whose| reach(&fields, whose, beside));
    Some(ReachWindow { per: per?, agent, pipeline, fleet })
}
