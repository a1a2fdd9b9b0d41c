//! The stream of events, with its connection cut again and again: everything once, in order, as in the record.

use crate::door::{Door, body, submission};
use crate::support::wait_for;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One event.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    id: u64,
    event: String,
    data: Value,
}

/// An open stream; dropped, its connection is cut.
struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
    /// Nothing more comes.
    ended: bool,
    /// It ended without its last chunk.
    cut: bool,
}

impl Stream {
    fn open(door: &Door, path: &str, last: Option<u64>) -> Self {
        Self::open_as(door, &door.bearer, path, last)
    }

    fn open_as(door: &Door, bearer: &str, path: &str, last: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(door.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = Self { reader: BufReader::new(stream), text: String::new(), ended: false, cut: false };
        let head = stream.lines_until_empty();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        stream
    }

    fn lines_until_empty(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head
    }

    /// One chunk of the transfer; false: that was the end.
    fn read_on(&mut self) -> bool {
        let mut size = String::new();
        if self.reader.read_line(&mut size).unwrap_or(0) == 0 {
            self.cut = true;
            return false;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).unwrap();
        self.text.push_str(std::str::from_utf8(&bytes[..size]).unwrap());
        size > 0
    }

    /// The next event; none: the stream has ended.
    fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n").map(|(b, r)| (b.to_owned(), r.to_owned())) {
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                if let Some(id) = field("id: ") {
                    let data = serde_json::from_str(field("data: ").unwrap()).unwrap();
                    return Some(Event { id: id.parse().unwrap(), event: field("event: ").unwrap().to_owned(), data });
                }
            }
            if self.ended {
                return None;
            }
            self.ended = !self.read_on();
        }
    }
}

fn is_as_recorded(seen: &[Event], records: &[Value]) {
    assert_eq!(seen.len(), records.len());
    for (event, record) in seen.iter().zip(records) {
        assert_eq!(
            (event.id, event.event.as_str(), &event.data),
            (record["seq"].as_u64().unwrap(), record["event"].as_str().unwrap(), record)
        );
    }
}

#[test]
fn cut_again_and_again_it_shows_everything_once() {
    let mut door = Door::open();
    let mut seen: Vec<Event> = Vec::new();
    let take = |door: &Door, seen: &mut Vec<Event>, count: usize| {
        let mut stream = Stream::open(door, "/v1/events?after=0", seen.last().map(|event| event.id));
        for _ in 0..count {
            seen.push(stream.next().unwrap());
        }
    };
    for round in 0..6 {
        // More than is read before the cut, and some while it is read.
        std::thread::scope(|scope| {
            let door = &door;
            scope.spawn(move || {
                for n in 0..5 {
                    let order = format!(r#"{{"scope": "cell=c{round}-{n}"}}"#);
                    assert_eq!(door.order("/v1/kills", &order).status(), 201);
                }
            });
            take(door, &mut seen, 3);
            take(door, &mut seen, 4);
        });
        if round == 3 {
            door.restart();
        }
    }
    // `?after=` alone counts where there is no header; the header wins where there are both.
    let newest = door.audit().last().unwrap()["seq"].as_u64().unwrap();
    let mut stream = Stream::open(&door, "/v1/events?after=1", Some(seen.last().unwrap().id));
    while seen.last().unwrap().id < newest {
        seen.push(stream.next().unwrap());
    }
    is_as_recorded(&seen, &door.audit()[..seen.len()]);
    assert!(seen.len() > 60, "{}", seen.len());
    assert_eq!(Stream::open(&door, "/v1/events?after=5", None).next().unwrap().id, 6);
}

#[test]
fn a_rollout_is_followed_from_its_beginning_to_its_end() {
    let door = Door::open();
    let rollout = body(&door.order("/v1/change-sets", &submission("Followed")))["rollout"].as_str().unwrap().to_owned();
    let path = format!("/v1/rollouts/{rollout}/events");
    let mut seen: Vec<Event> = Vec::new();
    let mut withdrawn = false;
    while seen.last().is_none_or(|event| event.event != "rollout_ended") {
        let mut stream = Stream::open(&door, &path, seen.last().map(|event| event.id));
        for _ in 0..2 {
            seen.extend(stream.next());
            if seen.last().unwrap().event == "rollout_ended" {
                break;
            }
        }
        // Somebody else's event between its own.
        assert_eq!(door.order("/v1/kills", r#"{"scope": "cell=none"}"#).status(), 201);
        if seen.len() >= 6 && !withdrawn {
            withdrawn = door.call("POST", &format!("/v1/rollouts/{rollout}/withdraw")).status() == 204;
        }
        assert!(seen.len() < 500, "{:?}", seen.iter().map(|event| &event.event).collect::<Vec<_>>());
    }
    let own: Vec<_> = door.audit().into_iter().filter(|record| record["rollout"] == rollout.as_str()).collect();
    is_as_recorded(&seen, &own[..seen.len()]);
    assert_eq!(seen[0].id, own[0]["seq"].as_u64().unwrap());
}

#[test]
fn without_a_position_it_begins_now() {
    let door = Door::open();
    assert_eq!(door.order("/v1/kills", r#"{"scope": "cell=before"}"#).status(), 201);
    // The stream is a moment behind the record.
    std::thread::sleep(Duration::from_millis(500));
    let mut stream = Stream::open(&door, "/v1/events", None);
    assert_eq!(door.order("/v1/kills", r#"{"scope": "cell=after"}"#).status(), 201);
    let first = stream.next().unwrap();
    assert!(first.data["detail"].as_str().unwrap().contains("cell=after"), "{first:?}");
}

#[test]
fn streams_are_counted_and_end_with_the_daemon() {
    let mut door = Door::with("http: {listen: 127.0.0.1:0, limits: {streams: 3}}");
    let mut streams: Vec<_> = (0..3).map(|_| Stream::open(&door, "/v1/events?after=0", None)).collect();
    let refused = door.get("/v1/events");
    assert_eq!((refused.status(), crate::problem(&refused).as_str()), (503, "busy"));
    assert_eq!(door.get("/v1/me").status(), 200, "streams take no place of others");
    drop(streams.pop());
    wait_for("a stream that was cut leaves its place", Duration::from_secs(10), || {
        (door.order("/v1/kills", r#"{"scope": "cell=x"}"#).status() == 201).then_some(())?;
        let head = [("authorization", door.bearer.as_str()), ("connection", "close")];
        let answer = crate::support::http::send(door.address, "HEAD", "/v1/events", &head, b"");
        answer.is_ok_and(|answer| answer.status() == 200).then_some(())
    });
    let start = std::time::Instant::now();
    assert!(door.daemon.terminate(Duration::from_secs(20)).success());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}: nobody is waited for in vain", start.elapsed());
    for mut stream in streams {
        while stream.next().is_some() {}
        assert!(!stream.cut, "it ends as a whole answer, and is not cut");
    }
}

#[test]
fn whoever_may_not_come_in_any_more_does_not_stay_in() {
    let door = Door::open();
    let bo = format!("Bearer {}", door.daemon.token("bo", "human", "ops", &["auditor"]));
    let mut stream = Stream::open_as(&door, &bo, "/v1/events?after=0", None);
    let mut other = Stream::open(&door, "/v1/events", None);
    assert!(stream.next().is_some());
    door.daemon.cli(&["token", "revoke", "bo"]).expect_code(0);
    while stream.next().is_some() {}
    assert!(!stream.cut, "it ends as a whole answer, and is not cut");
    assert_eq!(door.raw("GET", "/v1/events", &[("authorization", &bo)], b"").status(), 401);
    assert_eq!(door.order("/v1/kills", r#"{"scope": "cell=x"}"#).status(), 201);
    while other.next().unwrap().event != "kill_requested" {}
}

#[test]
fn what_is_no_position_is_refused() {
    let door = Door::open();
    for last in ["x", "-1", "1.5", ""] {
        let headers = [("authorization", door.bearer.as_str()), ("last-event-id", last)];
        assert_eq!(door.raw("GET", "/v1/events", &headers, b"").status(), 400, "{last:?}");
    }
}
