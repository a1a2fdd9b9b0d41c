//! What has a key is done once.

use crate::door::{Door, PIPELINE, body, submission};
use crate::problem;
use serde_json::json;

#[test]
fn the_same_order_with_the_same_key_is_one_order() {
    let door = Door::open();
    let order = r#"{"scope": "cell=a"}"#;
    let (first, again) = (door.order_as("/v1/kills", order, Some("key-1")), door.order_as("/v1/kills", order, None));
    assert_eq!((first.status(), again.status()), (201, 201));
    assert_eq!(body(&first)["kill"], body(&again)["kill"], "the engine knows it, with or without a key");
    assert_eq!(door.json("/v1/kills")["items"].as_array().unwrap().len(), 1);
    // What was lifted, or is asked to be, is stopped anew: no memory says that it is in force.
    let lift = format!("/v1/kills/{}/lift", body(&first)["kill"].as_str().unwrap());
    assert_eq!(door.order_as(&lift, "{}", Some("key-2")).status(), 200);
    let anew = door.order_as("/v1/kills", order, Some("key-1"));
    assert_eq!((anew.status(), anew.header("idempotent-replay")), (201, None));
    assert_ne!(body(&first)["kill"], body(&anew)["kill"]);
    let again = door.order_as(&lift, "{}", Some("key-2"));
    assert_eq!((again.status(), again.header("idempotent-replay")), (200, Some("true")));
    // Another address and another principal have keys of their own.
    let missing = door.order_as("/v1/rollouts/none/pause", "{}", Some("key-1"));
    assert_eq!(missing.status(), 404);
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

/// Whoever presses harder uses the script that has pressed before, key and all.
#[test]
fn no_kill_is_refused_for_its_key() {
    let door = Door::open();
    for order in [r#"{"mode": "pause"}"#, r#"{"mode": "halt"}"#, r#"{"scope": "cell=b"}"#] {
        let answer = door.order_as("/v1/kills", order, Some("stop"));
        assert_eq!((answer.status(), answer.header("idempotent-replay")), (201, None), "{order}: {}", answer.text());
    }
    let modes: Vec<_> = door.json("/v1/kills")["items"].as_array().unwrap().iter().map(|k| k["mode"].clone()).collect();
    assert!(modes.contains(&json!("halt")), "{modes:?}");
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let order = r#"{"scope": "cell=a", "mode": "revert"}"#;
        let asked: Vec<_> =
            (0..12).map(|_| scope.spawn(|| door.order_as("/v1/kills", order, Some("stop")).status())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses, [201; 12]);
    let kills = door.json("/v1/kills")["items"].as_array().unwrap().clone();
    assert_eq!(kills.iter().filter(|kill| kill["mode"] == "revert").count(), 1, "they are one order");
}

/// What was in the way may be gone by the next try, which is the same request with the same key.
#[test]
fn a_refusal_is_asked_anew_under_the_same_key() {
    let door = Door::open();
    let refused = door.order_as("/v1/kills/none/lift", "{}", Some("again"));
    assert_eq!((refused.status(), problem(&refused).as_str()), (404, "unknown_kill"));
    let pipeline = door.daemon.home().join("pipelines/test.yaml");
    std::fs::write(&pipeline, "broken for a minute").unwrap();
    let change = submission("Soon");
    let refused = door.order_as("/v1/change-sets", &change, Some("deploy-8"));
    assert_eq!((refused.status(), problem(&refused).as_str()), (422, "bad_input"));
    std::fs::write(&pipeline, PIPELINE).unwrap();
    let taken = door.order_as("/v1/change-sets", &change, Some("deploy-8"));
    assert_eq!((taken.status(), taken.header("idempotent-replay")), (201, None), "{}", taken.text());
    let again = door.order_as("/v1/change-sets", &change, Some("deploy-8"));
    assert_eq!((again.status(), again.header("idempotent-replay")), (201, Some("true")));
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
