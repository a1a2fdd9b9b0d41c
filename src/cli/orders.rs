//! `pause`, `resume`, `revert`, `version`: one order, one answer.

use super::args::{Common, OrderArgs, ResumeArgs};
use super::call::{ask_once, odd};
use super::exit::Exit;
use crate::api::service::{Request, Response};
use crate::config;

fn order(common: &Common, request: &Request, said: &str) -> Exit {
    match ask_once(common, request) {
        Ok(Response::Done) => {
            println!("{said}");
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

fn name(by: Option<&String>) -> String {
    by.cloned().unwrap_or_else(config::user)
}

/// `wavegate pause`
pub fn pause(common: &Common, args: &OrderArgs) -> Exit {
    let request = Request::Pause { rollout: args.rollout.clone().into(), by: name(args.by.as_ref()) };
    order(common, &request, "paused: nothing new starts; what is in flight goes to its end")
}

/// `wavegate revert`
pub fn revert(common: &Common, args: &OrderArgs) -> Exit {
    let request = Request::Revert { rollout: args.rollout.clone().into(), by: name(args.by.as_ref()) };
    order(common, &request, "reverting, last wave first; `wavegate watch` follows it")
}

/// `wavegate resume`
pub fn resume(common: &Common, args: &ResumeArgs) -> Exit {
    let by = name(args.by.as_ref());
    match (&args.lift, &args.second, &args.rollout) {
        (Some(kill), Some(second), _) => {
            let request = Request::Lift { kill: kill.clone().into(), by: [by, second.clone()] };
            order(common, &request, "lifted")
        }
        (_, _, Some(rollout)) => order(common, &Request::Resume { rollout: rollout.clone().into(), by }, "resumed"),
        _ => Exit::BadUsage,
    }
}

/// `wavegate version`
pub fn version(common: &Common) -> Exit {
    println!("wavegate {}", env!("CARGO_PKG_VERSION"));
    // No daemon is no error here: the question was answered.
    let Ok(dir) = config::state_dir(common.state_dir.clone()) else { return Exit::Success };
    let Ok(runtime) = super::call::runtime() else { return Exit::Failed };
    let answer = runtime.block_on(async {
        let mut client = crate::api::socket::Client::connect(&dir).await.ok()?;
        client.call(&Request::Version).await.ok()
    });
    match answer {
        Some(Response::Version { version }) => println!("daemon {version}"),
        _ => println!("daemon: none in {}", dir.display()),
    }
    Exit::Success
}
