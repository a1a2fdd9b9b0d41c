//! What waits to be delivered and what was not, as data.

use super::message::{Message, one_line};
use crate::journal::outbox::{Holds, Letter};
use crate::model::ids::RolloutId;
use crate::model::notice::NoticeKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many dead messages are shown; the numbers of the channels count all.
const SHOWN: usize = 100;

/// Messages to people: where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveriesView {
    /// So many wait, of all channels.
    pub pending: u64,
    /// Since when the oldest of them waits.
    #[schema(value_type = Option<String>)]
    pub oldest_pending: Option<Timestamp>,
    /// What did not arrive, newest first; listed for a week, or until it is tried again.
    pub dead: Vec<DeadLetter>,
    /// What is wrong with the outbox itself.
    pub trouble: Option<String>,
    /// Each channel.
    #[serde(default)]
    pub channels: Vec<ChannelView>,
}

/// A message that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// By which channel.
    pub channel: String,
    /// What it would have told.
    #[schema(value_type = String)]
    pub kind: NoticeKind,
    /// Of which rollout.
    #[schema(value_type = Option<String>)]
    pub rollout: Option<RolloutId>,
    /// In one line.
    pub headline: String,
    /// Since when it was tried.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// How often.
    pub tries: u32,
    /// Why not.
    pub why: String,
    /// Its id towards the receiver.
    pub id: String,
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChannelView {
    /// Its name.
    pub channel: String,
    /// `webhook`, `slack` or `sns`.
    pub way: String,
    /// So many wait.
    pub pending: u64,
    /// Since when the oldest of them waits.
    #[schema(value_type = Option<String>)]
    pub oldest_pending: Option<Timestamp>,
    /// So many are listed as dead.
    pub dead: u64,
    /// Why the newest try failed; none: it did not.
    pub failing: Option<String>,
}

impl DeliveriesView {
    /// What the outbox holds, of channels by name and way, with what each says of its newest try.
    pub(super) fn of(
        holds: &Holds,
        channels: Vec<(String, &'static str, Option<String>)>,
        trouble: Option<String>,
    ) -> Self {
        let dead_of = |name: &str| holds.dead.iter().filter(|letter| letter.letter.channel == name).count();
        let channels = channels.into_iter().map(|(channel, way, failing)| {
            let pending = holds.pending.get(&channel);
            ChannelView {
                way: way.to_owned(),
                pending: pending.map_or(0, |(count, _)| *count),
                oldest_pending: pending.map(|(_, since)| *since),
                dead: u64::try_from(dead_of(&channel)).unwrap_or(u64::MAX),
                failing,
                channel,
            }
        });
        Self {
            pending: holds.pending.values().map(|(count, _)| count).sum(),
            oldest_pending: holds.pending.values().map(|(_, since)| *since).min(),
            dead: holds.dead.iter().rev().take(SHOWN).map(dead).collect(),
            trouble,
            channels: channels.collect(),
        }
    }
}

/// A message that did not arrive.
pub fn dead(letter: &Letter) -> DeadLetter {
    let message: Option<Message> = serde_json::from_str(&letter.letter.body).ok();
    let data = message.map(|message| message.data);
    DeadLetter {
        channel: letter.letter.channel.clone(),
        kind: letter.letter.kind,
        rollout: data.as_ref().and_then(|data| data.rollout.clone()),
        headline: data.map(|data| data.headline).unwrap_or_default(),
        since: letter.since,
        tries: letter.tries,
        why: one_line(letter.why.as_deref().unwrap_or_default(), 300),
        id: letter.letter.id.clone(),
    }
}
