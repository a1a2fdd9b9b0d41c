//! A replayed state as text that stays the same over releases: words, numbers and digests, each written out here. A field that a
//! later release adds does not show, so that old goldens need no change.

use serde_json::{Value, json};
use wavegate::model::state::{Admission, KillState, Phase, Rollout, RolloutPhase, State, Target};

pub fn render(state: &State) -> String {
    let rollouts: Value = state.rollouts.iter().map(|(id, r)| (id.to_string(), rollout(r))).collect();
    let kills: Value = state.kills.iter().map(|(id, k)| (id.to_string(), kill(k))).collect();
    let mut rendered = json!({ "epoch": state.epoch, "rollouts": rollouts, "kills": kills });
    // Journals of before there were doors say nothing of them, and their goldens neither.
    if state.refused > 0 {
        let alarms: Vec<_> = state.rate_alarms.values().collect();
        let handed_in: Vec<_> = state.rollouts.values().map(|r| &r.handed_in).collect();
        let asked: Vec<_> = state.kills.values().map(|k| &k.lift_asked).collect();
        let tokens: Vec<_> = state.tokens.values().map(|t| json!([t.grant, t.ended])).collect();
        rendered["doors"] = json!({
            "keys": state.keys, "refused": state.refused, "rate_alarms": alarms, "drills": state.drills,
            "handed_in": handed_in, "lift_asked": asked, "tokens": tokens,
        });
    }
    format!("{}\n", serde_json::to_string_pretty(&rendered).unwrap())
}

fn rollout(rollout: &Rollout) -> Value {
    let Rollout { plan, plan_digest, by, phase, hold, targets, gates, bake, health, revert, .. } = rollout;
    // The issuer asks for this, too: a plan that reads differently than it did when it was recorded stops its rollout.
    assert_eq!(plan.digest().unwrap(), *plan_digest, "the plan of {} has another digest now", plan.rollout);
    let (phase, wave) = match phase {
        RolloutPhase::Previewing => ("previewing".to_owned(), None),
        RolloutPhase::Rolling { wave } => ("rolling".to_owned(), Some(*wave)),
        RolloutPhase::Baking { wave } => ("baking".to_owned(), Some(*wave)),
        RolloutPhase::Reverting => ("reverting".to_owned(), None),
        RolloutPhase::Ended(outcome) => (format!("ended: {}", json!(outcome).as_str().unwrap()), None),
    };
    let targets: Value = targets.iter().map(|(id, t)| (id.to_string(), target(t))).collect();
    let mut rendered = json!({
        "plan": plan_digest, "by": by, "phase": phase, "wave": wave, "hold": hold, "gates": gates, "revert": revert,
        "bake": bake.as_ref().map(|b| json!({ "wave": b.wave, "since": b.since, "elapsed": b.elapsed })),
        "health": health.as_ref().map(|h| json!({ "verdict": h.verdict, "findings": h.findings })),
        "targets": targets,
    });
    // Journals of before there were safeguards say nothing of admission, and their goldens neither.
    if rollout.admission != Admission::default() {
        rendered["admission"] = admission(&rollout.admission);
    }
    if let (Some(baseline), Some(compared)) = (&rollout.baseline, &rollout.compared) {
        rendered["baseline"] = json!(**baseline);
        rendered["compared"] = json!(**compared);
    }
    rendered
}

fn admission(admission: &Admission) -> Value {
    let Admission { judged, given, used, signed_off, waits, rejected } = admission;
    let given: Vec<_> = given.iter().map(|g| json!([g.by.name, g.digest, g.through_wave, g.confirm])).collect();
    json!({
        "judged": judged.as_ref().map(|j| json!(**j)), "given": given, "signed_off": signed_off, "waits": waits,
        "used": used.as_ref().map(|u| json!([u.digest, u.by, u.through_wave, u.at])), "rejected": rejected,
    })
}

fn target(target: &Target) -> Value {
    if let (Some(point), Some(digest)) = (&target.restore_point, &target.restore_digest) {
        assert_eq!(point.digest().unwrap(), *digest, "a restore point has another digest now");
    }
    let detail = match &target.phase {
        Phase::Untouched | Phase::Captured => Value::Null,
        Phase::Preparing { direction, name, epoch } => json!({ "direction": direction, "name": name, "epoch": epoch }),
        Phase::Ready { direction, prepared, digest } => {
            json!({ "direction": direction, "prepared": prepared, "digest": digest })
        }
        Phase::Intended(operation) | Phase::Running(operation) => json!(operation),
        Phase::Ended { operation, status, reason, failures } => {
            json!({ "operation": operation, "status": status, "reason": reason, "failures": failures })
        }
        Phase::Settled(settlement) => json!(settlement),
    };
    let changes = target.changes.iter().map(|c| format!("{} {} {}", c.action, c.resource_type, c.logical_id));
    json!({
        "phase": target.phase.name(), "detail": detail, "restore_point": target.restore_digest,
        "approved": target.approved, "changes": changes.collect::<Vec<_>>(), "attempt": target.attempt, "left": target.left,
        "failed": target.failed, "cancelling": target.cancelling, "continued": target.continued, "reverts": target.reverts,
        "overdue": target.overdue,
    })
}

fn kill(state: &KillState) -> Value {
    json!({ "order": state.kill, "acknowledged": state.acknowledged, "lifted_by": state.lifted_by })
}
