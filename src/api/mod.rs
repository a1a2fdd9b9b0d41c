//! What others may ask of the daemon: one list of verbs, and the doors to it.
//!
//! | module | what |
//! |---|---|
//! | `service` | the verbs |
//! | `view` | what is shown of the state, as data |
//! | `words` | every "why" and "not yet" in words for people |
//! | `fact` | one journal record in one line |
//! | `socket` | the Unix socket in the state directory, both ends |

pub mod fact;
pub mod service;
pub mod socket;
pub mod view;
pub mod words;
