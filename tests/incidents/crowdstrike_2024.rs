//! CrowdStrike, July 2024: "content" went everywhere at once because only code was staged, and the hosts that died sent no telemetry. Here
//! a change of a parameter or a tag goes wave by wave like any other, and silence is not health.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BASE, Stage, plan, targets};
use crate::wire::Wires;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wavegate::cloud::sim::MetricFault;
use wavegate::guard::Guard;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::{Hold, RevertReason};
use wavegate::model::pipeline::MissingData;
use wavegate::model::plan::Plan;
use wavegate::model::stack::ParameterInput;
use wavegate::model::time::Millis;
use wavegate::model::verdict::Problem;

/// What changes without a new template.
#[derive(Clone, Copy, Debug)]
enum Content {
    Parameter,
    Tag,
}

/// A rollout of content alone: every stack keeps its template.
fn content(kind: Content, waves: &[usize]) -> Plan {
    let mut plan = plan(waves, BASE);
    plan.templates.clear();
    for target in plan.targets.values_mut() {
        (target.template, target.declared) = (None, None);
        match kind {
            Content::Parameter => drop(target.parameters.insert("Delay".into(), ParameterInput::Value("45".into()))),
            Content::Tag => target.tags = Some(BTreeMap::from([("team".into(), "content".into())])),
        }
    }
    plan
}

async fn open(plan: &Plan) -> (Stage, Daemon) {
    let (stage, daemon) = Stage::open(31, plan, Wires::default()).await;
    daemon.propose(plan).await;
    (stage, daemon)
}

/// Waves whose first operation began at the provider before the gate of the wave before had passed.
fn waves_that_jumped(stage: &Stage, plan: &Plan) -> BTreeSet<usize> {
    let gate = |of: usize| stage.when(|e| matches!(e, Event::GatePassed { wave, .. } if *wave == of));
    let began = stage.began(Direction::Forward);
    let jumped = began.iter().filter(|(at, id)| {
        let wave = plan.targets[id].wave;
        wave > 0 && gate(wave - 1).is_none_or(|passed| passed > *at)
    });
    jumped.map(|(_, id)| plan.targets[id].wave).collect()
}

#[tokio::test(start_paused = true)]
async fn content_goes_wave_by_wave_too() {
    let guards = Guards::in_place();
    for kind in [Content::Parameter, Content::Tag] {
        guards.without(&[]);
        let plan = content(kind, &[1, 2, 4]);
        let (stage, daemon) = open(&plan).await;
        let before = stage.contents(&plan);
        assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded, "{kind:?}");
        assert_eq!(stage.touched(), targets(&plan, &[0, 1, 2]), "{kind:?}");
        assert!(stage.contents(&plan).iter().all(|(id, content)| before[id] != *content), "{kind:?}");
        assert_eq!(waves_that_jumped(&stage, &plan), BTreeSet::new(), "{kind:?}");
        let gates = stage.record().into_iter().filter(|(_, e)| matches!(e, Event::GatePassed { .. })).count();
        assert_eq!(gates, 3, "{kind:?}");

        guards.without(&[Guard::GateBeforeWave, Guard::IssuerGates]);
        let (stage, daemon) = open(&plan).await;
        daemon.outcome("r-test").await;
        assert_eq!(waves_that_jumped(&stage, &plan), BTreeSet::from([1, 2]), "{kind:?}: all at once");
    }
}

/// The first wave's hosts die of the content: what they sent last was good.
async fn they_fall_silent(plan: &Plan) -> (Stage, Daemon) {
    let (stage, daemon) = open(plan).await;
    daemon.until("a bake", |s| s.rollouts.values().any(|r| r.bake.is_some())).await;
    let cell = &plan.cells[&"cell-00".into()];
    let now = stage.world.wall();
    stage.world.break_metric(&cell.scope(), "5xx", Some("cell-00"), MetricFault::MissingFrom(now));
    (stage, daemon)
}

#[tokio::test(start_paused = true)]
async fn silence_holds_the_next_wave_and_pages() {
    let guards = Guards::in_place();
    let plan = content(Content::Parameter, &[1, 2]);
    let (stage, daemon) = they_fall_silent(&plan).await;
    let Hold::BakeInconclusive { wave: 0, after, findings } = daemon.hold("r-test").await else {
        panic!("{:?}", stage.holds())
    };
    assert!(after >= plan.waves[0].max_bake && after < plan.waves[0].max_bake.plus(Millis::from_secs(60)), "{after}");
    let silent = |p: &Problem| {
        matches!(p, Problem::Missing { .. } | Problem::TooFewPoints { have: 0, .. } | Problem::Vanished { .. })
    };
    assert!(!findings.is_empty() && findings.iter().all(|f| f.cell == Some("cell-00".into()) && silent(&f.problem)));
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(stage.touched(), targets(&plan, &[0]), "nobody resumes it: it does not go on by itself");
    // And a person can take it back.
    daemon.send_back("r-test").await;
    assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);

    guards.without(&[Guard::EvidenceComplete]);
    let (stage, daemon) = they_fall_silent(&plan).await;
    assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded, "silence passes for health");
    assert_eq!(stage.touched(), targets(&plan, &[0, 1]));
}

#[tokio::test(start_paused = true)]
async fn where_the_pipeline_says_so_silence_is_failing() {
    let _guards = Guards::in_place();
    let mut plan = content(Content::Tag, &[1, 2]);
    plan.health.metrics[0].missing_data = MissingData::Fail;
    let (stage, daemon) = they_fall_silent(&plan).await;
    let before = stage.contents(&plan);
    assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
    let Some(RevertReason::GateFailed { wave: 0, findings }) = stage.revert_reason() else {
        panic!("{:?}", stage.revert_reason())
    };
    assert!(findings.iter().any(|f| matches!(f.problem, Problem::Breach { worst: None, .. })), "{findings:?}");
    assert_eq!(stage.touched(), targets(&plan, &[0]));
    let after = stage.contents(&plan);
    let changed: Vec<_> = before.iter().filter(|(id, content)| after[*id] != **content).map(|(id, _)| id).collect();
    assert_eq!(changed, [&"cell-00/orders".into()], "the first wave alone is put back");
}
