//! What stands between a rollout and its first wave: the guardrails' judgement, and what people said to it.

use crate::model::approval::Approval;
use crate::model::decision::{Decision, Found, Judged};
use crate::model::event::Event;
use crate::model::ids::Digest;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far a rollout has been let in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admission {
    /// What the guardrails found; none: they have not looked yet.
    pub judged: Option<Arc<Judged>>,
    /// Who agreed, and has neither taken it back nor been used up.
    pub given: Vec<Approval>,
    /// What the approvals that were used cover.
    pub used: Option<Used>,
    /// Environments that a person signed off.
    pub signed_off: BTreeSet<String>,
    /// What the next wave waits for, without anybody's doing.
    pub waits: Vec<Found>,
    /// Who said no.
    pub rejected: Option<(String, String)>,
}

/// Approvals that were used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// What they agreed to.
    pub digest: Digest,
    /// Whose.
    pub by: Vec<String>,
    /// Index of the last wave that they cover.
    pub through_wave: usize,
    /// When.
    pub at: Timestamp,
    /// The answers themselves, for whoever checks them again.
    pub approvals: Vec<Approval>,
}

impl Admission {
    /// True when the judgement asks nobody, or approvals that were used for it cover this wave (S6, S7).
    pub fn covers(&self, wave: usize) -> bool {
        match &self.judged {
            Some(judged) => match judged.decision {
                Decision::Allow | Decision::Wait => true,
                Decision::NeedApproval => {
                    self.used.as_ref().is_some_and(|used| used.digest == judged.digest && used.through_wave >= wave)
                }
                Decision::Deny => false,
            },
            None => false,
        }
    }

    /// Applies one event of a rollout; false when it does not fit.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::GuardrailsJudged { judged, .. } => self.judge(judged),
            Event::RolloutWaits { found, .. } => {
                let fits = self.waits != *found;
                self.waits.clone_from(found);
                fits
            }
            Event::ApprovalGiven { approval } => self.give(approval),
            Event::ApprovalRevoked { by, .. } => {
                let before = self.given.len();
                self.given.retain(|approval| approval.by.name != *by);
                self.given.len() < before
            }
            Event::ApprovalRejected { by, reason, .. } => {
                let fits = self.asks_people() && self.rejected.is_none();
                if fits {
                    self.rejected = Some((by.name.clone(), reason.clone()));
                }
                fits
            }
            // Recorded for whoever audits; nothing rests on it.
            Event::ApprovalRefused { .. } => true,
            Event::ApprovalsUsed { digest, by, through_wave, at, .. } => self.use_up(digest, by, *through_wave, *at),
            Event::EnvironmentSignedOff { environment, .. } => self.signed_off.insert(environment.clone()),
            _ => false,
        }
    }

    fn asks_people(&self) -> bool {
        self.judged.as_ref().is_some_and(|judged| judged.request.is_some())
    }

    /// Whatever was agreed to, it was agreed to something else (S7).
    fn judge(&mut self, judged: &Arc<Judged>) -> bool {
        let changed = self.judged.as_ref().is_none_or(|before| before.digest != judged.digest);
        if changed {
            self.given.clear();
            self.used = None;
        }
        self.judged = Some(Arc::clone(judged));
        true
    }

    fn give(&mut self, approval: &Approval) -> bool {
        let asked = self.judged.as_ref().and_then(|judged| judged.request.as_ref());
        let fits = asked.is_some_and(|request| request.digest == approval.digest);
        if fits {
            self.given.push(approval.clone());
        }
        fits
    }

    /// INVARIANT: S7. Each approval is used once: what is used is not there any more.
    fn use_up(&mut self, digest: &Digest, by: &[String], through_wave: usize, at: Timestamp) -> bool {
        let (used, left): (Vec<Approval>, Vec<Approval>) =
            std::mem::take(&mut self.given).into_iter().partition(|approval| by.contains(&approval.by.name));
        self.given = left;
        let fits = !by.is_empty() && by.iter().all(|name| used.iter().any(|approval| approval.by.name == *name));
        if fits {
            self.used = Some(Used { digest: digest.clone(), by: by.to_vec(), through_wave, at, approvals: used });
        } else {
            self.given.extend(used);
        }
        fits
    }
}
