//! Signals: the door that works when every other one is down, and the ordinary end.

use super::{new_kill_id, wall};
use crate::daemon::driver::Orders;
use crate::daemon::kill_file;
use crate::engine::decide::Input;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGUSR1 pauses everything, SIGUSR2 halts everything.
pub(super) struct KillSignals([(Signal, SignalKind, KillMode); 2]);

impl KillSignals {
    /// From here on such a signal ends no process: it is an order, and waits until the loop takes it. To be called first of all.
    pub(super) fn listen() -> std::io::Result<Self> {
        let (pause, halt) = (SignalKind::user_defined1(), SignalKind::user_defined2());
        Ok(Self([(signal(pause)?, pause, KillMode::Pause), (signal(halt)?, halt, KillMode::Halt)]))
    }

    /// Gives the orders to this loop; one that has ended leaves them to the next daemon, in the kill file.
    pub(super) fn heed(self, orders: &Orders, kill_file: &Path) {
        for (mut signals, kind, mode) in self.0 {
            let (orders, kill_file) = (orders.clone(), kill_file.to_owned());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    let reason = format!("signal {}", kind.as_raw_value());
                    if orders.input(Input::Kill(order(mode, reason.clone()))).await.is_err() {
                        leave(&kill_file, mode, &reason);
                    }
                }
            });
        }
    }
}

fn order(mode: KillMode, reason: String) -> Kill {
    Kill {
        id: new_kill_id(),
        scope: KillScope::All,
        mode,
        by: "signal".into(),
        door: KillDoor::Signal,
        at: wall(),
        reason,
    }
}

/// This daemon issues nothing more. The next one would: it finds the order. A kill file that is there already is not written over.
fn leave(file: &Path, mode: KillMode, reason: &str) {
    let text = kill_file::text(mode, &KillScope::All, reason);
    let written = OpenOptions::new().write(true).create_new(true).open(file).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {
            tracing::warn!(file = %file.display(), %mode, "a kill by signal came at the end: it is left in the kill file")
        }
        Err(error) => {
            tracing::error!(file = %file.display(), %mode, %error, "a kill by signal came at the end, and cannot be left in the kill file");
        }
    }
}

/// SIGTERM and SIGINT stop the daemon (and no rollout: the next one goes on).
pub(super) fn end_with_signals(orders: &Orders) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let orders = orders.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                orders.stop().await;
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_signal_at_the_end_is_left_for_the_next_daemon_and_writes_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = kill_file::path(dir.path());
        leave(&file, KillMode::Halt, "signal 12");
        let found = kill_file::read(&file, wall()).unwrap();
        assert_eq!((found.mode, &found.scope, found.reason.as_str()), (KillMode::Halt, &KillScope::All, "signal 12"));
        leave(&file, KillMode::Pause, "signal 10");
        assert_eq!(kill_file::read(&file, wall()).unwrap().mode, KillMode::Halt);
    }
}
