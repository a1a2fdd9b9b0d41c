//! What a change does, in numbers that an approver can check and words that say them.

use super::finding::{changing, resources_of};
use crate::engine::resource_types;
use crate::model::class::{ChangeClass, ClassReason, Classified, ClassifiedChange, Reversibility};
use crate::model::decision::{Deed, DeedCount, ScopeFigures};
use crate::model::state::Rollout;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a rollout does. `monthly`: as `cost::monthly` gives it.
pub fn of(rollout: &Rollout, monthly: Option<f64>) -> ScopeFigures {
    let mut figures = ScopeFigures { monthly, ..ScopeFigures::default() };
    let mut cells = HashSet::new();
    let mut deeds = Deeds::default();
    for (_, planned, target) in changing(rollout) {
        figures.targets += 1;
        figures.resources = figures.resources.saturating_add(resources_of(target));
        // In the order of the targets, so that the sum is the same each time.
        if cells.insert(&planned.cell)
            && let Some(cell) = rollout.plan.cells.get(&planned.cell)
        {
            *figures.cells.entry(cell.environment.clone()).or_default() += 1;
            figures.percent_of_traffic += cell.traffic_share;
        }
        match &target.classified {
            Some(classified) => {
                figures.classes.extend(&classified.classes);
                figures.reversibility = figures.reversibility.max(classified.reversibility);
                deeds.add(classified);
            }
            None => {
                figures.classes.insert(ChangeClass::Opaque);
                figures.reversibility = Reversibility::Irreversible;
                deeds.count(Deed::Obscures, "stack", ChangeClass::Opaque);
            }
        }
    }
    figures.deeds = deeds.worst_first();
    figures
}

/// What an approver of a change that destroys repeats, as `replaces 1 database`: the worst that it does. None where nothing is
/// destructive or irreversible.
pub fn key_figure(figures: &ScopeFigures) -> Option<String> {
    let grave = |class: &ChangeClass| matches!(class, ChangeClass::Destructive | ChangeClass::Irreversible);
    if !figures.classes.iter().any(grave) && figures.reversibility != Reversibility::Irreversible {
        return None;
    }
    let worst = figures.deeds.first().map(deed_words);
    // What is taken over from elsewhere is irreversible, and no deed on the list.
    Some(worst.unwrap_or_else(|| format!("changes {}", counted(figures.resources, "resource"))))
}

/// The scope in words: `replaces 1 database in 3 production cells that serve 12% of customers; cannot be undone`.
pub fn words(figures: &ScopeFigures) -> String {
    let does = match figures.deeds.is_empty() {
        true => {
            let (resources, stacks) = (counted(figures.resources, "resource"), counted(figures.targets, "stack"));
            format!("changes {resources} in {stacks}")
        }
        false => listed(figures.deeds.iter().map(deed_words).collect()),
    };
    let cells = figures.cells.iter().map(|(environment, n)| counted(*n, &format!("{environment} cell"))).collect();
    let serve = if figures.cells.values().sum::<u32>() == 1 { "serves" } else { "serve" };
    let percent = percent(figures.percent_of_traffic);
    let undone = match figures.reversibility {
        Reversibility::Reversible => "can be undone",
        Reversibility::WithInterruption => "can be undone with an interruption",
        Reversibility::Irreversible => "cannot be undone",
    };
    match figures.cells.is_empty() {
        true => "changes nothing".to_owned(),
        false => format!("{does} in {} that {serve} {percent}% of customers; {undone}", listed(cells)),
    }
}

fn deed_words(deed: &DeedCount) -> String {
    let does = match deed.deed {
        Deed::Removes => "removes",
        Deed::Replaces => "replaces",
        Deed::Interrupts => "interrupts",
        Deed::Widens => "widens",
        Deed::Obscures => "obscures",
    };
    format!("{does} {}", counted(deed.count, &deed.thing))
}

/// At most two decimals, none that says nothing.
fn percent(percent: f64) -> String {
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn listed(mut parts: Vec<String>) -> String {
    match parts.pop() {
        Some(last) if parts.is_empty() => last,
        Some(last) => format!("{} and {last}", parts.join(", ")),
        None => String::new(),
    }
}

fn counted(count: u32, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {}", plural(thing)) }
}

fn plural(thing: &str) -> String {
    let after_vowel = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match thing.strip_suffix('y') {
        Some(stem) if !after_vowel(stem) => format!("{stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| thing.ends_with(end)) => format!("{thing}es"),
        _ => format!("{thing}s"),
    }
}

/// Deeds, counted while they are found.
#[derive(Default)]
struct Deeds<'a> {
    /// Resource type → what people call it. There are few types, and many resources.
    things: BTreeMap<&'a str, String>,
    counts: HashMap<(Deed, &'a str), (u32, Gravity)>,
}

/// How bad it is; the least comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    Irreversible,
    Destructive,
    Opaque,
    Other,
}

impl<'a> Deeds<'a> {
    fn add(&mut self, classified: &'a Classified) {
        for change in &classified.changes {
            self.add_change(change);
        }
        if classified.reasons.iter().any(|reason| matches!(reason, ClassReason::Macro { .. })) {
            self.count(Deed::Obscures, "template", ChangeClass::Opaque);
        }
    }

    fn add_change(&mut self, change: &'a ClassifiedChange) {
        // The worst that becomes of the thing itself; beside it what it grants, and whether it can be seen at all.
        let mut becomes: Option<Deed> = None;
        let (mut widens, mut obscures) = (false, false);
        for reason in &change.reasons {
            match reason {
                ClassReason::Removed { .. } => becomes = Some(Deed::Removes),
                ClassReason::Replaced { .. } => {
                    becomes = Some(becomes.map_or(Deed::Replaces, |b| b.min(Deed::Replaces)))
                }
                ClassReason::Interrupts { .. } => becomes = becomes.or(Some(Deed::Interrupts)),
                ClassReason::Grants { .. } => widens = true,
                ClassReason::RunsCode
                | ClassReason::NestedNotExpanded
                | ClassReason::Macro { .. }
                | ClassReason::UnknownWord { .. } => obscures = true,
                ClassReason::Added
                | ClassReason::ChangedInPlace
                | ClassReason::Imported
                | ClassReason::ProtectionChanged => {}
            }
        }
        let kind = change.resource_type.as_str();
        if let Some(deed) = becomes {
            self.note(deed, kind, gravity(&change.classes));
        }
        if widens {
            self.note(Deed::Widens, kind, Gravity::Other);
        }
        if obscures {
            self.note(Deed::Obscures, kind, Gravity::Opaque);
        }
    }

    /// A thing that has no resource type.
    fn count(&mut self, deed: Deed, thing: &'a str, class: ChangeClass) {
        self.things.entry(thing).or_insert_with(|| thing.to_owned());
        self.note(deed, thing, gravity(&BTreeSet::from([class])));
    }

    fn note(&mut self, deed: Deed, kind: &'a str, gravity: Gravity) {
        let (count, worst) = self.counts.entry((deed, kind)).or_insert((0, gravity));
        *count = count.saturating_add(1);
        *worst = gravity.min(*worst);
    }

    fn worst_first(mut self) -> Vec<DeedCount> {
        // Two types may be one thing to people.
        let mut merged: BTreeMap<(Deed, String), (u32, Gravity)> = BTreeMap::new();
        for ((deed, kind), (count, gravity)) in std::mem::take(&mut self.counts) {
            let thing = self.things.entry(kind).or_insert_with(|| thing_of(kind)).clone();
            let (sum, worst) = merged.entry((deed, thing)).or_insert((0, gravity));
            *sum = sum.saturating_add(count);
            *worst = gravity.min(*worst);
        }
        let mut deeds: Vec<_> = merged.into_iter().collect();
        deeds.sort_by_key(|((deed, _), (count, gravity))| (*gravity, *deed, Reverse(*count)));
        deeds.into_iter().map(|((deed, thing), (count, _))| DeedCount { deed, thing, count }).collect()
    }
}

fn gravity(classes: &BTreeSet<ChangeClass>) -> Gravity {
    let has = |class| classes.contains(&class);
    if has(ChangeClass::Irreversible) {
        Gravity::Irreversible
    } else if has(ChangeClass::Destructive) {
        Gravity::Destructive
    } else if has(ChangeClass::Opaque) {
        Gravity::Opaque
    } else {
        Gravity::Other
    }
}

/// What people call a resource of this type: `database`, else the last part of the type in plain words, as `ECS service`.
fn thing_of(resource_type: &str) -> String {
    let known = resource_types::facts(resource_type);
    if known.noun != "resource" {
        return known.noun.to_owned();
    }
    if known.runs_code {
        return "custom resource".to_owned();
    }
    let mut parts = resource_type.rsplit("::");
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("Stack", Some("CloudFormation")) => "nested stack".to_owned(),
        (last, Some(service)) => format!("{} {}", plain(service), plain_words(last)),
        (last, None) => plain_words(last),
    }
}

/// A type's name comes from a template: letters and digits only, and not many (S21).
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(60).collect()
}

/// `VPCEndpoint` → `VPC endpoint`, `DBSubnetGroup` → `DB subnet group`.
fn plain_words(name: &str) -> String {
    let letters: Vec<char> = plain(name).chars().collect();
    let mut words: Vec<String> = Vec::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(index + 1);
        let starts = letter.is_ascii_uppercase()
            && (before.is_none_or(|c| !c.is_ascii_uppercase()) || after.is_some_and(char::is_ascii_lowercase));
        match words.last_mut() {
            Some(word) if !starts => word.push(*letter),
            _ => words.push(letter.to_string()),
        }
    }
    let lower = |word: &String| if is_acronym(word) { word.clone() } else { word.to_ascii_lowercase() };
    words.iter().map(lower).collect::<Vec<_>>().join(" ")
}

fn is_acronym(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}
