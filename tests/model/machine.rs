//! The state machine that is checked: what may happen next, and what follows from it.

use crate::bounds::Bounds;
use crate::consent::{Consent, Voice};
use crate::daemon::{self, Blind, Daemon, Ended, Memory, Sink, Stepped};
use crate::fixture::AT;
use crate::network::{Letter, Message, Stage, Wire};
use crate::properties::{self, Broken};
use crate::provider::{Alarm, Content, End, Provider};
use stateright::{Model, Property};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wavegate::engine::decide::Input;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::observation::ProviderErrorKind as Kind;
use wavegate::model::state::RolloutPhase;

/// All that there is.
#[derive(Clone, Debug)]
pub struct World {
    /// The journal.
    pub durable: Arc<Memory>,
    /// Whose lease it is.
    pub lease: u64,
    /// Who leads.
    pub leader: Option<Arc<Daemon>>,
    /// Who led, and has not found out.
    pub zombie: Option<Arc<Daemon>>,
    /// The provider.
    pub provider: Provider,
    /// What people said, as far as it is on record.
    pub consent: Consent,
    /// Hours since the beginning.
    pub hour: u8,
    /// Calls on their way, sorted.
    pub network: Vec<Message>,
    /// What may still happen.
    pub bounds: Bounds,
    /// What went wrong.
    pub broken: Broken,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, into: &mut H) {
        let Self { durable, lease, leader, zombie, provider, consent, hour, network, bounds, broken } = self;
        (durable, lease, leader, zombie, provider, network, bounds, broken).hash(into);
        (consent, hour).hash(into);
    }
}

/// As far as the checker needs it, which compares hashes.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

/// The hash of a state.
pub fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// What a daemon's step begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A new leader comes up.
    Grant,
    /// A timer.
    Wake,
    /// A timer of the deposed one.
    ZombieWakes,
    /// The answer to a call.
    Answer(usize),
    /// No answer to a call, which may still be on its way.
    TimeOut(usize),
    /// The call was refused for its rate.
    Throttle(usize),
    /// A stop order.
    Kill(KillMode),
    /// Two people lift the newest one.
    Lift,
    /// A person pauses the rollout.
    Pause,
    /// A person lets it go on.
    Resume,
    /// A person sends it back.
    Revert,
    /// Somebody answers what is asked.
    Say(Voice),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A daemon's step, to its end or until it dies after so many points.
    Step(Start, Option<u8>),
    /// The leader dies at rest.
    Crash,
    /// A call arrives.
    Deliver(usize),
    /// An operation ends.
    End(usize, End),
    /// A person changes a stack.
    Edit(usize),
    /// A person changes a stack's resources past CloudFormation.
    Drift(usize),
    /// The alarm changes.
    Alarm(Alarm),
    /// An hour passes.
    Hour,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What bounds it.
    pub bounds: Bounds,
}

impl Model for Machine {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let durable = Arc::new(Memory::of(&daemon::first_records(self.bounds.shape)));
        vec![World {
            leader: Some(Arc::new(Daemon::new(1, Arc::clone(&durable)))),
            durable,
            lease: 1,
            zombie: None,
            provider: Provider::default(),
            consent: Consent::default(),
            hour: 0,
            network: Vec::new(),
            bounds: self.bounds,
            broken: Broken::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken != Broken::default() {
            return;
        }
        let mut starts = Vec::new();
        world.starts(&mut starts);
        for start in starts {
            actions.push(Action::Step(start, None));
            if world.bounds.crashes > 0 {
                // To die after the last point is to die at rest.
                let points = world.clone().begin(start, None, &mut Blind).map_or(0, |stepped| stepped.points);
                actions.extend((1..points).map(|cut| Action::Step(start, Some(cut))));
            }
        }
        world.happenings(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.step(world, action, &mut Blind)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl World {
    /// A number by which states can be sampled: cheaper than their hash.
    pub fn sample(&self) -> u64 {
        let session = self.leader.as_ref().map_or(0, |leader| leader.hash);
        let network = self.network.len() as u64;
        (self.durable.sample() ^ session.rotate_left(31) ^ network).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8
    }

    /// How a daemon's step may begin now.
    fn starts(&self, starts: &mut Vec<Start>) {
        if self.bounds.grants > 0 {
            starts.push(Start::Grant);
        }
        if self.zombie.is_some() {
            starts.push(Start::ZombieWakes);
        }
        for (at, message) in self.network.iter().enumerate() {
            let Letter { stage, wire, .. } = &message.letter;
            match (stage, wire) {
                (Stage::Sent, Wire::Alarms) | (Stage::Answered(_), _) => starts.push(Start::Answer(at)),
                _ => {}
            }
            if *stage != Stage::Orphan && *wire != Wire::Alarms {
                if self.bounds.lost > 0 {
                    starts.push(Start::TimeOut(at));
                }
                if self.bounds.throttled > 0 && *stage == Stage::Sent {
                    starts.push(Start::Throttle(at));
                }
            }
        }
        if self.leader.is_some() {
            starts.push(Start::Wake);
            self.orders(starts);
        }
    }

    fn orders(&self, starts: &mut Vec<Start>) {
        let state = &self.durable.state;
        let Some(rollout) = state.open_rollouts().next() else { return };
        if self.bounds.answers > 0 && self.consent.is_asked() {
            starts.extend(Voice::ALL.map(Start::Say));
        }
        let hardest = state.kill_mode(rollout);
        if self.bounds.kills > 0 {
            let harder = self.bounds.modes.iter().filter(|mode| hardest.is_none_or(|known| known < **mode));
            starts.extend(harder.map(|mode| Start::Kill(*mode)));
        }
        if self.bounds.orders > 0 {
            if hardest.is_some() {
                starts.push(Start::Lift);
            }
            starts.push(if rollout.hold.is_some() { Start::Resume } else { Start::Pause });
            if rollout.phase != RolloutPhase::Reverting {
                starts.push(Start::Revert);
            }
        }
    }

    /// What may happen outside of the daemons now.
    fn happenings(&self, actions: &mut Vec<Action>) {
        let bounds = &self.bounds;
        if bounds.crashes > 0 && self.leader.is_some() {
            actions.push(Action::Crash);
        }
        for (at, message) in self.network.iter().enumerate() {
            let arrives = matches!(message.letter.stage, Stage::Sent | Stage::Orphan);
            if arrives && message.letter.wire != Wire::Alarms {
                actions.push(Action::Deliver(at));
            }
        }
        for (n, stack) in self.provider.stacks.iter().enumerate() {
            let mut end = |end: End, allowed: bool| {
                if allowed && stack.can_end(end) {
                    actions.push(Action::End(n, end));
                }
            };
            // A cancelled operation ends rolled back, which is no failure of the provider.
            let cancelled = !stack.can_end(End::Complete);
            end(End::Complete, true);
            end(End::RolledBack, cancelled || bounds.failures > 0);
            end(End::RollbackFailed, bounds.rollback_failures > 0);
            if bounds.edits > 0 && stack.status.is_settled_complete() && stack.content != Content::Foreign {
                actions.push(Action::Edit(n));
            }
            if bounds.edits > 0 && bounds.drifts && !stack.drifted {
                actions.push(Action::Drift(n));
            }
        }
        if bounds.hours > 0 {
            actions.push(Action::Hour);
        }
        if bounds.alarms > 0 {
            let all = [Alarm::Ok, Alarm::Open, Alarm::Unreadable];
            actions.extend(all.into_iter().filter(|alarm| *alarm != self.provider.alarm).map(Action::Alarm));
        }
    }

    /// What the death or deposition of a daemon leaves of its calls, and what can have no effect any more.
    fn tidy(&mut self) {
        let alive = |epoch: u64, who: &Option<Arc<Daemon>>| who.as_ref().is_some_and(|d| d.epoch == epoch);
        let (leader, zombie) = (&self.leader, &self.zombie);
        for message in &mut self.network {
            let letter = &mut message.letter;
            if letter.stage != Stage::Orphan && !alive(letter.epoch, leader) && !alive(letter.epoch, zombie) {
                letter.stage = match letter.stage {
                    // Had its effect; nobody hears of it.
                    Stage::Answered(_) => Stage::Answered(None),
                    _ => Stage::Orphan,
                };
            }
        }
        let mut network = std::mem::take(&mut self.network);
        network.retain(|message| {
            let letter = &message.letter;
            match letter.stage {
                Stage::Orphan => !letter.is_spent(self),
                Stage::Answered(_) => alive(letter.epoch, &self.leader) || alive(letter.epoch, &self.zombie),
                Stage::Sent => true,
            }
        });
        network.sort_by(|a, b| a.letter.cmp(&b.letter));
        self.network = network;
    }
}

impl Machine {
    /// What follows from an action; `sink` sees what is appended. None: the action does nothing of its own.
    pub fn step(&self, world: &World, action: Action, sink: &mut dyn Sink) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Step(start, cut) => {
                let stepped = next.begin(start, cut, sink)?;
                if stepped.ended == Ended::Cut {
                    next.bounds.crashes -= 1;
                }
            }
            Action::Crash => {
                next.bounds.crashes -= 1;
                next.leader = None;
            }
            Action::Deliver(at) => {
                let mut message = next.network.remove(at);
                let reply = message.letter.arrive(&mut next);
                if message.letter.stage == Stage::Sent {
                    message.letter.stage = Letter::answered(&reply);
                    next.network.push(message);
                }
            }
            Action::End(n, end) => {
                let cancelled = !next.provider.stacks[n].can_end(End::Complete);
                match end {
                    End::RolledBack if !cancelled => next.bounds.failures -= 1,
                    End::RollbackFailed => next.bounds.rollback_failures -= 1,
                    _ => {}
                }
                next.provider.stack(n).end(end);
            }
            Action::Edit(n) => {
                next.bounds.edits -= 1;
                next.provider.stack(n).edit();
            }
            Action::Drift(n) => {
                next.bounds.edits -= 1;
                next.provider.stack(n).drifted = true;
            }
            Action::Hour => {
                next.bounds.hours -= 1;
                next.hour += 1;
            }
            Action::Alarm(alarm) => {
                next.bounds.alarms -= 1;
                next.provider.alarm = alarm;
            }
        }
        next.tidy();
        Some(next)
    }
}

impl World {
    fn begin(&mut self, start: Start, cut: Option<u8>, sink: &mut dyn Sink) -> Option<Stepped> {
        let mut events = Vec::new();
        let mut epoch = self.lease;
        let inputs = match start {
            Start::Grant => {
                self.bounds.grants -= 1;
                self.depose();
                epoch = self.lease;
                events.push(daemon::leader_started(epoch));
                Vec::new()
            }
            Start::Wake => Vec::new(),
            Start::ZombieWakes => {
                epoch = self.zombie.as_ref()?.epoch;
                Vec::new()
            }
            Start::Answer(at) | Start::TimeOut(at) | Start::Throttle(at) => {
                epoch = self.network[at].letter.epoch;
                self.hear(start, at)
            }
            Start::Kill(mode) => {
                self.bounds.kills -= 1;
                vec![Input::Kill(self.kill(mode))]
            }
            Start::Say(voice) => {
                vec![voice.says(&self.durable.state)?]
            }
            // Two people, one after the other; between them nothing changes but that the first one has asked.
            Start::Lift => {
                self.bounds.orders -= 1;
                let kill = self.durable.state.kills.values().rev().find(|kill| kill.in_force())?.kill.id.clone();
                ["person", "another"].map(|by| Input::Lift { kill: kill.clone(), by: by.into() }).into()
            }
            order => {
                self.bounds.orders -= 1;
                vec![self.order(order)?]
            }
        };
        let leads = epoch == self.lease;
        let slot = if leads { &mut self.leader } else { &mut self.zombie };
        let daemon = Arc::unwrap_or_clone(slot.take()?);
        let said = self.consent.answers();
        let (stepped, daemon) = daemon::run(self, daemon, events, inputs, cut, sink);
        let slot = if leads { &mut self.leader } else { &mut self.zombie };
        *slot = daemon.map(Arc::new);
        // Whoever is refused has said nothing, and may say it for ever.
        if matches!(start, Start::Say(_)) && self.consent.answers() != said {
            self.bounds.answers = self.bounds.answers.saturating_sub(1);
        }
        Some(stepped)
    }

    /// The clock on the wall.
    pub fn wall(&self) -> jiff::Timestamp {
        AT.checked_add(std::time::Duration::from_secs(3_600 * u64::from(self.hour))).expect("a few hours")
    }

    /// Another daemon takes the lead.
    fn depose(&mut self) {
        self.lease += 1;
        let old = self.leader.take();
        if self.bounds.zombies && old.is_some() {
            self.zombie = old;
        }
        self.leader = Some(Arc::new(Daemon::new(self.lease, Arc::clone(&self.durable))));
    }

    /// What the sender of a call hears.
    fn hear(&mut self, start: Start, at: usize) -> Vec<Input> {
        let mut message = self.network.remove(at);
        let reply = match start {
            Start::TimeOut(_) => {
                self.bounds.lost -= 1;
                message.letter.fails(Kind::Ambiguous)
            }
            Start::Throttle(_) => {
                self.bounds.throttled -= 1;
                message.letter.fails(Kind::Throttled)
            }
            _ => match message.letter.reply() {
                Some(reply) => reply,
                None => message.letter.arrive(self),
            },
        };
        let inputs = message.input(reply);
        if matches!(start, Start::TimeOut(_)) && message.letter.stage == Stage::Sent {
            message.letter.stage = Stage::Orphan;
            self.network.push(message);
        }
        inputs
    }

    fn kill(&self, mode: KillMode) -> Kill {
        Kill {
            id: format!("k{}", self.durable.state.kills.len()).into(),
            scope: KillScope::All,
            mode,
            by: String::new(),
            door: KillDoor::Cli,
            at: AT,
            reason: String::new(),
        }
    }

    fn order(&self, order: Start) -> Option<Input> {
        let state = &self.durable.state;
        let rollout = state.rollouts.keys().next()?.clone();
        let by = "person".to_owned();
        Some(match order {
            Start::Pause => Input::Pause { rollout, by },
            Start::Resume => Input::Resume { rollout, by },
            _ => Input::Revert { rollout, by },
        })
    }
}
