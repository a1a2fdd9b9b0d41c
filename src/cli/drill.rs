//! `drill`: try every kill, by every door, in the running daemon.

use super::args::{Common, DrillArgs};
use super::call::{self, ask, ask_once, complain, connect, odd, runtime};
use super::draw::say;
use super::exit::Exit;
use super::propose;
use crate::api::client::Client;
use crate::api::verbs::{DrillsView, Request, Response, SandboxDrill, Submission};
use crate::api::words::plain;
use crate::model::drill::{Drill, DrillCheck, DrillPlace};
use comfy_table::{Table, presets};
use std::path::Path;
use std::time::Duration;

/// Between two questions how it goes.
const ASK: Duration = Duration::from_millis(300);

/// `wavegate drill`
pub fn run(common: &Common, args: &DrillArgs) -> Exit {
    if args.list {
        return list(common, args.json);
    }
    let sandbox = match sandbox(args) {
        Ok(sandbox) => sandbox,
        Err(message) => {
            complain(&message);
            return Exit::BadUsage;
        }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let held = runtime.block_on(async {
        let mut client = connect(common).await?;
        match ask(&mut client, &Request::Drill { sandbox }).await? {
            Response::DrillStarted { id } => follow(&mut client, &id, args.json).await,
            other => Err(odd(&other)),
        }
    });
    match held {
        Ok(drill) => report(&drill, args.json),
        Err(exit) => exit,
    }
}

fn sandbox(args: &DrillArgs) -> Result<Option<SandboxDrill>, String> {
    let (Some(pipeline), Some(file)) = (&args.sandbox, &args.change_set) else { return Ok(None) };
    let (text, templates) = propose::gather(Path::new(file))?;
    let submission = Submission { file: file.display().to_string(), text, templates };
    Ok(Some(SandboxDrill { pipeline: pipeline.clone(), submission }))
}

/// Waits until the drill has ended, and says on the way what is being tried.
async fn follow(client: &mut Client, id: &str, json: bool) -> Result<Drill, Exit> {
    let mut said = String::new();
    loop {
        let DrillsView { running, items, .. } = drills(client).await?;
        if let Some(drill) = items.into_iter().find(|drill| drill.id == id) {
            return Ok(drill);
        }
        match running.filter(|running| running.id == id) {
            Some(running) if running.now != said => {
                said = running.now;
                if !json {
                    eprintln!("{} checks done; now: {said}", running.checks.len());
                }
            }
            Some(_) => {}
            None => {
                // It may have ended between the two looks of the daemon.
                let ended = drills(client).await?.items.into_iter().find(|drill| drill.id == id);
                return ended.ok_or_else(|| {
                    complain("the drill ended without a result; the daemon's log tells why");
                    Exit::Failed
                });
            }
        }
        tokio::time::sleep(ASK).await;
    }
}

async fn drills(client: &mut Client) -> Result<DrillsView, Exit> {
    match ask(client, &Request::Drills).await? {
        Response::Drills(view) => Ok(view),
        other => Err(odd(&other)),
    }
}

fn report(drill: &Drill, json: bool) -> Exit {
    if json {
        call::print_json(drill);
    } else {
        show(drill);
    }
    if drill.passed() { Exit::Success } else { Exit::Failed }
}

fn list(common: &Common, json: bool) -> Exit {
    match ask_once(common, &Request::Drills) {
        Ok(Response::Drills(view)) if json => call::print_json(&view),
        Ok(Response::Drills(view)) => {
            if let Some(running) = &view.running {
                say::say(&format!(
                    "{} of {}, since {}: {}",
                    running.id,
                    plain(&running.by),
                    running.since,
                    running.now
                ));
            }
            if view.items.is_empty() && view.running.is_none() {
                say::say("no drill yet; hold one with `wavegate drill`");
            }
            view.items.iter().for_each(show);
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

fn show(drill: &Drill) {
    let place = match &drill.place {
        DrillPlace::Embedded => "the embedded world".to_owned(),
        DrillPlace::Sandbox { pipeline } => format!("sandbox pipeline {pipeline}"),
    };
    say::say(&format!("{} at {} by {}, on {place}", drill.id, drill.at, plain(&drill.by)));
    say::say(&table(&drill.checks).to_string());
    for check in &drill.checks {
        say::say(&format!("{} {}: {}", check.door, check.mode, plain(&check.evidence)));
    }
    drill.not_drilled.iter().for_each(|not| say::say(&plain(not)));
    let failed = drill.checks.iter().filter(|check| !check.passed).count();
    say::say(&match (drill.passed(), failed) {
        (true, _) => format!("passed: {} checks", drill.checks.len()),
        (false, failed) => format!("FAILED: {failed} of {} checks", drill.checks.len()),
    });
}

fn table(checks: &[DrillCheck]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(["door", "mode", "acknowledged after", "result"]);
    for check in checks {
        let after = check.acknowledged_after.map_or_else(|| "not".to_owned(), |ms| format!("{} ms", ms.0));
        let result = if check.passed { "passed" } else { "FAILED" };
        table.add_row([check.door.to_string(), check.mode.to_string(), after, result.to_owned()]);
    }
    table
}
