//! `kheishd deliveries`.

use kheish_host_tests::{
    cli::Cli,
    host::Host,
    receiver::{Receiver, Reply},
    wait::eventually,
};
use serde_json::{Value, json};

#[tokio::test]
async fn dead_letters_are_seen_replayed_resolved_and_purged() {
    let receiver = Receiver::scripted(|_| Reply::Status(404)).await;
    let host = Host::builder().plugins(&[]).start().await;
    host.make_session("s").await;
    let body = json!({ "content": "work", "reply_targets": [receiver.target_json("/in")] });
    let run = host.submit("s", &body).await.expect(202);
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &["hello"]).await.expect(200);
    let dead = host.deliveries_when(run.text("/run_id"), 1, "dead_lettered").await.remove(0);
    let id = dead["delivery_id"].as_str().unwrap_or_default();
    receiver.follow(|_| Reply::Status(200));
    let cli = Cli::of(&host);
    cli.run(&["deliveries", "dead-letters"]).await.expect(0).says(&[id, "dead_lettered"]);
    cli.run(&["deliveries", "list", "--status", "delivered"]).await.expect(0).says(&["there are no such deliveries"]);
    cli.run(&["deliveries", "get", id]).await.expect(0).says(&["hello", "PART", "status"]);
    cli.run(&["deliveries", "replay", "--all", "--dry-run"]).await.expect(0).says(&["would_replay", id]);
    let replay = cli.run(&["deliveries", "replay", id, "--output", "json"]).await.expect(0).json();
    assert_eq!(replay["replayed_from_delivery_id"], id);
    receiver.when("/in", 2).await;
    cli.run(&["deliveries", "replay", "--all"]).await.expect(0).says(&["existing_replay"]);
    cli.run(&["deliveries", "resend", id]).await.expect(4).says(&["delivery_state_conflict"]);
    cli.run(&["deliveries", "mark-delivered", id, "--part", "0"]).await.expect(4);
    cli.run(&["deliveries", "cancel", id]).await.expect(4);
    cli.run(&["deliveries", "resolve", id, "--reason", "seen"]).await.expect(0).says(&[id]);
    cli.run(&["deliveries", "purge", "--dry-run"]).await.expect(0).says(&["would_purge", id]);
    cli.run(&["deliveries", "purge"]).await.expect(0).says(&["purged"]);
    cli.run(&["deliveries", "get", id]).await.expect(3);
    cli.run(&["deliveries", "reset", "--plugin", "http"]).await.expect(0).says(&["no breaker is open"]);
    for wrong in [["deliveries", "replay"].as_slice(), &["deliveries", "reset"], &["deliveries", "replay", id, "--all"]]
    {
        cli.run(wrong).await.expect(2);
    }
}

/// More than one call takes.
const MANY: usize = 501;

#[tokio::test]
async fn all_means_all() {
    let receiver = Receiver::scripted(|_| Reply::Status(404)).await;
    let host = Host::builder().plugins(&[]).start().await;
    host.make_session("s").await;
    let body = json!({ "content": "work", "reply_targets": [receiver.target_json("/in")] });
    let run = host.submit("s", &body).await.expect(202);
    let worker = host.worker("w");
    worker.finish(&worker.take().await, &vec!["hello"; MANY]).await.expect(200);
    eventually("all are dead", async || (host.ledger().await["deliveries"]["dead_lettered"] == MANY).then_some(()))
        .await;
    let cli = Cli::of(&host);
    let look = cli.run(&["deliveries", "replay", "--all", "--dry-run"]).await.expect(0);
    look.says(&["501 match: 501 would_replay"]);
    // They die again: what is made on the way is not taken for more to do.
    let replayed = cli.run(&["deliveries", "replay", "--all", "--force", "--output", "json"]).await.expect(0).json();
    let count = |pointer: &str| replayed[pointer].as_u64().unwrap_or_default();
    assert_eq!((count("matched"), count("selected"), count("replayed")), (501, 501, 501));
    assert_eq!(replayed["items"].as_array().map(Vec::len), Some(MANY));
    eventually("all are dead again", async || {
        (host.ledger().await["deliveries"]["dead_lettered"] == 2 * MANY).then_some(())
    })
    .await;
    let some =
        cli.run(&["deliveries", "resolve", "--all", "--limit", "502", "--output", "json"]).await.expect(0).json();
    assert_eq!((&some["done"], &some["truncated"]), (&json!(502), &json!(true)));
    cli.run(&["deliveries", "resolve", "--all", "--run", run.text("/run_id")])
        .await
        .expect(0)
        .says(&["500 match: 500 resolved"]);
    cli.run(&["deliveries", "resolve", "--all"]).await.expect(0).says(&["there are no such dead letters"]);
    cli.run(&["deliveries", "purge"]).await.expect(0).says(&["1002 match: 1002 purged"]);
    let left = host.get("/v1/deliveries/dead-letter?page=true").await.expect(200).json;
    assert_eq!(left["items"], Value::Array(Vec::new()));
}
