//! The demo, as a newcomer runs it: every scenario goes as told, and a seed repeats a run exactly.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};

fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wavegate")).arg("demo").args(["--speed", "0"]).args(args).output().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let (one, two) = (demo(&["--json", "--seed", "1"]), demo(&["--json", "--seed", "1"]));
    assert!(one.status.success());
    assert!(one.stdout.len() > 10_000);
    assert_eq!(one.stdout, two.stdout);
    assert_ne!(one.stdout, demo(&["--json", "--seed", "2"]).stdout);
}

#[test]
fn every_scenario_goes_as_told_whatever_the_seed() {
    for seed in 1..=8 {
        let out = demo(&["--seed", &seed.to_string()]);
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success(), "seed {seed}: {text}");
        assert_eq!(text.matches('✓').count(), 4, "seed {seed}: {text}");
    }
}

#[test]
fn an_unknown_scenario_is_bad_usage() {
    assert_eq!(demo(&["--scenario", "nonsense"]).status.code(), Some(2));
}
