//! `plan`: what a change set would do, wave by wave. It changes no resource, and the change sets that it creates to look are removed
//! again, also when it is interrupted.

mod look;

#[cfg(test)]
mod tests;

pub use look::look;

use super::args::{Common, PlanArgs};
use super::call::{complain, runtime};
use super::draw::admission::found;
use super::draw::{Paint, is_denied, one_line, quoted, say};
use super::exit::Exit;
use super::{propose, serve};
use crate::api::view::RolloutView;
use crate::api::{service, words};
use crate::daemon::clock::Clock;
use crate::engine::planner;
use crate::model::decision::Decision;
use crate::model::plan::Plan;
use crate::model::preview::{PreviewCounts, Replacement, ResourceAction, ResourceChange};
use comfy_table::{Table, presets};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many targets of one notable change are named; the rest is counted.
const NAMED_MAX: usize = 6;

/// `wavegate plan`
pub fn run(_common: &Common, args: &PlanArgs) -> Exit {
    let plan = match make(args) {
        Ok(plan) => plan,
        Err(message) => {
            complain(&message);
            return Exit::BadUsage;
        }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let looked = runtime.block_on(async {
        let world = Arc::new(serve::world().await);
        look(world, Clock::system(), plan, interrupted()).await
    });
    match looked {
        Ok(view) => print(&view, args.json),
        Err(message) => {
            complain(&message);
            Exit::Failed
        }
    }
}

fn make(args: &PlanArgs) -> Result<Plan, String> {
    let (text, templates) = propose::gather(&args.change_set)?;
    let admitted = service::admit(&args.change_set.display().to_string(), &text, &templates)?;
    let pipeline = serve::find_pipeline(&args.pipelines, &admitted.pipeline)?;
    let now = Clock::system().now().wall;
    planner::plan(&admitted, &pipeline, serve::new_rollout_id(), true, now).map_err(|e| service::plan_errors(&e))
}

/// Ends when a person or the system says stop, or the terminal is closed.
pub(in crate::cli) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let on = |kind| signal(kind).ok();
    let signals = (on(SignalKind::interrupt()), on(SignalKind::terminate()), on(SignalKind::hangup()));
    let (Some(mut interrupt), Some(mut terminate), Some(mut hangup)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn print(view: &RolloutView, json: bool) -> Exit {
    if json {
        say::say(&serde_json::to_string(view).unwrap_or_default());
    } else {
        say::say_all(&text(view));
    }
    if view.hold.is_some() || is_denied(view) { Exit::Refused } else { Exit::Success }
}

/// The plan in lines.
pub fn text(view: &RolloutView) -> Vec<String> {
    let mut lines = vec![
        format!("{}  (by {}, pipeline {})", one_line(&view.title), one_line(&view.agent), view.pipeline),
        "why, in the agent's words:".to_owned(),
    ];
    lines.extend(quoted(&view.reasoning));
    lines.push(table(view).to_string());
    lines.extend(notable(view));
    lines.extend(totals(view));
    lines.extend(judgement(view));
    lines.extend(forecast(view));
    match &view.hold {
        Some(hold) => {
            lines.extend([format!("It would not start: {}", one_line(&hold.why)), format!("next: {}", hold.next)])
        }
        None => lines.push(format!(
            "plan {}; nothing was changed, and the change sets made to look are removed",
            view.plan.get(..12).unwrap_or_default()
        )),
    }
    lines
}

fn table(view: &RolloutView) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "wave",
        "target",
        "stack",
        "where",
        "add",
        "modify",
        "replace",
        "remove",
        "restore point",
    ]);
    for wave in &view.waves {
        let rules = format!(
            "{}\n{} at once, bake {}, bears {} failed",
            wave.name, wave.max_concurrent, wave.bake, wave.failure_tolerance
        );
        for (n, target) in wave.targets.iter().enumerate() {
            let PreviewCounts { added, modified, replaced, removed } = target.counts;
            let restore = target.restore_point.as_deref().and_then(|d| d.get(..12)).unwrap_or("none yet");
            table.add_row([
                if n == 0 { rules.clone() } else { String::new() },
                target.target.to_string(),
                target.stack.clone(),
                format!("{} {}", target.account, target.region),
                added.to_string(),
                modified.to_string(),
                replaced.to_string(),
                removed.to_string(),
                if target.state == "unchanged" { "no changes".into() } else { restore.to_owned() },
            ]);
        }
    }
    table
}

/// What the guardrails say, and what would satisfy them.
fn judgement(view: &RolloutView) -> Vec<String> {
    let Some(admission) = &view.admission else { return Vec::new() };
    let first = match (admission.decision, &admission.request) {
        (Decision::Deny, _) => "The guardrails refuse it:".to_owned(),
        (_, Some(request)) => format!("It would ask for {} first:", request.asks),
        _ => return vec!["No guardrail stands in its way, and nobody is asked.".into()],
    };
    let mut lines = vec![first, format!("  it {}", one_line(&admission.scope))];
    lines.extend(found(admission, Paint::of_stdout()));
    lines
}

/// What each wave's gate can see, and how soon; and what looking costs.
fn forecast(view: &RolloutView) -> Vec<String> {
    let Some(forecast) = &view.forecast else { return Vec::new() };
    let mut lines = Vec::new();
    if !forecast.lines.is_empty() {
        lines.push("What the gates can see at the fleet's usual traffic:".to_owned());
        lines.extend(forecast.lines.iter().map(|line| format!("  {}", one_line(line))));
    }
    lines.push(format!("Watching: {}.", one_line(&forecast.watching)));
    lines
}

/// Replaced and removed resources by name: what a person must not miss. The same change in several targets is one line.
fn notable(view: &RolloutView) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for target in view.waves.iter().flat_map(|w| &w.targets) {
        for change in &target.changes {
            if let Some(what) = danger(change) {
                let policy = change.policy_action.as_ref().map(|p| format!(", then {p}")).unwrap_or_default();
                let line = format!("{what}: {} ({}{policy})", change.logical_id, change.resource_type);
                found.entry(one_line(&line)).or_default().push(target.target.to_string());
            }
        }
    }
    let count = |n: usize| words::plural(u32::try_from(n).unwrap_or(u32::MAX), "target", "targets");
    found
        .into_iter()
        .map(|(what, at)| {
            let more = at.len().saturating_sub(NAMED_MAX);
            let named = at.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{what} in {} {}: {named}{more}", at.len(), count(at.len()))
        })
        .collect()
}

/// As [`crate::model::preview::Preview::counts`] counts: what is not known to be harmless is named.
fn danger(change: &ResourceChange) -> Option<&'static str> {
    match (&change.action, &change.replacement) {
        (ResourceAction::Remove, _) => Some("removes"),
        (ResourceAction::Modify, Some(Replacement::True)) => Some("replaces"),
        (ResourceAction::Modify, Some(Replacement::Conditional)) => Some("may replace"),
        (ResourceAction::Modify, Some(Replacement::False) | None) => None,
        (ResourceAction::Add | ResourceAction::Import, _) => None,
        _ => Some("decides only when it runs"),
    }
}

/// The whole in numbers, and then in a sentence that says whom it reaches.
fn totals(view: &RolloutView) -> Vec<String> {
    let targets: Vec<_> = view.waves.iter().flat_map(|w| &w.targets).filter(|t| t.state != "unchanged").collect();
    let cells: BTreeMap<_, _> = targets.iter().map(|t| (&t.cell, (t.environment.as_str(), t.traffic_share))).collect();
    let sum = |of: fn(&PreviewCounts) -> u32| targets.iter().map(|t| of(&t.counts)).sum::<u32>();
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for (environment, share) in cells.values() {
        *shares.entry(environment).or_default() += share;
    }
    let shares = shares.iter().map(|(environment, share)| match *share > 0.0 {
        true => format!("{}% of {environment} traffic", (share * 10.0).round() / 10.0),
        false => format!("a share of {environment} traffic that the pipeline does not tell"),
    });
    let serving = shares.collect::<Vec<_>>().join(" and ");
    let of = |n: u32| words::plural(n, "resource", "resources");
    let (replaced, removed) = (sum(|c| c.replaced), sum(|c| c.removed));
    let mut lines = vec![format!(
        "In all: {} stacks in {} cells over {} waves; {} resources added, {} modified, {replaced} replaced, {removed} removed.",
        targets.len(),
        cells.len(),
        view.waves.len(),
        sum(|c| c.added),
        sum(|c| c.modified),
    )];
    lines.push(match cells.len() {
        0 => "It changes nothing.".to_owned(),
        n => format!(
            "It reaches {n} {} that {} {serving}; it replaces {replaced} {} and removes {removed} {}.",
            words::plural(u32::try_from(n).unwrap_or(u32::MAX), "cell", "cells"),
            if n == 1 { "serves" } else { "serve" },
            of(replaced),
            of(removed)
        ),
    });
    lines
}
