//! That messages of a channel do not arrive: counted, and told by the other channels.

use super::{Channel, Shared, message};
use crate::journal::outbox::{DeadAtOnce, Outbox, OutboxError, too_many};
use crate::model::notice::NoticeKind;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// They are told of one channel so often.
const AGAIN: Duration = Duration::from_secs(3600);

impl Channel {
    /// One more of its messages is given up.
    pub(super) fn count_dead(&self, shared: &Shared) {
        self.dead.fetch_add(1, Ordering::Relaxed);
        shared.metrics.delivery(self.name(), "dead");
    }
}

impl Shared {
    /// What was dead as it came in is counted, and told by the channels that still work.
    pub(super) fn overflowed(&self, outbox: &mut Outbox, dead: &DeadAtOnce, now: Timestamp) -> Result<(), OutboxError> {
        self.count(dead);
        let reported = dead.iter().filter(|(_, kind)| *kind != NoticeKind::Undelivered);
        let by_channel: BTreeMap<&str, NoticeKind> = reported.map(|(name, kind)| (name.as_str(), *kind)).collect();
        for (name, kind) in by_channel {
            tracing::error!(channel = name, why = too_many(), "messages are given up as they come in");
            self.tell_others(outbox, name, kind, &too_many(), now)?;
        }
        Ok(())
    }

    /// Has the other channels tell that a message of this one did not arrive. True when there is something new for them. Nobody reports
    /// that a report did not arrive: two channels that are away would talk about each other for ever.
    pub(super) fn tell_others(
        &self,
        outbox: &mut Outbox,
        name: &str,
        kind: NoticeKind,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, OutboxError> {
        if kind == NoticeKind::Undelivered {
            return Ok(false);
        }
        let message = message::plain(
            NoticeKind::Undelivered,
            &format!("messages do not arrive by channel {name}"),
            &format!("a message ({kind}) did not arrive: {why}"),
            "`wavegate status` lists what is missing; mend the channel: what still waits goes out by itself, and `wavegate deliveries --retry` \
             sends again what was given up",
            now,
        );
        let letters = self.letters(message, "", &format!("{name}\n{now}"), Some(name));
        let told = outbox.tell(&format!("undelivered/{name}"), AGAIN, &letters, now)?;
        self.count(told.as_deref().unwrap_or_default());
        Ok(told.is_some())
    }

    fn count(&self, dead: &[(String, NoticeKind)]) {
        for (name, _) in dead {
            let channel = self.channels.iter().find(|channel| channel.name() == name);
            channel.into_iter().for_each(|channel| channel.count_dead(self));
        }
    }
}
