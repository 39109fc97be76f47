//! Files of deliveries: for the sidecar that they go to, and while they do.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kheish_host_tests::{
    client::Client,
    host::Host,
    problem::INGRESS,
    receiver::{Gate, Reply},
    sidecar::{Sidecar, TOKEN, event, event_with, manifest, verdict},
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::builder;

const BYTES: &[u8] = b"the bytes of a file";

/// Time enough to look at what is on its way.
fn patient() -> String {
    super::QUICK.replace("timeout_ms = 700", "timeout_ms = 30000")
}

/// An event of the connector is answered with a text and a file. Gives the run and the file's id.
pub(super) async fn answer_with_file(host: &Host, connector: &str) -> (String, String) {
    answer_to(host, connector, &event("e-1", "question")).await
}

async fn answer_to(host: &Host, connector: &str, event: &Value) -> (String, String) {
    let kept = host.client().request(Method::POST, "/v1/assets?name=a.txt&media_type=text/plain").body(BYTES);
    let kept = kheish_host_tests::client::answer(kept).await.expect(201).text("/asset_id").to_owned();
    let sender = kheish_host_tests::sidecar::sender(host, connector).bearer(TOKEN).at("/events");
    let run = sender.post(event).await.expect(200).text("/run_id").to_owned();
    let claimed = host.worker("w").take().await;
    assert_eq!(claimed.run, run);
    let outputs = json!([{ "content": "see", "artifacts": [{ "asset_id": kept }] }]);
    host.post(&format!("/v1/runs/{run}/finish"), &json!({ "epoch": claimed.epoch, "outputs": outputs }))
        .await
        .expect(200);
    (run, kept)
}

#[tokio::test]
async fn a_sidecar_fetches_a_file_while_the_delivery_is_under_way() {
    let sidecar = Sidecar::start().await;
    sidecar.is(manifest(&json!({ "attachments_out": true })));
    let gate = Gate::default();
    let held = gate.clone();
    sidecar.delivers(move |_| Reply::Hold(held.clone()));
    let both = format!("{}{}", sidecar.connector("bridge", ""), sidecar.connector("other", ""));
    let host =
        builder(&sidecar, "").executor("claim").settings(&patient()).token("operator").connectors(both).start().await;
    let (run, asset) = answer_with_file(&host, "bridge").await;
    let request = sidecar.when(1).await.remove(0);
    let part = request.body["parts"][1].clone();
    let path = part["attachment"]["download_path"].as_str().unwrap().to_owned();
    let delivery = request.body["delivery_id"].as_str().unwrap();
    assert_eq!(path, format!("/v1/connectors/external/bridge/deliveries/{delivery}/assets/{asset}/raw"));
    let expected = json!({
        "type": "attachment",
        "attachment": {
            "id": asset, "media_type": "text/plain", "file_name": "a.txt", "sha256": asset, "byte_length": BYTES.len(),
            "download_path": path,
        },
    });
    assert_eq!((part, &request.body["parts"][0]["text"]), (expected, &json!("see")));
    assert_eq!(request.body["artifacts"], json!([]), "each file once");

    let nobody = Client::new(host.client().base());
    let bridge = nobody.with_token(TOKEN);
    let raw = bridge.get(&path).await.expect(200);
    assert_eq!((&raw.body[..], raw.header("content-type")), (BYTES, "text/plain"));
    nobody.get(&path).await.problem(401, INGRESS, "missing_token");
    nobody.with_token("operator").get(&path).await.problem(401, INGRESS, "invalid_token");
    for other in [
        path.replace(&asset, &"0".repeat(64)),
        path.replace("/bridge/", "/other/"),
        path.replace(delivery, "delivery_00000000000000000000000000000000"),
        path.replace(delivery, "nonsense"),
    ] {
        bridge.get(&other).await.problem(404, INGRESS, "asset_not_found");
    }
    bridge.get(&path.replace("/bridge/", "/nobody/")).await.problem(404, INGRESS, "connector_not_found");

    sidecar.delivers(|_| verdict(200, "committed"));
    gate.open();
    host.deliveries_when(&run, 1, "delivered").await;
    bridge.get(&path).await.problem(404, INGRESS, "asset_not_found");
}

#[tokio::test]
async fn a_file_goes_back_under_the_name_that_its_event_gave_it() {
    let sidecar = Sidecar::start().await;
    sidecar.is(manifest(&json!({ "attachments_out": true })));
    sidecar.delivers(|_| Reply::Hold(Gate::default()));
    let host = builder(&sidecar, "").executor("claim").settings(&patient()).start().await;
    let base64 = STANDARD.encode(BYTES);
    let file =
        json!({ "type": "inline_asset", "file_name": "own.csv", "media_type": "text/csv", "content_base64": base64 });
    answer_to(&host, "bridge", &event_with("e-1", &json!({ "attachments": [file] }))).await;
    let attachment = sidecar.when(1).await.remove(0).body["parts"][1]["attachment"].clone();
    assert_eq!((&attachment["file_name"], &attachment["media_type"]), (&json!("own.csv"), &json!("text/csv")));
    let bridge = Client::new(host.client().base()).with_token(TOKEN);
    let raw = bridge.get(attachment["download_path"].as_str().unwrap()).await.expect(200);
    assert_eq!(raw.header("content-disposition"), "attachment; filename*=UTF-8''own.csv");
    assert_eq!((&raw.body[..], raw.header("content-type")), (BYTES, "text/csv"));
}

#[tokio::test]
async fn an_open_connector_hands_out_no_files() {
    let sidecar = Sidecar::start().await;
    let open = sidecar.connector("open", "");
    let open = open.replace(&format!("shared_token = \"{TOKEN}\"\n"), "allow_unauthenticated_ingress = true\n");
    let host = builder(&sidecar, "").executor("claim").connectors(open).start().await;
    let (run, asset) = answer_with_file(&host, "open").await;
    let delivery: Value =
        eventually("there is a delivery", async || host.run(&run).await["deliveries"].get(0).cloned()).await;
    let delivery = delivery["delivery_id"].as_str().unwrap();
    let path = format!("/v1/connectors/external/open/deliveries/{delivery}/assets/{asset}/raw");
    host.client().get(&path).await.problem(401, INGRESS, "missing_token");
}
