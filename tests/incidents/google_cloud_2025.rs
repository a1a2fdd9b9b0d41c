//! Google Cloud, June 2025: a policy with blank fields was global within seconds, and when the services came back they all came back at
//! once. Here blanks are refused, nothing is global at once, reverts are staggered, and a restart keeps to the call budget.

use crate::guards::Guards;
use crate::stage::{BAD, BASE, GOOD, Stage, plan, runs, targets};
use crate::wire::Wires;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use wavegate::cloud::budget::BudgetOptions;
use wavegate::guard::Guard;
use wavegate::model::document::Diagnostics;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::TargetId;
use wavegate::model::{change_set, pipeline};

fn places(refused: &Diagnostics) -> Vec<(usize, usize)> {
    refused.all.iter().map(|fault| (fault.line, fault.column)).collect()
}

#[test]
fn blank_fields_are_refused_in_their_place() {
    let sound = "version: 1\nagent: policy\ntitle: Quota policy\nreasoning: r\npipeline: default\nstacks:\n  orders:\n    parameters: {Delay: \"9\"}\n";
    let read = |text: &str| change_set::read::read("policy.yaml", text.as_bytes(), &|_| Err("none".into()));
    read(sound).unwrap_or_else(|faults| panic!("{faults}"));
    for (from, to, place) in [
        ("agent: policy", "agent: \"\"", (2, 8)),
        ("agent: policy", "agent:", (2, 1)),
        ("title: Quota policy", "title: \"  \"", (3, 8)),
        ("reasoning: r", "reasoning: ''", (4, 12)),
        ("pipeline: default", "pipeline: \"\"", (5, 11)),
        ("parameters: {Delay: \"9\"}", "parameters: {Delay: }", (8, 23)),
    ] {
        let refused = read(&sound.replace(from, to)).expect_err(to);
        assert_eq!(places(&refused), [place], "{to}: {refused}");
        assert!(refused.to_string().contains(&format!("policy.yaml:{}:{}", place.0, place.1)), "{refused}");
    }

    let sound = "version: 1\nname: p\nfleet:\n  cells:\n    - {name: c, account: \"111111111111\", region: eu-west-1, environment: production, traffic_share: 100, stacks: {orders: orders}}\nwaves:\n  - name: all\n    select: {remaining: true}\n    bake: 10m\nhealth:\n  alarms:\n    - name: a\n";
    let read = |text: &str| pipeline::read::read("pipeline.yaml", text.as_bytes());
    read(sound).unwrap_or_else(|faults| panic!("{faults}"));
    for (from, to, line) in [
        ("name: p\n", "name: \"\"\n", 2),
        ("region: eu-west-1", "region: \"\"", 5),
        ("bake: 10m", "bake:", 9),
        ("- name: a\n", "- name: \"\"\n", 12),
        ("    - name: a\n", "    -\n", 12),
    ] {
        let refused = read(&sound.replace(from, to)).expect_err(to);
        assert!(places(&refused).iter().any(|(at, column)| *at == line && *column > 0), "{to}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_policy_reaches_one_cell_and_not_the_globe() {
    let guards = Guards::in_place();
    let plan = plan(&[1, 3, 8], BAD);
    for removed in [&[][..], &[Guard::GateBeforeWave, Guard::IssuerGates][..]] {
        guards.without(removed);
        let (stage, daemon) = Stage::open(91, &plan, Wires::default()).await;
        daemon.propose(&plan).await;
        let outcome = daemon.outcome("r-test").await;
        if removed.is_empty() {
            assert_eq!(outcome, Outcome::Reverted);
            assert!(matches!(stage.revert_reason(), Some(RevertReason::GateFailed { wave: 0, .. })));
            assert_eq!(stage.touched(), targets(&plan, &[0]), "one cell of twelve");
            assert!(stage.when(|e| matches!(e, Event::WaveStarted { wave: 1, .. })).is_none());
            assert_eq!(stage.with_template(&plan, BASE).len(), 12);
        } else {
            let began = stage.began(Direction::Forward);
            assert_eq!(stage.touched(), targets(&plan, &[0, 1, 2]));
            assert!(began[11].0.duration_since(began[0].0).as_secs() < 120, "global within two minutes");
        }
    }
}

/// The most targets that were at the provider at once on their way back.
fn most_at_once(stage: &Stage) -> usize {
    let mut going: BTreeSet<TargetId> = BTreeSet::new();
    let mut most = 0;
    for (_, event) in stage.record() {
        match event {
            Event::OperationIntended { target, operation, .. } if operation.direction == Direction::Revert => {
                going.insert(target);
            }
            Event::OperationEnded { target, .. } => drop(going.remove(&target)),
            _ => {}
        }
        most = most.max(going.len());
    }
    most
}

#[tokio::test(start_paused = true)]
async fn reverts_are_staggered() {
    let _guards = Guards::in_place();
    for (percent, at_once) in [(25.0, 2), (100.0, 8)] {
        let mut plan = plan(&[1, 8], GOOD);
        plan.revert.max_concurrent_percent = percent;
        plan.waves[1].max_concurrent = 2;
        let (stage, daemon) = Stage::open(92, &plan, Wires::default()).await;
        daemon.propose(&plan).await;
        daemon
            .until("the second bake", |s| s.rollouts.values().any(|r| r.bake.as_ref().is_some_and(|b| b.wave == 1)))
            .await;
        daemon.send_back("r-test").await;
        assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
        assert_eq!(most_at_once(&stage), at_once, "{percent} % of eight");
        assert_eq!(stage.began(Direction::Revert).len(), 9);
    }
}

/// Four calls a second and region in the long run, six at once after a rest.
const BUDGET: BudgetOptions = BudgetOptions {
    burst: 6,
    per_second: 4.0,
    reserved_percent: 20,
    max_in_flight: 32,
    quiet: Duration::from_secs(10),
};

/// The daemon dies with forty cells under way and comes back. The most calls that a region got within a second after that.
async fn herd() -> usize {
    let mut plan = plan(&[1, 42], GOOD);
    plan.waves[1].max_concurrent = 42;
    for target in plan.targets.values_mut() {
        // All in one region: the worst case for it.
        target.scope.region = "eu-west-1".into();
    }
    for cell in plan.cells.values_mut() {
        cell.region = "eu-west-1".into();
    }
    let wires = Wires { budget: Some(BUDGET), ..Wires::default() };
    let (mut stage, daemon) = Stage::open(93, &plan, wires).await;
    daemon.propose(&plan).await;
    daemon.until("mid-wave", |s| runs(s, 1)).await;
    daemon.kill_9().await;
    let restarted = Instant::now();
    let daemon = stage.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let peak = stage.wires.peak(Duration::from_secs(1), restarted);
    assert!(stage.wires.sent_since(restarted) > 20, "it does work");
    assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded);
    peak
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_no_herd() {
    let guards = Guards::in_place();
    let within = (BUDGET.burst + 4) as usize;
    let peak = herd().await;
    assert!(peak <= within, "{peak} calls in a second, and the budget has {within}");
    guards.without(&[Guard::CallBudget]);
    let peak = herd().await;
    assert!(peak > 2 * within, "without the budget only {peak}");
}
