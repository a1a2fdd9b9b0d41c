//! The world against the protocol that it stands in for, in virtual time.

mod exports;
mod faults;
mod health;
mod protocol;

use super::*;
use crate::cloud::{Health, Priority, Stacks};
use crate::model::ids::{StackName, Token};
use crate::model::observation::{AlarmState, Completeness, MetricQuery, MetricStat, ProviderErrorKind, QuerySource};
use crate::model::preview::{ChangeSetStatus, DescribedChangeSet, ExecutionStatus, Replacement, ResourceAction};
use crate::model::stack::{ChangeSetInputs, ChangeSetKind, ParameterInput, Scope, StackStatus, StackView, Template};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NORMAL: Priority = Priority::Normal;

const V1: &str = "
Parameters:
  Delay: { Type: Number, Default: 5 }
  Secret: { Type: String, NoEcho: true, Default: s3cret }
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: { QueueName: orders, DelaySeconds: !Ref Delay }
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Dimension: !GetAtt Queue.QueueName }
  Old:
    Type: AWS::SNS::Topic
    DeletionPolicy: Retain
";

/// V1 with a longer timeout, and harmful.
const BAD: &str = "
Metadata: { Sim: { UpdateSeconds: 10, Effects: [{ Metric: 5xx, Factor: 40, After: 20 }] } }
Parameters:
  Delay: { Type: Number, Default: 5 }
  Secret: { Type: String, NoEcho: true, Default: s3cret }
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: { QueueName: orders, DelaySeconds: !Ref Delay, VisibilityTimeout: 90 }
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: { Dimension: !GetAtt Queue.QueueName }
  Old:
    Type: AWS::SNS::Topic
    DeletionPolicy: Retain
";

fn scope() -> Scope {
    Scope { account: "111122223333".into(), region: "eu-west-1".into(), role: None }
}

fn orders() -> StackName {
    "orders".into()
}

fn world() -> SimWorld {
    let world = SimWorld::new(SimOptions::default());
    world.add_stack(&scope(), &orders(), V1, BTreeMap::new(), BTreeMap::new()).unwrap();
    world
}

fn update(template: &str) -> ChangeSetInputs {
    ChangeSetInputs {
        kind: ChangeSetKind::Update,
        template: Some(Template::new(template)),
        parameters: BTreeMap::new(),
        tags: None,
        capabilities: BTreeSet::new(),
        role_arn: None,
        notification_arns: None,
        rollback_configuration: None,
    }
}

fn create(template: &str) -> ChangeSetInputs {
    ChangeSetInputs { kind: ChangeSetKind::Create, ..update(template) }
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

/// Creates a change set and waits until it is worked out.
async fn prepare(world: &SimWorld, stack: &StackName, name: &str, inputs: &ChangeSetInputs) -> DescribedChangeSet {
    let arn = world.create_change_set(&scope(), stack, name, inputs, NORMAL).await.unwrap();
    loop {
        let described = world.describe_change_set(&scope(), stack, &arn, NORMAL).await.unwrap();
        if described.status != ChangeSetStatus::CreateInProgress {
            return described;
        }
        seconds(1).await;
    }
}

async fn execute(world: &SimWorld, stack: &StackName, arn: &str, token: &str) {
    world.execute_change_set(&scope(), stack, arn, &token.into(), NORMAL).await.unwrap();
}

async fn view(world: &SimWorld, stack: &StackName) -> StackView {
    world.describe(&scope(), std::slice::from_ref(stack), NORMAL).await.unwrap().remove(stack).unwrap()
}

/// Every status on the way to rest, without repetition.
async fn follow(world: &SimWorld, stack_id: &str) -> Vec<StackStatus> {
    let mut seen = Vec::new();
    for _ in 0..1_000 {
        let status = world.describe_by_id(&scope(), stack_id, NORMAL).await.unwrap().unwrap().status;
        if seen.last() != Some(&status) {
            seen.push(status.clone());
        }
        if !status.is_in_progress() {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("never at rest: {seen:?}");
}

async fn apply(world: &SimWorld, name: &str, template: &str) -> Vec<StackStatus> {
    let set = prepare(world, &orders(), name, &update(template)).await;
    execute(world, &orders(), &set.arn, name).await;
    follow(world, &set.stack_id).await
}
