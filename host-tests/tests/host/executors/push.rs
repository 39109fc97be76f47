//! Runs that are sent to a receiver, which answers at once or takes them over.

use std::time::{Duration, Instant};

use kheish_host_tests::{
    client::{Answer, Client},
    host::Host,
    receiver::{Gate, Received, Receiver, Reply},
    sign,
    stray::{Step, Stray},
    wait::eventually,
};
use serde_json::{Value, json};

use super::{make, say};

const ADMIN: &str = "an-admin-token-of-enough-letters-000";
const KEY: &[u8] = b"a key of a receiver";

/// A section for a receiver at this URL.
fn section(url: &str, more: &str) -> String {
    format!(
        "[queue]\ndefault_lease_ms = 1000\nsweep_interval_ms = 50\nretry_wait_ms = 20\nmax_attempts = 3\n\
         [executors.far]\ntype = \"push\"\nurl = \"{url}\"\nallow_private_network = true\n{more}\n"
    )
}

async fn started(url: &str, more: &str) -> Host {
    let host = Host::builder().plugins(&[]).token(ADMIN).settings(&section(url, more)).start().await;
    make(&host, "room", "far").await;
    host
}

async fn host(receiver: &Receiver, more: &str) -> Host {
    started(&receiver.url("/in"), &format!("unsigned = true\n{more}")).await
}

fn outputs(text: &str) -> Reply {
    let body = json!({ "outputs": [{ "content": text }] });
    Reply::Body(200, "application/json", body.to_string())
}

/// A call of a receiver about a run that it was sent.
async fn call(host: &Host, sent: &Received, verb: &str, more: &Value) -> Answer {
    let mut body = json!({ "epoch": sent.body["lease"]["epoch"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    speak(host, &sent.body["lease"]["token"], &format!("{}/{verb}", sent.body["run_id"].as_str().unwrap()), &body).await
}

async fn speak(host: &Host, token: &Value, path: &str, body: &Value) -> Answer {
    let client = Client::new(host.client().base()).with_token(token.as_str().unwrap());
    client.post(&format!("/v1/runs/{path}"), body).await
}

#[tokio::test]
async fn an_answer_with_outputs_ends_the_run() {
    let receiver = Receiver::scripted(|_| outputs("done")).await;
    let host = host(&receiver, "").await;
    let run = say(&host, "room", "do it").await;
    let ended = host.run_when(&run, "completed").await;
    let facts = (&ended["outputs"][0]["content"], &ended["executor"], &ended["attempt"]);
    assert_eq!(facts, (&json!("done"), &json!("far"), &json!(1)));
    let sent = receiver.when("/in", 1).await.remove(0);
    assert_eq!((sent.method.as_str(), sent.header("content-type")), ("POST", "application/json"));
    assert_eq!((&sent.body["run_id"], &sent.body["input"][0]["text"]), (&json!(run), &json!("do it")));
    assert_eq!((&sent.body["attempt"], &sent.body["executor"]), (&json!(1), &json!("far")));
    assert_eq!(sent.body["lease"]["lease_ms"], 1_000);
    assert_eq!(sent.header("webhook-id"), format!("{run}:{}", sent.body["lease"]["epoch"]));
    assert_eq!(sent.header("webhook-signature"), "");
}

#[tokio::test]
async fn requests_are_signed_with_the_secret_as_it_is_now() {
    let receiver = Receiver::scripted(|_| outputs("done")).await;
    let host = started(&receiver.url("/in"), "signing_secret_ref = \"far-key\"").await;
    let missing = say(&host, "room", "no key yet").await;
    let failed = host.run_when(&missing, "failed").await;
    assert_eq!((&failed["error"]["code"], &failed["attempt"]), (&json!("push_misconfigured"), &json!(3)));
    assert_eq!(receiver.received().len(), 0, "nothing leaves without its signature");
    let value = std::str::from_utf8(KEY).unwrap();
    let secret =
        json!({ "slot_id": "far-key", "provider": "generic", "mode": "opaque_secret", "state": { "value": value } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    let run = say(&host, "room", "sign it").await;
    host.run_when(&run, "completed").await;
    let sent = receiver.when("/in", 1).await.remove(0);
    let (id, at) = (sent.header("webhook-id"), sent.header("webhook-timestamp"));
    assert_eq!(sent.header("webhook-signature"), sign::webhook(KEY, id, at, &sent.bytes));
    assert!(at.parse::<u64>().unwrap().abs_diff(sign::now_secs()) < 60);
}

#[tokio::test]
async fn statuses_end_a_run_or_have_it_sent_again() {
    for (status, code, attempts) in [
        (400, "push_refused", 1),
        (401, "push_refused", 1),
        (410, "push_refused", 1),
        (204, "push_answer_invalid", 1),
        (302, "push_unavailable", 3),
        (408, "push_unavailable", 3),
        (425, "push_unavailable", 3),
        (429, "push_unavailable", 3),
        (500, "push_unavailable", 3),
        (503, "push_unavailable", 3),
    ] {
        let receiver = Receiver::scripted(move |_| Reply::Status(status)).await;
        let host = host(&receiver, "").await;
        let run = say(&host, "room", "do it").await;
        let failed = host.run_when(&run, "failed").await;
        let facts = (&failed["error"]["code"], &failed["attempt"]);
        assert_eq!(facts, (&json!(code), &json!(attempts)), "{status}");
        let epochs: Vec<Value> = receiver.received().iter().map(|sent| sent.body["lease"]["epoch"].clone()).collect();
        assert_eq!(epochs.len(), attempts, "{status}");
        assert!(epochs.windows(2).all(|pair| pair[0].as_i64() < pair[1].as_i64()), "{epochs:?}");
    }
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_not_shortened() {
    let receiver = Receiver::scripted(|sent| match sent.index {
        0 => Reply::With(503, "retry-after", "1".to_owned()),
        _ => outputs("then"),
    });
    let receiver = receiver.await;
    let host = host(&receiver, "").await;
    let run = say(&host, "room", "do it").await;
    assert_eq!(host.run_when(&run, "completed").await["attempt"], 2);
    let sent = receiver.received();
    assert!(sent[1].at - sent[0].at >= Duration::from_secs(1), "Retry-After was shortened");
}

#[tokio::test]
async fn answers_that_are_none() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let too_long = answer(&json!({ "outputs": [{ "content": "x".repeat(3_000) }] }).to_string());
    let unknown = json!({ "outputs": [{ "content": "", "artifacts": [{ "asset_id": "none" }] }] }).to_string();
    for (reply, code, attempts) in [
        (answer("fine"), "push_answer_invalid", 1),
        (answer("{\"outputs\": [{\"text\": 1}]}"), "push_answer_invalid", 1),
        (answer(&unknown), "asset_not_found", 1),
        (too_long, "push_answer_too_long", 1),
        ("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"outp".to_owned(), "push_unavailable", 3),
        ("what?\r\n\r\n".to_owned(), "push_unavailable", 3),
    ] {
        let script = reply.clone();
        let stray = Stray::start(move |_| vec![Step::ReadAll, Step::Say(script.clone())]).await;
        let host = started(&stray.url("/in"), "unsigned = true\nanswer_bytes = 2000").await;
        let run = say(&host, "room", "do it").await;
        let failed = host.run_when(&run, "failed").await;
        let facts = (&failed["error"]["code"], &failed["attempt"]);
        assert_eq!(facts, (&json!(code), &json!(attempts)), "{reply}: {failed}");
    }
    let silent = Stray::start(|_| vec![Step::ReadAll, Step::Stay]).await;
    let host = started(&silent.url("/in"), "unsigned = true\ntimeout_ms = 100").await;
    let run = say(&host, "room", "do it").await;
    assert!(host.run_when(&run, "failed").await["error"]["detail"].as_str().unwrap().contains("timeout_ms"));
}

#[tokio::test]
async fn a_receiver_that_takes_a_run_over_ends_it_with_its_token() {
    let receiver = Receiver::scripted(|_| Reply::Status(202)).await;
    let host = host(&receiver, "concurrent_runs = 1").await;
    make(&host, "hall", "far").await;
    let (run, other) = (say(&host, "room", "one").await, say(&host, "hall", "two").await);
    // Both are out at once although only one request may be: what was taken over holds no place.
    let sent = receiver.when("/in", 2).await;
    let (first, second) = match sent[0].body["run_id"] == json!(run) {
        true => (&sent[0], &sent[1]),
        false => (&sent[1], &sent[0]),
    };
    let kept = call(&host, first, "heartbeat", &json!({ "lease_ms": 60_000 })).await.expect(200);
    assert_eq!(kept.json["cancelled"], false);
    call(&host, first, "outputs", &json!({ "outputs": [{ "content": "a" }] })).await.expect(200);
    let ended = call(&host, first, "finish", &json!({ "outputs": [{ "content": "b" }] })).await.expect(200);
    assert_eq!((&ended.json["status"], &ended.json["outputs"][1]["content"]), (&json!("completed"), &json!("b")));
    call(&host, second, "heartbeat", &json!({ "lease_ms": 60_000 })).await.expect(200);
    call(&host, second, "fail", &json!({ "code": "no_mood", "reason": "not today" })).await.expect(200);
    let failed = host.run_when(&other, "failed").await;
    assert_eq!((&failed["error"]["code"], &failed["attempt"]), (&json!("no_mood"), &json!(1)));
}

#[tokio::test]
async fn a_token_is_good_for_its_run_and_lease_only() {
    let receiver = Receiver::scripted(|_| Reply::Status(202)).await;
    let host = host(&receiver, "lease_ms = 60000").await;
    make(&host, "hall", "far").await;
    let (run, other) = (say(&host, "room", "one").await, say(&host, "hall", "two").await);
    let sent = receiver.when("/in", 2).await;
    let of = |id: &str| sent.iter().find(|sent| sent.body["run_id"] == json!(id)).unwrap();
    let (first, second) = (of(&run), of(&other));
    let (token, epoch) = (&first.body["lease"]["token"], first.body["lease"]["epoch"].as_i64().unwrap());
    let beat = json!({ "epoch": epoch });
    assert_eq!(speak(&host, token, &format!("{other}/heartbeat"), &beat).await.status, 401);
    assert_eq!(speak(&host, token, "claim", &json!({ "worker_id": "w" })).await.status, 401);
    let client = Client::new(host.client().base()).with_token(token.as_str().unwrap());
    for path in [format!("/v1/runs/{run}"), "/v1/status".to_owned(), "/v1/runs".to_owned()] {
        assert_eq!(client.get(&path).await.status, 401, "{path}");
    }
    assert_eq!(client.post(&format!("/v1/runs/{run}/cancel"), &Value::Null).await.status, 401);
    // Given back: the next lease is another's, whatever epoch an old token's holder writes into its body.
    call(&host, first, "fail", &json!({ "code": "later", "reason": "later", "retry": true })).await.expect(200);
    let again = receiver.when("/in", 3).await.remove(2);
    let next = again.body["lease"]["epoch"].as_i64().unwrap();
    assert!(next > epoch && again.body["attempt"] == 2, "{}", again.body);
    for (verb, more) in [
        ("heartbeat", json!({})),
        ("outputs", json!({ "outputs": [{ "content": "stolen" }] })),
        ("fail", json!({ "code": "stolen", "reason": "stolen" })),
        ("finish", json!({ "outputs": [] })),
    ] {
        let mut body = json!({ "epoch": next });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let stolen = speak(&host, token, &format!("{run}/{verb}"), &body).await;
        assert_eq!((stolen.status, stolen.text("/code")), (409, "lease_lost"), "{verb}");
    }
    assert_eq!(host.run(&run).await["status"], "running");
    call(&host, &again, "finish", &json!({})).await.expect(200);
    call(&host, second, "finish", &json!({})).await.expect(200);
    assert!(!host.log().contains(token.as_str().unwrap()));
}

#[tokio::test]
async fn a_receiver_that_falls_silent_loses_the_run() {
    let receiver = Receiver::scripted(|sent| match sent.index {
        0 => Reply::Status(202),
        _ => outputs("the second time"),
    });
    let receiver = receiver.await;
    let settings = section(&receiver.url("/in"), "unsigned = true\nlease_ms = 300");
    // The daemon's own lease would outlast the test.
    let settings = settings.replace("default_lease_ms = 1000", "default_lease_ms = 600000");
    let host = Host::builder().plugins(&[]).token(ADMIN).settings(&settings).start().await;
    make(&host, "room", "far").await;
    let start = Instant::now();
    let run = say(&host, "room", "do it").await;
    let ended = host.run_when(&run, "completed").await;
    assert!(start.elapsed() < Duration::from_millis(5_300), "{:?}", start.elapsed());
    assert_eq!((&ended["attempt"], &ended["outputs"][0]["content"]), (&json!(2), &json!("the second time")));
    let late = call(&host, &receiver.received()[0], "finish", &json!({})).await;
    assert_eq!((late.status, late.text("/code")), (409, "lease_lost"));
}

#[tokio::test]
async fn cancelling_drops_the_request_and_tells_who_took_over() {
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(move |sent| match sent.index {
        0 => Reply::Hold(held.clone()),
        _ => Reply::Status(202),
    });
    let receiver = receiver.await;
    let host = host(&receiver, "").await;
    let run = say(&host, "room", "never mind").await;
    receiver.when("/in", 1).await;
    host.worker("operator").cancel(&run).await.expect(202);
    host.run_when(&run, "cancelled").await;
    gate.open();
    let taken = say(&host, "room", "nor this").await;
    let sent = receiver.when("/in", 2).await.remove(1);
    call(&host, &sent, "heartbeat", &json!({ "lease_ms": 60_000 })).await.expect(200);
    // Handed over, so that the daemon itself holds nothing any more.
    eventually("the run is out", async || (host.run(&taken).await["status"] == "running").then_some(())).await;
    host.worker("operator").cancel(&taken).await.expect(202);
    let told = call(&host, &sent, "heartbeat", &json!({})).await;
    assert!(told.json["cancelled"] == true || told.text("/code") == "lease_lost", "{}", told.json);
    call(&host, &sent, "finish", &json!({ "outputs": [{ "content": "too late" }] })).await;
    assert_eq!(host.run_when(&taken, "cancelled").await["deliveries"], json!([]));
}

#[tokio::test]
async fn a_delivery_that_is_tried_again_sends_no_run_again() {
    let receiver = Receiver::scripted(|sent| match (sent.path.as_str(), sent.nth_to_path) {
        ("/in", _) => outputs("once"),
        (_, 0) => Reply::Status(503),
        _ => Reply::Status(200),
    });
    let receiver = receiver.await;
    let host = host(&receiver, "").await;
    let body = json!({ "content": "do it", "reply_targets": [receiver.target_json("/out")] });
    let run = host.submit("room", &body).await.expect(202).text("/run_id").to_owned();
    host.deliveries_when(&run, 1, "delivered").await;
    assert_eq!(receiver.received_at("/out").len(), 2);
    assert_eq!((receiver.received_at("/in").len(), host.run(&run).await["attempt"].as_i64()), (1, Some(1)));
}

#[tokio::test]
async fn a_kill_costs_a_request_its_run_and_a_receiver_nothing() {
    let receiver = Receiver::scripted(|sent| match (sent.body["session_id"].as_str(), sent.nth_to_path) {
        (Some("hall"), _) => Reply::Status(202),
        (_, 1) => Reply::Hold(Gate::default()),
        _ => outputs("after all"),
    });
    let receiver = receiver.await;
    let mut host = host(&receiver, "lease_ms = 60000").await;
    make(&host, "hall", "far").await;
    let taken = say(&host, "hall", "keep it").await;
    let sent = receiver.when("/in", 1).await.remove(0);
    eventually("it is handed over", async || {
        let kept = call(&host, &sent, "heartbeat", &json!({ "lease_ms": 60_000 })).await;
        (kept.status == 200 && host.log().contains("was taken over by its receiver")).then_some(())
    })
    .await;
    let cut = say(&host, "room", "do it").await;
    receiver.when("/in", 2).await;
    host.kill();
    host.restart().await;
    let ended = host.run_when(&cut, "completed").await;
    assert_eq!((&ended["attempt"], &ended["outputs"][0]["content"]), (&json!(2), &json!("after all")));
    call(&host, &sent, "finish", &json!({ "outputs": [{ "content": "mine" }] })).await.expect(200);
    let kept = host.run(&taken).await;
    assert_eq!((&kept["attempt"], &kept["outputs"][0]["content"]), (&json!(1), &json!("mine")));
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn sections_that_make_no_sense_stop_the_start() {
    for (lines, part) in [
        ("url = \"here\"\nunsigned = true", "executors.far.url"),
        ("url = \"http://h/\"", "executors.far.signing_secret_ref"),
        ("unsigned = true", "url"),
    ] {
        let settings = format!("[executors.far]\ntype = \"push\"\n{lines}\n");
        let ended = Host::builder().plugins(&[]).settings(&settings).run_to_end().await;
        assert!(ended.code == Some(2) && ended.stderr.contains(part), "{ended:?}");
    }
    let receiver = Receiver::start().await;
    let guarded = format!("[executors.far]\ntype = \"push\"\nurl = \"{}\"\nunsigned = true\n", receiver.url("/in"));
    let host = Host::builder().plugins(&[]).settings(&guarded).start().await;
    make(&host, "room", "far").await;
    let run = say(&host, "room", "do it").await;
    assert_eq!(host.run_when(&run, "failed").await["error"]["code"], "push_denied");
    assert_eq!(receiver.received().len(), 0);
}
