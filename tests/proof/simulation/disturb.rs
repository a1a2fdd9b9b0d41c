//! What goes wrong in a run, and how it is mended: the hands that carry out a [`Disturbance`].

use super::ledger::Promise;
use super::run::{Item, Run, place};
use super::scenario::{self, Disturbance, V1};
use std::collections::BTreeMap;
use std::time::Duration;
use wavegate::cloud::sim::{MetricFault, SimWorld};
use wavegate::engine::decide::Input;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::{KillId, StackName};
use wavegate::model::stack::{Scope, StackStatus};

impl Run<'_> {
    /// Makes something go wrong; gives what must follow, and after how long.
    pub(super) async fn disturb(&mut self, disturbance: Disturbance) -> Option<(Duration, Item)> {
        use Disturbance as D;
        let world = self.shared.world();
        let ends = |after: Duration, what: &D| Some((after, Item::End(what.clone())));
        match &disturbance {
            D::Edit(n) => {
                let (scope, stack) = place(*n);
                let template =
                    V1.replace("VisibilityTimeout: 10", &format!("VisibilityTimeout: {}", 40_000 + self.kills));
                self.kills += 1;
                let values = BTreeMap::from([("Delay".into(), "7".into())]);
                // CloudFormation refuses a person's update while another one goes on.
                let done = world.edit_stack(&scope, &stack, &template, values).is_ok();
                self.edited((done, true), &scope, stack, &world);
                None
            }
            D::Remove(n) => {
                let (scope, stack) = place(*n);
                let done = world.remove_stack(&scope, &stack);
                self.edited((done, false), &scope, stack, &world);
                None
            }
            D::Stick(n, span) => {
                let (scope, stack) = place(*n);
                world.stick(&scope, &stack);
                ends(*span, &disturbance)
            }
            D::Vanish(n) => {
                let (scope, stack) = place(*n);
                for name in world.change_sets(&scope, &stack) {
                    world.vanish_change_set(&scope, &stack, &name);
                }
                None
            }
            D::Alter(n) => {
                let (scope, stack) = place(*n);
                for name in world.change_sets(&scope, &stack) {
                    world.alter_change_set(&scope, &stack, &name);
                }
                let now = world.wall();
                self.shared.ledger().altered.insert(stack, now);
                None
            }
            D::UnknownStatus(n, span) => {
                let (scope, stack) = place(*n);
                let settled = world.stack(&scope, &stack).is_some_and(|r| r.view.status.is_settled_complete());
                if settled {
                    world.set_status(&scope, &stack, StackStatus::from("REIMAGINE_IN_REVIEW"), None);
                    self.edited((true, false), &scope, stack, &world);
                }
                ends(*span, &disturbance).filter(|_| settled)
            }
            D::Outage(region, outage, span) => {
                world.set_outage(&(*region).into(), Some(*outage));
                self.quiet(false);
                ends(*span, &disturbance)
            }
            D::Expired(span) => {
                self.shared.set_expired(true);
                self.quiet(false);
                ends(*span, &disturbance)
            }
            D::Metric(n, fault, span) => {
                self.break_metric(*n, *fault, &world);
                ends(*span, &disturbance)
            }
            D::ClockJump(ms) => {
                self.processes.iter().for_each(|p| p.set_clock(*ms));
                self.shared.ledger().slow_clock |= *ms < 0;
                self.shared.ledger().clock_was_wrong = true;
                self.quiet(false);
                None
            }
            D::Stall(span) => {
                // The one that leads; a standby must take over.
                if let Some(process) = self.processes.iter().find(|p| p.orders().is_some()) {
                    process.stand_still(true);
                    self.shared.ledger().stood_still = true;
                }
                self.quiet(false);
                self.lost_leader(&world);
                ends(*span, &disturbance)
            }
            D::Crash(pause) => {
                let index = self.processes.iter().position(|p| p.orders().is_some())?;
                self.processes.remove(index).kill().await;
                self.quiet(false);
                self.lost_leader(&world);
                Some((*pause, Item::Restart(1)))
            }
            D::Kill(mode, cell) => {
                self.kill(*mode, *cell).await;
                None
            }
            D::KillFile(mode, span) => {
                let file = wavegate::daemon::kill_file::path(&self.shared.directory());
                std::fs::write(file, format!("{mode}\n")).unwrap();
                ends(*span, &disturbance)
            }
            D::Lift => {
                self.lift().await;
                None
            }
            D::Pause => {
                if let Some(rollout) = self.proposed.last().cloned() {
                    self.order(Input::Pause { rollout, by: "ada".into() }).await;
                }
                None
            }
            D::Resume => {
                for rollout in self.proposed.clone() {
                    self.order(Input::Resume { rollout, by: "ada".into() }).await;
                }
                None
            }
            D::Revert => {
                if let Some(rollout) = self.proposed.first().cloned() {
                    self.order(Input::Revert { rollout, by: "ada".into() }).await;
                }
                None
            }
            D::Says(n, act) => {
                let rollout = self.scenario.proposals[*n].plan.rollout.clone();
                self.say(&rollout, act).await;
                None
            }
        }
    }

    /// Notes that a person touched a stack, and made its content theirs.
    fn edited(&self, (done, theirs): (bool, bool), scope: &Scope, stack: StackName, world: &SimWorld) {
        if done {
            let now = world.wall();
            let content = world.stack(scope, &stack).and_then(|r| r.content_digest().ok());
            let mut ledger = self.shared.ledger();
            ledger.of_persons.extend(content.filter(|_| theirs));
            ledger.edited.insert(stack, now);
        }
    }

    /// Notes that nobody leads any more, where somebody stands by who can.
    fn lost_leader(&self, world: &SimWorld) {
        let awake = self.processes.iter().any(|p| p.orders().is_none() && !p.is_over() && !p.stands_still());
        // With failing writes the newcomer may die too; then the time is not its own.
        let now = world.wall();
        let known = awake && self.scenario.rates.write == 0.0;
        self.shared.ledger().leaderless_since = known.then_some(now);
    }

    fn break_metric(&self, n: usize, fault: MetricFault, world: &SimWorld) {
        let cell = scenario::cell(n);
        let now = world.wall();
        let fault = match fault {
            MetricFault::MissingFrom(_) => MetricFault::MissingFrom(now),
            other => other,
        };
        world.break_metric(&cell.scope(), "5xx", Some(cell.name.as_str()), fault);
        // Points that are a little late, or good every other minute, may yet be what a short bake asks for.
        let mild = match fault {
            MetricFault::Late(by) => by < Duration::from_secs(360),
            MetricFault::Flapping => true,
            _ => false,
        };
        let mut ledger = self.shared.ledger();
        if fault == MetricFault::Flapping {
            ledger.lying.insert(cell.name.clone());
        }
        // A fault takes the place of the one before.
        match fault {
            _ if mild => drop(ledger.untrusted.remove(&cell.name)),
            MetricFault::MissingFrom(from) => drop(ledger.untrusted.insert(cell.name, from)),
            _ => drop(ledger.untrusted.entry(cell.name).or_insert(now)),
        }
    }

    /// Ends what has an end.
    pub(super) fn mend(&mut self, disturbance: &Disturbance) {
        use Disturbance as D;
        let world = self.shared.world();
        match disturbance {
            D::Stick(n, _) => {
                let (scope, stack) = place(*n);
                world.unstick(&scope, &stack);
            }
            D::UnknownStatus(n, _) => {
                let (scope, stack) = place(*n);
                if world.stack(&scope, &stack).is_some_and(|r| matches!(r.view.status, StackStatus::Unknown(_))) {
                    world.set_status(&scope, &stack, StackStatus::UpdateComplete, None);
                    self.edited((true, false), &scope, stack, &world);
                }
            }
            D::Outage(region, ..) => {
                world.set_outage(&(*region).into(), None);
                self.quiet(true);
            }
            D::Expired(_) => {
                self.shared.set_expired(false);
                self.quiet(true);
            }
            D::Metric(..) => {
                world.mend_metrics();
                self.shared.ledger().untrusted.clear();
            }
            D::Stall(_) => {
                self.processes.iter().for_each(|p| p.stand_still(false));
                self.quiet(true);
            }
            D::KillFile(..) => {
                // A file that is gone does not lift the kill.
                let _ = std::fs::remove_file(wavegate::daemon::kill_file::path(&self.shared.directory()));
            }
            _ => {}
        }
    }

    async fn kill(&mut self, mode: KillMode, cell: Option<usize>) {
        self.kills += 1;
        let id = KillId::new(format!("k-{}", self.kills));
        let kill = Kill {
            id: id.clone(),
            scope: cell.map_or(KillScope::All, |n| KillScope::Cell(scenario::cell(n).name.to_string())),
            mode,
            by: "on-call".into(),
            door: KillDoor::Cli,
            at: self.shared.world().wall(),
            reason: "it looks wrong".into(),
        };
        if let Some(Ok(())) = self.order(Input::Kill(kill)).await {
            self.shared.ledger().promised.push(Promise::Kill(id));
        }
    }

    async fn lift(&mut self) {
        let kills: Vec<KillId> = self.shared.ledger().state.kills.keys().cloned().collect();
        for kill in kills {
            for by in ["ada", "grace"] {
                self.order(Input::Lift { kill: kill.clone(), by: by.into() }).await;
            }
        }
    }
}
