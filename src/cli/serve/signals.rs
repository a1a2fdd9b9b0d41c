//! Signals: the door that works when every other one is down, and the ordinary end.

use super::{new_kill_id, wall};
use crate::daemon::driver::Orders;
use crate::daemon::kill_file::{self, Added};
use crate::engine::decide::Input;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// SIGUSR1 pauses everything, SIGUSR2 halts everything.
pub(super) struct KillSignals([(Signal, SignalKind, KillMode); 2]);

/// The signals while the loop runs, and until its very end.
pub(super) struct Heeded {
    tasks: JoinSet<()>,
    end: watch::Sender<bool>,
}

impl KillSignals {
    /// From here on such a signal ends no process: it is an order, and waits until the loop takes it. To be called first of all.
    pub(super) fn listen() -> std::io::Result<Self> {
        let (pause, halt) = (SignalKind::user_defined1(), SignalKind::user_defined2());
        Ok(Self([(signal(pause)?, pause, KillMode::Pause), (signal(halt)?, halt, KillMode::Halt)]))
    }

    /// Gives the orders to this loop; one that has ended leaves them to the next daemon, in the kill file.
    pub(super) fn heed(self, orders: &Orders, kill_file: &Path) -> Heeded {
        let (end, ending) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (signals, kind, mode) in self.0 {
            let reason = format!("signal {}", kind.as_raw_value());
            tasks.spawn(heed(signals, mode, reason, orders.clone(), kill_file.to_owned(), ending.clone()));
        }
        Heeded { tasks, end }
    }
}

impl Heeded {
    /// To be called last, when the loop has ended: every signal that has come by then is on record, or in the kill file.
    pub(super) async fn end(mut self) {
        // The runtime hands a signal on a moment after it came.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let _ = self.end.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn heed(
    mut signals: Signal,
    mode: KillMode,
    reason: String,
    orders: Orders,
    kill_file: PathBuf,
    mut ending: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            came = signals.recv() => match came {
                Some(()) => {}
                None => return,
            },
            _ = ending.wait_for(|ended| *ended) => return,
        }
        if orders.input(Input::Kill(order(mode, reason.clone()))).await.is_err() {
            leave(&kill_file, mode, &reason);
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

/// This daemon issues nothing more. The next one would: it finds the order.
fn leave(file: &Path, mode: KillMode, reason: &str) {
    match kill_file::add(file, mode, &KillScope::All, reason) {
        Ok(Added::Empty(why)) => {
            tracing::error!(file = %file.display(), %mode, why, "a kill by signal came at the end: the kill file is left without it, and pauses everything");
        }
        Ok(Added::Written | Added::Held) => {
            tracing::warn!(file = %file.display(), %mode, "a kill by signal came at the end: it is left in the kill file");
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
    fn a_signal_at_the_end_is_left_for_the_next_daemon_and_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = kill_file::path(dir.path());
        leave(&file, KillMode::Halt, "signal 12");
        let found = kill_file::read(&file, wall()).remove(0);
        assert_eq!((found.mode, &found.scope, found.reason.as_str()), (KillMode::Halt, &KillScope::All, "signal 12"));
        leave(&file, KillMode::Pause, "signal 10");
        assert_eq!(kill_file::read(&file, wall()).remove(0).mode, KillMode::Halt);
        // What a drill or a person has left, and is less.
        std::fs::write(&file, kill_file::text(KillMode::Pause, &KillScope::Cell("a".into()), "")).unwrap();
        leave(&file, KillMode::Halt, "signal 12");
        assert_eq!(kill_file::read(&file, wall()).remove(0).scope, KillScope::All);
        assert_eq!(kill_file::read(&file, wall()).remove(0).mode, KillMode::Halt);
    }
}
