//! Errors and notices of a command, on standard error: lines for people; with `--json` one object for programs.

use super::exit::Exit;
use crate::api::code::Code;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

static JSON: AtomicBool = AtomicBool::new(false);
/// With `--json`: what there was to complain of, until the command ends and it is one object.
static SAID: Mutex<Said> = Mutex::new(Said { code: None, lines: Vec::new() });

struct Said {
    code: Option<Code>,
    lines: Vec<String>,
}

/// Sets whether the command prints JSON.
pub fn as_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

/// True when the command prints JSON.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Prints an error for people; with `--json` it is kept until [`finish`].
pub fn complain(message: &str) {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    if is_json() {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).lines.push(message.to_owned());
    } else {
        eprintln!("error: {message}");
    }
}

/// The same, of what the daemon refused: programs branch on the code.
pub fn complain_of(code: Code, message: &str) {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).code.get_or_insert(code);
    complain(message);
}

/// Prints what is no error, and not what was asked for either.
pub fn note(message: &str) {
    match is_json() {
        true => eprintln!("{}", json!({ "note": message })),
        false => eprintln!("{message}"),
    }
}

/// At a command's end, with `--json`: the one object of what there was to complain of, if anything.
pub fn finish(exit: Exit) {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if is_json() && !said.lines.is_empty() {
        eprintln!("{}", error(said.code.map_or(of_exit(exit), Code::name), &said.lines.join("\n")));
    }
}

/// An error as programs read it.
pub fn error(code: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message } }).to_string()
}

/// What has no code of the daemon's is named by how the command ended.
fn of_exit(exit: Exit) -> &'static str {
    match exit {
        Exit::Success | Exit::Failed => "failed",
        Exit::BadUsage => "bad_usage",
        Exit::Refused => "refused",
        Exit::Reverted => "reverted",
        Exit::Stuck => "stuck",
        Exit::Killed => "killed",
        Exit::Unreachable => "unreachable",
    }
}
