//! Signed replies: what is signed with what, and what becomes of replies whose secret is gone.

use kheish_host_tests::{
    connectors::Http,
    host::{HTTP, Host},
    receiver::{Received, Receiver, Reply},
    sign::{now_secs, webhook},
};
use serde_json::{Value, json};

use super::{builder, say};

const REFERENCE: &str = "signing/orders";

async fn store(host: &Host, value: &str) {
    host.post("/v1/runtime/secrets", &json!({ "slot_id": REFERENCE, "state": { "value": value } })).await.expect(200);
}

fn target(receiver: &Receiver, secret: &str) -> Value {
    let mut address = receiver.address("/in");
    address["signing_secret_ref"] = json!(secret);
    json!({ "plugin": "http", "address": address.to_string() })
}

#[track_caller]
fn is_signed(request: &Received, key: &[u8]) {
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    assert_eq!(request.header("webhook-signature"), webhook(key, id, timestamp, &request.bytes));
    assert_eq!(request.key(), format!("kheish:{id}"));
    let age = now_secs().abs_diff(timestamp.parse().unwrap());
    assert!(age < 60, "stamped {age} s off");
}

#[tokio::test]
async fn replies_are_signed_with_the_key_of_now_and_keep_their_id() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.index == 0 { 503 } else { 200 })).await;
    let host = builder().start().await;
    // "MfKQ" is the bytes 31 f2 90.
    store(&host, "whsec_MfKQ").await;
    let run = say(&host, "s", &[target(&receiver, REFERENCE)], &["hellö"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    received.iter().for_each(|request| is_signed(request, &[0x31, 0xf2, 0x90]));
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));

    store(&host, "plain text").await;
    let run = say(&host, "t", &[target(&receiver, REFERENCE)], &["again"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    is_signed(&receiver.received()[2], b"plain text");

    let run = say(&host, "u", &[receiver.target_json("/in")], &["unsigned"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let unsigned = &receiver.received()[3];
    assert!(unsigned.headers.keys().all(|name| !name.as_str().starts_with("webhook-")), "{unsigned:?}");
}

#[tokio::test]
async fn a_secret_that_is_missing_or_signs_nothing_is_refused_where_it_is_named() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    host.make_session("s").await;
    let submit = async |secret: &str| {
        host.submit("s", &json!({ "content": "x", "reply_targets": [target(&receiver, secret)] })).await.expect(400)
    };
    let missing = submit("nowhere").await;
    assert!(String::from_utf8_lossy(&missing.body).contains("nowhere"));
    store(&host, "whsec_*").await;
    submit(REFERENCE).await;
    store(&host, "good").await;
    host.submit("s", &json!({ "content": "x", "reply_targets": [target(&receiver, REFERENCE)] })).await.expect(202);
}

#[tokio::test]
async fn a_secret_that_targets_are_signed_with_is_not_deleted() {
    let (host, receiver) = (builder().plugins(&[HTTP]).start().await, Receiver::start().await);
    let secret = "/v1/runtime/secrets/signing%2Forders";
    store(&host, "good").await;
    host.put_http(
        "orders",
        &json!({ "bearer_token": { "value": "t" }, "default_reply_targets": [target(&receiver, REFERENCE)] }),
    )
    .await
    .expect(201);
    assert_eq!(host.delete(secret).await.expect(409).text("/code"), "secret_in_use");
    assert_eq!(host.get(secret).await.expect(200).json["used_by"], json!(["http/orders"]));
    host.delete("/v1/runtime/connectors/http/orders").await.expect(200);

    host.make_session("s").await;
    let set = json!({ "reply_targets": [target(&receiver, REFERENCE)] });
    host.put("/v1/sessions/s/reply-targets", &set).await.expect(200);
    let refused = host.delete(secret).await.expect(409);
    assert!(refused.text("/detail").ends_with("(s)"), "{refused:?}");
    host.put("/v1/sessions/s/reply-targets", &json!({ "reply_targets": [] })).await.expect(200);
    host.delete(secret).await.expect(200);
}

#[tokio::test]
async fn a_reply_whose_secret_is_gone_waits_for_it_and_is_never_sent_unsigned() {
    let receiver = Receiver::start().await;
    let settings = super::QUICK.replace("max_attempts = 3", "max_attempts = 1000");
    let host = builder().settings(&settings).start().await;
    store(&host, "good").await;
    host.make_session("s").await;
    let run = super::submit(&host, "s", &[target(&receiver, REFERENCE)]).await;
    host.delete("/v1/runtime/secrets/signing%2Forders").await.expect(200);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["hello"]).await.expect(200);
    kheish_host_tests::wait::eventually("the delivery says what it waits for", async || {
        let list = host.get(&format!("/v1/deliveries?run_id={run}")).await.expect(200).json;
        (list[0]["last_error"]["code"] == "signing_secret_missing").then_some(())
    })
    .await;
    assert!(receiver.received().is_empty());
    store(&host, "better").await;
    host.deliveries_when(&run, 1, "delivered").await;
    is_signed(&receiver.received()[0], b"better");
}

#[tokio::test]
async fn a_payload_has_nothing_signed() {
    let receiver = Receiver::start().await;
    let http = Http::named("orders").bearer("t").set("allow_payload_reply_targets = true");
    let host = builder().plugins(&[HTTP]).connectors(http).start().await;
    store(&host, "good").await;
    let address = json!({ "url": "https://example.com/", "signing_secret_ref": REFERENCE }).to_string();
    let event = json!({
        "idempotency_key": "k", "binding_keys": ["b"], "content": "x",
        "reply_targets": [{ "plugin": "http", "address": address }],
    });
    let refused = host.sender("orders").bearer("t").post(&event).await.expect(400);
    assert!(String::from_utf8_lossy(&refused.body).contains("signing_secret_ref"), "{refused:?}");
    assert!(receiver.received().is_empty());
}
