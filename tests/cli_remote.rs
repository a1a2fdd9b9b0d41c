//! The command line by both ways: the same commands by the socket and over HTTP, the same answers; `watch` over a restart of the daemon;
//! the token in no output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;
mod world;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::daemon::{WAVEGATE, run_command};
use support::{CliOutput, Daemon, wait_for};
use world::Shape;

const LIMIT: Duration = Duration::from_secs(60);
const TEMPLATE: &str = "Parameters:
  Retention:
    Type: Number
    Default: \"4\"
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
";
const EVERYTHING: [&str; 5] = ["proposer", "author", "approver", "operator", "auditor"];

/// A daemon over an embedded world, with both doors open.
struct House {
    daemon: Daemon,
    url: String,
    token: String,
}

impl House {
    /// Cells one after the other, and a bake of some seconds: there is time to look.
    fn open(bake: &str) -> Self {
        Self::with_waves(bake, &[2, 4])
    }

    fn with_waves(bake: &str, waves: &[usize]) -> Self {
        let cells = world::cells(&["111111111111"], &["eu-west-1"], 6);
        let shape = Shape { waves, bake, max_concurrent: 1, ..Shape::default() };
        let mut daemon = Daemon::prepare(vec![], &[("test.yaml", &world::pipeline(&cells, &shape))]);
        // The same address after a restart, and nobody else's.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = daemon.write("daemon.yaml", &format!("version: 1\nhttp:\n  listen: 127.0.0.1:{port}\n"));
        daemon.serve_arg("--embedded");
        daemon.serve_arg("--config");
        daemon.serve_arg(config.to_str().unwrap());
        daemon.write("release-2.yaml", TEMPLATE);
        daemon.write("change.yaml", &world::change_set("release-2.yaml", ""));
        daemon.run();
        let token = daemon.token("ana", "human", "sre", &EVERYTHING);
        Self { daemon, url: format!("http://127.0.0.1:{port}"), token }
    }

    fn remote_command(&self, token: &str, args: &[&str]) -> Command {
        let mut command = Command::new(WAVEGATE);
        command.args(args).args(["--server", &self.url]).current_dir(self.daemon.home());
        for name in ["WAVEGATE_SERVER", "WAVEGATE_STATE_DIR", "WAVEGATE_TOKEN_FILE", "WAVEGATE_CA"] {
            command.env_remove(name);
        }
        command.env("WAVEGATE_TOKEN", token);
        command
    }

    fn remote(&self, args: &[&str]) -> CliOutput {
        run_command(self.remote_command(&self.token, args))
    }

    fn local(&self, args: &[&str]) -> CliOutput {
        self.daemon.cli_as(&self.token, args)
    }

    /// The same by both ways: it.
    fn both(&self, args: &[&str]) -> CliOutput {
        let (local, remote) = (self.local(args), self.remote(args));
        assert_eq!(
            (local.code, &local.stdout, &local.stderr),
            (remote.code, &remote.stdout, &remote.stderr),
            "{args:?}"
        );
        local
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn every_command_answers_alike_by_both_ways() {
    let house = House::open("0s");
    // Nothing yet.
    house.both(&["status"]).expect_code(0);
    house.both(&["rollouts"]).expect_code(0);
    house.both(&["watch"]).expect_code(3);

    let waited = house.remote(&["propose", "change.yaml", "--wait", "--json"]).expect_code(0);
    let told = lines(&waited.stdout);
    let rollout = told[0]["rollout"].as_str().unwrap();
    assert_eq!(told.last().unwrap()["outcome"], "succeeded");
    assert_eq!(told[told.len() - 2]["event"], "rollout_ended", "the last event comes before the view");
    let second = house.local(&["propose", "change.yaml"]).expect_code(0).stdout.trim().to_owned();
    house.remote(&["watch", &second]).expect_code(0);

    for args in [
        vec!["status"],
        vec!["status", rollout],
        vec!["rollouts"],
        vec!["rollouts", "--open"],
        vec!["rollouts", "--ended"],
        vec!["pipelines"],
        vec!["pipelines", "test"],
        vec!["approvals"],
        vec!["explain", rollout],
        vec!["audit"],
        vec!["audit", "--after", "5"],
        vec!["watch", rollout],
    ] {
        house.both(&args).expect_code(0);
        house.both(&[&args[..], &["--json"]].concat()).expect_code(0);
    }
    // What is refused is refused in the same words, with the same code.
    for (args, code) in [
        (vec!["pause", rollout], "ended"),
        (vec!["resume", rollout], "ended"),
        (vec!["revert", "r-none"], "unknown_rollout"),
        (vec!["withdraw", "r-none"], "unknown_rollout"),
        (vec!["approve", rollout, "--digest", "0123456789ab"], "ended"),
        (vec!["revoke", "r-none"], "unknown_rollout"),
        (vec!["reject", "r-none", "--reason", "no"], "unknown_rollout"),
        (vec!["sign-off", "r-none", "--environment", "e"], "unknown_rollout"),
        (vec!["explain", "r-none"], "unknown_rollout"),
        (vec!["status", "../status"], "unknown_rollout"),
        (vec!["pipelines", "none"], "unknown_pipeline"),
        (vec!["resume", "--lift", "k-none"], "unknown_kill"),
        (vec!["watch", "r-none"], "unknown_rollout"),
    ] {
        house.both(&args).expect_code(3);
        let out = house.both(&[&args[..], &["--json"]].concat()).expect_code(3);
        let error: Value = serde_json::from_str(&out.stderr).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        assert_eq!((&error["error"]["code"], out.stdout.as_str()), (&code.into(), ""), "{args:?}: {out:?}");
    }
    let (local, remote) = (house.local(&["me", "--json"]).json(), house.remote(&["me", "--json"]).json());
    assert_eq!(
        (&local["name"], &local["roles"], &local["door"]),
        (&remote["name"], &remote["roles"], &"socket".into())
    );
    assert_eq!(remote["door"], "http");
    let version = house.remote(&["version", "--json"]).json();
    assert_eq!((&version["daemon"], &version["place"]), (&version["wavegate"], &house.url.as_str().into()));

    // A look touches nothing, and is told as `plan` tells it.
    for preview in
        [house.local(&["preview", "change.yaml", "--json"]), house.remote(&["preview", "change.yaml", "--json"])]
    {
        let preview = preview.expect_code(0).json();
        assert_eq!((&preview["look_only"], preview["waves"].as_array().unwrap().len()), (&true.into(), 2));
    }
    let told = house.remote(&["preview", "change.yaml"]).expect_code(0).stdout;
    assert!(told.contains("nothing was changed"), "{told}");
}

#[test]
fn orders_and_kills_go_over_http() {
    let house = House::open("5m");
    let proposed = house.remote(&["propose", "change.yaml", "--json"]).expect_code(0).json();
    let rollout = proposed["rollout"].as_str().unwrap();
    assert_eq!(proposed["again"], false);
    wait_for("it is out", LIMIT, || (house.daemon.status(rollout)["phase"] == "baking").then_some(()));
    let paused = house.remote(&["pause", rollout, "--json"]).expect_code(0).json();
    assert_eq!(paused, serde_json::json!({ "ok": true, "did": "pause", "rollout": rollout }));
    assert_eq!(house.remote(&["resume", rollout]).expect_code(0).stdout, "resumed\n");

    let kill = house.remote(&["kill", "--scope", &format!("rollout={rollout}"), "--json"]).expect_code(0).json();
    assert_eq!((&kill["covers"][0], &kill["state"]), (&rollout.into(), &"acknowledged".into()));
    let kill = kill["kill"].as_str().unwrap();
    assert_eq!(house.remote(&["resume", "--lift", kill, "--json"]).expect_code(6).json()["lifted"], false);
    house.remote(&["resume", "--lift", kill]).expect_code(3);
    let bob = house.daemon.token("bob", "human", "sre", &["operator"]);
    let lifted = run_command(house.remote_command(&bob, &["resume", "--lift", kill, "--json"])).expect_code(0).json();
    assert_eq!((&lifted["lifted"], &lifted["by"]), (&true.into(), &serde_json::json!(["ana", "bob"])));
    house.remote(&["revert", rollout]).expect_code(0);
    house.remote(&["watch", rollout]).expect_code(4);

    // An agent may not do that, and is told so; a kill that is refused is said to be none.
    let agent = house.daemon.token("robot", "agent", "vendor", &["proposer"]);
    let refused = run_command(house.remote_command(&agent, &["pause", rollout])).expect_code(3);
    assert!(refused.stderr.contains("ask a person"), "{refused:?}");
    let refused = run_command(house.remote_command(&agent, &["kill"])).expect_code(3);
    assert!(refused.stderr.contains("NOTHING WAS STOPPED"), "{refused:?}");
    let refused = house.daemon.cli_as(&agent, &["kill"]).expect_code(3);
    assert!(!house.daemon.kill_file().exists(), "{refused:?}");
}

#[test]
fn the_token_stays_where_it_belongs() {
    let mut house = House::open("0s");
    let file = house.daemon.write("token", &format!("{}\n", house.token));
    let with_file = |mode: u32, place: &[&str]| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(WAVEGATE);
        command.args(["me", "--json", "--token-file"]).arg(&file).args(place).env_remove("WAVEGATE_TOKEN");
        run_command(command)
    };
    let state = house.daemon.state_dir();
    let (remote, local) = (["--server", &house.url], ["--state-dir", state.to_str().unwrap()]);
    let mut said = Vec::new();
    for place in [&remote[..], &local[..]] {
        assert_eq!(with_file(0o600, place).expect_code(0).json()["name"], "ana");
        for mode in [0o644, 0o640, 0o604, 0o660] {
            let refused = with_file(mode, place).expect_code(2);
            assert!(refused.stderr.contains("chmod 600"), "{refused:?}");
            said.push(refused);
        }
    }
    // In clear it goes nowhere else; and not where the address hides something.
    for address in
        ["http://192.0.2.1:7443", "http://wavegate.example", "http://127.0.0.1@wavegate.example", "ftp://127.0.0.1"]
    {
        let refused = with_file(0o600, &["--server", address]).expect_code(2);
        assert!(refused.stderr.contains("cannot be used"), "{refused:?}");
        said.push(refused);
    }
    // Whoever comes with no token, or with a wrong one.
    for token in ["", "canary-of-nobody"] {
        let refused = run_command(house.remote_command(token, &["me", "--json"])).expect_code(3);
        assert!(refused.stderr.contains(r#""code":"unauthenticated""#), "{refused:?}");
        said.push(refused);
    }
    said.push(house.remote(&["propose", "change.yaml", "--wait"]).expect_code(0));
    said.push(house.remote(&["audit", "--json"]).expect_code(0));
    said.push(house.local(&["audit"]).expect_code(0));
    said.push(house.remote(&["--no-such-option"]).expect_code(2));
    // A server that is away: exit 7, and a kill says loudly that nothing was stopped.
    house.daemon.kill9();
    said.push(house.remote(&["status"]).expect_code(7));
    let kill = house.remote(&["kill"]).expect_code(7);
    assert!(kill.stderr.contains("NOTHING WAS STOPPED") && kill.stderr.contains("kill -USR1"), "{kill:?}");
    assert!(!house.daemon.kill_file().exists());
    said.push(kill);
    let by_file = house.local(&["kill", "--json"]).expect_code(7);
    assert_eq!(by_file.json()["state"], "pending");
    assert!(house.daemon.kill_file().exists());
    said.push(by_file);

    let journal = std::fs::read(house.daemon.state_dir().join("journal.db")).unwrap();
    let mut texts: Vec<String> = said.iter().map(|out| format!("{}{}", out.stdout, out.stderr)).collect();
    texts.push(house.daemon.log());
    texts.push(String::from_utf8_lossy(&journal).into_owned());
    for text in texts {
        assert!(!text.contains(&house.token) && !text.contains("canary-of-nobody"), "{text}");
    }
}

/// Watches while the daemon is killed and started again: each event exactly once, as the record has them.
fn watched_over_a_restart(remote: bool) {
    // One wave: a held rollout is one that nobody needs to watch on, and a second wave would find its stacks to be others.
    let mut house = House::with_waves("5m", &[6]);
    let rollout = house.local(&["propose", "change.yaml"]).expect_code(0).stdout.trim().to_owned();
    let args = ["watch", &rollout, "--json"];
    let mut command = match remote {
        true => house.remote_command(&house.token, &args),
        false => house.daemon.command(&args),
    };
    let out = house.daemon.home().join("watched.jsonl");
    let errors = house.daemon.home().join("watched.err");
    command.stdin(Stdio::null()).stdout(std::fs::File::create(&out).unwrap());
    let mut child = command.stderr(std::fs::File::create(&errors).unwrap()).spawn().unwrap();
    let shown = || std::fs::read_to_string(&out).unwrap();
    // While it bakes, an embedded world that begins anew with each start makes no difference.
    wait_for("it bakes", LIMIT, || shown().contains("\"bake_started\"").then_some(()));
    for _ in 0..2 {
        house.daemon.kill9();
        std::thread::sleep(Duration::from_millis(700));
        house.daemon.run();
        let term = format!("\"epoch\":{},", house.daemon.epoch());
        wait_for("it goes on", LIMIT, || shown().contains(&term).then_some(()));
    }
    // Now it does: whatever becomes of the rollout, it is told.
    house.local(&["revert", &rollout]).expect_code(0);
    let start = Instant::now();
    let mut ended = None;
    while ended.is_none() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
        ended = child.try_wait().unwrap();
    }
    if ended.is_none() {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    let told = shown();
    let whole = told.rfind('\n').map_or("", |end| &told[..end]);
    let seen: Vec<Value> = lines(whole).into_iter().filter(|line| line["seq"].is_u64()).collect();
    let record = lines(&house.local(&["audit", "--json"]).expect_code(0).stdout);
    let last = seen.last().unwrap()["seq"].as_u64().unwrap();
    let of_it = |entry: &Value| entry["rollout"] == rollout.as_str() && entry["seq"].as_u64().unwrap() <= last;
    let expected: Vec<Value> = record.into_iter().filter(of_it).collect();
    assert_eq!(seen, expected);
    let errors = std::fs::read_to_string(errors).unwrap();
    assert_eq!(errors.matches("the daemon does not answer; watching on").count(), 2, "{errors}");
    assert!(!errors.contains(&house.token));
}

#[test]
fn watch_survives_a_restart_at_the_socket() {
    watched_over_a_restart(false);
}

#[test]
fn watch_survives_a_restart_over_http() {
    watched_over_a_restart(true);
}

#[test]
fn whoever_watches_may_give_up() {
    let mut house = House::open("10s");
    let rollout = house.local(&["propose", "change.yaml"]).expect_code(0).stdout.trim().to_owned();
    let mut command = house.remote_command(&house.token, &["watch", &rollout, "--give-up-after", "1s", "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it rolls", LIMIT, || (house.daemon.status(&rollout)["phase"] != "previewing").then_some(()));
    house.daemon.kill9();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert!(said.contains("given up after 1 s") && said.contains(r#""code":"unreachable""#), "{said}");
}
