//! Wavegate's comparison as a judge of recordings: the engine's own, tick by tick, as the daemon steps it.

use crate::judge::Judge;
use crate::recording::Recording;
use wavegate::engine::health::compare::baseline::History;
use wavegate::engine::health::compare::process::Role;
use wavegate::engine::health::evidence::Sample;
use wavegate::model::comparison::{Baseline, Compared, Horizon, MetricBaseline, MetricState};
use wavegate::model::ids::CellId;
use wavegate::model::pipeline::Worse;

/// Its settings.
#[derive(Clone, Debug)]
pub struct Ours {
    /// Metrics that are compared: names of series, or of pairs `NAME.bad` and `NAME.total`.
    pub metrics: Vec<(String, Worse)>,
    /// Ticks after a change that are not judged.
    pub settle: usize,
    /// The chance of a revert by mistake.
    pub alpha: f64,
    /// A ratio beyond 1 that never matters.
    pub margin: f64,
}

/// What the pipeline's `detect` says by default; no decision of this bench rests on it.
const DETECT: f64 = 2.0;

impl Ours {
    /// Samples by cell and tick.
    fn samples(recording: &Recording, metric: &str) -> Vec<Vec<Sample>> {
        let find = |name: &str| recording.series.iter().position(|s| s == name).and_then(|n| recording.values.get(n));
        if let (Some(bad), Some(total)) = (find(&format!("{metric}.bad")), find(&format!("{metric}.total"))) {
            let counts = |(bad, total): (&Option<f64>, &Option<f64>)| match (bad, total) {
                (Some(bad), Some(total)) => Sample::Counts { bad: *bad, total: *total },
                _ => Sample::Missing,
            };
            return bad.iter().zip(total).map(|(bad, total)| bad.iter().zip(total).map(counts).collect()).collect();
        }
        let value = |point: &Option<f64>| point.map_or(Sample::Missing, Sample::Value);
        find(metric)
            .map(|cells| cells.iter().map(|cell| cell.iter().map(value).collect()).collect())
            .unwrap_or_default()
    }

    fn baseline(&self, recording: &Recording, samples: &[Vec<Vec<Sample>>]) -> Baseline {
        let planned: usize = recording.waves.iter().map(|(first, last)| last - first).sum();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let horizon = Horizon { waves: number(recording.waves.len()), ticks: number(planned) };
        let learn = |((name, worse), cells): (&(String, Worse), &Vec<Vec<Sample>>)| {
            let past = |cell: &Vec<Sample>| cell.iter().take(recording.history).copied().collect();
            let samples: Vec<Vec<Sample>> = cells.iter().map(past).collect();
            let least_margin = self.margin.ln_1p();
            let period_s = recording.period_s;
            let history =
                History { name, worse: *worse, least_margin, period_s, horizon, detect: DETECT, samples: &samples };
            MetricBaseline::learn(&history)
        };
        let cells = recording.cells.iter().map(|name| CellId::new(name.as_str()));
        Baseline {
            taken_at: jiff::Timestamp::UNIX_EPOCH,
            alpha: self.alpha,
            cells: cells.collect(),
            metrics: self.metrics.iter().zip(samples).map(learn).collect(),
        }
    }

    fn roles(&self, recording: &Recording, tick: usize) -> Vec<Role> {
        let wave = |at: usize| {
            let of = recording.waves.iter().position(|(first, last)| at + 1 >= *first && at < *last).unwrap_or(0);
            u32::try_from(of).unwrap_or(u32::MAX)
        };
        let role = |applied: &Option<usize>| match applied {
            Some(at) if tick >= at + self.settle => Role::Treated(wave(*at)),
            Some(at) if tick >= *at => Role::Neither,
            _ => Role::Control,
        };
        recording.applied.iter().map(role).collect()
    }
}

impl Judge for Ours {
    fn name(&self) -> String {
        format!("wavegate alpha {}", self.alpha)
    }

    fn reverts_at(&self, recording: &Recording) -> Option<usize> {
        let samples: Vec<_> = self.metrics.iter().map(|(name, _)| Self::samples(recording, name)).collect();
        let baseline = self.baseline(recording, &samples);
        let mut compared =
            Compared { metrics: vec![MetricState::default(); self.metrics.len()], ..Compared::default() };
        (recording.history..recording.ticks).find(|tick| {
            let roles = self.roles(recording, *tick);
            for ((state, metric), cells) in compared.metrics.iter_mut().zip(&baseline.metrics).zip(&samples) {
                let now: Vec<Sample> =
                    cells.iter().map(|cell| cell.get(*tick).copied().unwrap_or(Sample::Missing)).collect();
                state.step(metric, &baseline.cells, &now, &roles);
            }
            compared.ln_e_of(&baseline) >= -self.alpha.ln()
        })
    }
}
