//! Deliveries: what a sidecar gets, and what each of its answers means.

use kheish_host_tests::{
    host::Host,
    receiver::{Gate, Receiver, Reply},
    sidecar::{self, Sidecar, TOKEN, event, health_when, manifest, send, verdict},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{builder, start};

/// Sends an event, whose run says the same. Gives the run.
async fn say(host: &Host, id: &str) -> String {
    send(host, "bridge", &event(id, id)).await.expect(200).text("/run_id").to_owned()
}

/// The only delivery of a run, once it is like this.
async fn delivery(host: &Host, run: &str, status: &str) -> Value {
    let id = host.deliveries_when(run, 1, status).await[0]["delivery_id"].as_str().unwrap().to_owned();
    host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json
}

#[tokio::test]
async fn a_sidecar_gets_what_the_protocol_says() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let run = say(&host, "hello").await;
    let delivered = delivery(&host, &run, "delivered").await;
    let request = sidecar.when(1).await.remove(0);
    let id = delivered["delivery_id"].as_str().unwrap();
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("idempotency-key", format!("kheish:{id}")),
        ("x-kheish-external-protocol-version", "1".to_owned()),
        ("content-type", "application/json".to_owned()),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let session = delivered["session_id"].as_str().unwrap();
    let expected = json!({
        "protocol_version": 1, "delivery_id": id, "attempt": 1, "reply_route": "room",
        "conversation": { "session_id": session, "thread_id": session }, "content": "hello",
        "parts": [{ "type": "text", "text": "hello" }], "artifacts": [],
        "metadata": { "delivery_id": id, "delivery_attempt": 1, "run_id": run },
    });
    assert_eq!(request.body, expected);
    assert_eq!(sidecar::metric(&host, "delivery_total{connector=\"bridge\",status=\"committed\"}").await, 1.0);
}

#[tokio::test]
async fn what_may_succeed_is_sent_again_under_the_same_key() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let long = format!("{{\"status\":\"committed\",\"detail\":\"{}\"}}", "x".repeat(65 * 1024));
    let body = |status, text: &str| Reply::Body(status, "application/json", text.to_owned());
    for (id, first) in [
        ("committed-500", verdict(500, "committed")),
        ("committed-404", verdict(404, "committed")),
        ("retryable-200", verdict(200, "retryable_error")),
        ("retryable-400", verdict(400, "retryable_error")),
        ("retryable-500", verdict(500, "retryable_error")),
        ("plain-500", Reply::Status(500)),
        ("plain-503", Reply::Status(503)),
        ("plain-302", Reply::With(302, "location", "http://127.0.0.1:9/".to_owned())),
        ("plain-408", Reply::Status(408)),
        ("empty-200", Reply::Status(200)),
        ("odd-200", body(200, "[]")),
        ("odd-word", body(200, "{\"status\":\"done\"}")),
        ("long-200", body(200, &long)),
        ("hang-up", Reply::HangUp),
        ("slow", Reply::Hold(Gate::default())),
        ("limited", Reply::With(429, "retry-after", "0".to_owned())),
    ] {
        let before = sidecar.deliveries().len();
        sidecar.delivers(move |request| {
            if request.body["attempt"] == 1 && request.content() == id && request.index > 0 {
                first.clone()
            } else {
                verdict(200, "committed")
            }
        });
        let run = say(&host, id).await;
        if id == "limited" {
            // A wait that was asked for costs no attempt, so the second try is the first again.
            sidecar.when(before + 1).await;
            sidecar.delivers(|_| verdict(200, "committed"));
        }
        delivery(&host, &run, "delivered").await;
        let sent: Vec<_> = sidecar.deliveries().into_iter().skip(before).collect();
        assert!(sent.len() >= 2, "{id}: sent {} times", sent.len());
        let last = sent.last().unwrap();
        assert_eq!(last.body["attempt"], if id == "limited" { 1 } else { 2 }, "{id}");
        assert!(sent.iter().all(|request| request.key() == sent[0].key()), "{id}");
    }
}

#[tokio::test]
async fn what_will_not_succeed_is_a_dead_letter_at_once() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    for (id, answer, code) in [
        ("terminal-200", verdict(200, "terminal_error"), "terminal_error"),
        ("terminal-500", verdict(500, "terminal_error"), "terminal_error"),
        ("plain-400", Reply::Status(400), "status"),
        ("plain-404", Reply::Status(404), "status"),
        ("odd-422", Reply::Body(422, "text/plain", "no".to_owned()), "status"),
    ] {
        let before = sidecar.deliveries().len();
        sidecar.delivers(move |_| answer.clone());
        let run = say(&host, id).await;
        let dead = delivery(&host, &run, "dead_lettered").await;
        assert!(dead.to_string().contains(&format!("\"{code}\"")), "{id}: {dead}");
        assert_eq!(sidecar.deliveries().len(), before + 1, "{id}");
    }
    let terminal = sidecar::metric(&host, "delivery_total{connector=\"bridge\",status=\"terminal\"}").await;
    assert_eq!(terminal, 5.0);
}

#[tokio::test]
async fn what_nobody_knows_goes_the_operator_s_way() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "unknown_deliveries = \"pass\"").await;
    sidecar.delivers(|_| Reply::HangUp);
    let run = say(&host, "once").await;
    delivery(&host, &run, "unknown").await;
    assert_eq!(sidecar.deliveries().len(), 1, "sent once and not again");
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    let (sidecar, elsewhere) = (Sidecar::start().await, Receiver::start().await);
    let host = start(&sidecar, "").await;
    let location = elsewhere.url("/deliver");
    sidecar.delivers(move |_| Reply::With(307, "location", location.clone()));
    let run = say(&host, "moved").await;
    delivery(&host, &run, "dead_lettered").await;
    assert_eq!((sidecar.deliveries().len(), elsewhere.count()), (4, 0));
}

#[tokio::test]
async fn a_sidecar_that_does_not_know_the_daemon_pauses_its_connector() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    sidecar.delivers(|_| Reply::Status(401));
    let run = say(&host, "locked-out").await;
    eventually("the connector is paused", async || {
        let view = host.get("/v1/runtime/connectors/external/bridge").await.expect(200).json;
        (view["status"]["paused"]["code"] == "unauthorized").then_some(())
    })
    .await;
    sidecar.delivers(|_| verdict(200, "committed"));
    let delivered = delivery(&host, &run, "delivered").await;
    assert_eq!(delivered["attempts"], 1, "{delivered}");
}

#[tokio::test]
async fn a_target_names_the_connector_and_a_route() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    host.make_session("room").await;
    let target = |address: Value| json!({ "content": "x", "reply_targets": [{ "plugin": "external", "address": address.to_string() }] });
    let good = target(json!({ "connector": "bridge", "route": "anywhere" }));
    host.submit("room", &good).await.expect(202);
    let structured = json!({ "content": "x", "reply_targets": [{ "type": "external", "connector": "bridge", "route": "anywhere" }] });
    host.submit("room", &structured).await.expect(202);
    let sent = sidecar.when(2).await;
    assert!(sent.iter().all(|request| request.body["reply_route"] == "anywhere"));
    for bad in [
        json!({ "connector": "bridge" }),
        json!({ "connector": "bridge", "route": " " }),
        json!({ "connector": "bridge", "route": 7 }),
    ] {
        host.submit("room", &target(bad)).await.problem(400, "runs", "reply_target_invalid");
    }
    host.submit("room", &target(json!({ "connector": "none", "route": "r" }))).await.problem(
        400,
        "runs",
        "reply_target_invalid",
    );
}

#[tokio::test]
async fn files_go_out_only_where_they_can_be_fetched() {
    let sidecar = Sidecar::start().await;
    sidecar.is(manifest(&json!({ "attachments_out": false })));
    let open = sidecar::connector("open", &sidecar.base_url(), "");
    let open = open.replace(&format!("shared_token = \"{TOKEN}\"\n"), "allow_unauthenticated_ingress = true\n");
    let both = format!("{}{open}", sidecar.connector("bridge", ""));
    let host = builder(&sidecar, "").executor("claim").connectors(both).start().await;
    health_when(&host, "bridge", "ready").await;
    for (name, code) in [("bridge", "attachments_refused"), ("open", "shared_token_missing")] {
        let run = super::files::answer_with_file(&host, name).await.0;
        let dead = delivery(&host, &run, "dead_lettered").await;
        assert!(dead.to_string().contains(code), "{dead}");
    }
    assert!(sidecar.deliveries().is_empty());
}
