//! Work that takes a while and waits for nothing: a change set is read, a plan made, pipelines read with their policies. It has threads of
//! its own: on those of the doors it would stand between a stop order and the loop.

use super::{Service, Surroundings};
use crate::daemon::driver::Stopped;
use crate::model::principal::{Caller, PrincipalKind};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// So much of it at once, whatever the machine: on two cores the system still shares them with the loop and the doors, and more at once
/// would only wait for the same cores, with more in memory.
const AT_ONCE: usize = 2;
/// So much of it for agents and services: people need not wait until their work is done.
const OF_OTHERS: usize = 1;

/// What is taken of it.
#[derive(Debug)]
pub(super) struct Aside {
    all: Arc<Semaphore>,
    of_others: Arc<Semaphore>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), of_others: Arc::new(Semaphore::new(OF_OTHERS)) }
    }
}

impl Service {
    /// Does this work for a caller when it is their turn. Work that was begun goes on to its end, and keeps its place, when the caller goes.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        by: &Caller,
        work: impl FnOnce(&dyn Surroundings) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let share = match by.principal.kind {
            PrincipalKind::Human => None,
            PrincipalKind::Agent | PrincipalKind::Service => Some(Arc::clone(&self.aside.of_others)),
        };
        let share = match share {
            Some(share) => Some(share.acquire_owned().await.map_err(|_| Stopped)?),
            None => None,
        };
        let place = Arc::clone(&self.aside.all).acquire_owned().await.map_err(|_| Stopped)?;
        let surroundings = Arc::clone(&self.surroundings);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&*surroundings);
            drop((place, share));
            done
        });
        match done.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => Ok(done),
            // What broke off there breaks off here: whoever asked hears that it is a defect.
            Err(Ok(why)) => std::panic::resume_unwind(why),
            // The process ends.
            Err(Err(_)) => Err(Stopped),
        }
    }
}

#[cfg(test)]
mod tests;
