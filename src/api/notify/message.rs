//! What a notice says, in words and as data. Text that comes from agents or the provider is data: it is cut, on one line, and its hidden
//! characters are shown.

use crate::api::words::Explained;
use crate::api::{admission, reasons, words};
use crate::model::event::{Outcome, Settlement};
use crate::model::halt::Kill;
use crate::model::ids::{KillId, RolloutId, TargetId};
use crate::model::notice::{About, Notice, NoticeKind, Severity};
use crate::model::state::{Phase, Rollout, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A title, a name.
const SHORT: usize = 200;
/// A reason. Slack takes 3,000 characters in one block, and escaping may make five of one.
const LONG: usize = 1_200;
/// People, or targets, that are named; of more, the first ones and their number.
const NAMED: usize = 10;

/// A message, as a webhook's receiver gets it. `type` and `timestamp` are as Standard Webhooks recommends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `wavegate.held`
    #[serde(rename = "type")]
    pub name: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub data: Data,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// What it is.
    pub kind: NoticeKind,
    /// How much it matters.
    pub severity: Severity,
    /// Which daemon says so, by its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The journal's record that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Of which rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// Of which target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// Of which stop order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillId>,
    /// In one line.
    pub headline: String,
    /// What is the case.
    pub why: String,
    /// What to do.
    pub next: String,
    /// Which change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// What people are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// A change in short. All of it is untrusted text, but the pipeline's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its title.
    pub title: String,
    /// Who proposed it.
    pub agent: String,
    /// By which pipeline.
    pub pipeline: String,
}

/// What people are asked. As `wavegate approvals` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// What the change does, in words that follow from the previews alone.
    pub scope: String,
    /// Who must agree.
    pub asks: String,
    /// What is still wanting.
    pub wanting: String,
    /// Who could agree.
    pub can_release: Vec<String>,
    /// What an approver repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_figure: Option<String>,
    /// What an approver types.
    pub command: String,
}

/// A message of a notice. `state` is the one after the record at `record`.
pub fn of(state: &State, notice: &Notice, record: u64, at: Timestamp) -> Message {
    let rollout = notice.rollout.as_ref().and_then(|id| state.rollouts.get(id));
    let approval = match notice.about {
        About::Request => rollout.and_then(approval),
        _ => None,
    };
    let Explained { why, next } = explain(state, notice, rollout, approval.as_ref());
    let data = Data {
        record: Some(record),
        rollout: notice.rollout.clone(),
        target: notice.target.clone(),
        kill: notice.kill.clone(),
        change: rollout.map(change),
        approval,
        ..bare(notice.kind, headline(notice, rollout), &why, &next)
    };
    message(at, data)
}

/// A message that follows from no record.
pub fn plain(kind: NoticeKind, headline: &str, why: &str, next: &str, at: Timestamp) -> Message {
    message(at, bare(kind, one_line(headline, SHORT), why, next))
}

fn message(at: Timestamp, data: Data) -> Message {
    Message { name: format!("wavegate.{}", data.kind), timestamp: at, data }
}

fn bare(kind: NoticeKind, headline: String, why: &str, next: &str) -> Data {
    Data {
        kind,
        severity: kind.severity(),
        source: None,
        record: None,
        rollout: None,
        target: None,
        kill: None,
        headline,
        why: one_line(why, LONG),
        next: one_line(next, LONG),
        change: None,
        approval: None,
    }
}

/// The kind in words, then what it is about: names that this program gave or checked, and no text of an agent.
fn headline(notice: &Notice, rollout: Option<&Rollout>) -> String {
    let what = match (&notice.about, notice.kind) {
        (About::SignOff { .. }, _) => "sign-off wanted",
        (About::Hold(_), NoticeKind::GateFailed) => "gate failed, held",
        (About::Ended(Outcome::Stuck), _) => "ended with stuck targets",
        (About::Stuck(_), _) => "a target is stuck",
        (About::Kill(_), NoticeKind::KillPending) => "KILL STILL PENDING",
        (_, kind) => of_kind(kind),
    };
    let about = match (&notice.about, &notice.rollout, &notice.target) {
        (About::Kill(kill), ..) => format!("{} on {}", kill.mode, kill.scope),
        (About::Rate(alarm), ..) => alarm.of.to_string(),
        (About::Drill { drill, .. }, ..) => drill.clone(),
        (_, Some(rollout), Some(target)) => format!("{rollout}, {target}"),
        (_, Some(rollout), None) => rollout.to_string(),
        _ => notice.kill.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let by = rollout.map(|rollout| format!(" ({})", rollout.plan.pipeline.name)).unwrap_or_default();
    one_line(&format!("{what}: {about}{by}"), SHORT)
}

fn of_kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::ApprovalWanted => "approval wanted",
        NoticeKind::Held => "held",
        NoticeKind::GateFailed => "gate failed, going back",
        NoticeKind::Reverting => "going back",
        NoticeKind::Reverted => "reverted",
        NoticeKind::Stuck => "stuck",
        NoticeKind::Overdue => "an operation takes too long",
        NoticeKind::Kill => "KILL",
        NoticeKind::KillPending => "kill still pending",
        NoticeKind::KillLifted => "kill lifted",
        NoticeKind::ChangeRate => "changes come too fast",
        NoticeKind::DrillFailed => "kill drill failed",
        NoticeKind::StoreLost => "the daemon has lost its store and stopped",
        NoticeKind::Overtaken => "another daemon has taken over",
        NoticeKind::Defect => "the daemon has stopped by a defect of its own",
        NoticeKind::Undelivered => "messages do not arrive",
        NoticeKind::Succeeded => "succeeded",
        NoticeKind::Cancelled => "cancelled, nothing was touched",
    }
}

fn explain(state: &State, notice: &Notice, rollout: Option<&Rollout>, approval: Option<&Approval>) -> Explained {
    let id = notice.rollout.as_ref().map(ToString::to_string).unwrap_or_default();
    let explained = |why: String, next: String| Explained { why, next };
    let look = || format!("`wavegate explain {id}` says more");
    match &notice.about {
        About::Request => match approval {
            Some(approval) => explained(
                format!("{}; asks {}", approval.scope, approval.asks),
                format!("look at it with `wavegate approvals`; to agree: `{}`", approval.command),
            ),
            None => explained("people are asked".into(), "`wavegate approvals` shows what".into()),
        },
        About::SignOff { found } => {
            let view = reasons::view(found);
            explained(view.why, view.satisfied_by)
        }
        About::Hold(hold) => words::hold(hold),
        About::Revert(reason) => {
            explained(words::revert(reason), format!("nobody needs to act; `wavegate watch {id}` follows it"))
        }
        About::Stuck(reason) => words::stuck(reason),
        About::Ended(outcome) => explained(ended(rollout, *outcome), look()),
        About::Overdue { last_event } => explained(
            format!("the provider's last event: {}", last_event.as_deref().unwrap_or("none")),
            "look at the stack in CloudFormation; `wavegate kill --mode halt` cancels what is in flight".into(),
        ),
        About::Kill(kill) if notice.kind == NoticeKind::KillPending => pending(state, kill),
        About::Kill(kill) => {
            let reason = if kill.reason.is_empty() { String::new() } else { format!(": {}", kill.reason) };
            explained(
                format!("{} on {} by {}{reason}", kill.mode, kill.scope, kill.by),
                format!(
                    "`wavegate status` shows what it stops; two people lift it: `wavegate resume --lift {}`",
                    kill.id
                ),
            )
        }
        About::Lifted { by: [first, second] } => explained(
            format!("{first} and {second} lifted it"),
            "what it stopped goes on, unless another kill or a hold keeps it".into(),
        ),
        About::Rate(alarm) => explained(
            format!(
                "{} proposed {} changes within {}; {} are usual, and {} alarm",
                alarm.of,
                alarm.seen,
                alarm.window,
                words::number(alarm.usual),
                alarm.threshold
            ),
            "look whether an agent runs wild (`wavegate status`); `wavegate kill --scope agent=NAME` stops it".into(),
        ),
        About::Drill { by, checks, failed, .. } => explained(
            match checks {
                0 => format!("the drill that {by} held checked nothing"),
                _ => format!("{failed} of {checks} checks of the drill that {by} held failed"),
            },
            "a kill that does not work when it is tried will not work in an emergency: mend it before the next rollout"
                .into(),
        ),
    }
}

fn pending(state: &State, kill: &Kill) -> Explained {
    let targets: Vec<String> =
        state.pending_of(kill).into_iter().map(|(rollout, target)| format!("{target} of {rollout}")).collect();
    Explained {
        why: match targets.is_empty() {
            true => format!("{} on {} is not acknowledged", kill.mode, kill.scope),
            false => format!("a call that was sent before may still start: {}", named(&targets)),
        },
        next: "look at these stacks in CloudFormation: what runs there may have to be cancelled by hand".into(),
    }
}

fn ended(rollout: Option<&Rollout>, outcome: Outcome) -> String {
    let because =
        rollout.and_then(|r| r.revert.as_ref()).map(|why| format!(" ({})", words::revert(why))).unwrap_or_default();
    match outcome {
        Outcome::Succeeded => "every wave is out, was watched and passed".into(),
        Outcome::Reverted => format!("every touched target is proven to be as it was{because}"),
        Outcome::Cancelled => format!("nothing was touched{because}"),
        Outcome::Stuck => {
            let stuck = |(id, target): (&TargetId, &crate::model::state::Target)| match &target.phase {
                Phase::Settled(Settlement::Stuck { reason, .. }) => Some(format!("{id}: {}", words::stuck(reason).why)),
                _ => None,
            };
            let targets: Vec<String> = rollout.into_iter().flat_map(|r| r.targets.iter()).filter_map(stuck).collect();
            format!("targets that need a person: {}{because}", named(&targets))
        }
    }
}

fn approval(rollout: &Rollout) -> Option<Approval> {
    let view = admission::view(rollout, None)?;
    let request = view.request?;
    let mut can_release: Vec<String> =
        request.can_release.iter().take(NAMED).map(|person| one_line(person, SHORT)).collect();
    if request.can_release.len() > NAMED {
        can_release.push(format!("and {} more", request.can_release.len() - NAMED));
    }
    Some(Approval {
        scope: one_line(&view.scope, LONG),
        asks: one_line(&request.asks, SHORT),
        wanting: one_line(&request.wanting.unwrap_or_default(), SHORT),
        can_release,
        key_figure: request.key_figure.map(|figure| one_line(&figure, SHORT)),
        command: one_line(&request.command, LONG),
    })
}

fn change(rollout: &Rollout) -> Change {
    let plan = &rollout.plan;
    Change {
        title: one_line(&plan.change_set.title, SHORT),
        agent: one_line(&plan.change_set.agent, SHORT),
        pipeline: one_line(&plan.pipeline.name, SHORT),
    }
}

fn named(all: &[String]) -> String {
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > NAMED {
        text.push_str(&format!("; and {} more", all.len() - NAMED));
    }
    text
}

/// On one line, with hidden characters shown, and no longer than this many characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let shown = words::plain(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match shown.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", shown.get(..at).unwrap_or_default()),
        None => shown,
    }
}
