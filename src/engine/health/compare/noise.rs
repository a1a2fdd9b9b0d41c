//! How much more the cells differ from each other than chance alone would have it, learnt by placebo: each cell of the history is held
//! against all the others, as if it had been changed.

use super::counts::Groups;

/// One cell's history of a count: bad events and what its own rate would have, tick by tick; none where there is no point.
pub type Counted = Vec<Option<(f64, f64)>>;
/// The residuals that are left out: histories hold incidents, and an incident is not noise.
const LEFT_OUT: f64 = 0.03;
/// Blocks for noise that stays: what it does within one tick averages out, what it does within half an hour does not.
const BLOCKS: [usize; 2] = [10, 30];
/// Fewer blocks than this in a history say nothing about its blocks.
const LEAST_BLOCKS: usize = 3;

/// Standard deviations of a chi-squared sum beyond its mean that are no accident.
const CLEARLY: f64 = 2.5;
/// Fewer untouched cells than this cannot say how unequal cells are.
const LEAST_CELLS: f64 = 3.0;

/// The variance of the logarithm of a cell's rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overdispersion {
    /// From tick to tick.
    pub tick: f64,
    /// Of what stays.
    pub lasting: f64,
}

impl Overdispersion {
    /// Learns both from all cells' histories of one metric, which are as long as each other.
    pub fn learn(cells: &[Counted]) -> Self {
        let ticks = cells.iter().map(Vec::len).max().unwrap_or(0);
        let usable = BLOCKS.iter().copied().filter(|block| ticks / block >= LEAST_BLOCKS);
        let blocks: Vec<usize> = usable.collect();
        let blocks = if blocks.is_empty() { vec![(ticks / 4).max(1)] } else { blocks };
        let lasting = blocks.iter().map(|block| of_blocks(cells, *block)).fold(0.0, f64::max);
        Self { tick: of_blocks(cells, 1), lasting }
    }
}

/// The variance by which the untouched cells differ from each other right now, from `(bad, expected)` of each; 0 where they do not
/// differ by clearly more than `usual` explains. A shock that strikes everybody strikes cells unequally: how unequally shows in the
/// cells that nobody had changed.
pub fn now(controls: &[(f64, f64)], usual: f64) -> f64 {
    let bad: f64 = controls.iter().map(|(bad, _)| bad).sum();
    let expected: f64 = controls.iter().map(|(_, expected)| expected).sum();
    let squares: f64 = controls.iter().map(|(_, expected)| expected * expected).sum();
    let (mut odd, mut beyond, mut weight, mut cells) = (0.0, 0.0, 0.0, 0.0_f64);
    for (of_cell, expects) in controls.iter().filter(|(_, expects)| *expects > 0.0 && *expects < expected) {
        let groups = one_against_others((*of_cell, *expects), bad, expected, squares);
        if let Some((_, more, unit)) = residual(&groups) {
            let share = groups.share(1.0);
            let chance = groups.all_bad * share * (1.0 - share);
            odd += (more + chance) / (chance + usual * unit);
            beyond += more;
            weight += unit;
            cells += 1.0;
        }
    }
    let clearly = cells + CLEARLY * (2.0 * cells).sqrt();
    if cells >= LEAST_CELLS && odd > clearly && weight > 0.0 { (beyond / weight).max(0.0) } else { 0.0 }
}

/// Method of moments over blocks of so many ticks.
fn of_blocks(cells: &[Counted], block: usize) -> f64 {
    let ticks = cells.iter().map(Vec::len).max().unwrap_or(0);
    let mut residuals: Vec<(f64, f64, f64)> = Vec::new();
    for start in (0..ticks.saturating_sub(block - 1)).step_by(block) {
        let sums: Vec<(f64, f64)> = cells.iter().map(|cell| sum(cell, start, block)).collect();
        let bad: f64 = sums.iter().map(|(bad, _)| bad).sum();
        let expected: f64 = sums.iter().map(|(_, expected)| expected).sum();
        let squares: f64 = sums.iter().map(|(_, expected)| expected * expected).sum();
        for (of_cell, expects) in sums.iter().filter(|(_, expects)| *expects > 0.0 && *expects < expected) {
            residuals.extend(residual(&one_against_others((*of_cell, *expects), bad, expected, squares)));
        }
    }
    residuals.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let kept = ((residuals.len() as f64) * (1.0 - LEFT_OUT)).ceil() as usize;
    let (beyond, weight) =
        residuals.iter().take(kept).fold((0.0, 0.0), |(beyond, weight), (_, more, of)| (beyond + more, weight + of));
    if weight > 0.0 { (beyond / weight).max(0.0) } else { 0.0 }
}

fn one_against_others((of_cell, expects): (f64, f64), bad: f64, expected: f64, squares: f64) -> Groups {
    let others = expected - expects;
    Groups {
        treated_bad: of_cell,
        all_bad: bad,
        treated_expected: expects,
        control_expected: others,
        spread: 1.0 + (squares - expects * expects) / (others * others),
    }
}

/// How far out, how much beyond chance, and in which unit; none where there was nothing to count.
fn residual(groups: &Groups) -> Option<(f64, f64, f64)> {
    let share = groups.share(1.0);
    let by_chance = groups.all_bad * share * (1.0 - share);
    let off = (groups.treated_bad - groups.all_bad * share).powi(2);
    let unit = groups.all_bad * (groups.all_bad - 1.0) * (share * (1.0 - share)).powi(2) * groups.spread;
    (by_chance > 0.0).then(|| (off / by_chance, off - by_chance, unit.max(0.0)))
}

fn sum(cell: &Counted, start: usize, block: usize) -> (f64, f64) {
    let points = cell.iter().skip(start).take(block).flatten();
    points.fold((0.0, 0.0), |(bad, expected), (b, e)| (bad + b, expected + e))
}
