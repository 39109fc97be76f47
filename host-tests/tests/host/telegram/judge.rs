//! The double itself, judged by client libraries that bots are written with.

use std::{process::Stdio, time::Duration};

use kheish_host_tests::{
    places,
    telegram::{BotApi, Message, TOKEN},
};
use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::double;

/// How long it may take on a busy machine. It takes a fraction of that.
const DEADLINE: Duration = Duration::from_secs(90);

/// Lets a judge work with the double until it has said what it thinks.
async fn judge(api: &BotApi, mut program: Command, script: &str) {
    let script = places::repository().join("host-tests/judges").join(script);
    program.arg(script).args([&api.url(), TOKEN]).env("NO_PROXY", "*").stdin(Stdio::null()).kill_on_drop(true);
    let Ok(ended) = timeout(DEADLINE, program.output()).await else { panic!("the judge does not come to an end") };
    let ended = ended.unwrap_or_else(|error| panic!("{program:?}: {error}: `just test` installs what it needs"));
    let (said, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let judged = ended.status.success() && said.contains("judged");
    assert!(judged, "`just test` installs what judges need; this one said {said}\n{errors}");
}

/// Three kinds of updates wait, and the text has the number 1. Gives the double.
async fn with_updates() -> BotApi {
    let api = double().await;
    api.says(5, "hello");
    api.happen("edited_message", api.written(5, json!({ "text": "hello, you", "edit_date": 1_700_000_000 })));
    let person = json!({ "id": 5, "is_bot": false, "first_name": "Ada" });
    let pressed = json!({ "id": "77", "from": person, "chat_instance": "9", "data": "yes" });
    api.happen("callback_query", pressed);
    api
}

/// What a bot must have done that both judges write alike.
fn check(api: &BotApi) {
    let sent = api.sent(5);
    let texts: Vec<&str> = sent.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["bold & plain", "see", "", "HELLO"]);
    assert_eq!(sent[0].marked.as_deref(), Some("<b>bold</b> &amp; plain"));
    let quotes = |message: &Message| message.quotes;
    assert_eq!(sent.iter().map(quotes).collect::<Vec<_>>(), [Some(1), None, None, Some(1)]);
    let file = |kind: &str, name: &str, size| Some((kind.to_owned(), name.to_owned(), size));
    assert_eq!(sent[1].file, file("document", "a.txt", 7));
    assert_eq!(sent[2].file, file("photo", "a.png", 12));
    assert_eq!((api.sent(-7).len(), api.floods()), (20, 1));
    let answer = &api.calls_of("answerCallbackQuery")[0];
    assert_eq!((&answer.params["callback_query_id"], &answer.params["text"]), (&json!("77"), &json!("noted")));
    assert_eq!(api.unconfirmed(), [] as [i64; 0], "what was answered is confirmed");
    assert_eq!((api.webhook(), api.webhook_secret()), (String::new(), None));
}

#[tokio::test]
async fn python_telegram_bot_takes_the_double_for_telegram() {
    let api = double().await;
    let update = api.says(5, "hello");
    judge(&api, Command::new(places::python()), "python_telegram_bot.py").await;
    let sent = api.sent(5);
    let texts: Vec<&str> = sent.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["bold & plain", "see", "HELLO"]);
    assert_eq!(sent[2].quotes, Some(1), "{:?}", sent[2]);
    assert!(!api.unconfirmed().contains(&update), "what was answered is confirmed");
}

#[tokio::test]
async fn aiogram_takes_the_double_for_telegram() {
    let api = with_updates().await;
    judge(&api, Command::new(places::python()), "aiogram_judge.py").await;
    check(&api);
}

#[tokio::test]
async fn grammy_takes_the_double_for_telegram() {
    let api = with_updates().await;
    let mut node = Command::new("node");
    node.env("NODE_PATH", places::node_modules());
    judge(&api, node, "grammy_judge.js").await;
    check(&api);
}
