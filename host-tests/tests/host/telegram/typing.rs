//! The sign that an answer is on its way.

use kheish_host_tests::{
    client::Client,
    host::Host,
    sender::Sender,
    telegram::{BotApi, Chat, Fault},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{SECRET, bot, builder, deliver::QUICK, double, webhook};

async fn host(api: &BotApi) -> Host {
    let settings = format!("{QUICK}[presence]\ndelay_ms = 0\n");
    builder(&api.url(), "allow_private_network = true").settings(&settings).start().await
}

/// The methods that were called about chats, in order, with the chat and topic of each.
fn calls(api: &BotApi) -> Vec<(String, Value, Value)> {
    let calls = api.calls().into_iter().filter(|call| call.method.starts_with("send"));
    calls.map(|call| (call.method, call.params["chat_id"].clone(), call.params["message_thread_id"].clone())).collect()
}

async fn update(host: &Host, api: &BotApi, id: i64, (chat, members): (i64, Value)) {
    let message = api.written(chat, members);
    webhook(host).post(&json!({ "update_id": id, "message": message })).await.expect(200);
}

#[tokio::test]
async fn it_is_shown_in_the_topic_until_the_run_has_ended() {
    let api = double().await;
    let host = host(&api).await;
    let question = json!({ "text": "question", "message_thread_id": 3, "is_topic_message": true });
    update(&host, &api, 1, (-7, question)).await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    // Telegram shows it for five seconds.
    api.when_called("sendChatAction", 2).await;
    worker.finish(&claimed, &["answer"]).await.expect(200);
    host.deliveries_when(&claimed.run, 1, "delivered").await;
    let place = |method: &str| (method.to_owned(), json!(-7), json!(3));
    assert_eq!(calls(&api), [place("sendChatAction"), place("sendChatAction"), place("sendMessage")]);
    assert_eq!(api.calls_of("sendChatAction")[0].params["action"], "typing");
}

#[tokio::test]
async fn one_that_fails_changes_nothing() {
    let no = |status: u16, words: &str| {
        Fault::Answer(status, json!({ "ok": false, "error_code": status, "description": words }))
    };
    for fault in [
        no(401, "Unauthorized"),
        no(403, "Forbidden: bot was kicked"),
        no(429, "Too Many Requests"),
        Fault::HangUp,
        Fault::DoAndStall,
    ] {
        let api = double().await;
        let host = host(&api).await;
        api.fail("sendChatAction", [fault]);
        update(&host, &api, 1, (5, json!({ "text": "question" }))).await;
        let worker = host.worker("w");
        let claimed = worker.take().await;
        api.when_called("sendChatAction", 1).await;
        worker.finish(&claimed, &["answer"]).await.expect(200);
        let delivery = host.deliveries_when(&claimed.run, 1, "delivered").await.remove(0);
        assert_eq!((api.texts(5), &delivery["attempts"]), (vec!["answer".to_owned()], &json!(1)));
    }
}

#[tokio::test]
async fn a_connector_that_is_locked_out_shows_none() {
    let api = double().await;
    api.chat(Chat::private(6));
    let lines = "allow_private_network = true";
    let twin = bot(&api.url(), lines).replace("\"bot\"", "\"twin\"");
    let settings =
        "[presence]\ndelay_ms = 0\n[delivery]\npoll_interval_ms = 20\n[delivery.pause]\ninitial_ms = 3600000\n";
    let connectors = bot(&api.url(), lines) + &twin;
    let host = builder(&api.url(), "").connectors(connectors).settings(settings).start().await;
    let worker = host.worker("w");
    update(&host, &api, 1, (5, json!({ "text": "one" }))).await;
    let claimed = worker.take().await;
    api.when_called("sendChatAction", 1).await;
    api.revoke();
    worker.finish(&claimed, &["answer"]).await.expect(200);
    eventually("the bot is paused", async || {
        let connector = host.get("/v1/runtime/connectors/telegram/bot").await.expect(200).json;
        connector.to_string().contains("token_revoked").then_some(())
    })
    .await;
    api.restore();
    let before = calls(&api).len();
    update(&host, &api, 2, (5, json!({ "text": "two" }))).await;
    worker.take().await;
    let other = Sender::new(&Client::new(host.client().base()), "telegram", "twin");
    let other = other.header("x-telegram-bot-api-secret-token", SECRET);
    other.post(&json!({ "update_id": 1, "message": api.written(6, json!({ "text": "x" })) })).await.expect(200);
    worker.take().await;
    api.when_called("sendChatAction", 3).await;
    let since: Vec<Value> = calls(&api).split_off(before).into_iter().map(|(_, chat, _)| chat).collect();
    assert_eq!(since, [6, 6], "the bot that is paused has shown something");
}
