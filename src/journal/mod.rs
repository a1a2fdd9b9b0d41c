//! Memory: append, fsync, replay; the lease; the durable record that the issuer reads again. SQLite in WAL mode with
//! `synchronous=FULL`: what was acknowledged survives a power cut (S17).
//!
//! | module | what |
//! |---|---|
//! | `store` | the file: open, assert, append, read |
//! | `chain` | each record is bound to the one before by a digest |
//! | `lease` | who leads, and since when |
//! | `outbox` | messages on their way to people, in a file of their own |
//! | `record` | questions that the issuer asks of the durable record |
//! | `tap` | what a test does to a write; only with the feature `proof` |
//! | `read_only` | opening it to read, offline or beside a daemon |

pub mod chain;
pub mod lease;
pub mod outbox;
mod read_only;
pub mod record;
pub mod store;
#[cfg(feature = "proof")]
pub mod tap;

pub use store::{Entry, Journal, JournalError};
