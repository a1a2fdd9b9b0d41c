//! What goes wrong: lost answers, people, outages; and that it goes wrong alike for the same seed.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_decided_by_the_token() {
    for (fault, effect) in [
        (Fault::AmbiguousAfterEffect, true),
        (Fault::AmbiguousBeforeEffect, false),
        (Fault::DelayedEffect(Duration::from_secs(8)), true),
    ] {
        let world = world();
        let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
        world.inject(Operation::ExecuteChangeSet, fault, 1);
        let token = Token::new("t-1");
        let lost = world.execute_change_set(&scope(), &orders(), &set.arn, &token, NORMAL).await.unwrap_err();
        assert_eq!(lost.kind, ProviderErrorKind::Ambiguous);
        let trace = world.find_operation(&scope(), "orders", &token, Timestamp::MIN, NORMAL).await.unwrap();
        assert_eq!(trace.found, fault == Fault::AmbiguousAfterEffect, "{fault:?}");
        seconds(30).await;
        let trace = world.find_operation(&scope(), &set.stack_id, &token, Timestamp::MIN, NORMAL).await.unwrap();
        assert_eq!(trace.found, effect, "{fault:?}");
        let call = world.calls().into_iter().find(|c| c.operation == Operation::ExecuteChangeSet).unwrap();
        assert_eq!((call.took_effect, call.fault), (effect, Some(fault.kind())));
        assert_eq!(world.fault_counts(), BTreeMap::from([(fault.kind(), 1)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_change_set_cannot_start_late() {
    let world = world();
    let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    world.inject(Operation::ExecuteChangeSet, Fault::DelayedEffect(Duration::from_secs(60)), 1);
    world.execute_change_set(&scope(), &orders(), &set.arn, &"t-1".into(), NORMAL).await.unwrap_err();
    world.delete_change_set(&scope(), &orders(), &set.arn).await.unwrap();
    world.delete_change_set(&scope(), &orders(), &set.arn).await.unwrap();
    seconds(120).await;
    assert_eq!(view(&world, &orders()).await.status, StackStatus::CreateComplete);
    let call = world.calls().into_iter().find(|c| c.operation == Operation::ExecuteChangeSet).unwrap();
    assert!(call.acted_at.is_some() && !call.took_effect);
}

#[tokio::test(start_paused = true)]
async fn a_person_can_come_between() {
    let world = world();
    let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    let edited = V1.replace("DelaySeconds: !Ref Delay", "DelaySeconds: 1");
    world.edit_stack(&scope(), &orders(), &edited, BTreeMap::new()).unwrap();
    let refused = world.execute_change_set(&scope(), &orders(), &set.arn, &"t".into(), NORMAL).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    assert_eq!(world.stack(&scope(), &orders()).unwrap().template.body(), edited);

    world.inject(Operation::Describe, Fault::Stale(1), 1);
    assert_ne!(view(&world, &orders()).await.status, StackStatus::UpdateComplete);
    assert_eq!(view(&world, &orders()).await.status, StackStatus::UpdateComplete);
    assert!(world.vanish_change_set(&scope(), &orders(), "wg-1"));
    assert!(world.remove_stack(&scope(), &orders()));
    assert!(world.describe(&scope(), &[orders()], NORMAL).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_stack_goes_on_where_it_stopped_and_a_region_can_be_down() {
    let world = world();
    let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    execute(&world, &orders(), &set.arn, "t-1").await;
    assert!(world.stick(&scope(), &orders()));
    seconds(3_600).await;
    assert_eq!(view(&world, &orders()).await.status, StackStatus::UpdateInProgress);
    assert!(world.unstick(&scope(), &orders()));
    assert_eq!(view(&world, &orders()).await.status, StackStatus::UpdateInProgress);
    assert_eq!(follow(&world, &set.stack_id).await.last(), Some(&StackStatus::UpdateComplete));

    world.set_outage(&scope().region, Some(Outage::Unreachable));
    let down = world.describe(&scope(), &[orders()], NORMAL).await.unwrap_err();
    assert_eq!(down.kind, ProviderErrorKind::Unavailable);
    world.set_outage(&scope().region, Some(Outage::Silent));
    let silent = world.cancel_update(&scope(), &orders(), &"c".into()).await.unwrap_err();
    assert_eq!(silent.kind, ProviderErrorKind::Ambiguous);
    world.clear_faults();
    assert!(world.describe(&scope(), &[orders()], NORMAL).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_forced_status_can_be_left_again() {
    let world = world();
    assert!(world.set_status(&scope(), &orders(), StackStatus::from("BRAND_NEW_STATUS"), None));
    assert_eq!(view(&world, &orders()).await.status, StackStatus::Unknown("BRAND_NEW_STATUS".into()));
    assert!(world.set_status(&scope(), &orders(), StackStatus::UpdateRollbackFailed, Some("stuck")));
    let id = view(&world, &orders()).await.stack_id;
    world.continue_rollback(&scope(), &orders(), &"t".into()).await.unwrap();
    assert_eq!(follow(&world, &id).await.last(), Some(&StackStatus::UpdateRollbackComplete));
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_be_meant_for_one_stack() {
    let world = world();
    world.add_stack(&scope(), &"billing".into(), V1, BTreeMap::new(), BTreeMap::new()).unwrap();
    world.inject_at(Operation::Template, &scope(), &"billing".into(), Fault::Denied, 1);
    assert!(world.template(&scope(), &orders(), NORMAL).await.is_ok());
    let denied = world.template(&scope(), &"billing".into(), NORMAL).await.unwrap_err();
    assert_eq!(denied.kind, ProviderErrorKind::Denied);
    assert!(world.template(&scope(), &"billing".into(), NORMAL).await.is_ok());
}

/// A little rollout under faults: gives the whole log.
async fn story(seed: u64) -> (Vec<CallRecord>, BTreeMap<FaultKind, u64>) {
    let world = SimWorld::new(SimOptions { seed, fault_rate: 0.3, ..SimOptions::default() });
    world.add_stack(&scope(), &orders(), V1, BTreeMap::new(), BTreeMap::new()).unwrap();
    let (scope, stack) = (scope(), orders());
    for attempt in 0..20 {
        let name = format!("wg-{attempt}");
        let template = if attempt % 2 == 0 { BAD } else { V1 };
        let Ok(arn) = world.create_change_set(&scope, &stack, &name, &update(template), NORMAL).await else {
            continue;
        };
        seconds(2).await;
        let token = Token::new(name.as_str());
        drop(world.execute_change_set(&scope, &stack, &arn, &token, NORMAL).await);
        drop(tokio::join!(
            world.describe(&scope, std::slice::from_ref(&stack), NORMAL),
            world.find_operation(&scope, "orders", &token, Timestamp::MIN, NORMAL),
        ));
        seconds(15).await;
    }
    (world.calls(), world.fault_counts())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_log() {
    let (first, faults) = story(7).await;
    assert_eq!(first, story(7).await.0);
    assert_ne!(first, story(8).await.0);
    assert!(faults.len() >= 4, "{faults:?}");
    assert!(first.iter().all(|call| call.outcome != CallOutcome::Pending));
}
