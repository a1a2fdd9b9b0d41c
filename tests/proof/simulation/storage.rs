//! The disk under a journal: full, failing, or torn in the middle of a write.

use super::invariants;
use super::ledger;
use super::stage::{Count, Shared};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wavegate::journal::tap::{Tap, Write, WriteFault};

/// How the next write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ENOSPC`: nothing is written.
    Full,
    /// `EIO`, and nothing is written: the daemon dies before the record is durable.
    Before,
    /// `EIO` after the record is durable: the daemon dies before anything follows from it.
    After,
    /// The power goes in the middle: the last transaction is cut at some byte.
    Torn,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Full, Self::Before, Self::After, Self::Torn];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Before => "before",
            Self::After => "after",
            Self::Torn => "torn",
        }
    }
}

/// Under one daemon's journal.
pub struct Disk {
    shared: Arc<Shared>,
    file: PathBuf,
    /// Set when a write has failed: this daemon must not write again.
    failed: bool,
    /// The fate of the write that has begun.
    fate: Option<Fault>,
    /// How long the log was before it.
    log_before: u64,
    /// This daemon has been told its first record.
    pub first: bool,
}

impl Disk {
    pub fn new(shared: &Arc<Shared>, file: &Path) -> Self {
        Self {
            shared: Arc::clone(shared),
            file: file.to_owned(),
            failed: false,
            fate: None,
            log_before: 0,
            first: true,
        }
    }
}

fn log_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

impl Tap for Disk {
    fn before(&mut self, write: Write<'_>) -> Result<(), WriteFault> {
        if self.failed {
            self.shared.ledger().broken("S17", "a daemon goes on after a failed write");
        }
        self.fate = self.shared.next_write();
        let fault = match self.fate {
            Some(Fault::Full) => Some((WriteFault::Full, Count::DiskFull)),
            Some(Fault::Before) => Some((WriteFault::Io, Count::IoBefore)),
            _ => None,
        };
        if self.fate == Some(Fault::Torn) {
            self.log_before = length(&log_of(&self.file));
        }
        let _ = write;
        let Some((fault, count)) = fault else { return Ok(()) };
        self.failed = true;
        self.shared.write_failed();
        self.shared.count(count);
        Err(fault)
    }

    fn after(&mut self, write: Write<'_>) -> Result<(), WriteFault> {
        if self.fate == Some(Fault::Torn) && self.tear() {
            self.failed = true;
            self.shared.write_failed();
            self.shared.count(Count::Torn);
            return Err(WriteFault::Io);
        }
        let world = self.shared.world();
        let now = world.wall();
        let known = self.shared.ledger().state.clone_if(write.events);
        let truths = ledger::truths(&world, &known, write.events);
        self.shared.ledger().written(write, now, &truths);
        self.shared.recorded(write.events);
        if self.fate == Some(Fault::After) {
            self.failed = true;
            self.shared.write_failed();
            self.shared.count(Count::IoAfter);
            return Err(WriteFault::Io);
        }
        Ok(())
    }
}

impl Disk {
    /// Copies the file as the power cut leaves it: the log ends in the middle of the last transaction. False when the log has
    /// just begun anew, and the cut would not be in this transaction.
    fn tear(&mut self) -> bool {
        let log = log_of(&self.file);
        let now = length(&log);
        if now <= self.log_before {
            return false;
        }
        let copy = self.shared.next_directory();
        let into = copy.join("journal.db");
        let copied = std::fs::copy(&self.file, &into).and_then(|_| std::fs::copy(&log, log_of(&into)));
        copied.unwrap();
        let cut = self.log_before + self.shared.draw(now - self.log_before);
        std::fs::File::options().write(true).open(log_of(&into)).unwrap().set_len(cut).unwrap();
        true
    }
}

/// Only what a truth needs is cloned: most writes claim nothing about the world.
trait CloneIf {
    fn clone_if(&self, events: &[wavegate::model::event::Event]) -> Self;
}

impl CloneIf for wavegate::model::state::State {
    fn clone_if(&self, events: &[wavegate::model::event::Event]) -> Self {
        use wavegate::model::event::Event as E;
        let claims =
            |e: &E| matches!(e, E::RestorePointCaptured { .. } | E::OperationEnded { .. } | E::TargetSettled { .. });
        if events.iter().any(claims) { self.clone() } else { Self::default() }
    }
}

/// What a daemon finds at its start is judged once, before it writes its first record.
pub fn judge_start(shared: &Shared, state: &wavegate::model::state::State) {
    invariants::started_from(&mut shared.ledger(), state);
}
