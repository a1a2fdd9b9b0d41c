//! The service's answers as HTTP answers: one place, so that a view looks the same wherever it comes from.

use super::problem::Problem;
use crate::api::code::Code;
use crate::api::verbs::Response as Answer;
use crate::api::view::RolloutView;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// What a handler gives.
pub type Reply = Result<Response, Problem>;

/// A change set was taken, or is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProposedView {
    /// The rollout's name.
    pub rollout: String,
    /// The same request had proposed it before.
    pub again: bool,
}

/// What people are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalsView {
    /// Each rollout that asks.
    pub items: Vec<RolloutView>,
}

/// What is wrong with a pipeline's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckedView {
    /// In words, with file, line and column; empty: nothing.
    pub faults: Vec<String>,
}

/// A drill has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrillStartedView {
    /// Its name, as `GET /v1/drills` lists it.
    pub id: String,
}

/// Which release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionView {
    /// Of the daemon.
    pub version: String,
}

/// Data as JSON.
pub fn json(status: StatusCode, view: &impl Serialize) -> Reply {
    match serde_json::to_vec(view) {
        Ok(body) => {
            Ok((status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], Bytes::from(body))
                .into_response())
        }
        Err(error) => Err(Problem::new(Code::Internal, format!("the answer cannot be written: {error}"))),
    }
}

/// What the service says, with the status that says so. Whatever is new lies under `under`, as `/v1/rollouts`.
pub fn of(answer: Answer, under: &str) -> Reply {
    let ok = StatusCode::OK;
    match answer {
        Answer::Proposed { rollout, again } => {
            let status = if again { ok } else { StatusCode::CREATED };
            let location = HeaderValue::try_from(format!("{under}/{rollout}"));
            let mut reply = json(status, &ProposedView { rollout: rollout.to_string(), again })?;
            if let Ok(location) = location {
                reply.headers_mut().insert(LOCATION, location);
            }
            Ok(reply)
        }
        Answer::Status(view) => json(ok, &view),
        Answer::Rollouts(page) => json(ok, &page),
        Answer::Plan(view) => json(ok, &view),
        Answer::Findings(page) => json(ok, &page),
        Answer::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        // In force either way; what is still pending stands in it.
        Answer::Killed(view) if view.state == "pending" => json(StatusCode::ACCEPTED, &view),
        Answer::Killed(view) => json(StatusCode::CREATED, &view),
        Answer::Kills(page) => json(ok, &page),
        Answer::Lift(view) => json(ok, &view),
        Answer::Approvals { rollouts } => json(ok, &ApprovalsView { items: rollouts }),
        Answer::Explained(view) => json(ok, &view),
        Answer::Pipelines(page) => json(ok, &page),
        Answer::Pipeline(view) => json(ok, &view),
        Answer::Checked { faults } => json(ok, &CheckedView { faults }),
        Answer::Audit(page) => json(ok, &page),
        Answer::Drills(view) => json(ok, &view),
        Answer::DrillStarted { id } => json(StatusCode::ACCEPTED, &DrillStartedView { id }),
        Answer::Me(view) => json(ok, &view),
        Answer::Version { version } => json(ok, &VersionView { version }),
        Answer::Refused { code, message } => Err(Problem::new(code, message)),
        Answer::BadInput { message } => Err(Problem::new(Code::BadInput, message)),
    }
}

/// The one rollout of a status that was asked for by its name.
pub fn one_rollout(answer: Answer) -> Reply {
    match answer {
        Answer::Status(mut view) => match view.rollouts.pop() {
            Some(rollout) => json(StatusCode::OK, &rollout),
            None => Err(Problem::new(Code::UnknownRollout, "there is no rollout of that name")),
        },
        other => of(other, ""),
    }
}
