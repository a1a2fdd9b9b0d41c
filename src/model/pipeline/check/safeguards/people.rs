//! Approvals that can be given: by people who are there, and who are not of the party that proposes.

use super::{place, place_of_key};
use crate::model::approval::ApprovalRule;
use crate::model::class::Autonomy;
use crate::model::document::fields::{Faults, known_or};
use crate::model::pipeline::build::Built;
use crate::model::principal::Principal;
use std::collections::{BTreeMap, BTreeSet};

/// Each level that is asked for, or that the pipeline describes, can be reached: with all people, and without those of an agent's
/// own party.
pub fn check(built: &Built<'_>, asked: &BTreeMap<Autonomy, String>, faults: &Faults) {
    let approvals = &built.pipeline.safeguards.approvals;
    let levels = [(Autonomy::OneApproval, &approvals.one), (Autonomy::TwoApprovals, &approvals.two)];
    for (level, rule) in levels {
        let why = asked.get(&level);
        if why.is_none() && rule.line == 0 {
            continue;
        }
        let why = why.map_or_else(String::new, |why| format!(", which {why} asks for,"));
        level_can_be_reached(built, level, &peopled(built, level, &rule.is, faults), &why, faults);
    }
}

/// The rule without the groups that nobody is in; each of them is a fault.
fn peopled(built: &Built<'_>, level: Autonomy, rule: &ApprovalRule, faults: &Faults) -> ApprovalRule {
    let people = &built.pipeline.safeguards.approvals.people;
    let known: BTreeSet<&str> = people.values().flat_map(|person| &person.groups).map(String::as_str).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let mut rule = rule.clone();
    rule.groups.retain(|group, _| {
        let is_known = known.contains(&group.as_str());
        if !is_known {
            let otherwise = format!("give somebody in `people` the entry `groups: [{group}]`, or do not ask for it");
            let place = place_of_key(built.root, &["approvals", level.as_str(), "groups", group]);
            faults.at(&place, format!("nobody is in the group `{group}`"), known_or(group, &known, &otherwise));
        }
        is_known
    });
    rule
}

fn level_can_be_reached(built: &Built<'_>, level: Autonomy, rule: &ApprovalRule, why: &str, faults: &Faults) {
    let approvals = &built.pipeline.safeguards.approvals;
    let place = place(built.root, &["approvals", level.as_str()]);
    let all: Vec<&Principal> = approvals.people.values().collect();
    if let Some(lacking) = lacking(rule, &all, "") {
        let fix = "add people, ask for less, or make what needs it `forbidden` in `autonomy`";
        faults.at(&place, format!("`{level}`{why} can never be given: {lacking}"), fix);
        return;
    }
    let mut parties = BTreeSet::new();
    for agent in approvals.agents.values().filter(|agent| parties.insert(agent.party.to_lowercase())) {
        let others: Vec<&Principal> = all.iter().copied().filter(|person| !person.is_of_party(&agent.party)).collect();
        if let Some(lacking) = lacking(rule, &others, &format!(" outside of its party `{}`", agent.party)) {
            let message =
                format!("`{level}`{why} can never be given to what agent `{}` proposes: {lacking}", agent.name);
            let fix = "add people of other parties: nobody approves what their own party proposes";
            faults.at(&place, message, fix);
        }
    }
}

/// What a rule lacks though all of these people agree. Each of its demands is looked at by itself: everybody may agree at once.
fn lacking(rule: &ApprovalRule, people: &[&Principal], whose: &str) -> Option<String> {
    let parties: BTreeSet<String> = people.iter().map(|person| person.party.to_lowercase()).collect();
    let there = |n: usize| match n {
        0 => "there is none".to_owned(),
        1 => "there is 1".to_owned(),
        n => format!("there are {n}"),
    };
    let fewer = |n: usize, wanted: u32| u32::try_from(n).is_ok_and(|n| n < wanted);
    if fewer(people.len(), rule.count) {
        let people_words = if rule.count == 1 { "a person".to_owned() } else { format!("{} people", rule.count) };
        return Some(format!("it takes {people_words}, and {}{whose}", there(people.len())));
    }
    if fewer(parties.len(), rule.parties) {
        return Some(format!("it takes people of {} parties, and {}{whose}", rule.parties, there(parties.len())));
    }
    rule.groups.iter().find_map(|(group, wanted)| {
        let members = people.iter().filter(|person| person.groups.contains(group)).count();
        fewer(members, *wanted)
            .then(|| format!("it takes {wanted} of the group `{group}`, and {}{whose}", there(members)))
    })
}
