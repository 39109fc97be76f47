//! Telegram: a bot that says what it hears.

use kheish_host_tests::{
    client::Client,
    host::{Host, TELEGRAM},
    sender::Sender,
    telegram::{BotApi, Chat, TOKEN},
};
use serde_json::{Value, json};

const SECRET: &str = "demo-secret";

/// Short waits, because the double's are short.
const SETTINGS: &str = "[delivery]\npoll_interval_ms = 50\n";

/// Tells what happens, step by step.
pub(crate) async fn tell() {
    let api = BotApi::start().await;
    api.chat(Chat::private(5));
    api.chat(Chat::group(-7, &[3]));
    api.burst(2);
    let connector = format!(
        "[[connectors]]\nkind = \"telegram\"\nname = \"bot\"\nbot_token = \"{TOKEN}\"\nsecret_token = \"{SECRET}\"\n\
         api_base_url = \"{}\"\nallow_private_network = true\nallowed_chat_ids = [5, -7]\n\
         session_policy = {{ create_if_missing = true }}\n",
        api.url()
    );
    let builder = Host::builder().plugins(&[TELEGRAM]).connectors(connector).settings(SETTINGS).executor("echo");
    let host = builder.start().await;
    let plain = Sender::new(&Client::new(host.client().base()), "telegram", "bot");
    let sender = plain.clone().header("x-telegram-bot-api-secret-token", SECRET);
    println!("Telegram: connector telegram/bot, against a double of the Bot API on {}\n", api.url());

    println!("1. A message by webhook");
    let update = update(1, api.written(5, json!({ "text": "**Order 1** costs < 5 €" })));
    let run = accepted(&sender, &update).await;
    let sent = api.when_sent(5, 1).await.remove(0);
    assert_eq!(sent.text, "Order 1 costs < 5 €");
    println!("   answer     {:?}", sent.marked.unwrap_or_default());
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    println!("   delivery   message {} of chat 5, delivered\n", delivery["platform_id"]);

    println!("2. The same update again");
    let again = sender.post(&update).await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", run.as_str()));
    println!("   receipt    duplicate: the same run\n");

    println!("3. In a topic of a group, with a picture");
    let photo = api.keep("photo.jpg", vec![0; 2_000]);
    let members =
        json!({ "photo": [photo], "caption": "What is this?", "message_thread_id": 3, "is_topic_message": true });
    let question = api.written(-7, members);
    accepted(&sender, &self::update(2, question.clone())).await;
    let sent = api.when_sent(-7, 1).await.remove(0);
    assert_eq!((sent.topic, sent.quotes), (Some(3), question["message_id"].as_i64()));
    println!("   answer     in topic 3, quoting message {}\n", question["message_id"]);

    println!("4. A stranger, and a caller who does not know the secret");
    let stranger = sender.post(&self::update(3, api.written(6, json!({ "text": "hello" })))).await.expect(200);
    assert_eq!(stranger.text("/reason"), "chat_not_allowed");
    println!("   answered   200 {}", stranger.json);
    assert_eq!(plain.post(&update).await.status, 401);
    println!("   refused    401\n");

    println!("5. Faster than Telegram allows: it says when to come back");
    for (id, word) in [(4, "one"), (5, "two"), (6, "three")] {
        accepted(&sender, &self::update(id, api.written(5, json!({ "text": word })))).await;
    }
    api.when_sent(5, 4).await;
    assert_eq!(api.texts(5)[1..], ["one", "two", "three"]);
    let tries = api.calls_of("sendMessage").len();
    println!("   answers    one, two, three: in order, each once, in {tries} calls altogether\n");
}

fn update(id: i64, message: Value) -> Value {
    json!({ "update_id": id, "message": message })
}

async fn accepted(sender: &Sender, update: &Value) -> String {
    let answer = sender.post(update).await.expect(200);
    println!("   session    {}, run {}", answer.text("/session_id"), answer.text("/run_id"));
    answer.text("/run_id").to_owned()
}
