//! Files that go out with a guest's requests.

use kheish_host_tests::{courier::asks, host::Host, receiver::Receiver};
use serde_json::json;

use super::{deliver, with_api};

/// Uploads bytes and returns their id.
async fn upload(host: &Host, bytes: Vec<u8>) -> String {
    let path = "/v1/assets?name=photo.png&media_type=image/png";
    host.client().post_bytes(path, bytes).await.expect(201).text("/asset_id").to_owned()
}

#[tokio::test]
async fn a_file_is_streamed_past_the_guest() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    // More than a guest may write, or hold.
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|at| (at % 251) as u8).collect();
    let id = upload(&host, bytes.clone()).await;
    let alone = json!({ "method": "POST", "url": api.url("/alone"), "asset": id });
    let form = json!({
        "method": "POST", "url": api.url("/form"), "form": [["chat", "7"]], "form_assets": [["photo", id, "p.png"]],
    });
    deliver(&host, asks(&[alone, form]), "delivered").await;
    let alone = &api.received_at("/alone")[0];
    assert_eq!(alone.bytes.len(), bytes.len());
    assert!(alone.bytes[..] == bytes[..], "the bytes differ");
    assert_eq!((alone.header("content-type"), alone.header("content-length")), ("image/png", "9000000"));
    let form = &api.received_at("/form")[0];
    let boundary =
        form.header("content-type").split_once("boundary=").map(|(_, boundary)| boundary.to_owned()).unwrap();
    let before = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"chat\"\r\n\r\n7\r\n--{boundary}\r\n\
         content-disposition: form-data; name=\"photo\"; filename=\"p.png\"\r\ncontent-type: application/octet-stream\r\n\r\n"
    );
    let whole = [before.as_bytes(), &bytes, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    assert!(form.bytes[..] == whole[..], "the form differs");
    assert_eq!(form.header("content-length"), whole.len().to_string());
    assert!(form.header("transfer-encoding").is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_there_is_denied() {
    let api = Receiver::start().await;
    let host = with_api(&api).await;
    let ask = json!({ "method": "POST", "url": api.url("/x"), "asset": "0".repeat(64) });
    let delivery = deliver(&host, asks(&[ask]), "dead_lettered").await;
    assert_eq!(delivery["last_error"]["code"], "http_denied", "{delivery}");
    assert!(api.received().is_empty());
}
