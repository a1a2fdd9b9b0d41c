//! Measures judges on synthetic rollouts: how many healthy ones each would have reverted, and how soon it finds faults.
//!
//! `judge_bench --rollouts 1000 --faults 200`. Everything follows from the seeds. Reports use other seeds than `--dev`, so that
//! nothing is tuned on what is reported; only the levels of the last table are chosen on the healthy runs that it reports.

#![expect(clippy::disallowed_methods, reason = "how long it takes")]

mod families;
mod generator;
mod judge;
mod noise;
mod ours;
mod peers;
mod recording;
mod tally;

use crate::families::{Family, all};
use crate::generator::{Class, Fault, rollout};
use crate::tally::{Tallies, Tally, measure, wilson};
use clap::Parser;
use std::time::Instant;

/// Measures judges on synthetic rollouts.
#[derive(Parser)]
struct Args {
    /// Healthy rollouts of each class.
    #[arg(long, default_value_t = 1_000)]
    rollouts: u64,
    /// Rollouts of each class with each fault.
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only these: 1000/min, hard, 100/min, 10/min.
    #[arg(long, value_delimiter = ',', value_parser = class)]
    class: Vec<Class>,
    /// Only judges whose name has this in it.
    #[arg(long, default_value = "")]
    judge: String,
    /// Seeds for development.
    #[arg(long)]
    dev: bool,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The share of false reverts that each judge may have in the last table.
    #[arg(long, default_value_t = 0.01)]
    level: f64,
}

/// The faults of the tables, and whether they come late.
const FAULTS: [(Fault, bool); 8] = [
    (Fault::Errors(2.0), false),
    (Fault::Errors(5.0), false),
    (Fault::Errors(5.0), true),
    (Fault::Errors(20.0), false),
    (Fault::Latency(1.2), false),
    (Fault::Latency(1.5), false),
    (Fault::Tail(3.0), false),
    (Fault::Silent, false),
];

fn class(name: &str) -> Result<Class, String> {
    let matches = |class: &&Class| class.name() == name || class.name().strip_suffix("/min") == Some(name);
    Class::ALL.iter().find(matches).copied().ok_or_else(|| "try 1000/min, hard, 100/min or 10/min".to_owned())
}

fn main() {
    let args = Args::parse();
    let mut families = all();
    families.retain(|family| family.settings.iter().any(|s| s.judge.name().contains(&args.judge)));
    let classes = if args.class.is_empty() { Class::ALL.to_vec() } else { args.class.clone() };
    for class in classes {
        let start = Instant::now();
        report(&args, &families, class);
        println!("\n{}: {:.0} s on {} threads\n", class.name(), start.elapsed().as_secs_f64(), args.threads);
    }
}

/// Healthy and faulty rollouts have seeds of their own, and so has development.
fn seeds(args: &Args, healthy: bool) -> std::ops::Range<u64> {
    let million = if args.dev { 1 } else { 101 } + u64::from(!healthy);
    let first = million * 1_000_000 + args.seed;
    first..first + if healthy { args.rollouts } else { args.faults }
}

/// The tables of one class.
fn report(args: &Args, families: &[Family], class: Class) {
    let healthy = measure(families, &|_, _| true, seeds(args, true), args.threads, |seed| {
        rollout(class, Fault::None, false, seed)
    });
    let chosen: Vec<Option<usize>> = healthy.iter().map(|tallies| choose(tallies, args.level)).collect();
    let is_shown = |family: usize, setting: usize| {
        families.get(family).and_then(|f| f.settings.get(setting)).is_some_and(|setting| setting.shown)
    };
    let is_chosen = |family: usize, setting: usize| chosen.get(family) == Some(&Some(setting));

    let wanted = |family: usize, setting: usize| is_shown(family, setting) || is_chosen(family, setting);
    let faulty: Vec<Tallies> = FAULTS
        .iter()
        .map(|(fault, late)| {
            measure(families, &wanted, seeds(args, false), args.threads, |seed| rollout(class, *fault, *late, seed))
        })
        .collect();
    println!(
        "## {}: as they come ({} healthy rollouts, {} with each fault)\n",
        class.name(),
        args.rollouts,
        args.faults
    );
    table(families, &healthy, &faulty, &is_shown);
    println!("\n## {}: at most {} false reverts a rollout\n", class.name(), args.level);
    table(families, &healthy, &faulty, &is_chosen);
    for (family, _) in families.iter().zip(&chosen).filter(|(_, chosen)| chosen.is_none()) {
        let name = family.settings.last().map(|setting| setting.judge.name()).unwrap_or_default();
        println!("- {name} and everything before it: more false reverts than that.");
    }
}

/// The most sensitive setting that keeps the level.
fn choose(tallies: &[Tally], level: f64) -> Option<usize> {
    tallies.iter().position(|tally| tally.false_reverts() as f64 <= level * tally.seen() as f64)
}

/// One row a setting: false reverts a rollout, time, then median delay in minutes and share missed, by fault.
fn table(families: &[Family], healthy: &Tallies, faulty: &[Tallies], wanted: &dyn Fn(usize, usize) -> bool) {
    let faults: Vec<String> =
        FAULTS.iter().map(|(fault, late)| format!("{}{}", fault.name(), if *late { " late" } else { "" })).collect();
    println!("| judge | false | 95 % | µs | {} |", faults.join(" | "));
    println!("|{}", "---|".repeat(4 + faults.len()));
    for (family, settings) in families.iter().enumerate() {
        for (number, setting) in settings.settings.iter().enumerate().filter(|(number, _)| wanted(family, *number)) {
            let find = |tallies: &Tallies| tallies.get(family).and_then(|t| t.get(number)).cloned().unwrap_or_default();
            let delays: Vec<String> = faulty.iter().map(|tallies| delay(&find(tallies))).collect();
            println!("| {} | {} | {} |", setting.judge.name(), falsely(&find(healthy)), delays.join(" | "));
        }
    }
}

fn falsely(tally: &Tally) -> String {
    let (hits, of) = (tally.false_reverts(), tally.seen());
    let (low, high) = wilson(hits, of);
    format!(
        "{} | [{}, {}] | {}",
        share(hits as f64 / of.max(1) as f64),
        share(low),
        share(high),
        tally.each().as_micros()
    )
}

/// `12(.03)`; `-(.80)` where most were missed; rollouts reverted before the fault behind it.
fn delay(tally: &Tally) -> String {
    if tally.seen() == 0 {
        return String::new();
    }
    let (median, missed) = tally.delay();
    let median = median.map_or("-".to_owned(), |minutes| format!("{minutes:.0}"));
    let early = tally.false_reverts() as f64 / tally.seen() as f64;
    let early = if early > 0.0 { format!(" early {}", share(early)) } else { String::new() };
    let missed = if missed == 0.0 { "0".to_owned() } else { format!("{missed:.2}").replacen("0.", ".", 1) };
    format!("{median}({missed}){early}")
}

fn share(value: f64) -> String {
    format!("{value:.3}").replacen("0.", ".", 1)
}
