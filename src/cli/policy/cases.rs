//! Example requests for policies, in YAML: bytes → [`Cases`], with every fault in its place.

use crate::engine::policy::question::{Percent, Question, RolloutFacts, TargetFacts, proposer};
use crate::engine::policy::schema;
use crate::model::change_set::Action;
use crate::model::class::{Autonomy, ChangeClass, Reversibility};
use crate::model::document::fields::{Faults, known_or, text};
use crate::model::document::{self, Diagnostics, Fields, Node};
use crate::model::ids::TargetId;
use crate::model::principal::{Principal, PrincipalKind};
use std::collections::BTreeSet;

/// A file of examples.
#[derive(Debug)]
pub struct Cases {
    /// Policy files, beside the file of examples.
    pub policies: Vec<String>,
    /// The examples.
    pub all: Vec<Case>,
}

/// One example.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// What the policies must say.
    pub expect: Autonomy,
    /// The policies that must say it, and no other; none: whichever.
    pub by: Option<BTreeSet<String>>,
    principal: Principal,
    targets: Vec<CaseTarget>,
    rollout: CaseRollout,
}

#[derive(Debug)]
struct CaseTarget {
    id: TargetId,
    environment: String,
    account: String,
    region: String,
    stack: String,
    cell: String,
    key: String,
    traffic_share: f64,
    wants: Action,
    classes: BTreeSet<ChangeClass>,
    reversibility: Reversibility,
    removed_types: BTreeSet<String>,
    replaced_types: BTreeSet<String>,
}

#[derive(Debug)]
struct CaseRollout {
    pipeline: String,
    resources: Option<u32>,
    waves: u32,
    percent_of_traffic: f64,
    monthly_cents: Option<i64>,
    needs: Autonomy,
}

/// Reads a file of examples. `file` is only named in faults.
///
/// # Errors
/// Every fault of the file, each with its place and a fix.
pub fn read(file: &str, bytes: &[u8]) -> Result<Cases, Diagnostics> {
    let root = document::read(file, bytes)?;
    let source = String::from_utf8_lossy(bytes);
    let faults = Faults::default();
    let cases = cases(&root, &source, &faults);
    match (cases, faults.all()) {
        (Some(cases), all) if all.is_empty() => Ok(cases),
        (None, all) if all.is_empty() => {
            let fix = "see pipelines/policies/never-delete-data.tests.yaml for one to begin with";
            Err(Diagnostics::of_file(file, "the document holds no examples", fix))
        }
        (_, all) => Err(Diagnostics::new(file, &source, all)),
    }
}

fn cases(root: &Node, source: &str, faults: &Faults) -> Option<Cases> {
    let fields = Fields::of(root, &["version", "policies", "tests"], faults)?;
    fields.need("version", "1");
    fields.whole("version", 1..=1);
    let policies = fields.need_list("policies", "[my.cedar]").iter().filter_map(|node| text(node, faults)).collect();
    let nodes = fields.need_list("tests", "[{name: …}]");
    let all = nodes.iter().filter_map(|node| case(node, source, faults)).collect();
    Some(Cases { policies, all })
}

fn case(node: &Node, source: &str, faults: &Faults) -> Option<Case> {
    let fields = Fields::of(node, &["name", "principal", "rollout", "targets", "expect", "by"], faults)?;
    let name = fields.need_text("name", "what it shows");
    let principal = fields.need("principal", "{agent: kiro}").and_then(|node| principal(node, faults));
    let targets: Vec<_> =
        fields.need_list("targets", "[{environment: production, classes: [in_place]}]").iter().collect();
    let targets = targets.iter().enumerate().filter_map(|(at, node)| target(at, node, faults)).collect();
    let rollout = rollout(fields.get("rollout"), faults);
    fields.need("expect", "forbid");
    let expect = fields.word(
        "expect",
        &[
            ("allow", Autonomy::Autonomous),
            ("one_approval", Autonomy::OneApproval),
            ("two_approvals", Autonomy::TwoApprovals),
            ("forbid", Autonomy::Forbidden),
        ],
    );
    let by = fields.has("by").then(|| texts(&fields, "by"));
    let line = source.get(..node.span.start).unwrap_or_default().matches('\n').count() + 1;
    Some(Case { name: name?, line, expect: expect?, by, principal: principal?, targets, rollout: rollout? })
}

/// `{agent: kiro, party: orders, groups: [deployers]}`
fn principal(node: &Node, faults: &Faults) -> Option<Principal> {
    let fields = Fields::of(node, &["agent", "human", "service", "party", "groups"], faults)?;
    let kinds = [("agent", PrincipalKind::Agent), ("human", PrincipalKind::Human), ("service", PrincipalKind::Service)];
    let mut named: Vec<_> = kinds.iter().filter_map(|(key, kind)| Some((*kind, fields.text(key)?))).collect();
    let (Some((kind, name)), true) = (named.pop(), named.is_empty()) else {
        fields.fault("a principal is one of `agent`, `human` and `service`", "write `{agent: kiro}`");
        return None;
    };
    let party = fields.text("party").unwrap_or_default();
    Some(Principal { name, kind, party, groups: texts(&fields, "groups") })
}

fn rollout(node: Option<&Node>, faults: &Faults) -> Option<CaseRollout> {
    let mut rollout = CaseRollout {
        pipeline: "default".to_owned(),
        resources: None,
        waves: 1,
        percent_of_traffic: 1.0,
        monthly_cents: None,
        needs: Autonomy::Autonomous,
    };
    let Some(node) = node else { return Some(rollout) };
    let known = ["pipeline", "resources", "waves", "percent_of_traffic", "monthly_cents", "needs"];
    let fields = Fields::of(node, &known, faults)?;
    rollout.pipeline = fields.text("pipeline").unwrap_or(rollout.pipeline);
    rollout.resources = fields.whole("resources", 0..=u32::MAX);
    rollout.waves = fields.whole("waves", 1..=10_000).unwrap_or(rollout.waves);
    rollout.percent_of_traffic = fields.percent("percent_of_traffic", true).unwrap_or(rollout.percent_of_traffic);
    rollout.monthly_cents = fields.whole("monthly_cents", 0..=u32::MAX).map(i64::from);
    let levels = schema::LEVELS.map(|level| (level.as_str(), level));
    rollout.needs = fields.word("needs", &levels).unwrap_or(rollout.needs);
    Some(rollout)
}

fn target(at: usize, node: &Node, faults: &Faults) -> Option<CaseTarget> {
    let known = [
        "cell",
        "environment",
        "account",
        "region",
        "key",
        "stack",
        "traffic_share",
        "wants",
        "classes",
        "reversibility",
        "removed_types",
        "replaced_types",
    ];
    let fields = Fields::of(node, &known, faults)?;
    let or = |key: &str, otherwise: &str| fields.text(key).unwrap_or_else(|| otherwise.to_owned());
    let environment = fields.need_text("environment", "production");
    let nodes = fields.need_list("classes", "[in_place]");
    let classes: BTreeSet<_> = nodes.iter().filter_map(|node| class(node, faults)).collect();
    let verdicts = schema::REVERSIBILITIES.map(|verdict| (schema::reversibility_word(verdict), verdict));
    let wants = schema::STACK_ACTIONS.map(|action| (schema::action_word(action), action));
    let (cell, key) = (or("cell", &format!("cell-{}", at + 1)), or("key", "orders"));
    Some(CaseTarget {
        id: TargetId::new(format!("{cell}/{key}")),
        environment: environment?,
        account: or("account", "111122223333"),
        region: or("region", "eu-west-1"),
        stack: or("stack", &key),
        cell,
        key,
        traffic_share: fields.percent("traffic_share", true).unwrap_or(1.0),
        wants: fields.word("wants", &wants).unwrap_or_default(),
        classes,
        reversibility: fields.word("reversibility", &verdicts).unwrap_or_default(),
        removed_types: texts(&fields, "removed_types"),
        replaced_types: texts(&fields, "replaced_types"),
    })
}

fn class(node: &Node, faults: &Faults) -> Option<ChangeClass> {
    let word = text(node, faults)?;
    let found = ChangeClass::ALL.into_iter().find(|class| class.as_str() == word);
    if found.is_none() {
        let fix = known_or(&word, &ChangeClass::ALL.map(ChangeClass::as_str), "see `wavegate policy schema`");
        faults.at(node, format!("there is no class `{word}`"), fix);
    }
    found
}

fn texts(fields: &Fields<'_>, key: &str) -> BTreeSet<String> {
    fields.list(key).iter().filter_map(|node| text(node, fields.faults())).collect()
}

impl Case {
    /// What the policies are asked.
    pub fn question(&self) -> Question<'_> {
        let targets: Vec<_> = self.targets.iter().map(CaseTarget::facts).collect();
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let mut rollout = RolloutFacts {
            pipeline: &self.rollout.pipeline,
            targets: count,
            resources: self.rollout.resources.unwrap_or(count),
            waves: self.rollout.waves,
            percent_of_traffic: Percent::of(self.rollout.percent_of_traffic),
            environments: BTreeSet::new(),
            classes: BTreeSet::new(),
            reversibility: Reversibility::default(),
            removed_types: BTreeSet::new(),
            replaced_types: BTreeSet::new(),
            monthly_cents: self.rollout.monthly_cents,
            needs: self.rollout.needs,
        };
        rollout.cover(&targets);
        Question { proposer: proposer(Some(&self.principal), ""), rollout, targets }
    }
}

impl CaseTarget {
    fn facts(&self) -> TargetFacts<'_> {
        TargetFacts {
            id: &self.id,
            cell: &self.cell,
            environment: &self.environment,
            account: &self.account,
            region: &self.region,
            key: &self.key,
            stack: &self.stack,
            traffic_share: Percent::of(self.traffic_share),
            wants: self.wants,
            classes: self.classes.clone(),
            reversibility: self.reversibility,
            removed_types: self.removed_types.iter().map(String::as_str).collect(),
            replaced_types: self.replaced_types.iter().map(String::as_str).collect(),
        }
    }
}
