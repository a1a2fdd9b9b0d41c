//! Levels by class and environment, autonomy that is lost and earned back, and how often nobody is asked.

use crate::fixture::*;
use wavegate::engine::guardrail::{autonomy, rate};
use wavegate::model::class::{Autonomy, ChangeClass, ClassReason, Fate, Reversibility};
use wavegate::model::decision::{Consequence, Decision, Found, Judged, Reason, ScopeFigures, SumOf};
use wavegate::model::event::{Outcome, Settlement};
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::Digest;
use wavegate::model::safeguards::{AutonomyTable, Earned, Guardrails, Rate, Safeguards};
use wavegate::model::state::{Phase, State};

fn needs(level: Autonomy) -> Consequence {
    Consequence::Needs(level)
}

#[test]
fn each_class_of_each_environment_is_looked_up_once_with_its_counts() {
    let places = [in_environment("development", place(0, "d", 0.0)), place(1, "p", 1.0), place(1, "q", 1.0)];
    let mut state = one(Safeguards::default(), &places);
    let lost = ClassReason::Removed { old: Fate::Deleted };
    let destroys = [ChangeClass::Destructive, ChangeClass::Irreversible];
    let removed = change("AWS::DynamoDB::Table", &destroys, Reversibility::Irreversible, &[lost]);
    target(&mut state, "r", "p").classified = Some(Box::new(classified(&[removed, in_place(), in_place()])));
    let found = autonomy::levels(r(&state), &state);
    let class = |environment: &str, class, targets, resources| Reason::Class {
        environment: environment.into(),
        class,
        targets,
        resources,
    };
    let seen: Vec<_> = found.iter().map(|found| (found.what.clone(), found.follows)).collect();
    assert_eq!(
        seen,
        [
            (class("development", ChangeClass::InPlace, 1, 1), needs(Autonomy::Autonomous)),
            (class("production", ChangeClass::InPlace, 2, 3), needs(Autonomy::Autonomous)),
            (class("production", ChangeClass::Destructive, 1, 1), needs(Autonomy::TwoApprovals)),
            (class("production", ChangeClass::Irreversible, 1, 1), needs(Autonomy::TwoApprovals)),
        ]
    );
    assert_eq!(found[2].cause.as_ref().unwrap().rule, "autonomy.production.destructive");
}

#[test]
fn what_nobody_classified_is_opaque_and_what_is_unchanged_is_nothing() {
    let mut state = one(Safeguards::default(), &places(2));
    target(&mut state, "r", "c0").classified = None;
    target(&mut state, "r", "c1").phase = Phase::Settled(Settlement::Unchanged);
    let found = autonomy::levels(r(&state), &state);
    assert_eq!(rules(&found), [("autonomy.production.opaque", needs(Autonomy::TwoApprovals))]);
}

#[test]
fn the_pipelines_own_level_counts_with_its_line() {
    let mut table = AutonomyTable::default();
    table.rows.entry("production".into()).or_default().insert(ChangeClass::InPlace, set(Autonomy::Forbidden));
    let state = one(Safeguards { autonomy: table, ..Safeguards::default() }, &places(1));
    let found = autonomy::levels(r(&state), &state);
    assert_eq!((found[0].follows, found[0].cause.as_ref().unwrap().line), (needs(Autonomy::Forbidden), 7));
}

fn health() -> Option<RevertReason> {
    Some(RevertReason::GateFailed { wave: 0, findings: Vec::new() })
}

/// What an agent's next change needs, after rollouts that ended like this.
fn after(history: &[(Outcome, Option<RevertReason>)], return_after: u32) -> Option<(Reason, Consequence)> {
    let earned = Some(Earned { return_after: set(return_after) });
    let autonomy = AutonomyTable { earned, ..AutonomyTable::default() };
    let mut state = one(Safeguards { autonomy, ..Safeguards::default() }, &places(1));
    for (n, (outcome, reason)) in history.iter().enumerate() {
        // The names do not say in which order they ended.
        let name = format!("e{}", 9 - n);
        propose(&mut state, plan(&name, Safeguards::default(), &places(1)));
        ended(&mut state, &name, *outcome);
        state.rollouts.get_mut(&name.as_str().into()).unwrap().revert = reason.clone();
    }
    let lost = |found: Found| matches!(found.what, Reason::AutonomyLost { .. }).then_some((found.what, found.follows));
    autonomy::levels(r(&state), &state).into_iter().find_map(lost)
}

#[test]
fn a_revert_takes_a_step_and_clean_rollouts_in_a_row_give_it_back() {
    let reverted = || (Outcome::Reverted, health());
    let good = || (Outcome::Succeeded, None);
    assert_eq!(after(&[good()], 2), None);
    let lost = |reverted: &str, clean| Reason::AutonomyLost {
        agent: "agent-1".into(),
        reverted: reverted.into(),
        clean,
        needed: 2,
    };
    assert_eq!(after(&[reverted()], 2), Some((lost("e9", 0), needs(Autonomy::OneApproval))));
    assert_eq!(after(&[reverted(), good()], 2), Some((lost("e9", 1), needs(Autonomy::OneApproval))));
    assert_eq!(after(&[reverted(), good(), good()], 2), None);
    assert_eq!(after(&[reverted(), good(), reverted()], 2), Some((lost("e7", 0), needs(Autonomy::TwoApprovals))));
    // One step is given back at a time, and a stuck rollout counts as a revert.
    let stuck = (Outcome::Stuck, Some(RevertReason::Requested { by: "x".into() }));
    let once = [reverted(), stuck, good(), good()];
    assert_eq!(after(&once, 2), Some((lost("e8", 0), needs(Autonomy::OneApproval))));
}

#[test]
fn what_never_ran_says_nothing_about_the_agent() {
    let rejected = Some(RevertReason::Rejected { by: "x".into(), reason: "no".into() });
    for reason in [Some(RevertReason::PlanOnly), Some(RevertReason::Denied), rejected, health()] {
        assert_eq!(after(&[(Outcome::Cancelled, reason)], 1), None);
    }
    for reason in
        [RevertReason::Killed { kill: "k".into() }, RevertReason::WaveFailed { wave: 0, failed: 1, tolerance: 0 }]
    {
        assert!(after(&[(Outcome::Reverted, Some(reason))], 1).is_some());
    }
}

fn limits(agent: Option<u32>, pipeline: Option<u32>, fleet: Option<u32>, dry_run: bool) -> Safeguards {
    let rule = Rate { per: hours(1), agent: agent.map(set), pipeline: pipeline.map(set), fleet: fleet.map(set) };
    let mut guardrails = Guardrails { rate: guardrail(rule), ..Guardrails::default() };
    guardrails.rate.as_mut().unwrap().dry_run = dry_run;
    Safeguards { guardrails, ..Safeguards::default() }
}

/// Rollouts that began so many minutes ago, with the level that they were judged to need.
fn begun(safeguards: Safeguards, earlier: &[(i64, Autonomy)]) -> State {
    let mut state = one(safeguards, &places(1));
    for (n, (minutes, level)) in earlier.iter().enumerate() {
        let name = format!("e{n}");
        propose(&mut state, plan(&name, Safeguards::default(), &places(1)));
        applied(target(&mut state, &name, "c0"), ago(*minutes));
        let judged = Judged {
            decision: Decision::Allow,
            level: *level,
            found: Vec::new(),
            scope: ScopeFigures::default(),
            request: None,
            digest: Digest::of_bytes(b""),
            at: NOW,
        };
        state.rollouts.get_mut(&name.as_str().into()).unwrap().admission.judged = Some(judged.into());
    }
    state
}

#[test]
fn at_the_limit_the_next_rollout_needs_a_person() {
    use Autonomy::{Autonomous, OneApproval};
    let ask = |safeguards, earlier: &[_]| {
        let state = begun(safeguards, earlier);
        rate::findings(r(&state), &state, NOW)
    };
    let two = [(10, Autonomous), (20, Autonomous)];
    assert_eq!(ask(limits(Some(3), Some(3), Some(3), false), &two), []);
    let found = ask(limits(Some(2), Some(3), Some(2), false), &two);
    assert_eq!(
        rules(&found),
        [("guardrails.rate.agent", needs(OneApproval)), ("guardrails.rate.fleet", needs(OneApproval))]
    );
    let agent = SumOf::Agent("agent-1".into());
    assert_eq!(found[0].what, Reason::TooOften { of: agent, started: 2, max: 2, per: hours(1) });
    // What people agreed to, and what began longer ago, does not count.
    assert_eq!(ask(limits(None, None, Some(2), false), &[(10, Autonomous), (20, OneApproval)]), []);
    assert_eq!(ask(limits(None, None, Some(2), false), &[(10, Autonomous), (60, Autonomous)]), []);
    assert_eq!(ask(limits(None, None, Some(2), false), &[(10, Autonomous), (59, Autonomous)]).len(), 1);
    assert!(ask(limits(None, Some(0), None, true), &[])[0].dry_run);
}
