//! What people are asked and what they answer, by the real binary against the emulator: every answer that does not count is refused with
//! its reason, and nothing reaches the provider before enough of them do.

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
use std::path::PathBuf;
use std::time::Duration;
use support::{CliOutput, Daemon, Emulator, wait_for};
use world::{Cell, Feed, Shape, cells, place};

const LIMIT: Duration = Duration::from_secs(120);
/// `cli/exit.rs`
const REFUSED: i32 = 3;
const REVERTED: i32 = 4;

const WITH_QUEUE: &str = "Resources:
  Setting:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: first}
  Orders:
    Type: AWS::SQS::Queue
";
/// The queue goes, and with it what is in it.
const WITHOUT_QUEUE: &str = "Resources:
  Setting:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: first}
";

const PEOPLE: &str = "approvals:
  people:
    - {name: dana, party: platform, groups: [sre]}
    - {name: ana, party: platform}
    - {name: sam, party: security, groups: [sre]}
    - {name: rui, party: finance}
    - {name: lee, party: orders}
  agents:
    - {name: test-agent, party: orders}
  two_approvals: {count: 2, parties: 2, groups: {sre: 1}}
";

const TWO: &str = "autonomy:
  environments:
    production:
      destructive: two_approvals
";
const FORBIDDEN: &str = "autonomy:
  environments:
    production:
      destructive: forbidden
";

/// Three cells in two waves, a daemon with two pipelines for them, and a change set for each.
struct House {
    emulator: Emulator,
    fleet: Vec<Cell>,
    daemon: Daemon,
    _feed: Feed,
}

impl House {
    fn open() -> Option<Self> {
        let emulator = Emulator::start()?;
        let fleet = cells(&["111111111111"], &["eu-west-1"], 3);
        for cell in &fleet {
            place(&emulator, cell).create_stack(&cell.stack, WITH_QUEUE, &[], &[]);
        }
        let feed = Feed::start(&emulator, &fleet);
        let asks = world::pipeline(&fleet, &Shape { extra: &format!("{PEOPLE}{TWO}"), ..Shape::default() });
        let strict = world::pipeline(&fleet, &Shape { extra: &format!("{PEOPLE}{FORBIDDEN}"), ..Shape::default() });
        let strict = strict.replace("name: test\n", "name: strict\n");
        let env = emulator.env("999999999999", "us-east-1");
        let mut daemon = Daemon::prepare(env, &[("test.yaml", &asks), ("strict.yaml", &strict)]);
        daemon.write("without-queue.yaml", WITHOUT_QUEUE);
        daemon.run();
        Some(Self { emulator, fleet, daemon, _feed: feed })
    }

    fn change_set(&self, pipeline: &str) -> PathBuf {
        let text =
            world::change_set("without-queue.yaml", "").replace("pipeline: test", &format!("pipeline: {pipeline}"));
        self.daemon.write(&format!("change-{pipeline}.yaml"), &text)
    }

    /// Hands the removal in; its rollout, once people are asked.
    fn asked(&self, by: &str) -> String {
        let file = self.change_set("test");
        let args = ["propose", file.to_str().unwrap(), "--json"];
        let rollout = self.cli_as(by, &args).expect_code(0).json()["rollout"].as_str().unwrap().to_owned();
        wait_for("people are asked", LIMIT, || Some(()).filter(|()| self.request(&rollout).is_some()));
        rollout
    }

    /// What people are asked of the rollout, with all that it rests on.
    fn request(&self, rollout: &str) -> Option<Value> {
        let explained = self.daemon.cli(&["explain", rollout, "--json"]).expect_code(0).json();
        Some(explained["admission"].clone()).filter(|admission| admission["request"].is_object())
    }

    /// A command of a person of the house, or of the agent, who come with a token each.
    fn cli_as(&self, by: &str, args: &[&str]) -> CliOutput {
        let party = match by.trim().to_lowercase().as_str() {
            "dana" | "ana" => "platform",
            "sam" => "security",
            "rui" => "finance",
            "lee" | "test-agent" => "orders",
            _ => "elsewhere",
        };
        let token = match by {
            "test-agent" => self.daemon.token(by, "agent", party, &["proposer"]),
            _ => self.daemon.token(by, "human", party, &["proposer", "approver"]),
        };
        self.daemon.cli_as(&token, args)
    }

    fn approve(&self, rollout: &str, by: &str, digest: &str, rest: &[&str]) -> CliOutput {
        let args: Vec<&str> = ["approve", rollout, "--digest", digest].iter().chain(rest).copied().collect();
        self.cli_as(by, &args)
    }

    fn executed(&self) -> usize {
        self.emulator.proxy().calls().of("ExecuteChangeSet").len()
    }

    /// How many stacks still have their queue.
    fn queues(&self) -> usize {
        let has = |cell: &&Cell| place(&self.emulator, cell).template(&cell.stack) == WITH_QUEUE;
        self.fleet.iter().filter(has).count()
    }
}

fn refused(output: CliOutput, why: &str) {
    let output = output.expect_code(REFUSED);
    assert!(output.stderr.contains(why), "`{why}` is not in: {}", output.stderr);
}

/// The finding with this code, as a program reads it.
fn found<'a>(explained: &'a Value, class: &str) -> &'a Value {
    let found = explained["admission"]["found"].as_array().unwrap();
    let of_class = found.iter().find(|found| found["what"]["code"] == "class" && found["what"]["class"] == class);
    of_class.unwrap_or_else(|| panic!("no `{class}` in {explained}"))
}

/// The line of the pipeline that begins so, from 1.
fn line_of(daemon: &Daemon, pipeline: &str, text: &str) -> u64 {
    let yaml = std::fs::read_to_string(daemon.home().join("pipelines").join(pipeline)).unwrap();
    let line = yaml.lines().position(|line| line.trim() == text).unwrap();
    line as u64 + 1
}

#[test]
fn a_destructive_change_waits_for_two_people_who_know_what_they_say() {
    let Some(house) = House::open() else { return };
    // Whoever waits for it is told that people are asked.
    let file = house.change_set("test");
    let waited = house.cli_as("lee", &["propose", file.to_str().unwrap(), "--wait"]).expect_code(REFUSED);
    let rollout = waited.stdout.lines().next().unwrap().trim().to_owned();
    let request = house.request(&rollout).expect("people are asked");
    let digest = request["digest"].as_str().unwrap();
    let figure = request["request"]["key_figure"].as_str().unwrap();
    assert_eq!((figure, request["level"].as_str()), ("removes 3 queues", Some("two_approvals")));
    assert!(request["scope"].as_str().unwrap().contains("removes 3 queues in 3 production cells"), "{request}");

    let explained = house.daemon.cli(&["explain", &rollout, "--json"]).expect_code(0).json();
    let destructive = found(&explained, "destructive");
    assert_eq!(destructive["follows"]["needs"], "two_approvals");
    assert_eq!((&destructive["what"]["targets"], &destructive["what"]["resources"]), (&3.into(), &3.into()));
    assert_eq!(destructive["cause"]["line"], line_of(&house.daemon, "test.yaml", "destructive: two_approvals"));
    assert!(destructive["cause"]["file"].as_str().unwrap().ends_with("test.yaml"), "{destructive}");
    assert!(destructive["rule"].as_str().unwrap().contains("(autonomy.production.destructive)"), "{destructive}");
    assert!(destructive["satisfied_by"].as_str().unwrap().contains("two people"), "{destructive}");

    // The same for people: what they must type is shown to them.
    let asked = house.daemon.cli(&["approvals", "--json"]).expect_code(0).json();
    assert_eq!(asked[0]["admission"], request, "one rollout asks");
    let asked = house.daemon.cli(&["approvals"]).expect_code(0).stdout;
    let command = format!("wavegate approve {rollout} --digest {} --confirm \"{figure}\"", &digest[..12]);
    assert!(asked.contains(&command), "`{command}` is not in: {asked}");

    let confirm = ["--confirm", figure];
    refused(house.approve(&rollout, "dana", &"0".repeat(64), &confirm), "is not what is asked for now");
    refused(house.approve(&rollout, "dana", &digest[..8], &confirm), "is not what is asked for now");
    refused(house.approve(&rollout, "dana", digest, &[]), "repeat `removes 3 queues`");
    refused(house.approve(&rollout, "dana", digest, &["--confirm", "removes 1 queue"]), "repeat `removes 3 queues`");
    refused(house.approve(&rollout, "test-agent", digest, &confirm), "only people may");
    refused(house.approve(&rollout, "lee", digest, &confirm), "somebody of another party must approve it");
    refused(house.approve(&rollout, "somebody", digest, &confirm), "is not among `approvals.people`");
    refused(house.cli_as("dana", &["revoke", &rollout]), "no approval");
    house.approve(&rollout, "dana", digest, &["--confirm", figure, "--through", "wave-9"]).expect_code(2);

    // Only for the first wave, and taken back again.
    house.approve(&rollout, "sam", digest, &["--confirm", figure, "--through", "wave-0"]).expect_code(0);
    assert_eq!(house.request(&rollout).unwrap()["request"]["given"][0]["through_wave"], 1);
    house.cli_as("sam", &["revoke", &rollout]).expect_code(0);
    refused(house.cli_as("sam", &["revoke", &rollout]), "no approval");

    house.approve(&rollout, "dana", &digest[..12], &confirm).expect_code(0);
    refused(house.approve(&rollout, "dana", digest, &confirm), "two approvals are two people");
    refused(house.approve(&rollout, "DANA", digest, &confirm), "two approvals are two people");
    // Two people of one party are not two parties.
    house.approve(&rollout, "ana", digest, &confirm).expect_code(0);
    std::thread::sleep(Duration::from_secs(2));
    let wanting = house.request(&rollout).unwrap()["request"]["wanting"].clone();
    assert_eq!(wanting, "of 1 more party");
    assert_eq!((house.executed(), house.queues()), (0, 3));
    house.approve(&rollout, "sam", digest, &confirm).expect_code(0);
    assert_eq!(house.daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}", house.daemon.log());
    assert_eq!((house.executed(), house.queues()), (3, 0));
}

#[test]
fn an_approval_of_the_first_wave_is_none_of_the_second() {
    let Some(house) = House::open() else { return };
    let rollout = house.asked("lee");
    let request = house.request(&rollout).unwrap();
    let (digest, figure) = (request["digest"].as_str().unwrap(), request["request"]["key_figure"].as_str().unwrap());
    for by in ["dana", "sam"] {
        house.approve(&rollout, by, digest, &["--confirm", figure, "--through", "wave-0"]).expect_code(0);
    }
    world::wait_status(&house.daemon, &rollout, "the first wave is through", LIMIT, |s| {
        s["waves"][0]["state"] == "passed"
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((house.executed(), house.queues()), (1, 2), "the second wave waits");
    house.daemon.cli(&["watch", &rollout]).expect_code(REFUSED);
    for by in ["dana", "rui"] {
        house.approve(&rollout, by, digest, &["--confirm", figure]).expect_code(0);
    }
    assert_eq!(house.daemon.wait_outcome(&rollout, LIMIT), "succeeded", "{}", house.daemon.log());
    assert_eq!((house.executed(), house.queues()), (3, 0));
}

#[test]
fn what_one_person_rejects_and_what_is_forbidden_does_not_happen() {
    let Some(house) = House::open() else { return };
    // Whoever hands it in proposes it too, and so does everybody of their party.
    let rollout = house.asked("dana");
    let request = house.request(&rollout).unwrap();
    let (digest, figure) = (request["digest"].as_str().unwrap(), request["request"]["key_figure"].as_str().unwrap());
    for by in ["dana", "ana", "lee"] {
        refused(
            house.approve(&rollout, by, digest, &["--confirm", figure]),
            "somebody of another party must approve it",
        );
    }
    refused(house.cli_as("test-agent", &["reject", &rollout, "--reason", "no"]), "only people may");
    house.cli_as("sam", &["reject", &rollout, "--reason", "the queue is in use"]).expect_code(0);
    assert_eq!(house.daemon.wait_outcome(&rollout, LIMIT), "cancelled", "{}", house.daemon.log());
    house.daemon.cli(&["watch", &rollout]).expect_code(REVERTED);
    let explained = house.daemon.cli(&["explain", &rollout]).expect_code(0);
    assert!(explained.stdout.contains("sam rejected it: the queue is in use"), "{}", explained.stdout);
    refused(house.approve(&rollout, "rui", digest, &["--confirm", figure]), "has ended");

    let file = house.change_set("strict");
    let waited = house.cli_as("lee", &["propose", file.to_str().unwrap(), "--wait"]).expect_code(REFUSED);
    let rollout = waited.stdout.lines().next().unwrap().trim();
    assert_eq!(house.daemon.wait_outcome(rollout, LIMIT), "cancelled");
    assert!(house.request(rollout).is_none(), "nobody is asked");
    let asked = house.daemon.cli(&["approvals"]).expect_code(0);
    assert!(asked.stdout.contains("nobody is asked for an approval"), "{}", asked.stdout);
    let explained = house.daemon.cli(&["explain", rollout, "--json"]).expect_code(0).json();
    let destructive = found(&explained, "destructive");
    assert_eq!(destructive["follows"]["needs"], "forbidden");
    assert_eq!(destructive["cause"]["line"], line_of(&house.daemon, "strict.yaml", "destructive: forbidden"));
    refused(house.approve(rollout, "sam", digest, &["--confirm", figure]), "has ended");
    assert_eq!((house.executed(), house.queues()), (0, 3));
}
