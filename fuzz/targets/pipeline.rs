//! Pipeline files, as an SRE writes them.
//!
//! Both parsers agree on every value and its place; reading twice gives the same; faults are inside the file, in order, and
//! safe to show. An accepted pipeline takes every cell into exactly one wave, and plans to the same digest twice; the plan
//! survives the journal.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::engine::planner;
use wavegate::model::change_set::{Admitted, StackChange};
use wavegate::model::event::Event;
use wavegate::model::ids::Digest;
use wavegate::model::pipeline::check::select_cells;
use wavegate::model::pipeline::{self, Pipeline};
use wavegate_fuzz::documents::{assert_read_alike, read_twice};
use wavegate_fuzz::records::assert_survives;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if let Some(pipeline) = read_twice(bytes, pipeline::read::read) {
        assert_eq!(pipeline.digest, Digest::of_bytes(bytes));
        assert_whole(&pipeline);
        assert_plans(&pipeline);
    }
    assert_read_alike(bytes);
    Corpus::Keep
});

/// INVARIANT: S1. A cell that no wave takes would never be watched; one that two waves take would be changed twice.
fn assert_whole(pipeline: &Pipeline) {
    let names: BTreeSet<_> = pipeline.cells.iter().map(|cell| &cell.name).collect();
    assert_eq!(names.len(), pipeline.cells.len(), "two cells of one name");
    let waves = select_cells(&pipeline.cells, &pipeline.waves);
    let taken: Vec<_> = waves.iter().flatten().collect();
    assert_eq!(taken.len(), pipeline.cells.len(), "a cell is in no wave or in two: {waves:?}");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), names);
    assert!(waves.iter().all(|wave| !wave.is_empty()), "a wave without cells");
    for wave in &pipeline.waves {
        assert!(wave.max_bake >= wave.bake, "the bake cannot end: {wave:?}");
    }
    let health = &pipeline.health;
    assert!(!health.metrics.is_empty() || !health.alarms.is_empty(), "a gate that cannot fire");
    for metric in &health.metrics {
        assert!(metric.fail_when.is_none_or(|threshold| threshold.value.is_finite()) && metric.period_s > 0, "{metric:?}");
        assert!(metric.fail_when.is_some() || metric.compare.is_some(), "a metric that is never judged: {metric:?}");
        assert!((1..=metric.evaluation_periods).contains(&metric.datapoints_to_alarm), "{metric:?}");
    }
}

/// A change of every stack that the fleet has is planned into every cell, twice the same.
fn assert_plans(pipeline: &Pipeline) {
    let keys: BTreeSet<_> = pipeline.cells.iter().flat_map(|cell| cell.stacks.keys()).collect();
    let change = StackChange { tags: Some(BTreeMap::new()), ..StackChange::default() };
    let admitted = Admitted {
        digest: Digest::of_bytes(b""),
        agent: "a".into(),
        title: "t".into(),
        reasoning: "r".into(),
        pipeline: pipeline.name.clone(),
        repairs: BTreeSet::new(),
        stacks: keys.into_iter().map(|key| (key.clone(), change.clone())).collect(),
    };
    let plan = || planner::plan(&admitted, pipeline, "r-1".into(), false, Timestamp::UNIX_EPOCH);
    let first = plan().unwrap_or_else(|errors| panic!("a sound pipeline does not plan: {errors:?}"));
    assert_eq!(Ok(&first), plan().as_ref());
    assert_eq!(first.targets.len(), pipeline.cells.iter().map(|cell| cell.stacks.len()).sum::<usize>());
    assert!(first.waves.iter().all(|wave| wave.max_concurrent > 0), "a wave that cannot move");
    let digest = first.digest().unwrap_or_else(|error| panic!("a sound pipeline's plan has no digest: {error}"));
    let event = Event::RolloutProposed { plan: Arc::new(first), digest: digest.clone(), by: "fuzz".into(), handed_in: None };
    // INVARIANT: S12. The issuer compares the digest with the plan that it reads back.
    let back = serde_json::from_str(&assert_survives(&event));
    let Ok(Event::RolloutProposed { plan, .. }) = back else { panic!("another event: {back:?}") };
    assert_eq!(plan.digest(), Ok(digest));
}
