//! Tokens from end to end: made and taken back by the command line, in force in the daemon with the next request, and never seen again
//! anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use support::Daemon;

const PIPELINE: &str = "version: 1
name: orders
fleet:
  cells:
    - {name: a, account: '111111111111', region: eu-west-1, environment: staging, stacks: {orders: orders-a}}
waves:
  - {name: all, environment: staging, bake: 1m}
";

fn daemon() -> Daemon {
    let mut daemon = Daemon::prepare(vec![], &[("p.yaml", PIPELINE)]);
    daemon.serve_arg("--embedded");
    daemon
}

/// Asks at the socket, with this token.
fn ask(daemon: &Daemon, token: Option<&str>, request: &Value) -> Value {
    let mut stream = UnixStream::connect(daemon.state_dir().join("wavegate.sock")).unwrap();
    let envelope = match token {
        Some(token) => json!({"token": token, "request": request}),
        None => json!({"request": request}),
    };
    writeln!(stream, "{envelope}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn me(daemon: &Daemon, token: &str) -> Value {
    ask(daemon, Some(token), &json!({"verb": "me"}))
}

fn file(daemon: &Daemon) -> std::path::PathBuf {
    daemon.state_dir().join("tokens.json")
}

fn list(daemon: &Daemon) -> Vec<Value> {
    daemon.cli(&["token", "list", "--json"]).expect_code(0).json()["tokens"].as_array().unwrap().clone()
}

#[test]
fn a_token_is_printed_once_and_listed_without_itself() {
    let daemon = Daemon::prepare(vec![], &[]);
    let words = ["token", "create", "alice", "--kind", "human", "--party", "platform", "--role", "approver", "--role"];
    let plain = daemon.cli(&[&words[..], &["operator"]].concat()).expect_code(0);
    let token = plain.stdout.strip_suffix('\n').unwrap();
    assert!(token.starts_with("wgt_") && token.len() == 56 && !token.contains(char::is_whitespace), "{plain:?}");
    assert!(plain.stderr.contains("shown this once") && !plain.stderr.contains(token), "{plain:?}");
    let made = daemon.cli(&[&words[..], &["auditor", "--group", "sre", "--expires", "30d", "--json"]].concat());
    let made = made.expect_code(0).json();
    let fields: BTreeSet<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["expires_at", "id", "kind", "name", "party", "roles", "token"].into());
    assert!(made["token"].as_str().unwrap().starts_with(&format!("wgt_{}_", made["id"].as_str().unwrap())));
    let listed = daemon.cli(&["token", "list"]).expect_code(0).stdout;
    let rows = list(&daemon);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["groups"], json!(["sre"]));
    let row = &rows[1];
    assert_eq!((&row["state"], &row["roles"]), (&json!("active"), &json!(["approver", "auditor"])));
    let days = |row: &Value| {
        let at = |field: &str| row[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        at("expires_at").duration_since(at("created_at")).as_hours() / 24
    };
    assert_eq!((days(&rows[0]), days(&rows[1])), (90, 30));
    let text = std::fs::read_to_string(file(&daemon)).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    for (seen, name) in [(&listed, "list"), (&json!(rows).to_string(), "list --json"), (&text, "tokens.json")] {
        assert!(seen.contains("alice"), "{name}: {seen}");
        for token in [token, made["token"].as_str().unwrap()] {
            assert!(!seen.contains(token) && !seen.contains(&token[13..]), "{name}: {seen}");
        }
    }
    for seen in [listed, json!(rows).to_string()] {
        assert!(!seen.contains(kept["tokens"][0]["sha256"].as_str().unwrap()), "{seen}");
    }
}

#[test]
fn what_nobody_may_have_is_refused_with_the_reason() {
    let daemon = Daemon::prepare(vec![], &[]);
    let create = |words: &[&str]| {
        let output = daemon.cli(&[&["token", "create"], words, &["--party", "p"]].concat()).expect_code(2);
        assert_eq!(output.stdout, "");
        output.stderr
    };
    let cases: [(&[&str], &str); 8] = [
        (&["a", "--kind", "human"], "--role"),
        (&["a", "--kind", "agent", "--role", "approver"], "an agent cannot be approver"),
        (&["a", "--kind", "agent", "--role", "proposer", "--role", "operator"], "an agent cannot be operator"),
        (&["a", "--kind", "service", "--role", "approver"], "a service cannot be approver"),
        (&["", "--kind", "human", "--role", "author"], "the name is empty"),
        (&["a", "--kind", "robot", "--role", "author"], "agent, human, service"),
        (&["a", "--kind", "human", "--role", "author", "--expires", "367d"], "at most 366d"),
        (&["a", "--kind", "human", "--role", "king"], "proposer, author, approver"),
    ];
    for (words, expected) in cases {
        let said = create(words);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    assert!(!file(&daemon).exists());
    let nobody = daemon.cli(&["token", "revoke", "nobody"]).expect_code(2);
    assert!(nobody.stderr.contains("there is no token `nobody`"), "{nobody:?}");
}

#[test]
fn a_token_comes_in_until_it_is_revoked_or_expires() {
    let mut daemon = daemon();
    // Before the daemon's first start,
    let early = daemon.token("early", "agent", "kiro", &["proposer"]);
    daemon.run();
    // and while it runs.
    let late = daemon.token("late", "human", "platform", &["auditor"]);
    let who = me(&daemon, &early);
    assert_eq!((&who["name"], &who["kind"], &who["party"]), (&json!("early"), &json!("agent"), &json!("kiro")));
    assert_eq!(who["credential"], json!(format!("token t-{}", &early[4..12])));
    assert_eq!((&me(&daemon, &late)["name"], &who["door"]), (&json!("late"), &json!("socket")));
    daemon.cli(&["token", "revoke", "early"]).expect_code(0);
    let refused = me(&daemon, &early);
    assert_eq!((&refused["answer"], &refused["code"]), (&json!("refused"), &json!("unauthenticated")));
    assert!(refused["message"].as_str().unwrap().contains("not known here"), "{refused}");
    assert_eq!(me(&daemon, &late)["answer"], "me");
    // Its time is over: the holder learns so, and nobody else.
    let mut kept: Value = serde_json::from_slice(&std::fs::read(file(&daemon)).unwrap()).unwrap();
    for token in kept["tokens"].as_array_mut().unwrap() {
        token["expires_at"] = json!("2026-01-01T00:00:00Z");
    }
    std::fs::write(file(&daemon), kept.to_string()).unwrap();
    assert!(me(&daemon, &late)["message"].as_str().unwrap().contains("has expired"));
    let guess = format!("{}{}", &late[..13], "a".repeat(43));
    assert!(me(&daemon, &guess)["message"].as_str().unwrap().contains("not known here"));
    assert_eq!(list(&daemon).iter().map(|row| row["state"].clone()).collect::<Vec<_>>(), ["revoked", "expired"]);
    assert!(daemon.log().contains("a token was revoked") && daemon.log().contains("a token was created"));
    daemon.restart();
    assert_eq!(me(&daemon, &early)["code"], "unauthenticated");
}

/// S23: whoever follows is looked at again, and told why they are shown nothing more.
#[test]
fn whoever_may_not_come_in_any_more_does_not_stay_in() {
    let mut daemon = daemon();
    daemon.run();
    let token = daemon.token("late", "human", "platform", &["auditor"]);
    let mut stream = UnixStream::connect(daemon.state_dir().join("wavegate.sock")).unwrap();
    writeln!(stream, "{}", json!({"token": token, "follow": {"rollout": null, "after": 0}})).unwrap();
    let mut lines = BufReader::new(stream).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.next().unwrap()["event"], "leader_started");
    daemon.cli(&["token", "revoke", "late"]).expect_code(0);
    let last = lines.last().unwrap();
    assert_eq!((&last["answer"], &last["code"]), (&json!("refused"), &json!("unauthenticated")), "{last}");
}

/// S18: who gave out a token, to whom, with which roles, and who took it back is on record; before its first use, or within a second.
#[test]
fn each_token_is_on_record_before_it_lets_anybody_in() {
    let mut daemon = daemon();
    let early = daemon.token("early", "agent", "kiro", &["proposer"]);
    daemon.run();
    let records = |daemon: &Daemon, after: &Value| {
        let asked = json!({"verb": "audit", "after": after, "limit": 100});
        ask(daemon, None, &asked)["items"].as_array().unwrap().clone()
    };
    let wait = |daemon: &Daemon, word: &str| {
        support::wait_for(word, std::time::Duration::from_secs(20), || {
            records(daemon, &json!(0)).iter().any(|r| r["detail"].as_str().unwrap().contains(word)).then_some(())
        });
    };
    wait(&daemon, &format!("t-{} lets in agent early (proposer)", &early[4..12]));
    // Used at once: the answer comes when the record is durable.
    let late = daemon.token("late", "human", "platform", &["approver"]);
    assert_eq!(me(&daemon, &late)["name"], "late");
    let now = records(&daemon, &json!(0));
    let listed = format!("t-{} lets in human late (approver)", &late[4..12]);
    assert!(now.iter().any(|r| r["event"] == "token_listed" && r["detail"].as_str().unwrap().contains(&listed)));
    // A role more, by an editor.
    let mut kept: Value = serde_json::from_slice(&std::fs::read(file(&daemon)).unwrap()).unwrap();
    for token in kept["tokens"].as_array_mut().unwrap().iter_mut().filter(|token| token["name"] == "late") {
        token["roles"] = json!(["approver", "operator"]);
    }
    std::fs::write(file(&daemon), kept.to_string()).unwrap();
    assert_eq!(me(&daemon, &late)["roles"], json!(["approver", "operator"]));
    wait(&daemon, "was changed: it lets in human late (approver, operator)");
    daemon.cli(&["token", "revoke", "late"]).expect_code(0);
    wait(&daemon, &format!("t-{} of late: revoked by ", &late[4..12]));
    // Another secret in the place of one that was given out.
    let mut kept: Value = serde_json::from_slice(&std::fs::read(file(&daemon)).unwrap()).unwrap();
    for token in kept["tokens"].as_array_mut().unwrap().iter_mut().filter(|token| token["name"] == "early") {
        token["sha256"] = json!("ab".repeat(32));
    }
    std::fs::write(file(&daemon), kept.to_string()).unwrap();
    wait(&daemon, "was changed: it lets in agent early (proposer)");
    let before = records(&daemon, &json!(0));
    let of_tokens = |all: &[Value]| all.iter().filter(|r| r["event"].as_str().unwrap().starts_with("token_")).count();
    assert_eq!(of_tokens(&before), 5, "{before:#?}");
    // A restart finds nothing new.
    daemon.restart();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(of_tokens(&records(&daemon, &json!(0))), 5);
}

#[test]
fn whoever_runs_the_daemon_comes_in_without_a_token() {
    let mut daemon = daemon();
    daemon.run();
    let who = ask(&daemon, None, &json!({"verb": "me"}));
    assert_eq!((&who["answer"], &who["kind"]), (&json!("me"), &json!("human")));
    assert_eq!(who["roles"].as_array().unwrap().len(), 4, "an approver is named as one");
    assert!(who["credential"].as_str().unwrap().starts_with("uid "));
    // A token that is wrong is not made good by who has opened the socket.
    for wrong in ["", "x", "dev:human:eve:p:operator", "wgt_", "a.b", "a.b.c.d"] {
        assert_eq!(me(&daemon, wrong)["code"], "unauthenticated", "{wrong}");
    }
    assert_eq!(me(&daemon, &format!("wgt_{}", "a".repeat(10_000)))["code"], "unauthenticated");
}

#[test]
fn a_user_of_the_configuration_is_who_it_says() {
    let mut daemon = daemon();
    let uid = std::fs::metadata(daemon.home()).map(|found| std::os::unix::fs::MetadataExt::uid(&found)).unwrap();
    let config =
        format!("version: 1\nidentity: {{users: [{{uid: {uid}, name: alice, party: p, roles: [auditor]}}]}}\n");
    let config = daemon.write("wavegate.yaml", &config);
    daemon.serve_arg("--config");
    daemon.serve_arg(&config.display().to_string());
    daemon.run();
    let who = ask(&daemon, None, &json!({"verb": "me"}));
    assert_eq!((&who["name"], &who["roles"]), (&json!("alice"), &json!(["auditor"])));
}

#[test]
fn tokens_that_cannot_be_read_let_nobody_in_and_stop_nothing_else() {
    let mut daemon = daemon();
    let token = daemon.token("alice", "human", "platform", &["auditor"]);
    let sound = std::fs::read(file(&daemon)).unwrap();
    std::fs::write(file(&daemon), "{\"version\": 1, \"tokens\": [{\"canary\"").unwrap();
    daemon.run();
    assert!(me(&daemon, &token)["message"].as_str().unwrap().contains("cannot read its tokens"));
    assert_eq!(ask(&daemon, None, &json!({"verb": "me"}))["answer"], "me");
    assert!(daemon.log().contains("nobody is let in by token") && !daemon.log().contains("canary"));
    let listed = daemon.cli(&["token", "list"]).expect_code(1);
    assert!(listed.stderr.contains("cannot be understood"), "{listed:?}");
    daemon.cli(&["token", "revoke", "alice"]).expect_code(1);
    std::fs::write(file(&daemon), &sound).unwrap();
    assert_eq!(me(&daemon, &token)["answer"], "me");
    std::fs::set_permissions(file(&daemon), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(me(&daemon, &token)["code"], "unauthenticated");
    assert!(daemon.cli(&["token", "list"]).expect_code(1).stderr.contains("may be read by others (mode 644)"));
}

#[test]
fn two_commands_at_once_lose_nothing() {
    let daemon = Daemon::prepare(vec![], &[]);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|nr| {
                let daemon = &daemon;
                scope.spawn(move || daemon.token(&format!("p{nr}"), "service", "ci", &["proposer"]))
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    let ids: BTreeSet<&str> = tokens.iter().map(|token| &token[4..12]).collect();
    let kept = list(&daemon);
    assert_eq!(kept.iter().map(|row| row["id"].as_str().unwrap()).collect::<BTreeSet<_>>(), ids);
    assert_eq!(ids.len(), 8);
    let mode = std::fs::metadata(file(&daemon)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// INVARIANT: S20. A secret that came in by the socket, right or wrong, is in no file that the daemon writes.
#[test]
fn no_token_is_in_any_file() {
    let mut daemon = daemon();
    daemon.set_env("RUST_LOG", "trace");
    let good = daemon.token("alice", "human", "platform", &["auditor"]);
    let gone = daemon.token("bob", "human", "platform", &["auditor"]);
    daemon.cli(&["token", "revoke", "bob"]).expect_code(0);
    daemon.run();
    let wrong = format!("{}{}", &good[..13], "canarycanary".repeat(4).get(..43).unwrap());
    let signed = format!("{}.{}.{}", "canary0".repeat(9), "canary1".repeat(9), "canary2".repeat(9));
    let secrets = [good, gone, wrong, signed];
    for secret in &secrets {
        me(&daemon, secret);
        // One of a role that the caller has not: the refusal goes on record.
        ask(&daemon, Some(secret), &json!({"verb": "resume", "rollout": "r-1"}));
        let mut stream = UnixStream::connect(daemon.state_dir().join("wavegate.sock")).unwrap();
        writeln!(stream, "{{\"token\": \"{secret}\", \"request\": {{\"verb\": \"{secret}\"}}}}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(!line.contains(secret.as_str()), "{line}");
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut files = 0;
    for folder in [daemon.home().to_owned(), daemon.state_dir()] {
        files += search(&folder, &secrets);
    }
    // The log, the journal with its WAL, the tokens.
    assert!(files >= 5, "{files} files");
}

/// Searches the files of a folder for each secret, and for the parts of it that nobody should have; how many there were.
fn search(folder: &Path, secrets: &[String]) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(entry.path()).unwrap();
        for secret in secrets {
            let tail = &secret.as_bytes()[secret.len() - 40..];
            let found = bytes.windows(tail.len()).any(|window| window == tail);
            assert!(!found, "a token is in {}", entry.path().display());
        }
    }
    files
}
