//! Limits that even the smallest change through this pipeline would pass. A guardrail that is only watched may be as tight as it likes.

use super::{Together, place, waves};
use crate::model::document::fields::Faults;
use crate::model::ids::StackKey;
use crate::model::pipeline::Cell;
use crate::model::pipeline::build::Built;
use crate::model::pipeline::check::SUM_TOLERANCE;
use crate::model::safeguards::{AtOnce, FailureDomain, Reach};
use std::collections::{BTreeMap, BTreeSet};

const SECTION: [&str; 2] = ["guardrails", "blast_radius"];

/// Notes every fault.
pub fn check(built: &Built<'_>, faults: &Faults) {
    let guardrail = built.pipeline.safeguards.guardrails.blast_radius.as_ref();
    let Some(rule) = guardrail.filter(|guardrail| !guardrail.dry_run).map(|guardrail| &guardrail.rule) else { return };
    let window = rule.window.as_ref();
    let reaches = [
        (Some(&rule.rollout), ["rollout", ""]),
        (window.map(|window| &window.agent), ["window", "agent"]),
        (window.map(|window| &window.pipeline), ["window", "pipeline"]),
        (window.map(|window| &window.fleet), ["window", "fleet"]),
    ];
    for (reach, keys) in reaches {
        let keys: Vec<&str> = SECTION.into_iter().chain(keys).filter(|key| !key.is_empty()).collect();
        reach.into_iter().for_each(|reach| check_reach(built, reach, &keys, faults));
    }
    if built.waves_whole {
        check_waves(built, &rule.at_once, faults);
    }
}

/// A change of one stack goes to every cell that has it: waves take all cells.
fn check_reach(built: &Built<'_>, reach: &Reach, keys: &[&str], faults: &Faults) {
    let cells = &built.pipeline.cells;
    let mut stacks: BTreeMap<&StackKey, (usize, f64)> = BTreeMap::new();
    for cell in cells {
        for key in cell.stacks.keys() {
            let reached = stacks.entry(key).or_default();
            *reached = (reached.0 + 1, reached.1 + cell.traffic_share);
        }
    }
    let at = |limit: &str| place(built.root, &[keys, &[limit]].concat());
    let fewest = stacks.iter().map(|(key, (targets, _))| (*targets, *key)).min();
    if let Some((limit, (fewest, key))) = reach.max_targets.zip(fewest)
        && beyond(fewest, limit.is)
    {
        let message =
            format!("no change can pass: one of `{key}` alone reaches {fewest} targets, and {} are the most", limit.is);
        faults.at(&at("max_targets"), message, format!("write `max_targets: {fewest}` or more"));
    }
    let least = stacks.iter().map(|(key, (_, share))| (rounded(*share), *key)).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((limit, (least, key))) = reach.max_percent_of_traffic.zip(least)
        && least > limit.is + SUM_TOLERANCE
    {
        let message = format!(
            "no change can pass: one of `{key}` alone reaches cells of {least}% of customers, and {}% are the most",
            limit.is
        );
        let fix = match least > 100.0 {
            true => "remove it: the shares of all environments are added up".to_owned(),
            false => format!("write `max_percent_of_traffic: {least}` or more; `at_once` limits what is in motion"),
        };
        faults.at(&at("max_percent_of_traffic"), message, fix);
    }
}

/// A wave that is larger than what may be in motion at once would wait for itself. By stack: a change may be of one stack alone, and
/// what some change can pass is no fault.
fn check_waves(built: &Built<'_>, at_once: &AtOnce, faults: &Faults) {
    let waves = waves(built);
    let keys: BTreeSet<&StackKey> = built.pipeline.cells.iter().flat_map(|cell| cell.stacks.keys()).collect();
    let stacks: Vec<Vec<Together<'_>>> = keys.into_iter().map(|key| having(&waves, key)).collect();
    let at = |limit: &str| place(built.root, &[&SECTION[..], &["at_once", limit]].concat());
    if let Some(max) = at_once.max_failure_domains
        && let Some((wave, cells)) =
            in_every(&stacks, &|cells| beyond(domains(at_once.failure_domain, cells).len(), max.is))
    {
        let domains: Vec<&str> = domains(at_once.failure_domain, cells).into_iter().collect();
        let (count, listed) = (domains.len(), domains.join(", "));
        let message = format!(
            "wave `{}` can never pass: it is in {count} failure domains at once ({listed}), and {} are the most",
            wave.name, max.is
        );
        let fix = format!("write `max_failure_domains: {count}` or more, or make it a wave for each");
        faults.at(&at("max_failure_domains"), message, fix);
    }
    if let Some(least) = at_once.min_capacity_percent
        && let Some((wave, cells)) = in_every(&stacks, &|cells| left(cells) < least.is - SUM_TOLERANCE)
    {
        let (taken, left) = (rounded(100.0 - left(cells)), rounded(left(cells)));
        let message = format!(
            "wave `{}` can never pass: its cells serve {taken}% of customers, and {left}% would be left where {}% must be",
            wave.name, least.is
        );
        let fix = format!("write `min_capacity_percent: {left}` or less, or make smaller waves");
        faults.at(&at("min_capacity_percent"), message, fix);
    }
}

fn having<'a>(waves: &[Together<'a>], key: &StackKey) -> Vec<Together<'a>> {
    let cells = |cells: &Vec<&'a Cell>| cells.iter().copied().filter(|cell| cell.stacks.contains_key(key)).collect();
    waves.iter().map(|(wave, all)| (*wave, cells(all))).collect()
}

/// The first wave that is too large, where there is one for every stack.
fn in_every<'s, 'a>(stacks: &'s [Vec<Together<'a>>], too_large: &dyn Fn(&[&Cell]) -> bool) -> Option<&'s Together<'a>> {
    let mut found = stacks.iter().map(|waves| waves.iter().find(|(_, cells)| too_large(cells)));
    let first = found.next()??;
    found.all(|wave| wave.is_some()).then_some(first)
}

fn beyond(count: usize, max: u32) -> bool {
    u32::try_from(count).map_or(true, |count| count > max)
}

fn domains<'a>(kind: FailureDomain, cells: &[&'a Cell]) -> BTreeSet<&'a str> {
    let name = |cell: &&'a Cell| match kind {
        FailureDomain::Region => cell.region.as_str(),
        FailureDomain::Account => cell.account.as_str(),
        FailureDomain::Cell => cell.name.as_str(),
    };
    cells.iter().map(name).collect()
}

/// Percent of customers that these cells do not serve.
fn left(cells: &[&Cell]) -> f64 {
    (100.0 - cells.iter().map(|cell| cell.traffic_share).sum::<f64>()).max(0.0)
}

/// For people: sums of shares have digits that nobody wrote.
fn rounded(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}
