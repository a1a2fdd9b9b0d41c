//! What is played: the change, what people do meanwhile, and whether it went as told, by the state and the world themselves.

use crate::api::words;
use crate::cloud::sim::{Operation, SimWorld};
use crate::daemon::core::Core;
use crate::daemon::driver::Orders;
use crate::engine::decide::Input;
use crate::model::event::{Direction, Event, Outcome, RestoredBy, Settlement};
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{Digest, KillId, Seq, TargetId, Token};
use crate::model::plan::Plan;
use crate::model::state::{Phase, Rollout, Target};
use crate::model::time::since;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks of the script, in virtual time.
const LOOK: Duration = Duration::from_millis(250);
/// A scenario that is not over by then is not going as told. A day of virtual time.
const PATIENCE: u32 = 345_600;

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// An agent wants to delete production and to create it again.
    Recreate,
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
    pub const ALL: [Self; 4] = [Self::Recreate, Self::Healthy, Self::BadChange, Self::Kill];

    /// As `--scenario` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recreate => "recreate",
            Self::Healthy => "healthy",
            Self::BadChange => "bad-change",
            Self::Kill => "kill",
        }
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Recreate => "1. “Delete and recreate the environment”",
            Self::Healthy => "2. A healthy change",
            Self::BadChange => "3. A bad change",
            Self::Kill => "4. The kill switch",
        }
    }

    /// What is going to happen.
    pub fn story(self) -> &'static str {
        match self {
            Self::Recreate => {
                "An agent decides that production is best mended by deleting it. It says that this is safe, and that it has been approved. \
                 What counts is what CloudFormation says that would happen."
            }
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
            Self::Recreate => include_str!("recreate.yaml"),
            Self::Healthy => include_str!("healthy.yaml"),
            Self::BadChange => include_str!("bad.yaml"),
            Self::Kill => include_str!("kill.yaml"),
        }
    }

    /// The change set that follows once the first one has ended.
    pub fn second_change_set(self) -> Option<&'static str> {
        (self == Self::Recreate).then_some(include_str!("tune.yaml"))
    }

    /// Plays it: what people do, and then whether it went as told.
    pub async fn script(
        self,
        orders: &Orders,
        world: &SimWorld,
        plan: Plan,
        second: Option<Plan>,
    ) -> Result<Ending, String> {
        let digest = plan.digest().map_err(|e| e.to_string())?;
        let plan = Arc::new(plan);
        let house = House { orders, world, before: contents(world, &plan), plan: Arc::clone(&plan) };
        order(orders, Input::Propose { plan, digest, by: "demo".into(), handed_in: None }).await?;
        match self {
            Self::Recreate => {
                let second = second.ok_or("the second change set is missing")?;
                super::recreate::play(&house, second).await
            }
            Self::Healthy => healthy(&house).await,
            Self::BadChange => bad_change(&house).await,
            Self::Kill => kill(&house).await,
        }
    }
}

/// What a scenario plays in.
pub struct House<'a> {
    /// To the daemon.
    pub orders: &'a Orders,
    /// The embedded world.
    pub world: &'a SimWorld,
    /// What is rolled out.
    pub plan: Arc<Plan>,
    /// Every stack's content before anything happened.
    pub before: BTreeMap<TargetId, Digest>,
}

impl House<'_> {
    /// How many stacks have the template, parameters and tags that they had before, by a look at the world itself.
    pub fn as_before(&self) -> usize {
        let now = contents(self.world, &self.plan);
        self.before.iter().filter(|(id, before)| now.get(*id) == Some(before)).count()
    }

    /// How many stacks hold the change's template, byte by byte.
    pub fn with_the_change(&self) -> usize {
        let holds = |body: &str| self.plan.templates.values().any(|t| t.body() == body);
        let targets = self.plan.targets.values();
        targets.filter(|t| self.world.stack(&t.scope, &t.stack).is_some_and(|s| holds(s.template.body()))).count()
    }

    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Rollout) -> T + Send + 'static,
    ) -> Result<T, String> {
        let id = self.plan.rollout.clone();
        let found = self.orders.look(move |core| core.state().rollouts.get(&id).map(look)).await;
        found.map_err(|e| e.to_string())?.ok_or_else(|| "the rollout is not on record".to_owned())
    }

    /// The journal, read back from the disk.
    pub async fn journal(&self) -> Result<Vec<(Timestamp, Event)>, String> {
        let entries = self.orders.look(|core| core.journal().entries_after(Seq(0), usize::MAX)).await;
        let entries = entries.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        Ok(entries.into_iter().map(|entry| (entry.at, entry.event)).collect())
    }
}

fn contents(world: &SimWorld, plan: &Plan) -> BTreeMap<TargetId, Digest> {
    let content = |id: &TargetId| {
        let target = plan.targets.get(id)?;
        world.stack(&target.scope, &target.stack)?.content_digest().ok()
    };
    plan.targets.keys().filter_map(|id| Some((id.clone(), content(id)?))).collect()
}

pub async fn order(orders: &Orders, input: Input) -> Result<(), String> {
    orders.input(input).await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

pub async fn until(orders: &Orders, fits: impl Fn(&Core) -> bool + Clone + Send + 'static) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if orders.look(fits.clone()).await.map_err(|e| e.to_string())? {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("the scenario does not come to its end".into())
}

pub async fn until_ended(house: &House<'_>) -> Result<Option<Outcome>, String> {
    until(house.orders, |core| core.state().rollouts.values().all(Rollout::is_ended)).await?;
    house.look(Rollout::outcome).await
}

async fn healthy(house: &House<'_>) -> Result<Ending, String> {
    let outcome = until_ended(house).await?;
    let gates = house.look(|r| r.gates.len()).await?;
    let (changed, total, waves) = (house.with_the_change(), house.plan.targets.len(), house.plan.waves.len());
    Ok(Ending {
        as_told: outcome == Some(Outcome::Succeeded) && changed == total && gates == waves,
        told: format!(
            "{gates} of {waves} gates passed. {changed} of {total} stacks hold the new template, byte by byte."
        ),
        seen: format!(
            "a healthy change went through {waves} waves to {changed} of {total} cells, each wave watched before the next"
        ),
    })
}

async fn bad_change(house: &House<'_>) -> Result<Ending, String> {
    let outcome = until_ended(house).await?;
    let look = |r: &Rollout| {
        let touched = r.targets.values().filter(|t| t.is_touched()).count();
        (touched, r.gates.len(), r.revert.as_ref().map(words::revert).unwrap_or_default())
    };
    let (touched, gates, why) = house.look(look).await?;
    let (as_before, total) = (house.as_before(), house.plan.targets.len());
    let in_order = went_back_in_order(&house.journal().await?, &house.plan);
    let order = if in_order { "the last wave first" } else { "NOT the last wave first" };
    Ok(Ending {
        as_told: outcome == Some(Outcome::Reverted) && as_before == total && gates == 1 && touched < total && in_order,
        told: format!(
            "{touched} cells had the change and went back, {order}; {} were never touched.\n\
             Read from the world: {as_before} of {total} stacks have the template, parameters and tags that they had before.",
            total - touched
        ),
        seen: format!("a bad change: {why}; {touched} of {total} cells had it, {as_before} of {total} are as before"),
    })
}

/// No target goes back while one of a later wave is not settled (S14), by the journal.
fn went_back_in_order(journal: &[(Timestamp, Event)], plan: &Plan) -> bool {
    let wave = |id: &TargetId| plan.targets.get(id).map_or(0, |t| t.wave);
    let mut back_to = usize::MAX;
    journal.iter().all(|(_, event)| match event {
        Event::OperationIntended { target, operation, .. } if operation.direction == Direction::Revert => {
            let fits = wave(target) <= back_to;
            back_to = back_to.min(wave(target));
            fits
        }
        Event::TargetSettled { target, settlement: Settlement::Restored { by: RestoredBy::Revert }, .. } => {
            wave(target) == back_to
        }
        _ => true,
    })
}

/// The order's name.
const KILL: &str = "k-demo";

async fn kill(house: &House<'_>) -> Result<Ending, String> {
    // In the middle of the third wave: some cells changed, some just begun, some waiting.
    let world = house.world.clone();
    until(house.orders, move |core| {
        let begun = |t: &Target| match &t.phase {
            Phase::Running(op) => since(op.intended_at, world.wall()) < Duration::from_secs(2),
            _ => false,
        };
        core.state()
            .rollouts
            .values()
            .any(|r| r.wave_states(2).filter(|t| t.is_applied()).count() >= 2 && r.wave_states(2).any(begun))
    })
    .await?;
    let kill = Kill {
        id: KILL.into(),
        scope: KillScope::All,
        mode: KillMode::Halt,
        by: "on-call".into(),
        door: KillDoor::Cli,
        at: house.world.wall(),
        reason: "I do not like what I see".into(),
    };
    order(house.orders, Input::Kill(kill)).await?;
    until(house.orders, |core| core.state().kills.values().all(|k| k.acknowledged)).await?;
    // Everything that is in flight comes to rest; and then a while in which something could start that must not.
    until(house.orders, |core| {
        core.state().rollouts.values().all(|r| r.targets.values().all(|t| t.operation().is_none()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let changed = house.look(|r| r.targets.values().filter(|t| Target::is_applied(t)).count()).await?;
    // On-call takes it back; the kill stays in force, and does not stand in the way of that.
    order(house.orders, Input::Revert { rollout: house.plan.rollout.clone(), by: "on-call".into() }).await?;
    let outcome = until_ended(house).await?;
    let after = forward_calls_after_kill(house).await?;
    let cancelled =
        house.world.calls().iter().filter(|c| c.operation == Operation::CancelUpdate && c.took_effect).count();
    let (as_before, total) = (house.as_before(), house.plan.targets.len());
    Ok(Ending {
        as_told: outcome == Some(Outcome::Reverted)
            && after == 0
            && cancelled > 0
            && changed < total
            && as_before == total,
        told: format!(
            "From the acknowledgement on, {after} forward calls reached the provider; {cancelled} updates in flight were cancelled.\n\
             {changed} cells had the change by then. On-call took them back: {as_before} of {total} stacks are as they were before.\n\
             The kill is still in force: it takes two people to lift it."
        ),
        seen: format!(
            "a kill in mid-wave: {after} forward calls after its acknowledgement, {cancelled} cancelled, {as_before} of {total} cells as before"
        ),
    })
}

/// Forward executions that left at or after the moment at which the acknowledgement became durable, by the world's own log.
async fn forward_calls_after_kill(house: &House<'_>) -> Result<usize, String> {
    let journal = house.journal().await?;
    let of_kill = |event: &Event| matches!(event, Event::KillAcknowledged { kill } if *kill == KillId::from(KILL));
    let acknowledged = journal.iter().find(|(_, event)| of_kill(event)).map(|(at, _)| *at);
    let acknowledged = acknowledged.ok_or("the kill's acknowledgement is not on record")?;
    let forward: BTreeSet<&Token> = journal
        .iter()
        .filter_map(|(_, event)| match event {
            Event::OperationIntended { operation, .. } if operation.direction == Direction::Forward => {
                Some(&operation.token)
            }
            _ => None,
        })
        .collect();
    let starts = |operation| matches!(operation, Operation::ExecuteChangeSet | Operation::DeleteStack);
    let calls = house.world.calls();
    let late = calls.iter().filter(|c| c.at >= acknowledged && starts(c.operation));
    Ok(late.filter(|c| c.token.as_ref().is_some_and(|token| forward.contains(token))).count())
}
