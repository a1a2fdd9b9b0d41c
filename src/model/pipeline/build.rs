//! Document → values: takes every field out of the tree, with its own limits and defaults. How fields fit together is in `check`.

mod compare;
mod health;
mod metric;
pub mod safeguards;
mod source;

use super::beside::Beside;
use super::{Amount, Cell, Irreversible, OnFailure, Pipeline, RegionOrder, RevertPolicy, Select, WaveSpec};
use crate::model::document::fields::{Faults, text};
use crate::model::document::{Fields, Node, Value};
use crate::model::ids::Digest;
use crate::model::time::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A pipeline with the nodes that its parts came from, so that later checks can point at them.
pub struct Built<'a> {
    /// The values; of cells, waves, metrics and alarms only the sound ones.
    pub pipeline: Pipeline,
    /// One for each sound cell.
    pub cells: Vec<&'a Node>,
    /// One for each sound wave.
    pub waves: Vec<&'a Node>,
    /// One for each sound metric.
    pub metrics: Vec<&'a Node>,
    /// One for each sound alarm.
    pub alarms: Vec<&'a Node>,
    /// The health section.
    pub health: Option<&'a Node>,
    /// Every cell is sound: the fleet can be judged as a whole.
    pub fleet_whole: bool,
    /// Every wave is sound.
    pub waves_whole: bool,
    /// The health section is sound.
    pub health_whole: bool,
    /// The whole document.
    pub root: &'a Node,
    /// The table of autonomy is sound, or not there.
    pub autonomy_whole: bool,
    /// Who approves is sound, or not there.
    pub approvals_whole: bool,
    /// Everything about safeguards is sound, or not there.
    pub safeguards_whole: bool,
}

/// Takes a pipeline out of its document. None where a part is missing that nothing can be checked without.
pub fn pipeline<'a>(root: &'a Node, digest: Digest, beside: &Beside<'_>, faults: &'a Faults) -> Option<Built<'a>> {
    let keys = [&["version", "name", "fleet", "waves", "health", "revert"], &safeguards::SECTIONS[..]].concat();
    let fields = Fields::of(root, &keys, faults)?;
    fields.need("version", "1");
    fields.whole("version", 1..=1);
    let name = fields.need_text("name", "default").filter(|_| named(&fields, "name", is_name, NAME_RULE));
    let fleet = fields.need("fleet", "{cells: …}").and_then(|node| Fields::of(node, &["cells"], faults));
    let cell_nodes = fleet.map_or(&[][..], |fleet| fleet.need_list("cells", "[…]"));
    let (cells, cell_nodes, fleet_whole) = sound_parts(cell_nodes, faults, cell);
    let wave_nodes = fields.need_list("waves", "[…]");
    let (waves, wave_nodes, waves_whole) = sound_parts(wave_nodes, faults, wave);
    let before = faults.count();
    let health_node = fields.need("health", "{metrics: […]}");
    let (health, metrics, alarms) = health_node
        .and_then(|node| health::health(node, faults))
        .unwrap_or_else(|| (health::none(), Vec::new(), Vec::new()));
    let health_whole = health_node.is_some() && faults.count() == before;
    let revert = revert(fields.get("revert"), faults);
    let safeguards = safeguards::safeguards(&fields, beside);
    Some(Built {
        cells: cell_nodes,
        waves: wave_nodes,
        metrics,
        alarms,
        health: health_node,
        fleet_whole,
        waves_whole,
        health_whole,
        root,
        autonomy_whole: safeguards.autonomy_whole,
        approvals_whole: safeguards.approvals_whole,
        safeguards_whole: safeguards.whole,
        pipeline: Pipeline {
            name: name.unwrap_or_default(),
            digest,
            cells,
            waves,
            health,
            revert,
            safeguards: Arc::new(safeguards.safeguards),
        },
    })
}

/// Takes the health section out of a document that has neither a fleet nor waves: a gate to be tried. The rest of what comes back is empty.
pub fn gate<'a>(root: &'a Node, digest: Digest, faults: &'a Faults) -> Option<Built<'a>> {
    let fields = Fields::of(root, &["version", "name", "health"], faults)?;
    fields.need("version", "1");
    fields.whole("version", 1..=1);
    let name = fields.need_text("name", "default").filter(|_| named(&fields, "name", is_name, NAME_RULE));
    let before = faults.count();
    let (health, metrics, alarms) = fields.get("health").and_then(|node| health::health(node, faults))?;
    Some(Built {
        cells: Vec::new(),
        waves: Vec::new(),
        metrics,
        alarms,
        health: fields.get("health"),
        fleet_whole: false,
        waves_whole: false,
        health_whole: faults.count() == before,
        root,
        autonomy_whole: true,
        approvals_whole: true,
        safeguards_whole: true,
        pipeline: Pipeline {
            name: name.unwrap_or_default(),
            digest,
            cells: Vec::new(),
            waves: Vec::new(),
            health,
            revert: revert(None, faults),
            safeguards: Arc::default(),
        },
    })
}

/// The sound parts of a list with their nodes, and whether all of it is sound: a part with a fault of its own would lead to faults
/// that are none.
fn sound_parts<'a, T>(
    nodes: &'a [Node],
    faults: &'a Faults,
    part: fn(&'a Node, &'a Faults) -> Option<T>,
) -> (Vec<T>, Vec<&'a Node>, bool) {
    let (parts, sound): (Vec<T>, Vec<&Node>) =
        nodes.iter().filter_map(|node| Some((faults.sound(|| part(node, faults))?, node))).unzip();
    let whole = !nodes.is_empty() && parts.len() == nodes.len();
    (parts, sound, whole)
}

/// The rule of [`is_name`], for people.
pub const NAME_RULE: &str = "lower-case letters, digits and `-`, at most 63, beginning with a letter";

/// Names of pipelines, cells, environments, waves and stack keys.
pub fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// True when the text of a key is there and fits a rule; notes a fault when it does not fit.
fn named(fields: &Fields<'_>, key: &str, rule: fn(&str) -> bool, words: &str) -> bool {
    match fields.get(key) {
        Some(node) => match &node.value {
            Value::Text(text, _) if rule(text) => true,
            Value::Text(text, _) => {
                fields.faults().at(node, format!("`{text}` is no `{key}`"), format!("use {words}"));
                false
            }
            _ => false,
        },
        None => false,
    }
}

fn cell(node: &Node, faults: &Faults) -> Option<Cell> {
    const KEYS: [&str; 8] =
        ["name", "account", "region", "environment", "role", "traffic_share", "stacks", "attributes"];
    let fields = Fields::of(node, &KEYS, faults)?;
    let name = fields.need_text("name", "prod-eu-1").filter(|_| named(&fields, "name", is_name, NAME_RULE));
    let account = account(&fields);
    let region = fields
        .need_text("region", "eu-west-1")
        .filter(|_| named(&fields, "region", is_region, "a region's code, as `eu-west-1`"));
    let environment =
        fields.need_text("environment", "production").filter(|_| named(&fields, "environment", is_name, NAME_RULE));
    let role_fits = fields.get("role").is_none()
        || named(&fields, "role", is_role, "a role's ARN, as `arn:aws:iam::111111111111:role/wavegate-cell`");
    if role_fits {
        role_of_account(&fields, account.as_deref());
    }
    let stacks = stacks(&fields);
    let attributes = fields.texts("attributes").into_iter().map(|(_, key, _, value)| (key, value)).collect();
    // Every field is read before the first `?`: each of its faults is told.
    let traffic_share = fields.percent("traffic_share", true).unwrap_or(0.0);
    Some(Cell {
        name: name?.into(),
        account: account?.into(),
        region: region?.into(),
        environment: environment?,
        role: if role_fits { fields.text("role").map(Arc::from) } else { None },
        traffic_share,
        stacks: stacks?,
        attributes,
    })
}

fn account(fields: &Fields<'_>) -> Option<String> {
    let node = fields.need("account", "\"111111111111\"")?;
    let twelve = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    match &node.value {
        Value::Text(text, false) if twelve(text) => Some(text.clone()),
        Value::Int(n) if twelve(&n.to_string()) => {
            fields.faults().at(
                node,
                "an account number without quotes is a number, and loses leading zeros",
                format!("write \"{n}\""),
            );
            None
        }
        Value::Text(text, true) if twelve(text) => {
            let message = "an account number without quotes is something else to other YAML parsers";
            fields.faults().at(node, message, format!("write \"{text}\""));
            None
        }
        _ => {
            fields.faults().at(node, "an account is twelve digits in quotes", "write it as \"111111111111\"");
            None
        }
    }
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() >= 3
        && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        && parts.last().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", account, resource]
        if partition.starts_with("aws") && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
            && resource.strip_prefix("role/").is_some_and(|r| !r.is_empty()))
}

/// A role acts in its own account: one of another account would change that account's stacks.
fn role_of_account(fields: &Fields<'_>, account: Option<&str>) {
    let Some((node, account)) = fields.get("role").zip(account) else { return };
    let Value::Text(role, _) = &node.value else { return };
    if role.split(':').nth(4).is_some_and(|owner| owner != account) {
        let fix = "name the role of the cell's account; the daemon's own role is allowed to assume it";
        fields.faults().at(node, format!("the role is not of the cell's account {account}"), fix);
    }
}

/// CloudFormation, `CreateStack.StackName`: a letter, then letters, digits and `-`, at most 128.
pub fn is_stack_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn stacks(fields: &Fields<'_>) -> Option<BTreeMap<crate::model::ids::StackKey, crate::model::ids::StackName>> {
    let node = fields.need("stacks", "{orders: orders-prod-eu-1}")?;
    let before = fields.faults().count();
    let pairs = fields.texts("stacks");
    let mut stacks = BTreeMap::new();
    for (key_node, key, value_node, value) in pairs {
        if !is_name(&key) {
            fields.faults().at(key_node, format!("`{key}` is no name for a stack"), format!("use {NAME_RULE}"));
        } else if !is_stack_name(&value) {
            fields.faults().at(
                value_node,
                format!("`{value}` is no stack name in CloudFormation"),
                "use a letter, then letters, digits and `-`, at most 128",
            );
        } else {
            stacks.insert(key.into(), value.into());
        }
    }
    if stacks.is_empty() && fields.faults().count() == before {
        fields.faults().at(node, "a cell without stacks", "give it at least one `name: stack-name`");
    }
    Some(stacks).filter(|stacks| !stacks.is_empty())
}

fn wave(node: &Node, faults: &Faults) -> Option<WaveSpec> {
    const KEYS: [&str; 10] = [
        "name",
        "environment",
        "select",
        "one_box",
        "max_concurrent",
        "failure_tolerance",
        "regions",
        "bake",
        "bake_datapoints",
        "max_bake",
    ];
    let fields = Fields::of(node, &KEYS, faults)?;
    let name = fields.need_text("name", "one-box").filter(|_| named(&fields, "name", is_name, NAME_RULE));
    let select = fields.need("select", "{count: 1}").and_then(|node| select(node, faults));
    let bake = fields.need("bake", "10m").and_then(|_| fields.duration("bake"));
    let max_bake = fields.get("max_bake").map_or_else(
        || bake.map(|b| Millis(b.0.saturating_mul(3).max(30 * 60 * 1000))),
        |_| fields.duration("max_bake"),
    );
    let environment = fields.text("environment");
    let one_box = fields.flag("one_box");
    let max_concurrent = amount(&fields, "max_concurrent", 1).unwrap_or(Amount::Count(1));
    let failure_tolerance = amount(&fields, "failure_tolerance", 0).unwrap_or(Amount::Count(0));
    let regions = [("sequential", RegionOrder::Sequential), ("parallel", RegionOrder::Parallel)];
    let regions = fields.word("regions", &regions).unwrap_or_default();
    let bake_datapoints = fields.whole("bake_datapoints", 0..=10_000).unwrap_or(0);
    Some(WaveSpec {
        name: name?,
        environment,
        select: select?,
        one_box,
        max_concurrent,
        failure_tolerance,
        regions,
        bake: bake?,
        bake_datapoints,
        max_bake: max_bake?,
    })
}

fn amount(fields: &Fields<'_>, key: &str, least: u32) -> Option<Amount> {
    match fields.get(key)?.value {
        Value::Text(..) => fields.percent(key, least == 0).map(Amount::Percent),
        _ => fields.whole(key, least..=100_000).map(Amount::Count),
    }
}

fn select(node: &Node, faults: &Faults) -> Option<Select> {
    const KEYS: [&str; 5] = ["cells", "count", "percent_of_targets", "percent_of_traffic", "remaining"];
    let fields = Fields::of(node, &KEYS, faults)?;
    let given: Vec<&str> = KEYS.into_iter().filter(|key| fields.get(key).is_some()).collect();
    match given.as_slice() {
        ["cells"] => {
            // A fault in the list makes the whole wave unsound.
            let names = fields.list("cells").iter().filter_map(|item| text(item, faults)).map(Into::into).collect();
            Some(Select::Cells(names))
        }
        ["count"] => fields.whole("count", 1..=100_000).map(Select::Count),
        ["percent_of_targets"] => fields.percent("percent_of_targets", false).map(Select::PercentOfTargets),
        ["percent_of_traffic"] => fields.percent("percent_of_traffic", false).map(Select::PercentOfTraffic),
        ["remaining"] => {
            let before = faults.count();
            let remaining = fields.flag("remaining");
            if !remaining && faults.count() == before {
                fields.fault("`remaining: false` selects nothing", "write `remaining: true`, or use another key");
            }
            remaining.then_some(Select::Remaining)
        }
        [] => {
            fields.fault(
                "`select` says nothing",
                "use exactly one of `cells`, `count`, `percent_of_targets`, `percent_of_traffic`, `remaining`",
            );
            None
        }
        _ => {
            fields.fault(
                format!("`select` says {} things at once", given.len()),
                "keep one of them; a wave selects in one way",
            );
            None
        }
    }
}

fn revert(node: Option<&Node>, faults: &Faults) -> RevertPolicy {
    const KEYS: [&str; 5] =
        ["on_failure", "max_concurrent", "irreversible", "continue_rollback_attempts", "operation_deadline"];
    let fields = node.and_then(|node| Fields::of(node, &KEYS, faults));
    let or = |default: RevertPolicy| match fields {
        None => default,
        Some(fields) => RevertPolicy {
            on_failure: fields
                .word("on_failure", &[("revert", OnFailure::Revert), ("hold", OnFailure::Hold)])
                .unwrap_or_default(),
            max_concurrent_percent: fields.percent("max_concurrent", false).unwrap_or(default.max_concurrent_percent),
            irreversible: fields
                .word("irreversible", &[("refuse", Irreversible::Refuse), ("allow", Irreversible::Allow)])
                .unwrap_or_default(),
            continue_rollback_attempts: fields
                .whole("continue_rollback_attempts", 0..=20)
                .unwrap_or(default.continue_rollback_attempts),
            operation_deadline: fields.duration("operation_deadline").unwrap_or(default.operation_deadline),
        },
    };
    or(RevertPolicy {
        on_failure: OnFailure::Revert,
        // Builders' Library: deploy 5 %, roll back 33 % at once.
        max_concurrent_percent: 33.0,
        irreversible: Irreversible::Refuse,
        continue_rollback_attempts: 3,
        operation_deadline: Millis::from_secs(3600),
    })
}
