//! Whoever has opened the Unix socket: the kernel tells the user id, the configuration says who that is.

use super::Unauthenticated;
use crate::config::identity::{Identity, UserEntry};
use crate::model::principal::{Principal, PrincipalKind, Role};
use nix::unistd::{Uid, User, geteuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// So many names of users are remembered: asking for one may ask a directory server.
const NAMES_MAX: usize = 1024;

/// The local users.
#[derive(Debug)]
pub struct Peers {
    users: Vec<UserEntry>,
    own: u32,
    names: Mutex<BTreeMap<u32, String>>,
}

impl Peers {
    /// Those that the configuration names, and beside them whoever runs the daemon, and root: both could take everything that the
    /// daemon has anyway.
    pub fn of(users: &[UserEntry]) -> Self {
        Self { users: users.to_vec(), own: geteuid().as_raw(), names: Mutex::default() }
    }

    /// Who this is, and whether the configuration says so.
    ///
    /// # Errors
    /// [`Unauthenticated::Refused`].
    pub fn find(&self, uid: u32) -> Result<(Identity, bool), Unauthenticated> {
        let name = self.name(uid);
        let mut named = self.users.iter().filter(|user| user.is(uid, name.as_deref())).map(UserEntry::identity);
        match (named.next(), uid == self.own || uid == 0) {
            (Some(first), _) if named.all(|other| other == first) => Ok((first, true)),
            (Some(_), _) => {
                let why = format!("the configuration names user id {uid} twice, as different principals");
                Err(Unauthenticated::Refused { why })
            }
            // INVARIANT: S6. No approver without being named as one: what runs under an operator's user id need not be the operator.
            (None, true) => {
                let roles = Role::ALL.into_iter().filter(|role| *role != Role::Approver).collect();
                Ok(((person(name.unwrap_or_else(|| format!("uid:{uid}"))), roles), false))
            }
            (None, false) => {
                let why = format!("user id {uid} is nobody here; name it under `identity.users` of the configuration");
                Err(Unauthenticated::Refused { why })
            }
        }
    }

    /// The user's name; none: there is none, or nobody could tell.
    fn name(&self, uid: u32) -> Option<String> {
        let known = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known().get(&uid) {
            return Some(name.clone());
        }
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten()?.name;
        let mut names = known();
        if names.len() < NAMES_MAX {
            names.insert(uid, name.clone());
        }
        Some(name)
    }
}

fn person(name: String) -> Principal {
    Principal { name, kind: PrincipalKind::Human, party: String::new(), groups: BTreeSet::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::identity::IdentityConfig;

    fn peers(text: &str) -> Peers {
        let config: IdentityConfig = serde_yaml::from_str(text).unwrap();
        config.check().unwrap();
        Peers::of(&config.users)
    }

    #[test]
    fn without_a_word_only_the_daemons_own_user_and_root_come_in() {
        let peers = peers("{}");
        for uid in [0, geteuid().as_raw()] {
            let ((who, roles), named) = peers.find(uid).unwrap();
            assert!(!named);
            assert_eq!((who.kind, who.party.as_str(), roles.len()), (PrincipalKind::Human, "", 4));
            assert!(!roles.contains(&Role::Approver));
        }
        assert_eq!(peers.find(0).unwrap().0.0.name, "root");
        for stranger in [1, 4_000_000_000] {
            let why = peers.find(stranger).unwrap_err().to_string();
            assert!(why.starts_with(&format!("user id {stranger} is nobody here")), "{why}");
        }
    }

    #[test]
    fn a_user_is_who_the_configuration_says_root_too() {
        let peers = peers(
            "users: [{uid: 4000000000, name: alice, party: platform, roles: [approver], groups: [sre]}, \
             {user: root, name: ops, roles: [auditor]}]",
        );
        let ((alice, roles), named) = peers.find(4_000_000_000).unwrap();
        assert!(named);
        assert_eq!((alice.name.as_str(), alice.party.as_str(), roles), ("alice", "platform", [Role::Approver].into()));
        assert!(alice.groups.contains("sre"));
        assert_eq!(peers.find(0).unwrap().0.1, [Role::Auditor].into());
    }

    #[test]
    fn one_user_who_is_two_is_nobody() {
        let peers = peers("users: [{uid: 0, name: a, roles: [author]}, {user: root, name: b, roles: [author]}]");
        assert!(peers.find(0).unwrap_err().to_string().contains("twice"));
    }
}
