//! The scenario that this program exists for: an agent wants to delete production and to create it again.

use super::scenario::{Ending, House, order, until, until_ended};
use crate::cloud::sim::Operation;
use crate::engine::answer::{PersonsAnswer, Says};
use crate::engine::decide::Input;
use crate::model::event::{Event, Outcome};
use crate::model::plan::Plan;
use std::sync::Arc;

/// Plays it: the first change set has been handed in.
pub async fn play(house: &House<'_>, smaller: Plan) -> Result<Ending, String> {
    let rollout = house.plan.rollout.clone();
    until(house.orders, |core| core.state().rollouts.values().any(|r| r.admission.judged.is_some())).await?;
    let says = |by: &str, says: Says| {
        Input::Answer(PersonsAnswer { rollout: rollout.clone(), by: by.into(), party: None, says })
    };
    let judged = house.look(|r| r.admission.judged.clone()).await?.ok_or("the guardrails have not looked")?;
    // An agent that holds its operator's rights would simply agree with itself.
    let figure = judged.request.as_ref().and_then(|request| request.key_figure.clone());
    let yes = Says::Approve { digest: judged.digest.to_string(), through_wave: None, confirm: figure };
    let by_itself = house.orders.input(says("release-agent", yes)).await.map_err(|e| e.to_string())?;
    let reason = "that is production, with its data: mend the queue instead".to_owned();
    order(house.orders, says("dana", Says::Reject { reason })).await?;
    let refused = until_ended(house).await?;
    let starts = |operation| matches!(operation, Operation::ExecuteChangeSet | Operation::DeleteStack);
    let calls = house.world.calls().iter().filter(|c| starts(c.operation) && c.took_effect).count();
    let untouched = house.as_before();

    let digest = smaller.digest().map_err(|e| e.to_string())?;
    let smaller = Arc::new(smaller);
    order(house.orders, Input::Propose { plan: Arc::clone(&smaller), digest, by: "demo".into(), handed_in: None })
        .await?;
    let total = smaller.targets.len();
    let house = House { plan: smaller, before: house.before.clone(), ..*house };
    let passed = until_ended(&house).await?;
    let journal = house.journal().await?;
    let recorded = journal
        .iter()
        .any(|(_, event)| matches!(event, Event::ApprovalRefused { by, .. } if by.name == "release-agent"));
    let changed = house.with_the_change();
    Ok(Ending {
        as_told: by_itself.is_err()
            && recorded
            && calls == 0
            && untouched == total
            && refused == Some(Outcome::Cancelled)
            && passed == Some(Outcome::Succeeded)
            && changed == total,
        told: format!(
            "Of the deletion, {calls} calls reached the provider, and {untouched} of {total} stacks were as before.\n\
             The agent could not agree with itself; that it tried is on record. Its smaller change went through: {changed} of {total} stacks."
        ),
        seen: format!(
            "“delete and recreate production” asked for two people, was rejected by one, and made {calls} calls; the agent's smaller \
             change reached {changed} of {total} cells"
        ),
    })
}
