//! Evidence since an unknown beginning: a mixture over every tick at which the fault may have begun.
//!
//! `R(t) = e(t) · (R(t−1) + γ(t))` and `E(t) = Σ w · R(t) + (1 − Σ γ)`, with `γ` the prior probability that the fault begins at tick
//! `t`. It is the Shiryaev–Roberts recursion with a proper prior, and therefore a true e-process (cf. Shin, Ramdas, Rinaldo,
//! "E-detectors", arXiv 2203.03532). Without it, a healthy first half-hour would have to be won back before a leak shows.

use crate::model::comparison::{Horizon, Onset};

/// Half of the belief is on the starts of waves (a change breaks at once), nearly half anywhere in the plan (a leak) …
const AT_WAVE_STARTS: f64 = 0.5;
const ANYWHERE: f64 = 0.4;
/// … and the rest on ticks after it: a bake may be extended.
const AFTER_PLAN: f64 = 0.1;

impl Horizon {
    /// The prior of tick `n` (from 0), where a wave starts to count at it or not.
    pub fn prior(&self, n: u32, wave_starts: bool) -> f64 {
        let start = if wave_starts { AT_WAVE_STARTS / f64::from(self.waves.max(1)) } else { 0.0 };
        let ticks = self.ticks.max(1);
        let here = if n < ticks {
            ANYWHERE / f64::from(ticks)
        } else {
            let k = f64::from(n - ticks + 1);
            AFTER_PLAN / (k * (k + 1.0))
        };
        start + here
    }
}

impl Onset {
    /// Takes in one tick: a prior, and the logarithm of the e-value of each alternative.
    pub fn step(&mut self, prior: f64, ln_e: &[f64]) {
        let prior = prior.min((1.0 - self.used).max(0.0));
        self.used += prior;
        self.ln_r.resize(ln_e.len(), f64::NEG_INFINITY);
        for (r, e) in self.ln_r.iter_mut().zip(ln_e) {
            // Underflow would make the value useless in a record; e^-700 is as good as nothing.
            *r = (ln_sum([*r, prior.ln()]) + e).max(-700.0);
        }
    }

    /// Natural logarithm of `E`, with the alternatives' weights.
    pub fn ln_e(&self, weights: impl Iterator<Item = f64>) -> f64 {
        let rest = (1.0 - self.used).max(0.0).ln();
        let parts = self.ln_r.iter().zip(weights).map(|(r, w)| r + w.ln());
        ln_sum(parts.chain([rest]))
    }
}

/// Natural logarithm of the sum of what these are the logarithms of.
pub fn ln_sum(of: impl IntoIterator<Item = f64>) -> f64 {
    let of: Vec<f64> = of.into_iter().collect();
    let most = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + of.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}
