//! The door for agents, by a client that is not ours: the Python `mcp` package, over standard input and output and over streamable HTTP,
//! against daemons with an embedded world. `tests/mcp/client.py` tells what it does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::Daemon;
use support::daemon::{WAVEGATE, run_command};

/// `cli/exit.rs`
const REFUSED: i32 = 3;

/// Two environments, quick bakes; what is lost for good does not happen in production.
const SHOP: &str = "version: 1
name: shop
fleet:
  cells:
    - {name: staging-1, account: \"222222222222\", region: eu-west-1, environment: staging, role: \"arn:aws:iam::222222222222:role/w\", stacks: {orders: orders-NAME-staging}}
    - {name: prod-1, account: \"333333333333\", region: eu-west-1, environment: production, role: \"arn:aws:iam::333333333333:role/w\", traffic_share: 100, stacks: {orders: orders-NAME-prod}}
waves:
  - {name: staging, environment: staging, select: {remaining: true}, bake: 1s, max_bake: 10m}
  - {name: production, environment: production, select: {remaining: true}, bake: 1s, max_bake: 10m}
health:
  interval: 1s
  lag: 0s
  metrics:
    - {name: errors, namespace: Orders, metric: Errors, dimensions: {Cell: \"{cell}\"}, statistic: Average, period: 1s, fail_when: \"> 5\", datapoints_to_alarm: 2, evaluation_periods: 3, missing_data: not_breaching}
revert: {max_concurrent: 50, irreversible: allow}
autonomy:
  environments:
    staging: {disruptive: autonomous, destructive: autonomous, irreversible: autonomous}
    production: {in_place: autonomous, destructive: forbidden, irreversible: forbidden}
";

fn pipelines() -> [(&'static str, String); 2] {
    let slow = SHOP
        .replace("name: shop", "name: slow")
        .replace("bake: 1s", "bake: 1h")
        .replace("max_bake: 10m", "max_bake: 2h");
    [("shop.yaml", SHOP.replace("NAME", "shop")), ("slow.yaml", slow.replace("NAME", "slow"))]
}

/// The Python of tests/run's environment; none, with the reason printed: it is not there, and nobody says that it must be.
fn python() -> Option<PathBuf> {
    if std::env::var_os("WAVEGATE_EMULATOR").is_none() {
        eprintln!("skipped: WAVEGATE_EMULATOR is unset (tests/run sets it up)");
        return None;
    }
    let bin =
        std::env::var_os("WAVEGATE_EMULATOR_BIN").expect("WAVEGATE_EMULATOR is set, WAVEGATE_EMULATOR_BIN is not");
    Some(PathBuf::from(bin).join("python"))
}

/// A daemon over an embedded world, and the tokens of two agents.
struct House {
    python: PathBuf,
    daemon: Daemon,
    /// Of its door for agents; empty: it has none over HTTP.
    url: String,
    token: String,
    other: String,
}

impl House {
    fn open() -> Option<Self> {
        Self::with("")
    }

    fn open_with_http() -> Option<Self> {
        Self::with("http: {listen: 127.0.0.1:0}\n")
    }

    fn with(config: &str) -> Option<Self> {
        let python = python()?;
        let [shop, slow] = pipelines();
        let mut daemon = Daemon::prepare(vec![], &[(shop.0, &shop.1), (slow.0, &slow.1)]);
        let config = daemon.write("wavegate.yaml", &format!("version: 1\n{config}"));
        for arg in ["--embedded", "--config", config.to_str().unwrap()] {
            daemon.serve_arg(arg);
        }
        daemon.run();
        let url = daemon.ready_line().split_once(", http ").map(|(_, url)| format!("{}/mcp", url.trim()));
        let token = daemon.token("orders-bot", "agent", "orders", &["proposer"]);
        let other = daemon.token("carts-bot", "agent", "carts", &["proposer"]);
        Some(Self { python, daemon, url: url.unwrap_or_default(), token, other })
    }

    fn client(&mut self, args: &[&str]) {
        let mut command = client(&self.python, args, &self.token, &self.other);
        command.env("WAVEGATE", WAVEGATE).env("STATE", self.daemon.state_dir());
        let daemon = &mut self.daemon;
        talk(command, || daemon.restart());
    }
}

fn client(python: &PathBuf, args: &[&str], token: &str, other: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.py")).args(args);
    command.env("TOKEN", token).env("OTHER", other).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs the client to its `ok`, and does what it asks for on the way.
fn talk(mut command: Command, mut restart: impl FnMut()) {
    let mut child = command.spawn().unwrap();
    let mut answers = child.stdin.take().unwrap();
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        if last == "restart" {
            restart();
            writeln!(answers).unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() && last == "ok", "{status}: {last}");
}

#[test]
fn an_agent_proposes_is_refused_proposes_less_and_stops_over_stdio() {
    let Some(mut house) = House::open() else { return };
    house.client(&["story", "stdio"]);
}

#[test]
fn an_agent_does_not_do_what_people_do() {
    let Some(mut house) = House::open() else { return };
    house.client(&["people"]);
}

#[test]
fn two_clients_have_their_own_names_over_stdio() {
    let Some(mut house) = House::open() else { return };
    house.client(&["names", "stdio"]);
}

#[test]
fn noise_does_not_end_the_server() {
    let Some(mut house) = House::open() else { return };
    house.client(&["noise"]);
}

/// An agent must not act with its operator's identity: neither as the local user nor with a person's token.
#[test]
fn nobody_but_a_program_with_its_own_token_is_served() {
    let mut daemon = Daemon::prepare(vec![], &[("shop.yaml", &pipelines()[0].1)]);
    daemon.serve_arg("--embedded");
    daemon.run();
    let refused = |set: &[(&str, &str)], said: &str| {
        let mut command = daemon.command(&["mcp"]);
        command.env_remove("WAVEGATE_TOKEN").env_remove("WAVEGATE_TOKEN_FILE").envs(set.iter().copied());
        let output = run_command(command).expect_code(REFUSED);
        assert!(output.stderr.contains(said), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    };
    refused(&[], "wavegate token create NAME --kind agent --party P --role proposer");
    let person = daemon.token("ana", "human", "platform", &["operator", "approver"]);
    refused(&[("WAVEGATE_TOKEN", &person)], "`ana`, who is a human");
    refused(&[("WAVEGATE_TOKEN", "no-such-token")], "token");
    refused(&[("WAVEGATE_TOKEN_FILE", "/no/such/file")], "`/no/such/file` cannot be read");
    // A service may: by a file, and its end is the end of standard input.
    let service = daemon.write("token", &format!("{}\n", daemon.token("ci", "service", "platform", &["proposer"])));
    let mut command = daemon.command(&["mcp"]);
    command.env("WAVEGATE_TOKEN_FILE", service);
    let output = run_command(command);
    assert!(output.stdout.is_empty() && !output.stderr.contains("who is a"), "{output:?}");
}

#[test]
fn streamable_http_does_the_same_for_whoever_the_request_proves() {
    let Some(mut house) = House::open_with_http() else { return };
    let url = house.url.clone();
    for args in [["http", &url], ["names", &url], ["story", &url]] {
        house.client(&args);
    }
}
