//! CloudFormation and CloudWatch, as little of them as the protocol rests on: stacks with their status, change sets by ARN that
//! are executed once and deleted by each other's execution, and operations found by their token.

use crate::fixture::{ALARM, AT, STACKS, fixture, number};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wavegate::engine::effect::{Answer, Call, Reply};
use wavegate::model::ids::{StackName, Token};
use wavegate::model::observation::{AlarmState, AlarmView, OperationTrace, ProviderError, ProviderErrorKind as Kind};
use wavegate::model::preview::{
    ChangeSetStatus, DescribedChangeSet, ExecutionStatus, Preview, PreviewContext, ResourceAction, ResourceChange,
};
use wavegate::model::stack::{DriftStatus, DriftView, RollbackConfiguration, StackRecord, StackStatus, StackView};

/// What a stack, or a change set, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// As it was before the rollout.
    Original,
    /// The change.
    Ours,
    /// A person's edit.
    Foreign,
}

/// The one alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// `OK`.
    Ok,
    /// `ALARM`.
    Open,
    /// The read fails.
    Unreadable,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// As asked.
    Complete,
    /// Rolled back.
    RolledBack,
    /// `UPDATE_ROLLBACK_FAILED`.
    RollbackFailed,
}

/// A change set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CfnSet {
    /// Its name.
    pub name: Arc<str>,
    /// Never used twice, also where a name is.
    pub arn: Arc<str>,
    /// What the stack held when it was made.
    pub from: Content,
    /// What it makes of the stack.
    pub to: Content,
    /// The preview was made after a drift.
    pub drifted: bool,
    /// It is being executed.
    pub executing: bool,
    /// Of the leader who made it.
    pub epoch: u64,
}

/// An operation, as the stack's events show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Traced {
    /// On each of its events.
    pub token: Token,
    /// Its end, when it has one.
    pub ended: Option<StackStatus>,
}

/// A stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// What it holds.
    pub content: Content,
    /// Its status.
    pub status: StackStatus,
    /// Resources have drifted: the same change has another preview, and nothing else shows it.
    pub drifted: bool,
    /// Moves on with every operation: `LastUpdatedTime`.
    pub updated: u8,
    /// Change sets made so far.
    made: u8,
    /// Those that exist.
    pub sets: Vec<CfnSet>,
    /// From and to of the operation under way.
    running: Option<(Content, Content)>,
    /// Its events.
    pub log: Vec<Traced>,
}

/// The world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provider {
    /// By number.
    pub stacks: [Arc<Stack>; STACKS],
    /// The alarm.
    pub alarm: Alarm,
    /// The newest leader that an operation or a change set came from (S4).
    pub newest: u64,
}

/// An error of that kind.
pub fn error(operation: &str, kind: Kind) -> ProviderError {
    ProviderError { operation: operation.into(), kind, code: String::new(), message: String::new() }
}

impl Default for Provider {
    fn default() -> Self {
        let stack = Arc::new(Stack {
            content: Content::Original,
            status: StackStatus::CreateComplete,
            drifted: false,
            updated: 0,
            made: 0,
            sets: Vec::new(),
            running: None,
            log: Vec::new(),
        });
        Self { stacks: std::array::from_fn(|_| Arc::clone(&stack)), alarm: Alarm::Ok, newest: 0 }
    }
}

impl Stack {
    fn view(&self, n: usize) -> StackView {
        StackView {
            stack_id: format!("arn:{n}"),
            name: fixture().names[n].clone(),
            status: self.status.clone(),
            status_reason: None,
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            capabilities: Default::default(),
            role_arn: None,
            notification_arns: Vec::new(),
            rollback_configuration: RollbackConfiguration::default(),
            termination_protection: false,
            last_updated: AT.checked_add(Duration::from_secs(self.updated.into())).ok(),
            drift: Some(DriftView { status: DriftStatus::InSync, checked_at: Some(AT) }),
        }
    }

    fn set(&self, wanted: &str) -> Option<usize> {
        self.sets.iter().position(|set| *set.arn == *wanted || *set.name == *wanted)
    }

    /// Starts to execute the change set of that ARN: the stack's others are gone.
    pub fn execute(&mut self, arn: &str, token: &Token) -> Reply {
        let Some(at) = self.set(arn) else { return Err(error("ExecuteChangeSet", Kind::NotFound)) };
        if self.sets[at].executing || !self.status.is_settled_complete() {
            return Err(error("ExecuteChangeSet", Kind::Rejected));
        }
        let mut set = self.sets.swap_remove(at);
        set.executing = true;
        self.running = Some((self.content, set.to));
        self.sets = vec![set];
        self.status = StackStatus::UpdateInProgress;
        self.updated += 1;
        self.log.push(Traced { token: token.clone(), ended: None });
        Ok(Answer::Done)
    }

    /// Deletes the change set of that ARN or name.
    pub fn delete_set(&mut self, wanted: &str) -> Reply {
        match self.set(wanted) {
            Some(at) if self.sets[at].executing => Err(error("DeleteChangeSet", Kind::Rejected)),
            Some(at) => {
                self.sets.remove(at);
                Ok(Answer::Done)
            }
            None => Ok(Answer::Done),
        }
    }

    /// Cancels the update in progress.
    pub fn cancel(&mut self) -> Reply {
        if self.status != StackStatus::UpdateInProgress {
            return Err(error("CancelUpdateStack", Kind::Rejected));
        }
        self.status = StackStatus::UpdateRollbackInProgress;
        Ok(Answer::Done)
    }

    /// Goes on with a failed rollback.
    pub fn continue_rollback(&mut self, token: &Token) -> Reply {
        if self.status != StackStatus::UpdateRollbackFailed {
            return Err(error("ContinueUpdateRollback", Kind::Rejected));
        }
        self.status = StackStatus::UpdateRollbackInProgress;
        self.log.push(Traced { token: token.clone(), ended: None });
        Ok(Answer::Done)
    }

    /// True when the provider can end its operation this way now.
    pub fn can_end(&self, end: End) -> bool {
        match self.status {
            StackStatus::UpdateInProgress => true,
            StackStatus::UpdateRollbackInProgress => end != End::Complete,
            _ => false,
        }
    }

    /// The operation under way ends.
    pub fn end(&mut self, end: End) {
        let Some((from, to)) = self.running else { return };
        (self.status, self.content) = match end {
            End::Complete => (StackStatus::UpdateComplete, to),
            End::RolledBack => (StackStatus::UpdateRollbackComplete, from),
            End::RollbackFailed => (StackStatus::UpdateRollbackFailed, to),
        };
        self.sets.clear();
        if end != End::RollbackFailed {
            self.running = None;
        }
        if let Some(traced) = self.log.last_mut() {
            traced.ended = Some(self.status.clone());
        }
    }

    /// A person changes the stack: change sets made before it can no longer be executed.
    pub fn edit(&mut self) {
        self.content = Content::Foreign;
        self.status = StackStatus::UpdateComplete;
        self.updated += 1;
        self.sets.clear();
    }

    fn create(&mut self, n: usize, name: &str, to: Content, epoch: u64) -> Reply {
        if !self.status.is_settled_complete() {
            return Err(error("CreateChangeSet", Kind::Rejected));
        }
        if self.set(name).is_some() {
            return Err(error("CreateChangeSet", Kind::AlreadyExists));
        }
        self.made += 1;
        let arn: Arc<str> = format!("arn:{n}:{}:{name}", self.made).into();
        self.sets.push(CfnSet {
            name: name.into(),
            arn: Arc::clone(&arn),
            from: self.content,
            to,
            drifted: self.drifted,
            executing: false,
            epoch,
        });
        self.sets.sort_by(|a, b| a.arn.cmp(&b.arn));
        Ok(Answer::Created(arn.to_string()))
    }

    fn describe(&self, n: usize, wanted: &str, with_template: bool) -> Reply {
        let Some(at) = self.set(wanted) else { return Err(error("DescribeChangeSet", Kind::NotFound)) };
        let set = &self.sets[at];
        let mut described = described(n, set.from, set.to, set.drifted);
        described.arn = set.arn.to_string();
        described.name = set.name.to_string();
        if set.executing {
            described.execution_status = ExecutionStatus::ExecuteInProgress;
        }
        let template = with_template.then(|| fixture().templates[set.to as usize].clone());
        Ok(Answer::ChangeSet(Box::new(described), template))
    }

    fn find(&self, token: &Token) -> OperationTrace {
        let found = self.log.iter().find(|traced| traced.token == *token);
        OperationTrace {
            token: token.clone(),
            found: found.is_some(),
            last_event: None,
            failures: Vec::new(),
            stack_status: found.map(|traced| traced.ended.clone().unwrap_or(StackStatus::UpdateInProgress)),
        }
    }
}

/// A change set of that stack which is not being executed.
pub fn described(n: usize, from: Content, to: Content, drifted: bool) -> DescribedChangeSet {
    let empty = from == to;
    DescribedChangeSet {
        arn: String::new(),
        name: String::new(),
        stack_id: format!("arn:{n}"),
        status: if empty { ChangeSetStatus::Failed } else { ChangeSetStatus::CreateComplete },
        status_reason: empty.then(|| "The submitted information didn't contain changes.".into()),
        execution_status: if empty { ExecutionStatus::Unavailable } else { ExecutionStatus::Available },
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        capabilities: Default::default(),
        preview: Preview { changes: vec![change(from, to, drifted)] },
        context: PreviewContext::default(),
    }
}

/// The provider's list of changes depends on what the stack held and on what it is to hold.
fn change(from: Content, to: Content, drifted: bool) -> ResourceChange {
    ResourceChange {
        action: ResourceAction::Modify,
        logical_id: format!("{from:?}{to:?}{}", if drifted { "Drifted" } else { "" }),
        physical_id: None,
        resource_type: String::new(),
        replacement: None,
        policy_action: None,
        scope: Vec::new(),
        details: Vec::new(),
        nested_change_set: None,
        nested: None,
    }
}

impl Provider {
    /// The stack, to change.
    pub fn stack(&mut self, n: usize) -> &mut Stack {
        Arc::make_mut(&mut self.stacks[n])
    }

    /// `CreateChangeSet`.
    pub fn create(&mut self, n: usize, name: &str, to: Content, epoch: u64) -> Reply {
        let reply = self.stack(n).create(n, name, to, epoch);
        if reply.is_ok() {
            self.newest = self.newest.max(epoch);
        }
        reply
    }

    /// A call that changes nothing; none: it is not one.
    pub fn read(&self, call: &Call) -> Option<Reply> {
        Some(match call {
            Call::ObserveStacks(names) => {
                let view = |name: &StackName| (name.clone(), self.stacks[number(name)].view(number(name)));
                Ok(Answer::Stacks(names.iter().map(view).collect()))
            }
            Call::ReadRecord { view, .. } => {
                let template = fixture().templates[self.stacks[number(&view.name)].content as usize].clone();
                Ok(Answer::Record(Box::new(StackRecord { view: (**view).clone(), template, policy: None })))
            }
            Call::DescribeChangeSet { stack, change_set, with_template, .. } => {
                self.stacks[number(stack)].describe(number(stack), change_set, *with_template)
            }
            Call::FindOperation { stack, token, .. } => {
                let arn = stack.strip_prefix("arn:").and_then(|n| n.parse::<usize>().ok());
                let n = arn.unwrap_or_else(|| number(&stack.as_str().into()));
                Ok(Answer::Trace(self.stacks[n].find(token)))
            }
            Call::ReadAlarms(_) => match self.alarm {
                Alarm::Unreadable => Err(error("DescribeAlarms", Kind::Unavailable)),
                alarm => Ok(Answer::Alarms(BTreeMap::from([(ALARM.to_owned(), Some(view_of(alarm)))]))),
            },
            _ => return None,
        })
    }
}

fn view_of(alarm: Alarm) -> AlarmView {
    AlarmView {
        name: ALARM.to_owned(),
        state: if alarm == Alarm::Open { AlarmState::Alarm } else { AlarmState::Ok },
        reason: String::new(),
        since: None,
        evaluation_trouble: None,
        composite: false,
        muted: None,
        several_series: false,
    }
}
