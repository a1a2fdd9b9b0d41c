//! Each request as a call of the HTTP door: method, path, query, body, and what its answer holds.

use crate::api::verbs::{Request, Says, Submission};
use crate::model::ids::RolloutId;
use serde_json::{Value, json};

/// What the body of a success holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Proposed,
    Status,
    /// One rollout, as the only one of a status.
    Rollout,
    Rollouts,
    Plan,
    Findings,
    Nothing,
    Killed,
    Kills,
    Lift,
    Approvals,
    Explained,
    Pipelines,
    Pipeline,
    Checked,
    Audit,
    Drills,
    DrillStarted,
    Me,
    Version,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Route {
    /// With the query, and encoded.
    pub(super) path: String,
    /// A POST with this body; none: a GET.
    pub(super) body: Option<Value>,
    /// What its answer holds.
    pub(super) holds: Holds,
}

/// The call of a request.
///
/// # Errors
/// Words for people: a name that can stand in no path.
pub(super) fn route(request: &Request) -> Result<Route, String> {
    let get = |path: String, holds| Ok(Route { path, body: None, holds });
    let post = |path: String, body: Value, holds| Ok(Route { path, body: Some(body), holds });
    match request {
        Request::Propose { submission } => post("/v1/change-sets".into(), handed_in(submission), Holds::Proposed),
        Request::Preview { submission } => post("/v1/previews".into(), handed_in(submission), Holds::Proposed),
        Request::Withdraw { rollout } => post(of_rollout(rollout, "/withdraw")?, json!({}), Holds::Nothing),
        Request::Pause { rollout } => post(of_rollout(rollout, "/pause")?, json!({}), Holds::Nothing),
        Request::Resume { rollout } => post(of_rollout(rollout, "/resume")?, json!({}), Holds::Nothing),
        Request::Revert { rollout } => post(of_rollout(rollout, "/revert")?, json!({}), Holds::Nothing),
        Request::Status { rollout: None, .. } => get("/v1/status".into(), Holds::Status),
        Request::Status { rollout: Some(rollout), .. } => get(of_rollout(rollout, "")?, Holds::Rollout),
        Request::Rollouts { open, after, limit } => get(
            query("/v1/rollouts", &[("open", text(open)), ("after", text(after)), ("limit", Some(limit.to_string()))]),
            Holds::Rollouts,
        ),
        Request::Plan { rollout } => get(of_rollout(rollout, "/plan")?, Holds::Plan),
        Request::Findings { rollout, after, limit } => get(
            query(
                "/v1/findings",
                &[("rollout", text(rollout)), ("after", Some(after.to_string())), ("limit", Some(limit.to_string()))],
            ),
            Holds::Findings,
        ),
        Request::Kill { scope, mode, reason } => {
            let body = json!({ "scope": scope.to_string(), "mode": mode.to_string(), "reason": reason });
            post("/v1/kills".into(), body, Holds::Killed)
        }
        Request::Kills { after, limit } => {
            get(query("/v1/kills", &[("after", text(after)), ("limit", Some(limit.to_string()))]), Holds::Kills)
        }
        Request::Lift { kill } => post(format!("/v1/kills/{}/lift", segment(kill.as_str())?), json!({}), Holds::Lift),
        Request::Approvals => get("/v1/approvals".into(), Holds::Approvals),
        Request::Explain { rollout } => get(of_rollout(rollout, "/explanation")?, Holds::Explained),
        Request::Answer { rollout, says } => {
            let (path, body) = said(says);
            post(of_rollout(rollout, path)?, body, Holds::Nothing)
        }
        Request::Pipelines => get("/v1/pipelines".into(), Holds::Pipelines),
        Request::Pipeline { name } => get(format!("/v1/pipelines/{}", segment(name)?), Holds::Pipeline),
        Request::Check { file, text } => {
            post("/v1/pipelines/check".into(), json!({ "file": file, "text": text }), Holds::Checked)
        }
        Request::Audit { after, limit } => get(
            query("/v1/audit", &[("after", Some(after.to_string())), ("limit", Some(limit.to_string()))]),
            Holds::Audit,
        ),
        Request::Drills => get("/v1/drills".into(), Holds::Drills),
        Request::Drill { sandbox } => post("/v1/drills".into(), json!({ "sandbox": sandbox }), Holds::DrillStarted),
        Request::Me => get("/v1/me".into(), Holds::Me),
        Request::Version => get("/v1/version".into(), Holds::Version),
    }
}

/// Where events are followed.
///
/// # Errors
/// As [`route`].
pub(super) fn events(rollout: Option<&RolloutId>) -> Result<String, String> {
    match rollout {
        Some(rollout) => of_rollout(rollout, "/events"),
        None => Ok("/v1/events".into()),
    }
}

fn said(says: &Says) -> (&'static str, Value) {
    match says {
        Says::Approve { digest, through, confirm } => {
            let mut body = json!({ "digest": digest });
            for (name, value) in [("through", through), ("confirm", confirm)] {
                if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
                    body.insert(name.into(), value.as_str().into());
                }
            }
            ("/approvals", body)
        }
        Says::Revoke {} => ("/approvals/revoke", json!({})),
        Says::Reject { reason } => ("/rejection", json!({ "reason": reason })),
        Says::SignOff { environment } => ("/sign-offs", json!({ "environment": environment })),
    }
}

fn handed_in(submission: &Submission) -> Value {
    json!({ "file": submission.file, "text": submission.text, "templates": submission.templates })
}

fn of_rollout(rollout: &RolloutId, then: &str) -> Result<String, String> {
    Ok(format!("/v1/rollouts/{}{then}", segment(rollout.as_str())?))
}

fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

fn query(path: &str, fields: &[(&str, Option<String>)]) -> String {
    let pairs: Vec<String> =
        fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?)))).collect();
    format!("{path}?{}", pairs.join("&"))
}

/// A name as one segment of a path. Dots alone would lead elsewhere, however they are encoded.
fn segment(name: &str) -> Result<String, String> {
    match name {
        "" | "." | ".." => Err(format!("`{name}` is no name")),
        _ => Ok(encoded(name)),
    }
}

/// Percent-encoded (RFC 3986), but for what is unreserved.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::halt::{KillMode, KillScope};
    use std::collections::BTreeMap;

    fn path(request: Request) -> String {
        let route = route(&request).unwrap();
        format!("{} {}", if route.body.is_some() { "POST" } else { "GET" }, route.path)
    }

    #[test]
    fn every_request_has_its_call() {
        let submission = Submission {
            file: "c.yaml".into(),
            text: "t".into(),
            templates: BTreeMap::from([("a".into(), "b".into())]),
        };
        let r = || RolloutId::from("r-1");
        let says = |says| Request::Answer { rollout: r(), says };
        let calls = [
            (Request::Propose { submission: submission.clone() }, "POST /v1/change-sets"),
            (Request::Preview { submission }, "POST /v1/previews"),
            (Request::Withdraw { rollout: r() }, "POST /v1/rollouts/r-1/withdraw"),
            (Request::Pause { rollout: r() }, "POST /v1/rollouts/r-1/pause"),
            (Request::Resume { rollout: r() }, "POST /v1/rollouts/r-1/resume"),
            (Request::Revert { rollout: r() }, "POST /v1/rollouts/r-1/revert"),
            (Request::Status { rollout: None, full: false }, "GET /v1/status"),
            (Request::Status { rollout: Some(r()), full: true }, "GET /v1/rollouts/r-1"),
            (Request::Rollouts { open: None, after: None, limit: 5 }, "GET /v1/rollouts?limit=5"),
            (
                Request::Rollouts { open: Some(true), after: Some(r()), limit: 5 },
                "GET /v1/rollouts?open=true&after=r-1&limit=5",
            ),
            (Request::Plan { rollout: r() }, "GET /v1/rollouts/r-1/plan"),
            (Request::Findings { rollout: None, after: 3, limit: 5 }, "GET /v1/findings?after=3&limit=5"),
            (
                Request::Kill { scope: KillScope::Region("eu".into()), mode: KillMode::Halt, reason: "x".into() },
                "POST /v1/kills",
            ),
            (Request::Kills { after: None, limit: 5 }, "GET /v1/kills?limit=5"),
            (Request::Lift { kill: "k-1".into() }, "POST /v1/kills/k-1/lift"),
            (Request::Approvals, "GET /v1/approvals"),
            (Request::Explain { rollout: r() }, "GET /v1/rollouts/r-1/explanation"),
            (
                says(Says::Approve { digest: "d".into(), through: None, confirm: None }),
                "POST /v1/rollouts/r-1/approvals",
            ),
            (says(Says::Revoke {}), "POST /v1/rollouts/r-1/approvals/revoke"),
            (says(Says::Reject { reason: "x".into() }), "POST /v1/rollouts/r-1/rejection"),
            (says(Says::SignOff { environment: "e".into() }), "POST /v1/rollouts/r-1/sign-offs"),
            (Request::Pipelines, "GET /v1/pipelines"),
            (Request::Pipeline { name: "p".into() }, "GET /v1/pipelines/p"),
            (Request::Check { file: "f".into(), text: "t".into() }, "POST /v1/pipelines/check"),
            (Request::Audit { after: 7, limit: 5 }, "GET /v1/audit?after=7&limit=5"),
            (Request::Drills, "GET /v1/drills"),
            (Request::Drill { sandbox: None }, "POST /v1/drills"),
            (Request::Me, "GET /v1/me"),
            (Request::Version, "GET /v1/version"),
        ];
        for (request, expected) in calls {
            assert_eq!(path(request), expected);
        }
        assert_eq!(events(None).unwrap(), "/v1/events");
        assert_eq!(events(Some(&r())).unwrap(), "/v1/rollouts/r-1/events");
    }

    #[test]
    fn bodies_are_what_the_door_reads() {
        let body = |request| route(&request).unwrap().body.unwrap();
        let says = Says::Approve { digest: "d".into(), through: Some("one box".into()), confirm: None };
        assert_eq!(body(Request::Answer { rollout: "r".into(), says }), json!({ "digest": "d", "through": "one box" }));
        let kill = Request::Kill { scope: KillScope::All, mode: KillMode::Pause, reason: String::new() };
        assert_eq!(body(kill), json!({ "scope": "all", "mode": "pause", "reason": "" }));
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let explain = |name: &str| route(&Request::Explain { rollout: name.into() }).map(|route| route.path);
        assert_eq!(explain("a/../b?c#d e\u{e4}%").unwrap(), "/v1/rollouts/a%2F..%2Fb%3Fc%23d%20e%C3%A4%25/explanation");
        for name in ["", ".", ".."] {
            assert!(explain(name).is_err(), "{name}");
        }
    }
}
