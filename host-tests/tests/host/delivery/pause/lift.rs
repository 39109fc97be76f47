//! What ends a pause beside a probe: an operator, a new secret, a change of the connector, its end.

use kheish_host_tests::{cli::Cli, connectors::outbox, host::Host, scrape::Scrape, sse::Stream, wait::eventually};
use serde_json::{Value, json};

use super::{GAUGE, NEVER, QUICK, cancel, changes, lock_out, pause_of, paused, say, sent, well, with_outbox};

/// A paused `outbox/main`, with a delivery behind the pause that would arrive, and none that would not.
struct Locked {
    host: Host,
    stream: Stream,
    behind: String,
}

impl Locked {
    async fn new(host: Host) -> Self {
        let stream = Stream::open(host.client(), "/v1/events/stream").await;
        let run = lock_out(&host).await;
        let behind = say(&host, "behind", &[well("a")], &["behind"]).await;
        cancel(&host, host.run(&run).await["deliveries"][0]["delivery_id"].as_str().unwrap_or_default()).await;
        assert_eq!(sent(&host), ["first"]);
        Self { host, stream, behind }
    }

    /// The connector stands in a file.
    async fn in_file() -> Self {
        Self::new(with_outbox().settings(&format!("{QUICK}{NEVER}")).start().await).await
    }

    /// The API made the connector; it rests on a secret.
    async fn in_store() -> Self {
        let host = with_outbox().connectors("").settings(&format!("{QUICK}{NEVER}")).start().await;
        set_secret(&host, "signing", "one-value").await;
        let address = json!({ "url": "http://127.0.0.1:9", "signing_secret_ref": "signing" }).to_string();
        let fields = json!({ "allow_unauthenticated_ingress": true, "default_reply_targets": [{ "plugin": "http", "address": address }] });
        host.put("/v1/runtime/connectors/outbox/main", &fields).await.expect(201);
        Self::new(host).await
    }

    /// The pause ended for this cause, and what waited has arrived.
    async fn ends(mut self, cause: &str) {
        self.host.deliveries_when(&self.behind, 1, "delivered").await;
        let told = changes(&mut self.stream, "resumed").await.pop().unwrap();
        assert_eq!(told.text("cause"), cause);
        assert_eq!(pause_of(&self.host).await, None);
        self.host.logs("deliveries of connector outbox/main go again").await;
        assert_eq!(
            self.host.log().matches("go again").count(),
            1 + usize::from(self.host.log().contains("and they go again"))
        );
        assert_eq!(Scrape::of(&self.host).await.value(GAUGE), 0.0);
    }
}

async fn set_secret(host: &Host, name: &str, value: &str) {
    let secret = json!({ "slot_id": name, "state": { "value": value } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
}

async fn reset(host: &Host, body: Value) -> Value {
    host.post("/v1/deliveries/backpressure/reset", &body).await.expect(200).json
}

#[tokio::test]
async fn an_operator_ends_a_pause_by_connector() {
    let locked = Locked::in_file().await;
    let host = &locked.host;
    let wrong = host.post("/v1/deliveries/backpressure/reset", &json!({ "connector": "main" })).await;
    wrong.problem(400, "deliveries", "invalid_connector_id");
    for (body, matched) in [
        (json!({ "connector": "outbox/main", "dry_run": true }), json!(["outbox/main"])),
        (json!({ "connector": "outbox/other" }), json!([])),
        (json!({ "connector": "outbox/main", "plugin": "http" }), json!([])),
        (json!({ "plugin": "http" }), json!([])),
    ] {
        let answer = reset(host, body.clone()).await;
        assert_eq!((&answer["connectors"], &answer["removed"]), (&matched, &json!(0)), "{body}");
    }
    paused(host).await;
    let ran = Cli::of(host).run(&["deliveries", "reset", "--connector", "outbox/main"]).await.expect(0);
    ran.says(&["pause", "outbox/main"]);
    locked.ends("operator").await;
}

#[tokio::test]
async fn an_operator_ends_the_pauses_of_a_plugin() {
    let locked = Locked::in_file().await;
    let answer = reset(&locked.host, json!({ "plugin": "outbox" })).await;
    assert_eq!((&answer["connectors"], &answer["removed"]), (&json!(["outbox/main"]), &json!(1)));
    locked.ends("operator").await;
}

#[tokio::test]
async fn a_secret_of_the_connector_ends_its_pause_and_no_other_does() {
    let locked = Locked::in_store().await;
    set_secret(&locked.host, "somebody-elses", "value").await;
    paused(&locked.host).await;
    set_secret(&locked.host, "signing", "another-value").await;
    locked.ends("secret").await;
}

#[tokio::test]
async fn a_change_through_the_api_ends_the_pause_and_the_same_words_do_not() {
    let locked = Locked::in_store().await;
    let put = async |fields: Value| {
        let view = locked.host.put("/v1/runtime/connectors/outbox/main", &fields).await.expect(200).json;
        view["status"].get("paused").cloned()
    };
    assert!(put(json!({ "allow_unauthenticated_ingress": true })).await.is_some(), "the answer says so");
    paused(&locked.host).await;
    assert_eq!(put(json!({ "ingress_events_per_second": 7 })).await, None);
    locked.ends("definition").await;
}

#[tokio::test]
async fn a_change_of_the_file_ends_the_pause() {
    let locked = Locked::in_file().await;
    locked.host.reconfigure(outbox("main", "ingress_events_per_second = 7"));
    locked.ends("definition").await;
}

#[tokio::test]
async fn a_connector_that_is_deleted_leaves_no_pause_behind() {
    let locked = Locked::in_store().await;
    let host = &locked.host;
    host.delete("/v1/runtime/connectors/outbox/main").await.expect(200);
    let delivery = host.deliveries_when(&locked.behind, 1, "dead_lettered").await.remove(0);
    assert_eq!(delivery["last_error"]["code"], "connector_gone");
    assert_eq!(reset(host, json!({ "plugin": "outbox", "dry_run": true })).await["matched"], 0);
    Scrape::when(host, GAUGE, 0.0).await;
}

#[tokio::test]
async fn a_connector_that_is_gone_when_its_pause_is_probed_leaves_none_behind() {
    let soon = format!("{QUICK}[delivery.pause]\ninitial_ms = 3000\nmax_ms = 3000\n");
    let mut host = with_outbox().settings(&soon).start().await;
    lock_out(&host).await;
    host.kill();
    host.reconfigure("");
    host.restart().await;
    eventually("the pause is over", async || {
        let look = reset(&host, json!({ "plugin": "outbox", "dry_run": true })).await;
        (look["matched"] == 0).then_some(())
    })
    .await;
    let dead = host.get("/v1/deliveries/dead-letter").await.expect(200).json;
    assert_eq!(dead[0]["last_error"]["code"], "connector_gone", "{dead}");
}
