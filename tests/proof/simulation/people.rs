//! Who answers what change sets ask: in the run whoever a scenario names, right or wrong, and at its end people who give what is asked.

use super::guarded::{Act, HONEST, How};
use super::run::Run;
use wavegate::engine::answer::{PersonsAnswer, Says};
use wavegate::engine::decide::Input;
use wavegate::model::ids::RolloutId;

impl Run<'_> {
    /// Somebody says something.
    pub(super) async fn say(&self, rollout: &RolloutId, act: &Act) {
        let (by, says) = match act {
            Act::Approve(by, how) => match self.approval(rollout, *how) {
                Some(says) => (by, says),
                None => return,
            },
            Act::Revoke(by) => (by, Says::Revoke),
            Act::Reject(by) => (by, Says::Reject { reason: "not today".into() }),
            Act::SignOff(by) => (by, Says::SignOff { environment: "staging".into() }),
            Act::Resume(by) => {
                // Only what waits can go on.
                let pause = Input::Pause { rollout: rollout.clone(), by: "ada".into() };
                self.order(pause).await;
                self.order(Input::Resume { rollout: rollout.clone(), by: (*by).into() }).await;
                self.order(Input::Resume { rollout: rollout.clone(), by: "ada".into() }).await;
                return;
            }
        };
        self.order(Input::Answer(PersonsAnswer { rollout: rollout.clone(), by: (*by).into(), party: None, says }))
            .await;
    }

    /// What somebody who looks now would say.
    fn approval(&self, rollout: &RolloutId, how: How) -> Option<Says> {
        let ledger = self.shared.ledger();
        let admission = &ledger.state.rollouts.get(rollout)?.admission;
        let request = admission.judged.as_ref()?.request.as_ref()?;
        // People copy some of the digest, or all of it.
        let digest = request.digest.as_str();
        let digest = if ledger.steps.is_multiple_of(2) { digest.to_owned() } else { digest.chars().take(16).collect() };
        let confirm = request.key_figure.clone();
        let (all, last) = (None, request.through_wave);
        let (digest, through_wave, confirm) = match how {
            How::Right => (digest, all, confirm),
            How::OtherDigest => ("0123456789abcdef".to_owned(), all, confirm),
            How::Narrower => (digest, Some(0), confirm),
            How::Wider => (digest, Some(last + 1), confirm),
            How::Silent => (digest, all, None),
        };
        Some(Says::Approve { digest, through_wave, confirm })
    }

    /// People give what is asked, as far as they may.
    pub(super) async fn give_what_is_asked(&self) {
        for rollout in self.waiting_for_people() {
            for person in HONEST {
                self.say(&rollout, &Act::Approve(person, How::Right)).await;
            }
        }
        for rollout in self.waiting_for_sign_off() {
            for person in HONEST {
                self.say(&rollout, &Act::SignOff(person)).await;
            }
        }
    }

    fn waiting_for_people(&self) -> Vec<RolloutId> {
        let ledger = self.shared.ledger();
        let asks = ledger.state.open_rollouts().filter(|r| r.hold.is_none() && ledger.state.kill_mode(r).is_none());
        let asks = asks.filter(|r| r.admission.judged.as_ref().is_some_and(|judged| judged.request.is_some()));
        asks.map(|r| r.plan.rollout.clone()).collect()
    }

    fn waiting_for_sign_off(&self) -> Vec<RolloutId> {
        let ledger = self.shared.ledger();
        let asks = |r: &&wavegate::model::state::Rollout| {
            let order = r.plan.safeguards.as_ref().and_then(|s| s.guardrails.environment_order.as_ref());
            order.is_some_and(|o| !o.rule.sign_off.is.is_empty()) && r.admission.signed_off.is_empty()
        };
        // A sign-off is of something that is there.
        let passed = |r: &&wavegate::model::state::Rollout| {
            r.plan.targets.values().filter(|t| t.environment == "staging").all(|t| r.gates.contains(&t.wave))
        };
        ledger.state.open_rollouts().filter(asks).filter(passed).map(|r| r.plan.rollout.clone()).collect()
    }
}
