//! Whether changes come far faster than they usually do: of one agent, and of the whole fleet.
//!
//! Each proposal is counted in the window that ends with it. Previews are not counted: they touch nothing, and an agent that looks
//! often before it acts does what it should. Kill drills are not counted either: they change nothing of anybody's. What is usual is learnt from the last fourteen days of the record, so a restart forgets
//! nothing. An alarm holds nothing back: the guardrail on rates does that, with limits that people set. It tells people what no
//! limit of theirs foresaw.
//!
//! What it does not see: a rate that grows slowly over weeks becomes the usual one. And an agent that changes its name is a new one
//! each time; the fleet's rate is there for that.

use crate::model::drill::is_drill;
use crate::model::plan::Plan;
use crate::model::rate::{ChangeRateAlarm, RateOf};
use crate::model::state::State;
use crate::model::time::Millis;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is usual is learnt from so many days: two of each day of the week, and a week's holiday does not look like the rule.
const DAYS: u64 = 14;
/// One day: with less than this on record nobody knows what is usual.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// An alarm is a chance of less than one in ten thousand, if changes came by chance at the usual rate. An agent that proposes
/// once an hour around the clock is looked at 8,760 times a year: by chance alone it alarms less than once.
const CHANCE: f64 = 1e-4;
/// The search for a threshold ends far below this; what is above it is no rate of changes.
const MOST: u32 = 1_000_000;

/// From when on a rate is an alarm. All of it must be met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateRule {
    /// Changes are counted in a window of this length.
    pub window: Millis,
    /// So many times the usual number, at least 1. Changes come in bunches, which chance alone does not explain: three times the
    /// usual peak is more than a busy day.
    pub factor: f64,
    /// Never below so many changes: fewer are read one by one in the same time.
    pub minimum: u32,
    /// What is taken for usual, in a window, while less than a day is on record.
    pub floor: f64,
}

impl Default for RateRule {
    /// An hour, 3 times, 5 changes; and 4 an hour while nothing is known: with these, 14 in the first hour are an alarm.
    fn default() -> Self {
        Self { window: Millis::from_secs(3600), factor: 3.0, minimum: 5, floor: 4.0 }
    }
}

/// One rate, and what it is measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Changes within the window that ends now.
    pub seen: u32,
    /// So many are usual in a window.
    pub usual: f64,
    /// From so many on it alarms.
    pub threshold: u32,
}

/// The alarms that a proposal sets off, at most one for its agent and one for the fleet. `plan` is not yet in the state.
///
/// For each there is one alarm in a window, and another one whenever the number has doubled since.
pub fn alarms(state: &State, plan: &Plan, rule: &RateRule, now: Timestamp) -> Vec<ChangeRateAlarm> {
    if !counts(plan) {
        return Vec::new();
    }
    let agent = name(plan);
    let (mut own, mut fleet) = (Tally { seen: 1, ..Tally::default() }, Tally { seen: 1, ..Tally::default() });
    for (of, age) in proposals(state, now) {
        fleet.count(age, rule);
        if of == agent {
            own.count(age, rule);
        }
    }
    let both = [(RateOf::Agent(agent), own), (RateOf::Fleet, fleet)];
    let due = both.into_iter().filter_map(|(of, tally)| {
        let Rate { seen, usual, threshold } = tally.rate(rule);
        let due = seen >= threshold && !told(state, &of, seen, rule, now);
        due.then_some(ChangeRateAlarm { of, seen, usual, threshold, window: rule.window, at: now })
    });
    due.collect()
}

/// Every rate that there is at a time: of each agent that has proposed within the window or in the days before, and of the fleet.
pub fn rates(state: &State, rule: &RateRule, now: Timestamp) -> BTreeMap<RateOf, Rate> {
    let mut fleet = Tally::default();
    let mut agents: BTreeMap<String, Tally> = BTreeMap::new();
    for (agent, age) in proposals(state, now) {
        fleet.count(age, rule);
        agents.entry(agent).or_default().count(age, rule);
    }
    let known = agents.into_iter().filter(|(_, tally)| tally.seen > 0 || !tally.before.is_empty());
    let mut rates: BTreeMap<_, _> = known.map(|(agent, tally)| (RateOf::Agent(agent), tally.rate(rule))).collect();
    rates.insert(RateOf::Fleet, fleet.rate(rule));
    rates
}

/// Whose each proposal on record was, and how old it is in milliseconds. What is dated in the future was proposed before a clock was
/// set back: it is left out until its time has come, or every correction of a clock would be an alarm.
fn proposals(state: &State, now: Timestamp) -> impl Iterator<Item = (String, u64)> {
    let now = now.as_millisecond();
    state.rollouts.values().filter(|rollout| counts(&rollout.plan)).filter_map(move |rollout| {
        let age = u64::try_from(now - rollout.plan.created_at.as_millisecond()).ok()?;
        Some((name(&rollout.plan), age))
    })
}

/// An agent is the same one however its name is written.
fn name(plan: &Plan) -> String {
    plan.change_set.agent.trim().to_lowercase()
}

/// True for what changes something of somebody's.
fn counts(plan: &Plan) -> bool {
    !plan.look_only && !is_drill(plan)
}

/// True when people know already.
fn told(state: &State, of: &RateOf, seen: u32, rule: &RateRule, now: Timestamp) -> bool {
    state.rate_alarms.get(of).is_some_and(|last| {
        let age = u64::try_from(now.as_millisecond() - last.at.as_millisecond());
        age.is_ok_and(|age| age < rule.window.0) && seen < last.seen.saturating_mul(2)
    })
}

/// What is counted of one agent, or of all.
#[derive(Debug, Default)]
struct Tally {
    /// Within the window.
    seen: u32,
    /// In the windows before it, by how many windows ago.
    before: BTreeMap<u64, u32>,
    /// So long before the window the first one came, in milliseconds.
    known: u64,
}

impl Tally {
    fn count(&mut self, age: u64, rule: &RateRule) {
        let window = rule.window.0.max(1);
        let Some(before) = age.checked_sub(window) else {
            self.seen += 1;
            return;
        };
        self.known = self.known.max(before);
        if before < DAYS * DAY_MS {
            *self.before.entry(before / window).or_default() += 1;
        }
    }

    fn rate(&self, rule: &RateRule) -> Rate {
        let usual = self.usual(rule);
        Rate { seen: self.seen, usual, threshold: threshold(rule, usual) }
    }

    /// The greater of the mean over the windows on record and the median, over the days on record, of each day's fullest window.
    ///
    /// The median is for agents that work in bunches, such as each night at two: their mean over the day says little about that
    /// hour. One day out of fourteen cannot move it, so that a burst is not what makes the next one usual. Half a change is added to
    /// the mean (the mean of the posterior under Jeffreys' prior): an agent that was quiet for two weeks has no rate of zero.
    fn usual(&self, rule: &RateRule) -> f64 {
        let window = rule.window.0.max(1);
        let known = self.known.min(DAYS * DAY_MS);
        let count: u32 = self.before.values().sum();
        let mean = (f64::from(count) + 0.5) / (float(known) / float(window)).max(1.0);
        let usual = mean.max(f64::from(self.median_peak(window, known)));
        if known < DAY_MS { usual.max(rule.floor) } else { usual }
    }

    fn median_peak(&self, window: u64, known: u64) -> u32 {
        let mut peaks: BTreeMap<u64, u32> = BTreeMap::new();
        for (ago, count) in &self.before {
            let peak = peaks.entry(ago * window / DAY_MS).or_default();
            *peak = (*peak).max(*count);
        }
        let days = usize::try_from(known.div_ceil(DAY_MS)).unwrap_or(usize::MAX).max(peaks.len());
        let mut peaks: Vec<u32> = peaks.into_values().collect();
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        // Days without a change are zeros at the end.
        peaks.get(days.saturating_sub(1) / 2).copied().unwrap_or(0)
    }
}

/// The smallest number that meets the whole rule.
fn threshold(rule: &RateRule, usual: f64) -> u32 {
    let first = (1..=MOST).find(|seen| f64::from(*seen) >= usual * rule.factor.max(1.0)).unwrap_or(MOST);
    let first = first.max(rule.minimum).max(1);
    (first..MOST).find(|seen| tail(*seen, usual) < CHANCE).unwrap_or(MOST)
}

/// The chance of `seen` or more where `mean` are expected, by Poisson's law: the sum of e^-m m^i / i! for all i from `seen` on.
///
/// Each term is the one before times m / i, so one logarithm of the gamma function gives the first, and the sum goes away from the
/// peak, where the terms only shrink (Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.4.21).
pub fn tail(seen: u32, mean: f64) -> f64 {
    if seen == 0 {
        return 1.0;
    }
    if mean <= 0.0 || mean.is_nan() {
        return 0.0;
    }
    let from = f64::from(seen);
    if from > mean {
        return sum(term(from, mean), |step| mean / (from + step)).min(1.0);
    }
    // Below the peak what is left out is the smaller part.
    let last = from - 1.0;
    (1.0 - sum(term(last, mean), |step| (last - step + 1.0).max(0.0) / mean)).max(0.0)
}

fn term(count: f64, mean: f64) -> f64 {
    libm::exp(count * libm::log(mean) - mean - libm::lgamma(count + 1.0))
}

/// `first`, and each further term from the one before, until they do not matter.
fn sum(first: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut sum, mut term) = (first, first);
    for step in 1..MOST {
        term *= ratio(f64::from(step));
        sum += term;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// A span in milliseconds: exact up to 285,000 years.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(ms: u64) -> f64 {
    ms as f64
}

#[cfg(test)]
mod tests;
