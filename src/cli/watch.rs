//! `watch`: follow a rollout live, to its end, over restarts of the daemon.

use super::args::{Common, WatchArgs};
use super::call::{ask, complain, connect, failed, odd, place, runtime, show_json, taken, try_connect};
use super::draw::{self, Screen, say};
use super::exit::Exit;
use super::live::Live;
use crate::api::client::{Client, may_pass};
use crate::api::listing::AuditEntry;
use crate::api::verbs::{Request, Response};
use crate::api::view::RolloutView;
use crate::model::event::Outcome;
use crate::model::ids::RolloutId;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks: a person does not see more.
const LOOK: Duration = Duration::from_millis(250);
/// Without an event it is looked at so often: a kill of everything and the countdown of a bake are no events of the rollout.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// So many looks in a row that find it stopped: one alone may fall between an order and what follows from it.
const STOPPED_LOOKS: u32 = 4;
/// The last events come within this time after the view that tells the end: the stream is at most some tens of milliseconds behind.
const QUIET: Duration = Duration::from_millis(500);
/// The event of the end comes within this time, or does not: the daemon has gone right then.
const END_WITHIN: Duration = Duration::from_secs(10);

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
        if !args.json {
            say::say(draw::LEGEND);
        }
        let patience = args.give_up_after.map(|span| Duration::from_millis(span.0));
        follow(Watcher::new(common, client, rollout, patience), args.json).await
    });
    done.unwrap_or_else(|exit| exit)
}

async fn newest(client: &mut Client) -> Result<RolloutId, Exit> {
    match ask(client, &Request::Rollouts { open: None, after: None, limit: 1 }).await? {
        Response::Rollouts(page) => page.items.first().map(|r| r.rollout.clone()).ok_or_else(|| {
            complain("there is no rollout to watch; hand in a change set with `wavegate propose`");
            Exit::Refused
        }),
        other => Err(odd(&other)),
    }
}

/// Follows a rollout until it ends, or until nothing moves and only a person can let it go on. The exit code says how it stands then.
/// With `json` nothing is drawn: each event is printed, and the last view.
///
/// # Errors
/// The exit code of a daemon that gives no answer; explained.
pub async fn follow(mut watcher: Watcher, json: bool) -> Result<Exit, Exit> {
    let mut screen = Screen::default();
    let mut stopped = 0;
    loop {
        let (events, view) = watcher.step(stopped > 0).await?;
        if json {
            events.iter().for_each(show_json);
        }
        if let Some(view) = view {
            stopped = if is_stopped(&view) { stopped + 1 } else { 0 };
            let end = ended(&view, stopped >= STOPPED_LOOKS);
            match (json, end) {
                (false, None) => screen.show(&view),
                (false, Some(_)) => screen.finish(&view),
                (true, None) => {}
                (true, Some(_)) => {
                    watcher.rest(view.outcome.is_some()).await?.iter().for_each(show_json);
                    show_json(&watcher.look(true).await?.unwrap_or(view));
                }
            }
            if let Some(exit) = end {
                return Ok(exit);
            }
        }
        if say::is_gone() {
            complain("nobody reads what is shown here any more; the rollout goes on, `wavegate status` tells how");
            return Err(Exit::Failed);
        }
    }
}

/// A rollout that is looked at whenever something happens.
pub struct Watcher {
    common: Common,
    client: Client,
    rollout: RolloutId,
    live: Live,
    looked: Option<Instant>,
    has_ended: bool,
}

impl Watcher {
    /// Gives up when the daemon has been away for `patience`; none: never.
    pub fn new(common: &Common, client: Client, rollout: RolloutId, patience: Option<Duration>) -> Self {
        let live = Live::start(common, Some(rollout.clone()), 0, patience);
        Self { common: common.clone(), client, rollout, live, looked: None, has_ended: false }
    }

    /// Waits until something happens, or for a while (`soon`: a short one). What happened, and how it stands; nothing of that while the
    /// daemon is away.
    ///
    /// # Errors
    /// The exit code of a daemon that does not know the rollout, or is away for too long; explained.
    pub async fn step(&mut self, soon: bool) -> Result<(Vec<AuditEntry>, Option<RolloutView>), Exit> {
        let mut events = Vec::new();
        if let Some(looked) = self.looked {
            let mut until = looked + if soon { LOOK } else { LOOK_ANYWAY };
            loop {
                tokio::select! {
                    more = self.live.next() => {
                        events.extend(more?);
                        until = until.min(looked + LOOK);
                    }
                    () = tokio::time::sleep_until(until) => break,
                }
            }
        }
        self.looked = Some(Instant::now());
        self.note_end(&events);
        Ok((events, self.look(false).await?))
    }

    /// The events that are still on their way when the view has told the end.
    ///
    /// # Errors
    /// As [`Watcher::step`].
    pub async fn rest(&mut self, has_ended: bool) -> Result<Vec<AuditEntry>, Exit> {
        let until = Instant::now() + END_WITHIN;
        let mut events = Vec::new();
        loop {
            match tokio::time::timeout(QUIET, self.live.next()).await {
                Ok(more) => {
                    let more = more?;
                    self.note_end(&more);
                    events.extend(more);
                }
                Err(_) if has_ended && !self.has_ended && Instant::now() < until => {}
                Err(_) => return Ok(events),
            }
        }
    }

    fn note_end(&mut self, events: &[AuditEntry]) {
        self.has_ended = self.has_ended || events.iter().any(|event| event.event == "rollout_ended");
    }

    /// How it stands; nothing: the daemon does not answer now.
    ///
    /// # Errors
    /// As [`Watcher::step`].
    pub async fn look(&mut self, full: bool) -> Result<Option<RolloutView>, Exit> {
        let request = Request::Status { rollout: Some(self.rollout.clone()), full };
        let answer = match self.client.call(&request).await {
            Ok(Response::Refused { code, .. }) if may_pass(code) => return Ok(None),
            Ok(answer) => answer,
            Err(error) if error.passes() => {
                // The stream of events says that the daemon is away, and gives up when it is to.
                if let Ok(client) = try_connect(&self.common, &place(&self.common)?).await {
                    self.client = client;
                }
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        };
        match taken(answer)? {
            Response::Status(mut view) => view.rollouts.pop().map(Some).ok_or_else(|| {
                complain(&format!("the daemon knows no rollout `{}`", self.rollout));
                Exit::Refused
            }),
            other => Err(odd(&other)),
        }
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
