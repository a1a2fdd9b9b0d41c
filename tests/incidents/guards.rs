//! Guards are removed for the whole process: whoever runs a daemon in here holds this lock for as long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use wavegate::guard::{self, Guard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// All guards are in place, until one is removed; and again when this is dropped, also by a failing test.
pub struct Guards(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Guards {
    pub fn in_place() -> Self {
        // A test that failed while it held the lock has put its guards back.
        let held = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        guard::remove(&[]);
        Self(held)
    }

    /// Removes these, and puts every other one back.
    pub fn without(&self, guards: &[Guard]) {
        guard::remove(guards);
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        guard::remove(&[]);
    }
}
