//! Files of a run, fetched by whoever performs it.

use kheish_host_tests::{
    client::{self, Client},
    host::Host,
    receiver::{Received, Receiver, Reply},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::make;

const ADMIN: &str = "an-admin-token-of-enough-letters-000";

async fn started(receiver: &Receiver) -> Host {
    let settings = format!(
        "[queue]\nretry_wait_ms = 20\n[executors.far]\ntype = \"push\"\nurl = \"{}\"\nallow_private_network = true\n\
         unsigned = true\nlease_ms = 60000\n",
        receiver.url("/in")
    );
    let host = Host::builder().plugins(&[]).token(ADMIN).settings(&settings).start().await;
    make(&host, "room", "far").await;
    host
}

async fn keep(host: &Host, bytes: &[u8]) -> String {
    let request = host.client().request(Method::POST, "/v1/assets?name=a.txt&media_type=text/plain");
    client::answer(request.body(bytes.to_vec())).await.expect(201).text("/asset_id").to_owned()
}

/// Submits a run with this file.
async fn submit(host: &Host, session: &str, file: &str) -> String {
    let items = json!([{ "type": "text", "text": "read it" }, { "type": "asset_reference", "asset_id": file }]);
    host.submit(session, &json!({ "input_items": items })).await.expect(202).text("/run_id").to_owned()
}

/// Requests with the token that came with a run.
fn holder(host: &Host, sent: &Received) -> Client {
    Client::new(host.client().base()).with_token(sent.body["lease"]["token"].as_str().unwrap())
}

fn raw(file: &str) -> String {
    format!("/v1/assets/{file}/raw")
}

#[tokio::test]
async fn a_receiver_fetches_the_files_of_its_run_with_its_token_and_no_others() {
    let receiver = Receiver::scripted(|_| Reply::Status(202)).await;
    let host = started(&receiver).await;
    make(&host, "hall", "far").await;
    let (mine, other) = (keep(&host, b"mine").await, keep(&host, b"not mine").await);
    let run = submit(&host, "room", &mine).await;
    submit(&host, "hall", &other).await;
    let sent = receiver.when("/in", 2).await;
    let sent = sent.iter().find(|sent| sent.body["run_id"] == json!(run)).unwrap();
    let client = holder(&host, sent);
    assert_eq!(sent.body["input"][1]["asset_id"], json!(mine));
    let known = client.get(&format!("/v1/assets/{mine}")).await.expect(200);
    assert_eq!((known.text("/name"), &known.json["size"]), ("a.txt", &json!(4)));
    assert_eq!(&client.get(&raw(&mine)).await.expect(200).body[..], b"mine");
    let part = client.request(Method::GET, &raw(&mine)).header("range", "bytes=1-2");
    assert_eq!(&client::answer(part).await.expect(206).body[..], b"in");
    client.get(&raw(&other)).await.problem(404, "assets", "asset_not_found");
    client.get(&format!("/v1/assets/{other}")).await.problem(404, "assets", "asset_not_found");
    // Nothing else opens with it.
    for (method, path) in [
        (Method::HEAD, raw(&mine)),
        (Method::DELETE, raw(&mine)),
        (Method::POST, "/v1/assets".to_owned()),
        (Method::GET, format!("/v1/runs/{run}")),
    ] {
        assert_eq!(client::answer(client.request(method.clone(), &path)).await.status, 401, "{method} {path}");
    }
    let forged = format!("{}0", sent.body["lease"]["token"].as_str().unwrap());
    Client::new(host.client().base()).with_token(&forged).get(&raw(&mine)).await.problem(401, "auth", "invalid_token");
    // The receiver's own files are the run's as soon as it has said them.
    let made = keep(&host, b"made").await;
    client.get(&raw(&made)).await.expect(404);
    let said = json!({ "epoch": sent.body["lease"]["epoch"], "outputs": [{ "content": "", "artifacts": [{ "asset_id": made }] }] });
    client.post(&format!("/v1/runs/{run}/outputs"), &said).await.expect(200);
    client.get(&raw(&made)).await.expect(200);
}

#[tokio::test]
async fn a_receiver_s_file_has_the_name_that_its_event_gave_it() {
    let receiver = Receiver::scripted(|_| Reply::Status(202)).await;
    let host = started(&receiver).await;
    let file = keep(&host, b"mine").await;
    let item = json!({ "type": "inline_asset", "file_name": "own.csv", "media_type": "text/csv", "content_base64": "bWluZQ==" });
    host.submit("room", &json!({ "input_items": [item] })).await.expect(202);
    let sent = receiver.when("/in", 1).await.remove(0);
    let (theirs, all) = (holder(&host, &sent), host.client());
    for (client, name, media_type) in [(&theirs, "own.csv", "text/csv"), (all, "a.txt", "text/plain")] {
        let known = client.get(&format!("/v1/assets/{file}")).await.expect(200);
        assert_eq!((known.text("/name"), known.text("/media_type")), (name, media_type));
        let bytes = client.get(&raw(&file)).await.expect(200);
        let disposition = format!("attachment; filename*=UTF-8''{name}");
        assert_eq!((bytes.header("content-disposition"), bytes.header("content-type")), (&*disposition, media_type));
    }
}

#[tokio::test]
async fn the_end_of_a_lease_ends_the_way_to_its_files() {
    let receiver = Receiver::scripted(|_| Reply::Status(202)).await;
    let host = started(&receiver).await;
    let file = keep(&host, b"mine").await;
    let run = submit(&host, "room", &file).await;
    let first = receiver.when("/in", 1).await.remove(0);
    holder(&host, &first).get(&raw(&file)).await.expect(200);
    let end = |sent: &Received, verb: &str, more: Value| {
        let mut body = json!({ "epoch": sent.body["lease"]["epoch"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (client, path) = (holder(&host, sent), format!("/v1/runs/{run}/{verb}"));
        async move { client.post(&path, &body).await.expect(200) }
    };
    end(&first, "fail", json!({ "code": "later", "reason": "later", "retry": true })).await;
    let second = receiver.when("/in", 2).await.remove(1);
    holder(&host, &first).get(&raw(&file)).await.problem(409, "runs", "lease_lost");
    holder(&host, &second).get(&raw(&file)).await.expect(200);
    end(&second, "finish", json!({})).await;
    for path in [raw(&file), format!("/v1/assets/{file}")] {
        holder(&host, &second).get(&path).await.problem(409, "runs", "lease_lost");
    }
}

#[tokio::test]
async fn a_worker_fetches_files_with_the_token_that_it_claims_with() {
    let host = Host::builder().plugins(&[]).token(ADMIN).start().await;
    host.make_session("room").await;
    let file = keep(&host, b"mine").await;
    submit(&host, "room", &file).await;
    let claimed = host.worker("w").take().await;
    let id = claimed.view["input"][1]["asset_id"].as_str().unwrap();
    assert_eq!(&host.get(&raw(id)).await.expect(200).body[..], b"mine");
}
