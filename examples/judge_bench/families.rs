//! The judges of the bench: each with the settings that it comes with, and with a grid of settings to choose from.

use crate::judge::Judge;
use crate::ours::Ours;
use crate::peers::{Argo, Compared, Cusum, Flagger, Kayenta, KayentaInputs, Level, Looks, MOfN};
use wavegate::model::pipeline::Worse;

/// One judge with all its settings.
pub struct Family {
    /// From the most sensitive setting to the least: where one never reverts, none of those after it does.
    pub settings: Vec<Setting>,
}

/// A judge with one setting.
pub struct Setting {
    /// What is asked.
    pub judge: Box<dyn Judge>,
    /// Is it in the table of judges as they come?
    pub shown: bool,
}

/// Multiples of a cell's history, or of its controls.
const LEVELS: [f64; 17] =
    [1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0, 100.0];
/// Kayenta's `allowedIncrease`.
const INCREASES: [f64; 11] = [1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 10.0];
const CUSUM_HEIGHTS: [f64; 10] = [5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 80.0, 120.0, 200.0];
/// Allowed probability of ever reverting a healthy rollout.
const ALPHAS: [f64; 8] = [0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

impl Family {
    fn over<J: Judge + 'static>(grid: &[f64], shown: &[f64], make: impl Fn(f64) -> J) -> Self {
        let setting = |level: &f64| Setting { judge: Box::new(make(*level)), shown: shown.contains(level) };
        Self { settings: grid.iter().map(setting).collect() }
    }
}

/// All judges, Wavegate's first.
pub fn all() -> Vec<Family> {
    let m_of_n = |to_level: fn(f64) -> Level, shown: &[f64]| {
        Family::over(&LEVELS, shown, move |level| MOfN { m: 3, n: 5, level: to_level(level) })
    };
    let argo = |compared, errors_abort, to_level: fn(f64) -> Level, shown: &[f64]| {
        Family::over(&LEVELS, shown, move |l| Argo { failure_limit: 3, compared, level: to_level(l), errors_abort })
    };
    let flagger = |to_level: fn(f64) -> Level, shown: &[f64]| {
        Family::over(&LEVELS, shown, move |level| Flagger { threshold: 5, level: to_level(level) })
    };
    let kayenta = |inputs, looks, to_level: fn(f64) -> Level, shown: &[f64]| {
        Family::over(&INCREASES, shown, move |increase| Kayenta { inputs, allowed_increase: to_level(increase), looks })
    };
    let did = KayentaInputs::DifferenceInDifferences;
    vec![
        Family::over(&ALPHAS, &[0.01, 0.05], wavegate),
        Family::over(&CUSUM_HEIGHTS, &[10.0], |h| Cusum { k: 1.0, h }),
        m_of_n(Level::same, &[3.0, 5.0]),
        argo(Compared::History, false, Level::same, &[3.0, 5.0]),
        argo(Compared::Controls, false, Level::same, &[3.0]),
        argo(Compared::History, true, Level::same, &[5.0]),
        flagger(Level::same, &[5.0]),
        kayenta(KayentaInputs::Raw, Looks::EndOfBake, Level::same, &[1.0, 1.25]),
        kayenta(did, Looks::EndOfBake, Level::same, &[1.0, 1.25, 1.5]),
        kayenta(did, Looks::Every(300), Level::same, &[1.0, 1.25]),
        // One level for errors and latencies alike does not do these justice: in the second table they have a level for each.
        m_of_n(Level::by_metric, &[]),
        argo(Compared::Controls, true, Level::by_metric, &[]),
        flagger(Level::by_metric, &[]),
        kayenta(did, Looks::EndOfBake, Level::by_metric, &[]),
        kayenta(did, Looks::Every(300), Level::by_metric, &[]),
    ]
}

/// Wavegate's comparison, on counts alone.
fn wavegate(alpha: f64) -> Ours {
    let metrics = ["errors", "slow90", "slow99"].map(|name| (name.to_owned(), Worse::Higher)).to_vec();
    Ours { metrics, settle: 3, alpha, margin: 0.1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::{Class, Fault, rollout};

    #[test]
    fn no_judge_looks_ahead() {
        for (seed, fault) in (0..).zip([Fault::None, Fault::Errors(5.0), Fault::Latency(1.5), Fault::Silent]) {
            let recording = rollout(Class::Minute1000, fault, false, seed);
            for setting in all().iter().flat_map(|family| &family.settings).filter(|setting| setting.shown) {
                let Some(tick) = setting.judge.reverts_at(&recording) else { continue };
                let mut cut = recording.clone();
                cut.values.iter_mut().flatten().for_each(|cell| cell[tick + 1..].fill(None));
                assert_eq!(setting.judge.reverts_at(&cut), Some(tick), "{} on {fault:?}", setting.judge.name());
            }
        }
    }

    #[test]
    fn settings_go_from_sensitive_to_calm() {
        for seed in 0..5 {
            let recording = rollout(Class::Minute100, Fault::Errors(5.0), false, seed);
            for family in all() {
                let reverts: Vec<bool> =
                    family.settings.iter().map(|s| s.judge.reverts_at(&recording).is_some()).collect();
                assert!(reverts.is_sorted_by(|a, b| a >= b), "{} {reverts:?}", family.settings[0].judge.name());
            }
        }
    }
}
