//! New keys in the place of old ones, while events flow, and with a daemon that is killed at any moment.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::{join, join_all, join3};
use kheish_host_tests::{
    client::{Client, try_answer},
    host::Host,
    sender::Sender,
    wait::eventually,
};
use reqwest::Method;
use serde_json::json;

use super::{FILE_VARIABLE, ROTATE, event, guarded, key_file, key_files_are, key_text, store};

/// Connectors with secrets of their own.
const CONNECTORS: usize = 4;
/// Rotations under load.
const ROTATIONS: i64 = 8;
/// Secrets that nobody uses: sealing all of them anew takes several commits.
const IDLE: usize = 150;
/// Daemons that are killed.
const ROUNDS: usize = 15;

fn sender(host: &Host, number: usize) -> Sender {
    host.sender(&format!("c{number}")).bearer(&format!("token-of-{number}")).hmac(&format!("key-of-{number}"))
}

/// A daemon with these connectors, and one more whose token is the secret `turning`.
async fn host() -> Host {
    let host = Host::builder().start().await;
    for number in 0..CONNECTORS {
        let fields =
            guarded(&json!({ "value": format!("token-of-{number}") }), &json!({ "value": format!("key-of-{number}") }));
        host.put_http(&format!("c{number}"), &fields).await.expect(201);
    }
    let idle = async |number| store(&host, &format!("idle-{number}"), &format!("idle-value-{number}")).await;
    join_all((0..IDLE).map(idle)).await;
    store(&host, "turning", "turn-0").await;
    host.put_http("turning", &guarded(&json!({ "secret_ref": "turning" }), &json!({}))).await.expect(201);
    host
}

async fn takes_turn(host: &Host, turn: usize) -> u16 {
    host.sender("turning").bearer(&format!("turn-{turn}")).post(&event()).await.status
}

async fn all_take(host: &Host) {
    for number in 0..CONNECTORS {
        sender(host, number).post(&event()).await.expect(200);
    }
}

/// Sends until told to stop; every event must be taken. Gives how many there were.
async fn send(host: &Host, number: usize, over: &AtomicBool) -> usize {
    let sender = sender(host, number);
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        sender.post(&event()).await.expect(200);
        sent += 1;
    }
    sent
}

/// Gives the secret new values until told to stop; each serves as soon as it is acknowledged. Gives the last turn.
async fn turn(host: &Host, over: &AtomicBool) -> usize {
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        store(host, "turning", &format!("turn-{turn}")).await;
        assert_eq!(takes_turn(host, turn).await, 200, "turn {turn}");
        assert_eq!(takes_turn(host, turn - 1).await, 401, "turn {turn}");
    }
    turn
}

async fn rotate(host: &Host, over: &AtomicBool) {
    let secrets = 2 * CONNECTORS + IDLE + 1;
    for rotation in 1..=ROTATIONS {
        let before = key_text(host);
        let result = host.post(ROTATE, &json!({})).await.expect(200).json;
        assert_eq!((&result["data_key"], &result["master_key_replaced"]), (&json!(rotation + 1), &json!(true)));
        // The one that turns may have been written under the new key already.
        let sealed = result["secrets"].as_u64().unwrap();
        assert!((secrets as u64 - 1..=secrets as u64 + 1).contains(&sealed), "{result}");
        assert_eq!(result.as_object().unwrap().len(), 3, "{result}");
        assert_ne!(key_text(host), before, "another master key");
        key_files_are(host, &["master.key"]);
    }
    over.store(true, Ordering::Relaxed);
}

#[tokio::test]
async fn keys_are_replaced_while_events_flow_and_secrets_change() {
    let mut host = host().await;
    let first = key_text(&host);
    let over = AtomicBool::new(false);
    let sending = join_all((0..CONNECTORS).map(|number| send(&host, number, &over)));
    let (sent, last, ()) = join3(sending, turn(&host, &over), rotate(&host, &over)).await;
    assert!(sent.iter().all(|count| *count > 3) && last > 3, "{sent:?} events and {last} turns");
    all_take(&host).await;
    let key = key_text(&host);
    host.restart().await;
    all_take(&host).await;
    assert_eq!(takes_turn(&host, last).await, 200);
    host.terminate().await;
    fs::write(key_file(&host), &first).unwrap();
    let ended = host.twin().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("sealed under master key"), "{}", ended.stderr);
    assert_eq!(key_text(&host), first, "a key that does not fit stays where it is");
    fs::write(key_file(&host), &key).unwrap();
    host.restart().await;
    all_take(&host).await;
}

#[tokio::test]
async fn a_key_that_somebody_else_keeps_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, [9; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut host = Host::builder().env(FILE_VARIABLE, path.to_str().unwrap()).start().await;
    store(&host, "one", "value-of-one").await;
    host.put_http("orders", &guarded(&json!({ "secret_ref": "one" }), &json!({}))).await.expect(201);
    for data_key in [2, 3] {
        let result = host.post(ROTATE, &json!({})).await.expect(200).json;
        assert_eq!(result, json!({ "data_key": data_key, "secrets": 1, "master_key_replaced": false }));
    }
    assert_eq!(fs::read(&path).unwrap(), [9; 32]);
    key_files_are(&host, &[]);
    host.restart().await;
    host.sender("orders").bearer("value-of-one").post(&event()).await.expect(200);
}

fn any_up_to(most: u64) -> u64 {
    RandomState::new().hash_one("moment") % most
}

/// Rotates until the daemon is gone.
async fn rotate_until_it_breaks(client: &Client, begun: &AtomicUsize) {
    loop {
        begun.fetch_add(1, Ordering::Relaxed);
        let request = client.request(Method::POST, ROTATE).json(&json!({}));
        let Ok(answer) = try_answer(request).await else { return };
        answer.expect(200);
    }
}

/// Gives new values until the daemon is gone. The last one that was acknowledged is left in `turn`; the one after it may
/// have been written too.
async fn turn_until_it_breaks(client: &Client, turn: &mut usize) {
    loop {
        let body = json!({ "slot_id": "turning", "state": { "value": format!("turn-{}", *turn + 1) } });
        let request = client.request(Method::POST, "/v1/runtime/secrets").json(&body);
        let Ok(answer) = try_answer(request).await else { return };
        answer.expect(200);
        *turn += 1;
    }
}

/// Kills the daemon at some moment of a rotation; how many short questions are answered before is left to chance.
async fn kill(host: &Host, begun: &AtomicUsize) {
    eventually("a rotation has begun", async || (begun.load(Ordering::Relaxed) > 0).then_some(())).await;
    for _ in 0..any_up_to(60) {
        host.get("/healthz").await.expect(200);
    }
    host.killer().kill();
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_a_rotation_starts_again_by_itself() {
    let mut host = host().await;
    let mut turn = 0;
    for _ in 0..ROUNDS {
        let begun = AtomicUsize::new(0);
        let client = host.client().clone();
        let working = join(rotate_until_it_breaks(&client, &begun), turn_until_it_breaks(&client, &mut turn));
        join(working, kill(&host, &begun)).await;
        host.restart().await;
        key_files_are(&host, &["master.key"]);
        all_take(&host).await;
        // What was written without an acknowledgement counts as much as what was not.
        if takes_turn(&host, turn).await != 200 {
            turn += 1;
            assert_eq!(takes_turn(&host, turn).await, 200, "turn {turn}");
        }
    }
    let result = host.post(ROTATE, &json!({})).await.expect(200).json;
    assert_eq!(result["secrets"], 2 * CONNECTORS + IDLE + 1, "{result}");
    all_take(&host).await;
}
