//! Taking and keeping the state directory: one daemon at a time leads.
//!
//! A lock on the file `daemon.lock` tells a dead holder from a living one at once (the kernel drops it with the process). A holder
//! that lives but stands still (stopped, swapped out) keeps the lock and loses its lease: the newcomer watches the beat by its own
//! monotonic clock and takes over when it has not moved for [`LEASE`]. The old one finds out at its next write or effect.

use crate::journal::{Journal, JournalError};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// A beat that has not moved for so long is a dead leader's. Three missed renewals plus the longest stall of a busy disk.
pub const LEASE: Duration = Duration::from_secs(10);
/// The leader moves its beat on so often.
pub const RENEW: Duration = Duration::from_secs(2);
/// How often a newcomer looks at the beat.
const LOOK: Duration = Duration::from_millis(250);

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
    _lock: Option<File>,
}

/// Takes the lead: at once when no daemon lives here, after [`LEASE`] when one lives and does not move.
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
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path).map_err(directory)?;
    let mut journal = Journal::open(&state_dir.join("journal.db"))?;
    let locked = match lock.try_lock() {
        Ok(()) => Some(lock),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(source)) => return Err(directory(source)),
    };
    let seen = journal.lease()?;
    if locked.is_none() {
        journal = wait_for_silence(journal, seen.as_ref()).await?;
    }
    journal.take_lead(seen.as_ref(), &holder)?;
    sync(state_dir).map_err(directory)?;
    Ok(Lead { journal, holder, _lock: locked })
}

/// Takes the journal and gives it back: no other task may use it in between.
async fn wait_for_silence(journal: Journal, seen: Option<&crate::journal::lease::Lease>) -> Result<Journal, LeadError> {
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
