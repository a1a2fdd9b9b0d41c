//! Who may approve, and what an approval takes.

use super::{lasting, plain_name};
use crate::model::approval::ApprovalRule;
use crate::model::document::fields::Faults;
use crate::model::document::{Fields, Node, Value};
use crate::model::pipeline::beside::Beside;
use crate::model::principal::{Principal, PrincipalKind};
use crate::model::safeguards::{Approvals, Set};
use std::collections::{BTreeMap, BTreeSet};

/// The most people that one rule may ask for.
const COUNT_MAX: u32 = 100;

/// People, agents, and the rules of both levels.
pub fn approvals(node: &Node, beside: &Beside<'_>, faults: &Faults) -> Option<Approvals> {
    const KEYS: [&str; 5] = ["people", "agents", "one_approval", "two_approvals", "valid_for"];
    let fields = Fields::of(node, &KEYS, faults)?;
    let default = Approvals::default();
    let mut known = BTreeMap::new();
    let people = principals(&fields, "people", PrincipalKind::Human, &mut known);
    let agents = principals(&fields, "agents", PrincipalKind::Agent, &mut known);
    let one = rule(&fields, "one_approval", default.one, 1, beside);
    let two = rule(&fields, "two_approvals", default.two, 2, beside);
    if two.is.count < one.is.count || two.is.parties < one.is.parties {
        let place = fields.key("two_approvals").or(fields.key("one_approval")).unwrap_or(node);
        let message = "`two_approvals` asks for less than `one_approval`: the graver change would be the easier one";
        faults.at(place, message, "ask for at least as many people and parties in `two_approvals`");
    }
    let valid_for = lasting(&fields, "valid_for").unwrap_or(default.valid_for);
    Some(Approvals { people, agents, one, two, valid_for })
}

/// By lower-case name. `known` holds every name so far, with what it is.
fn principals(
    fields: &Fields<'_>,
    key: &str,
    kind: PrincipalKind,
    known: &mut BTreeMap<String, PrincipalKind>,
) -> BTreeMap<String, Principal> {
    let mut found = BTreeMap::new();
    for node in fields.list(key).iter().filter(|node| node.value != Value::Null) {
        let Some(principal) = principal(node, kind, fields.faults()) else { continue };
        let name = principal.name.to_lowercase();
        let place = node.entry("name").map_or(node, |(_, name)| name);
        match known.insert(name.clone(), kind) {
            Some(other) if other != kind => {
                let message = format!("`{}` is a person and an agent: an agent never approves", principal.name);
                fields.faults().at(place, message, "give the agent a name of its own");
            }
            Some(_) => {
                let message = format!("`{}` stands twice: names are compared without case", principal.name);
                fields.faults().at(place, message, "keep one of them: one person counts once");
            }
            None => {
                found.insert(name, principal);
            }
        }
    }
    found
}

fn principal(node: &Node, kind: PrincipalKind, faults: &Faults) -> Option<Principal> {
    let (keys, what): (&[&str], _) = match kind {
        PrincipalKind::Human => (&["name", "party", "groups"], "a person"),
        PrincipalKind::Agent | PrincipalKind::Service => (&["name", "party"], "an agent"),
    };
    let fields = Fields::of(node, keys, faults)?;
    let name = fields.need("name", "alice").and_then(|node| plain_name(node, what, faults));
    let party = fields.need("party", "payments").and_then(|node| plain_name(node, "a party", faults));
    let groups = fields.list("groups").iter().filter(|group| group.value != Value::Null);
    let groups: BTreeSet<String> = groups.filter_map(|group| plain_name(group, "a group", faults)).collect();
    Some(Principal { name: name?, kind, party: party?, groups })
}

/// One level's rule; what it leaves out is as the default says.
fn rule(
    section: &Fields<'_>,
    key: &str,
    default: Set<ApprovalRule>,
    least: u32,
    beside: &Beside<'_>,
) -> Set<ApprovalRule> {
    let faults = section.faults();
    let Some(node) = section.get(key) else { return default };
    let Some(fields) = Fields::of(node, &["count", "parties", "groups"], faults) else { return default };
    let count = fields.whole("count", least..=COUNT_MAX);
    let parties = fields.whole("parties", 1..=COUNT_MAX);
    let rule = ApprovalRule {
        count: count.unwrap_or(default.is.count),
        parties: parties.unwrap_or(default.is.parties),
        groups: groups(&fields),
    };
    if let (true, Some(node)) = (rule.parties > rule.count, fields.get("parties").or(fields.get("count"))) {
        let message = format!("{} people cannot act for {} parties", rule.count, rule.parties);
        faults.at(node, message, "ask for at least as many people as parties");
    }
    beside.set(section, key, rule)
}

fn groups(fields: &Fields<'_>) -> BTreeMap<String, u32> {
    let faults = fields.faults();
    let Some(node) = fields.get("groups") else { return BTreeMap::new() };
    let Value::Map(entries) = &node.value else {
        faults.at(node, format!("{} where a mapping belongs", node.value.kind()), "write `groups: {sre: 1}`");
        return BTreeMap::new();
    };
    let group = |(key, value): &(Node, Node)| {
        let name = plain_name(key, "a group", faults)?;
        match value.value {
            Value::Int(n @ 1..=100) => Some((name, u32::try_from(n).ok()?)),
            _ => {
                let message = format!("`{name}` must be a whole number from 1 to {COUNT_MAX}");
                faults.at(value, message, format!("write `{name}: 1`, or remove the group"));
                None
            }
        }
    };
    entries.iter().filter_map(group).collect()
}
