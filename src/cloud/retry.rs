//! Calls again after an answer that allows it: exponential back-off with full jitter, a deadline and a count of attempts.
//!
//! This file says when to try again, never whether: that is [`super::classify`]. It is the only user of the `backoff` crate.

use crate::model::observation::ProviderError;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How often and how long a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first pause is drawn from zero to this.
    pub initial: Duration,
    /// No pause is drawn from more than this.
    pub cap: Duration,
    /// No attempt starts later than this after the first one.
    pub deadline: Duration,
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
}

impl RetryPolicy {
    /// For calls that may be repeated. 300 ms, 15 s and eight attempts are what AWS's CDK uses against CloudFormation;
    /// without a cap its users took the back-off for a hang. A minute is below the interval at which a person wonders.
    pub const READ: Self = Self {
        initial: Duration::from_millis(300),
        cap: Duration::from_secs(15),
        deadline: Duration::from_secs(60),
        max_attempts: 8,
    };

    /// For calls with an effect, which are repeated only after proof that nothing happened. Shorter: the daemon that asked
    /// must soon decide anew, since a kill may have come meanwhile.
    pub const EFFECT: Self = Self { deadline: Duration::from_secs(20), max_attempts: 5, ..Self::READ };
}

/// Why an attempt gave no result, and whether another one is allowed.
#[derive(Debug)]
pub enum Failure {
    /// Another attempt is allowed.
    Again(ProviderError),
    /// This is the answer.
    Final(ProviderError),
}

/// Runs `operation` until it succeeds, fails for good, or the policy is spent; then gives its last error. `notify` hears
/// each error that is followed by another attempt, with the pause before it.
///
/// # Errors
/// The last attempt's error.
pub async fn retry<T, F, Fut>(
    policy: &RetryPolicy,
    seed: u64,
    mut operation: F,
    notify: impl FnMut(ProviderError, Duration),
) -> Result<T, ProviderError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let attempt = move || {
        let answer = operation();
        async move {
            answer.await.map_err(|failure| match failure {
                Failure::Again(error) => backoff::Error::transient(error),
                Failure::Final(error) => backoff::Error::Permanent(error),
            })
        }
    };
    backoff::future::retry_notify(FullJitter::new(*policy, seed), attempt, notify).await
}

/// Full jitter: each pause is drawn evenly from zero to the doubled limit, so that callers that failed together do not
/// come back together. Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug)]
struct FullJitter {
    policy: RetryPolicy,
    random: fastrand::Rng,
    started: Instant,
    attempts: u32,
}

impl FullJitter {
    fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { policy, random: fastrand::Rng::with_seed(seed), started: Instant::now(), attempts: 1 }
    }
}

impl backoff::backoff::Backoff for FullJitter {
    fn reset(&mut self) {
        self.started = Instant::now();
        self.attempts = 1;
    }

    fn next_backoff(&mut self) -> Option<Duration> {
        if self.attempts >= self.policy.max_attempts {
            return None;
        }
        // 2^20 × 300 ms is days: the cap holds long before, and the shift cannot overflow.
        let doubled = self.policy.initial.saturating_mul(1 << (self.attempts - 1).min(20));
        let pause = doubled.min(self.policy.cap).mul_f64(self.random.f64());
        self.attempts += 1;
        (self.started.elapsed() + pause <= self.policy.deadline).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observation::ProviderErrorKind;
    use backoff::backoff::Backoff as _;

    fn error() -> ProviderError {
        ProviderError {
            operation: "X".into(),
            kind: ProviderErrorKind::Throttled,
            code: String::new(),
            message: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_cap_and_follow_the_seed() {
        let policy = RetryPolicy { max_attempts: 30, deadline: Duration::MAX, ..RetryPolicy::READ };
        let pauses = |seed| {
            let mut jitter = FullJitter::new(policy, seed);
            std::iter::from_fn(|| jitter.next_backoff()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        for (n, pause) in pauses(7).into_iter().enumerate() {
            assert!(pause <= policy.cap.min(policy.initial * 2_u32.pow(u32::try_from(n).unwrap())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_and_deadline_are_bounds() {
        let mut tries = 0;
        let mut heard = 0;
        let answer: Result<(), _> = retry(
            &RetryPolicy::READ,
            1,
            || {
                tries += 1;
                std::future::ready(Err(Failure::Again(error())))
            },
            |_, _| heard += 1,
        )
        .await;
        assert_eq!((answer.unwrap_err(), tries, heard), (error(), 8, 7));

        let policy = RetryPolicy { deadline: Duration::ZERO, ..RetryPolicy::READ };
        let mut tries = 0;
        let answer: Result<(), _> = retry(
            &policy,
            1,
            || {
                tries += 1;
                std::future::ready(Err(Failure::Again(error())))
            },
            |_, _| {},
        )
        .await;
        assert!(answer.is_err());
        assert_eq!(tries, 1);
    }

    #[tokio::test]
    async fn a_final_failure_is_not_repeated() {
        let mut tries = 0;
        let answer: Result<(), _> = retry(
            &RetryPolicy::READ,
            1,
            || {
                tries += 1;
                std::future::ready(Err(Failure::Final(error())))
            },
            |_, _| {},
        )
        .await;
        assert!(answer.is_err());
        assert_eq!(tries, 1);
    }
}
