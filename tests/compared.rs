//! Rollouts whose gate compares changed cells with untouched ones, over the embedded world: the real daemon, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use sim::{Change, Harness, V2, V2_BAD};
use wavegate::model::comparison::{Baseline, Compared};
use wavegate::model::event::{Event, Outcome};
use wavegate::model::halt::RevertReason;
use wavegate::model::pipeline::{Compare, Worse};
use wavegate::model::plan::Plan;
use wavegate::model::time::Millis;
use wavegate::model::verdict::Problem;

/// Without a threshold: only the comparison can find anything.
fn plan(waves: &[usize], template: &'static str, detect: f64) -> Plan {
    let mut plan = sim::plan(waves, &Change::update(template));
    plan.health.compare = Some(Compare { history: Millis::from_secs(3600), detect, ..Compare::default() });
    // The embedded world publishes a point two seconds after its period.
    plan.health.lag = Some(Millis::from_secs(5));
    let metric = &mut plan.health.metrics[0];
    (metric.fail_when, metric.compare) = (None, Some(Worse::Higher));
    for wave in &mut plan.waves {
        (wave.bake, wave.max_bake) = (Millis::from_secs(1200), Millis::from_secs(2400));
    }
    plan
}

fn baselines(events: &[Event]) -> Vec<&Baseline> {
    events
        .iter()
        .filter_map(|e| if let Event::BaselineTaken { baseline, .. } = e { Some(&**baseline) } else { None })
        .collect()
}

fn compared(events: &[Event]) -> Vec<&Compared> {
    events
        .iter()
        .filter_map(|e| if let Event::TicksCompared { compared, .. } = e { Some(&**compared) } else { None })
        .collect()
}

fn reverted_by_comparison(events: &[Event]) -> bool {
    let by = |event: &Event| match event {
        Event::RevertStarted { reason: RevertReason::GateFailed { findings, .. }, .. } => {
            findings.iter().any(|f| matches!(f.problem, Problem::WorseThanUntouched { .. }))
        }
        _ => false,
    };
    events.iter().any(by)
}

#[tokio::test(start_paused = true)]
async fn a_healthy_change_passes_and_its_history_was_frozen_before_the_first_wave() {
    let mut h = Harness::new(11, &[1, 2, 3]).await;
    h.propose_plan(plan(&[1, 2, 3], V2, 20.0)).await;
    assert_eq!(h.run_to_end().await, Outcome::Succeeded);
    let events = h.events();
    assert_eq!(baselines(&events).len(), 1);
    let at = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let taken = at(|e| matches!(e, Event::BaselineTaken { .. }));
    assert!(taken < at(|e| matches!(e, Event::WaveStarted { .. })));
    assert!(!compared(&events).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bad_change_is_reverted_by_comparison_alone_also_over_a_crash() {
    for crash in [false, true] {
        let mut h = Harness::new(12, &[1, 2, 3]).await;
        h.propose_plan(plan(&[1, 2, 3], V2_BAD, 20.0)).await;
        if crash {
            let seen = |event: &Event| matches!(event, Event::TicksCompared { .. });
            h.run_until(move |core| core.state().rollouts.values().any(|r| r.compared.is_some())).await;
            assert!(h.events().iter().any(seen));
            h.crash().await;
        }
        assert_eq!(h.run_to_end().await, Outcome::Reverted, "crash: {crash}");
        let events = h.events();
        assert!(reverted_by_comparison(&events), "crash: {crash}");
        assert_eq!(baselines(&events).len(), 1);
        // No tick is taken in twice.
        let ends: Vec<_> = compared(&events).iter().map(|c| c.metrics[0].closed).collect();
        assert!(ends.is_sorted(), "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_only_looks_learns_what_the_gates_can_see() {
    let mut h = Harness::new(13, &[1, 2]).await;
    h.propose_plan(Plan { look_only: true, ..plan(&[1, 2], V2, 2.0) }).await;
    assert_eq!(h.run_to_end().await, Outcome::Cancelled);
    let events = h.events();
    assert_eq!(baselines(&events).len(), 1);
    assert!(!events.iter().any(|e| matches!(e, Event::WaveStarted { .. } | Event::OperationIntended { .. })));
    let plan = plan(&[1, 2], V2, 2.0);
    let forecast = wavegate::api::comparing::forecast(&plan, Some(baselines(&events)[0]));
    assert!(forecast.lines.iter().any(|line| line.contains("×2 ")), "{forecast:?}");
    assert!(forecast.lines.iter().any(|line| line.contains("no untouched cell")), "{forecast:?}");
}
