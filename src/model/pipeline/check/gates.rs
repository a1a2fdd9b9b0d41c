//! Whether each gate can decide at all within its bake.

use super::super::build::Built;
use super::super::{Health, Metric, WaveSpec};
use super::{at_key, node_has};
use crate::model::document::Node;
use crate::model::document::fields::Faults;
use crate::model::time::Millis;

/// A gate that can never decide within its wave's `max_bake` is refused.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let health = &built.pipeline.health;
    for (wave, node) in built.pipeline.waves.iter().zip(&built.waves) {
        // With a bake that is longer than `max_bake` nothing fits, and that has been said. Without a bake the newest points as of
        // now are judged: nothing has to fit into it.
        if wave.bake > wave.max_bake || (wave.bake == Millis(0) && wave.bake_datapoints == 0) {
            continue;
        }
        if built.health_whole && wave.bake > Millis(0) && health.interval > wave.bake {
            let message = format!(
                "the bake of wave `{}` ({}) ends before health is looked at twice ({})",
                wave.name, wave.bake, health.interval
            );
            faults.at(&at_key(node, "bake"), message, "bake for at least one `interval`");
        }
        let key = if node_has(node, "max_bake") { "max_bake" } else { "bake" };
        for metric in &health.metrics {
            check_gate(health, wave, metric, &at_key(node, key), faults);
        }
    }
}

/// A verdict of one metric takes the settle time, its ticks, and the lag after which the last of them closes.
fn check_gate(health: &Health, wave: &WaveSpec, metric: &Metric, place: &Node, faults: &Faults) {
    let takes = |ticks: u32| {
        let ticks = Millis((u64::from(metric.period_s) * 1000).saturating_mul(u64::from(ticks)));
        ticks.plus(health.settle).plus(Millis::of(health.lag()))
    };
    let (n, points) = (metric.evaluation_periods, wave.bake_datapoints);
    let (to_fire, to_pass) = (takes(n), takes(points));
    let lag = Millis::of(health.lag());
    if metric.fail_when.is_some() && to_fire > wave.max_bake {
        let message = format!(
            "metric `{}` needs {to_fire} to fail (settle {}, {n} periods of {}s, lag {lag}), and wave `{}` bakes {} at most",
            metric.name, health.settle, metric.period_s, wave.name, wave.max_bake
        );
        faults.at(place, message, "raise `max_bake`, or shorten the metric's `period` or `evaluation_periods`");
    }
    if points > 0 && to_pass > wave.max_bake {
        let message = format!(
            "metric `{}` needs {to_pass} for {points} points (settle {}, lag {lag}), and wave `{}` bakes {} at most",
            metric.name, health.settle, wave.name, wave.max_bake
        );
        faults.at(place, message, "raise `max_bake`, or ask for fewer `bake_datapoints`");
    }
}
