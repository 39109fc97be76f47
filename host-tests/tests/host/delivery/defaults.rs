//! Default targets of a session: what a run takes of them when it is made, and what an event leaves as defaults.

use kheish_host_tests::{
    connectors::{Http, outbox, outbox_target},
    host::{HTTP, Host, OUTBOX},
    sender::{Sender, event},
    sse::Stream,
};
use serde_json::{Value, json};

use super::{builder, submit};

fn url(name: &str) -> Value {
    json!({ "plugin": "http", "address": format!("https://example.com/{name}") })
}

async fn set(host: &Host, session: &str, targets: &[Value]) {
    host.put(&format!("/v1/sessions/{session}/reply-targets"), &json!({ "reply_targets": targets })).await.expect(200);
}

async fn defaults(host: &Host, session: &str) -> Value {
    host.get(&format!("/v1/sessions/{session}/reply-targets")).await.expect(200).json["reply_targets"].clone()
}

/// Ends the oldest run that waits.
async fn end_one(host: &Host) {
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &[]).await.expect(200);
}

/// A daemon whose connector `http/orders` lets events choose.
async fn choosing() -> (Host, Sender) {
    let orders = Http::named("orders").bearer("tok").set("allow_payload_reply_targets = true");
    let host = builder().plugins(&[HTTP]).connectors(orders).start().await;
    let sender = host.sender("orders").bearer("tok");
    (host, sender)
}

fn naming(key: &str, target: &str) -> Value {
    let mut payload = event(key, "room", "hello");
    payload["reply_targets"] = json!([url(target)]);
    payload
}

#[tokio::test]
async fn an_event_leaves_its_targets_to_a_session_that_is_idle() {
    let (host, sender) = choosing().await;
    let first = sender.post(&naming("k1", "a")).await.expect(200);
    let session = first.text("/session_id");
    assert_eq!(defaults(&host, session).await, json!([url("a")]), "a session that was just made is idle");
    sender.post(&naming("k2", "b")).await.expect(200);
    assert_eq!(defaults(&host, session).await, json!([url("a")]), "runs wait");
    end_one(&host).await;
    let worker = host.worker("w");
    let second = worker.take().await;
    sender.post(&naming("k3", "c")).await.expect(200);
    assert_eq!(defaults(&host, session).await, json!([url("a")]), "a run is at work");
    worker.finish(&second, &[]).await.expect(200);
    end_one(&host).await;
    sender.post(&naming("k1", "a")).await.expect(200);
    let fourth = sender.post(&naming("k4", "d")).await.expect(200);
    assert_eq!(defaults(&host, session).await, json!([url("d")]));
    let silent = sender.say("k5", "room", "hello").await.expect(200);
    assert_eq!(silent.json["reply_targets"], json!([url("d")]));
    end_one(&host).await;
    end_one(&host).await;
    for (key, target) in [("k1", "a"), ("k6", "d")] {
        sender.post(&naming(key, target)).await.expect(200);
        assert_eq!(defaults(&host, session).await, json!([url("d")]), "a duplicate and the same list change nothing");
    }
    let mut stream = Stream::open(host.client(), "/v1/events/stream?cursor=0").await;
    let told = stream.until(|frame| frame.name == "ingress" && frame.data["seq"] == 6).await;
    let told: Vec<&Value> =
        told.iter().filter(|frame| frame.name == "session_updated").map(|frame| &frame.data).collect();
    let runs: Vec<&Value> = told.iter().map(|data| &data["run_id"]).collect();
    assert_eq!(runs, [&first.json["run_id"], &fourth.json["run_id"]]);
    assert!(told.iter().all(|data| data["change"] == "reply_targets_written_back" && data["session_id"] == session));
}

#[tokio::test]
async fn only_targets_that_an_event_named_itself_are_left() {
    let routes = "additional_reply_targets = [{ plugin = \"http\", address = \"https://example.com/beside\" }]\n\
                  default_reply_targets = [{ plugin = \"http\", address = \"https://example.com/own\" }]";
    let host = builder().plugins(&[OUTBOX]).connectors(outbox("main", routes)).start().await;
    let sender = Sender::new(host.client(), "outbox", "main");
    for body in [json!({ "text": "x" }), json!({ "text": "x", "reply_route": { "answer": "ok" } })] {
        let run = sender.post(&body).await.expect(200);
        assert_ne!(run.json["reply_targets"], json!([]));
        end_one(&host).await;
        assert_eq!(defaults(&host, run.text("/session_id")).await, json!([]));
    }
    host.make_session("s").await;
    submit(&host, "s", &[url("a")]).await;
    assert_eq!(defaults(&host, "s").await, json!([]), "a submission through the API is no event");
}

#[tokio::test]
async fn a_change_reaches_later_runs_only() {
    let connectors = [outbox("before", ""), outbox("after", "")].concat();
    let host = builder().plugins(&[OUTBOX]).connectors(connectors).start().await;
    let (before, after) =
        (outbox_target("before", &json!({ "answer": "ok" })), outbox_target("after", &json!({ "answer": "ok" })));
    host.make_session("s").await;
    set(&host, "s", &[before]).await;
    submit(&host, "s", &[]).await;
    submit(&host, "s", &[]).await;
    let worker = host.worker("w");
    let active = worker.take().await;
    set(&host, "s", &[after]).await;
    submit(&host, "s", &[]).await;
    worker.finish(&active, &["active"]).await.expect(200);
    for text in ["queued", "later"] {
        let run = worker.take().await;
        worker.finish(&run, &[text]).await.expect(200);
    }
    for (connector, text) in [("before", "active"), ("before", "queued"), ("after", "later")] {
        host.logs(&format!("{connector} sends {text:?}")).await;
    }
    assert!(!host.log().contains("after sends \"queued\""));
}

#[tokio::test]
async fn a_target_may_be_written_in_either_form() {
    let table = "default_reply_targets = [{ type = \"outbox\", connector = \"main\", answer = \"ok\" }]";
    let connectors = [outbox("main", ""), outbox("desk", table)].concat();
    let host = builder().plugins(&[OUTBOX]).connectors(connectors).start().await;
    host.make_session("s").await;
    let stored = json!({ "plugin": "outbox", "address": r#"{"answer":"ok","connector":"main"}"# });
    let written = [
        json!({ "type": "http", "url": "https://example.com/a" }),
        url("a"),
        json!({ "type": "outbox", "connector": "main", "answer": "ok" }),
        outbox_target("main", &json!({ "answer": "ok" })),
        json!({ "type": "raw", "plugin": "http", "address": "https://example.com/a" }),
    ];
    let both = json!([url("a"), stored]);
    set(&host, "s", &written).await;
    assert_eq!(defaults(&host, "s").await, both);
    let run = host.submit("s", &json!({ "content": "x", "reply_targets": written })).await.expect(202);
    assert_eq!(run.json["reply_targets"], both);
    let run = Sender::new(host.client(), "outbox", "desk").post(&json!({ "text": "x" })).await.expect(200);
    assert_eq!(run.json["reply_targets"], json!([stored]));
    let wrong = json!([{ "type": "outbx", "connector": "main" }, url("a"), { "type": "http", "url": "ftp://x/" }]);
    let refused = host.put("/v1/sessions/s/reply-targets", &json!({ "reply_targets": wrong })).await;
    refused.problem(400, "sessions", "reply_target_invalid");
    assert_eq!(
        (refused.text("/errors/0/pointer"), refused.text("/errors/1/pointer")),
        ("/reply_targets/0", "/reply_targets/2")
    );
    assert_eq!(defaults(&host, "s").await, both);
}
