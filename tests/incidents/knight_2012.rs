//! Knight Capital, August 2012: one of eight servers was missed, and the deployment was reported as done. Here completion is proven for
//! each target by a read: what the provider calls complete counts for nothing.

use crate::guards::Guards;
use crate::stage::{BASE, GOOD, Stage, plan, targets};
use crate::wire::Wires;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wavegate::cloud::sim::SimWorld;
use wavegate::engine::effect::{Call, Effect};
use wavegate::guard::Guard;
use wavegate::model::event::{Event, Outcome, Settlement};
use wavegate::model::halt::StuckReason;
use wavegate::model::ids::TargetId;
use wavegate::model::plan::Plan;
use wavegate::model::stack::StackStatus;

/// The server that is missed.
const EIGHTH: &str = "cell-07/orders";

/// Once the provider has said complete, and before anybody has read it back, the old code is on the eighth server.
fn missed(effect: &Effect, world: &SimWorld) {
    let proof = matches!(&effect.call, Call::ReadRecord { view, with_policy: false } if view.status == StackStatus::UpdateComplete);
    if proof
        && effect.target == Some(EIGHTH.into())
        && let Call::ReadRecord { view, .. } = &effect.call
        && world.stack(&effect.scope, &view.name).is_some_and(|record| record.template.body() == GOOD)
    {
        world.edit_stack(&effect.scope, &view.name, BASE, BTreeMap::from([("Delay".into(), "5".into())])).unwrap();
    }
}

async fn deploy() -> (Stage, Plan, Outcome) {
    let mut plan = plan(&[1, 7], GOOD);
    plan.waves[1].max_concurrent = 7;
    let wires = Wires { step_in: Some(Arc::new(missed)), ..Wires::default() };
    let (stage, daemon) = Stage::open(11, &plan, wires).await;
    daemon.propose(&plan).await;
    let outcome = daemon.outcome("r-test").await;
    (stage, plan, outcome)
}

fn settlements(stage: &Stage, of: &TargetId) -> Vec<Settlement> {
    let settled = |event| match event {
        Event::TargetSettled { target, settlement, .. } if target == *of => Some(settlement),
        _ => None,
    };
    stage.record().into_iter().filter_map(|(_, event)| settled(event)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_missed_is_not_reported_as_done() {
    let guards = Guards::in_place();
    let (stage, plan, outcome) = deploy().await;
    assert_eq!(outcome, Outcome::Stuck);
    let eighth = TargetId::from(EIGHTH);
    // The provider did say complete.
    let complete = |event: &Event| matches!(event, Event::OperationEnded { target, status: StackStatus::UpdateComplete, .. } if *target == eighth);
    assert!(stage.when(complete).is_some());
    // It is named, with what differs; and it alone is left to a person: the other seven are proven to be back.
    let reason = StuckReason::ProofDiffers { differs: vec!["template".into()] };
    assert_eq!(settlements(&stage, &eighth), [Settlement::Stuck { reason, evidence: None }]);
    assert_eq!(stage.with_template(&plan, BASE), targets(&plan, &[0, 1]));
    for target in plan.targets.keys().filter(|id| **id != eighth) {
        assert!(matches!(settlements(&stage, target).last(), Some(Settlement::Restored { .. })), "{target}");
    }

    guards.without(&[Guard::ProofByRead]);
    let (stage, plan, outcome) = deploy().await;
    assert_eq!(outcome, Outcome::Succeeded, "without the proof it is reported as done");
    assert_eq!(stage.with_template(&plan, BASE), BTreeSet::from([eighth]), "and one of eight runs the old code");
}
