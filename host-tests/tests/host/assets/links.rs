//! Links: who gets an output gets its files, for a while, and nothing else.

use std::fs;

use kheish_host_tests::{
    client::{self, Answer, Client},
    host::{Host, HostBuilder},
    receiver::Receiver,
    spans,
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::keep;

const ADMIN: &str = "token-of-the-operator";

fn guarded(more: &str) -> HostBuilder {
    Host::builder().plugins(&[]).token(ADMIN).settings(more)
}

fn anybody(host: &Host) -> Client {
    Client::new(host.client().base())
}

/// The body of a delivery whose output has this file.
async fn delivered(host: &Host, receiver: &Receiver, file: &str) -> Value {
    host.make_session("room").await;
    let target = receiver.target_json("/in");
    host.submit("room", &json!({ "content": "x", "reply_targets": [target] })).await.expect(202);
    let claimed = host.worker("w").take().await;
    let outputs = json!([{ "content": "see", "artifacts": [{ "asset_id": file }] }]);
    let body = json!({ "epoch": claimed.epoch, "outputs": outputs });
    host.post(&format!("/v1/runs/{}/finish", claimed.run), &body).await.expect(200);
    receiver.when("/in", 1).await.remove(0).body
}

async fn ask(client: &Client, method: Method, path: &str) -> Answer {
    client::answer(client.request(method, path)).await
}

#[tokio::test]
async fn a_receiver_fetches_the_file_of_its_delivery_and_no_other() {
    let receiver = Receiver::start().await;
    let mut host = spans::sent_to(guarded(""), &receiver).start().await;
    let (file, other) = (keep(&host, b"for the receiver").await, keep(&host, b"for nobody").await);
    let body = delivered(&host, &receiver, &file).await;
    let artifact = json!({ "asset_id": file, "name": "a b.txt", "media_type": "text/plain", "size": 16 });
    assert_eq!(body["artifacts"], json!([artifact]));
    let attachment = &body["artifact_attachments"][0];
    assert_eq!((&attachment["file_name"], &attachment["byte_length"]), (&json!("a b.txt"), &json!(16)));
    let path = attachment["download_path"].as_str().unwrap().to_owned();
    let token = path.split_once("token=").unwrap().1;
    for start in 0..2 {
        let nobody = anybody(&host);
        assert_eq!(&nobody.get(&path).await.expect(200).body[..], b"for the receiver", "start {start}");
        let part = nobody.request(Method::GET, &path).header("range", "bytes=0-2");
        assert_eq!(&client::answer(part).await.expect(206).body[..], b"for");
        nobody.get(&path.replace(&file, &other)).await.problem(401, "auth", "invalid_link");
        nobody.get(&path[..path.len() - 1]).await.problem(401, "auth", "invalid_link");
        // Nothing else opens with it.
        for (method, path) in [
            (Method::HEAD, path.clone()),
            (Method::POST, path.clone()),
            (Method::GET, path.replace("/raw", "")),
            (Method::GET, path.replace("/raw", "/raw/")),
            (Method::GET, path.replace("token=", "Token=")),
            (Method::GET, format!("/v1/status?token={token}")),
        ] {
            assert_eq!(ask(&nobody, method.clone(), &path).await.status, 401, "{method} {path}");
        }
        nobody.with_token("wrong").get(&path).await.problem(401, "auth", "invalid_token");
        // What is said of these requests anywhere does not help others.
        let audit = host.state_folder().join("control-plane-auth/audit.jsonl");
        let audit = eventually("the refusal is in the audit file", async || {
            fs::read_to_string(&audit).ok().filter(|text| text.contains("invalid_link"))
        })
        .await;
        assert!(!audit.contains(token), "{audit}");
        assert!(!host.log().contains(token), "{}", host.log());
        let traces = receiver.received_at(spans::PATH);
        let is_told = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!traces.iter().any(|request| is_told(&request.bytes)), "a trace has the token");
        let database = fs::read_dir(host.state_folder()).unwrap().map(|entry| entry.unwrap().path());
        for file in database.filter(|path| path.is_file()) {
            assert!(!is_told(&fs::read(&file).unwrap()), "{} has the token", file.display());
        }
        host.restart().await;
    }
}

#[tokio::test]
async fn links_run_out() {
    let receiver = Receiver::start().await;
    let host = guarded("[assets]\nlink_life_ms = 1\n").start().await;
    let file = keep(&host, b"x").await;
    let body = delivered(&host, &receiver, &file).await;
    let path = body["artifact_attachments"][0]["download_path"].as_str().unwrap();
    let over = async || (anybody(&host).get(path).await.status == 401).then_some(());
    eventually("the link is over", over).await;
    host.get(&format!("/v1/assets/{file}/raw")).await.expect(200);
}

#[tokio::test]
async fn wrong_links_are_refusals_that_count() {
    let host = guarded("[auth]\nfailure_limit = 3\n").start().await;
    let file = keep(&host, b"x").await;
    let wrong = format!("/v1/assets/{file}/raw?token=1.2");
    for _ in 0..3 {
        anybody(&host).get(&wrong).await.problem(401, "auth", "invalid_link");
    }
    anybody(&host).get(&wrong).await.problem(429, "auth", "rate_limited");
    host.get(&format!("/v1/assets/{file}/raw")).await.expect(200);
}
