//! One tick of a large fleet: 2,000 cells × 6 metrics, half of the cells changed, ten minutes into a bake. `cargo bench --bench gate`.
//!
//! Measured on one core: what the comparison takes for one tick that has closed, and what thresholds take for the whole look.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot build its fleet has nothing to measure")]

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wavegate::engine::health::Evidence;
use wavegate::engine::health::gate::{self, Look, Standing};
use wavegate::engine::health::threshold::{self, Question};
use wavegate::model::comparison::Compared;
use wavegate::model::ids::CellId;
use wavegate::model::observation::{Completeness, Series};
use wavegate::model::pipeline::{
    Cell, Compare, Comparison, Health, Metric, MetricSource, MissingData, RatioPart, StatTemplate, Threshold, Worse,
};
use wavegate::model::time::Millis;

const CELLS: usize = 2_000;
/// Of the six metrics, so many are ratios with counts.
const RATIOS: usize = 4;
const VALUES: usize = 2;
const HISTORY: i64 = 60;
const BAKE: i64 = 10;
const ROUNDS: usize = 15;

fn main() {
    let health = health();
    let cells: Vec<Cell> = (0..CELLS).map(cell).collect();
    let before = evidence(&cells, HISTORY);
    let compare = health.compare.as_ref().unwrap();
    let started = Instant::now();
    let baseline = gate::learn(&look(&health, &cells, &before, at(HISTORY)), compare, &[Millis(3_600_000)]);
    println!("learnt from {HISTORY} minutes of history in {:.0} ms, once a rollout", ms(started.elapsed()));
    let standing: Vec<Standing> = (0..CELLS).map(|n| standing(n < CELLS / 2)).collect();
    let mut compared = Compared::default();
    let early = evidence(&cells, HISTORY + BAKE - 1);
    gate::step(&look(&health, &cells, &early, at(HISTORY + BAKE - 1)), &baseline, &standing, &mut compared);
    let read = evidence(&cells, HISTORY + BAKE);
    let (mut steps, mut looks, mut both): (Vec<_>, Vec<_>, Vec<_>) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut compared = compared.clone();
        let started = Instant::now();
        let look = look(&health, &cells, &read, at(HISTORY + BAKE));
        assert!(gate::step(&look, &baseline, &standing, &mut compared));
        let findings = gate::findings(&baseline, &compared);
        let step = started.elapsed();
        let judged = threshold::judge(&question(&health, &cells), &read);
        both.push(started.elapsed());
        steps.push(step);
        looks.push(both.last().map_or(Duration::ZERO, |both| *both - step));
        assert_eq!(judged.readings.len(), CELLS / 2 * (RATIOS + VALUES), "{findings:?}");
    }
    println!("one tick of {CELLS} cells × {} metrics, {ROUNDS} rounds, median (least):", RATIOS + VALUES);
    for (what, times) in [("compared", steps), ("thresholds over the bake", looks), ("both", both)] {
        let (median, least) = median(times);
        println!("  {what:<25} {median:>6.1} ms ({least:.1})");
    }
}

fn look<'a>(health: &'a Health, cells: &'a [Cell], evidence: &'a Evidence, now: Timestamp) -> Look<'a> {
    Look { health, cells: cells.iter().collect(), read: evidence.index(), now }
}

fn median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    (ms(middle), ms(times.first().copied().unwrap_or_default()))
}

fn ms(of: Duration) -> f64 {
    of.as_secs_f64() * 1000.0
}

fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_secs(60 * minute)).unwrap()
}

fn standing(changed: bool) -> Standing {
    let mark = changed.then(|| at(HISTORY));
    Standing { wave: u32::from(!changed), touched: mark, changed: mark, elsewhere: false }
}

fn question<'a>(health: &'a Health, cells: &'a [Cell]) -> Question<'a> {
    let treated: Vec<&Cell> = cells.iter().take(CELLS / 2).collect();
    Question {
        health,
        baking: treated.iter().map(|cell| &cell.name).collect(),
        cells: treated,
        bake_since: at(HISTORY),
        need_points: 3,
        as_of_now: false,
        waived: BTreeSet::new(),
        now: at(HISTORY + BAKE),
    }
}

fn evidence(cells: &[Cell], until: i64) -> Evidence {
    let mut rng = fastrand::Rng::with_seed(1);
    let from = (until - 20).max(0).min(until - HISTORY.min(until));
    let mut series = Vec::new();
    for cell in cells {
        let mut push = |name: String, of: &mut dyn FnMut() -> f64| {
            let points = (from..until).map(|minute| (at(minute), of())).collect();
            let (cell, completeness) = (cell.name.clone(), Completeness::Complete);
            series.push(Series { cell, metric: name, completeness, points, samples: Vec::new(), unit: None });
        };
        for n in 0..RATIOS {
            push(format!("ratio-{n}.bad"), &mut || f64::from(rng.u8(0..12)));
            push(format!("ratio-{n}.total"), &mut || 1000.0);
        }
        for n in 0..VALUES {
            push(format!("value-{n}"), &mut || 100.0 + rng.f64());
        }
    }
    Evidence { series, ..Evidence::default() }
}

fn health() -> Health {
    let stat = |name: &str| StatTemplate {
        namespace: "Bench".into(),
        name: name.into(),
        dimensions: BTreeMap::new(),
        statistic: "Sum".into(),
        unit: None,
    };
    let ratio = MetricSource::Ratio {
        bad: RatioPart::Metric(stat("bad")),
        total: RatioPart::Metric(stat("total")),
        scale: 1.0,
        absent_bad_is_zero: true,
    };
    let ratios = (0..RATIOS).map(|n| metric(format!("ratio-{n}"), ratio.clone(), 0.5));
    let values = (0..VALUES).map(|n| metric(format!("value-{n}"), MetricSource::Metric(stat("value")), 1e6));
    Health {
        interval: Millis(30_000),
        settle: Millis(0),
        lag: Some(Millis(0)),
        metrics: ratios.chain(values).collect(),
        alarms: Vec::new(),
        compare: Some(Compare { history: Millis(3_600_000), ..Compare::default() }),
        prometheus: None,
    }
}

fn metric(name: String, source: MetricSource, above: f64) -> Metric {
    Metric {
        name,
        source,
        period_s: 60,
        fail_when: Some(Threshold { op: Comparison::Above, value: above }),
        datapoints_to_alarm: 3,
        evaluation_periods: 5,
        missing_data: MissingData::Hold,
        min_samples: 0,
        scope: Default::default(),
        compare: Some(Worse::Higher),
        detect: None,
    }
}

fn cell(n: usize) -> Cell {
    serde_json::from_value(serde_json::json!({
        "name": CellId::new(format!("cell-{n:04}")), "account": "111111111111", "region": "eu-west-1",
        "environment": "production", "role": null, "traffic_share": 0.05, "stacks": {}, "attributes": {}
    }))
    .unwrap()
}
