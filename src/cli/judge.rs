//! `judge`: recorded metrics through a pipeline's gate. Would it have caught it, and when?

pub mod json;
pub mod line;
pub mod picture;
pub mod read;
pub mod subject;
pub mod table;

use super::args::{Format, JudgeArgs, Showing};
use super::call::complain;
use super::draw::{Paint, say};
use super::exit::Exit;
use crate::engine::health::recording::{Happening, Recording};
use crate::engine::health::replay::{Outcome, Replay, Unfinished};
use crate::model::verdict::Verdict;
use picture::Picture;
use std::io::IsTerminal as _;
use subject::Subject;

/// `wavegate judge`
pub fn run(args: &JudgeArgs) -> Exit {
    let subject = match Subject::read(&args.pipeline) {
        Ok(subject) => subject,
        Err(message) => {
            complain(&message);
            return Exit::BadUsage;
        }
    };
    match read::read(&args.recording, &subject.setting.health) {
        Ok(recording) => play(&subject.suited(&recording), &recording, &recording.events, &args.showing),
        Err(error) => {
            complain(&error.to_string());
            Exit::BadUsage
        }
    }
}

/// Replays a recording with these events and shows it. Also for `backtest`.
pub fn play(subject: &Subject, recording: &Recording, events: &[Happening], showing: &Showing) -> Exit {
    note(subject.notes.iter().chain(&subject.gaps(recording)));
    let mut replay = match Replay::new(&subject.setting, recording, events) {
        Ok(replay) => replay,
        Err(error) => {
            complain(&error.to_string());
            return Exit::BadUsage;
        }
    };
    let json = is_json(showing.format);
    let mut picture = showing.picture.as_ref().map(|_| Picture::default());
    if !json && !showing.quiet {
        say::say_all(&table::head(subject, &replay));
    }
    while let Some(tick) = replay.tick() {
        if !showing.quiet && !say::is_gone() {
            say::say(&if json { json::tick(&tick, &replay) } else { table::row(&tick, &replay, Paint::of_stdout()) });
        }
        if let Some(picture) = &mut picture {
            picture.take(&tick, &replay);
        }
        if tick.verdict == Verdict::Fail && !showing.go_on {
            break;
        }
    }
    let outcome = replay.outcome();
    say::say(&if json { json::outcome(&outcome) } else { table::end(&outcome, Paint::of_stdout()) });
    if let (Some(path), Some(picture)) = (&showing.picture, &picture) {
        let svg = picture.draw(subject, recording, &replay, &outcome);
        if let Err(error) = std::fs::write(path, svg) {
            complain(&format!("`{}` cannot be written: {error}", path.display()));
            return Exit::Failed;
        }
    }
    exit(outcome.verdict)
}

/// What would have happened to the rollout.
fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass => Exit::Success,
        Verdict::Fail => Exit::Reverted,
        Verdict::Inconclusive | Verdict::Error => Exit::Refused,
    }
}

/// Lines for people, beside the result.
pub fn note<'a>(notes: impl Iterator<Item = &'a String>) {
    notes.for_each(|note| eprintln!("note: {note}"));
}

/// JSON, unless a person looks at a terminal or has asked for a table.
pub fn is_json(format: Option<Format>) -> bool {
    match format {
        _ if super::complain::is_json() => true,
        Some(format) => format == Format::Json,
        None => !std::io::stdout().is_terminal(),
    }
}

/// Why the recording alone keeps it from a pass.
fn unfinished(outcome: &Outcome) -> Option<String> {
    outcome.unfinished.as_ref().map(|what| match what {
        Unfinished::BakeOpen(wave) => format!("the recording ends before the bake of wave {wave} does"),
        Unfinished::NotBaked(cells) => {
            let named: Vec<String> = cells.iter().take(3).map(ToString::to_string).collect();
            let more = cells.len().saturating_sub(named.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("changed and never baked: {}{more}", named.join(", "))
        }
        Unfinished::NoTick(wave) => format!("no period ended within the bake of wave {wave}"),
    })
}
