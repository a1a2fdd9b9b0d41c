//! What a CloudWatch alarm makes of missing points, exactly: a threshold here fires where an alarm with the same numbers would.
//!
//! Source: CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data", with its two tables and "Avoiding premature
//! transitions to alarm state". `tests/missing_data.rs` holds every printed cell.

use crate::model::pipeline::MissingData;

/// How an alarm treats a missing point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// `missing`: it is left out; where all are missing there is no decision.
    Missing,
    /// `ignore`: what was decided before stays.
    Ignore,
    /// `breaching`: it is a bad point.
    Breaching,
    /// `notBreaching`: it is a good point.
    NotBreaching,
}

impl Treatment {
    /// The alarm's word for ours; none for `hold`, which alarms do not have.
    pub fn of(missing_data: MissingData) -> Option<Self> {
        match missing_data {
            MissingData::Hold => None,
            MissingData::Fail => Some(Self::Breaching),
            MissingData::NotBreaching => Some(Self::NotBreaching),
            MissingData::Ignore => Some(Self::Ignore),
            MissingData::Missing => Some(Self::Missing),
        }
    }
}

/// The state that one evaluation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmDecision {
    /// `ALARM`.
    Alarm,
    /// `OK`.
    Ok,
    /// `INSUFFICIENT_DATA`.
    InsufficientData,
    /// "Retain current state".
    Retain,
}

/// How many points an evaluation looks back at for N: two more than are needed, in case some are missing. The guide's tables have 5 for
/// 3; for other N it says only that there are more than N.
pub const fn evaluation_range(n: usize) -> usize {
    n.saturating_add(2)
}

/// Decides as an alarm of `m` out of `n` does. `range` is the evaluation range, oldest first: true is a breaching point, none a missing
/// one. Periods that have not been yet are no missing points: where the range is shorter than `n`, nothing is filled in for them.
pub fn evaluate(range: &[Option<bool>], n: usize, m: usize, treatment: Treatment) -> AlarmDecision {
    let (n, m) = (n.max(1), m.max(1));
    let real: Vec<bool> = range.iter().copied().flatten().collect();
    // With enough real points the newest N of them decide, from farther back where needed; the treatment is not asked.
    let newest = real.iter().rev().take(n);
    let bad = newest.filter(|breaching| **breaching).count();
    let filled = n.saturating_sub(real.len()).min(range.len() - real.len());
    let decided = |bad: usize| if bad >= m { AlarmDecision::Alarm } else { AlarmDecision::Ok };
    if filled == 0 && !real.is_empty() {
        return decided(bad);
    }
    match treatment {
        Treatment::Breaching => decided(bad + filled),
        Treatment::NotBreaching => decided(bad),
        Treatment::Missing if real.is_empty() => AlarmDecision::InsufficientData,
        Treatment::Ignore if real.is_empty() => AlarmDecision::Retain,
        Treatment::Missing | Treatment::Ignore if bad >= m => AlarmDecision::Alarm,
        Treatment::Missing if is_old_enough(range, m) => AlarmDecision::Alarm,
        // The table keeps the state where the premature rule applies. Where every real point is breaching and the oldest is too young for
        // it, nothing is printed; that is no reason to leave ALARM either.
        Treatment::Ignore if real.iter().all(|breaching| *breaching) => AlarmDecision::Retain,
        Treatment::Missing | Treatment::Ignore => AlarmDecision::Ok,
    }
}

/// The rule against premature alarms, turned round: the alarm goes off with fewer than M breaching points once the oldest of them is at
/// least M periods old and everything since is breaching or missing. By the second table (`0 - X - -` is OK) a good point anywhere in the
/// range switches the rule off.
fn is_old_enough(range: &[Option<bool>], m: usize) -> bool {
    let oldest = range.iter().position(|point| *point == Some(true));
    !range.contains(&Some(false)) && oldest.is_some_and(|at| range.len() - at >= m)
}
