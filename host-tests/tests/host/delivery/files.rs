//! Files that an operator's own deliveries take along.

use kheish_host_tests::{
    client::{self, Answer, Client},
    connectors::outbox_target,
    host::Host,
    receiver::Receiver,
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{QUICK, with_outbox};

async fn keep(host: &Host, bytes: &[u8]) -> String {
    let request = host.client().request(Method::POST, "/v1/assets?name=a.txt&media_type=text/plain");
    client::answer(request.body(bytes.to_vec())).await.expect(201).text("/asset_id").to_owned()
}

/// Says something in the session `s`.
async fn send(host: &Host, target: &Value, content: &str, artifacts: &Value) -> Answer {
    let body = json!({ "session_id": "s", "plugin": target["plugin"], "target": target["address"],
                       "content": content, "artifacts": artifacts });
    host.post("/v1/deliveries", &body).await
}

#[tokio::test]
async fn a_file_goes_along_and_stays_as_long_as_its_run() {
    let receiver = Receiver::start().await;
    let settings = format!("{QUICK}[assets]\norphan_age_ms = 1\nsweep_interval_ms = 20\n");
    let host = with_outbox().settings(&settings).start().await;
    host.make_session("s").await;
    let target = receiver.target_json("/in");
    let made = eventually("a file is taken before the sweep has it", async || {
        let id = keep(&host, b"for you").await;
        let sent = send(&host, &target, "see", &json!([{ "asset_id": id, "name": "b.txt" }])).await;
        (sent.status == 202).then_some(sent)
    })
    .await;
    assert_eq!(made.json["artifacts_count"], 1);
    let got = receiver.when("/in", 1).await.remove(0).body;
    let attachment = &got["artifact_attachments"][0];
    assert_eq!((&attachment["file_name"], &attachment["byte_length"]), (&json!("b.txt"), &json!(7)));
    let other = keep(&host, b"for nobody").await;
    eventually("what nobody holds is swept", async || {
        (host.get(&format!("/v1/assets/{other}")).await.status == 404).then_some(())
    })
    .await;
    let nobody = Client::new(host.client().base());
    let path = attachment["download_path"].as_str().unwrap();
    assert_eq!(&nobody.get(path).await.expect(200).body[..], b"for you");
    let run = host.run(made.text("/run_id")).await;
    assert_eq!(run["outputs"][0]["artifacts"][0]["name"], "b.txt");
}

#[tokio::test]
async fn a_connector_sends_it_as_a_part_of_its_own() {
    let host = with_outbox().start().await;
    host.make_session("s").await;
    let id = keep(&host, b"for you").await;
    let target = outbox_target("main", &json!({ "answer": "ok" }));
    for (content, kinds) in [("see", ["text", "file"].as_slice()), ("", &["file"])] {
        let made = send(&host, &target, content, &json!([{ "asset_id": id }])).await.expect(202);
        let path = format!("/v1/deliveries/{}", made.text("/delivery_id"));
        let done = eventually("it is delivered", async || {
            let delivery = host.get(&path).await.expect(200).json;
            (delivery["status"] == "delivered").then_some(delivery)
        })
        .await;
        let parts: Vec<&str> =
            done["parts"].as_array().unwrap().iter().filter_map(|part| part["kind"].as_str()).collect();
        assert_eq!(parts, kinds, "{done}");
    }
}

#[tokio::test]
async fn what_cannot_go_along_is_refused_and_leaves_nothing_behind() {
    let host = with_outbox().start().await;
    host.make_session("s").await;
    let id = keep(&host, b"for you").await;
    let target = json!({ "plugin": "http", "address": "https://example.com/" });
    let before = host.ledger().await;
    let missing = send(&host, &target, "see", &json!([{ "asset_id": id }, { "asset_id": "none" }])).await;
    missing.problem(400, "deliveries", "asset_not_found");
    let many: Vec<Value> = (0..33).map(|_| json!({ "asset_id": id })).collect();
    for (artifacts, says) in [
        (json!(many), "`artifacts`: expected at most 32"),
        (json!([{ "asset_id": id, "name": "" }]), "`artifacts[0].name`: expected 1 to 255"),
        (json!([{ "asset_id": id, "media_type": "text" }]), "`artifacts[0].media_type`: expected type/subtype"),
    ] {
        let detail = send(&host, &target, "see", &artifacts).await.problem(400, "deliveries", "invalid_payload");
        assert!(detail.starts_with(says), "{detail}");
    }
    send(&host, &target, "", &json!([])).await.problem(400, "deliveries", "empty_content");
    assert_eq!(host.ledger().await, before);
}

#[tokio::test]
async fn the_same_key_stands_for_the_same_files() {
    let host = with_outbox().start().await;
    host.make_session("s").await;
    let (one, other) = (keep(&host, b"one").await, keep(&host, b"other").await);
    let target = outbox_target("main", &json!({ "answer": "ok" }));
    let with = async |id: &str| {
        let body = json!({ "session_id": "s", "plugin": "outbox", "target": target["address"], "content": "see",
                           "artifacts": [{ "asset_id": id }] });
        client::answer(host.client().request(Method::POST, "/v1/deliveries").header("idempotency-key", "k").json(&body))
            .await
    };
    let made = with(&one).await.expect(202);
    assert_eq!(with(&one).await.expect(202).text("/delivery_id"), made.text("/delivery_id"));
    with(&other).await.problem(409, "idempotency", "idempotency_conflict");
}
