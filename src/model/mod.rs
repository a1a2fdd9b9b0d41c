//! Nouns. No async, no AWS, no clock, no environment: what exists, how it is checked, and the one table by which it changes.

pub mod approval;
pub mod calendar;
pub mod change_set;
pub mod class;
pub mod comparison;
pub mod decision;
pub mod document;
pub mod drill;
pub mod event;
pub mod halt;
pub mod ids;
pub mod notice;
pub mod observation;
pub mod pipeline;
pub mod plan;
pub mod preview;
pub mod price_book;
pub mod principal;
pub mod rate;
pub mod safeguards;
pub mod shown;
pub mod stack;
pub mod state;
pub mod time;
pub mod token;
pub mod verdict;
mod words;
