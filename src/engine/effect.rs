//! The closed list of what the world may be asked. Nothing else leaves this program.

use crate::model::event::Direction;
use crate::model::ids::{RolloutId, StackName, TargetId, Token};
use crate::model::observation::{AlarmView, MetricQuery, OperationTrace, ProviderError, Series};
use crate::model::preview::{ContextWanted, DescribedChangeSet, PreviewContext, ResourceChange};
use crate::model::stack::{ChangeSetInputs, Scope, StackRecord, StackView, Template};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Names one effect of this process, so that its reply finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// What an effect does to safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Changes a target towards the change: needs two independent checks.
    Forward,
    /// Puts a target back, or cancels.
    Reverse,
    /// Makes sure that something cannot start any more.
    Fence,
    /// Changes no resource. Creating a change set is of this class: it is a computed preview.
    Read,
}

/// One thing that the world is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Its name.
    pub id: EffectId,
    /// What it does to safety.
    pub class: Class,
    /// On whose behalf; none: for several rollouts at once.
    pub rollout: Option<RolloutId>,
    /// Of which target.
    pub target: Option<TargetId>,
    /// True for reverts, fences and the reads that they wait for: they may use the reserved share of the budget.
    pub urgent: bool,
    /// Where the call goes.
    pub scope: Scope,
    /// The call.
    pub call: Call,
}

/// The calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Which of these stacks exist, and how they are: one batch.
    ObserveStacks(Vec<StackName>),
    /// Template (and policy) of a stack that was just observed.
    ReadRecord {
        /// As it was observed.
        view: Box<StackView>,
        /// Restore points hold the stack policy; proofs do not compare it.
        with_policy: bool,
    },
    /// The stack's resources: the preview of a deletion.
    ReadResources {
        /// Of which stack.
        stack: StackName,
        /// Its ARN.
        stack_id: String,
        /// What else the guardrails need.
        context: ContextWanted,
    },
    /// Create a change set.
    CreateChangeSet {
        /// For which stack.
        stack: StackName,
        /// Its name.
        name: String,
        /// What is wanted.
        inputs: Box<ChangeSetInputs>,
    },
    /// Describe a change set, by ARN or name.
    DescribeChangeSet {
        /// Of which stack.
        stack: StackName,
        /// ARN or name.
        change_set: String,
        /// Also read its template: where the answer to its creation was lost, its name alone does not say whose it is.
        with_template: bool,
        /// What else the guardrails need, once it is made; none: this look is not for them.
        context: Option<ContextWanted>,
    },
    /// Delete a change set, and the empty shell of a stack that it may have left.
    DeleteChangeSet {
        /// Of which stack.
        stack: StackName,
        /// ARN or name.
        change_set: String,
        /// The stack did not exist before: remove its `REVIEW_IN_PROGRESS` shell too.
        shell: bool,
    },
    /// Execute a change set by ARN.
    ExecuteChangeSet {
        /// Of which stack.
        stack: StackName,
        /// What.
        arn: String,
        /// On every event of the operation.
        token: Token,
        /// There or back.
        direction: Direction,
    },
    /// Delete a stack by ARN.
    DeleteStack {
        /// What.
        stack_id: String,
        /// On every event of the operation.
        token: Token,
        /// There or back.
        direction: Direction,
    },
    /// Cancel an update in progress.
    CancelUpdate {
        /// Of which stack.
        stack: StackName,
        /// On every event of the operation.
        token: Token,
    },
    /// Continue a failed rollback.
    ContinueRollback {
        /// Of which stack.
        stack: StackName,
        /// On every event of the operation.
        token: Token,
    },
    /// Look for an operation by its token.
    FindOperation {
        /// Name or ARN of the stack.
        stack: String,
        /// Which.
        token: Token,
        /// Events before are not of this operation.
        since: Timestamp,
    },
    /// Read metrics; the flag asks for the sample counts too.
    ReadMetrics {
        /// What.
        queries: Vec<(MetricQuery, bool)>,
        /// From, inclusive.
        from: Timestamp,
        /// To, exclusive.
        to: Timestamp,
    },
    /// Read alarms.
    ReadAlarms(Vec<String>),
}

/// What the world answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `ObserveStacks`: those that exist.
    Stacks(BTreeMap<StackName, StackView>),
    /// To `ReadRecord`.
    Record(Box<StackRecord>),
    /// To `ReadResources`.
    Resources(Vec<ResourceChange>, PreviewContext),
    /// To `CreateChangeSet`: the ARN.
    Created(String),
    /// To `DescribeChangeSet`.
    ChangeSet(Box<DescribedChangeSet>, Option<Template>),
    /// To everything whose success says all.
    Done,
    /// To `FindOperation`.
    Trace(OperationTrace),
    /// To `ReadMetrics`: a series for each query, in order.
    Series(Vec<Series>),
    /// To `ReadAlarms`.
    Alarms(BTreeMap<String, Option<AlarmView>>),
}

/// An answer, or why there is none.
pub type Reply = Result<Answer, ProviderError>;
