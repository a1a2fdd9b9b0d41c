//! A small fleet whose metrics a test draws up, and the gate that watches it tick by tick as the daemon does.

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use wavegate::engine::health::Evidence;
use wavegate::engine::health::gate::{self, Look, Standing};
use wavegate::engine::health::threshold::{self, Question};
use wavegate::model::comparison::{Baseline, Compared, LatePoint};
use wavegate::model::ids::CellId;
use wavegate::model::observation::{Completeness, Series};
use wavegate::model::pipeline::{
    Cell, Compare, Health, Metric, MetricSource, MissingData, RatioPart, StatTemplate, Worse,
};
use wavegate::model::time::Millis;
use wavegate::model::verdict::{Judgement, Verdict};

/// Minutes of history, and of the bakes: long enough to see a doubling, and as short as a thousand cases should be.
pub const HISTORY: usize = 45;
pub const BAKE: usize = 30;
pub const SHORT: usize = 12;
const MINUTE: Millis = Millis(60_000);

/// Which points are not there yet.
pub type Hidden<'a> = dyn Fn(usize, usize, usize) -> bool + 'a;
/// One cell's minute: requests, errors, latency; none: silent.
pub type Point = Option<(f64, f64, f64)>;

/// A fleet of which the first cells are changed at the end of the history.
#[derive(Clone, Debug)]
pub struct World {
    pub names: Vec<String>,
    pub changed: usize,
    /// Minutes of the bake.
    pub bake: usize,
    /// By cell and minute.
    pub points: Vec<Vec<Point>>,
    /// What one unit of latency is.
    pub unit: f64,
}

impl World {
    /// A calm fleet: `requests` a minute, one in a hundred fails.
    pub fn calm(cells: usize, changed: usize, requests: f64, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut minute = |of: f64| {
            let errors = poisson(&mut rng, of * 0.01).min(of);
            Some((of, errors, 100.0 * (1.0 + 0.1 * (rng.f64() + rng.f64() + rng.f64() - 1.5))))
        };
        let points = (0..cells).map(|_| (0..HISTORY + BAKE).map(|_| minute(requests)).collect()).collect();
        Self { names: (0..cells).map(|n| format!("cell-{n:02}")).collect(), changed, bake: BAKE, points, unit: 1.0 }
    }

    /// The same, for not so long.
    pub fn short(self) -> Self {
        Self { bake: SHORT, ..self }
    }

    /// Errors of a cell in a minute of the bake, so many times as many.
    pub fn worsen(&mut self, cell: usize, minute: usize, times: f64) {
        if let Some((requests, errors, _)) = &mut self.points[cell][HISTORY + minute] {
            *errors = ((*errors + 1.0) * times).round().min(*requests);
        }
    }

    fn evidence(&self, minutes: usize) -> Evidence {
        self.evidence_without(minutes, &|_, _, _| false)
    }

    /// What can be read after so many minutes, without the points (minutes, cell, minute) that are not there yet.
    fn evidence_without(&self, minutes: usize, hidden: &Hidden<'_>) -> Evidence {
        let part = |cell: &usize, name: &str, of: &dyn Fn((f64, f64, f64)) -> f64| Series {
            cell: CellId::new(self.names[*cell].as_str()),
            metric: name.into(),
            completeness: Completeness::Complete,
            points: (0..minutes)
                .filter(|m| !hidden(minutes, *cell, *m))
                .filter_map(|m| Some((at(m), of(self.points[*cell][m]?))))
                .collect(),
            samples: vec![],
            unit: None,
        };
        let cells: Vec<usize> = (0..self.names.len()).collect();
        let series = cells.iter().flat_map(|cell| {
            [
                part(cell, "errors.bad", &|(_, bad, _)| bad),
                part(cell, "errors.total", &|(total, ..)| total),
                part(cell, "latency", &|(.., latency)| latency * self.unit),
            ]
        });
        Evidence { series: series.collect(), ..Evidence::default() }
    }
}

fn poisson(rng: &mut fastrand::Rng, mean: f64) -> f64 {
    let (limit, mut product, mut n) = ((-mean).exp(), rng.f64(), 0.0);
    while product > limit {
        product *= rng.f64();
        n += 1.0;
    }
    n
}

/// The start of a minute.
pub fn at(minute: usize) -> Timestamp {
    let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_secs(60 * i64::try_from(minute).unwrap())).unwrap()
}

fn metric(name: &str, source: MetricSource) -> Metric {
    Metric {
        name: name.into(),
        source,
        period_s: 60,
        fail_when: None,
        datapoints_to_alarm: 3,
        evaluation_periods: 5,
        missing_data: MissingData::Hold,
        min_samples: 0,
        scope: Default::default(),
        compare: Some(Worse::Higher),
        detect: None,
    }
}

fn stat(name: &str) -> StatTemplate {
    let (namespace, statistic) = ("Test".into(), "Sum".into());
    StatTemplate { namespace, name: name.into(), dimensions: BTreeMap::new(), statistic, unit: None }
}

/// The budget of false reverts.
pub const ALPHA: f64 = 0.01;

/// Errors by count and latency by rank, no threshold.
pub fn health(detect: f64) -> Health {
    let part = |name| RatioPart::Metric(stat(name));
    let ratio = MetricSource::Ratio { bad: part("bad"), total: part("total"), scale: 1.0, absent_bad_is_zero: false };
    Health {
        interval: MINUTE,
        settle: Millis(0),
        lag: Some(Millis(0)),
        metrics: vec![metric("errors", ratio), metric("latency", MetricSource::Metric(stat("latency")))],
        alarms: Vec::new(),
        compare: Some(Compare { alpha: ALPHA, history: Millis(MINUTE.0 * HISTORY as u64), margin: 0.1, detect }),
        prometheus: None,
    }
}

/// What one tick came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub verdict: Verdict,
    pub ln_e: f64,
    pub judgement: Judgement,
}

/// Runs the gate over the bake. `restart_at`: before this tick everything that is remembered goes through its record.
pub fn run(world: &World, health: &Health, restart_at: Option<usize>) -> Vec<Told> {
    run_with(world, health, restart_at, &|_, _, _| false).0
}

/// The same with points that come late, and those that were noted as late.
pub fn run_with(
    world: &World,
    health: &Health,
    restart_at: Option<usize>,
    hidden: &Hidden<'_>,
) -> (Vec<Told>, Vec<LatePoint>) {
    let mut late = Vec::new();
    let cells: Vec<Cell> = world.names.iter().map(|name| cell(name)).collect();
    let before = world.evidence(HISTORY);
    let compare = health.compare.as_ref().unwrap();
    let mut baseline =
        gate::learn(&look(health, &cells, &before, at(HISTORY)), compare, &[Millis(MINUTE.0 * BAKE as u64)]);
    let mut compared = Compared::default();
    let standing: Vec<Standing> = (0..cells.len()).map(|n| standing(n < world.changed)).collect();
    let told = (1..=world.bake)
        .map(|tick| {
            if restart_at == Some(tick) {
                baseline = again(&baseline);
                compared = again(&compared);
            }
            let evidence = world.evidence_without(HISTORY + tick, hidden);
            let look = look(health, &cells, &evidence, at(HISTORY + tick));
            let told = step(&look, &evidence, &baseline, &standing, &mut compared, world.changed);
            late.extend(compared.late.iter().cloned());
            told
        })
        .collect();
    (told, late)
}

fn look<'a>(health: &'a Health, cells: &'a [Cell], evidence: &'a Evidence, now: Timestamp) -> Look<'a> {
    Look { health, cells: cells.iter().collect(), read: evidence.index(), now }
}

fn step(
    look: &Look<'_>,
    evidence: &Evidence,
    baseline: &Baseline,
    standing: &[Standing],
    compared: &mut Compared,
    changed: usize,
) -> Told {
    gate::step(look, baseline, standing, compared);
    let treated: Vec<&Cell> = look.cells.iter().take(changed).copied().collect();
    let question = Question {
        health: look.health,
        baking: treated.iter().map(|cell| &cell.name).collect(),
        cells: treated,
        bake_since: at(HISTORY),
        need_points: 3,
        as_of_now: false,
        waived: BTreeSet::new(),
        now: look.now,
    };
    let judged = threshold::judge(&question, evidence);
    let findings = judged
        .findings
        .into_iter()
        .chain(gate::findings(baseline, compared))
        .chain(gate::own_past(look, baseline, standing))
        .collect();
    let judgement = Judgement::of(findings, judged.readings);
    Told { verdict: judgement.verdict, ln_e: compared.ln_e, judgement }
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn standing(changed: bool) -> Standing {
    let mark = changed.then(|| at(HISTORY));
    Standing { wave: u32::from(!changed), touched: mark, changed: mark, elsewhere: false }
}

fn cell(name: &str) -> Cell {
    serde_json::from_value(serde_json::json!({
        "name": name, "account": "111111111111", "region": "eu-west-1", "environment": "production",
        "role": null, "traffic_share": 10.0, "stacks": {}, "attributes": {}
    }))
    .unwrap()
}
