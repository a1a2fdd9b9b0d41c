//! Health: samples × now → verdict. No data is never health.
//!
//! `evidence` says what may be trusted; `threshold` says what it means.

pub mod evidence;
pub mod threshold;

pub use evidence::Evidence;
