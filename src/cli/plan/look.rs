//! Looking: the real engine over a world, with a journal in memory, up to the first touch and back.

use crate::api::view::{self, RolloutView};
use crate::api::words::{self, Explained};
use crate::cli::serve::chain;
use crate::cloud::World;
use crate::config;
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::{Driver, Orders};
use crate::engine::decide::Input;
use crate::journal::Journal;
use crate::model::event::{Event, Prepared};
use crate::model::ids::Digest;
use crate::model::plan::Plan;
use crate::model::state::{Phase, RolloutPhase, Target};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// Clean-up that takes longer is given up, and what is left is named: a person who waits at a terminal must get an answer. Each deletion
/// is retried inside for well under a minute, and all go out at once.
const CLEAN_UP: Duration = Duration::from_secs(120);

/// How a look went on the inside.
enum Script {
    Done,
    Interrupted,
    Refused(String),
    /// Clean-up did not come to its end: these may still be there.
    LeftBehind(Vec<String>),
}

/// Previews a plan over a world with a journal in memory: the same engine, the same protocol, up to the first touch. Gives the rollout
/// with all previews, after its change sets were removed; its hold is why it would not have started. When `stop` ends first, it only
/// cleans up.
///
/// # Errors
/// Words for people; also when it was interrupted, and what is left behind when clean-up does not succeed within `CLEAN_UP`.
pub async fn look<W: World>(
    world: Arc<W>,
    clock: Clock,
    plan: Plan,
    stop: impl Future<Output = ()>,
) -> Result<RolloutView, String> {
    let mut journal = Journal::in_memory().map_err(|e| chain(&e))?;
    journal.take_lead(None, "plan").map_err(|e| chain(&e))?;
    let core = Core::new(journal, "plan", None, clock.now()).map_err(|e| chain(&e))?;
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
        let went = script(&orders, plan, digest, stop).await;
        orders.stop().await;
        went
    };
    let (ran, went) = tokio::join!(driver.run(&mut keep_newest), script);
    ran.map_err(|e| chain(&e))?;
    match went {
        Script::Done => seen.ok_or_else(|| "nothing could be previewed".into()),
        Script::Interrupted => {
            Err("interrupted; no resource was changed, and the change sets made to look are removed".into())
        }
        Script::Refused(why) => Err(why),
        Script::LeftBehind(names) => Err(format!(
            "no resource was changed, but these change sets made to look may still be there; delete them:\n  {}",
            names.join("\n  ")
        )),
    }
}

async fn script(orders: &Orders, plan: Plan, digest: Digest, stop: impl Future<Output = ()>) -> Script {
    let id = plan.rollout.clone();
    match orders.input(Input::Propose { plan: Arc::new(plan), digest, by: config::user(), handed_in: None }).await {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return Script::Refused(refusal.to_string()),
        Err(stopped) => return Script::Refused(stopped.to_string()),
    }
    tokio::select! {
        left = until_ended(orders) => if left.is_empty() { Script::Done } else { Script::LeftBehind(left) },
        () = stop => {
            // Refused when it is cleaning up already: that is what was wanted.
            let _ = orders.input(Input::Revert { rollout: id, by: "interrupt".into() }).await;
            let left = until_ended(orders).await;
            if left.is_empty() { Script::Interrupted } else { Script::LeftBehind(left) }
        }
    }
}

/// Waits until the rollout has ended, or has been cleaning up for [`CLEAN_UP`]: then the change sets that may be left, by name.
async fn until_ended(orders: &Orders) -> Vec<String> {
    let mut cleaning = Duration::ZERO;
    loop {
        let Ok((open, reverting, left)) = orders.look(open_change_sets).await else { return Vec::new() };
        if !open {
            return Vec::new();
        }
        if cleaning >= CLEAN_UP {
            return left;
        }
        tokio::time::sleep(LOOK).await;
        cleaning = if reverting { cleaning + LOOK } else { Duration::ZERO };
    }
}

/// Whether a rollout is open, whether it cleans up, and which change sets of it may exist.
fn open_change_sets(core: &Core) -> (bool, bool, Vec<String>) {
    let Some(rollout) = core.state().open_rollouts().next() else { return (false, false, Vec::new()) };
    let name = |target: &Target| match &target.phase {
        Phase::Preparing { name, .. } => Some(name.clone()),
        Phase::Ready { prepared: Prepared::ChangeSet { arn, .. }, .. } => Some(arn.clone()),
        _ => None,
    };
    let names = rollout.targets.iter().filter_map(|(id, target)| Some(format!("{id}: {}", name(target)?)));
    (true, rollout.phase == RolloutPhase::Reverting, names.collect())
}
