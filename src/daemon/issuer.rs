//! The gate through which every effect leaves. The engine has decided; the issuer reads the durable record again and agrees, or the
//! effect stays here (S12). Absent or unreadable means stop.

use super::kill_file;
use crate::engine::admission;
use crate::engine::effect::{Call, Class, Effect};
use crate::engine::guardrail::exposure::LOOK_BACK_MAX;
use crate::engine::guardrail::ledger::Ledger;
use crate::engine::guardrail::{blast_radius, finding};
use crate::guard::{self, Guard};
use crate::journal::{Journal, JournalError};
use crate::model::event::{Event, Operation, OperationCall};
use crate::model::ids::{Digest, RolloutId, Seq, TargetId, Token};
use crate::model::plan::Plan;
use crate::model::state::Admission;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Why an effect was not let out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The rollout is not on record.
    #[error("rollout {0} is not on record")]
    NoProposal(RolloutId),
    /// The recorded plan does not have the recorded digest.
    #[error("the recorded plan of rollout {0} does not have its recorded digest")]
    PlanDigest(RolloutId),
    /// The target is not in the plan.
    #[error("target {0} is not in the recorded plan")]
    NoTarget(TargetId),
    /// A gate before the target's wave is not recorded as passed for this plan (S1).
    #[error("the gate of wave {0} is not recorded as passed for this plan")]
    GateNotPassed(usize),
    /// The rollout goes back.
    #[error("the rollout is recorded as going back")]
    GoingBack,
    /// The rollout waits for a person.
    #[error("the rollout is recorded as held")]
    Held,
    /// A stop order is in force.
    #[error("a kill is in force: {0}")]
    Killed(String),
    /// The guardrails' judgement, or the approvals that it asks for, are not on record for the target's wave (S6, S7).
    #[error("wave {0} is not on record as admitted by guardrails and approvals")]
    NotAdmitted(usize),
    /// What is in motion leaves no room for the target (S10).
    #[error("what is in motion by the record leaves no room: {0}")]
    BlastRadius(String),
    /// No restore point is on record (S13).
    #[error("no restore point of target {0} is on record")]
    NoRestorePoint(TargetId),
    /// The newest record of the target is not the intent of this very call (S3).
    #[error("the newest record of target {0} is not the intent of this call")]
    NoIntent(TargetId),
}

/// The issuer: holds plans that it has read from the record, and nothing else.
#[derive(Debug, Default)]
pub struct Issuer {
    /// The file whose presence stops everything.
    kill_file: Option<PathBuf>,
    plans: BTreeMap<RolloutId, (Arc<Plan>, Digest)>,
    /// What is in motion, counted along with the record, as far as it was read.
    motion: Ledger,
    read: Seq,
}

impl Issuer {
    /// An issuer that also heeds this kill file.
    pub fn new(kill_file: Option<PathBuf>) -> Self {
        Self { kill_file, ..Self::default() }
    }

    /// Lets the effect out, or says why not.
    ///
    /// # Errors
    /// The journal cannot be read, or another daemon leads: the daemon must stop.
    pub fn check(
        &mut self,
        journal: &Journal,
        effect: &Effect,
        now: Timestamp,
    ) -> Result<Result<(), Objection>, JournalError> {
        if is_plain_read(effect) {
            return Ok(Ok(()));
        }
        // INVARIANT: S4. An overtaken daemon issues nothing.
        if guard::holds(Guard::IssuerLeads) {
            journal.must_lead()?;
        }
        let (Some(rollout), Some(target)) = (&effect.rollout, &effect.target) else { return Ok(Ok(())) };
        match effect.class {
            Class::Read | Class::Fence => Ok(Ok(())),
            Class::Reverse => Self::check_intent(journal, rollout, target, effect),
            Class::Forward => match self.check_forward(journal, rollout, target, now)? {
                Ok(()) => Self::check_intent(journal, rollout, target, effect),
                objection => Ok(objection),
            },
        }
    }

    fn check_forward(
        &mut self,
        journal: &Journal,
        rollout: &RolloutId,
        target: &TargetId,
        now: Timestamp,
    ) -> Result<Result<(), Objection>, JournalError> {
        let Some((plan, digest)) = self.plan(journal, rollout)? else {
            return Ok(Err(Objection::NoProposal(rollout.clone())));
        };
        // Once, when the plan is first read: it never changes after that.
        if !self.plans.contains_key(rollout) && plan.digest().ok().as_ref() != Some(&digest) {
            return Ok(Err(Objection::PlanDigest(rollout.clone())));
        }
        self.plans.insert(rollout.clone(), (Arc::clone(&plan), digest.clone()));
        // Read again for each call: the loop may not have seen the file yet.
        let by_file = self.kill_file.as_deref().map(|file| kill_file::read(file, Timestamp::UNIX_EPOCH));
        let mut by_file = by_file.unwrap_or_default().into_iter();
        if let Some(kill) = by_file.find(|kill| kill.scope.covers(&plan) && guard::holds(Guard::IssuerKillFile)) {
            return Ok(Err(Objection::Killed(format!("{} ({}) by the kill file", kill.scope, kill.mode))));
        }
        let stops = guard::holds(Guard::IssuerStops);
        if let Some(kill) = journal.kills_in_force()?.into_iter().find(|k| k.scope.covers(&plan) && stops) {
            return Ok(Err(Objection::Killed(format!("{} ({}) by {}", kill.scope, kill.mode, kill.by))));
        }
        let Some(planned) = plan.targets.get(target) else { return Ok(Err(Objection::NoTarget(target.clone()))) };
        let mut passed = std::collections::BTreeSet::new();
        let mut held = false;
        for event in journal.recorded_gates(rollout)? {
            match event {
                Event::GatePassed { wave, plan, .. } if plan == digest => drop(passed.insert(wave)),
                Event::RolloutHeld { .. } => held = true,
                Event::RolloutResumed { .. } => held = false,
                Event::RevertStarted { .. } | Event::RolloutEnded { .. } if stops => {
                    return Ok(Err(Objection::GoingBack));
                }
                _ => {}
            }
        }
        if held && stops {
            return Ok(Err(Objection::Held));
        }
        // INVARIANT: S1.
        let missing = (0..planned.wave).find(|wave| !passed.contains(wave));
        if let Some(wave) = missing.filter(|_| guard::holds(Guard::IssuerGates)) {
            return Ok(Err(Objection::GateNotPassed(wave)));
        }
        if let Some(objection) = Self::check_admission(journal, &plan, planned.wave)? {
            return Ok(Err(objection));
        }
        if let Some(objection) = self.check_blast_radius(journal, &plan, target, now)? {
            return Ok(Err(objection));
        }
        match journal.has_restore_point(rollout, target)? || !guard::holds(Guard::IssuerRestorePoint) {
            true => Ok(Ok(())),
            false => Ok(Err(Objection::NoRestorePoint(target.clone()))),
        }
    }

    /// INVARIANT: S6, S7. From the record: the guardrails have looked, nobody said no, and where people are asked, approvals were used
    /// for this wave that counted when they were.
    fn check_admission(journal: &Journal, plan: &Plan, wave: usize) -> Result<Option<Objection>, JournalError> {
        if plan.safeguards.is_none() || !guard::holds(Guard::IssuerApprovals) {
            return Ok(None);
        }
        let mut recorded = Admission::default();
        for event in journal.recorded_admission(&plan.rollout)? {
            if !recorded.apply(&event) {
                return Ok(Some(Objection::NotAdmitted(wave)));
            }
        }
        let admitted = recorded.rejected.is_none() && admission::is_covered(&recorded, wave);
        Ok((!admitted).then_some(Objection::NotAdmitted(wave)))
    }

    /// INVARIANT: S10. From the record: what is in motion over every rollout leaves room for this target.
    fn check_blast_radius(
        &mut self,
        journal: &Journal,
        plan: &Plan,
        target: &TargetId,
        now: Timestamp,
    ) -> Result<Option<Objection>, JournalError> {
        let limited = plan.safeguards.as_ref().is_some_and(|s| s.guardrails.blast_radius.is_some());
        if !limited || !guard::holds(Guard::IssuerBlastRadius) {
            return Ok(None);
        }
        let (read, events) = journal.recorded_motion(self.read)?;
        events.iter().for_each(|event| self.motion.record(event));
        self.read = read;
        self.motion.forget(finding::before(now, LOOK_BACK_MAX));
        let resources = self.motion.resources(&plan.rollout, target).unwrap_or(u32::MAX);
        let found = blast_radius::at_issue(plan, target, resources, &self.motion.exposure(), now);
        Ok(found.filter(|found| !found.dry_run).map(|found| Objection::BlastRadius(format!("{:?}", found.what))))
    }

    fn plan(&self, journal: &Journal, rollout: &RolloutId) -> Result<Option<(Arc<Plan>, Digest)>, JournalError> {
        if let Some(known) = self.plans.get(rollout) {
            return Ok(Some(known.clone()));
        }
        Ok(match journal.recorded_proposal(rollout)? {
            Some(Event::RolloutProposed { plan, digest, .. }) => Some((plan, digest)),
            _ => None,
        })
    }

    /// INVARIANT: S3. The newest record of the target is the intent of exactly this call, by this leader.
    fn check_intent(
        journal: &Journal,
        rollout: &RolloutId,
        target: &TargetId,
        effect: &Effect,
    ) -> Result<Result<(), Objection>, JournalError> {
        let agreed = match (journal.newest_of_target(rollout, target)?, &effect.call) {
            // A cancellation follows its own record, or another one while the operation runs; it can only lead back.
            (Some(_), Call::CancelUpdate { .. }) => true,
            (Some(Event::OperationIntended { operation, .. }), call) => {
                operation.epoch == journal.epoch() && is_call_of(&operation, call)
            }
            _ => false,
        };
        Ok(if agreed || !guard::holds(Guard::IssuerIntent) { Ok(()) } else { Err(Objection::NoIntent(target.clone())) })
    }
}

fn is_plain_read(effect: &Effect) -> bool {
    effect.class == Class::Read && !matches!(effect.call, Call::CreateChangeSet { .. })
}

fn is_call_of(operation: &Operation, call: &Call) -> bool {
    let same = |token: &Token| *token == operation.token;
    match (&operation.call, call) {
        (OperationCall::ExecuteChangeSet { arn, .. }, Call::ExecuteChangeSet { arn: sent, token, direction, .. }) => {
            arn == sent && same(token) && *direction == operation.direction
        }
        (OperationCall::DeleteStack { stack_id }, Call::DeleteStack { stack_id: sent, token, direction }) => {
            stack_id == sent && same(token) && *direction == operation.direction
        }
        (OperationCall::ContinueRollback { .. }, Call::ContinueRollback { token, .. }) => same(token),
        _ => false,
    }
}
