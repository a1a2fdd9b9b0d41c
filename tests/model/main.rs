//! The model checker over the production engine: see `machine.rs` for what may happen, `properties.rs` for what must hold.
//!
//! This runs small bounds. The larger ones are `cargo run --release --example check_model -- --ci` and `-- --long`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test; the example uses the rest"
)]

mod bounds;
mod check;
mod configurations;
mod consent;
mod daemon;
mod fixture;
mod liveness;
mod machine;
#[cfg(feature = "proof")]
mod mutants;
mod network;
mod properties;
mod provider;
mod trace;

use check::{Search, check, check_all};
use configurations::{CANARY, Configuration, TEST};

#[test]
fn every_invariant_holds_in_the_small_models() {
    let _turn = turn();
    let tell = |of: &Configuration, found: &check::Found| println!("{}: {}\n{found}", of.name, of.what);
    let broken: Vec<String> =
        check_all(TEST, None, tell).iter().filter(|f| !f.failures.is_empty()).map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_planted_fault_is_found() {
    let _turn = turn();
    let found = check(CANARY.bounds, Search::Shortest, None);
    assert!(found.failures.iter().any(|failure| failure.property.starts_with("S2 ")), "{found}");
}

/// Guards are removed for the whole process, so that every test of this file waits for its turn.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A new guard gets a mutant, or a reason why it has none.
#[cfg(feature = "proof")]
#[test]
fn every_guard_has_a_mutant_or_a_reason() {
    use wavegate::guard::Guard;
    let removed = |guard: &Guard| mutants::MUTANTS.iter().any(|mutant| mutant.guards.contains(guard));
    let excused = |guard: &Guard| mutants::UNSEEN.iter().any(|(unseen, _)| unseen == guard);
    for guard in Guard::ALL {
        assert!(removed(guard) != excused(guard), "{}", guard.name());
    }
}

#[cfg(feature = "proof")]
#[test]
fn every_mutant_is_found() {
    let _turn = turn();
    let mut survivors = Vec::new();
    for mutant in mutants::MUTANTS {
        let found = mutant.check();
        println!("{} -> {:?}\n{found}", mutant.name(), mutant.breaks);
        if !mutant.is_killed(&found) {
            survivors.push(mutant.name());
        }
    }
    assert!(survivors.is_empty(), "no invariant is broken without {survivors:?}");
}
