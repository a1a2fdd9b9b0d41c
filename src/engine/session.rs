//! What this process has seen and asked. It is not journaled and is lost in a crash, on purpose: everything in it can be had
//! again by a read, and nothing in it may decide what only the journal can decide.

use super::effect::{Answer, Call, Class, Effect, EffectId, Reply};
use super::health::Evidence;
use super::rate::RateRule;
use crate::model::ids::{Attempt, RolloutId, StackName, TargetId};
use crate::model::observation::{OperationTrace, ProviderError, ProviderErrorKind};
use crate::model::preview::{DescribedChangeSet, PreviewContext, ResourceChange};
use crate::model::stack::{Scope, StackRecord, StackView, Template};
use crate::model::state::{RolloutPhase, State, Target};
use crate::model::verdict::Judgement;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Between two looks at the stacks of a scope while operations run. CDK polls every 2 s and one stack at a time; one listing
/// serves all stacks of the scope here, so that a finished target is seen within a second at a fraction of the calls.
pub const POLL: Duration = Duration::from_millis(850);
/// The first pause after a failed or fruitless step; doubles up to [`BACKOFF_CAP`].
const BACKOFF: Duration = Duration::from_millis(500);
/// The cap keeps a recovered provider from waiting for us for minutes.
const BACKOFF_CAP: Duration = Duration::from_secs(20);
/// So many failed tries of one step end in a hold and a page, not in a livelock (L5). With the pauses above: about five
/// minutes, on top of the retries inside each call.
pub const TRIES: u32 = 20;

/// The memory of one process.
#[derive(Clone, Debug, Default)]
pub struct Session {
    next_effect: u64,
    /// Which target an outstanding effect belongs to, or what else it is for.
    outstanding: BTreeMap<EffectId, Purpose>,
    works: BTreeMap<(RolloutId, TargetId), Work>,
    scopes: BTreeMap<Scope, ScopeWatch>,
    /// Looks at health, by rollout.
    pub watches: BTreeMap<RolloutId, Watch>,
    wake: Option<Duration>,
    wants: BTreeMap<Scope, Wanted>,
    /// From when on a rate of changes is an alarm: set once, when the process starts.
    pub rate: RateRule,
}

/// What a reply is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One target's next step.
    Target(RolloutId, TargetId, Ask),
    /// The batch of a scope.
    Observe(Scope, Vec<StackName>),
    /// A look at health.
    Health(RolloutId, Scope),
}

/// What a target's effect asks for: its reply is filed under this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Template and policy.
    Record,
    /// Resources.
    Resources,
    /// A change set's creation.
    Create,
    /// A change set's description.
    Describe,
    /// A change set's deletion.
    Fence,
    /// The removal of the empty stack that a creation which never started has left.
    Shell,
    /// The intended operation itself.
    Send,
    /// The cancellation.
    Cancel,
    /// The operation's events.
    Find,
}

#[derive(Clone, Debug, Default)]
struct ScopeWatch {
    busy: bool,
    next: Duration,
    failures: u32,
}

#[derive(Clone, Debug, Default)]
struct Wanted {
    stacks: BTreeSet<StackName>,
    now: bool,
    urgent: bool,
}

/// A look at health in the making, and when the next one is due.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Outstanding reads of this look.
    pub outstanding: BTreeSet<EffectId>,
    /// What came back so far; none: no look is under way.
    pub round: Option<Evidence>,
    /// When the next look is due.
    pub next: Duration,
    /// When the last look ended: the time between two looks counts as watched.
    pub last: Option<Duration>,
    /// The newest judgement, for people.
    pub judgement: Option<Judgement>,
    /// Looks in a row that could not be read.
    pub unreadable: u32,
    /// The phase that the looks are for; another one begins anew.
    pub phase: Option<RolloutPhase>,
}

/// What is known of one target's current step.
#[derive(Clone, Debug, Default)]
pub struct Work {
    key: (&'static str, Attempt),
    /// A reply is awaited.
    pub busy: bool,
    /// No step before this.
    pub not_before: Duration,
    /// Failed tries of the current step.
    pub failures: u32,
    /// The last error of the current step.
    pub error: Option<ProviderError>,
    /// The newest observation, and when it was made; the inner none: the stack does not exist.
    pub view: Option<(Option<StackView>, Duration)>,
    /// When the current phase was first seen by this process.
    pub since: Duration,
    /// The ARN that our own `CreateChangeSet` was answered with.
    pub arn: Option<String>,
    /// A change set may exist under our name though its creation gave no answer.
    pub unsure_created: bool,
    /// The newest description of the change set.
    pub described: Option<(Box<DescribedChangeSet>, Option<Template>)>,
    /// The stack's resources, for a deletion, with what else was read.
    pub resources: Option<(Vec<ResourceChange>, PreviewContext)>,
    /// The newest record (view, template, policy).
    pub record: Option<Box<StackRecord>>,
    /// The call of the intended operation was given out by this process.
    pub sent: bool,
    /// The provider took the call.
    pub accepted: bool,
    /// The call's outcome is unknown: only a read decides.
    pub doubt: bool,
    /// The change set was deleted after the doubt came up.
    pub fenced: bool,
    /// The empty stack of a creation that never started was removed.
    pub shell_gone: bool,
    /// What the stack's events said.
    pub trace: Option<OperationTrace>,
    /// Looks that showed an end with the time stamp of before, or a doubtful operation that left no trace.
    pub empty_looks: u32,
    /// When the newest counted look was made.
    pub looked_at: Option<Duration>,
    /// The revert of this target has begun to look at it.
    pub reverting: bool,
    /// The cancellation was sent.
    pub cancel_sent: bool,
}

impl Work {
    /// Notes a failed try and pushes the next one back, doubling.
    pub fn fail(&mut self, error: ProviderError, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + backoff(self.failures);
        self.error = Some(error);
    }

    /// Pushes the next try back without calling it a failure.
    pub fn pause(&mut self, now: Duration, span: Duration) {
        self.not_before = now + span;
    }

    /// Files a reply. What it means is decided when the target is stepped next.
    pub fn file(&mut self, ask: Ask, reply: Reply, now: Duration) {
        self.busy = false;
        // A look counts as fresh only when it is younger than the change set: what happens to the stack after that makes the change
        // set obsolete, and what happened before it shows in the look.
        if ask == Ask::Create || (ask == Ask::Describe && self.unsure_created) {
            self.since = now;
        }
        match (ask, reply) {
            (Ask::Record, Ok(Answer::Record(record))) => self.record = Some(record),
            (Ask::Resources, Ok(Answer::Resources(changes, context))) => self.resources = Some((changes, context)),
            (Ask::Create, Ok(Answer::Created(arn))) => self.arn = Some(arn),
            (Ask::Describe, Ok(Answer::ChangeSet(described, template))) => self.described = Some((described, template)),
            (Ask::Fence, Ok(_)) => self.fenced = true,
            (Ask::Shell, Ok(_)) => self.shell_gone = true,
            (Ask::Send, Ok(_)) => self.accepted = true,
            (Ask::Cancel, Ok(_)) => self.cancel_sent = true,
            (Ask::Find, Ok(Answer::Trace(trace))) => self.trace = Some(trace),
            (ask, Ok(other)) => {
                let message = format!("answered {ask:?} with something else: {other:?}").chars().take(200).collect();
                self.fail(
                    ProviderError {
                        operation: format!("{ask:?}"),
                        kind: ProviderErrorKind::Unavailable,
                        code: String::new(),
                        message,
                    },
                    now,
                );
            }
            (ask, Err(error)) => self.file_error(ask, error, now),
        }
    }

    fn file_error(&mut self, ask: Ask, error: ProviderError, now: Duration) {
        use ProviderErrorKind as Kind;
        match (ask, error.kind) {
            // The name is taken, or the answer was lost: the change set may be there. A read decides.
            (Ask::Create, Kind::AlreadyExists | Kind::Ambiguous) => self.unsure_created = true,
            // The stack is gone: the look that said otherwise is out of date.
            (Ask::Record | Ask::Resources, Kind::NotFound) => self.since = now,
            // The creation that we were unsure of never happened.
            (Ask::Describe, Kind::NotFound) => {
                self.arn = None;
                self.unsure_created = false;
            }
            // Known not to have been sent: it may be sent again, if it still may.
            (Ask::Send, Kind::Throttled | Kind::Unavailable) => self.sent = false,
            // INVARIANT: S9. Everything else leaves the outcome open until a newer read.
            (Ask::Send, _) => self.doubt = true,
            // No update is in progress (any more): there is nothing to cancel.
            (Ask::Cancel, Kind::Rejected | Kind::NotFound) => self.cancel_sent = true,
            _ => {}
        }
        self.fail(error, now);
    }

    /// The newest view that is not older than the current phase.
    pub fn fresh_view(&self) -> Option<Option<&StackView>> {
        self.view.as_ref().filter(|(_, at)| *at >= self.since).map(|(view, _)| view.as_ref())
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(BACKOFF_CAP)
}

impl Session {
    /// The work on a target. It begins anew whenever the target's phase or attempt is another one; the newest view stays.
    pub fn work(&mut self, rollout: &RolloutId, id: &TargetId, target: &Target, now: Duration) -> &mut Work {
        let key = (target.phase.name(), target.attempt);
        let work = self.works.entry((rollout.clone(), id.clone())).or_default();
        if work.key != key {
            let view = work.view.take();
            // The view that showed an operation's end is also the one that the proof rests on.
            let keeps = key.0 == "proving";
            let since = if keeps { work.since } else { now };
            let trace = if keeps { work.trace.take() } else { None };
            *work = Work { key, view, since, trace, ..Work::default() };
        }
        work
    }

    /// The work on a target, if there is any.
    pub fn known_work(&mut self, rollout: &RolloutId, id: &TargetId) -> Option<&mut Work> {
        self.works.get_mut(&(rollout.clone(), id.clone()))
    }

    /// Counts a rollout's failed tries from zero again: a person let it go on, and what failed before must not hold it once more
    /// before it was tried. The pauses stay, so that not everything comes back at once.
    pub fn try_anew(&mut self, rollout: &RolloutId) {
        for (_, work) in self.works.iter_mut().filter(|((of, _), _)| of == rollout) {
            work.failures = 0;
        }
    }

    /// Gives an effect its name and remembers what it is for.
    pub fn effect(&mut self, purpose: Purpose, class: Class, urgent: bool, scope: &Scope, call: Call) -> Effect {
        self.next_effect += 1;
        let id = EffectId(self.next_effect);
        let (rollout, target) = match &purpose {
            Purpose::Target(rollout, target, _) => (Some(rollout.clone()), Some(target.clone())),
            Purpose::Health(rollout, _) => (Some(rollout.clone()), None),
            Purpose::Observe(..) => (None, None),
        };
        self.outstanding.insert(id, purpose);
        Effect { id, class, rollout, target, urgent, scope: scope.clone(), call }
    }

    /// Takes back the calls that would take a rollout forward, before they are given out.
    pub fn withdraw_forward(&mut self, effects: &mut Vec<Effect>, rollout: &RolloutId) {
        let forward = |effect: &mut Effect| effect.class == Class::Forward && effect.rollout.as_ref() == Some(rollout);
        for effect in effects.extract_if(.., forward) {
            if let Some(Purpose::Target(rollout, target, _)) = self.take(effect.id)
                && let Some(work) = self.known_work(&rollout, &target)
            {
                work.busy = false;
                work.sent = false;
            }
        }
    }

    /// What the reply of that name is for; none: it was answered before.
    pub fn take(&mut self, id: EffectId) -> Option<Purpose> {
        self.outstanding.remove(&id)
    }

    /// Asks to be woken at `at`, or earlier.
    pub fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The earliest wake-up that was asked for since the last call.
    pub fn take_wake(&mut self) -> Option<Duration> {
        self.wake.take()
    }

    /// Wants to see a stack: at once, or when the scope is next looked at.
    pub fn want_view(&mut self, scope: &Scope, stack: &StackName, at_once: bool, urgent: bool) {
        let wanted = self.wants.entry(scope.clone()).or_default();
        wanted.stacks.insert(stack.clone());
        wanted.now |= at_once;
        wanted.urgent |= urgent;
    }

    /// Drops the wishes of a pass that is going to be repeated.
    pub fn clear_wants(&mut self) {
        self.wants.clear();
    }

    /// The batches that are due, one for each scope at most.
    pub fn plan_observations(&mut self, now: Duration) -> Vec<Effect> {
        let wants = std::mem::take(&mut self.wants);
        let mut effects = Vec::new();
        for (scope, wanted) in wants {
            let watch = self.scopes.entry(scope.clone()).or_default();
            let due = now >= watch.next || (wanted.now && watch.failures == 0);
            if watch.busy {
                continue;
            }
            if !due {
                let next = watch.next;
                self.wake_at(next);
                continue;
            }
            watch.busy = true;
            let stacks: Vec<StackName> = wanted.stacks.into_iter().collect();
            let purpose = Purpose::Observe(scope.clone(), stacks.clone());
            effects.push(self.effect(purpose, Class::Read, wanted.urgent, &scope, Call::ObserveStacks(stacks)));
        }
        effects
    }

    /// Takes in a batch: every target of an open rollout in that scope sees its stack.
    pub fn observed(
        &mut self,
        state: &State,
        scope: &Scope,
        asked: &[StackName],
        reply: Result<BTreeMap<StackName, StackView>, ProviderError>,
        now: Duration,
    ) {
        let watch = self.scopes.entry(scope.clone()).or_default();
        watch.busy = false;
        let stacks = match reply {
            Ok(stacks) => stacks,
            Err(error) => {
                watch.failures = watch.failures.saturating_add(1);
                watch.next = now + backoff(watch.failures);
                let next = watch.next;
                self.wake_at(next);
                self.note_unseen(state, scope, asked, &error, now);
                return;
            }
        };
        watch.failures = 0;
        watch.next = now + POLL;
        let asked: BTreeSet<&StackName> = asked.iter().collect();
        for rollout in state.open_rollouts() {
            for (id, planned) in
                rollout.plan.targets.iter().filter(|(_, t)| t.scope == *scope && asked.contains(&t.stack))
            {
                if let Some(work) = self.works.get_mut(&(rollout.plan.rollout.clone(), id.clone())) {
                    work.view = Some((stacks.get(&planned.stack).cloned(), now));
                    if work.error.as_ref().is_some_and(|e| e.operation == "DescribeStacks") {
                        work.failures = 0;
                        work.error = None;
                    }
                }
            }
        }
    }

    fn note_unseen(&mut self, state: &State, scope: &Scope, asked: &[StackName], error: &ProviderError, now: Duration) {
        for rollout in state.open_rollouts() {
            for (id, _) in rollout.plan.targets.iter().filter(|(_, t)| t.scope == *scope && asked.contains(&t.stack)) {
                if let Some(work) = self.works.get_mut(&(rollout.plan.rollout.clone(), id.clone())) {
                    let not_before = work.not_before;
                    work.fail(error.clone(), now);
                    work.not_before = not_before;
                }
            }
        }
    }

    /// Forgets a rollout that has ended.
    pub fn forget(&mut self, rollout: &RolloutId) {
        self.works.retain(|(of, _), _| of != rollout);
        self.watches.remove(rollout);
    }

    /// Hashes everything in this memory that a later decision can depend on, for a checker that tells states apart by their
    /// hash. Left out are names of effects (only what they are for counts), what is kept for people, and times: such a checker
    /// lets every timer run out before the next step, so that only "seen in this step or before" is left of them.
    pub fn hash_what_counts<H: Hasher>(&self, into: &mut H) {
        // Taken apart without `..`, so that a new field does not compile before somebody has decided whether it counts.
        let Self { next_effect: _, outstanding, works, scopes, watches, wake: _, wants, rate: _ } = self;
        let mut purposes: Vec<String> = outstanding.values().map(|purpose| format!("{purpose:?}")).collect();
        purposes.sort_unstable();
        purposes.hash(into);
        for ((rollout, target), work) in works {
            (rollout, target).hash(into);
            work.hash_what_counts(into);
        }
        for (scope, ScopeWatch { busy, next: _, failures }) in scopes {
            (scope, busy, (*failures).min(TRIES)).hash(into);
        }
        for (rollout, watch) in watches {
            let Watch { outstanding, round, next: _, last, judgement: _, unreadable, phase } = watch;
            (rollout, outstanding.len(), last.is_some(), (*unreadable).min(TRIES)).hash(into);
            phase.map(|phase| format!("{phase:?}")).hash(into);
            if round.is_some() {
                HashDebug(into).put(round);
            }
        }
        wants.len().hash(into);
    }
}

impl Work {
    fn hash_what_counts<H: Hasher>(&self, into: &mut H) {
        let Self {
            key,
            busy,
            not_before: _,
            failures,
            error,
            view,
            since,
            arn,
            unsure_created,
            described,
            resources,
            record,
            sent,
            accepted,
            doubt,
            fenced,
            shell_gone,
            trace,
            empty_looks,
            looked_at,
            reverting,
            cancel_sent,
        } = self;
        (key, busy, (*failures).min(TRIES), arn, unsure_created, sent, accepted, doubt, fenced).hash(into);
        (shell_gone, empty_looks, reverting, cancel_sent).hash(into);
        // A view that is older than the phase is never looked at again.
        let view = view.as_ref().filter(|(_, at)| at >= since);
        view.map(|(view, at)| (view, *looked_at == Some(*at))).hash(into);
        error.hash(into);
        if described.is_some() || resources.is_some() || record.is_some() || trace.is_some() {
            HashDebug(into).put(&(described, resources, record, trace));
        }
    }
}

/// Hashes what `Debug` shows: for values that hold floats, or types without `Hash`.
struct HashDebug<'a, H>(&'a mut H);

impl<H: Hasher> HashDebug<'_, H> {
    fn put(&mut self, value: &impl fmt::Debug) {
        // Writing to a hasher cannot fail.
        let _ = write!(self, "{value:?}");
    }
}

impl<H: Hasher> fmt::Write for HashDebug<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
