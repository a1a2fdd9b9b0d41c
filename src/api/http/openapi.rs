//! The document of this door (OpenAPI 3.1): what the handlers say about themselves, and what holds for all of them.

#![expect(
    clippy::indexing_slicing,
    reason = "members of a JSON value: a missing one comes into being when it is named"
)]

use super::intake::KEY_MAX;
use super::problem::MEDIA_TYPE;
use super::routes;
use crate::api::code::Code;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::PartialSchema as _;
use utoipa::openapi::OpenApi;

/// Whatever the address: unreadable, nobody known, another host, too often, broken, busy.
const EVERYWHERE: [u16; 6] = [400, 401, 421, 429, 500, 503];
/// A body: late, in conflict, too large, no JSON, wrong.
const WITH_BODY: [u16; 5] = [408, 409, 413, 415, 422];
/// Addresses without a name in them that find nothing all the same.
const FINDS_NOTHING: [&str; 3] = ["/v1/findings", "/v1/pipelines", "/metrics"];

/// The document of this release.
pub fn document() -> String {
    text(routes::routes().1)
}

pub(super) fn text(described: OpenApi) -> String {
    // What was made of types can be written; without a document the door still opens.
    let mut document = serde_json::to_value(described).unwrap_or_default();
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn complete(document: &mut Value) {
    document["info"] = json!({
        "title": "Wavegate",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Staged rollouts of change sets. Every call needs a credential; every answer that is no success is a problem (RFC 9457) with a stable `code`.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["security"] = json!([{ "bearer": [] }, { "certificate": [] }]);
    document["components"]["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer", "description": "A token of `wavegate token create`, or of a configured identity provider" },
        "certificate": { "type": "mutualTLS", "description": "A client certificate that is mapped to an identity" },
    });
    document["components"]["responses"] = problems();
    let schemas = &mut document["components"]["schemas"];
    schemas["Problem"] = serde_json::to_value(super::problem::ProblemBody::schema()).unwrap_or_default();
    schemas["Code"] = serde_json::to_value(Code::schema()).unwrap_or_default();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            parameters(path, method, operation);
            responses(path, method, operation);
        }
    }
}

fn parameters(path: &str, method: &str, operation: &mut Value) {
    let mut all = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut all {
        // Positions; names of things come as text.
        if parameter["name"] == "after" && parameter["schema"]["minimum"].is_number() {
            parameter["schema"]["maximum"] = routes::POSITION_MAX.into();
        }
    }
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in names {
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^\\u0000-\\u001f\\u007f/]+$" });
        all.push(json!({ "name": name, "in": "path", "required": true, "description": "Its name", "schema": schema }));
    }
    if method == "post" {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]+$" });
        let why = match path {
            "/v1/kills" => {
                "The same order of the same caller is one order with or without a key, until somebody asks to lift it. No order to stop is \
                 refused, or answered from memory, for its key"
            }
            _ => {
                "The same key with the same request within a day has the same answer, and is done once. A refusal changed nothing, and is \
                 not kept: the same request is asked anew"
            }
        };
        all.push(json!({ "name": "Idempotency-Key", "in": "header", "required": false, "description": why, "schema": schema }));
    }
    if path.ends_with("/events") {
        let schema = json!({ "type": "integer", "minimum": 0, "maximum": routes::POSITION_MAX });
        let why = "The `id` of the last event that was seen: the stream goes on after it";
        all.push(
            json!({ "name": "Last-Event-ID", "in": "header", "required": false, "description": why, "schema": schema }),
        );
    }
    if !all.is_empty() {
        operation["parameters"] = Value::Array(all);
    }
}

fn responses(path: &str, method: &str, operation: &mut Value) {
    let mut statuses = EVERYWHERE.to_vec();
    if path.starts_with("/v1/") && path != "/v1/openapi.json" {
        statuses.push(403);
    }
    if path.contains('{') || FINDS_NOTHING.contains(&path) {
        statuses.push(404);
    }
    if method == "post" {
        statuses.extend(WITH_BODY);
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            response["headers"]["Idempotent-Replay"] = json!({ "description": "`true`: this answer was given before, to the same key", "schema": { "type": "string" } });
        }
    }
    for status in statuses {
        operation["responses"][status.to_string()] = json!({ "$ref": format!("#/components/responses/{status}") });
    }
}

/// One answer for each status that a problem can have, with the codes that it may carry.
fn problems() -> Value {
    let mut codes: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in Code::ALL {
        codes.entry(code.status()).or_default().push(format!("`{code}`: {}", code.title()));
    }
    let response = |(status, codes): (u16, Vec<String>)| {
        let mut response = json!({
            "description": codes.join(". "),
            "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
        let header = match status {
            401 => Some(("WWW-Authenticate", json!({ "description": "`Bearer`", "schema": { "type": "string" } }))),
            429 | 503 => {
                Some(("Retry-After", json!({ "description": "In so many seconds", "schema": { "type": "integer" } })))
            }
            _ => None,
        };
        if let Some((name, header)) = header {
            response["headers"] = json!({ name: header });
        }
        (status.to_string(), response)
    };
    Value::Object(codes.into_iter().map(response).collect::<Map<_, _>>())
}
