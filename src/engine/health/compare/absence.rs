//! One tick of silence: the share of treated cells that have no point, as an e-value.
//!
//! `e = 1 + λ · (Y − p0) / p0`, with `Y` the share that is silent and `p0` the greater of what their history would have and of the
//! others' silence now: a loss of telemetry that strikes everybody cancels, and a cell that was always sparse gives no evidence.

use super::counts::CAP;

/// How much is bet; a mixture, because the best bet depends on how many fall silent.
pub const BETS: [f64; 3] = [0.3, 0.6, 0.9];
/// History is short: a cell that never was silent may still miss one point in fifty.
const LEAST_SILENCE: f64 = 0.02;
/// Room above the history's own share.
const ROOM: f64 = 1.5;

/// What is silent in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Silence {
    /// Treated cells, and those of them without a point.
    pub treated: (u32, u32),
    /// The others likewise.
    pub control: (u32, u32),
    /// The treated cells' silence in history, summed over the cells: a share each.
    pub usual: f64,
}

impl Silence {
    /// Adds a cell.
    pub fn add(&mut self, treated: bool, silent: bool, usual: f64) {
        let (all, of) = if treated { &mut self.treated } else { &mut self.control };
        *all += 1;
        *of += u32::from(silent);
        if treated {
            self.usual += usual;
        }
    }

    /// Natural logarithms of the e-values, one for each bet; none where one group is empty.
    pub fn ln_e(&self) -> Option<Vec<f64>> {
        let (Some(now), Some(others)) = (share(self.treated), share(self.control)) else { return None };
        let usual = self.usual / f64::from(self.treated.0.max(1));
        let p0 = (ROOM * usual.max(LEAST_SILENCE)).max(others).min(1.0);
        Some(BETS.iter().map(|bet| (1.0 + bet * (now - p0) / p0).clamp(f64::MIN_POSITIVE, CAP).ln()).collect())
    }
}

fn share((all, silent): (u32, u32)) -> Option<f64> {
    (all > 0).then(|| f64::from(silent) / f64::from(all))
}
