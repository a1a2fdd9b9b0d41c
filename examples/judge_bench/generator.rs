//! Synthetic staged rollouts: 12 cells, waves of 1, 2 and 4 of them, with everything that makes judging hard, and one known fault.
//!
//! Twelve cells serve 240 minutes before the first wave, and 30 minutes in each of three bakes. Traffic is diurnal, each cell a
//! little earlier or later than the others; each cell has its own level of errors and of latency, and wanders around it; errors
//! come in bursts; a third of the runs has a shock that hits all cells alike; half of the runs warm up after each deploy.

use crate::noise::{Ar1, RequestTime, TAIL_SHARE, binomial, gamma, normal, poisson};
use crate::recording::Recording;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::f64::consts::TAU;

/// Cells of the fleet.
pub const CELLS: usize = 12;
/// Minutes before the first wave.
pub const HISTORY: usize = 240;
/// Minutes that each wave bakes.
pub const BAKE: usize = 30;
/// Cells by wave.
pub const WAVES: [usize; 3] = [1, 2, 4];
/// All minutes of a recording.
pub const TICKS: usize = HISTORY + BAKE * WAVES.len();
/// A late fault shows itself so many minutes after the first wave was live.
pub const LATE: usize = 20;

/// How much traffic there is, and how calm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 1,000 requests a minute and cell.
    Minute1000,
    /// The same, and each cell wanders further and more slowly.
    Hard,
    /// 100 requests a minute and cell.
    Minute100,
    /// 10 requests a minute and cell.
    Minute10,
}

impl Class {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Minute1000, Self::Hard, Self::Minute100, Self::Minute10];

    /// As in the tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute1000 => "1000/min",
            Self::Hard => "hard",
            Self::Minute100 => "100/min",
            Self::Minute10 => "10/min",
        }
    }

    /// Requests a minute and cell, averaged over a day.
    const fn traffic(self) -> f64 {
        match self {
            Self::Minute1000 | Self::Hard => 1000.0,
            Self::Minute100 => 100.0,
            Self::Minute10 => 10.0,
        }
    }

    /// How a cell wanders: correlation from minute to minute, standard deviation of the logarithm of its error rate, of its
    /// latency. These are the spreads of the noise itself; its innovations are smaller.
    const fn wander(self) -> (f64, f64, f64) {
        match self {
            Self::Hard => (0.95, 0.3, 0.08),
            Self::Minute1000 | Self::Minute100 | Self::Minute10 => (0.8, 0.15, 0.04),
        }
    }
}

/// What the new version does to the cells that run it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// So many times the errors.
    Errors(f64),
    /// Every request takes so many times as long.
    Latency(f64),
    /// So many times as many requests fall into the slow tail.
    Tail(f64),
    /// They report nothing any more.
    Silent,
}

impl Fault {
    /// As in the tables.
    pub fn name(self) -> String {
        match self {
            Self::None => "healthy".to_owned(),
            Self::Errors(factor) => format!("err x{factor}"),
            Self::Latency(factor) => format!("lat +{:.0} %", (factor - 1.0) * 100.0),
            Self::Tail(factor) => format!("tail x{factor}"),
            Self::Silent => "silent".to_owned(),
        }
    }
}

/// Log standard deviation between runs of the base error rate, whose median is [`BASE_ERRORS`].
const BASE_ERRORS_SD: f64 = 0.4;
const BASE_ERRORS: f64 = 0.005;
/// Between the cells of a fleet: of the error rate, of the latency.
const CELL_ERRORS_SD: f64 = 0.3;
const CELL_LATENCY_SD: f64 = 0.15;
/// Shape of the gamma factor on every cell's error rate in every minute: a coefficient of variation of 0.32.
const BURSTS: f64 = 10.0;
/// A day's traffic goes up and down by this share, and cells are up to so many minutes apart in it.
const DIURNAL: f64 = 0.5;
const PHASE_MINUTES: f64 = 60.0;
/// Points that are lost.
const MISSING: f64 = 0.01;

/// What all cells of one run share.
struct Weather {
    base_errors: f64,
    base_latency_ms: f64,
    phase: f64,
    warm_up: bool,
    shock: Option<Shock>,
}

/// A disturbance that no change of the rollout caused: it hits every cell alike.
struct Shock {
    ticks: std::ops::Range<usize>,
    errors: f64,
    latency: f64,
}

impl Weather {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            base_errors: BASE_ERRORS * (BASE_ERRORS_SD * normal(rng)).exp(),
            base_latency_ms: 80.0 * (0.5 * normal(rng)).exp(),
            phase: rng.random_range(0.0..TAU),
            warm_up: rng.random_bool(0.5),
            shock: rng.random_bool(0.35).then(|| Shock::draw(rng)),
        }
    }

    /// What the weather multiplies errors and latency with.
    fn factors(&self, tick: usize) -> (f64, f64) {
        self.shock.as_ref().filter(|shock| shock.ticks.contains(&tick)).map_or((1.0, 1.0), |s| (s.errors, s.latency))
    }
}

impl Shock {
    /// 5 to 20 minutes during the rollout; errors x2 to x6, latency x1.2 to x2, or both.
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let minutes = rng.random_range(5..=20);
        let start = rng.random_range(HISTORY..=TICKS - minutes);
        let errors = rng.random_range(2.0_f64.ln()..6.0_f64.ln()).exp();
        let latency = rng.random_range(1.2..2.0);
        let (errors, latency) = match rng.random_range(0..3) {
            0 => (errors, 1.0),
            1 => (1.0, latency),
            _ => (errors, latency),
        };
        Self { ticks: start..start + minutes, errors, latency }
    }
}

/// One cell's expected course, before requests are drawn; without what the new version does.
struct Course {
    /// By tick: requests expected, error rate, median time in ms.
    traffic: Vec<f64>,
    errors: Vec<f64>,
    latency: Vec<f64>,
}

impl Course {
    fn draw(class: Class, weather: &Weather, rng: &mut ChaCha8Rng) -> Self {
        let (keeps, errors_sd, latency_sd) = class.wander();
        let own_phase = rng.random_range(-PHASE_MINUTES..PHASE_MINUTES) * TAU / 1440.0;
        let own_errors = weather.base_errors * (CELL_ERRORS_SD * normal(rng)).exp();
        let own_latency = weather.base_latency_ms * (CELL_LATENCY_SD * normal(rng)).exp();
        let mut errors = Ar1::new(rng, keeps, errors_sd);
        let mut latency = Ar1::new(rng, keeps, latency_sd);
        let traffic = |tick: usize| {
            class.traffic() * (1.0 + DIURNAL * (weather.phase + own_phase + tick as f64 * TAU / 1440.0).sin())
        };
        Self {
            traffic: (0..TICKS).map(traffic).collect(),
            errors: (0..TICKS)
                .map(|tick| own_errors * weather.factors(tick).0 * errors.step(rng).exp() * gamma(rng, BURSTS) / BURSTS)
                .collect(),
            latency: (0..TICKS).map(|tick| own_latency * weather.factors(tick).1 * latency.step(rng).exp()).collect(),
        }
    }
}

/// The time in ms that this share of the fleet's requests exceeded in the history: what an engineer would read off a
/// dashboard and write down before the rollout. Every twentieth minute is enough for it.
fn threshold(courses: &[Course], above: f64) -> f64 {
    let points = || courses.iter().flat_map(|c| c.traffic.iter().zip(&c.latency).take(HISTORY).step_by(20));
    let traffic: f64 = points().map(|(n, _)| n).sum();
    let (mut low, mut high) = (0.0_f64, 10.0_f64);
    for _ in 0..20 {
        let middle = 0.5 * (low + high);
        let slow: f64 = points().map(|(n, ms)| n * RequestTime::ordinary().share_above(middle.exp() / ms)).sum();
        if slow > above * traffic { low = middle } else { high = middle }
    }
    high.exp()
}

/// What one cell's new version does at one tick.
struct Effect {
    errors: f64,
    latency: f64,
    tail: f64,
    silent: bool,
}

impl Effect {
    fn of(fault: Fault, warm_up: bool, applied: Option<usize>, onset: usize, tick: usize) -> Self {
        let mut effect = Self { errors: 1.0, latency: 1.0, tail: 1.0, silent: false };
        let Some(age) = applied.and_then(|applied| tick.checked_sub(applied)) else { return effect };
        if warm_up {
            // A twentieth is left after three minutes, when judges start to look.
            let cold = (-(age as f64)).exp();
            effect.errors += 2.0 * cold;
            effect.latency += 0.5 * cold;
        }
        if tick < onset {
            return effect;
        }
        match fault {
            Fault::None => {}
            Fault::Errors(factor) => effect.errors *= factor,
            Fault::Latency(factor) => effect.latency *= factor,
            Fault::Tail(factor) => effect.tail = factor,
            Fault::Silent => effect.silent = true,
        }
        effect
    }
}

/// The series of a generated recording, in their order. Latencies are in ms.
pub const SERIES: [&str; 9] =
    ["errors.bad", "errors.total", "slow90.bad", "slow90.total", "slow99.bad", "slow99.total", "p50", "p99", "mean"];

/// One minute of one cell, in the order of [`SERIES`].
type Point = [Option<f64>; SERIES.len()];

/// Draws the requests of one minute.
fn point(
    course: &Course,
    tick: usize,
    effect: &Effect,
    shape: &RequestTime,
    slow: (f64, f64),
    rng: &mut ChaCha8Rng,
) -> Point {
    let at = |values: &[f64]| values.get(tick).copied().unwrap_or_default();
    if effect.silent || rng.random_bool(MISSING) {
        return [None; SERIES.len()];
    }
    let n = poisson(rng, at(&course.traffic));
    let bad = binomial(rng, n, (at(&course.errors) * effect.errors).min(0.95));
    let median = at(&course.latency) * effect.latency;
    let (share90, share99) = (shape.share_above(slow.0 / median), shape.share_above(slow.1 / median));
    let slow90 = binomial(rng, n, share90);
    // Whoever is above the higher threshold is above the lower one as well.
    let slow99 = binomial(rng, slow90, share99 / share90);
    let [n_, bad, slow90, slow99] = [n, bad, slow90, slow99].map(|count| Some(count as f64));
    let (p50, p99, mean) = if n == 0 {
        (None, None, None)
    } else {
        let (p50, p99) = shape.sample_p50_p99(rng, n);
        (Some(p50 * median), Some(p99 * median), Some(shape.sample_mean(rng, n) * median))
    };
    [bad, n_, slow90, n_, slow99, n_, p50, p99, mean]
}

/// One rollout. The same arguments give the same recording; the same class and seed give the same cells, weather and
/// thresholds under every fault.
///
/// `late`: the fault shows itself only [`LATE`] minutes after the first wave was live.
pub fn rollout(class: Class, fault: Fault, late: bool, seed: u64) -> Recording {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(class as u64);
    let weather = Weather::draw(&mut rng);
    let courses: Vec<Course> = (0..CELLS).map(|_| Course::draw(class, &weather, &mut rng)).collect();
    let slow = (threshold(&courses, 0.1), threshold(&courses, 0.01));
    let applied = applications(&mut rng);
    let onset = HISTORY + if late { LATE } else { 0 };

    let heavy = match fault {
        Fault::Tail(factor) => Some(RequestTime::new((TAIL_SHARE * factor).min(1.0))),
        _ => None,
    };
    let mut values = vec![vec![Vec::new(); CELLS]; SERIES.len()];
    for (cell, (course, applied)) in courses.iter().zip(&applied).enumerate() {
        for tick in 0..TICKS {
            let effect = Effect::of(fault, weather.warm_up, *applied, onset, tick);
            let shape = heavy.as_ref().filter(|_| effect.tail > 1.0).unwrap_or(RequestTime::ordinary());
            let drawn = point(course, tick, &effect, shape, slow, &mut rng);
            for (series, value) in values.iter_mut().zip(drawn) {
                if let Some(cell) = series.get_mut(cell) {
                    cell.push(value);
                }
            }
        }
    }
    Recording {
        cells: (0..CELLS).map(|cell| format!("cell-{cell:02}")).collect(),
        series: SERIES.map(str::to_owned).to_vec(),
        period_s: 60,
        history: HISTORY,
        ticks: TICKS,
        values,
        applied,
        waves: (0..WAVES.len()).map(|wave| (HISTORY + wave * BAKE, HISTORY + (wave + 1) * BAKE)).collect(),
        onset: (fault != Fault::None).then_some(onset),
    }
}

/// Which cell takes the new version when: by cell.
fn applications(rng: &mut ChaCha8Rng) -> Vec<Option<usize>> {
    let mut order: Vec<Option<usize>> = WAVES
        .iter()
        .enumerate()
        .flat_map(|(wave, cells)| std::iter::repeat_n(Some(HISTORY + wave * BAKE), *cells))
        .chain(std::iter::repeat(None))
        .take(CELLS)
        .collect();
    order.shuffle(rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sum of a series over the cells that are treated by the end (or are not) and these ticks.
    fn sum(r: &Recording, series: usize, treated: bool, ticks: std::ops::Range<usize>) -> f64 {
        let cells = r.values[series].iter().zip(&r.applied).filter(|(_, applied)| applied.is_some() == treated);
        cells.flat_map(|(cell, _)| cell[ticks.clone()].iter().flatten()).sum()
    }

    /// Rate of `bad` in the last bake's second half by its rate in the history: treated cells, and controls.
    fn change(class: Class, fault: Fault, bad: usize) -> (f64, f64) {
        let (mut counts, late) = ([[0.0; 4]; 2], TICKS - 15..TICKS);
        for seed in 0..200 {
            let r = rollout(class, fault, false, seed);
            for (count, treated) in counts.iter_mut().zip([true, false]) {
                count[0] += sum(&r, bad, treated, late.clone());
                count[1] += sum(&r, bad + 1, treated, late.clone());
                count[2] += sum(&r, bad, treated, 0..HISTORY);
                count[3] += sum(&r, bad + 1, treated, 0..HISTORY);
            }
        }
        let [treated, control] = counts.map(|c| (c[0] / c[1]) / (c[2] / c[3]));
        (treated, control)
    }

    #[test]
    fn a_recording_has_its_shape() {
        let r = rollout(Class::Minute100, Fault::Errors(2.0), true, 7);
        assert_eq!((r.series.len(), r.cells.len(), r.history, r.ticks), (9, 12, 240, 330));
        assert!(r.values.iter().all(|s| s.len() == CELLS && s.iter().all(|c| c.len() == TICKS)));
        assert_eq!(r.waves, [(240, 270), (270, 300), (300, 330)]);
        let by_wave = |tick| r.applied.iter().filter(|a| **a == Some(tick)).count();
        assert_eq!([by_wave(240), by_wave(270), by_wave(300)], WAVES);
        assert_eq!(r.onset, Some(260));
        let again = rollout(Class::Minute100, Fault::Errors(2.0), true, 7);
        assert_eq!(r.values, again.values);
        let healthy = rollout(Class::Minute100, Fault::None, false, 7);
        assert_eq!((healthy.applied, healthy.onset), (r.applied, None));
    }

    #[test]
    fn thresholds_are_the_history_s_percentiles() {
        for class in Class::ALL {
            let mut found = [0.0; 3];
            for seed in 0..100 {
                let r = rollout(class, Fault::None, false, seed);
                for (found, series) in found.iter_mut().zip([0, 2, 4]) {
                    *found += sum(&r, series, true, 0..HISTORY) / sum(&r, series + 1, true, 0..HISTORY) / 100.0;
                }
            }
            println!("{}: errors {:.5}, slow90 {:.4}, slow99 {:.5}", class.name(), found[0], found[1], found[2]);
            assert!((found[1] - 0.1).abs() < 0.012 && (found[2] - 0.01).abs() < 0.0015 && found[0] < 0.01, "{found:?}");
        }
    }

    #[test]
    fn faults_hit_the_treated_cells_alone() {
        let checks = [
            (Fault::None, 0, 1.0),
            (Fault::Errors(5.0), 0, 5.0),
            (Fault::Latency(1.2), 2, 1.8),
            (Fault::Latency(1.5), 2, 3.6),
            (Fault::Tail(3.0), 4, 2.5),
        ];
        for (fault, bad, expected) in checks {
            let (treated, control) = change(Class::Minute1000, fault, bad);
            println!("{}: treated {treated:.2}, controls {control:.2} of history", fault.name());
            assert!((treated / control / expected - 1.0).abs() < 0.2, "{treated} {control}");
        }
    }

    #[test]
    fn silent_cells_say_nothing_from_the_onset_on() {
        let r = rollout(Class::Minute1000, Fault::Silent, true, 3);
        for (cell, applied) in r.values[0].iter().zip(&r.applied) {
            let from = applied.map_or(TICKS, |applied| applied.max(HISTORY + LATE));
            assert!(cell[from..].iter().all(Option::is_none));
            assert!(cell[..from].iter().flatten().count() > from * 19 / 20);
        }
    }

    /// Not a check: how noisy a cell's own minutes are, to be looked at.
    #[test]
    fn prints_the_noise() {
        for class in Class::ALL {
            let r = rollout(class, Fault::None, false, 11);
            for (series, name) in r.series.iter().enumerate() {
                let cell: Vec<f64> = r.values[series][0][..HISTORY].iter().flatten().copied().collect();
                let mean = cell.iter().sum::<f64>() / cell.len() as f64;
                let sd = (cell.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / cell.len() as f64).sqrt();
                println!("{:>8} {name:>12}: mean {mean:9.2}, sd {sd:8.2}, {} points", class.name(), cell.len());
            }
        }
    }
}
