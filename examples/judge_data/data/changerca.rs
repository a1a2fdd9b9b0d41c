//! ChangeRCA's staged pod releases (`IntelligentDDS/ChangeRCA`, FSE'24) as recordings.
//!
//! A cell is a *place* in the service: a pod that is kept, or the pod that was taken away and then the pod that came in
//! its stead. So a treated cell has a history although its new pod has none: its predecessor's, under the same load. Where a release
//! names no predecessor, or where `History::Pooled` is asked for, the old pods stand in for it in turn, minute by minute: one pod's
//! noise, not an average's. Minute 0 is the minute in which the first wave was live: the treated cells run the new version from
//! there on. Minutes are whole ones; the last one of the bake, which was cut short, is left out.

use super::label::{Label, Labelled};
use super::pods::{Part, Pod, Point, gather};
use super::table::{Row, read};
use crate::recording::Recording;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Whose past a treated cell has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// The pod's that was taken away.
    #[default]
    Place,
    /// That of all old pods in turn.
    Pooled,
}

/// What is read of a minute.
type Get = fn(&Point) -> Option<f64>;
/// Names of the series, and where they come from. `failure` is 100 − `success`.
const SERIES: [(&str, Get); 5] = [
    ("success", |p| p.success),
    ("failure", |p| p.success.map(|s| 100.0 - s)),
    ("latency", |p| p.latency),
    ("cpu", |p| p.cpu),
    ("mem", |p| p.mem),
];

/// Reads `changerca_labels.csv` and `changerca_rollouts.csv.gz` from a folder: a recording for each release.
pub fn load(folder: &Path, history: History) -> Result<Vec<Labelled>> {
    let mut rows: BTreeMap<(String, String), Vec<Row>> = BTreeMap::new();
    for row in read(&folder.join("changerca_rollouts.csv.gz"))? {
        let key = (row.text("case")?.to_owned(), row.text("svc")?.to_owned());
        rows.entry(key).or_default().push(row);
    }
    let labels = read(&folder.join("changerca_labels.csv"))?;
    labels.iter().map(|label| release(label, &rows, history)).collect()
}

fn release(label: &Row, rows: &BTreeMap<(String, String), Vec<Row>>, history: History) -> Result<Labelled> {
    let (case, service) = (label.text("case")?.to_owned(), label.text("svc")?.to_owned());
    let key = (case.clone(), service.clone());
    let rows = rows.get(&key).with_context(|| format!("{case} {service}: no row"))?;
    let whole = label.text("bake_min")?.split('.').next().unwrap_or_default();
    let bake: i32 = whole.parse().with_context(|| format!("{case} {service}: `bake_min` is no number"))?;
    let recording = recording(&gather(&service, rows.iter())?, bake, history);
    let name = format!("{case}_{service}");
    let fault = label.text("fault")?.to_owned();
    let bad = label.text("bad")? == "1";
    Ok(Labelled { recording, label: Label { name, case, service, bad, fault } })
}

fn recording(pods: &[Pod], bake: i32, history: History) -> Recording {
    let of = |part: Part| pods.iter().filter(move |p| p.part == part);
    let first = pods.iter().filter_map(|p| p.minutes.keys().next()).min().copied().unwrap_or(0).min(0);
    let (past, ticks) = (count(-first), count(bake - first));
    let old: Vec<&Pod> = pods.iter().filter(|p| p.part != Part::New).collect();
    let (mut cells, mut minutes, mut applied) = (Vec::new(), Vec::new(), Vec::new());
    for pod in of(Part::Kept) {
        cells.push(pod.name.clone());
        minutes.push((first..bake).map(|m| pod.minutes.get(&m).copied()).collect::<Vec<_>>());
        applied.push(None);
    }
    let (taken, new): (Vec<_>, Vec<_>) = (of(Part::Taken).collect(), of(Part::New).collect());
    for place in 0..taken.len().max(new.len()) {
        let (before, after) = (taken.get(place), new.get(place));
        cells.push(before.or(after).map(|p| p.name.clone()).unwrap_or_default());
        let before = before.filter(|_| history == History::Place);
        let at = |m: i32| match (m < 0, before) {
            (true, Some(pod)) => pod.minutes.get(&m).copied(),
            (true, None) => in_turn(&old, m),
            (false, _) => after.and_then(|p| p.minutes.get(&m).copied()),
        };
        minutes.push((first..bake).map(at).collect());
        applied.push(Some(past));
    }
    let values = SERIES.iter().map(|(_, get)| minutes.iter().map(|cell| column(cell, *get)).collect()).collect();
    let series = SERIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    Recording { cells, series, period_s: 60, history: past, ticks, values, applied, waves: vec![(past, ticks)] }
}

/// The minute of one of the pods that reported then; another one in the next minute.
fn in_turn(old: &[&Pod], minute: i32) -> Option<Point> {
    let there: Vec<Point> = old.iter().filter_map(|p| p.minutes.get(&minute).copied()).collect();
    let turn = count(-minute).checked_rem(there.len())?;
    there.get(turn).copied()
}

fn column(minutes: &[Option<Point>], get: Get) -> Vec<Option<f64>> {
    minutes.iter().map(|minute| minute.as_ref().and_then(get)).collect()
}

fn count(minutes: i32) -> usize {
    usize::try_from(minutes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, part: Part, minutes: std::ops::Range<i32>, success: f64) -> Pod {
        let point = Point { success: Some(success), ..Point::default() };
        Pod { name: name.to_owned(), part, minutes: minutes.map(|m| (m, point)).collect() }
    }

    fn success(recording: &Recording, cell: usize) -> Vec<Option<f64>> {
        recording.values[0][cell].clone()
    }

    #[test]
    fn a_new_pod_has_the_past_of_the_one_that_was_taken_away() {
        let kept = pod("kept", Part::Kept, -2..2, 100.0);
        let taken = pod("taken", Part::Taken, -2..-1, 99.0);
        let made = recording(&[kept, taken, pod("new", Part::New, 1..2, 50.0)], 2, History::Place);
        assert_eq!((made.history, made.ticks, made.waves.clone()), (2, 4, vec![(2, 4)]));
        assert_eq!(made.cells, ["kept", "taken"]);
        assert_eq!(made.applied, [None, Some(2)]);
        assert_eq!(success(&made, 0), [Some(100.0); 4]);
        assert_eq!(success(&made, 1), [Some(99.0), None, None, Some(50.0)]);
    }

    #[test]
    fn a_pooled_past_is_one_old_pod_at_a_time() {
        let pods = [pod("a", Part::Kept, -3..1, 100.0), pod("b", Part::Taken, -3..0, 90.0)];
        let made = recording(&pods, 1, History::Pooled);
        assert_eq!(success(&made, 1), [Some(90.0), Some(100.0), Some(90.0), None]);
    }
}
