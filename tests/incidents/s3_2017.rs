//! S3, February 2017: somebody meant to remove a few servers of one subsystem; a typo in the command selected far more. Here the limits
//! are asked of what the change really reaches, not of what was meant: too many targets, resources and customers are refused. Without
//! those limits, the capacity that must be left refuses a wave that takes too much of it, and makes one wait that comes on top of others.

use crate::guards::Guards;
use crate::story::{HEALTH, Motion, PEOPLE, Story, moments};
use std::collections::BTreeSet;
use std::time::Duration;
use wavegate::engine::decide::Input;
use wavegate::guard::Guard;
use wavegate::model::decision::{Decision, Measure, Reason};
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::{Hold, RevertReason};

const FLEET: &str = r#"version: 1
name: playbook
fleet:
  cells:
    - {name: us-1, account: "111111111111", region: us-east-1, environment: production, traffic_share: 20, stacks: {index: index-us-1}}
    - {name: us-2, account: "111111111111", region: us-east-1, environment: production, traffic_share: 20, stacks: {index: index-us-2}}
    - {name: us-3, account: "111111111111", region: us-east-1, environment: production, traffic_share: 20, stacks: {index: index-us-3}}
    - {name: us-4, account: "111111111111", region: us-east-1, environment: production, traffic_share: 20, stacks: {index: index-us-4}}
    - {name: us-5, account: "111111111111", region: us-east-1, environment: production, traffic_share: 20, stacks: {index: index-us-5, billing: billing-us-5}}
"#;

/// The command that was meant is for one cell, so the playbook's pipeline goes everywhere at once.
const AT_ONCE: &str = "waves:
  - {name: all, select: {remaining: true}, max_concurrent: 5, regions: parallel, bake: 2m, bake_datapoints: 1, max_bake: 15m}
";

/// The same, a cell at a time.
const ONE_BY_ONE: &str = "waves:
  - {name: first, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
  - {name: second, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
  - {name: third, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
  - {name: fourth, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
  - {name: fifth, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
";

/// First guard: how far one rollout may reach.
const LIMITS: &str = "guardrails:
  blast_radius:
    rollout: {max_targets: 2, max_resources: 4, max_percent_of_traffic: 25}
";

/// Second guard: what must be left, whoever changes what.
const CAPACITY: &str = "guardrails:
  blast_radius:
    at_once: {min_capacity_percent: 70}
";

const INDEX: &str = "Resources:
  Index:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 10, MaxSize: 60, DesiredCapacity: 40}
  Placement:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 10, MaxSize: 60, DesiredCapacity: 40}
";

const BILLING: &str = "Resources:
  Servers:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 1, MaxSize: 9, DesiredCapacity: 6}
";

/// What was meant: two servers fewer. It takes its time.
const FEWER_BILLING: &str = "Metadata: {Sim: {UpdateSeconds: 120}}
Resources:
  Servers:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 1, MaxSize: 9, DesiredCapacity: 4}
";

/// The same line for the index: without so many of its servers it answers nobody.
const FEWER_INDEX: &str = "Metadata: {Sim: {Effects: [{Metric: 5xx, Factor: 400, After: 20}]}}
Resources:
  Index:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 1, MaxSize: 9, DesiredCapacity: 4}
  Placement:
    Type: AWS::AutoScaling::AutoScalingGroup
    Properties: {MinSize: 1, MaxSize: 9, DesiredCapacity: 4}
";

const TYPO: &str = "version: 1
agent: shop-agent
title: Remove two billing servers
reasoning: The billing system is slow; the playbook says to take two of its servers out.
pipeline: playbook
stacks:
  index: {action: update, template_file: fewer-index.yaml}
";

const MEANT: &str = "version: 1
agent: shop-agent
title: Remove two billing servers
reasoning: The billing system is slow; the playbook says to take two of its servers out.
pipeline: playbook
stacks:
  billing: {action: update, template_file: fewer-billing.yaml}
";

async fn open(title: &str, waves: &str, guardrails: &str) -> Story {
    let pipeline = format!("{FLEET}{waves}{HEALTH}{PEOPLE}{guardrails}");
    let templates = [("fewer-index.yaml", FEWER_INDEX), ("fewer-billing.yaml", FEWER_BILLING)];
    Story::open(title, &pipeline, &[("index", INDEX), ("billing", BILLING)], &templates).await
}

/// Percent of customers whose cells nobody changed, at the moment at which it was least: by the world's own log.
fn least_left(story: &Story, motions: &[Motion]) -> f64 {
    let taken = |moment: Vec<&Motion>| {
        let cells: BTreeSet<&str> = moment.iter().map(|motion| motion.cell.as_str()).collect();
        100.0 - cells.into_iter().map(|cell| story.share(cell)).sum::<f64>()
    };
    moments(motions).map(taken).fold(100.0, f64::min)
}

#[tokio::test(start_paused = true)]
async fn what_reaches_further_than_it_may_is_refused_golden() {
    let _guards = Guards::in_place();
    let mut story = open("S3, February 2017: limits of what a change really reaches", AT_ONCE, LIMITS).await;
    assert!(story.propose("r-typo", TYPO, "lee").await);
    let judged = story.judged("r-typo").await;
    assert_eq!(judged.decision, Decision::Deny);
    let numbers = |found: &wavegate::model::decision::Found| match found.what {
        Reason::RolloutTooLarge { measure, reaches, max } => Some((measure, reaches, max)),
        _ => None,
    };
    assert_eq!(
        judged.found.iter().filter_map(numbers).collect::<Vec<_>>(),
        [(Measure::Targets, 5.0, 2.0), (Measure::Resources, 10.0, 4.0), (Measure::PercentOfTraffic, 100.0, 25.0)]
    );
    assert_eq!(story.outcome("r-typo").await, Outcome::Cancelled);
    story.told_in_full("r-typo").await;
    assert!(story.calls().is_empty() && story.as_before());
    // What was meant needs nobody.
    assert!(story.propose("r-meant", MEANT, "lee").await);
    assert_eq!(story.judged("r-meant").await.decision, Decision::Allow);
    assert_eq!(story.outcome("r-meant").await, Outcome::Succeeded);
    assert_eq!(story.calls().len(), 1);
    story.golden("s3_2017/limits");
}

#[tokio::test(start_paused = true)]
async fn without_those_limits_a_wave_must_leave_capacity_golden() {
    let _guards = Guards::in_place();
    let mut story =
        open("S3, February 2017: no limits of a rollout; capacity that must be left", AT_ONCE, CAPACITY).await;
    assert!(story.propose("r-typo", TYPO, "lee").await);
    let judged = story.judged("r-typo").await;
    assert_eq!(judged.decision, Decision::Deny);
    let too_little = Reason::TooLittleCapacity { left: 0.0, min: 70.0 };
    assert!(judged.found.iter().any(|found| found.what == too_little), "{:?}", judged.found);
    assert_eq!(story.outcome("r-typo").await, Outcome::Cancelled);
    story.told("r-typo").await;
    assert!(story.calls().is_empty() && story.as_before());
    story.golden("s3_2017/capacity");

    // With neither of the two, the index of every cell is gone before health can say so.
    let mut story = open("", AT_ONCE, "").await;
    assert!(story.propose("r-typo", TYPO, "lee").await);
    assert_eq!(story.outcome("r-typo").await, Outcome::Reverted);
    let there: Vec<Motion> = story.calls().into_iter().take(5).collect();
    assert!(least_left(&story, &there) < 1.0, "nobody is left");
}

/// What was meant is under way in one cell; then the typo comes, a cell at a time. Both together would leave 60%.
async fn on_top(title: &str, guardrails: &str) -> Story {
    let mut story = open(title, ONE_BY_ONE, guardrails).await;
    assert!(story.propose("r-meant", MEANT, "lee").await);
    story
        .daemon
        .until("it runs", |s| s.rollouts.values().any(|r| r.wave_states(0).any(|t| t.phase.name() == "running")))
        .await;
    assert!(story.propose("r-typo", TYPO, "lee").await);
    assert_eq!(story.judged("r-typo").await.decision, Decision::Allow);
    story
}

#[tokio::test(start_paused = true)]
async fn at_the_moment_of_issue_capacity_is_counted_over_all_rollouts_golden() {
    let guards = Guards::in_place();
    let mut story = on_top("S3, February 2017: capacity at the moment of issue", CAPACITY).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let explained = story.told("r-typo").await;
    let too_little = Reason::TooLittleCapacity { left: 60.0, min: 70.0 };
    assert!(explained.stalled.iter().any(|found| found.found.what == too_little), "{explained:?}");
    assert_eq!(story.calls().len(), 1, "it waits");
    assert_eq!(story.outcome("r-meant").await, Outcome::Succeeded);
    // Now it may, in one cell; and there health ends it.
    assert_eq!(story.outcome("r-typo").await, Outcome::Reverted);
    let gate_failed =
        |event: &Event| matches!(event, Event::RevertStarted { reason: RevertReason::GateFailed { wave: 0, .. }, .. });
    assert!(story.stage.when(gate_failed).is_some());
    let motions = story.calls();
    assert!(least_left(&story, &motions) > 79.0, "one cell at a time");
    story.golden("s3_2017/at_issue");

    // The engine forgets to count: the issuer counts from the record.
    guards.without(&[Guard::BlastRadiusAtIssue]);
    let mut story =
        on_top("S3, February 2017: the engine forgets to count; the issuer counts from the record", CAPACITY).await;
    let hold = story.daemon.hold("r-typo").await;
    assert!(matches!(hold, Hold::ProviderUnavailable { .. }), "{hold:?}");
    let objections = story.objections();
    assert!(!objections.is_empty() && objections.iter().all(|o| o.contains("TooLittleCapacity")), "{objections:?}");
    assert_eq!(story.calls().len(), 1, "what was meant, and nothing else");
    story.daemon.input(Input::Revert { rollout: "r-typo".into(), by: "dana".into() }).await;
    assert_eq!(story.outcome("r-typo").await, Outcome::Cancelled);
    story.golden("s3_2017/issuer");

    guards.without(&[Guard::BlastRadiusAtIssue, Guard::IssuerBlastRadius]);
    let mut story = on_top("", CAPACITY).await;
    assert_eq!(story.outcome("r-typo").await, Outcome::Reverted);
    let motions = story.calls();
    assert!(least_left(&story, &motions) < 61.0, "with neither of the two less is left than must be");
}
