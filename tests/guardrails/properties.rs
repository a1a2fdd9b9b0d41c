//! More of a change never needs less of people: 10,000 cases.

use crate::fixture::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use wavegate::engine::classify::classify;
use wavegate::engine::guardrail::exposure::Exposure;
use wavegate::engine::guardrail::{autonomy, blast_radius, cost, dependents, drift};
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Consequence, Found};
use wavegate::model::ids::Digest;
use wavegate::model::preview::{
    PolicyAction, Preview, PreviewContext, Replacement, ResourceAction, ResourceChange, Sizes,
};
use wavegate::model::price_book::{Price, PriceBook};
use wavegate::model::safeguards::{
    AtOnce, AutonomyTable, BlastRadius, Cost, Dependents, Drift, Guardrails, Reach, ReachWindow, Safeguards,
};
use wavegate::model::state::State;

const TYPES: [&str; 8] = [
    "AWS::EC2::NatGateway",
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::RDS::DBInstance",
    "AWS::IAM::Role",
    "AWS::SQS::Queue",
    "AWS::ECS::Service",
    "AWS::CloudWatch::Alarm",
    "Custom::Own",
];

fn price(monthly: f64, times: Option<&str>) -> Vec<Price> {
    vec![Price { when: BTreeMap::new(), monthly, monthly_per: BTreeMap::new(), times: times.map(Into::into), line: 1 }]
}

fn book() -> PriceBook {
    PriceBook {
        file: "prices.yaml".into(),
        digest: Digest::of_bytes(b""),
        dated: "2027-01-01".parse().unwrap(),
        max_age_days: 90,
        currency: "USD".into(),
        prices: BTreeMap::from([
            ("AWS::EC2::NatGateway".into(), price(32.0, None)),
            ("AWS::AutoScaling::AutoScalingGroup".into(), price(30.0, Some("DesiredCapacity"))),
            ("AWS::ECS::Service".into(), price(9.0, Some("DesiredCount"))),
        ]),
    }
}

/// Every guardrail of this part, with limits that small changes keep and larger ones break.
fn safeguards() -> Safeguards {
    let mut table = AutonomyTable::default();
    let table_row = table.rows.entry("staging".into()).or_default();
    table_row.insert(wavegate::model::class::ChangeClass::Privilege, set(Autonomy::Forbidden));
    let reach = |targets, resources, percent| Reach {
        max_targets: Some(set(targets)),
        max_resources: Some(set(resources)),
        max_percent_of_traffic: Some(set(percent)),
    };
    let blast_radius = BlastRadius {
        rollout: reach(5, 9, 12.0),
        at_once: AtOnce { min_capacity_percent: Some(set(85.0)), ..AtOnce::default() },
        window: Some(ReachWindow {
            per: hours(1),
            agent: reach(6, 20, 20.0),
            pipeline: Reach::default(),
            fleet: reach(7, 20, 20.0),
        }),
    };
    let cost = Cost { price_book: book(), max_monthly_increase: set(100.0), over: Autonomy::TwoApprovals };
    let drift = Drift { drifted: set(Autonomy::TwoApprovals), unknown: set(Autonomy::OneApproval), max_age: hours(1) };
    let guardrails = Guardrails {
        blast_radius: guardrail(blast_radius),
        cost: guardrail(cost),
        dependents: guardrail(Dependents { imported: set(Autonomy::OneApproval) }),
        drift: guardrail(drift),
        ..Guardrails::default()
    };
    Safeguards { autonomy: table, guardrails, ..Safeguards::default() }
}

#[derive(Clone, Debug)]
struct Resource {
    change: ResourceChange,
    sizes: Option<Sizes>,
}

#[derive(Clone, Debug)]
struct Stack {
    environment: &'static str,
    share: f64,
    resources: Vec<Resource>,
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let action = prop_oneof![
        Just(ResourceAction::Add),
        Just(ResourceAction::Modify),
        Just(ResourceAction::Remove),
        Just(ResourceAction::Import),
        Just(ResourceAction::Dynamic),
    ];
    let replacement = prop_oneof![Just(Replacement::False), Just(Replacement::True), Just(Replacement::Conditional)];
    let policy = prop_oneof![
        Just(None),
        Just(Some(PolicyAction::Retain)),
        Just(Some(PolicyAction::ReplaceAndRetain)),
        Just(Some(PolicyAction::Snapshot))
    ];
    let count = || proptest::option::of(0..6_u32);
    (action, 0..TYPES.len(), replacement, policy, count(), count(), any::<bool>()).prop_map(
        |(action, kind, replacement, policy_action, before, after, known)| {
            let mut change = resource(action, "R", TYPES[kind]);
            change.replacement = (change.action == ResourceAction::Modify).then_some(replacement);
            change.policy_action = policy_action;
            let size = |n: Option<u32>| {
                n.map(|n| {
                    let n = n.to_string();
                    BTreeMap::from([("DesiredCapacity".to_owned(), n.clone()), ("DesiredCount".to_owned(), n)])
                })
            };
            Resource { change, sizes: known.then(|| Sizes { before: size(before), after: size(after) }) }
        },
    )
}

fn any_stack() -> impl Strategy<Value = Stack> {
    let environment = prop_oneof![Just("development"), Just("staging"), Just("production")];
    (environment, 0..4_u32, proptest::collection::vec(any_resource(), 0..4))
        .prop_map(|(environment, share, resources)| Stack { environment, share: f64::from(share), resources })
}

fn state(stacks: &[Stack]) -> State {
    static SAFEGUARDS: OnceLock<Safeguards> = OnceLock::new();
    let safeguards = SAFEGUARDS.get_or_init(safeguards).clone();
    let placed = stacks.iter().enumerate().map(|(n, stack)| {
        let wave = n % 2;
        in_environment(stack.environment, place(wave, format!("c{n:04}"), stack.share))
    });
    let mut state = one(safeguards, &placed.collect::<Vec<_>>());
    for (n, stack) in stacks.iter().enumerate() {
        let target = target(&mut state, "r", &format!("c{n:04}"));
        let mut sizes = BTreeMap::new();
        let mut changes = Vec::new();
        for (index, resource) in stack.resources.iter().enumerate() {
            let mut change = resource.change.clone();
            change.logical_id = format!("R{index}");
            sizes.extend(resource.sizes.clone().map(|known| (change.logical_id.clone(), known)));
            changes.push(change);
        }
        let preview = Preview { changes };
        target.counts = preview.counts();
        target.classified = Some(Box::new(classify(&preview, &Default::default())));
        target.changes = preview.changes;
        target.context = Some(Box::new(PreviewContext { exports: Some(BTreeMap::new()), sizes }));
    }
    state
}

fn all(state: &State) -> Vec<Found> {
    judge(state).0
}

/// Everything that is found, and the monthly difference.
fn judge(state: &State) -> (Vec<Found>, Option<f64>) {
    let (rollout, exposure) = (r(state), Exposure::of(state, ago(60)));
    let mut found = autonomy::levels(rollout, state);
    found.extend(blast_radius::rollout(rollout));
    found.extend(blast_radius::window(rollout, &exposure, NOW));
    let costs = cost::costs(rollout, NOW);
    found.extend(costs.found);
    found.extend(dependents::findings(rollout));
    found.extend(drift::findings(rollout, NOW));
    (found, costs.monthly)
}

/// What people must say to all of it.
fn level(stacks: &[Stack]) -> Autonomy {
    let level = |found: &Found| match found.follows {
        Consequence::Needs(level) => level,
        Consequence::Waits { .. } => Autonomy::Autonomous,
    };
    all(&state(stacks)).iter().map(level).max().unwrap_or(Autonomy::Autonomous)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn more_resources_never_need_less(
        stacks in proptest::collection::vec(any_stack(), 1..4),
        more in any_resource(),
        place in any::<prop::sample::Index>(),
    ) {
        let mut larger = stacks.clone();
        let index = place.index(larger.len());
        larger[index].resources.push(more);
        prop_assert!(level(&larger) >= level(&stacks));
    }

    #[test]
    fn more_targets_never_need_less(stacks in proptest::collection::vec(any_stack(), 1..6), more in any_stack()) {
        let mut larger = stacks.clone();
        larger.push(more);
        prop_assert!(level(&larger) >= level(&stacks));
    }

    #[test]
    fn more_privileges_never_need_less(
        stacks in proptest::collection::vec(any_stack(), 1..4),
        place in any::<prop::sample::Index>(),
    ) {
        let mut larger = stacks.clone();
        let index = place.index(larger.len());
        let change = resource(ResourceAction::Add, "R", "AWS::IAM::ManagedPolicy");
        larger[index].resources.push(Resource { change, sizes: None });
        prop_assert!(level(&larger) >= level(&stacks));
    }
}

/// What the findings come to is the same each time, in the same order.
#[test]
fn findings_come_in_a_settled_order() {
    let stacks: Vec<Stack> = (0..8)
        .map(|n| Stack {
            environment: ["production", "development", "staging"][n % 3],
            share: 3.0,
            resources: vec![Resource { change: resource(ResourceAction::Add, "R", TYPES[n]), sizes: None }],
        })
        .collect();
    assert_eq!(all(&state(&stacks)), all(&state(&stacks)));
}
