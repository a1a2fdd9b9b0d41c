//! What is played: the change, what people do meanwhile, and whether it went as told, by the state and the world themselves.

use super::stage::RELEASE_1;
use crate::api::words;
use crate::cloud::sim::{Operation, SimWorld};
use crate::daemon::core::Core;
use crate::daemon::driver::Orders;
use crate::engine::decide::Input;
use crate::model::event::{Direction, Outcome};
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::Token;
use crate::model::plan::Plan;
use crate::model::state::{Rollout, Target};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks of the script, in virtual time.
const LOOK: Duration = Duration::from_millis(250);
/// A scenario that is not over by then is not going as told. A day of virtual time.
const PATIENCE: u32 = 345_600;

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A good change goes through its waves.
    Healthy,
    /// A bad one is caught in the second wave's bake.
    BadChange,
    /// Somebody pushes the kill switch in mid-wave.
    Kill,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// True when it went as told, by what the world and the journal hold.
    pub as_told: bool,
    /// The end of the story.
    pub told: String,
    /// What was seen, in numbers.
    pub seen: String,
}

impl Scenario {
    /// In the order in which they are played.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::BadChange, Self::Kill];

    /// As `--scenario` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::BadChange => "bad-change",
            Self::Kill => "kill",
        }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Healthy => "1. A healthy change",
            Self::BadChange => "2. A bad change",
            Self::Kill => "3. The kill switch",
        }
    }

    /// What is going to happen.
    pub fn story(self) -> &'static str {
        match self {
            Self::Healthy => {
                "An agent proposes a release. It goes to one cell, is watched, goes to three more, is watched, and then to the rest."
            }
            Self::BadChange => {
                "The next release breaks something, but only minutes after a deploy. The one-box cell passes its bake; it stays watched \
                 while the second wave bakes, and there the errors show."
            }
            Self::Kill => {
                "A good release again, but somebody on call does not like what they see and stops everything in mid-wave."
            }
        }
    }

    /// The change set.
    pub fn change_set(self) -> &'static str {
        match self {
            Self::Healthy => include_str!("healthy.yaml"),
            Self::BadChange => include_str!("bad.yaml"),
            Self::Kill => include_str!("kill.yaml"),
        }
    }

    /// Plays it: what people do, and then whether it went as told.
    pub async fn script(self, orders: &Orders, world: &SimWorld, plan: Plan) -> Result<Ending, String> {
        let digest = plan.digest().map_err(|e| e.to_string())?;
        let plan = Arc::new(plan);
        order(orders, Input::Propose { plan: Arc::clone(&plan), digest, by: "demo".into() }).await?;
        match self {
            Self::Healthy => {
                until(orders, |core| core.state().rollouts.values().all(Rollout::is_ended)).await?;
                healthy(orders, world, &plan).await
            }
            Self::BadChange => {
                until(orders, |core| core.state().rollouts.values().all(Rollout::is_ended)).await?;
                bad_change(orders, world, &plan).await
            }
            Self::Kill => kill(orders, world, &plan).await,
        }
    }
}

async fn order(orders: &Orders, input: Input) -> Result<(), String> {
    orders.input(input).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

async fn until(orders: &Orders, fits: impl Fn(&Core) -> bool + Copy + Send + 'static) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if orders.look(fits).await.map_err(|e| e.to_string())? {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("the scenario does not come to its end".into())
}

async fn outcome(orders: &Orders) -> Result<Option<Outcome>, String> {
    orders
        .look(|core| core.state().rollouts.values().next().and_then(Rollout::outcome))
        .await
        .map_err(|e| e.to_string())
}

/// How many stacks hold this template, byte by byte, by a look at the world itself.
fn stacks_with(world: &SimWorld, plan: &Plan, template: &str) -> usize {
    plan.targets
        .values()
        .filter(|t| world.stack(&t.scope, &t.stack).is_some_and(|s| s.template.body() == template))
        .count()
}

async fn healthy(orders: &Orders, world: &SimWorld, plan: &Plan) -> Result<Ending, String> {
    let outcome = outcome(orders).await?;
    let wanted = plan.templates.values().next().map(|t| t.body().to_owned()).unwrap_or_default();
    let changed = stacks_with(world, plan, &wanted);
    Ok(Ending {
        as_told: outcome == Some(Outcome::Succeeded) && changed == plan.targets.len(),
        told: format!(
            "All {} waves passed. {changed} of {} stacks hold the new template, byte by byte.",
            plan.waves.len(),
            plan.targets.len()
        ),
        seen: format!(
            "a healthy change went through {} waves to {changed} cells, each wave watched before the next",
            plan.waves.len()
        ),
    })
}

async fn bad_change(orders: &Orders, world: &SimWorld, plan: &Plan) -> Result<Ending, String> {
    let outcome = outcome(orders).await?;
    let look = |core: &Core| {
        let rollout = core.state().rollouts.values().next();
        let touched = rollout.map_or(0, |r| r.targets.values().filter(|t| t.is_touched()).count());
        let gates = rollout.map_or(0, |r| r.gates.len());
        let why = rollout.and_then(|r| r.revert.as_ref()).map(words::revert).unwrap_or_default();
        (touched, gates, why)
    };
    let (touched, gates, why) = orders.look(look).await.map_err(|e| e.to_string())?;
    let original = stacks_with(world, plan, RELEASE_1);
    let total = plan.targets.len();
    Ok(Ending {
        as_told: outcome == Some(Outcome::Reverted) && original == total && gates == 1 && touched < total,
        told: format!(
            "{why}.\n{touched} cells were changed and went back, the last wave first; {} were never touched.",
            total - touched
        ),
        seen: format!(
            "a bad change was caught in the second wave's bake; {touched} of {total} cells had it, {original} of {total} are as before"
        ),
    })
}

async fn kill(orders: &Orders, world: &SimWorld, plan: &Plan) -> Result<Ending, String> {
    // In the middle of the third wave: some cells changed, some in flight, some waiting.
    until(orders, |core| {
        core.state().rollouts.values().any(|r| r.wave_states(2).filter(|t| t.is_applied()).count() >= 2)
    })
    .await?;
    let kill = Kill {
        id: "k-demo".into(),
        scope: KillScope::All,
        mode: KillMode::Halt,
        by: "on-call".into(),
        door: KillDoor::Cli,
        at: world.wall(),
        reason: "I do not like what I see".into(),
    };
    order(orders, Input::Kill(kill)).await?;
    until(orders, |core| core.state().kills.values().all(|k| k.acknowledged)).await?;
    let acknowledged = world.wall();
    // Everything that is in flight comes to rest.
    until(orders, |core| core.state().rollouts.values().all(|r| r.targets.values().all(|t| t.operation().is_none())))
        .await?;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let after = forward_calls_after(orders, world, acknowledged).await?;
    let changed = orders
        .look(|core| {
            core.state().rollouts.values().flat_map(|r| r.targets.values()).filter(|t| Target::is_applied(t)).count()
        })
        .await;
    let changed = changed.map_err(|e| e.to_string())?;
    // On-call takes it back; the kill stays in force, and does not stand in the way of that.
    order(orders, Input::Revert { rollout: plan.rollout.clone(), by: "on-call".into() }).await?;
    until(orders, |core| core.state().rollouts.values().all(Rollout::is_ended)).await?;
    let original = stacks_with(world, plan, RELEASE_1);
    let (total, cancelled) =
        (plan.targets.len(), world.calls().iter().filter(|c| c.operation == Operation::CancelUpdate).count());
    Ok(Ending {
        as_told: after == 0 && cancelled > 0 && changed < total && original == total,
        told: format!(
            "After the acknowledgement {after} forward calls reached the provider; {cancelled} updates in flight were cancelled.\n\
             {changed} cells had the change by then. On-call reverted them: {original} of {total} are as before. Lifting the kill would take two people."
        ),
        seen: format!(
            "a kill in mid-wave: {after} forward calls after its acknowledgement, {cancelled} cancelled, {original} of {total} cells as before"
        ),
    })
}

/// Executions of forward change sets that left after that time, by the world's own log.
async fn forward_calls_after(orders: &Orders, world: &SimWorld, at: jiff::Timestamp) -> Result<usize, String> {
    let forward: BTreeSet<Token> = orders.look(forward_tokens).await.map_err(|e| e.to_string())?;
    let calls = world.calls();
    Ok(calls
        .iter()
        .filter(|c| {
            c.operation == Operation::ExecuteChangeSet
                && c.at > at
                && c.token.as_ref().is_some_and(|t| forward.contains(t))
        })
        .count())
}

fn forward_tokens(core: &Core) -> BTreeSet<Token> {
    use crate::model::event::Event;
    use crate::model::ids::Seq;
    let entries = core.journal().entries_after(Seq(0), usize::MAX).unwrap_or_default();
    let intents = entries.into_iter().filter_map(|entry| match entry.event {
        Event::OperationIntended { operation, .. } if operation.direction == Direction::Forward => {
            Some(operation.token)
        }
        _ => None,
    });
    intents.collect()
}
