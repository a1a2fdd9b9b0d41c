//! `backtest`: a past interval's metrics, read from their sources and replayed through a pipeline's gate. With `--applied` as a rollout
//! that was; without it as many that never were: how often would the gate have cried wolf?

pub mod fetch;
pub mod record;
pub mod slide;

use super::args::BacktestArgs;
use super::call::{complain, runtime};
use super::exit::Exit;
use super::judge::subject::Subject;
use super::judge::{self, play};
use crate::daemon::clock::Clock;
use crate::engine::health::recording::{Happening, Recording, What};
use crate::model::document::fields::known_or;
use crate::model::ids::CellId;
use crate::model::time::{self, Millis};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// `wavegate backtest`
pub fn run(args: &BacktestArgs) -> Exit {
    let asked = Subject::read(&args.pipeline).and_then(|subject| {
        let events = check(args, &subject, Clock::system().now().wall)?;
        Ok((subject, events))
    });
    let (subject, events) = match asked {
        Ok(asked) => asked,
        Err(message) => {
            complain(&message);
            return Exit::BadUsage;
        }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let read = runtime.block_on(async {
        let world = super::serve::world().await;
        tokio::select! {
            read = Box::pin(fetch::fetch(&world, &subject.setting, args.from, args.to)) => read,
            () = super::plan::interrupted() => Err("interrupted; nothing was changed".to_owned()),
        }
    });
    let mut recording = match read {
        Ok(recording) => recording,
        Err(message) => {
            complain(&message);
            return Exit::Failed;
        }
    };
    recording.events = events;
    if let Some(path) = &args.record
        && let Err(error) = record::write(path, &recording)
    {
        complain(&format!("`{}` cannot be written: {error}", path.display()));
        return Exit::Failed;
    }
    match recording.events.is_empty() {
        false => play(&subject, &recording, &recording.events, &args.showing),
        true => slid(args, &subject, &recording),
    }
}

fn slid(args: &BacktestArgs, subject: &Subject, recording: &Recording) -> Exit {
    judge::note(subject.notes.iter().chain(&subject.gaps(recording)));
    let bake = args.bake.unwrap_or(subject.bake);
    match slide::slide(subject, recording, (args.from, args.to), bake, &args.showing) {
        Ok(_) => Exit::Success,
        Err(error) => {
            complain(&error.to_string());
            Exit::BadUsage
        }
    }
}

/// What the command line says of the past; empty events: nothing was changed.
fn check(args: &BacktestArgs, subject: &Subject, now: Timestamp) -> Result<Vec<Happening>, String> {
    let BacktestArgs { from, to, .. } = args;
    if from >= to {
        return Err(format!("`--from` {from} is not before `--to` {to}"));
    }
    if *to > now {
        return Err(format!("`--to` {to} has not come yet: only the past can be read"));
    }
    if subject.setting.fleet.is_empty() {
        let words = "has no fleet, so nobody knows what to read: name a whole pipeline";
        return Err(format!("`{}` {words}", args.pipeline.display()));
    }
    if args.applied.is_empty() {
        return check_slide(args, subject).map(|()| Vec::new());
    }
    let names: Vec<&str> = subject.setting.fleet.iter().map(|cell| cell.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (cell, at) in &args.applied {
        if !names.contains(&cell.as_str()) {
            let fix = known_or(cell, &names, "name one of the pipeline's fleet");
            return Err(format!("`--applied {cell}=…`: there is no such cell; {fix}"));
        }
        if !seen.insert(cell) {
            return Err(format!("`--applied {cell}=…` stands twice: keep one of them"));
        }
        if at < from || at >= to {
            return Err(format!("`--applied {cell}={at}` is not between `--from` {from} and `--to` {to}"));
        }
    }
    Ok(events(&args.applied, *to))
}

fn check_slide(args: &BacktestArgs, subject: &Subject) -> Result<(), String> {
    let (bake, span) = (args.bake.unwrap_or(subject.bake), Millis::of(time::since(args.from, args.to)));
    if bake > span {
        return Err(format!(
            "a bake of {bake} does not fit between `--from` and `--to` ({span}): name a longer past, or a shorter `--bake`"
        ));
    }
    let count = (span.0 / bake.0.max(1)).saturating_mul(u64::try_from(subject.setting.fleet.len()).unwrap_or(u64::MAX));
    if count > slide::COUNT_MAX {
        let most = slide::COUNT_MAX;
        return Err(format!(
            "that would be {count} replays, and at most {most} are made: name a shorter past, or a longer `--bake`"
        ));
    }
    Ok(())
}

/// Changes of the same time are one wave; each bakes until the next one, the last to the end.
pub fn events(applied: &[(String, Timestamp)], to: Timestamp) -> Vec<Happening> {
    let mut waves: BTreeMap<Timestamp, Vec<CellId>> = BTreeMap::new();
    for (cell, at) in applied {
        waves.entry(*at).or_default().push(CellId::new(cell.as_str()));
    }
    let ends = waves.keys().copied().skip(1).chain([to]).collect::<Vec<_>>();
    let mut events = Vec::new();
    for (number, ((at, cells), end)) in (1_u32..).zip(waves.into_iter().zip(ends)) {
        events.extend(cells.into_iter().map(|cell| Happening { at, what: What::Applied(cell) }));
        events.push(Happening { at, what: What::BakeStart(number) });
        events.push(Happening { at: end, what: What::BakeEnd(number) });
    }
    events
}
