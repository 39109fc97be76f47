//! The long mixed run.

use kheish_host_tests::{
    connectors::outbox_target,
    host::Host,
    receiver::{Received, Receiver, Reply},
    sender::Sender,
    sse::Stream,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{API_ENV, Book, Canaries, connectors, tries};
use crate::secrets::{ROTATE, event, guarded, key_text, store};

/// Runs everything, and searches.
pub(super) async fn whole(mut host: Host, mut canaries: Canaries) {
    let mut book = Book::default();
    let receiver = Receiver::scripted(echoing(&canaries)).await;
    let stream = record(&host).await;
    set_up(&host, &canaries, &receiver, &mut book).await;
    send(&host, &canaries, &mut book).await;
    tries::all(&host, &canaries, &["team-later"], &mut book).await;
    failing_deliveries(&host, &receiver, &mut book).await;
    look_everywhere(&host, &mut book).await;
    let rotated = host.post(ROTATE, &json!({})).await.expect(200);
    if rotated.json["master_key_replaced"] == true {
        canaries.keep_key(&key_text(&host));
    }
    book.answer("a rotation", rotated);
    book.answer("a later value", store(&host, "team", canaries.of("team-later")).await);
    book.answer("a deletion", host.delete("/v1/runtime/connectors/http/gone").await.expect(200));
    book.host("while it runs", &host);
    host.kill();
    book.note("a stream", stream.await.unwrap());
    book.host("after a kill", &host);
    host.reconfigure(connectors(&canaries, true));
    host.restart().await;
    let stream = record(&host).await;
    say(&host.sender("named").bearer(canaries.of("team-later")), "named", &mut book).await;
    send(&host, &canaries, &mut book).await;
    // What was overwritten or deleted is unknown to a new process.
    tries::all(&host, &canaries, &["team", "gone"], &mut book).await;
    look_everywhere(&host, &mut book).await;
    book.answer("a rotation", host.post(ROTATE, &json!({})).await.expect(200));
    host.terminate().await;
    book.note("a stream", stream.await.unwrap());
    book.host("at the end", &host);
    let leaks = book.leaks(&canaries);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    assert!(book.says("[masked]"), "nothing had to be masked: the values never came near a text");
}

/// Takes down everything that a stream tells.
async fn record(host: &Host) -> JoinHandle<String> {
    let mut stream = Stream::open(host.client(), "/v1/events/stream").await;
    tokio::spawn(async move {
        let mut text = format!("{:?}\n", stream.headers());
        while let Some(frame) = stream.next().await {
            text.push_str(&format!("{} {}\n", frame.name, frame.data));
        }
        text
    })
}

/// A platform that says what it was sent and what it should not know.
fn echoing(canaries: &Canaries) -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let all: Vec<String> = canaries.texts().map(str::to_owned).collect();
    let one = canaries.of("team").to_owned();
    move |request| {
        let text = format!("{:?} {}", request.headers, all.join(" "));
        match request.path.as_str() {
            "/well" => Reply::Body(200, "text/plain", text),
            "/no" => Reply::Body(400, "text/plain", text),
            "/busy" => Reply::Body(503, "application/json", json!({ "error": text }).to_string()),
            "/later" => Reply::With(429, "retry-after", one.clone()),
            "/moved" => Reply::With(302, "location", format!("http://127.0.0.1:1/{one}")),
            _ => Reply::HangUp,
        }
    }
}

async fn set_up(host: &Host, canaries: &Canaries, receiver: &Receiver, book: &mut Book) {
    book.answer("a secret", store(host, "team", canaries.of("team")).await);
    book.answer("a secret of nobody", store(host, "slot", canaries.of("slot")).await);
    let nothing = json!({});
    let mut replying =
        guarded(&json!({ "value": canaries.of("api-bearer") }), &json!({ "value": canaries.of("api-hmac") }));
    replying["default_reply_targets"] = json!([receiver.target_json("/well")]);
    for (name, fields) in [
        ("api", replying),
        ("api-named", guarded(&json!({ "value": canaries.of("api-named"), "secret_ref": "mine" }), &nothing)),
        ("api-env", guarded(&json!({ "env": API_ENV }), &nothing)),
        ("api-ref", guarded(&json!({ "secret_ref": "slot" }), &nothing)),
        ("gone", guarded(&json!({ "value": canaries.of("gone") }), &nothing)),
    ] {
        book.answer(name, host.put_http(name, &fields).await.expect(201));
        book.answer(name, host.put_http(name, &fields).await.expect(200));
    }
}

async fn say(sender: &Sender, what: &str, book: &mut Book) {
    book.answer(what, sender.post(&event()).await.expect(200));
}

async fn send(host: &Host, canaries: &Canaries, book: &mut Book) {
    let bearer = |name: &str, place: &str| host.sender(name).bearer(canaries.of(place));
    for (what, sender) in [
        ("inline", bearer("inline", "file-bearer").hmac(canaries.of("file-hmac"))),
        ("env", bearer("env", "file-env")),
        ("api", bearer("api", "api-bearer").hmac(canaries.of("api-hmac"))),
        ("api-named", bearer("api-named", "api-named")),
        ("api-env", bearer("api-env", "api-env")),
        ("api-ref", bearer("api-ref", "slot")),
    ] {
        say(&sender, what, book).await;
    }
}

async fn failing_deliveries(host: &Host, receiver: &Receiver, book: &mut Book) {
    for (number, path) in ["/no", "/busy", "/moved", "/hang-up"].into_iter().enumerate() {
        let session = format!("failing-{number}");
        host.make_session(&session).await;
        let body = json!({ "content": "hello", "reply_targets": [receiver.target_json(path)] });
        let answer = host.submit(&session, &body).await.expect(202);
        let run = answer.text("/run_id").to_owned();
        book.answer(path, answer);
        let delivery = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
        book.note(path, delivery.to_string());
    }
    host.make_session("later").await;
    let targets = [receiver.target_json("/later"), outbox_target("nobody", &json!({ "answer": "trap" }))];
    for target in targets {
        book.answer("a target", host.submit("later", &json!({ "content": "hello", "reply_targets": [target] })).await);
    }
    receiver.when("/later", 1).await;
}

/// Asks everything that the API's document says can be asked.
async fn look_everywhere(host: &Host, book: &mut Book) {
    let document = host.get("/v1/openapi.json").await.expect(200);
    let paths: Vec<String> = document.json["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, item)| item.get("get").is_some())
        .map(|(path, _)| path.clone())
        .collect();
    book.answer("/v1/openapi.json", document);
    assert!(paths.len() > 15, "{paths:?}");
    let first = async |list: &str, field: &str| {
        let all = host.get(list).await.expect(200);
        all.items()[0][field].as_str().unwrap().to_owned()
    };
    let ids = [
        ("{kind}", "http".to_owned()),
        ("{name}", "api".to_owned()),
        ("{ref}", "team".to_owned()),
        ("{run_id}", first("/v1/runs", "run_id").await),
        ("{session_id}", first("/v1/sessions", "session_id").await),
        ("{delivery_id}", first("/v1/deliveries", "delivery_id").await),
    ];
    for path in paths {
        let filled = ids.iter().fold(path.clone(), |path, (name, id)| path.replace(name, &id.replace('/', "%2F")));
        let answer = host.get(&filled).await;
        assert!(answer.status == 200 || filled.contains('{'), "{filled}: {} {}", answer.status, answer.json);
        book.answer(&filled, answer);
    }
    for name in ["inline", "env", "api-named", "api-env", "api-ref"] {
        book.answer(name, host.get(&format!("/v1/runtime/connectors/http/{name}")).await.expect(200));
        book.answer(name, host.post(&format!("/v1/runtime/connectors/http/{name}/test"), &Value::Null).await);
    }
}
