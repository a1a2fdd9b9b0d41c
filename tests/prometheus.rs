//! The Prometheus source against a real server: values and their periods, what is missing, several series, refusals, a server
//! that dies and comes back, a target that stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wavegate::cloud::Health as _;
use wavegate::cloud::aws::{Aws, AwsOptions};
use wavegate::cloud::prometheus::{Prometheus, PrometheusOptions};
use wavegate::model::observation::{Completeness, MetricQuery, QuerySource, Series};
use wavegate::model::stack::Scope;

/// How long a server may take to open its doors on two busy cores; a second is usual.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The start of the minute in which the backfilled data begin.
const BEGIN: i64 = 1_700_000_040;

/// Samples are this many seconds apart.
const APART: i64 = 15;

/// A real server with its data, ended with the test.
struct Server {
    bin: PathBuf,
    home: tempfile::TempDir,
    port: u16,
    running: Option<Child>,
}

impl Server {
    /// Starts one over these samples (`OpenMetrics`) and scrape settings; `None`, with the reason printed, when
    /// `WAVEGATE_PROMETHEUS_BIN` is unset.
    fn start(samples: Option<&str>, settings: &str) -> Option<Self> {
        let Some(bin) = std::env::var_os("WAVEGATE_PROMETHEUS_BIN").map(PathBuf::from) else {
            eprintln!("skipped: WAVEGATE_PROMETHEUS_BIN is unset (tests/run sets it up)");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("settings.yml"), settings).unwrap();
        if let Some(samples) = samples {
            backfill(&bin, home.path(), samples);
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut server = Self { bin, home, port, running: None };
        server.open();
        Some(server)
    }

    fn open(&mut self) {
        let log = std::fs::File::create(self.home.path().join("log")).unwrap();
        let child = Command::new(self.bin.join("prometheus"))
            .arg(format!("--config.file={}", self.home.path().join("settings.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.home.path().join("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus does not start");
        self.running = Some(child);
        let give_up = Instant::now() + START_LIMIT;
        while !self.is_ready() {
            let log = || std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < give_up, "prometheus is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = String::new();
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.0 200")
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The series of these expressions over `[from, to)` seconds, the way the daemon reads them.
    async fn ask(&self, period_s: u32, expressions: &[&str], (from, to): (i64, i64)) -> Vec<Series> {
        let at = |second| Timestamp::from_second(second).unwrap();
        read(&self.address(), period_s, expressions, (at(from), at(to))).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Blocks of the storage, as the server itself would have written them.
fn backfill(bin: &Path, home: &Path, samples: &str) {
    let file = home.join("samples");
    std::fs::write(&file, samples).unwrap();
    let made = Command::new(bin.join("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([file, home.join("data")])
        .output()
        .expect("promtool does not start");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

async fn read(
    server: &str,
    period_s: u32,
    expressions: &[&str],
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Series>, wavegate::model::observation::ProviderError> {
    let prometheus = Prometheus::new(PrometheusOptions { timeout: Duration::from_secs(30), ..Default::default() });
    let base = aws_config::SdkConfig::builder().build();
    let world = Aws::with_config(&base, &AwsOptions::default()).with_prometheus(prometheus);
    let query = |expression: &&str| {
        let source = QuerySource::Prometheus { server: server.into(), query: (*expression).to_owned() };
        (MetricQuery { cell: "a".into(), metric: "m".into(), source, period_s }, true)
    };
    let queries: Vec<_> = expressions.iter().map(query).collect();
    let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
    world.metrics(&scope, &queries, from, to).await
}

/// An hour of two pods in cell `a`, of which each serves 10 requests in 15 seconds; cell `b` dies after half of it. A gauge
/// counts the minutes.
fn hour() -> String {
    let mut text = String::from("# TYPE requests counter\n");
    for (cell, pod, samples) in [("a", "p1", 240), ("a", "p2", 240), ("b", "p1", 120)] {
        for n in 0..=samples {
            let at = BEGIN + n * APART;
            writeln!(text, "requests_total{{cell=\"{cell}\",pod=\"{pod}\"}} {} {at}", n * 10).unwrap();
        }
    }
    text.push_str("# TYPE minute gauge\n");
    for n in 0..=240 {
        writeln!(text, "minute{{cell=\"a\"}} {} {}", n / 4, BEGIN + n * APART + 1).unwrap();
    }
    text.push_str("# EOF\n");
    text
}

fn minutes(series: &Series) -> Vec<i64> {
    series.points.iter().map(|(at, _)| (at.as_second() - BEGIN) / 60).collect()
}

fn values(series: &Series) -> Vec<f64> {
    series.points.iter().map(|(_, value)| *value).collect()
}

fn said(series: &Series) -> &str {
    match &series.completeness {
        Completeness::Unknown(said) => said,
        other => panic!("{other:?}, {:?}", series.points),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_stand_at_the_start_of_their_periods() {
    let Some(server) = Server::start(Some(&hour()), "global: {}\n") else { return };
    let expressions = [
        "sum(increase(requests_total{cell=\"a\"}[1m]))",
        "last_over_time(minute[1m])",
        "sum(increase(requests_total{cell=\"b\"}[1m]))",
        "sum(rate(nothing_total{cell=\"a\"}[1m]))",
    ];
    // Half a minute into the hour: that minute did not begin within the interval, and the last one is not over.
    let series = server.ask(60, &expressions, (BEGIN + 30, BEGIN + 3599)).await;
    assert!(series.iter().all(|series| series.completeness == Completeness::Complete), "{series:?}");
    assert!(series.iter().all(|series| series.samples.is_empty()));
    assert_eq!(minutes(&series[0]), (1..59).collect::<Vec<_>>());
    assert!(values(&series[0]).iter().all(|value| (value - 80.0).abs() < 1e-9), "{:?}", series[0].points);
    // The point of the minute that begins at BEGIN + 60 m is the one that was seen within it.
    assert_eq!(minutes(&series[1]), values(&series[1]).iter().map(|value| *value as i64).collect::<Vec<_>>());
    // What ended is missing from the period after its end on, and not five minutes later.
    assert_eq!(minutes(&series[2]).last(), Some(&29));
    assert!(series[3].points.is_empty());
    // Up to and with the end.
    let whole = server.ask(60, &expressions, (BEGIN, BEGIN + 3600)).await;
    assert_eq!(minutes(&whole[0]), (0..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_single_number_is_told() {
    let Some(server) = Server::start(Some(&hour()), "global: {}\n") else { return };
    let expressions = [
        "rate(requests_total{cell=\"a\"}[1m])",
        "sum(last_over_time(minute[1m])) * 0 / 0",
        "sum(rate(requests_total{cell=\"a\"}[1m])) / 0",
        "sum(rate(requests_total{cell=\"a\"}[1m])",
        "last_over_time(requests_total{cell=\"b\"}[1m]) * on(cell) last_over_time(requests_total[1m])",
        "minute",
        "sum(requests_total{cell=\"b\"})",
        "1",
    ];
    let series = server.ask(60, &expressions, (BEGIN, BEGIN + 2700)).await;
    let several = said(&series[0]);
    assert!(
        several.contains("2 series") && several.contains("pod=\"p2\"") && several.contains("sum(...)"),
        "{several}"
    );
    assert!(series[0].points.is_empty());
    assert!(values(&series[1]).iter().all(|value| value.is_nan()) && series[1].points.len() == 45);
    assert!(values(&series[2]).iter().all(|value| *value == f64::INFINITY) && series[2].points.len() == 45);
    assert!(said(&series[3]).contains("parse error"), "{}", said(&series[3]));
    assert!(said(&series[4]).contains("duplicate series"), "{}", said(&series[4]));
    // This server cannot bound the age of what an instant selector gives: it would have called `b` alive at minute 34.
    for instant in &series[5..7] {
        assert!(said(instant).contains("last_over_time(up[60s])") && instant.points.is_empty());
    }
    assert_eq!(values(&series[7]), [1.0; 45]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_intervals_are_read_in_parts() {
    let Some(server) = Server::start(Some(&hour()), "global: {}\n") else { return };
    let series = server.ask(1, &["vector(1)"], (BEGIN, BEGIN + 25_000)).await;
    assert_eq!(series[0].completeness, Completeness::Complete);
    assert_eq!(series[0].points.len(), 25_000);
    assert!(series[0].points.windows(2).all(|pair| pair[1].0.as_second() - pair[0].0.as_second() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_says_so_and_its_memory_comes_back() {
    let Some(mut server) = Server::start(Some(&hour()), "global: {}\n") else { return };
    let expression = ["sum(increase(requests_total{cell=\"a\"}[1m]))"];
    let before = server.ask(60, &expression, (BEGIN, BEGIN + 600)).await;
    server.kill();
    let dead = server.ask(60, &expression, (BEGIN, BEGIN + 600)).await;
    let why = said(&dead[0]);
    assert!(why.contains("unavailable") && why.contains(&server.address()) && dead[0].points.is_empty(), "{why}");
    server.open();
    assert_eq!(server.ask(60, &expression, (BEGIN, BEGIN + 600)).await, before);
}

/// Serves one gauge until it is told to stop; then its port is closed, as a dead cell's is.
fn exporter(stop: &Arc<AtomicBool>) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let stop = Arc::clone(stop);
    let serving = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = "# TYPE cell_load gauge\ncell_load 0.5\n";
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}", body.len());
            let _ = write!(stream, "{head}\r\nconnection: close\r\n\r\n{body}");
        }
    });
    (port, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stops_is_missing_within_two_periods() {
    let stop = Arc::new(AtomicBool::new(false));
    let (port, serving) = exporter(&stop);
    let settings = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         scrape_configs: [{{job_name: cells, static_configs: [{{targets: [\"127.0.0.1:{port}\"]}}]}}]\n"
    );
    let Some(server) = Server::start(None, &settings) else {
        stop.store(true, Ordering::Relaxed);
        return serving.join().unwrap();
    };
    let period = 4;
    let load = async || {
        let now = Timestamp::now();
        let from = Timestamp::from_second(now.as_second() - 60).unwrap();
        let series =
            read(&server.address(), period, &["sum(last_over_time(cell_load[4s]))"], (from, now)).await.unwrap();
        assert_eq!(series[0].completeness, Completeness::Complete);
        series[0].points.last().map(|(at, _)| at.as_second())
    };
    let give_up = Instant::now() + START_LIMIT;
    while load().await.is_none() {
        assert!(Instant::now() < give_up, "nothing was scraped");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    serving.join().unwrap();
    let stopped = Timestamp::now().as_second();
    tokio::time::sleep(Duration::from_secs(u64::from(period) * 3)).await;
    let newest = load().await.unwrap();
    // The period in which it stopped may have a value, and the one that a sample at its very border falls into as well.
    assert!(newest <= stopped + i64::from(period), "stopped at {stopped}, alive in the period that began at {newest}");
}
