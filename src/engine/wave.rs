//! Which targets of a wave start next, and whether the wave is done.

use crate::model::ids::{CellId, Region, TargetId};
use crate::model::pipeline::RegionOrder;
use crate::model::state::{Phase, Rollout, Target};
use std::collections::BTreeSet;

/// So many targets are previewed at once: enough to keep a region's calls busy, few enough that a kill has little to clean up.
pub const PREPARE_AT_ONCE: usize = 64;

/// Where a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveStanding {
    /// Targets are still on their way.
    Going,
    /// All are settled, within the tolerance.
    Settled,
    /// More have failed than the wave bears, and none is in flight any more.
    Failed {
        /// How many.
        failed: u32,
        /// How many it bears.
        tolerance: u32,
    },
}

/// Where a wave stands.
pub fn standing(rollout: &Rollout, wave: usize) -> WaveStanding {
    let tolerance = rollout.plan.waves.get(wave).map_or(0, |w| w.failure_tolerance);
    let failed = failed(rollout, wave);
    let in_flight = rollout.wave_states(wave).any(is_in_flight);
    match (failed > tolerance, rollout.wave_states(wave).all(Target::is_settled)) {
        (true, _) if !in_flight => WaveStanding::Failed { failed, tolerance },
        (true, _) => WaveStanding::Going,
        (false, true) => WaveStanding::Settled,
        (false, false) => WaveStanding::Going,
    }
}

fn failed(rollout: &Rollout, wave: usize) -> u32 {
    u32::try_from(rollout.wave_states(wave).filter(|t| t.failed).count()).unwrap_or(u32::MAX)
}

fn is_in_flight(target: &Target) -> bool {
    matches!(target.phase, Phase::Intended(_) | Phase::Running(_) | Phase::Ended { .. })
}

/// At the provider: what `max_concurrent` counts. A target whose operation has ended only waits for its proof.
fn is_at_provider(target: &Target) -> bool {
    matches!(target.phase, Phase::Intended(_) | Phase::Running(_))
}

/// The targets of the wave that may be executed now, those in flight included.
pub fn next_targets(rollout: &Rollout, wave: usize) -> BTreeSet<TargetId> {
    let Some(planned) = rollout.plan.waves.get(wave) else { return BTreeSet::new() };
    let mut next: BTreeSet<TargetId> = BTreeSet::new();
    if failed(rollout, wave) > planned.failure_tolerance {
        return next;
    }
    let busy = rollout.wave_states(wave).filter(|t| is_at_provider(t)).count();
    let mut free = usize::try_from(planned.max_concurrent).unwrap_or(usize::MAX).saturating_sub(busy);
    let region = open_region(rollout, wave);
    let mut held_cells: BTreeSet<&CellId> = BTreeSet::new();
    for id in &planned.targets {
        let (Some(target), Some(place)) = (rollout.targets.get(id), rollout.plan.targets.get(id)) else { continue };
        if target.is_settled() {
            // A stack that could not be changed keeps the later ones of its cell back.
            if target.failed {
                held_cells.insert(&place.cell);
            }
            continue;
        }
        let first_of_cell = held_cells.insert(&place.cell);
        if free == 0 || !first_of_cell || is_in_flight(target) || region.is_some_and(|r| *r != place.scope.region) {
            continue;
        }
        // Only what is ready takes a slot: a slow preview must not keep others waiting.
        if matches!(target.phase, Phase::Ready { .. }) {
            free -= 1;
            next.insert(id.clone());
        }
    }
    next
}

/// With sequential regions, the one whose targets may start: the first in which not all are settled.
fn open_region(rollout: &Rollout, wave: usize) -> Option<&Region> {
    let planned = rollout.plan.waves.get(wave)?;
    if planned.regions == RegionOrder::Parallel {
        return None;
    }
    let open = planned.targets.iter().find(|id| rollout.targets.get(*id).is_some_and(|t| !t.is_settled()))?;
    rollout.plan.targets.get(open).map(|t| &t.scope.region)
}

/// A stack of a cell held back for good by a failed one never settles by itself: it counts as left out.
pub fn is_left_out(rollout: &Rollout, id: &TargetId) -> bool {
    // The first stack of a cell has none before it; most changes have no other.
    let Some(place) = rollout.plan.targets.get(id).filter(|place| place.order > 0) else { return false };
    rollout.plan.targets.iter().any(|(other, o)| {
        o.cell == place.cell
            && o.order < place.order
            && rollout.targets.get(other).is_some_and(|t| t.failed && t.is_settled())
    })
}
