//! A daemon's step: the production engine ([`decide::react`], [`decide::advance`], [`State::apply`]) between the journal and the
//! provider, taken until it is at rest, and cut short after any of its durable or outward points where it is to die there.
//!
//! Plain reads, and the making of change sets, are answered at once. Every other call becomes a [`Message`].

use crate::bounds::Shape;
use crate::fixture::{MAX_BAKE, STACKS, fixture, number, target_number};
use crate::machine::World;
use crate::network::{Letter, Message, Stage, Wire};
use crate::properties::{self, Broken};
use crate::provider::Content;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use wavegate::engine::decide::{self, Input};
use wavegate::engine::effect::{Call, Class, Effect, Reply};
use wavegate::engine::session::Session;
use wavegate::guard::{self, Guard};
use wavegate::model::event::{Direction, Event};
use wavegate::model::halt::Hold;
use wavegate::model::ids::{Epoch, KillId};
use wavegate::model::state::{Admission, State};
use wavegate::model::time::{Millis, Now};

/// Rounds after which deciding is called a livelock; the longest that is needed is about ten.
const ROUNDS: usize = 60;

/// A state of the engine with the hashes of its parts.
#[derive(Clone, Debug)]
pub struct Memory {
    /// As production keeps it.
    pub state: State,
    targets: [u64; STACKS],
    rest: u64,
}

impl Memory {
    /// The state behind these events.
    pub fn of(events: &[Event]) -> Self {
        let mut memory = Self { state: State::default(), targets: [0; STACKS], rest: 0 };
        for event in events {
            memory.state.apply(event).expect("the first events fit");
        }
        memory.rest = memory.hash_rest();
        for n in 0..STACKS {
            memory.targets[n] = memory.hash_target(n);
        }
        memory
    }

    fn hash_target(&self, n: usize) -> u64 {
        let id = &fixture().ids[n];
        self.state.rollouts.values().find_map(|r| r.targets.get(id)).map_or(0, hash_of)
    }

    /// Everything besides the targets. The newest judgement and the reason of a revert are for people: no decision reads them.
    fn hash_rest(&self) -> u64 {
        // Keys, alarms, drills, tokens and refusals are not in the model: no order of it leads to one.
        let State { epoch, rollouts, kills, ended: _, keys: _, rate_alarms: _, drills: _, tokens: _, refused: _ } =
            &self.state;
        let rollouts: Vec<_> =
            rollouts.values().map(|r| (r.phase, r.hold.as_ref(), &r.gates, &r.bake, r.plan.rollout.as_str())).collect();
        let rest = debug_hash(&(epoch, rollouts, kills));
        let guarded = self.state.rollouts.values().filter(|r| r.plan.safeguards.is_some());
        guarded.fold(rest, |rest, r| rest.rotate_left(5) ^ hash_admission(&r.admission))
    }

    fn apply(&mut self, event: &Event) -> bool {
        let fits = self.state.apply(event).is_ok();
        match event.target() {
            Some(target) => {
                let n = target_number(target);
                self.targets[n] = self.hash_target(n);
            }
            None => self.rest = self.hash_rest(),
        }
        fits
    }
}

impl Hash for Memory {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.targets.hash(into);
        self.rest.hash(into);
    }
}

/// A judgement is known by its digest; when it was made says nothing.
fn hash_admission(admission: &Admission) -> u64 {
    let Admission { judged, given, used, signed_off, waits, rejected } = admission;
    let judged = judged.as_ref().map(|judged| (&judged.digest, judged.decision));
    debug_hash(&(judged, given, used, signed_off, waits, rejected))
}

/// The hash of what `Debug` shows: for production types that hold floats.
fn debug_hash(value: &impl fmt::Debug) -> u64 {
    hash_of(&format!("{value:?}"))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A process.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its term.
    pub epoch: u64,
    /// What it believes the journal says.
    pub memory: Arc<Memory>,
    session: Session,
    /// Of the session.
    pub hash: u64,
    steps: u32,
}

impl Daemon {
    /// A process that has just taken the lead.
    pub fn new(epoch: u64, memory: Arc<Memory>) -> Self {
        Self { epoch, memory, session: Session::default(), hash: 0, steps: 0 }
    }
}

impl Hash for Daemon {
    fn hash<H: Hasher>(&self, into: &mut H) {
        (self.epoch, self.hash).hash(into);
        self.memory.hash(into);
    }
}

impl Memory {
    /// A number by which states can be sampled.
    pub fn sample(&self) -> u64 {
        self.targets.iter().fold(self.rest, |all, part| all.rotate_left(7) ^ part)
    }
}

/// Sees what is made durable, by which epoch.
pub trait Sink {
    /// One append.
    fn appended(&mut self, epoch: u64, events: &[Event]);
}

/// Sees nothing.
pub struct Blind;

impl Sink for Blind {
    fn appended(&mut self, _: u64, _: &[Event]) {}
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// At rest.
    AtRest,
    /// Died at the point that was asked for.
    Cut,
    /// Found out that another daemon leads, or met a defect, and stopped.
    Stopped,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// How it ended.
    pub ended: Ended,
    /// The durable and outward points that it passed.
    pub points: u8,
}

/// One step of one daemon.
pub struct Run<'a> {
    world: &'a mut World,
    daemon: Daemon,
    /// The daemon leads and its memory is the journal: one copy serves as both.
    shared: bool,
    points: u8,
    /// Rounds of answers so far: each is later than the one before, by less than any timer.
    rounds: u64,
    cut: Option<u8>,
    sink: &'a mut dyn Sink,
}

thread_local! {
    static NOTHING: Arc<Memory> = Arc::new(Memory { state: State::default(), targets: [0; STACKS], rest: 0 });
}

/// Takes a daemon through one step; gives it back unless it died or stopped.
pub fn run(
    world: &mut World,
    daemon: Daemon,
    events: Vec<Event>,
    inputs: Vec<Input>,
    cut: Option<u8>,
    sink: &mut dyn Sink,
) -> (Stepped, Option<Daemon>) {
    let shared = daemon.epoch == world.lease && Arc::ptr_eq(&daemon.memory, &world.durable);
    if shared {
        world.durable = NOTHING.with(Arc::clone);
    }
    let mut run = Run { world, daemon, shared, points: 0, rounds: 0, cut, sink };
    let ended = run.go(events, inputs).map_or_else(|ended| ended, |()| Ended::AtRest);
    let Run { world, mut daemon, shared, points, .. } = run;
    let stepped = Stepped { ended, points };
    if shared {
        world.durable = Arc::clone(&daemon.memory);
    }
    if ended != Ended::AtRest {
        return (stepped, None);
    }
    daemon.steps += 1;
    let mut hasher = DefaultHasher::new();
    daemon.session.hash_what_counts(&mut hasher);
    daemon.hash = hasher.finish();
    (stepped, Some(daemon))
}

impl Run<'_> {
    /// Time is such that every timer has run out since the last step.
    fn now(&self) -> Now {
        let step = Duration::from_secs(3_600) * (self.daemon.steps + 1);
        Now { wall: self.world.wall(), monotonic: step + Duration::from_millis(self.rounds) }
    }

    fn go(&mut self, events: Vec<Event>, inputs: Vec<Input>) -> Result<(), Ended> {
        self.record(events)?;
        for input in inputs {
            self.react(input)?;
        }
        for _ in 0..ROUNDS {
            self.daemon.session.take_wake();
            let now = self.now();
            let next = decide::advance(&self.daemon.memory.state, &mut self.daemon.session, now);
            let recorded = !next.events.is_empty();
            self.record(next.events)?;
            let mut replies = Vec::new();
            for effect in next.effects {
                replies.extend(self.issue(effect)?);
            }
            if !recorded && replies.is_empty() {
                return Ok(());
            }
            self.rounds += 1;
            for reply in replies {
                self.react(reply)?;
            }
        }
        self.world.broken.add(Broken::L5);
        Err(Ended::Stopped)
    }

    fn react(&mut self, input: Input) -> Result<(), Ended> {
        let now = self.now();
        // An order that is refused records nothing.
        let events = decide::react(&self.daemon.memory.state, &mut self.daemon.session, input, now).unwrap_or_default();
        self.record(events)
    }

    /// Dies here, when this is the point.
    fn point(&mut self) -> Result<(), Ended> {
        self.points += 1;
        if self.cut == Some(self.points) { Err(Ended::Cut) } else { Ok(()) }
    }

    fn leads(&self) -> bool {
        self.daemon.epoch == self.world.lease
    }

    /// `Core::record` over `Journal::append`: applied, then written under the lease or not at all.
    fn record(&mut self, mut events: Vec<Event>) -> Result<(), Ended> {
        if events.is_empty() {
            return Ok(());
        }
        if !self.leads() && guard::holds(Guard::LeaseInTransaction) {
            return Err(Ended::Stopped);
        }
        if self.world.bounds.acknowledges_early {
            acknowledge_early(&mut events);
        }
        events.iter_mut().for_each(cap);
        let withheld = |event: &Event| match event {
            Event::OperationIntended { .. } => !guard::holds(Guard::IntentFirst),
            Event::RestorePointCaptured { .. } => !guard::holds(Guard::RestorePointFirst),
            _ => false,
        };
        if self.shared && events.iter().any(withheld) {
            // Only with a guard removed: from here on memory and journal differ.
            self.shared = false;
            self.world.durable = Arc::clone(&self.daemon.memory);
        }
        let memory = Arc::make_mut(&mut self.daemon.memory);
        for event in &events {
            let found = properties::at_record(&self.world.provider, &memory.state, event);
            self.world.broken.note(found);
            if !memory.apply(event) {
                self.world.broken.add(Broken::S24);
                return Err(Ended::Stopped);
            }
            if let Event::RolloutEnded { rollout, .. } = event {
                self.daemon.session.forget(rollout);
            }
        }
        if !self.shared {
            let journal = Arc::make_mut(&mut self.world.durable);
            for event in events.iter().filter(|event| !withheld(event)) {
                // What was withheld may be missing here; that is found where it matters.
                let _ = journal.apply(event);
            }
        }
        let hour = self.world.hour;
        events.iter().for_each(|event| self.world.consent.record(event, hour));
        self.sink.appended(self.daemon.epoch, &events);
        self.point()
    }

    /// `Issuer::check`'s question of the lease, then the way out. What the issuer asks besides is left out: the engine must
    /// uphold it alone.
    fn issue(&mut self, effect: Effect) -> Result<Option<Input>, Ended> {
        if let Call::ReadAlarms(_) = effect.call {
            self.send(effect, 0, Wire::Alarms);
            return Ok(None);
        }
        if let Call::FindOperation { token, .. } = &effect.call {
            // The one bound on delay: a call to go on with a rollback, which nothing can fence, is not later than a look for it.
            let late = |letter: &Letter| matches!(&letter.wire, Wire::Continue { token: sent } if sent == token);
            self.world.network.retain(|m| m.letter.stage != Stage::Orphan || !late(&m.letter));
        }
        if let Some(reply) = self.world.provider.read(&effect.call) {
            return Ok(Some(Input::Reply(effect.id, reply)));
        }
        if !self.leads() && guard::holds(Guard::IssuerLeads) {
            return Err(Ended::Stopped);
        }
        let journal = if self.shared { &self.daemon.memory } else { &self.world.durable };
        let found = properties::at_issue(&journal.state, &effect, self.world.bounds.shape);
        self.world.broken.note(found);
        let reply = match &effect.call {
            Call::CreateChangeSet { stack, name, inputs } => {
                let to = content_of(inputs.template.as_ref());
                if self.world.bounds.slow_creates {
                    let wire = Wire::Create { name: name.clone(), to, arn: None };
                    self.send(effect.clone(), number(stack), wire)
                } else {
                    let reply: Reply = self.world.provider.create(number(stack), name, to, self.daemon.epoch);
                    Some(Input::Reply(effect.id, reply))
                }
            }
            Call::DeleteChangeSet { stack, change_set, .. } => {
                let wire = Wire::Fence { change_set: change_set.clone() };
                self.send(effect.clone(), number(stack), wire)
            }
            Call::ExecuteChangeSet { stack, arn, token, direction } => {
                let forward = *direction == Direction::Forward;
                debug_assert_eq!(forward, effect.class == Class::Forward);
                let wire = Wire::Execute { arn: arn.clone(), token: token.clone(), forward };
                self.send(effect.clone(), number(stack), wire)
            }
            Call::CancelUpdate { stack, .. } => self.send(effect.clone(), number(stack), Wire::Cancel),
            Call::ContinueRollback { stack, token } => {
                self.send(effect.clone(), number(stack), Wire::Continue { token: token.clone() })
            }
            call => unreachable!("not in this plan: {call:?}"),
        };
        self.point()?;
        Ok(reply)
    }

    fn send(&mut self, effect: Effect, stack: usize, wire: Wire) -> Option<Input> {
        let letter = Letter { stack, epoch: self.daemon.epoch, wire, stage: Stage::Sent };
        self.world.network.push(Message { letter, id: effect.id });
        None
    }
}

fn content_of(template: Option<&wavegate::model::stack::Template>) -> Content {
    let all = [Content::Original, Content::Ours, Content::Foreign];
    let of = |content: &Content| template == Some(&fixture().templates[*content as usize]);
    all.into_iter().find(of).expect("a template of the model")
}

/// The planted fault: a kill is acknowledged as soon as it is requested (rule R1).
fn acknowledge_early(events: &mut Vec<Event>) {
    let ids: Vec<KillId> = events
        .iter()
        .filter_map(|event| match event {
            Event::KillRequested { kill } => Some(kill.id.clone()),
            _ => None,
        })
        .collect();
    events.extend(ids.into_iter().map(|kill| Event::KillAcknowledged { kill }));
}

/// Watched time beyond what any decision tells apart counts as that much: else each look would be a new state.
fn cap(event: &mut Event) {
    let capped = |elapsed: &mut Millis| *elapsed = (*elapsed).min(MAX_BAKE);
    match event {
        Event::HealthJudged { elapsed, .. } => capped(elapsed),
        Event::RolloutHeld { hold: Hold::BakeInconclusive { after, .. }, .. } => capped(after),
        _ => {}
    }
}

/// The first records: a leader, and what is proposed.
pub fn first_records(shape: Shape) -> Vec<Event> {
    let proposed = fixture().plans(shape).iter().map(|(plan, digest)| Event::RolloutProposed {
        plan: Arc::clone(plan),
        digest: digest.clone(),
        by: "test".into(),
        handed_in: None,
    });
    std::iter::once(leader_started(1)).chain(proposed).collect()
}

/// The first record of a leader.
pub fn leader_started(epoch: u64) -> Event {
    Event::LeaderStarted { epoch: Epoch(epoch), holder: String::new(), version: String::new() }
}
