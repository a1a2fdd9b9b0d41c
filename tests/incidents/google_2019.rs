//! Google, June 2019: maintenance automation descheduled the network's control plane in several locations at once; each location by
//! itself could have borne it. Here one failure domain is in motion at a time, over every rollout: the second one waits, and goes by
//! itself when the first is through.

use crate::guards::Guards;
use crate::story::{HEALTH, Motion, PEOPLE, Story, most_regions};
use std::time::Duration;
use wavegate::engine::decide::Input;
use wavegate::guard::Guard;
use wavegate::model::decision::{Decision, Reason};
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::Hold;

const FLEET: &str = r#"version: 1
name: maintenance
fleet:
  cells:
    - {name: eu-1, account: "111111111111", region: eu-west-1, environment: production, traffic_share: 15, stacks: {network-eu: network-eu-1}}
    - {name: eu-2, account: "111111111111", region: eu-west-1, environment: production, traffic_share: 15, stacks: {network-eu: network-eu-2}}
    - {name: us-1, account: "111111111111", region: us-east-1, environment: production, traffic_share: 15, stacks: {network-us: network-us-1}}
    - {name: us-2, account: "111111111111", region: us-east-1, environment: production, traffic_share: 15, stacks: {network-us: network-us-2}}
    - {name: ap-1, account: "111111111111", region: ap-southeast-2, environment: production, traffic_share: 40, stacks: {network-ap: network-ap-1}}
waves:
  - {name: location, select: {remaining: true}, max_concurrent: 2, regions: parallel, bake: 2m, bake_datapoints: 1, max_bake: 15m}
"#;

/// How long the pipeline watches a location.
const BAKE: Duration = Duration::from_secs(120);

/// First guard.
const ONE_DOMAIN: &str = "guardrails:
  blast_radius:
    at_once: {max_failure_domains: 1, failure_domain: region}
";

/// Second guard: one location leaves 70%, two leave 40%.
const CAPACITY: &str = "guardrails:
  blast_radius:
    at_once: {min_capacity_percent: 60}
";

const CONTROL_PLANE: &str = "Resources:
  ControlPlane:
    Type: AWS::ECS::Service
    Properties: {DesiredCount: 12}
";

const DESCHEDULED: &str = "Metadata: {Sim: {UpdateSeconds: 60}}
Resources:
  ControlPlane:
    Type: AWS::ECS::Service
    Properties: {DesiredCount: 2}
";

/// Without its control plane, a location's network goes down after a while.
const DOWN: &str = "Metadata: {Sim: {UpdateSeconds: 60, Effects: [{Metric: 5xx, Factor: 400, After: 20}]}}
Resources:
  ControlPlane:
    Type: AWS::ECS::Service
    Properties: {DesiredCount: 0}
";

fn maintenance(location: &str, template: &str) -> String {
    format!(
        "version: 1
agent: shop-agent
title: Maintenance of {location}
reasoning: The event of tonight is for one small location. The job's selector matches whatever is labelled for maintenance.
pipeline: maintenance
stacks:
  network-{location}: {{action: update, template_file: {template}}}
"
    )
}

/// Two locations, in the same minute.
async fn open(title: &str, guardrails: &str, template: &str) -> Story {
    let pipeline = format!("{FLEET}{HEALTH}{PEOPLE}{guardrails}");
    let stacks = [("network-eu", CONTROL_PLANE), ("network-us", CONTROL_PLANE), ("network-ap", CONTROL_PLANE)];
    let templates = [("descheduled.yaml", DESCHEDULED), ("down.yaml", DOWN)];
    let mut story = Story::open(title, &pipeline, &stacks, &templates).await;
    for location in ["eu", "us"] {
        assert!(story.propose(&format!("r-{location}"), &maintenance(location, template), "lee").await);
    }
    for location in ["eu", "us"] {
        assert_eq!(story.judged(&format!("r-{location}")).await.decision, Decision::Allow, "nobody is asked");
    }
    story
}

/// From the end of the first location's last operation to the beginning of the second one's first: by the world's own log.
fn between(motions: &[Motion]) -> Duration {
    let first = motions.first().map(|motion| motion.region.clone()).unwrap();
    let (here, there): (Vec<_>, Vec<_>) = motions.iter().partition(|motion| motion.region == first);
    let ended = here.iter().map(|motion| motion.to.expect("it has ended")).max().unwrap();
    let begun = there.iter().map(|motion| motion.from).min().expect("the other one goes too");
    Duration::try_from(begun.duration_since(ended)).expect("not before")
}

/// The one that has not begun.
fn waiting(motions: &[Motion]) -> &'static str {
    assert_eq!(most_regions(motions), 1, "{motions:?}");
    if motions[0].region == "eu-west-1" { "r-us" } else { "r-eu" }
}

async fn both_succeed(story: &mut Story) -> Vec<Motion> {
    for rollout in ["r-eu", "r-us"] {
        assert_eq!(story.outcome(rollout).await, Outcome::Succeeded);
    }
    let asked = |event: &Event| matches!(event, Event::RolloutHeld { .. } | Event::ApprovalGiven { .. });
    assert!(story.stage.when(asked).is_none(), "nobody had to do anything");
    story.calls()
}

#[tokio::test(start_paused = true)]
async fn one_location_at_a_time_over_all_rollouts_golden() {
    let _guards = Guards::in_place();
    let mut story =
        open("Google, June 2019: one failure domain at a time, across rollouts", ONE_DOMAIN, "descheduled.yaml").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    story.note("half a minute later:");
    let motions = story.calls();
    let second = waiting(&motions);
    let explained = story.told_in_full(second).await;
    let busy = explained.stalled.iter().any(|view| {
        matches!(&view.found.what, Reason::FailureDomainsBusy { busy, max: 1, .. } if busy.contains(&motions[0].region))
    });
    assert!(busy, "{:?}", explained.stalled);
    let motions = both_succeed(&mut story).await;
    assert_eq!((motions.len(), most_regions(&motions)), (4, 1));
    assert!(between(&motions) >= BAKE, "the first is through when its bake is over: {:?}", between(&motions));
    story.golden("google_2019/one_domain");
}

#[tokio::test(start_paused = true)]
async fn a_location_that_goes_down_goes_back_before_the_next_one_is_touched() {
    let _guards = Guards::in_place();
    let mut story = open("", ONE_DOMAIN, "down.yaml").await;
    for rollout in ["r-eu", "r-us"] {
        assert_eq!(story.outcome(rollout).await, Outcome::Reverted);
    }
    let motions = story.calls();
    assert_eq!(most_regions(&motions), 1, "{motions:?}");
    let regions: Vec<&str> = motions.iter().map(|motion| motion.region.as_str()).collect();
    let (first, then) = regions.split_at(4);
    assert!(
        first.iter().all(|region| *region == first[0]) && then.iter().all(|region| *region == then[0]),
        "{regions:?}"
    );
    assert!(story.as_before());
}

#[tokio::test(start_paused = true)]
async fn behind_an_engine_that_forgets_to_count_the_issuer_counts_golden() {
    let guards = Guards::in_place();
    guards.without(&[Guard::BlastRadiusAtIssue]);
    let title = "Google, June 2019: the engine forgets to count; the issuer counts from the record";
    let mut story = open(title, ONE_DOMAIN, "descheduled.yaml").await;
    story.daemon.until("one is held", |s| s.rollouts.values().any(|r| r.hold.is_some())).await;
    let objections = story.objections();
    assert!(!objections.is_empty() && objections.iter().all(|o| o.contains("FailureDomainsBusy")), "{objections:?}");
    let second = waiting(&story.calls());
    let hold = story.daemon.hold(second).await;
    assert!(matches!(hold, Hold::ProviderUnavailable { .. }), "{hold:?}");
    let first = if second == "r-us" { "r-eu" } else { "r-us" };
    assert_eq!(story.outcome(first).await, Outcome::Succeeded);
    // A person lets it go on; by then there is room.
    assert!(story.order("dana resumes it", Input::Resume { rollout: second.into(), by: "dana".into() }).await);
    assert_eq!(story.outcome(second).await, Outcome::Succeeded);
    let motions = story.calls();
    assert_eq!(most_regions(&motions), 1);
    assert!(between(&motions) >= BAKE);
    story.golden("google_2019/issuer");

    guards.without(&[Guard::BlastRadiusAtIssue, Guard::IssuerBlastRadius]);
    let mut story = open("", ONE_DOMAIN, "descheduled.yaml").await;
    let motions = both_succeed(&mut story).await;
    assert_eq!(most_regions(&motions), 2, "with neither of the two, both locations at once");
}

#[tokio::test(start_paused = true)]
async fn without_that_limit_capacity_keeps_them_apart_golden() {
    let _guards = Guards::in_place();
    let title = "Google, June 2019: no limit of failure domains; capacity that must be left";
    let mut story = open(title, CAPACITY, "descheduled.yaml").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    story.note("half a minute later:");
    let motions = story.calls();
    let explained = story.told(waiting(&motions)).await;
    let too_little = Reason::TooLittleCapacity { left: 40.0, min: 60.0 };
    assert!(explained.stalled.iter().any(|view| view.found.what == too_little), "{:?}", explained.stalled);
    let motions = both_succeed(&mut story).await;
    assert_eq!((motions.len(), most_regions(&motions)), (4, 1));
    assert!(between(&motions) >= BAKE);
    story.golden("google_2019/capacity");

    let mut story = open("", "", "descheduled.yaml").await;
    let motions = both_succeed(&mut story).await;
    assert_eq!(most_regions(&motions), 2, "without any limit, both locations at once");
}
