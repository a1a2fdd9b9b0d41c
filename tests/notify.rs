//! What goes out, by the real binary over an embedded world: signed, at least once, each channel by itself, and nothing lost in silence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "notify/house.rs"]
mod house;
#[path = "notify/receiver.rs"]
mod receiver;
mod support;
#[path = "notify/tls.rs"]
mod tls;

use house::{House, OTHER_SECRET, SECRET};
use receiver::{Answer, Receiver, is_signed, json};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use support::http::Message;
use support::{Emulator, wait_for};

fn id(message: &Message) -> String {
    message.header("webhook-id").unwrap().to_owned()
}

#[test]
fn an_approval_is_asked_with_scope_people_and_command_and_signed_by_each_secret() {
    let (hook, room) = (Receiver::start(), Receiver::start());
    let mut house = House::new();
    let home = house.daemon.home().display().to_string();
    let both = format!("secret_files: [{home}/secret, {home}/other]");
    house.channel("hook", &format!("webhook: {{url: 'http://{}/hook', {both}}}", hook.address));
    let url = house.secret("slack", &format!("http://{}/services/CANARY", room.address));
    house.channel("room", &format!("slack: {{url_file: {}}}", url.display()));
    house.open();
    let rollout = house.propose();
    let message = hook.wait("approval_wanted", 1);
    assert!(is_signed(&message, SECRET) && is_signed(&message, OTHER_SECRET));
    let body = json(&message);
    assert_eq!(body["type"], "wavegate.approval_wanted");
    assert_eq!((&body["data"]["rollout"], &body["data"]["source"]), (&rollout.clone().into(), &"test-house".into()));
    let approval = &body["data"]["approval"];
    assert!(approval["scope"].as_str().unwrap().contains("queue"), "{body}");
    assert!(approval["can_release"].to_string().contains("dana (platform"), "{body}");
    let command = approval["command"].as_str().unwrap();
    assert!(command.starts_with(&format!("wavegate approve {rollout} --digest ")), "{body}");
    // The same for people, with what the agent wrote as text and nothing else.
    let slack = wait_for("Slack", Duration::from_secs(20), || room.seen().into_iter().next());
    assert_eq!(slack.path(), "/services/CANARY");
    let text = String::from_utf8(slack.body.clone()).unwrap();
    assert!(text.contains("&lt;!channel&gt; remove the queue &amp; more") && !text.contains("<!channel>"), "{text}");
    assert!(text.contains(&rollout) && text.contains("wavegate approve"), "{text}");
    house.wait("all told", |view| view["pending"] == 0);
    // A later event of the same rollout comes after it.
    house.daemon.cli(&["pause", &rollout]).expect_code(0);
    assert_eq!(json(&hook.wait("held", 1))["data"]["rollout"], rollout.as_str());
    assert_eq!(hook.of("approval_wanted").len(), 1);
}

#[test]
fn a_receiver_that_fails_at_first_gets_the_same_message_again() {
    let hook = Receiver::start();
    hook.answers(&[Answer::Status(500), Answer::Status(429)], Answer::Status(200));
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    house.open();
    house.kill("first");
    let (one, two, three) = (hook.wait("kill", 1), hook.wait("kill", 2), hook.wait("kill", 3));
    assert_eq!((id(&one), &one.body), (id(&two), &two.body));
    assert_eq!((id(&one), &one.body), (id(&three), &three.body));
    assert!(is_signed(&three, SECRET) && !is_signed(&three, OTHER_SECRET));
    house.wait("all told", |view| view["pending"] == 0 && view["dead"].as_array().unwrap().is_empty());
    house.kill("second");
    assert_ne!(id(&hook.wait("kill", 4)), id(&one));
    assert_eq!(hook.of("kill").len(), 4);
}

#[test]
fn nothing_is_lost_by_a_receiver_that_is_away_or_a_daemon_that_is_killed() {
    let hook = Receiver::start();
    hook.answers(&[], Answer::Status(503));
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    house.open();
    house.kill("before the crash");
    let first = hook.wait("kill", 1);
    let away = hook.close();
    house.daemon.kill9();
    house.daemon.run();
    let view = house.wait("it waits", |view| view["pending"] == 1);
    assert!(view["oldest_pending"].is_string());
    house.kill("while it is away");
    house.wait("both wait, and it is said why", |view| {
        view["pending"] == 2 && view["channels"][0]["failing"].is_string()
    });
    assert!(house.status().stdout.contains("NOT TOLD YET by channel hook: 2 since "), "{}", house.status().stdout);
    house.daemon.kill9();
    let hook = Receiver::at(away);
    house.daemon.run();
    let (one, two) = (hook.wait("kill", 1), hook.wait("kill", 2));
    let reasons = [&one, &two].map(|m| json(m)["data"]["why"].as_str().unwrap().to_owned());
    assert!(reasons.iter().any(|why| why.contains("before the crash")), "{reasons:?}");
    assert!(reasons.iter().any(|why| why.contains("while it is away")), "{reasons:?}");
    assert!([id(&one), id(&two)].contains(&id(&first)));
    house.wait("all told", |view| view["pending"] == 0);
    assert_eq!(hook.of("kill").len(), 2);
}

#[test]
fn what_is_refused_is_listed_told_by_the_other_channel_and_can_be_sent_again() {
    let (gone, fine) = (Receiver::start(), Receiver::start());
    gone.answers(&[], Answer::Status(410));
    let mut house = House::new();
    house.webhook("gone", gone.address, "");
    house.webhook("fine", fine.address, "");
    house.open();
    house.kill("one");
    house.kill("two");
    let view = house
        .wait("two dead, all others told", |view| view["dead"].as_array().unwrap().len() == 2 && view["pending"] == 0);
    let dead = &view["dead"][0];
    assert_eq!((&dead["channel"], &dead["kind"]), (&"gone".into(), &"kill".into()));
    assert!(dead["why"].as_str().unwrap().contains("410"), "{view}");
    assert_eq!((&view["channels"][0]["dead"], &view["pending"]), (&2.into(), &0.into()));
    let told = json(&fine.wait("undelivered", 1));
    assert!(told["data"]["headline"].as_str().unwrap().contains("channel gone"), "{told}");
    // One is enough for a channel that is dead.
    assert_eq!((fine.of("undelivered").len(), fine.of("kill").len()), (1, 2));
    let shown = house.status().stdout;
    assert!(shown.contains("NOT TOLD by channel gone") && shown.contains("wavegate deliveries --retry"), "{shown}");
    let listed = house.daemon.cli(&["deliveries", "--json"]).expect_code(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    house.daemon.restart();
    assert_eq!(house.wait("after a start", |_| true)["dead"].as_array().unwrap().len(), 2);
    gone.answers(&[], Answer::Status(204));
    house.daemon.cli(&["deliveries", "--retry", "--channel", "fine"]).expect_code(0);
    assert_eq!(house.daemon.cli(&["deliveries", "--retry"]).expect_code(0).stdout.split(' ').next(), Some("2"));
    house.wait("delivered", |view| view["dead"].as_array().unwrap().is_empty() && view["pending"] == 0);
    let ids: Vec<String> = gone.of("kill").iter().map(id).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids[..2].iter().all(|first| ids[2..].contains(first)), "{ids:?}");
}

/// An ingress that is just exchanged answers 404, a clock that was set makes a 401: neither costs a page, and people hear of it at once.
#[test]
fn what_is_refused_for_a_moment_arrives_and_is_told_by_the_other_channel() {
    let (hook, fine) = (Receiver::start(), Receiver::start());
    hook.answers(&[Answer::Status(404), Answer::Status(401)], Answer::Status(200));
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    house.webhook("fine", fine.address, "");
    house.open();
    house.kill("one");
    let told = json(&fine.wait("undelivered", 1));
    assert!(told["data"]["why"].as_str().unwrap().contains("404"), "{told}");
    hook.wait("kill", 3);
    house.wait("all told", |view| view["pending"] == 0 && view["dead"].as_array().unwrap().is_empty());
}

#[test]
fn a_channel_that_hangs_delays_no_other_one() {
    let (slow, quick) = (Receiver::start(), Receiver::start());
    slow.answers(&[], Answer::Hang);
    let mut house = House::new();
    house.webhook("slow", slow.address, "");
    house.webhook("quick", quick.address, "");
    house.open();
    for n in 1..=12 {
        house.kill(&format!("quick {n}"));
        let start = Instant::now();
        quick.wait("kill", n);
        // An attempt at the other one is given up after ten seconds.
        assert!(start.elapsed() < Duration::from_secs(9), "{n}: {:?}", start.elapsed());
    }
    // No more than a few connections stand open there: four, and four more where the first ones were given up.
    assert!(slow.seen().len() <= 8, "{}", slow.seen().len());
    assert!(house.daemon.terminate(Duration::from_secs(20)).success());
}

#[test]
fn channels_hear_what_they_asked_for_and_nothing_of_the_past() {
    let (all, few) = (Receiver::start(), Receiver::start());
    let mut house = House::new();
    // Before there was a configuration.
    house.daemon.run();
    house.kill("long ago");
    house.daemon.kill9();
    house.webhook("all", all.address, "");
    house.webhook("few", few.address, ", only: [held]");
    house.open();
    house.kill("now");
    assert!(json(&all.wait("kill", 1))["data"]["why"].as_str().unwrap().contains("now"));
    let rollout = house.propose();
    all.wait("approval_wanted", 1);
    house.daemon.cli(&["pause", &rollout]).expect_code(0);
    few.wait("held", 1);
    house.wait("all told", |view| view["pending"] == 0);
    assert_eq!((all.seen().len(), few.seen().len()), (3, 1));
}

#[test]
fn no_secret_is_anywhere_but_in_its_file() {
    let (hook, room) = (Receiver::start(), Receiver::start());
    room.answers(&[Answer::Status(302), Answer::Status(500)], Answer::Status(410));
    let mut house = House::new();
    house.daemon.set_env("RUST_LOG", "trace");
    // Nobody is there: what goes in clear to this machine takes no such way.
    for (name, value) in [("http_proxy", "http://127.0.0.1:9"), ("no_proxy", ""), ("NO_PROXY", "")] {
        house.daemon.set_env(name, value);
    }
    house.webhook("hook", hook.address, "");
    let url = house.secret("slack", &format!("http://{}/services/CANARY-path", room.address));
    house.channel("room", &format!("slack: {{url_file: {}}}", url.display()));
    let broken = house.secret("broken", "http://hooks.example/CANARY-plain");
    house.channel("broken", &format!("slack: {{url_file: {}}}", broken.display()));
    house.open();
    house.kill("one");
    house.kill("two");
    house.wait("refused", |view| view["dead"].as_array().unwrap().len() >= 2);
    house.wait("not sent in plain text", |view| view["channels"][2]["failing"].is_string());
    let mut shown = house.daemon.log();
    shown.push_str(&house.deliveries().to_string());
    shown.push_str(&house.status().stdout);
    house.daemon.kill9();
    for entry in std::fs::read_dir(house.daemon.state_dir()).unwrap() {
        let path = entry.unwrap().path();
        shown.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()));
    }
    assert!(shown.contains("told") && shown.contains("room"));
    for secret in ["CANARY", SECRET.trim_start_matches("whsec_"), "webhook-signature: v1", "/elsewhere"] {
        let at = shown.find(secret);
        assert_eq!(at, None, "{secret}: {}", at.map_or("", |at| &shown[at.saturating_sub(200)..at + 100]));
    }
    // A redirect is not followed: it would take the message to somebody else.
    assert!(room.seen().iter().all(|message| message.path() == "/services/CANARY-path"));
}

#[test]
fn a_secret_that_others_may_read_is_not_used_until_it_is_mended() {
    let hook = Receiver::start();
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    let path = house.secret("secret", SECRET);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    house.open();
    house.kill("one");
    let view = house.wait("it fails", |view| view["channels"][0]["failing"].is_string());
    assert!(view["channels"][0]["failing"].as_str().unwrap().contains("chmod 600"), "{view}");
    assert!(hook.seen().is_empty());
    // Exchanged while the daemon runs.
    house.secret("secret", OTHER_SECRET);
    assert!(is_signed(&hook.wait("kill", 1), OTHER_SECRET));
}

#[test]
fn the_last_words_of_a_daemon_that_lost_its_store_reach_every_channel_in_time() {
    let (hook, hangs) = (Receiver::start(), Receiver::start());
    hangs.answers(&[], Answer::Hang);
    let mut house = House::new();
    house.webhook("hook", hook.address, ", only: [held]");
    house.webhook("hangs", hangs.address, "");
    house.open();
    let journal = rusqlite::Connection::open(house.daemon.state_dir().join("journal.db")).unwrap();
    journal.busy_timeout(Duration::from_secs(5)).unwrap();
    journal.execute_batch("ALTER TABLE events RENAME TO elsewhere").unwrap();
    let start = Instant::now();
    house.daemon.cli(&["kill", "--scope", "cell=nowhere"]);
    let message = hook.wait("store_lost", 1);
    assert!(is_signed(&message, SECRET));
    let body = json(&message);
    assert!(body["data"]["why"].as_str().unwrap().contains("journal.db"), "{body}");
    assert_eq!(body["data"]["severity"], "critical");
    let ended = house.daemon.wait(Duration::from_secs(60));
    assert_eq!(ended.code(), Some(1));
    // A receiver that hangs does so for two minutes.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(hangs.of("store_lost").len(), 1);
}

#[test]
fn a_daemon_that_was_overtaken_says_so_in_other_words() {
    let (hook, pager) = (Receiver::start(), Receiver::start());
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    house.webhook("pager", pager.address, ", min_severity: critical");
    house.open();
    let journal = rusqlite::Connection::open(house.daemon.state_dir().join("journal.db")).unwrap();
    journal.busy_timeout(Duration::from_secs(5)).unwrap();
    journal.execute_batch("UPDATE lease SET epoch = epoch + 1, holder = 'another'").unwrap();
    let body = json(&hook.wait("overtaken", 1));
    assert_eq!(body["data"]["severity"], "warning");
    assert!(body["data"]["why"].as_str().unwrap().contains("has taken over"), "{body}");
    assert_eq!(house.daemon.wait(Duration::from_secs(20)).code(), Some(1));
    assert!(pager.seen().is_empty());
}

#[test]
fn an_outbox_that_cannot_be_used_stops_neither_the_daemon_nor_the_messages() {
    let hook = Receiver::start();
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    std::fs::write(house.daemon.state_dir().join("outbox.db"), "no database at all ".repeat(500)).unwrap();
    house.open();
    house.kill("one");
    hook.wait("kill", 1);
    let view = house.wait("it is told", |view| view["pending"] == 0);
    assert!(view["trouble"].as_str().unwrap().contains("kept in memory"), "{view}");
    assert!(house.status().stdout.contains("TROUBLE"), "{}", house.status().stdout);
    // Taken away while it runs, it goes on as well.
    let mut house = House::new();
    house.webhook("hook", hook.address, "");
    house.open();
    house.kill("two");
    hook.wait("kill", 2);
    let outbox = rusqlite::Connection::open(house.daemon.state_dir().join("outbox.db")).unwrap();
    outbox.busy_timeout(Duration::from_secs(5)).unwrap();
    outbox.execute_batch("ALTER TABLE letters RENAME TO elsewhere").unwrap();
    house.kill("three");
    let body = json(&hook.wait("kill", 3));
    assert!(body["data"]["why"].as_str().unwrap().contains("three"), "{body}");
    assert!(house.wait("it says so", |view| view["trouble"].is_string())["trouble"].to_string().contains("memory"));
}

#[test]
fn a_certificate_that_is_not_trusted_gets_nothing_and_one_that_is_does() {
    let hook = tls::TlsReceiver::start();
    let mut house = House::new();
    let secret = house.daemon.home().join("secret");
    let way = format!("webhook: {{url: 'https://{}/hook', secret_file: {}}}", hook.address, secret.display());
    house.channel("hook", &way);
    house.open();
    house.kill("one");
    let view = house.wait("it fails", |view| view["channels"][0]["failing"].is_string());
    assert!(view["channels"][0]["failing"].as_str().unwrap().contains("no connection"), "{view}");
    assert!(hook.seen.lock().unwrap().is_empty());
    house.daemon.kill9();
    let trusted = house.daemon.write("ca.pem", &hook.pem);
    house.daemon.set_env("SSL_CERT_FILE", trusted.to_str().unwrap());
    house.daemon.run();
    house.wait("told", |view| view["pending"] == 0);
    assert_eq!(*hook.seen.lock().unwrap(), ["POST /hook HTTP/1.1"]);
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_place() {
    let mut house = House::new();
    house.channel("hook", "webhook: {url: 'http://hooks.example/x', secret_file: /s}");
    let config = house.write_config();
    let pipelines = house.daemon.home().join("pipelines");
    let args =
        ["serve", "--embedded", "--config", config.to_str().unwrap(), "--pipelines", pipelines.to_str().unwrap()];
    let refused = house.daemon.cli(&args).expect_code(2);
    assert!(
        refused.stderr.contains("config.yaml: notify.channels[0].webhook.url: use `https://`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_topic_of_sns_hands_the_message_to_its_subscribers() {
    let Some(emulator) = Emulator::start() else { return };
    let place = emulator.at("111111111111", "eu-west-1");
    let form = |service: &str, form: &str| {
        let answer = place.send_form(service, form).unwrap();
        assert_eq!(answer.status(), 200, "{form}: {}", answer.text());
        answer.text()
    };
    form("sns", "Action=CreateTopic&Version=2010-03-31&Name=wavegate");
    form("sqs", "Action=CreateQueue&Version=2012-11-05&QueueName=pages");
    let subscribe = "Action=Subscribe&Version=2010-03-31&Protocol=sqs&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A111111111111%3Awavegate&Endpoint=arn%3Aaws%3Asqs%3Aeu-west-1%3A111111111111%3Apages";
    form("sns", subscribe);
    let mut house = House::with_env(emulator.env("111111111111", "us-east-1"), true);
    house.channel("topic", "sns: {topic_arn: 'arn:aws:sns:eu-west-1:111111111111:wavegate'}");
    house.channel("none", "sns: {topic_arn: 'arn:aws:sns:eu-west-1:111111111111:missing'}");
    house.open();
    house.kill("by topic");
    let receive = "Action=ReceiveMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2F127.0.0.1%2F111111111111%2Fpages";
    let text = wait_for("the message in the queue", Duration::from_secs(20), || {
        Some(form("sqs", receive)).filter(|text| text.contains("<Body>"))
    });
    assert!(text.contains("wavegate.kill") && text.contains("by topic"), "{text}");
    // A topic that is not there may be made any time.
    let view = house.wait("a topic that is not there", |view| view["channels"][1]["failing"].is_string());
    assert_eq!((&view["channels"][1]["channel"], &view["channels"][1]["pending"]), (&"none".into(), &1.into()));
    assert!(view["channels"][1]["failing"].as_str().unwrap().contains("NotFound"), "{view}");
}
