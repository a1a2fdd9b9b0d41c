//! Health: samples × now → verdict. No data is never health.
//!
//! `evidence` says what may be trusted, tick by tick; `threshold` and `alarm` say what it means; `missing_data` is what CloudWatch alarms
//! make of a point that is not there. `gate` holds changed cells against unchanged ones; how is in `compare`. `cost` says what looking costs.
//! `replay` asks all of them about a `recording`.

mod alarm;
pub mod compare;
pub mod cost;
pub mod evidence;
pub mod gate;
pub mod missing_data;
mod pool;
mod reads;
pub mod recording;
pub mod replay;
mod samples;
mod tail;
pub mod threshold;

pub use evidence::Evidence;
