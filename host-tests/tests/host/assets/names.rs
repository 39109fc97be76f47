//! Names: equal bytes are kept once, and are called what whoever refers to them calls them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kheish_host_tests::{client::Client, host::Host, receiver::Receiver};
use serde_json::{Value, json};

use super::keep;

const BYTES: &[u8] = b"the same bytes";

/// What a download is called.
async fn called(host: &Host, path: &str) -> String {
    let raw = Client::new(host.client().base()).get(path).await.expect(200);
    assert_eq!(&raw.body[..], BYTES);
    raw.header("content-disposition").trim_start_matches("attachment; filename*=UTF-8''").to_owned()
}

#[tokio::test]
async fn equal_bytes_have_the_name_that_each_event_and_each_output_gave_them() {
    let receiver = Receiver::start().await;
    let host = Host::builder().plugins(&[]).token("token-of-the-operator").start().await;
    let id = keep(&host, BYTES).await;
    for (session, name) in [("one", "first.csv"), ("two", "second & last.csv")] {
        host.make_session(session).await;
        let file = json!({
            "type": "inline_asset", "file_name": name, "media_type": "text/csv", "content_base64": STANDARD.encode(BYTES),
        });
        let path = format!("/{session}");
        let body = json!({ "input_items": [file], "reply_targets": [receiver.target_json(&path)] });
        let run = host.submit(session, &body).await.expect(202).text("/run_id").to_owned();
        let claimed = host.worker("w").take().await;
        let input = json!({ "type": "asset", "asset_id": id, "file_name": name, "media_type": "text/csv" });
        assert_eq!((claimed.run.as_str(), &claimed.view["input"]), (run.as_str(), &json!([input])));
        let own = json!({ "asset_id": id, "name": "own.txt", "media_type": "text/plain" });
        let outputs = json!([
            { "content": "as it came", "artifacts": [{ "asset_id": id }] },
            { "content": "as it is now", "artifacts": [own] },
        ]);
        let body = json!({ "epoch": claimed.epoch, "outputs": outputs });
        host.post(&format!("/v1/runs/{run}/finish"), &body).await.expect(200);
        let came = json!({ "asset_id": id, "name": name, "media_type": "text/csv", "size": BYTES.len() });
        let mut own = own;
        own["size"] = json!(BYTES.len());
        let shown = host.run(&run).await["outputs"].clone();
        assert_eq!(json!([shown[0]["artifacts"], shown[1]["artifacts"]]), json!([[came], [own]]));
        for (sent, file) in receiver.when(&path, 2).await.iter().zip([came, own]) {
            assert_eq!(sent.body["artifacts"], json!([file]));
            let attachment = &sent.body["artifact_attachments"][0];
            assert_eq!(attachment["file_name"], file["name"]);
            let link = attachment["download_path"].as_str().unwrap();
            assert_eq!(called(&host, link).await, escaped(&file["name"]));
            let (before, token) = link.split_once("name=").unwrap();
            let nameless = format!("{before}{}", token.split_once('&').unwrap().1);
            assert_eq!(called(&host, &nameless).await, id, "what others call it is not told");
        }
    }
    assert_eq!(host.get(&format!("/v1/assets/{id}")).await.expect(200).text("/name"), "a b.txt");
}

fn escaped(name: &Value) -> String {
    name.as_str().unwrap().replace(' ', "%20").replace('&', "%26")
}
