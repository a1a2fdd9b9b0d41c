//! `kill`: stop. Works without a daemon too: the order is then left in the kill file, which is in force before a daemon's first
//! effect. With a server elsewhere there is no such file: the command says loudly that nothing was stopped, and where else one can.

use super::args::{Common, KillArgs};
use super::call::{failed, odd, place, print_json, runtime, taken, try_connect};
use super::complain::{complain, is_json, note};
use super::draw::say::say;
use super::exit::Exit;
use crate::api::client::{CallError, Place};
use crate::api::code::Code;
use crate::api::verbs::{Request, Response};
use crate::api::view::KillView;
use crate::daemon::kill_file::{self, Added};
use std::path::Path;

/// `wavegate kill`
pub fn run(common: &Common, args: &KillArgs) -> Exit {
    let place = match place(common) {
        Ok(place) => place,
        Err(exit) => return exit,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let request = Request::Kill { scope: args.scope.clone(), mode: args.mode, reason: args.reason.clone() };
    let answer = runtime.block_on(async { try_connect(common, &place).await?.call(&request).await });
    match (answer, &place) {
        (Ok(Response::Killed(view)), _) => report(&view),
        (answer, Place::Server(address)) => not_taken(answer, address, args),
        // The daemon works, and knows the caller: what they may not do they may not do by its file either.
        (Ok(Response::Refused { code: code @ Code::Forbidden, message }), Place::StateDir(_)) => {
            taken(Response::Refused { code, message }).map_or_else(|exit| exit, |_| Exit::Failed)
        }
        (answer, Place::StateDir(dir)) => {
            explain(answer);
            by_file(dir, args)
        }
    }
}

fn explain(answer: Result<Response, CallError>) -> Exit {
    match answer.map(taken) {
        Ok(Ok(other)) => odd(&other),
        Ok(Err(exit)) => exit,
        Err(error) => failed(&error),
    }
}

/// The server is elsewhere: no file that this command could leave would be heeded there.
fn not_taken(answer: Result<Response, CallError>, address: &str, args: &KillArgs) -> Exit {
    let refused = matches!(&answer, Ok(Response::Refused { code: Code::Forbidden, .. } | Response::BadInput { .. }));
    let unknown = matches!(&answer, Err(CallError::NoAnswer { .. }));
    let exit = explain(answer);
    if refused {
        complain("NOTHING WAS STOPPED");
        return exit;
    }
    let first = match unknown {
        true => format!("IT IS NOT KNOWN WHETHER ANYTHING WAS STOPPED: `{address}` gave no answer to the kill"),
        false => format!("NOTHING WAS STOPPED: `{address}` did not take the kill"),
    };
    complain(&format!(
        "{first}. The other doors, on the daemon's own machine:\n  \
         wavegate kill --scope {} --mode {}          (by its socket, and without a daemon by its kill file)\n  \
         touch STATE_DIR/KILL                         (pauses everything, within a second or at the daemon's start)\n  \
         kill -USR1 PID  or  kill -USR2 PID           (USR1 pauses everything, USR2 halts everything)",
        args.scope, args.mode
    ));
    Exit::Unreachable
}

fn report(view: &KillView) -> Exit {
    if is_json() {
        print_json(view);
    } else {
        say(&match view.covers.len() {
            0 => "it covers NO rollout that is open now; is the scope spelled right? It holds for those to come"
                .to_owned(),
            n => format!("it covers {n} open rollout(s)"),
        });
        let KillView { kill, scope, mode, state, .. } = view;
        match view.pending.len() {
            0 => say(&format!("{kill}: {scope} ({mode}) is {state}: no forward call can start any more")),
            n => {
                say(&format!("{kill}: {scope} ({mode}) is in force and still PENDING for {n} target(s):"));
                view.pending.iter().for_each(|target| say(&format!("  {target}")));
                say("`wavegate status` tells when it is acknowledged");
            }
        }
        say(&format!("lift it, each of two people: wavegate resume --lift {kill}"));
    }
    if matches!(view.state.as_str(), "acknowledged" | "over") { Exit::Success } else { Exit::Killed }
}

/// The door that works when everything else is down.
fn by_file(dir: &Path, args: &KillArgs) -> Exit {
    let file = kill_file::path(dir);
    match kill_file::add(&file, args.mode, &args.scope, &args.reason) {
        Ok(added) => {
            let file = file.display().to_string();
            note(&match added {
                Added::Written => format!(
                    "left the kill file `{file}`: a daemon there heeds it within a second, and at its start before anything else"
                ),
                Added::Held => format!("the kill file `{file}` is there already, and stops at least as much"),
                Added::Empty(why) => format!(
                    "the order cannot be written ({why}): left the kill file `{file}` empty, which pauses EVERYTHING"
                ),
            });
            note("remove the file before the kill is lifted");
            if is_json() {
                print_json(&serde_json::json!({ "kill": null, "state": "pending", "pending": [], "file": file }));
            }
        }
        Err(error) => complain(&format!(
            "the kill file could not be written in `{}`: {error}; send SIGUSR1 (pause) or SIGUSR2 (halt) to the daemon",
            dir.display()
        )),
    }
    Exit::Unreachable
}
