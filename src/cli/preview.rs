//! `preview`: the daemon looks what a change set would do, with its own permissions and its own pipelines. `plan` does the same without a
//! daemon.

use super::args::{Common, PreviewArgs};
use super::call::{ask, complain, connect, odd, runtime, show_json};
use super::complain::is_json;
use super::draw::{is_denied, say};
use super::exit::Exit;
use super::watch::Watcher;
use super::{plan, propose};
use crate::api::client::Client;
use crate::api::listing::AuditEntry;
use crate::api::verbs::{Request, Response};
use crate::api::view::RolloutView;
use crate::api::words::Explained;
use crate::model::ids::RolloutId;

/// `wavegate preview`
pub fn run(common: &Common, args: &PreviewArgs) -> Exit {
    let submission = match propose::submission(&args.change_set) {
        Ok(submission) => submission,
        Err(exit) => return exit,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let mut client = connect(common).await?;
        match ask(&mut client, &Request::Preview { submission }).await? {
            Response::Proposed { rollout, .. } => looked(common, client, rollout).await,
            other => Err(odd(&other)),
        }
    });
    match done {
        Ok(view) => print(&view),
        Err(exit) => exit,
    }
}

/// Waits for the end of the look; the view with all previews, and with what it would be held by.
async fn looked(common: &Common, client: Client, rollout: RolloutId) -> Result<RolloutView, Exit> {
    let mut watcher = Watcher::new(common, client, rollout, None);
    let mut held: Option<Explained> = None;
    loop {
        let (events, view) = watcher.step(false).await?;
        held = hold(&events).or(held);
        let Some(view) = view else { continue };
        // Cleaning up ends a hold; why it would not start is what was asked.
        held = view.hold.clone().or(held);
        if view.outcome.is_some() {
            held = hold(&watcher.rest(true).await?).or(held);
            break;
        }
        if say::is_gone() {
            complain("nobody reads what is shown here any more; the look goes on, and cleans up");
            return Err(Exit::Failed);
        }
    }
    loop {
        if let Some(view) = watcher.look(true).await? {
            return Ok(RolloutView { hold: held, ..view });
        }
        watcher.step(false).await?;
    }
}

/// Why it is held, where an event says so.
fn hold(events: &[AuditEntry]) -> Option<Explained> {
    let held = events.iter().rev().find(|event| event.event == "rollout_held")?;
    Some(Explained { why: held.detail.clone(), next: "correct that, and look again".into() })
}

fn print(view: &RolloutView) -> Exit {
    match is_json() {
        true => show_json(view),
        false => say::say_all(&plan::text(view)),
    }
    if view.hold.is_some() || is_denied(view) { Exit::Refused } else { Exit::Success }
}
