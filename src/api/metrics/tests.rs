//! Every text that is rendered is parsed here, line by line.

use super::*;
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::Driver;
use crate::journal::Journal;

/// What a scrape's text says: every line is understood, or the test fails.
fn parse(text: &str) -> std::collections::BTreeMap<String, f64> {
    let (mut known, mut series) = (std::collections::BTreeSet::new(), std::collections::BTreeMap::new());
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
            assert!(known.insert(name.to_owned()), "{name} twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.starts_with("wavegate_") && rest.contains(' '), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let bare = name.split('{').next().unwrap();
            let family = ["", "_total", "_info", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| bare.strip_suffix(end).filter(|name| known.contains(*name)));
            assert!(family.is_some(), "no type before {line}");
            assert!(bare.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
        }
    }
    series
}

fn counters(metrics: &Metrics) -> String {
    metrics.of_doors(Timestamp::from_second(3_000).unwrap())
}

#[test]
fn doors_count() {
    let metrics = Metrics::default();
    metrics.http("/v1/rollouts/{id}", "GET", 200, Duration::from_millis(3));
    metrics.clone().http("/v1/rollouts/{id}", "GET", 200, Duration::from_millis(700));
    metrics.http("unmatched", "BREW", 404, Duration::ZERO);
    let following = metrics.follows();
    metrics.authentication_failed("http");
    metrics.mcp_call("propose", "refused");
    metrics.delivery("webhook", "dead");
    let series = parse(&counters(&metrics));
    assert_eq!(series["wavegate_http_requests_total{route=\"/v1/rollouts/{id}\",method=\"GET\",status=\"200\"}"], 2.0);
    assert_eq!(series["wavegate_http_requests_total{route=\"unmatched\",method=\"other\",status=\"404\"}"], 1.0);
    let bucket = "wavegate_http_request_duration_seconds_bucket{le=\"0.5\",route=\"/v1/rollouts/{id}\",method=\"GET\"}";
    assert_eq!(series[bucket], 1.0, "{series:?}");
    assert_eq!(series["wavegate_followers"], 1.0);
    drop(following);
    let series = parse(&counters(&metrics));
    assert_eq!(series["wavegate_followers"], 0.0);
    assert_eq!(series["wavegate_mcp_calls_total{tool=\"propose\",outcome=\"refused\"}"], 1.0);
    // Where no heartbeat is configured none is missed.
    assert!(!series.keys().any(|name| name.contains("heartbeat")));
    metrics.beats();
    let series = parse(&counters(&metrics));
    assert_eq!(series["wavegate_heartbeats_total{outcome=\"withheld\"}"], 0.0, "{series:?}");
    metrics.beat(Beat::Withheld, Timestamp::from_second(1_000).unwrap());
    assert_eq!(parse(&counters(&metrics))["wavegate_heartbeat_last_success_timestamp_seconds"], 0.0);
    metrics.beat(Beat::Sent, Timestamp::from_second(2_000).unwrap());
    assert_eq!(parse(&counters(&metrics))["wavegate_heartbeat_last_success_timestamp_seconds"], 2000.0);
}

/// A counter that is born at 1 has not risen: `increase(…{outcome="dead"}[10m]) > 0` would miss the first dead message.
#[test]
fn a_channel_has_its_series_before_its_first_message() {
    let metrics = Metrics::default();
    metrics.delivers_by("pager");
    let series = parse(&counters(&metrics));
    for outcome in ["delivered", "failed", "dead"] {
        assert_eq!(series[&format!("wavegate_deliveries_total{{channel=\"pager\",outcome=\"{outcome}\"}}")], 0.0);
    }
    let waits = |metrics: &Metrics| {
        let series = parse(&counters(metrics));
        ["pending{channel=\"pager\"}", "oldest_pending_seconds{channel=\"pager\"}", "trouble"]
            .map(|name| series[&format!("wavegate_deliveries_{name}")])
    };
    assert_eq!(waits(&metrics), [0.0, 0.0, 0.0]);
    metrics.waits("pager", 3, Some(Timestamp::from_second(2_400).unwrap()));
    metrics.delivers_with_trouble(true);
    assert_eq!(waits(&metrics), [3.0, 600.0, 1.0]);
}

/// Whatever somebody asks for, the text stays parseable and bounded.
#[test]
fn labels_are_bounded_and_plain() {
    let metrics = Metrics::default();
    for n in 0..2_000 {
        metrics.mcp_call(&format!("tool{n}\"}} 1\r\nwavegate_up 0\u{202e}{}", "x".repeat(5_000)), "ok");
    }
    let text = counters(&metrics);
    let series = parse(&text);
    assert_eq!(series["wavegate_mcp_calls_total{tool=\"other\",outcome=\"other\"}"], 1744.0);
    assert!(text.len() < 100_000 && !text.contains(['\r', '\u{202e}']), "{} bytes", text.len());
}

struct Nowhere;

impl crate::daemon::perform::Perform for Nowhere {
    async fn perform(
        &self,
        effect: crate::engine::effect::Effect,
    ) -> (crate::engine::effect::EffectId, crate::engine::effect::Reply) {
        panic!("{effect:?}")
    }
}

struct Bare;

impl crate::api::service::Surroundings for Bare {
    fn pipeline(&self, _: &str) -> Result<crate::model::pipeline::Pipeline, String> {
        Err("none".into())
    }
    fn pipelines(&self) -> Result<Vec<crate::api::service::FoundPipeline>, String> {
        Ok(Vec::new())
    }
    fn check(&self, _: &str, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn rollout_id(&self) -> crate::model::ids::RolloutId {
        "r".into()
    }
    fn kill_id(&self) -> crate::model::ids::KillId {
        "k".into()
    }
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_795_219_200).unwrap()
    }
    fn kill_file(&self) -> Option<std::path::PathBuf> {
        None
    }
}

/// Over a loop that runs, and once it has ended.
#[tokio::test]
async fn a_scrape_asks_the_loop() {
    let dir = tempfile::tempdir().unwrap();
    let lead = crate::daemon::leader::take(dir.path()).await.unwrap();
    let clock = Clock::system();
    let core = Core::new(lead.journal, "nobody", None, clock.now()).unwrap();
    let (driver, orders) = Driver::new(core, Arc::new(Nowhere), clock, None);
    let running = tokio::spawn(async move { driver.run(&mut |_, _| {}).await });
    let service = Service::new(orders.clone(), Arc::new(Bare));
    let feed = Feed::open(&dir.path().join("journal.db")).unwrap();
    let metrics = Metrics::default();

    let series = parse(&metrics.render(&service, &feed).await);
    assert_eq!(series["wavegate_up"], 1.0);
    assert_eq!(series["wavegate_leads"], 1.0);
    assert_eq!(series["wavegate_epoch"], 1.0);
    assert_eq!(series["wavegate_journal_records"], 1.0);
    assert_eq!(series["wavegate_feed_lag_records"], 0.0);
    assert_eq!(series["wavegate_rollouts{phase=\"rolling\"}"], 0.0);
    assert_eq!(series["wavegate_kills_in_force{mode=\"halt\"}"], 0.0);
    assert_eq!(series["wavegate_fleet_changes"], 0.0);
    assert!(series["wavegate_journal_newest_record_timestamp_seconds"] > 1.7e9);

    // Somebody takes the lead away.
    let mut other = Journal::open(&dir.path().join("journal.db")).unwrap();
    let seen = other.lease().unwrap();
    other.take_lead(seen.as_ref(), "somebody").unwrap();
    let series = parse(&metrics.render(&service, &feed).await);
    assert!(series.get("wavegate_leads") != Some(&1.0), "{series:?}");
    let _ = orders.stop().await;
    let _ = running.await;
    let series = parse(&metrics.render(&service, &feed).await);
    assert_eq!(series["wavegate_up"], 0.0);
    assert!(!series.contains_key("wavegate_leads"));
}
