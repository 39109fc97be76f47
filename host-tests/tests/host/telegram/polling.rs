//! Updates that are fetched: nothing lost, nothing doubled, and nothing in the way.

use kheish_host_tests::{
    host::Host,
    telegram::{BotApi, Fault},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{bot, builder, double};
use crate::duties::{left_behind, let_go, taken_by_another};

/// Short waits.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[polling]\nretry_ms = 50\nmax_retry_ms = 200\n";

const POLLING: &str = "ingress_mode = \"polling\"\npolling_timeout_seconds = 1\nalbum_settle_ms = 200\n\
                       allow_private_network = true\ningress_events_per_second = 1000\n";

/// A week and a day.
const LONG: u64 = 8 * 24 * 3_600;

async fn host(api: &BotApi) -> Host {
    builder(&api.url(), POLLING).settings(QUICK).start().await
}

/// The texts of all runs, in the order in which they were accepted.
async fn heard(host: &Host) -> Vec<String> {
    let runs = host.get("/v1/runs?limit=100").await.expect(200);
    let texts = runs.items().iter().map(|run| run["input"][0]["text"].as_str().unwrap_or_default().to_owned());
    texts.collect()
}

async fn when_heard(host: &Host, expected: &[&str]) {
    eventually(&format!("{expected:?} are runs"), async || (heard(host).await == expected).then_some(())).await;
}

/// How the poller fares.
async fn polling(host: &Host, name: &str) -> Value {
    host.get(&format!("/v1/runtime/connectors/telegram/{name}")).await.expect(200).json["status"]["polling"].clone()
}

async fn when_failing(host: &Host, name: &str, code: &str) {
    eventually(&format!("the poller of {name} says {code}"), async || {
        (polling(host, name).await["last_error"]["code"] == code).then_some(())
    })
    .await;
}

#[tokio::test]
async fn updates_become_runs_in_their_order_and_are_confirmed() {
    let api = double().await;
    let host = host(&api).await;
    for text in ["one", "two", "three"] {
        api.says(5, text);
    }
    when_heard(&host, &["one", "two", "three"]).await;
    eventually("everything is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
    let run = &host.get("/v1/runs?limit=1").await.expect(200).items()[0].clone();
    assert_eq!(run["session_id"], "telegram:bot:5");
    assert!(polling(&host, "bot").await["answered_at_ms"].is_i64());
}

#[tokio::test]
async fn what_is_not_for_the_connector_keeps_nothing_waiting() {
    let api = double().await;
    let lines = format!("{POLLING}allowed_chat_ids = [5]\n");
    let host = builder(&api.url(), &lines).settings(QUICK).start().await;
    api.says(6, "a stranger");
    api.happen("poll_answer", json!({ "poll_id": "1" }));
    api.happen("message", json!({ "message_id": "not a number" }));
    api.says(5, "a friend");
    when_heard(&host, &["a friend"]).await;
    eventually("everything is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_update_that_is_refused_keeps_nothing_waiting() {
    let api = double().await;
    let mut host = host(&api).await;
    let first = api.says(5, "one");
    when_heard(&host, &["one"]).await;
    eventually("it is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
    host.kill();
    // Another content under a number that was used, and something behind it.
    api.number_from(first);
    api.says(5, "a conflict");
    api.says(5, "two");
    host.restart().await;
    when_heard(&host, &["one", "two"]).await;
    eventually("everything is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_kill_at_any_step_loses_nothing_and_doubles_nothing() {
    let api = double().await;
    let mut host = host(&api).await;
    let mut expected = Vec::new();
    for round in 0..8 {
        for number in 0..4 {
            let text = format!("{round}-{number}");
            api.says(if number % 2 == 0 { 5 } else { -7 }, &text);
            expected.push(text);
        }
        // Before the poll is answered, in the middle of its answer, after it; each time one call later.
        match round % 3 {
            0 => api.fail("getUpdates", [Fault::DoAndHangUp]),
            1 => api.fail("getUpdates", [Fault::DoAndStall]),
            _ => {}
        }
        let calls = api.calls().len();
        eventually("the daemon asked again", async || (api.calls().len() > calls + round % 2).then_some(())).await;
        host.kill();
        host.restart().await;
    }
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    when_heard(&host, &expected).await;
    eventually("everything is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
    assert_eq!(heard(&host).await, expected);
}

#[tokio::test]
async fn another_poller_is_named_and_outlived() {
    let api = double().await;
    let host = host(&api).await;
    api.when_called("getUpdates", 1).await;
    let conflict =
        json!({"ok": false, "error_code": 409, "description": "Conflict: terminated by other getUpdates request"});
    api.fail("getUpdates", [Fault::Answer(409, conflict)]);
    when_failing(&host, "bot", "another_poller").await;
    api.says(5, "after");
    when_heard(&host, &["after"]).await;
    assert!(polling(&host, "bot").await.get("last_error").is_none());
}

#[tokio::test]
async fn a_webhook_that_takes_the_updates_is_named() {
    let api = double().await;
    let host = host(&api).await;
    api.when_called("getUpdates", 1).await;
    api.hijack("https://elsewhere.example/hook");
    when_failing(&host, "bot", "webhook_active").await;
    let reason = polling(&host, "bot").await["last_error"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("https://elsewhere.example/hook"), "{reason}");
    api.hijack("");
    api.says(5, "after");
    when_heard(&host, &["after"]).await;
}

#[tokio::test]
async fn a_revoked_token_shows_and_polling_resumes() {
    let api = double().await;
    let host = host(&api).await;
    api.when_called("getUpdates", 1).await;
    api.revoke();
    when_failing(&host, "bot", "token_revoked").await;
    api.says(5, "after");
    api.restore();
    when_heard(&host, &["after"]).await;
}

#[tokio::test]
async fn a_flood_answer_is_waited_out() {
    let api = double().await;
    let slow = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 1",
        "parameters": {"retry_after": 1}});
    api.fail("getUpdates", [Fault::Answer(429, slow)]);
    let host = host(&api).await;
    when_failing(&host, "bot", "rate_limited").await;
    api.says(5, "after");
    when_heard(&host, &["after"]).await;
}

#[tokio::test]
async fn numbers_that_begin_anew_after_idle_weeks_lose_nothing() {
    let api = double().await;
    let mut host = host(&api).await;
    api.says(5, "before");
    when_heard(&host, &["before"]).await;
    // The daemon is away, the offset of the last update unsaid or not; Telegram begins at a lower number.
    host.kill();
    api.advance(LONG);
    api.number_from(12);
    api.says(5, "after");
    host.restart().await;
    when_heard(&host, &["before", "after"]).await;
    eventually("everything is confirmed", async || api.unconfirmed().is_empty().then_some(())).await;
    api.advance(LONG);
    api.number_from(3);
    api.says(5, "later");
    when_heard(&host, &["before", "after", "later"]).await;
}

#[tokio::test]
async fn an_album_is_one_run_however_many_polls_bring_it() {
    let api = double().await;
    let lines = POLLING.replace("album_settle_ms = 200", "album_settle_ms = 10000");
    let settings = format!("{QUICK}[gathering]\nmax_events = 4\n");
    let host = builder(&api.url(), &lines).settings(&settings).start().await;
    let picture = |number: u8, caption: Option<&str>| {
        let photo = api.keep("photo.jpg", vec![number; 100]);
        api.happen("message", api.written(5, json!({ "photo": [photo], "media_group_id": "g", "caption": caption })))
    };
    picture(1, Some("holiday"));
    when_heard(&host, &["holiday"]).await;
    for number in 2..=4 {
        picture(number, None);
    }
    let claimed = host.worker("w").take().await;
    let run = host.run(&claimed.run).await;
    assert_eq!(run["input"].as_array().map(Vec::len), Some(5), "{}", run["input"]);
    assert_eq!(run["input_metadata"]["event_joined"].as_array().map(Vec::len), Some(3));
    assert_eq!(heard(&host).await, ["holiday"]);
}

#[tokio::test]
async fn a_button_stops_waiting() {
    let api = double().await;
    let host = host(&api).await;
    let message = api.written(5, json!({ "text": "choose" }));
    api.happen("callback_query", json!({ "id": "q1", "from": {"id": 5}, "message": message, "data": "yes" }));
    when_heard(&host, &["yes"]).await;
    let answered = api.when_called("answerCallbackQuery", 1).await;
    assert_eq!(answered[0].params["callback_query_id"], "q1");
}

#[tokio::test]
async fn one_bot_is_polled_once() {
    let api = double().await;
    let twice = format!("{}{}", bot(&api.url(), POLLING), bot(&api.url(), POLLING).replace("\"bot\"", "\"twin\""));
    let host = builder(&api.url(), "").connectors(twice).settings(QUICK).start().await;
    when_failing(&host, "twin", "same_secret").await;
    api.says(5, "hello");
    when_heard(&host, &["hello"]).await;
    host.logs("does not poll").await;
}

#[tokio::test]
async fn a_change_of_mode_begins_and_ends_polling() {
    let api = double().await;
    let host = builder(&api.url(), "allow_private_network = true").settings(QUICK).start().await;
    api.says(5, "waits");
    assert!(api.calls_of("getUpdates").is_empty());
    host.reconfigure(bot(&api.url(), POLLING));
    when_heard(&host, &["waits"]).await;
    host.reconfigure(bot(&api.url(), "allow_private_network = true"));
    eventually("the connector takes webhooks again", async || {
        let answer = super::webhook(&host).post(&json!({ "update_id": 1 })).await;
        (answer.status == 200).then_some(())
    })
    .await;
    api.says(5, "stays");
    assert_eq!(heard(&host).await, ["waits"]);
}

#[tokio::test]
async fn a_poller_waits_while_another_daemon_polls() {
    let api = double().await;
    let quick = format!("{QUICK}[duties]\nlease_ms = 600\n");
    let host = builder(&api.url(), POLLING).settings(&quick).start().await;
    api.says(5, "one");
    when_heard(&host, &["one"]).await;
    taken_by_another(&host).await;
    when_failing(&host, "bot", "elsewhere").await;
    api.says(5, "two");
    assert_eq!(heard(&host).await, ["one"]);
    assert!(!api.unconfirmed().is_empty(), "it was confirmed and is no run");
    assert_eq!(polling(&host, "bot").await["failures"], 0, "being elsewhere is no failure");
    let_go(&host).await;
    when_heard(&host, &["one", "two"]).await;
    host.logs("polls again").await;
    eventually("it says that it polls", async || polling(&host, "bot").await["last_error"].is_null().then_some(()))
        .await;
}

#[tokio::test]
async fn what_is_fetched_after_another_daemon_took_over_is_not_written() {
    let api = double().await;
    // Nothing but what it writes tells the daemon.
    let slow = format!("{QUICK}[duties]\nlease_ms = 600000\n");
    let mut host = builder(&api.url(), POLLING).settings(&slow).start().await;
    api.says(5, "one");
    when_heard(&host, &["one"]).await;
    taken_by_another(&host).await;
    api.says(5, "two");
    when_failing(&host, "bot", "elsewhere").await;
    assert_eq!(heard(&host).await, ["one"]);
    assert!(!api.unconfirmed().is_empty(), "it was confirmed and is no run");
    host.kill();
    left_behind(&host).await;
    host.restart().await;
    when_heard(&host, &["one", "two"]).await;
}
