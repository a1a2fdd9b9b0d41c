//! `approvals`, `approve`, `revoke`, `reject`, `sign-off`, `explain`: what people are asked, what they answer, and why a rollout waits.

use super::args::{ApproveArgs, Common, ExplainArgs, RejectArgs, RevokeArgs, ShowArgs, SignOffArgs};
use super::call::{ask_once, odd, print_json};
use super::draw::{self, say::say};
use super::exit::Exit;
use super::orders::order;
use crate::api::admission::{AdmissionView, Explanation, RequestView};
use crate::api::reasons::ReasonView;
use crate::api::verbs::{Request, Response, Says};
use crate::api::view::RolloutView;
use crate::api::words::{number, plain};
use crate::model::class::Reversibility;
use crate::model::decision::Decision;

/// So many lines of an agent's reasoning are shown; the rest is in `status --json`.
const REASONING_LINES: usize = 12;

/// `wavegate approvals`
pub fn list(common: &Common, args: &ShowArgs) -> Exit {
    match ask_once(common, &Request::Approvals) {
        Ok(Response::Approvals { rollouts }) if args.json => print_json(&rollouts),
        Ok(Response::Approvals { rollouts }) => {
            if rollouts.is_empty() {
                say("nobody is asked for an approval");
            }
            for rollout in &rollouts {
                say(&asked(rollout));
            }
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

/// `wavegate explain`
pub fn explain(common: &Common, args: &ExplainArgs) -> Exit {
    match ask_once(common, &Request::Explain { rollout: args.rollout.clone().into() }) {
        Ok(Response::Explained(explained)) if args.json => print_json(&explained),
        Ok(Response::Explained(explained)) => {
            say(&explanation(&explained));
            Exit::Success
        }
        Ok(other) => odd(&other),
        Err(exit) => exit,
    }
}

/// `wavegate approve`
pub fn approve(common: &Common, args: &ApproveArgs) -> Exit {
    let says =
        Says::Approve { digest: args.digest.clone(), through: args.through.clone(), confirm: args.confirm.clone() };
    answer(common, "approve", &args.rollout, says, "approved; `wavegate explain` says what is still wanting")
}

/// `wavegate revoke`
pub fn revoke(common: &Common, args: &RevokeArgs) -> Exit {
    answer(common, "revoke", &args.rollout, Says::Revoke {}, "taken back: the approval does not count any more")
}

/// `wavegate reject`
pub fn reject(common: &Common, args: &RejectArgs) -> Exit {
    let says = Says::Reject { reason: args.reason.clone() };
    answer(common, "reject", &args.rollout, says, "rejected: it does not happen; what was touched goes back")
}

/// `wavegate sign-off`
pub fn sign_off(common: &Common, args: &SignOffArgs) -> Exit {
    let says = Says::SignOff { environment: args.environment.clone() };
    answer(common, "sign-off", &args.rollout, says, "signed off: the next environment may start")
}

fn answer(common: &Common, did: &str, rollout: &str, says: Says, said: &str) -> Exit {
    order(common, &Request::Answer { rollout: rollout.into(), says }, did, rollout, said)
}

/// What an approver reads before they say yes: the scope first, the agent's own words last, marked as such.
pub fn asked(rollout: &RolloutView) -> String {
    let Some(view) = &rollout.admission else { return format!("{}: not judged yet", rollout.rollout) };
    let mut lines = vec![
        format!(
            "{}  “{}” by agent {}, through pipeline {}",
            rollout.rollout,
            plain(&rollout.title),
            plain(&rollout.agent),
            plain(&rollout.pipeline)
        ),
        format!("  it {}", view.scope),
    ];
    lines.extend(money(view));
    lines.extend(reversibility(view));
    lines.extend(
        view.found
            .iter()
            .filter(|found| blocks(found))
            .map(|found| format!("  - {} [{}]", plain(&found.why), found.rule)),
    );
    lines.extend(
        view.found
            .iter()
            .filter(|f| f.found.dry_run)
            .map(|f| format!("  - on trial, stops nothing: {} [{}]", plain(&f.why), f.rule)),
    );
    if let Some(request) = &view.request {
        lines.extend(request_lines(request));
    }
    lines.push("  the agent says (not checked by anybody):".into());
    let reasoning = draw::quoted(&rollout.reasoning);
    let more = reasoning.len().saturating_sub(REASONING_LINES);
    lines.extend(reasoning.into_iter().take(REASONING_LINES).map(|line| format!("  {line}")));
    if more > 0 {
        lines.push(format!("  … {more} more lines in `wavegate status {} --json`", rollout.rollout));
    }
    lines.join("\n")
}

fn money(view: &AdmissionView) -> Option<String> {
    view.figures.monthly.map(|monthly| format!("  a month it costs {monthly:+.2} more by the price book"))
}

fn reversibility(view: &AdmissionView) -> Option<String> {
    let lost = view.reversibility.values().filter(|r| **r == Reversibility::Irreversible).count();
    (lost > 0).then(|| format!("  {lost} of {} targets cannot be put back as they were", view.reversibility.len()))
}

fn blocks(found: &ReasonView) -> bool {
    !found.found.dry_run && found.found.follows.decision() > Decision::Allow
}

fn request_lines(request: &RequestView) -> Vec<String> {
    let mut lines = vec![format!("  asks for {}, within {} of each other", request.asks, request.valid_for)];
    lines.extend(request.given.iter().map(|given| {
        format!(
            "  agreed: {} ({}), up to wave {}, at {}",
            plain(&given.by),
            plain(&given.party),
            given.through_wave,
            given.at
        )
    }));
    if let Some(wanting) = &request.wanting {
        lines.push(format!("  still wanting: {wanting}"));
        lines.push(format!("  can release it: {}", request.can_release.join("; ")));
        lines.push(format!("  $ {}", request.command));
    }
    lines
}

/// Why a rollout does not go on, for a terminal.
pub fn explanation(explained: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", explained.rollout, explained.standing)];
    if let Some(view) = &explained.admission {
        lines.push(format!("  it {}", view.scope));
    }
    if explained.reasons.is_empty() {
        lines.push("  nothing stands in its way".into());
    }
    for reason in &explained.reasons {
        lines.push(format!("  - {}", plain(&reason.why)));
        lines.push(format!("    → {}", plain(&reason.next)));
    }
    if let Some(request) = explained.admission.as_ref().and_then(|view| view.request.as_ref())
        && request.wanting.is_some()
    {
        lines.push(format!("  who can release it: {}", request.can_release.join("; ")));
    }
    lines.extend(health_lines(explained));
    lines.join("\n")
}

/// What the newest look said, what the comparison has seen in which cell, and how far it is from a revert.
fn health_lines(explained: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(health) = &explained.health {
        lines.push(format!("  health: {}", health.verdict));
        lines.extend(health.findings.iter().map(|finding| format!("    - {}", plain(finding))));
    }
    let signals = explained.comparison.iter().flat_map(|comparison| &comparison.metrics);
    for signal in signals {
        lines.push(format!("  compared {}: {}", signal.metric, signal.text));
        let cells = signal.stand_out.iter().map(|look| match look.observed {
            Some(observed) => format!("{} {} (expected {})", look.cell, number(observed), number(look.expected)),
            None => format!("{} silent", look.cell),
        });
        let cells: Vec<String> = cells.collect();
        if !cells.is_empty() {
            lines.push(format!("    newest tick: {}", cells.join(", ")));
        }
    }
    lines
}

/// The same for a program, as `wavegate explain --json` prints it, without what the agent said itself: one line a reason.
pub fn told(explained: &Explanation) -> String {
    let found = explained.admission.iter().flat_map(|view| view.found.iter().filter(|found| blocks(found)));
    let mut lines: Vec<String> = found.filter_map(|found| serde_json::to_string(found).ok()).collect();
    lines.extend(explained.reasons.first().and_then(|reason| serde_json::to_string(reason).ok()));
    lines.iter().map(|line| format!("  {}", plain(line))).collect::<Vec<_>>().join("\n")
}
