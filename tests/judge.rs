//! `wavegate judge` and `wavegate backtest`: small recordings with the verdicts that they must come to, and bad input with the words that
//! say what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "judge/backtest.rs"]
mod backtest;

use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const GATE: &str = r#"
version: 1
name: orders
health:
  settle: 1m
  lag: 2m
  metrics:
    - {name: errors, namespace: Shop, metric: Errors, statistic: Average, period: 60s, fail_when: "> 5",
       datapoints_to_alarm: 2, evaluation_periods: 3}
"#;

/// Minute `n` after noon.
fn at(minute: u32) -> String {
    format!("2026-03-01T12:{minute:02}:00Z")
}

fn point(minute: u32, cell: &str, value: f64) -> String {
    format!("{{\"at\":\"{}\",\"cell\":\"{cell}\",\"metric\":\"errors\",\"value\":{value}}}\n", at(minute))
}

/// Five minutes of history, a change at 12:05, a bake from 12:06 to 12:16; from 12:09 on the changed cell has `then`.
fn recording(then: f64) -> String {
    let mut text = String::new();
    for minute in 0..20 {
        match minute {
            5 => writeln!(text, "{{\"at\":\"{}\",\"cell\":\"a\",\"event\":\"applied\"}}", at(5)).unwrap(),
            6 => writeln!(text, "{{\"at\":\"{}\",\"event\":\"bake_start\",\"wave\":1}}", at(6)).unwrap(),
            16 => writeln!(text, "{{\"at\":\"{}\",\"event\":\"bake_end\",\"wave\":1}}", at(16)).unwrap(),
            _ => {}
        }
        text += &point(minute, "a", if minute >= 9 { then } else { 1.0 });
        text += &point(minute, "b", 1.0);
    }
    text
}

/// Exit code, standard output and standard error of `wavegate judge` over a gate and a recording from standard input.
fn judge(gate: &str, recording: &str, args: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gate.yaml"), gate).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wavegate"))
        .current_dir(dir.path())
        .args(["judge", "--pipeline", "gate.yaml", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A recording that is refused early is not read to its end.
    let _ = child.stdin.take().unwrap().write_all(recording.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const ALONE: &str = "note: `gate.yaml` has no fleet and no waves: whether its gate fits into a bake is not checked\n";

#[test]
fn a_healthy_change_passes() {
    let (code, out, err) = judge(GATE, &recording(1.2), &[]);
    assert_eq!((code, err.as_str()), (0, ALONE));
    let last = out.lines().last().unwrap();
    assert_eq!(last, r#"{"verdict":"pass","decided_at":"2026-03-01T12:18:00Z","ticks":10,"reasons":[]}"#);
    let ticks = lines(&out);
    assert_eq!(ticks.len(), 12, "eleven ticks from the change to the bake's end, and what they come to");
    let words: Vec<&str> = ticks.iter().map(|tick| tick["verdict"].as_str().unwrap()).collect();
    assert_eq!(words[..4], ["inconclusive", "inconclusive", "pass", "pass"], "{out}");
    assert_eq!(ticks[0]["at"], at(8), "a tick is judged once it has closed");
    assert_eq!(ticks[0]["until"], at(6));
    assert_eq!(ticks[2]["judges"]["thresholds"]["readings"][0]["value"], 1.0);
    assert!(ticks[2]["judges"]["comparison"].is_null());
}

#[test]
fn a_bad_change_fails_at_the_closing_time_of_the_tick_that_showed_it() {
    let (code, out, _) = judge(GATE, &recording(9.0), &[]);
    assert_eq!(code, 4);
    assert_eq!(
        out.lines().last().unwrap(),
        concat!(
            r#"{"verdict":"fail","decided_at":"2026-03-01T12:13:00Z","ticks":5,"reasons":[{"#,
            r#""text":"errors in a was > 5 in 2 of 3 points (worst 9)","verdict":"fail","cell":"a","signal":"errors","#,
            r#""problem":{"kind":"breach","bad":2,"of":3,"threshold":{"op":"above","value":5.0},"worst":9.0}}]}"#
        ),
        "two bad points, 12:09 and 12:10: the second is known two minutes after 12:11"
    );
    let (code, all, _) = judge(GATE, &recording(9.0), &["--go-on"]);
    assert_eq!(code, 4);
    assert!(all.lines().count() > out.lines().count(), "it goes on to the bake's end");
    assert_eq!(all.lines().last(), out.lines().last(), "and comes to the same");
}

#[test]
fn quiet_prints_what_it_comes_to_and_a_table_says_it_in_words() {
    let (_, out, _) = judge(GATE, &recording(1.2), &["--quiet"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let (code, out, _) = judge(GATE, &recording(9.0), &["--quiet", "--format", "table"]);
    assert_eq!(code, 4);
    assert_eq!(
        out,
        "fail: it would have been reverted, decided at 2026-03-01T12:13:00Z, 5 ticks after the first changed cell had settled\n  \
         errors in a was > 5 in 2 of 3 points (worst 9)\n"
    );
}

#[test]
fn a_recording_without_the_data_or_the_end_of_a_bake_is_no_pass() {
    let silent: String = recording(1.2)
        .lines()
        .filter(|l| !(l.contains("\"a\"") && l.contains("value")))
        .fold(String::new(), |text, line| text + line + "\n");
    let (code, out, err) = judge(GATE, &silent, &["--quiet"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.starts_with(r#"{"verdict":"inconclusive""#), "{out}");
    assert!(err.contains("cell `a` was changed and has no point at all: is its name right?"), "{err}");
    let open: String =
        recording(1.2).lines().filter(|l| !l.contains("bake_end")).fold(String::new(), |t, l| t + l + "\n");
    let (code, out, _) = judge(GATE, &open, &["--quiet"]);
    assert_eq!(code, 3);
    assert!(out.contains("the recording ends before the bake of wave 1 does"), "{out}");
}

#[test]
fn every_fault_of_a_recording_is_told_with_its_line_and_what_to_do() {
    let good = "{\"at\":\"2026-03-01T12:00:00Z\",\"cell\":\"a\",\"metric\":\"errors\",\"value\":1}";
    let at = "\"at\":\"2026-03-01T12:01:00Z\"";
    let cases: Vec<(String, &str)> = vec![
        (
            format!("{{{at},\"cell\":\"a\",\"metric\":\"errors\",\"valu\":1}}"),
            "unknown key `valu`: did you mean `value`?",
        ),
        (format!("{{{at},\"cell\":\"a\",\"metric\":\"errors\"}}"), "no `value`: add it, as `\"value\": 0.2`"),
        (
            format!("{{{at},\"cell\":\"a\",\"metric\":\"errors\",\"value\":\"NaN\"}}"),
            "`value` is \"NaN\", no number: leave the point out where there is none, it is missing then",
        ),
        (
            "{\"at\":\"noon\",\"cell\":\"a\",\"metric\":\"errors\",\"value\":1}".to_owned(),
            "`at` is \"noon\", no time: write it as \"2026-03-01T12:00:00Z\"",
        ),
        (
            "{\"at\":\"2026-03-01T11:59:00Z\",\"cell\":\"a\",\"metric\":\"errors\",\"value\":1}".to_owned(),
            "`at` is 2026-03-01T11:59:00Z, and an earlier line has 2026-03-01T12:00:00Z: sort the lines by `at`",
        ),
        (
            "{\"at\":\"2026-03-01T12:00:30Z\",\"cell\":\"a\",\"metric\":\"errors\",\"value\":1}".to_owned(),
            "`errors` of `a` has a point for the 60s from 2026-03-01T12:00:00Z already: keep one of the two",
        ),
        (
            format!("{{{at},\"cell\":\"a b\",\"metric\":\"errors\",\"value\":1}}"),
            "`cell` must be 1 to 128 characters without blanks: write it as the pipeline's fleet does",
        ),
        (
            format!("{{{at},\"event\":\"bake_stop\",\"wave\":1}}"),
            "unknown event `bake_stop`: there are `applied`, `bake_start`, `bake_end`",
        ),
        (
            format!("{{{at},\"event\":\"bake_end\",\"wave\":1}}"),
            "bake 1 ends and has not started: add its `bake_start` line, or remove this one",
        ),
        (
            format!("{{{at},\"event\":\"bake_start\",\"wave\":\"one\"}}"),
            "`wave` is \"one\": write the wave's number, 1 for the first",
        ),
        (format!("{{{at},\"event\":\"bake_start\"}}"), "no `wave`: add it, as `\"wave\": 1`"),
        (
            format!("{{{at},{at},\"cell\":\"a\"}}"),
            "no JSON object with each key once (`at` stands twice, at character 56): write one `{\"at\": …}` a line",
        ),
    ];
    for (line, said) in cases {
        let (code, out, err) = judge(GATE, &format!("{good}\n{line}\n"), &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{line}");
        assert_eq!(err, format!("error: standard input:2: {said}\n"), "{line}");
    }
}

#[test]
fn series_that_the_gate_does_not_look_at_are_left_out_and_told() {
    let at = "\"at\":\"2026-03-01T12:00:00Z\",\"cell\":\"a\"";
    let of = |name: &str| format!("{{{at},\"metric\":\"{name}\",\"value\":1}}\n");
    let (_, _, err) = judge(GATE, &format!("{}{}{}", of("errors"), of("cpu"), of("error")), &[]);
    assert!(err.contains("note: the pipeline has no series `error`: did you mean `errors`?\n"), "{err}");
    assert!(err.contains("note: in no metric of the pipeline, and left out: `cpu`\n"), "{err}");
}

#[test]
fn of_one_moment_a_change_comes_before_its_bake() {
    let line = |rest: &str| format!("{{\"at\":\"2026-03-01T12:00:00Z\",{rest}}}\n");
    let applied = line("\"cell\":\"a\",\"event\":\"applied\"");
    let start = line("\"event\":\"bake_start\",\"wave\":1");
    let rest = "{\"at\":\"2026-03-01T12:05:00Z\",\"event\":\"bake_end\",\"wave\":1}\n";
    let one = judge(GATE, &format!("{applied}{start}{rest}"), &[]);
    assert_eq!(one, judge(GATE, &format!("{start}{applied}{rest}"), &[]));
}

#[test]
fn faults_that_need_two_lines_are_told_at_the_second() {
    let applied = "{\"at\":\"2026-03-01T12:00:00Z\",\"cell\":\"a\",\"event\":\"applied\"}\n";
    let start = |wave: u32| format!("{{\"at\":\"2026-03-01T12:00:00Z\",\"event\":\"bake_start\",\"wave\":{wave}}}\n");
    let end = |wave: u32| format!("{{\"at\":\"2026-03-01T12:00:00Z\",\"event\":\"bake_end\",\"wave\":{wave}}}\n");
    let cases = [
        (
            format!("{applied}{applied}"),
            "2: cell `a` was applied at 2026-03-01T12:00:00Z already: keep the one line at which it was really changed",
        ),
        (
            format!("{}{}", start(1), end(1)),
            "2: bake 1 ends before any cell was changed: add an `applied` line for each changed cell before it starts",
        ),
        (
            format!("{applied}{}{}", start(1), start(2)),
            "3: bake 2 starts while bake 1 is open: add `bake_end` of wave 1 before it",
        ),
        (format!("{applied}{}{}", start(1), end(2)), "3: bake 2 ends while bake 1 is open: end wave 1"),
        (
            format!("{applied}{}{}{}", start(1), end(1), start(1)),
            "4: bake 1 comes after bake 1: number the waves upwards",
        ),
    ];
    for (recording, said) in cases {
        let (code, _, err) = judge(GATE, &recording, &[]);
        assert_eq!((code, err), (2, format!("error: standard input:{said}\n")), "{recording}");
    }
    let (code, _, err) = judge(GATE, recording(1.0).lines().next().unwrap(), &[]);
    assert_eq!(code, 2);
    assert!(
        err.ends_with(
            "error: nothing was changed: add an `applied` line for each cell, at the time at which it was changed\n"
        ),
        "{err}"
    );
}

#[test]
fn many_faults_are_cut_short_and_a_long_line_is_not_read() {
    let (code, _, err) = judge(GATE, &"nonsense\n".repeat(1000), &[]);
    assert_eq!((code, err.lines().count()), (2, 21), "{err}");
    assert!(err.ends_with("and perhaps more: reading stopped here\n"), "{err}");
    let (code, _, err) = judge(GATE, &" ".repeat(100_000), &[]);
    assert_eq!(code, 2);
    assert!(err.contains("standard input:1: a line of more than 8192 bytes: write one JSON object a line"), "{err}");
}

#[test]
fn a_gate_alone_is_checked_as_far_as_it_can_be() {
    let (code, _, err) = judge(&GATE.replace("evaluation_periods: 3", "evaluation_periods: 1"), "", &[]);
    assert_eq!(code, 2);
    assert!(err.contains("2 bad points of 1 can never be"), "{err}");
    let (code, _, err) =
        judge(&format!("{GATE}  alarms:\n    - {{name: orders-5xx}}\n"), &recording(1.0), &["--quiet"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("note: alarms are not recorded, so these are not judged: `orders-5xx`"), "{err}");
}

#[test]
fn a_reader_who_has_gone_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gate.yaml"), GATE).unwrap();
    std::fs::write(dir.path().join("r.jsonl"), recording(9.0)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_wavegate"))
        .current_dir(dir.path())
        .args(["judge", "--pipeline", "gate.yaml", "r.jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), ALONE);
}

#[test]
fn the_examples_come_to_what_the_documentation_says_and_are_drawn() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/judge");
    let dir = tempfile::tempdir().unwrap();
    for (name, verdict, code) in [("healthy", "pass", 0), ("incident", "fail", 4)] {
        let svg = dir.path().join("picture.svg");
        let output = Command::new(env!("CARGO_BIN_EXE_wavegate"))
            .arg("judge")
            .arg("--pipeline")
            .arg(folder.join("pipeline.yaml"))
            .arg(folder.join(format!("{name}.jsonl")))
            .arg("--picture")
            .arg(&svg)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}");
        let last = lines(&String::from_utf8(output.stdout).unwrap()).pop().unwrap();
        assert_eq!(last["verdict"], verdict, "{name}: {last}");
        let drawn = std::fs::read_to_string(&svg).unwrap();
        let nodes = ["<svg ", "error-ratio [percent]", "fails when &gt; 5", "stroke-dasharray", "bake 1", "</svg>"];
        nodes.iter().for_each(|node| assert!(drawn.contains(node), "{name}: {node}"));
        assert_eq!(drawn.contains("reverts "), verdict == "fail" || drawn.contains("reverts at"), "{name}");
    }
}
