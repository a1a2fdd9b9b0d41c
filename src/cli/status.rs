//! `status`: how rollouts stand.

use super::args::{Common, StatusArgs};
use super::call::{self, ask_once, odd};
use super::deliveries;
use super::draw::{self, Paint, say};
use super::exit::Exit;
use crate::api::verbs::{Request, Response};
use crate::api::view::{KillView, RolloutView, StatusView};
use comfy_table::{Table, presets};

/// `wavegate status`
pub fn run(common: &Common, args: &StatusArgs) -> Exit {
    let one = args.rollout.is_some();
    let request = Request::Status { rollout: args.rollout.clone().map(Into::into), full: one };
    match ask_once(common, &request) {
        Ok(Response::Status(view)) if args.json => print_json(&view, one),
        Ok(Response::Status(view)) => print(&view, one),
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

fn print_json(view: &StatusView, one: bool) -> Exit {
    match view.rollouts.first() {
        Some(rollout) if one => call::print_json(rollout),
        _ => call::print_json(view),
    }
}

fn print(view: &StatusView, one: bool) -> Exit {
    let paint = Paint::of_stdout();
    // Of one rollout, what stops it is told with the rollout.
    for kill in view.kills.iter().filter(|k| k.state != "lifted" && !one) {
        say::say(&kill_line(kill, paint));
    }
    if !one {
        say::say_all(&deliveries::lines(&view.deliveries, paint));
    }
    match view.rollouts.first() {
        Some(rollout) if one => {
            say::say(draw::LEGEND);
            say::say(&format!("{}  plan {}  pipeline {}", rollout.rollout, short(&rollout.plan), rollout.pipeline));
            say::say_all(&draw::rollout(rollout, paint));
            say::say("why, in the agent's words:");
            say::say_all(&draw::quoted(&rollout.reasoning));
        }
        None => {
            say::say(&format!("no rollouts yet (epoch {}); hand in a change set with `wavegate propose`", view.epoch))
        }
        Some(_) => say::say(&table(&view.rollouts).to_string()),
    }
    Exit::Success
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// A stop order in one line.
pub(super) fn kill_line(kill: &KillView, paint: Paint) -> String {
    let pending =
        if kill.pending.is_empty() { String::new() } else { format!(", pending for {} target(s)", kill.pending.len()) };
    format!("{} {} on {} ({}), {}{pending}", paint.bad("KILL"), kill.kill, kill.scope, kill.mode, kill.state)
}

fn table(rollouts: &[RolloutView]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "rollout",
        "state",
        "waves passed",
        "pipeline",
        "agent",
        "title",
    ]);
    for view in rollouts {
        let passed = view.waves.iter().filter(|w| w.state == "passed").count();
        table.add_row([
            view.rollout.to_string(),
            draw::state(view, Paint::Plain),
            format!("{passed} of {}", view.waves.len()),
            view.pipeline.clone(),
            draw::one_line(&view.agent),
            draw::one_line(&view.title),
        ]);
    }
    table
}
