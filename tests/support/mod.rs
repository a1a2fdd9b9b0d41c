//! What the end-to-end tests share: a real emulator of AWS behind a recording proxy, and the built daemon before it.
//!
//! ```text
//! daemon and CLI ──► Proxy (records, cuts, delays) ──► microburst (injects, only once asked) ──► MiniStack
//!                                        test's own reads and writes (Place) ────────────────────┘
//! ```
//!
//! | module | what |
//! |---|---|
//! | `emulator` | starts MiniStack and microburst on free ports, resets them, ends them by process id |
//! | `proxy` | records every call that the product makes; cuts, delays, holds and counts them |
//! | `call` | one recorded call, and what can be asked of many |
//! | `place` | one account and region, seen and changed by the test past the proxy |
//! | `daemon` | the built `wavegate` binary: serve, kill -9, restart, and its commands |
//! | `http`, `text` | the little HTTP, form and XML reading that these need |
//!
//! A test starts with `let Some(emulator) = Emulator::start() else { return };`, which gives `None`, with a printed
//! reason, only when `WAVEGATE_EMULATOR` is unset. Everything else that goes wrong here panics.
#![allow(dead_code, unused_imports, reason = "each test uses a part of this module")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "support of tests: it fails loudly, and it reads the clock and the environment"
)]

pub mod call;
pub mod daemon;
pub mod emulator;
pub mod http;
pub mod place;
pub mod proxy;
pub mod text;

pub use call::{Call, Calls, Fate};
pub use daemon::{CliOutput, Daemon};
pub use emulator::{Emulator, send_signal};
pub use place::{Place, Snapshot, StackEvent, StackState};
pub use proxy::{Effect, Gate, Match, Proxy, When};

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The path of a file under `tests/fixtures`.
pub fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The text of a file under `tests/fixtures`.
pub fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixture_path(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// Asks `probe` every 20 ms until it gives something; panics with `what` when `limit` is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
