//! Whose gate is asked: the health section of a pipeline, with what of the pipeline a replay needs, and what it leaves out.

use crate::cli::files;
use crate::engine::health::recording::Recording;
use crate::engine::health::replay::Setting;
use crate::model::document::fields::listed;
use crate::model::pipeline::read::{Gate, read_gate};
use crate::model::pipeline::{Cell, Health, Metric, MetricSource};
use crate::model::time::Millis;
use std::path::Path;

/// A bake's length where the file says none.
const BAKE: Millis = Millis::from_secs(30 * 60);

/// A pipeline's gate.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The pipeline's name.
    pub name: String,
    /// What a replay is asked.
    pub setting: Setting,
    /// The longest bake of its waves, or half an hour where it has none.
    pub bake: Millis,
    /// What is left out, for people.
    pub notes: Vec<String>,
}

impl Subject {
    /// Reads a pipeline, or a file with a health section alone.
    ///
    /// # Errors
    /// Every fault of the file, for people.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let bytes = files::read_bounded(path).map_err(|error| error.to_string())?;
        match read_gate(&shown, &bytes, &files::beside(path)).map_err(|faults| faults.to_string())? {
            Gate::Pipeline(pipeline) => {
                let need_points = pipeline.waves.iter().map(|wave| wave.bake_datapoints).collect();
                let bake = pipeline.waves.iter().map(|wave| wave.bake).max().filter(|bake| *bake > Millis(0));
                Ok(Self::of(pipeline.name, pipeline.health, need_points, pipeline.cells, bake))
            }
            Gate::Alone { name, health } => {
                let mut subject = Self::of(name, health, Vec::new(), Vec::new(), None);
                let note =
                    format!("`{shown}` has no fleet and no waves: whether its gate fits into a bake is not checked");
                subject.notes.push(note);
                Ok(subject)
            }
        }
    }

    fn of(name: String, mut health: Health, need_points: Vec<u32>, fleet: Vec<Cell>, bake: Option<Millis>) -> Self {
        let alarms = std::mem::take(&mut health.alarms);
        let names: Vec<String> = alarms.iter().map(|alarm| format!("`{}`", alarm.name)).collect();
        let note = || format!("alarms are not recorded, so these are not judged: {}", names.join(", "));
        let notes = if names.is_empty() { Vec::new() } else { vec![note()] };
        Self { name, setting: Setting { health, need_points, fleet }, bake: bake.unwrap_or(BAKE), notes }
    }

    /// Does not ask for samples where a recording says nothing of them: else its points would all be missing ones.
    pub fn suited(mut self, recording: &Recording) -> Self {
        for metric in self.setting.health.metrics.iter_mut().filter(|metric| metric.min_samples > 0) {
            if tells_no_samples(metric, recording) {
                let need = std::mem::take(&mut metric.min_samples);
                self.notes.push(format!(
                    "no point of `{}` says its `samples`: that it needs {need} is not checked",
                    metric.name
                ));
            }
        }
        self
    }

    /// What a recording leaves out, so that its verdict cannot be a pass or rests on less than it seems.
    pub fn gaps(&self, recording: &Recording) -> Vec<String> {
        let mut gaps = Vec::new();
        let has = |name: &str| recording.cells.values().any(|series| series.contains_key(name));
        for series in self.setting.health.metrics.iter().flat_map(needed) {
            if !has(&series) {
                gaps.push(format!("the recording has no point of `{series}` in any cell: no data is never health"));
            }
        }
        gaps.extend(left_out(recording));
        let silent = recording.cells.iter().filter(|(_, series)| series.is_empty());
        gaps.extend(
            silent.map(|(cell, _)| format!("cell `{cell}` was changed and has no point at all: is its name right?")),
        );
        gaps
    }
}

/// Series that the gate does not look at; one that may be a slip of the pen is told by itself.
fn left_out(recording: &Recording) -> Vec<String> {
    let meant = recording.left_out.iter().filter_map(|(name, meant)| meant.as_ref().map(|meant| (name, meant)));
    let mut notes: Vec<String> =
        meant.map(|(name, meant)| format!("the pipeline has no series `{name}`: {meant}")).collect();
    let others: Vec<&str> =
        recording.left_out.iter().filter(|(_, m)| m.is_none()).map(|(name, _)| name.as_str()).collect();
    if !others.is_empty() {
        notes.push(format!("in no metric of the pipeline, and left out: {}", listed(&others)));
    }
    notes
}

/// True where no point of a metric's own series says what it rests on. A ratio's total always does.
fn tells_no_samples(metric: &Metric, recording: &Recording) -> bool {
    let own = recording.cells.values().filter_map(|series| series.get(&metric.name));
    !matches!(metric.source, MetricSource::Ratio { .. }) && own.flat_map(|recorded| &recorded.samples).next().is_none()
}

/// The series without which a metric has no value.
fn needed(metric: &Metric) -> Vec<String> {
    match metric.source {
        MetricSource::Ratio { absent_bad_is_zero: true, .. } => vec![metric.total_series()],
        _ => metric.series(),
    }
}
