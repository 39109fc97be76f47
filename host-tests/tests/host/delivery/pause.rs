//! A connector that its platform has locked out is left in peace until somebody mends it, and nobody else is.

use kheish_host_tests::{
    cli::Cli,
    connectors::{outbox, outbox_target},
    host::Host,
    receiver::Receiver,
    scrape::Scrape,
    sender::Sender,
    sse::{Frame, Stream},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{
    QUICK,
    connector::{ends, sent},
    say, submit, with_outbox,
};

mod lift;

/// No probe is due before a test ends: the first one comes after 72 minutes at the earliest.
const NEVER: &str = "[delivery.pause]\ninitial_ms = 86400000\nmax_ms = 86400000\n";
/// Probes come again and again.
const SOON: &str = "[delivery.pause]\ninitial_ms = 40\nmax_ms = 40\n";
/// What the platform says to those that it does not know any more.
const GAUGE: &str = "connectors_paused{connector_kind=\"outbox\"}";

async fn with_probes(pause: &str) -> Host {
    with_outbox().settings(&format!("{QUICK}{pause}")).start().await
}

/// A target of `outbox/main`, in a lane of this name, that takes what it gets.
fn well(lane: &str) -> Value {
    outbox_target("main", &json!({ "answer": "ok", "lane": lane }))
}

/// Why `outbox/main` is paused, once it is.
async fn paused(host: &Host) -> Value {
    eventually("outbox/main is paused", async || pause_of(host).await).await
}

async fn pause_of(host: &Host) -> Option<Value> {
    let view = host.get("/v1/runtime/connectors/outbox/main").await.expect(200).json;
    assert_eq!(view["status"]["state"], "running", "what is wanted serves all the same: {view}");
    view["status"].get("paused").cloned()
}

/// Locks `outbox/main` out: one delivery finds it out, and waits. Returns its run.
async fn lock_out(host: &Host) -> String {
    let run = say(host, "locked", &[ends("unauthorized")], &["first"]).await;
    paused(host).await;
    run
}

/// Changes of `outbox/main` that a stream tells of, up to and with this one.
async fn changes(stream: &mut Stream, last: &str) -> Vec<Frame> {
    let told = |frame: &Frame| frame.name == "connector_updated" && frame.text("connector") == "outbox/main";
    let frames = stream.until(|frame| told(frame) && frame.text("change") == last).await;
    frames.into_iter().filter(told).collect()
}

#[tokio::test]
async fn a_connector_that_is_locked_out_says_so_everywhere() {
    let host = with_probes(NEVER).await;
    let secret = json!({ "slot_id": "mine", "state": { "value": "value-of-mine" } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    let mut stream = Stream::open(host.client(), "/v1/events/stream").await;
    let route = json!({ "answer": "unauthorized", "reason": "The token value-of-mine was revoked." });
    let run = say(&host, "s", &[outbox_target("main", &route)], &["hello"]).await;
    let pause = paused(&host).await;
    assert_eq!(
        (&pause["code"], &pause["reason"]),
        (&json!("token_revoked"), &json!("The token [masked] was revoked.")),
        "{pause}"
    );
    let status = host.get("/v1/status").await.expect(200).json;
    let (now, since) = (status["snapshot_at_ms"].as_i64().unwrap(), pause["since_ms"].as_i64().unwrap());
    assert!(since <= now && since > now - 60_000, "{pause}");
    assert!(pause["next_probe_ms"].as_i64().unwrap() - since > 4_000_000, "{pause}");
    assert_eq!((&status["connectors"][0]["paused"], &status["connectors"][0]["state"]), (&pause, &json!("running")));
    let listed = host.get("/v1/runtime/connectors").await.expect(200).json;
    assert_eq!(listed[0]["status"]["paused"], pause);
    let delivery = host.deliveries_when(&run, 1, "retrying").await.remove(0);
    assert_eq!(delivery["next_attempt_at_ms"], pause["next_probe_ms"], "it is not before the probe");
    assert_eq!((&delivery["attempts"], &delivery["last_error"]["code"]), (&json!(0), &json!("token_revoked")));
    let told = changes(&mut stream, "paused").await.remove(0);
    assert_eq!((told.text("code"), told.text("reason")), ("token_revoked", "The token [masked] was revoked."));
    assert_eq!(told.data["next_probe_ms"], pause["next_probe_ms"]);
    let scrape = Scrape::of(&host).await;
    assert_eq!(scrape.value(GAUGE), 1.0);
    assert_eq!(scrape.value("delivery_attempts_total{class=\"unauthorized\"}"), 1.0);
    assert_eq!(scrape.value("delivery_attempts_total{class=\"rate_limited\"}"), 0.0);
    host.logs("connector outbox/main is locked out (token_revoked: The token [masked] was revoked.)").await;
    let cli = Cli::of(&host);
    let sentence = "token_revoked: The token [masked] was revoked.";
    cli.run(&["connectors", "list"]).await.expect(0).says(&["paused", sentence]);
    cli.run(&["connectors", "get", "outbox", "main"]).await.expect(0).says(&["paused", "token_revoked"]);
    cli.run(&["status"]).await.expect(0).says(&["outbox/main paused", sentence]);
    let folder = host.state_folder();
    let doctor = ["doctor", "--state-root", folder.to_str().unwrap()];
    cli.run(&doctor).await.expect(6).says(&["outbox/main is paused", sentence]);
}

#[tokio::test]
async fn while_it_is_paused_nothing_of_it_is_sent_and_everybody_else_goes_on() {
    let receiver = Receiver::start().await;
    let connectors = format!("{}{}", outbox("main", ""), outbox("other", ""));
    let mut host = with_outbox().connectors(connectors).settings(&format!("{QUICK}{NEVER}")).start().await;
    lock_out(&host).await;
    let before = paused(&host).await;
    let lanes: Vec<Value> = (0..20).map(|lane| well(&lane.to_string())).collect();
    say(&host, "behind", &lanes, &["one", "two"]).await;
    let others = async |host: &Host, session: &str| {
        let other = outbox_target("other", &json!({ "answer": "ok" }));
        let run = say(host, session, &[other, receiver.target_json("/in")], &["hello"]).await;
        host.deliveries_when(&run, 2, "delivered").await;
    };
    others(&host, "a").await;
    // What comes in is taken as ever.
    Sender::new(host.client(), "outbox", "main").post(&json!({ "text": "hello" })).await.expect(200);
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &[]).await.expect(200);
    assert_eq!(sent(&host), ["first", "hello"], "the one that found it out, and the other connector's");
    host.restart().await;
    others(&host, "b").await;
    assert_eq!(sent(&host), ["hello"], "after a restart too");
    assert_eq!(paused(&host).await, before);
}

#[tokio::test]
async fn probes_cost_no_attempts_and_are_no_news() {
    let host = with_probes(SOON).await;
    let mut stream = Stream::open(host.client(), "/v1/events/stream").await;
    let lanes = ["a", "b", "c"].map(|lane| outbox_target("main", &json!({ "answer": "unauthorized", "lane": lane })));
    let run = say(&host, "s", &lanes, &["hello"]).await;
    let since = paused(&host).await["since_ms"].clone();
    eventually("it was probed more often than attempts are counted", async || (sent(&host).len() > 12).then_some(()))
        .await;
    let deliveries = host.run(&run).await["deliveries"].as_array().cloned().unwrap_or_default();
    for delivery in &deliveries {
        assert!(
            ["pending", "retrying", "sending"].contains(&delivery["status"].as_str().unwrap_or_default()),
            "{delivery}"
        );
        assert!(delivery["attempts"].as_i64().is_some_and(|attempts| attempts <= 1), "{delivery}");
        let id = delivery["delivery_id"].as_str().unwrap_or_default();
        let shown = host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json;
        assert!(shown["attempts_that_failed"].as_array().is_none_or(|attempts| !attempts.is_empty()), "{shown}");
    }
    assert!(!host.log().contains("attempt 2"));
    assert_eq!(paused(&host).await["since_ms"], since, "it is one pause");
    assert_eq!(host.log().matches("is locked out").count(), 1, "said once");
    for delivery in &deliveries {
        let id = delivery["delivery_id"].as_str().unwrap_or_default();
        cancel(&host, id).await;
    }
    let run = say(&host, "t", &[well("d")], &["at last"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let told = changes(&mut stream, "resumed").await;
    assert_eq!(told.iter().map(|frame| frame.text("change")).collect::<Vec<_>>(), ["paused", "resumed"]);
    assert_eq!(told[1].text("cause"), "probe");
    assert_eq!(pause_of(&host).await, None);
    host.logs("deliveries of connector outbox/main go again").await;
    assert_eq!(Scrape::of(&host).await.value(GAUGE), 0.0);
}

/// Withdraws a delivery that waits, as soon as it does: it may be under way as a probe.
async fn cancel(host: &Host, id: &str) {
    eventually("it is withdrawn", async || {
        let answer = host.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_probe_that_succeeds_lets_everything_go() {
    let host = with_probes(SOON).await;
    let run = lock_out(&host).await;
    let lanes = ["a", "b", "c", "d"].map(well);
    let behind = say(&host, "behind", &lanes, &["one", "two"]).await;
    // The lane that found it out goes on failing: it does not keep the others from being the probe.
    host.deliveries_when(&behind, 8, "delivered").await;
    assert_eq!(host.run(&run).await["deliveries"][0]["attempts"].as_i64().map(|attempts| attempts <= 1), Some(true));
}

#[tokio::test]
async fn what_waited_goes_out_in_order() {
    let host = with_probes(NEVER).await;
    let run = lock_out(&host).await;
    host.make_session("many").await;
    let queued = submit(&host, "many", &["a", "b", "c", "d"].map(well)).await;
    let texts: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await.expect(200);
    cancel(&host, host.run(&run).await["deliveries"][0]["delivery_id"].as_str().unwrap_or_default()).await;
    assert_eq!(sent(&host), ["first"]);
    let body = json!({ "connector": "outbox/main" });
    host.post("/v1/deliveries/backpressure/reset", &body).await.expect(200);
    eventually("all have arrived", async || {
        let status = host.get("/v1/status").await.expect(200).json;
        (status["deliveries"]["delivered"] == 1_000).then_some(())
    })
    .await;
    let deliveries = host.get(&format!("/v1/deliveries?run_id={queued}&limit=1000")).await.expect(200).json;
    assert!(deliveries.as_array().is_some_and(|all| all.iter().all(|one| one["attempts"] == 1)), "one attempt each");
    let sent: Vec<usize> = sent(&host)[1..].iter().map(|text| text.parse().unwrap()).collect();
    // Four lanes side by side: a text is never seen more often than the one before it.
    let mut seen = vec![0; texts.len()];
    for number in sent {
        seen[number] += 1;
        assert!(number == 0 || seen[number] <= seen[number - 1], "{number} overtook the one before it");
    }
    assert!(seen.iter().all(|times| *times == 4));
}
