//! Taking and keeping the state directory: one daemon at a time leads.
//!
//! A lock on the file `daemon.lock` tells a dead holder from a living one at once (the kernel drops it with the process). A holder
//! that lives but stands still (stopped, swapped out) keeps the lock and loses its lease: the newcomer watches the beat by its own
//! monotonic clock and takes over when it has not moved for [`LEASE`]. The old one finds out at its next write or effect.
//!
//! So a leader may be without the lock, for as long as the old one keeps it, and a lock that is free proves nothing about such a leader.
//! Whoever gets the lock writes its name into the file: only when the lease is of that same name is its holder dead. Otherwise the beat
//! is watched, with the lock in hand. A leader without the lock tries to get it until it has it.

use crate::journal::lease::Lease;
use crate::journal::{Journal, JournalError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

/// A beat that has not moved for so long is a dead leader's. Three missed renewals plus the longest stall of a busy disk.
pub const LEASE: Duration = Duration::from_secs(10);
/// The leader moves its beat on so often.
pub const RENEW: Duration = Duration::from_secs(2);
/// How often a newcomer looks at the beat.
const LOOK: Duration = Duration::from_millis(250);
/// What is read of the name in the lock's file. Ours are shorter.
const NAME_MAX: usize = 4096;

/// Why the state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// The directory or its lock file cannot be used.
    #[error("the state directory `{path}` cannot be used; make it writable for this user, on a sound disk")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// The file system's error.
        source: std::io::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The lead of a state directory: keep it as long as the daemon runs.
#[derive(Debug)]
pub struct Lead {
    /// The journal, writing under the new epoch.
    pub journal: Journal,
    /// Who holds it, as recorded.
    pub holder: String,
    /// None: somebody else has it.
    _lock: Option<File>,
    /// Waits for it then, and holds it.
    _wanted: JoinSet<()>,
}

/// Takes the lead: at once when the last leader is known to be dead, after [`LEASE`] when it may live and does not move.
///
/// # Errors
/// [`JournalError::Led`] when one lives and moves.
pub async fn take(state_dir: &Path) -> Result<Lead, LeadError> {
    take_as(state_dir, format!("pid {} ({})", std::process::id(), uuid::Uuid::now_v7().simple())).await
}

/// [`take`] under a name that no other daemon has.
///
/// # Errors
/// As [`take`].
pub async fn take_as(state_dir: &Path, holder: String) -> Result<Lead, LeadError> {
    let directory = |source| LeadError::Directory { path: state_dir.to_owned(), source };
    make_private(state_dir).map_err(directory)?;
    let lock_path = state_dir.join("daemon.lock");
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&lock_path);
    let lock = open.map_err(directory)?;
    let mut journal = Journal::open(&state_dir.join("journal.db"))?;
    let locked = try_lock(&lock).map_err(directory)?;
    let seen = journal.lease()?;
    let is_dead = |last: &Lease| name(&lock).is_ok_and(|name| name == last.holder);
    if !locked || !seen.as_ref().is_none_or(is_dead) {
        journal = wait_for_silence(journal, seen.as_ref()).await?;
    }
    journal.take_lead(seen.as_ref(), &holder)?;
    sync(state_dir).map_err(directory)?;
    let mut wanted = JoinSet::new();
    let lock = if locked {
        write_name(&lock, &holder);
        Some(lock)
    } else {
        wanted.spawn(want(lock, holder.clone()));
        None
    };
    Ok(Lead { journal, holder, _lock: lock, _wanted: wanted })
}

/// True: we have it.
fn try_lock(lock: &File) -> std::io::Result<bool> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// Who had the lock last.
fn name(lock: &File) -> std::io::Result<String> {
    let mut bytes = vec![0; NAME_MAX];
    let length = lock.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A name that is not there, or is there in part, is nobody's: the next start watches the beat, which is slower and as safe.
fn write_name(lock: &File, holder: &str) {
    if let Err(error) = lock.set_len(0).and_then(|()| lock.write_all_at(holder.as_bytes(), 0)) {
        tracing::warn!(%error, "the name of this daemon cannot be written to its lock; the next start takes {LEASE:?} longer");
    }
}

/// Gets the lock once it is free, and holds it until the task is dropped.
async fn want(lock: File, holder: String) {
    while !try_lock(&lock).unwrap_or(false) {
        tokio::time::sleep(RENEW).await;
    }
    write_name(&lock, &holder);
    std::future::pending::<()>().await;
}

/// Takes the journal and gives it back: no other task may use it in between.
async fn wait_for_silence(journal: Journal, seen: Option<&Lease>) -> Result<Journal, LeadError> {
    let mut waited = Duration::ZERO;
    while waited < LEASE {
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
        let now = journal.lease()?;
        if now.as_ref() != seen {
            let holder = now.map(|l| l.holder).unwrap_or_default();
            return Err(JournalError::Led { holder }.into());
        }
    }
    Ok(journal)
}

/// Makes the names of the journal's files durable, which all exist by now. SQLite does the same when it makes them, and does not look
/// whether it worked: a WAL whose name a power cut takes is lost with all that was acknowledged (S17).
fn sync(dir: &Path) -> std::io::Result<()> {
    match File::open(dir)?.sync_all() {
        // A file system that has no such thing says so.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Makes the directory, readable by its owner alone: it holds templates and the socket.
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if dir.is_dir() {
        return std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn is_locked(dir: &Path) -> bool {
        !try_lock(&File::open(dir.join("daemon.lock")).unwrap()).unwrap()
    }

    async fn take(dir: &Path, holder: &str) -> Result<(Lead, Duration), LeadError> {
        let start = Instant::now();
        take_as(dir, holder.to_owned()).await.map(|lead| (lead, start.elapsed()))
    }

    /// Moves its beat on for a while, as a healthy leader does.
    async fn live(mut lead: Lead) -> (Lead, Result<(), JournalError>) {
        for _ in 0..10 {
            tokio::time::sleep(RENEW).await;
            if let Err(error) = lead.journal.renew() {
                return (lead, Err(error));
            }
        }
        (lead, Ok(()))
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_leader_that_held_the_lock_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        for holder in ["a", "b", "a longer name", "c"] {
            let (lead, took) = take(dir.path(), holder).await.unwrap();
            assert_eq!(took, Duration::ZERO, "{holder}");
            assert!(is_locked(dir.path()));
            drop(lead);
        }
    }

    /// The first one stood still and kept the lock; it ends at last, and a third one starts.
    #[tokio::test(start_paused = true)]
    async fn a_leader_that_took_over_is_not_robbed_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = take(dir.path(), "first").await.unwrap();
        let (second, took) = take(dir.path(), "second").await.unwrap();
        assert!(took >= LEASE, "{took:?}");
        drop(first);
        // The lock is free, and the third one is the first to see it.
        let (third, (second, lived)) = tokio::join!(take(dir.path(), "third"), live(second));
        assert!(matches!(third, Err(LeadError::Journal(JournalError::Led { holder })) if holder == "second"));
        lived.unwrap();
        // By now it has the lock itself, and its end is seen at once.
        assert!(is_locked(dir.path()));
        drop(second);
        while is_locked(dir.path()) {
            tokio::task::yield_now().await;
        }
        assert_eq!(take(dir.path(), "fourth").await.unwrap().1, Duration::ZERO);
    }

    /// It never had the lock, so that its death shows by its beat alone.
    #[tokio::test(start_paused = true)]
    async fn a_leader_that_died_without_the_lock_is_replaced_after_its_lease() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = take(dir.path(), "first").await.unwrap();
        let (second, _) = take(dir.path(), "second").await.unwrap();
        drop((first, second));
        let (third, took) = take(dir.path(), "third").await.unwrap();
        assert!(took >= LEASE && took <= LEASE + Duration::from_secs(1), "{took:?}");
        assert_eq!(third.journal.epoch().0, 3);
        assert!(is_locked(dir.path()));
    }
}
