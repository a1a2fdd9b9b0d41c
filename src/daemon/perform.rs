//! An effect → calls of the world → one reply. No decision: an effect that needs two calls stops at the first error.

use crate::cloud::{Priority, World};
use crate::engine::effect::{Answer, Call, Effect, EffectId, Reply};
use crate::model::ids::StackName;
use crate::model::observation::{ProviderError, ProviderErrorKind};
use crate::model::preview::{ContextWanted, PreviewContext};
use crate::model::stack::{Scope, StackRecord, StackStatus, StackView};

/// Who carries effects out. Every [`World`] does.
pub trait Perform: Send + Sync + 'static {
    /// One effect, one reply under the same name.
    fn perform(&self, effect: Effect) -> impl Future<Output = (EffectId, Reply)> + Send;
}

impl<W: World> Perform for W {
    async fn perform(&self, effect: Effect) -> (EffectId, Reply) {
        perform(self, effect).await
    }
}

/// Performs one effect.
pub async fn perform<W: World>(world: &W, effect: Effect) -> (EffectId, Reply) {
    let priority = if effect.urgent { Priority::Reserved } else { Priority::Normal };
    let scope = &effect.scope;
    let reply = match effect.call {
        Call::ObserveStacks(stacks) => world.describe(scope, &stacks, priority).await.map(Answer::Stacks),
        Call::ReadRecord { view, with_policy } => read_record(world, scope, *view, with_policy, priority).await,
        Call::ReadResources { stack, stack_id, context } => {
            read_resources(world, scope, (&stack, &stack_id), context, priority).await
        }
        Call::CreateChangeSet { stack, name, inputs } => {
            world.create_change_set(scope, &stack, &name, &inputs, priority).await.map(Answer::Created)
        }
        Call::DescribeChangeSet { stack, change_set, with_template, context } => {
            let named = (&stack, change_set.as_str());
            describe(world, scope, named, with_template, context.unwrap_or_default(), priority).await
        }
        Call::DeleteChangeSet { stack, change_set, shell } => fence(world, scope, &stack, &change_set, shell).await,
        Call::ExecuteChangeSet { stack, arn, token, .. } => {
            world.execute_change_set(scope, &stack, &arn, &token, priority).await.map(|()| Answer::Done)
        }
        Call::DeleteStack { stack_id, token, .. } => {
            world.delete_stack(scope, &stack_id, &token, priority).await.map(|()| Answer::Done)
        }
        Call::CancelUpdate { stack, token } => world.cancel_update(scope, &stack, &token).await.map(|()| Answer::Done),
        Call::ContinueRollback { stack, token } => {
            world.continue_rollback(scope, &stack, &token).await.map(|()| Answer::Done)
        }
        Call::FindOperation { stack, token, since } => {
            world.find_operation(scope, &stack, &token, since, priority).await.map(Answer::Trace)
        }
        Call::ReadMetrics { queries, from, to } => world.metrics(scope, &queries, from, to).await.map(Answer::Series),
        Call::ReadAlarms(names) => world.alarms(scope, &names).await.map(Answer::Alarms),
    };
    (effect.id, reply)
}

async fn read_record<W: World>(
    world: &W,
    scope: &Scope,
    view: StackView,
    with_policy: bool,
    priority: Priority,
) -> Reply {
    let template = world.template(scope, &view.name, priority).await?;
    let policy = if with_policy { world.policy(scope, &view.name, priority).await? } else { None };
    Ok(Answer::Record(Box::new(StackRecord { view, template, policy })))
}

async fn read_resources<W: World>(
    world: &W,
    scope: &Scope,
    (stack, stack_id): (&StackName, &str),
    wanted: ContextWanted,
    priority: Priority,
) -> Reply {
    let changes = world.resources(scope, stack, priority).await?;
    let context = match wanted.anything() {
        true => world.preview_context(scope, stack_id, None, wanted, priority).await?,
        false => PreviewContext::default(),
    };
    Ok(Answer::Resources(changes, context))
}

async fn describe<W: World>(
    world: &W,
    scope: &Scope,
    (stack, change_set): (&StackName, &str),
    with_template: bool,
    wanted: ContextWanted,
    priority: Priority,
) -> Reply {
    let mut described = world.describe_change_set(scope, stack, change_set, priority).await?;
    if wanted.anything() && described.is_ready() {
        let arn = Some(described.arn.as_str());
        described.context = world.preview_context(scope, &described.stack_id, arn, wanted, priority).await?;
    }
    let template = match with_template {
        true => Some(world.change_set_template(scope, stack, change_set, priority).await?),
        false => None,
    };
    Ok(Answer::ChangeSet(Box::new(described), template))
}

/// Deletes the change set and then, where the stack did not exist before, the empty shell that a change set of type CREATE leaves.
async fn fence<W: World>(world: &W, scope: &Scope, stack: &StackName, change_set: &str, shell: bool) -> Reply {
    world.delete_change_set(scope, stack, change_set).await?;
    if shell {
        let found = world.describe(scope, std::slice::from_ref(stack), Priority::Reserved).await?;
        if let Some(view) = found.get(stack).filter(|view| view.status == StackStatus::ReviewInProgress) {
            remove_shell(world, scope, view).await?;
        }
    }
    Ok(Answer::Done)
}

async fn remove_shell<W: World>(world: &W, scope: &Scope, view: &StackView) -> Result<(), ProviderError> {
    let token = crate::model::ids::Token::new("wg-remove-shell");
    match world.delete_stack(scope, &view.stack_id, &token, Priority::Reserved).await {
        // An empty shell: whether this very call removed it does not matter, and trying again is harmless.
        Err(error) if error.kind == ProviderErrorKind::Ambiguous => {
            Err(ProviderError { kind: ProviderErrorKind::Unavailable, ..error })
        }
        result => result,
    }
}
