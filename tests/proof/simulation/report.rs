//! Many runs, added up.

use super::ledger::Violation;
use super::run::Ended;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub seeds: u64,
    pub steps: u64,
    pub rollouts: u64,
    pub writes: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub faults: BTreeMap<String, u64>,
    pub covered: HashSet<u64>,
    /// By seed.
    pub violations: BTreeMap<u64, Vec<Violation>>,
}

impl Report {
    /// Adds one run.
    pub fn add(&mut self, ended: Ended) {
        self.seeds += 1;
        self.steps += ended.steps;
        self.rollouts += ended.rollouts;
        self.writes += ended.writes;
        self.covered.extend(ended.covered);
        add(&mut self.outcomes, ended.outcomes);
        add(&mut self.faults, ended.faults);
        if !ended.violations.is_empty() {
            self.violations.insert(ended.seed, ended.violations);
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.rollouts += other.rollouts;
        self.writes += other.writes;
        self.covered.extend(other.covered);
        add(&mut self.outcomes, other.outcomes);
        add(&mut self.faults, other.faults);
        self.violations.extend(other.violations);
    }
}

fn add(into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (name, n) in from {
        *into.entry(name).or_default() += n;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seeds      {:>12}", self.seeds)?;
        writeln!(f, "rollouts   {:>12}", self.rollouts)?;
        writeln!(f, "steps      {:>12}", self.steps)?;
        writeln!(f, "writes     {:>12}", self.writes)?;
        writeln!(f, "states     {:>12}", self.covered.len())?;
        writeln!(f, "outcomes")?;
        self.outcomes.iter().try_for_each(|(name, n)| writeln!(f, "  {name:<28} {n:>10}"))?;
        writeln!(f, "faults")?;
        self.faults.iter().try_for_each(|(name, n)| writeln!(f, "  {name:<28} {n:>10}"))?;
        writeln!(f, "violations {:>12}", self.violations.len())?;
        for (seed, violations) in self.violations.iter().take(20) {
            for violation in violations.iter().take(2) {
                writeln!(f, "  seed {seed}: {violation}")?;
            }
        }
        Ok(())
    }
}
