//! What the bench asks of a judge.

use crate::recording::Recording;

/// Decides, from a recording, when a rollout is reverted.
pub trait Judge: Sync {
    /// As in the tables, with its settings.
    fn name(&self) -> String;

    /// The first tick, as an index into the recording, at whose end it would revert; none: never.
    ///
    /// It may look at no tick after the one that it returns.
    fn reverts_at(&self, recording: &Recording) -> Option<usize>;
}
