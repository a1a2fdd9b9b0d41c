//! What `strace` can do to the daemon's journal, and what its trace tells afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What goes wrong, at the n-th of the calls that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One fsync fails; those after it would work again, and prove nothing.
    SyncOnce,
    /// The disk is gone.
    SyncForEver,
    /// One write fails.
    WriteOnce,
    /// The disk is full, and stays so.
    Full,
    /// `kill -9` while it waits for the disk.
    KillAtSync,
    /// `kill -9` in the middle of a commit's writes.
    KillAtWrite,
}

impl Fault {
    pub const ALL: [Self; 6] =
        [Self::SyncOnce, Self::SyncForEver, Self::WriteOnce, Self::Full, Self::KillAtSync, Self::KillAtWrite];

    pub fn is_kill(self) -> bool {
        matches!(self, Self::KillAtSync | Self::KillAtWrite)
    }

    pub fn is_at_sync(self) -> bool {
        matches!(self, Self::SyncOnce | Self::SyncForEver | Self::KillAtSync)
    }

    /// Later calls fail too: what the daemon does on its way out does not reach the disk either.
    fn lasts(self) -> bool {
        matches!(self, Self::SyncForEver | Self::Full)
    }

    fn inject(self, at: usize) -> String {
        let call = if self.is_at_sync() { "fsync" } else { "pwrite64" };
        let what = match self {
            Self::SyncOnce | Self::SyncForEver | Self::WriteOnce => "error=EIO",
            Self::Full => "error=ENOSPC",
            Self::KillAtSync | Self::KillAtWrite => "signal=KILL",
        };
        format!("inject={call}:{what}:when={at}{}", if self.lasts() { "+" } else { "" })
    }
}

/// Why nothing can be traced here; none: it can.
pub fn missing() -> Option<String> {
    let tried = Command::new("strace")
        .args(["--seccomp-bpf", "-D", "-f", "-e", "trace=fsync", "-o", "/dev/null", "true"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Err(error) => Some(format!("`strace` does not start ({error}); on Debian: apt-get install strace")),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("ptrace is not permitted: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// The command that runs the daemon with this fault, or only watches it. `-D` leaves the daemon our child.
pub fn strace(to: &Path, fault: Option<(Fault, usize)>) -> Vec<String> {
    let mut words: Vec<String> = vec!["strace".into()];
    // Far cheaper, since other system calls do not stop; but strace 6.1 injects no signal then.
    if !fault.is_some_and(|(fault, _)| fault.is_kill()) {
        words.push("--seccomp-bpf".into());
    }
    words.extend(["-D", "-f", "-y", "-ttt", "-s", "0", "-o"].map(Into::into));
    words.push(to.to_str().unwrap().into());
    // `fdatasync` is traced as well, so that a SQLite that would call it does not go unseen.
    words.extend(["-e".into(), "trace=fsync,fdatasync,pwrite64".into()]);
    words.extend(fault.iter().flat_map(|(fault, at)| ["-e".into(), fault.inject(*at)]));
    words.push("--".into());
    words
}

/// What the daemon did to its disk.
#[derive(Debug, Default)]
pub struct Trace {
    pub syncs: usize,
    pub writes: usize,
    /// Which of the fsyncs, from 1, are of the folder: two by SQLite, which does not look how they went, and at last one by us.
    pub folder_syncs: Vec<usize>,
    /// When the fault struck, since the epoch.
    pub struck: Option<Duration>,
    /// So much of the WAL was durable at the end: what a power cut leaves of it.
    pub wal_synced: u64,
}

impl Trace {
    /// Reads the trace of a daemon that has ended, or up to now of one that has not.
    pub fn read(path: &Path, wal: &Path) -> Self {
        let mut trace = Self::default();
        let mut written = 0;
        let mut threads = std::collections::BTreeMap::new();
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(at)) = (words.next(), words.next()) else { continue };
            let call = line.split_once(at).map_or("", |(_, call)| call.trim_start());
            if call.contains("(INJECTED)") || call.starts_with("--- SIGKILL") || call.starts_with("+++ killed by") {
                trace.struck = trace.struck.or(Some(Duration::from_secs_f64(at.parse().unwrap())));
            }
            assert!(!call.starts_with("fdatasync("), "SQLite calls fdatasync, too: inject there as well: {call}");
            let (is_sync, is_write) = (call.starts_with("fsync("), call.starts_with("pwrite64("));
            if !is_sync && !is_write {
                continue;
            }
            // A reader may be the last to have the file open, and sets up SQLite's shared index then. That is memory, and no record.
            if !call.contains("/journal.db-shm>") {
                threads.entry(thread.to_owned()).or_insert_with(|| call.to_owned());
            }
            trace.syncs += usize::from(is_sync);
            trace.writes += usize::from(is_write);
            if is_sync && call.contains(&format!("<{}>", wal.parent().unwrap().display())) {
                trace.folder_syncs.push(trace.syncs);
            }
            let on_wal = call.contains(&format!("<{}>", wal.display()));
            match (on_wal, call.rsplit_once(" = ")) {
                (true, Some((_, "0"))) if is_sync => trace.wal_synced = written,
                // A refused one has a negative number, and one that a kill cut short has none.
                (true, Some((what, bytes))) if is_write => {
                    let Ok(bytes) = bytes.trim().parse::<u64>() else { continue };
                    let offset = what.trim_end().trim_end_matches(')').rsplit(", ").next().unwrap();
                    written = written.max(offset.parse::<u64>().unwrap() + bytes);
                }
                _ => {}
            }
        }
        // strace counts by thread: with two that write, `when=N` would not be the N-th.
        assert!(threads.len() <= 1, "the journal is written by several threads: {threads:?}");
        trace
    }
}

/// A power cut after the daemon's end: what was not synced is lost. True when something was.
pub fn cut_power(trace: &Trace, wal: &Path) -> bool {
    let Ok(length) = std::fs::metadata(wal).map(|m| m.len()) else { return false };
    let lost = length > trace.wal_synced;
    if lost {
        std::fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(trace.wal_synced).unwrap();
    }
    lost
}

/// The WAL beside a journal.
pub fn wal_of(journal: &Path) -> PathBuf {
    journal.with_extension("db-wal")
}

/// A file system of this size, mounted at a folder until it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Why it cannot be had is in the error.
    pub fn mount(at: &Path, size: &str) -> Result<Self, String> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "none"])
            .arg(at)
            .output()
            .map_err(|e| e.to_string())?;
        match mounted.status.success() {
            true => Ok(Self(at.to_owned())),
            false => Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
