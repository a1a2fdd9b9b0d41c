//! What a server may do to us, by one that answers as it is told; tests/prometheus.rs has the real one.

use super::*;
use crate::model::observation::MetricQuery;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const MATRIX: &str =
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[60,"1"]]}]}}"#;
const REFUSED: &str = r#"{"status":"error","errorType":"bad_data","error":"no duration: none"}"#;

/// A server that answers request after request with these, the last one again and again; it keeps what it was asked.
struct Told {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Told {
    async fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers) = (Arc::clone(&requests), answers.iter().map(|(s, b)| answer(s, b)).collect::<Vec<_>>());
        tokio::spawn(async move {
            for n in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut request = Vec::new();
                while !whole(&request) && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
                kept.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
                let _ = stream.write_all(answers[usize::min(n, answers.len() - 1)].as_bytes()).await;
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn ask(&self, prometheus: &Prometheus, expressions: &[&str]) -> Result<Vec<Series>, ProviderError> {
        ask(prometheus, &self.address, expressions).await
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn ask(prometheus: &Prometheus, server: &str, expressions: &[&str]) -> Result<Vec<Series>, ProviderError> {
    let query = |expression: &&str| {
        let source = QuerySource::Prometheus { server: server.into(), query: (*expression).to_owned() };
        (MetricQuery { cell: "one".into(), metric: "m".into(), source, period_s: 60 }, false)
    };
    let queries: Vec<_> = expressions.iter().map(query).collect();
    let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
    let to = Timestamp::from_second(180).unwrap();
    prometheus.read(&scope, &queries, Timestamp::UNIX_EPOCH, to).await
}

fn said(series: &Series) -> &str {
    match &series.completeness {
        Completeness::Unknown(said) => said,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_request_is_a_form_and_the_same_question_is_asked_once() {
    let server = Told::start(&[("200 OK", MATRIX)]).await;
    let series = server.ask(&Prometheus::default(), &["rate(a[1m])", "rate(a[1m])"]).await.unwrap();
    assert_eq!(series.len(), 2);
    assert_eq!(series[0], series[1]);
    assert_eq!(series[0].points, [(Timestamp::UNIX_EPOCH, 1.0)]);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("POST /api/v1/query_range HTTP/1.1\r\n"), "{}", requests[0]);
    let form = "query=rate%28a%5B1m%5D%29&start=60&end=180&step=60s&lookback_delta=60s&timeout=15000ms";
    assert!(requests[0].ends_with(form), "{}", requests[0]);
}

#[tokio::test]
async fn instants_are_read_only_where_their_age_can_be_bounded() {
    let knows = Told::start(&[("400 Bad Request", REFUSED), ("200 OK", MATRIX)]).await;
    let series = knows.ask(&Prometheus::default(), &["up"]).await.unwrap();
    assert_eq!(series[0].completeness, Completeness::Complete);
    assert!(knows.requests()[0].contains("lookback_delta=none"));

    let ignores = Told::start(&[("200 OK", MATRIX)]).await;
    let series = ignores.ask(&Prometheus::default(), &["up", "rate(a[1m])"]).await.unwrap();
    assert!(said(&series[0]).contains("last_over_time(up[60s])") && series[0].points.is_empty());
    assert_eq!(series[1].completeness, Completeness::Complete);
    assert_eq!(ignores.requests().len(), 2, "the expression itself was never asked");
}

#[tokio::test]
async fn refusals_have_their_kinds_and_the_servers_words() {
    use ProviderErrorKind::{Denied, Throttled, Unavailable};
    let error = |error_type: &str| format!(r#"{{"status":"error","errorType":"{error_type}","error":"its words"}}"#);
    for (status, body, kind) in [
        ("401 Unauthorized", "who are you".to_owned(), Denied),
        ("403 Forbidden", error("forbidden"), Denied),
        ("429 Too Many Requests", error("too_many_requests"), Throttled),
        ("503 Service Unavailable", error("timeout"), Unavailable),
        ("500 Internal Server Error", String::new(), Unavailable),
    ] {
        let server = Told::start(&[(status, &body)]).await;
        let refused = server.ask(&Prometheus::default(), &["rate(a[1m])"]).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{status}");
        assert!(refused.message.starts_with(&format!("Prometheus at {}: ", server.address)), "{refused}");
        assert!(!body.contains("its words") || refused.message.ends_with("its words"), "{refused}");
        assert_eq!(server.requests().len(), if kind == Denied { 1 } else { 4 }, "{status}");
    }
}

#[tokio::test]
async fn a_refused_query_leaves_the_others_alone() {
    let big = "x".repeat(5 << 20);
    for (status, body, word) in [
        ("400 Bad Request", r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error"}"#, "parse error"),
        (
            "422 Unprocessable Entity",
            r#"{"status":"error","errorType":"execution","error":"too many samples"}"#,
            "samples",
        ),
        ("404 Not Found", "404 page not found", "address"),
        ("302 Found\r\nlocation: http://127.0.0.1:9/", "", "name the server itself"),
        ("200 OK", big.as_str(), "4 MiB"),
        ("200 OK", "<html>", "cannot be read"),
    ] {
        let server = Told::start(&[(status, body), ("200 OK", MATRIX)]).await;
        let series = server.ask(&Prometheus::default(), &["rate(a[1m])"]).await.unwrap();
        assert!(said(&series[0]).contains(word), "{:?}", series[0]);
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_again() {
    let server =
        Told::start(&[("503 Service Unavailable", ""), ("429 Too Many Requests", ""), ("200 OK", MATRIX)]).await;
    let series = server.ask(&Prometheus::default(), &["rate(a[1m])"]).await.unwrap();
    assert_eq!(series[0].completeness, Completeness::Complete);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn one_dead_server_does_not_hide_another() {
    let server = Told::start(&[("200 OK", MATRIX)]).await;
    let query = |cell: &str, server: &str| {
        let source = QuerySource::Prometheus { server: server.into(), query: "rate(a[1m])".into() };
        (MetricQuery { cell: cell.into(), metric: "m".into(), source, period_s: 60 }, true)
    };
    let queries = [query("dead", "ftp://127.0.0.1"), query("alive", &server.address)];
    let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
    let to = Timestamp::from_second(180).unwrap();
    let series = Prometheus::default().read(&scope, &queries, Timestamp::UNIX_EPOCH, to).await.unwrap();
    assert_eq!((series[0].cell.as_str(), series[1].cell.as_str()), ("dead", "alive"));
    assert!(said(&series[0]).contains("http://"));
    assert_eq!(series[1].completeness, Completeness::Complete);
}

#[tokio::test]
async fn the_token_is_sent_read_anew_and_never_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let prometheus = |path: &std::path::Path| {
        Prometheus::new(PrometheusOptions { token_file: Some(path.to_owned()), ..PrometheusOptions::default() })
    };
    let ours = prometheus(file.path());
    let server = Told::start(&[("200 OK", MATRIX), ("403 Forbidden", "no")]).await;
    let empty = server.ask(&ours, &["rate(a[1m])"]).await.unwrap_err();
    assert!(empty.kind == ProviderErrorKind::Denied && empty.message.contains("holds no bearer token"), "{empty}");
    writeln!(file, "s3cret-token").unwrap();
    server.ask(&ours, &["rate(a[1m])"]).await.unwrap();
    assert!(server.requests()[0].to_lowercase().contains("authorization: bearer s3cret-token\r\n"));
    let error = server.ask(&ours, &["rate(a[1m])"]).await.unwrap_err();
    assert!(!format!("{error:?} {ours:?}").contains("s3cret"));

    // In plain text to another machine it would be there for all to read.
    let error = ask(&ours, "http://prometheus.example:9090", &["rate(a[1m])"]).await.unwrap_err();
    assert!(error.kind == ProviderErrorKind::Denied && error.message.contains("https"), "{error}");
    writeln!(file, "two lines").unwrap();
    let error = server.ask(&ours, &["rate(a[1m])"]).await.unwrap_err();
    assert!(error.message.contains("more than one line") && !error.message.contains("s3cret"), "{error}");
    let error = server.ask(&prometheus("/nowhere/token".as_ref()), &["rate(a[1m])"]).await.unwrap_err();
    assert!(error.message.contains("/nowhere/token"), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_refused_unasked() {
    for (address, word) in [
        ("127.0.0.1:9090", "write it as"),
        ("unix:///run/prometheus", "http://"),
        ("http://user:s3cret@127.0.0.1:9090", "WAVEGATE_PROMETHEUS_TOKEN_FILE"),
        ("http://127.0.0.1:9090/?x=1", "no `?`"),
        ("", "write it as"),
    ] {
        let error = ask(&Prometheus::default(), address, &["rate(a[1m])"]).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Rejected, "{address}");
        assert!(error.message.contains(word) && !error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn silence_and_refused_connections_end_soon() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(200);
    let prometheus = Prometheus::new(PrometheusOptions { timeout, ..PrometheusOptions::default() });
    let started = tokio::time::Instant::now();
    let error = ask(&prometheus, &address, &["rate(a[1m])"]).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Unavailable);
    drop(silent);
    let prometheus = Prometheus::default();
    let error = ask(&prometheus, &address, &["rate(a[1m])"]).await.unwrap_err();
    assert!(error.kind == ProviderErrorKind::Unavailable && error.message.contains("refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn more_points_than_can_be_read_are_refused_unasked() {
    let server = Told::start(&[("200 OK", MATRIX)]).await;
    let source = QuerySource::Prometheus { server: server.address.clone(), query: "rate(a[1m])".into() };
    let queries = [(MetricQuery { cell: "one".into(), metric: "m".into(), source, period_s: 1 }, false)];
    let scope = Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None };
    let to = Timestamp::from_second(200_000).unwrap();
    let series = Prometheus::default().read(&scope, &queries, Timestamp::UNIX_EPOCH, to).await.unwrap();
    assert!(said(&series[0]).contains("200000 points"));
    assert!(server.requests().is_empty());
}
