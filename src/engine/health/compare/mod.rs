//! Treated cells against not-yet-treated ones, each against its own history, by an anytime-valid e-process.
//!
//! | module | what |
//! |---|---|
//! | `baseline` | what history says of each cell and of the noise between cells, frozen before the first wave |
//! | `noise` | how much more the cells differ from each other than chance alone would have it |
//! | `counts` | one tick of bad events among all events, as an e-value |
//! | `ranks` | one tick of values without counts, as an e-value |
//! | `absence` | one tick of silence, as an e-value |
//! | `onset` | the product of e-values over every time at which a fault may have begun |
//! | `interval` | the ratio's confidence sequence, for people |
//! | `process` | all of it for one tick: state in, state and explanation out |
//! | `past` | a cell against nothing but its own past: holds, never reverts |
//! | `power` | what could be seen, and when |
//!
//! An **e-value** is a non-negative number whose expectation is at most 1 while the change is harmless; an **e-process** is a running
//! one whose expectation is at most 1 whenever it is looked at. By Ville's inequality it reaches `1 / alpha` with a probability of at
//! most `alpha`, however often and whenever one looks (Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid
//! inference", Statistical Science 2023).

pub mod absence;
pub mod baseline;
pub mod counts;
pub mod interval;
pub mod noise;
pub mod onset;
pub mod past;
pub mod power;
pub mod process;
pub mod ranks;
