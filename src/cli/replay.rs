//! `replay`: a journal from its first record to its last, read-only and without a daemon. Each record is checked against the chain
//! and applied by the one table that the daemon itself recovers by, so that what is shown is what a restart would find.

use super::args::ReplayArgs;
use super::call::complain;
use super::draw::{self, Paint};
use super::exit::Exit;
use super::serve::chain;
use super::status::kill_line;
use crate::api::{fact, view};
use crate::journal::{Entry, Journal, JournalError};
use crate::model::state::State;
use serde_json::json;
use std::io::{self, BufWriter, ErrorKind, Write};

/// The longest event name, `operation_not_started`, sets the column.
const NAME_WIDTH: usize = 22;

/// `wavegate replay`
pub fn run(args: &ReplayArgs) -> Exit {
    let journal = match Journal::open_read_only(&args.file) {
        Ok(journal) => journal,
        Err(error) => return failed(&error),
    };
    let mut out = Out { to: BufWriter::new(io::stdout().lock()), json: args.json, failed: None };
    let mut state = State::default();
    let mut last = 0;
    let replayed = journal.replay_into(&mut state, |entry| {
        last = entry.seq.0;
        out.record(entry);
    });
    out.end(&state, last);
    let written = out.finish();
    match (replayed, written) {
        (Err(error), _) => failed(&error),
        (Ok(()), Err(error)) => {
            complain(&format!("what was read could not be written: {error}"));
            Exit::Failed
        }
        (Ok(()), Ok(())) => Exit::Success,
    }
}

fn failed(error: &JournalError) -> Exit {
    complain(&chain(error));
    match error {
        JournalError::Unopened { .. } => Exit::BadUsage,
        _ => Exit::Failed,
    }
}

/// Standard output. Once a line cannot be written the rest is left out, and the journal is verified all the same: the exit code of
/// `wavegate replay FILE | head` says whether it is sound.
struct Out<W: Write> {
    to: W,
    json: bool,
    failed: Option<io::Error>,
}

impl<W: Write> Out<W> {
    fn line(&mut self, line: &str) {
        if self.failed.is_none() {
            self.failed = writeln!(self.to, "{line}").err();
        }
    }

    fn record(&mut self, entry: &Entry) {
        let Entry { seq, at, epoch, event } = entry;
        if self.json {
            let line = json!({ "seq": seq, "at": at, "epoch": epoch, "name": event.name(), "event": event });
            return self.line(&line.to_string());
        }
        // A target belongs to one open rollout at a time: its own name is enough.
        let place = match (event.target(), event.rollout()) {
            (Some(target), _) => target.as_str(),
            (None, Some(rollout)) => rollout.as_str(),
            (None, None) => "-",
        };
        let (name, detail) = (event.name(), draw::one_line(&fact::detail(event)));
        let line = format!("{:>6}  {at:.3}  e{epoch}  {name:<NAME_WIDTH$}  {}  {detail}", seq.0, draw::one_line(place));
        self.line(line.trim_end());
    }

    fn end(&mut self, state: &State, last: u64) {
        let rollouts = state.rollouts.values().map(|r| view::recorded(state, r, false));
        let kills = state.kills.values().map(|k| view::kill(state, k));
        if self.json {
            let state = json!({
                "epoch": state.epoch, "rollouts": rollouts.collect::<Vec<_>>(), "kills": kills.collect::<Vec<_>>(),
            });
            return self.line(&json!({ "seq": last, "state": state }).to_string());
        }
        self.line("");
        self.line(&format!("after record {last}: epoch {}", state.epoch));
        for rollout in rollouts {
            self.line(rollout.rollout.as_str());
            draw::rollout(&rollout, Paint::Plain).iter().for_each(|line| self.line(&format!("  {line}")));
            for target in rollout.waves.iter().flat_map(|w| &w.targets) {
                let back = if target.reverting { ", going back" } else { "" };
                self.line(&format!("    {}  {}{back}", draw::one_line(target.target.as_str()), target.state));
            }
        }
        kills.for_each(|kill| self.line(&draw::one_line(&kill_line(&kill, Paint::Plain))));
    }

    /// A reader who has gone has seen enough: that is no failure.
    fn finish(mut self) -> io::Result<()> {
        let done = match self.failed.take() {
            None => self.to.flush(),
            Some(error) => Err(error),
        };
        done.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
    }
}
