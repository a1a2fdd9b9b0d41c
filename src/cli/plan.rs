//! `plan`: what a change set would do, wave by wave. It changes no resource, and the change sets that it creates to look are removed
//! again, also when it is interrupted.

use super::args::{Common, PlanArgs};
use super::call::{complain, runtime};
use super::exit::Exit;
use super::{propose, serve};
use crate::api::view::{self, RolloutView};
use crate::api::words::Explained;
use crate::api::{service, words};
use crate::cloud::World;
use crate::cloud::aws::{Aws, AwsOptions};
use crate::config;
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::{Driver, Orders};
use crate::engine::decide::Input;
use crate::engine::planner;
use crate::journal::Journal;
use crate::model::event::Event;
use crate::model::plan::Plan;
use crate::model::stack::{PreviewCounts, Replacement, ResourceAction, ResourceChange};
use comfy_table::{Table, presets};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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
        let world = Arc::new(Aws::new(AwsOptions::default()).await);
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

/// Ends when a person or the system says stop.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// Previews a plan over a world with a journal in memory: the same engine, the same protocol, up to the first touch.
///
/// # Errors
/// Words for people.
pub async fn look<W: World>(
    world: Arc<W>,
    clock: Clock,
    plan: Plan,
    stop: impl Future<Output = ()>,
) -> Result<RolloutView, String> {
    let mut journal = Journal::in_memory().map_err(|e| serve::chain(&e))?;
    journal.take_lead(None, "plan").map_err(|e| serve::chain(&e))?;
    let core = Core::new(journal, "plan", None, clock.now()).map_err(|e| serve::chain(&e))?;
    let (driver, orders) = Driver::new(core, world, clock, None);
    let id = plan.rollout.clone();
    let digest = plan.digest().map_err(|e| e.to_string())?;
    let mut seen: Option<RolloutView> = None;
    let mut held: Option<Explained> = None;
    let mut keep_newest = |core: &mut Core, _| {
        // Cleaning up ends a hold; why it would not have started is what the person asked for.
        for event in core.take_fresh() {
            if let Event::RolloutHeld { hold, .. } = event {
                held = Some(words::hold(&hold));
            }
        }
        if let Some(rollout) = core.state().rollouts.get(&id) {
            seen = Some(RolloutView { hold: held.clone(), ..view::rollout(core, rollout, true) });
        }
    };
    let script = async {
        let proposed = orders.input(Input::Propose { plan: Arc::new(plan), digest, by: config::user() }).await;
        if !matches!(proposed, Ok(Ok(()))) {
            return;
        }
        tokio::select! {
            () = until_ended(&orders) => {}
            () = stop => {
                let _ = orders.input(Input::Revert { rollout: id.clone(), by: "interrupt".into() }).await;
                until_ended(&orders).await;
            }
        }
        orders.stop().await;
    };
    let (ran, ()) = tokio::join!(driver.run(&mut keep_newest), script);
    ran.map_err(|e| serve::chain(&e))?;
    seen.ok_or_else(|| "nothing could be previewed".into())
}

async fn until_ended(orders: &Orders) {
    loop {
        match orders.look(|core| core.state().open_rollouts().next().is_none()).await {
            Ok(false) => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => return,
        }
    }
}

fn print(view: &RolloutView, json: bool) -> Exit {
    if json {
        println!("{}", serde_json::to_string(view).unwrap_or_default());
    } else {
        text(view).iter().for_each(|line| println!("{line}"));
    }
    if view.hold.is_some() { Exit::Refused } else { Exit::Success }
}

/// The plan in lines.
pub fn text(view: &RolloutView) -> Vec<String> {
    let mut lines = vec![
        format!("{}  (by {}, pipeline {})", words::plain(&view.title), words::plain(&view.agent), view.pipeline),
        format!("reasoning, as the agent gives it: {}", words::plain(&view.reasoning)),
        table(view).to_string(),
    ];
    lines.extend(notable(view));
    lines.push(totals(view));
    match &view.hold {
        Some(hold) => {
            lines.extend([format!("It would not start: {}", words::plain(&hold.why)), format!("next: {}", hold.next)])
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

/// Replaced and removed resources by name: what a person must not miss. The same change in many targets is one line.
fn notable(view: &RolloutView) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for change in view.waves.iter().flat_map(|w| &w.targets).flat_map(|t| &t.changes) {
        if let Some(what) = danger(change) {
            let policy = change.policy_action.as_ref().map(|p| format!(", then {p}")).unwrap_or_default();
            lines.insert(format!("{what}: {} ({}{policy})", change.logical_id, change.resource_type));
        }
    }
    lines.into_iter().collect()
}

fn danger(change: &ResourceChange) -> Option<&'static str> {
    match (&change.action, &change.replacement) {
        (ResourceAction::Remove, _) => Some("removes"),
        (ResourceAction::Modify, Some(Replacement::True)) => Some("replaces"),
        (ResourceAction::Modify, Some(Replacement::Conditional)) => Some("may replace"),
        (ResourceAction::Add | ResourceAction::Modify | ResourceAction::Import, _) => None,
        _ => Some("decides only when it runs"),
    }
}

fn totals(view: &RolloutView) -> String {
    let targets: Vec<_> = view.waves.iter().flat_map(|w| &w.targets).filter(|t| t.state != "unchanged").collect();
    let cells: BTreeSet<_> = targets.iter().map(|t| &t.cell).collect();
    let sum = |of: fn(&PreviewCounts) -> u32| targets.iter().map(|t| of(&t.counts)).sum::<u32>();
    format!(
        "In all: {} stacks in {} cells over {} waves; {} resources added, {} modified, {} replaced, {} removed.",
        targets.len(),
        cells.len(),
        view.waves.len(),
        sum(|c| c.added),
        sum(|c| c.modified),
        sum(|c| c.replaced),
        sum(|c| c.removed),
    )
}
