//! Standard input and output of a process of its own: one client, one identity, until the client closes its end.

use super::{Ask, Entrance, McpServer, NoAnswer};
use rmcp::ServiceExt as _;
use rmcp::model::Extensions;
use rmcp::service::RoleServer;
use rmcp::transport::async_rw::AsyncRwTransport;
use std::sync::Arc;

/// A line of the client's: the largest change set that a tool takes, and as much again, so that one that is a little too large is refused
/// in words. What is longer is skipped, and answered by nothing.
const LINE_MAX: usize = 32 * 1024 * 1024;

/// Serves until the client closes standard input.
///
/// # Errors
/// Words for people: the client does not speak the protocol, or something inside failed.
pub async fn serve(asker: Arc<dyn Ask>) -> Result<(), String> {
    let (read, write) = rmcp::transport::io::stdio_pipes();
    let transport = AsyncRwTransport::<RoleServer, _, _>::new(read, write).with_max_line_length(LINE_MAX);
    let server = McpServer::new(Arc::new(Always(asker)));
    let running =
        server.serve(transport).await.map_err(|error| format!("the client did not begin the protocol: {error}"))?;
    running.waiting().await.map(drop).map_err(|error| error.to_string())
}

/// Whoever calls over this process's standard input: always the same.
struct Always(Arc<dyn Ask>);

impl Entrance for Always {
    fn enter(&self, _: &Extensions) -> Result<Arc<dyn Ask>, NoAnswer> {
        Ok(Arc::clone(&self.0))
    }
}
