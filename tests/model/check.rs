//! One run of the checker, and its report.

use crate::bounds::Bounds;
use crate::configurations::Configuration;
use crate::machine::{Action, Machine};
use crate::trace;
use stateright::{Checker, HasDiscoveries, Model};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a run found.
pub struct Found {
    /// States that differ.
    pub unique: usize,
    /// States in all.
    pub generated: usize,
    /// The longest path.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The most memory that this process has had so far, in MiB.
    pub memory: u64,
    /// Every state was visited.
    pub complete: bool,
    /// Broken properties.
    pub failures: Vec<Failure>,
    /// What was reached, of what must be reachable.
    pub reached: Vec<&'static str>,
    /// What was not.
    pub missed: Vec<&'static str>,
}

/// A broken property.
pub struct Failure {
    /// Its name.
    pub property: &'static str,
    /// How it comes to that.
    pub actions: Vec<Action>,
    /// The same with what was appended, and the journal's file.
    pub story: String,
}

/// In which order states are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Near ones first: the first failure is a shortest one.
    Shortest,
    /// Along each path to its end: needs the least memory.
    Depth,
}

/// Checks all of them, as many at once as there are processors, and tells of each when it is done. (A small search in depth keeps one
/// processor busy, whatever the number of its threads.)
pub fn check_all(
    chosen: &[Configuration],
    limit: Option<Duration>,
    tell: impl Fn(&Configuration, &Found) + Sync,
) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(configuration) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = check(configuration.bounds, Search::Depth, limit);
            tell(configuration, &found);
            done.push(found);
        }
        done
    };
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Visits every state within the bounds, or as many as the time allows.
pub fn check(bounds: Bounds, search: Search, limit: Option<Duration>) -> Found {
    let machine = Machine { bounds };
    let begin = now();
    let builder = machine.clone().checker().finish_when(HasDiscoveries::AnyFailures);
    let builder = match limit {
        Some(limit) => builder.timeout(limit),
        None => builder,
    };
    match search {
        Search::Shortest => report(&machine, builder.spawn_bfs().join(), begin, limit),
        // stateright looks at the time only where it shares work: one thread alone would never end.
        Search::Depth => report(&machine, builder.threads(2).spawn_dfs().join(), begin, limit),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures how long it takes")]
fn now() -> Instant {
    Instant::now()
}

fn report(machine: &Machine, checker: impl Checker<Machine>, begin: Instant, limit: Option<Duration>) -> Found {
    let mut failures = Vec::new();
    let (mut reached, mut missed) = (Vec::new(), Vec::new());
    let mut discoveries = checker.discoveries();
    for property in machine.properties() {
        match (property.expectation.discovery_is_failure(), discoveries.remove(property.name)) {
            (true, Some(path)) => failures.push(failure(machine, property.name, path.into_actions())),
            (true, None) => {}
            (false, Some(_)) => reached.push(property.name),
            (false, None) => missed.push(property.name),
        }
    }
    let complete = failures.is_empty() && limit.is_none_or(|limit| begin.elapsed() < limit);
    Found {
        unique: checker.unique_state_count(),
        generated: checker.state_count(),
        depth: checker.max_depth(),
        took: begin.elapsed(),
        memory: memory(),
        complete,
        failures,
        reached,
        missed,
    }
}

fn failure(machine: &Machine, property: &'static str, actions: Vec<Action>) -> Failure {
    let number = property.split(' ').next().unwrap_or_default();
    let dir = std::env::temp_dir().join("wavegate-model");
    let file = dir.join(format!("{number}-{}.db", std::process::id()));
    let written = std::fs::create_dir_all(&dir)
        .and_then(|()| if file.exists() { std::fs::remove_file(&file) } else { Ok(()) })
        .map_err(Into::into)
        .and_then(|()| trace::write(machine, &actions, &file));
    let story = match written {
        Ok(story) => format!("{story}journal: {}", file.display()),
        Err(error) => format!("{actions:#?}\nno journal: {error}"),
    };
    Failure { property, actions, story }
}

/// `VmHWM`, where there is one.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.unique as f64 / self.took.as_secs_f64().max(0.001);
        writeln!(
            f,
            "{} unique states, {} generated, depth {}, {:.1} s ({rate:.0} unique/s), {} MiB{}",
            self.unique,
            self.generated,
            self.depth,
            self.took.as_secs_f64(),
            self.memory,
            if self.complete { ", complete" } else { "" }
        )?;
        writeln!(f, "reached: {}", self.reached.join("; "))?;
        if !self.missed.is_empty() {
            writeln!(f, "not reached: {}", self.missed.join("; "))?;
        }
        for failure in &self.failures {
            writeln!(f, "BROKEN: {}, in {} steps\n{}", failure.property, failure.actions.len(), failure.story)?;
        }
        Ok(())
    }
}
