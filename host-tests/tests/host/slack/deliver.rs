//! Answers, judged by what the double has taken.

use kheish_host_tests::{
    host::Host,
    slack::{Fault, WebApi},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{answer, app, builder};

async fn both(lines: &str) -> (Host, WebApi) {
    let api = WebApi::start().await;
    let host = builder(&api.url(), lines).start().await;
    (host, api)
}

#[tokio::test]
async fn an_answer_is_posted_into_its_thread() {
    let (host, api) = both("").await;
    let run = answer(&host, &api, &["**done** <!channel>"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    let sent = api.sent("C1");
    assert_eq!((sent.len(), sent[0].text.as_str()), (1, "*done* &lt;!channel&gt;"));
    assert!(sent[0].thread_ts.is_some());
    assert_eq!(delivery["platform_id"], sent[0].ts.as_str());
    assert_eq!(api.violations(), [""; 0]);
}

#[tokio::test]
async fn a_long_answer_comes_in_parts_in_order() {
    let (host, api) = both("").await;
    let text = (0..900).map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ");
    let run = answer(&host, &api, &[&text]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let texts = api.texts("C1");
    assert!(texts.len() > 1);
    assert_eq!(texts.join(" "), text);
    assert_eq!(api.violations(), [""; 0]);
}

#[tokio::test]
async fn a_flood_costs_no_attempt_and_no_message() {
    let (host, api) = both("").await;
    api.fail("chat.postMessage", vec![Fault::Flood(0); 5]);
    let run = answer(&host, &api, &["patience"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!((api.texts("C1"), &delivery["attempts"]), (vec!["patience".to_owned()], &json!(1)));
}

#[tokio::test]
async fn the_rate_of_a_channel_is_kept() {
    let (host, api) = both("").await;
    api.burst(1);
    let run = answer(&host, &api, &["one", "two", "three"]).await;
    host.deliveries_when(&run, 3, "delivered").await;
    assert_eq!(api.texts("C1"), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_revoked_token_ends_nothing() {
    let (host, api) = both("").await;
    api.revoke();
    let run = answer(&host, &api, &["later"]).await;
    eventually("Slack has refused", async || (!api.calls_of("chat.postMessage").is_empty()).then_some(())).await;
    assert_eq!(api.texts("C1").len(), 0);
    api.restore();
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(api.texts("C1"), ["later"]);
}

#[tokio::test]
async fn what_cannot_be_posted_is_a_dead_letter_with_advice() {
    let (host, api) = both("").await;
    api.kick("C1");
    let run = answer(&host, &api, &["nobody hears"]).await;
    let dead = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!(dead["last_error"]["code"], "not_in_channel", "{dead}");
    assert!(dead.to_string().contains("invite the app"), "{dead}");
}

#[tokio::test]
async fn what_may_have_arrived_is_looked_up_and_not_repeated() {
    for fault in
        [Fault::DoAndHangUp, Fault::DoAndAnswer(502), Fault::Answer(200, json!({"ok": false, "error": "fatal_error"}))]
    {
        let (host, api) = both("").await;
        api.fail("chat.postMessage", [fault]);
        let run = answer(&host, &api, &["once", "then"]).await;
        host.deliveries_when(&run, 2, "delivered").await;
        assert_eq!(api.texts("C1"), ["once", "then"]);
        assert!(!api.calls_of("conversations.replies").is_empty());
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_doubles_nothing() {
    let (mut host, api) = both("").await;
    api.fail("chat.postMessage", [Fault::DoAndStall]);
    let run = answer(&host, &api, &["once", "then"]).await;
    api.when_sent("C1", 1).await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 2, "delivered").await;
    assert_eq!(api.texts("C1"), ["once", "then"]);
}

#[tokio::test]
async fn an_answer_whose_thread_is_gone_goes_to_the_channel() {
    let (host, api) = both("").await;
    let target = json!({"plugin": "slack", "address": json!({"connector": "support", "channel_id": "C1", "thread_ts": "1503435956.000247"}).to_string()});
    host.make_session("room").await;
    host.submit("room", &json!({"content": "x", "reply_targets": [target]})).await.expect(202);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["found you"]).await.expect(200);
    host.deliveries_when(&claimed.run, 1, "delivered").await;
    assert_eq!(api.sent("C1")[0].thread_ts, None);
}

#[tokio::test]
async fn a_route_that_slack_would_not_understand_is_refused() {
    let (host, _api) = both("").await;
    host.make_session("room").await;
    let target =
        json!({"plugin": "slack", "address": json!({"connector": "support", "channel_id": "#general"}).to_string()});
    let refused = host.submit("room", &json!({"content": "x", "reply_targets": [target]})).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json.to_string().contains("C024BE91L"), "{}", refused.json);
}

async fn command(host: &Host, url: &str, trigger: &str) -> String {
    let fields = [
        ("command", "/weather"),
        ("text", "94070"),
        ("team_id", "T1"),
        ("channel_id", "C1"),
        ("user_id", "U1"),
        ("api_app_id", "A1"),
        ("response_url", url),
        ("trigger_id", trigger),
    ];
    let taken = app(host).form(&fields).await.expect(200);
    assert!(taken.body.is_empty(), "anything said at once would be posted");
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.text(), "/weather 94070");
    worker.finish(&claimed, &["sunny"]).await.expect(200);
    claimed.run
}

#[tokio::test]
async fn a_command_is_answered_to_who_asked() {
    let (host, api) = both("").await;
    let url = api.response_url();
    let run = command(&host, &url, "1.2.3").await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(api.whispered(), [json!({"response_type": "ephemeral", "text": "sunny", "replace_original": false})]);
    let shown = host.get(&format!("/v1/runs/{run}")).await.expect(200).json.to_string();
    assert!(!shown.contains(&url) && !host.log().contains(&url), "the address speaks for the app");
    let late = api.response_url();
    api.expire(&late);
    let run = command(&host, &late, "1.2.4").await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(api.whispered()[1], json!({"channel": "C1", "user": "U1", "text": "sunny"}));
    assert_eq!((api.texts("C1").len(), api.violations()), (0, Vec::<String>::new()));
}

#[tokio::test]
async fn a_button_is_answered_in_its_thread() {
    let (host, api) = both("").await;
    let ts = api.says("C1", "Approve?");
    let payload = json!({
        "type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1"}, "channel": {"id": "C1"}, "trigger_id": "1.2.3",
        "message": {"ts": ts}, "actions": [{"action_id": "approve", "value": "yes", "action_ts": "1548426417.840180"}],
    });
    let fields = [("payload", payload.to_string())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert!(app(&host).form(&fields).await.expect(200).body.is_empty());
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.text(), "approve: yes");
    worker.finish(&claimed, &["approved"]).await.expect(200);
    host.deliveries_when(&claimed.run, 1, "delivered").await;
    assert_eq!(api.sent("C1")[0].thread_ts.as_deref(), Some(ts.as_str()));
    assert_eq!(api.calls_of("chat.postMessage")[0].args["text"], Value::from("approved"));
}
