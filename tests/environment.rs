//! An environment with a database, over the embedded world: its deletion, and what the guardrails get to see of a change to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use sim::{Change, Harness};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::engine::decide::Input;
use wavegate::model::change_set::Action;
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::event::{Event, Outcome, Settlement};
use wavegate::model::halt::StuckReason;
use wavegate::model::ids::Digest;
use wavegate::model::plan::Plan;
use wavegate::model::preview::{PolicyAction, PreviewContext, ResourceChange};
use wavegate::model::price_book::PriceBook;
use wavegate::model::safeguards::{Cost, Dependents, Guardrail, Safeguards, Set};
use wavegate::model::stack::DriftStatus;

const ENVIRONMENT: &str = "
Parameters:
  Delay: { Type: Number, Default: 0 }
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    Properties: { DBInstanceClass: db.t3.small, AllocatedStorage: 20, MasterUserPassword: hunter2 }
  Ledger:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Retain
    Properties: { DBInstanceClass: db.r6g.large }
  Scratch:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Delete
    Properties: { DBInstanceClass: db.t3.micro }
  Service:
    Type: AWS::ECS::Service
    Properties: { DesiredCount: 3 }
  Role:
    Type: AWS::IAM::Role
Outputs:
  Endpoint:
    Value: !GetAtt Database.Endpoint
    Export: { Name: orders-database }
";

const BIGGER: &str = "
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    Properties: { DBInstanceClass: db.r6g.xlarge, AllocatedStorage: 20, MasterUserPassword: hunter2 }
";

const IMPORTER: &str = "
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Host: !ImportValue orders-database }
";

/// A world whose one cell holds the environment.
async fn environment() -> Harness {
    let h = Harness::new(1, &[1]).await;
    let (scope, stack) = h.place(&h.cells()[0]);
    assert!(h.world.remove_stack(&scope, &stack));
    h.world.add_stack(&scope, &stack, ENVIRONMENT, BTreeMap::new(), BTreeMap::new()).unwrap();
    h
}

fn plan(action: Action, template: &'static str) -> Plan {
    let mut plan = sim::plan(&[1], &Change { action, template });
    if action == Action::Delete {
        plan.templates.clear();
    }
    for target in plan.targets.values_mut() {
        target.declared = Some(BTreeSet::new());
        target.template = target.template.take().filter(|_| action != Action::Delete);
    }
    plan
}

/// With guardrails that want to see everything and stop nothing.
fn watched(mut plan: Plan) -> Plan {
    let (line, dry_run) = (1, true);
    let mut safeguards = Safeguards::default();
    safeguards.guardrails.dependents =
        Some(Guardrail { rule: Dependents { imported: Set { is: Autonomy::OneApproval, line } }, dry_run, line });
    let price_book = PriceBook {
        file: "prices.yaml".into(),
        digest: Digest::of_bytes(b""),
        dated: "2026-11-01".parse().unwrap(),
        max_age_days: 90,
        currency: "USD".into(),
        prices: BTreeMap::new(),
    };
    let max_monthly_increase = Set { is: 100.0, line };
    safeguards.guardrails.cost =
        Some(Guardrail { rule: Cost { price_book, max_monthly_increase, over: Autonomy::OneApproval }, dry_run, line });
    plan.safeguards = Some(Arc::new(safeguards));
    plan
}

async fn propose(h: &Harness, plan: Plan) {
    let digest = plan.digest().unwrap();
    h.input(Input::Propose { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None }).await;
}

/// The first preview, once it is made.
async fn previewed(h: &mut Harness) -> (Vec<ResourceChange>, BTreeSet<ChangeClass>, PreviewContext) {
    h.run_until(|core| core.state().rollouts.values().any(|r| r.targets.values().any(|t| t.approved.is_some()))).await;
    let prepared = |event: Event| match event {
        Event::TargetPrepared { changes, classified, context, .. } => {
            Some((changes, classified.unwrap().classes, *context.unwrap()))
        }
        _ => None,
    };
    h.events().into_iter().find_map(prepared).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_deleted_and_its_preview_says_what_is_lost() {
    let mut h = environment().await;
    let (scope, stack) = h.place(&h.cells()[0]);
    propose(&h, plan(Action::Delete, ENVIRONMENT)).await;
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
    assert!(h.world.stack(&scope, &stack).is_none());
    let (changes, classes, context) = previewed(&mut h).await;
    let told: Vec<_> = changes.iter().map(|c| (c.logical_id.as_str(), c.policy_action.clone().unwrap())).collect();
    let expected = [
        ("Database", PolicyAction::Snapshot),
        ("Ledger", PolicyAction::Retain),
        ("Role", PolicyAction::Delete),
        ("Scratch", PolicyAction::Delete),
        ("Service", PolicyAction::Delete),
    ];
    assert_eq!(told, expected);
    for class in [ChangeClass::Destructive, ChangeClass::Irreversible, ChangeClass::Privilege] {
        assert!(classes.contains(&class), "{classes:?}");
    }
    assert_eq!(context, PreviewContext::default(), "nobody asked for more");
}

#[tokio::test(start_paused = true)]
async fn the_provider_does_not_delete_what_others_import_and_the_preview_says_who() {
    let mut h = environment().await;
    let (scope, stack) = h.place(&h.cells()[0]);
    h.world.add_stack(&scope, &"web".into(), IMPORTER, BTreeMap::new(), BTreeMap::new()).unwrap();
    propose(&h, watched(plan(Action::Delete, ENVIRONMENT))).await;
    let (_, _, context) = previewed(&mut h).await;
    assert_eq!(context.exports.unwrap()["orders-database"], ["web"]);
    assert!(context.sizes.is_empty());
    assert!(h.world.stack(&scope, &stack).is_some());

    // What was let in before there were guardrails is stopped by the provider.
    let mut h = environment().await;
    let (scope, stack) = h.place(&h.cells()[0]);
    h.world.add_stack(&scope, &"web".into(), IMPORTER, BTreeMap::new(), BTreeMap::new()).unwrap();
    propose(&h, plan(Action::Delete, ENVIRONMENT)).await;
    assert_eq!(h.run_to_end().await, Outcome::Stuck);
    assert_eq!(h.world.stack(&scope, &stack).unwrap().template.body(), ENVIRONMENT);
    let settled = |event: Event| match event {
        Event::TargetSettled { settlement: Settlement::Stuck { reason, .. }, .. } => Some(reason),
        _ => None,
    };
    let why = h.events().into_iter().find_map(settled).unwrap();
    let StuckReason::DeadEnd { reason: Some(words), .. } = &why else { panic!("{why:?}") };
    assert_eq!(words, "Export orders-database cannot be deleted as it is in use by web");
}

#[tokio::test(start_paused = true)]
async fn a_preview_brings_what_a_price_depends_on_and_no_password() {
    let mut h = environment().await;
    propose(&h, watched(plan(Action::Update, BIGGER))).await;
    let (_, _, context) = previewed(&mut h).await;
    let database = &context.sizes["Database"];
    let class = |side: &Option<BTreeMap<String, String>>| side.as_ref().unwrap()["DBInstanceClass"].clone();
    assert_eq!((class(&database.before), class(&database.after)), ("db.t3.small".into(), "db.r6g.xlarge".into()));
    assert!(context.sizes["Scratch"].after.is_none());
    assert!(context.exports.as_ref().unwrap()["orders-database"].is_empty());
    assert!(!format!("{context:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn drift_that_is_found_meanwhile_stops_nothing_by_itself() {
    let mut h = environment().await;
    let (scope, stack) = h.place(&h.cells()[0]);
    assert!(h.world.set_drift(&scope, &stack, Some(DriftStatus::InSync)));
    propose(&h, plan(Action::Update, BIGGER)).await;
    previewed(&mut h).await;
    assert!(h.world.set_drift(&scope, &stack, Some(DriftStatus::Drifted)));
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
}
