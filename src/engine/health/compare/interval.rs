//! How many times their usual rate the treated cells have, with bounds that hold at every look: for people. Nothing is decided by it.
//!
//! A ratio is inside as long as the mixture over all ratios has not gained `1 / level` over it (a confidence sequence by the method of
//! mixtures: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics
//! 2021). Noise that stays is added to both ends.

use super::counts::Groups;
use super::onset::ln_sum;
use crate::model::comparison::{Interval, Likelihoods};

/// From 1/8 to 32, six steps a doubling.
const STEPS: usize = 48;
const LEAST: f64 = 1.0 / 8.0;
const A_STEP: f64 = 1.0 / 6.0;
/// Ratios outside the interval were this unlikely.
const LEVEL: f64 = 0.01;

fn ratio(step: usize) -> f64 {
    LEAST * (step as f64 * A_STEP).exp2()
}

impl Likelihoods {
    /// Takes in one tick; `tick_noise` is the variance of the logarithm of a cell's rate from tick to tick.
    pub fn step(&mut self, groups: &Groups, tick_noise: f64) {
        self.0.resize(STEPS + 1, 0.0);
        let more = |step: usize| {
            let ratio = ratio(step);
            groups.ln_likelihood(ratio, groups.rho(groups.share(ratio), tick_noise))
        };
        let sums: Vec<f64> = self.0.iter().enumerate().map(|(step, ln)| f64::from(*ln) + more(step)).collect();
        // Only differences matter: the greatest stays at 0, where single precision is finest.
        let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.0 = sums.iter().map(|ln| (ln - most) as f32).collect();
    }

    /// The interval now; `lasting` is the standard deviation of noise that stays. None before the first tick.
    pub fn interval(&self, lasting: f64) -> Option<Interval> {
        let all: Vec<f64> = self.0.iter().map(|ln| f64::from(*ln)).collect();
        let best = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let likeliest = all.iter().position(|ln| *ln >= best)?;
        let mixture = ln_sum(all.iter().copied()) - (all.len() as f64).ln();
        let inside = |ln: &f64| mixture - ln < -LEVEL.ln();
        let (first, last) = (all.iter().position(inside)?, all.iter().rposition(inside)?);
        let room = lasting.exp();
        Some(Interval { low: ratio(first) / room, likeliest: ratio(likeliest), high: ratio(last) * room })
    }

    /// Forgets: another wave counts from here.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
