//! Who is calling. Nobody comes in without a credential, on loopback neither.
//!
//! | module | what |
//! |---|---|
//! | `token`, `store`, `holders` | tokens of this state directory: one of them, the file, the daemon's look at it |
//! | `recorded` | which of them the journal knows |
//! | `lent` | credentials that the daemon makes for itself, for minutes |
//! | `oidc` | signed tokens of issuers that the configuration names |
//! | `certificate` | client certificates |
//! | `peer` | whoever has opened the Unix socket, by the kernel's word |
//! | `secret` | a text that is never shown by accident |

mod certificate;
mod holders;
mod lent;
mod oidc;
mod peer;
mod recorded;
pub mod secret;
pub mod store;
pub mod token;

use crate::cloud::jwks::{Documents, Web};
use crate::config::identity::{Identity, IdentityConfig, check_principal};
use crate::daemon::clock::Clock;
use crate::daemon::driver::Orders;
use crate::model::principal::{Caller, Door};
use certificate::Certificates;
use holders::Holders;
use lent::Lent;
use oidc::Issuers;
use peer::Peers;
use recorded::Recorded;
use secret::Secret;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The longest bearer token that is looked at: signed ones with many groups have half of it.
const TOKEN_MAX: usize = 8 * 1024;
/// So often the tokens are looked at, for the record, when nobody uses one.
const LOOK: Duration = Duration::from_secs(1);

/// Why nobody is let in with this credential. The text never holds the credential itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// Nothing was shown.
    #[error("no credential: send `Authorization: Bearer TOKEN`, or a client certificate")]
    Missing,
    /// Nobody has this one, or it is revoked.
    #[error("the token is not known here: it may have been revoked; ask for a new one (`wavegate token create`)")]
    Unknown,
    /// It was good until lately.
    #[error("the token `{id}` has expired; ask for a new one (`wavegate token create`)")]
    Expired {
        /// Its public name.
        id: String,
    },
    /// A signed token or a certificate does not hold.
    #[error("{why}")]
    Refused {
        /// What is wrong with it.
        why: String,
    },
}

/// Why nobody could be let in at all.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The configuration of identities is not sound.
    #[error("{0}")]
    Config(String),
}

/// Who may come in.
#[derive(Debug)]
pub struct Auth {
    clock: Clock,
    holders: Holders,
    recorded: Recorded,
    issuers: Issuers,
    certificates: Certificates,
    peers: Peers,
    lent: Lent,
}

impl Auth {
    /// Those who have a token of this state directory, and those whom the configuration names. A file of tokens that cannot be read lets
    /// nobody in by token, and stops nothing else: the socket must work for whoever puts it right.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn open(state_dir: &Path, identity: &IdentityConfig) -> Result<Self, AuthError> {
        identity.check().map_err(AuthError::Config)?;
        let clock = Clock::system();
        let holders = Holders::of(state_dir, clock.now().wall);
        let documents: Arc<dyn Documents> = Arc::new(Web::default());
        let issuers = Issuers::of(identity, &documents);
        let certificates = Certificates::of(&identity.certificates);
        let (peers, lent, recorded) = (Peers::of(&identity.users), Lent::default(), Recorded::default());
        Ok(Self { clock, holders, recorded, issuers, certificates, peers, lent })
    }

    /// Lets holders of tokens in, too: each token is put on record by this loop before it is first used.
    #[must_use]
    pub fn recorded_by(mut self, orders: Orders) -> Self {
        self.recorded = Recorded::by(orders);
        self
    }

    /// Puts on record which tokens are made and taken back, until the loop has ended.
    pub async fn keep_record(self: Arc<Self>) {
        while self.recorded.catch_up(&self.holders, self.clock.now().wall).await.is_ok() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whoever has opened the Unix socket, by the user id that the kernel tells.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub fn peer(&self, uid: u32) -> Result<Caller, Unauthenticated> {
        let (identity, named) = self.peers.find(uid)?;
        Ok(Caller { named, ..admit(identity, format!("uid {uid}"), Door::Socket)? })
    }

    /// Whoever has this bearer token.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub async fn bearer(&self, token: &str, door: Door) -> Result<Caller, Unauthenticated> {
        if token.is_empty() {
            return Err(Unauthenticated::Missing);
        }
        if token.len() > TOKEN_MAX {
            return Err(refused(format!("the token is longer than {TOKEN_MAX} bytes")));
        }
        if token.starts_with(lent::PREFIX) {
            let (identity, credential) = self.lent.find(token, self.clock.now().monotonic)?;
            return admit(identity, credential, door);
        }
        if token.starts_with(token::PREFIX) {
            let now = self.clock.now().wall;
            let kept = self.holders.find(token, now)?;
            self.recorded.has(&kept, &self.holders, now).await?;
            let credential = format!("token t-{}", kept.id);
            return admit(kept.identity(), credential, door);
        }
        if token.bytes().filter(|byte| *byte == b'.').count() == 2 {
            let (identity, credential) = self.issuers.find(token, self.clock.now().wall).await?;
            return admit(identity, credential, door);
        }
        Err(Unauthenticated::Unknown)
    }

    /// A credential with which the daemon comes in by its own doors as this caller, for some minutes: a kill drill tries them as a stranger
    /// would. It is kept in memory alone.
    ///
    /// # Errors
    /// In words: the system gives no random numbers.
    pub fn lend(&self, caller: &Caller) -> Result<Secret, String> {
        self.lent.lend(caller, self.clock.now().monotonic)
    }

    /// Whoever has shown this client certificate (DER), which the door has verified against its authority for this request.
    ///
    /// # Errors
    /// [`Unauthenticated`].
    pub fn certificate(&self, der: &[u8], door: Door) -> Result<Caller, Unauthenticated> {
        let (identity, credential) = self.certificates.find(der)?;
        admit(identity, credential, door)
    }
}

/// The one way in. INVARIANT: S6. Whatever a file or an issuer says, an agent comes in as no approver and no operator; such a one is
/// refused, and not let in as less: whoever gave out the roles should learn of it.
fn admit((principal, roles): Identity, credential: String, door: Door) -> Result<Caller, Unauthenticated> {
    let Err(why) = check_principal(&principal.name, principal.kind, &principal.party, &roles, &principal.groups) else {
        return Ok(Caller { principal, roles, credential, door, named: true });
    };
    Err(refused(why))
}

fn refused(why: impl Into<String>) -> Unauthenticated {
    Unauthenticated::Refused { why: why.into() }
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |cause| cause.source()).take(8);
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}
