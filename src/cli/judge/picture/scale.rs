//! From values and times to places on the picture, and the round numbers that axes are labelled with.

use jiff::Timestamp;

/// A straight line from values to places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The values at both ends …
    pub from: (f64, f64),
    /// … and their places.
    pub to: (f64, f64),
}

impl Scale {
    /// The place of a value; what is beyond an end is put at it.
    pub fn at(&self, value: f64) -> f64 {
        let ((low, high), (start, end)) = (self.from, self.to);
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        start + share * (end - start)
    }

    /// The place of a time, where the values are seconds since the epoch.
    pub fn time(&self, at: Timestamp) -> f64 {
        self.at(seconds(at))
    }
}

/// Seconds since the epoch.
pub fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

/// Round numbers between two values, about `wanted` of them.
pub fn round_numbers(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    let rough = (high - low) / wanted;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(rough);
    every(step, low, high)
}

/// Whole minutes, hours or days between two times, about `wanted` of them, in seconds since the epoch.
pub fn round_times(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    const STEPS: [f64; 13] =
        [60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0];
    let rough = (high - low) / wanted;
    every(STEPS.into_iter().find(|step| *step >= rough).unwrap_or(rough), low, high)
}

fn every(step: f64, low: f64, high: f64) -> Vec<f64> {
    let first = (low / step).ceil();
    // About ten; far more would be a defect, and no picture.
    let numbers = (0..100_u32).map(|n| (first + f64::from(n)) * step);
    numbers.take_while(|n| *n <= high + step * 1e-9).collect()
}

/// A number of an axis: as many digits as its neighbours need.
pub fn label(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let trimmed = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match value.abs() {
        v if !(1e-4..1e7).contains(&v) => format!("{value:.1e}"),
        v if v >= 1.0 => trimmed(format!("{value:.2}")),
        _ => trimmed(format!("{value:.5}")),
    }
}

/// `12:30`, in UTC.
pub fn clock(seconds: f64) -> String {
    time(seconds, "%H:%M")
}

/// `2026-03-01`, in UTC.
pub fn day(seconds: f64) -> String {
    time(seconds, "%Y-%m-%d")
}

fn time(seconds: f64, format: &str) -> String {
    // Times of a recording lie within the calendar; `as` keeps what does not at its end.
    Timestamp::from_second(seconds as i64).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}
