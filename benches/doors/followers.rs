//! A thousand followers of one rollout, and none of them misses an event.

use super::house::{House, Lasted};
use super::http::Connection;
use super::median;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A rollout may take so much longer with them than without.
const SLOWER: f64 = 1.10;

/// The followers' own process: address, token, rollout, how many. Prints how many of them saw how many events, and their digest.
pub async fn follow(args: &[String]) {
    let [at, token, rollout, many] = args else { panic!("--follow ADDRESS TOKEN-FILE ROLLOUT MANY") };
    let (at, many): (_, usize) = (at.parse().unwrap(), many.parse().unwrap());
    let token = std::fs::read_to_string(token).unwrap();
    let path = format!("/v1/rollouts/{rollout}/events");
    let mut following = JoinSet::new();
    for _ in 0..many {
        let (token, path) = (token.trim().to_owned(), path.clone());
        following.spawn(async move { Connection::open(at, &token).await.events(&path, "rollout_ended").await });
        // As people come: some hundred within a second.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut out = std::io::stdout().lock();
    for seen in following.join_all().await {
        writeln!(out, "{}", seen.iter().map(u64::to_string).collect::<Vec<_>>().join(",")).unwrap();
    }
}

/// Measures, and says what was seen; true when it is within the limits.
pub async fn measure(targets: usize, many: usize, rounds: usize) -> bool {
    let (mut without, mut with, mut missed, mut events) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..rounds {
        without.push(run(targets, 0).await.0);
        let (lasted, wrong, seen) = run(targets, many).await;
        with.push(lasted);
        missed += wrong;
        events = seen;
        println!("round {}: {:.1?} without, {:.1?} with {many} followers", round + 1, without[round], with[round]);
    }
    println!(
        "followers: {targets} targets, {events} events, {many} followers: {missed} of them missed or repeated one"
    );
    let work = ratio("previews and waves", &without, &with, |lasted| lasted.work);
    ratio("whole rollout", &without, &with, |lasted| lasted.whole);
    missed == 0 && work <= SLOWER
}

fn ratio(what: &str, without: &[Lasted], with: &[Lasted], of: impl Fn(&Lasted) -> Duration) -> f64 {
    let middle = |all: &[Lasted]| median(all.iter().map(&of).collect());
    let (without, with) = (middle(without), middle(with));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    println!(
        "followers: {what}: median {without:.1?} without, {with:.1?} with: {ratio:.3} times as long (limit {SLOWER})"
    );
    ratio
}

/// One rollout: how long it took, how many followers saw something else than the record, and how many events there were.
async fn run(targets: usize, many: usize) -> (Lasted, usize, usize) {
    let house = House::start(1, targets);
    let token = house.token("ada");
    let mut door = house.open(&token).await;
    let rollout = house.propose(&mut door, 0, 0.5).await;
    let began = Instant::now();
    let followers = (many > 0).then(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &token).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--follow").arg(house.at.to_string()).arg(file.path()).arg(&rollout).arg(many.to_string());
        (command.stdout(Stdio::piped()).spawn().unwrap(), file)
    });
    let lasted = house.lasted(&rollout).await;
    let record: Vec<u64> = house.record(&rollout).iter().map(|entry| entry.seq.0).collect();
    let Some((followers, _file)) = followers else { return (lasted, 0, record.len()) };
    let seen = tokio::task::spawn_blocking(|| followers.wait_with_output().unwrap()).await.unwrap();
    let expected = record.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let seen = String::from_utf8(seen.stdout).unwrap();
    let right = seen.lines().filter(|line| **line == *expected).count();
    println!("  the last follower was done after {:.1?}", began.elapsed());
    (lasted, many - right, record.len())
}
