//! A rollout → what is known of it when policies are asked.
//!
//! Nothing in it comes from the agent's words: title and reasoning are not part of it.

use super::schema::Attribute;
use crate::model::change_set::Action;
use crate::model::class::{Autonomy, ChangeClass, ClassReason, Classified, Reversibility};
use crate::model::decision::ScopeFigures;
use crate::model::event::Settlement;
use crate::model::ids::TargetId;
use crate::model::plan::PlannedTarget;
use crate::model::principal::{Principal, PrincipalKind};
use crate::model::state::{Phase, Rollout, Target};
use std::collections::BTreeSet;

/// A percentage in ten-thousandths of a percent: as exact as Cedar's decimals are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(i64);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100 * Self::UNIT);
    const UNIT: i64 = 10_000;

    /// From a number; what is no number counts as everything.
    #[expect(clippy::cast_possible_truncation, reason = "in range by then, and whole")]
    pub fn of(percent: f64) -> Self {
        if !percent.is_finite() {
            return Self::ALL;
        }
        // Shares add up to little over 100 at the most.
        Self((percent.clamp(0.0, 1_000_000.0) * 10_000.0).round() as i64)
    }

    /// As Cedar writes a decimal.
    pub fn decimal(self) -> String {
        format!("{}.{:04}", self.0 / Self::UNIT, self.0 % Self::UNIT)
    }
}

/// What is asked: may this principal do this to these targets?
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who proposes it, by names in lower case.
    pub proposer: Principal,
    /// Of the rollout as a whole.
    pub rollout: RolloutFacts<'a>,
    /// Of each target that changes.
    pub targets: Vec<TargetFacts<'a>>,
}

/// What is known of the rollout as a whole.
#[derive(Clone, Debug)]
pub struct RolloutFacts<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// Stacks.
    pub targets: u32,
    /// Resources.
    pub resources: u32,
    /// Waves.
    pub waves: u32,
    /// Percent of customers.
    pub percent_of_traffic: Percent,
    /// Every environment that is reached.
    pub environments: BTreeSet<&'a str>,
    /// Every class that occurs.
    pub classes: BTreeSet<ChangeClass>,
    /// The worst that occurs.
    pub reversibility: Reversibility,
    /// Types that leave any stack.
    pub removed_types: BTreeSet<&'a str>,
    /// Types that are replaced in any stack.
    pub replaced_types: BTreeSet<&'a str>,
    /// In hundredths; none: nobody knows.
    pub monthly_cents: Option<i64>,
    /// What people must say by then.
    pub needs: Autonomy,
}

/// What is known of one target.
#[derive(Clone, Debug)]
pub struct TargetFacts<'a> {
    /// Which.
    pub id: &'a TargetId,
    /// The cell's name.
    pub cell: &'a str,
    /// The cell's environment.
    pub environment: &'a str,
    /// The cell's account.
    pub account: &'a str,
    /// The cell's region.
    pub region: &'a str,
    /// The change set's name of the stack.
    pub key: &'a str,
    /// Its physical name.
    pub stack: &'a str,
    /// Percent of customers.
    pub traffic_share: Percent,
    /// What is wanted of it.
    pub wants: Action,
    /// Every class. Never empty: a target without a change is not asked about.
    pub classes: BTreeSet<ChangeClass>,
    /// The worst.
    pub reversibility: Reversibility,
    /// Types that leave the stack.
    pub removed_types: BTreeSet<&'a str>,
    /// Types that are replaced, certainly or perhaps.
    pub replaced_types: BTreeSet<&'a str>,
}

/// The value of an attribute, for telling targets apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact<'f> {
    /// Text.
    Text(&'f str),
    /// A percentage.
    Percent(Percent),
    /// What is wanted of a stack.
    Wants(&'static str),
    /// Classes.
    Classes(&'f BTreeSet<ChangeClass>),
    /// A verdict.
    Reversibility(Reversibility),
    /// Types.
    Texts(&'f BTreeSet<&'f str>),
}

impl<'a> Question<'a> {
    /// What is asked about a rollout whose previews have been judged. `level` is what people must say without policies.
    pub fn of(rollout: &'a Rollout, scope: &ScopeFigures, level: Autonomy) -> Self {
        let plan = &rollout.plan;
        let targets: Vec<_> = plan
            .targets
            .iter()
            .filter_map(|(id, planned)| {
                let share = plan.cells.get(&planned.cell).map_or(f64::NAN, |cell| cell.traffic_share);
                TargetFacts::of(id, planned, share, rollout.targets.get(id))
            })
            .collect();
        let mut whole = RolloutFacts {
            pipeline: &plan.pipeline.name,
            targets: scope.targets,
            resources: scope.resources,
            waves: u32::try_from(plan.waves.len()).unwrap_or(u32::MAX),
            percent_of_traffic: Percent::of(scope.percent_of_traffic),
            environments: plan.targets.values().map(|target| target.environment.as_str()).collect(),
            classes: scope.classes.clone(),
            reversibility: scope.reversibility,
            removed_types: BTreeSet::new(),
            replaced_types: BTreeSet::new(),
            monthly_cents: scope.monthly.and_then(cents),
            needs: level,
        };
        whole.cover(&targets);
        Self { proposer: proposer(plan.proposer.as_ref(), &plan.change_set.agent), rollout: whole, targets }
    }
}

impl<'a> RolloutFacts<'a> {
    /// What is true of a target is true of the rollout, whatever the figures say.
    pub fn cover(&mut self, targets: &[TargetFacts<'a>]) {
        self.targets = self.targets.max(u32::try_from(targets.len()).unwrap_or(u32::MAX));
        for target in targets {
            self.environments.insert(target.environment);
            self.classes.extend(&target.classes);
            self.reversibility = self.reversibility.max(target.reversibility);
            self.removed_types.extend(&target.removed_types);
            self.replaced_types.extend(&target.replaced_types);
        }
    }
}

impl<'a> TargetFacts<'a> {
    /// None: nothing changes there. A target that nobody has judged is opaque.
    fn of(id: &'a TargetId, planned: &'a PlannedTarget, share: f64, target: Option<&'a Target>) -> Option<Self> {
        let classified = target.and_then(|target| target.classified.as_deref());
        let unchanged = target.is_some_and(|target| matches!(target.phase, Phase::Settled(Settlement::Unchanged)));
        let (classes, reversibility) = match classified {
            None if unchanged => return None,
            None => (BTreeSet::from([ChangeClass::Opaque]), Reversibility::Irreversible),
            Some(judged) if judged.classes.is_empty() => return None,
            Some(judged) => (judged.classes.clone(), judged.reversibility),
        };
        let types = |fits: fn(&ClassReason) -> bool| classified.map(|judged| types(judged, fits)).unwrap_or_default();
        Some(Self {
            id,
            cell: planned.cell.as_str(),
            environment: &planned.environment,
            account: planned.scope.account.as_str(),
            region: planned.scope.region.as_str(),
            key: planned.key.as_str(),
            stack: planned.stack.as_str(),
            traffic_share: Percent::of(share),
            wants: planned.action,
            classes,
            reversibility,
            removed_types: types(|reason| matches!(reason, ClassReason::Removed { .. })),
            replaced_types: types(|reason| matches!(reason, ClassReason::Replaced { .. })),
        })
    }

    /// The value of an attribute.
    pub fn fact(&self, attribute: Attribute) -> Fact<'_> {
        match attribute {
            Attribute::Cell => Fact::Text(self.cell),
            Attribute::Environment => Fact::Text(self.environment),
            Attribute::Account => Fact::Text(self.account),
            Attribute::Region => Fact::Text(self.region),
            Attribute::Key => Fact::Text(self.key),
            Attribute::Stack => Fact::Text(self.stack),
            Attribute::TrafficShare => Fact::Percent(self.traffic_share),
            Attribute::Wants => Fact::Wants(super::schema::action_word(self.wants)),
            Attribute::Classes => Fact::Classes(&self.classes),
            Attribute::Reversibility => Fact::Reversibility(self.reversibility),
            Attribute::RemovedTypes => Fact::Texts(&self.removed_types),
            Attribute::ReplacedTypes => Fact::Texts(&self.replaced_types),
        }
    }
}

fn types(judged: &Classified, fits: fn(&ClassReason) -> bool) -> BTreeSet<&str> {
    let changes = judged.changes.iter().filter(|change| change.reasons.iter().any(fits));
    changes.map(|change| change.resource_type.as_str()).collect()
}

/// In hundredths of the currency; none where it is no number.
#[expect(clippy::cast_possible_truncation, reason = "in range by then, and whole")]
fn cents(monthly: f64) -> Option<i64> {
    const MOST: f64 = 1e13;
    monthly.is_finite().then(|| (monthly.clamp(-MOST, MOST) * 100.0).round() as i64)
}

/// Names as they are compared: in lower case. Whoever is not known is an agent of no party.
pub fn proposer(known: Option<&Principal>, agent: &str) -> Principal {
    let lower = |text: &str| text.trim().to_lowercase();
    match known {
        Some(known) => Principal {
            name: lower(&known.name),
            kind: known.kind,
            party: lower(&known.party),
            groups: known.groups.iter().map(|group| lower(group)).collect(),
        },
        None => {
            Principal { name: lower(agent), kind: PrincipalKind::Agent, party: String::new(), groups: BTreeSet::new() }
        }
    }
}
