//! The document of the door: what is committed is what is served, and it holds.

use crate::door::{Door, body};
use serde_json::Value;
use std::path::Path;
use wavegate::api::http::openapi;

#[test]
fn the_golden_document_is_that_of_this_release() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let document = openapi::document();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == document, "docs/openapi.json is another one; UPDATE_GOLDENS=1 writes it anew");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(
        references(&document).into_iter().filter(|name| document.pointer(name).is_none()).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(to) if name == "$ref" => vec![to.trim_start_matches('#').to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => vec![],
    }
}

#[test]
fn it_is_served_and_every_address_in_it_wants_a_credential() {
    let door = Door::open();
    let document = door.json("/v1/openapi.json");
    assert_eq!(document, serde_json::from_str::<Value>(&openapi::document()).unwrap());
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path.replace(['{', '}'], "");
            let answer = door.raw(&method.to_uppercase(), &path, &[], b"");
            assert_eq!(answer.status(), 401, "{method} {path}");
            assert_eq!(body(&answer)["code"], "unauthenticated");
            asked += 1;
        }
    }
    assert_eq!(asked, 35, "every route is in the document");
}
