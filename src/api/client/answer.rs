//! What an answer of the HTTP door says, as the response that the socket would have given.

use super::route::Holds;
use crate::api::code::Code;
use crate::api::http::reply::DrillStartedView;
use crate::api::listing::Page;
use crate::api::notify::outbox::DeliveriesView;
use crate::api::verbs::Response;
use crate::api::view::{RolloutView, StatusView};
use crate::model::ids::RolloutId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is read of a problem (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: Code,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

#[derive(Deserialize)]
struct Proposed {
    rollout: RolloutId,
    #[serde(default)]
    again: bool,
}

#[derive(Deserialize)]
struct Faults {
    faults: Vec<String>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Of a list that fits into one answer, `next` may be left out.
#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
    #[serde(default)]
    next: Option<String>,
}

/// The response of a success.
///
/// # Errors
/// Words: the body is not what such an answer holds.
pub(super) fn success(holds: Holds, body: &[u8]) -> Result<Response, String> {
    Ok(match holds {
        Holds::Proposed => {
            let Proposed { rollout, again } = read(body)?;
            Response::Proposed { rollout, again }
        }
        Holds::Status => Response::Status(read(body)?),
        Holds::Rollout => {
            let view: RolloutView = read(body)?;
            Response::Status(StatusView {
                epoch: 0,
                rollouts: vec![view],
                kills: Vec::new(),
                deliveries: DeliveriesView::default(),
            })
        }
        Holds::Rollouts => Response::Rollouts(page(body)?),
        Holds::Plan => Response::Plan(Box::new(read(body)?)),
        Holds::Findings => Response::Findings(page(body)?),
        Holds::Nothing => Response::Done,
        Holds::Killed => Response::Killed(read(body)?),
        Holds::Kills => Response::Kills(page(body)?),
        Holds::Lift => Response::Lift(read(body)?),
        Holds::Approvals => Response::Approvals { rollouts: page(body)?.items },
        Holds::Explained => Response::Explained(Box::new(read(body)?)),
        Holds::Pipelines => Response::Pipelines(page(body)?),
        Holds::Pipeline => Response::Pipeline(Box::new(read(body)?)),
        Holds::Checked => Response::Checked { faults: read::<Faults>(body)?.faults },
        Holds::Audit => Response::Audit(page(body)?),
        Holds::Drills => Response::Drills(read(body)?),
        Holds::DrillStarted => {
            let DrillStartedView { id } = read(body)?;
            Response::DrillStarted { id }
        }
        Holds::Me => Response::Me(read(body)?),
        Holds::Version => Response::Version { version: read::<Version>(body)?.version },
    })
}

/// The response of anything but a success.
///
/// # Errors
/// Words: what answers there is no daemon of this release; a proxy, for example.
pub(super) fn problem(status: u16, body: &[u8]) -> Result<Response, String> {
    let problem: Problem = serde_json::from_slice(body)
        .map_err(|_| format!("HTTP status {status}, without a problem that is known here"))?;
    let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
    Ok(match problem.code {
        Code::BadInput => Response::BadInput { message },
        code => Response::Refused { code, message },
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("{error}; is it of the same release?"))
}

fn page<T: DeserializeOwned>(body: &[u8]) -> Result<Page<T>, String> {
    let Items { items, next } = read(body)?;
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_refusals_with_their_codes() {
        let body = br#"{"type":"t","title":"T","status":409,"detail":"the rollout has ended","code":"ended"}"#;
        let ended = Response::Refused { code: Code::Ended, message: "the rollout has ended".into() };
        assert_eq!(problem(409, body), Ok(ended));
        let bad = problem(422, br#"{"title":"T","code":"bad_input"}"#);
        assert_eq!(bad, Ok(Response::BadInput { message: "T".into() }));
        assert!(problem(502, b"<html>Bad Gateway</html>").unwrap_err().contains("502"));
        assert!(problem(400, br#"{"code":"something_new"}"#).is_err());
    }

    #[test]
    fn successes_are_what_the_socket_would_say() {
        let proposed = success(Holds::Proposed, br#"{"rollout":"r-1","again":true,"more":1}"#);
        assert_eq!(proposed, Ok(Response::Proposed { rollout: "r-1".into(), again: true }));
        assert_eq!(success(Holds::Nothing, b""), Ok(Response::Done));
        assert_eq!(success(Holds::Approvals, br#"{"items":[]}"#), Ok(Response::Approvals { rollouts: vec![] }));
        assert!(success(Holds::Me, b"{}").is_err());
    }
}
