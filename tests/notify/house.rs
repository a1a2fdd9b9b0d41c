//! A daemon with channels, over an embedded world.

use crate::support::{CliOutput, Daemon, wait_for};
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// 24 bytes each.
pub const SECRET: &str = "whsec_Q0FOQVJZLXNlY3JldC1vbmUtMTIzNDU2";
pub const OTHER_SECRET: &str = "whsec_Q0FOQVJZLXNlY3JldC10d28tMTIzNDU2";

const PIPELINE: &str = "version: 1
name: test
fleet:
  cells:
    - {name: one, account: \"111111111111\", region: eu-west-1, environment: production, stacks: {orders: orders-1}}
waves:
  - {name: all, select: {count: 1}, bake: 0s, max_bake: 10m}
health:
  interval: 1s
  lag: 0s
  metrics:
    - {name: errors, namespace: Orders, metric: Errors, dimensions: {Cell: \"{cell}\"}, statistic: Average, period: 1s,
       fail_when: \"> 5\", datapoints_to_alarm: 2, evaluation_periods: 3, missing_data: not_breaching}
approvals:
  people:
    - {name: dana, party: platform, groups: [sre]}
    - {name: sam, party: security, groups: [sre]}
  agents:
    - {name: test-agent, party: orders}
  two_approvals: {count: 2, parties: 2, groups: {sre: 1}}
autonomy:
  environments:
    production: {disruptive: two_approvals, destructive: two_approvals, irreversible: two_approvals, privilege: two_approvals, opaque: two_approvals}
";

/// The queue goes.
const CHANGE: &str = "version: 1
agent: test-agent
title: \"<!channel> remove the queue & more\"
reasoning: It is a test.
pipeline: test
stacks:
  orders:
    action: update
    template_file: without.yaml
";
const WITHOUT: &str = "Parameters:
  Retention:
    Type: Number
    Default: \"4\"
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
";

pub struct House {
    pub daemon: Daemon,
    channels: String,
}

impl House {
    pub fn new() -> Self {
        Self::with_env(vec![], true)
    }

    pub fn with_env(env: Vec<(String, String)>, embedded: bool) -> Self {
        let mut daemon = Daemon::prepare(env, &[("test.yaml", PIPELINE)]);
        if embedded {
            daemon.serve_arg("--embedded");
        }
        daemon.write("without.yaml", WITHOUT);
        daemon.write("change.yaml", CHANGE);
        let house = Self { daemon, channels: String::new() };
        house.secret("secret", SECRET);
        house.secret("other", OTHER_SECRET);
        house
    }

    /// A file that its owner alone may read.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.daemon.write(name, &format!("{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Adds a channel, as it stands in the file behind its name.
    pub fn channel(&mut self, name: &str, rest: &str) {
        writeln!(self.channels, "    - {{name: {name}, {rest}}}").unwrap();
    }

    /// Adds a webhook that is signed by the first secret.
    pub fn webhook(&mut self, name: &str, to: std::net::SocketAddr, rest: &str) {
        let secret = self.daemon.home().join("secret");
        self.channel(name, &format!("webhook: {{url: 'http://{to}/hook', secret_file: {}}}{rest}", secret.display()));
    }

    /// Writes the configuration and starts the daemon.
    pub fn open(&mut self) {
        let config = self.write_config();
        self.daemon.serve_arg("--config");
        self.daemon.serve_arg(config.to_str().unwrap());
        self.daemon.run();
    }

    pub fn write_config(&self) -> PathBuf {
        let text = format!("version: 1\nnotify:\n  source: test-house\n  channels:\n{}", self.channels);
        self.daemon.write("config.yaml", &text)
    }

    /// A stop order on nothing that is there: it is in force at once. Its name.
    pub fn kill(&self, reason: &str) -> String {
        let output = self.daemon.cli(&["kill", "--scope", "cell=nowhere", "--reason", reason, "--json"]);
        output.expect_code(0).json()["kill"].as_str().unwrap().to_owned()
    }

    pub fn propose(&self) -> String {
        self.daemon.propose(&self.daemon.home().join("change.yaml"))
    }

    pub fn deliveries(&self) -> Value {
        self.daemon.cli(&["status", "--json"]).expect_code(0).json()["deliveries"].clone()
    }

    /// Waits until what `status` says of messages is as wanted.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, Duration::from_secs(40), || Some(self.deliveries()).filter(|view| wanted(view)))
    }

    pub fn status(&self) -> CliOutput {
        self.daemon.cli(&["status"]).expect_code(0)
    }
}
