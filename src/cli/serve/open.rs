//! Opens the doors of a daemon, and lets it be watched.

use super::Place;
use super::files::Files;
use super::http_door::{self, HttpDoor};
use super::signals::end_with_signals;
use crate::api::auth::Auth;
use crate::api::doors::Doors;
use crate::api::drill::{self, DrillSetup, Drills, RemoteAccess};
use crate::api::feed::Feed;
use crate::api::heartbeat;
use crate::api::http::listen::Listening;
use crate::api::metrics::Metrics;
use crate::api::notify::Notifier;
use crate::api::service::{Service, Surroundings};
use crate::api::socket;
#[cfg(feature = "otel")]
use crate::api::trace::Tracer;
use crate::config;
use crate::config::watch::ChangeRateConfig;
use crate::daemon::driver::Orders;
use crate::engine::rate::RateRule;
use crate::model::time::Millis;
use std::sync::Arc;
use tokio::sync::watch;

/// What a start says when it takes orders.
pub(super) fn ready(place: &Place<'_>, http: Option<&HttpDoor>) -> String {
    let http = http.map(|http| format!(", http {}", http.url)).unwrap_or_default();
    format!("wavegate: ready, epoch {}, socket {}{http}", place.epoch, socket::path(place.dir).display())
}

pub(super) async fn open_doors(
    place: &Place<'_>,
    orders: Orders,
    newest: watch::Receiver<u64>,
    notifier: Notifier,
    metrics: Metrics,
) -> std::io::Result<Option<HttpDoor>> {
    // An address that cannot be had ends the start before anything else is open.
    let listening = http_door::bind(place.config.http.as_ref()).await?;
    end_with_signals(&orders)?;
    if place.stdin {
        end_with_stdin(orders.clone());
    }
    let listener = socket::listen(place.dir)?;
    let files = Files { pipelines: place.pipelines.to_owned(), kill_file: place.kill.clone(), notifier };
    let feed = Feed::open(&place.dir.join("journal.db")).map_err(std::io::Error::other)?;
    tokio::spawn(Arc::clone(&feed).keep_up(newest));
    let files: Arc<dyn Surroundings> = Arc::new(files);
    let auth = Auth::open(place.dir, &place.config.identity).map_err(std::io::Error::other)?;
    let auth = Arc::new(auth.recorded_by(orders.clone()));
    tokio::spawn(Arc::clone(&auth).keep_record());
    let drills = Drills::new(
        DrillSetup {
            state_dir: place.dir.to_owned(),
            program: config::program(),
            temporary: config::temporary(),
            world: place.drills.clone(),
            remote: listening.as_ref().map(|(listening, _)| own_door(listening, Arc::clone(&auth))),
        },
        orders.clone(),
        Arc::clone(&files),
    );
    let tidy = Arc::clone(&drills);
    tokio::spawn(async move { tidy.tidy().await });
    let service = Arc::new(Service::new(orders, files).with_drills(drills));
    let doors = Doors { service, auth, feed, metrics };
    be_watched(place, &doors)?;
    tokio::spawn(socket::serve(listener, doors.clone()));
    Ok(listening.map(|listening| http_door::open(listening, doors)))
}

/// The daemon's own HTTP door, for a drill that comes in by it as the person who holds the drill.
fn own_door(listening: &Listening, auth: Arc<Auth>) -> drill::Remote {
    let (url, certificates) = (listening.url(), listening.certificates());
    Arc::new(move |caller| {
        let token = auth.lend(caller)?.reveal().to_owned();
        let certificate = certificates.as_ref().map(|certificates| certificates.ours());
        Ok(Some(RemoteAccess { url: url.clone(), certificate, token, mcp: true }))
    })
}

/// Stops the daemon when nobody holds its standard input open any more: one that another process has started ends with that.
fn end_with_stdin(orders: Orders) {
    let (ended, heard) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error ends it as well as the end of the file.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    tokio::spawn(async move {
        let _ = heard.await;
        orders.stop().await;
    });
}

/// What lets others see that this daemon lives, and what it did.
fn be_watched(place: &Place<'_>, doors: &Doors) -> std::io::Result<()> {
    let config = &place.config.watch;
    if let Some(heartbeat) = config.heartbeat.clone() {
        tokio::spawn(heartbeat::run(Arc::clone(&doors.service), heartbeat, doors.metrics.clone()));
    }
    #[cfg(feature = "otel")]
    if let Some(traces) = &config.traces {
        let tracer = Tracer::new(traces, place.dir, doors).map_err(std::io::Error::other)?;
        tokio::spawn(tracer.run());
    }
    Ok(())
}

pub(super) fn rate_rule(config: &ChangeRateConfig) -> RateRule {
    let shipped = RateRule::default();
    RateRule {
        window: config.window.map_or(shipped.window, Millis::of),
        factor: config.factor.unwrap_or(shipped.factor),
        minimum: config.minimum.unwrap_or(shipped.minimum),
        floor: config.floor.unwrap_or(shipped.floor),
    }
}
