//! A witness at the provider: told of each call in the moment in which the provider acts on it, in the true order. For checkers
//! of what must never happen; a daemon never sees it.

use super::calls::{CallRecord, Operation};
use super::world::{Inner, Place, SimWorld};
use crate::model::ids::{Digest, StackName};
use crate::model::preview::DescribedChangeSet;
use crate::model::stack::StackStatus;
use jiff::Timestamp;

/// What the provider did, and what it found when it began.
#[derive(Clone, Debug)]
pub struct Act {
    /// The call.
    pub record: CallRecord,
    /// When.
    pub at: Timestamp,
    /// True when it was not refused.
    pub took_effect: bool,
    /// The stack as the provider found it; only for calls that start an operation.
    pub found: Option<Found>,
}

/// A stack in the moment before an operation starts on it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its status.
    pub status: StackStatus,
    /// The digest of its content; none: a shell.
    pub content: Option<Digest>,
    /// The change set that is about to be executed, as it is described, with the digest of its template.
    pub change_set: Option<(DescribedChangeSet, Digest)>,
}

/// Who is told.
pub type Witness = Box<dyn FnMut(&Act) + Send>;

impl SimWorld {
    /// Tells `witness` of every act from now on. It must not call the world: the world waits for it.
    pub fn set_witness(&self, witness: Witness) {
        self.now().0.witness = Some(witness);
    }
}

impl Inner {
    /// What the witness will want to know of the time before the call; nothing when there is none.
    pub(super) fn before(&self, index: usize) -> Option<Found> {
        let record = self.calls.get(index).filter(|_| self.witness.is_some())?;
        let starts = matches!(
            record.operation,
            Operation::ExecuteChangeSet | Operation::DeleteStack | Operation::ContinueRollback
        );
        if !starts {
            return None;
        }
        let place = Place::from(&record.scope);
        let named = record.stack.as_deref().unwrap_or_default();
        let stack = self.by_name_or_arn(&place, named)?;
        let name = StackName::new(stack.name.as_str());
        let wanted = record.change_set.as_deref().unwrap_or_default();
        let change_set = self.describe_change_set(&place, &name, wanted).ok();
        let template =
            self.change_set(&place, &name, wanted).ok().map(|(_, set)| set.content.template.digest().clone());
        Some(Found {
            status: stack.status.clone(),
            content: stack.record().and_then(|record| record.content_digest().ok()),
            change_set: change_set.zip(template),
        })
    }

    pub(super) fn tell(&mut self, index: usize, at: Timestamp, took_effect: bool, found: Option<Found>) {
        let Some(record) = self.calls.get(index).cloned() else { return };
        if let Some(witness) = &mut self.witness {
            witness(&Act { record, at, took_effect, found });
        }
    }
}
