//! The HTTP door of the built daemon, over an embedded world: who comes in, what they hear, what is bounded, what is done once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "http/bounds.rs"]
mod bounds;
#[path = "http/document.rs"]
mod document;
#[path = "http/door.rs"]
mod door;
#[path = "http/once.rs"]
mod once;
#[path = "http/stream.rs"]
mod stream;
mod support;
#[path = "http/tls.rs"]
mod tls;

use door::Door;
use serde_json::{Value, json};

/// What `/problems/` an answer is; it must be one in full.
fn problem(answer: &support::http::Message) -> String {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let code = body["code"].as_str().unwrap();
    assert_eq!(body["type"], format!("/problems/{code}"));
    assert_eq!(body["status"], answer.status());
    assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty(), "{body}");
    code.to_owned()
}

#[test]
fn nobody_comes_in_without_a_credential_wherever_they_knock() {
    let door = Door::open();
    let paths =
        ["/v1/me", "/v1/openapi.json", "/healthz", "/readyz", "/metrics", "/v1/events", "/mcp", "/nothing", "/"];
    for path in paths {
        for headers in
            [vec![], vec![("authorization", "Bearer nobody-has-this")], vec![("authorization", "Basic eDp5")]]
        {
            let answer = door.raw("GET", path, &headers, b"");
            assert_eq!(
                (answer.status(), answer.header("www-authenticate")),
                (401, Some("Bearer")),
                "{path} {headers:?}"
            );
            assert_eq!(problem(&answer), "unauthenticated");
        }
    }
    let twice = [("authorization", door.bearer.as_str()), ("authorization", door.bearer.as_str())];
    assert_eq!(door.raw("GET", "/v1/me", &twice, b"").status(), 401);
    assert_eq!(door.get("/nothing").status(), 404);
    assert_eq!(door.get("/mcp").status(), 405, "whoever speaks to agents is there, and is asked by POST");
    // It is on record, and a flood of it is a few records.
    let records = door.audit();
    let refused: Vec<_> = records.iter().filter(|r| r["event"] == "order_refused").collect();
    assert!((1..10).contains(&refused.len()), "{refused:?}");
    assert!(refused[0]["detail"].as_str().unwrap().contains("unauthenticated"), "{refused:?}");
}

#[test]
fn every_answer_has_the_same_headers_and_names_no_server() {
    let door = Door::open();
    for answer in [
        door.get("/v1/me"),
        door.get("/nothing"),
        door.raw("GET", "/v1/me", &[], b""),
        door.order("/v1/kills", r#"{"scope":"cell=x"}"#),
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        let absent = ["server", "strict-transport-security", "access-control-allow-origin", "x-powered-by"];
        assert!(absent.iter().all(|name| answer.header(name).is_none()), "{answer:?}");
    }
}

#[test]
fn what_goes_wrong_is_a_problem_with_its_code() {
    let door = Door::open();
    let cases = [
        ("GET", "/nothing", "", 404, "not_found"),
        ("DELETE", "/v1/me", "", 405, "method_not_allowed"),
        ("GET", "/v1/rollouts/none", "", 404, "unknown_rollout"),
        ("GET", "/v1/rollouts/none/plan", "", 404, "unknown_rollout"),
        ("GET", "/v1/rollouts/none/explanation", "", 404, "unknown_rollout"),
        ("GET", "/v1/rollouts/none/events", "", 404, "unknown_rollout"),
        ("GET", "/v1/findings?rollout=none", "", 404, "unknown_rollout"),
        ("GET", "/v1/previews/none", "", 404, "unknown_rollout"),
        ("GET", "/v1/pipelines/none", "", 404, "unknown_pipeline"),
        ("GET", "/v1/rollouts/%FF/plan", "", 400, "bad_request"),
        ("GET", "/v1/rollouts?limit=0", "", 400, "bad_request"),
        ("GET", "/v1/rollouts?limit=201", "", 400, "bad_request"),
        ("GET", "/v1/rollouts?open=perhaps", "", 400, "bad_request"),
        ("GET", "/v1/rollouts?what=1", "", 400, "bad_request"),
        ("GET", "/v1/audit?after=-1", "", 400, "bad_request"),
        ("GET", "/v1/audit?after=18446744073709551615", "", 400, "bad_request"),
        ("GET", "/v1/events?after=99999999", "", 400, "bad_request"),
        ("GET", "/v1/me?access_token=x", "", 400, "bad_request"),
        ("PUT", "/metrics", "", 405, "method_not_allowed"),
        ("POST", "/v1/rollouts/none/pause", "", 404, "unknown_rollout"),
        ("POST", "/v1/rollouts/none/approvals", r#"{"digest":"x"}"#, 404, "unknown_rollout"),
        ("POST", "/v1/kills/none/lift", "", 404, "unknown_kill"),
        ("POST", "/v1/kills", r#"{"scope":"moon=1"}"#, 422, "bad_input"),
        ("POST", "/v1/kills", r#"{"mode":"soft"}"#, 422, "bad_input"),
        ("POST", "/v1/kills", r#"{"scpe":"all"}"#, 422, "bad_input"),
        ("POST", "/v1/kills", r#"{"scope":"#, 400, "bad_request"),
        ("POST", "/v1/kills", "{} {}", 400, "bad_request"),
        ("POST", "/v1/kills", "[]", 422, "bad_input"),
        ("POST", "/v1/change-sets", r#"{"text":"version: 1"}"#, 422, "bad_input"),
        ("POST", "/v1/change-sets", "{}", 422, "bad_input"),
        ("POST", "/v1/rollouts/none/rejection", "{}", 422, "bad_input"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = if body.is_empty() { door.call(method, path) } else { door.order(path, body) };
        assert_eq!(
            (answer.status(), problem(&answer).as_str()),
            (status, code),
            "{method} {path} {body}: {}",
            answer.text()
        );
    }
    let allow = door.call("DELETE", "/v1/kills");
    assert_eq!(allow.header("allow").unwrap().replace(' ', ""), "POST,GET,HEAD");
}

#[test]
fn another_host_and_a_page_in_a_browser_are_refused() {
    let door = Door::with("http: {listen: 127.0.0.1:0, hosts: [Gate.example], origins: ['https://ops.example']}");
    let bearer = ("authorization", door.bearer.as_str());
    let port = door.address.port();
    for host in
        ["localhost", "127.0.0.1:1", &format!("localhost:{port}"), "gate.example", "GATE.example:443", "[::1]:80"]
    {
        assert_eq!(door.to_host(host, &[bearer]).status(), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "evil.example:80",
        "127.0.0.2",
        "[::2]",
    ] {
        let answer = door.to_host(host, &[bearer]);
        assert_eq!((answer.status(), problem(&answer).as_str()), (421, "misdirected_host"), "{host}");
    }
    let own = format!("http://127.0.0.1:{port}");
    for origin in ["https://evil.example", "null", "https://ops.example.evil", "http://ops.example", own.as_str()] {
        let answer = door.raw("POST", "/v1/kills", &[bearer, ("origin", origin)], b"");
        assert_eq!((answer.status(), problem(&answer).as_str()), (421, "misdirected_host"), "{origin}");
    }
    assert_eq!(door.raw("GET", "/v1/me", &[bearer, ("origin", "https://ops.example")], b"").status(), 200);
    assert_eq!(door.raw("POST", "/v1/kills", &[bearer, ("sec-fetch-site", "cross-site")], b"").status(), 421);
    let form = [bearer, ("content-type", "text/plain")];
    let answer = door.raw("POST", "/v1/kills", &form, b"{}");
    assert_eq!((answer.status(), problem(&answer).as_str()), (415, "unsupported_media_type"));
    assert_eq!(door.raw("POST", "/v1/kills", &[bearer], b"{}").status(), 415);
    assert_eq!(door.get("/v1/kills").status(), 200);
    assert_eq!(door.json("/v1/kills")["items"], json!([]), "none of these stopped anything");
    let refused = door.audit().into_iter().filter(|r| r["event"] == "order_refused");
    assert!(refused.filter(|r| r["detail"].as_str().unwrap().contains("misdirected_host")).count() >= 1);
}

#[test]
fn every_verb_has_its_address() {
    let door = Door::open();
    assert_eq!(door.json("/v1/me")["name"], "ana");
    assert_eq!(door.json("/v1/me")["door"], "http");
    assert_eq!(door.json("/v1/version"), json!({"version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(door.json("/healthz"), json!({"status": "ok"}));
    assert_eq!(door.json("/readyz"), json!({"status": "ok"}));
    assert_eq!(door.json("/v1/drills"), json!({"running": null, "items": [], "next": null}));
    assert_eq!(door.json("/v1/approvals"), json!({"items": []}));
    assert_eq!(door.json("/v1/pipelines")["items"][0]["name"], "test");
    assert_eq!(door.json("/v1/pipelines/test")["cells"].as_array().unwrap().len(), 2);
    let check = |text: &str| {
        let answer = door.order("/v1/pipelines/check", &json!({ "text": text }).to_string());
        (answer.status(), door::body(&answer)["faults"].as_array().unwrap().len())
    };
    assert_eq!(check(door::PIPELINE), (200, 0));
    assert_eq!(check("version: 7"), (200, 1));

    let answer = door.order("/v1/previews", &door::submission("Look"));
    let looked = door::body(&answer);
    assert_eq!((answer.status(), &looked["again"]), (201, &json!(false)));
    let place = format!("/v1/previews/{}", looked["rollout"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(place.as_str()));
    assert_eq!(door.json(&place)["look_only"], true);
    // It owns its targets until it has looked.
    let limit = std::time::Duration::from_secs(30);
    support::wait_for("the preview ends", limit, || door.json(&place)["outcome"].as_str().map(drop));

    let answer = door.order("/v1/change-sets", &door::submission("Roll"));
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let place = answer.header("location").unwrap().to_owned();
    let rollout = place.strip_prefix("/v1/rollouts/").unwrap();
    assert_eq!(door.json(&place)["title"], "Roll");
    assert_eq!(door.json(&format!("{place}/plan"))["rollout"], rollout);
    assert_eq!(door.json(&format!("{place}/explanation"))["rollout"], rollout);
    assert!(door.json("/v1/findings")["items"].is_array());
    assert_eq!(door.json("/v1/status")["rollouts"].as_array().unwrap().len(), 2);
    let newest = door.json("/v1/rollouts?limit=1");
    assert_eq!((&newest["items"][0]["rollout"], &newest["next"]), (&json!(rollout), &json!(rollout)));
    let older = door.json(&format!("/v1/rollouts?limit=1&after={rollout}"));
    assert_eq!((&older["items"][0]["title"], &older["next"]), (&json!("Look"), &Value::Null));

    assert_eq!(door.call("POST", &format!("{place}/pause")).status(), 204);
    assert_eq!(problem(&door.call("POST", &format!("{place}/pause"))), "already_held");
    assert_eq!(door.call("POST", &format!("{place}/resume")).status(), 204);
    let answer = door.order(&format!("{place}/approvals"), r#"{"digest": "0123456789ab"}"#);
    assert!(answer.status() == 409, "{}", answer.text());
    assert_eq!(door.call("POST", &format!("{place}/approvals/revoke")).status(), 409);
    assert!(matches!(door.order(&format!("{place}/sign-offs"), r#"{"environment": "production"}"#).status(), 409));
    assert_eq!(door.call("POST", &format!("{place}/withdraw")).status(), 204);

    let kill = door.order("/v1/kills", r#"{"scope": "cell=a", "mode": "halt", "reason": "test"}"#);
    assert_eq!((kill.status(), &door::body(&kill)["state"]), (201, &json!("acknowledged")));
    let kill = door::body(&kill)["kill"].as_str().unwrap().to_owned();
    let lift = door.call("POST", &format!("/v1/kills/{kill}/lift"));
    assert_eq!((lift.status(), &door::body(&lift)["lifted"]), (200, &json!(false)));
    assert_eq!(door.call("POST", &format!("/v1/kills/{kill}/lift")).status(), 409);
    let bo = format!("Bearer {}", door.daemon.token("bo", "human", "ops", &["operator"]));
    let lift = door.raw("POST", &format!("/v1/kills/{kill}/lift"), &[("authorization", &bo)], b"");
    assert_eq!((lift.status(), &door::body(&lift)["lifted"]), (200, &json!(true)));
    // Nothing said at all stops everything, softly.
    let all = door::body(&door.call("POST", "/v1/kills"));
    assert_eq!((&all["scope"], &all["mode"]), (&json!("all"), &json!("pause")));
}

#[test]
fn who_may_not_hears_so() {
    let door = Door::open();
    let proposer = format!("Bearer {}", door.daemon.token("eve", "human", "ops", &["proposer"]));
    for path in ["/v1/events", "/v1/audit"] {
        let answer = door.raw("GET", path, &[("authorization", &proposer)], b"");
        assert_eq!((answer.status(), problem(&answer).as_str()), (403, "forbidden"), "{path}");
    }
    for path in ["/v1/status", "/v1/me", "/v1/version"] {
        assert_eq!(door.raw("GET", path, &[("authorization", &proposer)], b"").status(), 200, "{path}");
    }
    let agent = format!("Bearer {}", door.daemon.token("bot", "agent", "ops", &["proposer"]));
    let as_agent = |path: &str, body: &str| {
        let headers = [("authorization", agent.as_str()), ("content-type", "application/json")];
        door.raw("POST", path, &headers, body.as_bytes()).status()
    };
    assert_eq!(as_agent("/v1/change-sets", &door::submission("In another's name")), 403);
    assert_eq!(as_agent("/v1/kills", "{}"), 403);
    assert_eq!(as_agent("/v1/rollouts/x/resume", ""), 403);
}

#[test]
fn no_token_is_written_down_anywhere() {
    let mut door = Door::prepare("http: {listen: 127.0.0.1:0}");
    door.daemon.set_env("RUST_LOG", "debug,hyper=trace");
    door.run();
    let canary = "canary-5f1c9e";
    let bearer = format!("Bearer {canary}");
    let own = door.bearer.clone();
    door.get("/v1/me");
    door.raw("GET", "/v1/me", &[("authorization", &bearer)], b"");
    door.raw("GET", &format!("/v1/me?access_token={canary}"), &[("authorization", &own)], b"");
    door.raw("GET", &format!("/v1/{canary}"), &[("authorization", &own)], b"");
    door.raw("POST", "/v1/kills", &[("authorization", &own), ("content-type", "application/json")], canary.as_bytes());
    door.to_host(canary, &[("authorization", &own)]);
    door.daemon.terminate(std::time::Duration::from_secs(20));
    let log = door.daemon.log();
    assert!(!log.contains(canary), "{log}");
    assert!(!log.contains(own.strip_prefix("Bearer ").unwrap()), "{log}");
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(door.daemon.state_dir().join(file)).unwrap_or_default();
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{file}");
    }
}
