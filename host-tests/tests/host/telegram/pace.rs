//! Rates that the host keeps by itself, judged by how often the double had to refuse.

use kheish_host_tests::{
    host::{Host, TELEGRAM},
    telegram::{BotApi, Chat},
};
use serde_json::{Value, json};

use super::{bot, double, webhook};

/// So many times quicker than in earnest are the double and the daemon.
const QUICKER: u32 = 20;

/// A daemon at so many percent of Telegram's rates, which looks for nothing unless something happens.
async fn host(api: &BotApi, percent: u32, executor: &'static str) -> Host {
    let settings =
        format!("[delivery]\npace_percent = {percent}\npoll_interval_ms = 60000\n[queue]\nsweep_interval_ms = 20\n");
    let connectors = bot(&api.url(), "allow_private_network = true\ningress_events_per_second = 100000");
    let builder = Host::builder().plugins(&[TELEGRAM]).connectors(connectors).settings(&settings);
    builder.executor(executor).start().await
}

fn update(id: i64, message: &Value) -> Value {
    json!({ "update_id": id, "message": message })
}

#[tokio::test]
async fn a_group_and_a_chat_get_what_telegram_allows_each_of_them() {
    let api = double().await;
    api.quicker(QUICKER);
    let host = host(&api, 100 * QUICKER, "claim").await;
    let worker = host.worker("w");
    let mut runs = Vec::new();
    let amounts = [(-7, 24), (5, 22)];
    for (chat, count) in amounts {
        webhook(&host).post(&update(chat + 100, &api.written(chat, json!({ "text": "much" })))).await.expect(200);
        let claimed = worker.take().await;
        let texts: Vec<String> = (0..count).map(|number| format!("{chat}: {number}")).collect();
        worker.finish(&claimed, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await.expect(200);
        runs.push((claimed.run, chat, texts));
    }
    for (run, chat, texts) in runs {
        host.deliveries_when(&run, texts.len(), "delivered").await;
        assert_eq!(api.texts(chat), texts);
    }
    assert_eq!(api.floods(), 0);
}

#[tokio::test]
async fn a_bot_with_many_chats_keeps_to_the_rate_of_all() {
    let api = double().await;
    let host = host(&api, 100, "echo").await;
    for chat in 101..=160 {
        api.chat(Chat::private(chat));
        let message = api.written(chat, json!({ "text": "hello" }));
        webhook(&host).post(&update(chat, &message)).await.expect(200);
    }
    for chat in 101..=160 {
        api.when_sent(chat, 1).await;
    }
    assert_eq!(api.floods(), 0);
}
