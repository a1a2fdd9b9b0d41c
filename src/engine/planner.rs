//! Change set + pipeline → plan: targets resolved, waves laid out, everything frozen.

use crate::model::change_set::read::template_parameters;
use crate::model::change_set::{Action, Admitted, StackChange};
use crate::model::ids::{CellId, RolloutId, StackKey, TargetId};
use crate::model::pipeline::check::select_cells;
use crate::model::pipeline::{Cell, Irreversible, Pipeline, WaveSpec};
use crate::model::plan::{PipelineRef, Plan, PlannedChangeSet, PlannedTarget, PlannedWave};
use crate::model::principal::{Principal, PrincipalKind};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The change set names another pipeline.
    #[error("the change set is for pipeline `{wanted}`, not `{given}`; name the pipeline it is for")]
    OtherPipeline {
        /// What it names.
        wanted: String,
        /// What there is.
        given: String,
    },
    /// A stack that no cell has.
    #[error("no cell of pipeline `{pipeline}` has a stack `{stack}`; the fleet's stacks are: {known}")]
    UnknownStack {
        /// The change set's name of it.
        stack: StackKey,
        /// The pipeline.
        pipeline: String,
        /// What the fleet has.
        known: String,
    },
    /// A deletion, and the pipeline refuses what cannot be undone.
    #[error(
        "deleting stack `{stack}` cannot be undone, and pipeline `{pipeline}` refuses that; `revert.irreversible: allow` would let it in"
    )]
    Irreversible {
        /// The change set's name of it.
        stack: StackKey,
        /// The pipeline.
        pipeline: String,
    },
    /// The template cannot be read.
    #[error("the template of stack `{stack}` cannot be read: {reason}; mend the template")]
    Template {
        /// The change set's name of it.
        stack: StackKey,
        /// Why.
        reason: String,
    },
}

/// Lays out a rollout.
///
/// # Errors
/// [`PlanError`], one for each fault of the change set against this pipeline.
pub fn plan(
    change_set: &Admitted,
    pipeline: &Pipeline,
    rollout: RolloutId,
    look_only: bool,
    now: Timestamp,
) -> Result<Plan, Vec<PlanError>> {
    let errors = faults(change_set, pipeline);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut plan = Plan {
        rollout,
        change_set: PlannedChangeSet {
            digest: change_set.digest.clone(),
            agent: change_set.agent.clone(),
            title: change_set.title.clone(),
            reasoning: change_set.reasoning.clone(),
        },
        pipeline: PipelineRef { name: pipeline.name.clone(), digest: pipeline.digest.clone() },
        created_at: now,
        look_only,
        templates: change_set
            .stacks
            .iter()
            .filter_map(|(_, c)| c.template.clone())
            .map(|t| (t.digest().clone(), t))
            .collect(),
        cells: BTreeMap::new(),
        waves: Vec::new(),
        targets: BTreeMap::new(),
        health: pipeline.health.clone(),
        repairs: change_set.repairs.clone(),
        revert: pipeline.revert.clone(),
        proposer: Some(proposer(change_set, pipeline)),
        safeguards: Some(Arc::clone(&pipeline.safeguards)),
    };
    for (spec, cells) in pipeline.waves.iter().zip(select_cells(&pipeline.cells, &pipeline.waves)) {
        lay_out(&mut plan, spec, &cells, change_set, pipeline);
    }
    Ok(plan)
}

/// Whom the change set comes from, as the pipeline knows them. An agent that the pipeline does not name has no party: then nobody is
/// known to be of another one, and nobody can approve what it proposes.
fn proposer(change_set: &Admitted, pipeline: &Pipeline) -> Principal {
    let known = pipeline.safeguards.approvals.agents.get(&change_set.agent.trim().to_lowercase());
    known.cloned().unwrap_or_else(|| Principal {
        name: change_set.agent.clone(),
        kind: PrincipalKind::Agent,
        party: String::new(),
        groups: BTreeSet::new(),
    })
}

fn faults(change_set: &Admitted, pipeline: &Pipeline) -> Vec<PlanError> {
    let mut errors = Vec::new();
    if change_set.pipeline != pipeline.name {
        errors.push(PlanError::OtherPipeline { wanted: change_set.pipeline.clone(), given: pipeline.name.clone() });
    }
    let known: BTreeSet<&StackKey> = pipeline.cells.iter().flat_map(|c| c.stacks.keys()).collect();
    for (stack, change) in &change_set.stacks {
        if !known.contains(stack) {
            let known = known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
            errors.push(PlanError::UnknownStack { stack: stack.clone(), pipeline: pipeline.name.clone(), known });
        }
        if change.action == Action::Delete && pipeline.revert.irreversible == Irreversible::Refuse {
            errors.push(PlanError::Irreversible { stack: stack.clone(), pipeline: pipeline.name.clone() });
        }
        if let Some(Err(reason)) = change.template.as_ref().map(|t| template_parameters(t.body())) {
            errors.push(PlanError::Template { stack: stack.clone(), reason });
        }
    }
    errors
}

/// Adds one wave. One that none of the change set's stacks is in is left out: there is nothing to do and nothing to watch.
fn lay_out(plan: &mut Plan, spec: &WaveSpec, cells: &[CellId], change_set: &Admitted, pipeline: &Pipeline) {
    let wave = plan.waves.len();
    let mut ids = Vec::new();
    for cell in by_region(cells, &pipeline.cells) {
        for (order, (key, change)) in (0_u32..).zip(&change_set.stacks) {
            if let Some(target) = target(cell, key, change, wave, order) {
                let id = TargetId::of(&cell.name, key);
                plan.targets.insert(id.clone(), target);
                plan.cells.insert(cell.name.clone(), cell.clone());
                ids.push(id);
            }
        }
    }
    if ids.is_empty() {
        return;
    }
    plan.waves.push(PlannedWave {
        name: spec.name.clone(),
        one_box: spec.one_box,
        max_concurrent: spec.max_concurrent.of(ids.len(), 1),
        failure_tolerance: spec.failure_tolerance.of(ids.len(), 0),
        targets: ids,
        regions: spec.regions,
        bake: spec.bake,
        bake_datapoints: spec.bake_datapoints,
        max_bake: spec.max_bake,
    });
}

/// The cells of a wave, region by region in the order in which the fleet first names them.
fn by_region<'a>(wanted: &[CellId], cells: &'a [Cell]) -> Vec<&'a Cell> {
    let chosen: Vec<&Cell> = cells.iter().filter(|c| wanted.contains(&c.name)).collect();
    let mut regions = Vec::new();
    for cell in &chosen {
        if !regions.contains(&&cell.region) {
            regions.push(&cell.region);
        }
    }
    regions.into_iter().flat_map(|region| chosen.iter().copied().filter(move |c| c.region == *region)).collect()
}

fn target(cell: &Cell, key: &StackKey, change: &StackChange, wave: usize, order: u32) -> Option<PlannedTarget> {
    let declared =
        change.template.as_ref().and_then(|t| template_parameters(t.body()).ok()).map(|d| d.into_keys().collect());
    Some(PlannedTarget {
        cell: cell.name.clone(),
        environment: cell.environment.clone(),
        key: key.clone(),
        stack: cell.stacks.get(key)?.clone(),
        scope: cell.scope(),
        wave,
        order,
        action: change.action,
        template: change.template.as_ref().map(|t| t.digest().clone()),
        declared,
        parameters: change.parameters.clone(),
        tags: change.tags.clone(),
        capabilities: change.capabilities.clone(),
    })
}
