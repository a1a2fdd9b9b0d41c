//! What the calendar asks: no start outside of its windows, or within a freeze.

use super::calendar::{Standing, standing};
use super::finding::Origin;
use crate::model::calendar::Calendar;
use crate::model::class::Autonomy;
use crate::model::decision::{Consequence, Found, Reason};
use crate::model::safeguards::{Guardrail, Safeguards};
use jiff::Timestamp;

/// Whether a change of an agent (`agent`) or a person may start at `at`; empty: it may.
pub fn findings(safeguards: &Safeguards, agent: bool, at: Timestamp) -> Vec<Found> {
    let Some(guardrail) = &safeguards.guardrails.calendar else { return Vec::new() };
    look(guardrail, agent, at, Origin::new(safeguards, guardrail.dry_run)).into_iter().collect()
}

fn look(guardrail: &Guardrail<Calendar>, agent: bool, at: Timestamp, origin: Origin<'_>) -> Option<Found> {
    let (what, follows) = match standing(&guardrail.rule, agent, at) {
        Standing::Open => return None,
        Standing::Closed { freeze, opens_at } => {
            let freeze = freeze.map(|span| span.reason);
            (Reason::Closed { freeze, opens_at }, Consequence::Waits { until: opens_at })
        }
        Standing::UnknownTimeZone => {
            let time_zone = guardrail.rule.time_zone.clone();
            (Reason::UnknownTimeZone { time_zone }, Consequence::Needs(Autonomy::Forbidden))
        }
    };
    Some(origin.found(what, guardrail.line, "guardrails.calendar", follows))
}
