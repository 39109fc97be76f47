//! Answers to where an event came from, and to where its connector says.

use kheish_host_tests::{
    connectors::{Http, outbox, outbox_table},
    host::{HTTP, Host, OUTBOX},
    plugins,
    sender::Sender,
};
use serde_json::{Value, json};

use super::{builder, with_outbox};

const ALLOW: &str = "allow_payload_reply_targets = true";

fn ok() -> Value {
    json!({ "answer": "ok" })
}

async fn post(host: &Host, name: &str, body: Value) -> String {
    Sender::new(host.client(), "outbox", name).post(&body).await.expect(200).text("/run_id").to_owned()
}

#[tokio::test]
async fn an_event_with_a_route_is_answered_along_it() {
    let host = with_outbox().executor("echo").start().await;
    let run = post(&host, "main", json!({ "text": "hello", "reply_route": { "lane": "l", "answer": "ok" } })).await;
    host.deliveries_when(&run, 1, "delivered").await;
    host.logs("main sends \"hello\", attempt 1").await;
    let address = r#"{"answer":"ok","connector":"main","lane":"l"}"#;
    assert_eq!(host.run(&run).await["reply_targets"], json!([{ "plugin": "outbox", "address": address }]));
}

#[tokio::test]
async fn targets_of_the_event_come_before_its_route_and_that_before_the_connectors_own() {
    let own = format!("{ALLOW}\ndefault_reply_targets = [{}]", outbox_table("by-default", &ok()));
    let connectors = [outbox("main", &own), outbox("by-default", ""), outbox("by-target", "")].concat();
    let host = with_outbox().connectors(connectors).executor("echo").start().await;
    let targets = json!([{ "plugin": "outbox", "address": r#"{"connector":"by-target","answer":"ok"}"# }]);
    for (body, goes_to) in [
        (json!({ "text": "one" }), "by-default"),
        (json!({ "text": "two", "reply_route": ok() }), "main"),
        (json!({ "text": "three", "reply_route": ok(), "reply_targets": targets }), "by-target"),
    ] {
        let run = post(&host, "main", body.clone()).await;
        host.deliveries_when(&run, 1, "delivered").await;
        host.logs(&format!("{goes_to} sends {}", body["text"])).await;
    }
}

#[tokio::test]
async fn the_operator_adds_targets_to_the_route_and_may_leave_the_route_out() {
    let beside = format!("additional_reply_targets = [{}]", outbox_table("beside", &ok()));
    let silent = format!("include_self_output = false\n{beside}");
    let connectors = [outbox("both", &beside), outbox("silent", &silent), outbox("beside", "")].concat();
    let host = with_outbox().connectors(connectors).executor("echo").start().await;
    for (name, goes_to) in [("both", ["both", "beside"].as_slice()), ("silent", ["beside"].as_slice())] {
        let run = post(&host, name, json!({ "text": name, "reply_route": ok() })).await;
        host.deliveries_when(&run, goes_to.len(), "delivered").await;
        let stored = host.run(&run).await;
        let addresses = goes_to.iter().map(|to| format!(r#"{{"answer":"ok","connector":"{to}"}}"#));
        let targets = addresses.map(|address| json!({ "plugin": "outbox", "address": address }));
        assert_eq!(stored["reply_targets"], Value::from_iter(targets));
    }
}

#[tokio::test]
async fn two_connectors_may_answer_through_each_other() {
    let to = |name| format!("default_reply_targets = [{}]", outbox_table(name, &ok()));
    let connectors = format!("{}{}", outbox("a", &to("b")), outbox("b", &to("a")));
    let host = with_outbox().connectors(connectors).executor("echo").start().await;
    post(&host, "a", json!({ "text": "from a" })).await;
    post(&host, "b", json!({ "text": "from b" })).await;
    host.logs("b sends \"from a\"").await;
    host.logs("a sends \"from b\"").await;
}

#[tokio::test]
async fn a_connector_of_another_kind_may_answer_through_one_that_is_loaded_after_it() {
    let target = outbox_table("main", &json!({ "answer": "ok", "lane": "LOUD" }));
    let connectors = format!("{}{}", Http::named("orders").bearer("tok").reply_to(&[target]), outbox("main", ""));
    let builder = builder().plugins(&[HTTP, OUTBOX]).connectors(connectors).executor("echo");
    let host = builder.start().await;
    let answer = host.sender("orders").bearer("tok").say("k1", "room", "hello").await.expect(200);
    host.logs("main sends \"hello\"").await;
    // It was not there to check the route when the connector was made, and did so when it came.
    assert!(answer.text("/reply_targets/0/address").contains("\"loud\""), "{}", answer.json["reply_targets"]);
    for (guest, file) in [(HTTP, "http.wasm"), (OUTBOX, "outbox.wasm")] {
        let bytes = plugins::version(guest, 1);
        plugins::install(&bytes, &host.plugin_path(file));
        let digest = kheish_host_tests::sign::sha256_hex(&bytes);
        host.plugin_when(file, "has a new version", |report| report["digest"] == digest.as_str()).await;
        let again = host.sender("orders").bearer("tok").say(file, "room", file).await.expect(200);
        assert_eq!(again.json["reply_targets"], answer.json["reply_targets"]);
        host.logs(&format!("main sends {file:?}")).await;
    }
}
