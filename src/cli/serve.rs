//! `serve`: the daemon, in the foreground.

use super::args::{Common, ServeArgs};
use super::call::{complain, runtime, state_dir};
use super::exit::Exit;
use super::files;
use crate::api::service::{Service, Surroundings};
use crate::api::socket;
use crate::cloud::aws::{Aws, AwsOptions};
use crate::cloud::prometheus::{Prometheus, PrometheusOptions};
use crate::config;
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::{Driver, Orders};
use crate::daemon::{kill_file, leader};
use crate::engine::decide::Input;
use crate::engine::policy::Policies;
use crate::journal::JournalError;
use crate::model::halt::{Kill, KillDoor, KillMode, KillScope};
use crate::model::ids::{KillId, RolloutId};
use crate::model::pipeline::{self, Pipeline};
use crate::model::price_book::read::is_price_book;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

/// `wavegate serve`
pub fn run(common: &Common, args: &ServeArgs) -> Exit {
    log_to_stderr(args.log_json);
    let dir = match state_dir(common) {
        Ok(dir) => dir,
        Err(exit) => return exit,
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(serve(&dir, &args.pipelines)),
        Err(exit) => exit,
    }
}

fn log_to_stderr(json: bool) {
    let filter = config::log_filter().unwrap_or_else(|| "wavegate=info,warn".into());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    // A second subscriber in one process would be a defect; the first one goes on logging then.
    let _ = tracing_subscriber::registry().with(filter).with(lines.with_filter(filter_fn(may_be_logged))).try_init();
}

/// INVARIANT: S20. Below `info` the libraries write down whole answers of the provider, property values and all.
fn may_be_logged(what: &tracing::Metadata<'_>) -> bool {
    *what.level() <= tracing::Level::INFO || what.target().starts_with("wavegate")
}

/// AWS by the SDK's own settings, and Prometheus servers with the token that the environment names.
pub(in crate::cli) async fn world() -> Aws {
    let options = PrometheusOptions { token_file: config::prometheus_token_file(), ..PrometheusOptions::default() };
    Aws::new(AwsOptions::default()).await.with_prometheus(Prometheus::new(options))
}

async fn serve(dir: &Path, pipelines: &Path) -> Exit {
    if !pipelines.is_dir() {
        complain(&format!(
            "the folder of pipelines `{}` does not exist; name it with `--pipelines`",
            pipelines.display()
        ));
        return Exit::BadUsage;
    }
    let lead = match leader::take(dir).await {
        Ok(lead) => lead,
        Err(error) => {
            complain(&chain(&error));
            return if matches!(error, leader::LeadError::Journal(JournalError::Led { .. })) {
                Exit::Refused
            } else {
                Exit::Failed
            };
        }
    };
    let clock = Clock::system();
    let epoch = lead.journal.epoch();
    let kill = kill_file::path(dir);
    let core = match Core::new(lead.journal, &lead.holder, Some(kill.clone()), clock.now()) {
        Ok(core) => core,
        Err(error) => {
            complain(&chain(&error));
            return Exit::Failed;
        }
    };
    let world = Arc::new(world().await);
    let (driver, orders) = Driver::new(core, world, clock, Some(kill.clone()));
    match open_doors(dir, pipelines, kill, orders) {
        Ok(()) => {}
        Err(error) => {
            complain(&format!("the doors in `{}` cannot be opened: {error}", dir.display()));
            return Exit::Failed;
        }
    }
    println!("wavegate: ready, epoch {epoch}, socket {}", socket::path(dir).display());
    match driver.run(&mut |core, _| drop(core.take_fresh())).await {
        Ok(()) => Exit::Success,
        Err(error) => {
            complain(&format!(
                "{}; the daemon stops, and goes on where it was when it is started again",
                chain(&error)
            ));
            Exit::Failed
        }
    }
}

fn open_doors(dir: &Path, pipelines: &Path, kill_file: PathBuf, orders: Orders) -> std::io::Result<()> {
    listen_for_signals(&orders)?;
    let listener = socket::listen(dir)?;
    let service = Service::new(orders, Files { pipelines: pipelines.to_owned(), kill_file });
    tokio::spawn(socket::serve(listener, Arc::new(service)));
    Ok(())
}

/// SIGUSR1 pauses everything, SIGUSR2 halts everything; SIGTERM and SIGINT stop the daemon (and no rollout: the next one goes on).
fn listen_for_signals(orders: &Orders) -> std::io::Result<()> {
    for (kind, mode) in [(SignalKind::user_defined1(), KillMode::Pause), (SignalKind::user_defined2(), KillMode::Halt)]
    {
        let mut signals = signal(kind)?;
        let orders = orders.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let kill = Kill {
                    id: new_kill_id(),
                    scope: KillScope::All,
                    mode,
                    by: "signal".into(),
                    door: KillDoor::Signal,
                    at: wall(),
                    reason: format!("signal {}", kind.as_raw_value()),
                };
                // A loop that has ended issues nothing: the kill holds.
                let _ = orders.input(Input::Kill(kill)).await;
            }
        });
    }
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let orders = orders.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                orders.stop().await;
            }
        });
    }
    Ok(())
}

/// The files around a daemon.
struct Files {
    pipelines: PathBuf,
    kill_file: PathBuf,
}

impl Surroundings for Files {
    fn pipeline(&self, name: &str) -> Result<Pipeline, String> {
        find_pipeline(&self.pipelines, name)
    }
    fn rollout_id(&self) -> RolloutId {
        new_rollout_id()
    }
    fn kill_id(&self) -> KillId {
        new_kill_id()
    }
    fn wall(&self) -> jiff::Timestamp {
        wall()
    }
    fn kill_file(&self) -> Option<PathBuf> {
        // One that cannot be looked for may be there.
        self.kill_file.try_exists().unwrap_or(true).then(|| self.kill_file.clone())
    }
}

/// The pipeline of that name among the files of a folder. A file that does not check is passed over unless it is the one that was
/// looked for, by its file name or by the `name` in it.
///
/// # Errors
/// Words for people.
pub fn find_pipeline(folder: &Path, name: &str) -> Result<Pipeline, String> {
    let files = files::pipelines_in(folder).map_err(|e| e.to_string())?;
    let mut known = Vec::new();
    let mut broken = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let bytes = files::read_bounded(&file).map_err(|e| e.to_string())?;
        if is_price_book(&bytes) {
            continue;
        }
        match pipeline::read::read_with(&shown, &bytes, &files::beside(&file)) {
            Ok(pipeline) if pipeline.name == name => return with_sound_policies(pipeline),
            Ok(pipeline) => known.push(format!("`{}`", pipeline.name)),
            Err(diagnostics) => broken.push((file, diagnostics)),
        }
    }
    let looked_for =
        broken.iter().find(|(file, _)| file.file_stem().is_some_and(|stem| stem == name)).or(broken.first());
    match looked_for {
        Some((_, diagnostics)) => Err(format!("no sound pipeline `{name}` in `{}`:\n{diagnostics}", folder.display())),
        None => {
            Err(format!("there is no pipeline `{name}` in `{}`; there are: {}", folder.display(), known.join(", ")))
        }
    }
}

/// A pipeline whose policies nobody can read is no pipeline to go through.
fn with_sound_policies(pipeline: Pipeline) -> Result<Pipeline, String> {
    match Policies::compile(&pipeline.safeguards.policies) {
        Ok(_) => Ok(pipeline),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Err(format!("the policies of pipeline `{}` are not sound:\n{}", pipeline.name, faults.join("\n")))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program dates what people do")]
fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A name for a new rollout: time-ordered, so that the newest one sorts last.
pub fn new_rollout_id() -> RolloutId {
    RolloutId::new(format!("r-{}", uuid::Uuid::now_v7().simple()))
}

fn new_kill_id() -> KillId {
    KillId::new(format!("k-{}", uuid::Uuid::now_v7().simple()))
}

/// An error with all of its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
