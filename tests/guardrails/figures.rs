//! The scope in numbers and words.

use crate::fixture::*;
use std::collections::BTreeSet;
use wavegate::engine::guardrail::figures::{key_figure, of, words};
use wavegate::model::class::{ChangeClass, ClassReason, ClassifiedChange, Fate, Reversibility};
use wavegate::model::decision::{Deed, DeedCount, ScopeFigures};
use wavegate::model::event::Settlement;
use wavegate::model::safeguards::Safeguards;
use wavegate::model::state::Phase;

fn replaced(kind: &str) -> ClassifiedChange {
    let reason = ClassReason::Replaced { perhaps: false, old: Fate::Deleted };
    let classes = [ChangeClass::Destructive, ChangeClass::Irreversible];
    change(kind, &classes, Reversibility::Irreversible, &[reason])
}

fn removed(kind: &str, classes: &[ChangeClass], reversibility: Reversibility) -> ClassifiedChange {
    change(kind, classes, reversibility, &[ClassReason::Removed { old: Fate::Deleted }])
}

fn interrupted(kind: &str) -> ClassifiedChange {
    let reason = ClassReason::Interrupts { property: "Size".into() };
    change(kind, &[ChangeClass::Disruptive], Reversibility::WithInterruption, &[reason])
}

fn granted(kind: &str) -> ClassifiedChange {
    let reason = ClassReason::Grants { property: None };
    change(kind, &[ChangeClass::Privilege], Reversibility::Reversible, &[reason])
}

/// Each target's changes, one target a cell of 4% of customers.
fn figures(targets: &[&[ClassifiedChange]]) -> ScopeFigures {
    let places: Vec<Place> = (0..targets.len()).map(|n| place(0, format!("c{n}"), 4.0)).collect();
    let mut state = one(Safeguards::default(), &places);
    for (n, changes) in targets.iter().enumerate() {
        target(&mut state, "r", &format!("c{n}")).classified = Some(Box::new(classified(changes)));
    }
    of(r(&state), Some(1.5))
}

#[test]
fn the_designs_own_sentence() {
    let same: &[ClassifiedChange] = &[in_place()];
    let figures = figures(&[&[replaced("AWS::RDS::DBInstance"), in_place()], same, same]);
    assert_eq!(
        words(&figures),
        "replaces 1 database in 3 production cells that serve 12% of customers; cannot be undone"
    );
    assert_eq!(key_figure(&figures).as_deref(), Some("replaces 1 database"));
    assert_eq!((figures.targets, figures.resources, figures.monthly), (3, 4, Some(1.5)));
    assert_eq!(figures.cells, [("production".to_owned(), 3)].into());
}

#[test]
fn the_worst_comes_first_however_many_of_the_rest_there_are() {
    let disruptive = [ChangeClass::Disruptive];
    let groups: Vec<_> =
        (0..5).map(|_| removed("AWS::EC2::SecurityGroup", &disruptive, Reversibility::WithInterruption)).collect();
    let lost = [ChangeClass::Destructive, ChangeClass::Irreversible];
    let tables: Vec<_> = (0..3).map(|_| removed("AWS::DynamoDB::Table", &lost, Reversibility::Irreversible)).collect();
    let services =
        [interrupted("AWS::ECS::Service"), granted("AWS::IAM::ManagedPolicy"), granted("AWS::IAM::ManagedPolicy")];
    let figures = figures(&[&groups, &tables, &services]);
    let deed = |deed, thing: &str, count| DeedCount { deed, thing: thing.into(), count };
    assert_eq!(
        figures.deeds,
        [
            deed(Deed::Removes, "table", 3),
            deed(Deed::Removes, "EC2 security group", 5),
            deed(Deed::Interrupts, "ECS service", 1),
            deed(Deed::Widens, "IAM managed policy", 2),
        ]
    );
    assert_eq!(key_figure(&figures).as_deref(), Some("removes 3 tables"));
    assert_eq!(
        words(&figures),
        "removes 3 tables, removes 5 EC2 security groups, interrupts 1 ECS service and widens 2 IAM managed policies \
         in 3 production cells that serve 12% of customers; cannot be undone"
    );
}

#[test]
fn two_types_that_people_call_the_same_are_counted_together() {
    let figures = figures(&[&[replaced("AWS::RDS::DBInstance"), replaced("AWS::DocDB::DBCluster")]]);
    assert_eq!(key_figure(&figures).as_deref(), Some("replaces 2 databases"));
}

#[test]
fn a_harmless_change_has_no_key_figure() {
    let harmless = figures(&[&[in_place(), in_place()]]);
    assert_eq!(key_figure(&harmless), None);
    let expected = "changes 2 resources in 1 stack in 1 production cell that serves 4% of customers; can be undone";
    assert_eq!(words(&harmless), expected);
    let interrupts = figures(&[&[interrupted("AWS::ECS::Service")]]);
    assert_eq!(key_figure(&interrupts), None);
    assert!(words(&interrupts).ends_with("; can be undone with an interruption"));
}

#[test]
fn what_cannot_be_seen_or_undone_has_one() {
    let code = change("Custom::Own", &[ChangeClass::Opaque], Reversibility::Irreversible, &[ClassReason::RunsCode]);
    assert_eq!(key_figure(&figures(&[&[code]])).as_deref(), Some("obscures 1 custom resource"));
    let classes = [ChangeClass::InPlace, ChangeClass::Irreversible];
    let imported = change("AWS::S3::Bucket", &classes, Reversibility::Irreversible, &[ClassReason::Imported]);
    assert_eq!(key_figure(&figures(&[&[imported]])).as_deref(), Some("changes 1 resource"));
    let mut state = one(Safeguards::default(), &places(1));
    target(&mut state, "r", "c0").classified = None;
    let unseen = of(r(&state), None);
    assert_eq!(
        (key_figure(&unseen).as_deref(), unseen.reversibility),
        (Some("obscures 1 stack"), Reversibility::Irreversible)
    );
    assert_eq!(unseen.classes, BTreeSet::from([ChangeClass::Opaque]));
}

#[test]
fn a_macro_obscures_the_template_and_an_unchanged_target_is_no_part_of_the_scope() {
    let mut state = one(Safeguards::default(), &places(2));
    let mut seen = classified(&[in_place()]);
    seen.classes.insert(ChangeClass::Opaque);
    seen.reasons.insert(ClassReason::Macro { name: "Own".into() });
    target(&mut state, "r", "c0").classified = Some(Box::new(seen));
    target(&mut state, "r", "c1").phase = Phase::Settled(Settlement::Unchanged);
    let scope = of(r(&state), None);
    assert_eq!((scope.targets, scope.percent_of_traffic), (1, 1.0));
    assert_eq!(scope.deeds, [DeedCount { deed: Deed::Obscures, thing: "template".into(), count: 1 }]);
    target(&mut state, "r", "c0").phase = Phase::Settled(Settlement::Unchanged);
    assert_eq!(words(&of(r(&state), None)), "changes nothing");
}

#[test]
fn types_in_plain_words() {
    let thing = |kind: &str| figures(&[&[interrupted(kind)]]).deeds[0].thing.clone();
    for (kind, expected) in [
        ("AWS::EC2::VPCEndpoint", "EC2 VPC endpoint"),
        ("AWS::RDS::DBSubnetGroup", "RDS DB subnet group"),
        ("AWS::WAFv2::WebACL", "WAFv2 web ACL"),
        ("AWS::Lambda::Function", "Lambda function"),
        ("AWS::CloudFormation::Stack", "nested stack"),
        ("Vendor::Product::Thing\u{1b}[31m", "Product thing31m"),
        ("Lonely", "lonely"),
    ] {
        assert_eq!(thing(kind), expected, "{kind}");
    }
}
