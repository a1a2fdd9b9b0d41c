//! What a test or a demo does to the world: set it up, act as a person, break things.

use super::alarms::SimAlarm;
use super::calls::{Operation, Refusal};
use super::exports::same_outputs;
use super::faults::{Fault, FaultKind, MetricFault, MetricRule, Outage};
use super::lifecycle::{Order, check_updatable};
use super::metrics::Incident;
use super::operations::{self, Work};
use super::preview::preview;
use super::resource_types::missing_capability;
use super::stacks::{Content, Resource, Stack};
use super::template::ParsedTemplate;
use super::world::{Inner, Place, SimWorld};
use crate::model::ids::{Region, StackName, Token};
use crate::model::observation::{AlarmState, ProviderError, ProviderErrorKind};
use crate::model::preview::{ExecutionStatus, ResourceChange};
use crate::model::stack::{DriftStatus, DriftView, Scope, StackRecord, StackStatus, Template};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Stacks.
impl SimWorld {
    /// Adds a stack in `CREATE_COMPLETE`, as if it had been there for long; gives its ARN.
    ///
    /// # Errors
    /// What CloudFormation says to a bad template or bad parameters, or `AlreadyExists`.
    pub fn add_stack(
        &self,
        scope: &Scope,
        name: &StackName,
        template: &str,
        parameters: BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
    ) -> Result<String, ProviderError> {
        let (mut inner, now) = self.now();
        let added = inner.add_stack(&scope.into(), name, template, &parameters, tags, now);
        added.map_err(|refusal| refusal.heard_by(Operation::CreateChangeSet))
    }

    /// The stack with its template; none when it does not exist or is an empty shell.
    pub fn stack(&self, scope: &Scope, name: &StackName) -> Option<StackRecord> {
        self.now().0.live(&scope.into(), name)?.record()
    }

    /// A person updates the stack past us, all at once: `UPDATE_COMPLETE`, change sets obsolete.
    ///
    /// # Errors
    /// What CloudFormation says to such an update.
    pub fn edit_stack(
        &self,
        scope: &Scope,
        name: &StackName,
        template: &str,
        parameters: BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let (mut inner, now) = self.now();
        inner.edit(scope, name, template, &parameters, now)?;
        inner.live_mut(&scope.into(), name).into_iter().for_each(|stack| operations::finish_now(stack, now));
        Ok(())
    }

    /// A person starts an update past us; it takes its time.
    ///
    /// # Errors
    /// As [`SimWorld::edit_stack`].
    pub fn begin_edit(
        &self,
        scope: &Scope,
        name: &StackName,
        template: &str,
        parameters: BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let (mut inner, now) = self.now();
        inner.edit(scope, name, template, &parameters, now)
    }

    /// A person deletes the stack, all at once, whatever protects it. False when there is none.
    pub fn remove_stack(&self, scope: &Scope, name: &StackName) -> bool {
        self.with_stack(scope, name, |stack, now| {
            stack.running = None;
            stack.enter(StackStatus::DeleteComplete, None, Some("Console-DeleteStack".into()), now);
            stack.change_sets.clear();
            stack.resources.clear();
            stack.deploy(now);
        })
    }

    /// Sets the stack policy. False when there is no such stack; so for all that follow.
    pub fn set_policy(&self, scope: &Scope, name: &StackName, policy: Option<&str>) -> bool {
        self.with_stack(scope, name, |stack, _| stack.policy = policy.map(ToOwned::to_owned))
    }

    /// Sets termination protection.
    pub fn set_termination_protection(&self, scope: &Scope, name: &StackName, on: bool) -> bool {
        self.with_stack(scope, name, |stack, _| stack.termination_protection = on)
    }

    /// Somebody looks for drift, and finds this; none: nobody has looked since the last operation.
    pub fn set_drift(&self, scope: &Scope, name: &StackName, status: Option<DriftStatus>) -> bool {
        self.with_stack(scope, name, |stack, now| {
            stack.drift = status.map(|status| DriftView { status, checked_at: Some(now) });
        })
    }

    /// Sets the service role that stays on the stack.
    pub fn set_role(&self, scope: &Scope, name: &StackName, role: Option<&str>) -> bool {
        self.with_stack(scope, name, |stack, _| {
            if let Some(content) = &mut stack.content {
                content.role_arn = role.map(ToOwned::to_owned);
            }
        })
    }

    /// Forces a status, with nothing running: a state that no script leads to, or a word that nobody knows.
    pub fn set_status(&self, scope: &Scope, name: &StackName, status: StackStatus, reason: Option<&str>) -> bool {
        self.with_stack(scope, name, |stack, now| {
            stack.running = None;
            stack.enter(status, reason.map(ToOwned::to_owned), None, now);
        })
    }

    /// The stack stays in the phase it is in until [`SimWorld::unstick`].
    pub fn stick(&self, scope: &Scope, name: &StackName) -> bool {
        self.with_stack(scope, name, |stack, now| {
            stack.stuck_since.get_or_insert(now);
        })
    }

    /// Lets a stuck stack go on where it stopped.
    pub fn unstick(&self, scope: &Scope, name: &StackName) -> bool {
        self.with_stack(scope, name, operations::unstick)
    }

    /// Somebody deletes a change set, by name or ARN. False when it is not there.
    pub fn vanish_change_set(&self, scope: &Scope, name: &StackName, change_set: &str) -> bool {
        let mut gone = false;
        self.with_stack(scope, name, |stack, _| {
            let before = stack.change_sets.len();
            stack.change_sets.retain(|_, set| !set.is_named(change_set));
            gone = stack.change_sets.len() < before;
        });
        gone
    }

    /// What the change set would do is another thing from now on: a reference in it resolves to something else. True when it is
    /// there.
    pub fn alter_change_set(&self, scope: &Scope, name: &StackName, change_set: &str) -> bool {
        let mut altered = false;
        self.with_stack(scope, name, |stack, _| {
            for set in stack.change_sets.values_mut().filter(|set| set.is_named(change_set)) {
                let more = set.changes.first().cloned();
                set.changes.extend(more.map(|change| ResourceChange { logical_id: "Altered".into(), ..change }));
                altered = true;
            }
        });
        altered
    }

    /// The names of the stack's change sets, sorted.
    pub fn change_sets(&self, scope: &Scope, name: &StackName) -> Vec<String> {
        let (inner, _) = self.now();
        inner.live(&scope.into(), name).map(|stack| stack.change_sets.keys().cloned().collect()).unwrap_or_default()
    }

    fn with_stack(&self, scope: &Scope, name: &StackName, change: impl FnOnce(&mut Stack, Timestamp)) -> bool {
        let (mut inner, now) = self.now();
        let Some(stack) = inner.live_mut(&scope.into(), name) else { return false };
        change(stack, now);
        stack.remember();
        true
    }
}

/// Faults.
impl SimWorld {
    /// The next `times` calls of `operation`, wherever they go, meet `fault`. Rules are used up in the order in which they
    /// were set.
    pub fn inject(&self, operation: Operation, fault: Fault, times: u32) {
        self.now().0.faults.inject(operation, None, fault, times);
    }

    /// As [`SimWorld::inject`], for calls that name this stack.
    pub fn inject_at(&self, operation: Operation, scope: &Scope, stack: &StackName, fault: Fault, times: u32) {
        self.now().0.faults.inject(operation, Some((scope.into(), stack.to_string())), fault, times);
    }

    /// A region fails, or is well again (none).
    pub fn set_outage(&self, region: &Region, outage: Option<Outage>) {
        self.now().0.faults.set_outage(region, outage);
    }

    /// Sets the chance of a random fault from now on.
    pub fn set_fault_rate(&self, rate: f64) {
        self.now().0.options.fault_rate = rate;
    }

    /// Every scripted fault, outage and metric fault ends, and the chance of random ones is zero. What has happened stays.
    pub fn clear_faults(&self) {
        let (mut inner, _) = self.now();
        inner.faults.clear();
        inner.options.fault_rate = 0.0;
    }

    /// How often each kind of fault has struck, scripted or random.
    pub fn fault_counts(&self) -> BTreeMap<FaultKind, u64> {
        self.now().0.faults.counts.clone()
    }
}

/// Health.
impl SimWorld {
    /// Series with this dimension value, or of the cell of this name, follow what is deployed in `stack`.
    pub fn bind(&self, scope: &Scope, dimension_value: &str, stack: StackName) {
        let (mut inner, _) = self.now();
        inner.bindings.entry((scope.into(), dimension_value.to_owned())).or_default().insert(stack);
    }

    /// Breaks series whose metric's name contains `metric` (in any case), all of them or those with a dimension value.
    pub fn break_metric(&self, scope: &Scope, metric: &str, dimension_value: Option<&str>, fault: MetricFault) {
        let rule = MetricRule {
            place: scope.into(),
            metric: metric.to_lowercase(),
            dimension: dimension_value.map(ToOwned::to_owned),
            fault,
        };
        self.now().0.faults.metrics.push(rule);
    }

    /// Ends every metric fault.
    pub fn mend_metrics(&self) {
        self.now().0.faults.metrics.clear();
    }

    /// Something that no deployment did changes a metric.
    pub fn add_incident(&self, scope: &Scope, incident: Incident) {
        self.now().0.incidents.push((scope.into(), incident));
    }

    /// Adds an alarm that is open while the newest 60 s of `metric` are above `threshold`.
    pub fn add_alarm(&self, scope: &Scope, name: &str, metric: &str, dimension_value: &str, threshold: f64) {
        self.add_alarm_with(scope, name, SimAlarm::above(metric, dimension_value, threshold));
    }

    /// Adds an alarm as it is given, or puts it in the place of the one of that name.
    pub fn add_alarm_with(&self, scope: &Scope, name: &str, alarm: SimAlarm) {
        self.now().0.alarms.insert((scope.into(), name.to_owned()), alarm);
    }

    /// Holds an alarm in a state from now on; none: it follows its metric again. False when there is no such alarm.
    pub fn force_alarm(&self, scope: &Scope, name: &str, state: Option<AlarmState>) -> bool {
        let (mut inner, now) = self.now();
        let Some(alarm) = inner.alarms.get_mut(&(scope.into(), name.to_owned())) else { return false };
        alarm.forced = state.map(|state| (state, now));
        true
    }
}

impl Inner {
    fn add_stack(
        &mut self,
        place: &Place,
        name: &StackName,
        template: &str,
        parameters: &BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        if self.live(place, name).is_some() {
            let message = format!("Stack [{name}] already exists");
            return Err(Refusal::new(ProviderErrorKind::AlreadyExists, "AlreadyExistsException", message));
        }
        let parsed = ParsedTemplate::parse(template)?;
        let mut resources = BTreeMap::new();
        for (id, declared) in &parsed.resources {
            let physical_id = self.new_physical_id(name, id, Some(declared));
            resources.insert(id.clone(), Resource { kind: declared.kind.clone(), physical_id });
        }
        let content = Content {
            template: Template::new(template),
            parameters: parsed.values(parameters)?,
            capabilities: missing_capability(&parsed, &BTreeSet::new()).map(ToOwned::to_owned).into_iter().collect(),
            parsed: Arc::new(parsed),
            tags,
            role_arn: None,
            notification_arns: Vec::new(),
            rollback_configuration: Default::default(),
        };
        let id = self.add_shell(place, name, now);
        if let Some(stack) = self.stacks.get_mut(&id) {
            (stack.content, stack.resources) = (Some(content), resources);
            stack.enter(StackStatus::CreateComplete, None, None, now);
            stack.deploy(now);
        }
        Ok(id)
    }

    /// `UpdateStack` by a person's hand.
    fn edit(
        &mut self,
        scope: &Scope,
        name: &StackName,
        template: &str,
        parameters: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        self.try_edit(&scope.into(), name, template, parameters, now).map_err(|refusal| ProviderError {
            operation: "UpdateStack".to_owned(),
            ..refusal.heard_by(Operation::ExecuteChangeSet)
        })
    }

    fn try_edit(
        &mut self,
        place: &Place,
        name: &StackName,
        template: &str,
        parameters: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let stack = self.live(place, name).ok_or_else(|| Refusal::no_stack(name))?;
        check_updatable(stack)?;
        let Some(before) = &stack.content else { return Err(Refusal::no_stack(name)) };
        let parsed = ParsedTemplate::parse(template)?;
        let content = Content {
            template: Template::new(template),
            parameters: parsed.values(parameters)?,
            parsed: Arc::new(parsed),
            ..before.clone()
        };
        let changes = preview(Some(before), &content, &stack.resources);
        if changes.is_empty() && same_outputs(before, &content) {
            return Err(Refusal::validation("No updates are to be performed."));
        }
        let token = Token::new(format!("Console-UpdateStack-{:016x}", self.rng.u64(..)));
        for set in self.live_mut(place, name).into_iter().flat_map(|stack| stack.change_sets.values_mut()) {
            set.execution = ExecutionStatus::Obsolete;
        }
        let order = Order { work: Work::Update, content, changes: &changes, token: &token, change_set: None };
        self.begin(place, name, order, now);
        Ok(())
    }
}
