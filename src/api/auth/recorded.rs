//! What the journal knows of the tokens. INVARIANT: S18. Nobody comes in by a token that is not on record as it is now: who gave it out,
//! to whom and with which roles is durable before its first use.

use super::holders::Holders;
use super::store::Tokens;
use super::token::Kept;
use super::{Unauthenticated, refused};
use crate::daemon::driver::Orders;
use crate::engine::react::Input;
use crate::model::token::{TokenEnd, TokenGrant, TokenSeen};
use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};

/// The tokens as they are on record.
#[derive(Default)]
pub struct Recorded {
    /// Without a loop there is no record, and nobody comes in by a token.
    orders: Option<Orders>,
    /// None: nothing was put on record yet.
    known: Mutex<Option<Tokens>>,
    /// Held from the look at the file until that is on record: an older look never follows a newer one.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").finish_non_exhaustive()
    }
}

impl Recorded {
    /// By this loop.
    pub fn by(orders: Orders) -> Self {
        Self { orders: Some(orders), ..Self::default() }
    }

    /// Returns when this token is on record.
    ///
    /// # Errors
    /// It cannot be: the loop has ended, or the file changed meanwhile.
    pub async fn has(&self, kept: &Kept, holders: &Holders, now: Timestamp) -> Result<(), Unauthenticated> {
        if self.knows(kept) {
            return Ok(());
        }
        self.catch_up(holders, now).await?;
        // Revoked or changed between the two looks: whoever comes again is told how it stands.
        self.knows(kept).then_some(()).ok_or(Unauthenticated::Unknown)
    }

    /// Puts on record what the file shows now. A file that cannot be read shows nothing, and ends no token.
    ///
    /// # Errors
    /// The loop has ended.
    pub async fn catch_up(&self, holders: &Holders, now: Timestamp) -> Result<(), Unauthenticated> {
        let _turn = self.turn.lock().await;
        let Some(tokens) = holders.all(now) else { return Ok(()) };
        if self.known().as_ref() == Some(&tokens) {
            return Ok(());
        }
        let none = || refused("the daemon keeps no record now, and lets nobody in by a token without one; try again");
        let orders = self.orders.as_ref().ok_or_else(none)?;
        let seen = tokens.iter().map(|(id, kept)| (id.clone(), seen(kept))).collect();
        // Nothing of it can be refused: it is what there is.
        let _ = orders.input(Input::TokensSeen(seen)).await.map_err(|_| none())?;
        *self.known() = Some(tokens);
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Tokens>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, kept: &Kept) -> bool {
        self.known().as_ref().and_then(|known| known.get(&kept.id)) == Some(kept)
    }
}

fn seen(kept: &Kept) -> TokenSeen {
    TokenSeen {
        grant: TokenGrant {
            id: kept.id.clone(),
            name: kept.name.clone(),
            kind: kept.kind,
            party: kept.party.clone(),
            roles: kept.roles.clone(),
            groups: kept.groups.clone(),
            tag: kept.sha256.tag(),
            created_by: kept.created_by.clone(),
            created_at: kept.created_at,
            expires_at: kept.expires_at,
        },
        revoked: kept.revoked.as_ref().map(|gone| TokenEnd::Revoked { by: gone.by.clone(), at: gone.at }),
    }
}
