//! The daemon's own executor: says back what was said.

use kheish_host_tests::{connectors::Http, host::Host, sender::event};
use serde_json::{Value, json};

const TOKEN: &str = "token-for-echoes";

async fn host() -> Host {
    let connector = Http::named("orders").bearer(TOKEN).fast();
    Host::builder().executor("echo").connectors(connector).start().await
}

#[tokio::test]
async fn an_event_is_answered_with_its_own_text() {
    let host = host().await;
    let answer = host.sender("orders").bearer(TOKEN).say("k1", "room", "hello").await.expect(200);
    let run = host.run_when(answer.text("/run_id"), "completed").await;
    assert_eq!(run["outputs"].as_array().map(Vec::len), Some(1));
    assert_eq!((&run["outputs"][0]["content"], &run["attempt"]), (&json!("hello"), &json!(1)));
    assert!(run["finished_at_ms"].as_i64() >= run["started_at_ms"].as_i64());
}

#[tokio::test]
async fn pieces_of_text_come_back_in_their_order() {
    let host = host().await;
    let items: Vec<Value> = ["one", "two"].map(|text| json!({ "type": "text", "text": text })).into();
    let mut payload = event("k1", "room", "");
    payload["content"] = Value::Null;
    payload.as_object_mut().into_iter().for_each(|payload| drop(payload.remove("content")));
    payload["input_items"] = items.into();
    let answer = host.sender("orders").bearer(TOKEN).post(&payload).await.expect(200);
    let run = host.run_when(answer.text("/run_id"), "completed").await;
    assert_eq!(run["outputs"][0]["content"], "one\ntwo");
}

#[tokio::test]
async fn runs_of_one_session_start_one_after_the_other() {
    let host = host().await;
    let sender = host.sender("orders").bearer(TOKEN);
    let mut runs = Vec::new();
    for n in 0..20 {
        let answer = sender.say(&format!("k{n}"), "room", &n.to_string()).await.expect(200);
        runs.push(answer.text("/run_id").to_owned());
    }
    let mut before = 0;
    for run in &runs {
        let run = host.run_when(run, "completed").await;
        let (started, finished) =
            (run["started_at_ms"].as_i64().unwrap_or_default(), run["finished_at_ms"].as_i64().unwrap_or_default());
        assert!(started >= before, "a run started at {started}, before the one in front of it had ended at {before}");
        before = finished;
    }
}
