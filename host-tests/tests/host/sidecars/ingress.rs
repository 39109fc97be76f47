//! Single events: every field, limit and status of the protocol.

use kheish_host_tests::{
    problem::INGRESS,
    raw,
    scrape::Scrape,
    sidecar::{self, Sidecar, TOKEN, event, event_with, send, sender},
};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{builder, start};

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
async fn an_event_becomes_a_run() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let whole = json!({
        "protocol_version": 2, "instance_id": "i-7", "event_id": "e-1", "fingerprint": "f", "occurred_at_ms": 1_700_000_000_123_i64,
        "actor_id": "alice", "source_kind": "message", "intent": "ask",
        "relation": { "kind": "reply", "target_event_id": "e-0" }, "thread": { "path": ["guild", "room"] },
        "routing_key": "kept", "content": "hello", "input_items": [], "attachments": [], "reply_route": "room",
        "metadata": { "a": 1 },
    });
    let answer = send(&host, "bridge", &whole).await.expect(200);
    assert_eq!(answer.header("kheish-receipt"), "accepted");
    let run_id = answer.text("/run_id").to_owned();
    let session = format!("external:bridge:{}", &digest(r#"["forge",["guild","room"]]"#)[..16]);
    let expected = json!({ "event_id": "e-1", "status": "accepted", "session_id": session, "run_id": run_id });
    assert_eq!(answer.json, expected);
    let run = host.run(&run_id).await;
    let request = &run["request"];
    assert_eq!(
        (&request["source_plugin"], &request["source_kind"], &request["actor_id"]),
        (&json!("external"), &json!("message"), &json!("alice")),
        "{run}"
    );
    let metadata = &run["input_metadata"];
    for (member, value) in [
        ("a", json!(1)),
        ("occurred_at_ms", json!(1_700_000_000_123_i64)),
        ("external_instance_id", json!("i-7")),
        ("external_event_id", json!("e-1")),
        ("connector_ingress_key", json!(format!("external:bridge:{}", &digest("e-1")[..32]))),
        ("external_event_key_sha256", json!(digest("e-1"))),
        ("external_protocol_version", json!(2)),
        ("external_intent", json!("ask")),
        ("external_routing_key", json!("kept")),
        ("external_relation", json!({ "kind": "reply", "target_event_id": "e-0" })),
    ] {
        assert_eq!(metadata[member], value, "{member} of {metadata}");
    }
    assert_eq!(sidecar.when(1).await[0].content(), "hello");
    let plain = json!({ "protocol_version": 1, "instance_id": "i", "event_id": "e-2", "routing_key": "alerts", "content": "b" });
    let answer = send(&host, "bridge", &plain).await.expect(200);
    let run = host.run(answer.text("/run_id")).await;
    assert_eq!(
        (&run["request"]["source_kind"], &run["request"]["actor_id"]),
        (&json!("forge"), &json!("external-user"))
    );
    assert_eq!(run["input_metadata"]["external_protocol_version"], 1);
    let session = format!("external:bridge:{}", &digest(r#"["routing_key","forge","alerts"]"#)[..16]);
    assert_eq!(answer.text("/session_id"), session);
}

#[tokio::test]
async fn what_comes_again_is_a_duplicate_whatever_the_sidecar_s_clock_says() {
    let sidecar = Sidecar::start().await;
    let mut host = start(&sidecar, "").await;
    let at = |ms: u64, instance: &str| event_with("e-1", &json!({ "occurred_at_ms": ms, "instance_id": instance }));
    let first = send(&host, "bridge", &at(1, "i-1")).await.expect(200);
    assert_eq!(first.text("/status"), "accepted");
    for start in 0..2 {
        let again = send(&host, "bridge", &at(2 + start, "i-2")).await.expect(200);
        assert_eq!((again.text("/status"), again.header("kheish-receipt")), ("duplicate", "duplicate"));
        for id in ["/run_id", "/session_id"] {
            assert_eq!(again.text(id), first.text(id), "start {start}");
        }
        host.restart().await;
    }
}

#[tokio::test]
async fn a_rejected_event_is_seen_by_everybody_who_looks() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let first = send(&host, "bridge", &event("e-1", "one thing")).await.expect(200);
    let other = send(&host, "bridge", &event("e-1", "another thing")).await.expect(200);
    assert_eq!((other.text("/status"), other.header("kheish-receipt")), ("rejected", "rejected"));
    assert!(other.text("/reason").contains("other content"), "{}", other.json);
    for id in ["/run_id", "/session_id", "/event_id"] {
        assert_eq!(other.text(id), first.text(id));
    }
    let nowhere = send(&host, "bridge", &event_with("e-2", &json!({ "thread": null }))).await.expect(200);
    assert_eq!((nowhere.text("/status"), nowhere.header("kheish-receipt")), ("rejected", "rejected"));
    assert!(
        nowhere.text("/reason").contains("thread.path") && nowhere.json.get("run_id").is_none(),
        "{}",
        nowhere.json
    );
    for (status, count) in [("accepted", 1.0), ("rejected", 2.0), ("duplicate", 0.0)] {
        let series = format!("ingress_total{{connector=\"bridge\",status=\"{status}\"}}");
        assert_eq!(sidecar::metric(&host, &series).await, count, "{series}");
    }
    let requests = "ingress_requests_total{connector_kind=\"external\",verdict=\"rejected\"}";
    assert_eq!(Scrape::of(&host).await.value(requests), 2.0);
}

#[tokio::test]
async fn what_the_protocol_does_not_allow_is_rejected_with_a_reason() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let text = |count: usize| json!(vec![json!({ "type": "text", "text": "a" }); count]);
    let file = |bytes: usize| {
        let data = base64(&vec![7_u8; bytes]);
        json!({ "type": "inline_asset", "file_name": "a.bin", "content_base64": data })
    };
    for (members, reason) in [
        (json!({ "protocol_version": 3 }), "unsupported protocol_version 3"),
        (json!({ "event_id": " " }), "event_id"),
        (json!({ "instance_id": "" }), "instance_id"),
        (json!({ "intent": "" }), "intent"),
        (json!({ "thread": null, "routing_key": " " }), "routing_key"),
        (json!({ "relation": { "kind": " ", "target_event_id": "e" } }), "relation.kind"),
        (json!({ "relation": { "kind": "k", "target_event_id": "" } }), "relation.target_event_id"),
        (json!({ "content": "" }), "says nothing"),
        (json!({ "content": "x".repeat(1024 * 1024 + 1) }), "sidecars.content_bytes"),
        (json!({ "content": "", "input_items": text(65) }), "sidecars.input_items"),
        (json!({ "input_items": text(1) }), "without `content`"),
        (json!({ "attachments": vec![file(1); 11] }), "sidecars.attachments"),
        (json!({ "attachments": [file(1024 * 1024 + 1)] }), "sidecars.inline_bytes"),
        (json!({ "attachments": [{ "type": "inline_asset", "file_name": "a", "content_base64": "!" }] }), "not base64"),
        (json!({ "attachments": [{ "type": "asset_reference", "asset_id": "none" }] }), "does not exist"),
        (json!({ "attachments": [{ "type": "board_reference", "board_id": "b" }] }), "no boards"),
        (json!({ "event_id": "x".repeat(4097) }), "sidecars.identity_bytes"),
        (json!({ "reply_route": "x".repeat(9000) }), "8192"),
    ] {
        let before = host.ledger().await;
        let answer = send(&host, "bridge", &event_with("e-1", &members)).await.expect(200);
        assert_eq!(answer.text("/status"), "rejected", "{reason}: {}", answer.json);
        assert!(answer.text("/reason").contains(reason), "{reason}: {}", answer.json);
        assert_eq!(host.ledger().await, before, "{reason}");
    }
    let most = json!({ "content": "x".repeat(1024 * 1024) });
    let answer = send(&host, "bridge", &event_with("e-2", &most)).await.expect(200);
    assert_eq!(answer.text("/status"), "accepted", "what is just small enough");
}

#[tokio::test]
async fn who_calls_is_settled_before_anything_is_parsed() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let to = |suffix: &str| sender(&host, "bridge").at(suffix);
    for path in ["/events", "/events/batch"] {
        host.refuses(401, "missing_token", to(path).post_bytes("{not json")).await;
        for (token, status) in [(String::new(), 401), (format!("authorization: Bearer {TOKEN}\r\n"), 413)] {
            // Nothing of the body is sent: the head is enough.
            let head = format!(
                "POST /v1/connectors/external/bridge{path} HTTP/1.1\r\nhost: kheish\r\n{token}content-length: {}\r\n\r\n",
                3 * 1024 * 1024
            );
            assert_eq!(raw::exchange(host.client(), head.as_bytes()).await.0, status, "{path}");
        }
        host.refuses(401, "invalid_token", to(path).bearer("wrong").post_bytes("{not json")).await;
        let lower = format!("bearer {TOKEN}");
        host.refuses(401, "malformed_token", to(path).header("authorization", &lower).post_bytes("{")).await;
        let known = to(path).bearer(TOKEN);
        host.refuses(400, "invalid_payload", known.post_bytes("{not json")).await;
        host.refuses(400, "invalid_payload", known.post(&json!({}))).await;
    }
    let elsewhere = sender(&host, "nobody").bearer(TOKEN).at("/events");
    host.refuses(404, "connector_not_found", elsewhere.post(&event("e", "x"))).await;
    for path in ["", "/other", "/events/"] {
        host.refuses(404, "route_not_found", to(path).bearer(TOKEN).post(&event("e", "x"))).await;
    }
    let get = host.client().request(Method::GET, "/v1/connectors/external/bridge/events");
    let answer = kheish_host_tests::client::answer(get).await;
    answer.problem(405, INGRESS, "method_not_allowed");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn a_connector_says_how_fast_and_where_to() {
    let sidecar = Sidecar::start().await;
    let slow = sidecar.connector("slow", "").replace("100000", "1");
    let strict = sidecar.connector("strict", "").replace("create_if_missing = true", "create_if_missing = false");
    let host = builder(&sidecar, "").connectors(format!("{slow}{strict}")).start().await;
    send(&host, "slow", &event("e-1", "x")).await.expect(200);
    let refused = send(&host, "slow", &event("e-2", "x")).await;
    let detail = refused.problem(429, INGRESS, "external_ingress_rate_limited");
    assert!(detail.contains("retry_after_ms=") && refused.header("retry-after") == "1", "{detail}");
    let again = send(&host, "slow", &event("e-1", "x")).await.expect(200);
    assert_eq!(again.text("/status"), "duplicate", "it costs nothing");
    assert_eq!(sidecar::metric(&host, "ingress_rate_limited_total{connector=\"slow\"}").await, 1.0);
    send(&host, "strict", &event("e-1", "x")).await.problem(409, INGRESS, "session_not_found");
}

#[tokio::test]
async fn first_answers_hold_when_events_go_elsewhere_later() {
    let sidecar = Sidecar::start().await;
    let host = builder(&sidecar, "").connectors("").start().await;
    let path = "/v1/runtime/connectors/external/moved";
    let fields = json!({
        "platform": "forge", "base_url": sidecar.base_url(), "allow_private_network": true,
        "shared_token": { "value": TOKEN }, "session_policy": { "create_if_missing": true },
    });
    host.put(path, &fields).await.expect(201);
    let first = send(&host, "moved", &event("e-1", "x")).await.expect(200);
    host.put(path, &json!({ "fixed_session_id": "one-for-all" })).await.expect(200);
    for (content, status) in [("x", "duplicate"), ("y", "rejected")] {
        let again = send(&host, "moved", &event("e-1", content)).await.expect(200);
        assert_eq!(again.text("/status"), status);
        assert_eq!(
            (again.text("/session_id"), again.text("/run_id")),
            (first.text("/session_id"), first.text("/run_id"))
        );
    }
    let nowhere = event_with("e-2", &json!({ "thread": null }));
    assert_eq!(send(&host, "moved", &nowhere).await.expect(200).text("/session_id"), "one-for-all");
}

#[tokio::test]
async fn siblings_stay_apart_unless_an_operator_binds_prefixes() {
    let sidecar = Sidecar::start().await;
    let merging = sidecar.connector("merging", "bind_path_prefixes = true");
    let plain = sidecar.connector("plain", "");
    let shared = sidecar.connector("shared", "additional_binding_keys = [\"all\"]");
    let host = builder(&sidecar, "").connectors(format!("{merging}{plain}{shared}")).start().await;
    for (name, sessions) in [("merging", 1), ("plain", 2), ("shared", 1)] {
        let mut seen = std::collections::BTreeSet::new();
        for (id, room) in [("e-1", "one"), ("e-2", "two"), ("e-3", "one")] {
            let sent = event_with(id, &json!({ "thread": { "path": ["guild", room] } }));
            seen.insert(send(&host, name, &sent).await.expect(200).text("/session_id").to_owned());
        }
        assert_eq!(seen.len(), sessions, "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn files_that_come_along_become_assets() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let attachments = json!([
        { "type": "inline_asset", "file_name": "a.txt", "media_type": "text/plain", "content_base64": base64(b"the file") },
    ]);
    let answer = send(&host, "bridge", &event_with("e-1", &json!({ "attachments": attachments }))).await.expect(200);
    let asset = digest("the file");
    let run = host.run(answer.text("/run_id")).await;
    assert!(run.to_string().contains(&asset), "{run}");
    let raw = host.get(&format!("/v1/assets/{asset}/raw")).await.expect(200);
    assert_eq!((&raw.body[..], raw.header("content-type")), (&b"the file"[..], "text/plain"));
    // It can be referred to from now on.
    let items = json!([{ "type": "text", "text": "see" }, { "type": "asset_reference", "asset_id": asset }]);
    let second = event_with("e-2", &json!({ "content": "", "input_items": items }));
    assert_eq!(send(&host, "bridge", &second).await.expect(200).text("/status"), "accepted");
}

#[tokio::test]
async fn an_open_connector_takes_events_of_anybody() {
    let sidecar = Sidecar::start().await;
    let token = format!("shared_token = \"{TOKEN}\"\n");
    let open = sidecar.connector("open", "").replace(&token, "allow_unauthenticated_ingress = true\n");
    let host = builder(&sidecar, "").connectors(open).start().await;
    let to = sender(&host, "open").at("/events");
    assert_eq!(to.post(&event("e-1", "x")).await.expect(200).text("/status"), "accepted");
    let reference = json!({ "attachments": [{ "type": "asset_reference", "asset_id": "a" }] });
    let answer = to.post(&event_with("e-2", &reference)).await.expect(200);
    assert!(answer.text("/reason").contains("shared_token"), "{}", answer.json);
}

#[tokio::test]
async fn the_daemon_can_send_a_test_event() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let test = host.post("/v1/runtime/connectors/external/bridge/test", &json!({ "text": "a try" })).await.expect(200);
    assert_eq!((&test.json["status"], test.text("/receipt")), (&Value::from(200), "accepted"), "{}", test.json);
    host.run_when(test.text("/run_id"), "completed").await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
