//! The random parts of the generator: drifting noise, counts, and the shape of a request's time.

use rand::Rng;
use rand_distr::{Binomial, Distribution, Exp1, Gamma, Poisson, StandardNormal};
use std::sync::LazyLock;

/// First-order autoregression with mean 0: slow wandering of a cell around its own level.
#[derive(Clone, Debug)]
pub struct Ar1 {
    state: f64,
    keeps: f64,
    innovation: f64,
}

impl Ar1 {
    /// `keeps`: correlation from one tick to the next; `sd`: of the value itself, not of its innovations.
    /// Starts in its stationary distribution.
    pub fn new(rng: &mut impl Rng, keeps: f64, sd: f64) -> Self {
        Self { state: sd * normal(rng), keeps, innovation: sd * (1.0 - keeps * keeps).sqrt() }
    }

    /// The next value.
    pub fn step(&mut self, rng: &mut impl Rng) -> f64 {
        self.state = self.keeps * self.state + self.innovation * normal(rng);
        self.state
    }
}

/// A standard normal draw.
pub fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// How many requests arrive where `mean` are expected.
pub fn poisson(rng: &mut impl Rng, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |d: Poisson<f64>| d.sample(rng) as u64)
}

/// How many of `n` are hit, each with probability `p`.
pub fn binomial(rng: &mut impl Rng, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0, |d| d.sample(rng))
}

/// An exponential draw with this rate.
fn exponential(rng: &mut impl Rng, rate: f64) -> f64 {
    let draw: f64 = Exp1.sample(rng);
    draw / rate
}

/// A gamma draw of this shape with scale 1; 0 for a shape that is not positive.
pub fn gamma(rng: &mut impl Rng, shape: f64) -> f64 {
    Gamma::new(shape, 1.0).map_or(0.0, |d| d.sample(rng))
}

/// P(Z > z) for a standard normal Z, to 1.2e-7 of its value (Press et al., Numerical Recipes, `erfcc`).
pub fn normal_tail(z: f64) -> f64 {
    const C: [f64; 9] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let series = C.iter().fold(0.0, |sum, c| sum * t + c);
    let upper = 0.5 * t * (t * series - x * x - 1.265_512_23).exp();
    if z >= 0.0 { upper } else { 1.0 - upper }
}

/// Log standard deviation of an ordinary request's time around the median.
const BODY_SD: f64 = 0.4;
/// Share of requests that are slow for reasons of their own: a collection, a retry, a cold cache.
pub const TAIL_SHARE: f64 = 0.02;
/// A slow request takes at least so many times the median …
const TAIL_FROM: f64 = 2.0;
/// … and is Pareto from there: finite variance, infinite third moment.
const TAIL_INDEX: f64 = 2.5;

/// The time of one request relative to the cell's median: a log-normal body and a Pareto tail.
#[derive(Debug)]
pub struct RequestTime {
    tail_share: f64,
    /// Natural logarithm of the quantile, by the quantile's log odds, from `-ODDS` in steps of `STEP`.
    log_quantiles: Vec<f64>,
}

/// The table of quantiles goes from `-ODDS` to `ODDS`: to 1 in 1.2 million.
const ODDS: f64 = 14.0;
const STEP: f64 = 0.05;

impl RequestTime {
    /// With this share of slow requests.
    pub fn new(tail_share: f64) -> Self {
        let mut made = Self { tail_share, log_quantiles: Vec::new() };
        let steps = (2.0 * ODDS / STEP) as usize;
        made.log_quantiles = (0..=steps)
            .map(|step| {
                let odds = step as f64 * STEP - ODDS;
                made.solve(1.0 / (1.0 + odds.exp()))
            })
            .collect();
        made
    }

    /// The ordinary shape, made once.
    pub fn ordinary() -> &'static Self {
        static ORDINARY: LazyLock<RequestTime> = LazyLock::new(|| RequestTime::new(TAIL_SHARE));
        &ORDINARY
    }

    /// The share of requests that take longer than `x` medians.
    pub fn share_above(&self, x: f64) -> f64 {
        let tail = if x <= TAIL_FROM { 1.0 } else { (x / TAIL_FROM).powf(-TAIL_INDEX) };
        (1.0 - self.tail_share) * normal_tail(x.ln() / BODY_SD) + self.tail_share * tail
    }

    /// The logarithm of the time that this share of requests exceeds, by bisection.
    fn solve(&self, above: f64) -> f64 {
        let (mut low, mut high) = (-10.0_f64, 20.0_f64);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.share_above(middle.exp()) > above { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// The quantile whose log odds `ln(p / (1 - p))` are given, in medians; the table's ends stand for all beyond them.
    pub fn quantile(&self, log_odds: f64) -> f64 {
        let place = ((log_odds + ODDS) / STEP).clamp(0.0, 2.0 * ODDS / STEP);
        let index = place as usize;
        let at = |i: usize| self.log_quantiles.get(i).or(self.log_quantiles.last()).copied().unwrap_or(0.0);
        let part = place - index as f64;
        ((1.0 - part) * at(index) + part * at(index + 1)).exp()
    }

    /// The median and the 99th percentile of `n` requests, in medians of the shape; `n` is at least 1.
    ///
    /// Exact: the order statistics of uniform draws are ratios of gamma draws (Devroye 1986, V.3).
    pub fn sample_p50_p99(&self, rng: &mut impl Rng, n: u64) -> (f64, f64) {
        let (k50, k99) = (n.div_ceil(2), (99 * n).div_ceil(100));
        let below = gamma(rng, k50 as f64);
        let between = gamma(rng, (k99 - k50) as f64);
        let above = gamma(rng, (n + 1 - k99) as f64);
        let p50 = (below / (between + above)).ln();
        let p99 = ((below + between) / above).ln();
        (self.quantile(p50), self.quantile(p99))
    }

    /// The mean of `n` requests, in medians of the shape; `n` is at least 1. The body's mean is drawn from its normal
    /// limit, the slow requests one by one: it is they that make an average jump.
    pub fn sample_mean(&self, rng: &mut impl Rng, n: u64) -> f64 {
        let slow = binomial(rng, n, self.tail_share);
        let ordinary = (n - slow) as f64;
        let variance = BODY_SD * BODY_SD;
        let mean = (0.5 * variance).exp();
        let sd = mean * (variance.exp() - 1.0).sqrt();
        let body = (ordinary * mean + ordinary.sqrt() * sd * normal(rng)).max(0.0);
        // A Pareto draw is the exponential of an exponential draw.
        let tail: f64 = (0..slow).map(|_| TAIL_FROM * exponential(rng, TAIL_INDEX).exp()).sum();
        (body + tail) / n as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    #[test]
    fn the_normal_tail_is_right() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.158_655_25), (-1.0, 0.841_344_75), (3.0, 0.001_349_898)] {
            assert!((normal_tail(z) / p - 1.0).abs() < 1e-6, "{z}");
        }
    }

    #[test]
    fn quantiles_and_shares_agree() {
        let shape = RequestTime::ordinary();
        for p in [0.05_f64, 0.5, 0.9, 0.99, 0.999] {
            let x = shape.quantile((p / (1.0 - p)).ln());
            assert!((shape.share_above(x) / (1.0 - p) - 1.0).abs() < 2e-3, "{p} {x}");
        }
    }

    #[test]
    fn noise_has_the_spread_that_was_asked_for() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let mut noise = Ar1::new(rng, 0.95, 0.3);
        let values: Vec<f64> = (0..200_000).map(|_| noise.step(rng)).collect();
        let sd = (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt();
        assert!((sd - 0.3).abs() < 0.01, "{sd}");
    }
}
