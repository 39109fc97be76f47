//! What arrives at a target.

use kheish_host_tests::{connectors::Http, host::Host, receiver::Receiver};
use serde_json::json;

use super::{builder, say, submit};

#[tokio::test]
async fn a_reply_says_whose_it_is_and_carries_its_key() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    let run = say(&host, "s", &[receiver.target_json("/in")], &["hello"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    let got = receiver.received();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].method.as_str(), got[0].path.as_str()), ("POST", "/in"));
    let id = delivery["delivery_id"].as_str().unwrap_or_default();
    assert!(id.starts_with("delivery_"), "{delivery}");
    assert_eq!(got[0].key(), format!("kheish:{id}"));
    assert_eq!(
        got[0].headers.get("content-type").map(hyper::header::HeaderValue::as_bytes),
        Some(&b"application/json"[..])
    );
    let body = &got[0].body;
    assert_eq!((&body["delivery_id"], &body["run_id"], &body["session_id"]), (&json!(id), &json!(run), &json!("s")));
    assert_eq!((&body["content"], &body["parts"]), (&json!("hello"), &json!([{ "type": "text", "text": "hello" }])));
    assert!(body["artifacts"].is_array() && body["metadata"].is_object(), "{body}");
    assert_eq!((&delivery["attempts"], &delivery["plugin"]), (&json!(1), &json!("http")));
    assert!(delivery["delivered_at_ms"].as_i64().is_some() && delivery.get("last_error").is_none(), "{delivery}");
}

#[tokio::test]
async fn a_target_may_ask_for_headers_of_its_own() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    let mut address = receiver.address("/in");
    address["headers"] = json!({ "x-team": "seven" });
    let run = say(&host, "s", &[json!({ "plugin": "http", "address": address.to_string() })], &["hello"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(
        receiver.received()[0].headers.get("x-team").map(hyper::header::HeaderValue::as_bytes),
        Some(&b"seven"[..])
    );
}

#[tokio::test]
async fn every_target_gets_every_output() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    let targets = ["/a", "/b", "/c"].map(|path| receiver.target_json(path));
    let run = say(&host, "s", &targets, &["one", "two"]).await;
    let deliveries = host.deliveries_when(&run, 6, "delivered").await;
    for path in ["/a", "/b", "/c"] {
        let said: Vec<String> = receiver.received_at(path).iter().map(|request| request.content().to_owned()).collect();
        assert_eq!(said, ["one", "two"], "{path}");
    }
    let keys: std::collections::BTreeSet<String> =
        receiver.received().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!((keys.len(), deliveries.len()), (6, 6));
}

#[tokio::test]
async fn without_targets_or_outputs_nothing_is_sent() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    say(&host, "silent", &[receiver.target_json("/in")], &[]).await;
    say(&host, "nowhere", &[], &["unheard"]).await;
    let ledger = host.ledger().await;
    assert_eq!(ledger["runs"]["completed"], 2);
    let counts = ledger["deliveries"].as_object().cloned().unwrap_or_default();
    assert!(!counts.is_empty() && counts.values().all(|count| *count == 0), "{ledger}");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn what_a_failed_attempt_said_is_not_delivered() {
    let (host, receiver) = (builder().start().await, Receiver::start().await);
    let target = [receiver.target_json("/in")];
    host.make_session("s").await;
    let (given_back, failed) = (submit(&host, "s", &target).await, submit(&host, "s", &target).await);
    let worker = host.worker("w");
    let first = worker.take().await;
    worker.outputs(&first, &["of a lost attempt"]).await.expect(200);
    worker.fail(&first, "again", true).await.expect(200);
    let second = worker.take().await;
    assert_eq!(second.run, given_back);
    worker.finish(&second, &["of the good attempt"]).await.expect(200);
    let third = worker.take().await;
    worker.outputs(&third, &["of a failed run"]).await.expect(200);
    worker.fail(&third, "broken", false).await.expect(200);
    assert_eq!(host.run(&failed).await["deliveries"], json!([]));
    // The lane is in order: when this has arrived, whatever came before it would have.
    let last = say(&host, "t", &target, &["the last"]).await;
    host.deliveries_when(&last, 1, "delivered").await;
    let said: Vec<String> = receiver.received().iter().map(|request| request.content().to_owned()).collect();
    assert_eq!(said, ["of the good attempt", "the last"]);
}

#[tokio::test]
async fn an_event_is_answered_to_the_connectors_own_target() {
    let receiver = Receiver::start().await;
    let connector = Http::named("orders").bearer("tok").reply_to(&[receiver.target("/in")]);
    let host = Host::builder().executor("echo").connectors(connector).start().await;
    let answer = host.sender("orders").bearer("tok").say("k1", "room", "hello").await.expect(200);
    host.deliveries_when(answer.text("/run_id"), 1, "delivered").await;
    assert_eq!(receiver.received()[0].content(), "hello");
    assert_eq!(receiver.received()[0].body["session_id"], answer.json["session_id"]);
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let receiver = Receiver::start().await;
    let nobody = "http://127.0.0.1:9";
    let host = builder().env("HTTP_PROXY", nobody).env("http_proxy", nobody).env("ALL_PROXY", nobody).start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["hello"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(receiver.received().len(), 1);
}
