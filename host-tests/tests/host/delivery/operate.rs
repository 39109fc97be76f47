//! What operators do about deliveries: dead letters are shown, replayed, resolved and purged, unknown parts are decided.

use kheish_host_tests::{
    client::Answer,
    connectors::{outbox, outbox_target},
    host::{Host, OUTBOX},
    receiver::{Receiver, Reply},
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{builder, say};

/// A daemon with one dead letter for each of these texts, and the receiver that refused them and takes everything now.
async fn with_dead(texts: &[&str]) -> (Host, Receiver, Vec<String>) {
    let receiver = Receiver::scripted(|_| Reply::Status(404)).await;
    let host = builder().start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], texts).await;
    let dead = host.deliveries_when(&run, texts.len(), "dead_lettered").await;
    receiver.follow(|_| Reply::Status(200));
    let ids = dead.iter().map(|one| one["delivery_id"].as_str().unwrap_or_default().to_owned());
    (host, receiver, ids.collect())
}

async fn act(host: &Host, id: &str, verb: &str, body: &Value) -> Answer {
    host.post(&format!("/v1/deliveries/{id}/{verb}"), body).await
}

async fn get(host: &Host, id: &str) -> Value {
    host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json
}

async fn when(host: &Host, id: &str, status: &str) -> Value {
    eventually(&format!("{id} is {status}"), async || {
        let delivery = get(host, id).await;
        (delivery["status"] == status).then_some(delivery)
    })
    .await
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.items().iter().filter_map(|one| one["delivery_id"].as_str()).collect()
}

#[tokio::test]
async fn a_dead_letter_says_what_it_held_and_why_it_died() {
    let (host, _, dead) = with_dead(&["one"]).await;
    let shown = get(&host, &dead[0]).await;
    assert_eq!(
        (&shown["content"], &shown["content_size_bytes"], &shown["parts_count"]),
        (&json!("one"), &json!(3), &json!(1))
    );
    assert_eq!((&shown["parts"][0]["kind"], &shown["parts"][0]["status"]), (&json!("text"), &json!("dead_lettered")));
    assert_eq!(
        (&shown["terminal_error"]["code"], &shown["failed_attempts"][0]["outcome"]),
        (&json!("status"), &json!("dead"))
    );
    let digest = shown["target"].as_str().unwrap_or_default();
    assert!(digest.starts_with("http:address_sha256:") && digest.len() == 36, "{digest}");
    let listed = host.get("/v1/deliveries/dead-letter?session_id=s&plugin=http").await.expect(200);
    assert_eq!(ids(&listed), [&dead[0]]);
    assert!(listed.json[0].get("content").is_none(), "{}", listed.json);
    for none in ["dead-letter?plugin=outbox", "dead-letter?status=delivered"] {
        assert!(host.get(&format!("/v1/deliveries/{none}")).await.expect(200).items().is_empty(), "{none}");
    }
    assert!(host.get("/v1/deliveries?status=delivered").await.expect(200).items().is_empty());
    assert_eq!(ids(&host.get("/v1/deliveries?status=dead_lettered").await), [&dead[0]]);
}

#[tokio::test]
async fn a_replay_has_the_same_key_and_is_made_once_unless_forced() {
    let (host, receiver, dead) = with_dead(&["one"]).await;
    let replay = act(&host, &dead[0], "replay", &json!({})).await.expect(200);
    let made = replay.text("/delivery/delivery_id").to_owned();
    assert_eq!(
        (replay.text("/replayed_from_delivery_id"), replay.text("/delivery/replayed_from_delivery_id")),
        (&*dead[0], &*dead[0])
    );
    when(&host, &made, "delivered").await;
    let again = act(&host, &dead[0], "replay", &json!({})).await.expect(200);
    assert_eq!(again.text("/delivery/delivery_id"), made);
    let forced = act(&host, &dead[0], "replay?force=true", &json!({})).await.expect(200);
    when(&host, forced.text("/delivery/delivery_id"), "delivered").await;
    let received = receiver.received();
    let keys: Vec<&str> = received.iter().map(|request| request.key()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
    act(&host, &made, "replay", &json!({})).await.problem(409, "deliveries", "delivery_state_conflict");
    act(&host, "delivery_00000000000000000000000000000000", "replay", &json!({})).await.problem(
        404,
        "deliveries",
        "delivery_not_found",
    );
}

#[tokio::test]
async fn what_arrived_is_not_sent_again_by_a_replay() {
    let connector = outbox("main", "unknown_deliveries = \"hold\"");
    let host = builder().plugins(&[OUTBOX]).connectors(&connector).start().await;
    let long = ["a", "b", "c"].map(|letter| letter.repeat(70)).join("\n\n");
    let target = outbox_target("main", &json!({ "answer": "unknown", "well_from": 2 }));
    let run = say(&host, "s", &[target], &[&long]).await;
    let first = host.deliveries_when(&run, 1, "unknown").await.remove(0);
    let id = first["delivery_id"].as_str().unwrap_or_default();
    act(&host, id, "replay", &json!({})).await.problem(409, "deliveries", "delivery_state_conflict");
    act(&host, id, "parts/1/resend", &json!({})).await.problem(409, "deliveries", "delivery_state_conflict");
    act(&host, id, "parts/9/resend", &json!({})).await.problem(404, "deliveries", "delivery_part_not_found");
    // The connector goes away, so the second part dies.
    host.reconfigure("");
    eventually("the connector is gone", async || {
        (host.get("/v1/runtime/connectors/outbox/main").await.status == 404).then_some(())
    })
    .await;
    act(&host, id, "parts/0/mark-delivered", &json!({ "platform_id": "p0" })).await.expect(200);
    let dead = when(&host, id, "dead_lettered").await;
    let states: Vec<&Value> = dead["parts"].as_array().into_iter().flatten().map(|part| &part["status"]).collect();
    assert_eq!(states, ["delivered", "dead_lettered", "cancelled"]);
    host.reconfigure(&connector);
    eventually("the connector is back", async || {
        (host.get("/v1/runtime/connectors/outbox/main").await.status == 200).then_some(())
    })
    .await;
    let replay = act(&host, id, "replay", &json!({})).await.expect(200);
    let made = replay.text("/delivery/delivery_id").to_owned();
    for part in 1..3 {
        when(&host, &made, "unknown").await;
        act(&host, &made, &format!("parts/{part}/resend"), &json!({})).await.expect(200);
        eventually(&format!("part {part} arrives"), async || {
            (get(&host, &made).await["parts"][part]["status"] == "delivered").then_some(())
        })
        .await;
    }
    let done = when(&host, &made, "delivered").await;
    let names: Vec<&Value> = done["parts"].as_array().into_iter().flatten().map(|part| &part["platform_id"]).collect();
    assert_eq!(names, [&json!("p0"), &json!(format!("2/kheish:{id}:1")), &json!(format!("2/kheish:{id}:2"))]);
    let log = host.log();
    let sent: String = log.lines().filter_map(|line| line.split_once(" sends \"")?.1.chars().next()).collect();
    assert_eq!(sent, "abbcc", "the first part once");
}

#[tokio::test]
async fn many_dead_letters_are_looked_at_before_they_are_replayed() {
    let (host, receiver, dead) = with_dead(&["one", "two", "three"]).await;
    let bulk = async |body: Value| host.post("/v1/deliveries/replay-bulk", &body).await.expect(200).json;
    let look = bulk(json!({ "dry_run": true, "limit": 2 })).await;
    assert_eq!((&look["matched"], &look["selected"], &look["truncated"]), (&json!(3), &json!(2), &json!(true)));
    assert_eq!((&look["replayed"], &look["items"][0]["action"]), (&json!(0), &json!("would_replay")));
    let rest = bulk(json!({ "dry_run": true, "limit": 2, "cursor": look["next_cursor"] })).await;
    assert_eq!((&rest["matched"], &rest["selected"], &rest["truncated"]), (&json!(3), &json!(1), &json!(false)));
    assert_eq!((&rest["items"][0]["replayed_from_delivery_id"], rest.get("next_cursor")), (&json!(dead[2]), None));
    let wrong = host.post("/v1/deliveries/replay-bulk", &json!({ "cursor": "?" })).await;
    wrong.problem(400, "pagination", "invalid_cursor");
    assert_eq!(receiver.received().len(), 3, "nothing was sent");
    act(&host, &dead[0], "resolve", &json!({ "reason": "not needed" })).await.expect(200);
    let done = bulk(json!({ "session_id": "s" })).await;
    assert_eq!((&done["matched"], &done["replayed"]), (&json!(2), &json!(2)));
    for item in done["items"].as_array().into_iter().flatten() {
        when(&host, item["replay"]["delivery_id"].as_str().unwrap_or_default(), "delivered").await;
    }
    let again = bulk(json!({})).await;
    assert_eq!((&again["replayed"], &again["existing_replays"]), (&json!(0), &json!(2)));
    assert_eq!(receiver.received().len(), 5);
    let audit = host.state_folder().join("control-plane-auth/audit.jsonl");
    let replayed = done["items"][0]["replay"]["delivery_id"].as_str().unwrap_or_default().to_owned();
    eventually("the audit file names what was replayed", async || {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        text.lines().any(|row| row.contains("replay-bulk") && row.contains(&replayed)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn resolved_dead_letters_are_purged_and_others_only_by_age() {
    let (host, _, dead) = with_dead(&["one", "two"]).await;
    let resolved = act(&host, &dead[0], "resolve", &json!({})).await.expect(200);
    assert_eq!(resolved.text("/dead_letter_resolution_reason"), "operator resolved");
    let purge = async |body: Value| host.post("/v1/deliveries/purge", &body).await.expect(200).json;
    let look = purge(json!({ "dry_run": true })).await;
    assert_eq!(
        (&look["matched"], &look["done"], &look["items"][0]["action"]),
        (&json!(1), &json!(0), &json!("would_purge"))
    );
    assert_eq!(purge(json!({})).await["done"], 1);
    host.get(&format!("/v1/deliveries/{}", dead[0])).await.problem(404, "deliveries", "delivery_not_found");
    assert_eq!(purge(json!({ "older_than_ms": 3_600_000 })).await["matched"], 0);
    let ended = host.post("/v1/deliveries/resolve-bulk", &json!({ "reason": "over" })).await.expect(200).json;
    assert_eq!((&ended["done"], &ended["items"][0]["delivery_id"]), (&json!(1), &json!(dead[1])));
    assert_eq!(purge(json!({ "older_than_ms": 0 })).await["done"], 1);
    assert!(host.get("/v1/deliveries/dead-letter").await.expect(200).items().is_empty());
}

#[tokio::test]
async fn what_is_withdrawn_lets_the_next_one_go() {
    let receiver = Receiver::scripted(|request| match request.content() {
        "one" => Reply::With(503, "retry-after", "3600".to_owned()),
        _ => Reply::Status(200),
    })
    .await;
    let host = builder().start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["one", "two"]).await;
    receiver.when("/in", 1).await;
    let first = eventually("the first waits", async || {
        let first = host.run(&run).await["deliveries"][0].clone();
        first["last_error"].is_object().then_some(first)
    })
    .await;
    let id = first["delivery_id"].as_str().unwrap_or_default();
    let cancelled = act(&host, id, "cancel", &json!({})).await.expect(200);
    assert_eq!(cancelled.text("/status"), "cancelled");
    let received = receiver.when("/in", 2).await;
    assert_eq!(received[1].content(), "two");
    act(&host, id, "cancel", &json!({})).await.problem(409, "deliveries", "delivery_state_conflict");
}

#[tokio::test]
async fn an_operator_says_something_once_for_each_key() {
    let receiver = Receiver::start().await;
    let host = builder().start().await;
    host.make_session("s").await;
    let body = |content: &str| json!({ "session_id": "s", "plugin": "http", "target": receiver.address("/in").to_string(), "content": content });
    let send = async |key: &str, body: Value| {
        let request = host.client().request(Method::POST, "/v1/deliveries").header("idempotency-key", key).json(&body);
        kheish_host_tests::client::answer(request).await
    };
    let made = send("k", body("hello")).await.expect(202);
    let id = made.text("/delivery_id").to_owned();
    assert_eq!(when(&host, &id, "delivered").await["content"], "hello");
    assert_eq!(send("k", body("hello")).await.expect(202).text("/delivery_id"), id);
    send("k", body("other")).await.problem(409, "idempotency", "idempotency_conflict");
    assert_eq!(receiver.received().len(), 1);
    let run = host.run(made.text("/run_id")).await;
    assert_eq!((&run["status"], &run["outputs"][0]["content"]), (&json!("completed"), &json!("hello")));
    let wrong = json!({ "session_id": "s", "plugin": "http", "target": "nowhere", "content": "a" });
    host.post("/v1/deliveries", &wrong).await.problem(400, "deliveries", "reply_target_invalid");
    let missing = json!({ "session_id": "t", "plugin": "http", "target": "http://127.0.0.1:1", "content": "a" });
    assert_eq!(host.post("/v1/deliveries", &missing).await.status / 100, 4);
    // The session goes on as before.
    host.submit("s", &json!({ "content": "work" })).await.expect(202);
    assert_eq!(host.worker("w").take().await.session, "s");
}

#[tokio::test]
async fn backpressure_is_lifted_by_target_or_plugin() {
    let host = builder().start().await;
    let reset = async |body: Value| host.post("/v1/deliveries/backpressure/reset", &body).await;
    reset(json!({})).await.problem(400, "deliveries", "delivery_backpressure_selector_required");
    reset(json!({ "target": "http://a" })).await.problem(400, "deliveries", "invalid_target");
    let none = reset(json!({ "plugin": "http", "dry_run": true })).await.expect(200).json;
    assert_eq!(
        none,
        json!({ "dry_run": true, "plugin": "http", "matched": 0, "removed": 0, "targets": [], "connectors": [] })
    );
}

#[tokio::test]
async fn a_breaker_that_is_closed_by_hand_lets_go_at_once() {
    let receiver = Receiver::scripted(|_| Reply::Status(500)).await;
    let breaker = "[delivery.breaker]\nfailures = 1\ncooldown_ms = 3600000\n";
    let host = builder().settings(&format!("{}{breaker}", super::QUICK)).start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["hello"]).await;
    let waiting = host.deliveries_when(&run, 1, "retrying").await.remove(0);
    receiver.follow(|_| Reply::Status(200));
    let reset = async |body: Value| host.post("/v1/deliveries/backpressure/reset", &body).await.expect(200).json;
    let look = reset(json!({ "target": waiting["target"], "dry_run": true })).await;
    assert_eq!((&look["matched"], &look["removed"], &look["targets"][0]), (&json!(1), &json!(0), &waiting["target"]));
    assert_eq!(reset(json!({ "plugin": "outbox" })).await["matched"], 0);
    assert_eq!(reset(json!({ "target": waiting["target"] })).await["removed"], 1);
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(reset(json!({ "plugin": "http" })).await["matched"], 0);
}
