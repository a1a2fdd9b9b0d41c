//! The model checker over the production engine: see `machine.rs` for what may happen, `properties.rs` for what must hold.
//!
//! This runs small bounds. The larger ones are `cargo run --release --example check_model -- --ci` and `-- --long`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod check;
mod configurations;
mod daemon;
mod fixture;
mod machine;
mod network;
mod properties;
mod provider;
mod trace;

use check::{Found, check};
use machine::Bounds;

#[test]
fn every_invariant_holds_in_the_small_model() {
    let bounds = Bounds { grants: 1, crashes: 1, kills: 1, lost: 1, ..Bounds::CALM };
    let found = check(bounds, 2, Some(40_000));
    println!("{found}");
    assert!(found.failures.is_empty(), "{found}");
}

#[test]
fn the_planted_fault_is_found() {
    let bounds = Bounds { kills: 1, follow: 0, acknowledges_early: true, ..Bounds::CALM };
    let found: Found = check(bounds, 1, None);
    println!("{found}");
    assert!(found.failures.iter().any(|f| f.property.starts_with("S2 ")), "{found}");
}
