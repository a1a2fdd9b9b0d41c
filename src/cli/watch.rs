//! `watch`: follow a rollout live, to its end.

use super::args::{Common, WatchArgs};
use super::call::{ask, complain, connect, odd, runtime};
use super::draw::{self, Screen, say};
use super::exit::Exit;
use crate::api::service::{Request, Response};
use crate::api::socket::Client;
use crate::api::view::RolloutView;
use crate::model::event::Outcome;
use crate::model::ids::RolloutId;
use std::time::Duration;

/// Between two looks: a person does not see more.
const LOOK: Duration = Duration::from_millis(250);
/// So many looks in a row that find it stopped: one alone may fall between an order and what follows from it.
const STOPPED_LOOKS: u32 = 4;

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
        say::say(draw::LEGEND);
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

/// Follows a rollout until it ends, or until nothing moves and only a person can let it go on. The exit code says how it stands then.
/// With `json` nothing is drawn, and the last view is printed.
///
/// # Errors
/// The exit code of a daemon that gives no answer.
pub async fn follow(client: &mut Client, rollout: &RolloutId, json: bool) -> Result<Exit, Exit> {
    let mut screen = Screen::default();
    let mut stopped = 0;
    loop {
        let view = look(client, rollout).await?;
        stopped = if is_stopped(&view) { stopped + 1 } else { 0 };
        let end = ended(&view, stopped >= STOPPED_LOOKS);
        match (json, end) {
            (false, None) => screen.show(&view),
            (false, Some(_)) => screen.finish(&view),
            (true, None) => {}
            (true, Some(_)) => say::say(&serde_json::to_string(&view).unwrap_or_default()),
        }
        if let Some(exit) = end {
            return Ok(exit);
        }
        if say::is_gone() {
            complain("nobody reads what is shown here any more; the rollout goes on, `wavegate status` tells how");
            return Err(Exit::Failed);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(client: &mut Client, rollout: &RolloutId) -> Result<RolloutView, Exit> {
    match ask(client, &Request::Status { rollout: Some(rollout.clone()), full: false }).await? {
        Response::Status(mut view) => view.rollouts.pop().ok_or_else(|| {
            complain(&format!("the daemon knows no rollout `{rollout}`"));
            Exit::Refused
        }),
        other => Err(odd(&other)),
    }
}

/// Held, killed or asking people, with nothing in flight and nothing on its way back. What is only watched or prepared does not count as moving.
fn is_stopped(view: &RolloutView) -> bool {
    let moves = |state: &str| matches!(state, "intended" | "running" | "proving");
    let moving = view.phase == "reverting" || view.waves.iter().flat_map(|w| &w.targets).any(|t| moves(&t.state));
    (view.hold.is_some() || view.killed.is_some() || draw::asks_people(view)) && !moving
}

fn ended(view: &RolloutView, stopped: bool) -> Option<Exit> {
    match (view.outcome, view.killed.is_some()) {
        (Some(Outcome::Succeeded), _) => Some(Exit::Success),
        (Some(Outcome::Cancelled), _) if draw::is_denied(view) => Some(Exit::Refused),
        (Some(Outcome::Reverted | Outcome::Cancelled), _) => Some(Exit::Reverted),
        (Some(Outcome::Stuck), _) => Some(Exit::Stuck),
        (None, true) if stopped => Some(Exit::Killed),
        (None, false) if stopped => Some(Exit::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::words::Explained;
    use serde_json::json;

    /// A view of one wave with one target in this state.
    fn view(phase: &str, target: &str) -> RolloutView {
        let counts = json!({ "added": 0, "modified": 1, "replaced": 0, "removed": 0 });
        serde_json::from_value(json!({
            "rollout": "r-1", "title": "t", "agent": "a", "reasoning": "r", "pipeline": "p", "plan": "d", "phase": phase,
            "wave": 0, "outcome": null, "hold": null, "revert": null, "health": null, "killed": null,
            "waves": [{
                "name": "w", "state": "rolling", "one_box": true, "baked": null, "bake": 0, "max_bake": 0,
                "bake_datapoints": 0, "max_concurrent": 1, "failure_tolerance": 0,
                "targets": [{
                    "target": "c/s", "cell": "c", "stack": "s", "account": "1", "region": "r", "environment": "e",
                    "state": target, "reverting": false, "counts": counts, "changes": [], "restore_point": null,
                    "stuck": null
                }]
            }]
        }))
        .unwrap()
    }

    #[test]
    fn a_kill_is_followed_until_nothing_is_in_flight() {
        let killed = |phase, target| RolloutView { killed: Some("k-1 (halt) by x".into()), ..view(phase, target) };
        for target in ["intended", "running", "proving"] {
            assert!(!is_stopped(&killed("rolling", target)), "{target}");
        }
        assert!(is_stopped(&killed("rolling", "restored")));
        assert!(!is_stopped(&killed("reverting", "applied")));
        assert_eq!(ended(&killed("rolling", "ready"), true), Some(Exit::Killed));
    }

    #[test]
    fn a_hold_waits_for_what_is_in_flight() {
        let hold = Some(Explained { why: "w".into(), next: "n".into() });
        let held = |target| RolloutView { hold: hold.clone(), ..view("rolling", target) };
        assert!(!is_stopped(&held("running")));
        assert!(is_stopped(&held("ready")));
        assert_eq!(ended(&held("ready"), true), Some(Exit::Refused));
        assert_eq!(ended(&held("ready"), false), None);
    }

    #[test]
    fn what_has_ended_says_how() {
        let over = |outcome| ended(&RolloutView { outcome: Some(outcome), ..view("ended", "applied") }, false);
        assert_eq!(over(Outcome::Succeeded), Some(Exit::Success));
        assert_eq!(over(Outcome::Reverted), Some(Exit::Reverted));
        assert_eq!(over(Outcome::Cancelled), Some(Exit::Reverted));
        assert_eq!(over(Outcome::Stuck), Some(Exit::Stuck));
        assert_eq!(ended(&view("rolling", "running"), false), None);
    }
}
