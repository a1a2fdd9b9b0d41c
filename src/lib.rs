//! Wavegate: staged rollouts with automatic rollback.

pub mod cloud;
pub mod model;
