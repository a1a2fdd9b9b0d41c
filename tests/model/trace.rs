//! A path of the checker as a journal: the same actions are taken again, and what each epoch appends is written with the
//! production [`Journal`]. `wavegate replay FILE` shows it.

use crate::daemon::Sink;
use crate::fixture::AT;
use crate::machine::{Action, Machine};
use stateright::Model as _;
use std::fmt::Write as _;
use std::path::Path;
use wavegate::journal::Journal;
use wavegate::model::event::Event;

/// The events of a path, by the epoch that appended them.
#[derive(Default)]
struct Recorder(Vec<(u64, Vec<Event>)>);

impl Sink for Recorder {
    fn appended(&mut self, epoch: u64, events: &[Event]) {
        self.0.push((epoch, events.to_vec()));
    }
}

/// Takes the actions again and writes their journal to `file`; gives the actions as text, with what each appended.
///
/// # Errors
/// The journal cannot be written.
pub fn write(machine: &Machine, actions: &[Action], file: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut world = machine.init_states().into_iter().next().ok_or("no state to begin with")?;
    let mut recorder = Recorder(vec![(1, crate::daemon::first_records(machine.bounds.shape))]);
    let mut text = String::new();
    for (at, action) in actions.iter().enumerate() {
        let known = recorder.0.len();
        world = machine.step(&world, *action, &mut recorder).ok_or("the path cannot be taken again")?;
        let about = |event: &Event| match event.target() {
            Some(target) => format!("{} {target}", event.name()),
            None => event.name().to_owned(),
        };
        let new: Vec<String> = recorder.0.iter().skip(known).flat_map(|(_, events)| events).map(about).collect();
        writeln!(text, "{:>3}. {action:?}{}{}", at + 1, if new.is_empty() { "" } else { "  → " }, new.join(", "))?;
    }
    let mut journal = Journal::open(file)?;
    for (epoch, events) in &recorder.0 {
        while journal.epoch().0 < *epoch {
            let seen = journal.lease()?;
            journal.take_lead(seen.as_ref(), "model")?;
        }
        journal.append(AT, events)?;
    }
    Ok(text)
}
