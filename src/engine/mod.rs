//! Decisions. Pure: (state, session, input, now) → events and effects. No clock, no environment, no network, no randomness.
//!
//! | module | decides |
//! |---|---|
//! | `decide` | the parent: what comes next in each rollout |
//! | `react`, `answer` | what an input means; what people answer |
//! | `progress` | what a rollout as a whole does next |
//! | `guardrail`, `admission` | what the guardrails find, and whether a wave may start |
//! | `approval` | whether an approval counts, and whether there are enough |
//! | `authority` | who may ask for what |
//! | `planner` | change set + pipeline → plan |
//! | `classify`, `resource_types` | preview → change classes and reversibility |
//! | `policy` | what the pipeline's Cedar policies say to a change |
//! | `wave` | which targets of a wave start next |
//! | `forward`, `revert` | the next step of one target, there and back |
//! | `operation` | how an operation that was intended came out |
//! | `proof` | whether a stack is what it should be |
//! | `rate` | whether changes come far faster than they usually do |
//! | `watch`, `health` | when health is looked at, and what it says |
//! | `stop` | what a stop order meets |
//! | `tokens` | what the record must learn of the file of tokens |
//! | `effect` | the closed list of what the world may be asked |
//! | `notice` | of which facts people are told |
//! | `session` | what this process has seen and asked; lost in a crash, on purpose |

pub mod admission;
pub mod answer;
pub mod approval;
pub mod authority;
pub mod classify;
pub mod comparison;
pub mod decide;
pub mod effect;
pub mod forward;
pub mod guardrail;
pub mod health;
pub mod macros;
pub mod names;
pub mod notice;
pub mod operation;
pub mod planner;
pub mod policy;
pub mod progress;
pub mod proof;
pub mod rate;
pub mod react;
pub mod resource_types;
pub mod revert;
pub mod session;
pub mod step;
pub mod stop;
pub mod tokens;
pub mod watch;
pub mod wave;
