//! The HTTP door of a daemon: bound at the start, closed at the end.

use crate::api::doors::Doors;
use crate::api::http::listen::Listening;
use crate::api::http::{self, Settings};
use crate::api::mcp;
use crate::config::http::HttpConfig;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An open door.
pub(super) struct HttpDoor {
    /// Where it is.
    pub(super) url: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HttpDoor {
    /// Takes nobody in any more, and waits some seconds for those who are inside.
    pub(super) async fn close(self) {
        self.stop.send_replace(true);
        // One that broke off is closed.
        let _ = self.task.await;
    }
}

/// Listens, where the configuration says so.
///
/// # Errors
/// In words for people: the address is in use, or a certificate cannot be read.
pub(super) async fn bind(config: Option<&HttpConfig>) -> std::io::Result<Option<(Listening, HttpConfig)>> {
    let Some(config) = config else { return Ok(None) };
    let listening = Listening::bind(config).await.map_err(std::io::Error::other)?;
    Ok(Some((listening, config.clone())))
}

/// Answers.
pub(super) fn open((listening, config): (Listening, HttpConfig), doors: Doors) -> HttpDoor {
    let mut settings = Settings::new(config, listening.address());
    let (metrics, service, feed) = (doors.metrics.clone(), Arc::clone(&doors.service), Arc::clone(&doors.feed));
    settings.metrics = Some(Arc::new(move || {
        let (metrics, service, feed) = (metrics.clone(), Arc::clone(&service), Arc::clone(&feed));
        Box::pin(async move { metrics.render(&service, &feed).await })
    }));
    let agents = mcp::router(doors.clone());
    let router = http::router(doors, settings, Some(agents));
    let (stop, stopped) = watch::channel(false);
    HttpDoor { url: listening.url(), stop, task: tokio::spawn(listening.serve(router, stopped)) }
}
