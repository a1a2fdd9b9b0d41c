//! The comparison for people: what was seen in which cell, what was to be expected, how sure that is, how far it is from a revert, and
//! what could be seen at all.

use crate::engine::health::compare::power;
use crate::engine::health::cost;
use crate::model::comparison::{Baseline, CellLook, Compared, Interval, MetricBaseline, MetricState};
use crate::model::plan::Plan;
use crate::model::time::Millis;
use serde::{Deserialize, Serialize};

use super::words::number;

/// The evidence so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonView {
    /// How many times likelier than chance allows: a revert is due at `needed`.
    pub evidence: f64,
    /// 1 / alpha.
    pub needed: f64,
    /// By metric.
    pub metrics: Vec<SignalView>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalView {
    /// Its name.
    pub metric: String,
    /// In words.
    pub text: String,
    /// Bad events of the treated cells since the newest wave counts, and how many were to be expected; none without counts.
    pub counts: Option<(f64, f64)>,
    /// The ratio of both, at 99 %, valid at every look.
    pub interval: Option<Interval>,
    /// This metric's own evidence.
    pub evidence: f64,
    /// How much of what is needed a change by the ratio `detect` would have added by now, 0 to 1.
    pub seen: f64,
    /// The ratio that must have been visible before the gate passes.
    pub detect: f64,
    /// Untouched cells in the newest tick.
    pub untouched: u32,
    /// Treated cells that stand out most.
    pub stand_out: Vec<CellLook>,
}

/// The newest evidence of a rollout.
pub fn view(baseline: &Baseline, compared: &Compared) -> ComparisonView {
    let metrics = baseline.metrics.iter().zip(&compared.metrics).map(|(metric, state)| signal(baseline, metric, state));
    ComparisonView { evidence: compared.ln_e.exp(), needed: 1.0 / baseline.alpha, metrics: metrics.collect() }
}

fn signal(baseline: &Baseline, metric: &MetricBaseline, state: &MetricState) -> SignalView {
    let interval = state.interval();
    let needed = crate::engine::health::compare::process::needed(baseline, metric);
    let seen = (state.could_have / needed).clamp(0.0, 1.0);
    let counts = (metric.counts.is_some() && state.wave.is_some()).then_some((state.observed, state.expected));
    let mut text = match counts {
        _ if state.wave.is_none() => "nothing to compare yet".to_owned(),
        _ if state.controls == 0 => "no untouched cell is left to compare with".to_owned(),
        Some((observed, expected)) => format!(
            "{} bad where {} were to be expected by history and {} untouched cells",
            number(observed.round()),
            number(expected.round()),
            state.controls
        ),
        None => format!("ranked among {} untouched cells and its history", state.controls),
    };
    if let Some(Interval { low, high, .. }) = interval.filter(|_| state.controls > 0) {
        text.push_str(&format!(", {low:.2}× to {high:.2}×"));
    }
    let evidence = state.ln_e(metric).exp();
    text.push_str(&format!("; evidence {} of {}", number(evidence), number(1.0 / baseline.alpha)));
    if state.controls > 0 && seen < 1.0 {
        text.push_str(&format!("; ×{} could not be seen yet ({:.0} %)", metric.detect, seen * 100.0));
    }
    SignalView {
        metric: metric.name.clone(),
        text,
        counts,
        interval,
        evidence,
        seen,
        detect: metric.detect,
        untouched: state.controls,
        stand_out: state.worst.clone(),
    }
}

/// What `plan` says of a gate: what each wave's bake can see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastView {
    /// One line for each wave and metric; none where nothing is compared.
    pub lines: Vec<String>,
    /// What watching it costs, in a sentence.
    pub watching: String,
}

/// Forecasts every wave at the fleet's usual traffic.
pub fn forecast(plan: &Plan, baseline: Option<&Baseline>) -> ForecastView {
    ForecastView {
        lines: baseline.map(|baseline| sights(plan, baseline)).unwrap_or_default(),
        watching: watching(plan),
    }
}

fn watching(plan: &Plan) -> String {
    let cost::Watching { looks, total, usd, .. } = cost::estimate(plan);
    let more = if total.open_ended { ", and more for what its searches go through" } else { "" };
    let promql = match total.prometheus {
        0 => String::new(),
        n => format!(", and {n} queries of Prometheus"),
    };
    format!(
        "{looks} looks in the planned bakes ask CloudWatch for {} metrics in {} requests{promql}: about {usd:.2} USD{more}",
        total.metrics, total.metric_calls
    )
}

fn sights(plan: &Plan, baseline: &Baseline) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        let cells = treated_and_untouched(plan, baseline, index);
        let named = format!("wave {} ({})", index + 1, wave.name);
        for metric in &baseline.metrics {
            match power::forecast(baseline, metric, &cells) {
                Some(forecast) => lines.push(format!("{named}: {}", sentence(plan, metric, &forecast, wave.max_bake))),
                None => {
                    lines.push(format!(
                        "{named}: leaves no untouched cell of its environment to compare with: thresholds and alarms alone judge it"
                    ));
                    break;
                }
            }
        }
    }
    lines
}

/// By cell of the baseline: treated, untouched, or of another environment.
fn treated_and_untouched(plan: &Plan, baseline: &Baseline, wave: usize) -> Vec<Option<bool>> {
    let environment = environment_of(plan, wave);
    let of = |id: &crate::model::ids::CellId| {
        let cell = plan.cells.get(id).filter(|cell| Some(cell.environment.as_str()) == environment)?;
        let first = plan.targets.values().filter(|target| target.cell == cell.name).map(|target| target.wave).min()?;
        Some(first <= wave)
    };
    baseline.cells.iter().map(of).collect()
}

fn environment_of(plan: &Plan, wave: usize) -> Option<&str> {
    plan.targets.values().find(|target| target.wave == wave).map(|target| target.environment.as_str())
}

/// As "errors ×2 in 14m, ×1.5 not within 1h 30m".
fn sentence(plan: &Plan, metric: &MetricBaseline, forecast: &power::Forecast, max_bake: Millis) -> String {
    let overhead = plan.health.settle.duration() + plan.health.lag();
    let mut parts: Vec<String> = Vec::new();
    for (ratio, ticks) in &forecast.ticks {
        let seconds = ticks.map(|ticks| ticks * f64::from(metric.period_s) + overhead.as_secs_f64());
        match seconds.filter(|s| *s <= max_bake.duration().as_secs_f64()) {
            Some(seconds) => {
                parts.push(format!("×{ratio} in {:.0} min", (seconds / 60.0).ceil()));
            }
            None => parts.push(format!("×{ratio} not within {max_bake}")),
        }
    }
    let in_time =
        |ticks: f64| ticks * f64::from(metric.period_s) + overhead.as_secs_f64() <= max_bake.duration().as_secs_f64();
    let asked = forecast.ticks.iter().find(|(ratio, _)| ratio.total_cmp(&metric.detect).is_eq());
    let blind = !asked.is_some_and(|(_, ticks)| ticks.is_some_and(in_time));
    let warning = match blind {
        true => format!("; its gate asks for ×{} and would never pass: bake longer, or raise `detect`", metric.detect),
        false => String::new(),
    };
    format!("{} {}{warning}", metric.name, parts.join(", "))
}
