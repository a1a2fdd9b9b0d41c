//! Puts many recordings before many judges, on several threads, and counts.

use crate::families::Family;
use crate::recording::Recording;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a judge made of one recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It never reverted.
    Never,
    /// It reverted a rollout that was healthy, or not yet faulty.
    False,
    /// It reverted so many minutes after the fault's onset: to the end of the tick that decided.
    After(f64),
}

impl Outcome {
    fn of(recording: &Recording, reverts_at: Option<usize>) -> Self {
        match (reverts_at, recording.onset) {
            (None, _) => Self::Never,
            (Some(tick), Some(onset)) if tick >= onset => {
                Self::After((tick + 1 - onset) as f64 * f64::from(recording.period_s) / 60.0)
            }
            (Some(_), _) => Self::False,
        }
    }
}

/// All that is known of one setting of one judge.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By recording, in no order.
    pub outcomes: Vec<Outcome>,
    /// How often it was asked: a setting whose more sensitive sibling kept quiet is not.
    pub asked: u32,
    /// How long that took.
    pub spent: Duration,
}

impl Tally {
    /// Rollouts that it reverted without cause.
    pub fn false_reverts(&self) -> usize {
        self.outcomes.iter().filter(|outcome| **outcome == Outcome::False).count()
    }

    /// How many recordings it saw.
    pub const fn seen(&self) -> usize {
        self.outcomes.len()
    }

    /// Median delay in minutes, faults that it missed counted as endless; none if more than half were missed. Then the share missed.
    /// Rollouts that it reverted before the fault are left out of both.
    pub fn delay(&self) -> (Option<f64>, f64) {
        let mut delays: Vec<f64> = self
            .outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Never => Some(f64::INFINITY),
                Outcome::After(minutes) => Some(*minutes),
                Outcome::False => None,
            })
            .collect();
        delays.sort_by(f64::total_cmp);
        let missed = delays.iter().filter(|delay| delay.is_infinite()).count();
        let median = delays.get(delays.len() / 2).copied().filter(|delay| delay.is_finite());
        (median, missed as f64 / delays.len().max(1) as f64)
    }

    fn add(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.asked += other.asked;
        self.spent += other.spent;
    }

    /// Mean time that one recording takes.
    pub fn each(&self) -> Duration {
        self.spent.checked_div(self.asked).unwrap_or_default()
    }
}

/// By family and setting.
pub type Tallies = Vec<Vec<Tally>>;

/// Which settings to ask: by family and setting.
pub type Wanted<'a> = &'a (dyn Fn(usize, usize) -> bool + Sync);

/// Makes the recordings of these seeds, each once, and asks every wanted setting about every one.
pub fn measure(
    families: &[Family],
    wanted: Wanted,
    seeds: std::ops::Range<u64>,
    threads: usize,
    make: impl Fn(u64) -> Recording + Sync,
) -> Tallies {
    let empty = || families.iter().map(|f| vec![Tally::default(); f.settings.len()]).collect::<Tallies>();
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut tallies = empty();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return tallies;
            }
            let recording = make(seed);
            for (number, (family, tallies)) in families.iter().zip(&mut tallies).enumerate() {
                ask(family, &|setting| wanted(number, setting), &recording, tallies);
            }
        }
    };
    let mut all = empty();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for tallies in running.into_iter().filter_map(|thread| thread.join().ok()) {
            all.iter_mut().flatten().zip(tallies.into_iter().flatten()).for_each(|(all, one)| all.add(one));
        }
    });
    all
}

#[expect(clippy::disallowed_methods, reason = "how long a judge takes")]
fn ask(family: &Family, wanted: &dyn Fn(usize) -> bool, recording: &Recording, tallies: &mut [Tally]) {
    let mut quiet = false;
    for (number, (setting, tally)) in family.settings.iter().zip(tallies).enumerate() {
        if !wanted(number) {
            continue;
        }
        let mut outcome = Outcome::Never;
        if !quiet {
            let start = Instant::now();
            outcome = Outcome::of(recording, setting.judge.reverts_at(recording));
            tally.spent += start.elapsed();
            tally.asked += 1;
            quiet = outcome == Outcome::Never;
        }
        tally.outcomes.push(outcome);
    }
}

/// The 95 % interval of a share of `hits` in `of` (Wilson 1927).
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_985;
    let (n, p) = (of.max(1) as f64, hits as f64 / of.max(1) as f64);
    let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_wilson() {
        let (low, high) = wilson(6, 1000);
        assert!((low - 0.00275).abs() < 5e-5 && (high - 0.01303).abs() < 5e-5, "{low} {high}");
        assert!(wilson(0, 100).0 < 1e-12 && wilson(100, 100).1 <= 1.0);
    }

    #[test]
    fn a_missed_fault_is_an_endless_delay() {
        let outcomes = vec![Outcome::After(7.0), Outcome::Never, Outcome::After(3.0), Outcome::False];
        assert_eq!(Tally { outcomes, ..Tally::default() }.delay(), (Some(7.0), 1.0 / 3.0));
        assert_eq!(Tally { outcomes: vec![Outcome::Never; 3], ..Tally::default() }.delay(), (None, 1.0));
    }
}
