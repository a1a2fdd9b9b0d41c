//! How many calls an account and region get: a token bucket with a reserved share, a limit of calls at once, and a rate
//! that falls when the provider throttles and comes back when it is quiet.
//!
//! AWS publishes no rates for CloudFormation, so the rate is found as TCP finds its own: additive increase,
//! multiplicative decrease. A wave and its revert draw on the same account; the reserved share keeps a revert from
//! waiting behind the very calls that it is to undo (S25).

use super::Priority;
use crate::guard::{self, Guard};
use crate::model::ids::{AccountId, Region};
use crate::model::stack::Scope;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The lowest rate, in calls per second, that throttling can bring about: below it no operation could be followed, and a
/// revert could not move.
const MIN_PER_SECOND: f64 = 2.0;

/// Calls that were under way together are throttled together; within this time they count as one refusal, or a single
/// burst would halve the rate down to its floor.
const ONE_REFUSAL: Duration = Duration::from_secs(1);

/// How much of the default rate comes back with each quiet span: five spans restore it.
const RECOVERY: f64 = 0.2;

/// The longest sleep before the bucket is looked at again, whatever the arithmetic says.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// The limits of one account and region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetOptions {
    /// Calls that may be made at once after a rest. 400: a wave of 100 targets can take its first four steps unhindered.
    pub burst: u32,
    /// Calls per second in the long run. 25: half of what is said to be granted for CloudWatch reads, and below the rate
    /// at which users report CloudFormation to throttle an account.
    pub per_second: f64,
    /// Percent of both that only [`Priority::Reserved`] may use. 20: a revert of 100 targets starts within its share of
    /// the burst, and forward work loses little.
    pub reserved_percent: u8,
    /// Calls under way at the same time. 32: at 300 ms a call this is far above the rate; it bounds memory and sockets
    /// when answers become slow.
    pub max_in_flight: u32,
    /// After this long without throttling the rate rises a step. 10 s: longer than the provider's own burst windows.
    pub quiet: Duration,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self { burst: 400, per_second: 25.0, reserved_percent: 20, max_in_flight: 32, quiet: Duration::from_secs(10) }
    }
}

/// The budgets of all accounts and regions. A role does not matter: the provider counts by account.
#[derive(Debug)]
pub struct Budget {
    options: BudgetOptions,
    buckets: Mutex<HashMap<(AccountId, Region), Arc<Bucket>>>,
}

impl Budget {
    /// Full budgets.
    pub fn new(options: BudgetOptions) -> Self {
        Self { options, buckets: Mutex::default() }
    }

    /// Waits for a turn: first come, first served within a priority, and reserved before normal. The turn lasts until the
    /// permit is dropped. Safe to cancel: a waiter that goes away takes nothing.
    pub async fn acquire(&self, scope: &Scope, priority: Priority) -> Permit {
        let bucket = self.bucket(scope);
        if !guard::holds(Guard::CallBudget) {
            return Permit { bucket };
        }
        let waiting = Waiting::new(&bucket, priority);
        // A tokio mutex is fair: it is the queue, and only its head looks at the tokens.
        let head = bucket.queue(priority).lock().await;
        loop {
            let freed = bucket.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let turn = bucket.lock().take(priority, Instant::now());
            match turn {
                Ok(()) => break,
                Err(Wait::Slot) => freed.await,
                Err(Wait::Tokens(span)) => {
                    // The head may also be woken: a higher rate or a freed slot changes what it waits for.
                    let _ = tokio::time::timeout(span.min(MAX_SLEEP), freed).await;
                }
            }
        }
        drop(head);
        drop(waiting);
        Permit { bucket }
    }

    /// Tells the budget that the provider refused a call for its rate: the rate is halved and the normal share emptied.
    pub fn throttled(&self, scope: &Scope) {
        self.bucket(scope).lock().throttled(Instant::now());
    }

    fn bucket(&self, scope: &Scope) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (scope.account.clone(), scope.region.clone());
        Arc::clone(buckets.entry(key).or_insert_with(|| Arc::new(Bucket::new(self.options))))
    }
}

/// A turn for one call.
#[derive(Debug)]
#[must_use = "the turn ends when the permit is dropped"]
pub struct Permit {
    bucket: Arc<Bucket>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.bucket.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.bucket.freed.notify_waiters();
    }
}

/// Keeps count of the reserved calls that wait, so that normal ones stand back.
struct Waiting<'a> {
    bucket: &'a Bucket,
    reserved: bool,
}

impl<'a> Waiting<'a> {
    fn new(bucket: &'a Bucket, priority: Priority) -> Self {
        let reserved = priority == Priority::Reserved;
        if reserved {
            bucket.lock().reserved_waiting += 1;
        }
        Self { bucket, reserved }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.reserved {
            self.bucket.lock().reserved_waiting -= 1;
            self.bucket.freed.notify_waiters();
        }
    }
}

#[derive(Debug)]
struct Bucket {
    state: Mutex<State>,
    /// Something changed for those who wait: a slot, or the last reserved waiter.
    freed: Notify,
    normal: tokio::sync::Mutex<()>,
    reserved: tokio::sync::Mutex<()>,
}

impl Bucket {
    fn new(options: BudgetOptions) -> Self {
        Self {
            state: Mutex::new(State::new(options, Instant::now())),
            freed: Notify::new(),
            normal: tokio::sync::Mutex::default(),
            reserved: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, priority: Priority) -> &tokio::sync::Mutex<()> {
        match priority {
            Priority::Normal => &self.normal,
            Priority::Reserved => &self.reserved,
        }
    }
}

/// What the head of a queue waits for.
#[derive(Debug, PartialEq)]
enum Wait {
    /// A call to end, or the reserved ones to be served.
    Slot,
    /// So long until there is a token at the present rate.
    Tokens(Duration),
}

#[derive(Debug)]
struct State {
    options: BudgetOptions,
    /// Tokens that anyone may use, and those for reserved calls.
    normal: f64,
    reserved: f64,
    per_second: f64,
    refilled: Instant,
    /// When the rate last changed, or was throttled again.
    disturbed: Instant,
    /// When the rate was last halved.
    halved: Option<Instant>,
    in_flight: u32,
    reserved_waiting: u32,
}

impl State {
    fn new(options: BudgetOptions, now: Instant) -> Self {
        let share = f64::from(options.reserved_percent.min(100)) / 100.0;
        let burst = f64::from(options.burst.max(1));
        Self {
            normal: burst * (1.0 - share),
            reserved: burst * share,
            per_second: options.per_second.max(MIN_PER_SECOND),
            refilled: now,
            disturbed: now,
            halved: None,
            in_flight: 0,
            reserved_waiting: 0,
            options,
        }
    }

    fn share(&self) -> f64 {
        f64::from(self.options.reserved_percent.min(100)) / 100.0
    }

    fn take(&mut self, priority: Priority, now: Instant) -> Result<(), Wait> {
        self.refill(now);
        let slots = self.options.max_in_flight.max(2);
        let free_slot = match priority {
            Priority::Reserved => self.in_flight < slots,
            Priority::Normal => self.in_flight < slots - self.reserved_slots(slots) && self.reserved_waiting == 0,
        };
        if !free_slot {
            return Err(Wait::Slot);
        }
        let source = match priority {
            Priority::Reserved if self.reserved >= 1.0 => &mut self.reserved,
            _ if self.normal >= 1.0 => &mut self.normal,
            _ => return Err(Wait::Tokens(self.until_token(priority))),
        };
        *source -= 1.0;
        self.in_flight += 1;
        Ok(())
    }

    fn reserved_slots(&self, slots: u32) -> u32 {
        (slots * u32::from(self.options.reserved_percent) / 100).clamp(1, slots - 1)
    }

    fn until_token(&self, priority: Priority) -> Duration {
        let after = |have: f64, share: f64| (1.0 - have) / (self.per_second * share).max(f64::EPSILON);
        let normal = after(self.normal, 1.0 - self.share());
        let seconds = match priority {
            Priority::Normal => normal,
            Priority::Reserved => normal.min(after(self.reserved, self.share())),
        };
        // One millisecond more than exact, or rounding could wake the head just before its token.
        Duration::try_from_secs_f64(seconds).unwrap_or(MAX_SLEEP) + Duration::from_millis(1)
    }

    fn refill(&mut self, now: Instant) {
        let tokens = now.saturating_duration_since(self.refilled).as_secs_f64() * self.per_second;
        self.refilled = now;
        let (share, burst) = (self.share(), f64::from(self.options.burst.max(1)));
        let reserved = self.reserved + tokens * share;
        self.reserved = reserved.min(burst * share);
        // What the full reserve does not hold is for everyone.
        let spilled = reserved - self.reserved;
        self.normal = (self.normal + tokens * (1.0 - share) + spilled).min((burst * (1.0 - share)).max(1.0));
        self.recover(now);
    }

    fn recover(&mut self, now: Instant) {
        let full = self.options.per_second.max(MIN_PER_SECOND);
        while self.per_second < full && now.saturating_duration_since(self.disturbed) >= self.options.quiet {
            self.per_second = (self.per_second + full * RECOVERY).min(full);
            self.disturbed += self.options.quiet.max(Duration::from_millis(1));
        }
    }

    fn throttled(&mut self, now: Instant) {
        self.refill(now);
        self.normal = 0.0;
        self.disturbed = now;
        if self.halved.is_none_or(|at| now.saturating_duration_since(at) >= ONE_REFUSAL) {
            self.per_second = (self.per_second / 2.0).max(MIN_PER_SECOND);
            self.halved = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None }
    }

    fn small() -> BudgetOptions {
        BudgetOptions { burst: 10, per_second: 10.0, max_in_flight: 100, ..BudgetOptions::default() }
    }

    /// Takes turns one after the other for `span` of virtual time; gives their number.
    async fn drain(budget: &Budget, priority: Priority, span: Duration) -> u32 {
        let end = Instant::now() + span;
        let mut taken = 0;
        while tokio::time::timeout_at(end, budget.acquire(&scope(), priority)).await.is_ok() {
            taken += 1;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        let budget = Budget::new(small());
        let taken = drain(&budget, Priority::Normal, Duration::from_millis(10)).await;
        assert_eq!(taken, 8, "the reserved fifth of the burst is left alone");
        let taken = drain(&budget, Priority::Normal, Duration::from_secs(10)).await;
        assert!((95..=101).contains(&taken), "{taken}");
    }

    #[tokio::test(start_paused = true)]
    async fn reserved_calls_pass_when_normal_ones_wait() {
        let budget = Arc::new(Budget::new(small()));
        drain(&budget, Priority::Normal, Duration::from_millis(10)).await;
        let started = Instant::now();
        let _permits =
            (budget.acquire(&scope(), Priority::Reserved).await, budget.acquire(&scope(), Priority::Reserved).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_are_served_in_order_and_reserved_first() {
        let budget = Arc::new(Budget::new(BudgetOptions { burst: 1, per_second: 2.0, ..small() }));
        drain(&budget, Priority::Reserved, Duration::from_millis(1)).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, priority) in
            [("n1", Priority::Normal), ("n2", Priority::Normal), ("r1", Priority::Reserved), ("r2", Priority::Reserved)]
        {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _permit = budget.acquire(&scope(), priority).await;
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["r1", "r2", "n1", "n2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_at_once_are_limited_and_slots_are_kept_for_reverts() {
        let budget = Budget::new(BudgetOptions { max_in_flight: 5, ..BudgetOptions::default() });
        let mut permits = Vec::new();
        for _ in 0..4 {
            permits.push(budget.acquire(&scope(), Priority::Normal).await);
        }
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, budget.acquire(&scope(), Priority::Normal)).await.is_err());
        let reserved = budget.acquire(&scope(), Priority::Reserved).await;
        assert!(tokio::time::timeout(second, budget.acquire(&scope(), Priority::Reserved)).await.is_err());
        drop(reserved);
        permits.pop();
        let _permit = tokio::time::timeout(second, budget.acquire(&scope(), Priority::Normal)).await.unwrap();
        // Another region has its own budget.
        let elsewhere = Scope { region: "us-east-1".into(), ..scope() };
        let _permit = tokio::time::timeout(second, budget.acquire(&elsewhere, Priority::Normal)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_once_a_burst_and_quiet_restores() {
        let mut state = State::new(BudgetOptions::default(), Instant::now());
        let start = Instant::now();
        state.throttled(start);
        state.throttled(start);
        assert_eq!(state.per_second, 12.5);
        assert!(state.take(Priority::Normal, start).is_err());
        assert!(state.take(Priority::Reserved, start).is_ok());
        state.throttled(start + Duration::from_secs(2));
        assert_eq!(state.per_second, 6.25);
        for n in 3..20 {
            state.throttled(start + Duration::from_secs(n));
        }
        assert_eq!(state.per_second, MIN_PER_SECOND);
        let after = |secs: u64| start + Duration::from_secs(19 + secs);
        state.refill(after(9));
        assert_eq!(state.per_second, MIN_PER_SECOND);
        state.refill(after(10));
        assert_eq!(state.per_second, 7.0);
        state.refill(after(100));
        assert_eq!(state.per_second, 25.0);
    }
}
