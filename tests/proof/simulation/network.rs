//! The way between one daemon and the world: calls are lost, delayed, delivered or answered twice, and arrive though their
//! sender is dead. What happens at the provider itself is the world's own (`cloud::sim::faults`).

use super::invariants;
use super::scenario::Rates;
use super::stage::{Count, Shared};
use fastrand::Rng;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use wavegate::cloud::Priority;
use wavegate::cloud::budget::Budget;
use wavegate::daemon::driver::Orders;
use wavegate::daemon::perform::{self, Perform};
use wavegate::engine::decide::Input;
use wavegate::engine::effect::{Call, Effect, EffectId, Reply};
use wavegate::model::ids::Epoch;
use wavegate::model::observation::{ProviderError, ProviderErrorKind};

/// What a daemon sends its effects through.
pub struct Network {
    shared: Arc<Shared>,
    rates: Rates,
    budget: Budget,
    rng: Mutex<Rng>,
    epoch: Epoch,
    kill_file: Option<PathBuf>,
    /// To answer a second time.
    orders: OnceLock<Orders>,
    /// The daemon has stood still since its last turn: what it sends now was decided before.
    stood_still: Arc<AtomicBool>,
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    detached: bool,
    twice: bool,
    answered_twice: Option<Duration>,
    reordered: Option<Duration>,
    partial_page: bool,
}

impl Network {
    pub fn new(
        shared: &Arc<Shared>,
        rates: Rates,
        seed: u64,
        epoch: Epoch,
        kill_file: Option<PathBuf>,
        stood_still: Arc<AtomicBool>,
    ) -> Self {
        Self {
            budget: Budget::new(shared.budget()),
            shared: Arc::clone(shared),
            rates,
            rng: Mutex::new(Rng::with_seed(seed ^ epoch.0)),
            epoch,
            kill_file,
            orders: OnceLock::new(),
            stood_still,
        }
    }

    /// Lets answers be given a second time.
    pub fn connect(&self, orders: Orders) {
        let _ = self.orders.set(orders);
    }

    fn fate(&self) -> Fate {
        if self.shared.is_calm() {
            return Fate::default();
        }
        let mut rng = self.rng.lock().unwrap();
        let mut happens = |rate: f64| rate > 0.0 && rng.f64() < rate;
        let (detached, twice) = (happens(self.rates.detached), happens(self.rates.delivered_twice));
        let (again, late, partial_page) =
            (happens(self.rates.answered_twice), happens(self.rates.reordered), happens(self.rates.partial_page));
        let mut span = |yes: bool, high: u64| yes.then(|| Duration::from_millis(rng.u64(1..high)));
        Fate { detached, twice, answered_twice: span(again, 20_000), reordered: span(late, 8_000), partial_page }
    }

    fn told(&self, effect: &Effect) {
        let forward = self.kill_file.as_ref().is_some_and(|file| file.exists());
        let still = self.stood_still.load(Ordering::Relaxed);
        let mut ledger = self.shared.ledger();
        if !still {
            invariants::issued(&mut ledger, effect, self.epoch, forward);
        }
    }

    async fn deliver(&self, effect: Effect, fate: Fate) -> (EffectId, Reply) {
        let world = self.shared.world();
        if fate.twice {
            self.shared.count(Count::DeliveredTwice);
            let (again, world) = (effect.clone(), world.clone());
            tokio::spawn(async move { perform::perform(&world, again).await });
        }
        if !fate.detached {
            return perform::perform(&world, effect).await;
        }
        self.shared.count(Count::Detached);
        let id = effect.id;
        let sent = tokio::spawn(async move { perform::perform(&world, effect).await });
        sent.await.unwrap_or_else(|_| (id, Err(lost("", "the simulation ended"))))
    }
}

impl Perform for Network {
    async fn perform(&self, effect: Effect) -> (EffectId, Reply) {
        self.told(&effect);
        let priority = if effect.urgent { Priority::Reserved } else { Priority::Normal };
        let permit = self.budget.acquire(&effect.scope, priority).await;
        let at = self.shared.elapsed();
        invariants::invariant_s25(&mut self.shared.ledger(), self.epoch.0, &effect.scope, priority, at);
        let fate = self.fate();
        let id = effect.id;
        if self.shared.is_expired() {
            self.shared.count(Count::Expired);
            drop(permit);
            tokio::time::sleep(Duration::from_millis(40)).await;
            return (id, Err(denied()));
        }
        if fate.partial_page
            && matches!(effect.call, Call::ObserveStacks(_) | Call::FindOperation { .. } | Call::ReadMetrics { .. })
        {
            self.shared.count(Count::PartialPage);
            drop(permit);
            tokio::time::sleep(Duration::from_millis(90)).await;
            return (id, Err(lost("DescribeStacks", "page 2 of 3: service unavailable")));
        }
        let scope = effect.scope.clone();
        let described = match &effect.call {
            Call::DescribeChangeSet { stack, .. } => Some((stack.clone(), self.shared.world().wall())),
            _ => None,
        };
        let (id, reply) = self.deliver(effect, fate).await;
        drop(permit);
        if matches!(&reply, Err(error) if error.kind == ProviderErrorKind::Throttled) {
            self.budget.throttled(&scope);
        }
        if let Some(span) = fate.reordered {
            self.shared.count(Count::Reordered);
            tokio::time::sleep(span).await;
        }
        if let Some((stack, asked)) = described.filter(|_| reply.is_ok()) {
            self.shared.ledger().described.insert(stack, asked);
        }
        if let (Some(span), Some(orders)) = (fate.answered_twice, self.orders.get().cloned()) {
            self.shared.count(Count::AnsweredTwice);
            let again = reply.clone();
            tokio::spawn(async move {
                tokio::time::sleep(span).await;
                let _ = orders.input(Input::Reply(id, again)).await;
            });
        }
        (id, reply)
    }
}

fn lost(operation: &str, message: &str) -> ProviderError {
    ProviderError {
        operation: operation.into(),
        kind: ProviderErrorKind::Unavailable,
        code: "ServiceUnavailable".into(),
        message: message.into(),
    }
}

fn denied() -> ProviderError {
    ProviderError {
        operation: "any".into(),
        kind: ProviderErrorKind::Denied,
        code: "ExpiredToken".into(),
        message: "The security token included in the request is expired".into(),
    }
}
