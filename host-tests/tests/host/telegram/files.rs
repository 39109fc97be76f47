//! Files that go out, and what becomes of them when the daemon is killed in between.

use kheish_host_tests::{
    client,
    host::Host,
    telegram::{BotApi, Fault, Message},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{deliver::host, double, webhook};

/// The most of a caption, in code units of UTF-16.
const CAPTION: usize = 1_024;

/// Uploads a file of so many bytes, which are no other file's, and gives what an output says of it.
async fn keep(host: &Host, name: &str, media_type: &str, size: usize) -> Value {
    let path = format!("/v1/assets?name={name}&media_type={media_type}");
    let body = host
        .client()
        .request(Method::POST, &path)
        .body(name.as_bytes().repeat(size).split_off(name.len() * size - size));
    json!({ "asset_id": client::answer(body).await.expect(201).text("/asset_id") })
}

/// Somebody writes in the topic of the group, and a worker answers with this text and these files. Gives the run.
async fn answer(host: &Host, api: &BotApi, text: &str, files: Vec<Value>) -> String {
    let message = api.written(-7, json!({ "text": "question", "message_thread_id": 3, "is_topic_message": true }));
    webhook(host).post(&json!({ "update_id": 1, "message": message })).await.expect(200);
    let claimed = host.worker("w").take().await;
    let body = json!({ "epoch": claimed.epoch, "outputs": [{ "content": text, "artifacts": files }] });
    host.post(&format!("/v1/runs/{}/finish", claimed.run), &body).await.expect(200);
    claimed.run
}

/// What the group has got: how, the file's name and size, and the text or caption.
fn seen(api: &BotApi) -> Vec<(String, String, usize, String)> {
    let one = |message: Message| {
        assert_eq!((message.topic, message.quotes), (Some(3), Some(1)), "{message:?}");
        let (kind, name, size) = message.file.unwrap_or_else(|| ("text".to_owned(), String::new(), 0));
        (kind, name, size, message.text)
    };
    api.sent(-7).into_iter().map(one).collect()
}

fn file(kind: &str, name: &str, size: usize, caption: &str) -> (String, String, usize, String) {
    (kind.to_owned(), name.to_owned(), size, caption.to_owned())
}

#[tokio::test]
async fn each_file_goes_out_as_what_it_is_and_the_first_takes_the_text_along() {
    let api = double().await;
    let host = host(&api, "").await;
    let mut files = Vec::new();
    for (name, media_type) in
        [("a.png", "image/png"), ("b.mp3", "audio/mpeg"), ("c.mp4", "video/mp4"), ("d.pdf", "application/pdf")]
    {
        files.push(keep(&host, name, media_type, 3_000).await);
    }
    let run = answer(&host, &api, "**see**", files).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let expected = [
        file("photo", "a.png", 3_000, "see"),
        file("audio", "b.mp3", 3_000, ""),
        file("video", "c.mp4", 3_000, ""),
        file("document", "d.pdf", 3_000, ""),
    ];
    assert_eq!(seen(&api), expected);
    assert_eq!(api.sent(-7)[0].marked.as_deref(), Some("<b>see</b>"));
}

#[tokio::test]
async fn what_a_caption_cannot_hold_follows_as_a_message() {
    let api = double().await;
    let host = host(&api, "format = \"plain\"").await;
    let report = keep(&host, "report.pdf", "application/pdf", 10).await;
    let words: Vec<String> = (0..900).map(|number| format!("😀{number:03}")).collect();
    let run = answer(&host, &api, &words.join(" "), vec![report]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let sent = seen(&api);
    let kinds: Vec<&str> = sent.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["document", "text", "text"]);
    let caption = sent[0].3.encode_utf16().count();
    assert!((CAPTION - 6..=CAPTION).contains(&caption), "{caption}");
    let texts: Vec<&str> = sent.iter().flat_map(|(.., text)| text.split_whitespace()).collect();
    assert_eq!(texts, words);
}

#[tokio::test]
async fn a_kill_between_two_parts_goes_on_with_the_second() {
    let api = double().await;
    let mut host = host(&api, "").await;
    let files = vec![keep(&host, "a.png", "image/png", 50).await, keep(&host, "b.pdf", "application/pdf", 60).await];
    // The second part waits for its turn when the daemon ends.
    let flood = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 2",
        "parameters": {"retry_after": 2}});
    api.fail("sendDocument", [Fault::Answer(429, flood)]);
    let run = answer(&host, &api, "see", files).await;
    host.deliveries_when(&run, 1, "retrying").await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(seen(&api), [file("photo", "a.png", 50, "see"), file("document", "b.pdf", 60, "")]);
    assert_eq!(api.calls_of("sendPhoto").len(), 1);
}

#[tokio::test]
async fn a_kill_while_a_file_is_under_way_sends_it_once() {
    let api = double().await;
    let mut host = host(&api, "").await;
    let files = vec![keep(&host, "a.png", "image/png", 50).await, keep(&host, "b.pdf", "application/pdf", 60).await];
    api.fail("sendPhoto", [Fault::DoAndStall]);
    let run = answer(&host, &api, "see", files).await;
    api.when_sent(-7, 1).await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 1, "unknown").await;
    api.when_sent(-7, 2).await;
    assert_eq!(seen(&api), [file("photo", "a.png", 50, "see"), file("document", "b.pdf", 60, "")]);
}

#[tokio::test]
async fn a_picture_that_telegram_cannot_read_goes_out_as_a_document() {
    let api = double().await;
    let host = host(&api, "").await;
    let picture = keep(&host, "a.png", "image/png", 50).await;
    let no = json!({"ok": false, "error_code": 400, "description": "Bad Request: PHOTO_INVALID_DIMENSIONS"});
    api.fail("sendPhoto", [Fault::Answer(400, no)]);
    let run = answer(&host, &api, "see", vec![picture]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!((seen(&api), &delivery["attempts"]), (vec![file("document", "a.png", 50, "see")], &json!(1)));
}
