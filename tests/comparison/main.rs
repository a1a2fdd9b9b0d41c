//! Changed cells against unchanged ones: what must hold for every fleet, every fault and every restart.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod properties;
mod rules;
mod world;
