//! The world itself: options, the clock, and the way of one call there and back.

use super::alarms::SimAlarm;
use super::calls::{CallOutcome, CallRecord, Operation, Refusal};
use super::faults::{ANSWER_TIMEOUT, Fault, SimFaults};
use super::metrics::Incident;
use super::operations;
use super::stacks::{Stack, StackEvent};
use crate::model::ids::{AccountId, Region, StackName};
use crate::model::observation::ProviderError;
use crate::model::stack::Scope;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the world is made. Two worlds with the same options, driven alike, are alike.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Every chance comes from it.
    pub seed: u64,
    /// The wall clock at the start.
    pub start: Timestamp,
    /// How long one call takes, there and back.
    pub latency: RangeInclusive<Duration>,
    /// How long `UPDATE_IN_PROGRESS`, a creation or a deletion lasts, unless the template says.
    pub update_duration: RangeInclusive<Duration>,
    /// The chance, 0 to 1, that a call meets a random fault.
    pub fault_rate: f64,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            // A Monday morning: 2026-01-05T09:00:00Z.
            start: Timestamp::constant(1_767_603_600, 0),
            latency: Duration::from_millis(20)..=Duration::from_millis(80),
            update_duration: Duration::from_secs(4)..=Duration::from_secs(9),
            fault_rate: 0.0,
        }
    }
}

/// An account and a region: the role that a scope names makes no difference here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) account: AccountId,
    pub(super) region: Region,
}

impl From<&Scope> for Place {
    fn from(scope: &Scope) -> Self {
        Self { account: scope.account.clone(), region: scope.region.clone() }
    }
}

/// The deterministic world. A clone is another hand on the same world.
#[derive(Clone)]
pub struct SimWorld {
    inner: Arc<Mutex<Inner>>,
    born: tokio::time::Instant,
    start: Timestamp,
}

impl fmt::Debug for SimWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimWorld").field("wall", &self.wall()).finish_non_exhaustive()
    }
}

/// A request that arrives late.
type Late = Box<dyn FnOnce(&mut Inner, Timestamp) + Send>;

/// Everything that the world knows.
pub(super) struct Inner {
    pub(super) options: SimOptions,
    pub(super) rng: fastrand::Rng,
    /// Live and deleted, by ARN.
    pub(super) stacks: BTreeMap<String, Stack>,
    pub(super) calls: Vec<CallRecord>,
    pub(super) faults: SimFaults,
    /// Which stacks a dimension value or a cell speaks of.
    pub(super) bindings: BTreeMap<(Place, String), BTreeSet<StackName>>,
    pub(super) alarms: BTreeMap<(Place, String), SimAlarm>,
    pub(super) incidents: Vec<(Place, Incident)>,
    /// How many versions old what is described now is.
    pub(super) stale: usize,
    pub(super) witness: Option<super::observe::Witness>,
    late: BTreeMap<(Timestamp, usize), Late>,
}

/// What lies before one call.
struct Journey {
    index: usize,
    there: Duration,
    back: Duration,
    fault: Option<Fault>,
}

impl SimWorld {
    /// A world without stacks. Make it inside of the runtime whose (paused) clock it follows.
    pub fn new(options: SimOptions) -> Self {
        let start = options.start;
        let inner = Inner {
            rng: fastrand::Rng::with_seed(options.seed),
            options,
            stacks: BTreeMap::new(),
            calls: Vec::new(),
            faults: SimFaults::default(),
            bindings: BTreeMap::new(),
            alarms: BTreeMap::new(),
            incidents: Vec::new(),
            stale: 0,
            witness: None,
            late: BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), born: tokio::time::Instant::now(), start }
    }

    /// The world's wall clock: the start plus the runtime's time since.
    pub fn wall(&self) -> Timestamp {
        operations::later(self.start, self.born.elapsed())
    }

    /// The state, as it is now.
    pub(super) fn now(&self) -> (MutexGuard<'_, Inner>, Timestamp) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.wall();
        inner.settle_until(now);
        (inner, now)
    }

    /// Every call so far, in the order in which they were made.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.now().0.calls.clone()
    }

    /// A stack's events, oldest first; `stack` is a name or an ARN, and an ARN also finds a deleted stack.
    pub fn events(&self, scope: &Scope, stack: &str) -> Vec<StackEvent> {
        self.now().0.by_name_or_arn(&scope.into(), stack).map(|stack| stack.events.clone()).unwrap_or_default()
    }

    /// One call: it travels, the provider acts on it, the answer travels back; at each point something may go wrong.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        record: CallRecord,
        act: impl FnOnce(&mut Inner, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let operation = record.operation;
        let journey = self.depart(record);
        tokio::time::sleep(journey.there).await;
        let answer = self.arrive(&journey, operation, act);
        tokio::time::sleep(journey.back).await;
        self.answered(&journey, answer.as_ref().err());
        answer
    }

    fn depart(&self, mut record: CallRecord) -> Journey {
        let (mut inner, now) = self.now();
        let latency = inner.options.latency.clone();
        let half = inner.draw(latency) / 2;
        let Inner { faults, rng, options, .. } = &mut *inner;
        let place = Place::from(&record.scope);
        let fault = faults.strike(record.operation, &place, record.stack.as_deref(), options.fault_rate, rng);
        record.at = now;
        record.fault = fault.map(Fault::kind);
        inner.calls.push(record);
        let back = match fault {
            Some(Fault::AmbiguousBeforeEffect | Fault::AmbiguousAfterEffect | Fault::DelayedEffect(_)) => {
                ANSWER_TIMEOUT
            }
            Some(Fault::Slow(span)) => half.saturating_add(span),
            _ => half,
        };
        Journey { index: inner.calls.len() - 1, there: half, back, fault }
    }

    fn arrive<T: Send + 'static>(
        &self,
        journey: &Journey,
        operation: Operation,
        act: impl FnOnce(&mut Inner, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (mut inner, now) = self.now();
        let lost = |fault: Fault| Err(fault.refusal(operation).heard_by(operation));
        match journey.fault {
            Some(fault @ (Fault::Throttle | Fault::Unavailable | Fault::Denied | Fault::AmbiguousBeforeEffect)) => {
                lost(fault)
            }
            Some(fault @ Fault::DelayedEffect(span)) => {
                inner.delay(journey.index, operations::later(now, span), act);
                lost(fault)
            }
            Some(fault @ Fault::AmbiguousAfterEffect) => {
                // The answer, whatever it was, is what is lost.
                drop(inner.act(journey.index, now, act));
                lost(fault)
            }
            Some(Fault::Stale(versions)) => {
                inner.stale = versions;
                let answer = inner.act(journey.index, now, act);
                inner.stale = 0;
                answer.map_err(|refusal| refusal.heard_by(operation))
            }
            Some(Fault::Slow(_)) | None => {
                inner.act(journey.index, now, act).map_err(|refusal| refusal.heard_by(operation))
            }
        }
    }

    fn answered(&self, journey: &Journey, error: Option<&ProviderError>) {
        let (mut inner, _) = self.now();
        if let Some(record) = inner.calls.get_mut(journey.index) {
            record.outcome = match error {
                None => CallOutcome::Ok,
                Some(error) => CallOutcome::Failed { kind: error.kind, code: error.code.clone() },
            };
        }
    }
}

impl Inner {
    /// Lets the provider act on call `index`, and notes it.
    fn act<T>(
        &mut self,
        index: usize,
        now: Timestamp,
        act: impl FnOnce(&mut Self, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let found = self.before(index);
        let answer = act(self, now);
        if let Some(record) = self.calls.get_mut(index) {
            record.acted_at = Some(now);
            record.took_effect = answer.is_ok();
        }
        self.tell(index, now, answer.is_ok(), found);
        answer
    }

    fn delay<T>(
        &mut self,
        index: usize,
        at: Timestamp,
        act: impl FnOnce(&mut Self, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) {
        let late: Late = Box::new(move |inner, at| drop(inner.act(index, at, act)));
        self.late.insert((at, index), late);
    }

    /// Brings everything up to `now`: late requests and steps of operations, in the order of their times.
    pub(super) fn settle_until(&mut self, now: Timestamp) {
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), request) = entry.remove_entry();
            self.settle_stacks(at);
            request(self, at);
        }
        self.settle_stacks(now);
    }

    fn settle_stacks(&mut self, now: Timestamp) {
        for stack in self.stacks.values_mut() {
            operations::settle(stack, now);
        }
    }

    /// A span by chance out of `range`.
    pub(super) fn draw(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let micros = |span: &Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(range.start()), micros(range.end()));
        Duration::from_micros(self.rng.u64(low..=high.max(low)))
    }

    /// A fresh ARN: `arn:aws:cloudformation:eu-west-1:111122223333:stack/orders/7b1c…`.
    pub(super) fn new_arn(&mut self, place: &Place, kind: &str, name: &str) -> String {
        let id = uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid();
        format!("{}{id}", arn_prefix(place, kind, name))
    }

    /// Adds an empty shell; gives its ARN.
    pub(super) fn add_shell(&mut self, place: &Place, name: &StackName, now: Timestamp) -> String {
        let id = self.new_arn(place, "stack", name.as_str());
        self.stacks.insert(id.clone(), Stack::shell(id.clone(), name.clone(), place.clone(), now));
        id
    }

    /// The stack of this name that is not deleted.
    pub(super) fn live(&self, place: &Place, name: &StackName) -> Option<&Stack> {
        let prefix = arn_prefix(place, "stack", name.as_str());
        let named = self.stacks.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
        named.map(|(_, stack)| stack).find(|stack| !stack.is_deleted())
    }

    pub(super) fn live_mut(&mut self, place: &Place, name: &StackName) -> Option<&mut Stack> {
        let id = self.live(place, name)?.id.clone();
        self.stacks.get_mut(&id)
    }

    /// By name a live stack, by ARN any.
    pub(super) fn by_name_or_arn(&self, place: &Place, stack: &str) -> Option<&Stack> {
        self.stacks.get(stack).filter(|found| found.place == *place).or_else(|| self.live(place, &stack.into()))
    }
}

fn arn_prefix(place: &Place, kind: &str, name: &str) -> String {
    let partition = if place.region.as_str().starts_with("cn-") { "aws-cn" } else { "aws" };
    format!("arn:{partition}:cloudformation:{}:{}:{kind}/{name}/", place.region, place.account)
}
