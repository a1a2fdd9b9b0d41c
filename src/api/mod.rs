//! What others may ask of the daemon: one list of verbs, and the doors to it.
//!
//! | module | what |
//! |---|---|
//! | `service` | the verbs |
//! | `view` | what is shown of the state, as data |
//! | `admission` | what stands between a rollout and its waves, as data |
//! | `comparing` | changed cells against unchanged ones, in numbers and words |
//! | `reasons` | what a guardrail found, in words |
//! | `words` | every "why" and "not yet" in words for people |
//! | `fact` | one journal record in one line |
//! | `socket` | the Unix socket in the state directory, both ends |

pub mod admission;
pub mod comparing;
pub mod fact;
pub mod reasons;
pub mod service;
pub mod socket;
pub mod view;
pub mod words;
