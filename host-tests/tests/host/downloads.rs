//! Files that events name: fetched once the event is durable, or told as unavailable; the run waits for them and for nothing else.

use kheish_host_tests::{
    courier::{asks, courier},
    host::{COURIER, Host, HostBuilder},
    receiver::{Gate, Received, Receiver, Reply},
    wait::eventually,
    worker::Claimed,
};
use serde_json::{Value, json};

/// Short waits, three attempts, and small files.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[assets]\nmax_bytes = 1000\n[downloads]\npoll_interval_ms = 20\n\
                     [delivery]\npoll_interval_ms = 20\n[delivery.pause]\ninitial_ms = 20\nmax_ms = 20\n[downloads.retry]\ninitial_ms = 20\nmax_ms = 40\nmax_attempts = 3\ngive_up_after_ms = 20000\n";

fn builder(api: &Receiver) -> HostBuilder {
    Host::builder().plugins(&[COURIER]).settings(QUICK).connectors(courier(&api.url(""), ""))
}

/// An event with a text file at this path.
fn with_file(api: &Receiver, id: &str, path: &str) -> Value {
    json!({ "id": id, "files": [file(api, path)] })
}

fn file(api: &Receiver, path: &str) -> Value {
    json!({ "name": "a.txt", "media_type": "text/plain", "locator": { "url": api.url(path), "bearer": ["token"] } })
}

/// Sends an event. Returns the id of its run.
async fn send(host: &Host, event: &Value) -> String {
    host.post("/v1/connectors/courier/main", event).await.expect(200).text("/run_id").to_owned()
}

/// The run, claimed, and its input.
async fn claim(host: &Host) -> (Claimed, Value) {
    let claimed = host.worker("w").take().await;
    let input = host.run(&claimed.run).await["input"].clone();
    (claimed, input)
}

async fn finish(host: &Host, claimed: &Claimed) {
    host.worker("w").finish(claimed, &["done"]).await.expect(200);
}

/// A file's bytes, then what is said of it.
async fn content(host: &Host, part: &Value) -> String {
    let id = part["asset_id"].as_str().unwrap_or_default();
    String::from_utf8_lossy(&host.get(&format!("/v1/assets/{id}/raw")).await.expect(200).body).into_owned()
}

fn text(body: &str) -> Reply {
    Reply::Body(200, "text/plain", body.to_owned())
}

/// Answers this until a path was asked so many times, then with a file.
fn first(count: usize, reply: fn() -> Reply) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    move |request| if request.nth_to_path < count { reply() } else { text("the file") }
}

#[tokio::test]
async fn a_file_takes_its_place_in_the_input_and_nobody_waits_for_it_but_its_run() {
    let gate = Gate::default();
    let held = gate.clone();
    let api = Receiver::scripted(
        move |request| {
            if request.nth_to_path == 0 { Reply::Hold(held.clone()) } else { text("the file") }
        },
    )
    .await;
    let host = builder(&api).start().await;
    let run = send(&host, &with_file(&api, "one", "/f")).await;
    api.when("/f", 1).await;
    let behind = send(&host, &json!({ "id": "two", "text": "behind it" })).await;
    host.make_session("other").await;
    let other = host.submit("other", &json!({ "content": "beside it" })).await.expect(202).text("/run_id").to_owned();
    let (claimed, _) = claim(&host).await;
    assert_eq!(claimed.run, other, "who waits for a file is not claimed, and delays no other session");
    finish(&host, &claimed).await;
    assert!(host.worker("w").claim(4, 5_000).await.is_empty(), "and in its session nobody passes it");
    assert_eq!(host.run(&run).await["input"][0]["type"], "remote_file");
    // An empty answer is a file too.
    gate.open();
    let (claimed, input) = claim(&host).await;
    assert_eq!((&claimed.run, &input[0]["type"]), (&run, &json!("asset")), "{input}");
    assert_eq!((&input[0]["file_name"], &input[0]["media_type"]), (&json!("a.txt"), &json!("text/plain")));
    assert_eq!(content(&host, &input[0]).await, "");
    assert!(api.received_at("/f")[0].header("authorization").starts_with("Bearer secret-"));
    finish(&host, &claimed).await;
    assert_eq!(claim(&host).await.0.run, behind);
}

#[tokio::test]
async fn what_may_succeed_later_is_tried_again() {
    for (count, reply) in [
        (2, (|| Reply::Status(503)) as fn() -> Reply),
        (2, || Reply::HangUp),
        // Being locked out spends no attempts.
        (5, || Reply::Status(401)),
    ] {
        let api = Receiver::scripted(first(count, reply)).await;
        let host = builder(&api).start().await;
        send(&host, &with_file(&api, "one", "/f")).await;
        let (_, input) = claim(&host).await;
        assert_eq!(input[0]["type"], "asset", "{input}");
        assert_eq!(content(&host, &input[0]).await, "the file");
        assert_eq!(api.received_at("/f").len(), count + 1);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_had_is_told_and_the_run_happens() {
    let api = Receiver::scripted(|request| match request.path.as_str() {
        "/vanished" => Reply::Status(404),
        "/large" => text(&"x".repeat(1_001)),
        "/down" => Reply::Status(503),
        _ => text("fine"),
    })
    .await;
    let host = builder(&api).start().await;
    let paths = ["/vanished", "/fine", "/large", "/down"];
    let mut files: Vec<Value> = paths.iter().map(|path| file(&api, path)).collect();
    files.push(json!({ "name": "huge.bin", "size": 1_001, "locator": { "url": api.url("/never") } }));
    files.push(json!({ "name": "away.bin", "locator": { "url": "https://elsewhere.example/never" } }));
    send(&host, &json!({ "id": "one", "files": files })).await;
    let (_, input) = claim(&host).await;
    let told =
        |at: usize| (input[at]["type"].as_str().unwrap_or_default(), input[at]["code"].as_str().unwrap_or_default());
    assert_eq!(told(0), ("unavailable_file", "file_vanished"), "{input}");
    assert_eq!(told(1), ("asset", ""));
    assert_eq!(told(2), ("unavailable_file", "http_too_large"));
    assert_eq!(told(3), ("unavailable_file", "status"));
    assert_eq!(told(4), ("unavailable_file", "file_too_large"));
    assert_eq!(told(5), ("unavailable_file", "http_denied"));
    assert_eq!((&input[4]["name"], &input[4]["size"]), (&json!("huge.bin"), &json!(1_001)));
    assert_eq!((api.received_at("/down").len(), api.received_at("/vanished").len()), (3, 1));
    assert!(api.received_at("/never").is_empty());
}

#[tokio::test]
async fn a_run_waits_no_longer_than_it_is_told_to() {
    for (settings, asked) in [(QUICK.to_owned(), 1..1_000), (never(), 1..2)] {
        let api = Receiver::scripted(|_| Reply::Status(401)).await;
        let settings = settings.replace("give_up_after_ms = 20000", "give_up_after_ms = 300");
        let host = builder(&api).settings(&settings).start().await;
        send(&host, &with_file(&api, "one", "/f")).await;
        let (_, input) = claim(&host).await;
        let told = (&input[0]["type"], &input[0]["code"], &input[0]["reason"]);
        let expected = (&json!("unavailable_file"), &json!("token_revoked"), &json!("The token was revoked."));
        assert_eq!(told, expected, "why the connector is paused is why there is no file");
        assert!(asked.contains(&api.received_at("/f").len()), "only probes ask");
    }
}

/// No probe is due before a test ends.
fn never() -> String {
    QUICK.replace(
        "[delivery.pause]\ninitial_ms = 20\nmax_ms = 20",
        "[delivery.pause]\ninitial_ms = 86400000\nmax_ms = 86400000",
    )
}

async fn pause(host: &Host) -> Option<Value> {
    let view = host.get("/v1/runtime/connectors/courier/main").await.expect(200).json;
    view["status"].get("paused").cloned()
}

/// A connector that was locked out where it fetched a file.
async fn locked_out(settings: &str) -> (Host, Receiver) {
    let api = Receiver::scripted(|_| Reply::Status(401)).await;
    let host = builder(&api).settings(settings).start().await;
    send(&host, &with_file(&api, "one", "/f")).await;
    let paused = eventually("courier/main is paused", async || pause(&host).await).await;
    assert_eq!((&paused["code"], &paused["reason"]), (&json!("token_revoked"), &json!("The token was revoked.")));
    (host, api)
}

#[tokio::test]
async fn a_lock_out_pauses_the_connector_with_all_that_it_sends_and_fetches() {
    let (mut host, api) = locked_out(&never()).await;
    host.make_session("other").await;
    let target = asks(&[json!({ "url": api.url("/sent"), "bearer": ["token"] })]);
    host.submit("other", &json!({ "content": "hello", "reply_targets": [target] })).await.expect(202);
    finish(&host, &claim(&host).await.0).await;
    send(&host, &with_file(&api, "two", "/g")).await;
    let before = pause(&host).await;
    host.restart().await;
    assert!(host.worker("w").claim(4, 5_000).await.is_empty());
    assert_eq!(pause(&host).await, before);
    assert_eq!(api.count(), 1, "nobody asks but who found it out");
    api.follow(|_| text("the file"));
    host.post("/v1/deliveries/backpressure/reset", &json!({ "connector": "courier/main" })).await.expect(200);
    let (claimed, input) = claim(&host).await;
    assert_eq!(content(&host, &input[0]).await, "the file");
    finish(&host, &claimed).await;
    assert_eq!(claim(&host).await.1[0]["type"], "asset");
    api.when("/sent", 1).await;
    assert_eq!(pause(&host).await, None);
}

#[tokio::test]
async fn a_file_that_comes_ends_the_pause() {
    let (host, api) = locked_out(QUICK).await;
    api.follow(|_| text("the file"));
    let (_, input) = claim(&host).await;
    assert_eq!(content(&host, &input[0]).await, "the file");
    assert_eq!(pause(&host).await, None);
    host.logs("deliveries of connector courier/main go again").await;
}

#[tokio::test]
async fn a_probe_that_dies_with_the_daemon_keeps_the_next_one_away_for_no_lease() {
    let gate = Gate::default();
    let held = gate.clone();
    let api = Receiver::scripted(move |request| match request.nth_to_path {
        0 => Reply::Status(401),
        1 => Reply::Hold(held.clone()),
        _ => text("the file"),
    })
    .await;
    let mut host = builder(&api).start().await;
    send(&host, &with_file(&api, "one", "/f")).await;
    api.when("/f", 2).await;
    assert!(pause(&host).await.is_some());
    host.restart().await;
    let (_, input) = claim(&host).await;
    assert_eq!(content(&host, &input[0]).await, "the file");
    assert_eq!(pause(&host).await, None);
    gate.open();
}

#[tokio::test]
async fn a_daemon_that_dies_while_it_fetches_fetches_again() {
    let gate = Gate::default();
    let held = gate.clone();
    let api = Receiver::scripted(
        move |request| {
            if request.nth_to_path < 2 { Reply::Hold(held.clone()) } else { text("the file") }
        },
    )
    .await;
    let mut host = builder(&api).start().await;
    let event = with_file(&api, "one", "/f");
    let run = send(&host, &event).await;
    for count in 1..3 {
        api.when("/f", count).await;
        host.kill();
        host.restart().await;
    }
    let (claimed, input) = claim(&host).await;
    assert_eq!((&claimed.run, &input[0]["type"]), (&run, &json!("asset")), "{input}");
    assert_eq!(content(&host, &input[0]).await, "the file");
    assert_eq!(api.received_at("/f").len(), 3);
    // What it has become changes nothing about which event it was.
    let again = host.post("/v1/connectors/courier/main", &event).await.expect(200);
    assert_eq!(again.text("/run_id"), run);
    gate.open();
}

#[tokio::test]
async fn a_run_that_is_cancelled_waits_for_nothing_and_holds_up_nobody() {
    let gate = Gate::default();
    let held = gate.clone();
    let api = Receiver::scripted(move |_| Reply::Hold(held.clone())).await;
    let host = builder(&api).start().await;
    let run = send(&host, &with_file(&api, "one", "/f")).await;
    api.when("/f", 1).await;
    let behind = send(&host, &json!({ "id": "two", "text": "behind it" })).await;
    assert!(host.worker("w").claim(4, 5_000).await.is_empty());
    host.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    host.run_when(&run, "cancelled").await;
    let (claimed, _) = claim(&host).await;
    assert_eq!(claimed.run, behind);
    gate.open();
    finish(&host, &claimed).await;
    eventually("nothing is fetched any more", async || {
        let metrics = String::from_utf8_lossy(&host.get("/metrics").await.body).into_owned();
        metrics.contains("kheish_downloads_total{outcome=\"fetched\"} 1").then_some(())
    })
    .await;
    assert_eq!(host.run(&run).await["status"], "cancelled");
}
