//! Decisions. Pure: (state, session, input, now) → events and effects. No clock, no environment, no network, no randomness.
//!
//! | module | decides |
//! |---|---|
//! | `decide` | the parent: what an input means, and what comes next in each rollout |
//! | `planner` | change set + pipeline → plan |
//! | `wave` | which targets of a wave start next |
//! | `forward`, `revert` | the next step of one target, there and back |
//! | `operation` | how an operation that was intended came out |
//! | `proof` | whether a stack is what it should be |
//! | `watch`, `health` | when health is looked at, and what it says |
//! | `effect` | the closed list of what the world may be asked |
//! | `session` | what this process has seen and asked; lost in a crash, on purpose |

pub mod decide;
pub mod effect;
pub mod forward;
pub mod health;
pub mod names;
pub mod operation;
pub mod planner;
pub mod proof;
pub mod revert;
pub mod session;
pub mod step;
pub mod watch;
pub mod wave;
