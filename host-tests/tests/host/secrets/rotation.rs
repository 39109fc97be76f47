//! New keys while everything goes on, and while the daemon is killed.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::{join_all, join3};
use kheish_host_tests::{client::try_answer, host::Host};
use reqwest::Method;
use serde_json::{Value, json};

use super::{fields, store, takes};

const ROTATE: &str = "/v1/runtime/secret-keys/rotate";

fn token(number: usize) -> String {
    format!("token-of-connector-{number}")
}

async fn with_connectors(count: usize) -> Host {
    let host = Host::builder().start().await;
    for number in 0..count {
        host.put_http(&format!("c{number}"), &fields(&token(number))).await.expect(201);
    }
    host
}

#[tokio::test]
async fn keys_are_replaced_under_load_without_a_refused_event_or_a_lost_secret() {
    let mut host = with_connectors(4).await;
    for number in 0..200 {
        store(&host, &format!("s{number}"), &format!("value-{number}")).await;
    }
    let former = fs::read(host.state_folder().join("master.key")).unwrap();
    let done = AtomicBool::new(false);
    let pour = async |number: usize| {
        let sender = host.sender(&format!("c{number}")).bearer(&token(number));
        let mut sent = 0;
        while !done.load(Ordering::Relaxed) {
            sender.say(&format!("k{sent}"), "room", "hello").await.expect(200);
            sent += 1;
        }
        sent
    };
    let change = async {
        let mut round = 0;
        while !done.load(Ordering::Relaxed) {
            round += 1;
            store(&host, "changing", &format!("value-{round}")).await;
        }
        round
    };
    let rotate = async {
        let mut last = Value::Null;
        for _ in 0..5 {
            last = host.post(ROTATE, &json!({})).await.expect(200).json;
        }
        done.store(true, Ordering::Relaxed);
        last
    };
    let (sent, changes, last) = join3(join_all((0..4).map(pour)), change, rotate).await;
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");
    assert_eq!((&last["data_key"], &last["master_key_replaced"]), (&json!(6), &json!(true)));
    assert!(last["secrets"].as_u64().unwrap() >= 204, "{last}");
    let changing = host.get("/v1/runtime/secrets/changing").await.expect(200).json;
    assert_eq!(changing["version"], changes);
    host.restart().await;
    for number in 0..4 {
        assert_eq!(takes(&host, &format!("c{number}"), &token(number), "after").await, 200);
    }
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), 205);
    // What was copied before opens nothing any more.
    host.terminate().await;
    let path = host.state_folder().join("master.key");
    let present = fs::read(&path).unwrap();
    fs::write(&path, &former).unwrap();
    assert_eq!(host.twin().await.code, Some(2));
    fs::write(&path, present).unwrap();
    host.restart().await;
    assert_eq!(takes(&host, "c0", &token(0), "at the end").await, 200);
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_the_middle_starts_again_by_itself() {
    let mut host = with_connectors(3).await;
    for number in 0..150 {
        store(&host, &format!("s{number}"), &format!("value-{number}")).await;
    }
    for round in 0..12_u64 {
        let killer = host.killer();
        let request = host.client().request(Method::POST, ROTATE).json(&json!({}));
        let rotation = tokio::spawn(try_answer(request));
        // Later in each round, so that over all of them every step is met. What comes first is not the point.
        for _ in 0..round * 400 {
            tokio::task::yield_now().await;
        }
        killer.kill();
        rotation.await.unwrap().ok();
        host.restart().await;
        for number in 0..3 {
            assert_eq!(takes(&host, &format!("c{number}"), &token(number), &format!("k{round}")).await, 200);
        }
        assert!(!host.state_folder().join("master.key.next").exists(), "round {round}");
    }
    host.post(ROTATE, &json!({})).await.expect(200);
    assert_eq!(host.get("/v1/runtime/secrets").await.items().len(), 153);
}
