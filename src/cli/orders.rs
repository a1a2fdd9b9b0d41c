//! `pause`, `resume`, `revert`, `withdraw`, `version`: one order, one answer.

use super::args::{Common, OrderArgs, ResumeArgs};
use super::call::{ask_once, odd, place, print_json, runtime, show_json, try_connect};
use super::complain::is_json;
use super::draw::say::say;
use super::exit::Exit;
use crate::api::client::Place;
use crate::api::verbs::{Request, Response};
use serde_json::json;

/// Gives an order about a rollout. What was done is said in words, or as `{"ok":true,"did":…,"rollout":…}`.
pub(super) fn order(common: &Common, request: &Request, did: &str, rollout: &str, said: &str) -> Exit {
    match ask_once(common, request) {
        Ok(Response::Done) if is_json() => print_json(&json!({ "ok": true, "did": did, "rollout": rollout })),
        Ok(Response::Done) => {
            say(said);
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

/// `wavegate pause`
pub fn pause(common: &Common, args: &OrderArgs) -> Exit {
    let request = Request::Pause { rollout: args.rollout.clone().into() };
    order(common, &request, "pause", &args.rollout, "paused: nothing new starts; what is in flight goes to its end")
}

/// `wavegate revert`
pub fn revert(common: &Common, args: &OrderArgs) -> Exit {
    let request = Request::Revert { rollout: args.rollout.clone().into() };
    order(common, &request, "revert", &args.rollout, "reverting, last wave first; `wavegate watch` follows it")
}

/// `wavegate withdraw`
pub fn withdraw(common: &Common, args: &OrderArgs) -> Exit {
    let request = Request::Withdraw { rollout: args.rollout.clone().into() };
    let said = "withdrawn; what it touched goes back, `wavegate watch` follows it";
    order(common, &request, "withdraw", &args.rollout, said)
}

/// `wavegate resume`
pub fn resume(common: &Common, args: &ResumeArgs) -> Exit {
    match (&args.lift, &args.rollout) {
        (Some(kill), _) => lift(common, kill),
        (_, Some(rollout)) => {
            order(common, &Request::Resume { rollout: rollout.clone().into() }, "resume", rollout, "resumed")
        }
        _ => Exit::BadUsage,
    }
}

fn lift(common: &Common, kill: &str) -> Exit {
    match ask_once(common, &Request::Lift { kill: kill.into() }) {
        Ok(Response::Lift(lift)) => {
            let by = lift.by.join(" and ");
            match (is_json(), lift.lifted) {
                (true, _) => show_json(&lift),
                (false, true) => say(&format!("lifted by {by}")),
                (false, false) => say(&format!(
                    "{by} wants it lifted; it stays in force until another person says so, within an hour: wavegate resume --lift {kill}"
                )),
            }
            if lift.lifted { Exit::Success } else { Exit::Killed }
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

/// `wavegate version`
pub fn version(common: &Common) -> Exit {
    let ours = env!("CARGO_PKG_VERSION");
    // No daemon is no error here: the question was answered.
    let (shown, daemon) = match place(common) {
        Ok(place) => {
            let shown = match &place {
                Place::StateDir(dir) => dir.display().to_string(),
                Place::Server(address) => address.clone(),
            };
            let Ok(runtime) = runtime() else { return Exit::Failed };
            let answer = runtime.block_on(async {
                let mut client = try_connect(common, &place).await.ok()?;
                client.call(&Request::Version).await.ok()
            });
            let daemon = answer.and_then(|answer| match answer {
                Response::Version { version } => Some(version),
                _ => None,
            });
            (shown, daemon)
        }
        Err(_) => return Exit::BadUsage,
    };
    if is_json() {
        return print_json(&json!({ "wavegate": ours, "daemon": daemon, "place": shown }));
    }
    say(&format!("wavegate {ours}"));
    match daemon {
        Some(version) => say(&format!("daemon {version}")),
        None => say(&format!("daemon: none in {shown}")),
    }
    Exit::Success
}
