//! What a caller gets back: the run, with the host's own metadata in it.

use kheish_host_tests::sign::sha256_hex;
use serde_json::json;

use super::orders;

#[tokio::test]
async fn the_answer_is_the_run() {
    let own = "default_reply_targets = [{ plugin = \"http\", address = \"https://example.com/own\" }]";
    let (host, sender) = orders(|http| http.set(own)).await;
    let payload = json!({
        "idempotency_key": "order-1", "session_id": "desk", "actor_id": "shop", "content": "Order 1 has arrived.",
        "metadata": { "priority": 3 },
    });
    let answer = sender.post(&payload).await.expect(200);
    assert!(answer.header("content-type").starts_with("application/json"));
    let run = &answer.json;
    assert!(run["run_id"].as_str().is_some_and(|id| id.len() == 36 && id.starts_with("run_")), "{run}");
    assert_eq!(run["session_id"], "desk");
    assert_eq!(run["status"], "queued");
    assert_eq!((&run["seq"], &run["attempt"], &run["queued_position"]), (&json!(1), &json!(0), &json!(0)));
    assert!(run["submitted_at_ms"].as_i64().is_some_and(|at| at > 1_600_000_000_000), "{run}");
    assert_eq!(run["updated_at_ms"], run["submitted_at_ms"]);
    assert!(run.get("started_at_ms").is_none() && run.get("finished_at_ms").is_none() && run.get("error").is_none());
    let request = json!({
        "source_plugin": "http", "source_kind": "orders", "actor_id": "shop", "text_preview": "Order 1 has arrived.",
    });
    assert_eq!(run["request"], request);
    assert_eq!(run["input"], json!([{ "type": "text", "text": "Order 1 has arrived." }]));
    assert_eq!(run["input_metadata"]["priority"], 3);
    assert_eq!(run["reply_targets"], json!([{ "plugin": "http", "address": "https://example.com/own" }]));
    assert_eq!((&run["outputs"], &run["deliveries"]), (&json!([]), &json!([])));
    assert_eq!(&host.run(answer.text("/run_id")).await, run);
}

#[tokio::test]
async fn the_host_adds_four_keys() {
    let (_host, sender) = orders(|http| http).await;
    let answer = sender.say("order-1", "room", "a").await.expect(200);
    let metadata = &answer.json["input_metadata"];
    let digest = sha256_hex("order-1");
    let ingress_key = format!("http:orders:{}", &digest[..32]);
    assert_eq!(metadata["connector_ingress_key"], ingress_key);
    assert_eq!(metadata["http_ingress_key"], ingress_key);
    assert_eq!(metadata["http_ingress_key_sha256"], digest);
    let fingerprint = metadata["http_ingress_fingerprint"].as_str().unwrap_or_default();
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(lower_hex), "{metadata}");
    let other = sender.say("order-2", "room", "b").await.expect(200);
    assert_ne!(other.text("/input_metadata/http_ingress_fingerprint"), fingerprint);
}

#[tokio::test]
async fn the_actor_is_the_payloads_or_the_connectors_or_a_general_one() {
    let (_host, sender) = orders(|http| http.set("actor_id = \"shop\"")).await;
    assert_eq!(sender.say("k1", "room", "a").await.expect(200).text("/request/actor_id"), "shop");
    let own = json!({ "idempotency_key": "k2", "binding_keys": ["room"], "content": "a", "actor_id": "me" });
    assert_eq!(sender.post(&own).await.expect(200).text("/request/actor_id"), "me");
    let (_host, sender) = orders(|http| http).await;
    assert_eq!(sender.say("k1", "room", "a").await.expect(200).text("/request/actor_id"), "http-webhook");
}

#[tokio::test]
async fn runs_that_wait_know_their_place() {
    let (host, sender) = orders(|http| http).await;
    let mut last = String::new();
    for place in 0..4 {
        let answer = sender.say(&format!("k{place}"), "room", "a").await.expect(200);
        assert_eq!((&answer.json["queued_position"], &answer.json["seq"]), (&json!(place), &json!(place + 1)));
        last = answer.text("/run_id").to_owned();
    }
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &[]).await.expect(200);
    assert_eq!(host.run(&last).await["queued_position"], 2);
}

#[tokio::test]
async fn a_long_text_is_shown_by_its_beginning() {
    let (_host, sender) = orders(|http| http).await;
    let text = "ä".repeat(5_000);
    let answer = sender.say("k1", "room", &text).await.expect(200);
    let preview = answer.text("/request/text_preview");
    assert!(text.starts_with(preview) && preview.chars().count() == 160, "{preview}");
    assert_eq!(answer.text("/input/0/text"), text);
}
