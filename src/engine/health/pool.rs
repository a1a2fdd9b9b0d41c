//! Thresholds over a wave as a whole (`scope: wave`): the counts of its cells are added up, tick by tick.

use super::evidence::{self, Index, Sample};
use super::threshold::{Question, decide};
use crate::model::ids::CellId;
use crate::model::pipeline::{Cell, Metric, MetricScope, MissingData};
use crate::model::verdict::{Finding, Problem};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What speaks against a pass in the sums of the wave that bakes, and of all other cells that are watched.
pub fn judge(question: &Question<'_>, index: &Index<'_>) -> Vec<Finding> {
    let pooled: Vec<&Metric> = question.health.metrics.iter().filter(|m| m.scope == MetricScope::Wave).collect();
    let (wave, others): (Vec<&Cell>, Vec<&Cell>) = question.cells.iter().partition(|cell| question.bakes(&cell.name));
    let mut findings = Vec::new();
    for (cells, bakes) in [(wave, true), (others, false)] {
        for metric in pooled.iter().filter(|_| !cells.is_empty()) {
            let problems = judge_sum(question, metric, &cells, index, bakes);
            let found = |problem| Finding { cell: None, signal: metric.name.clone(), problem };
            findings.extend(problems.into_iter().map(found));
        }
    }
    findings
}

fn judge_sum(
    question: &Question<'_>,
    metric: &Metric,
    cells: &[&Cell],
    index: &Index<'_>,
    bakes: bool,
) -> Vec<Problem> {
    let names = cells.iter().map(|cell| &cell.name);
    let sums = sums(question, metric, names, index, bakes);
    let asked = f64::from(metric.min_samples);
    let small = |sample: &Sample| matches!(sample, Sample::Counts { total, .. } if *total < asked);
    let judged = sums.values().map(|sum| if small(sum) { None } else { sum.value(metric) });
    let mut problems = decide(metric, &judged.collect::<Vec<_>>(), bakes);
    let fewest = sums.values().filter(|sum| small(sum)).filter_map(|sum| match sum {
        Sample::Counts { total, .. } => Some(*total),
        Sample::Value(_) | Sample::Missing => None,
    });
    let gaps = problems.iter().any(|p| matches!(p, Problem::Missing { .. }));
    if let (true, Some(have)) = (gaps || metric.missing_data == MissingData::Hold, fewest.reduce(f64::min)) {
        problems.push(Problem::TooFewSamples { have, need: metric.min_samples });
    }
    problems
}

/// The sums by tick. A tick that is missing in one cell is missing: the well cells must not speak for one that has fallen silent.
fn sums<'a>(
    question: &Question<'_>,
    metric: &Metric,
    cells: impl Iterator<Item = &'a CellId>,
    index: &Index<'_>,
    bakes: bool,
) -> BTreeMap<Timestamp, Sample> {
    let mut sums: BTreeMap<Timestamp, Sample> = BTreeMap::new();
    for cell in cells {
        for tick in evidence::ticks(question.health, metric, index, cell, &question.span(metric, bakes)).ticks {
            let sum = sums.entry(tick.start).or_insert(Sample::Counts { bad: 0.0, total: 0.0 });
            *sum = match (*sum, tick.sample) {
                (Sample::Counts { bad, total }, Sample::Counts { bad: more, total: of }) => {
                    Sample::Counts { bad: bad + more, total: total + of }
                }
                _ => Sample::Missing,
            };
        }
    }
    sums
}
