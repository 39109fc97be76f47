//! The double, by its own rules.

use serde_json::{Value, json};

use super::*;

async fn call(api: &BotApi, method: &str, body: Value) -> (u16, Value) {
    let response = reqwest_client().post(format!("{}/bot{TOKEN}/{method}", api.url())).json(&body).send().await;
    let response = response.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

fn reqwest_client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::new()
}

async fn refused(api: &BotApi, method: &str, body: Value) -> String {
    let (status, body) = call(api, method, body).await;
    assert_eq!(body["error_code"], status, "{body}");
    body["description"].as_str().unwrap_or_default().to_owned()
}

async fn with_chat() -> BotApi {
    let api = BotApi::start().await;
    api.chat(Chat::private(5));
    api.chat(Chat::group(-7, &[3]));
    api
}

#[tokio::test]
async fn lengths_marks_and_places_are_judged() {
    let api = with_chat().await;
    let long = "😀".repeat(2_048);
    assert_eq!(call(&api, "sendMessage", json!({"chat_id": 5, "text": long})).await.0, 200);
    for (body, words) in [
        (json!({"chat_id": 5, "text": format!("{long}a")}), "message is too long"),
        (json!({"chat_id": 5, "text": " "}), "message text is empty"),
        (json!({"chat_id": 6, "text": "a"}), "chat not found"),
        (json!({"chat_id": -7, "text": "a", "message_thread_id": 4}), "message thread not found"),
        (json!({"chat_id": 5, "text": "<b>a", "parse_mode": "HTML"}), "Can't find end tag"),
        (json!({"chat_id": 5, "text": "<h1>a</h1>", "parse_mode": "HTML"}), "Unsupported start tag"),
        (
            json!({"chat_id": 5, "text": "a", "reply_parameters": {"message_id": 9_999}}),
            "message to be replied not found",
        ),
    ] {
        let said = refused(&api, "sendMessage", body).await;
        assert!(said.contains(words), "{said}");
    }
    let marked = json!({"chat_id": 5, "text": "<b>a &lt; b</b>", "parse_mode": "HTML"});
    assert_eq!(call(&api, "sendMessage", marked).await.0, 200);
    assert_eq!(api.texts(5)[1], "a < b");
}

#[tokio::test]
async fn who_is_too_fast_waits() {
    let api = with_chat().await;
    api.burst(1);
    let body = json!({"chat_id": 5, "text": "a"});
    assert_eq!(call(&api, "sendMessage", body.clone()).await.0, 200);
    let (status, refused) = call(&api, "sendMessage", body).await;
    assert_eq!((status, &refused["parameters"]["retry_after"]), (429, &json!(1)));
    assert_eq!(call(&api, "sendMessage", json!({"chat_id": -7, "text": "a"})).await.0, 200);
}

#[tokio::test]
async fn offsets_confirm_and_polls_end_each_other() {
    let api = with_chat().await;
    let first = api.says(5, "one");
    api.says(5, "two");
    let (_, both) = call(&api, "getUpdates", json!({})).await;
    assert_eq!(both["result"].as_array().map(Vec::len), Some(2));
    call(&api, "getUpdates", json!({"offset": first + 1})).await;
    assert_eq!(api.unconfirmed(), [first + 1]);
    call(&api, "getUpdates", json!({"offset": first + 2})).await;
    let waits = json!({"timeout": 30});
    let (older, newer) = tokio::join!(call(&api, "getUpdates", waits.clone()), async {
        api.when_called("getUpdates", 4).await;
        let newer = call(&api, "getUpdates", waits.clone());
        let said = async {
            api.when_called("getUpdates", 5).await;
            api.says(5, "three")
        };
        tokio::join!(newer, said).0
    });
    assert_eq!(older.0, 409);
    assert_eq!(newer.1["result"][0]["message"]["text"], "three");
    assert!(refused(&api, "setWebhook", json!({"url": "http://plain.example"})).await.contains("HTTPS"));
    assert_eq!(call(&api, "setWebhook", json!({"url": "https://host.example", "secret_token": "s"})).await.0, 200);
    assert!(refused(&api, "getUpdates", json!({})).await.contains("webhook is active"));
}

#[tokio::test]
async fn tokens_are_judged() {
    let api = with_chat().await;
    api.revoke();
    assert_eq!(call(&api, "getMe", json!({})).await.0, 401);
    api.restore();
    assert_eq!(call(&api, "getMe", json!({})).await.0, 200);
    assert_eq!(call(&api, "noSuchMethod", json!({})).await.0, 404);
}
