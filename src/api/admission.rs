//! What stands between a rollout and its waves, as data: the judgement, what it waits for, who may release it and what they must say.

use super::comparing::{self, ComparisonView};
use super::reasons::{self, ReasonView};
use super::view::HealthView;
use super::words::{Explained, plain, plural};
use crate::engine::approval::{self, Standing, Wanted};
use crate::engine::guardrail::figures;
use crate::model::approval::{ApprovalRequest, ApprovalRule};
use crate::model::class::{Autonomy, Classified, Reversibility};
use crate::model::decision::{Decision, Judged, ScopeFigures};
use crate::model::ids::{RolloutId, TargetId};
use crate::model::principal::Principal;
use crate::model::state::{Rollout, RolloutPhase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a rollout stands with guardrails and people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdmissionView {
    /// Its name.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// What follows from the findings.
    #[schema(value_type = String)]
    pub decision: Decision,
    /// What people must say.
    #[schema(value_type = String)]
    pub level: Autonomy,
    /// What the change does, in words that follow from the previews alone.
    pub scope: String,
    /// The same in numbers.
    #[schema(value_type = Object)]
    pub figures: ScopeFigures,
    /// Covers plan, previews, findings, policies and approvers: what an approval is of.
    pub digest: String,
    /// What was found, what stands in the way first.
    #[schema(value_type = Vec<Object>)]
    pub found: Vec<ReasonView>,
    /// What the next wave waits for, without anybody's doing.
    #[schema(value_type = Vec<Object>)]
    pub waits: Vec<ReasonView>,
    /// What people are asked; none: nobody is.
    pub request: Option<RequestView>,
    /// By target: whether it can be undone, and why not.
    #[schema(value_type = Object)]
    pub reversibility: BTreeMap<TargetId, Reversibility>,
    /// Who said no, and why.
    #[schema(value_type = Option<Vec<String>>)]
    pub rejected: Option<(String, String)>,
}

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RequestView {
    /// Who must agree, in words.
    pub asks: String,
    /// What is still wanting, in words; none: it is granted.
    pub wanting: Option<String>,
    /// Who could agree, and has not.
    pub can_release: Vec<String>,
    /// Who has agreed.
    pub given: Vec<AnswerView>,
    /// Whose approvals were used, up to which wave (counted from 1).
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub used: Option<(Vec<String>, usize)>,
    /// What an approver repeats.
    pub key_figure: Option<String>,
    /// The waves that are asked for, counted from 1.
    pub waves: usize,
    /// For how long an approval counts.
    pub valid_for: String,
    /// What an approver types.
    pub command: String,
}

/// One person's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerView {
    /// Who.
    pub by: String,
    /// For whom.
    pub party: String,
    /// Up to which wave, counted from 1.
    pub through_wave: usize,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Why a rollout does not go on, who can release it, and what would make it pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// Its name.
    #[schema(value_type = String)]
    pub rollout: RolloutId,
    /// In a sentence.
    pub standing: String,
    /// Each reason with what to do.
    pub reasons: Vec<Explained>,
    /// With the guardrails and people, in full.
    pub admission: Option<AdmissionView>,
    /// Operations that wait for a limit of the moment.
    #[schema(value_type = Vec<Object>)]
    pub stalled: Vec<ReasonView>,
    /// What the newest look at health says.
    #[serde(default)]
    pub health: Option<HealthView>,
    /// What the comparison has seen.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub comparison: Option<ComparisonView>,
}

/// Where a rollout stands; none: the guardrails have not looked yet. Without a time, approvals count as when the newest was given.
pub fn view(rollout: &Rollout, at: Option<Timestamp>) -> Option<AdmissionView> {
    let admission = &rollout.admission;
    let judged = admission.judged.as_deref()?;
    let newest = admission.given.iter().map(|given| given.at).max().unwrap_or(judged.at);
    let mut found: Vec<ReasonView> = judged.found.iter().map(reasons::view).collect();
    found.sort_by_key(|view| (view.found.dry_run, std::cmp::Reverse(view.found.follows.decision())));
    let worst = |classified: &Classified| classified.reversibility;
    Some(AdmissionView {
        rollout: rollout.plan.rollout.clone(),
        decision: decision(rollout, judged),
        level: judged.level,
        scope: figures::words(&judged.scope),
        figures: judged.scope.clone(),
        digest: judged.digest.to_string(),
        found,
        waits: admission.waits.iter().map(reasons::view).collect(),
        request: judged.request.as_ref().map(|request| self::request(rollout, judged, request, at.unwrap_or(newest))),
        reversibility: rollout
            .targets
            .iter()
            .filter_map(|(id, target)| Some((id.clone(), worst(target.classified.as_deref()?))))
            .collect(),
        rejected: admission.rejected.clone(),
    })
}

/// As recorded, and `wait` while the next wave waits for time or other rollouts.
fn decision(rollout: &Rollout, judged: &Judged) -> Decision {
    let waits = rollout.admission.waits.iter().any(|found| !found.dry_run);
    if waits { judged.decision.max(Decision::Wait) } else { judged.decision }
}

fn request(rollout: &Rollout, judged: &Judged, request: &ApprovalRequest, at: Timestamp) -> RequestView {
    let admission = &rollout.admission;
    let people = rollout.plan.safeguards.as_ref().map(|s| &s.approvals.people);
    let approvers = people.into_iter().flat_map(BTreeMap::values);
    let given = &admission.given;
    let covered = admission.covers(request.through_wave);
    let wanting = match approval::standing(request, given, at) {
        _ if covered => None,
        Standing::Granted { .. } => None,
        Standing::Wanting(wanted) => Some(self::wanting(&wanted)),
    };
    RequestView {
        asks: asks(&request.rule),
        wanting,
        can_release: approval::eligible(request, approvers)
            .filter(|person| !given.iter().any(|given| given.by.is_same_person(person)))
            .map(who)
            .collect(),
        given: given
            .iter()
            .map(|given| AnswerView {
                by: given.by.name.clone(),
                party: given.by.party.clone(),
                through_wave: given.through_wave + 1,
                at: given.at,
            })
            .collect(),
        used: admission.used.as_ref().map(|used| (used.by.clone(), used.through_wave + 1)),
        key_figure: request.key_figure.clone(),
        waves: request.through_wave + 1,
        valid_for: request.valid_for.to_string(),
        command: command(rollout, judged, request),
    }
}

fn command(rollout: &Rollout, judged: &Judged, request: &ApprovalRequest) -> String {
    let confirm = request.key_figure.as_ref().map(|figure| format!(" --confirm \"{figure}\"")).unwrap_or_default();
    format!("wavegate approve {} --digest {}{confirm}", rollout.plan.rollout, judged.digest.short())
}

fn who(person: &Principal) -> String {
    let groups: Vec<&str> = person.groups.iter().map(String::as_str).collect();
    let groups = if groups.is_empty() { String::new() } else { format!(", {}", groups.join(", ")) };
    format!("{} ({}{groups})", person.name, person.party)
}

/// Who must agree, in words.
pub fn asks(rule: &ApprovalRule) -> String {
    let mut parts = vec![format!("{} {}", rule.count, plural(rule.count, "person", "people"))];
    if rule.parties > 1 {
        parts.push(format!("of {} parties", rule.parties));
    }
    parts.extend(rule.groups.iter().map(|(group, count)| format!("{count} of them of group {group}")));
    parts.join(", ")
}

fn wanting(wanted: &Wanted) -> String {
    let mut parts = Vec::new();
    if wanted.people > 0 {
        parts.push(format!("{} more {}", wanted.people, plural(wanted.people, "person", "people")));
    }
    if wanted.parties > 0 {
        parts.push(format!("of {} more {}", wanted.parties, plural(wanted.parties, "party", "parties")));
    }
    parts.extend(wanted.groups.iter().map(|(group, count)| format!("{count} more of group {group}")));
    parts.join(", ")
}

/// Why a rollout does not go on. `stalled` are the limits of the moment that its next operations wait for.
pub fn explain(rollout: &Rollout, killed: Option<String>, stalled: Vec<ReasonView>, at: Timestamp) -> Explanation {
    let admission = view(rollout, Some(at));
    let mut reasons: Vec<Explained> = Vec::new();
    let mut say = |why: String, next: String| reasons.push(Explained { why, next });
    if let Some(kill) = killed {
        say(
            format!("a kill is in force: {kill}"),
            "two people lift it, each with `wavegate resume --lift KILL`".into(),
        );
    }
    if let Some(hold) = &rollout.hold {
        let words = super::words::hold(hold);
        say(words.why, words.next);
    }
    if let Some(revert) = &rollout.revert {
        say(super::words::revert(revert), "it goes, or has gone, back; propose another change".into());
    }
    if let Some(view) = &admission {
        for found in view
            .found
            .iter()
            .chain(&view.waits)
            .filter(|f| !f.found.dry_run && f.found.follows.decision() > Decision::Allow)
        {
            say(format!("{}; {}", found.why, found.rule), found.satisfied_by.clone());
        }
        if let Some(wanting) = view.request.as_ref().and_then(|request| request.wanting.as_ref()) {
            let command = view.request.as_ref().map(|request| request.command.clone()).unwrap_or_default();
            say(format!("approvals are wanting: {wanting}"), command);
        }
    }
    for found in &stalled {
        say(format!("{}; {}", found.why, found.rule), found.satisfied_by.clone());
    }
    Explanation {
        rollout: rollout.plan.rollout.clone(),
        standing: standing(rollout),
        reasons,
        admission,
        stalled,
        health: rollout.health.as_ref().map(super::view::last_health),
        comparison: rollout.baseline.as_ref().zip(rollout.compared.as_ref()).map(|(b, c)| comparing::view(b, c)),
    }
}

fn standing(rollout: &Rollout) -> String {
    let wave = |n: usize| rollout.plan.waves.get(n).map(|w| plain(&w.name)).unwrap_or_default();
    match rollout.phase {
        RolloutPhase::Previewing => "nothing has been touched yet".into(),
        RolloutPhase::Rolling { wave: n } => format!("wave {} ({}) is being changed", n + 1, wave(n)),
        RolloutPhase::Baking { wave: n } => format!("wave {} ({}) is out and watched", n + 1, wave(n)),
        RolloutPhase::Reverting => "it goes back, last wave first".into(),
        RolloutPhase::Ended(outcome) => format!("it has ended: {}", super::fact::ended(outcome)),
    }
}
