//! What CloudFormation's previews are judged as: `tests/classify/previews.txt` says it, case by case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeSet;
use wavegate::engine::classify::classify;
use wavegate::model::preview::{Preview, ResourceAction, ResourceChange};

const PREVIEWS: &str = include_str!("classify/previews.txt");

/// One case of the table.
#[derive(Default)]
struct Case {
    name: String,
    macros: BTreeSet<String>,
    preview: Preview,
    expected: String,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in PREVIEWS.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("- ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with `- `");
        if let Some(macros) = line.strip_prefix("macros: ") {
            case.macros = macros.split(' ').map(ToOwned::to_owned).collect();
        } else if let Some(expected) = line.strip_prefix("= ") {
            case.expected = expected.to_owned();
        } else if let Some(detail) = line.strip_prefix("  ") {
            newest(&mut case.preview).details.push(detail.into());
        } else {
            let depth = line.chars().take_while(|c| *c == '>').count();
            add(&mut case.preview, line.trim_start_matches(['>', ' ']), depth);
        }
    }
    cases
}

/// The change that was added last, however deep.
fn newest(preview: &mut Preview) -> &mut ResourceChange {
    let last = preview.changes.last_mut().expect("a detail follows its change");
    match last.nested.as_ref().is_some_and(|nested| !nested.changes.is_empty()) {
        true => newest(last.nested.as_mut().unwrap()),
        false => last,
    }
}

fn add(preview: &mut Preview, line: &str, depth: usize) {
    if depth > 0 {
        let outer = preview.changes.last_mut().expect("a nested change follows its stack");
        return add(outer.nested.get_or_insert_default(), line, depth - 1);
    }
    if line == "none" {
        return;
    }
    let words: Vec<&str> = line.split(' ').collect();
    let word = |key: &str| words.iter().find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
    preview.changes.push(ResourceChange {
        action: ResourceAction::from(words[0]),
        resource_type: words[1].to_owned(),
        logical_id: words[2].to_owned(),
        physical_id: None,
        replacement: word("replacement").map(Into::into),
        policy_action: word("policy").map(Into::into),
        scope: word("scope").into_iter().flat_map(|s| s.split(',')).map(ToOwned::to_owned).collect(),
        details: Vec::new(),
        nested_change_set: None,
        nested: None,
    });
}

fn judged(case: &Case) -> String {
    let judged = classify(&case.preview, &case.macros);
    let classes: Vec<&str> = judged.classes.iter().map(|class| class.as_str()).collect();
    format!("{} | {}", classes.join(" "), judged.reversibility)
}

#[test]
fn every_preview_is_judged_as_the_table_says() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| judged(case) != case.expected)
        .map(|case| format!("{}\n  expected {}\n  found    {}", case.name, case.expected, judged(case)))
        .collect();
    assert!(wrong.is_empty(), "{} of {} are judged otherwise:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_change_has_a_class_and_a_reason() {
    for case in cases() {
        let judged = classify(&case.preview, &case.macros);
        for change in &judged.changes {
            assert!(!change.classes.is_empty() && !change.reasons.is_empty(), "{}: {change:?}", case.name);
        }
    }
}

/// What is judged of a part holds of the whole: adding a change takes no class away and makes nothing easier to undo.
#[test]
fn adding_a_change_never_lowers_anything() {
    let cases = cases();
    for (a, b) in cases.iter().flat_map(|a| cases.iter().map(move |b| (a, b))) {
        let mut both = a.preview.clone();
        both.changes.extend(b.preview.changes.clone());
        let alone = classify(&a.preview, &a.macros);
        let together = classify(&both, &a.macros);
        assert!(together.classes.is_superset(&alone.classes), "{} with {}", a.name, b.name);
        assert!(together.reversibility >= alone.reversibility, "{} with {}", a.name, b.name);
    }
}
