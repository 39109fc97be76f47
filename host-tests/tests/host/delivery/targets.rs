//! Targets that name connectors, at each place where targets are set: what is wrong is said at once.

use kheish_host_tests::{
    connectors::{Http, misbehaving, outbox, outbox_table, outbox_target},
    host::{HTTP, Host, HostBuilder, MISBEHAVING, OUTBOX},
    problem::INGRESS,
    sender::{Sender, event},
};
use serde_json::{Value, json};

use super::builder;

const ALLOW: &str = "allow_payload_reply_targets = true";

fn strict() -> HostBuilder {
    let connectors = [
        Http::named("orders").bearer("tok").set(ALLOW).to_string(),
        outbox("main", "lane = \"quiet\""),
        outbox("trusted", ALLOW),
        misbehaving("well"),
    ];
    builder().plugins(&[HTTP, MISBEHAVING, OUTBOX]).connectors(connectors.concat())
}

fn target(plugin: &str, address: &str) -> Value {
    json!({ "plugin": plugin, "address": address })
}

/// Targets that are wrong whatever a plugin thinks of them, and what the sentence about each says.
fn nowhere() -> Vec<(Value, &'static str)> {
    vec![
        (target("outbx", "{}"), "did you mean `outbox`?"),
        (target("htp", "https://example.com/"), "did you mean `http`?"),
        (target("nothing_like_it", "{}"), "no plugin named `nothing_like_it` delivers"),
        (target("outbox", "main"), "JSON text: {\"connector\""),
        (target("outbox", r#"{"answer":"ok"}"#), "JSON text: {\"connector\""),
        (target("outbox", r#"{"connector":7,"answer":"ok"}"#), "JSON text: {\"connector\""),
        (outbox_target("mian", &json!({ "answer": "ok" })), "no connector `outbox/mian` (did you mean `outbox/main`?)"),
        (outbox_target("main", &json!({ "answer": "x".repeat(9_000) })), "the limit is 8192"),
        (target("http", r#"{"connector":"orders"}"#), "its connectors take events and deliver nothing"),
    ]
}

/// Targets that the plugin which they name is the judge of, and what the sentence about each says.
fn refused_there() -> Vec<(Value, &'static str)> {
    vec![
        (
            outbox_target("main", &json!({})),
            "connector `outbox/main` refuses the route: The route cannot be read: missing field `answer`",
        ),
        (outbox_target("main", &json!({ "answer": "maybe" })), "unknown variant `maybe`"),
        (
            outbox_target("main", &json!({ "answer": "ok", "lane": "LOUD" })),
            "lane `loud` is not `quiet`: name that one.",
        ),
        (
            target("misbehaving", r#"{"connector":"well"}"#),
            "connectors of kind `misbehaving` take events and deliver nothing",
        ),
    ]
}

fn wrong() -> impl Iterator<Item = (Value, &'static str)> {
    nowhere().into_iter().chain(refused_there())
}

#[tokio::test]
async fn in_a_submission() {
    let host = strict().start().await;
    host.make_session("s").await;
    let before = host.ledger().await;
    for (target, says) in wrong() {
        let answer = host.submit("s", &json!({ "content": "x", "reply_targets": [target] })).await;
        let detail = answer.problem(400, "runs", "reply_target_invalid");
        assert!(detail.contains(says), "{detail}");
    }
    let all: Vec<Value> = wrong().map(|(target, _)| target).collect();
    let answer = host.submit("s", &json!({ "content": "x", "reply_targets": all })).await;
    answer.problem(400, "runs", "reply_target_invalid");
    assert_eq!(answer.json["errors"].as_array().map(Vec::len), Some(all.len()), "all of them at once");
    let trapping = outbox_target("main", &json!({ "answer": "trap" }));
    let answer = host.submit("s", &json!({ "content": "x", "reply_targets": [trapping] })).await;
    answer.problem(502, "runs", "connector_failed");
    assert_eq!(host.ledger().await, before);
    // The same submission again is the same, though the target is stored in another form.
    let again = || async {
        let target = outbox_target("main", &json!({ "lane": "Quiet", "answer": "ok" }));
        host.submit("s", &json!({ "content": "x", "reply_targets": [target], "idempotency_key": "k" }))
            .await
            .expect(202)
    };
    let (first, second) = (again().await, again().await);
    assert_eq!(first.text("/run_id"), second.text("/run_id"));
    assert_eq!(first.text("/reply_targets/0/address"), r#"{"answer":"ok","connector":"main","lane":"quiet"}"#);
}

#[tokio::test]
async fn in_a_payload() {
    let host = strict().start().await;
    let sender = host.sender("orders").bearer("tok");
    for (number, (target, says)) in wrong().enumerate() {
        let mut payload = event(&format!("k{number}"), "room", "hello");
        payload["reply_targets"] = json!([target]);
        let answer = host.refuses(400, "reply_target_invalid", sender.post(&payload)).await;
        assert!(answer.text("/detail").contains(says), "{}", answer.text("/detail"));
    }
    let mut payload = event("k", "room", "hello");
    payload["reply_targets"] = json!([outbox_target("main", &json!({ "answer": "trap" }))]);
    host.refuses(502, "connector_failed", sender.post(&payload)).await;
    payload["reply_targets"] = json!([outbox_target("main", &json!({ "answer": "ok", "lane": "Quiet" }))]);
    let taken = sender.post(&payload).await.expect(200);
    assert_eq!(taken.text("/reply_targets/0/address"), r#"{"answer":"ok","connector":"main","lane":"quiet"}"#);
}

#[tokio::test]
async fn a_plugin_may_not_let_callers_choose_connectors_where_the_operator_did_not() {
    let host = strict().start().await;
    let body = json!({ "text": "x", "reply_targets": [outbox_target("trusted", &json!({ "answer": "ok" }))] });
    host.refuses(502, "connector_failed", Sender::new(host.client(), "outbox", "main").post(&body)).await;
    Sender::new(host.client(), "outbox", "trusted").post(&body).await.expect(200);
}

#[tokio::test]
async fn a_route_of_an_event_that_is_none_is_the_plugins_fault() {
    let host = strict().start().await;
    let sender = Sender::new(host.client(), "outbox", "main");
    for route in [json!("text"), json!([1]), json!({ "connector": "trusted", "answer": "ok" })] {
        let answer = sender.post(&json!({ "text": "x", "reply_route": route })).await;
        answer.problem(502, INGRESS, "connector_failed");
    }
    host.logs("gave a wrong reply route").await;
}

/// How a daemon ends whose connector `http/orders` has these targets.
async fn refused(targets: &[Value]) -> String {
    let table = |target: &Value| {
        let address = target["address"].as_str().unwrap_or_default();
        format!("{{ plugin = {}, address = '{address}' }}", target["plugin"])
    };
    let tables: Vec<String> = targets.iter().map(table).collect();
    let orders = Http::named("orders").bearer("tok").reply_to(&tables).to_string();
    let connectors = [orders, outbox("main", "lane = \"quiet\""), misbehaving("well")];
    let host = Host::builder().plugins(&[HTTP, MISBEHAVING, OUTBOX]).connectors(connectors.concat());
    let ended = host.run_to_end().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    ended.stderr
}

#[tokio::test]
async fn in_the_connectors_file() {
    for wrong in [nowhere(), refused_there()] {
        let targets: Vec<Value> = wrong.iter().map(|(target, _)| target.clone()).collect();
        let stderr = refused(&targets).await;
        for (_, says) in wrong {
            assert!(stderr.contains(says), "no `{says}` in:\n{stderr}");
        }
        let field = "connectors.toml:4: http/orders: `default_reply_targets`: ";
        assert!(stderr.contains(field), "{stderr}");
    }
    let stderr = refused(&[outbox_target("main", &json!({ "answer": "trap" }))]).await;
    assert!(stderr.contains("connector `outbox/main` failed to check the route"), "{stderr}");
}

#[tokio::test]
async fn in_the_connectors_file_of_one_kind() {
    let to = |name: &str| format!("default_reply_targets = [{}]", outbox_table(name, &json!({ "answer": "ok" })));
    let connectors = format!("{}{}", outbox("a", &to("b")), outbox("b", &to("c")));
    let ended = Host::builder().plugins(&[OUTBOX]).connectors(connectors).run_to_end().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("outbox/b") && ended.stderr.contains("no connector `outbox/c`"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_url_is_as_long_as_the_settings_allow() {
    let settings = "[delivery.http]\naddress_bytes = 100\n";
    let connector = Http::named("orders").bearer("tok").set(ALLOW);
    let mut host = builder().plugins(&[HTTP]).settings(settings).connectors(connector).start().await;
    host.make_session("s").await;
    let url = |length: usize| format!("https://example.com/{}", "x".repeat(length - 20));
    let (fits, long) = (target("http", &url(100)), target("http", &url(101)));
    let said = "the address has 101 bytes, the limit is 100 (delivery.http.address_bytes)";
    let submitted = host.submit("s", &json!({ "content": "x", "reply_targets": [long] })).await;
    assert_eq!(submitted.problem(400, "runs", "reply_target_invalid"), said);
    let defaults = json!({ "reply_targets": [fits, long] });
    let set = host.put("/v1/sessions/s/reply-targets", &defaults).await;
    assert_eq!(set.problem(400, "sessions", "reply_target_invalid"), said);
    assert_eq!(set.text("/errors/0/pointer"), "/reply_targets/1");
    let body = json!({ "session_id": "s", "plugin": "http", "target": url(101), "content": "x" });
    assert_eq!(host.post("/v1/deliveries", &body).await.problem(400, "deliveries", "reply_target_invalid"), said);
    let made =
        host.put_http("made", &json!({ "bearer_token": { "value": "tok" }, "default_reply_targets": [long] })).await;
    assert_eq!((made.status, made.text("/errors/0/detail")), (400, said));
    let mut payload = event("k", "room", "hello");
    payload["reply_targets"] = json!([long]);
    let sender = host.sender("orders").bearer("tok");
    let named = host.refuses(400, "reply_target_invalid", sender.post(&payload)).await;
    assert_eq!(named.text("/detail"), said);
    payload["reply_targets"] = json!([fits]);
    sender.post(&payload).await.expect(200);
    host.put("/v1/sessions/s/reply-targets", &json!({ "reply_targets": [fits] })).await.expect(200);
    let table = format!("{{ plugin = \"http\", address = \"{}\" }}", url(101));
    host.reconfigure(Http::named("orders").bearer("tok").set(format!("default_reply_targets = [{table}]")));
    host.kill();
    let ended = host.twin().await;
    assert!(ended.code == Some(2) && ended.stderr.contains(said), "{ended:?}");
}
