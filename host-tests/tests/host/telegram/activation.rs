//! Telegram's side of the two modes: a webhook that leads here, or none.

use kheish_host_tests::{
    host::Host,
    telegram::{BotApi, TOKEN},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{SECRET, bot, builder, double};

const URL: &str = "https://host.example/v1/connectors/telegram/bot";

const SETTINGS: &str = "[activation]\npublic_url = \"https://host.example/\"\ninterval_ms = 100\nretry_ms = 20\n\
                        [polling]\nretry_ms = 50\nmax_retry_ms = 200\n";

const WEBHOOK: &str = "allow_private_network = true\n";
const POLLING: &str = "allow_private_network = true\ningress_mode = \"polling\"\npolling_timeout_seconds = 1\n";

async fn host(api: &BotApi, lines: &str) -> Host {
    builder(&api.url(), lines).settings(SETTINGS).start().await
}

async fn when_webhook(api: &BotApi, url: &str) {
    eventually(&format!("the webhook is {url:?}"), async || (api.webhook() == url).then_some(())).await;
}

async fn when_failing(host: &Host, code: &str) {
    eventually(&format!("registering fails with {code}"), async || {
        let view = host.get("/v1/runtime/connectors/telegram/bot").await.expect(200).json;
        (view["status"]["activation"]["last_error"]["code"] == code).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_webhook_is_set_with_its_secret_and_then_left_alone() {
    let api = double().await;
    let host = host(&api, WEBHOOK).await;
    when_webhook(&api, URL).await;
    assert_eq!(api.webhook_secret().as_deref(), Some(SECRET));
    api.when_called("getWebhookInfo", 4).await;
    assert_eq!(api.calls_of("setWebhook").len(), 1);
    let view = host.get("/v1/runtime/connectors/telegram/bot").await.expect(200).json;
    assert!(view["status"]["activation"]["answered_at_ms"].is_i64(), "{view}");
}

#[tokio::test]
async fn what_somebody_else_sets_is_put_right_and_told() {
    let api = double().await;
    let host = host(&api, WEBHOOK).await;
    when_webhook(&api, URL).await;
    api.hijack("https://elsewhere.example/hook");
    when_webhook(&api, URL).await;
    host.logs("https://elsewhere.example/hook").await;
}

#[tokio::test]
async fn a_new_secret_is_told_to_telegram() {
    let api = double().await;
    let host = host(&api, WEBHOOK).await;
    when_webhook(&api, URL).await;
    host.reconfigure(bot(&api.url(), WEBHOOK).replace(SECRET, "another-secret"));
    eventually("Telegram knows the new secret", async || {
        (api.webhook_secret().as_deref() == Some("another-secret")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_mode_has_what_it_needs() {
    let api = double().await;
    let host = host(&api, WEBHOOK).await;
    when_webhook(&api, URL).await;
    host.reconfigure(bot(&api.url(), POLLING));
    when_webhook(&api, "").await;
    let update = api.says(5, "hello");
    eventually("the update is fetched", async || (!api.unconfirmed().contains(&update)).then_some(())).await;
    host.reconfigure(bot(&api.url(), WEBHOOK));
    when_webhook(&api, URL).await;
}

#[tokio::test]
async fn who_is_deleted_withdraws_and_leaves_others_alone() {
    let api = double().await;
    let host = Host::builder().plugins(&[super::TELEGRAM]).settings(SETTINGS).start().await;
    let fields = json!({
        "bot_token": {"value": TOKEN}, "secret_token": {"value": SECRET}, "api_base_url": api.url(), "allow_private_network": true,
    });
    let path = "/v1/runtime/connectors/telegram/bot";
    host.put(path, &fields).await.expect(201);
    when_webhook(&api, URL).await;
    assert!(host.delete(path).await.status < 300);
    when_webhook(&api, "").await;
    host.put(path, &fields).await.expect(201);
    when_webhook(&api, URL).await;
    let asked = api.calls_of("getWebhookInfo").len();
    let mut elsewhere = fields.clone();
    elsewhere["ingress_mode"] = json!("polling");
    host.put(path, &elsewhere).await.expect(200);
    when_webhook(&api, "").await;
    api.hijack("https://elsewhere.example/hook");
    assert!(host.delete(path).await.status < 300);
    api.when_called("getWebhookInfo", asked + 2).await;
    assert_ne!(api.webhook(), URL);
}

#[tokio::test]
async fn what_stands_in_the_way_shows() {
    let api = double().await;
    let without = builder(&api.url(), WEBHOOK).settings("[activation]\ninterval_ms = 100\n").start().await;
    when_failing(&without, "no_public_url").await;
    drop(without);
    api.revoke();
    let host = host(&api, WEBHOOK).await;
    when_failing(&host, "token_revoked").await;
    api.restore();
    when_webhook(&api, URL).await;
    eventually("nothing stands in the way", async || {
        let view = host.get("/v1/runtime/connectors/telegram/bot").await.expect(200).json;
        (view["status"]["activation"]["last_error"] == Value::Null).then_some(())
    })
    .await;
}
