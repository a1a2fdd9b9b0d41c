//! The pods of one ChangeRCA release: what each of them reported, minute by minute.
//!
//! Rows of a pod that was taken away are read only up to minute 0: after that the data set fills them in (with the new pod's
//! values, with 100, or with noise between 80 and 90), and nobody observed them.

use super::table::Row;
use anyhow::Result;
use std::collections::BTreeMap;

/// One minute of one pod. None: no request came in, hence no point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Percent; the mean over the services that call.
    pub success: Option<f64>,
    /// Milliseconds; the mean over the services that call.
    pub latency: Option<f64>,
    /// Percent; there whenever the pod is there.
    pub cpu: Option<f64>,
    pub mem: Option<f64>,
}

/// Which part of the release a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Old, and stays.
    Kept,
    /// Old, and taken away when the first wave went live.
    Taken,
    /// New.
    New,
}

/// All that is known of one pod, by minute since the first wave was live.
#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub part: Part,
    pub minutes: BTreeMap<i32, Point>,
}

#[derive(Default)]
struct Sums {
    success: Vec<f64>,
    latency: Vec<f64>,
    cpu: Option<f64>,
    mem: Option<f64>,
}

/// Gathers one release's rows into pods, by name. An edge `a>b` counts towards success and latency where `b` is the service.
pub fn gather<'a>(service: &str, rows: impl Iterator<Item = &'a Row>) -> Result<Vec<Pod>> {
    let mut all: BTreeMap<(Part, String), BTreeMap<i32, Sums>> = BTreeMap::new();
    for row in rows {
        let part = match (row.text("grp")?, row.text("deleted")?) {
            ("v2", _) => Part::New,
            (_, "1") => Part::Taken,
            _ => Part::Kept,
        };
        let minute: i32 = row.parse("minute")?;
        let pod = all.entry((part, row.text("pod")?.to_owned())).or_default();
        if !observed(part, minute) {
            continue;
        }
        let sums = pod.entry(minute).or_default();
        sums.cpu = greater(sums.cpu, row.number("cpu")?);
        sums.mem = greater(sums.mem, row.number("mem")?);
        if row.text("edge")?.split_once('>').is_some_and(|(_, called)| called == service) {
            sums.success.extend(row.number("success")?);
            // A mean latency of nothing at all comes with minutes that were cut short, never with a measurement.
            sums.latency.extend(row.number("latency")?.filter(|ms| *ms > 0.0));
        }
    }
    let minutes = |by: BTreeMap<i32, Sums>| by.into_iter().map(|(minute, sums)| (minute, sums.point())).collect();
    Ok(all.into_iter().map(|((part, name), by)| Pod { name, part, minutes: minutes(by) }).collect())
}

fn observed(part: Part, minute: i32) -> bool {
    match part {
        Part::Kept => true,
        Part::Taken => minute < 0,
        Part::New => minute >= 0,
    }
}

impl Sums {
    fn point(self) -> Point {
        Point { success: mean(&self.success), latency: mean(&self.latency), cpu: self.cpu, mem: self.mem }
    }
}

/// The same pod's load is repeated for every edge.
fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

fn mean(values: &[f64]) -> Option<f64> {
    let count = u32::try_from(values.len()).ok().filter(|n| *n > 0)?;
    Some(values.iter().sum::<f64>() / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::parse;

    const ROWS: &str = "\
edge,pod,grp,deleted,minute,success,latency,cpu,mem
a>s,old,v1,1,-1,100,2.5,7,1
a>s,old,v1,1,0,88.1,3.5,7,1
a>s,new,v2,0,0,50,4,8,1
b>s,new,v2,0,0,100,4,8,1
s>c,new,v2,0,0,0,9,8,1
a>s,new,v2,0,1,,,0,1
a>s,new,v2,0,2,100,0,0,1";

    #[test]
    fn only_what_was_observed_of_calls_to_the_service_is_read() {
        let rows = parse(ROWS).unwrap();
        let pods = gather("s", rows.iter()).unwrap();
        let [old, new] = &pods[..] else { panic!("{pods:?}") };
        assert_eq!((old.part, new.part), (Part::Taken, Part::New));
        assert_eq!(old.minutes.keys().collect::<Vec<_>>(), [&-1]);
        let seen: Vec<_> = new.minutes.values().map(|p| (p.success, p.latency, p.cpu)).collect();
        let nothing = (None, None, Some(0.0));
        assert_eq!(seen, [(Some(75.0), Some(4.0), Some(8.0)), nothing, (Some(100.0), None, Some(0.0))]);
    }
}
