//! S6, S7 and S22, judged from the records and from what the provider is about to do: who agreed to what, and whether that was enough.
//! Nothing of the engine's classification, judgement or counting of approvals is asked.

use super::ledger::{Intent, Ledger};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use wavegate::cloud::sim::Act;
use wavegate::model::approval::{Approval, ApprovalRequest, ApprovalRule};
use wavegate::model::class::{Autonomy, ChangeClass};
use wavegate::model::event::{Event, Outcome, Settlement};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::{Digest, RolloutId};
use wavegate::model::plan::Plan;
use wavegate::model::preview::{Replacement, ResourceAction, ResourceChange};
use wavegate::model::principal::{Principal, PrincipalKind};
use wavegate::model::safeguards::Safeguards;
use wavegate::model::state::{Phase, Rollout};
use wavegate::model::time::since;

/// What people said to one rollout.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// What is asked for now.
    digest: Option<Digest>,
    request: Option<ApprovalRequest>,
    /// Answers that are there, each with the world's time.
    given: Vec<(Approval, Timestamp)>,
    /// What answers were used for.
    uses: Vec<Use>,
    rejected: bool,
    /// Environments that somebody signed off.
    pub signed_off: BTreeSet<String>,
    /// Steps of autonomy that its agent had lost when it began.
    owed: u32,
    /// By the world's clock.
    ended: Option<Timestamp>,
}

/// Answers that were used.
#[derive(Clone, Debug)]
struct Use {
    digest: Digest,
    through_wave: usize,
    answers: Vec<(Approval, Timestamp)>,
    at: Timestamp,
}

/// Takes a durable record in.
pub fn remember(ledger: &mut Ledger, event: &Event, now: Timestamp) {
    let Some(rollout) = event.rollout().cloned() else { return };
    let case = ledger.cases.entry(rollout.clone()).or_default();
    match event {
        Event::GuardrailsJudged { judged, .. } => {
            case.digest = Some(judged.digest.clone());
            case.request.clone_from(&judged.request);
        }
        Event::ApprovalGiven { approval } => case.given.push((approval.clone(), now)),
        Event::ApprovalRevoked { by, .. } => case.given.retain(|(answer, _)| !same(&answer.by.name, by)),
        Event::ApprovalRejected { .. } => case.rejected = true,
        Event::EnvironmentSignedOff { environment, by, .. } => {
            case.signed_off.insert(environment.clone());
            invariant_s6_sign_off(ledger, &rollout, environment, by);
        }
        Event::ApprovalsUsed { digest, by, through_wave, .. } => {
            let mut answers = Vec::new();
            for name in by {
                // INVARIANT: S7. What was used once is not there a second time.
                match case.given.iter().rposition(|(answer, _)| answer.by.name == *name) {
                    Some(at) => answers.push(case.given.remove(at)),
                    None => {
                        let what = format!("{rollout}: an approval of {name} is used that is not there");
                        return ledger.broken("S7", what);
                    }
                }
            }
            // An answer of the same person that was too old by then goes with it.
            case.given.retain(|(answer, _)| !by.contains(&answer.by.name));
            case.uses.push(Use { digest: digest.clone(), through_wave: *through_wave, answers, at: now });
        }
        Event::RolloutEnded { .. } => case.ended = Some(now),
        Event::WaveStarted { wave: 0, .. } => {
            let owed = ledger.state.rollouts.get(&rollout).map_or(0, |r| owed(ledger, r, now));
            ledger.cases.entry(rollout).or_default().owed = owed;
        }
        Event::RolloutResumed { by, .. } => {
            invariant_s6_orders(ledger, std::slice::from_ref(by), "lets a rollout go on")
        }
        _ => {}
    }
}

/// S6: no agent resumes or lifts.
pub fn invariant_s6_orders(ledger: &mut Ledger, by: &[String], does: &str) {
    let agent = by.iter().find(|name| ["kiro", "robot"].iter().any(|agent| same(agent, name)));
    // A daemon knows the agents of the rollouts that are open.
    let known = ledger.state.open_rollouts().any(|rollout| rollout.plan.safeguards.is_some());
    if let Some(agent) = agent.filter(|_| known).cloned() {
        ledger.broken("S6", format!("{agent} is an agent, and {does}"));
    }
}

fn invariant_s6_sign_off(ledger: &mut Ledger, rollout: &RolloutId, environment: &str, by: &Principal) {
    let Some(rollout) = ledger.state.rollouts.get(rollout) else { return };
    if let Some(why) = may_not(rollout, by) {
        ledger.broken("S6", format!("{environment} is signed off by {}, {why}", by.name));
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

/// Why somebody must not have a say in this rollout.
fn may_not(rollout: &Rollout, by: &Principal) -> Option<String> {
    let plan = &rollout.plan;
    let safeguards = plan.safeguards.as_deref()?;
    let people = &safeguards.approvals.people;
    let party_of = |name: &str| people.values().find(|p| same(&p.name, name)).map(|p| p.party.clone());
    let is_agent = safeguards.approvals.agents.values().any(|agent| same(&agent.name, &by.name));
    if is_agent || by.kind != PrincipalKind::Human {
        return Some("which is no person".into());
    }
    // The list of people says for whom somebody acts, not the record.
    let Some(party) = party_of(&by.name) else { return Some("whom nobody knows".into()) };
    let proposer = plan.proposer.as_ref();
    let of_agent = proposer.map(|p| p.party.clone()).filter(|party| !party.trim().is_empty());
    let of_sender = party_of(&rollout.by);
    let theirs: Vec<String> = of_agent.into_iter().chain(of_sender).collect();
    if party.trim().is_empty() || theirs.is_empty() || theirs.iter().any(|of| same(of, &party) || of.trim().is_empty())
    {
        return Some(format!("who acts for `{party}`, and {theirs:?} proposed it"));
    }
    let itself = [proposer.map_or("", |p| p.name.as_str()), &rollout.by];
    itself.iter().any(|name| same(name, &by.name)).then(|| "who proposed it".into())
}

/// Judged where the provider starts a forward call.
pub fn invariant_s6_s7_s22(ledger: &mut Ledger, act: &Act, rollout: &Rollout, intent: &Intent) {
    let Some(safeguards) = rollout.plan.safeguards.clone() else { return };
    let Some(planned) = rollout.plan.targets.get(&intent.target) else { return };
    let seen = act.found.as_ref().and_then(|found| found.change_set.as_ref());
    let here = seen.map(|(described, _)| classes(&described.preview.changes)).unwrap_or_default();
    let of = |class: &ChangeClass| level(&safeguards, &planned.environment, *class);
    let case = ledger.cases.get(&intent.rollout).cloned().unwrap_or_default();
    let rest = needed(rollout, case.owed, true);
    let wanted = here.iter().map(of).max().unwrap_or(Autonomy::Autonomous).max(rest);
    // What would be asked if nothing were opaque: if that is there, only what cannot be seen is missing.
    let seen = here.iter().filter(|class| **class != ChangeClass::Opaque).map(of).max();
    let seen = seen.unwrap_or(Autonomy::Autonomous).max(needed(rollout, case.owed, false));
    let Err((number, why)) = is_enough(&case, rollout, &safeguards, wanted, planned.wave) else { return };
    let enough_if_seen = is_enough(&case, rollout, &safeguards, seen, planned.wave).is_ok();
    let number = if enough_if_seen { "S22" } else { number };
    ledger.broken(number, format!("{} starts, which asks for {wanted}: {why}", intent.target));
}

/// What the table says; as shipped where it says nothing.
fn level(safeguards: &Safeguards, environment: &str, class: ChangeClass) -> Autonomy {
    if let Some(set) = safeguards.autonomy.rows.get(environment).and_then(|row| row.get(&class)) {
        return set.is;
    }
    match class {
        ChangeClass::Additive | ChangeClass::InPlace => Autonomy::Autonomous,
        ChangeClass::Disruptive => Autonomy::OneApproval,
        _ => Autonomy::TwoApprovals,
    }
}

/// The classes of the few changes that are simulated. Every type in it holds what is lost with it.
fn classes(changes: &[ResourceChange]) -> BTreeSet<ChangeClass> {
    let mut classes = BTreeSet::new();
    for change in changes {
        match (&change.action, &change.replacement) {
            (ResourceAction::Add, _) => drop(classes.insert(ChangeClass::Additive)),
            (ResourceAction::Modify, Some(Replacement::False)) => drop(classes.insert(ChangeClass::InPlace)),
            (ResourceAction::Remove, _) => classes.extend([ChangeClass::Destructive, ChangeClass::Irreversible]),
            _ => drop(classes.insert(ChangeClass::Opaque)),
        }
        if change.resource_type.starts_with("Custom::") {
            classes.insert(ChangeClass::Opaque);
        }
    }
    classes
}

/// What people must say to the rollout as a whole, by the previews on record; with or without what is opaque in them.
fn needed(rollout: &Rollout, owed: u32, opaque: bool) -> Autonomy {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return Autonomy::Autonomous };
    let mut wanted = None;
    for (id, planned) in &rollout.plan.targets {
        let Some(target) = rollout.targets.get(id) else { continue };
        if matches!(target.phase, Phase::Settled(Settlement::Unchanged)) {
            continue;
        }
        let mut classes = classes(&target.changes);
        if classes.is_empty() {
            classes.insert(ChangeClass::Opaque);
        }
        let of = |class: ChangeClass| level(safeguards, &planned.environment, class);
        let counted = classes.into_iter().filter(|class| opaque || *class != ChangeClass::Opaque);
        wanted = wanted.max(counted.map(of).max());
    }
    let Some(wanted) = wanted else { return Autonomy::Autonomous };
    (0..owed).fold(wanted, |level, _| match level {
        Autonomy::Autonomous => Autonomy::OneApproval,
        Autonomy::OneApproval => Autonomy::TwoApprovals,
        same => same,
    })
}

/// How many steps the agent has lost when its rollout begins, at most two: reverts that were not made good by then.
fn owed(ledger: &Ledger, rollout: &Rollout, now: Timestamp) -> u32 {
    let earned = rollout.plan.safeguards.as_deref().and_then(|s| s.autonomy.earned);
    let Some(earned) = earned else { return 0 };
    let agent = |plan: &Plan| plan.proposer.as_ref().map(|p| p.name.to_lowercase());
    let ended = ledger.state.rollouts.values().filter_map(|other| other.ended.map(|nth| (nth, other)));
    let mut ended: Vec<(u64, &Rollout)> =
        ended.filter(|(_, other)| agent(&other.plan) == agent(&rollout.plan)).collect();
    ended.sort_by_key(|(nth, _)| *nth);
    let (mut owed, mut clean) = (0_u32, 0);
    for (_, other) in ended {
        // What is written in one breath with the start could not be known.
        let known = ledger.cases.get(&other.plan.rollout).and_then(|case| case.ended).is_some_and(|at| at < now);
        let people =
            matches!(other.revert, Some(RevertReason::PlanOnly | RevertReason::Denied | RevertReason::Rejected { .. }));
        match other.outcome() {
            Some(Outcome::Reverted | Outcome::Stuck) if !people && known => (owed, clean) = (owed + 1, 0),
            Some(Outcome::Succeeded) => {
                clean += 1;
                if clean >= earned.return_after.is.max(1) {
                    (owed, clean) = (owed.saturating_sub(1), 0);
                }
            }
            _ => {}
        }
    }
    owed.min(2)
}

type Verdict = Result<(), (&'static str, String)>;

/// Whether what people said is enough for this wave.
fn is_enough(case: &Case, rollout: &Rollout, safeguards: &Safeguards, wanted: Autonomy, wave: usize) -> Verdict {
    let pipelines = match wanted {
        Autonomy::Forbidden => return Err(("S7", "nobody can allow it".into())),
        Autonomy::OneApproval => Some(&safeguards.approvals.one.is),
        Autonomy::TwoApprovals => Some(&safeguards.approvals.two.is),
        Autonomy::Autonomous => None,
    };
    if case.rejected {
        return Err(("S7", "somebody said no".into()));
    }
    let Some(digest) = &case.digest else { return Err(("S7", "nothing was judged".into())) };
    let asked = case.request.as_ref().map(|request| &request.rule);
    let rules: Vec<&ApprovalRule> = pipelines.into_iter().chain(asked).collect();
    let Some(strictest) = rules.iter().max_by_key(|rule| (rule.count, rule.parties)) else { return Ok(()) };
    let uses: Vec<&Use> = case.uses.iter().filter(|used| used.digest == *digest && used.through_wave >= wave).collect();
    let Some(used) = uses.last() else {
        return Err(("S7", format!("no approval was used for wave {wave}; {} uses", case.uses.len())));
    };
    let mut persons: BTreeMap<String, &Principal> = BTreeMap::new();
    for (answer, given) in used.answers.iter().filter(|(answer, _)| answer.through_wave >= wave) {
        counts(answer, *given, used, case, rollout, safeguards)?;
        if persons.insert(answer.by.name.trim().to_lowercase(), &answer.by).is_some() {
            return Err(("S6", format!("{} counts twice", answer.by.name)));
        }
    }
    let parties: BTreeSet<String> = persons.values().map(|p| p.party.trim().to_lowercase()).collect();
    let few = |n: usize, of: u32| n < usize::try_from(of).unwrap();
    for rule in &rules {
        let group = rule
            .groups
            .iter()
            .find(|(group, n)| few(persons.values().filter(|p| p.groups.contains(*group)).count(), **n));
        if few(persons.len(), rule.count) || few(parties.len(), rule.parties) || group.is_some() {
            let who: Vec<&String> = persons.keys().collect();
            if persons.len() < used.answers.len() {
                return Err(("S7", format!("of those who agreed, only {who:?} agreed to wave {wave}")));
            }
            return Err(("S6", format!("{who:?} of {parties:?} are not enough for {strictest:?}")));
        }
    }
    Ok(())
}

fn counts(
    answer: &Approval,
    given: Timestamp,
    used: &Use,
    case: &Case,
    rollout: &Rollout,
    safeguards: &Safeguards,
) -> Verdict {
    let name = &answer.by.name;
    if let Some(why) = may_not(rollout, &answer.by) {
        return Err(("S6", format!("{name} agreed, {why}")));
    }
    if answer.rollout != rollout.plan.rollout || answer.digest != used.digest {
        return Err(("S7", format!("{name} agreed to something else")));
    }
    // The clock of the world has milliseconds, and a record takes its time.
    let age = since(given, used.at);
    if age.as_secs() > safeguards.approvals.valid_for.duration().as_secs() + 2 {
        return Err(("S7", format!("{name} agreed {age:?} before it was used")));
    }
    let figure = case.request.as_ref().and_then(|request| request.key_figure.as_ref());
    let destroys = rollout.targets.values().flat_map(|t| &t.changes).any(|c| c.action == ResourceAction::Remove);
    if (destroys && figure.is_none()) || figure.is_some_and(|figure| answer.confirm.as_ref() != Some(figure)) {
        return Err(("S7", format!("{name} did not say what it does: {figure:?}")));
    }
    Ok(())
}

/// Why a rollout may have been refused for good: nobody can allow it, or nobody may.
pub fn may_be_denied(ledger: &Ledger, rollout: &Rollout) -> bool {
    let Some(safeguards) = rollout.plan.safeguards.as_deref() else { return false };
    let case = ledger.cases.get(&rollout.plan.rollout).cloned().unwrap_or_default();
    let level = needed(rollout, 2, true);
    let human = |p: &&Principal| Principal { kind: PrincipalKind::Human, ..(*p).clone() };
    let able = safeguards.approvals.people.values().filter(|p| may_not(rollout, &human(p)).is_none());
    let able: Vec<&Principal> = able.collect();
    let parties: BTreeSet<&str> = able.iter().map(|p| p.party.as_str()).collect();
    let too_few = |rule: &ApprovalRule| {
        let n = |n: usize| u32::try_from(n).unwrap();
        let of = |group: &String| able.iter().filter(|p| p.groups.contains(group)).count();
        n(able.len()) < rule.count
            || n(parties.len()) < rule.parties
            || rule.groups.iter().any(|(group, wanted)| n(of(group)) < *wanted)
    };
    case.rejected
        || level == Autonomy::Forbidden
        || (level > Autonomy::Autonomous
            && (too_few(&safeguards.approvals.one.is) || too_few(&safeguards.approvals.two.is)))
        || safeguards.guardrails.environment_order.is_some()
        || super::limits::never_fits(&rollout.plan)
}

/// True for a rollout that nobody can allow.
pub fn is_forbidden(rollout: &Rollout) -> bool {
    needed(rollout, 0, true) == Autonomy::Forbidden
}
