//! Lines to standard output. `println!` panics when the reader has gone (`wavegate status | head -1`); these lines do not, and whoever
//! would go on talking for long can ask whether anybody still listens.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

static GONE: AtomicBool = AtomicBool::new(false);

/// Prints one line.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        GONE.store(true, Ordering::Relaxed);
    }
}

/// Prints each line.
pub fn say_all(lines: &[String]) {
    lines.iter().for_each(|line| say(line));
}

/// True once a line could not be printed: the reader has gone, or the disk behind standard output is full.
pub fn is_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}
