//! A daemon over its embedded world, with its HTTP door open on loopback.

use super::http::{Answer, Connection};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wavegate::journal::{Entry, Journal};
use wavegate::model::ids::{RolloutId, Seq};

const WAVEGATE: &str = env!("CARGO_BIN_EXE_wavegate");
const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "us-west-2", "ap-southeast-2"];

pub struct House {
    folder: tempfile::TempDir,
    child: Child,
    pub at: SocketAddr,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl House {
    /// Starts one with so many pipelines of so many cells each.
    pub fn start(pipelines: usize, cells: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pipelines", "state"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for n in 0..pipelines {
            let file = folder.path().join(format!("pipelines/p{n:03}.yaml"));
            std::fs::write(file, pipeline(n, cells)).unwrap();
        }
        let config = folder.path().join("daemon.yaml");
        // One person stands for a thousand here: their rate is not what is measured.
        let text = "version: 1\nhttp: {listen: \"127.0.0.1:0\", limits: {per_second: 10000, burst: 10000}}\n";
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(WAVEGATE);
        command.arg("serve").arg("--embedded").arg("--config").arg(config);
        command.arg("--pipelines").arg(folder.path().join("pipelines"));
        command.arg("--state-dir").arg(folder.path().join("state")).env("RUST_LOG", "wavegate=warn");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let at = ready.split("http://").nth(1).unwrap_or_else(|| panic!("no HTTP door: {ready}"));
        let at = at.split([',', '/', ' ']).next().unwrap().parse().unwrap();
        Self { folder, child, at }
    }

    /// A token of a person who may do everything.
    pub fn token(&self, name: &str) -> String {
        let mut command = Command::new(WAVEGATE);
        command.args(["token", "create", name, "--kind", "human", "--party", name, "--state-dir"]);
        command.arg(self.folder.path().join("state"));
        for role in ["proposer", "author", "approver", "operator", "auditor"] {
            command.args(["--role", role]);
        }
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    pub async fn open(&self, token: &str) -> Connection {
        Connection::open(self.at, token).await
    }

    /// Proposes a change through the n-th pipeline whose updates last so many seconds; its rollout.
    pub async fn propose(&self, door: &mut Connection, pipeline: usize, seconds: f64) -> String {
        let body = json!({ "text": change(pipeline, seconds) }).to_string();
        let Answer { status, body } = door.call("POST", "/v1/change-sets", &body).await;
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["rollout"].as_str().unwrap().to_owned()
    }

    pub fn journal_file(&self) -> PathBuf {
        self.folder.path().join("state/journal.db")
    }

    /// Everything on record of a rollout.
    pub fn record(&self, rollout: &str) -> Vec<Entry> {
        let journal = Journal::open_read_only(&self.journal_file()).unwrap();
        journal.entries_of(&RolloutId::from(rollout), Seq(0), usize::MAX >> 1).unwrap()
    }

    /// Waits until a rollout has ended; how long it took.
    pub async fn lasted(&self, rollout: &str) -> Lasted {
        loop {
            let record = self.record(rollout);
            if record.last().unwrap().event.name() == "rollout_ended" {
                return Lasted::of(&record);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// How long a rollout took.
#[derive(Clone, Copy, Debug)]
pub struct Lasted {
    /// From its first record to its last.
    pub whole: Duration,
    /// The previews and the waves alone: bakes end with a look, which comes every five seconds, and that would hide what is measured.
    pub work: Duration,
}

impl Lasted {
    fn of(record: &[Entry]) -> Self {
        let between = |from: &Entry, to: &Entry| Duration::try_from(to.at.duration_since(from.at)).unwrap();
        let named = |name: &'static str| record.iter().filter(move |entry| entry.event.name() == name);
        let waves = named("wave_started").zip(named("bake_started")).map(|(from, to)| between(from, to));
        let previews = between(&record[0], named("wave_started").next().unwrap());
        Self { whole: between(&record[0], record.last().unwrap()), work: waves.sum::<Duration>() + previews }
    }
}

fn pipeline(n: usize, cells: usize) -> String {
    let mut text = format!("version: 1\nname: p{n:03}\nfleet:\n  cells:\n");
    for cell in 0..cells {
        let (region, name) = (REGIONS[cell % REGIONS.len()], format!("p{n:03}-c{cell:04}"));
        writeln!(
            text,
            "    - {{name: {name}, account: \"111111111111\", region: {region}, environment: production, stacks: {{orders: orders-{name}}}}}"
        )
        .unwrap();
    }
    text + "waves:
  - {name: one-box, one_box: true, select: {count: 1}, bake: 10s, bake_datapoints: 1, max_bake: 5m}
  - {name: rest, select: {remaining: true}, max_concurrent: 100, regions: parallel, bake: 10s, bake_datapoints: 1, max_bake: 5m}
health:
  interval: 5s
  settle: 0s
  lag: 2s
  metrics:
    - {name: errors, namespace: Orders, metric: 5xx, dimensions: {Cell: \"{cell}\"}, statistic: Average, period: 10s,
       fail_when: \"> 5\", datapoints_to_alarm: 1, evaluation_periods: 2, missing_data: hold}
"
}

fn change(pipeline: usize, seconds: f64) -> String {
    format!(
        "version: 1\nagent: orders-bot\ntitle: Wait longer\nreasoning: measured\npipeline: p{pipeline:03}\nstacks:
  orders:
    template: |
      Metadata:
        Sim: {{UpdateSeconds: {seconds}}}
      Parameters:
        Retention: {{Type: Number, Default: \"4\"}}
      Resources:
        Queue: {{Type: AWS::SQS::Queue, Properties: {{VisibilityTimeout: 45}}}}
        Orders: {{Type: AWS::DynamoDB::Table, Properties: {{BillingMode: PAY_PER_REQUEST}}}}\n"
    )
}
