//! Files that go up, in three steps.

use kheish_host_tests::{
    client,
    host::Host,
    slack::{App, Fault, WebApi},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{app, builder};

/// Somebody says something, and a worker answers with a text and a file.
async fn answer(host: &Host, api: &WebApi) -> String {
    let ts = api.says("C1", "question");
    app(host).event(&App::message(&ts, &Value::Null)).await.expect(200);
    let path = "/v1/assets?name=report.pdf&media_type=application/pdf";
    let kept = client::answer(host.client().request(Method::POST, path).body(vec![7; 4_000])).await.expect(201);
    let claimed = host.worker("w").take().await;
    let artifacts = json!([{"asset_id": kept.text("/asset_id")}]);
    let body = json!({"epoch": claimed.epoch, "outputs": [{"content": "see", "artifacts": artifacts}]});
    host.post(&format!("/v1/runs/{}/finish", claimed.run), &body).await.expect(200);
    claimed.run
}

async fn both() -> (Host, WebApi) {
    let api = WebApi::start().await;
    let host = builder(&api.url(), "allowed_file_hosts = [\"127.0.0.1\"]").start().await;
    (host, api)
}

/// What the double has: the text and then the file, once.
fn judge(api: &WebApi) {
    let sent = api.sent("C1");
    assert_eq!(
        (sent.len(), sent[0].text.as_str(), &sent[1].files[..]),
        (2, "see", &["report.pdf".to_owned()][..]),
        "{sent:?}"
    );
    assert_eq!(sent[0].thread_ts, sent[1].thread_ts);
    assert_eq!(api.violations(), [""; 0]);
}

#[tokio::test]
async fn a_file_follows_its_text() {
    let (host, api) = both().await;
    let run = answer(&host, &api).await;
    host.deliveries_when(&run, 1, "delivered").await;
    judge(&api);
}

#[tokio::test]
async fn an_upload_that_broke_off_is_taken_up_where_it_was() {
    for (method, fault) in [
        ("files.getUploadURLExternal", Fault::HangUp),
        ("files.completeUploadExternal", Fault::HangUp),
        ("files.completeUploadExternal", Fault::DoAndHangUp),
        ("files.completeUploadExternal", Fault::DoAndAnswer(503)),
    ] {
        let (host, api) = both().await;
        api.fail(method, [fault]);
        let run = answer(&host, &api).await;
        host.deliveries_when(&run, 1, "delivered").await;
        judge(&api);
    }
}

#[tokio::test]
async fn a_kill_while_a_file_is_shared_shares_it_once() {
    let (mut host, api) = both().await;
    api.fail("files.completeUploadExternal", [Fault::DoAndStall]);
    let run = answer(&host, &api).await;
    api.when_sent("C1", 2).await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 1, "delivered").await;
    judge(&api);
    assert_eq!(api.calls_of("files.getUploadURLExternal").len(), 1);
}

#[tokio::test]
async fn a_kill_before_the_bytes_are_up_leaves_nothing_that_anybody_sees() {
    let (mut host, api) = both().await;
    api.fail("files.getUploadURLExternal", [Fault::DoAndStall]);
    let run = answer(&host, &api).await;
    api.when_called("files.getUploadURLExternal", 1).await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 1, "delivered").await;
    judge(&api);
    assert_eq!(api.calls_of("files.completeUploadExternal").len(), 1);
}
