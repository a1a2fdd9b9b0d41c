//! The invariants of `docs/architecture.md`, by number. Those that speak of an event or of an effect are checked where it
//! happens and leave a mark in the state; the others look at the state.

use crate::bounds::Shape;
use crate::fixture::{STACKS, fixture, target_number, wave_of};
use crate::machine::{Machine, World};
use crate::network::{Letter, Wire};
use crate::provider::{Alarm, CfnSet, Content, Provider, Stack, described};
use stateright::Property;
use std::sync::LazyLock;
use wavegate::engine::decide::{self, Input, Refusal};
use wavegate::engine::effect::{Call, Class, Effect};
use wavegate::engine::session::Session;
use wavegate::model::event::{Direction, Event, Operation, OperationCall, Outcome, RestoredBy, Settlement};
use wavegate::model::halt::{KillMode, StuckReason};
use wavegate::model::ids::Digest;
use wavegate::model::stack::{RestorePoint, StackStatus};
use wavegate::model::state::{Phase, Rollout, RolloutPhase, State, Target};
use wavegate::model::time::Now;

/// Marks of broken invariants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken(u32);

impl Broken {
    /// None.
    pub const NONE: u32 = 0;
    /// Gate before wave.
    pub const S1: u32 = 1;
    /// Nothing forward after the acknowledgement of a kill.
    pub const S2: u32 = 1 << 1;
    /// Intent before effect.
    pub const S3: u32 = 1 << 2;
    /// Nothing of an older epoch after a newer one.
    pub const S4: u32 = 1 << 3;
    /// What is executed was approved.
    pub const S5: u32 = 1 << 4;
    /// One operation for each attempt.
    pub const S8: u32 = 1 << 5;
    /// Nothing is recorded that contradicts the provider.
    pub const S9: u32 = 1 << 6;
    /// A gate passes on good health.
    pub const S11: u32 = 1 << 7;
    /// The restore point is what was there.
    pub const S13: u32 = 1 << 8;
    /// Last wave first.
    pub const S14: u32 = 1 << 9;
    /// Only what we left.
    pub const S15: u32 = 1 << 10;
    /// A decision that does not fit the state.
    pub const S24: u32 = 1 << 11;
    /// Decisions that do not come to rest.
    pub const L5: u32 = 1 << 12;
    /// Two people of other parties.
    pub const S6: u32 = 1 << 13;
    /// An approval counts once, for one digest, for its time.
    pub const S7: u32 = 1 << 14;
    /// Limits of the moment.
    pub const S10: u32 = 1 << 15;

    /// Leaves marks.
    pub fn add(&mut self, marks: u32) {
        self.0 |= marks;
    }
    /// Leaves marks, or none.
    pub fn note(&mut self, marks: u32) {
        self.add(marks);
    }
    /// True when there is no such mark.
    pub fn lacks(self, mark: u32) -> bool {
        self.0 & mark == 0
    }
}

fn mark(broken: bool, mark: u32) -> u32 {
    if broken { mark } else { Broken::NONE }
}

/// The rollout of a stack.
fn rollout_of(state: &State, n: usize) -> Option<&Rollout> {
    let id = &fixture().ids[n];
    state.rollouts.values().find(|rollout| rollout.targets.contains_key(id))
}

fn target(state: &State, n: usize) -> Option<&Target> {
    rollout_of(state, n)?.targets.get(&fixture().ids[n])
}

/// What a restore point holds.
fn captured(target: &Target) -> Option<Content> {
    let Some(RestorePoint::Stack(record)) = target.restore_point.as_deref() else { return None };
    let all = [Content::Original, Content::Ours, Content::Foreign];
    all.into_iter().find(|content| fixture().templates[*content as usize] == record.template)
}

/// The approval digest of a change set, by stack, from, to and drift.
static DIGESTS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
    let all = [Content::Original, Content::Ours, Content::Foreign];
    let mut digests = Vec::new();
    for n in 0..STACKS {
        for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
            let template = fixture().templates[to as usize].digest();
            let digest = |drifted| described(n, from, to, drifted).approval_digest(template, None, false);
            digests.extend([false, true].map(digest).map(|digest| digest.expect("a digest")));
        }
    }
    digests
});

/// The digest that an approval of this change set has.
fn digest_of(n: usize, set: &CfnSet) -> &'static Digest {
    &DIGESTS[((n * 3 + set.from as usize) * 3 + set.to as usize) * 2 + usize::from(set.drifted)]
}

/// At the append of an event, with the state before it: S9, S11, S13 and S14.
pub fn at_record(provider: &Provider, before: &State, event: &Event) -> u32 {
    let n = event.target().map(target_number);
    let (Some(n), Some(known)) = (n, n.and_then(|n| target(before, n))) else {
        return match event {
            // INVARIANT: S11. Health is read in the same step.
            Event::GatePassed { .. } => mark(provider.alarm != Alarm::Ok, Broken::S11),
            _ => Broken::NONE,
        };
    };
    let stack = &provider.stacks[n];
    match event {
        Event::RestorePointCaptured { restore_point, .. } => {
            let RestorePoint::Stack(record) = &**restore_point else { return Broken::S13 };
            let is_there = fixture().templates[stack.content as usize] == record.template;
            mark(!is_there || stack.content == Content::Ours, Broken::S13)
        }
        Event::OperationIntended { operation, .. } if operation.direction == Direction::Revert => {
            mark(later_is_open(provider, before, n), Broken::S14)
        }
        _ => contradicts(stack, known, event),
    }
}

/// S14, asked of the provider too: a later wave's stack holds the change, or is on its way, and is not stuck.
fn later_is_open(provider: &Provider, state: &State, n: usize) -> bool {
    let mine = |later: &usize| rollout_of(state, n).is_some_and(|r| r.targets.contains_key(&fixture().ids[*later]));
    (0..STACKS).filter(|later| wave_of(*later) > wave_of(n)).filter(mine).any(|later| {
        let stack = &provider.stacks[later];
        let touched = stack.content == Content::Ours || stack.status.is_in_progress();
        let stuck = matches!(target(state, later).map(|t| &t.phase), Some(Phase::Settled(Settlement::Stuck { .. })));
        touched && !stuck
    })
}

/// S9: the record says something about the outcome that is not so.
fn contradicts(stack: &Stack, known: &Target, event: &Event) -> u32 {
    let traced = |op: &Operation| stack.log.iter().find(|traced| traced.token == op.token);
    let op = known.operation();
    let wrong = match event {
        Event::OperationStarted { .. } => op.is_none_or(|op| traced(op).is_none()),
        Event::OperationNotStarted { .. } => op.is_none_or(|op| traced(op).is_some()),
        Event::OperationEnded { .. } => op.is_none_or(|op| traced(op).is_none_or(|t| t.ended.is_none())),
        Event::TargetSettled { settlement: Settlement::Applied { .. }, .. } => stack.content != Content::Ours,
        Event::TargetSettled { settlement: Settlement::Restored { .. }, .. } => Some(stack.content) != captured(known),
        _ => false,
    };
    mark(wrong, Broken::S9)
}

/// When the issuer lets a call out: S3, its intent is durable, and S13, so is the restore point; S10, the limits of the moment hold.
pub fn at_issue(journal: &State, effect: &Effect, shape: Shape) -> u32 {
    let token = match &effect.call {
        Call::ExecuteChangeSet { token, .. } | Call::ContinueRollback { token, .. } => token,
        _ => return Broken::NONE,
    };
    let Some(known) = effect.target.as_ref().and_then(|id| target(journal, target_number(id))) else {
        return Broken::S3;
    };
    let intended = matches!(&known.phase, Phase::Intended(op) if op.token == *token);
    let n = effect.target.as_ref().map_or(STACKS, target_number);
    let forward = effect.class == Class::Forward && shape == Shape::Shared;
    mark(!intended, Broken::S3)
        | mark(known.restore_point.is_none(), Broken::S13)
        | mark(forward && (0..STACKS).any(|other| other != n && is_in_motion(journal, other, false)), Broken::S10)
}

/// True while the stack is being changed, or is changed and watched; and, unless only the way there counts, on its way back.
fn is_in_motion(journal: &State, n: usize, only_there: bool) -> bool {
    let Some((rollout, target)) = rollout_of(journal, n).zip(target(journal, n)) else { return false };
    let back = rollout.phase == RolloutPhase::Reverting;
    if rollout.is_ended() || (back && only_there) {
        return false;
    }
    match &target.phase {
        Phase::Settled(Settlement::Applied { .. }) => back || !rollout.gates.contains(&wave_of(n)),
        Phase::Settled(_) => false,
        _ => target.is_touched(),
    }
}

/// When a call has its effect at the provider: S1, S2, S4, S5, S8, S9, S13, S14 and S15. `before` is the stack as it was.
pub fn at_effect(world: &World, before: &Stack, letter: &Letter) -> u32 {
    let World { durable, provider, .. } = world;
    let journal = &durable.state;
    match &letter.wire {
        Wire::Execute { arn, token, forward } => {
            let set = before.sets.iter().find(|set| *set.arn == **arn);
            let Some((set, known)) = set.zip(target(journal, letter.stack)) else { return Broken::S3 };
            let op = known.operation().filter(|op| op.token == *token);
            // INVARIANT: S4. No effect of an older epoch after the first one of a newer. Effects are what changes a stack, and
            // a newer leader's change sets; its fences are not, since they are what makes room for the first effect.
            // `CancelUpdateStack` and `ContinueUpdateRollback` cannot be fenced at CloudFormation. They can only lead back.
            mark(letter.epoch < provider.newest, Broken::S4)
                | mark(before.log.iter().any(|traced| traced.token == *token), Broken::S8)
                // Recorded as not started, and now it starts.
                | mark(op.is_none(), Broken::S9)
                | match forward {
                    true => forward_effect(world, known, op, set, before, letter.stack),
                    false => reverse_effect(journal, provider, known, set.to, before, letter.stack),
                }
        }
        Wire::Fence { change_set } => {
            let gone = before.sets.iter().find(|set| *set.arn == **change_set || *set.name == **change_set);
            // INVARIANT: S4. A late fence does not hit what a newer leader made.
            mark(gone.is_some_and(|set| set.epoch > letter.epoch), Broken::S4)
        }
        _ => Broken::NONE,
    }
}

fn forward_effect(
    world: &World,
    known: &Target,
    op: Option<&Operation>,
    set: &CfnSet,
    before: &Stack,
    n: usize,
) -> u32 {
    let journal = &world.durable.state;
    let Some(rollout) = rollout_of(journal, n) else { return Broken::S3 };
    let shape = world.bounds.shape;
    let known_plan = fixture().plans(shape).iter().any(|(_, digest)| *digest == rollout.plan_digest);
    let gates = (0..wave_of(n)).all(|wave| rollout.gates.contains(&wave)) && known_plan;
    // What goes back meanwhile was not in motion when this was let out.
    let crowded = shape == Shape::Shared && (0..STACKS).any(|other| other != n && is_in_motion(journal, other, true));
    let killed = journal.kills_on(rollout).any(|kill| kill.acknowledged);
    let digest = digest_of(n, set);
    let compared = op.is_none_or(
        |op| matches!(&op.call, OperationCall::ExecuteChangeSet { digest: compared, .. } if compared == digest),
    );
    let approved = set.to == Content::Ours && known.approved.as_ref() == Some(digest) && compared;
    mark(!gates, Broken::S1)
        | if shape == Shape::Asked { world.consent.at_start(wave_of(n)) } else { Broken::NONE }
        | mark(crowded, Broken::S10)
        | mark(killed, Broken::S2)
        | mark(!approved, Broken::S5)
        | mark(captured(known) != Some(before.content), Broken::S13)
}

fn reverse_effect(journal: &State, provider: &Provider, known: &Target, to: Content, before: &Stack, n: usize) -> u32 {
    mark(later_is_open(provider, journal, n), Broken::S14)
        | mark(before.content != Content::Ours || captured(known) != Some(to), Broken::S15)
}

/// S16: while the rollout is open, another one that wants its targets is refused.
fn invariant_s16(world: &World) -> bool {
    let state = &world.durable.state;
    let (plan, digest) = fixture().rival.clone();
    let now = Now { wall: crate::fixture::AT, monotonic: std::time::Duration::ZERO };
    let input = Input::Propose { plan, digest, by: String::new(), handed_in: None };
    let answer = decide::react(state, &mut Session::default(), input, now);
    let refused = matches!(answer, Err(Refusal::TargetOwned { .. }));
    refused == state.open_rollouts().next().is_some()
}

/// S17: whoever leads remembers what the journal says, no more and no less.
fn invariant_s17(world: &World) -> bool {
    world.leader.as_ref().is_none_or(|leader| std::sync::Arc::ptr_eq(&leader.memory, &world.durable))
}

/// Everything is settled, or waits for a person who knows why. Asked of a state in which nothing goes on by itself.
pub fn is_fine_at_rest(world: &World) -> bool {
    let rollouts = &world.durable.state.rollouts;
    // What waits for room, waits for whoever a person has to look after.
    let paged = rollouts.values().any(|rollout| !rollout.is_ended() && rollout.hold.is_some());
    rollouts.values().all(|rollout| is_fine(world, rollout, paged && world.bounds.shape == Shape::Shared))
}

fn is_fine(world: &World, rollout: &Rollout, waits_for_room: bool) -> bool {
    let state = &world.durable.state;
    let quiet = world.provider.stacks.iter().all(|stack| !stack.status.is_in_progress());
    let kill = state.kill_mode(rollout);
    let acknowledged = state.kills_on(rollout).all(|k| k.acknowledged);
    quiet
        && acknowledged
        && match rollout.phase {
            RolloutPhase::Ended(outcome) => ended_as_said(world, rollout, outcome),
            RolloutPhase::Reverting => false,
            _ if kill == Some(KillMode::Revert) => false,
            // A page, or an order, that waits for a person; what was in flight has come to its end.
            _ => {
                let unreadable = world.provider.alarm == Alarm::Unreadable;
                let waits = rollout.hold.is_some() || kill.is_some() || unreadable || waits_for_room;
                waits && !rollout.targets.values().any(|t| t.operation().is_some())
            }
        }
}

fn ended_as_said(world: &World, rollout: &Rollout, outcome: Outcome) -> bool {
    rollout.targets.iter().all(|(id, target)| {
        let stack = &world.provider.stacks[target_number(id)];
        // A call of a dead leader may make one after everybody has looked; nobody ever executes it.
        let no_trace = world.bounds.slow_creates || stack.sets.is_empty();
        no_trace
            && match (outcome, &target.phase) {
                (Outcome::Succeeded, Phase::Settled(Settlement::Applied { .. })) => stack.content != Content::Original,
                (Outcome::Succeeded, Phase::Settled(_)) => true,
                (Outcome::Succeeded, _) => false,
                (_, Phase::Settled(Settlement::Stuck { .. })) => true,
                _ => stack.content != Content::Ours,
            }
    })
}

/// The properties that the checker is given.
pub fn all() -> Vec<Property<Machine>> {
    macro_rules! marked {
        ($($name:literal: $mark:ident),+ $(,)?) => {
            vec![$(Property::always($name, |_: &Machine, world: &World| world.broken.lacks(Broken::$mark)),)+]
        };
    }
    let mut properties = marked![
        "S1 no wave before its gate": S1,
        "S2 nothing forward after an acknowledged kill": S2,
        "S3 intent before effect": S3,
        "S4 no older epoch after a newer one": S4,
        "S5 what is executed was approved": S5,
        "S6 two people of other parties agreed": S6,
        "S7 an approval counts once, for one thing, for its time": S7,
        "S8 one operation for each attempt": S8,
        "S9 no record contradicts the provider": S9,
        "S10 one failure domain at a time": S10,
        "S11 no gate passes on broken health": S11,
        "S13 the restore point is what was there": S13,
        "S14 last wave first": S14,
        "S15 only what we left is reverted": S15,
        "S24 every decision fits the state": S24,
        "L5 decisions come to rest": L5,
    ];
    properties.push(Property::always("S16 one owner", |_: &Machine, world: &World| invariant_s16(world)));
    properties.push(Property::always("S17 the leader's memory is the journal", |_: &Machine, world: &World| {
        invariant_s17(world)
    }));
    properties.push(Property::always("L1 L2 what is at rest is settled", Machine::settles));
    properties.extend(reached());
    properties
}

/// What the model must be able to reach, so that what always holds means something.
fn reached() -> Vec<Property<Machine>> {
    fn ended(world: &World, outcome: Outcome) -> bool {
        world.durable.state.rollouts.values().any(|rollout| rollout.outcome() == Some(outcome))
    }
    fn any(world: &World, test: impl Fn(&Target) -> bool) -> bool {
        world.durable.state.rollouts.values().flat_map(|r| r.targets.values()).any(test)
    }
    vec![
        Property::sometimes("a rollout succeeds", |_: &Machine, world: &World| ended(world, Outcome::Succeeded)),
        Property::sometimes("a rollout is reverted", |_: &Machine, world: &World| ended(world, Outcome::Reverted)),
        Property::sometimes("a rollout is cancelled", |_: &Machine, world: &World| ended(world, Outcome::Cancelled)),
        Property::sometimes("a kill waits for its fences", |_: &Machine, world: &World| {
            world.durable.state.kills.values().any(|k| k.in_force() && !k.acknowledged)
        }),
        Property::sometimes("a kill is acknowledged in the second wave", |_: &Machine, world: &World| {
            let state = &world.durable.state;
            let second = state.rollouts.values().any(|r| r.phase == RolloutPhase::Rolling { wave: 1 });
            second && state.kills.values().any(|k| k.acknowledged)
        }),
        Property::sometimes("a call of a dead leader is on its way under a new one", |_: &Machine, world: &World| {
            let late = |m: &&crate::network::Message| {
                matches!(m.letter.wire, Wire::Execute { .. }) && m.letter.epoch < world.lease
            };
            world.leader.is_some() && world.network.iter().any(|m| late(&m))
        }),
        Property::sometimes("the provider rolls back", |_: &Machine, world: &World| {
            any(world, |t| matches!(t.phase, Phase::Settled(Settlement::Restored { by: RestoredBy::Provider })))
        }),
        Property::sometimes("an update is cancelled", |_: &Machine, world: &World| {
            world.provider.stacks.iter().any(|s| s.status == StackStatus::UpdateRollbackInProgress)
        }),
        Property::sometimes("a target is tried again", |_: &Machine, world: &World| {
            any(world, |t| t.attempt.0 > 1 && t.approved.is_some() && t.left.is_none() && t.operation().is_some())
        }),
        Property::sometimes("a person's edit is not overwritten", |_: &Machine, world: &World| {
            any(world, |t| {
                matches!(&t.phase, Phase::Settled(Settlement::Stuck { reason: StuckReason::Conflict { .. }, .. }))
            })
        }),
        Property::sometimes("a failed rollback is continued", |_: &Machine, world: &World| {
            any(world, |t| t.continued > 0)
        }),
        Property::sometimes("a rollout is held", |_: &Machine, world: &World| {
            world.durable.state.rollouts.values().any(|r| r.hold.is_some())
        }),
        Property::sometimes("a narrow approval is used", |_: &Machine, world: &World| world.consent.is_narrow()),
        Property::sometimes("two people let it go on", |_: &Machine, world: &World| {
            world.bounds.shape == Shape::Asked && ended(world, Outcome::Succeeded)
        }),
        Property::sometimes("what people agreed to has become something else", |_: &Machine, world: &World| {
            world.consent.was_void()
        }),
        Property::sometimes("one waits for the other", |_: &Machine, world: &World| {
            let state = &world.durable.state;
            let waits = |r: &Rollout| {
                matches!(r.phase, RolloutPhase::Rolling { .. })
                    && r.targets.values().all(|t| !t.is_touched() || t.is_settled())
            };
            world.bounds.shape == Shape::Shared
                && state.open_rollouts().any(waits)
                && (0..STACKS).any(|n| is_in_motion(state, n, true))
        }),
    ]
}
