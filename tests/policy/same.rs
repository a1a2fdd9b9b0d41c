//! Asking about groups gives what asking about each target gives; what is said to hold of every question does; and it is fast.

use super::world::{Stack, World, production};
use super::{compiled, file};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use wavegate::engine::policy::evaluate::findings_one_by_one;
use wavegate::engine::policy::{Policies, findings, schema};
use wavegate::model::class::ChangeClass;

/// Conditions that look at the target in every way that there is.
const CONDITIONS: [&str; 16] = [
    "resource.environment == \"production\"",
    "resource.region like \"eu-*\"",
    "resource.stack == \"orders-3\"",
    "resource.cell == \"prod-1\" || resource.cell == \"prod-4\"",
    "resource.traffic_share.greaterThan(decimal(\"2.0\"))",
    "resource.classes.contains(ChangeClass::\"destructive\")",
    "resource.reversibility == Reversibility::\"irreversible\"",
    "resource.wants == StackAction::\"delete\"",
    "resource.removed_types.contains(\"AWS::RDS::DBInstance\")",
    "resource == Target::\"prod-2/orders\"",
    "[Target::\"prod-1/orders\", Target::\"prod-3/orders\"].contains(resource)",
    "{it: resource}.it.cell == \"prod-2\"",
    "(if context.targets > 3 then resource.stack else resource.cell) == \"orders-1\"",
    "principal has party && context.percent_of_traffic.lessThan(decimal(\"50.0\"))",
    "resource in [Target::\"prod-0/orders\"]",
    "context.removed_types.containsAny(resource.removed_types)",
];

fn stack() -> impl Strategy<Value = Stack> {
    let classes = proptest::collection::btree_set(proptest::sample::select(ChangeClass::ALL.to_vec()), 1..4);
    let words = (
        proptest::sample::select(vec!["production", "development"]),
        proptest::sample::select(vec!["eu-west-1", "us-east-1"]),
    );
    let verdicts = proptest::sample::select(schema::REVERSIBILITIES.to_vec());
    let wants = proptest::sample::select(schema::STACK_ACTIONS.to_vec());
    (classes, words, verdicts, wants, 0.0..5.0, any::<bool>()).prop_map(
        |(classes, words, reversibility, wants, share, removes)| Stack {
            classes,
            environment: words.0.into(),
            region: words.1.into(),
            reversibility,
            wants,
            share,
            removed: if removes { BTreeSet::from(["AWS::RDS::DBInstance".to_owned()]) } else { BTreeSet::new() },
            ..production(1).remove(0)
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let kinds = proptest::sample::select(schema::KINDS.to_vec());
    (proptest::collection::vec(stack(), 1..8), kinds).prop_map(|(mut targets, kind)| {
        for (target, known) in targets.iter_mut().zip(production(8)) {
            (target.id, target.cell, target.name) = (known.id, known.cell, known.name);
        }
        let mut world = World::of(targets);
        world.proposer.kind = kind;
        world
    })
}

fn policy() -> impl Strategy<Value = String> {
    let effects = proptest::sample::select(vec!["permit", "forbid", "forbid", "@requires(\"one_approval\") forbid"]);
    let actions =
        proptest::sample::select(vec!["action", "action == Action::\"destructive\"", "action in Action::\"change\""]);
    let conditions = proptest::sample::select(CONDITIONS.to_vec());
    let both = (conditions.clone(), conditions, proptest::sample::select(vec!["&&", "||"]));
    (effects, actions, both).prop_map(|(effect, action, (a, b, op))| {
        format!("{effect}(principal, {action}, resource) when {{ ({a}) {op} ({b}) }};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn groups_give_what_each_target_gives(world in world(), policies in proptest::collection::vec(policy(), 1..6)) {
        let half = policies.len() / 2;
        let (force, trial) = policies.split_at(half);
        let mut files = vec![super::on_trial("trial.cedar", &trial.join("\n"))];
        if !force.is_empty() {
            files.push(file("force.cedar", &force.join("\n")));
        }
        // Two conditions may exclude each other: such policies are refused, and not this test's business.
        if let Ok(policies) = Policies::compile(&files) {
            prop_assert_eq!(findings(&policies, &world.question()), findings_one_by_one(&policies, &world.question()));
        }
    }

    /// Proofs assume these facts of every request.
    #[test]
    fn the_facts_hold_of_every_question(world in world()) {
        static FACTS: LazyLock<Policies> = LazyLock::new(|| compiled(&schema::facts()));
        let found = findings(&FACTS, &world.question());
        prop_assert_eq!(found, vec![]);
    }
}
