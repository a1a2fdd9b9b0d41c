//! The loop: input → decide → apply → append + fsync → effects through one gate → next input.
//!
//! | module | what |
//! |---|---|
//! | `core` | one turn of the loop, without waiting: what every driver shares |
//! | `issuer` | the gate: reads the durable record again before an effect leaves |
//! | `driver` | the waiting: replies, orders, timers |
//! | `perform` | an effect → calls of the world |
//! | `split` | the real world, and the embedded one of kill drills beside it |
//! | `leader` | taking and keeping the state directory |
//! | `kill_file` | the door that works when everything else is down |
//! | `clock` | the only place where time is read |

pub mod clock;
pub mod core;
pub mod driver;
pub mod issuer;
pub mod kill_file;
pub mod leader;
pub mod perform;
pub mod split;
