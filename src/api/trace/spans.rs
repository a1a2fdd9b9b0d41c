//! What the journal says of one rollout, as the spans of one trace. Pure: the same records give the same spans with the same ids, so
//! that a trace that is sent twice is one trace.
//!
//! ```text
//! rollout ─┬─ preview
//!          ├─ approval
//!          ├─ wave 1 ── apply target …
//!          ├─ bake 1
//!          └─ revert ── revert target …
//! ```

use crate::api::{fact, words};
use crate::cloud::otlp::{Span, SpanEvent, Value};
use crate::journal::Entry;
use crate::model::event::{Direction, Event, Operation, Outcome, RestoredBy, Settlement};
use crate::model::halt::Kill;
use crate::model::ids::TargetId;
use crate::model::plan::Plan;
use crate::model::verdict::Verdict;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Spans of one trace: a rollout of a thousand targets that all go there and back has about two thousand.
const SPANS_MAX: usize = 10_000;
/// Events of one span: what OpenTelemetry's SDKs keep unless they are told otherwise (`OTEL_SPAN_EVENT_COUNT_LIMIT`).
const EVENTS_MAX: usize = 128;
/// Characters of an attribute: its value may come from an agent, a person or the provider.
const TEXT_MAX: usize = 200;

const ROOT: &str = "rollout";
const PREVIEW: &str = "preview";
const REVERT: &str = "revert";

/// A trace in the making.
#[derive(Debug, Default)]
pub struct Trace {
    rollout: String,
    plan: Option<Arc<Plan>>,
    /// By their keys, which make their ids.
    open: BTreeMap<String, Span>,
    done: Vec<Span>,
    /// The key of each target's newest operation.
    operations: BTreeMap<TargetId, String>,
    tries: u32,
    /// Since when people are asked.
    asked: Option<Timestamp>,
    asks: u32,
    verdict: Option<Verdict>,
}

impl Trace {
    /// Takes in the next record of the rollout, in order.
    pub fn add(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.event {
            Event::RolloutProposed { plan, digest, by, .. } => self.begin(plan, digest.as_str(), by, at),
            Event::GuardrailsJudged { .. } => {
                self.close(PREVIEW, at);
                self.asked.get_or_insert(at);
                self.note(ROOT, "guardrails judged", &entry.event, at);
            }
            Event::ApprovalsUsed { .. } => self.answered(at, None),
            Event::ApprovalRejected { .. } => self.answered(at, Some("rejected")),
            Event::ApprovalGiven { .. } => {
                self.asked.get_or_insert(at);
                self.note(ROOT, "approval given", &entry.event, at);
            }
            Event::ApprovalRevoked { .. } => self.note(ROOT, "approval revoked", &entry.event, at),
            Event::ApprovalRefused { .. } => self.note(ROOT, "approval refused", &entry.event, at),
            Event::RolloutHeld { hold, .. } => self.note_why(ROOT, "held", &entry.event, tag(hold), at),
            Event::RolloutResumed { .. } => self.note(ROOT, "resumed", &entry.event, at),
            Event::RevertStarted { reason, .. } => self.turn_back(&entry.event, tag(reason), at),
            Event::RolloutEnded { outcome, .. } => self.end(*outcome, at),
            event => self.add_to_wave(event, at),
        }
    }

    fn add_to_wave(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::WaveStarted { wave, .. } => {
                self.close(PREVIEW, at);
                self.asked = None;
                let name = self.plan.as_ref().and_then(|plan| plan.waves.get(*wave)).map(|wave| wave.name.clone());
                self.begin_wave("wave", *wave, name, at);
            }
            Event::BakeStarted { wave, .. } => {
                self.close(&key("wave", *wave), at);
                self.verdict = None;
                self.begin_wave("bake", *wave, None, at);
            }
            Event::HealthJudged { wave, verdict, .. } => {
                if self.verdict.replace(*verdict) != Some(*verdict) {
                    let bake = key("bake", *wave);
                    let within = if self.open.contains_key(&bake) { bake } else { key("wave", *wave) };
                    self.note_why(&within, "health judged", event, verdict.to_string(), at);
                }
            }
            Event::GatePassed { wave, .. } => {
                self.note(&key("bake", *wave), "gate passed", event, at);
                self.close(&key("bake", *wave), at);
            }
            event => self.add_to_operation(event, at),
        }
    }

    fn add_to_operation(&mut self, event: &Event, at: Timestamp) {
        let Some(target) = event.target() else { return };
        if let Event::OperationIntended { operation, .. } = event {
            return self.begin_operation(target, operation, at);
        }
        let Some(key) = self.operations.get(target).cloned() else { return };
        match event {
            Event::OperationStarted { .. } => self.note(&key, "started", event, at),
            Event::CancelIntended { .. } => self.note(&key, "cancel", event, at),
            Event::OperationEnded { .. } => self.note(&key, "ended", event, at),
            Event::OperationOverdue { .. } => self.note(&key, "overdue", event, at),
            Event::OperationNotStarted { .. } => self.settle(target, &key, "not_started", None, at),
            Event::TargetSettled { settlement, .. } => {
                let (outcome, error) = match settlement {
                    Settlement::Applied { .. } => ("applied", None),
                    Settlement::Unchanged => ("unchanged", None),
                    Settlement::Restored { by: RestoredBy::Revert } => ("restored", None),
                    Settlement::Restored { by: RestoredBy::Provider } => {
                        ("restored", Some("rolled back by the provider"))
                    }
                    Settlement::Stuck { .. } => ("stuck", Some("stuck: a person is needed")),
                };
                self.settle(target, &key, outcome, error, at);
            }
            _ => {}
        }
    }

    fn begin(&mut self, plan: &Arc<Plan>, digest: &str, by: &str, at: Timestamp) {
        self.rollout = plan.rollout.as_str().to_owned();
        self.plan = Some(Arc::clone(plan));
        let attributes = vec![
            ("wavegate.rollout", text(&self.rollout)),
            ("wavegate.agent", text(&plan.change_set.agent)),
            ("wavegate.title", text(&plan.change_set.title)),
            ("wavegate.pipeline", text(&plan.pipeline.name)),
            ("wavegate.digest", text(digest)),
            ("wavegate.by", text(by)),
            ("wavegate.targets", number(plan.targets.len())),
            ("wavegate.waves", number(plan.waves.len())),
        ];
        self.open(ROOT.to_owned(), ROOT, None, at, attributes);
        self.open(PREVIEW.to_owned(), PREVIEW, Some(ROOT), at, Vec::new());
    }

    fn begin_wave(&mut self, what: &'static str, wave: usize, name: Option<String>, at: Timestamp) {
        let mut attributes = vec![("wavegate.wave", number(wave + 1))];
        attributes.extend(name.map(|name| ("wavegate.wave_name", text(&name))));
        self.open(key(what, wave), &format!("{what} {}", wave + 1), Some(ROOT), at, attributes);
    }

    fn begin_operation(&mut self, target: &TargetId, operation: &Operation, at: Timestamp) {
        if let Some(before) = self.operations.get(target).cloned() {
            self.close(&before, at);
        }
        self.tries += 1;
        let planned = self.plan.as_ref().and_then(|plan| plan.targets.get(target)).cloned();
        let (name, parent) = match operation.direction {
            Direction::Forward => ("apply target", planned.as_ref().map_or(ROOT.to_owned(), |t| key("wave", t.wave))),
            Direction::Revert if self.open.contains_key(REVERT) => ("revert target", REVERT.to_owned()),
            Direction::Revert => ("revert target", ROOT.to_owned()),
        };
        let mut attributes =
            vec![("wavegate.target", text(target.as_str())), ("wavegate.call", text(&call(operation)))];
        if let Some(planned) = planned {
            attributes.push(("cloud.account.id", text(planned.scope.account.as_str())));
            attributes.push(("cloud.region", text(planned.scope.region.as_str())));
            attributes.push(("wavegate.stack", text(planned.stack.as_str())));
        }
        let key = format!("operation/{}/{}", target.as_str(), self.tries);
        self.open(key.clone(), name, Some(&parent), at, attributes);
        self.operations.insert(target.clone(), key);
    }

    fn settle(&mut self, target: &TargetId, key: &str, outcome: &str, error: Option<&str>, at: Timestamp) {
        if let Some(span) = self.open.get_mut(key) {
            span.attributes.push(("wavegate.outcome", text(outcome)));
            span.error = error.map(str::to_owned);
        }
        self.close(key, at);
        self.operations.remove(target);
    }

    /// What people were asked is answered, one way or the other.
    fn answered(&mut self, at: Timestamp, error: Option<&str>) {
        self.asks += 1;
        let key = format!("approval/{}", self.asks);
        let since = self.asked.take().unwrap_or(at);
        self.open(key.clone(), "approval", Some(ROOT), since, Vec::new());
        if let Some(span) = self.open.get_mut(&key) {
            span.error = error.map(str::to_owned);
        }
        self.close(&key, at);
    }

    fn turn_back(&mut self, event: &Event, why: String, at: Timestamp) {
        let forward = |key: &String| *key == PREVIEW || key.starts_with("wave/") || key.starts_with("bake/");
        let over: Vec<String> = self.open.keys().filter(|key| forward(key)).cloned().collect();
        over.iter().for_each(|key| self.close(key, at));
        let attributes = vec![("wavegate.why", text(&why)), ("wavegate.detail", text(&fact::detail(event)))];
        self.open(REVERT.to_owned(), REVERT, Some(ROOT), at, attributes);
        // Whoever only wanted to look has what they wanted.
        if let Some(span) = self.open.get_mut(REVERT).filter(|_| why != "plan_only") {
            span.error = Some(why);
        }
    }

    fn end(&mut self, outcome: Outcome, at: Timestamp) {
        let (name, error) = match outcome {
            Outcome::Succeeded => ("succeeded", None),
            Outcome::Reverted => ("reverted", Some("reverted")),
            Outcome::Stuck => ("stuck", Some("stuck: a person is needed")),
            Outcome::Cancelled => ("cancelled", None),
        };
        if let Some(root) = self.open.get_mut(ROOT) {
            root.attributes.push(("wavegate.outcome", text(name)));
            root.error = error.map(str::to_owned);
        }
        let over: Vec<String> = self.open.keys().filter(|key| *key != ROOT).cloned().collect();
        over.iter().for_each(|key| self.close(key, at));
        if let Some(root) = self.open.get_mut(ROOT) {
            root.end = at;
        }
    }

    /// All spans of a rollout that has ended, its root first. `kills` are those that covered it; what was given before or after it
    /// is left out.
    pub fn finish(mut self, kills: &[Kill]) -> Vec<Span> {
        let Some(mut root) = self.open.remove(ROOT) else { return self.done };
        let lived = root.start..=root.end;
        for kill in kills.iter().filter(|kill| lived.contains(&kill.at)) {
            let attributes = vec![
                ("wavegate.mode", text(&kill.mode.to_string())),
                ("wavegate.scope", text(&kill.scope.to_string())),
                ("wavegate.by", text(&kill.by)),
            ];
            push(&mut root, SpanEvent { name: "kill", at: kill.at, attributes });
        }
        root.events.sort_by_key(|event| event.at);
        self.done.insert(0, root);
        self.done
    }

    fn open(
        &mut self,
        key: String,
        name: &str,
        parent: Option<&str>,
        at: Timestamp,
        attributes: Vec<(&'static str, Value)>,
    ) {
        let span = Span {
            trace: bytes(&["wavegate trace", &self.rollout]),
            id: bytes(&["wavegate span", &self.rollout, &key]),
            parent: parent.map(|parent| bytes(&["wavegate span", &self.rollout, parent])),
            name: name.to_owned(),
            start: at,
            end: at,
            attributes,
            events: Vec::new(),
            dropped: 0,
            error: None,
        };
        self.open.insert(key, span);
    }

    fn close(&mut self, key: &str, at: Timestamp) {
        if let Some(mut span) = self.open.remove(key)
            && self.done.len() < SPANS_MAX
        {
            // A wall clock that was set back makes no span that ends before it began.
            span.end = at.max(span.start);
            self.done.push(span);
        }
    }

    fn note(&mut self, within: &str, name: &'static str, event: &Event, at: Timestamp) {
        let attributes = vec![("wavegate.detail", text(&fact::detail(event)))];
        if let Some(span) = self.open.get_mut(within) {
            push(span, SpanEvent { name, at, attributes });
        }
    }

    fn note_why(&mut self, within: &str, name: &'static str, event: &Event, why: String, at: Timestamp) {
        self.note(within, name, event, at);
        if let Some(event) = self.open.get_mut(within).and_then(|span| span.events.last_mut()) {
            event.attributes.push(("wavegate.why", text(&why)));
        }
    }
}

fn push(span: &mut Span, event: SpanEvent) {
    if span.events.len() < EVENTS_MAX {
        span.events.push(event);
    } else {
        span.dropped += 1;
    }
}

fn key(what: &str, wave: usize) -> String {
    format!("{what}/{wave}")
}

/// The first bytes of the digest of these words.
fn bytes<const N: usize>(words: &[&str]) -> [u8; N] {
    let mut digest = Sha256::new();
    for (index, word) in words.iter().enumerate() {
        // The first one is followed by the rollout's id as it is; further words are set apart by what no id holds.
        digest.update(if index > 1 { "\0" } else { "" });
        digest.update(word);
    }
    let mut first = [0; N];
    first.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
    first
}

/// The trace id of a rollout: the first 16 bytes of SHA-256 of `wavegate trace` and its id.
pub fn trace_id(rollout: &str) -> [u8; 16] {
    bytes(&["wavegate trace", rollout])
}

fn text(value: &str) -> Value {
    Value::Text(words::plain(value).chars().take(TEXT_MAX).collect())
}

fn number(value: usize) -> Value {
    Value::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The word by which a reason is stored.
fn tag<T: Serialize>(reason: &T) -> String {
    let value = serde_json::to_value(reason).ok();
    value.and_then(|value| value.get("why")?.as_str().map(str::to_owned)).unwrap_or_default()
}

fn call(operation: &Operation) -> String {
    use crate::model::event::OperationCall;
    match operation.call {
        OperationCall::ExecuteChangeSet { .. } => "ExecuteChangeSet".to_owned(),
        OperationCall::DeleteStack { .. } => "DeleteStack".to_owned(),
        OperationCall::ContinueRollback { .. } => "ContinueUpdateRollback".to_owned(),
    }
}

#[cfg(test)]
mod tests;
