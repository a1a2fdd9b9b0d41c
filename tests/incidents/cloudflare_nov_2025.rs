//! Cloudflare, 18 November 2025: a generated file doubled in size, because each row came twice, and health flipped between good and bad.
//! Here the readers have limits and refuse what is there twice, and a metric that flaps fails.

use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, breached, plan, targets};
use crate::wire::Wires;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use wavegate::cloud::sim::MetricFault;
use wavegate::model::change_set::read::TEMPLATE_MAX;
use wavegate::model::document::Diagnostics;
use wavegate::model::document::tree::SIZE_MAX;
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::RevertReason;
use wavegate::model::plan::Plan;
use wavegate::model::time::Millis;
use wavegate::model::verdict::{Problem, Verdict};
use wavegate::model::{change_set, pipeline};

/// A generated pipeline: a row for each cell, `times` over.
fn generated(cells: usize, times: usize) -> String {
    let mut text = String::from("version: 1\nname: generated\nfleet:\n  cells:\n");
    for _ in 0..times {
        for n in 0..cells {
            let share = if n == 0 { 100 } else { 0 };
            writeln!(
                text,
                "    - {{name: cell-{n:05}, account: \"111111111111\", region: eu-west-1, environment: production, traffic_share: {share}, stacks: {{orders: orders-{n:05}}}}}"
            )
            .unwrap();
        }
    }
    text.push_str("waves:\n  - {name: one-box, select: {count: 1}, bake: 10m}\n  - {name: rest, select: {remaining: true}, bake: 10m}\n");
    text.push_str("health: {alarms: [{name: a}]}\n");
    text
}

/// A generated template: a resource for each feature, `times` over under other names.
fn features(count: usize, times: usize) -> String {
    let mut text = String::from("Resources:\n");
    for n in 0..count * times {
        writeln!(text, "  Feature{n:05}: {{Type: AWS::SSM::Parameter, Properties: {{Type: String, Value: f}}}}")
            .unwrap();
    }
    text
}

fn with_template(template: String) -> Result<change_set::Admitted, Diagnostics> {
    let text = "version: 1\nagent: generator\ntitle: New features\nreasoning: Refreshed.\npipeline: default\nstacks:\n  orders:\n    template_file: features.yaml\n";
    change_set::read::read("change.yaml", text.as_bytes(), &|_| Ok(template.clone().into_bytes()))
}

#[test]
fn generated_input_that_doubles_is_refused_by_its_size() {
    let single = generated(4_000, 1);
    assert!(single.len() < SIZE_MAX && single.len() * 2 > SIZE_MAX, "{}", single.len());
    pipeline::read::read("generated.yaml", single.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    let double = generated(4_000, 2);
    let refused = pipeline::read::read("generated.yaml", double.as_bytes()).unwrap_err();
    assert_eq!(refused.all.len(), 1);
    assert_eq!(refused.all[0].message, format!("the file has {} bytes, and {SIZE_MAX} are the most", double.len()));

    let single = features(500, 1);
    assert!(single.len() < TEMPLATE_MAX && single.len() * 2 > TEMPLATE_MAX, "{}", single.len());
    with_template(single).unwrap_or_else(|faults| panic!("{faults}"));
    let double = features(500, 2);
    let wanted = format!("the template has {} bytes, and CloudFormation takes {TEMPLATE_MAX} in a call", double.len());
    let refused = with_template(double).unwrap_err();
    assert_eq!((refused.all[0].line, refused.all[0].message.as_str()), (8, wanted.as_str()), "{refused}");
}

#[test]
fn rows_that_come_twice_are_refused_though_they_are_few() {
    pipeline::read::read("generated.yaml", generated(3, 1).as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
    let refused = pipeline::read::read("generated.yaml", generated(3, 2).as_bytes()).unwrap_err();
    let places: Vec<_> = refused.all.iter().map(|fault| (fault.line, fault.message.as_str())).collect();
    for (row, line) in [("cell-00000", 8), ("cell-00001", 9), ("cell-00002", 10)] {
        assert!(places.iter().any(|(at, said)| *at == line && said.contains(row)), "{places:?}");
    }
}

/// Health of the first cell flips every minute, from the start of its bake on. The pipeline asks for `m` bad points of `n`.
async fn flapping(m: u32, n: u32, flaps: bool) -> (Stage, Plan, Outcome) {
    let mut plan = plan(&[1, 2], GOOD);
    (plan.health.metrics[0].datapoints_to_alarm, plan.health.metrics[0].evaluation_periods) = (m, n);
    for wave in &mut plan.waves {
        (wave.bake, wave.bake_datapoints) = (Millis::from_secs(360), 5);
    }
    let (stage, daemon) = Stage::open(61, &plan, Wires::default()).await;
    daemon.propose(&plan).await;
    daemon.until("a bake", |s| s.rollouts.values().any(|r| r.bake.is_some())).await;
    if flaps {
        let scope = plan.cells[&"cell-00".into()].scope();
        stage.world.break_metric(&scope, "5xx", Some("cell-00"), MetricFault::Flapping);
    }
    let outcome = daemon.outcome("r-test").await;
    (stage, plan, outcome)
}

fn judged(stage: &Stage, as_what: Verdict) -> bool {
    stage.when(|e| matches!(e, Event::HealthJudged { verdict, .. } if *verdict == as_what)).is_some()
}

#[tokio::test(start_paused = true)]
async fn flapping_is_failing() {
    let _guards = Guards::in_place();
    let (stage, plan, outcome) = flapping(2, 3, true).await;
    assert_eq!(outcome, Outcome::Reverted);
    let Some(RevertReason::GateFailed { wave: 0, findings }) = stage.revert_reason() else {
        panic!("{:?}", stage.revert_reason())
    };
    // Never two bad ones in a row, and yet two of three.
    assert_eq!(breached(&findings), BTreeSet::from(["cell-00".into()]));
    assert!(findings.iter().any(|f| matches!(f.problem, Problem::Breach { bad: 2, of: 3, .. })), "{findings:?}");
    assert!(!judged(&stage, Verdict::Pass), "not for a moment, though the newest point was good at many looks");
    assert_eq!(stage.touched(), targets(&plan, &[0]));
    assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]));

    // Without the flapping the same rollout passes; and a detector that waits for two bad ones in a row is blind to it.
    let (_, _, outcome) = flapping(2, 3, false).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let (stage, plan, outcome) = flapping(2, 2, true).await;
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(stage.touched(), targets(&plan, &[0, 1]));
}
