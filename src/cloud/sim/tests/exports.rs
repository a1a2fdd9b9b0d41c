//! Exports that others import, sizes, drift, and what a deletion leaves behind.

use super::*;
use crate::model::preview::{ContextWanted, PolicyAction, PreviewContext, Sizes};
use crate::model::stack::DriftStatus;

const EXPORTER: &str = "
Parameters:
  Suffix: { Type: String, Default: url }
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: { VisibilityTimeout: 30 }
  Topic:
    Type: AWS::SNS::Topic
Outputs:
  Plain: { Value: !Ref Topic }
  Url:
    Value: !GetAtt Queue.QueueName
    Export: { Name: !Sub '${AWS::StackName}-${Suffix}' }
  Team:
    Value: payments
    Export: { Name: team }
";

const IMPORTER: &str = "
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Dimension: !ImportValue orders-url, Team: { 'Fn::ImportValue': !Sub 'team' } }
";

fn exporting() -> SimWorld {
    let world = SimWorld::new(SimOptions::default());
    for (name, template) in [("orders", EXPORTER), ("web", IMPORTER)] {
        world.add_stack(&scope(), &name.into(), template, BTreeMap::new(), BTreeMap::new()).unwrap();
    }
    world
}

async fn context(world: &SimWorld, change_set: Option<&str>, exports: bool, sizes: bool) -> PreviewContext {
    let id = view(world, &orders()).await.stack_id;
    let wanted = ContextWanted { exports, sizes };
    world.preview_context(&scope(), &id, change_set, wanted, NORMAL).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn exports_are_told_with_who_imports_them() {
    let world = exporting();
    let other = Scope { region: "eu-west-2".into(), ..scope() };
    world.add_stack(&other, &"away".into(), IMPORTER, BTreeMap::new(), BTreeMap::new()).unwrap();
    let exports = context(&world, None, true, false).await.exports.unwrap();
    let web = || vec!["web".to_owned()];
    assert_eq!(exports, BTreeMap::from([("orders-url".to_owned(), web()), ("team".to_owned(), web())]));
    assert_eq!(context(&world, None, false, true).await, PreviewContext::default());
    assert!(world.remove_stack(&scope(), &"web".into()));
    let exports = context(&world, None, true, false).await.exports.unwrap();
    assert!(exports.values().all(Vec::is_empty) && exports.len() == 2, "{exports:?}");
}

#[tokio::test(start_paused = true)]
async fn an_export_in_use_can_neither_be_removed_nor_changed() {
    let without = EXPORTER.replace("    Export: { Name: team }\n", "");
    let renamed = EXPORTER.replace("Default: url", "Default: address");
    let changed = EXPORTER.replace("Value: payments", "Value: shipping");
    let replaced = EXPORTER.replace("VisibilityTimeout: 30", "QueueName: other");
    let dropped = EXPORTER.replace("  Team:\n    Value: payments\n    Export: { Name: team }\n", "");
    for (template, words) in [
        (without, "Export team cannot be deleted as it is in use by web"),
        (renamed, "Export orders-url cannot be deleted as it is in use by web"),
        (changed, "Export team cannot be updated as it is in use by web"),
        (replaced, "Export orders-url cannot be updated as it is in use by web"),
        (dropped, "Export team cannot be deleted as it is in use by web"),
    ] {
        let world = exporting();
        let statuses = apply(&world, "t-1", &template).await;
        assert_eq!(statuses.last(), Some(&StackStatus::UpdateRollbackComplete), "{words}");
        assert_eq!(world.stack(&scope(), &orders()).unwrap().template.body(), EXPORTER);
        let reasons: Vec<_> = world.events(&scope(), "orders").into_iter().filter_map(|event| event.reason).collect();
        assert!(reasons.iter().any(|reason| reason == words), "{words}: {reasons:?}");

        assert!(world.remove_stack(&scope(), &"web".into()));
        assert_eq!(apply(&world, "t-2", &template).await.last(), Some(&StackStatus::UpdateComplete), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_whose_exports_are_in_use_stays() {
    let world = exporting();
    let before = view(&world, &orders()).await;
    world.delete_stack(&scope(), &before.stack_id, &"d-1".into(), NORMAL).await.unwrap();
    assert_eq!(
        follow(&world, &before.stack_id).await,
        [StackStatus::DeleteInProgress, StackStatus::CreateComplete],
        "a deletion that cannot begin is no DELETE_FAILED"
    );
    let after = view(&world, &orders()).await;
    assert!(after.status_reason.unwrap().contains("is in use by web"));
    let trace = world.find_operation(&scope(), "orders", &"d-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    assert_eq!((trace.found, trace.stack_status), (true, Some(StackStatus::CreateComplete)));
    assert_eq!(world.resources(&scope(), &orders(), NORMAL).await.unwrap().len(), 2);

    let web = view(&world, &"web".into()).await.stack_id;
    for (id, token) in [(&web, "d-2"), (&before.stack_id, "d-3")] {
        world.delete_stack(&scope(), id, &token.into(), NORMAL).await.unwrap();
        assert_eq!(follow(&world, id).await.last(), Some(&StackStatus::DeleteComplete));
    }
}

#[tokio::test(start_paused = true)]
async fn imports_and_names_are_checked_when_a_stack_is_made() {
    let missing = IMPORTER.replace("orders-url", "nobody-s");
    let taken = "Resources: { T: { Type: 'AWS::SNS::Topic' } }\nOutputs: { O: { Value: 1, Export: { Name: team } } }";
    for (template, words) in [
        (missing.as_str(), "No export named nobody-s found."),
        (taken, "Export with name team is already exported by stack orders."),
    ] {
        let world = exporting();
        let set = prepare(&world, &"new".into(), "wg-1", &create(template)).await;
        execute(&world, &"new".into(), &set.arn, "t-1").await;
        assert_eq!(follow(&world, &set.stack_id).await.last(), Some(&StackStatus::RollbackComplete));
        let events = world.events(&scope(), &set.stack_id);
        assert!(events.iter().any(|event| event.reason.as_deref() == Some(words)), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_outputs_alone_is_a_change() {
    let world = exporting();
    let set = prepare(&world, &orders(), "wg-1", &update(&EXPORTER.replace("Plain", "Renamed"))).await;
    assert!(set.is_ready() && set.preview.changes.is_empty(), "{set:?}");
    execute(&world, &orders(), &set.arn, "t-1").await;
    assert_eq!(follow(&world, &set.stack_id).await.last(), Some(&StackStatus::UpdateComplete));
}

const ENVIRONMENT: &str = "
Parameters:
  Password: { Type: String, NoEcho: true, Default: hunter2 }
  Class: { Type: String, Default: db.t3.small }
Resources:
  Db:
    Type: AWS::RDS::DBInstance
    Properties:
      { DBInstanceClass: !Ref Class, AllocatedStorage: 20, MasterUserPassword: !Ref Password, Engine: !Ref Password }
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
    Properties: { DesiredCount: 3, TaskDefinition: orders }
  Role:
    Type: AWS::IAM::Role
    Properties: { AssumeRolePolicyDocument: {} }
";

fn environment() -> SimWorld {
    let world = SimWorld::new(SimOptions::default());
    world.add_stack(&scope(), &orders(), ENVIRONMENT, BTreeMap::new(), BTreeMap::new()).unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn sizes_come_from_the_templates_and_hidden_values_stay_hidden() {
    let world = environment();
    let bigger = ENVIRONMENT
        .replace("Default: db.t3.small", "Default: db.r6g.xlarge")
        .replace("DesiredCount: 3", "DesiredCount: 9")
        .replace("  Role:\n    Type: AWS::IAM::Role\n    Properties: { AssumeRolePolicyDocument: {} }\n", "")
        .replace("  Scratch:", "  Other:");
    let set = prepare(&world, &orders(), "wg-1", &update(&bigger)).await;
    let context = context(&world, Some(&set.arn), false, true).await;
    let map = |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    let class = |class| map(&[("DBInstanceClass", class)]);
    let db = |class| map(&[("AllocatedStorage", "20"), ("DBInstanceClass", class)]);
    let expected = [
        ("Db", Sizes { before: db("db.t3.small"), after: db("db.r6g.xlarge") }),
        ("Other", Sizes { before: None, after: class("db.t3.micro") }),
        ("Scratch", Sizes { before: class("db.t3.micro"), after: None }),
        ("Service", Sizes { before: map(&[("DesiredCount", "3")]), after: map(&[("DesiredCount", "9")]) }),
    ];
    assert_eq!(context.sizes, expected.map(|(k, v)| (k.to_owned(), v)).into());
    assert!(!format!("{context:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_tells_what_becomes_of_each_resource_and_does_so() {
    let world = environment();
    let resources = world.resources(&scope(), &orders(), NORMAL).await.unwrap();
    let told: Vec<_> = resources.iter().map(|r| (r.logical_id.as_str(), r.policy_action.clone().unwrap())).collect();
    let expected = [
        ("Db", PolicyAction::Snapshot),
        ("Ledger", PolicyAction::Retain),
        ("Role", PolicyAction::Delete),
        ("Scratch", PolicyAction::Delete),
        ("Service", PolicyAction::Delete),
    ];
    assert_eq!(told, expected);
    let id = view(&world, &orders()).await.stack_id;
    world.delete_stack(&scope(), &id, &"d-1".into(), NORMAL).await.unwrap();
    assert_eq!(follow(&world, &id).await.last(), Some(&StackStatus::DeleteComplete));
    let events = world.events(&scope(), &id);
    let ends: Vec<_> =
        events.iter().filter(|e| e.status == "DELETE_SKIPPED").map(|event| event.logical_id.as_str()).collect();
    assert_eq!(ends, ["Ledger"]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_what_somebody_found_until_the_stack_changes() {
    let world = world();
    let before = world.stack(&scope(), &orders()).unwrap();
    assert_eq!(before.view.drift, None);
    assert!(world.set_drift(&scope(), &orders(), Some(DriftStatus::Drifted)));
    let found_at = world.wall();
    let drifted = world.stack(&scope(), &orders()).unwrap();
    let drift = view(&world, &orders()).await.drift.unwrap();
    assert_eq!((drift.status, drift.checked_at), (DriftStatus::Drifted, Some(found_at)));
    // Drift is nobody's change: it moves neither what proofs compare nor the time of the last change.
    assert_eq!(drifted.content_digest(), before.content_digest());
    assert_eq!(drifted.view.last_updated, before.view.last_updated);
    apply(&world, "t-1", BAD).await;
    assert_eq!(view(&world, &orders()).await.drift, None);
}
