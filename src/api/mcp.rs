//! The door for agents: the Model Context Protocol, over HTTP in the daemon and over standard input and output in `wavegate mcp`.
//!
//! | module | what |
//! |---|---|
//! | `tools` | the tools, as an agent reads them |
//! | `input` | what a tool is given |
//! | `submit` | a change set from what a tool was given |
//! | `call` | what each tool does: a few verbs of `api/verbs` |
//! | `shown` | what a tool answers: short, structured, bounded |
//! | `brief` | from the views of `api/view` to that |
//! | `http` | the streamable HTTP of the daemon |
//! | `stdio` | standard input and output of `wavegate mcp` |
//!
//! INVARIANT: S6. There is no tool that approves, resumes, widens or lifts; and whoever asks at this door is somebody whose identity was
//! proven, for each call anew.

mod brief;
mod call;
pub mod http;
pub mod input;
pub mod shown;
pub mod stdio;
mod submit;
pub mod tools;

pub use http::router;

use super::code::Code;
use super::metrics::Metrics;
use super::verbs::{Request, Response};
use futures_util::future::BoxFuture;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Extensions, Implementation, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// So many tool calls wait for something at once in one server; one more is answered at once, with how things stand now. Each looks
/// twice a second.
const WAITING_MAX: usize = 64;
/// So many tool calls are worked on at once in one server; one more is told to come again. A call holds at most 16 MB.
const CALLS_MAX: usize = 128;

/// Why a question got no answer, or nobody may ask it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoAnswer {
    /// Stable: one of [`Code`], or `unreachable`, `no_answer`.
    pub code: &'static str,
    /// Why, and what to do.
    pub message: String,
}

impl NoAnswer {
    /// With one of the codes of all doors.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.name(), message: message.into() }
    }
}

/// Asks the daemon, as somebody whose identity is proven.
pub trait Ask: Send + Sync {
    /// Asks once. `key` is an idempotency key.
    fn ask(&self, request: Request, key: Option<String>) -> BoxFuture<'_, Result<Response, NoAnswer>>;
}

/// Finds out who makes a call.
pub trait Entrance: Send + Sync {
    /// Whoever made the call with these extensions, ready to ask.
    ///
    /// # Errors
    /// Nobody knows who that is: nothing is asked then.
    fn enter(&self, call: &Extensions) -> Result<Arc<dyn Ask>, NoAnswer>;
}

/// The server of this protocol. A clone is another hand on the same.
#[derive(Clone)]
pub struct McpServer {
    entrance: Arc<dyn Entrance>,
    limits: Arc<Limits>,
    metrics: Metrics,
}

struct Limits {
    calls: Semaphore,
    waiting: Semaphore,
}

impl McpServer {
    /// A server whose calls come in by this entrance.
    pub fn new(entrance: Arc<dyn Entrance>) -> Self {
        let limits = Limits { calls: Semaphore::new(CALLS_MAX), waiting: Semaphore::new(WAITING_MAX) };
        Self { entrance, limits: Arc::new(limits), metrics: Metrics::default() }
    }

    /// Counts its calls there.
    #[must_use]
    pub fn counting(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let this = Implementation::new("wavegate", env!("CARGO_PKG_VERSION")).with_title("Wavegate");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(this)
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = tools::ToolName::named(&request.name) else {
            self.metrics.mcp_call("unknown", "refused");
            return Err(ErrorData::invalid_params("there is no such tool; `tools/list` names them", None));
        };
        let answered = self.answer(tool, request.arguments.unwrap_or_default(), &context.extensions).await;
        let outcome = if answered.is_ok() { "ok" } else { "refused" };
        self.metrics.mcp_call(&request.name, outcome);
        Ok(shown::result(answered).into())
    }
}

impl McpServer {
    async fn answer(
        &self,
        tool: tools::ToolName,
        arguments: serde_json::Map<String, serde_json::Value>,
        call: &Extensions,
    ) -> Result<shown::Shown, NoAnswer> {
        let asker = self.entrance.enter(call)?;
        let place = self.limits.calls.try_acquire();
        // INVARIANT: S23. Stopping waits in no queue.
        if place.is_err() && tool != tools::ToolName::StopRollout {
            return Err(NoAnswer::new(Code::Busy, "too many tool calls at once; try again in some seconds"));
        }
        // Boxed: the future holds a whole change set.
        Box::pin(call::Call::new(&*asker, &self.limits.waiting).answer(tool, arguments)).await
    }
}
