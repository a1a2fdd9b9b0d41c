//! Every write of a run, and what happens when the daemon dies there: before it, in the middle of it, after it; once, and once more
//! during the recovery.

use super::run::{Ended, Options, run};
use super::scenario::{Rates, Scenario};
use super::stage::WritePlan;
use super::storage::Fault;
use std::collections::BTreeMap;
use std::path::Path;

/// The three moments of a write.
pub const MOMENTS: [Fault; 3] = [Fault::Before, Fault::Torn, Fault::After];
/// How many writes after the first death the second one may come: within the recovery.
const AGAIN: u64 = 3;

/// The scenario of a seed with nothing else that goes wrong.
pub fn quiet(seed: u64) -> Scenario {
    let mut scenario = Scenario::of(seed);
    scenario.disturbances.clear();
    scenario.rates = Rates::default();
    // One change set has every kind of write; a second one would only make each of the many runs longer.
    scenario.proposals.truncate(1);
    (scenario.standby, scenario.kill_file) = (false, false);
    scenario
}

/// All plans of writes that go wrong in a run of so many writes: each write × each moment × once and again.
pub fn plans(writes: u64) -> impl Iterator<Item = WritePlan> {
    let once = (1..=writes).flat_map(|n| MOMENTS.map(|moment| BTreeMap::from([(n, moment)])));
    let again = (1..=writes).flat_map(|n| {
        MOMENTS.into_iter().enumerate().map(move |(index, moment)| {
            // The second death differs from the first one in moment and distance, so that all pairs occur.
            let later = n + 1 + (n + index as u64) % AGAIN;
            BTreeMap::from([(n, moment), (later, MOMENTS[(index + n as usize) % 3])])
        })
    });
    once.chain(again).map(|at| WritePlan { at })
}

/// Sweeps one seed; tells `each` of every run. Journals of runs that violate something are kept in `keep`.
pub fn sweep(seed: u64, keep: Option<&Path>, mut each: impl FnMut(&WritePlan, Ended) -> bool) {
    let scenario = quiet(seed);
    let undisturbed = run(&scenario, &Options::default());
    for plan in plans(undisturbed.writes) {
        let options = Options { writes: plan.clone(), keep: keep.map(Path::to_owned) };
        if !each(&plan, run(&scenario, &options)) {
            return;
        }
    }
}
