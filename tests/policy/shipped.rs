//! The policies that ship, through the program: their examples, and the proof that they hold back what must never be. Proofs need a
//! solver: tests/run names it with CVC5, and without that they say that they were skipped.

use super::root;
use std::path::Path;
use std::process::Command;

const POLICIES: &str = "pipelines/policies/never-delete-data.cedar";
const NEVER: &str = "pipelines/policies/never.cedar";

/// Exit code, and what was printed.
fn wavegate(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wavegate")).args(args).current_dir(root()).output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), printed)
}

/// `policy prove`; none without a solver.
fn prove(policies: &str, never: &str) -> Option<(i32, String)> {
    if std::env::var_os("CVC5").is_none() {
        eprintln!("skipped: CVC5 names no solver");
        return None;
    }
    Some(wavegate(&["policy", "prove", policies, "--never", never]))
}

fn written(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn shipped_examples_are_as_expected() {
    let (code, printed) = wavegate(&["policy", "test", "pipelines/policies/never-delete-data.tests.yaml"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("14 of 14 examples are as expected"), "{printed}");
}

#[test]
fn shipped_policies_hold_back_what_must_never_be() {
    let Some((code, printed)) = prove(POLICIES, NEVER) else { return };
    assert_eq!(code, 0, "{printed}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("proven ")).count(), 9, "{printed}");
}

#[test]
fn shipped_policies_made_weaker_are_found_out_by_an_example() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join(POLICIES)).unwrap();
    let weaker = [
        ("an exception by party", "unless { principal is Human };", "unless { principal.party == \"platform\" };"),
        (
            "one environment forgotten",
            "resource.environment != \"development\"",
            "resource.environment == \"production\"",
        ),
        ("one type forgotten", "      \"AWS::KMS::Key\",\n", ""),
        ("fewer people", "two_approvals", "one_approval"),
    ];
    for (what, from, to) in weaker {
        assert!(text.contains(from), "{what}");
        let policies = written(dir.path(), "weaker.cedar", &text.replace(from, to));
        let Some((code, printed)) = prove(&policies, NEVER) else { return };
        assert_eq!(code, 3, "{what}: {printed}");
        assert!(printed.contains("NOT PROVEN") && printed.contains("environment: "), "{what}: {printed}");
    }
}

#[test]
fn shipped_prover_refuses_what_would_prove_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = "permit(principal, action == Action::\"opaque\", resource) when { context.targets == 0 };";
    let nothing = written(dir.path(), "nothing.cedar", nothing);
    if let Some((code, printed)) = prove(POLICIES, &nothing) {
        assert_eq!(code, 3, "{printed}");
        assert!(printed.contains("describes no request that there can be"), "{printed}");
    }
    let forbid = written(dir.path(), "forbid.cedar", "forbid(principal is Agent, action, resource);");
    let (code, printed) = wavegate(&["policy", "prove", POLICIES, "--never", &forbid]);
    assert_eq!(code, 2, "{printed}");
    assert!(printed.contains("a `forbid` in a NEVER file"), "{printed}");
}

#[test]
fn shipped_prover_says_when_there_is_no_solver() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate"));
    command.args(["policy", "prove", POLICIES, "--never", NEVER]).current_dir(root()).env("CVC5", "/nowhere/cvc5");
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("install it (on Debian: sudo apt-get install cvc5), or name it with CVC5"), "{printed}");
}
