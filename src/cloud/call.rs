//! The one way out: every call to AWS goes through [`Caller::call`], which takes budget, sends, classifies, repeats where
//! that is allowed, counts and logs. It knows no operation's inputs or outputs, and logs none.

use super::Priority;
use super::budget::{Budget, BudgetOptions};
use super::classify::{classify, local_error};
use super::retry::{Failure, RetryPolicy, retry};
use crate::model::observation::{ProviderError, ProviderErrorKind};
use crate::model::stack::Scope;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a call waits for its turn before it is given up unsent. At the lowest rate that the budget falls to, a
/// reserved call is served well within it; whoever waits longer should read the world again before it acts.
const MAX_BUDGET_WAIT: Duration = Duration::from_secs(60);

/// What sending an operation twice would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Changes nothing: an unknown outcome is only a missing answer.
    Read,
    /// Changes something, and twice is as once.
    Repeatable,
    /// Changes something: after an unknown outcome only a read may follow.
    Once,
}

impl Nature {
    /// Whether another attempt may follow an error of this kind.
    fn may_repeat(self, kind: ProviderErrorKind) -> bool {
        match kind {
            ProviderErrorKind::Throttled | ProviderErrorKind::Unavailable => true,
            // INVARIANT: S9. Nothing but an operation for which twice is as once is sent again without a read.
            ProviderErrorKind::Ambiguous => self == Self::Repeatable,
            ProviderErrorKind::NotFound
            | ProviderErrorKind::AlreadyExists
            | ProviderErrorKind::Rejected
            | ProviderErrorKind::Denied => false,
        }
    }

    fn policy(self) -> &'static RetryPolicy {
        match self {
            Self::Read | Self::Repeatable => &RetryPolicy::READ,
            Self::Once => &RetryPolicy::EFFECT,
        }
    }
}

macro_rules! operations {
    ($($name:ident: $nature:ident),+ $(,)?) => {
        /// Every operation that Wavegate may ask of AWS: this list is closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = stringify!($name)] $name,)+
        }
        impl Operation {
            /// All of them, in the order of their numbers.
            const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in the API reference.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What sending it twice would mean.
            pub fn nature(self) -> Nature {
                match self {
                    $(Self::$name => Nature::$nature,)+
                }
            }
        }
    };
}

operations!(
    DescribeStacks: Read,
    DescribeStackEvents: Read,
    ListStackResources: Read,
    GetTemplate: Read,
    GetStackPolicy: Read,
    ListExports: Read,
    ListImports: Read,
    DescribeChangeSet: Read,
    CreateChangeSet: Once,
    DeleteChangeSet: Repeatable,
    ExecuteChangeSet: Once,
    DeleteStack: Once,
    CancelUpdateStack: Once,
    ContinueUpdateRollback: Once,
    GetMetricData: Read,
    DescribeAlarms: Read,
);

/// What is called, where, and how urgently.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The operation.
    pub operation: Operation,
    /// The account and region.
    pub scope: &'a Scope,
    /// The share of the budget.
    pub priority: Priority,
}

/// Sends calls within their budget.
#[derive(Debug)]
pub struct Caller {
    budget: Budget,
    /// The next call's jitter seed.
    seed: AtomicU64,
    counts: Vec<AtomicU64>,
}

impl Caller {
    /// A caller whose jitter follows `seed`.
    pub fn new(budget: BudgetOptions, seed: u64) -> Self {
        Self {
            budget: Budget::new(budget),
            seed: AtomicU64::new(seed),
            counts: Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// How many requests were sent, by operation; those never sent are left out.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let counted = Operation::ALL.iter().zip(&self.counts);
        counted.map(|(op, n)| (op.as_str(), n.load(Ordering::Relaxed))).filter(|(_, n)| *n > 0).collect()
    }

    /// Sends until there is an answer, the retry policy is spent, or nothing may be repeated.
    ///
    /// # Errors
    /// By the contract of [`super::Stacks`]: `Ambiguous` when and only when one of the attempts may have had its effect.
    pub async fn call<T, E, F, Fut>(&self, call: Call<'_>, send: F) -> Result<T, ProviderError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, SdkError<E>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + 'static,
    {
        let nature = call.operation.nature();
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let mut unknown = None;
        let notify = |error: ProviderError, pause: Duration| {
            let pause_ms = pause.as_millis();
            tracing::debug!(operation = call.operation.as_str(), scope = %call.scope, pause_ms, "call is repeated");
            if error.kind == ProviderErrorKind::Ambiguous {
                unknown = Some(error);
            }
        };
        let answer = retry(nature.policy(), seed, || self.attempt(call, send()), notify).await;
        match (answer, unknown) {
            // A later refusal does not tell what an earlier attempt did.
            (Err(_), Some(earlier)) => Err(earlier),
            (answer, _) => answer,
        }
    }

    async fn attempt<T, E, Fut>(&self, call: Call<'_>, request: Fut) -> Result<T, Failure>
    where
        Fut: Future<Output = Result<T, SdkError<E>>> + Send,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        // The SDK's futures are many kilobytes: on the heap they are paid for once, not in every caller's frame.
        let request = Box::pin(request);
        let turn = tokio::time::timeout(MAX_BUDGET_WAIT, self.budget.acquire(call.scope, call.priority)).await;
        let Ok(permit) = turn else {
            let message = format!("no turn in the call budget of {} within {MAX_BUDGET_WAIT:?}", call.scope);
            return Err(Failure::Final(local_error(call.operation, ProviderErrorKind::Unavailable, &message)));
        };
        self.count(call.operation);
        let started = Instant::now();
        let answer = request.await;
        drop(permit);
        let answer = answer.map_err(|error| classify(call.operation, &error));
        log(call, started.elapsed(), answer.as_ref().err());
        answer.map_err(|error| {
            if error.kind == ProviderErrorKind::Throttled {
                self.budget.throttled(call.scope);
            }
            if call.operation.nature().may_repeat(error.kind) { Failure::Again(error) } else { Failure::Final(error) }
        })
    }

    fn count(&self, operation: Operation) {
        if let Some(counter) = self.counts.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn log(call: Call<'_>, took: Duration, error: Option<&ProviderError>) {
    let (operation, scope, ms) = (call.operation.as_str(), call.scope, took.as_millis());
    match error {
        None => tracing::debug!(operation, %scope, ms, outcome = "ok", "call"),
        Some(e) => tracing::debug!(operation, %scope, ms, outcome = %e.kind, code = e.code, "call"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudformation::config::http::HttpResponse;
    use aws_sdk_cloudformation::error::ErrorMetadata;
    use aws_sdk_cloudformation::operation::execute_change_set::ExecuteChangeSetError;
    use std::cell::Cell;

    fn scope() -> Scope {
        Scope { account: "111111111111".into(), region: "eu-west-1".into(), role: None }
    }

    fn refused(code: &str, status: u16) -> SdkError<ExecuteChangeSetError> {
        let meta = ErrorMetadata::builder().code(code).message("words").build();
        let raw = HttpResponse::new(status.try_into().unwrap(), "".into());
        SdkError::service_error(ExecuteChangeSetError::generic(meta), raw)
    }

    /// Runs `operation` against these answers in turn, the last one again and again; gives the kind and the attempts.
    async fn run(operation: Operation, answers: &[(&str, u16)]) -> (Option<ProviderErrorKind>, usize) {
        let caller = Caller::new(BudgetOptions::default(), 1);
        let tries = Cell::new(0);
        let send = || {
            let (code, status) = answers[tries.get().min(answers.len() - 1)];
            tries.set(tries.get() + 1);
            std::future::ready(if code == "ok" { Ok(()) } else { Err(refused(code, status)) })
        };
        let call = Call { operation, scope: &scope(), priority: Priority::Normal };
        let kind = caller.call(call, send).await.err().map(|e| e.kind);
        assert_eq!(caller.counts()[operation.as_str()], u64::try_from(tries.get()).unwrap());
        (kind, tries.get())
    }

    #[test]
    fn the_example_role_may_do_every_call_and_no_other() {
        let role: serde_json::Value = serde_json::from_str(include_str!("../../examples/iam/cell-role.json")).unwrap();
        let allowed = role["Statement"].as_array().unwrap().iter().filter(|statement| statement["Effect"] == "Allow");
        let actions = allowed.flat_map(|statement| match &statement["Action"] {
            serde_json::Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        });
        let mut actions: Vec<_> = actions
            .filter_map(|a| Some(a.as_str()?.split_once(':')?.1.to_owned()))
            .filter(|a| a != "PassRole")
            .collect();
        actions.sort_unstable();
        actions.dedup();
        let mut calls: Vec<_> = Operation::ALL.iter().map(|operation| operation.as_str()).collect();
        calls.sort_unstable();
        assert_eq!(actions, calls);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_repeated_after_throttling_and_server_errors() {
        let answers = [("Throttling", 400), ("InternalFailure", 500), ("ok", 200)];
        assert_eq!(run(Operation::DescribeStacks, &answers).await, (None, 3));
        assert_eq!(
            run(Operation::DescribeStacks, &[("InternalFailure", 500)]).await,
            (Some(ProviderErrorKind::Unavailable), 8)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn effects_are_repeated_only_after_proof_that_nothing_happened() {
        use ProviderErrorKind::{Ambiguous, Throttled};
        for operation in [
            Operation::ExecuteChangeSet,
            Operation::DeleteStack,
            Operation::CancelUpdateStack,
            Operation::ContinueUpdateRollback,
            Operation::CreateChangeSet,
        ] {
            assert_eq!(run(operation, &[("Throttling", 400), ("ok", 200)]).await, (None, 2));
            assert_eq!(run(operation, &[("Throttling", 400)]).await, (Some(Throttled), 5));
            assert_eq!(run(operation, &[("InternalFailure", 500), ("ok", 200)]).await, (Some(Ambiguous), 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_after_an_unknown_outcome_stays_unknown() {
        use ProviderErrorKind::Ambiguous;
        let answers = [("InternalFailure", 500), ("InvalidChangeSetStatus", 400)];
        assert_eq!(run(Operation::DeleteChangeSet, &answers).await, (Some(Ambiguous), 2));
        assert_eq!(run(Operation::DeleteChangeSet, &[("InternalFailure", 500), ("ok", 200)]).await, (None, 2));
    }
}
