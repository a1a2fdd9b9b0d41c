//! What the command line prints for programs: completions, manual pages, and JSON as `docs/cli-json.md` documents it.
//!
//! The examples of that document come from here: `WAVEGATE_WRITE_DOCS=1 cargo test --test cli` writes it anew.

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
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::daemon::{WAVEGATE, run_command};
use support::{CliOutput, Daemon, wait_for};
use world::Shape;

const LIMIT: Duration = Duration::from_secs(60);
const WITHOUT_QUEUE: &str = "Parameters:
  Retention:
    Type: Number
    Default: \"4\"
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
";
const ASKS: &str = "approvals:
  people:
    - {name: dana, party: platform}
    - {name: sam, party: security}
  agents:
    - {name: test-agent, party: orders}
autonomy:
  environments:
    production:
      destructive: two_approvals
";

fn wavegate(args: &[&str]) -> CliOutput {
    let mut command = Command::new(WAVEGATE);
    command.args(args).env_remove("WAVEGATE_SERVER").env_remove("WAVEGATE_TOKEN");
    run_command(command)
}

/// The outbox of this machine is not the one of a daemon elsewhere.
#[test]
fn deliveries_are_not_asked_for_from_afar() {
    let by_argument = wavegate(&["deliveries", "--server", "https://wavegate.example"]).expect_code(2);
    let mut command = Command::new(WAVEGATE);
    command.args(["deliveries", "--retry"]).env("WAVEGATE_SERVER", "https://wavegate.example");
    let by_environment = run_command(command).expect_code(2);
    for said in [by_argument.stderr, by_environment.stderr] {
        assert!(said.contains("on the daemon's machine") && said.contains("wavegate status"), "{said}");
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = wavegate(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("sign-off") && script.contains("give-up-after"), "{shell}");
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("wavegate.bash");
    std::fs::write(&file, wavegate(&["completions", "bash"]).stdout).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(parsed.success());
    wavegate(&["completions", "tcsh"]).expect_code(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let page = wavegate(&["man"]).expect_code(0).stdout;
    assert!(page.contains("\n.TH wavegate 1") && page.contains("wavegate\\-watch"), "{page}");
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("pages");
    let written = wavegate(&["man", "--dir", dir.to_str().unwrap(), "--json"]).expect_code(0).json();
    let names: BTreeSet<&str> =
        written["pages"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["wavegate.1", "wavegate-watch.1", "wavegate-sign-off.1", "wavegate-policy.1", "wavegate-policy-test.1"]
    {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    for name in names {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.contains("\n.TH ") && text.contains("\n.SH NAME"), "{name}");
        let title = text.lines().find(|line| line.starts_with(".TH")).unwrap().to_owned();
        assert!(title.replace("\\-", "-").contains(name.trim_end_matches(".1")), "{name}: {title}");
    }
    if let Ok(shown) = Command::new("man").arg("-l").arg(dir.join("wavegate-watch.1")).env("MANPAGER", "cat").output() {
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(!shown.status.success() || text.contains("give-up-after"), "{text}");
    }
}

#[test]
fn errors_are_one_object_where_json_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["status", "--state-dir", dir], 7, "unreachable"),
        (&["--state-dir", dir, "watch"], 7, "unreachable"),
        (&["propose", "/no/such/file", "--state-dir", dir], 2, "bad_usage"),
        (&["policy", "test", "/no/such/file"], 2, "bad_usage"),
        (&["me", "--server", "http://192.0.2.1"], 2, "bad_usage"),
        (&["pause"], 2, "bad_usage"),
    ];
    for (args, code, name) in cases {
        let out = wavegate(&[args, &["--json"]].concat()).expect_code(code);
        let error: Value = serde_json::from_str(&out.stderr).unwrap_or_else(|e| panic!("{args:?}: {e}: {out:?}"));
        assert_eq!(error["error"]["code"], name, "{args:?}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{args:?}");
        let plain = wavegate(args).expect_code(code);
        assert!(plain.stderr.starts_with("error: "), "{args:?}: {plain:?}");
    }
    wavegate(&["--help", "--json"]).expect_code(0);
}

#[test]
fn a_reader_that_goes_away_is_no_defect() {
    for args in [&["schema"][..], &["completions", "bash"], &["man"], &["policy", "schema"]] {
        let mut child =
            Command::new(WAVEGATE).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert!(!String::from_utf8_lossy(&out.stderr).contains("panicked"), "{args:?}: {out:?}");
    }
}

/// What was run, and the lines of JSON that it printed.
type Shown = (String, Vec<Value>);

struct Runs {
    daemon: Daemon,
    shown: Vec<Shown>,
}

impl Runs {
    fn run(&mut self, token: Option<&str>, shown: &str, args: &[&str], code: i32) -> Vec<Value> {
        let args: Vec<&str> = args.iter().chain(&["--json"]).copied().collect();
        let out = match token {
            Some(token) => self.daemon.cli_as(token, &args),
            None => self.daemon.cli(&args),
        };
        let out = out.expect_code(code);
        let text = if out.stdout.is_empty() { &out.stderr } else { &out.stdout };
        // The example's place is no place of this machine.
        let text = text.replace(self.daemon.home().to_str().unwrap(), "/srv/wavegate");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        assert!(!lines.is_empty(), "{args:?} printed nothing");
        self.shown.push((shown.to_owned(), lines.clone()));
        lines
    }
}

/// Every command that a daemon answers, and those that need none.
fn everything() -> Vec<Shown> {
    let cells = world::cells(&["111111111111"], &["eu-west-1"], 3);
    let pipeline = world::pipeline(&cells, &Shape { bake: "5m", extra: ASKS, ..Shape::default() });
    let mut daemon = Daemon::prepare(vec![], &[("test.yaml", &pipeline)]);
    daemon.serve_arg("--embedded");
    daemon.write("release-2.yaml", WITHOUT_QUEUE);
    daemon.write("change.yaml", &world::change_set("release-2.yaml", ""));
    daemon.run();
    let all = ["proposer", "author", "approver", "operator", "auditor"];
    let dana = daemon.token("dana", "human", "platform", &all);
    let sam = daemon.token("sam", "human", "security", &all);
    let lee = daemon.token("lee", "human", "orders", &all);
    let mut runs = Runs { daemon, shown: Vec::new() };

    runs.run(None, "preview CHANGE_SET", &["preview", "change.yaml"], 0);
    let proposed = runs.run(Some(&lee), "propose CHANGE_SET", &["propose", "change.yaml"], 0);
    let id = proposed[0]["rollout"].as_str().unwrap().to_owned();
    let r = id.as_str();
    let asked = wait_for("people are asked", LIMIT, || {
        let asked = runs.daemon.cli(&["approvals", "--json"]).json();
        asked[0]["admission"]["request"].is_object().then(|| asked[0]["admission"].clone())
    });
    runs.run(None, "approvals", &["approvals"], 0);
    runs.run(None, "explain ROLLOUT", &["explain", r], 0);
    let digest = asked["digest"].as_str().unwrap();
    let figure = asked["request"]["key_figure"].as_str().unwrap();
    let approve = ["approve", r, "--digest", digest, "--confirm", figure];
    runs.run(
        Some(&sam),
        "approve ROLLOUT",
        &["approve", r, "--digest", digest, "--confirm", figure, "--through", "wave-0"],
        0,
    );
    runs.run(Some(&sam), "revoke ROLLOUT", &["revoke", r], 0);
    for person in [&dana, &sam] {
        runs.daemon.cli_as(person, &approve).expect_code(0);
    }
    wait_for("it is out", LIMIT, || (runs.daemon.status(r)["phase"] == "baking").then_some(()));
    runs.run(None, "pause ROLLOUT", &["pause", r], 0);
    runs.run(None, "resume ROLLOUT", &["resume", r], 0);
    runs.run(None, "status", &["status"], 0);
    runs.run(None, "status ROLLOUT", &["status", r], 0);
    let killed = runs.run(Some(&lee), "kill", &["kill", "--reason", "a test"], 0);
    let kill = killed[0]["kill"].as_str().unwrap().to_owned();
    runs.run(Some(&lee), "resume --lift KILL", &["resume", "--lift", &kill], 6);
    runs.daemon.cli_as(&sam, &["resume", "--lift", &kill]).expect_code(0);
    runs.run(None, "revert ROLLOUT", &["revert", r], 0);
    runs.run(None, "watch ROLLOUT", &["watch", r], 4);
    let withdrawn = runs.daemon.cli_as(&lee, &["propose", "change.yaml", "--json"]).expect_code(0).json();
    runs.run(Some(&lee), "withdraw ROLLOUT", &["withdraw", withdrawn["rollout"].as_str().unwrap()], 0);
    wait_for("its targets are free", LIMIT, || {
        let open = runs.daemon.cli(&["rollouts", "--open", "--json"]).json();
        open["items"].as_array().unwrap().is_empty().then_some(())
    });
    let rejected = runs.daemon.cli_as(&lee, &["propose", "change.yaml", "--json"]).expect_code(0).json();
    let rejected = rejected["rollout"].as_str().unwrap().to_owned();
    wait_for("people are asked", LIMIT, || {
        let asked = runs.daemon.cli(&["approvals", "--json"]).json();
        asked[0]["admission"]["request"].is_object().then_some(())
    });
    runs.run(Some(&sam), "reject ROLLOUT --reason WORDS", &["reject", &rejected, "--reason", "in use"], 0);
    runs.run(None, "rollouts", &["rollouts"], 0);
    runs.run(None, "pipelines", &["pipelines"], 0);
    runs.run(None, "pipelines NAME", &["pipelines", "test"], 0);
    runs.run(None, "audit", &["audit"], 0);
    runs.run(None, "me", &["me"], 0);
    runs.run(None, "version", &["version"], 0);
    runs.run(None, "check", &["check", "pipelines"], 0);
    runs.run(None, "errors", &["pause", "r-none"], 3);
    runs.shown
}

/// The names and kinds of an object's fields; what may be null is any kind.
fn fields(value: &Value) -> BTreeMap<String, &'static str> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    let mut found = BTreeMap::new();
    if let Value::Object(map) = value {
        found.extend(map.iter().map(|(name, value)| (name.clone(), kind(value))));
    }
    if let Value::Array(items) = value {
        found.extend(items.first().map(fields).unwrap_or_default());
    }
    found
}

fn is_as_documented(documented: &Value, real: &Value) -> bool {
    let (documented, real) = (fields(documented), fields(real));
    documented.keys().eq(real.keys())
        && documented.iter().all(|(name, kind)| real[name] == *kind || *kind == "null" || real[name] == "null")
}

/// An example that a person can read: one item of each list, and not too deep.
fn shortened(value: &Value, depth: usize) -> Value {
    match value {
        Value::Array(items) => items.iter().take(1).map(|item| shortened(item, depth)).collect(),
        Value::Object(map) if depth == 0 && !map.is_empty() => Value::String("{…}".into()),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), shortened(value, depth - 1)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::String(text) if text.chars().count() > 90 => {
            Value::String(format!("{}…", text.chars().take(90).collect::<String>()))
        }
        other => other.clone(),
    }
}

/// The lines of a command that differ in their fields, each once; of events one is enough.
fn kinds(lines: &[Value]) -> Vec<&Value> {
    let mut found: Vec<&Value> = Vec::new();
    for line in lines {
        let names: Vec<String> = fields(line).into_keys().collect();
        if !found.iter().any(|known| fields(known).into_keys().eq(names.iter().cloned())) {
            found.push(line);
        }
    }
    found
}

const HEAD: &str = "# What `--json` prints

Every command takes `--json`. What is asked for goes to standard output, one JSON value a line; fields may be added in a later release,
and none is renamed or taken away. Exit codes are the same with and without it (`wavegate --help`).

An error is one object on standard error, `{\"error\": {\"code\", \"message\"}}`. `code` is stable. It is the daemon's own where the daemon has
refused (`unknown_rollout`, `ended`, `forbidden`, `unauthenticated`, …: the same as over HTTP), else `bad_usage`, `unreachable`, `refused` or
`failed`. `message` is for people, and changes. Notices, such as that `watch` waits for a daemon that is away, are `{\"note\": …}` lines on
standard error.

`propose --wait` prints its own line and then what `watch` prints. `watch` and `audit --follow` print a line as soon as it happens.
`preview` and `plan` print what `status ROLLOUT` prints. `sign-off` prints what `approve` does. `judge` and `backtest` print JSON lines as
with `--format json` (docs/judge.md), `demo` and `replay` the records that they show, `schema` a JSON Schema. `completions` prints
`{\"shell\", \"script\"}`; `man` `{\"name\", \"page\"}`, with `--dir` `{\"dir\", \"pages\"}`; `policy test` `{\"file\", \"ok\", \"examples\", \"as_expected\",
\"wrong\"}` for each file; `policy prove` `{\"file\", \"line\", \"policy\", \"proven\", \"kinds\", \"let_through\"}` for each policy; `policy schema`
`{\"schema\"}`. Where no daemon takes a `kill`, it prints `{\"kill\": null, \"state\": \"pending\", \"pending\": [], \"file\"}` and names the kill file.

The examples come from real runs; lists are cut to their first item, and `{…}` stands for an object that is left out. A test compares
their fields with what the commands print.
";

#[test]
fn json_is_as_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli-json.md");
    let shown = everything();
    if std::env::var_os("WAVEGATE_WRITE_DOCS").is_some() {
        let mut text = HEAD.to_owned();
        for (command, lines) in &shown {
            let title = if command == "errors" { "an error".into() } else { format!("`wavegate {command} --json`") };
            text.push_str(&format!("\n## {title}\n\n```json\n"));
            for line in kinds(lines) {
                text.push_str(&serde_json::to_string_pretty(&shortened(line, 3)).unwrap());
                text.push('\n');
            }
            text.push_str("```\n");
        }
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(HEAD), "the head is another one than here: write the document anew");
    for (command, lines) in &shown {
        let title =
            if command == "errors" { "\n## an error\n".into() } else { format!("\n## `wavegate {command} --json`\n") };
        let section = text.split(&title).nth(1).unwrap_or_else(|| panic!("{title} is not in the document"));
        let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let examples: Vec<Value> =
            serde_json::Deserializer::from_str(block).into_iter().collect::<Result<_, _>>().unwrap();
        for line in lines {
            let known = examples.iter().any(|example| is_as_documented(example, line));
            assert!(known, "`{command}` prints fields that its examples do not have: {line}");
        }
    }
}
