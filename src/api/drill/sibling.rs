//! Signals stop everything, whatever they are sent for: they are proven in a second daemon. It is this very program, over an embedded
//! world and in a directory of its own, and it ends when this process does, however that ends.

use super::DrillSetup;
use super::stage::{CHANGE_SET, PIPELINE, templates};
use crate::api::listing::AuditEntry;
use crate::api::socket::Client;
use crate::api::verbs::{Request, Response, Submission};
use crate::api::view::{KillView, RolloutView, StatusView};
use crate::model::drill::{DRILL_ACCOUNT, DRILL_PIPELINE, DrillCheck};
use crate::model::halt::{KillDoor, KillMode};
use crate::model::ids::RolloutId;
use crate::model::time::Millis;
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// The second daemon's pipeline and account: those of drills are built in, and not for files.
const NAME: &str = "signal-drill";
const ACCOUNT: &str = "999999999999";
/// Until the second daemon answers.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// From the proposal until something is in flight, and from the signal until its mode has done what it must.
const STEP_WITHIN: Duration = Duration::from_secs(12);
/// The whole of it.
const ALL_WITHIN: Duration = Duration::from_secs(60);
/// A signal is on record, and acknowledged or pending, within this time (L3).
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// So long nothing more may start after that.
const QUIET: Duration = Duration::from_millis(1_800);
/// Between two questions.
const ASK: Duration = Duration::from_millis(10);
/// Said in every piece of evidence.
const WHERE: &str = "in a second daemon of the same program, since a signal stops everything, and by its record alone";

/// A daemon of our own, and its directory. Both are gone when it is dropped.
struct Sibling {
    child: Child,
    home: PathBuf,
}

impl Drop for Sibling {
    fn drop(&mut self) {
        // It may have ended by itself, and what is left in a temporary directory is the system's to clean.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Tries one mode of the signal: SIGUSR1 pauses, SIGUSR2 halts.
pub(super) async fn check(setup: &DrillSetup, mode: KillMode) -> DrillCheck {
    let mut check = DrillCheck {
        door: KillDoor::Signal,
        mode,
        rollout: RolloutId::new("none"),
        acknowledged_after: None,
        evidence: String::new(),
        passed: false,
    };
    let tried = tokio::time::timeout(ALL_WITHIN, tried(setup, &mut check)).await;
    match tried.unwrap_or_else(|_| Err("it took too long".into())) {
        Ok(evidence) => (check.passed, check.evidence) = (true, format!("{evidence}; {WHERE}")),
        Err(why) => check.evidence = format!("{why}; {WHERE}"),
    }
    check
}

async fn tried(setup: &DrillSetup, check: &mut DrillCheck) -> Result<String, String> {
    let sibling = begin(setup)?;
    let state = sibling.home.join("state");
    let mut client = ready(&state).await?;
    let submission = Submission {
        file: "signal drill".into(),
        text: CHANGE_SET.replace(&format!("pipeline: {DRILL_PIPELINE}"), &format!("pipeline: {NAME}")),
        templates: templates(),
    };
    check.rollout = match ask(&mut client, Request::Propose { submission }).await? {
        Response::Proposed { rollout, .. } => rollout,
        other => return Err(format!("the change was not taken: {other:?}")),
    };
    let rollout = check.rollout.clone();
    let in_flight = until(&mut client, STEP_WITHIN, "nothing was in flight in time", |status| {
        let running = targets(of(status, &rollout)?, &["running"]);
        Ok((!running.is_empty()).then_some(running))
    })
    .await?;
    let began = Instant::now();
    send(&sibling.child, check.mode)?;
    let kill = until(&mut client, ANSWER_WITHIN, "the order was not on record within 2 s", |status| {
        Ok(by_signal(status, check.mode).cloned())
    })
    .await?;
    let recorded = began.elapsed();
    let mode = check.mode;
    until(&mut client, STEP_WITHIN, "the order was not acknowledged in time", |status| {
        let known = by_signal(status, mode).ok_or("the order is not on record any more")?;
        match (known.state.as_str(), known.pending.is_empty() && began.elapsed() > ANSWER_WITHIN) {
            ("acknowledged", _) => Ok(Some(())),
            (_, true) => Err("after 2 s it was neither acknowledged nor pending for any target".into()),
            (_, false) => Ok(None),
        }
    })
    .await?;
    check.acknowledged_after = Some(Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)));
    let (wanted, said) = match mode {
        KillMode::Pause => ("applied", "went to its end"),
        _ => ("restored", "was rolled back"),
    };
    until(&mut client, STEP_WITHIN, "the mode was not done in time", |status| {
        let done = targets(of(status, &rollout)?, &[wanted]);
        Ok(in_flight.is_subset(&done).then_some(()))
    })
    .await?;
    tokio::time::sleep(QUIET).await;
    nothing_after(&mut client, &kill, mode).await?;
    let flown = in_flight.into_iter().collect::<Vec<_>>().join(", ");
    Ok(format!(
        "in flight: {flown}; on record after {} ms; what was in flight {said}; no call was intended after the order",
        recorded.as_millis()
    ))
}

/// Starts the second daemon.
fn begin(setup: &DrillSetup) -> Result<Sibling, String> {
    let Some(program) = &setup.program else { return Err("nobody knows where this program is".into()) };
    let home = setup.temporary.join(format!("wg-drill-{}", uuid::Uuid::now_v7().simple()));
    prepare(&home).map_err(|error| format!("the second daemon has no directory: {error}"))?;
    let mut command = Command::new(program);
    command.args(["serve", "--embedded", "--end-with-stdin", "--pipelines"]).arg(home.join("pipelines"));
    command.arg("--state-dir").arg(home.join("state"));
    // Its standard input is ours to hold open: it ends with this process, even if that is killed.
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match child {
        Ok(child) => Ok(Sibling { child, home }),
        Err(error) => {
            let _ = std::fs::remove_dir_all(&home);
            Err(format!("the second daemon could not be started: {error}"))
        }
    }
}

fn prepare(home: &Path) -> std::io::Result<()> {
    // Readable by its owner alone, as a daemon's is; one that exists already is not ours.
    std::fs::DirBuilder::new().mode(0o700).create(home)?;
    std::fs::create_dir(home.join("state"))?;
    std::fs::create_dir(home.join("pipelines"))?;
    let text = PIPELINE.replace(&format!("name: {DRILL_PIPELINE}\n"), &format!("name: {NAME}\n"));
    std::fs::write(home.join("pipelines").join("signal-drill.yaml"), text.replace(DRILL_ACCOUNT, ACCOUNT))
}

async fn ready(state: &Path) -> Result<Client, String> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        match Client::connect(state, None).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() >= until => return Err(format!("the second daemon did not answer: {error}")),
            Err(_) => tokio::time::sleep(ASK).await,
        }
    }
}

/// As a person sends it, by the command of the system.
fn send(child: &Child, mode: KillMode) -> Result<(), String> {
    let signal = if mode == KillMode::Pause { "-USR1" } else { "-USR2" };
    match Command::new("kill").args([signal, &child.id().to_string()]).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the signal was not sent: `kill` ended with {status}")),
        Err(error) => Err(format!("the signal was not sent: `kill`: {error}")),
    }
}

async fn ask(client: &mut Client, request: Request) -> Result<Response, String> {
    client.call(&request).await.map_err(|error| error.to_string())
}

async fn until<T>(
    client: &mut Client,
    limit: Duration,
    late: &str,
    mut look: impl FnMut(&StatusView) -> Result<Option<T>, String>,
) -> Result<T, String> {
    let until = Instant::now() + limit;
    loop {
        let status = match ask(client, Request::Status { rollout: None, full: false }).await? {
            Response::Status(status) => status,
            other => return Err(format!("an odd answer: {other:?}")),
        };
        match look(&status)? {
            Some(found) => return Ok(found),
            None if Instant::now() >= until => return Err(late.to_owned()),
            None => tokio::time::sleep(ASK).await,
        }
    }
}

fn of<'a>(status: &'a StatusView, rollout: &RolloutId) -> Result<&'a RolloutView, String> {
    status.rollouts.iter().find(|view| view.rollout == *rollout).ok_or_else(|| "the rollout is not there".into())
}

fn targets(view: &RolloutView, states: &[&str]) -> BTreeSet<String> {
    let all = view.waves.iter().flat_map(|wave| &wave.targets);
    all.filter(|target| states.contains(&target.state.as_str())).map(|target| target.target.to_string()).collect()
}

fn by_signal(status: &StatusView, mode: KillMode) -> Option<&KillView> {
    status.kills.iter().find(|kill| kill.by == "signal" && kill.mode == mode.to_string())
}

/// By the second daemon's record: no operation was intended after the order. A halt cancels, and a cancellation is no operation.
async fn nothing_after(client: &mut Client, kill: &KillView, mode: KillMode) -> Result<(), String> {
    let (mut after, mut entries): (u64, Vec<AuditEntry>) = (0, Vec::new());
    loop {
        match ask(client, Request::Audit { after, limit: 500 }).await? {
            Response::Audit(page) => {
                let last = page.items.last().map(|entry| entry.seq);
                entries.extend(page.items);
                match (page.next, last) {
                    (Some(_), Some(last)) => after = last,
                    _ => break,
                }
            }
            other => return Err(format!("an odd answer: {other:?}")),
        }
    }
    let order = entries.iter().position(|entry| entry.event == "kill_requested");
    let order = order.ok_or_else(|| format!("the order `{}` is not on record", kill.kill))?;
    let rest = || entries.iter().skip(order);
    if rest().any(|entry| entry.event == "operation_intended") {
        return Err("an operation was intended after the order, by the record".into());
    }
    if mode == KillMode::Halt && !rest().any(|entry| entry.event == "cancel_intended") {
        return Err("nothing was cancelled, by the record".into());
    }
    Ok(())
}
