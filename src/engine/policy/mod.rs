//! Policies in Cedar: everything that SREs want to forbid, and no guardrail of ours has a number for. Design §6.
//!
//! | module | does |
//! |---|---|
//! | `schema` | what policies can ask, made from our own types |
//! | `compile` | files → checked policies; every fault with its place |
//! | `checks` | what is asked of one policy, and of all of them together |
//! | `lens` | which of a target's attributes a policy reads: targets that look the same are judged once |
//! | `question` | a rollout → what is known of it when policies are asked |
//! | `evaluate` | policies × question → findings |

pub mod checks;
pub mod compile;
pub mod evaluate;
pub mod lens;
pub mod question;
pub mod schema;

pub use compile::Policies;
pub use evaluate::findings;
pub use question::Question;
