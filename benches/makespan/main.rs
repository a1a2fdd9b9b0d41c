//! How long a rollout takes against the best that is possible, and what it costs: the whole product, built for release,
//! against a stub of AWS in which every call takes 50 ms and an update 6 s ± 25 % (fixed per stack name).
//!
//! ```text
//! cargo bench --bench makespan                          both cases, about three minutes
//! cargo bench --bench makespan -- --case reverting      healthy | reverting
//! cargo bench --bench makespan -- --strict              fails when a limit is passed
//! ```
//!
//! 400 stacks in 4 regions of one account; waves of 1, 20, 100 and 279, 32 at a time, regions in parallel; a metric check
//! after each wave, no bake time. *Healthy*: all four waves. *Reverting*: the metric goes bad once wave 3 is done, and
//! all 121 stacks go back, last wave first.
//!
//! The stub is this program in a process of its own (argument `stub`), so that its processor time and memory are not the
//! daemon's. Nothing is taken from the daemon's word: the outcome is read from the stub's stacks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program: it fails loudly, and it reads the clock"
)]

mod cloudformation;
mod cloudwatch;
mod ideal;
mod run;
mod stub;

use sha2::{Digest, Sha256};
use std::process::ExitCode;

/// The stacks, and how they fall into regions and waves.
pub const STACKS: usize = 400;
pub const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "us-west-2", "ap-southeast-2"];
pub const WAVES: [usize; 4] = [1, 20, 100, 279];
/// Stacks that are done when wave 3 is: then health breaks in the reverting case.
pub const AFTER_WAVE_3: usize = WAVES[0] + WAVES[1] + WAVES[2];
pub const MAX_CONCURRENT: usize = 32;
pub const ACCOUNT: &str = "111111111111";

/// The name of the n-th stack.
pub fn stack_name(number: usize) -> String {
    format!("orders-c{number:03}")
}

/// The region of the n-th stack: neighbours are in different regions, so that each wave is in all of them.
pub fn region_of(number: usize) -> &'static str {
    REGIONS[number % REGIONS.len()]
}

/// How long an update of this stack takes: 6 s ± 25 %, by the SHA-256 of its name.
pub fn update_seconds(stack: &str) -> f64 {
    let digest = Sha256::digest(stack.as_bytes());
    let share = f64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) / f64::from(u32::MAX);
    6.0 * (0.75 + 0.5 * share)
}

/// What one run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Healthy,
    Reverting,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "stub") {
        stub::serve();
        return ExitCode::SUCCESS;
    }
    // `cargo bench` says `--bench`. Test runners ask for a list, or run every target they find: three minutes too long.
    if args.iter().any(|arg| arg == "--list") {
        if !args.iter().any(|arg| arg == "--ignored") {
            println!("makespan: benchmark");
        }
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--test") || !args.iter().any(|arg| arg == "--bench") {
        println!("makespan: run it with `cargo bench --bench makespan`");
        return ExitCode::SUCCESS;
    }
    let cases = match args.iter().position(|arg| arg == "--case").map(|at| args.get(at + 1).map(String::as_str)) {
        None => vec![Case::Healthy, Case::Reverting],
        Some(Some("healthy")) => vec![Case::Healthy],
        Some(Some("reverting")) => vec![Case::Reverting],
        Some(_) => {
            eprintln!("--case: healthy or reverting");
            return ExitCode::from(2);
        }
    };
    let strict = args.iter().any(|arg| arg == "--strict");
    let within = cases.into_iter().map(run::measure).fold(true, |all, within| all & within);
    if strict && !within { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
