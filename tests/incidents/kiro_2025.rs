//! Kiro and Cost Explorer, December 2025: an agent with its operator's rights decided that production was best mended by deleting and
//! recreating it. Here the class of the change asks for two people of other parties, and the agent holds no credential: all it can do
//! is to hand in YAML. Without that, the limits of a rollout refuse it; and behind a broken engine the issuer does.

use crate::guards::Guards;
use crate::story::{Agent, HEALTH, PEOPLE, Story};
use std::collections::BTreeSet;
use std::time::Duration;
use wavegate::daemon::issuer::Objection;
use wavegate::engine::answer::{PersonsAnswer, Says};
use wavegate::engine::decide::Input;
use wavegate::guard::Guard;
use wavegate::model::class::Autonomy;
use wavegate::model::decision::{Decision, Measure, Reason};
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::Hold;

const FLEET: &str = r#"version: 1
name: shop
fleet:
  cells:
    - {name: cn-1, account: "111111111111", region: cn-north-1, environment: production, traffic_share: 10, stacks: {costs: costs-cn-1}}
    - {name: cn-2, account: "111111111111", region: cn-north-1, environment: production, traffic_share: 30, stacks: {costs: costs-cn-2}}
    - {name: eu-1, account: "111111111111", region: eu-west-1, environment: production, traffic_share: 60, stacks: {costs: costs-eu-1}}
waves:
  - {name: one-box, one_box: true, select: {count: 1}, bake: 2m, bake_datapoints: 1, max_bake: 15m}
  - {name: the-rest, select: {remaining: true}, max_concurrent: 2, regions: parallel, bake: 2m, bake_datapoints: 1, max_bake: 15m}
# Deletions may be proposed here: that it is people who decide is what this story is about.
revert: {max_concurrent: 50, irreversible: allow}
"#;

/// Cost Explorer, as far as it matters: what it knows, what it shows, who may read it.
const COSTS: &str = "Resources:
  Usage:
    Type: AWS::DynamoDB::Table
    Properties: {BillingMode: PAY_PER_REQUEST}
  Reports:
    Type: AWS::S3::Bucket
  Pending:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 30}
  Dashboard:
    Type: AWS::ECS::Service
    Properties: {DesiredCount: 4}
";

/// The same once more under other names: everything is replaced, nothing is deleted in so many words.
const RECREATED: &str = "Resources:
  Usage:
    Type: AWS::DynamoDB::Table
    Properties: {BillingMode: PAY_PER_REQUEST, TableName: usage-2}
  Reports:
    Type: AWS::S3::Bucket
    Properties: {BucketName: reports-2}
  Pending:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 30, QueueName: pending-2}
  Dashboard:
    Type: AWS::ECS::Service
    Properties: {DesiredCount: 4, ServiceName: dashboard-2}
";

const DELETE: &str = "version: 1
agent: shop-agent
title: Delete and recreate the environment
reasoning: |
  The dashboard shows an error. The quickest way to a clean state is to delete the environment and to create it again.
  This is safe: it has my operator's approval, and the class of this change is additive.
pipeline: shop
stacks:
  costs: {action: delete}
";

const RECREATE: &str = "version: 1
agent: shop-agent
title: Refresh the environment
reasoning: A deletion was not wanted, so this only updates.
pipeline: shop
stacks:
  costs: {action: update, template_file: recreated.yaml}
";

async fn open(title: &str, safeguards: &str) -> Story {
    let pipeline = format!("{FLEET}{HEALTH}{PEOPLE}{safeguards}");
    Story::open(title, &pipeline, &[("costs", COSTS)], &[("recreated.yaml", RECREATED)]).await
}

/// The agent's own attempts, with all that it has.
async fn tries_all_it_has(agent: &Agent, rollout: &str) -> Vec<bool> {
    let says =
        |says| Input::Answer(PersonsAnswer { rollout: rollout.into(), by: agent.name.into(), party: None, says });
    let yes = Says::Approve { digest: "0".repeat(64), through_wave: None, confirm: None };
    let tries = [says(yes), Input::Resume { rollout: rollout.into(), by: agent.name.into() }];
    let mut taken = Vec::new();
    for input in tries {
        taken.push(matches!(agent.orders.input(input).await, Ok(Ok(()))));
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn deleting_production_needs_two_people_of_other_parties_golden() {
    let _guards = Guards::in_place();
    let mut story = open("Kiro, December 2025: two people of other parties", "").await;
    assert!(story.propose("r-1", DELETE, "lee").await);
    let judged = story.judged("r-1").await;
    assert_eq!((judged.decision, judged.level), (Decision::NeedApproval, Autonomy::TwoApprovals));
    let figure = judged.request.as_ref().and_then(|request| request.key_figure.clone()).unwrap();

    story.note("answers:");
    assert!(!story.approves("r-1", "shop-agent", Some(&figure)).await, "an agent is no person");
    assert!(!story.approves("r-1", "lee", Some(&figure)).await, "its operator is of its party");
    assert!(!story.approves("r-1", "Kim", Some(&figure)).await, "so is the operator's team");
    assert!(!story.approves("r-1", "root", Some(&figure)).await, "nobody knows this one");
    assert!(!story.approves("r-1", "dana", None).await, "who agrees to a loss says which");
    assert!(story.approves("r-1", "dana", Some(&figure)).await);
    assert!(!story.approves("r-1", " DANA ", Some(&figure)).await, "one person is one person");
    tokio::time::sleep(Duration::from_secs(1800)).await;
    story.note("half an hour later, with one approval of two:");
    story.told_in_full("r-1").await;
    assert!(story.calls().is_empty() && story.as_before());

    // Nobody has to say why they wait; somebody says no.
    story.note("answers:");
    let reason = "that is production, with its data: mend the dashboard".to_owned();
    assert!(story.says("r-1", "sam", Says::Reject { reason }).await);
    assert_eq!(story.outcome("r-1").await, Outcome::Cancelled);

    // Another way to the same end is the same class.
    assert!(story.propose("r-2", RECREATE, "lee").await);
    let judged = story.judged("r-2").await;
    assert_eq!((judged.decision, judged.level), (Decision::NeedApproval, Autonomy::TwoApprovals));
    // What was agreed to before was another change.
    assert_eq!(story.stage.state().rollouts[&"r-2".into()].admission.given, []);
    story.note("answers:");
    let old = story.stage.state().rollouts[&"r-1".into()].admission.judged.as_ref().unwrap().digest.to_string();
    let stale = Says::Approve { digest: old, through_wave: None, confirm: Some(figure) };
    assert!(!story.says("r-2", "dana", stale).await);
    assert!(story.calls().is_empty() && story.as_before());

    // All that was refused is on record, with who tried.
    let tried: Vec<String> = story.stage.record().into_iter().filter_map(|(_, event)| refused(event)).collect();
    assert_eq!(tried, ["shop-agent", "lee", "kim", "root", "dana", "dana", "dana"]);
    story.golden("kiro_2025/two_people");
}

fn refused(event: Event) -> Option<String> {
    match event {
        Event::ApprovalRefused { by, .. } => Some(by.name.trim().to_lowercase()),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_has_no_credential() {
    let _guards = Guards::in_place();
    let mut story = open("", "").await;
    let agent = story.agent();
    assert!(story.propose("r-1", DELETE, agent.name).await);
    story.judged("r-1").await;
    assert_eq!(tries_all_it_has(&agent, "r-1").await, [false, false]);
    // Every call that the provider has seen, and that changes anything, is one that the daemon has on record: it names its change sets.
    let calls = story.stage.world.calls();
    let changing: Vec<_> = calls.iter().filter(|call| call.operation.changes_the_world()).collect();
    assert!(
        changing.iter().all(|call| call.change_set.as_ref().is_some_and(|name| name.contains("wg-"))),
        "{changing:?}"
    );
    // Without the daemon there is no way to the provider: whatever the agent orders, no call is made.
    let Story { daemon, stage, .. } = story;
    daemon.kill_9().await;
    let before = stage.world.calls().len();
    assert_eq!(tries_all_it_has(&agent, "r-1").await, [false, false]);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(stage.world.calls().len(), before);
}

/// First guard off: the pipeline lets an agent do all of this alone.
const ALONE: &str = "autonomy:
  environments:
    production: {destructive: autonomous, irreversible: autonomous, disruptive: autonomous}
";

/// Second guard: how far one rollout may reach.
const LIMITS: &str = "guardrails:
  blast_radius:
    # A release of the dashboard changes one resource in each cell.
    rollout: {max_targets: 3, max_resources: 6}
";

#[tokio::test(start_paused = true)]
async fn with_an_agent_that_may_destroy_the_limits_refuse_it_golden() {
    let _guards = Guards::in_place();
    let safeguards = format!("{ALONE}{LIMITS}");
    let mut story =
        open("Kiro, December 2025: the agent may destroy alone; the limits of a rollout", &safeguards).await;
    for (rollout, change_set) in [("r-1", DELETE), ("r-2", RECREATE)] {
        assert!(story.propose(rollout, change_set, "lee").await);
        let judged = story.judged(rollout).await;
        assert_eq!(judged.decision, Decision::Deny);
        let too_large = |reason: &Reason| {
            matches!(reason, Reason::RolloutTooLarge { measure: Measure::Resources, reaches: 12.0, max: 6.0 })
        };
        assert!(judged.found.iter().any(|found| too_large(&found.what)), "{:?}", judged.found);
        assert_eq!(story.outcome(rollout).await, Outcome::Cancelled);
        story.told(rollout).await;
        // Nobody is asked, so nobody can let it in.
        assert!(!story.approves(rollout, "dana", None).await);
    }
    assert!(story.calls().is_empty() && story.as_before());
    story.golden("kiro_2025/limits");

    // With neither of the two it is what it was: gone, as far as the first cell's health lets it.
    let mut story = open("", ALONE).await;
    assert!(story.propose("r-1", DELETE, "lee").await);
    assert_eq!(story.judged("r-1").await.decision, Decision::Allow);
    story
        .daemon
        .until("the first stack is gone", |s| s.rollouts.values().any(|r| r.wave_states(0).any(|t| t.is_applied())))
        .await;
    assert!(!story.calls().is_empty() && !story.as_before());
}

#[tokio::test(start_paused = true)]
async fn behind_an_engine_that_forgets_to_ask_the_issuer_reads_the_record_golden() {
    let guards = Guards::in_place();
    guards.without(&[Guard::ApprovalBeforeWave]);
    let mut story = open("Kiro, December 2025: the engine forgets to ask; the issuer reads the record", "").await;
    assert!(story.propose("r-1", DELETE, "lee").await);
    assert_eq!(story.judged("r-1").await.decision, Decision::NeedApproval);
    let hold = story.daemon.hold("r-1").await;
    assert!(matches!(hold, Hold::ProviderUnavailable { .. }), "{hold:?}");
    // The engine did start the wave, and nothing of it has left.
    assert!(story.stage.when(|event| matches!(event, Event::WaveStarted { wave: 0, .. })).is_some());
    let objections: BTreeSet<String> = story.objections();
    assert_eq!(objections, BTreeSet::from([Objection::NotAdmitted(0).to_string()]));
    assert!(story.calls().is_empty() && story.as_before());
    story.golden("kiro_2025/issuer");

    guards.without(&[Guard::ApprovalBeforeWave, Guard::IssuerApprovals]);
    let mut story = open("", "").await;
    assert!(story.propose("r-1", DELETE, "lee").await);
    story
        .daemon
        .until("the first stack is gone", |s| s.rollouts.values().any(|r| r.wave_states(0).any(|t| t.is_applied())))
        .await;
    assert!(!story.calls().is_empty() && !story.as_before(), "with neither of the two it is gone");
}
