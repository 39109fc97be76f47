//! Where nothing is sent: this machine and private networks unless granted, and metadata services never.

use kheish_host_tests::receiver::Receiver;
use serde_json::{Value, json};

use super::{builder, say};

fn target(address: &str) -> Value {
    json!({ "plugin": "http", "address": address })
}

#[tokio::test]
async fn this_machine_is_refused_unless_granted_however_it_is_written() {
    let receiver = Receiver::start().await;
    let port = receiver.url("").rsplit(':').next().unwrap_or_default().to_owned();
    let hosts = [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[2002:7f00:1::1]",
    ];
    let targets: Vec<Value> = hosts.iter().map(|host| target(&format!("http://{host}:{port}/in"))).collect();
    let host = builder().start().await;
    let run = say(&host, "s", &targets, &["hello"]).await;
    let deliveries = host.deliveries_when(&run, hosts.len(), "dead_lettered").await;
    for delivery in &deliveries {
        assert_eq!(
            (&delivery["last_error"]["code"], &delivery["attempts"]),
            (&json!("blocked"), &json!(1)),
            "{delivery}"
        );
    }
    assert!(receiver.received().is_empty());
    let granted = say(&host, "t", &[receiver.target_json("/in")], &["hello"]).await;
    host.deliveries_when(&granted, 1, "delivered").await;
}

#[tokio::test]
async fn private_networks_are_refused_unless_granted() {
    let hosts = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd12::1]", "192.0.2.1"];
    let targets: Vec<Value> = hosts.iter().map(|host| target(&format!("http://{host}/"))).collect();
    let host = builder().start().await;
    let run = say(&host, "s", &targets, &["hello"]).await;
    for delivery in host.deliveries_when(&run, hosts.len(), "dead_lettered").await {
        assert_eq!(delivery["last_error"]["code"], "blocked", "{delivery}");
    }
}

#[tokio::test]
async fn metadata_services_are_refused_with_a_grant_too() {
    let hosts = [
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::]",
        "255.255.255.255",
        "[::ffff:169.254.169.254]",
        "[::169.254.169.254]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "2852039166",
    ];
    let granted = |host: &&str| {
        json!({ "url": format!("http://{host}/latest/meta-data"), "allow_private_network": true }).to_string()
    };
    let targets: Vec<Value> = hosts.iter().map(|host| target(&granted(host))).collect();
    let host = builder().start().await;
    let run = say(&host, "s", &targets, &["hello"]).await;
    for delivery in host.deliveries_when(&run, hosts.len(), "dead_lettered").await {
        assert_eq!(
            (&delivery["last_error"]["code"], &delivery["attempts"]),
            (&json!("blocked"), &json!(1)),
            "{delivery}"
        );
    }
}

#[tokio::test]
async fn a_kept_connection_of_a_granted_target_is_not_there_for_others() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/in").replace("127.0.0.1", "localhost");
    let granted = target(&json!({ "url": url, "allow_private_network": true }).to_string());
    let host = builder().start().await;
    let run = say(&host, "s", std::slice::from_ref(&granted), &["one", "two"]).await;
    host.deliveries_when(&run, 2, "delivered").await;
    let run = say(&host, "t", &[target(&url)], &["three"]).await;
    let delivery = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!(delivery["last_error"]["code"], "blocked", "{delivery}");
    let run = say(&host, "u", &[granted], &["four"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let said: Vec<String> = receiver.received().iter().map(|request| request.content().to_owned()).collect();
    assert_eq!(said, ["one", "two", "four"]);
}

#[tokio::test]
async fn what_an_address_holds_shows_nowhere() {
    let receiver = Receiver::scripted(|_| kheish_host_tests::receiver::Reply::Status(500)).await;
    let canary = "canary-in-an-address";
    let mut address = receiver.address(&format!("/{canary}"));
    address["headers"] = json!({ "x-secret": format!("{canary}-header") });
    let blocked = target(&format!("http://127.0.0.1:1/{canary}"));
    let host = builder().env("RUST_LOG", "debug").start().await;
    let run = say(&host, "s", &[target(&address.to_string()), blocked], &["hello"]).await;
    host.deliveries_when(&run, 2, "dead_lettered").await;
    let deliveries = host.get("/v1/deliveries").await.expect(200);
    assert!(!String::from_utf8_lossy(&deliveries.body).contains(canary));
    assert!(!host.log().contains(canary));
}
