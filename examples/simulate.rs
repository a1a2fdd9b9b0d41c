//! Deterministic simulation of whole rollouts with faults: `cargo run --release --example simulate -- --seeds 10000`.
//!
//! Prints what ran and what broke. A seed and a commit reproduce a run exactly: `--first-seed S --seeds 1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a proof, not a product")]

#[path = "../tests/proof/simulation/mod.rs"]
mod simulation;

use clap::Parser;
use simulation::mutants::{MUTANTS, Mutant, hunt};
use simulation::run::Ended;
use simulation::stage::WritePlan;
use simulation::{Options, Report, Scenario, crash_points, run};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wavegate::guard::{self, Guard};

/// Simulates whole rollouts with faults, in virtual time.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Stop after so many seconds, whatever is left.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Keep the journals of runs that break something in this folder; `wavegate replay` reads them.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Remove guards, by name: the simulation must find it.
    #[arg(long)]
    without: Vec<String>,
    /// Run each seed twice, and compare.
    #[arg(long)]
    twice: bool,
    /// Instead: die at every write of every seed's undisturbed run, before, in the middle and after, once and again.
    #[arg(long)]
    crash_points: bool,
    /// Of the crash points, only this one: `5:before,8:torn`.
    #[arg(long, requires = "crash_points")]
    writes: Option<WritePlan>,
    /// Instead: remove each guard in turn, and look for the first seed that shows it.
    #[arg(long)]
    mutants: bool,
    /// Print what one seed stands for.
    #[arg(long)]
    show: bool,
}

#[expect(clippy::disallowed_methods, reason = "how long the real run takes")]
fn main() -> ExitCode {
    let args = Args::parse();
    let without: Vec<Guard> =
        Guard::ALL.iter().copied().filter(|g| args.without.iter().any(|name| name == g.name())).collect();
    assert_eq!(without.len(), args.without.len(), "no such guard: {:?}", args.without);
    if args.mutants {
        return mutants(&args);
    }
    canary();
    guard::remove(&without);
    if args.show {
        println!("{:#?}", Scenario::of(args.first_seed));
    }
    let began = Instant::now();
    let next = AtomicU64::new(args.first_seed);
    let last = args.first_seed + args.seeds;
    let limit = args.seconds.map(Duration::from_secs);
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let work = || {
            let mut report = Report::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= last || limit.is_some_and(|limit| began.elapsed() > limit) {
                    return report;
                }
                one(&args, seed, &mut report);
            }
        };
        let workers: Vec<_> = (0..args.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let mut report = Report::default();
    reports.into_iter().for_each(|other| report.merge(other));
    let took = began.elapsed().as_secs_f64();
    print!("{report}");
    println!(
        "took       {took:>10.1} s: {:.0} steps/s, {:.1} rollouts/s",
        report.steps as f64 / took,
        report.rollouts as f64 / took
    );
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A planted bug that the checker must find, or its silence means nothing.
fn canary() {
    guard::remove(&[Guard::WholeBake]);
    let mutant = Mutant { without: &[Guard::WholeBake], breaks: &["S11"] };
    let found = hunt(&mutant, 0..200);
    guard::remove(&[]);
    println!("canary     {}", found.expect("the checker does not find a planted bug: it is blind").1);
}

fn mutants(args: &Args) -> ExitCode {
    let mut survived = 0;
    for mutant in MUTANTS {
        guard::remove(mutant.without);
        let names: Vec<_> = mutant.without.iter().map(|g| g.name()).collect();
        match hunt(mutant, args.first_seed..args.first_seed + args.seeds) {
            Some((seed, violation)) => println!("{:<40} seed {seed:>6}: {violation}", names.join(" + ")),
            None => {
                survived += 1;
                println!("{:<40} SURVIVED {} seeds", names.join(" + "), args.seeds);
            }
        }
    }
    println!("{} mutants, {survived} survived", MUTANTS.len());
    if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn crash_points_of(args: &Args, seed: u64, report: &mut Report) {
    let mut add = |plan: &WritePlan, ended: Ended| {
        for violation in &ended.violations {
            eprintln!("--first-seed {seed} --writes {plan}: {violation}");
        }
        report.add(ended);
        true
    };
    if let Some(writes) = &args.writes {
        let options = Options { writes: writes.clone(), keep: args.keep.clone() };
        add(writes, run(&crash_points::quiet(seed), &options));
    } else {
        crash_points::sweep(seed, args.keep.as_deref(), add);
    }
}

fn one(args: &Args, seed: u64, report: &mut Report) {
    if args.crash_points {
        return crash_points_of(args, seed, report);
    }
    let scenario = Scenario::of(seed);
    let options = Options { keep: args.keep.clone(), ..Options::default() };
    let ended = run(&scenario, &options);
    if args.twice {
        let again = run(&scenario, &options);
        assert_eq!(ended.fingerprint, again.fingerprint, "seed {seed} does not repeat");
        assert_eq!(ended.steps, again.steps, "seed {seed} does not repeat");
    }
    for violation in &ended.violations {
        eprintln!("seed {seed}: {violation}");
    }
    report.add(ended);
}
