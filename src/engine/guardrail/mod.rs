//! May this plan, this wave, start? Each guardrail yields findings with their numbers; none has a clock of its own.
//!
//! | module | looks at |
//! |---|---|
//! | `autonomy` | the classes of the change, and what the agent has earned |
//! | `blast_radius` | how far a rollout reaches, and all of them together |
//! | `exposure`, `ledger` | what is in motion, over every rollout: from the state, and from the events |
//! | `calendar`, `windows` | change windows and freezes |
//! | `cost` | the monthly difference |
//! | `dependents` | who imports what the stacks export |
//! | `drift` | whether the stacks are as their templates say |
//! | `environment_order` | which environment comes first |
//! | `kill_drill` | whether the kills have been tried lately |
//! | `rate` | how many changes start without a person |
//! | `judge` | all of them together, and what follows |
//! | `figures` | what the change does, in numbers and words |

pub mod autonomy;
pub mod blast_radius;
pub mod calendar;
pub mod cost;
pub mod dependents;
pub mod drift;
pub mod environment_order;
pub mod exposure;
pub mod figures;
pub mod finding;
pub mod judge;
pub mod kill_drill;
pub mod ledger;
pub mod rate;
pub mod windows;
