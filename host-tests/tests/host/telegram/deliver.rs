//! Answers, judged by what the double has taken.

use kheish_host_tests::{
    host::Host,
    telegram::{BotApi, Chat, Fault},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{builder, double, webhook};

/// Short waits, three attempts, and no rates.
pub(super) const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\npace_percent = 0\nlook_up_after_ms = 20\n\
                     [delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 3\n[delivery.pause]\ninitial_ms = 60\nmax_ms = 60\n";

pub(super) async fn host(api: &BotApi, lines: &str) -> Host {
    let lines = format!("allow_private_network = true\n{lines}");
    builder(&api.url(), &lines).settings(QUICK).start().await
}

/// Somebody writes to a chat, and a worker answers with these outputs. Gives the run.
async fn answer(host: &Host, api: &BotApi, chat: i64, members: Value, outputs: &[&str]) -> String {
    let message = api.written(chat, members);
    let update = json!({ "update_id": api.calls().len() + 1_000 * api.sent(chat).len(), "message": message });
    let accepted = webhook(host).post(&update).await.expect(200);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.run, accepted.text("/run_id"));
    worker.finish(&claimed, outputs).await.expect(200);
    claimed.run
}

/// Waits until nobody knows of the first delivery whether it arrived, and the second one has.
async fn one_is_unknown(host: &Host, run: &str) {
    eventually("one is unknown and the other delivered", async || {
        let run = host.run(run).await;
        let states: Vec<&str> =
            run["deliveries"].as_array()?.iter().filter_map(|delivery| delivery["status"].as_str()).collect();
        (states == ["unknown", "delivered"]).then_some(())
    })
    .await;
}

fn text() -> Value {
    json!({ "text": "question" })
}

#[tokio::test]
async fn an_answer_reaches_the_chat_with_its_marks() {
    let api = double().await;
    let host = host(&api, "").await;
    let run = answer(&host, &api, 5, text(), &["**done** & `a < b`"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    let sent = api.sent(5);
    assert_eq!((sent.len(), sent[0].text.as_str()), (1, "done & a < b"));
    assert_eq!(sent[0].marked.as_deref(), Some("<b>done</b> &amp; <code>a &lt; b</code>"));
    assert_eq!((delivery["platform_id"].as_str(), sent[0].quotes), (Some(sent[0].id.to_string().as_str()), None));
}

#[tokio::test]
async fn an_answer_in_a_group_quotes_its_question_in_its_topic() {
    let api = double().await;
    let host = host(&api, "").await;
    let members = json!({ "text": "question", "message_thread_id": 3, "is_topic_message": true });
    let run = answer(&host, &api, -7, members, &["answer"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let sent = api.sent(-7);
    assert_eq!((sent[0].topic, sent[0].quotes), (Some(3), Some(1)));
}

#[tokio::test]
async fn a_long_answer_goes_out_in_order_and_nothing_of_it_is_lost() {
    let api = double().await;
    let host = host(&api, "format = \"plain\"").await;
    let long: Vec<String> = (0..1_500).map(|number| format!("😀{number:04}")).collect();
    let run = answer(&host, &api, 5, text(), &[&long.join(" ")]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let words: Vec<String> =
        api.texts(5).iter().flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(words, long);
    assert!(api.sent(5).len() >= 3);
}

#[tokio::test]
async fn no_text_is_too_strange_to_go_out() {
    let api = double().await;
    let host = host(&api, "").await;
    let strange = [
        "> ".repeat(1_000),
        "[".repeat(2_000),
        "*a ".repeat(1_000),
        "- ".repeat(1_500),
        format!("{}x{}", "**_".repeat(500), "_**".repeat(500)),
        "<b>&amp;&nbsp;</i><script>".to_owned(),
    ];
    let outputs: Vec<&str> = strange.iter().map(String::as_str).collect();
    let run = answer(&host, &api, 5, text(), &outputs).await;
    host.deliveries_when(&run, outputs.len(), "delivered").await;
    let refused = api.calls_of("sendMessage").len() - api.sent(5).len();
    assert_eq!((api.sent(5).len(), refused), (outputs.len(), 0), "what is marked is never refused");
}

#[tokio::test]
async fn five_hundred_conversations_at_a_time_are_not_mixed() {
    let api = double().await;
    api.burst(u32::MAX);
    let lines = "allow_private_network = true\ningress_events_per_second = 100000";
    let host = builder(&api.url(), lines).settings(QUICK).executor("echo").start().await;
    let sender = webhook(&host);
    for (round, word) in ["one", "two", "three"].iter().enumerate() {
        for chat in 1..=500 {
            api.chat(Chat::private(chat));
            let message = api.written(chat, json!({ "text": format!("{chat} {word}") }));
            let update = 1_000 * i64::try_from(round).unwrap() + chat;
            sender.post(&json!({ "update_id": update, "message": message })).await.expect(200);
        }
    }
    for chat in 1..=500 {
        api.when_sent(chat, 3).await;
        assert_eq!(api.texts(chat), ["one", "two", "three"].map(|word| format!("{chat} {word}")));
    }
}

#[tokio::test]
async fn marks_that_are_refused_are_left_out() {
    let api = double().await;
    let host = host(&api, "").await;
    let no =
        json!({"ok": false, "error_code": 400, "description": "Bad Request: can't parse entities: at byte offset 0"});
    api.fail("sendMessage", [Fault::Answer(400, no)]);
    let run = answer(&host, &api, 5, text(), &["**done**"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!((api.texts(5), &delivery["attempts"]), (vec!["**done**".to_owned()], &json!(1)));
}

#[tokio::test]
async fn a_flood_is_waited_out_in_order_and_costs_no_attempts() {
    let api = double().await;
    api.burst(1);
    let host = host(&api, "").await;
    let run = answer(&host, &api, 5, text(), &["one", "two", "three"]).await;
    let deliveries = host.deliveries_when(&run, 3, "delivered").await;
    assert_eq!(api.texts(5), ["one", "two", "three"]);
    assert!(deliveries.iter().all(|delivery| delivery["attempts"] == 1), "{deliveries:?}");
}

#[tokio::test]
async fn a_chat_that_is_closed_to_the_bot_is_final_and_others_go_on() {
    let api = double().await;
    api.chat(Chat { forbidden: "bot was blocked by the user", ..Chat::private(6) });
    let host = host(&api, "").await;
    let blocked = answer(&host, &api, 6, text(), &["hello"]).await;
    let delivery = host.deliveries_when(&blocked, 1, "dead_lettered").await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["last_error"]["code"]), (&json!(1), &json!("bot_blocked")));
    let open = answer(&host, &api, 5, text(), &["hello"]).await;
    host.deliveries_when(&open, 1, "delivered").await;
}

#[tokio::test]
async fn a_revoked_token_waits_and_nothing_is_lost() {
    let api = double().await;
    let host = host(&api, "").await;
    api.revoke();
    let run = answer(&host, &api, 5, text(), &["one", "two"]).await;
    api.when_called("sendMessage", 1).await;
    let code = "/deliveries/0/last_error/code";
    eventually("the refusal is told", async || {
        (host.run(&run).await.pointer(code) == Some(&json!("token_revoked"))).then_some(())
    })
    .await;
    assert!(api.sent(5).is_empty());
    api.restore();
    host.deliveries_when(&run, 2, "delivered").await;
    assert_eq!(api.texts(5), ["one", "two"]);
}

#[tokio::test]
async fn a_group_that_has_moved_is_followed() {
    let api = double().await;
    api.chat(Chat { moved_to: Some(-1_008), ..Chat::group(-8, &[]) });
    api.chat(Chat::group(-1_008, &[]));
    let host = host(&api, "").await;
    for word in ["one", "two"] {
        let run = answer(&host, &api, -8, text(), &[word]).await;
        host.deliveries_when(&run, 1, "delivered").await;
    }
    assert_eq!(api.texts(-1_008), ["one", "two"]);
    assert_eq!(api.calls_of("sendMessage").len(), 3, "the new place is remembered");
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    let api = double().await;
    let host = host(&api, "").await;
    api.fail("sendMessage", [Fault::DoAndHangUp]);
    let run = answer(&host, &api, 5, text(), &["once", "after"]).await;
    api.when_sent(5, 2).await;
    one_is_unknown(&host, &run).await;
    assert_eq!(api.texts(5), ["once", "after"]);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_delivery_sends_nothing_twice() {
    let api = double().await;
    let mut host = host(&api, "").await;
    api.fail("sendMessage", [Fault::DoAndStall]);
    let run = answer(&host, &api, 5, text(), &["once", "after"]).await;
    api.when_sent(5, 1).await;
    host.kill();
    host.restart().await;
    api.when_sent(5, 2).await;
    one_is_unknown(&host, &run).await;
    assert_eq!(api.texts(5), ["once", "after"]);
}

#[tokio::test]
async fn a_route_is_checked_where_it_is_written() {
    let api = double().await;
    let host = host(&api, "allowed_chat_ids = [5]").await;
    host.make_session("s").await;
    let host = &host;
    let say = |target: Value| {
        let body = json!({ "session_id": "s", "plugin": "telegram", "target": target.to_string(), "content": "hello" });
        async move { host.post("/v1/deliveries", &body).await }
    };
    for route in [json!({"chat_id": 6}), json!({"chat_id": "5"}), json!({"chat_id": 5, "thread": 1}), json!({})] {
        let mut target = route;
        target["connector"] = json!("bot");
        let refused = say(target.clone()).await;
        assert_eq!(refused.status, 400, "{target}: {}", refused.json);
    }
    assert!(say(json!({"chat_id": 5, "connector": "bot"})).await.status < 300);
    api.when_sent(5, 1).await;
}
