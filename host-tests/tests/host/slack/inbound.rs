//! Files that come with messages: fetched with the bot token once the event is durable, or told as unavailable.

use kheish_host_tests::{
    host::Host,
    slack::{App, Fault, TOKEN, WebApi},
    worker::Claimed,
};
use serde_json::{Value, json};

use super::{app, builder};

/// Small files, short waits, three attempts, and two files at once.
const SMALL: &str = "[queue]\nsweep_interval_ms = 20\n[assets]\nmax_bytes = 1000\n[guests]\nconcurrent_calls = 2\n\
                     concurrent_downloads = 2\n[downloads]\npoll_interval_ms = 20\n[downloads.retry]\ninitial_ms = 20\n\
                     max_ms = 40\nmax_attempts = 3\n";

async fn both() -> (Host, WebApi) {
    let api = WebApi::start().await;
    let host = builder(&api.url(), "ingress_events_per_second = 1000").settings(SMALL).start().await;
    (host, api)
}

/// Somebody shares files. Gives the run.
async fn share(host: &Host, ts: &str, files: &[Value]) -> String {
    let message = App::message(ts, &json!({"subtype": "file_share", "files": files}));
    app(host).event(&message).await.expect(200).text("/run_id").to_owned()
}

/// The next run, and what it gets to see of its files.
async fn seen(host: &Host) -> (Claimed, Vec<Value>) {
    let claimed = host.worker("w").take().await;
    let mut input = host.run(&claimed.run).await["input"].as_array().cloned().unwrap_or_default();
    assert_eq!(input.remove(0)["text"], "hello", "what was said is there, whatever becomes of files");
    (claimed, input)
}

/// What a part is, and the code of one that cannot be had.
fn told(part: &Value) -> (&str, &str) {
    (part["type"].as_str().unwrap_or_default(), part["code"].as_str().unwrap_or_default())
}

async fn bytes(host: &Host, part: &Value) -> Vec<u8> {
    assert_eq!(part["type"], "asset", "{part}");
    let id = part["asset_id"].as_str().unwrap_or_default();
    host.get(&format!("/v1/assets/{id}/raw")).await.expect(200).body.to_vec()
}

/// The double's path of a file.
fn path(file: &Value) -> String {
    format!("/files/{}/download", file["id"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn files_are_slacks_own_bytes_and_only_the_token_opens_them() {
    let (host, api) = both().await;
    let every: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    let report = api.keep("report.pdf", "application/pdf", every.clone());
    let page = api.keep("page.html", "text/html", "<html>a page that is a file</html>");
    // In a shared channel an event names a file and says nothing else.
    let mut shared = api.keep("shared.txt", "text/plain", "from elsewhere");
    shared["file_access"] = "check_file_info".into();
    shared["url_private_download"].take();
    let run = share(&host, "1503435956.000247", &[report.clone(), page, shared]).await;
    let (claimed, files) = seen(&host).await;
    assert_eq!(claimed.run, run);
    assert_eq!(bytes(&host, &files[0]).await, every);
    assert_eq!((&files[0]["file_name"], &files[0]["media_type"]), (&json!("report.pdf"), &json!("application/pdf")));
    assert_eq!(bytes(&host, &files[1]).await, b"<html>a page that is a file</html>");
    assert_eq!(bytes(&host, &files[2]).await, b"from elsewhere");
    assert_eq!((api.calls_of("files.info").len(), api.calls_of(&path(&report)).len()), (1, 1));
    let stranger = reqwest::get(report["url_private"].as_str().unwrap_or_default()).await.unwrap();
    assert_eq!(stranger.headers()["content-type"], "text/html; charset=utf-8", "the double asks for the token");
    let shown = host.get(&format!("/v1/runs/{run}")).await.json.to_string() + &host.log();
    assert!(!shown.contains(TOKEN));
    assert_eq!(api.violations(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_had_is_told_and_the_run_happens() {
    let (host, api) = both().await;
    let elsewhere = WebApi::start().await;
    let text = |name: &str, size: usize| api.keep(name, "text/plain", vec![b'x'; size]);
    let (large, mut unsaid, fine) = (text("large", 1_001), text("unsaid", 1_001), text("fine", 1_000));
    unsaid["size"].take();
    let (deleted, mut unknown) = (text("deleted", 1), text("unknown", 1));
    unknown["file_access"] = "check_file_info".into();
    [&deleted, &unknown].into_iter().for_each(|file| api.delete(file));
    let (refused, away) = (text("refused", 1), elsewhere.keep("away", "text/plain", "never"));
    api.fail(&path(&refused), [Fault::Answer(403, Value::Null)]);
    let mut stone = text("stone", 1);
    stone["mode"] = "tombstone".into();
    let files = [large.clone(), unsaid, deleted.clone(), unknown, refused, away, stone, fine];
    share(&host, "1503435956.000247", &files).await;
    let (_, files) = seen(&host).await;
    let expected = [
        "file_too_large",
        "http_too_large",
        "file_vanished",
        "file_vanished",
        "file_access_denied",
        "http_denied",
        "file_tombstone",
    ];
    let codes: Vec<(&str, &str)> = files.iter().take(7).map(told).collect();
    assert_eq!(codes, expected.map(|code| ("unavailable_file", code)), "{files:?}");
    assert_eq!(bytes(&host, &files[7]).await.len(), 1_000);
    assert_eq!((&files[0]["name"], &files[0]["size"]), (&json!("large"), &json!(1_001)));
    assert!(files.iter().take(7).all(|file| file["reason"].as_str().is_some_and(|reason| !reason.is_empty())));
    assert_eq!((api.calls_of(&path(&large)).len(), api.calls_of(&path(&deleted)).len()), (0, 1));
    assert_eq!(elsewhere.calls().len(), 0, "a host that is not Slack's is asked for nothing");
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let (host, api) = both().await;
    let file = api.keep("a.txt", "text/plain", "the file");
    // A wait that Slack asks for costs no attempt.
    api.fail(&path(&file), [Fault::Answer(503, Value::Null), Fault::Flood(1), Fault::HangUp]);
    share(&host, "1503435956.000247", std::slice::from_ref(&file)).await;
    let (_, files) = seen(&host).await;
    assert_eq!(bytes(&host, &files[0]).await, b"the file");
    assert_eq!(api.calls_of(&path(&file)).len(), 4);
}

#[tokio::test]
async fn files_that_never_come_keep_slack_and_other_conversations_waiting_for_nothing() {
    let (host, api) = both().await;
    let file = api.keep("a.txt", "text/plain", "the file");
    api.fail(&path(&file), vec![Fault::DoAndStall; 64]);
    let mut waiting = Vec::new();
    for number in 0..8 {
        waiting.push(share(&host, &format!("1503435956.00000{number}"), std::slice::from_ref(&file)).await);
    }
    // As many as may be fetched at once are, and none of them ends.
    api.when_called(&path(&file), 2).await;
    for number in 0..32 {
        let event = App::message(&format!("1503435957.0000{number:02}"), &json!({"text": "hello"}));
        let accepted = app(&host).event(&event).await.expect(200);
        let (claimed, _) = seen(&host).await;
        assert_eq!(claimed.run, accepted.text("/run_id"));
        host.worker("w").finish(&claimed, &[]).await.expect(200);
        // One more that waits, and one that waits behind another in its conversation.
        let late = format!("1503435958.0000{number:02}");
        waiting.push(share(&host, &late, std::slice::from_ref(&file)).await);
        let behind = App::message(&format!("1503435959.0000{number:02}"), &json!({"thread_ts": late}));
        waiting.push(app(&host).event(&behind).await.expect(200).text("/run_id").to_owned());
    }
    assert_eq!(api.calls_of(&path(&file)).len(), 2);
    assert!(host.worker("w").claim(64, 60_000).await.is_empty());
    let queued = host.get("/v1/status").await.expect(200).json["runs"]["queued"].clone();
    assert_eq!(queued, json!(waiting.len()), "every event that was acknowledged is there");
}
