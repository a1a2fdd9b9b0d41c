//! Prints what a judge was worth: counts, delays, and by name every mistake.

use super::score::{Outcome, Verdict};
use std::collections::BTreeMap;
use std::io::{Result, Write};

/// Writes the report; `within` are numbers of ticks to tell the share for.
pub fn report(outcomes: &[Outcome], within: &[u64], out: &mut impl Write) -> Result<()> {
    let (bad, healthy): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(|o| o.entry.label.bad);
    let of = |set: &[&Outcome], verdict| set.iter().filter(|o| o.said.verdict == verdict).count();
    for (name, set) in [("healthy", &healthy), ("bad", &bad)] {
        let [pass, fail, inconclusive, error] =
            [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Error].map(|v| of(set, v));
        let all = set.len();
        writeln!(out, "{name}: {all}: fail {fail}, pass {pass}, inconclusive {inconclusive}, error {error}")?;
    }
    writeln!(out, "false reverts {}", share(of(&healthy, Verdict::Fail), healthy.len()))?;
    line("found", &bad, within, out)?;
    let mut faults: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in &bad {
        faults.entry(&outcome.entry.label.fault).or_default().push(outcome);
    }
    for (fault, set) in &faults {
        line(&format!("  {fault}"), set, within, out)?;
    }
    for outcome in outcomes.iter().filter(|o| o.entry.label.bad != (o.said.verdict == Verdict::Fail)) {
        let label = &outcome.entry.label;
        let kind = if label.bad { "missed" } else { "false" };
        let after = outcome.after.map_or_else(String::new, |ticks| format!(" after {ticks} ticks"));
        writeln!(out, "{kind}: {} ({}): {:?}{after}", label.name, label.fault, outcome.said.verdict)?;
    }
    Ok(())
}

fn line(name: &str, set: &[&Outcome], within: &[u64], out: &mut impl Write) -> Result<()> {
    let found: Vec<&&Outcome> = set.iter().filter(|o| o.said.verdict == Verdict::Fail).collect();
    let mut delays: Vec<u64> = found.iter().filter_map(|o| o.after).collect();
    delays.sort_unstable();
    let median = delays.get(delays.len() / 2).map_or_else(|| "-".to_owned(), u64::to_string);
    write!(out, "{name} {}, median {median} ticks", share(found.len(), set.len()))?;
    for ticks in within {
        let soon = delays.iter().filter(|delay| *delay <= ticks).count();
        write!(out, "; within {ticks}: {}", share(soon, set.len()))?;
    }
    writeln!(out)
}

fn share(part: usize, all: usize) -> String {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let percent = if all == 0 { 0.0 } else { 100.0 * number(part) / number(all) };
    format!("{part}/{all} ({percent:.1} %)")
}
