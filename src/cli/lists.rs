//! `rollouts`, `pipelines`, `me`: what the daemon has, in short.

use super::args::{Common, PipelinesArgs, RolloutsArgs};
use super::call::{ask, ask_once, connect, odd, print_json, runtime};
use super::complain::is_json;
use super::draw::{one_line, say::say};
use super::exit::Exit;
use crate::api::client::Client;
use crate::api::listing::{CallerView, PipelineSummary, PipelineView, RolloutSummary};
use crate::api::verbs::{Request, Response};
use comfy_table::{Table, presets};
use serde_json::json;

/// So many are asked for at once; a longer list is asked for page by page.
const PAGE: usize = 200;

/// `wavegate rollouts`
pub fn rollouts(common: &Common, args: &RolloutsArgs) -> Exit {
    let open = match (args.open, args.ended) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(exit) => return exit,
    };
    let all = runtime.block_on(async { all_rollouts(&mut connect(common).await?, open).await });
    match all {
        Ok(items) if is_json() => print_json(&json!({ "items": items })),
        Ok(items) if items.is_empty() => {
            say("no rollouts; hand in a change set with `wavegate propose`");
            Exit::Success
        }
        Ok(items) => {
            say(&rollout_table(&items).to_string());
            Exit::Success
        }
        Err(exit) => exit,
    }
}

async fn all_rollouts(client: &mut Client, open: Option<bool>) -> Result<Vec<RolloutSummary>, Exit> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        match ask(client, &Request::Rollouts { open, after, limit: PAGE }).await? {
            Response::Rollouts(page) => {
                items.extend(page.items);
                match page.next {
                    Some(next) => after = Some(next.as_str().into()),
                    None => return Ok(items),
                }
            }
            other => return Err(odd(&other)),
        }
    }
}

fn rollout_table(items: &[RolloutSummary]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header([
        "rollout",
        "state",
        "waves passed",
        "pipeline",
        "agent",
        "proposed",
        "title",
    ]);
    for item in items {
        table.add_row([
            item.rollout.to_string(),
            state(item),
            format!("{} of {}", item.waves_passed, item.waves),
            item.pipeline.clone(),
            one_line(&item.agent),
            item.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            one_line(&item.title),
        ]);
    }
    table
}

fn state(item: &RolloutSummary) -> String {
    let word = match item.outcome {
        // As it is written in JSON.
        Some(outcome) => serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned)),
        None => None,
    };
    let mut state = word.unwrap_or_else(|| item.phase.clone());
    for (is, word) in [(item.killed, "killed"), (item.held, "held"), (item.look_only, "only looks")] {
        if is && (item.outcome.is_none() || word == "only looks") {
            state.push_str(&format!(", {word}"));
        }
    }
    state
}

/// `wavegate pipelines`
pub fn pipelines(common: &Common, args: &PipelinesArgs) -> Exit {
    let request = match &args.name {
        Some(name) => Request::Pipeline { name: name.clone() },
        None => Request::Pipelines,
    };
    match ask_once(common, &request) {
        Ok(Response::Pipelines(page)) if is_json() => print_json(&json!({ "items": page.items })),
        Ok(Response::Pipeline(pipeline)) if is_json() => print_json(&pipeline),
        Ok(Response::Pipelines(page)) => {
            page.items.iter().for_each(|item| say(&pipeline_line(item)));
            Exit::Success
        }
        Ok(Response::Pipeline(pipeline)) => {
            pipeline_lines(&pipeline).iter().for_each(|line| say(line));
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

fn pipeline_line(item: &PipelineSummary) -> String {
    let name = one_line(&item.name);
    match &item.fault {
        Some(fault) => format!("NOT {name}  {}", one_line(fault.lines().next().unwrap_or_default())),
        None => {
            let stacks: Vec<&str> = item.stacks.iter().map(String::as_str).collect();
            format!("ok  {name}  {} cells, waves {}, stacks {}", item.cells, item.waves.join(" → "), stacks.join(", "))
        }
    }
}

fn pipeline_lines(pipeline: &PipelineView) -> Vec<String> {
    let stacks: Vec<&str> = pipeline.stacks.iter().map(String::as_str).collect();
    let mut lines = vec![
        format!("{}  file {}", pipeline.name, pipeline.digest.get(..12).unwrap_or_default()),
        format!("  stacks: {}", stacks.join(", ")),
        format!("  metrics: {}", pipeline.metrics.join(", ")),
    ];
    lines.extend(pipeline.waves.iter().map(|wave| {
        let one_box = if wave.one_box { ", the first in production" } else { "" };
        format!("  wave {}: watched for {}{one_box}", wave.name, wave.bake)
    }));
    lines.extend(pipeline.cells.iter().map(|cell| {
        let share = cell.traffic_share;
        format!("  cell {}: {} {}, {}, {share}% of its traffic", cell.cell, cell.account, cell.region, cell.environment)
    }));
    for (environment, classes) in &pipeline.autonomy {
        let asked: Vec<String> = classes.iter().map(|(class, says)| format!("{class} {says}")).collect();
        lines.push(format!("  in {environment}: {}", asked.join(", ")));
    }
    if !pipeline.approvers.is_empty() {
        lines.push(format!("  may approve: {}", pipeline.approvers.join(", ")));
    }
    lines
}

/// `wavegate me`
pub fn me(common: &Common) -> Exit {
    match ask_once(common, &Request::Me) {
        Ok(Response::Me(caller)) if is_json() => print_json(&caller),
        Ok(Response::Me(caller)) => {
            say(&caller_line(&caller));
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

fn caller_line(caller: &CallerView) -> String {
    let roles: Vec<&str> = caller.roles.iter().map(|role| role.name()).collect();
    let party = if caller.party.is_empty() { String::new() } else { format!(" of {}", one_line(&caller.party)) };
    let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
    format!("{} ({}{party}): {roles}; by {}", one_line(&caller.name), caller.kind, one_line(&caller.credential))
}
