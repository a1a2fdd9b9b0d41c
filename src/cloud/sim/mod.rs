//! A deterministic world for the demo and for tests: CloudFormation and CloudWatch as they behave, without either.
//!
//! Nothing here decides. The world keeps stacks, works on change sets in virtual time and makes series that react to what
//! is deployed. Two worlds with the same options, driven by the same calls, answer alike: every delay is a
//! `tokio::time::sleep` (run it on a current-thread runtime with paused time), every chance comes from one seed.
//!
//! | module | what |
//! |---|---|
//! | `world` | [`SimWorld`]: options, the clock, the way of one call |
//! | `script` | what a test or a demo does to the world: add stacks, edit them, inject faults |
//! | `provider` | the traits, call by call |
//! | `stacks`, `change_sets`, `lifecycle`, `operations`, `schedule` | state, what calls do to it, how it moves as time passes |
//! | `template`, `preview`, `resource_types`, `policy`, `exports` | what a template says and what a change to it does |
//! | `metrics`, `math`, `alarms` | series, metric math, alarms |
//! | `faults`, `calls`, `observe` | what goes wrong, the log of every call, a witness of every act |
//!
//! A template steers the world by `Metadata: { Sim: { UpdateSeconds: 12, Effects: [{ Metric: 5xx, Factor: 40, After: 20 }] } }`
//! and by resources: type `Sim::Fails` or property `FailUpdate: true` (an update fails), `FailCreate: true`,
//! `Sim::FailsRollback` with `Tries: k` (the rollback fails too, until the k-th `ContinueUpdateRollback`) and
//! `Sim::FailsDelete`.
//!
//! A nested stack (`AWS::CloudFormation::Stack`) is a resource like any other, without a change set or resources of its own: its
//! template would have to be fetched from somewhere, and nobody can see what becomes of it. Drift is what a script says it is.
//!
//! Not modelled: `Conditions`, macros, the inside of nested stacks, values of `Outputs` at run time, SSM parameter types, stack
//! sets.

mod alarms;
mod calls;
mod change_sets;
mod exports;
mod faults;
mod lifecycle;
mod math;
mod metrics;
mod observe;
mod operations;
mod policy;
mod preview;
mod provider;
mod resource_types;
mod schedule;
mod script;
mod stacks;
mod template;
#[cfg(test)]
mod tests;
mod world;

pub use alarms::SimAlarm;
pub use calls::{CallOutcome, CallRecord, Operation};
pub use faults::{Fault, FaultKind, MetricFault, Outage};
pub use metrics::Incident;
pub use observe::{Act, Found, Witness};
pub use stacks::StackEvent;
pub use world::{SimOptions, SimWorld};
