//! The document: complete, and true of every route.

use std::{collections::BTreeSet, fs};

use kheish_host_tests::{client::answer, host::Host, places};
use reqwest::Method;
use serde_json::{Map, Value};

use super::{document, host};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// Every operation of the document: path, method, operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = members(&document["paths"]).iter();
    paths
        .flat_map(|(path, item)| {
            members(item).iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

fn is_public(path: &str) -> bool {
    ["/healthz", "/readyz"].contains(&path) || path.starts_with("/v1/connectors/")
}

/// The path with something in its holes.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_operation_is_described_in_full() {
    let host = host().await;
    let document = document(&host).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], host.get("/v1/status").await.json["version"]);
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let shown = format!("{method} {path}: {operation:#}");
        assert!(METHODS.contains(&method), "{shown}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "an id twice: {shown}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{shown}");
        let tag = &operation["tags"][0];
        assert!(document["tags"].as_array().unwrap().iter().any(|one| one["name"] == *tag), "{shown}");
        let answers = members(&operation["responses"]);
        assert!(answers.keys().any(|status| status.starts_with('2')), "{shown}");
        for (status, answer) in answers.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{status} of {shown}");
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{status} of {shown}");
        }
        let holes = path.matches('{').count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), holes, "{shown}");
    }
}

#[tokio::test]
async fn what_every_operation_may_answer_stands_at_each() {
    let document = document(&host().await).await;
    assert_eq!(document["security"], serde_json::json!([{ "bearer": [] }]));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for (path, method, operation) in operations(&document) {
        let answers = members(&operation["responses"]);
        let has = |status: &str| answers.contains_key(status);
        let shown = format!("{method} {path}: {:?}", answers.keys());
        assert!(!has("500"), "{shown}");
        if is_public(path) {
            assert_eq!(operation["security"], serde_json::json!([]), "{shown}");
            continue;
        }
        assert_eq!(operation["security"], Value::Null, "{shown}");
        assert!(["400", "401", "403", "429", "503"].into_iter().all(has), "{shown}");
        assert!(has("404") || !path.contains('{'), "{shown}");
        assert!(operation["requestBody"].is_null() || (has("413") && has("415")), "{shown}");
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|inner| references(inner, found));
            }
            Value::Array(array) => array.iter().for_each(|inner| references(inner, found)),
            _ => {}
        }
    }
    let document = document(&host().await).await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_body_that_is_read_names_all_its_members() {
    let document = document(&host().await).await;
    for (path, method, operation) in operations(&document).into_iter().filter(|(path, ..)| !is_public(path)) {
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
        let schema = match schema["$ref"].as_str() {
            Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            None => schema,
        };
        // A connector's fields are its kind's to name: `/v1/runtime/kinds` has their schema.
        if operation["operationId"] == "put_connector" {
            continue;
        }
        assert_eq!(schema["additionalProperties"], false, "{method} {path}");
    }
}

#[tokio::test]
async fn every_operation_is_there_and_no_other_method() {
    let host = Host::builder().start().await;
    let document = document(&host).await;
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            let request = host.client().request(method.to_uppercase().parse().unwrap(), &filled(path));
            let answer = answer(request).await;
            let shown = format!("{method} {path}: {} {}", answer.status, answer.json);
            assert_ne!(answer.text("/code"), "route_not_found", "{shown}");
            if item.get(method).is_some() {
                assert_ne!(answer.status, 405, "{shown}");
            } else if !is_public(path) {
                answer.problem(405, "api", "method_not_allowed");
                assert!(!answer.header("allow").to_lowercase().contains(method), "{:?}", answer.headers);
            }
        }
    }
}

/// Documented answers are worth something only when no route is left out: so none is registered beside them.
#[test]
fn no_route_is_registered_without_its_description() {
    let sources = ["api.rs", "app.rs", "ingress/http.rs"].map(|file| places::repository().join("src").join(file));
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        for way in [".route(", ".route_service(", ".nest_service(", "Router::new()"] {
            assert!(!text.contains(way), "{} uses {way}", source.display());
        }
    }
}

#[tokio::test]
async fn head_works_where_get_does() {
    let host = host().await;
    for path in ["/healthz", "/readyz", "/v1/status", "/v1/runs?limit=1", "/v1/sessions/s", "/v1/openapi.json"] {
        let got = host.get(path).await.expect(200);
        let head = answer(host.client().request(Method::HEAD, path)).await.expect(200);
        assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
    let unknown = answer(host.client().request(Method::HEAD, "/v1/status?x=1")).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let host = host().await;
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/runs/", "/v1/connectors", "/v1/sessions/s/x", "/v2/runs"] {
        host.get(path).await.problem(404, "api", "route_not_found");
    }
    for (method, path) in [("DELETE", "/v1/status"), ("OPTIONS", "/v1/runs"), ("BREW", "/v1/sessions")] {
        let answer = answer(host.client().request(method.parse().unwrap(), path)).await;
        answer.problem(405, "api", "method_not_allowed");
        assert!(answer.header("allow").contains("GET"), "{path}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn the_document_needs_the_token_as_the_rest_does() {
    let host = Host::builder().plugins(&[]).token("secret").start().await;
    let stranger = kheish_host_tests::client::Client::new(host.client().base());
    stranger.get("/v1/openapi.json").await.problem(401, "auth", "missing_token");
    assert_eq!(document(&host).await["openapi"], "3.1.0");
}
