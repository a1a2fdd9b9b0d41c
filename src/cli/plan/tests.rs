//! Looking over the embedded world: everything is shown, nothing is changed, nothing is left behind; also when it is interrupted.

use super::*;
use crate::api::view::RolloutView;
use crate::cloud::sim::{Fault, Operation, SimOptions, SimWorld};
use crate::model::pipeline;
use std::collections::BTreeMap;
use std::time::Duration;

const PIPELINE: &str = include_str!("../demo/pipeline.yaml");
const BEFORE: &str = include_str!("../demo/orders-v1.yaml");
/// One queue gets another name (replaced), the topic goes, a dead-letter queue comes.
const AFTER: &str = "
Parameters:
  Retention: {Type: Number, Default: 4}
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties: {QueueName: orders-2, VisibilityTimeout: 30, MessageRetentionPeriod: !Ref Retention}
  DeadLetters:
    Type: AWS::SQS::Queue
";

fn set_up(template: &str) -> (SimWorld, Plan) {
    let pipeline = pipeline::read::read("pipeline.yaml", PIPELINE.as_bytes()).unwrap();
    let world = SimWorld::new(SimOptions::default());
    for cell in &pipeline.cells {
        for stack in cell.stacks.values() {
            world.add_stack(&cell.scope(), stack, BEFORE, BTreeMap::new(), BTreeMap::new()).unwrap();
        }
    }
    let text = "version: 1\nagent: \"a\"\ntitle: t\nreasoning: |\n  because\n  In all: 0 stacks\npipeline: demo\nstacks:\n  orders: {template_file: new.yaml}\n";
    let templates = BTreeMap::from([("new.yaml".to_owned(), template.to_owned())]);
    let admitted = service::admit("change.yaml", text, &templates).unwrap();
    let plan = planner::plan(&admitted, &pipeline, "r-look".into(), true, world.wall()).unwrap();
    (world, plan)
}

async fn looked(world: &SimWorld, plan: &Plan, stop: impl Future<Output = ()>) -> Result<RolloutView, String> {
    look(Arc::new(world.clone()), Clock::world(world.wall()), plan.clone(), stop).await
}

fn assert_untouched(world: &SimWorld, plan: &Plan) {
    for target in plan.targets.values() {
        assert_eq!(world.stack(&target.scope, &target.stack).unwrap().template.body(), BEFORE);
        assert_eq!(world.change_sets(&target.scope, &target.stack), Vec::<String>::new());
    }
    assert!(world.calls().iter().all(|c| c.operation != Operation::ExecuteChangeSet));
}

#[tokio::test(start_paused = true)]
async fn a_person_sees_whom_it_reaches_and_what_is_replaced_and_removed() {
    let (world, plan) = set_up(AFTER);
    let view = looked(&world, &plan, std::future::pending()).await.unwrap();
    assert_untouched(&world, &plan);
    let lines = text(&view);
    let has = |wanted: &str| assert!(lines.iter().any(|l| l == wanted), "{wanted}\nis not in\n{}", lines.join("\n"));
    has("In all: 12 stacks in 12 cells over 3 waves; 12 resources added, 0 modified, 12 replaced, 24 removed.");
    has(
        "It reaches 12 cells that serve 100% of production traffic; it replaces 12 resources and removes 24 resources.",
    );
    assert!(lines.iter().any(|l| l.starts_with("removes: Placed (AWS::SNS::Topic") && l.contains("in 12 targets: ")));
    assert!(lines.iter().any(|l| l.starts_with("replaces: Orders (AWS::SQS::Queue") && l.contains(" and 6 more")));
    // What the agent says never looks like a line of ours.
    has("  │ In all: 0 stacks");
    assert_eq!(lines.iter().filter(|l| l.starts_with("In all:")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_change_is_said() {
    let (world, plan) = set_up(BEFORE);
    let view = looked(&world, &plan, std::future::pending()).await.unwrap();
    assert!(text(&view).iter().any(|l| l == "It changes nothing."));
    assert_untouched(&world, &plan);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_look_cleans_up_and_shows_no_half_of_a_plan() {
    let mut interrupted = 0;
    for after_ms in [0, 50, 200, 400, 800, 1_600, 3_200] {
        let (world, plan) = set_up(AFTER);
        let stop = tokio::time::sleep(Duration::from_millis(after_ms));
        match looked(&world, &plan, stop).await {
            // It was done before.
            Ok(view) => {
                assert_eq!(view.waves.iter().flat_map(|w| &w.targets).filter(|t| t.changes.len() == 4).count(), 12)
            }
            Err(error) => {
                assert!(error.starts_with("interrupted; no resource was changed"), "after {after_ms} ms: {error}");
                interrupted += 1;
            }
        }
        assert_untouched(&world, &plan);
    }
    assert!(interrupted >= 3, "{interrupted}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_is_named() {
    let (world, plan) = set_up(AFTER);
    world.inject(Operation::DeleteChangeSet, Fault::Unavailable, 100_000);
    let error = looked(&world, &plan, std::future::pending()).await.unwrap_err();
    assert!(error.contains("may still be there") && error.contains("eu-1/orders: arn:aws:cloudformation"), "{error}");
}
