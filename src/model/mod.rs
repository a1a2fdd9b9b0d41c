//! Nouns. No async, no AWS, no clock, no environment: what exists, how it is checked, and the one table by which it changes.

pub mod change_set;
pub mod ids;
pub mod observation;
pub mod pipeline;
pub mod stack;
pub mod time;
