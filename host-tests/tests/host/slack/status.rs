//! The status of an assistant, while a run is performed.

use kheish_host_tests::slack::{App, Fault, WebApi};
use serde_json::json;

use super::{QUICK, app, builder};

const STATUS: &str = "assistant_status = \"is thinking…\"";

/// Somebody writes into this channel, and a worker answers once the method was called so often.
async fn answered(lines: &str, channel: &str, statuses: usize, faults: Vec<Fault>) -> WebApi {
    let api = WebApi::start().await;
    api.fail("assistant.threads.setStatus", faults);
    let settings = format!("{QUICK}[presence]\ndelay_ms = 0\n");
    let host = builder(&api.url(), lines).settings(&settings).start().await;
    let ts = api.says(channel, "question");
    app(&host).event(&App::message(&ts, &json!({ "channel": channel }))).await.expect(200);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    api.when_called("assistant.threads.setStatus", statuses).await;
    worker.finish(&claimed, &["answer"]).await.expect(200);
    let delivery = host.deliveries_when(&claimed.run, 1, "delivered").await.remove(0);
    assert_eq!((api.texts(channel), &delivery["attempts"]), (vec!["answer".to_owned()], &json!(1)));
    api
}

fn methods(api: &WebApi) -> Vec<String> {
    api.calls().into_iter().map(|call| call.method).collect()
}

#[tokio::test]
async fn a_direct_message_shows_it_before_its_answer() {
    let api = answered(STATUS, "D1", 1, Vec::new()).await;
    assert_eq!(methods(&api), ["assistant.threads.setStatus", "chat.postMessage"]);
    let thread = api.sent("D1")[0].thread_ts.clone();
    let args = json!({ "channel_id": "D1", "thread_ts": thread, "status": "is thinking…" });
    assert_eq!(api.calls()[0].args, args);
}

#[tokio::test]
async fn channels_show_none_and_neither_does_who_was_not_told_to() {
    for (lines, channel) in [(STATUS, "C1"), ("", "D1")] {
        assert_eq!(methods(&answered(lines, channel, 0, Vec::new()).await), ["chat.postMessage"], "{channel}");
    }
}

#[tokio::test]
async fn an_app_that_is_no_assistant_answers_all_the_same() {
    let no = Fault::Answer(200, json!({ "ok": false, "error": "missing_scope", "needed": "assistant:write" }));
    let api = answered(STATUS, "D1", 1, vec![no]).await;
    assert_eq!(methods(&api), ["assistant.threads.setStatus", "chat.postMessage"]);
}
