//! One channel's task: takes what is due, sends it, and says how that went. No channel waits for another one.

use super::{Channel, Shared, chain, lock};
use crate::cloud::outbound::Undelivered;
use crate::journal::outbox::{Letter, OutboxError, PAUSE_MAX};
use crate::model::notice::NoticeKind;
use crate::model::time::since;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// So many messages of a channel are on the wire at the same time: one that hangs does not hold up the next ones, and a receiver that is
/// back is not run over.
const AT_ONCE: u32 = 4;
/// Without the bell it looks so often: for messages whose pause is over, and those that a person has tried again.
const LOOK: Duration = Duration::from_secs(1);
/// After a trouble with the outbox, the next try.
const PAUSE: Duration = Duration::from_secs(2);
/// The first pause of a message, doubled with each try.
const FIRST: Duration = Duration::from_secs(1);
/// A message that has not arrived for so long is reported by the other channels.
const LATE: Duration = Duration::from_secs(120);

/// Delivers for as long as the process lives.
pub(super) async fn run(shared: Arc<Shared>, n: usize) {
    let Some(channel) = shared.channels.get(n) else { return };
    // Arrived, and the outbox does not know it yet.
    let mut arrived = BTreeSet::new();
    loop {
        match turn(&shared, channel, &mut arrived).await {
            Ok(true) => {}
            Ok(false) => {
                // Whichever comes first.
                let _ = tokio::time::timeout(LOOK, channel.bell.notified()).await;
            }
            Err(error) => {
                shared.report(chain(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// True when there was something to do.
async fn turn(shared: &Arc<Shared>, channel: &Channel, arrived: &mut BTreeSet<String>) -> Result<bool, OutboxError> {
    if lock(&channel.not_before).is_some_and(|at| Instant::now() < at) {
        return Ok(false);
    }
    let (name, now) = (channel.name().to_owned(), shared.now());
    let due = shared.with_outbox(move |outbox| outbox.due(&name, now, AT_ONCE)).await?;
    let any = !due.is_empty();
    let sending = due.into_iter().map(|letter| {
        // A message that arrived is not sent again because a disk is full.
        let known = arrived.contains(&letter.letter.id);
        async move {
            let sent = match known {
                true => Ok(()),
                false => channel.send(&letter.letter.id, &letter.letter.body, &letter.letter.about, shared.now()).await,
            };
            (letter, sent)
        }
    });
    let all = futures_util::future::join_all(sending).await;
    arrived.extend(all.iter().filter(|(_, sent)| sent.is_ok()).map(|(letter, _)| letter.letter.id.clone()));
    for (letter, sent) in all {
        match sent {
            Ok(()) => {
                let id = letter.letter.id.clone();
                delivered(shared, channel, letter).await?;
                arrived.remove(&id);
            }
            Err(error) => failed(shared, channel, letter, error).await?,
        }
    }
    Ok(any)
}

async fn delivered(shared: &Arc<Shared>, channel: &Channel, letter: Letter) -> Result<(), OutboxError> {
    let was_failing = lock(&channel.failing).take().is_some();
    let (name, now, id) = (channel.name().to_owned(), shared.now(), letter.letter.id.clone());
    let recorded = shared.with_outbox(move |outbox| {
        outbox.delivered(&id)?;
        // The receiver is back.
        if was_failing { outbox.hurry(&name, now) } else { Ok(()) }
    });
    recorded.await?;
    channel.delivered.fetch_add(1, Ordering::Relaxed);
    shared.metrics.delivery(channel.name(), "delivered");
    tracing::info!(channel = channel.name(), kind = %letter.letter.kind, id = letter.letter.id, "told");
    Ok(())
}

async fn failed(
    shared: &Arc<Shared>,
    channel: &Channel,
    letter: Letter,
    error: Undelivered,
) -> Result<(), OutboxError> {
    let (now, tries) = (shared.now(), letter.tries + 1);
    channel.failed_tries.fetch_add(1, Ordering::Relaxed);
    shared.metrics.delivery(channel.name(), "failed");
    let why = error.to_string();
    *lock(&channel.failing) = Some(why.clone());
    let (kind, id, named) = (letter.letter.kind, &letter.letter.id, letter.letter.id.clone());
    if let Undelivered::Again { after: Some(after), .. } = &error {
        // A receiver that asks for time gets it, whichever message was one too many.
        *lock(&channel.not_before) = Instant::now().checked_add((*after).min(PAUSE_MAX));
    }
    let next = next_try(&error, tries, now, letter.give_up, fastrand::f64());
    let words = why.clone();
    match next {
        Some(next) => {
            tracing::warn!(channel = channel.name(), %kind, id, tries, why, "a message did not arrive; it is tried again");
            shared.with_outbox(move |outbox| outbox.failed(&named, next, &words)).await?;
        }
        None => {
            tracing::error!(channel = channel.name(), %kind, id, tries, why, "a message did not arrive, and is given up");
            shared.with_outbox(move |outbox| outbox.died(&named, now, &words)).await?;
            channel.count_dead(shared);
        }
    }
    if next.is_none() || error.is_refusal() || is_late(letter.since, now) {
        tell_others(shared, channel.name(), kind, why, now).await?;
    }
    Ok(())
}

/// One that a clock that was set back makes a message of the future is taken for an old one.
fn is_late(put_in: Timestamp, now: Timestamp) -> bool {
    now < put_in || since(put_in, now) >= LATE
}

/// When it is tried again; none: never. `chance` is from 0 to 1: what failed together does not come back together.
fn next_try(error: &Undelivered, tries: u32, now: Timestamp, give_up: Timestamp, chance: f64) -> Option<Timestamp> {
    let after = match error {
        Undelivered::Again { after, .. } => *after,
        Undelivered::Refused { .. } => None,
        Undelivered::Never { .. } => return None,
    };
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    let pause = doubled.min(PAUSE_MAX).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    let pause = pause.max(after.unwrap_or_default().min(PAUSE_MAX));
    let next = now.checked_add(SignedDuration::try_from(pause).ok()?).ok()?;
    (next < give_up).then_some(next)
}

async fn tell_others(
    shared: &Arc<Shared>,
    name: &str,
    kind: NoticeKind,
    why: String,
    now: Timestamp,
) -> Result<(), OutboxError> {
    let (of_task, name) = (Arc::clone(shared), name.to_owned());
    if shared.with_outbox(move |outbox| of_task.tell_others(outbox, &name, kind, &why, now)).await? {
        shared.ring();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::notify::Notifier;
    use crate::config::notify::NotifyConfig;
    use crate::daemon::clock::Clock;
    use crate::journal::Journal;
    use crate::journal::outbox::NewLetter;
    use crate::model::ids::Seq;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_end_after_a_day() {
        let again = Undelivered::again("x");
        let pause = |tries, chance| next_try(&again, tries, at(0), at(86_400), chance).unwrap().as_millisecond();
        assert_eq!([pause(1, 1.0), pause(2, 1.0), pause(3, 1.0)], [1000, 2000, 4000]);
        assert_eq!([pause(1, 0.0), pause(9, 1.0), pause(4_000_000, 1.0)], [500, 256_000, 300_000]);
        assert_eq!(next_try(&again, 20, at(86_200), at(86_400), 1.0), None);
        assert_eq!(next_try(&Undelivered::Never { why: "x".into() }, 1, at(0), at(86_400), 1.0), None);
    }

    /// A message that fails is told by the other channel when it is late or given up, once, and never a report about a report.
    #[tokio::test]
    async fn a_channel_that_fails_is_reported_by_the_others() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(&dir.path().join("journal.db")).unwrap();
        let text = "channels: [{name: a, slack: {url_file: /none}}, {name: b, slack: {url_file: /none}}]";
        let config: NotifyConfig = serde_yaml::from_str(text).unwrap();
        let shared = Notifier::open(&config, dir.path(), Clock::system(), Default::default()).unwrap().shared.unwrap();
        let told = || lock(&shared.outbox).due("b", shared.now(), 9).unwrap().len();
        let failed = |kind, since: i64, error| {
            let late = SignedDuration::from_secs(since);
            let letter = Letter {
                letter: NewLetter {
                    channel: "a".into(),
                    // None that is there.
                    id: "1".into(),
                    kind,
                    about: String::new(),
                    body: String::new(),
                },
                since: shared.now() - late,
                give_up: shared.now() + late,
                tries: 3,
                why: None,
            };
            super::failed(&shared, &shared.channels[0], letter, error)
        };
        let fail = |kind, since| failed(kind, since, Undelivered::again("away"));
        fail(NoticeKind::Kill, 60).await.unwrap();
        fail(NoticeKind::Undelivered, 600).await.unwrap();
        assert_eq!(told(), 0);
        assert!(is_late(shared.now() + LATE, shared.now()), "put in before the clock was set back");
        fail(NoticeKind::Kill, 130).await.unwrap();
        fail(NoticeKind::Kill, 600).await.unwrap();
        assert_eq!(told(), 1);
        assert!(lock(&shared.outbox).due("a", shared.now(), 9).unwrap().is_empty());
    }

    /// A key that does not fit any more does not mend itself: people hear of it with the first try, and the message is tried again.
    #[tokio::test]
    async fn a_refusal_is_tried_again_and_reported_at_once() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(&dir.path().join("journal.db")).unwrap();
        let text = "channels: [{name: a, slack: {url_file: /none}}, {name: b, slack: {url_file: /none}}]";
        let config: NotifyConfig = serde_yaml::from_str(text).unwrap();
        let shared = Notifier::open(&config, dir.path(), Clock::system(), Default::default()).unwrap().shared.unwrap();
        let letter = NewLetter {
            channel: "a".into(),
            id: "1".into(),
            kind: NoticeKind::Kill,
            about: String::new(),
            body: String::new(),
        };
        lock(&shared.outbox).take_in(Seq(0), &[letter], shared.now()).unwrap();
        let letter = lock(&shared.outbox).due("a", shared.now(), 1).unwrap().remove(0);
        let error = Undelivered::Refused { why: "the receiver answered 401".into() };
        failed(&shared, &shared.channels[0], letter, error).await.unwrap();
        let holds = lock(&shared.outbox).holds().unwrap();
        assert_eq!((holds.pending["a"].0, holds.dead.len()), (1, 0));
        let told = lock(&shared.outbox).due("b", shared.now(), 9).unwrap();
        assert!(told.len() == 1 && told[0].letter.body.contains("401"), "{told:?}");
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_up_to_five_minutes_and_not_for_a_shorter_one() {
        let asks = |seconds| Undelivered::Again { why: "x".into(), after: Some(Duration::from_secs(seconds)) };
        assert_eq!(next_try(&asks(200), 1, at(0), at(86_400), 1.0), Some(at(200)));
        // The next message about the same thing waits for this one, and may be a critical one.
        assert_eq!(next_try(&asks(3600), 1, at(0), at(86_400), 1.0), Some(at(300)));
        assert_eq!(next_try(&asks(0), 2, at(0), at(86_400), 1.0), Some(at(2)));
    }
}
