//! `deliveries`: messages to people that did not arrive. It works on the outbox itself, so that it needs no daemon; whoever owns the state
//! directory may use it.

use super::args::{Common, DeliveriesArgs};
use super::call::{self, complain, place};
use super::draw::{self, Paint, say};
use super::exit::Exit;
use crate::api::client::Place;
use crate::api::notify::FILE;
use crate::api::notify::outbox::{self, DeadLetter, DeliveriesView};
use crate::journal::outbox::{Outbox, OutboxError};
use std::path::Path;

/// So many are shown by `status`; `wavegate deliveries` shows all.
const SHOWN: usize = 5;

/// Said to whoever names a server.
const ELSEWHERE: &str = "`deliveries` works on the state directory itself, and the daemon is named as a server; run it on the daemon's \
    machine, with `--state-dir` where WAVEGATE_SERVER is set. From here `wavegate status` lists what was not delivered";

/// `wavegate deliveries`
pub fn run(common: &Common, args: &DeliveriesArgs) -> Exit {
    let file = match place(common) {
        Ok(Place::StateDir(dir)) => dir.join(FILE),
        // What is in the outbox of this machine says nothing about that daemon.
        Ok(Place::Server(_)) => {
            complain(ELSEWHERE);
            return Exit::BadUsage;
        }
        Err(exit) => return exit,
    };
    // Where no channel was ever configured there is none.
    if matches!(file.try_exists(), Ok(false)) {
        return show(&[], args);
    }
    match work(&file, args) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&super::serve::chain(&error));
            Exit::Failed
        }
    }
}

fn work(file: &Path, args: &DeliveriesArgs) -> Result<Exit, OutboxError> {
    let mut outbox = Outbox::open_existing(file)?;
    let channel = args.channel.as_deref();
    if args.retry || args.forget {
        let (count, what) = match args.retry {
            true => (outbox.retry(channel, now())?, "to be tried again; a running daemon does so within seconds"),
            false => (outbox.forget(channel)?, "forgotten"),
        };
        say::say(&format!("{count} {what}"));
        return Ok(Exit::Success);
    }
    let mut dead: Vec<DeadLetter> = outbox.holds()?.dead.iter().rev().map(outbox::dead).collect();
    dead.retain(|letter| channel.is_none_or(|name| letter.channel == name));
    Ok(show(&dead, args))
}

fn show(dead: &[DeadLetter], args: &DeliveriesArgs) -> Exit {
    if args.json {
        return call::print_json(&dead);
    }
    let paint = Paint::of_stdout();
    match dead {
        [] => say::say("no message is given up"),
        _ => say::say_all(&dead.iter().map(|letter| line(letter, paint)).collect::<Vec<_>>()),
    }
    Exit::Success
}

/// What `status` says of messages; nothing while all goes well.
pub(super) fn lines(view: &DeliveriesView, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(trouble) = &view.trouble {
        lines.push(format!("{} messages to people: {}", paint.bad("TROUBLE"), draw::one_line(trouble)));
    }
    for channel in &view.channels {
        if let (Some(why), Some(since)) = (&channel.failing, channel.oldest_pending) {
            let (name, pending, why) = (&channel.channel, channel.pending, draw::one_line(why));
            lines.push(format!("{} by channel {name}: {pending} since {since}; {why}", paint.busy("NOT TOLD YET")));
        }
    }
    lines.extend(view.dead.iter().take(SHOWN).map(|letter| line(letter, paint)));
    if !view.dead.is_empty() {
        let more = view.dead.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("{more} more: `wavegate deliveries`; ") } else { String::new() };
        lines.push(format!(
            "  {more}mend the channel, then `wavegate deliveries --retry`; or `--forget` what is known by now"
        ));
    }
    lines
}

fn line(letter: &DeadLetter, paint: Paint) -> String {
    format!(
        "{} by channel {}: {} (since {}, {} tries: {})",
        paint.bad("NOT TOLD"),
        draw::one_line(&letter.channel),
        draw::one_line(&letter.headline),
        letter.since,
        letter.tries,
        draw::one_line(&letter.why)
    )
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program dates what people do")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
