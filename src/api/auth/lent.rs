//! Credentials that the daemon makes for itself: in memory, for minutes, for one caller who is inside already.

use super::Unauthenticated;
use super::secret::Secret;
use crate::config::identity::Identity;
use crate::model::principal::Caller;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// How such a token begins.
pub(super) const PREFIX: &str = "wgl_";
/// One check of a drill uses one at once; all of a drill in the embedded world takes five minutes at most.
const LIFE: Duration = Duration::from_secs(6 * 60);
/// One drill at a time needs one or two.
const AT_ONCE: usize = 4;

#[derive(Debug)]
struct Loan {
    digest: [u8; 32],
    identity: Identity,
    until: Duration,
}

/// Those that are lent out.
#[derive(Debug, Default)]
pub(super) struct Lent(Mutex<Vec<Loan>>);

impl Lent {
    /// A new one for this caller; the oldest one ends when there are too many.
    pub(super) fn lend(&self, caller: &Caller, now: Duration) -> Result<Secret, String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| format!("the system gives no random numbers: {error}"))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let identity = (caller.principal.clone(), caller.roles.clone());
        let loan = Loan { digest: Sha256::digest(&token).into(), identity, until: now + LIFE };
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lent.retain(|loan| loan.until > now);
        let over = (lent.len() + 1).saturating_sub(AT_ONCE);
        lent.drain(..over);
        lent.push(loan);
        Ok(Secret::new(token))
    }

    /// Whoever has this one.
    pub(super) fn find(&self, token: &str, now: Duration) -> Result<(Identity, String), Unauthenticated> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lent.iter().find(|loan| bool::from(loan.digest.ct_eq(&digest)) && loan.until > now);
        let loan = found.ok_or(Unauthenticated::Unknown)?;
        Ok((loan.identity.clone(), "lent for a drill".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::{Door, Principal, PrincipalKind, Role};

    fn caller(name: &str) -> Caller {
        let (party, groups) = (String::new(), Default::default());
        let principal = Principal { name: name.into(), kind: PrincipalKind::Human, party, groups };
        Caller {
            principal,
            roles: [Role::Operator].into(),
            credential: "uid 0".into(),
            door: Door::Socket,
            named: true,
        }
    }

    #[test]
    fn a_lent_credential_is_good_for_its_caller_and_for_minutes() {
        let lent = Lent::default();
        let token = lent.lend(&caller("ada"), Duration::ZERO).unwrap();
        assert_eq!(lent.find(token.reveal(), Duration::ZERO).unwrap().0.0.name, "ada");
        assert_eq!(lent.find(token.reveal(), LIFE), Err(Unauthenticated::Unknown));
        assert_eq!(lent.find("wgl_", Duration::ZERO), Err(Unauthenticated::Unknown));
        for _ in 0..AT_ONCE {
            lent.lend(&caller("ben"), Duration::ZERO).unwrap();
        }
        assert_eq!(lent.find(token.reveal(), Duration::ZERO), Err(Unauthenticated::Unknown), "pushed out");
    }
}
