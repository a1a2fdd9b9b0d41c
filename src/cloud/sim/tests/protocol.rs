//! CloudFormation's protocol, when nothing goes wrong on the way.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_update_goes_through_the_whole_protocol() {
    let world = world();
    let before = view(&world, &orders()).await;
    let other = prepare(&world, &orders(), "wg-other", &update(BAD)).await;
    let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    assert_eq!(
        (set.status.clone(), set.execution_status),
        (ChangeSetStatus::CreateComplete, ExecutionStatus::Available)
    );
    let [change] = set.preview.changes.as_slice() else { panic!("one change: {:?}", set.preview) };
    assert_eq!((&change.action, &change.replacement), (&ResourceAction::Modify, &Some(Replacement::False)));
    assert_eq!(change.details, ["Properties.VisibilityTimeout Never Static DirectModification"]);
    assert_eq!(world.change_set_template(&scope(), &orders(), &set.arn, NORMAL).await.unwrap().body(), BAD);

    execute(&world, &orders(), &set.arn, "t-1").await;
    let again = world.execute_change_set(&scope(), &orders(), &set.arn, &"t-2".into(), NORMAL).await.unwrap_err();
    assert_eq!((again.kind, again.code.as_str()), (ProviderErrorKind::Rejected, "InvalidChangeSetStatus"));
    let gone = world.describe_change_set(&scope(), &orders(), &other.arn, NORMAL).await.unwrap_err();
    assert_eq!((gone.kind, gone.code.as_str()), (ProviderErrorKind::NotFound, "ChangeSetNotFound"));
    let busy = world.create_change_set(&scope(), &orders(), "wg-2", &update(V1), NORMAL).await.unwrap_err();
    assert_eq!(busy.kind, ProviderErrorKind::Rejected);
    let running = world.delete_change_set(&scope(), &orders(), &set.arn).await.unwrap_err();
    assert_eq!(running.kind, ProviderErrorKind::Rejected);

    let statuses = follow(&world, &set.stack_id).await;
    assert_eq!(
        statuses,
        [StackStatus::UpdateInProgress, StackStatus::UpdateCompleteCleanupInProgress, StackStatus::UpdateComplete]
    );
    assert_eq!(world.template(&scope(), &orders(), NORMAL).await.unwrap().body(), BAD);
    assert!(view(&world, &orders()).await.last_updated > before.last_updated);
    let set = world.describe_change_set(&scope(), &orders(), &set.arn, NORMAL).await.unwrap();
    assert_eq!(set.execution_status, ExecutionStatus::ExecuteComplete);
    let trace = world.find_operation(&scope(), "orders", &"t-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    assert_eq!((trace.found, trace.stack_status), (true, Some(StackStatus::UpdateComplete)));
    assert!(trace.failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_preview_tells_replacements_removals_and_what_follows_from_them() {
    let world = world();
    let template = V1.replace("QueueName: orders,", "QueueName: orders-2,").replace(
        "  Old:\n    Type: AWS::SNS::Topic\n    DeletionPolicy: Retain\n",
        "  New:\n    Type: AWS::SNS::Topic\n",
    );
    let set = prepare(&world, &orders(), "wg-1", &update(&template)).await;
    let told: Vec<_> = set
        .preview
        .changes
        .iter()
        .map(|c| (c.logical_id.as_str(), c.action.as_str(), c.replacement.as_ref().map(Replacement::as_str)))
        .collect();
    assert_eq!(
        told,
        [
            ("Alarm", "Modify", Some("False")),
            ("New", "Add", None),
            ("Old", "Remove", None),
            ("Queue", "Modify", Some("True"))
        ]
    );
    let policies: Vec<_> = set.preview.changes.iter().map(|c| c.policy_action.as_ref().map(|p| p.as_str())).collect();
    assert_eq!(policies, [None, None, Some("Retain"), Some("ReplaceAndDelete")]);
    assert_eq!(set.preview.changes[0].details, ["Properties.Dimension Never Dynamic ResourceAttribute Queue"]);
    let resources = world.resources(&scope(), &orders(), NORMAL).await.unwrap();
    assert_eq!(
        resources.iter().map(|r| r.policy_action.as_ref().unwrap().as_str()).collect::<Vec<_>>(),
        ["Delete", "Retain", "Delete"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_set_without_changes_fails_with_the_providers_words() {
    let world = world();
    let set = prepare(&world, &orders(), "wg-1", &update(&format!("# a comment\n{V1}"))).await;
    assert!(set.says_no_changes(), "{set:?}");
    assert_eq!(set.execution_status, ExecutionStatus::Unavailable);
    let taken = world.create_change_set(&scope(), &orders(), "wg-1", &update(BAD), NORMAL).await.unwrap_err();
    assert_eq!(taken.kind, ProviderErrorKind::AlreadyExists);
    let missing = world.create_change_set(&scope(), &"none".into(), "wg-1", &update(BAD), NORMAL).await.unwrap_err();
    assert_eq!(missing.kind, ProviderErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_failing_update_is_rolled_back_to_the_same_bytes() {
    let world = world();
    let before = world.stack(&scope(), &orders()).unwrap();
    let broken = V1.replace("DelaySeconds: !Ref Delay", "DelaySeconds: 9, FailUpdate: true");
    let statuses = apply(&world, "t-1", &broken).await;
    assert_eq!(statuses.first(), Some(&StackStatus::UpdateInProgress));
    assert!(statuses.contains(&StackStatus::UpdateRollbackInProgress));
    assert_eq!(statuses.last(), Some(&StackStatus::UpdateRollbackComplete));
    let after = world.stack(&scope(), &orders()).unwrap();
    assert_eq!(after.content_digest(), before.content_digest());
    let trace = world.find_operation(&scope(), "orders", &"t-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    assert_eq!(trace.failures.iter().map(|f| f.logical_id.as_str()).collect::<Vec<_>>(), ["Queue"]);
    assert_eq!(trace.stack_status, Some(StackStatus::UpdateRollbackComplete));
}

#[tokio::test(start_paused = true)]
async fn a_failed_rollback_waits_for_continue() {
    let world = world();
    let broken = format!("{V1}  Stubborn:\n    Type: Sim::FailsRollback\n    Properties: {{ Tries: 2 }}\n");
    let statuses = apply(&world, "t-1", &broken).await;
    assert_eq!(statuses.last(), Some(&StackStatus::UpdateRollbackFailed));
    let refused = world.create_change_set(&scope(), &orders(), "wg-2", &update(BAD), NORMAL).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    let id = view(&world, &orders()).await.stack_id;
    world.continue_rollback(&scope(), &orders(), &"t-2".into()).await.unwrap();
    assert_eq!(follow(&world, &id).await.last(), Some(&StackStatus::UpdateRollbackFailed));
    let repeated = world.continue_rollback(&scope(), &orders(), &"t-2".into()).await.unwrap_err();
    assert_eq!(repeated.code, "TokenAlreadyExistsException");
    world.continue_rollback(&scope(), &orders(), &"t-3".into()).await.unwrap();
    assert_eq!(follow(&world, &id).await.last(), Some(&StackStatus::UpdateRollbackComplete));
    assert!(world.continue_rollback(&scope(), &orders(), &"t-4".into()).await.is_err());
    assert_eq!(world.stack(&scope(), &orders()).unwrap().template.body(), V1);
}

#[tokio::test(start_paused = true)]
async fn an_update_can_be_cancelled_while_it_is_in_progress_only() {
    let world = world();
    assert_eq!(
        world.cancel_update(&scope(), &orders(), &"c-0".into()).await.unwrap_err().kind,
        ProviderErrorKind::Rejected
    );
    let set = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    execute(&world, &orders(), &set.arn, "t-1").await;
    seconds(2).await;
    world.cancel_update(&scope(), &orders(), &"c-1".into()).await.unwrap();
    let statuses = follow(&world, &set.stack_id).await;
    assert_eq!(statuses.first(), Some(&StackStatus::UpdateRollbackInProgress));
    assert_eq!(statuses.last(), Some(&StackStatus::UpdateRollbackComplete));
    assert_eq!(world.stack(&scope(), &orders()).unwrap().template.body(), V1);
    let trace = world.find_operation(&scope(), "orders", &"c-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    assert_eq!(trace.stack_status, Some(StackStatus::UpdateRollbackComplete));
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_created_and_deleted() {
    let world = SimWorld::new(SimOptions::default());
    let set = prepare(&world, &orders(), "wg-1", &create(V1)).await;
    assert_eq!(view(&world, &orders()).await.status, StackStatus::ReviewInProgress);
    assert_eq!(set.preview.counts().added, 3);
    execute(&world, &orders(), &set.arn, "t-1").await;
    assert_eq!(follow(&world, &set.stack_id).await, [StackStatus::CreateInProgress, StackStatus::CreateComplete]);
    assert_eq!(world.template(&scope(), &orders(), NORMAL).await.unwrap().body(), V1);

    assert!(world.set_termination_protection(&scope(), &orders(), true));
    let refused = world.delete_stack(&scope(), &set.stack_id, &"d-0".into(), NORMAL).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    assert!(world.set_termination_protection(&scope(), &orders(), false));
    world.delete_stack(&scope(), &set.stack_id, &"d-1".into(), NORMAL).await.unwrap();
    assert_eq!(follow(&world, &set.stack_id).await, [StackStatus::DeleteInProgress, StackStatus::DeleteComplete]);
    assert!(world.describe(&scope(), &[orders()], NORMAL).await.unwrap().is_empty());
    let by_name = world.find_operation(&scope(), "orders", &"d-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    let by_id = world.find_operation(&scope(), &set.stack_id, &"d-1".into(), Timestamp::MIN, NORMAL).await.unwrap();
    assert_eq!((by_name.found, by_id.found), (false, true));
    let again = prepare(&world, &orders(), "wg-1", &create(V1)).await;
    assert_ne!(again.stack_id, set.stack_id);
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_leaves_a_stack_that_can_only_be_deleted() {
    let world = SimWorld::new(SimOptions::default());
    let set = prepare(&world, &orders(), "wg-1", &create("Resources: { Broken: { Type: 'Sim::Fails' } }")).await;
    execute(&world, &orders(), &set.arn, "t-1").await;
    assert_eq!(follow(&world, &set.stack_id).await.last(), Some(&StackStatus::RollbackComplete));
    let refused = world.create_change_set(&scope(), &orders(), "wg-2", &update(V1), NORMAL).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    world.delete_stack(&scope(), &set.stack_id, &"d-1".into(), NORMAL).await.unwrap();
    assert_eq!(follow(&world, &set.stack_id).await.last(), Some(&StackStatus::DeleteComplete));
}

#[tokio::test(start_paused = true)]
async fn hidden_values_are_kept_and_never_shown() {
    let world = world();
    let input = |parameters: [(&str, ParameterInput); 1]| ChangeSetInputs {
        template: None,
        parameters: parameters.map(|(key, value)| (key.to_owned(), value)).into(),
        ..update("")
    };
    assert!(view(&world, &orders()).await.parameters["Secret"].is_hidden());
    let kept = prepare(&world, &orders(), "wg-1", &input([("Secret", ParameterInput::Previous)])).await;
    assert!(kept.says_no_changes());
    let moved = prepare(&world, &orders(), "wg-2", &input([("Delay", ParameterInput::Value("7".into()))])).await;
    assert_eq!(moved.preview.changes[0].details, ["Properties.DelaySeconds Never Static ParameterReference Delay"]);
    assert!(moved.parameters["Secret"].is_hidden());
    assert!(!format!("{moved:?}{:?}", world.stack(&scope(), &orders())).contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn tags_are_kept_or_replaced_as_a_whole() {
    let world = SimWorld::new(SimOptions::default());
    let tags = BTreeMap::from([("team".to_owned(), "orders".to_owned())]);
    world.add_stack(&scope(), &orders(), V1, BTreeMap::new(), tags.clone()).unwrap();
    let kept = prepare(&world, &orders(), "wg-1", &update(BAD)).await;
    assert_eq!(kept.tags, tags);
    let cleared = ChangeSetInputs { tags: Some(BTreeMap::new()), ..update(V1) };
    let cleared = prepare(&world, &orders(), "wg-2", &cleared).await;
    assert!(cleared.tags.is_empty());
    assert_eq!(cleared.preview.changes[0].scope, ["Tags"]);
}

#[tokio::test(start_paused = true)]
async fn a_stack_policy_makes_the_update_fail() {
    let world = world();
    let policy = r#"{"Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "LogicalResourceId/Que*"}]}"#;
    assert!(world.set_policy(&scope(), &orders(), Some(policy)));
    assert_eq!(world.policy(&scope(), &orders(), NORMAL).await.unwrap().as_deref(), Some(policy));
    assert_eq!(apply(&world, "t-1", BAD).await.last(), Some(&StackStatus::UpdateRollbackComplete));
}

#[tokio::test(start_paused = true)]
async fn an_empty_shell_can_be_removed_and_its_change_set_is_gone() {
    let world = SimWorld::new(SimOptions::default());
    let set = prepare(&world, &orders(), "wg-1", &create(V1)).await;
    world.delete_stack(&scope(), &set.stack_id, &"d-1".into(), NORMAL).await.unwrap();
    let refused = world.execute_change_set(&scope(), &orders(), &set.arn, &"t".into(), NORMAL).await.unwrap_err();
    assert_eq!(refused.kind, ProviderErrorKind::Rejected);
    seconds(1).await;
    let gone = world.execute_change_set(&scope(), &orders(), &set.arn, &"t".into(), NORMAL).await.unwrap_err();
    assert_eq!(gone.kind, ProviderErrorKind::NotFound);
    assert!(world.stack(&scope(), &orders()).is_none());
    world.delete_stack(&scope(), &set.stack_id, &"d-2".into(), NORMAL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bad_inputs_are_refused_in_the_providers_words() {
    let world = world();
    let iam = V1.replace("AWS::SNS::Topic", "AWS::IAM::Role");
    let large = format!("{V1}#{}", "x".repeat(60_000));
    let retyped = V1.replace("AWS::SNS::Topic", "AWS::SQS::Queue");
    for (template, words) in [
        ("Resources: {}", "At least one Resources member must be defined"),
        ("Resources: { A: {} }", "Every Resources object must contain a Type member"),
        ("a: [", "Template format error"),
        ("Parameters: { P: { Type: String } }\nResources: { A: { Type: 'AWS::SNS::Topic' } }", "[P] must have values"),
        (iam.as_str(), "Requires capabilities : [CAPABILITY_IAM]"),
        (large.as_str(), "less than or equal to 51200"),
        (retyped.as_str(), "Update of resource type is not permitted"),
    ] {
        let refused =
            world.create_change_set(&scope(), &orders(), "wg-1", &update(template), NORMAL).await.unwrap_err();
        assert_eq!(refused.kind, ProviderErrorKind::Rejected, "{refused}");
        assert!(refused.message.contains(words), "{refused}");
    }
    let unknown =
        ChangeSetInputs { parameters: [("Nope".to_owned(), ParameterInput::Value("1".into()))].into(), ..update(V1) };
    let refused = world.create_change_set(&scope(), &orders(), "wg-1", &unknown, NORMAL).await.unwrap_err();
    assert!(refused.message.contains("[Nope] do not exist in the template"), "{refused}");
    assert!(world.create_change_set(&scope(), &orders(), "1-bad_name", &update(BAD), NORMAL).await.is_err());
}
