//! What the HTTP door costs the rollout, and how soon a kill gets through it when everybody else is knocking: the whole product with
//! its embedded world, over loopback.
//!
//! ```text
//! cargo bench --profile proof --bench doors                          both, about six minutes
//! cargo bench --profile proof --bench doors -- followers             1,000 followers of a rollout of 1,000 targets, beside none
//! cargo bench --profile proof --bench doors -- kill                  120 kills beside 200 other requests a second
//! cargo bench --profile proof --bench doors -- --strict              fails when a limit is passed
//! ```
//!
//! *Followers*: the same rollout with and without them, turn by turn, each on a daemon of its own; the time is that between the
//! rollout's first and last record in the journal, and that of its previews and waves alone, without the bakes. Each follower is held against the journal itself, event by event. The followers are a
//! process of their own on the same processors: what reading costs them is in the figure, too.
//! *Kill*: 120 rollouts in flight, one kill for each, while eight callers send 200 requests a second together. The time is that from
//! the request's first byte to the answer's last, which says `acknowledged` or `pending` with the targets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program: it fails loudly, and it reads the clock"
)]

mod followers;
mod house;
mod http;
mod kill;

use std::process::ExitCode;
use std::time::Duration;

/// The middle one; of an even number the lower of both.
pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[(values.len() - 1) / 2]
}

fn main() -> ExitCode {
    // A thousand followers are as many open files on each side.
    if let Ok((_, most)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(at) = args.iter().position(|arg| arg == "--follow") {
        runtime.block_on(followers::follow(&args[at + 1..]));
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: usize| {
        let given = args.iter().position(|arg| arg == name).map(|at| args[at + 1].parse().unwrap());
        given.unwrap_or(default)
    };
    let both = !has("followers") && !has("kill");
    let mut good = true;
    if both || has("followers") {
        let (targets, many, rounds) = (number("--targets", 1_000), number("--many", 1_000), number("--rounds", 3));
        good &= runtime.block_on(followers::measure(targets, many, rounds));
    }
    if both || has("kill") {
        good &= runtime.block_on(kill::measure(number("--kills", 120), number("--rate", 200)));
    }
    if good || !has("--strict") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
