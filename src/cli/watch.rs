//! `watch`: follow a rollout live, to its end.

use super::args::{Common, WatchArgs};
use super::call::{ask, complain, connect, odd, runtime};
use super::draw::{self, Screen};
use super::exit::Exit;
use crate::api::service::{Request, Response};
use crate::api::socket::Client;
use crate::api::view::RolloutView;
use crate::model::event::Outcome;
use crate::model::ids::RolloutId;
use std::time::Duration;

/// Between two looks: a person does not see more.
const LOOK: Duration = Duration::from_millis(250);
/// A rollout that is held, or killed, and does not move for so many looks has nothing more to show.
const STILL_LOOKS: u32 = 12;

/// `wavegate watch`
pub fn run(common: &Common, args: &WatchArgs) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let done = runtime.block_on(async {
        let mut client = connect(common).await?;
        let rollout = match &args.rollout {
            Some(id) => RolloutId::new(id.as_str()),
            None => newest(&mut client).await?,
        };
        println!("{}", draw::LEGEND);
        follow(&mut client, &rollout, false).await
    });
    done.unwrap_or_else(|exit| exit)
}

async fn newest(client: &mut Client) -> Result<RolloutId, Exit> {
    match ask(client, &Request::Status { rollout: None, full: false }).await? {
        Response::Status(view) => view.rollouts.last().map(|r| r.rollout.clone()).ok_or_else(|| {
            complain("there is no rollout to watch; hand in a change set with `wavegate propose`");
            Exit::Refused
        }),
        other => Err(odd(&other)),
    }
}

/// Follows a rollout until it ends, or until only a person can move it. The exit code says how it ended.
///
/// # Errors
/// The exit code of a daemon that gives no answer.
pub async fn follow(client: &mut Client, rollout: &RolloutId, quiet: bool) -> Result<Exit, Exit> {
    let mut screen = Screen::default();
    let mut last: Option<RolloutView> = None;
    let mut still = 0;
    loop {
        let view = match ask(client, &Request::Status { rollout: Some(rollout.clone()), full: false }).await? {
            Response::Status(mut view) => match view.rollouts.pop() {
                Some(view) => view,
                None => return Err(Exit::Failed),
            },
            other => return Err(odd(&other)),
        };
        still = if last.as_ref() == Some(&view) { still + 1 } else { 0 };
        let end = ended(&view, still);
        match (quiet, end) {
            (false, None) => screen.show(&view),
            (false, Some(_)) => screen.finish(&view),
            (true, _) => {}
        }
        if let Some(exit) = end {
            return Ok(exit);
        }
        last = Some(view);
        tokio::time::sleep(LOOK).await;
    }
}

fn ended(view: &RolloutView, still: u32) -> Option<Exit> {
    match (view.outcome, view.killed.is_some(), view.hold.is_some()) {
        (Some(Outcome::Succeeded), ..) => Some(Exit::Success),
        (Some(Outcome::Reverted | Outcome::Cancelled), ..) => Some(Exit::Reverted),
        (Some(Outcome::Stuck), ..) => Some(Exit::Stuck),
        (None, true, _) if still >= STILL_LOOKS => Some(Exit::Killed),
        (None, false, true) if still >= STILL_LOOKS => Some(Exit::Refused),
        _ => None,
    }
}
