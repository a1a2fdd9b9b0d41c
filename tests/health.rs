//! The judgement of one look: no evidence but complete, fresh and sufficient evidence is ever a pass.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wavegate::engine::health::Evidence;
use wavegate::engine::health::evidence::{self, Quality, Sample, Span};
use wavegate::engine::health::threshold::{Question, judge};
use wavegate::model::observation::{AlarmState, AlarmView, Completeness, ProviderError, ProviderErrorKind, Series};
use wavegate::model::pipeline::{AlarmGate, MetricScope, MetricSource, MissingData, RatioPart};
use wavegate::model::plan::Plan;
use wavegate::model::time::Millis;
use wavegate::model::verdict::{Finding, Judgement, Problem, Verdict};

/// The bake began ten minutes ago, and points have come every minute since.
const NOW: &str = "2026-11-21T10:10:30Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn minutes_ago(n: i64) -> Timestamp {
    let whole = now().as_second().div_euclid(60) * 60;
    Timestamp::from_second(whole - n * 60).unwrap()
}

fn plan() -> Plan {
    sim::plan(&[1], &sim::Change::update(sim::V2))
}

fn series(points: Vec<(Timestamp, f64)>) -> Series {
    Series {
        cell: "cell-00".into(),
        metric: "errors".into(),
        completeness: Completeness::Complete,
        points,
        samples: vec![],
        unit: None,
    }
}

fn good_points() -> Vec<(Timestamp, f64)> {
    (1..=9).rev().map(|n| (minutes_ago(n), 1.0)).collect()
}

fn judged(plan: &Plan, series: Vec<Series>) -> Judgement {
    looked(plan, Evidence { series, ..Evidence::default() })
}

fn looked(plan: &Plan, evidence: Evidence) -> Judgement {
    let question = Question {
        health: &plan.health,
        baking: plan.cells.keys().collect(),
        cells: plan.cells.values().collect(),
        bake_since: now().checked_sub(SignedDuration::from_secs(600)).unwrap(),
        need_points: 3,
        as_of_now: false,
        waived: BTreeSet::new(),
        now: now(),
    };
    judge(&question, &evidence)
}

fn verdict_of(series: Series) -> Verdict {
    judged(&plan(), vec![series]).verdict
}

#[test]
fn good_and_complete_evidence_passes() {
    let judgement = judged(&plan(), vec![series(good_points())]);
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.findings);
}

#[test]
fn evidence_of_any_other_quality_does_not() {
    let with = |change: fn(&mut Series)| {
        let mut series = series(good_points());
        change(&mut series);
        verdict_of(series)
    };
    assert_eq!(judged(&plan(), vec![]).verdict, Verdict::Error, "no series");
    assert_ne!(with(|s| s.points.clear()), Verdict::Pass, "no point");
    assert_eq!(with(|s| s.completeness = Completeness::Partial), Verdict::Error);
    assert_eq!(with(|s| s.completeness = Completeness::Forbidden), Verdict::Error);
    assert_eq!(with(|s| s.completeness = Completeness::InternalError), Verdict::Error);
    assert_eq!(with(|s| s.completeness = Completeness::Unknown("New".into())), Verdict::Error);
    assert_eq!(with(|s| s.points[4].1 = f64::NAN), Verdict::Error);
    assert_eq!(with(|s| s.points[4].1 = f64::INFINITY), Verdict::Error);
    assert_eq!(with(|s| s.points.push((minutes_ago(-3), 1.0))), Verdict::Error, "a point of the future");
    assert_ne!(
        with(|s| s.points.iter_mut().for_each(|(at, _)| *at = minutes_ago(-3))),
        Verdict::Pass,
        "all of the future"
    );
    assert_eq!(with(|s| _ = s.points.remove(4)), Verdict::Inconclusive, "a gap");
    assert_eq!(with(|s| s.points.truncate(3)), Verdict::Inconclusive, "a series that stopped");
    assert_eq!(with(|s| drop(s.points.drain(..7))), Verdict::Inconclusive, "too few");
}

#[test]
fn a_breach_anywhere_in_the_bake_fails_also_when_it_is_over() {
    let mut points = good_points();
    points[2].1 = 9.0;
    let judgement = judged(&plan(), vec![series(points)]);
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert!(
        matches!(judgement.findings[0].problem, Problem::Breach { bad: 1, worst: Some(9.0), .. }),
        "{:?}",
        judgement.findings
    );
}

#[test]
fn m_of_n_needs_m_bad_points_among_n_neighbours() {
    let mut plan = plan();
    plan.health.metrics[0].datapoints_to_alarm = 2;
    plan.health.metrics[0].evaluation_periods = 3;
    let with_bad = |at: &[usize]| {
        let mut points = good_points();
        at.iter().for_each(|n| points[*n].1 = 9.0);
        judged(&plan, vec![series(points)]).verdict
    };
    assert_eq!(with_bad(&[3]), Verdict::Pass);
    assert_eq!(with_bad(&[1, 5]), Verdict::Pass);
    assert_eq!(with_bad(&[3, 5]), Verdict::Fail);
}

#[test]
fn missing_data_is_what_the_pipeline_says() {
    let with = |missing, gone: std::ops::Range<usize>| {
        let mut plan = plan();
        let metric = &mut plan.health.metrics[0];
        (metric.missing_data, metric.datapoints_to_alarm, metric.evaluation_periods) = (missing, 2, 3);
        let mut points = good_points();
        points.drain(gone);
        judged(&plan, vec![series(points)]).verdict
    };
    // One of nine: three real points are there for each evaluation.
    assert_eq!(with(MissingData::Hold, 4..5), Verdict::Inconclusive);
    for missing in [MissingData::Fail, MissingData::NotBreaching, MissingData::Ignore, MissingData::Missing] {
        assert_eq!(with(missing, 4..5), Verdict::Pass, "{missing:?}");
    }
    // Three in a row: an evaluation range of five has two real ones left.
    assert_eq!(with(MissingData::Hold, 3..6), Verdict::Inconclusive);
    assert_eq!(
        with(MissingData::Fail, 3..6),
        Verdict::Inconclusive,
        "one point is filled in; two missing ones could be a breach"
    );
    assert_eq!(with(MissingData::Fail, 2..6), Verdict::Fail, "two are filled in");
    assert_eq!(with(MissingData::Missing, 2..6), Verdict::Inconclusive, "they could be a breach");
    assert_eq!(with(MissingData::NotBreaching, 2..6), Verdict::Pass);
    assert_eq!(with(MissingData::Ignore, 2..6), Verdict::Pass, "what was decided before stays");
    // The wave asks for three points, whatever is said of missing ones.
    for missing in [MissingData::NotBreaching, MissingData::Ignore, MissingData::Missing] {
        assert_ne!(with(missing, 2..9), Verdict::Pass, "{missing:?}");
        assert_ne!(with(missing, 0..9), Verdict::Pass, "{missing:?}");
    }
}

#[test]
fn a_tick_closes_when_its_period_and_the_lag_are_over() {
    let mut plan = plan();
    plan.health.lag = Some(Millis::from_secs(120));
    // Now is half past: ticks up to three minutes ago are closed.
    let verdict = |minute: i64, value: f64| {
        let mut points = good_points();
        points.iter_mut().filter(|(at, _)| *at == minutes_ago(minute)).for_each(|(_, v)| *v = value);
        judged(&plan, vec![series(points)])
    };
    assert_eq!(verdict(3, 9.0).verdict, Verdict::Fail);
    assert_eq!(verdict(2, 9.0).verdict, Verdict::Pass, "a bad point that is not closed");
    assert_eq!(verdict(2, f64::NAN).verdict, Verdict::Pass, "nor may a NaN be the last word");
    assert_eq!(verdict(2, 1.0).readings[0].points, 7);
    let young: Vec<_> = good_points().into_iter().rev().take(3).rev().collect();
    plan.health.metrics[0].missing_data = MissingData::Missing;
    assert_eq!(judged(&plan, vec![series(young)]).verdict, Verdict::Inconclusive, "one closed point of three");
}

#[test]
fn a_series_that_was_there_before_the_bake_and_stopped_has_vanished() {
    let mut points: Vec<_> = (15..25).rev().map(|n| (minutes_ago(n), 1.0)).collect();
    let vanished = |judgement: &Judgement| {
        judgement.findings.iter().any(|f| matches!(f.problem, Problem::Vanished { last } if last == minutes_ago(15)))
    };
    for missing in [MissingData::Hold, MissingData::Ignore, MissingData::Missing, MissingData::NotBreaching] {
        let mut plan = plan();
        plan.health.metrics[0].missing_data = missing;
        let judgement = judged(&plan, vec![series(points.clone())]);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{missing:?}");
        assert!(vanished(&judgement), "{judgement:?}");
    }
    points.extend(good_points());
    assert_eq!(verdict_of(series(points)), Verdict::Pass);
}

#[test]
fn points_in_another_unit_are_an_error() {
    let mut plan = plan();
    let MetricSource::Metric(stat) = &mut plan.health.metrics[0].source else { panic!() };
    stat.unit = Some("Seconds".into());
    let verdict = |unit: Option<&str>| {
        judged(&plan, vec![Series { unit: unit.map(Into::into), ..series(good_points()) }]).verdict
    };
    assert_eq!((verdict(Some("Seconds")), verdict(None)), (Verdict::Pass, Verdict::Pass));
    assert_eq!(verdict(Some("Milliseconds")), Verdict::Error);
}

#[test]
fn what_came_before_an_error_is_judged_and_never_passes() {
    let plan = plan();
    let scope = plan.cells.values().next().unwrap().scope();
    let kind = ProviderErrorKind::Unavailable;
    let error = ProviderError { operation: "GetMetricData".into(), kind, code: String::new(), message: "x".into() };
    let look = |series| {
        looked(&plan, Evidence { series, errors: vec![(scope.clone(), error.clone())], ..Evidence::default() }).verdict
    };
    let mut bad = good_points();
    bad[2].1 = 9.0;
    assert_eq!((look(vec![]), look(vec![series(good_points())])), (Verdict::Error, Verdict::Error));
    assert_eq!(look(vec![series(bad)]), Verdict::Fail);
}

#[test]
fn points_with_too_few_samples_are_missing_points() {
    let mut plan = plan();
    plan.health.metrics[0].min_samples = 100;
    let mut series = series(good_points());
    series.samples = series.points.iter().map(|(at, _)| (*at, 120.0)).collect();
    assert_eq!(judged(&plan, vec![series.clone()]).verdict, Verdict::Pass);
    series.samples[4].1 = 99.0;
    assert_eq!(judged(&plan, vec![series]).verdict, Verdict::Inconclusive);
}

#[test]
fn a_sample_count_that_is_no_number_counts_nothing_and_can_be_recorded() {
    let mut plan = plan();
    plan.health.metrics[0].min_samples = 100;
    for count in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut series = series(good_points());
        series.samples = series.points.iter().map(|(at, _)| (*at, 120.0)).collect();
        series.samples[4].1 = count;
        let judgement = judged(&plan, vec![series]);
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{count}");
        let written = serde_json::to_string(&judgement.findings).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Finding>>(&written).unwrap(), judgement.findings);
    }
}

/// One cell's or three cells' share of bad ones, in percent.
fn ratio_plan(cells: usize, scope: MetricScope) -> Plan {
    let mut plan = sim::plan(&[cells], &sim::Change::update(sim::V2));
    let metric = &mut plan.health.metrics[0];
    let MetricSource::Metric(stat) = metric.source.clone() else { panic!() };
    let (bad, total) = (RatioPart::Metric(stat.clone()), RatioPart::Metric(stat));
    metric.source = MetricSource::Ratio { bad, total, scale: 100.0, absent_bad_is_zero: true };
    metric.scope = scope;
    plan
}

fn counts(cell: &str, bad: &[f64], total: f64) -> Vec<Series> {
    let points = |n: usize| good_points().into_iter().take(n);
    let bad = points(bad.len()).zip(bad).map(|((at, _), bad)| (at, *bad)).collect();
    let total = points(9).map(|(at, _)| (at, total)).collect();
    let of = |name: &str, points| Series { cell: cell.into(), metric: name.into(), ..series(points) };
    vec![of("errors.bad", bad), of("errors.total", total)]
}

#[test]
fn a_ratio_is_judged_by_its_counts() {
    let mut plan = ratio_plan(1, MetricScope::Cell);
    let verdict = |plan: &Plan, bad: &[f64], total: f64| judged(plan, counts("cell-00", bad, total)).verdict;
    assert_eq!(verdict(&plan, &[5.0; 9], 100.0), Verdict::Pass, "5 % is not above 5");
    assert_eq!(verdict(&plan, &[6.0; 9], 100.0), Verdict::Fail);
    assert_eq!(verdict(&plan, &[], 100.0), Verdict::Pass, "no point of the bad ones is none of them");
    assert_ne!(verdict(&plan, &[], 0.0), Verdict::Pass, "nothing was tried");
    assert_eq!(verdict(&plan, &[101.0; 9], 100.0), Verdict::Error, "more bad ones than there were");
    assert_eq!(verdict(&plan, &[-1.0; 9], 100.0), Verdict::Error);
    assert_eq!(judged(&plan, counts("cell-00", &[0.0; 9], 100.0)[..1].to_vec()).verdict, Verdict::Error, "one half");
    plan.health.metrics[0].min_samples = 101;
    assert_eq!(verdict(&plan, &[0.0; 9], 100.0), Verdict::Inconclusive);
    plan.health.metrics[0].min_samples = 0;
    let MetricSource::Ratio { absent_bad_is_zero, .. } = &mut plan.health.metrics[0].source else { panic!() };
    *absent_bad_is_zero = false;
    assert_eq!(verdict(&plan, &[0.0; 8], 100.0), Verdict::Inconclusive);
}

#[test]
fn a_wave_is_judged_by_the_sum_of_its_cells() {
    let cells = ["cell-00", "cell-01", "cell-02"];
    let series = |bad: [f64; 3]| cells.iter().zip(bad).flat_map(|(cell, bad)| counts(cell, &[bad; 9], 100.0)).collect();
    let look = |plan: &Plan, bad| judged(plan, series(bad));
    let (cell, mut wave) = (ratio_plan(3, MetricScope::Cell), ratio_plan(3, MetricScope::Wave));
    assert_eq!(look(&cell, [12.0, 0.0, 0.0]).verdict, Verdict::Fail);
    assert_eq!(look(&wave, [12.0, 0.0, 0.0]).verdict, Verdict::Pass, "4 % of all");
    let judgement = look(&wave, [16.0, 0.0, 0.0]);
    assert!(
        matches!(&judgement.findings[..], [Finding { cell: None, problem: Problem::Breach { .. }, .. }]),
        "{judgement:?}"
    );
    // The samples of the wave are asked, not those of a cell.
    wave.health.metrics[0].min_samples = 250;
    assert_eq!(look(&wave, [1.0; 3]).verdict, Verdict::Pass);
    wave.health.metrics[0].min_samples = 301;
    assert_eq!(look(&wave, [1.0; 3]).verdict, Verdict::Inconclusive);
    wave.health.metrics[0].min_samples = 0;
    // The well cells do not speak for one that has fallen silent.
    let mut silent: Vec<Series> = series([1.0; 3]);
    silent[5].points.truncate(4);
    assert_eq!(judged(&wave, silent).verdict, Verdict::Inconclusive);
}

#[test]
fn ticks_are_closed_ones_without_a_gap_and_late_points_are_told() {
    let plan = ratio_plan(1, MetricScope::Cell);
    let evidence = Evidence { series: counts("cell-00", &[3.0; 4], 100.0), ..Evidence::default() };
    let span = |closed_until| Span { from: minutes_ago(5), now: now(), closed_until };
    let ticks = |closed| {
        let (health, cell) = (&plan.health, "cell-00".into());
        evidence::ticks(health, &health.metrics[0], &evidence.index(), &cell, &span(closed))
    };
    let set = ticks(None);
    assert_eq!(
        set.ticks.iter().map(|t| t.start).collect::<Vec<_>>(),
        (1..=5).rev().map(minutes_ago).collect::<Vec<_>>()
    );
    assert_eq!((set.quality, set.newest, set.before), (Quality::Complete, Some(minutes_ago(1)), Some(minutes_ago(6))));
    assert_eq!(set.ticks[0].sample, Sample::Counts { bad: 0.0, total: 100.0 });
    assert!(set.late.is_empty());
    let set = ticks(Some(minutes_ago(3)));
    assert_eq!(set.ticks.iter().map(|t| t.start).collect::<Vec<_>>(), [minutes_ago(2), minutes_ago(1)]);
    assert_eq!(set.late, [minutes_ago(5), minutes_ago(4), minutes_ago(3)]);
}

fn alarm_verdict(gates: &[&str], with_metric: bool, alarms: Vec<(&str, Option<AlarmView>)>) -> Verdict {
    let mut plan = plan();
    plan.health.alarms = gates.iter().map(|name| AlarmGate { name: (*name).into() }).collect();
    if !with_metric {
        plan.health.metrics.clear();
    }
    let scope = plan.cells.values().next().unwrap().scope();
    let alarms = alarms.into_iter().map(|(name, view)| ((scope.clone(), name.to_owned()), view)).collect();
    looked(&plan, Evidence { series: vec![series(good_points())], alarms, ..Evidence::default() }).verdict
}

fn alarm(name: &str, state: AlarmState) -> AlarmView {
    let (reason, since, evaluation_trouble) = (String::new(), None, None);
    let (composite, muted, several_series) = (false, None, false);
    AlarmView { name: name.into(), state, reason, since, evaluation_trouble, composite, muted, several_series }
}

#[test]
fn an_alarm_that_cannot_say_no_is_no_gate() {
    let one = |view| alarm_verdict(&["a"], true, vec![("a", view)]);
    assert_eq!(one(Some(alarm("a", AlarmState::Ok))), Verdict::Pass);
    assert_eq!(one(Some(alarm("a", AlarmState::Alarm))), Verdict::Fail);
    assert_eq!(one(Some(alarm("a", AlarmState::InsufficientData))), Verdict::Inconclusive);
    assert_ne!(one(None), Verdict::Pass, "vanished");
    for state in [AlarmState::Ok, AlarmState::Alarm] {
        let muted = AlarmView { muted: Some("its actions are disabled".into()), ..alarm("a", state) };
        assert_eq!(one(Some(muted)), Verdict::Inconclusive);
    }
    let several = |name| Some(AlarmView { several_series: true, ..alarm(name, AlarmState::Ok) });
    assert_eq!(one(several("a")), Verdict::Pass, "beside a metric");
    assert_eq!(alarm_verdict(&["a"], false, vec![("a", several("a"))]), Verdict::Error, "alone");
    assert_eq!(alarm_verdict(&["a", "b"], false, vec![("a", several("a")), ("b", several("b"))]), Verdict::Error);
    let other = ("b", Some(alarm("b", AlarmState::Ok)));
    assert_eq!(alarm_verdict(&["a", "b"], false, vec![("a", several("a")), other]), Verdict::Pass);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Dropping data never turns fail or inconclusive into a pass, where missing data is not said to be good or of no matter.
    #[test]
    fn dropping_data_never_makes_a_pass(
        values in proptest::collection::vec(0.0..10.0_f64, 9),
        limit in 0.0..10.0_f64,
        dropped in proptest::collection::vec(proptest::bool::weighted(0.3), 9),
        (m, more) in (1_u32..4, 0_u32..3),
        missing in proptest::sample::select(vec![MissingData::Hold, MissingData::Fail, MissingData::Missing]),
    ) {
        let mut plan = plan();
        let metric = &mut plan.health.metrics[0];
        (metric.missing_data, metric.datapoints_to_alarm, metric.evaluation_periods) = (missing, m, m + more);
        metric.fail_when.as_mut().unwrap().value = limit;
        let points: Vec<_> = good_points().into_iter().zip(&values).map(|((at, _), v)| (at, *v)).collect();
        let full = judged(&plan, vec![series(points.clone())]).verdict;
        let kept: Vec<_> = points.into_iter().zip(&dropped).filter(|(_, d)| !**d).map(|(p, _)| p).collect();
        let less = judged(&plan, vec![series(kept)]);
        prop_assert!(less.verdict != Verdict::Pass || full == Verdict::Pass, "{less:?}");
    }
}
