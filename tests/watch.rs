//! Watching the watcher, with the built daemon over its embedded world: an outside monitor hears from it only while it lives, a
//! collector gets one trace for each rollout, and a burst of changes is an alarm.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]

mod support;

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::http::{Message, read};
use support::{Daemon, wait_for};
use wavegate::journal::Journal;
use wavegate::model::rate::RateOf;

const LIMIT: Duration = Duration::from_secs(60);

const PIPELINE: &str = "version: 1
name: small
fleet:
  cells:
    - {name: a, account: \"111111111111\", region: eu-west-1, environment: production, stacks: {orders: orders-a}}
waves:
  - {name: first, select: {cells: [a]}, bake: 10m, bake_datapoints: 2}
health:
  interval: 1m
  alarms: [{name: \"errors-{cell}\"}]
";
const CHANGE: &str =
    "{version: 1, agent: kiro, title: a title, reasoning: none, pipeline: small, stacks: {orders: {tags: {team: x}}}}";

/// Somebody outside who listens: keeps every request, and answers with a status that may be set.
struct Outside {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Message>>>,
    status: Arc<AtomicU16>,
}

impl Outside {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let outside = Self { address, heard: Arc::default(), status: Arc::new(AtomicU16::new(status)) };
        let (heard, status) = (Arc::clone(&outside.heard), Arc::clone(&outside.status));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut answers = stream.try_clone().unwrap();
                let Ok(Some(message)) = read(&mut BufReader::new(stream)) else { continue };
                heard.lock().unwrap().push(message);
                let start = format!("HTTP/1.1 {} Whatever", status.load(Ordering::SeqCst));
                let _ = Message { start, ..Message::default() }.write(&mut answers, "close");
            }
        });
        outside
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn wait(&self, what: &str, found: impl Fn(&Message) -> bool) -> Message {
        wait_for(what, LIMIT, || self.heard.lock().unwrap().iter().find(|message| found(message)).cloned())
    }
}

fn daemon(config: &str) -> (Daemon, PathBuf) {
    let mut daemon = Daemon::prepare(vec![], &[("small.yaml", PIPELINE)]);
    let config = daemon.write("daemon.yaml", &format!("version: 1\nwatch:\n{config}"));
    daemon.serve_arg("--embedded");
    daemon.serve_arg("--config");
    daemon.serve_arg(&config.to_string_lossy());
    let change = daemon.write("change.yaml", CHANGE);
    daemon.run();
    (daemon, change)
}

/// Proposes, takes it back, and waits until all of it is over.
fn there_and_back(daemon: &Daemon, change: &std::path::Path) -> String {
    let rollout = daemon.propose(change);
    daemon.cli(&["withdraw", &rollout]).expect_code(0);
    daemon.wait_outcome(&rollout, LIMIT);
    rollout
}

#[test]
fn a_monitor_hears_from_a_daemon_only_while_it_lives() {
    let outside = Outside::start(200);
    let url = format!("http://{}/ping/canary-4711", outside.address);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let (mut daemon, _) = daemon(&format!("  heartbeat: {{url_file: \"{}\", every: 10s}}\n", file.path().display()));
    let beat = outside.wait("the first beat", |_| true);
    assert_eq!(beat.start, "GET /ping/canary-4711 HTTP/1.1");
    wait_for("the second beat", LIMIT, || (outside.count() >= 2).then_some(()));

    // It stands still: nothing is sent, whatever else of the machine goes on.
    daemon.signal("STOP");
    let before = outside.count();
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(outside.count(), before);
    daemon.signal("CONT");
    wait_for("it lives again", LIMIT, || (outside.count() > before).then_some(()));

    // The monitor's trouble is the daemon's warning, and nothing more.
    outside.status.store(503, Ordering::SeqCst);
    wait_for("a beat that is not taken", LIMIT, || daemon.log().contains("status 503").then_some(()));
    assert!(daemon.terminate(LIMIT).success());
    let after = outside.count();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(outside.count(), after);
    assert!(!daemon.log().contains("canary"), "the address is a secret: {}", daemon.log());
}

fn trace_id(rollout: &str) -> Vec<u8> {
    let digest = wavegate::model::ids::Digest::of_bytes(format!("wavegate trace{rollout}").as_bytes());
    let hex = digest.as_str()[..32].to_owned();
    (0..16).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn holds(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|window| window == wanted)
}

/// At least once: also when the collector was away, and when the daemon was killed before it came back.
#[test]
fn a_collector_gets_one_trace_for_each_rollout() {
    let outside = Outside::start(503);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Authorization: Bearer canary-4712\n").unwrap();
    let (address, headers) = (outside.address, file.path().display());
    let traces = format!("  traces: {{endpoint: \"http://{address}/v1/traces\", headers_file: \"{headers}\"}}\n");
    let (mut daemon, change) = daemon(&traces);
    let first = there_and_back(&daemon, &change);
    outside.wait("a try", |_| true);
    daemon.kill9();
    outside.status.store(200, Ordering::SeqCst);
    let tried = outside.count();
    daemon.run();
    wait_for("the trace after the restart", LIMIT, || (outside.count() > tried).then_some(()));
    let second = there_and_back(&daemon, &change);
    for rollout in [&first, &second] {
        let trace = outside.wait("its trace", |message| holds(&message.body, &trace_id(rollout)));
        assert_eq!(trace.start, "POST /v1/traces HTTP/1.1");
        assert_eq!(trace.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(trace.header("authorization"), Some("Bearer canary-4712"));
        for word in ["wavegate.rollout", rollout.as_str(), "preview", "kiro", "small", "wavegate.outcome"] {
            assert!(holds(&trace.body, word.as_bytes()), "no `{word}` in {}", trace.text());
        }
        assert!(!holds(&trace.body, b"canary"));
    }
    // What was taken is not sent again by the next start.
    wait_for("the cursor", LIMIT, || {
        let cursor = std::fs::read_to_string(daemon.state_dir().join("traces.cursor")).ok()?;
        let journal = Journal::open_read_only(&daemon.state_dir().join("journal.db")).unwrap();
        (cursor.trim().parse::<u64>().unwrap() == journal.newest_seq().unwrap().0).then_some(())
    });
    let sent = outside.count();
    daemon.restart();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(outside.count(), sent);
    assert!(!daemon.log().contains("canary"), "{}", daemon.log());
}

/// With a rule of its own: six in a day, where half a change is usual (the chance of five is 1.7 in ten thousand).
#[test]
fn a_burst_is_on_record_as_an_alarm() {
    let (mut daemon, change) = daemon("  change_rate: {window: 24h, factor: 1, minimum: 2, floor: 0}\n");
    for _ in 0..5 {
        there_and_back(&daemon, &change);
    }
    let state =
        |daemon: &Daemon| Journal::open_read_only(&daemon.state_dir().join("journal.db")).unwrap().replay().unwrap();
    assert!(state(&daemon).rate_alarms.is_empty());
    // A restart forgets none of them.
    daemon.restart();
    there_and_back(&daemon, &change);
    let alarms = state(&daemon).rate_alarms;
    for of in [RateOf::Agent("kiro".into()), RateOf::Fleet] {
        assert_eq!((alarms[&of].seen, alarms[&of].threshold), (6, 6), "{alarms:?}");
    }
}

/// What is wrong in the configuration ends the start, with words, and without the secret in it.
#[test]
fn a_configuration_that_cannot_be_used_ends_the_start() {
    for (config, expected) in [
        ("  heartbeat: {url: \"canary://x\"}\n", "watch.heartbeat.url"),
        (
            "  traces: {endpoint: \"http://127.0.0.1:1/v1/traces\", headers_file: /nonexistent/headers}\n",
            "/nonexistent/headers",
        ),
    ] {
        let daemon = Daemon::prepare(vec![], &[("small.yaml", PIPELINE)]);
        let config = daemon.write("daemon.yaml", &format!("version: 1\nwatch:\n{config}"));
        let config = config.to_string_lossy().into_owned();
        let pipelines = daemon.home().join("pipelines").to_string_lossy().into_owned();
        let said = daemon.cli(&["serve", "--embedded", "--pipelines", &pipelines, "--config", &config]);
        assert!(said.code > 0 && said.stderr.contains(expected), "{said:?}");
        assert!(!said.stderr.contains("canary"), "{said:?}");
    }
}
