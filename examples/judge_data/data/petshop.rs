//! PetShop's incidents (`amazon-science/petshop-root-cause-analysis`, CC-BY-4.0) as recordings of a first wave of one cell.
//!
//! Eight cells, each a random slice of the 49 hours without an issue: 4 hours of history, 1 hour of bake, ticks of 5 minutes. In a
//! bad recording the treated cell's bake is the incident: ticks 2 and 3 of an issue's window, which are always inside it, in turn.
//! An issue's latencies are scaled by one constant per scenario, so that what is normal there is what is normal here.

use super::label::{Label, Labelled};
use super::table::{Row, read};
use crate::recording::Recording;
use anyhow::{Context, Result};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::Path;

/// How many recordings to make, from which seed, and how much of the traffic is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub healthy: usize,
    /// Recordings for each issue.
    pub repeats: usize,
    pub seed: u64,
    /// Share of the requests that is kept, 0 to 1: counts alone are thinned, latencies stay.
    pub traffic: f64,
}

const SCENARIOS: [&str; 2] = ["high_traffic", "temporal_traffic1"];
const CELLS: usize = 8;
const HISTORY: usize = 48;
const BAKE: usize = 12;
/// As in a recording file; from `requests` on, the table's columns have the same names.
const SERIES: [&str; 9] = ["errors.bad", "errors.total", "requests", "availability", "avg", "p50", "p90", "p95", "p99"];
const LATENCIES: [&str; 5] = ["avg", "p50", "p90", "p95", "p99"];

/// One tick: a value for each of the series.
type Tick = Vec<f64>;

struct Issue {
    scenario: &'static str,
    name: String,
    root: String,
    target: String,
    /// The two ticks that are surely inside the incident.
    incident: Vec<Tick>,
}

/// Reads both scenarios from a folder, and draws healthy and bad recordings; the same ones for the same options.
pub fn load(folder: &Path, options: &Options) -> Result<Vec<Labelled>> {
    let mut tables = BTreeMap::new();
    for scenario in SCENARIOS {
        tables.insert(scenario, read(&folder.join(format!("petshop_{scenario}.csv.gz")))?);
    }
    let mut normal = Vec::new();
    for row in tables.values().flatten() {
        if row.text("kind")? == "noissue" {
            normal.push(row.clone());
        }
    }
    let healthy: Vec<Tick> = normal.iter().map(|row| tick(row, 1.0)).collect::<Result<_>>()?;
    let mut all = Vec::new();
    for number in 0..options.healthy {
        let mut rng = seeded(options.seed, 0, number);
        let label = label(format!("healthy-{number:04}"), "noissue", "", None);
        all.push(Labelled { recording: draw(&healthy, None, options.traffic, &mut rng)?, label });
    }
    let mut stream = 0;
    for (scenario, rows) in &tables {
        for issue in issues(scenario, rows, &normal)? {
            stream += 1;
            for number in 0..options.repeats {
                let mut rng = seeded(options.seed, stream, number);
                let name = format!("{}-{}-{number}", issue.scenario, issue.name);
                let label = label(name, &issue.name, &issue.root, Some(&issue.target));
                all.push(Labelled { recording: draw(&healthy, Some(&issue), options.traffic, &mut rng)?, label });
            }
        }
    }
    Ok(all)
}

fn label(name: String, case: &str, root: &str, fault: Option<&str>) -> Label {
    let fault_text = fault.unwrap_or_default().to_owned();
    Label { name, case: case.to_owned(), service: root.to_owned(), bad: fault.is_some(), fault: fault_text }
}

/// A generator of its own for every recording: what is drawn for one does not depend on how many others there are.
fn seeded(seed: u64, stream: u64, number: usize) -> Rng {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (stream << 32) ^ number)
}

fn issues(scenario: &&'static str, rows: &[Row], normal: &[Row]) -> Result<Vec<Issue>> {
    let mut first = Vec::new();
    let mut windows: BTreeMap<(String, String), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if row.text("kind")? == "issue" {
            if row.text("tick")? == "0" {
                first.push(row);
            }
            let key = (row.text("split")?.to_owned(), row.text("issue")?.to_owned());
            windows.entry(key).or_default().push(row);
        }
    }
    // Tick 0 of a window is before its incident: the level that is normal in this scenario.
    let scale = median_of("avg", normal.iter())? / median_of("avg", first.into_iter())?;
    let issue = |((split, name), window): ((String, String), Vec<&Row>)| {
        let row = window.first().context("an issue without a tick")?;
        let inside = window.iter().filter(|row| matches!(row.text("tick"), Ok("2" | "3")));
        let incident = inside.map(|row| tick(row, scale)).collect::<Result<Vec<_>>>()?;
        let (root, target) = (row.text("root")?.to_owned(), row.text("target")?.to_owned());
        Ok(Issue { scenario, name: format!("{split}-{name}"), root, target, incident })
    };
    windows.into_iter().map(issue).collect()
}

fn tick(row: &Row, scale: f64) -> Result<Tick> {
    let requests: f64 = row.parse("requests")?;
    let availability: f64 = row.parse("availability")?;
    let bad = (requests * (100.0 - availability) / 100.0).round();
    let mut tick = vec![bad, requests, requests, availability];
    for name in LATENCIES {
        tick.push(row.parse::<f64>(name)? * scale);
    }
    Ok(tick)
}

fn median_of<'a>(column: &str, rows: impl Iterator<Item = &'a Row>) -> Result<f64> {
    let mut values = rows.map(|row| row.parse::<f64>(column)).collect::<Result<Vec<_>>>()?;
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().with_context(|| format!("no value of `{column}`"))
}

fn draw(healthy: &[Tick], issue: Option<&Issue>, traffic: f64, rng: &mut Rng) -> Result<Recording> {
    let ticks = HISTORY + BAKE;
    let room = healthy.len().checked_sub(ticks).context("the series without an issue is shorter than a recording")?;
    let mut minutes: Vec<Vec<Tick>> = Vec::new();
    for _ in 0..CELLS {
        minutes.push(healthy.iter().skip(rng.usize(..=room)).take(ticks).cloned().collect());
    }
    let treated = rng.usize(..CELLS);
    if let (Some(issue), Some(cell)) = (issue, minutes.get_mut(treated)) {
        cell.truncate(HISTORY);
        cell.extend(issue.incident.iter().cycle().take(BAKE).cloned());
    }
    if traffic < 1.0 {
        minutes.iter_mut().flatten().for_each(|tick| thin(tick, traffic, rng));
    }
    let column = |series: usize, cell: &Vec<Tick>| cell.iter().map(|tick| tick.get(series).copied()).collect();
    Ok(Recording {
        cells: (1..=CELLS).map(|n| format!("cell-{n}")).collect(),
        series: SERIES.iter().map(|name| (*name).to_owned()).collect(),
        period_s: 300,
        history: HISTORY,
        ticks,
        values: (0..SERIES.len()).map(|s| minutes.iter().map(|cell| column(s, cell)).collect()).collect(),
        applied: (0..CELLS).map(|cell| (cell == treated).then_some(HISTORY)).collect(),
        waves: vec![(HISTORY, ticks)],
    })
}

/// Keeps each request with that chance, good and bad ones alike.
fn thin(tick: &mut [f64], traffic: f64, rng: &mut Rng) {
    let [bad, total, requests, availability, ..] = tick else { return };
    let mut kept = |count: f64| {
        let (mut left, mut kept) = (count, 0.0);
        while left >= 1.0 {
            kept += if rng.f64() < traffic { 1.0 } else { 0.0 };
            left -= 1.0;
        }
        kept
    };
    let good = kept(*total - *bad);
    *bad = kept(*bad);
    *total = good + *bad;
    *requests = *total;
    *availability = if *total > 0.0 { 100.0 * good / *total } else { 100.0 };
}
