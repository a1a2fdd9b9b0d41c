//! `serve`: the daemon, in the foreground.

mod embedded;
mod files;
mod http_door;
mod open;
mod signals;

pub use files::{chain, find_pipeline, new_rollout_id};

use super::args::{Common, ServeArgs};
use super::call::{complain, state_dir};
use super::draw::say;
use super::exit::Exit;
use crate::api::drill;
use crate::api::metrics::Metrics;
use crate::api::notify::Notifier;
use crate::cloud::aws::{Aws, AwsOptions};
use crate::cloud::prometheus::{Prometheus, PrometheusOptions};
use crate::config;
use crate::config::http::HttpLimits;
use crate::daemon::clock::Clock;
use crate::daemon::core::Core;
use crate::daemon::driver::{Driver, Orders};
use crate::daemon::perform::Perform;
use crate::daemon::split::{DrillWorld, Split};
use crate::daemon::{kill_file, leader};
use crate::journal::JournalError;
use crate::model::ids::Epoch;
use crate::model::time::Now;
use files::{all_pipelines, new_kill_id, wall};
use open::{open_doors, rate_rule, ready};
use signals::KillSignals;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;

/// Threads that read a file are waited for so long at the end.
const THREADS_END_WITHIN: Duration = Duration::from_secs(2);

/// `wavegate serve`
pub fn run(common: &Common, args: &ServeArgs) -> Exit {
    log_to_stderr(args.log_json);
    let dir = match state_dir(common) {
        Ok(dir) => dir,
        Err(exit) => return exit,
    };
    // The loop has this thread; doors, followers and messages have others, and cannot hold it up.
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(serve(&dir, args));
            // A file system that hangs keeps a thread, and not the process.
            runtime.shutdown_timeout(THREADS_END_WITHIN);
            exit
        }
        Err(error) => {
            complain(&format!("the system gives no event queue: {error}"));
            Exit::Failed
        }
    }
}

pub(in crate::cli) fn log_to_stderr(json: bool) {
    let filter = config::log_filter().unwrap_or_else(|| "wavegate=info,warn".into());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    // A second subscriber in one process would be a defect; the first one goes on logging then.
    let _ = tracing_subscriber::registry().with(filter).with(lines.with_filter(filter_fn(may_be_logged))).try_init();
}

/// INVARIANT: S20. Below `info` the libraries write down whole answers of the provider, property values and all; the one for agents
/// writes down what clients say, line by line.
fn may_be_logged(what: &tracing::Metadata<'_>) -> bool {
    let most = if what.target().starts_with("rmcp") { tracing::Level::ERROR } else { tracing::Level::INFO };
    *what.level() <= most || what.target().starts_with("wavegate")
}

/// Each follower is an open file, and the usual limit is 1,024: as many as the system allows. A system that says no is asked no more. Gives
/// how many there may be now.
fn raise_file_limit() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(now, _)| now)
}

/// Connections that cannot all be open would keep the daemon from its own files.
fn fit_connections(limits: &mut HttpLimits, files: Option<u64>) {
    let wanted = limits.connections;
    if let Some(files) = files
        && limits.fit(files)
    {
        let connections = limits.connections;
        tracing::warn!(files, wanted, connections, "fewer connections than configured: the limit on open files is low");
    }
}

/// AWS by the SDK's own settings, and Prometheus servers with the token that the environment names.
pub(in crate::cli) async fn world() -> Aws {
    let options = PrometheusOptions { token_file: config::prometheus_token_file(), ..PrometheusOptions::default() };
    Aws::new(AwsOptions::default()).await.with_prometheus(Prometheus::new(options))
}

async fn serve(dir: &Path, args: &ServeArgs) -> Exit {
    let signals = match KillSignals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("signals cannot be listened to: {error}"));
            return Exit::Failed;
        }
    };
    let pipelines = &args.pipelines;
    if !pipelines.is_dir() {
        complain(&format!(
            "the folder of pipelines `{}` does not exist; name it with `--pipelines`",
            pipelines.display()
        ));
        return Exit::BadUsage;
    }
    let mut config = match args.config.as_deref().map(config::file::read).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(error) => {
            complain(&chain(&error));
            return Exit::BadUsage;
        }
    };
    let files = raise_file_limit();
    if let Some(http) = &mut config.http {
        fit_connections(&mut http.limits, files);
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
        Ok(core) => core.with_rate(rate_rule(&config.watch.change_rate)),
        Err(error) => {
            complain(&chain(&error));
            return Exit::Failed;
        }
    };
    let drills = match drill::pipeline() {
        Ok(pipeline) => DrillWorld::new(pipeline.cells, drill::release_1(), clock.now().wall),
        Err(faults) => {
            complain(&faults);
            return Exit::Failed;
        }
    };
    let place =
        Place { dir, pipelines, kill: kill.clone(), config, epoch, drills: drills.clone(), stdin: args.end_with_stdin };
    if args.embedded {
        match embedded::world(pipelines, clock.now().wall) {
            Ok(world) => {
                run_over(Driver::new(core, Arc::new(Split::new(world, drills)), clock, Some(kill)), signals, place)
                    .await
            }
            Err(message) => {
                complain(&message);
                Exit::BadUsage
            }
        }
    } else {
        run_over(Driver::new(core, Arc::new(Split::new(world().await, drills)), clock, Some(kill)), signals, place)
            .await
    }
}

/// What the daemon runs with, beside its world.
struct Place<'a> {
    dir: &'a Path,
    pipelines: &'a Path,
    kill: PathBuf,
    config: config::file::DaemonConfig,
    epoch: Epoch,
    drills: DrillWorld,
    stdin: bool,
}

async fn run_over<W: Perform>((driver, orders): (Driver<W>, Orders), signals: KillSignals, place: Place<'_>) -> Exit {
    let (written, newest) = watch::channel(driver.seq().0);
    let metrics = Metrics::default();
    let notifier = match Notifier::open(&place.config.notify, place.dir, Clock::system(), metrics.clone()) {
        Ok(notifier) => notifier,
        Err(error) => {
            complain(&chain(&error));
            return Exit::Failed;
        }
    };
    notifier.start(newest.clone());
    let heeded = signals.heed(&orders, &place.kill);
    let http = match open_doors(&place, orders, newest, notifier.clone(), metrics.clone()).await {
        Ok(http) => http,
        Err(error) => {
            drop(driver);
            heeded.end().await;
            complain(&format!("the doors in `{}` cannot be opened: {error}", place.dir.display()));
            return Exit::Failed;
        }
    };
    say::say(&ready(&place, http.as_ref()));
    let mut observe = |core: &mut Core, now: Now| {
        drop(core.take_fresh());
        metrics.turned(now.wall);
        written.send_if_modified(|known| {
            let newer = *known != core.seq().0;
            *known = core.seq().0;
            newer
        });
    };
    let ended = driver.run(&mut observe).await;
    // The streams of events end with the last record.
    drop(written);
    if let Some(http) = http {
        http.close().await;
    }
    let exit = match ended {
        Ok(()) => Exit::Success,
        Err(error) => {
            let why = chain(&error);
            complain(&format!("{why}; the daemon stops, and goes on where it was when it is started again"));
            notifier.last_words(&error, &why).await;
            Exit::Failed
        }
    };
    // Last of all: until here a signal is an order, which the next daemon finds.
    heeded.end().await;
    exit
}
