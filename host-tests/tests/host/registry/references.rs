//! Connectors that others send their answers to, and sessions that do.

use kheish_host_tests::host::{HTTP, Host, OUTBOX};
use serde_json::{Value, json};

use super::{fields, path, pointers};

const OUT: &str = "/v1/runtime/connectors/outbox/out";

/// A target that leads to `outbox/{name}`.
fn to(name: &str) -> Value {
    json!({ "plugin": "outbox", "address": json!({ "connector": name, "answer": "ok" }).to_string() })
}

async fn host() -> Host {
    let host = Host::builder().plugins(&[HTTP, OUTBOX]).start().await;
    let open = json!({ "allow_unauthenticated_ingress": true, "session_policy": { "create_if_missing": true } });
    host.put(OUT, &open).await.expect(201);
    host.put("/v1/runtime/connectors/outbox/other", &open).await.expect(201);
    host
}

#[tokio::test]
async fn what_others_send_to_is_not_deleted() {
    let host = host().await;
    let mut sending = fields("token-one");
    sending["default_reply_targets"] = json!([to("other"), to("out")]);
    host.put_http("orders", &sending).await.expect(201);
    let refused = host.delete(OUT).await;
    assert!(refused.problem(409, "connectors", "connector_referenced").contains("http/orders"));
    assert_eq!(pointers(&refused.json), ["/default_reply_targets/1"]);
    assert_eq!(refused.json["errors"][0]["detail"], "http/orders");
    host.get(OUT).await.expect(200);
    host.put_http("orders", &json!({ "default_reply_targets": [to("other")] })).await.expect(200);
    host.delete(OUT).await.expect(200);
    host.delete(&path("orders")).await.expect(200);
    host.delete("/v1/runtime/connectors/outbox/other").await.expect(200);
}

#[tokio::test]
async fn targets_beside_a_route_are_checked_and_hold_their_connectors() {
    let host = host().await;
    let other = "/v1/runtime/connectors/outbox/other";
    let wrong = json!({ "default_reply_targets": [to("nobody")], "additional_reply_targets": [to("out"), to("none")] });
    let refused = host.put(other, &wrong).await;
    assert_eq!(pointers(&refused.json), ["/default_reply_targets/0", "/additional_reply_targets/1"]);
    host.put(other, &json!({ "additional_reply_targets": [to("out")] })).await.expect(200);
    let refused = host.delete(OUT).await;
    assert!(refused.problem(409, "connectors", "connector_referenced").contains("outbox/other"));
    assert_eq!(pointers(&refused.json), ["/additional_reply_targets/0"]);
    let mut sending = fields("token-one");
    sending["include_self_output"] = json!(true);
    sending["additional_reply_targets"] = json!([to("out")]);
    let refused = host.put_http("orders", &sending).await;
    assert_eq!(pointers(&refused.json), ["/include_self_output", "/additional_reply_targets"]);
}

#[tokio::test]
async fn a_session_loses_the_targets_that_are_gone_and_no_others() {
    let host = host().await;
    for session in ["both", "one", "none"] {
        host.make_session(session).await;
    }
    let url = json!({ "plugin": "http", "address": "https://example.com/" });
    let targets = |session: &str| format!("/v1/sessions/{session}/reply-targets");
    host.put(&targets("both"), &json!({ "reply_targets": [url, to("out"), to("other"), to("out")] })).await.expect(200);
    host.put(&targets("one"), &json!({ "reply_targets": [to("out")] })).await.expect(200);
    host.put(&targets("none"), &json!({ "reply_targets": [to("other")] })).await.expect(200);
    let gone = host.delete(OUT).await.expect(200).json;
    let losers: Vec<&Value> = gone["sessions"].as_array().unwrap().iter().map(|loss| &loss["session_id"]).collect();
    assert_eq!(losers, [&json!("both"), &json!("one")]);
    assert_eq!(gone["sessions"][0]["removed"].as_array().unwrap().len(), 1);
    let both = host.get(&targets("both")).await.expect(200).json;
    let left: Vec<&Value> = both["reply_targets"].as_array().unwrap().iter().map(|target| &target["plugin"]).collect();
    assert_eq!(left, [&json!("http"), &json!("outbox")]);
    assert!(both["notice"].as_str().unwrap().contains("outbox/out"), "{both}");
    let one = host.get(&targets("one")).await.expect(200).json;
    assert_eq!(one["reply_targets"], json!([]));
    assert!(one["notice"].is_string(), "{one}");
    let none = host.get(&targets("none")).await.expect(200).json;
    assert_eq!((none["reply_targets"].as_array().unwrap().len(), none.get("notice")), (1, None));
    host.put(&targets("one"), &json!({ "reply_targets": [to("other")] })).await.expect(200);
    assert!(host.get(&targets("one")).await.json.get("notice").is_none());
}

#[tokio::test]
async fn default_targets_are_taken_into_runs_that_name_none() {
    let host = host().await;
    host.make_session("room").await;
    let targets = "/v1/sessions/room/reply-targets";
    assert_eq!(host.get(targets).await.expect(200).json, json!({ "reply_targets": [] }));
    let session = host.put(targets, &json!({ "reply_targets": [to("out")] })).await.expect(200).json;
    assert_eq!(session["reply_targets"].as_array().unwrap().len(), 1);
    let run = host.submit("room", &json!({ "content": "hello" })).await.expect(202).json;
    assert_eq!(run["reply_targets"], session["reply_targets"]);
    let own = json!({ "content": "hello", "reply_targets": [{ "plugin": "http", "address": "https://example.com/" }] });
    let run = host.submit("room", &own).await.expect(202).json;
    assert_eq!(run["reply_targets"], own["reply_targets"]);
    host.delete(targets).await.expect(200);
    let run = host.submit("room", &json!({ "content": "hello" })).await.expect(202).json;
    assert_eq!(run["reply_targets"], json!([]));
    let wrong = json!({ "reply_targets": [to("out"), to("nobody"), { "plugin": "pigeon", "address": "coop" }] });
    let refused = host.post(targets, &wrong).await;
    refused.problem(400, "sessions", "reply_target_invalid");
    assert_eq!(pointers(&refused.json), ["/reply_targets/1", "/reply_targets/2"]);
    host.get("/v1/sessions/nobody/reply-targets").await.problem(404, "sessions", "session_not_found");
}
