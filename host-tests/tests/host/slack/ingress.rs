//! What comes in, rule by rule (contract section 3.3).

use futures_util::future::join_all;
use kheish_host_tests::{host::Host, sign::now_secs, slack::App, slack::SIGNING_SECRET};
use serde_json::{Value, json};

use super::{app, builder};

/// Nobody listens there; nothing of ingress talks to the platform.
const NOWHERE: &str = "https://slack.example/api";

const TS: &str = "1503435956.000247";

async fn host(lines: &str) -> Host {
    builder(NOWHERE, lines).start().await
}

#[tokio::test]
async fn a_message_becomes_a_run_in_the_session_of_its_thread() {
    let host = host("").await;
    let answer = app(&host).event(&App::message(TS, &Value::Null)).await.expect(200);
    assert_eq!(answer.text("/session_id"), format!("slack:support:team:T1:C1:{TS}"));
    let run = host.run(answer.text("/run_id")).await;
    let request = &run["request"];
    assert_eq!((&request["source_plugin"], &request["source_kind"]), (&json!("slack"), &json!("message")), "{run}");
    assert_eq!((&request["actor_id"], &run["input"][0]["text"]), (&json!("U1"), &json!("hello")), "{run}");
    assert_eq!(run["input_metadata"]["event"]["ts"], TS);
    let address = format!(r#"{{"channel_id":"C1","connector":"support","team_id":"T1","thread_ts":"{TS}"}}"#);
    assert_eq!(run["reply_targets"], json!([{"plugin": "slack", "address": address}]));
    let reply = App::message("1503435999.000001", &json!({"thread_ts": TS}));
    let reply = app(&host).event(&reply).await.expect(200);
    assert_eq!(reply.text("/session_id"), answer.text("/session_id"));
}

#[tokio::test]
async fn a_retry_is_a_duplicate_and_another_text_a_conflict() {
    let host = host("").await;
    let first = app(&host).event(&App::message(TS, &Value::Null)).await.expect(200);
    let mut retry = App::message(TS, &json!({"event_ts": "1.000009", "blocks": []}));
    retry["event_id"] = json!("EvOTHER");
    retry["event_time"] = json!(99);
    let slack = app(&host).header("x-slack-retry-num", "1").header("x-slack-retry-reason", "http_timeout");
    let again = slack.event(&retry).await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
    let mention = App::message(TS, &json!({"type": "app_mention"}));
    assert_eq!(app(&host).event(&mention).await.expect(200).text("/run_id"), first.text("/run_id"));
    let other = App::message(TS, &json!({"text": "something else"}));
    app(&host).event(&other).await.problem(409, "connector_ingress", "idempotency_conflict");
}

#[tokio::test]
async fn only_slack_is_believed_and_only_now() {
    let host = host("").await;
    let body = || App::message(TS, &Value::Null).to_string();
    let (slack, now) = (app(&host), now_secs());
    for (at, secret) in [(now, "guessed"), (now - 301, SIGNING_SECRET), (now + 310, SIGNING_SECRET)] {
        assert_eq!(slack.send("application/json", body(), at, secret).await.status, 401);
    }
    let challenge = json!({"type": "url_verification", "challenge": "3eZbrw1a"});
    assert_eq!(slack.send("application/json", challenge.to_string(), now, "guessed").await.status, 401);
    assert_eq!(slack.event(&challenge).await.expect(200).json, json!({"challenge": "3eZbrw1a"}));
    let form = "command=%2Fx&channel_id=C1&user_id=U1".to_owned();
    assert_eq!(slack.send("application/x-www-form-urlencoded", form, now, "guessed").await.status, 401);
    assert_eq!(host.get("/v1/runs").await.expect(200).items().len(), 0);
}

#[tokio::test]
async fn edits_and_deletions_say_what_they_change() {
    let host = host("").await;
    let slack = app(&host);
    let first = slack.event(&App::message(TS, &Value::Null)).await.expect(200);
    let inner = |text: &str| json!({"user": "U1", "text": text, "ts": TS});
    let mut new = inner("hello again");
    new["edited"] = json!({"user": "U1", "ts": "1503435970.000000"});
    let change = json!({"subtype": "message_changed", "message": new, "previous_message": inner("hello")});
    let edit = slack.event(&App::message("1503435970.000100", &change)).await.expect(200);
    assert_eq!(edit.text("/session_id"), first.text("/session_id"));
    let run = host.run(edit.text("/run_id")).await;
    let target = format!("team:T1:C1:{TS}");
    assert_eq!(run["input_metadata"]["event_relation"], json!({"kind": "edit", "target_event_id": target}), "{run}");
    assert_eq!(run["input"][0]["text"], "hello again");
    let change = json!({"subtype": "message_deleted", "deleted_ts": TS, "previous_message": inner("hello again")});
    let deletion = slack.event(&App::message("1503435980.000100", &change)).await.expect(200);
    let run = host.run(deletion.text("/run_id")).await;
    assert_eq!(run["input_metadata"]["event_relation"], json!({"kind": "delete", "target_event_id": target}));
    assert_eq!(run["reply_targets"], json!([]), "a deletion is not answered");
}

#[tokio::test]
async fn machines_and_strangers_start_nothing() {
    let host = host("allowed_channel_ids = [\"C1\"]\nallowed_team_ids = [\"T1\"]").await;
    let slack = app(&host);
    for members in [json!({"bot_id": "B1"}), json!({"user": "U0BOT"}), json!({"subtype": "channel_join"})] {
        let ignored = slack.event(&App::message(TS, &members)).await.expect(200);
        assert_eq!(ignored.json["reason"], "unsupported_message_subtype");
    }
    let ignored = slack.event(&App::message(TS, &json!({"type": "reaction_added"}))).await.problem(
        403,
        "connector_ingress",
        "not_allowed",
    );
    drop(ignored);
    slack.event(&App::message(TS, &json!({"channel": "C2"}))).await.problem(403, "connector_ingress", "not_allowed");
    let mut two = App::message(TS, &Value::Null);
    two["authorizations"] = json!([{"team_id": "T1"}, {"team_id": "T2"}]);
    slack.event(&two).await.problem(403, "connector_ingress", "not_allowed");
    let limited = json!({"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1_518_467_820});
    assert_eq!(slack.event(&limited).await.expect(200).json["minute_rate_limited"], 1_518_467_820);
    host.logs("there is a gap").await;
    assert_eq!(host.get("/v1/runs").await.expect(200).items().len(), 0);
}

#[tokio::test]
async fn five_hundred_conversations_at_once_stay_apart() {
    let host = host("ingress_events_per_second = 100000").await;
    let slack = app(&host);
    for round in 0..2 {
        let sent = (0..500).map(|room| {
            let (slack, root) = (slack.clone(), format!("15034{room:05}.000001"));
            async move {
                let ts = format!("15034{room:05}.00000{}", round + 2);
                let message = App::message(&ts, &json!({"thread_ts": root, "text": format!("{room} {round}")}));
                let answer = slack.event(&message).await.expect(200);
                assert_eq!(answer.text("/session_id"), format!("slack:support:team:T1:C1:{root}"));
            }
        });
        join_all(sent).await;
    }
    let worker = host.worker("w");
    let mut seen = 0;
    while seen < 500 {
        for claimed in worker.claim(64, 60_000).await {
            assert!(claimed.text().ends_with(" 0"), "a conversation's first message comes first: {}", claimed.text());
            seen += 1;
        }
    }
}
