//! All guardrails together: what they found in a plan, and what follows.

use super::super::policy::{self, Policies, Question};
use super::super::{answer, approval};
use super::exposure::Exposure;
use super::{
    autonomy, blast_radius, cost, dependents, drift, environment_order, figures, finding, kill_drill, rate, windows,
};
use crate::model::approval::ApprovalRequest;
use crate::model::class::Autonomy;
use crate::model::decision::{Cause, Consequence, Decision, Found, Judged, Reason, ScopeFigures};
use crate::model::document::diagnostic::Diagnostics;
use crate::model::ids::{Digest, DigestError};
use crate::model::principal::Principal;
use crate::model::safeguards::{PolicyFile, Safeguards};
use crate::model::state::{Rollout, State};
use jiff::Timestamp;

/// Judges a rollout whose targets have all been previewed.
///
/// # Errors
/// As [`Digest::of_value`].
pub fn judge(state: &State, rollout: &Rollout, at: Timestamp) -> Result<Judged, DigestError> {
    let plan = &rollout.plan;
    let Some(safeguards) = &plan.safeguards else { return nothing_asked(rollout, at) };
    let (scope, mut found) = standing(state, rollout, at);
    found.extend(nobody_signs_off(safeguards, rollout, state));
    let level = level(&found);
    let proposer = answer::proposer(rollout);
    let handed_in_by = answer::handed_in_by(rollout);
    let mut request = safeguards.approvals.rule(level).map(|rule| ApprovalRequest {
        rollout: plan.rollout.clone(),
        digest: rollout.plan_digest.clone(),
        rule: rule.is.clone(),
        proposer,
        handed_in_by,
        through_wave: plan.waves.len().saturating_sub(1),
        key_figure: figures::key_figure(&scope),
        valid_for: safeguards.approvals.valid_for,
    });
    if let Some(nobody) = request.as_ref().and_then(|request| nobody_may(safeguards, request, level)) {
        found.push(nobody);
        request = None;
    }
    let level = self::level(&found);
    let digest = digest(rollout, &found, request.as_ref())?;
    if let Some(request) = &mut request {
        request.digest = digest.clone();
    }
    Ok(Judged { decision: decision(level), level, found, scope, request, digest, at })
}

fn nothing_asked(rollout: &Rollout, at: Timestamp) -> Result<Judged, DigestError> {
    let digest = digest(rollout, &[], None)?;
    let (level, scope) = (Autonomy::Autonomous, ScopeFigures::default());
    Ok(Judged { decision: Decision::Allow, level, found: Vec::new(), scope, request: None, digest, at })
}

/// The strictest of what is not on trial.
fn level(found: &[Found]) -> Autonomy {
    let levels = found.iter().filter(|found| !found.dry_run).filter_map(|found| match found.follows {
        Consequence::Needs(level) => Some(level),
        Consequence::Waits { .. } => None,
    });
    levels.max().unwrap_or(Autonomy::Autonomous)
}

fn decision(level: Autonomy) -> Decision {
    Consequence::Needs(level).decision()
}

/// What nobody can ever release is refused at once, not held for ever.
fn nobody_may(safeguards: &Safeguards, request: &ApprovalRequest, level: Autonomy) -> Option<Found> {
    let eligible: Vec<&Principal> = approval::eligible(request, safeguards.approvals.people.values()).collect();
    let wanted = approval::wanting_of(&request.rule, eligible.iter().copied());
    if wanted.is_nothing() {
        return None;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Some(nobody(safeguards, level, count(eligible.len()), request.rule.count))
}

/// The same of a sign-off: one person is asked, and there is none.
fn nobody_signs_off(safeguards: &Safeguards, rollout: &Rollout, state: &State) -> Option<Found> {
    let asked = environment_order::asks_sign_off(rollout, state);
    let able = asked && safeguards.approvals.people.values().any(|person| answer::may_sign_off(rollout, person));
    (asked && !able).then(|| nobody(safeguards, Autonomy::OneApproval, 0, 1))
}

fn nobody(safeguards: &Safeguards, level: Autonomy, eligible: u32, needed: u32) -> Found {
    Found {
        what: Reason::NobodyMayApprove { level, eligible, needed },
        cause: Some(Cause { file: safeguards.file.clone(), line: 0, rule: "approvals.people".into() }),
        follows: Consequence::Needs(Autonomy::Forbidden),
        dry_run: false,
    }
}

/// Covers the plan (and with it the safeguards, policies and rules), every preview, every finding and who must agree.
fn digest(rollout: &Rollout, found: &[Found], request: Option<&ApprovalRequest>) -> Result<Digest, DigestError> {
    let counting: Vec<&Found> = found.iter().filter(|found| !found.dry_run).collect();
    Digest::of_value(&serde_json::json!({
        "plan": rollout.plan_digest,
        "previews": previews(rollout),
        "found": counting,
        "rule": request.map(|r| (&r.rule, &r.proposer, &r.handed_in_by, r.through_wave, &r.key_figure)),
    }))
}

/// Every preview, by its own digest, as one: a document with thousands of them would take a third of a judgement's time.
fn previews(rollout: &Rollout) -> Digest {
    let mut all = String::new();
    for (id, target) in &rollout.targets {
        let (id, preview) = (id.as_str(), target.approved.as_ref().map_or("-", Digest::as_str));
        // The length goes first, so that no two lists read alike.
        let parts = [preview, " ", &id.len().to_string(), " ", id, "\n"];
        parts.into_iter().for_each(|part| all.push_str(part));
    }
    Digest::of_bytes(all.as_bytes())
}

/// What speaks against the plan as it is, whenever it starts. What only waits is asked again before each wave ([`waits`]).
fn standing(state: &State, rollout: &Rollout, at: Timestamp) -> (ScopeFigures, Vec<Found>) {
    let costs = cost::costs(rollout, at);
    let scope = figures::of(rollout, costs.monthly);
    let mut found = autonomy::levels(rollout, state);
    found.extend(blast_radius::rollout(rollout));
    found.extend(window(state, rollout, at));
    found.extend(costs.found);
    found.extend(dependents::findings(rollout));
    found.extend(drift::findings(rollout, at));
    found.extend(environment_order::at_plan(rollout, state));
    found.extend(windows(rollout, at));
    found.extend(policies(rollout, &scope, level(&found)));
    // Only what would start without anybody is counted by the rate.
    if level(&found) == Autonomy::Autonomous {
        found.extend(rate::findings(rollout, state, at));
    }
    found.retain(|found| matches!(found.follows, Consequence::Needs(_)));
    (scope, found)
}

/// The pipeline's policies. They were compiled when the pipeline was read; ones that do not compile now are another release's, and
/// nobody knows what they would say (S24).
fn policies(rollout: &Rollout, scope: &ScopeFigures, level: Autonomy) -> Vec<Found> {
    let Some(files) = rollout.plan.safeguards.as_deref().map(|s| &s.policies).filter(|files| !files.is_empty()) else {
        return Vec::new();
    };
    match Policies::compile(files) {
        Ok(policies) => policy::findings(&policies, &Question::of(rollout, scope, level)),
        Err(faults) => faults.iter().map(|fault| uncompiled(fault, files)).collect(),
    }
}

fn uncompiled(fault: &Diagnostics, files: &[PolicyFile]) -> Found {
    let file = files.first().map(|file| file.file.clone()).unwrap_or_default();
    Found {
        what: Reason::PolicyFailed { policy: file.clone(), error: fault.to_string() },
        cause: Some(Cause { file, line: 1, rule: "policies".into() }),
        follows: Consequence::Needs(Autonomy::Forbidden),
        dry_run: false,
    }
}

/// What has begun within the pipeline's window, where it has one. Nothing older is looked at.
fn window(state: &State, rollout: &Rollout, at: Timestamp) -> Vec<Found> {
    let Some(per) = blast_radius::look_back(&rollout.plan) else { return Vec::new() };
    blast_radius::window(rollout, &Exposure::of(state, finding::before(at, per)), at)
}

fn windows(rollout: &Rollout, at: Timestamp) -> Vec<Found> {
    let agent = finding::is_of_agent(&rollout.plan);
    rollout.plan.safeguards.as_deref().map(|s| windows::findings(s, agent, at)).unwrap_or_default()
}

/// What a wave waits for, without anybody's doing. A window or a freeze closes every wave, not only the first one.
pub fn waits(state: &State, rollout: &Rollout, wave: usize, at: Timestamp) -> Vec<Found> {
    let mut found = windows(rollout, at);
    found.extend(environment_order::at_wave(rollout, wave, state));
    // What has begun within a time is asked of a rollout once, before its first wave: half a rollout is no safe place to wait in.
    if wave == 0 {
        found.extend(window(state, rollout, at));
        found.extend(kill_drill::findings(rollout, state, at));
    }
    found.retain(|found| matches!(found.follows, Consequence::Waits { .. }));
    found
}
