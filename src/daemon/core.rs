//! One turn of the loop, without waiting: input → decide → apply → append + fsync → effects through the issuer.

use super::issuer::{Issuer, Objection};
use crate::engine::decide::{self, Input, Refusal};
use crate::engine::effect::Effect;
use crate::engine::rate::RateRule;
use crate::engine::session::Session;
use crate::guard::{self, Guard};
use crate::journal::{Journal, JournalError};
use crate::model::event::Event;
use crate::model::ids::Seq;
use crate::model::state::{IllegalTransition, State};
use crate::model::time::Now;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// A turn that goes on deciding this long without coming to rest is a livelock, and a livelock is a defect: stop (L5). A rollout of a
/// thousand targets needs about ten rounds.
const ROUNDS: usize = 10_000;

/// Why the daemon stops.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal cannot be used, or another daemon leads.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A decision does not fit the state: this program is wrong, and it must not go on (S24).
    #[error(
        "a decision does not fit the state; this is a defect of wavegate, and nothing more is done until it is restarted"
    )]
    Illegal(#[from] IllegalTransition),
    /// Decisions do not come to rest.
    #[error("decisions did not come to rest after {ROUNDS} rounds; this is a defect of wavegate")]
    Livelock,
}

/// The daemon's memory and judgement, without its waiting.
#[derive(Debug)]
pub struct Core {
    state: State,
    session: Session,
    journal: Journal,
    issuer: Issuer,
    /// Facts since the last look, for whoever shows them.
    fresh: Vec<Event>,
    /// What the issuer did not let out in the last turn.
    objections: Vec<(Effect, Objection)>,
}

/// What a turn yields.
#[must_use]
#[derive(Debug, Default)]
pub struct Turn {
    /// To be given to the world, all agreed on by the issuer.
    pub effects: Vec<Effect>,
    /// What became of each input, in order.
    pub results: Vec<Result<(), Refusal>>,
    /// When to look again, by the monotonic clock.
    pub wake: Option<Duration>,
}

impl Core {
    /// A core over a journal that leads: recovery is replay.
    ///
    /// # Errors
    /// [`Fatal`] when the journal cannot be replayed or written.
    pub fn new(journal: Journal, holder: &str, kill_file: Option<PathBuf>, now: Now) -> Result<Self, Fatal> {
        let state = journal.replay()?;
        let issuer = Issuer::new(kill_file);
        let mut core =
            Self { state, session: Session::default(), journal, issuer, fresh: Vec::new(), objections: Vec::new() };
        let epoch = core.journal.epoch();
        core.record(
            vec![Event::LeaderStarted {
                epoch,
                holder: holder.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }],
            now,
        )?;
        Ok(core)
    }

    /// From when on a rate of changes is an alarm, instead of the rule that is shipped.
    #[must_use]
    pub fn with_rate(mut self, rule: RateRule) -> Self {
        self.session.rate = rule;
        self
    }

    /// The state, as the journal says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What this process has seen.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The journal, to read.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The position of the newest record.
    pub fn seq(&self) -> Seq {
        self.journal.last_seq()
    }

    /// Facts since the last call, oldest first.
    pub fn take_fresh(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.fresh)
    }

    /// What the issuer did not let out in the last turn. Apart from a race with a kill file, an objection means that the
    /// engine and the record disagree (S12).
    pub fn objections(&self) -> &[(Effect, Objection)] {
        &self.objections
    }

    /// Moves the lease on.
    ///
    /// # Errors
    /// Another daemon leads, or the journal cannot be written.
    pub fn renew_lease(&mut self) -> Result<(), Fatal> {
        Ok(self.journal.renew()?)
    }

    /// One turn: takes the inputs in, decides until nothing more follows, and gives out what the issuer agrees on.
    ///
    /// # Errors
    /// [`Fatal`]: the daemon must stop. Effects that were decided in this turn are then not given out.
    pub fn turn(&mut self, inputs: Vec<Input>, now: Now) -> Result<Turn, Fatal> {
        let mut turn = Turn::default();
        self.objections.clear();
        for input in inputs {
            match decide::react(&self.state, &mut self.session, input, now) {
                Ok(events) => {
                    self.record(events, now)?;
                    turn.results.push(Ok(()));
                }
                Err(refusal) => {
                    self.record(refusal.record().into_iter().collect(), now)?;
                    turn.results.push(Err(refusal));
                }
            }
        }
        self.settle(&mut turn, now)?;
        turn.wake = self.session.take_wake();
        Ok(turn)
    }

    fn settle(&mut self, turn: &mut Turn, now: Now) -> Result<(), Fatal> {
        for _ in 0..ROUNDS {
            // Wishes of earlier rounds are renewed by the last one.
            self.session.take_wake();
            let next = decide::advance(&self.state, &mut self.session, now);
            let at_rest = next.events.is_empty();
            self.record(next.events, now)?;
            let refused = self.issue(next.effects, turn, now)?;
            if at_rest && !refused {
                return Ok(());
            }
        }
        Err(Fatal::Livelock)
    }

    /// Persist, then act: applies and appends facts. A fact that cannot be made durable stops everything, because what follows from
    /// it must not happen in a world that will forget it.
    fn record(&mut self, events: Vec<Event>, now: Now) -> Result<(), Fatal> {
        for event in &events {
            self.state.apply(event)?;
        }
        match self.journal.append(now.wall, &durable(&events)) {
            // INVARIANT: S17. A failed write may have dropped the pages: a second try would prove nothing.
            Err(error) if guard::holds(Guard::StopOnWriteError) => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            tracing::info!(
                event = event.name(),
                rollout = event.rollout().map(|r| r.as_str()),
                target = event.target().map(|t| t.as_str()),
                "recorded"
            );
            match event {
                Event::RolloutEnded { rollout, .. } => self.session.forget(rollout),
                Event::RolloutHeld { hold, .. } => tracing::warn!(?hold, "a rollout waits for a person"),
                Event::RevertStarted { reason, .. } => tracing::warn!(?reason, "a rollout goes back"),
                Event::ChangeRateAlarmed { alarm } => {
                    let (of, seen, usual) = (&alarm.of, alarm.seen, alarm.usual);
                    tracing::warn!(?of, seen, usual, "changes come far faster than usual");
                }
                _ => {}
            }
        }
        self.fresh.extend(events);
        Ok(())
    }

    fn issue(&mut self, effects: Vec<Effect>, turn: &mut Turn, now: Now) -> Result<bool, Fatal> {
        if effects.is_empty() {
            return Ok(false);
        }
        let mut refused = Vec::new();
        let snapshot = self.journal.snapshot()?;
        for effect in effects {
            match self.issuer.check(&self.journal, &effect, now.wall)? {
                Ok(()) => turn.effects.push(effect),
                Err(objection) => refused.push((effect, objection)),
            }
        }
        drop(snapshot);
        for (effect, objection) in &refused {
            self.refuse(effect, objection, now);
        }
        Ok(!refused.is_empty())
    }

    fn refuse(&mut self, effect: &Effect, objection: &Objection, now: Now) {
        tracing::warn!(call = ?effect.call, %objection, "the issuer did not let an effect out");
        self.objections.push((effect.clone(), objection.clone()));
        // The session takes note; a refusal records nothing by itself.
        let _ = decide::react(&self.state, &mut self.session, Input::Refused(effect.id, objection.to_string()), now);
    }
}

/// INVARIANT: S3, S13. All of it is written before anything follows from it.
fn durable(events: &[Event]) -> Cow<'_, [Event]> {
    let left_out = |event: &Event| match event {
        Event::OperationIntended { .. } => !guard::holds(Guard::IntentFirst),
        Event::RestorePointCaptured { .. } => !guard::holds(Guard::RestorePointFirst),
        _ => false,
    };
    match events.iter().any(left_out) {
        false => Cow::Borrowed(events),
        true => Cow::Owned(events.iter().filter(|event| !left_out(event)).cloned().collect()),
    }
}
