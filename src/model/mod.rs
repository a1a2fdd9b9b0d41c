//! Nouns. No async, no AWS, no clock, no environment: what exists, how it is checked, and the one table by which it changes.

pub mod change_set;
pub mod document;
pub mod event;
pub mod halt;
pub mod ids;
pub mod observation;
pub mod pipeline;
pub mod plan;
pub mod stack;
pub mod state;
pub mod time;
pub mod verdict;
