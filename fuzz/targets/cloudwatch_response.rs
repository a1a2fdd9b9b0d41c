//! What CloudWatch answers: any status, any bytes, whole or torn, through the real SDK, our calls, and the judgement of health.
//!
//! An input is `m` (metrics) or `a` (alarms), then answers (see `wavegate_fuzz::canned`). A series comes back for each query
//! and in its order; nothing is complete that was not said to be; health passes only on points that were there; and what is
//! judged can be written to the journal and read back, since a record that cannot be read keeps the daemon from starting.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;
use wavegate::cloud::Health as _;
use wavegate::engine::health::evidence::{self, Evidence};
use wavegate::engine::health::threshold::{Question, judge};
use wavegate::model::event::Event;
use wavegate::model::ids::CellId;
use wavegate::model::observation::{AlarmState, Completeness, ProviderError, ProviderErrorKind, Series};
use wavegate::model::plan::Plan;
use wavegate::model::time::Millis;
use wavegate::model::verdict::Verdict;
use wavegate_fuzz::canned::{self, Answer, CBOR, World};
use wavegate_fuzz::records::{assert_survives, plan};
use wavegate_fuzz::text::{assert_no_secret, assert_shows_all};

thread_local! {
    static WORLD: World = World::new(CBOR);
}

/// One cell, a metric with sample counts, an expression over two inputs, a metric that counts missing points as bad; two alarms.
const PIPELINE: &str = "
version: 1
name: small
fleet:
  cells:
    - {name: one, account: \"111111111111\", region: eu-west-1, environment: production, stacks: {orders: orders}}
waves:
  - {name: all, select: {remaining: true}, bake: 10m, bake_datapoints: 2}
health:
  metrics:
    - {name: errors, namespace: App, metric: Errors, statistic: Sum, period: 60s, fail_when: \"> 5\", datapoints_to_alarm: 1, evaluation_periods: 2, min_samples: 10}
    - {name: rate, expression: e / r, inputs: {e: {namespace: App, metric: E, statistic: Sum}, r: {namespace: App, metric: R, statistic: Sum}}, period: 60s, fail_when: \"< 0.5\", missing_data: ignore}
    - {name: depth, namespace: App, metric: Depth, statistic: Maximum, period: 300s, fail_when: \">= 100\", missing_data: fail}
  alarms: [{name: pages}, {name: \"depth-{cell}\"}]
";
const CHANGE_SET: &str =
    "{version: 1, agent: a, title: t, reasoning: r, pipeline: small, repairs: [pages], stacks: {orders: {tags: {}}}}";

static PLAN: LazyLock<Plan> = LazyLock::new(|| plan(PIPELINE, CHANGE_SET));

/// 2025-12-31 23:50, ten minutes before the look.
fn bake_since() -> Timestamp {
    Timestamp::constant(1_767_225_000, 0)
}

fn now() -> Timestamp {
    Timestamp::constant(1_767_225_600, 0)
}

fuzz_target!(|input: &[u8]| {
    let Some((operation, rest)) = input.split_first() else { return };
    WORLD.with(|world| match operation {
        b'm' => metrics(world, canned::answers(rest)),
        b'a' => alarms(world, canned::answers(rest)),
        _ => {}
    });
});

fn cells() -> BTreeSet<&'static CellId> {
    PLAN.cells.keys().collect()
}

fn metrics(world: &World, answers: VecDeque<Answer>) {
    let reads = evidence::reads(&PLAN.health, PLAN.cells.values());
    let (scope, chunks) = reads.metrics.first_key_value().expect("a scope");
    let queries = chunks.first().expect("one call");
    let (said, given) = world.play(answers, async |aws| aws.metrics(scope, queries, bake_since(), now()).await);
    let series = match said {
        Ok(series) => series,
        Err(error) => return assert_read_failed(&error, &given),
    };
    assert!(given.last().is_some_and(Answer::is_success), "series from {:?}", given.last());
    assert_eq!(series.len(), queries.len());
    for (series, (query, _)) in series.iter().zip(queries) {
        assert_eq!((&series.cell, &series.metric), (&query.cell, &query.metric));
        assert!(series.points.is_sorted_by(|a, b| a.0 < b.0), "points out of order or twice: {series:?}");
        assert!(series.samples.is_sorted_by(|a, b| a.0 < b.0), "samples out of order or twice: {series:?}");
        let complete = given.iter().any(|answer| answer.says(b"Complete"));
        assert!(series.completeness != Completeness::Complete || complete, "nobody said so: {series:?}");
    }
    let evidence = Evidence { series, to: Some(now()), ..Evidence::default() };
    for baking in [cells(), BTreeSet::new()] {
        look(&evidence, baking);
    }
}

fn alarms(world: &World, answers: VecDeque<Answer>) {
    let names = ["pages".to_owned(), "depth-one".to_owned()];
    let (said, given) = world.play(answers, async |aws| aws.alarms(&world.scope, &names).await);
    let views = match said {
        Ok(views) => views,
        Err(error) => return assert_read_failed(&error, &given),
    };
    assert!(given.last().is_some_and(Answer::is_success), "alarms from {:?}", given.last());
    assert_eq!(views.keys().collect::<Vec<_>>(), ["depth-one", "pages"]);
    for (name, view) in &views {
        assert!(view.as_ref().is_none_or(|view| view.name == *name), "another alarm's state: {view:?}");
        let ok = view.as_ref().is_some_and(|view| view.state == AlarmState::Ok);
        assert!(!ok || given.iter().any(|answer| answer.says(b"OK")), "nobody said so: {view:?}");
    }
    let alarms = views.into_iter().map(|(name, view)| ((world.scope.clone(), name), view)).collect();
    look(&Evidence { alarms, to: Some(now()), ..Evidence::default() }, cells());
}

/// The contract of `cloud::Health`: a read has no effect to be unsure of, and its error is safe to show.
fn assert_read_failed(error: &ProviderError, given: &[Answer]) {
    assert!((1..=64).contains(&given.len()), "{} requests for one call", given.len());
    assert_ne!(error.kind, ProviderErrorKind::Ambiguous);
    let words = format!("{} {}", error.code, error.message);
    assert_shows_all("an error", &words);
    assert_no_secret("an error", &words);
}

/// One look, with each half of the evidence judged as it is: the other half is missing, so that it never passes.
fn look(evidence: &Evidence, baking: BTreeSet<&CellId>) {
    let question = Question {
        health: &PLAN.health,
        cells: PLAN.cells.values().collect(),
        as_of_now: baking.is_empty(),
        baking,
        bake_since: bake_since(),
        need_points: 2,
        waived: BTreeSet::from(["pages"]),
        now: now(),
    };
    let judgement = judge(&question, evidence);
    assert_ne!(judgement.verdict, Verdict::Pass, "half of the evidence passes: {evidence:?}");
    for reading in &judgement.readings {
        assert!(reading.value.is_none_or(f64::is_finite), "not a number: {reading:?}");
        let series = evidence.series.iter().find(|series| series.metric == reading.metric);
        assert!(reading.points == 0 || series.is_some_and(|series| rests(series, reading.points)), "{reading:?}");
        let named =
            |trouble: bool| !trouble || judgement.findings.iter().any(|finding| finding.signal == reading.metric);
        let broken = |series: &Series| series.completeness != Completeness::Complete;
        assert!(named(reading.points == 0), "no point, and nothing is wrong: {judgement:?}");
        assert!(named(series.is_none_or(broken)), "an incomplete series, and nothing is wrong: {judgement:?}");
    }
    assert_survives(&Event::HealthJudged {
        rollout: "r-1".into(),
        wave: 0,
        elapsed: Millis(0),
        verdict: judgement.verdict,
        findings: judgement.findings,
    });
}

/// No more points are judged than have a finite value, and samples enough where they were asked for.
fn rests(series: &Series, points: u32) -> bool {
    let sampled = |at: &Timestamp| {
        let count = series.samples.iter().find(|(time, _)| time == at).map_or(0.0, |(_, count)| *count);
        series.metric != "errors" || (count.is_finite() && count >= 10.0)
    };
    let usable = series.points.iter().filter(|(at, value)| value.is_finite() && sampled(at)).count();
    usize::try_from(points).is_ok_and(|points| points <= usable)
}
