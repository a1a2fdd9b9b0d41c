//! Each guardrail's rule: what it lets pass, what it finds, the number at which it turns, and that a dry run only records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod autonomy;
mod blast_radius;
mod cost;
mod environment_order;
mod exposure;
mod figures;
mod fixture;
mod issue;
mod kill_drill;
mod properties;
mod stacks;
mod windows;
