//! What others may ask of the daemon: one list of verbs, and the doors to it.
//!
//! | module | what |
//! |---|---|
//! | `verbs` | what may be asked, and what is answered |
//! | `service` | the one list of verbs: asks who may, hands on to the loop |
//! | `code` | stable codes of what went wrong |
//! | `auth` | who is calling |
//! | `doors` | what every door needs |
//! | `drill` | kill drills: each door and mode, tried in the running daemon |
//! | `refusals` | every refusal goes on record |
//! | `feed` | the journal as a stream of events |
//! | `http` | HTTP: JSON, the stream, probes |
//! | `notify` | tells people what they should know |
//! | `heartbeat` | the dead-man signal to an outside monitor |
//! | `metrics` | what the daemon says of itself to Prometheus |
//! | `trace` | a trace of each rollout, for a collector of OpenTelemetry; only with the feature `otel` |
//! | `listing` | lists and single things, as data |
//! | `view` | what is shown of the state, as data |
//! | `admission` | what stands between a rollout and its waves, as data |
//! | `comparing` | changed cells against unchanged ones, in numbers and words |
//! | `reasons` | what a guardrail found, in words |
//! | `words` | every "why" and "not yet" in words for people |
//! | `fact` | one journal record in one line |
//! | `mcp` | the Model Context Protocol, for agents |
//! | `socket` | the Unix socket in the state directory, both ends |
//! | `client` | asking a daemon, by its socket or over HTTP |

pub mod admission;
pub mod auth;
pub mod client;
pub mod code;
pub mod comparing;
pub mod doors;
pub mod drill;
pub mod fact;
pub mod feed;
pub mod heartbeat;
pub mod http;
pub mod listing;
pub mod mcp;
pub mod metrics;
pub mod notify;
pub mod reasons;
pub mod refusals;
pub mod service;
pub mod socket;
#[cfg(feature = "otel")]
pub mod trace;
pub mod verbs;
pub mod view;
pub mod words;
