//! The stream: nothing lost, nothing twice, resumed anywhere.

use super::*;
use crate::model::event::Event;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use jiff::Timestamp;
use proptest::prelude::*;

/// A journal, the feed over it, and the way to tell the feed.
struct Place {
    journal: Journal,
    feed: Arc<Feed>,
    written: watch::Sender<u64>,
    dir: tempfile::TempDir,
}

fn record(n: u64) -> Event {
    let kill = Kill {
        id: format!("k-{n}").into(),
        scope: KillScope::All,
        mode: KillMode::Pause,
        by: "test\nid: 7".into(),
        door: KillDoor::Cli,
        at: Timestamp::UNIX_EPOCH,
        reason: String::new(),
    };
    Event::KillRequested { kill }
}

impl Place {
    fn new(before: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("journal.db")).unwrap();
        let seen = journal.lease().unwrap();
        journal.take_lead(seen.as_ref(), "test").unwrap();
        if before > 0 {
            let records: Vec<_> = (0..before).map(record).collect();
            journal.append(Timestamp::UNIX_EPOCH, &records).unwrap();
        }
        let feed = Feed::open(&dir.path().join("journal.db")).unwrap();
        let (written, newest) = watch::channel(0);
        tokio::spawn(Arc::clone(&feed).keep_up(newest));
        Self { journal, feed, written, dir }
    }

    fn append(&mut self, count: u64) {
        let from = self.journal.newest_seq().unwrap().0;
        let records: Vec<_> = (from..from + count).map(record).collect();
        self.journal.append(Timestamp::UNIX_EPOCH, &records).unwrap();
        self.written.send_replace(from + count);
    }

    fn follow(&self, after: u64) -> Follower {
        self.feed.follow(Filter::default(), after)
    }

    async fn caught_up(&self, to: u64) {
        while self.feed.newest() < to {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The positions in a chunk.
fn ids(chunk: &Bytes) -> Vec<u64> {
    let text = std::str::from_utf8(chunk).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
}

/// Reads until a position, by frames or by chunks.
async fn positions(follower: &mut Follower, to: u64, by_chunk: bool) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| *last < to) {
        let next = if by_chunk {
            follower.next_chunk().await.unwrap().map(|chunk| ids(&chunk))
        } else {
            follower.next().await.unwrap().map(|frames| frames.iter().map(|frame| frame.seq).collect())
        };
        let Some(next) = next else { break };
        assert!(!next.is_empty());
        seen.extend(next);
    }
    seen
}

fn all(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn nothing_is_lost_or_seen_twice_while_the_journal_grows() {
    let mut place = Place::new(10);
    let mut followers = [
        (place.follow(0), 0, true),
        (place.follow(0), 0, false),
        (place.follow(7), 7, true),
        (place.follow(10), 10, false),
    ];
    for _ in 0..20 {
        place.append(3);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for (follower, after, by_chunk) in &mut followers {
        assert_eq!(positions(follower, 70, *by_chunk).await, all(*after + 1, 70));
    }
}

#[tokio::test]
async fn whoever_comes_back_goes_on_where_they_were() {
    let mut place = Place::new(0);
    place.append(50);
    let mut seen = Vec::new();
    while seen.last() != Some(&50) {
        // Each time from anew, in the middle of what the last answer brought.
        let mut follower = place.follow(seen.last().copied().unwrap_or(0));
        let got = follower.next().await.unwrap().unwrap();
        seen.extend(got.iter().take(7).map(|frame| frame.seq));
    }
    assert_eq!(seen, all(1, 50));
}

/// A record whose fsync failed is in the file, and the loop never said that it is durable.
#[tokio::test]
async fn what_the_loop_did_not_acknowledge_is_not_shown() {
    let mut place = Place::new(0);
    place.append(5);
    place.journal.append(Timestamp::UNIX_EPOCH, &[record(5), record(6)]).unwrap();
    place.caught_up(5).await;
    assert_eq!(positions(&mut place.follow(0), 5, true).await, all(1, 5));
    // From the file, too.
    place.feed.at_hand.lock().unwrap().clear();
    assert_eq!(positions(&mut place.follow(2), 5, false).await, all(3, 5));
    place.written.send_replace(6);
    place.caught_up(6).await;
    assert_eq!(place.feed.newest(), 6);
}

#[tokio::test]
async fn a_follower_that_fell_behind_reads_the_file() {
    let mut place = Place::new(0);
    let mut slow = place.follow(0);
    place.append(30);
    place.caught_up(30).await;
    // What is at hand begins later than where the follower is.
    place.feed.at_hand.lock().unwrap().drain(..25);
    assert_eq!(positions(&mut slow, 30, true).await, all(1, 30));
    assert_eq!(positions(&mut place.follow(20), 30, false).await, all(21, 30));
    assert_eq!(positions(&mut place.follow(28), 30, false).await, all(29, 30));
}

#[tokio::test]
async fn more_than_is_taken_at_once_comes_in_pieces() {
    let many = AT_ONCE as u64 * 2 + 10;
    let place = Place::new(many);
    assert_eq!(positions(&mut place.follow(0), many, true).await, all(1, many));
    let mut place = Place::new(0);
    place.append(many);
    place.caught_up(many).await;
    let mut follower = place.follow(0);
    assert_eq!(follower.next().await.unwrap().unwrap().len(), AT_ONCE);
    assert_eq!(positions(&mut follower, many, false).await, all(AT_ONCE as u64 + 1, many));
}

#[tokio::test]
async fn a_restart_shows_the_same_under_the_same_numbers() {
    let mut place = Place::new(0);
    place.append(20);
    let before = place.follow(0).next().await.unwrap().unwrap();
    let Place { journal, dir, .. } = place;
    drop(journal);
    let feed = Feed::open(&dir.path().join("journal.db")).unwrap();
    assert_eq!(feed.newest(), 20);
    let after = feed.follow(Filter::default(), 0).next().await.unwrap().unwrap();
    assert_eq!(before, after);
    assert_eq!(feed.follow(Filter::default(), 12).next().await.unwrap().unwrap()[..], before[12..]);
}

#[tokio::test]
async fn the_stream_ends_with_the_last_record() {
    let mut place = Place::new(0);
    let mut waiting = place.follow(0);
    place.append(5);
    let Place { written, .. } = place;
    drop(written);
    assert_eq!(positions(&mut waiting, 5, true).await, all(1, 5));
    assert_eq!(waiting.next_chunk().await.unwrap(), None);
    assert_eq!(waiting.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_filter_takes_its_own_and_passes_over_the_rest() {
    let mut place = Place::new(5);
    let mut follower = place.feed.follow(Filter { rollout: Some("r-1".into()) }, 0);
    place.append(5);
    place.caught_up(10).await;
    // It passes over them on a thread of its own, in its own time.
    for _ in 0..100 {
        let nothing = tokio::time::timeout(Duration::from_millis(50), follower.next_chunk()).await;
        assert!(nothing.is_err(), "none of these is of the rollout");
        if follower.after == 10 {
            return;
        }
    }
    panic!("after {} of 10 they are looked at again", follower.after);
}

#[tokio::test]
async fn followers_at_the_same_position_share_the_same_bytes() {
    let mut place = Place::new(0);
    place.append(5);
    place.caught_up(5).await;
    let one = place.follow(0).next_chunk().await.unwrap().unwrap();
    let two = place.follow(0).next_chunk().await.unwrap().unwrap();
    assert_eq!(one.as_ptr(), two.as_ptr());
    let text = std::str::from_utf8(&one).unwrap();
    // Text from outside begins no line of its own.
    assert_eq!(text.lines().filter(|line| line.starts_with("id: ")).count(), 5);
    assert_eq!(text.matches("\n\n").count(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is written, dropped and resumed in whatever order: each position once, in order.
    #[test]
    fn resumed_anywhere_each_event_is_seen_once(steps in prop::collection::vec((0_u64..6, any::<bool>(), 0_usize..9, any::<bool>()), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut place = Place::new(3);
            let mut follower = place.follow(0);
            let (mut written, mut seen) = (3, Vec::new());
            for (count, reconnect, forget, by_chunk) in steps {
                if count > 0 {
                    place.append(count);
                    written += count;
                    place.caught_up(written).await;
                }
                if reconnect {
                    follower = place.follow(seen.last().copied().unwrap_or(0));
                }
                let hand = &place.feed.at_hand;
                let some = forget.min(hand.lock().unwrap().len());
                hand.lock().unwrap().drain(..some);
                let last = seen.last().copied().unwrap_or(0);
                if last < written {
                    let next = if by_chunk {
                        ids(&follower.next_chunk().await.unwrap().unwrap())
                    } else {
                        follower.next().await.unwrap().unwrap().iter().map(|frame| frame.seq).collect()
                    };
                    seen.extend(next);
                }
            }
            let last = seen.last().copied().unwrap_or(0);
            assert_eq!(seen, all(1, last));
        });
    }
}
