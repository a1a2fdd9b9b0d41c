//! Of which record a message is being made, so that one that breaks the maker does not silence all that come after it.

use super::{Shared, lock, message, of_record};
use crate::journal::outbox::NewLetter;
use crate::journal::store::Entry;
use crate::model::ids::Seq;
use crate::model::notice::NoticeKind;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A record that has broken the maker so often breaks it always.
const BREAKS_MAX: u32 = 3;

/// Which record is at work, and which ones have broken the maker.
#[derive(Debug, Default)]
pub(super) struct Making {
    /// 0: none.
    now: AtomicU64,
    broke: Mutex<BTreeMap<Seq, u32>>,
    /// Breaks the maker, for a test.
    #[cfg(test)]
    pub(super) spoilt: AtomicU64,
}

impl Making {
    /// What is made of this record; none: it has broken the maker too often, and is left out.
    fn of(&self, seq: Seq, make: impl FnOnce() -> Vec<NewLetter>) -> Option<Vec<NewLetter>> {
        if lock(&self.broke).get(&seq).is_some_and(|times| *times >= BREAKS_MAX) {
            return None;
        }
        self.now.store(seq.0, Ordering::Relaxed);
        #[cfg(test)]
        assert_ne!(self.spoilt.load(Ordering::Relaxed), seq.0);
        let made = make();
        self.now.store(0, Ordering::Relaxed);
        Some(made)
    }

    /// Whoever made messages has panicked: at this record; none: elsewhere.
    fn broke(&self) -> Option<Seq> {
        let seq = Some(Seq(self.now.swap(0, Ordering::Relaxed))).filter(|seq| *seq > Seq(0))?;
        *lock(&self.broke).entry(seq).or_default() += 1;
        Some(seq)
    }

    /// Messages were made up to this record.
    pub(super) fn forget(&self, cursor: Seq) {
        lock(&self.broke).retain(|seq, _| *seq > cursor);
    }
}

impl Shared {
    /// The messages of a record, or the one that none could be made.
    pub(super) fn made(&self, entry: &Entry, make: impl FnOnce() -> Vec<NewLetter>) -> Vec<NewLetter> {
        if let Some(made) = self.making.of(entry.seq, make) {
            return made;
        }
        tracing::error!(seq = %entry.seq, "no message to people can be made of this record; it is left out, and they are told so");
        // How much it would have mattered is not known: it is told as what matters most.
        let message = message::plain(
            NoticeKind::Defect,
            "no message could be made of something that happened",
            &format!("making a message of record {} of the journal broke off {BREAKS_MAX} times", entry.seq),
            "`wavegate audit` shows the record; look what happened there, and report this defect",
            entry.at,
        );
        self.letters(message, "", &of_record(entry.seq, entry.at, "not made"), None)
    }

    /// Messages were put in up to this record.
    pub(super) fn told_up_to(&self, seq: Seq) {
        self.told.store(seq.0, Ordering::Relaxed);
        self.making.forget(seq);
    }

    /// The courier has panicked: whoever asks is told so.
    pub(super) fn broke(&self) {
        let place = self.making.broke().map(|seq| format!(" at record {seq}")).unwrap_or_default();
        self.report(format!(
            "the making of messages broke off{place}; this is a defect of wavegate, and is tried again"
        ));
    }
}
