//! The model checker over the production engine, with the bounds of `tests/model` widened:
//!
//! ```text
//! cargo run --release --example check_model -- --ci     over a million states, under 90 s on two cores
//! cargo run --release --example check_model -- --long   over twenty million
//! cargo run --release --features proof --example check_model -- --mutants   one guard removed at a time
//! ```
//!
//! Each run first plants a fault, which must be found. A broken invariant is printed as the actions that lead to it, with a journal
//! that `wavegate replay` shows. Exit code 1 says that something is broken, or that the model does not reach what it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "shares the modules of tests/model"
)]

#[path = "../tests/model/bounds.rs"]
mod bounds;
#[path = "../tests/model/check.rs"]
mod check;
#[path = "../tests/model/configurations.rs"]
mod configurations;
#[path = "../tests/model/consent.rs"]
mod consent;
#[path = "../tests/model/daemon.rs"]
mod daemon;
#[path = "../tests/model/fixture.rs"]
mod fixture;
#[path = "../tests/model/liveness.rs"]
mod liveness;
#[path = "../tests/model/machine.rs"]
mod machine;
#[cfg(feature = "proof")]
#[path = "../tests/model/mutants.rs"]
mod mutants;
#[path = "../tests/model/network.rs"]
mod network;
#[path = "../tests/model/properties.rs"]
mod properties;
#[path = "../tests/model/provider.rs"]
mod provider;
#[path = "../tests/model/trace.rs"]
mod trace;

use check::Search;
use configurations::{CANARY, Configuration};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let seconds = wanted.iter().position(|word| word == "--seconds").map(|at| wanted.split_off(at));
    let limit = seconds.and_then(|words| words.get(1)?.parse().ok()).map(Duration::from_secs);
    let one;
    let chosen: &[Configuration] = match (wanted.first().map(String::as_str), wanted.get(1)) {
        (Some("--ci"), None) => configurations::CI,
        (Some("--long"), None) => configurations::LONG,
        #[cfg(feature = "proof")]
        (Some("--mutants"), name) => return check_mutants(name.map(String::as_str)),
        (Some("--one"), Some(name)) => match find(name) {
            Some(found) => {
                one = [found];
                &one
            }
            None => return usage(),
        },
        _ => return usage(),
    };
    println!("planted fault: ");
    let canary = check::check(CANARY.bounds, Search::Shortest, None);
    println!("{canary}");
    let mut good = canary.failures.iter().any(|failure| failure.property.starts_with("S2 "));
    let mut reached: Vec<&str> = Vec::new();
    let mut missed: Vec<&str> = Vec::new();
    let (mut unique, mut generated) = (0, 0);
    let tell = |of: &Configuration, found: &check::Found| println!("{}: {}\n{found}", of.name, of.what);
    for found in check::check_all(chosen, limit, tell) {
        good &= found.failures.is_empty();
        unique += found.unique;
        generated += found.generated;
        reached.extend(&found.reached);
        missed.extend(&found.missed);
    }
    missed.retain(|property| !reached.contains(property) && !configurations::BY_HAND.contains(property));
    println!("together: {unique} unique states, {generated} generated; never reached: {missed:?}");
    if good && (missed.is_empty() || chosen.len() == 1) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A configuration by its name, or by its bounds.
fn find(name: &str) -> Option<Configuration> {
    let named = configurations::ALL.iter().flat_map(|list| list.iter()).find(|known| known.name == name).copied();
    let given = || configurations::parse(name).map(|bounds| Configuration { name: "given", what: "", bounds });
    named.or_else(given)
}

/// Removes one guard at a time; each must be missed.
#[cfg(feature = "proof")]
fn check_mutants(wanted: Option<&str>) -> ExitCode {
    let mut survivors = Vec::new();
    for mutant in mutants::MUTANTS.iter().filter(|mutant| wanted.is_none_or(|name| mutant.name() == name)) {
        let found = mutant.check();
        let killed = mutant.is_killed(&found);
        println!("{} -> {:?}: {}", mutant.name(), mutant.breaks, if killed { "found" } else { "SURVIVES" });
        println!("{found}");
        if !killed {
            survivors.push(mutant.name());
        }
    }
    println!("survivors: {survivors:?}");
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("say --ci, --long, or --one NAME or grants=1,lost=1 …; --seconds N ends it");
    ExitCode::FAILURE
}
