//! Guardrails and approvals in lines: what the change does, what stands in its way, where the rule stands and what would satisfy it.

use super::{Paint, one_line};
use crate::api::admission::AdmissionView;
use crate::api::reasons::ReasonView;
use crate::api::view::RolloutView;
use crate::model::decision::Decision;

/// So many findings are told; the others are counted.
const FOUND_MAX: usize = 6;

/// What stands in the way of a rollout, and of one that was refused, why. Nothing for one that nothing stands in the way of.
pub fn lines(view: &RolloutView, paint: Paint) -> Vec<String> {
    let Some(admission) = &view.admission else { return Vec::new() };
    let wanting = admission.request.as_ref().and_then(|request| request.wanting.as_deref());
    let refused = admission.decision == Decision::Deny;
    let open = view.outcome.is_none() && view.revert.is_none();
    let mut lines = Vec::new();
    if refused || (open && wanting.is_some()) {
        let word = if refused { paint.bad("refused:") } else { paint.busy("asks people:") };
        lines.push(format!("  {word} it {}", one_line(&admission.scope)));
        // What people are asked is told by `wavegate approvals`; what is refused is told here.
        lines.extend(found(admission, paint).into_iter().filter(|_| refused));
    }
    if open && let Some(wanting) = wanting {
        lines.push(format!("  {} {wanting}", paint.busy("wanting:")));
        lines.push(format!("  {} `wavegate approvals` shows who can agree, and how", paint.strong("next:")));
    }
    if open {
        let waits = admission.waits.iter().filter(|wait| !wait.found.dry_run);
        lines.extend(waits.map(|wait| {
            format!("  {} {}; {}", paint.busy("waits:"), one_line(&wait.why), one_line(&wait.satisfied_by))
        }));
    }
    lines
}

/// The findings that something follows from, the worst first.
pub fn found(admission: &AdmissionView, paint: Paint) -> Vec<String> {
    let blocking: Vec<&ReasonView> = admission.found.iter().filter(|found| blocks(found)).collect();
    let mut lines: Vec<String> = blocking.iter().take(FOUND_MAX).map(|found| line(found, paint)).collect();
    if blocking.len() > FOUND_MAX {
        lines.push(format!("    and {} more in `wavegate explain {}`", blocking.len() - FOUND_MAX, admission.rollout));
    }
    lines
}

fn blocks(found: &ReasonView) -> bool {
    !found.found.dry_run && found.found.follows.decision() > Decision::Allow
}

fn line(found: &ReasonView, paint: Paint) -> String {
    let rule = paint.dim(&format!("[{}]", one_line(&found.rule)));
    format!("    - {} {rule}\n      needs {}", one_line(&found.why), one_line(&found.satisfied_by))
}
