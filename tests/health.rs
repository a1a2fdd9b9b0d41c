//! The judgement of one look: no evidence but complete, fresh and sufficient evidence is ever a pass.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod sim;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wavegate::engine::health::Evidence;
use wavegate::engine::health::threshold::{Question, judge};
use wavegate::model::observation::{Completeness, Series};
use wavegate::model::pipeline::MissingData;
use wavegate::model::plan::Plan;
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
    }
}

fn good_points() -> Vec<(Timestamp, f64)> {
    (1..=9).rev().map(|n| (minutes_ago(n), 1.0)).collect()
}

fn judged(plan: &Plan, series: Vec<Series>) -> Judgement {
    let cells: BTreeSet<_> = plan.cells.keys().collect();
    let question = Question {
        plan,
        baking: cells.clone(),
        cells,
        bake_since: now().checked_sub(SignedDuration::from_secs(600)).unwrap(),
        need_points: 3,
        as_of_now: false,
        waived: BTreeSet::new(),
        now: now(),
    };
    judge(&question, &Evidence { series, ..Evidence::default() })
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
    let with = |missing| {
        let mut plan = plan();
        plan.health.metrics[0].missing_data = missing;
        let mut points = good_points();
        points.remove(4);
        judged(&plan, vec![series(points)]).verdict
    };
    assert_eq!(with(MissingData::Hold), Verdict::Inconclusive);
    assert_eq!(with(MissingData::Fail), Verdict::Fail);
    assert_eq!(with(MissingData::Ignore), Verdict::Pass);
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

proptest! {
    /// Dropping data never turns fail or inconclusive into a pass where missing data holds.
    #[test]
    fn dropping_data_never_makes_a_pass(values in proptest::collection::vec(0.0..10.0_f64, 9), dropped in proptest::collection::vec(any::<bool>(), 9)) {
        let points: Vec<_> = good_points().into_iter().zip(&values).map(|((at, _), v)| (at, *v)).collect();
        let full = verdict_of(series(points.clone()));
        let kept: Vec<_> = points.into_iter().zip(&dropped).filter(|(_, d)| !**d).map(|(p, _)| p).collect();
        let less = verdict_of(series(kept));
        prop_assert!(less != Verdict::Pass || full == Verdict::Pass);
    }
}
