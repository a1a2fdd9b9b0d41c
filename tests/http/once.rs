//! What has a key is done once.

use crate::door::{Door, body, submission};
use crate::problem;
use serde_json::json;

#[test]
fn the_same_order_with_the_same_key_is_one_order() {
    let door = Door::open();
    let order = r#"{"scope": "cell=a"}"#;
    let first = door.order_as("/v1/kills", order, Some("key-1"));
    let again = door.order_as("/v1/kills", order, Some("key-1"));
    assert_eq!((first.status(), again.status()), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!((first.header("idempotent-replay"), again.header("idempotent-replay")), (None, Some("true")));
    assert_eq!(door.json("/v1/kills")["items"].as_array().unwrap().len(), 1);
    let other = door.order_as("/v1/kills", r#"{"scope": "cell=b"}"#, Some("key-1"));
    assert_eq!((other.status(), problem(&other).as_str()), (422, "key_reused"));
    // Another address and another principal have keys of their own.
    let missing = door.order_as("/v1/rollouts/none/pause", "{}", Some("key-1"));
    assert_eq!(missing.status(), 404);
    let again = door.order_as("/v1/rollouts/none/pause", "{}", Some("key-1"));
    assert_eq!((again.status(), again.header("idempotent-replay")), (404, Some("true")));
    let bo = format!("Bearer {}", door.daemon.token("bo", "human", "ops", &["operator"]));
    let headers = [("authorization", bo.as_str()), ("content-type", "application/json"), ("idempotency-key", "key-1")];
    let bos = door.raw("POST", "/v1/kills", &headers, order.as_bytes());
    assert_eq!((bos.status(), bos.header("idempotent-replay")), (201, None));
    for wrong in ["", "with space", &"x".repeat(201), "umläut"] {
        let answer = door.order_as("/v1/kills", order, Some(wrong));
        assert_eq!((answer.status(), problem(&answer).as_str()), (400, "bad_request"), "{wrong}");
    }
    assert_eq!(door.order_as("/v1/kills", order, Some(&"x".repeat(200))).status(), 201);
}

#[test]
fn a_proposal_is_the_same_one_over_a_crash() {
    let mut door = Door::open();
    let change = submission("Once");
    let first = door.order_as("/v1/change-sets", &change, Some("deploy-7"));
    assert_eq!(first.status(), 201, "{}", first.text());
    let rollout = body(&first)["rollout"].clone();
    door.restart();
    let again = door.order_as("/v1/change-sets", &change, Some("deploy-7"));
    assert_eq!((again.status(), body(&again)), (200, json!({"rollout": rollout, "again": true})));
    let other = door.order_as("/v1/change-sets", &submission("Another"), Some("deploy-7"));
    assert_eq!((other.status(), problem(&other).as_str()), (422, "key_reused"));
    assert_eq!(door.json("/v1/rollouts")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn the_same_key_many_times_at_once_is_one_proposal() {
    let door = Door::open();
    let change = submission("At once");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..12).map(|_| scope.spawn(|| door.order_as("/v1/change-sets", &change, Some("same")))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    for answer in &answers {
        match answer.status() {
            201 => {}
            409 => assert_eq!(problem(answer), "key_in_flight"),
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(answers.iter().any(|answer| answer.status() == 201));
    assert_eq!(door.json("/v1/rollouts")["items"].as_array().unwrap().len(), 1);
}
