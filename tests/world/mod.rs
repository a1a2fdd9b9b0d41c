//! A fleet in the emulator: cells with stacks, a pipeline and change sets for them, and metrics that are fed all the time.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; each file uses its part"
)]

use crate::support::{Daemon, Emulator, Place, fixture, wait_for};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    pub name: String,
    pub account: String,
    pub region: String,
    pub stack: String,
}

/// Cells over accounts and regions, `each` of them in each.
pub fn cells(accounts: &[&str], regions: &[&str], each: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    for account in accounts {
        for region in regions {
            for _ in 0..each {
                let n = cells.len();
                cells.push(Cell {
                    name: format!("cell-{n:02}"),
                    account: (*account).into(),
                    region: (*region).into(),
                    stack: format!("orders-{n:02}"),
                });
            }
        }
    }
    cells
}

pub fn place(emulator: &Emulator, cell: &Cell) -> Place {
    emulator.at(&cell.account, &cell.region)
}

/// Every class of change may start by itself.
const FREE: &str = "autonomy:
  environments:
    production: {disruptive: autonomous, destructive: autonomous, irreversible: autonomous, privilege: autonomous, opaque: autonomous}
";

/// What a pipeline of the test looks like.
pub struct Shape<'a> {
    pub waves: &'a [usize],
    pub bake: &'a str,
    pub max_concurrent: usize,
    pub with_health: bool,
    pub extra: &'a str,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { waves: &[1, 2], bake: "0s", max_concurrent: 4, with_health: true, extra: "" }
    }
}

pub fn pipeline(cells: &[Cell], shape: &Shape<'_>) -> String {
    let mut text = String::from("version: 1\nname: test\nfleet:\n  cells:\n");
    for cell in cells {
        let Cell { name, account, region, stack } = cell;
        writeln!(
            text,
            "    - {{name: {name}, account: \"{account}\", region: {region}, environment: production, role: \"arn:aws:iam::{account}:role/wavegate-cell\", stacks: {{orders: {stack}}}}}"
        )
        .unwrap();
    }
    text.push_str("waves:\n");
    for (n, size) in shape.waves.iter().enumerate() {
        writeln!(
            text,
            "  - {{name: wave-{n}, select: {{count: {size}}}, max_concurrent: {}, regions: parallel, bake: {}, max_bake: 10m}}",
            shape.max_concurrent, shape.bake
        )
        .unwrap();
    }
    text.push_str("health:\n  interval: 1s\n  lag: 0s\n");
    text.push_str(
        "  metrics:\n    - {name: errors, namespace: Orders, metric: Errors, dimensions: {Cell: \"{cell}\"}, statistic: Average, period: 1s, \
         fail_when: \"> 5\", datapoints_to_alarm: 2, evaluation_periods: 3, missing_data: not_breaching}\n",
    );
    text.push_str(shape.extra);
    text.push_str("revert: {max_concurrent: 50}\n");
    // Most of these tests look at what happens once a change may start; those that look at who lets it in say so themselves.
    if !shape.extra.contains("autonomy:") {
        text.push_str(FREE);
    }
    text
}

/// A change set of one stack in every cell.
pub fn change_set(template: &str, rest: &str) -> String {
    format!(
        "version: 1\nagent: test-agent\ntitle: A test\nreasoning: It is a test.\npipeline: test\nstacks:\n  orders:\n    action: update\n    template_file: {template}\n{rest}"
    )
}

/// A daemon in front of the fleet, with a template and a change set beside it.
pub fn daemon(emulator: &Emulator, pipeline: &str, template: &str, rest: &str) -> (Daemon, PathBuf) {
    let daemon = Daemon::prepare(emulator.env("999999999999", "us-east-1"), &[("test.yaml", pipeline)]);
    daemon.write(template, &fixture(template));
    let change_set = daemon.write("change.yaml", &change_set(template, rest));
    (daemon, change_set)
}

pub fn create_small_stacks(emulator: &Emulator, cells: &[Cell]) {
    for cell in cells {
        place(emulator, cell).create_stack(
            &cell.stack,
            &fixture("setting-v1.yaml"),
            &[("Level", "high")],
            &[("team", "orders")],
        );
    }
}

/// Feeds the metric of every cell twice a second, until dropped.
pub struct Feed {
    stop: Arc<AtomicBool>,
    bad: Arc<Mutex<Option<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Feed {
    pub fn start(emulator: &Emulator, cells: &[Cell]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let bad = Arc::new(Mutex::new(None::<String>));
        let places: Vec<(Place, String)> = cells.iter().map(|c| (place(emulator, c), c.name.clone())).collect();
        let (stopped, broken) = (Arc::clone(&stop), Arc::clone(&bad));
        let feed = move || {
            while !stopped.load(Ordering::Relaxed) {
                for (place, cell) in &places {
                    let value = if broken.lock().unwrap().as_deref() == Some(cell) { 50.0 } else { 1.0 };
                    place.put_metric("Orders", "Errors", &[("Cell", cell)], value, "Count");
                }
                std::thread::sleep(Duration::from_millis(400));
            }
        };
        let thread = Some(std::thread::spawn(feed));
        Self { stop, bad, thread }
    }

    pub fn break_cell(&self, cell: &str) {
        *self.bad.lock().unwrap() = Some(cell.to_owned());
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until the rollout's status fits.
pub fn wait_status(
    daemon: &Daemon,
    rollout: &str,
    what: &str,
    limit: Duration,
    fits: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    wait_for(what, limit, || Some(daemon.status(rollout)).filter(|status| fits(status)))
}
