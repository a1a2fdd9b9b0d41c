//! Kills through a busy door.

use super::house::House;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A kill is acknowledged or precisely pending within this time (L3).
const LIMIT: Duration = Duration::from_secs(2);
/// Callers who share the other requests.
const CALLERS: usize = 8;

/// Measures, and says what was seen; true when it is within the limits.
pub async fn measure(kills: usize, rate: usize) -> bool {
    let house = House::start(kills, 4);
    let token = house.token("ada");
    let mut door = house.open(&token).await;
    let mut rollouts = Vec::new();
    for n in 0..kills {
        rollouts.push(house.propose(&mut door, n, 120.0).await);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let load = Arc::new(Load::default());
    for caller in 0..CALLERS {
        let door = house.open(&house.token(&format!("caller-{caller}"))).await;
        tokio::spawn(Arc::clone(&load).send(door, rate, rollouts.clone()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The first one has been let go: it was silent for too long.
    let mut door = house.open(&token).await;
    let (began, before) = (Instant::now(), load.sent.load(Ordering::Relaxed));
    let (mut times, mut acknowledged, mut pending) = (Vec::new(), 0, 0);
    for (n, rollout) in rollouts.iter().enumerate() {
        let mode = ["pause", "halt", "revert"][n % 3];
        let body = json!({ "scope": format!("rollout={rollout}"), "mode": mode, "reason": "measured" }).to_string();
        let sent = Instant::now();
        let answer = door.call("POST", "/v1/kills", &body).await;
        times.push(sent.elapsed());
        assert!(matches!(answer.status, 201 | 202), "{}: {}", answer.status, answer.body);
        let view: Value = serde_json::from_str(&answer.body).unwrap();
        match view["state"].as_str() {
            Some("acknowledged") => acknowledged += 1,
            Some("pending") if view["pending"].as_array().is_some_and(|targets| !targets.is_empty()) => pending += 1,
            _ => panic!("neither acknowledged nor precisely pending: {view}"),
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let others = (load.sent.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    load.over.store(true, Ordering::Relaxed);
    times.sort();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1];
    println!(
        "kill: {kills} kills beside {others:.0} other requests a second, {} of which failed",
        load.failed.load(Ordering::Relaxed)
    );
    println!("kill: {acknowledged} acknowledged, {pending} precisely pending");
    println!("kill: median {:.1?}, p99 {:.1?}, longest {:.1?} (limit {LIMIT:?} for p99)", at(50), at(99), at(100));
    at(99) <= LIMIT
}

#[derive(Default)]
struct Load {
    sent: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// One caller's share of the requests: looking, mostly, and some that are refused.
    async fn send(self: Arc<Self>, mut door: super::http::Connection, rate: usize, rollouts: Vec<String>) {
        let mut beat = tokio::time::interval(Duration::from_secs_f64(CALLERS as f64 / rate as f64));
        for n in 0.. {
            beat.tick().await;
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let rollout = &rollouts[n % rollouts.len()];
            let answer = match n % 5 {
                0 => door.call("GET", "/v1/rollouts?limit=50", "").await,
                1 => door.call("GET", &format!("/v1/rollouts/{rollout}"), "").await,
                2 => door.call("GET", &format!("/v1/rollouts/{rollout}/explanation"), "").await,
                3 => door.call("GET", "/v1/audit?limit=100", "").await,
                // There is none of that name: refused, and recorded.
                _ => door.call("POST", "/v1/rollouts/r-none/pause", "").await,
            };
            self.sent.fetch_add(1, Ordering::Relaxed);
            if answer.status >= 500 || answer.status == 429 {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
