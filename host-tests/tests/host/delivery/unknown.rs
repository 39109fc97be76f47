//! What nobody knows: passed, held or sent again, as the connector says, and never sent again without having been said to be unknown.

use kheish_host_tests::{
    connectors::{outbox, outbox_target},
    host::{Host, OUTBOX},
    receiver::{Gate, Receiver, Reply},
    scrape::Scrape,
    sse::Stream,
    wait::eventually,
};
use serde_json::json;

use super::{QUICK, builder, say};

async fn host(policy: &str) -> Host {
    let connector = outbox("main", &format!("unknown_deliveries = \"{policy}\""));
    builder().plugins(&[OUTBOX]).connectors(connector).start().await
}

fn sends(host: &Host, text: &str) -> usize {
    host.log().lines().filter(|line| line.contains(&format!("sends \"{text}\""))).count()
}

#[tokio::test]
async fn a_lane_that_is_held_sends_nothing_more_and_others_go_on() {
    let mut host = host("hold").await;
    let run = say(&host, "s", &[outbox_target("main", &json!({ "answer": "unknown" }))], &["one", "two"]).await;
    eventually("the first to be unknown", async || {
        (host.run(&run).await["deliveries"][0]["status"] == "unknown").then_some(())
    })
    .await;
    host.kill();
    host.restart().await;
    let other = say(&host, "t", &[outbox_target("main", &json!({ "answer": "ok", "lane": "b" }))], &["three"]).await;
    host.deliveries_when(&other, 1, "delivered").await;
    assert_eq!(host.run(&run).await["deliveries"][1]["status"], "pending");
    assert_eq!(sends(&host, "two"), 0);
}

#[tokio::test]
async fn what_is_sent_again_was_said_to_be_unknown() {
    let host = host("resend").await;
    let target = outbox_target("main", &json!({ "answer": "unknown", "well_from": 3 }));
    let run = say(&host, "s", &[target], &["one"]).await;
    let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
    assert_eq!((&delivery["attempts"], sends(&host, "one")), (&json!(3), 3));
}

#[tokio::test]
async fn what_is_sent_again_and_again_in_vain_is_given_up() {
    let host = host("resend").await;
    let run = say(&host, "s", &[outbox_target("main", &json!({ "answer": "unknown" }))], &["one", "two"]).await;
    let delivery = host.deliveries_when(&run, 2, "dead_lettered").await.remove(0);
    assert_eq!((sends(&host, "one"), sends(&host, "two")), (3, 3));
    assert_eq!((&delivery["terminal_error"]["code"], &delivery["attempts"]), (&json!("no.answer"), &json!(3)));
    let why = delivery["terminal_error"]["detail"].as_str().unwrap_or_default();
    assert!(why.contains("not known") && why.contains("attempt 3, the last"), "{why}");
}

#[tokio::test]
async fn what_is_sent_again_is_given_up_at_an_age() {
    let settings =
        QUICK.replace("initial_ms = 20\nmax_ms = 60\n", "initial_ms = 2000\nmax_ms = 2000\ngive_up_after_ms = 50\n");
    let gate = Gate::default();
    let held = gate.clone();
    let receiver = Receiver::scripted(move |_| Reply::Hold(held.clone())).await;
    let host = builder().settings(&format!("{settings}[egress]\ntimeout_ms = 100\n")).start().await;
    let run = say(&host, "s", &[receiver.target_json("/in")], &["one"]).await;
    let delivery = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!((&delivery["terminal_error"]["code"], receiver.count()), (&json!("timeout"), 1));
    let why = delivery["terminal_error"]["detail"].as_str().unwrap_or_default();
    assert!(why.contains("not known") && why.contains("too late"), "{why}");
    gate.open();
}

#[tokio::test]
async fn what_the_daemons_end_broke_off_is_told_and_counted() {
    let mut host = host("pass").await;
    let run = say(&host, "s", &[outbox_target("main", &json!({ "answer": "loop" }))], &["one"]).await;
    host.logs("sends \"one\"").await;
    host.kill();
    host.restart().await;
    host.deliveries_when(&run, 1, "unknown").await;
    assert_eq!(Scrape::of(&host).await.value("delivery_unknown_total"), 1.0);
    let mut told = Stream::open(host.client(), "/v1/events/stream?cursor=0").await;
    let last = told.until(|frame| frame.text("status") == "unknown").await.pop().unwrap();
    assert_eq!((last.name.as_str(), last.text("run_id")), ("delivery_updated", &*run));
    assert_eq!((&last.data["error"]["code"], &last.data["attempts"]), (&json!("interrupted"), &json!(1)));
}
