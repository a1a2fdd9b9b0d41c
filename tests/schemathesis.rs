//! The document of the HTTP door against the door itself: Schemathesis makes requests from it, sound ones and broken ones. With a token
//! nothing breaks and no answer is one that the document does not know; without one, nothing is answered but 401.
//!
//! Runs when `WAVEGATE_EMULATOR` is set (`tests/run`); `WAVEGATE_EMULATOR_BIN` then names the folder that holds `schemathesis`.
//! The two streams of events never end, and are left out; `tests/http/stream.rs` looks at them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "http/door.rs"]
mod door;
mod support;

use door::Door;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// So many requests of each kind for each address: some minutes in all.
const EXAMPLES: &str = "20";

fn schemathesis() -> Option<PathBuf> {
    if std::env::var_os("WAVEGATE_EMULATOR").is_none() {
        eprintln!("skipped: WAVEGATE_EMULATOR is unset (tests/run sets it up)");
        return None;
    }
    let folder =
        std::env::var_os("WAVEGATE_EMULATOR_BIN").expect("WAVEGATE_EMULATOR is set, WAVEGATE_EMULATOR_BIN is not");
    Some(PathBuf::from(folder).join("schemathesis"))
}

/// As many requests as it likes: what is looked at here is not the limits.
fn door() -> Door {
    Door::with("http: {listen: 127.0.0.1:0, limits: {per_second: 100000, burst: 100000}}")
}

/// Everything but what never ends.
fn document(door: &Door) -> Value {
    let mut document = door.json("/v1/openapi.json");
    document["paths"].as_object_mut().unwrap().retain(|path, _| !path.ends_with("/events"));
    document
}

fn run(program: &PathBuf, door: &Door, document: &Value, args: &[&str]) {
    let file = door.daemon.write("openapi.json", &document.to_string());
    let url = format!("http://{}", door.address);
    let mut command = Command::new(program);
    command.arg("run").arg(file).args(["--url", &url, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "20", "--warnings", "off"]);
    command.args(["--generation-database", "none"]).args(args).current_dir(door.daemon.home());
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // It has really asked.
    assert!(text.contains("generated") || text.contains("passed"), "{text}");
}

#[test]
fn with_a_token_nothing_breaks_and_nothing_surprises() {
    let Some(program) = schemathesis() else { return };
    let door = door();
    let header = format!("Authorization: {}", door.bearer);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                  response_schema_conformance,unsupported_method,ignored_auth";
    run(&program, &door, &document(&door), &["--header", &header, "--checks", checks]);
    assert_eq!(door.get("/readyz").status(), 200, "it lives, and leads");
}

#[test]
fn without_a_token_nothing_is_answered() {
    let Some(program) = schemathesis() else { return };
    let door = door();
    let mut document = document(&door);
    let problem = json!({ "description": "Nobody is let in", "content": { "application/problem+json": {} } });
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            // Whatever else is answered is none of these.
            operation["responses"] = json!({ "401": problem });
        }
    }
    let before = door.json("/v1/status");
    run(&program, &door, &document, &["--checks", "status_code_conformance,content_type_conformance"]);
    assert_eq!(door.json("/v1/status"), before, "nothing was done");
}
