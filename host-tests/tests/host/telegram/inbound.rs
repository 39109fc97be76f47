//! Files of messages: asked for with the bot's token once the update is durable, or told as unavailable.

use kheish_host_tests::{
    host::Host,
    telegram::{BotApi, Fault, TOKEN},
    worker::Claimed,
};
use serde_json::{Value, json};

use super::{builder, double, webhook};

/// Files of a mebibyte, short waits, and three attempts.
const SMALL: &str = "[queue]\nsweep_interval_ms = 20\n[assets]\nmax_bytes = 1048576\n[downloads]\npoll_interval_ms = 20\n\
                     [downloads.retry]\ninitial_ms = 20\nmax_ms = 40\nmax_attempts = 3\n";

async fn both(lines: &str) -> (Host, BotApi) {
    let api = double().await;
    let lines = format!("allow_private_network = true\n{lines}");
    let host = builder(&api.url(), &lines).settings(SMALL).start().await;
    (host, api)
}

/// Ada sends a message with these members. Gives the next run, which is the message's, and what it gets to see of its file.
async fn send(host: &Host, api: &BotApi, members: Value) -> (Claimed, Value) {
    let message = api.written(5, members);
    let update = json!({ "update_id": message["message_id"], "message": message });
    let run = webhook(host).post(&update).await.expect(200).text("/run_id").to_owned();
    let claimed = host.worker("w").take().await;
    assert_eq!(claimed.run, run);
    let input = host.run(&run).await["input"].clone();
    assert_eq!(input[0]["text"], "see", "what was said is there, whatever becomes of the file: {input}");
    host.worker("w").finish(&claimed, &[]).await.expect(200);
    (claimed, input[1].clone())
}

async fn document(host: &Host, api: &BotApi, file: &Value) -> Value {
    send(host, api, json!({ "document": file, "caption": "see" })).await.1
}

async fn bytes(host: &Host, part: &Value) -> Vec<u8> {
    assert_eq!(part["type"], "asset", "{part}");
    let id = part["asset_id"].as_str().unwrap_or_default();
    host.get(&format!("/v1/assets/{id}/raw")).await.expect(200).body.to_vec()
}

/// The double's path of the file that it kept as this one.
fn path(number: usize) -> String {
    format!("documents/file_{number}.txt")
}

#[tokio::test]
async fn every_kind_of_file_is_telegrams_own_bytes() {
    let (host, api) = both("").await;
    let kinds = ["document", "voice", "audio", "video", "video_note", "sticker", "animation", "photo"];
    for (kind, byte) in kinds.into_iter().zip(0..) {
        let kept = vec![byte; 300_000 + usize::from(byte)];
        let file = api.keep("a.txt", kept.clone());
        let file = if kind == "photo" { json!([file]) } else { file };
        let (claimed, part) = send(&host, &api, json!({ kind: file, "caption": "see" })).await;
        assert!(bytes(&host, &part).await == kept, "the bytes of a {kind}");
        let shown = host.get(&format!("/v1/runs/{}", claimed.run)).await.json.to_string();
        assert!(!shown.contains(TOKEN));
    }
    assert_eq!(api.calls_of("getFile").len(), 8);
    assert!(!host.log().contains(TOKEN));
}

#[tokio::test]
async fn a_file_of_a_polled_update_is_fetched_too() {
    let (host, api) = both("ingress_mode = \"polling\"\npolling_timeout_seconds = 1").await;
    let file = api.keep("a.txt", "the file");
    let message = api.written(5, json!({ "document": file, "caption": "see" }));
    api.happen("message", message);
    let claimed = host.worker("w").take().await;
    let input = host.run(&claimed.run).await["input"].clone();
    assert_eq!(bytes(&host, &input[1]).await, b"the file");
}

#[tokio::test]
async fn what_cannot_be_had_is_told_and_the_run_happens() {
    let (host, api) = both("").await;
    let kept = |size: usize| api.keep("a.txt", vec![b'x'; size]);
    let (large, mut unsaid, mut too_big) = (kept(1_048_577), kept(1_048_577), kept(20 * 1_048_576 + 1));
    for file in [&mut unsaid, &mut too_big] {
        file["file_size"].take();
    }
    let (lost, mut unknown, refused) = (kept(1), kept(1), kept(1));
    api.lose(&lost);
    unknown["file_id"] = "AgACAgIAAxkBAAM0".into();
    api.fail(&path(6), [Fault::Answer(403, json!({"ok": false, "error_code": 403, "description": "Forbidden"}))]);
    for (file, code) in [
        (&large, "file_too_large"),
        (&unsaid, "http_too_large"),
        (&too_big, "file_too_big"),
        (&lost, "file_gone"),
        (&unknown, "file_gone"),
    ] {
        let part = document(&host, &api, file).await;
        assert_eq!((&part["type"], &part["code"]), (&json!("unavailable_file"), &json!(code)), "{part}");
        assert!(part["name"] == "a.txt" && part["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{part}");
    }
    let part = document(&host, &api, &refused).await;
    assert_eq!(part["type"], "unavailable_file", "{part}");
    assert!(!part.to_string().contains(TOKEN));
    assert_eq!(bytes(&host, &document(&host, &api, &kept(1_048_576)).await).await.len(), 1_048_576);
    assert_eq!((api.calls_of(&path(1)).len(), api.calls_of(&path(6)).len()), (0, 1));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let (host, api) = both("").await;
    let busy = |status: u16, words: &str| {
        Fault::Answer(status, json!({"ok": false, "error_code": status, "description": words}))
    };
    let file = api.keep("a.txt", "the file");
    let slow = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 1",
        "parameters": {"retry_after": 1}});
    // A wait that Telegram asks for costs no attempt.
    api.fail("getFile", [busy(502, "Bad Gateway"), Fault::Answer(429, slow)]);
    api.fail(&path(1), [Fault::HangUp]);
    let part = document(&host, &api, &file).await;
    assert_eq!(bytes(&host, &part).await, b"the file");
    assert_eq!((api.calls_of("getFile").len(), api.calls_of(&path(1)).len()), (4, 2));
}
