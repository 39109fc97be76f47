//! What comes by webhook, rule by rule (contract section 3.4).

use kheish_host_tests::{client::Answer, host::Host, sender::Sender};
use serde_json::{Value, json};

use super::{SECRET, builder, webhook};

/// Nobody listens there; nothing of ingress talks to the platform.
const NOWHERE: &str = "https://tg.example";

async fn host(lines: &str) -> Host {
    builder(NOWHERE, lines).start().await
}

/// A message of the person 5 with these members beside what all have.
fn message(extra: &Value) -> Value {
    let mut message = json!({
        "message_id": 20, "date": 1_700_000_000, "chat": {"id": 5, "type": "private", "first_name": "Ada"},
        "from": {"id": 5, "is_bot": false, "first_name": "Ada"},
    });
    for (name, value) in extra.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

fn update(id: i64, extra: &Value) -> Value {
    json!({ "update_id": id, "message": message(extra) })
}

async fn accepted(sender: &Sender, update: &Value) -> Answer {
    let answer = sender.post(update).await.expect(200);
    assert_eq!(answer.header("kheish-receipt"), "accepted", "{}", answer.json);
    answer
}

fn reason(answer: &Answer) -> &str {
    assert_eq!((answer.status, &answer.json["skipped"]), (200, &json!(true)), "{}", answer.json);
    answer.text("/reason")
}

#[tokio::test]
async fn a_message_becomes_a_run_in_the_session_of_its_chat() {
    let host = host("").await;
    let answer = accepted(&webhook(&host), &update(7, &json!({ "text": "hello" }))).await;
    assert_eq!(answer.text("/session_id"), "telegram:bot:5");
    let run = host.run(answer.text("/run_id")).await;
    assert_eq!(
        (&run["request"]["source_plugin"], &run["request"]["source_kind"]),
        (&json!("telegram"), &json!("bot")),
        "{run}"
    );
    assert_eq!((&run["request"]["actor_id"], &run["input"][0]["text"]), (&json!("5"), &json!("hello")), "{run}");
    assert_eq!(run["input_metadata"]["telegram"]["messages"], json!([20]));
    let target = json!({ "plugin": "telegram", "address": "{\"chat_id\":5,\"connector\":\"bot\"}" });
    assert_eq!(run["reply_targets"], json!([target]));
}

#[tokio::test]
async fn topics_are_sessions_of_their_own() {
    let host = host("").await;
    let chat = json!({"id": -7, "type": "supergroup", "title": "Team", "is_forum": true});
    let topic = json!({"text": "a", "chat": chat, "message_thread_id": 3, "is_topic_message": true});
    let answer = accepted(&webhook(&host), &update(1, &topic)).await;
    assert_eq!(answer.text("/session_id"), "telegram:bot:-7:3");
    let general = accepted(&webhook(&host), &update(2, &json!({ "text": "a", "chat": chat }))).await;
    assert_eq!(general.text("/session_id"), "telegram:bot:-7");
}

#[tokio::test]
async fn the_secret_is_asked_for() {
    let host = host("").await;
    let plain = Sender::new(&kheish_host_tests::client::Client::new(host.client().base()), "telegram", "bot");
    let body = update(7, &json!({ "text": "hello" }));
    assert_eq!(plain.post(&body).await.status, 401);
    let wrong = plain.clone().header("x-telegram-bot-api-secret-token", &SECRET.to_uppercase());
    assert_eq!(wrong.post(&body).await.status, 401);
    accepted(&webhook(&host), &body).await;
}

#[tokio::test]
async fn an_update_that_comes_again_is_the_same_run_and_a_different_one_is_a_conflict() {
    let host = host("").await;
    let first = accepted(&webhook(&host), &update(7, &json!({ "text": "hello" }))).await;
    let renamed = json!({ "text": "hello", "from": {"id": 5, "is_bot": false, "first_name": "Augusta"} });
    let again = webhook(&host).post(&update(7, &renamed)).await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
    assert_eq!(webhook(&host).post(&update(7, &json!({ "text": "other" }))).await.status, 409);
}

#[tokio::test]
async fn what_is_not_for_the_connector_is_answered_and_leaves_nothing() {
    let host = host("allowed_chat_ids = [5]\nallowed_user_ids = [5, 8]").await;
    let before = host.ledger().await;
    let stranger = json!({ "text": "a", "chat": {"id": 6, "type": "private"}, "from": {"id": 6} });
    let guest = json!({ "text": "a", "from": {"id": 6} });
    let bot = json!({ "text": "a", "from": {"id": 8, "is_bot": true} });
    let game = json!({ "id": "1", "from": {"id": 5}, "game_short_name": "g", "message": message(&json!({})) });
    for (body, expected) in [
        (update(1, &stranger), "chat_not_allowed"),
        (update(2, &guest), "user_not_allowed"),
        (update(3, &bot), "bot_message"),
        (update(4, &json!({ "new_chat_title": "t" })), "unsupported_message"),
        (json!({ "update_id": 5, "poll": {"id": "1"} }), "unsupported_update"),
        (json!({ "update_id": 6, "message": {"message_id": "x"} }), "unreadable_update"),
        (json!({ "update_id": 7, "callback_query": game }), "unsupported_callback"),
    ] {
        let answer = webhook(&host).post(&body).await;
        assert_eq!((reason(&answer), &answer.json["update_id"]), (expected, &body["update_id"]));
    }
    assert_eq!(host.ledger().await, before);
    accepted(&webhook(&host), &update(8, &json!({ "text": "a" }))).await;
}

#[tokio::test]
async fn what_is_no_update_is_refused() {
    let host = host("").await;
    for body in ["", "[]", "{}", "{\"update_id\":\"7\"}", "{\"update_id\":7"] {
        host.refuses(400, "invalid_payload", webhook(&host).post_bytes(body)).await;
    }
    host.refuses(404, "route_not_found", webhook(&host).at("/x").post(&update(1, &json!({ "text": "a" })))).await;
}

#[tokio::test]
async fn edits_posts_and_buttons_say_what_they_are() {
    let host = host("").await;
    let sender = webhook(&host);
    let edit = message(&json!({ "text": "better", "edit_date": 1_700_000_060 }));
    let news = json!({"id": -9, "type": "channel", "title": "News"});
    let post = message(&json!({ "text": "news", "chat": news, "sender_chat": news }));
    let pressed = json!({ "id": "q1", "from": {"id": 5}, "message": message(&json!({})), "data": "yes" });
    for (id, kind, content, relation) in [
        (1, "edited_message", &edit, json!({ "kind": "edit", "target_event_id": "5/20" })),
        (2, "channel_post", &post, Value::Null),
        (3, "edited_channel_post", &post, json!({ "kind": "edit", "target_event_id": "-9/20" })),
        (4, "callback_query", &pressed, json!({ "kind": "button", "target_event_id": "5/20" })),
    ] {
        let before = host.get("/v1/runs?page=true").await.expect(200).json["pagination"]["total_count"].clone();
        let answer = sender.post(&json!({ "update_id": id, kind: content })).await.expect(200);
        assert_eq!(before, json!(id - 1));
        let runs = host.get("/v1/runs?order=desc&limit=1").await.expect(200);
        let run = &runs.items()[0];
        assert_eq!(
            (&run["request"]["source_kind"], &run["input_metadata"]["event_relation"]),
            (&json!(kind), &relation),
            "{run}"
        );
        if kind == "callback_query" {
            assert_eq!(answer.json, json!({ "method": "answerCallbackQuery", "callback_query_id": "q1" }));
        }
    }
}

#[tokio::test]
async fn every_kind_of_file_is_named_and_waits_at_telegram() {
    let host = host("").await;
    let file = json!({ "file_id": "F", "file_unique_id": "U", "file_size": 10 });
    let kinds = ["document", "voice", "audio", "video", "video_note", "sticker", "animation"];
    let with = |kind: &str| json!({ kind: file, "caption": "see" });
    let photo = json!({ "photo": [file], "caption": "see" });
    for (id, extra) in (1..).zip(kinds.map(with).into_iter().chain([photo])) {
        let answer = accepted(&webhook(&host), &update(id, &extra)).await;
        let input = host.run(answer.text("/run_id")).await["input"].clone();
        assert_eq!((&input[0]["text"], input.as_array().map(Vec::len)), (&json!("see"), Some(2)), "{input}");
    }
}

#[tokio::test]
async fn a_connector_that_polls_takes_no_webhook() {
    let secret = format!("secret_token = \"{SECRET}\"\n");
    let open = super::bot(NOWHERE, "ingress_mode = \"polling\"").replace(&secret, "");
    let host = builder(NOWHERE, "").connectors(open).start().await;
    host.refuses(409, "ingress_closed", webhook(&host).post(&update(1, &json!({ "text": "a" })))).await;
}

#[tokio::test]
async fn wrong_settings_are_told_before_anything_runs() {
    let host = host("").await;
    for (field, value) in [
        ("api_base_url", json!("https://user:secret@tg.example")),
        ("allowed_chat_ids", json!([])),
        ("polling_timeout_seconds", json!(51)),
        ("ingress_mode", json!("push")),
        ("allowed_chat_id", json!([5])),
    ] {
        let fields = json!({ "bot_token": {"value": "1:x"}, "secret_token": {"value": "s"}, field: value });
        let answer = host.put("/v1/runtime/connectors/telegram/other", &fields).await;
        assert_eq!(answer.status, 400, "{field}: {}", answer.json);
    }
    let blank = host.put("/v1/runtime/connectors/telegram/other", &json!({ "secret_token": {"value": "s"} })).await;
    assert_eq!(blank.status, 400, "there is no bot without a token");
}

#[tokio::test]
async fn a_test_event_is_a_run_that_answers_to_nobody() {
    let host = host("").await;
    let tested = host.post("/v1/runtime/connectors/telegram/bot/test", &json!({ "text": "a test" })).await.expect(200);
    let run = host.run(tested.text("/run_id")).await;
    assert_eq!((&run["input"][0]["text"], &run["reply_targets"]), (&json!("a test"), &json!([])), "{run}");
}
