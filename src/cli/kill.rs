//! `kill`: stop. Works without a daemon too: the order is then left in the kill file, which is in force before a daemon's first
//! effect.

use super::args::{Common, KillArgs};
use super::call::{complain, failed, odd, runtime, state_dir};
use super::exit::Exit;
use crate::api::service::{Request, Response};
use crate::api::socket::{CallError, Client};
use crate::api::view::KillView;
use crate::config;
use crate::daemon::kill_file;
use std::path::Path;

/// `wavegate kill`
pub fn run(common: &Common, args: &KillArgs) -> Exit {
    let dir = match state_dir(common) {
        Ok(dir) => dir,
        Err(exit) => return exit,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let by = args.by.clone().unwrap_or_else(config::user);
    let request = Request::Kill { scope: args.scope.clone(), mode: args.mode, reason: args.reason.clone(), by };
    let answer = runtime.block_on(async { Client::connect(&dir).await?.call(&request).await });
    match answer {
        Ok(Response::Killed(view)) => report(&view, args.json),
        Ok(Response::Refused { message } | Response::BadInput { message }) => {
            complain(&message);
            by_file(&dir, args)
        }
        Ok(other) => {
            odd(&other);
            by_file(&dir, args)
        }
        Err(error @ (CallError::Unreachable { .. } | CallError::NoAnswer { .. })) => {
            failed(&error);
            by_file(&dir, args)
        }
    }
}

fn report(view: &KillView, json: bool) -> Exit {
    if json {
        println!("{}", serde_json::to_string(view).unwrap_or_default());
    } else {
        println!(
            "{}",
            match view.covers.len() {
                0 => "it covers NO rollout that is open now; is the scope spelled right? It holds for those to come"
                    .to_owned(),
                n => format!("it covers {n} open rollout(s)"),
            }
        );
        match view.pending.len() {
            0 => println!(
                "{}: {} ({}) is {}: no forward call can start any more",
                view.kill, view.scope, view.mode, view.state
            ),
            n => {
                println!(
                    "{}: {} ({}) is in force and still PENDING for {n} target(s):",
                    view.kill, view.scope, view.mode
                );
                view.pending.iter().for_each(|target| println!("  {target}"));
                println!("`wavegate status` tells when it is acknowledged");
            }
        }
        println!("lift it: wavegate resume --lift {} --as ALICE --and BOB", view.kill);
    }
    if view.state == "acknowledged" { Exit::Success } else { Exit::Killed }
}

/// The door that works when everything else is down.
fn by_file(dir: &Path, args: &KillArgs) -> Exit {
    match kill_file::write(dir, args.mode, &args.scope, &args.reason) {
        Ok(file) => {
            eprintln!(
                "left the kill file `{}`: a daemon there heeds it within a second, and at its start before anything else",
                file.display()
            );
            eprintln!("remove the file before the kill is lifted");
            if args.json {
                println!(
                    "{{\"kill\":null,\"state\":\"pending\",\"pending\":[],\"file\":{:?}}}",
                    file.display().to_string()
                );
            }
        }
        Err(error) => complain(&format!(
            "the kill file could not be written in `{}`: {error}; send SIGUSR1 (pause) or SIGUSR2 (halt) to the daemon",
            dir.display()
        )),
    }
    Exit::Unreachable
}
