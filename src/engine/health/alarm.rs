//! Alarms: each must be OK, be in a state to say so, and have been so for the bake.

use super::evidence::Evidence;
use super::threshold::Question;
use crate::model::observation::{AlarmState, AlarmView};
use crate::model::pipeline::Cell;
use crate::model::time;
use crate::model::verdict::{Finding, Problem};
use jiff::Timestamp;
use std::time::Duration;

/// What speaks against a pass in the alarms of one cell.
pub fn judge(question: &Question<'_>, cell: &Cell, evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    for gate in &question.health.alarms {
        let Ok(name) = cell.fill(&gate.name) else { continue };
        let problem = match evidence.alarms.get(&(cell.scope(), name.clone())) {
            Some(Some(alarm)) => problem(question, alarm).or_else(|| alone(question, cell, evidence, alarm)),
            Some(None) => Some(Problem::AlarmVanished),
            // A scope that could not be read has said so.
            None if evidence.error_of(&cell.scope()).is_some() => None,
            None => Some(Problem::SourceTrouble { said: "the alarm was not read".into() }),
        };
        if let Some(problem) = problem {
            let shared = !gate.name.contains('{');
            findings.push(Finding { cell: (!shared).then(|| cell.name.clone()), signal: name, problem });
        }
    }
    findings
}

fn problem(question: &Question<'_>, alarm: &AlarmView) -> Option<Problem> {
    if let Some(said) = &alarm.evaluation_trouble {
        return Some(Problem::AlarmTrouble { said: said.clone() });
    }
    let waived = question.waived.contains(alarm.name.as_str());
    // Whoever repairs what an alarm shows has often silenced it first: nobody asks a waived alarm.
    if let (Some(said), false) = (&alarm.muted, waived) {
        return Some(Problem::AlarmMuted { said: said.clone() });
    }
    match &alarm.state {
        AlarmState::Alarm if waived => None,
        AlarmState::Alarm => Some(Problem::AlarmOpen { reason: alarm.reason.clone() }),
        AlarmState::InsufficientData => Some(Problem::InsufficientData),
        AlarmState::Unknown(said) => Some(Problem::AlarmTrouble { said: said.clone() }),
        // OK, but not for the whole bake: it was something else in between. It counts once it has been OK for as long as the
        // bake has lasted, which the caller's `max_bake` bounds.
        AlarmState::Ok => match alarm.since {
            Some(since) if !question.as_of_now && since > question.bake_since && !waived => {
                changed_lately(question, since)
            }
            _ => None,
        },
    }
}

/// An alarm over several series is no gate by itself: a cell that dies takes its series along, and the alarm goes to OK.
fn alone(question: &Question<'_>, cell: &Cell, evidence: &Evidence, alarm: &AlarmView) -> Option<Problem> {
    if !alarm.several_series || !question.health.metrics.is_empty() {
        return None;
    }
    let names = question.health.alarms.iter().filter_map(|gate| cell.fill(&gate.name).ok());
    let mut views = names.filter_map(|name| evidence.alarms.get(&(cell.scope(), name)).and_then(Option::as_ref));
    views.all(|view| view.several_series).then_some(Problem::AlarmSeveralSeries)
}

fn changed_lately(question: &Question<'_>, since: Timestamp) -> Option<Problem> {
    let wanted = time::since(question.bake_since, question.now) / 2;
    (time::since(since, question.now) < wanted.max(Duration::from_secs(60))).then_some(Problem::AlarmChanged { since })
}
