//! Questions for policies, by hand.

use std::collections::BTreeSet;
use wavegate::engine::policy::question::{Percent, Question, RolloutFacts, TargetFacts, proposer};
use wavegate::model::change_set::Action;
use wavegate::model::class::{Autonomy, ChangeClass, Reversibility};
use wavegate::model::ids::TargetId;
use wavegate::model::principal::{Principal, PrincipalKind};

/// One target.
#[derive(Clone, Debug)]
pub struct Stack {
    pub id: TargetId,
    pub cell: String,
    pub environment: String,
    pub region: String,
    pub name: String,
    pub share: f64,
    pub wants: Action,
    pub classes: BTreeSet<ChangeClass>,
    pub reversibility: Reversibility,
    pub removed: BTreeSet<String>,
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct World {
    pub proposer: Principal,
    pub targets: Vec<Stack>,
    pub monthly_cents: Option<i64>,
    pub needs: Autonomy,
}

/// So many stacks in production, each changed in place.
pub fn production(count: usize) -> Vec<Stack> {
    let stack = |n: usize| Stack {
        id: TargetId::new(format!("prod-{n}/orders")),
        cell: format!("prod-{n}"),
        environment: "production".into(),
        region: "eu-west-1".into(),
        name: format!("orders-{n}"),
        share: 1.5,
        wants: Action::Update,
        classes: BTreeSet::from([ChangeClass::InPlace]),
        reversibility: Reversibility::Reversible,
        removed: BTreeSet::new(),
    };
    (0..count).map(stack).collect()
}

impl World {
    pub fn of(targets: Vec<Stack>) -> Self {
        let proposer = Principal {
            name: "kiro".into(),
            kind: PrincipalKind::Agent,
            party: "orders".into(),
            groups: BTreeSet::new(),
        };
        Self { proposer, targets, monthly_cents: None, needs: Autonomy::Autonomous }
    }

    pub fn question(&self) -> Question<'_> {
        let targets: Vec<_> = self.targets.iter().map(facts).collect();
        let mut rollout = RolloutFacts {
            pipeline: "default",
            targets: 0,
            resources: u32::try_from(self.targets.len()).unwrap(),
            waves: 3,
            percent_of_traffic: Percent::of(12.5),
            environments: BTreeSet::new(),
            classes: BTreeSet::new(),
            reversibility: Reversibility::Reversible,
            removed_types: BTreeSet::new(),
            replaced_types: BTreeSet::new(),
            monthly_cents: self.monthly_cents,
            needs: self.needs,
        };
        rollout.cover(&targets);
        Question { proposer: proposer(Some(&self.proposer), ""), rollout, targets }
    }
}

fn facts(stack: &Stack) -> TargetFacts<'_> {
    TargetFacts {
        id: &stack.id,
        cell: &stack.cell,
        environment: &stack.environment,
        account: "111122223333",
        region: &stack.region,
        key: "orders",
        stack: &stack.name,
        traffic_share: Percent::of(stack.share),
        wants: stack.wants,
        classes: stack.classes.clone(),
        reversibility: stack.reversibility,
        removed_types: stack.removed.iter().map(String::as_str).collect(),
        replaced_types: BTreeSet::new(),
    }
}
