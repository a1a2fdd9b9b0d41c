//! `completions`: what a shell completes after `wavegate`.

use super::args::{Args, CompletionsArgs};
use super::call::print_json;
use super::complain::is_json;
use super::draw::say::say;
use super::exit::Exit;
use clap::CommandFactory as _;

/// `wavegate completions`
pub fn run(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "wavegate", &mut script);
    let script = String::from_utf8_lossy(&script);
    if is_json() {
        return print_json(&serde_json::json!({ "shell": args.shell.to_string(), "script": script }));
    }
    say(script.trim_end());
    Exit::Success
}
