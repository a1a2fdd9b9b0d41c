//! Who has a token, as the file says at this moment: a revocation is in force with the next request, without a restart.

use super::store::{Stamp, Store, StoreError, Tokens};
use super::token::{Kept, Standing, id_of};
use super::{Unauthenticated, causes};
use jiff::Timestamp;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What was last read of the file.
#[derive(Debug)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// These tokens. The stamp is there when an unchanged one means an unchanged file.
    Tokens { tokens: Tokens, stamp: Option<Stamp>, is_settled: bool },
    /// It could not be read or understood: nobody comes in. INVARIANT: S24.
    Failed { why: String },
}

/// The tokens of a state directory, read again whenever the file is another one.
#[derive(Debug)]
pub struct Holders {
    store: Store,
    seen: Mutex<Seen>,
}

impl Holders {
    /// Of this state directory. A file that cannot be read is said so in the log, and lets nobody in until it can be.
    pub fn of(state_dir: &Path, now: Timestamp) -> Self {
        let holders = Self { store: Store::of(state_dir), seen: Mutex::new(Seen::Nothing) };
        holders.look(now, |_| ());
        holders
    }

    /// Who has this token.
    ///
    /// # Errors
    /// [`Unauthenticated`]. Whether a token has expired is told to whoever has it, and to nobody else.
    pub fn find(&self, token: &str, now: Timestamp) -> Result<Kept, Unauthenticated> {
        let id = id_of(token).ok_or(Unauthenticated::Unknown)?;
        let kept = self.look(now, |tokens| tokens.get(id).filter(|kept| kept.is(token)).cloned());
        let Some(kept) = kept else {
            let why = "the daemon cannot read its tokens, and lets nobody in by one; its log says why".into();
            return Err(Unauthenticated::Refused { why });
        };
        let kept = kept.ok_or(Unauthenticated::Unknown)?;
        match kept.standing(now) {
            Standing::Active => Ok(kept),
            Standing::Expired => Err(Unauthenticated::Expired { id: kept.id }),
            Standing::Revoked => Err(Unauthenticated::Unknown),
        }
    }

    /// All of them; none: they cannot be read.
    pub fn all(&self, now: Timestamp) -> Option<Tokens> {
        self.look(now, Clone::clone)
    }

    /// Asks the tokens as they are now; none: they cannot be read.
    fn look<T>(&self, now: Timestamp, ask: impl FnOnce(&Tokens) -> T) -> Option<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_current(&seen) {
            let read = self.store.read();
            *seen = after(&seen, read, now);
        }
        match &*seen {
            Seen::Tokens { tokens, .. } => Some(ask(tokens)),
            Seen::Nothing | Seen::Failed { .. } => None,
        }
    }

    /// One `stat` at each use. What could not be read is tried again each time: what hinders it need not be in the file.
    fn is_current(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Tokens { stamp, is_settled: true, .. } => self.store.stamp().is_ok_and(|found| found == *stamp),
            _ => false,
        }
    }
}

fn after(before: &Seen, read: Result<(Tokens, Option<Stamp>), StoreError>, now: Timestamp) -> Seen {
    match read {
        Ok((tokens, stamp)) => {
            tell_changes(before, &tokens);
            Seen::Tokens { is_settled: stamp.is_none_or(|stamp| stamp.is_settled(now)), tokens, stamp }
        }
        Err(error) => {
            let why = causes(&error);
            if !matches!(before, Seen::Failed { why: known } if *known == why) {
                tracing::error!(why, "nobody is let in by token: the tokens cannot be read");
            }
            Seen::Failed { why }
        }
    }
}

/// What is another one than before, for the log. INVARIANT: S20. Public names, and never what is compared.
fn tell_changes(before: &Seen, tokens: &Tokens) {
    let known = match before {
        Seen::Tokens { tokens, .. } => tokens,
        Seen::Failed { .. } => return tracing::info!(tokens = tokens.len(), "the tokens can be read again"),
        Seen::Nothing => return tracing::debug!(tokens = tokens.len(), "the tokens are read"),
    };
    for kept in tokens.values() {
        let (id, name, kind) = (&kept.id, &kept.name, kept.kind);
        match (known.get(id), &kept.revoked) {
            (None, None) => tracing::info!(id, name, %kind, by = kept.created_by, "a token was created"),
            (Some(Kept { revoked: None, .. }) | None, Some(revoked)) => {
                tracing::info!(id, name, %kind, by = revoked.by, "a token was revoked");
            }
            (Some(other), _) if other != kept => tracing::warn!(id, name, %kind, "a token was changed by hand"),
            _ => {}
        }
    }
    for gone in known.values().filter(|kept| !tokens.contains_key(&kept.id)) {
        tracing::info!(id = gone.id, name = gone.name, kind = %gone.kind, "a token is not kept any more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::auth::secret::Secret;
    use crate::api::auth::store::{NAME, Wanted};
    use crate::model::principal::{PrincipalKind, Role};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "a test")]
    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn make(store: &Store, name: &str) -> Secret {
        let roles = [Role::Author].into();
        let (party, groups) = (String::new(), Default::default());
        let life = Duration::from_secs(60);
        let wanted = Wanted { name: name.into(), kind: PrincipalKind::Human, party, roles, groups, life };
        store.create(wanted, "root", now()).unwrap().0
    }

    #[test]
    fn what_changes_in_the_file_is_in_force_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (store, holders) = (Store::of(dir.path()), Holders::of(dir.path(), now()));
        let unknown = format!("wgt_0123abcd_{}", "a".repeat(43));
        assert_eq!(holders.find(&unknown, now()), Err(Unauthenticated::Unknown));
        for nr in 0..20 {
            let token = make(&store, &format!("p{nr}"));
            let kept = holders.find(token.reveal(), now()).unwrap();
            assert_eq!(kept.name, format!("p{nr}"));
            store.revoke(&kept.id, "root", now()).unwrap();
            assert_eq!(holders.find(token.reveal(), now()), Err(Unauthenticated::Unknown));
        }
    }

    /// Whether a token has expired is nobody's business but its holder's.
    #[test]
    fn only_the_holder_learns_that_a_token_has_expired() {
        let dir = tempfile::tempdir().unwrap();
        let (store, holders) = (Store::of(dir.path()), Holders::of(dir.path(), now()));
        let token = make(&store, "a");
        let id = id_of(token.reveal()).unwrap().to_owned();
        let later = now() + jiff::SignedDuration::from_secs(61);
        assert_eq!(holders.find(token.reveal(), later), Err(Unauthenticated::Expired { id: id.clone() }));
        assert_eq!(holders.find(&format!("wgt_{id}_{}", "a".repeat(43)), later), Err(Unauthenticated::Unknown));
        let shown = format!("{holders:?}");
        assert!(!shown.contains(token.reveal()) && shown.contains("[fingerprint]"), "{shown}");
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in_until_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let (store, holders) = (Store::of(dir.path()), Holders::of(dir.path(), now()));
        let token = make(&store, "a");
        let file = dir.path().join(NAME);
        let sound = std::fs::read(&file).unwrap();
        let is_refused = || matches!(holders.find(token.reveal(), now()), Err(Unauthenticated::Refused { .. }));
        assert!(!is_refused());
        std::fs::write(&file, "{").unwrap();
        assert!(is_refused() && is_refused());
        std::fs::write(&file, &sound).unwrap();
        assert!(!is_refused());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
        assert!(is_refused());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!is_refused());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(holders.find(token.reveal(), now()), Err(Unauthenticated::Unknown));
    }

    #[test]
    fn an_old_file_is_not_read_again_and_a_young_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let (store, holders) = (Store::of(dir.path()), Holders::of(dir.path(), now()));
        let token = make(&store, "a");
        let later = now() + jiff::SignedDuration::from_secs(10);
        holders.find(token.reveal(), now()).unwrap();
        assert!(matches!(*holders.seen.lock().unwrap(), Seen::Tokens { is_settled: false, .. }));
        holders.find(token.reveal(), later).unwrap();
        let seen = holders.seen.lock().unwrap();
        assert!(matches!(*seen, Seen::Tokens { is_settled: true, .. }) && holders.is_current(&seen));
    }
}
