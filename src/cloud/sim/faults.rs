//! What goes wrong: scripted faults that are used up in order, and random ones at a rate. Each is counted by its kind.
//!
//! A fault is what is left after the retries that the traits' contract promises: an injected throttle is one that outlasted
//! them.

use super::calls::{Operation, Refusal};
use super::world::Place;
use crate::model::ids::Region;
use crate::model::observation::ProviderErrorKind;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a caller waits for an answer that does not come.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for its rate.
    Throttle,
    /// 503, or no connection: nothing happened.
    Unavailable,
    /// Refused for its rights.
    Denied,
    /// The request is lost: no effect, no answer.
    AmbiguousBeforeEffect,
    /// The effect happens, the answer is lost.
    AmbiguousAfterEffect,
    /// The caller hears nothing; the request arrives this much later and takes effect then.
    DelayedEffect(Duration),
    /// It takes this much longer, and is otherwise well.
    Slow(Duration),
    /// A describe shows the stack as it was this many versions ago.
    Stale(usize),
}

/// A [`Fault`] without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is the fault of the same name")]
pub enum FaultKind {
    Throttle,
    Unavailable,
    Denied,
    AmbiguousBeforeEffect,
    AmbiguousAfterEffect,
    DelayedEffect,
    Slow,
    Stale,
}

impl Fault {
    /// Which kind it is.
    pub fn kind(self) -> FaultKind {
        match self {
            Self::Throttle => FaultKind::Throttle,
            Self::Unavailable => FaultKind::Unavailable,
            Self::Denied => FaultKind::Denied,
            Self::AmbiguousBeforeEffect => FaultKind::AmbiguousBeforeEffect,
            Self::AmbiguousAfterEffect => FaultKind::AmbiguousAfterEffect,
            Self::DelayedEffect(_) => FaultKind::DelayedEffect,
            Self::Slow(_) => FaultKind::Slow,
            Self::Stale(_) => FaultKind::Stale,
        }
    }

    /// The error that the caller hears of a call that gets no good answer.
    pub(super) fn refusal(self, operation: Operation) -> Refusal {
        use ProviderErrorKind as Kind;
        match self {
            Self::Throttle => Refusal::new(Kind::Throttled, "Throttling", "Rate exceeded"),
            Self::Denied => Refusal::new(
                Kind::Denied,
                "AccessDenied",
                format!("User is not authorized to perform: {}:{}", operation.service(), operation.api_name()),
            ),
            Self::Unavailable => Refusal::new(Kind::Unavailable, "ServiceUnavailable", "Service is unavailable"),
            _ if operation.changes_the_world() => Refusal::new(Kind::Ambiguous, "", "no answer before the timeout"),
            _ => Refusal::new(Kind::Unavailable, "", "no answer before the timeout"),
        }
    }
}

/// How a region fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are refused: every call is `Unavailable`, nothing happens.
    Unreachable,
    /// Requests vanish: calls that change something are `Ambiguous`, and have no effect.
    Silent,
}

/// What happens to a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricFault {
    /// No point at or after this time.
    MissingFrom(Timestamp),
    /// Every value is NaN.
    NotANumber,
    /// One more point, dated this far in the future.
    FutureDated(Duration),
    /// `PartialData`: the newer half is missing.
    Partial,
    /// `Forbidden`: no points.
    Forbidden,
    /// `InternalError`: no points.
    InternalError,
    /// Points appear this much later than they should.
    Late(Duration),
    /// The publisher has changed the unit: a query that names the old one gets no points.
    WrongUnit,
    /// Every second value is good, whatever is deployed, and the others are not.
    Flapping,
    /// Values of a broken exporter: finite, and far too large.
    Huge,
}

/// A metric fault with what it applies to.
#[derive(Clone, Debug)]
pub(super) struct MetricRule {
    pub(super) place: Place,
    pub(super) metric: String,
    pub(super) dimension: Option<String>,
    pub(super) fault: MetricFault,
}

/// A scripted fault with what it applies to and how often it is left.
#[derive(Clone, Debug)]
struct Rule {
    operation: Operation,
    stack: Option<(Place, String)>,
    fault: Fault,
    left: u32,
}

/// Every fault that is set up, and how often each kind struck.
#[derive(Debug, Default)]
pub(super) struct SimFaults {
    rules: Vec<Rule>,
    outages: BTreeMap<Region, Outage>,
    pub(super) metrics: Vec<MetricRule>,
    pub(super) counts: BTreeMap<FaultKind, u64>,
}

impl SimFaults {
    pub(super) fn inject(&mut self, operation: Operation, stack: Option<(Place, String)>, fault: Fault, times: u32) {
        self.rules.push(Rule { operation, stack, fault, left: times });
    }

    pub(super) fn set_outage(&mut self, region: &Region, outage: Option<Outage>) {
        match outage {
            Some(outage) => self.outages.insert(region.clone(), outage),
            None => self.outages.remove(region),
        };
    }

    pub(super) fn clear(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        *self = Self { counts, ..Self::default() };
    }

    /// The fault that strikes this call: an outage first, then the oldest matching rule, then chance.
    pub(super) fn strike(
        &mut self,
        operation: Operation,
        place: &Place,
        stack: Option<&str>,
        rate: f64,
        rng: &mut fastrand::Rng,
    ) -> Option<Fault> {
        // Drawn in any case, so that a scripted fault does not shift the chances of later calls.
        let chance = if rate > 0.0 && rng.f64() < rate { Some(random(operation, rng)) } else { None };
        let fault = self.outage(place).or_else(|| self.scripted(operation, place, stack)).or(chance)?;
        let count = self.counts.entry(fault.kind()).or_default();
        *count = count.saturating_add(1);
        Some(fault)
    }

    fn outage(&self, place: &Place) -> Option<Fault> {
        Some(match self.outages.get(&place.region)? {
            Outage::Unreachable => Fault::Unavailable,
            Outage::Silent => Fault::AmbiguousBeforeEffect,
        })
    }

    fn scripted(&mut self, operation: Operation, place: &Place, stack: Option<&str>) -> Option<Fault> {
        let index = self.rules.iter().position(|rule| {
            rule.operation == operation
                && rule.left > 0
                && rule.stack.as_ref().is_none_or(|(at, name)| at == place && stack.is_some_and(|s| names(s, name)))
        })?;
        let rule = self.rules.get_mut(index)?;
        rule.left -= 1;
        let fault = rule.fault;
        if rule.left == 0 {
            self.rules.remove(index);
        }
        Some(fault)
    }
}

/// True when what a call names (a name, an ARN or a list of names) is or holds the stack `name`.
fn names(called: &str, name: &str) -> bool {
    called.split(',').any(|part| part == name || part.contains(&format!(":stack/{name}/")))
}

/// A fault by chance, weighted so that the commonest of the field are the commonest here.
fn random(operation: Operation, rng: &mut fastrand::Rng) -> Fault {
    let slow = Fault::Slow(Duration::from_millis(rng.u64(1_000..=5_000)));
    let delayed = Fault::DelayedEffect(Duration::from_millis(rng.u64(2_000..=20_000)));
    let stale = Fault::Stale(rng.usize(1..=3));
    let weighted: &[(Fault, u32)] = if operation.changes_the_world() {
        &[
            (Fault::Throttle, 35),
            (Fault::Unavailable, 20),
            (Fault::AmbiguousBeforeEffect, 15),
            (Fault::AmbiguousAfterEffect, 20),
            (delayed, 5),
            (slow, 5),
        ]
    } else if matches!(operation, Operation::Describe | Operation::DescribeById) {
        &[(Fault::Throttle, 40), (Fault::Unavailable, 30), (slow, 15), (stale, 15)]
    } else {
        &[(Fault::Throttle, 45), (Fault::Unavailable, 35), (slow, 20)]
    };
    let mut ball = rng.u32(0..weighted.iter().map(|(_, weight)| weight).sum());
    for (fault, weight) in weighted {
        match ball.checked_sub(*weight) {
            Some(rest) => ball = rest,
            None => return *fault,
        }
    }
    Fault::Throttle
}
