//! AWS, December 2021: retries fed the overload that they came from, and monitoring was blind, for it was behind the same network. Here
//! each attempt takes its turn in a budget that shrinks while the provider throttles, attempts are spread out, and no data is no pass.

use crate::daemon::Daemon;
use crate::guards::Guards;
use crate::stage::{BAD, BASE, GOOD, Stage, plan, regions, targets};
use crate::wire::{Wires, throttled};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use wavegate::cloud::budget::BudgetOptions;
use wavegate::cloud::retry::{Failure, RetryPolicy, retry};
use wavegate::cloud::sim::MetricFault;
use wavegate::engine::decide::Input;
use wavegate::guard::Guard;
use wavegate::model::event::Outcome;
use wavegate::model::halt::Hold;
use wavegate::model::observation::ProviderErrorKind;
use wavegate::model::plan::Plan;
use wavegate::model::verdict::Problem;

const BUDGET: BudgetOptions = BudgetOptions {
    burst: 10,
    per_second: 5.0,
    reserved_percent: 20,
    max_in_flight: 32,
    quiet: Duration::from_secs(10),
};

/// The lowest rate that the budget falls to, for each second and region (`cloud/budget.rs`).
const LOWEST: usize = 2;

/// Thirty-one cells, all at once.
fn wide() -> Plan {
    let mut plan = plan(&[1, 30], GOOD);
    plan.waves[1].max_concurrent = 30;
    plan
}

/// The provider turns everything away from the first steps of the rollout on. The most attempts that a region got in a second in the second
/// five minutes of it, and how many there were in all.
async fn storm() -> (Stage, Daemon, usize, usize) {
    let plan = wide();
    let (stage, daemon) = Stage::open(101, &plan, Wires { budget: Some(BUDGET), ..Wires::default() }).await;
    daemon.propose(&plan).await;
    daemon
        .until("a restore point", |s| {
            s.rollouts.values().any(|r| r.targets.values().any(|t| t.restore_point.is_some()))
        })
        .await;
    stage.wires.overloaded.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let settled = Instant::now();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let peak = stage.wires.peak(Duration::from_secs(1), settled);
    let all = stage.wires.sent_since(settled);
    (stage, daemon, peak, all)
}

#[tokio::test(start_paused = true)]
async fn retries_do_not_feed_the_overload() {
    let guards = Guards::in_place();
    let (stage, daemon, peak, all) = storm().await;
    let places = regions(&wide()).len();
    // Down to the lowest rate and what is reserved of it; and all of it bounded, though 31 targets want to go on.
    assert!(peak <= LOWEST + 3, "{peak} in a second");
    assert!(all <= 300 * LOWEST * places, "{all} attempts in five minutes");
    let most = stage.wires.peak(Duration::from_secs(1), Instant::now() - Duration::from_secs(600));
    assert!(most <= (BUDGET.burst + 5) as usize, "{most} when it began");
    // It said so and waits for a person, and nothing was touched.
    let hold = daemon.hold("r-test").await;
    assert!(
        matches!(&hold, Hold::ProviderUnavailable { error, .. } if error.kind == ProviderErrorKind::Throttled),
        "{hold:?}"
    );
    assert!(stage.touched().is_empty());
    // When the provider is well again and somebody lets it go on, it comes to its end, and within the budget.
    stage.wires.overloaded.store(false, Ordering::Relaxed);
    let well = Instant::now();
    daemon.input(Input::Resume { rollout: "r-test".into(), by: "on-call".into() }).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.holds().len(), 1, "what failed before does not hold it again: {:?}", stage.holds());
    assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded);
    let peak = stage.wires.peak(Duration::from_secs(1), well);
    assert!(peak <= (BUDGET.burst + 5) as usize, "{peak} when it was over");

    guards.without(&[Guard::CallBudget]);
    let (stage, _daemon, _, _) = storm().await;
    let unbounded = stage.wires.peak(Duration::from_secs(1), Instant::now() - Duration::from_secs(600));
    assert!(unbounded > 2 * most, "{unbounded} attempts in a second without the budget, {most} with it");
}

#[tokio::test(start_paused = true)]
async fn callers_that_fail_together_do_not_come_back_together() {
    let began = Instant::now();
    let attempts: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let callers = (0..200).map(|seed| {
        let attempts = Arc::clone(&attempts);
        tokio::spawn(async move {
            let call = || {
                attempts.lock().unwrap().push(began.elapsed());
                std::future::ready(Err::<(), _>(Failure::Again(throttled())))
            };
            retry(&RetryPolicy::READ, seed, call, |_, _| {}).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap().is_err());
    }
    let attempts = attempts.lock().unwrap();
    let within = |ms: u64| attempts.iter().filter(|at| at.as_millis() / 20 == u128::from(ms / 20)).count();
    assert!(within(0) >= 200, "all begin at once");
    let crowd = (20..60_000).step_by(20).map(within).max().unwrap();
    assert!(crowd <= 40, "{crowd} of 200 in the same 20 ms");
    assert!(attempts.len() <= 200 * 8, "and each gives up: {}", attempts.len());
}

/// Monitoring goes blind, in every cell and before the change shows what it does.
async fn blind(fault: impl Fn(jiff::Timestamp) -> MetricFault) -> (Stage, Daemon, Plan) {
    let plan = plan(&[1, 5], BAD);
    let (stage, daemon) = Stage::open(102, &plan, Wires::default()).await;
    daemon.propose(&plan).await;
    daemon.until("a bake", |s| s.rollouts.values().any(|r| r.bake.is_some())).await;
    // From the newest minute on, which is not over yet.
    let fault = fault(stage.world.wall().checked_sub(jiff::SignedDuration::from_secs(60)).unwrap());
    for cell in plan.cells.values() {
        stage.world.break_metric(&cell.scope(), "5xx", None, fault);
    }
    (stage, daemon, plan)
}

#[tokio::test(start_paused = true)]
async fn blind_monitoring_passes_no_gate() {
    let guards = Guards::in_place();
    let faults: [fn(jiff::Timestamp) -> MetricFault; 3] =
        [MetricFault::MissingFrom, |_| MetricFault::InternalError, |_| MetricFault::Forbidden];
    for fault in faults {
        guards.without(&[]);
        let (stage, daemon, plan) = blind(fault).await;
        let Hold::BakeInconclusive { wave: 0, findings, .. } = daemon.hold("r-test").await else {
            panic!("{:?}", stage.holds())
        };
        let no_data = |p: &Problem| {
            matches!(
                p,
                Problem::Missing { .. }
                    | Problem::Vanished { .. }
                    | Problem::TooFewPoints { .. }
                    | Problem::SourceTrouble { .. }
                    | Problem::Forbidden
            )
        };
        assert!(!findings.is_empty() && findings.iter().all(|f| no_data(&f.problem)), "{findings:?}");
        assert_eq!(stage.touched(), targets(&plan, &[0]));
        // It is bad, as is seen when monitoring is back: then it goes back by itself, held or not.
        stage.world.mend_metrics();
        assert_eq!(daemon.outcome("r-test").await, Outcome::Reverted);
        assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]));

        guards.without(&[Guard::EvidenceComplete]);
        let (stage, daemon, plan) = blind(fault).await;
        assert_eq!(daemon.outcome("r-test").await, Outcome::Succeeded, "no data passes");
        assert_eq!(stage.with_template(&plan, BAD), targets(&plan, &[0, 1]), "and the bad change is everywhere");
    }
}
