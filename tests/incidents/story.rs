//! A scenario that is told as people and agents would live it: a pipeline and change sets as YAML, the real daemon over the embedded
//! world, what was found, what people answer, which calls reached the provider. The transcript is kept in `golden/`;
//! `UPDATE_GOLDENS=1` writes it anew.

use crate::daemon::Daemon;
use crate::stage::Stage;
use crate::wire::Wires;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use wavegate::api::admission::Explanation;
use wavegate::api::view;
use wavegate::cli::approvals;
use wavegate::cloud::sim::{Operation, SimOptions, SimWorld};
use wavegate::daemon::driver::Orders;
use wavegate::engine::answer::{PersonsAnswer, Says};
use wavegate::engine::decide::Input;
use wavegate::engine::planner;
use wavegate::model::change_set;
use wavegate::model::decision::Judged;
use wavegate::model::event::{Event, Outcome};
use wavegate::model::ids::{Digest, RolloutId};
use wavegate::model::pipeline::{self, Pipeline};
use wavegate::model::plan::Plan;

/// Every story begins on this morning.
const START: &str = "2026-11-21T08:00:00Z";

/// Health that every story watches: the share of failed requests, for each cell.
pub const HEALTH: &str = r#"health:
  interval: 15s
  lag: 0s
  metrics:
    - name: errors
      namespace: Shop
      metric: 5xx
      dimensions: {Cell: "{cell}"}
      statistic: Average
      period: 60s
      fail_when: "> 5"
      datapoints_to_alarm: 1
      evaluation_periods: 2
      missing_data: hold
"#;

/// People of three parties, and an agent that acts for one of them.
pub const PEOPLE: &str = "approvals:
  people:
    - {name: dana, party: platform, groups: [sre]}
    - {name: sam, party: security, groups: [sre]}
    - {name: lee, party: shop}
    - {name: kim, party: shop}
  # lee operates the agent: nobody of the shop's team approves what it proposes.
  agents:
    - {name: shop-agent, party: shop}
  two_approvals: {count: 2, parties: 2, groups: {sre: 1}}
  valid_for: 1h
";

/// One world, its pipeline, and what has been told so far.
pub struct Story {
    pub stage: Stage,
    pub daemon: Daemon,
    pub pipeline: Pipeline,
    /// Files that change sets may name.
    templates: BTreeMap<String, String>,
    before: BTreeMap<String, Option<Digest>>,
    /// So many of the issuer's objections have been told.
    objections: usize,
    told: String,
}

/// An agent with all that its operator gave it: a name, and the daemon's socket. There is no credential in it.
pub struct Agent {
    pub name: &'static str,
    pub orders: Orders,
}

impl Story {
    /// A world in which each cell has the stacks that the pipeline names: by the change sets' name of it, the template.
    pub async fn open(title: &str, pipeline: &str, stacks: &[(&str, &str)], templates: &[(&str, &str)]) -> Self {
        let start: Timestamp = START.parse().unwrap();
        let pipeline =
            pipeline::read::read("pipelines/shop.yaml", pipeline.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let world = SimWorld::new(SimOptions { seed: 17, start, ..SimOptions::default() });
        let stacks: BTreeMap<&str, &str> = stacks.iter().copied().collect();
        for cell in &pipeline.cells {
            for (key, stack) in &cell.stacks {
                let template = stacks[key.as_str()];
                world.add_stack(&cell.scope(), stack, template, BTreeMap::new(), BTreeMap::new()).unwrap();
                world.bind(&cell.scope(), cell.name.as_str(), stack.clone());
            }
        }
        let (stage, daemon) = Stage::of(world, start, Wires::default()).await;
        let templates = templates.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (before, told) = (BTreeMap::new(), format!("# {title}\n"));
        let mut story = Self { stage, daemon, pipeline, templates, before, objections: 0, told };
        story.before = story.contents();
        story
    }

    /// Says something.
    pub fn note(&mut self, words: &str) {
        writeln!(self.told, "\n{words}").unwrap();
    }

    fn line(&mut self, words: &str) {
        writeln!(self.told, "{words}").unwrap();
    }

    /// The plan of a change set, as the daemon makes it; or why there is none, in the words that the agent gets.
    pub fn plan(&self, rollout: &str, change_set: &str) -> Result<Plan, String> {
        let find = |path: &str| match self.templates.get(path) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => Err(format!("`{path}` is not there")),
        };
        let admitted =
            change_set::read::read("change.yaml", change_set.as_bytes(), &find).map_err(|e| e.to_string())?;
        planner::plan(&admitted, &self.pipeline, rollout.into(), false, START.parse().unwrap())
            .map_err(|errors| wavegate::api::service::plan_errors(&errors))
    }

    /// Somebody hands a change set in; false when it is refused as it is.
    pub async fn propose(&mut self, rollout: &str, change_set: &str, by: &str) -> bool {
        self.note(&format!("## {by} hands in {rollout}"));
        change_set.trim().lines().for_each(|line| self.line(&format!("    {line}")));
        match self.plan(rollout, change_set) {
            Ok(plan) => {
                let waves = plan.waves.iter().map(|wave| format!("{} ({})", wave.name, wave.targets.len()));
                let waves = waves.collect::<Vec<_>>().join(", ");
                self.line(&format!("  planned, with so many targets a wave: {waves}"));
                let (plan, digest) = (Arc::new(plan.clone()), plan.digest().unwrap());
                self.daemon.input(Input::Propose { plan, digest, by: by.into(), handed_in: None }).await;
                true
            }
            Err(why) => {
                self.line(&format!("  refused at the door: {why}"));
                false
            }
        }
    }

    /// Waits for the judgement, and tells what an approver reads.
    pub async fn judged(&mut self, rollout: &str) -> Arc<Judged> {
        let id = RolloutId::new(rollout);
        let of = id.clone();
        self.daemon.until("judged", move |s| s.rollouts.get(&of).is_some_and(|r| r.admission.judged.is_some())).await;
        let looked = self.daemon.orders.look(move |core| {
            let rollout = &core.state().rollouts[&id];
            let asked = approvals::asked(&view::rollout(core, rollout, false));
            (rollout.admission.judged.clone().unwrap(), asked)
        });
        let (judged, asked) = looked.await.unwrap();
        self.note("judged, as `wavegate approvals` shows it:");
        self.line(&asked);
        let decision = serde_json::to_value(judged.decision).unwrap();
        self.line(&format!("  decision: {} ({})", decision.as_str().unwrap(), judged.level));
        judged
    }

    /// Somebody answers; true when it counts.
    pub async fn says(&mut self, rollout: &str, by: &str, says: Says) -> bool {
        let words = match &says {
            Says::Approve { confirm: Some(figure), .. } => format!("approves it, confirming “{figure}”"),
            Says::Approve { .. } => "approves it".to_owned(),
            Says::Reject { reason } => format!("rejects it: {reason}"),
            other => format!("{other:?}"),
        };
        let answer = PersonsAnswer { rollout: rollout.into(), by: by.into(), party: None, says };
        self.order(&format!("{} {words}", by.trim()), Input::Answer(answer)).await
    }

    /// Somebody agrees to what is asked, with this figure.
    pub async fn approves(&mut self, rollout: &str, by: &str, confirm: Option<&str>) -> bool {
        let digest = self.digest(rollout).await;
        let confirm = confirm.map(str::to_owned);
        self.says(rollout, by, Says::Approve { digest, through_wave: None, confirm }).await
    }

    async fn digest(&self, rollout: &str) -> String {
        let id = RolloutId::new(rollout);
        let look = move |core: &wavegate::daemon::core::Core| {
            core.state().rollouts[&id].admission.judged.as_ref().map_or_else(String::new, |j| j.digest.to_string())
        };
        self.daemon.orders.look(look).await.unwrap()
    }

    /// An order, and how it was taken.
    pub async fn order(&mut self, words: &str, input: Input) -> bool {
        let taken = self.daemon.orders.input(input).await.unwrap();
        match &taken {
            Ok(()) => self.line(&format!("- {words}\n    counted")),
            Err(why) => self.line(&format!("- {words}\n    refused: {why}")),
        }
        taken.is_ok()
    }

    /// Until the rollout has ended.
    pub async fn outcome(&mut self, rollout: &str) -> Outcome {
        let outcome = self.daemon.outcome(rollout).await;
        let why = self.reverts(rollout);
        self.note(&format!("{rollout} has ended: {}{why}", format!("{outcome:?}").to_lowercase()));
        outcome
    }

    fn reverts(&self, rollout: &str) -> String {
        let reason = self.stage.record().into_iter().find_map(|(_, event)| match event {
            Event::RevertStarted { rollout: id, reason } if id.as_str() == rollout => Some(reason),
            _ => None,
        });
        reason.map(|reason| format!(" ({})", wavegate::api::words::revert(&reason))).unwrap_or_default()
    }

    /// `wavegate explain`, at this moment.
    pub async fn explained(&self, rollout: &str) -> Explanation {
        let (id, at) = (RolloutId::new(rollout), self.stage.world.wall());
        self.daemon.orders.look(move |core| view::explain(core, &id, at)).await.unwrap().expect("it is there")
    }

    /// What the agent is told, in full.
    pub async fn told_in_full(&mut self, rollout: &str) -> Explanation {
        let explained = self.explained(rollout).await;
        self.note(&format!("the agent is told (`wavegate explain {rollout} --json`):"));
        self.line(&serde_json::to_string_pretty(&explained).unwrap());
        explained
    }

    /// What the agent is told: the findings and what it waits for, a line each.
    pub async fn told(&mut self, rollout: &str) -> Explanation {
        let explained = self.explained(rollout).await;
        self.note(&format!("the agent is told (from `wavegate explain {rollout} --json`):"));
        let view = explained.admission.iter();
        let found = view.flat_map(|view| view.found.iter().chain(&view.waits)).chain(&explained.stalled);
        let found: Vec<String> = found.map(|found| serde_json::to_string(found).unwrap()).collect();
        found.iter().for_each(|line| self.line(&format!("  {line}")));
        let reasons: Vec<String> = explained.reasons.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
        reasons.iter().for_each(|line| self.line(&format!("  {line}")));
        explained
    }

    /// What the issuer did not let out since this was last told.
    pub fn objections(&mut self) -> BTreeSet<String> {
        let all = self.stage.objections();
        let fresh = all[self.objections..].iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        self.objections = all.len();
        self.note("the issuer refused to let out:");
        if fresh.is_empty() {
            self.line("  nothing");
        }
        fresh.iter().for_each(|line| self.line(&format!("  {line}")));
        fresh
    }

    /// Operations that began at the provider, in their order; and how many stacks are as they were.
    pub fn calls(&mut self) -> Vec<Motion> {
        let motions = self.motions();
        self.note("operations that began at the provider, region after region:");
        if motions.is_empty() {
            self.line("  none");
        }
        // What begins in one region at about the same time has no order that is worth keeping.
        for region in motions.chunk_by(|a, b| a.region == b.region) {
            let mut lines: Vec<String> =
                region.iter().map(|m| format!("  {} {} {}", m.operation.api_name(), m.region, m.stack)).collect();
            lines.sort();
            lines.iter().for_each(|line| self.line(line));
        }
        let now = self.contents();
        let same = self.before.iter().filter(|(stack, before)| now.get(*stack) == Some(before)).count();
        self.line(&format!("{same} of {} stacks are as they were", self.before.len()));
        motions
    }

    /// How many stacks are as they were before anything happened.
    pub fn as_before(&self) -> bool {
        self.before == self.contents()
    }

    fn contents(&self) -> BTreeMap<String, Option<Digest>> {
        let stacks =
            self.pipeline.cells.iter().flat_map(|cell| cell.stacks.values().map(|s| (cell.scope(), s.clone())));
        let content = |(scope, stack)| {
            let record = self.stage.world.stack(&scope, &stack);
            (stack.to_string(), record.and_then(|record| record.content_digest().ok()))
        };
        stacks.map(content).collect()
    }

    /// Each operation that began at the provider, from the world's own log: the call that started it, and the stack's event that
    /// ended it.
    pub fn motions(&self) -> Vec<Motion> {
        let starts = |operation| matches!(operation, Operation::ExecuteChangeSet | Operation::DeleteStack);
        let calls = self.stage.world.calls();
        let mut motions: Vec<Motion> = calls
            .iter()
            .filter(|call| starts(call.operation) && call.took_effect)
            .map(|call| {
                let arn_or_name = call.stack.clone().unwrap_or_default();
                let stack = arn_or_name.split_once(":stack/").map_or(arn_or_name.as_str(), |(_, rest)| rest);
                let stack = stack.split('/').next().unwrap().to_owned();
                let events = self.stage.world.events(&call.scope, &arn_or_name);
                let ended = events.iter().find(|event| {
                    let of_stack = event.resource_type == "AWS::CloudFormation::Stack" && event.logical_id == stack;
                    of_stack && event.token == call.token && !event.status.ends_with("_IN_PROGRESS")
                });
                Motion {
                    operation: call.operation,
                    region: call.scope.region.to_string(),
                    from: call.acted_at.expect("it took effect"),
                    to: ended.map(|event| event.at),
                    cell: self.cell_of(&stack),
                    stack,
                }
            })
            .collect();
        motions.sort_by(|a, b| (a.from, &a.stack).cmp(&(b.from, &b.stack)));
        motions
    }

    fn cell_of(&self, stack: &str) -> String {
        let has = |cell: &&pipeline::Cell| cell.stacks.values().any(|name| name.as_str() == stack);
        self.pipeline.cells.iter().find(has).map(|cell| cell.name.to_string()).unwrap_or_default()
    }

    /// Percent of customers that a cell serves.
    pub fn share(&self, cell: &str) -> f64 {
        self.pipeline.cells.iter().find(|known| known.name.as_str() == cell).unwrap().traffic_share
    }

    /// The agent of this story.
    pub fn agent(&self) -> Agent {
        Agent { name: "shop-agent", orders: self.daemon.orders.clone() }
    }

    /// The transcript, compared with the one that is kept. Digests are left out: they follow every change of every type.
    pub fn golden(self, name: &str) {
        let found = without_digests(&self.told);
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/incidents/golden/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &found).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == found, "{} is not current (UPDATE_GOLDENS=1 writes it).\n--- found\n{found}", file.display());
    }
}

/// One operation at the provider.
#[derive(Clone, Debug)]
pub struct Motion {
    pub operation: Operation,
    pub region: String,
    pub cell: String,
    pub stack: String,
    pub from: Timestamp,
    /// None: it has not ended.
    pub to: Option<Timestamp>,
}

/// For each moment in which an operation begins: what is in motion then.
pub fn moments(motions: &[Motion]) -> impl Iterator<Item = Vec<&Motion>> {
    let at = |moment: Timestamp| motions.iter().filter(move |m| m.from <= moment && m.to.is_none_or(|to| to > moment));
    motions.iter().map(move |m| at(m.from).collect())
}

/// The most regions that were in motion at one moment.
pub fn most_regions(motions: &[Motion]) -> usize {
    let regions = |moment: Vec<&Motion>| moment.iter().map(|m| m.region.clone()).collect::<BTreeSet<_>>().len();
    moments(motions).map(regions).max().unwrap_or(0)
}

fn without_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let hex = word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let digest = hex && word.len() >= 12 && word.chars().any(|c| c.is_ascii_lowercase());
        out.push_str(if digest { "DIGEST" } else { &word });
        word.clear();
        out.push(letter);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
