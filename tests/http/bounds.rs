//! What is bounded: bodies, time, how many at once, how often; and that kills come through all the same.

use crate::door::{Door, body, submission};
use crate::problem;
use crate::support::http::{Message, read};
use crate::support::wait_for;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn connect(door: &Door) -> TcpStream {
    let stream = TcpStream::connect(door.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends the head of an order, and a part of its body.
fn hang(door: &Door, path: &str, bearer: &str, length: usize) -> TcpStream {
    let mut stream = connect(door);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Takes all of `count` places with orders that hang, and gives the first answer that says so. Each probe that still finds a place may
/// itself have kept one of them out: another takes its turn.
fn crowd(count: usize, hang: impl Fn() -> TcpStream, probe: impl Fn() -> Message) -> (Vec<TcpStream>, Message) {
    let mut hanging: Vec<_> = (0..count).map(|_| hang()).collect();
    let busy = wait_for("all places are taken", Duration::from_secs(20), || {
        let answer = probe();
        if answer.status() != 503 {
            hanging.push(hang());
        }
        Some(answer).filter(|answer| answer.status() == 503)
    });
    (hanging, busy)
}

fn answer(stream: TcpStream) -> Message {
    read(&mut BufReader::new(stream)).unwrap().unwrap()
}

#[test]
fn bodies_are_bounded() {
    let door = Door::open();
    let large = |size: usize| format!("{{\"reason\": \"{}\"}}", "x".repeat(size));
    assert_eq!(door.order("/v1/rollouts/none/rejection", &large(60_000)).status(), 404);
    let answer = door.order("/v1/rollouts/none/rejection", &large(64 * 1024));
    assert_eq!((answer.status(), problem(&answer).as_str()), (413, "too_large"));
    let text = "#".repeat(300_000);
    let checked = door.order("/v1/pipelines/check", &serde_json::json!({ "text": text }).to_string());
    assert_eq!(checked.status(), 200, "a pipeline may be larger");
    // More than was promised, without a length: what is too much is not read.
    let mut stream = connect(&door);
    let head = format!(
        "POST /v1/kills HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        door.bearer
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    for _ in 0..3 {
        let _ = stream.write_all(chunk.as_bytes());
    }
    assert_eq!(self::answer(stream).status(), 413);
}

#[test]
fn whoever_is_slow_is_let_go() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {head_seconds: 3, request_seconds: 4}}");
    let start = Instant::now();
    let mut silent = connect(&door);
    let mut slow = connect(&door);
    slow.write_all(b"GET /v1/me HTTP/1.1\r\nhost: loc").unwrap();
    let mut idle = connect(&door);
    let ask = format!("GET /v1/me HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n", door.bearer);
    idle.write_all(ask.as_bytes()).unwrap();
    for stream in [&mut silent, &mut slow, &mut idle] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 200") || rest.starts_with(b"HTTP/1.1 408"));
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let answer = answer(hang(&door, "/v1/rollouts/x/rejection", &door.bearer, 100));
    assert_eq!((answer.status(), problem(&answer).as_str()), (408, "timeout"));
}

/// Neither silence nor knocking again and again keeps a place: only a credential does.
#[test]
fn whoever_does_not_say_who_they_are_is_let_go() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {head_seconds: 5}}");
    let start = Instant::now();
    let mut stream = connect(&door);
    let mut answered = 0;
    let mut buffer = [0; 4096];
    while start.elapsed() < Duration::from_secs(60) {
        let asked = stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: localhost\r\n\r\n");
        match (asked, stream.read(&mut buffer)) {
            (Ok(()), Ok(more)) if more > 0 => answered += 1,
            _ => break,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(answered > 3 && start.elapsed() < Duration::from_secs(30), "{answered} in {:?}", start.elapsed());
}

/// Comes from another address of this machine.
fn connect_from(door: &Door, from: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let socket = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(door.address).await.unwrap()
    });
    let stream = socket.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// One host without a credential takes its share of the connections, and no more; those with one are no strangers.
#[test]
fn silence_from_one_address_keeps_nobody_else_out() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {connections: 80, head_seconds: 300}}");
    let order = format!(
        "POST /v1/kills HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: 0\r\n\r\n",
        door.bearer
    );
    let ask = |mut stream: TcpStream| {
        stream.write_all(order.as_bytes()).unwrap();
        (read(&mut BufReader::new(stream.try_clone().unwrap())).unwrap().unwrap().status(), stream)
    };
    let known: Vec<_> = (0..45).map(|_| ask(connect_from(&door, "127.0.0.3"))).collect();
    assert!(known.iter().all(|(status, _)| *status == 201), "whoever is known has no such share");
    drop(known);
    let silent: Vec<_> = (0..120).map(|_| connect_from(&door, "127.0.0.2")).collect();
    let start = Instant::now();
    assert_eq!(ask(connect(&door)).0, 201);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let closed = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        !matches!((&*stream).read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    wait_for("the others are closed", Duration::from_secs(20), || {
        (silent.iter().filter(|stream| closed(stream)).count() >= 120 - 32).then_some(())
    });
    assert_eq!(silent.iter().filter(|stream| closed(stream)).count(), 120 - 32);
    drop(silent);
    wait_for("there is room again", Duration::from_secs(20), || {
        let mut stream = connect_from(&door, "127.0.0.2");
        stream.write_all(order.as_bytes()).ok()?;
        read(&mut BufReader::new(stream)).ok()??;
        Some(())
    });
}

#[test]
fn a_kill_comes_through_while_every_place_is_taken() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {per_second: 10000, burst: 10000}}");
    let late = || hang(&door, "/v1/rollouts/x/rejection", &door.bearer, 100);
    let (hanging, busy) = crowd(256, late, || door.get("/v1/me"));
    assert_eq!((problem(&busy).as_str(), busy.header("retry-after")), ("busy", Some("1")));
    // And while somebody is slow with kills of their own.
    let slow: Vec<_> = (0..100).map(|_| hang(&door, "/v1/kills", &door.bearer, 100)).collect();
    let start = Instant::now();
    let kill = door.order("/v1/kills", "{}");
    assert_eq!((kill.status(), &body(&kill)["state"]), (201, &"acknowledged".into()));
    // Two seconds are promised, and milliseconds usual; one that found no place would hear so after two.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop((hanging, slow));
    wait_for("places are free again", Duration::from_secs(20), || (door.get("/v1/me").status() == 200).then_some(()));
}

#[test]
fn whoever_asks_too_often_waits_and_may_still_kill() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {per_second: 1, burst: 5}}");
    let answers: Vec<_> = (0..12).map(|_| door.get("/v1/version")).collect();
    assert!(answers[..5].iter().all(|answer| answer.status() == 200));
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("a refusal");
    assert_eq!((problem(refused).as_str(), refused.header("retry-after")), ("too_many_requests", Some("1")));
    assert_eq!(door.order("/v1/kills", "{}").status(), 201);
    let bo = format!("Bearer {}", door.daemon.token("bo", "human", "ops", &["auditor"]));
    let records = door.raw("GET", "/v1/audit?limit=200", &[("authorization", &bo)], b"");
    assert!(records.text().contains("too_many_requests"), "{}", records.text());
}

/// An agent that stops things in a loop waits like for anything else, and stops nothing that there is not.
#[test]
fn an_agents_kills_are_counted() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {per_second: 1, burst: 5}}");
    let bearer = format!("Bearer {}", door.daemon.token("bot", "agent", "orders", &["proposer"]));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let kill =
        |scope: &str| door.raw("POST", "/v1/kills", &headers, format!(r#"{{"scope": "{scope}"}}"#).as_bytes()).status();
    assert_eq!(kill("rollout=r-none"), 404);
    assert_eq!((kill("agent=bot"), kill("agent=bot")), (201, 201));
    let statuses: Vec<u16> = (0..6).map(|_| kill("agent=bot")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(door.json("/v1/kills")["items"].as_array().unwrap().len(), 1, "the same order is the one in force");
}

/// Large bodies for agents' door are as few at once as everywhere.
#[test]
fn large_bodies_are_few_at_once_at_the_door_for_agents_too() {
    let door = Door::with("http: {listen: 127.0.0.1:0, limits: {per_second: 10000, burst: 10000}}");
    let large = vec![b' '; 1 << 17];
    let headers = [("authorization", door.bearer.as_str()), ("content-type", "application/json")];
    let late = || hang(&door, "/mcp", &door.bearer, 1 << 20);
    let (hanging, _) = crowd(16, late, || door.raw("POST", "/mcp", &headers, &large));
    assert_ne!(door.raw("POST", "/mcp", &headers, b"{}").status(), 503);
    drop(hanging);
}

#[test]
fn an_address_in_use_ends_the_start_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut door = Door::prepare(&format!("http: {{listen: '{address}'}}"));
    let _lines = door.daemon.spawn();
    let ended = door.daemon.wait(Duration::from_secs(30));
    assert!(!ended.success());
    assert!(door.daemon.log().contains(&address.to_string()), "{}", door.daemon.log());
}

/// Connections that the system has no files for would take the daemon's own.
#[test]
fn there_are_no_more_connections_than_open_files() {
    let mut door = Door::prepare("http: {listen: 127.0.0.1:0}");
    door.daemon.serve_under(&["sh", "-c", r#"ulimit -n 300; exec "$0" "$@""#].map(ToOwned::to_owned));
    door.run();
    let log = door.daemon.log();
    assert!(log.contains("fewer connections than configured") && log.contains("connections=150"), "{log}");
    let silent: Vec<_> = (0..400).map(|n| connect_from(&door, &format!("127.0.1.{}", n % 16))).collect();
    drop(silent);
    assert_eq!(door.order("/v1/kills", "{}").status(), 201);
    assert!(!door.daemon.log().contains("cannot accept"), "{}", door.daemon.log());
}

#[test]
fn plain_http_for_other_machines_ends_the_start() {
    let mut door = Door::prepare("http: {listen: '0.0.0.0:0'}");
    let _lines = door.daemon.spawn();
    assert!(!door.daemon.wait(Duration::from_secs(30)).success());
    assert!(door.daemon.log().contains("http.listen"), "{}", door.daemon.log());
}

#[test]
fn many_change_sets_at_once_are_answered_or_told_to_wait() {
    let door = Door::open();
    let change = submission("Many");
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..40).map(|_| scope.spawn(|| door.order("/v1/previews", &change).status())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 201 | 409 | 503)), "{statuses:?}");
    assert!(statuses.contains(&201));
}
