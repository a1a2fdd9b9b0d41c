//! Deterministic simulation: the real engine, journal, issuer and loop over the embedded world, in virtual time. One seed is one
//! scenario ([`scenario`]); the same seed and commit give the same run, step for step.
//!
//! | module | what |
//! |---|---|
//! | `scenario`, `fleet` | what a seed stands for: fleet, change sets, faults |
//! | `guarded` | what a part of the seeds ask besides: safeguards, limits, people |
//! | `stage` | what all parts of one run share |
//! | `process` | one daemon: starts, leads, stands still, dies |
//! | `network` | between a daemon and the world: lost, late, twice |
//! | `storage` | under its journal: full, failing, torn |
//! | `ledger`, `invariants` | what is seen in its true order, and what must hold |
//! | `consent`, `limits` | the same of guardrails: who agreed to what, and how far changes reach at once |
//! | `run`, `disturb`, `people` | the schedule of one run, what goes wrong in it, and its end: faults stop, everything must settle |
//! | `crash_points` | the same run, dying at each write |
//! | `mutants` | which guards are removed, and what is then found |
//! | `report` | many runs, added up |

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; each harness uses its part"
)]

mod consent;
pub mod crash_points;
mod disturb;
mod fleet;
mod guarded;
pub mod invariants;
pub mod ledger;
mod limits;
pub mod mutants;
pub mod network;
mod people;
pub mod process;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stage;
pub mod storage;

pub use report::Report;
pub use run::{Options, run};
pub use scenario::Scenario;
