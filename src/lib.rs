//! Wavegate: staged rollouts with automatic revert, for change sets that AI agents propose.
//!
//! ```text
//!  agent ── change set ──► admit ──► plan ──► preview ──► wave 1 ──► bake ──► gate ──► wave 2 … ──► succeeded
//!                         (model)  (engine)  (cloud)        │          │       └ fail, at any tick ─► revert, last wave first
//!  on-call ── kill ─────────────────────────────────────────┴──────────┴───► no forward effect starts
//! ```
//!
//! Folders are layers; data flows from left to right, and `use crate::` points only left (`tests/layers.rs` holds it):
//!
//! ```text
//!  model  ◄── engine, journal, cloud  ◄── daemon  ◄── api  ◄── cli  ◄── main
//! ```
//!
//! Where is the line that decides? `engine`. Waits? `daemon`. Talks to AWS? `cloud`. Remembers? `journal`. Says what exists?
//! `model`. Words it for a person? `api`, `cli`. The whole story is in `docs/architecture.md`.

pub mod api;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod guard;
pub mod journal;
pub mod model;
