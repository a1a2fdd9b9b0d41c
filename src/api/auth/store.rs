//! `tokens.json` in the state directory: what is kept of the tokens. Readable by its owner alone, whole at every moment, and one
//! writer at a time; a daemon reads it, and never writes it.

use super::secret::Secret;
use super::token::{Kept, Revoked, Standing, generate, is_id};
use crate::model::principal::{PrincipalKind, Role};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name.
pub const NAME: &str = "tokens.json";
/// The format that this release reads and writes.
const VERSION: u32 = 1;
/// More than this is not read: ten thousand tokens take half of it.
const SIZE_MAX: u64 = 8 << 20;
/// So many tokens at most, those included that have ended within [`REMEMBERED`].
const TOKENS_MAX: usize = 10_000;
/// A token that ended is remembered for so long: who had it, who took it back.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(366 * 24);
/// So many groups at most.
const GROUPS_MAX: usize = 100;
/// A token that is never changed is one that is never looked at: a year at most.
pub const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Tries for the lock, [`LOCK_PAUSE`] apart: ten seconds. Whoever holds it writes one small file.
const LOCK_TRIES: u32 = 500;
/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why the store cannot be used, or does not take a token.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system's error.
    #[error("the tokens in `{path}` cannot be {what}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// `read`, `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the tokens in `{path}` may be read by others (mode {mode:o}); look who did, then `chmod 600` it")]
    Readable {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not what this release writes.
    #[error(
        "the tokens in `{path}` cannot be understood: {why}; put back a copy, or remove the file and make new tokens"
    )]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where and why; nothing of its text.
        why: String,
    },
    /// A newer release wrote it.
    #[error("the tokens in `{path}` are of version {found}, and this release knows {VERSION}; use the newer release")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Somebody else holds the lock.
    #[error("another command is writing the tokens in `{path}`; try again")]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// No random bits.
    #[error("the system gives no random bits: {0}")]
    NoRandom(getrandom::Error),
    /// The token that is asked for cannot be.
    #[error("{0}")]
    Refused(String),
}

/// All tokens, by their public names.
pub type Tokens = BTreeMap<String, Kept>;

/// What `token create` asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose it is.
    pub name: String,
    /// What they are.
    pub kind: PrincipalKind,
    /// For whom they act.
    pub party: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// In which groups they are.
    pub groups: BTreeSet<String>,
    /// For how long.
    pub life: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    tokens: Vec<Kept>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// By what a file is known to be the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// True when the file was changed long enough ago that one more change would show: file systems date by the tick of a clock, and
    /// two changes within one look like one.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let latest = self.modified.0.max(self.changed.0);
        latest.saturating_add(2) < now.as_second()
    }
}

/// The tokens of a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    path: PathBuf,
}

impl Store {
    /// Of this state directory. Touches nothing.
    pub fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned(), path: state_dir.join(NAME) }
    }

    /// The file as it is now; none: there is none.
    ///
    /// # Errors
    /// The file system's.
    pub fn stamp(&self) -> Result<Option<Stamp>, StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok(Some(Stamp::of(&found))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.io("read", source)),
        }
    }

    /// Every token. Without a file there is none.
    ///
    /// # Errors
    /// [`StoreError`]; then nobody knows who has a token.
    pub fn read(&self) -> Result<(Tokens, Option<Stamp>), StoreError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Tokens::new(), None)),
            Err(source) => return Err(self.io("read", source)),
        };
        let found = file.metadata().map_err(|source| self.io("read", source))?;
        let mode = found.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StoreError::Readable { path: self.path.clone(), mode });
        }
        let mut text = Vec::new();
        file.take(SIZE_MAX + 1).read_to_end(&mut text).map_err(|source| self.io("read", source))?;
        if u64::try_from(text.len()).is_ok_and(|size| size > SIZE_MAX) {
            return Err(self.corrupt(format!("it is larger than {SIZE_MAX} bytes")));
        }
        Ok((self.parse(&text)?, Some(Stamp::of(&found))))
    }

    fn parse(&self, text: &[u8]) -> Result<Tokens, StoreError> {
        // INVARIANT: S20. A parser's own words may repeat what it read: the place is enough.
        let place = |error: &serde_json::Error| format!("line {}, column {}", error.line(), error.column());
        let version: Version = serde_json::from_slice(text).map_err(|error| self.corrupt(place(&error)))?;
        match version.version {
            VERSION => {}
            found if found > VERSION => return Err(StoreError::Newer { path: self.path.clone(), found }),
            found => return Err(self.corrupt(format!("there is no version {found}"))),
        }
        let document: Document = serde_json::from_slice(text).map_err(|error| self.corrupt(place(&error)))?;
        let mut tokens = Tokens::new();
        for kept in document.tokens {
            let id = kept.id.clone();
            if !is_id(&id) {
                return Err(self.corrupt("a token has an id that none has".into()));
            }
            if tokens.insert(id.clone(), kept).is_some() {
                return Err(self.corrupt(format!("two tokens have the id `{id}`")));
            }
        }
        Ok(tokens)
    }

    /// Makes a token; the token itself is here and nowhere else.
    ///
    /// # Errors
    /// [`StoreError`]; then there is none.
    pub fn create(&self, wanted: Wanted, by: &str, now: Timestamp) -> Result<(Secret, Kept), StoreError> {
        check(&wanted).map_err(StoreError::Refused)?;
        let life = SignedDuration::try_from(wanted.life).ok();
        let expires_at = life
            .and_then(|life| now.checked_add(life).ok())
            .ok_or_else(|| StoreError::Refused("the expiry is beyond every calendar".into()))?;
        self.write(now, |tokens| {
            if tokens.len() >= TOKENS_MAX {
                let why = format!("there are {TOKENS_MAX} tokens already; give them longer lives, or share fewer");
                return Err(StoreError::Refused(why));
            }
            is_one_kind(tokens, &wanted, now).map_err(StoreError::Refused)?;
            let (secret, id, sha256) = loop {
                let (secret, id, sha256) = generate().map_err(StoreError::NoRandom)?;
                if !tokens.contains_key(&id) {
                    break (secret, id, sha256);
                }
            };
            let Wanted { name, kind, party, roles, groups, .. } = wanted;
            let by = by.to_owned();
            let kept = Kept {
                id: id.clone(),
                name,
                kind,
                party,
                roles,
                groups,
                sha256,
                expires_at,
                created_at: now,
                created_by: by,
                revoked: None,
            };
            tokens.insert(id, kept.clone());
            Ok((secret, kept))
        })
    }

    /// Revokes the token of this public name, else every token of the principal of this name; those that are revoked now. Done again,
    /// it changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; nobody has it.
    pub fn revoke(&self, id_or_name: &str, by: &str, now: Timestamp) -> Result<Vec<Kept>, StoreError> {
        let wanted = id_or_name.trim();
        let id = wanted.strip_prefix("t-").filter(|id| is_id(id)).unwrap_or(wanted);
        self.write(now, |tokens| {
            let is_wanted = |kept: &Kept| kept.id == id || is_same_name(&kept.name, wanted);
            if !tokens.values().any(is_wanted) {
                let why = format!("there is no token `{wanted}`; `wavegate token list` shows those there are");
                return Err(StoreError::Refused(why));
            }
            let open = tokens.values_mut().filter(|kept| is_wanted(kept) && kept.revoked.is_none());
            Ok(open
                .map(|kept| {
                    kept.revoked = Some(Revoked { at: now, by: by.to_owned() });
                    kept.clone()
                })
                .collect())
        })
    }

    /// Changes the tokens under the lock. Durable when it returns; not changed at all when it fails.
    fn write<T>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Tokens) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let written = |source| self.io("written", source);
        if !self.dir.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(written)?;
        }
        let _lock = self.lock()?;
        let (mut tokens, _) = self.read()?;
        tokens.retain(|_, kept| kept.ended_at(now).is_none_or(|at| now.duration_since(at) < REMEMBERED));
        let result = change(&mut tokens)?;
        let document = Document { version: VERSION, tokens: tokens.into_values().collect() };
        let mut text = serde_json::to_vec_pretty(&document).map_err(|error| self.corrupt(error.to_string()))?;
        text.push(b'\n');
        // What is written here must be readable here, or nobody would come in.
        if u64::try_from(text.len()).is_ok_and(|size| size > SIZE_MAX) {
            let why =
                format!("the tokens would take more than {} MiB; give out fewer, or fewer groups", SIZE_MAX >> 20);
            return Err(StoreError::Refused(why));
        }
        self.replace(&text).map_err(written)?;
        Ok(result)
    }

    /// Another file in its place: there is no moment at which half of it could be read.
    fn replace(&self, text: &[u8]) -> std::io::Result<()> {
        let draft = self.dir.join(".tokens.json.draft");
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text)?;
        self.hand_over(&draft)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        match File::open(&self.dir)?.sync_all() {
            // A file system that has no such thing says so.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            result => result,
        }
    }

    /// What root writes belongs to the owner of the state directory: a daemon that could not read its tokens would let nobody in.
    fn hand_over(&self, file: &Path) -> std::io::Result<()> {
        let (ours, dir) = (std::fs::metadata(file)?, std::fs::metadata(&self.dir)?);
        match ours.uid() == dir.uid() {
            true => Ok(()),
            false => std::os::unix::fs::chown(file, Some(dir.uid()), Some(dir.gid())),
        }
    }

    fn lock(&self) -> Result<File, StoreError> {
        let path = self.dir.join("tokens.lock");
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.and_then(|file| self.hand_over(&path).map(|()| file));
        let file = file.map_err(|source| self.io("written", source))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(self.io("written", source)),
            }
        }
        Err(StoreError::Locked { path: self.path.clone() })
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.path.clone(), what, source }
    }

    fn corrupt(&self, why: String) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), why }
    }
}

/// What nobody may ask for.
fn check(wanted: &Wanted) -> Result<(), String> {
    let Wanted { name, kind, party, roles, groups, life } = wanted;
    if is_id(name) {
        return Err(format!("the name `{name}` reads like a token's id; take another one"));
    }
    crate::config::identity::check_principal(name, *kind, party, roles, groups)?;
    if groups.len() > GROUPS_MAX {
        return Err(format!("a token has at most {GROUPS_MAX} groups"));
    }
    if life.is_zero() || *life > LIFE_MAX {
        return Err("a token lives for at most 366 days".into());
    }
    Ok(())
}

/// One name is one principal: an agent that came in under a person's name would be taken for them.
fn is_one_kind(tokens: &Tokens, wanted: &Wanted, now: Timestamp) -> Result<(), String> {
    let active = tokens.values().filter(|kept| kept.standing(now) == Standing::Active);
    let other = active.into_iter().find(|kept| is_same_name(&kept.name, &wanted.name) && kept.kind != wanted.kind);
    match other {
        Some(kept) => Err(format!(
            "`{}` is {} already (token {}); take another name, or revoke that token first",
            kept.name, kept.kind, kept.id
        )),
        None => Ok(()),
    }
}

fn is_same_name(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
