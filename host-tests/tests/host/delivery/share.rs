//! Workers are shared: who is slow takes a part of them, and whoever comes next is served at once.

use kheish_host_tests::{
    connectors::{outbox, outbox_target},
    host::{Host, HostBuilder, OUTBOX},
    receiver::{Gate, Receiver, Reply},
    scrape::Scrape,
    wait::eventually,
};
use serde_json::{Value, json};

use super::say;

/// Targets of one run.
const TARGETS: usize = 10;

fn builder(workers: usize) -> HostBuilder {
    let settings = format!("[delivery]\nworkers = {workers}\npoll_interval_ms = 60000\n");
    Host::builder().plugins(&[]).settings(&settings)
}

/// Answers nothing until the gate is open.
async fn hanging(gate: &Gate) -> Receiver {
    let gate = gate.clone();
    Receiver::scripted(move |_| Reply::Hold(gate.clone())).await
}

/// Says one thing to all of these, some in each run.
async fn say_to_all(host: &Host, targets: &[Value]) -> Vec<String> {
    let mut runs = Vec::new();
    for (number, some) in targets.chunks(TARGETS).enumerate() {
        runs.push(say(host, &format!("slow {number}"), some, &["slow"]).await);
    }
    runs
}

#[tokio::test]
async fn sixteen_servers_that_hang_leave_room_for_the_seventeenth() {
    let gate = Gate::default();
    let mut slow = Vec::new();
    for _ in 0..16 {
        slow.push(hanging(&gate).await);
    }
    // As many lanes as workers.
    let host = builder(32).start().await;
    let lanes = ["/a", "/b"].map(|path| slow.iter().map(|receiver| receiver.target_json(path)).collect::<Vec<_>>());
    let runs = say_to_all(&host, &lanes.concat()).await;
    for receiver in &slow {
        eventually("each has got one at least", async || (receiver.count() > 0).then_some(())).await;
    }
    let quick = Receiver::start().await;
    let run = say(&host, "quick", &[quick.target_json("/in")], &["quick"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    for run in &runs {
        let deliveries = host.run(run).await["deliveries"].clone();
        let failed = deliveries.as_array().into_iter().flatten().any(|one| one.get("last_error").is_some());
        assert!(!failed, "it waited until one of the others had been given up: {deliveries}");
    }
    gate.open();
    for run in runs {
        eventually("the slow ones are served too", async || {
            let deliveries = host.run(&run).await["deliveries"].clone();
            deliveries.as_array()?.iter().all(|one| one["status"] == "delivered").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn one_server_holds_half_of_the_workers_at_most() {
    let gate = Gate::default();
    let slow = hanging(&gate).await;
    let host = builder(8).start().await;
    let lanes: Vec<Value> = (0..20).map(|n| slow.target_json(&format!("/{n}"))).collect();
    let runs = say_to_all(&host, &lanes).await;
    eventually("its share is used", async || (slow.count() == 4).then_some(())).await;
    let quick = Receiver::start().await;
    for n in 0..3 {
        let run = say(&host, &format!("quick {n}"), &[quick.target_json("/in")], &["quick"]).await;
        host.deliveries_when(&run, 1, "delivered").await;
    }
    assert_eq!(slow.count(), 4, "half of eight");
    gate.open();
    for run in runs {
        host.deliveries_when(&run, TARGETS, "delivered").await;
    }
    assert_eq!(slow.count(), 20);
}

#[tokio::test]
async fn no_lane_is_taken_for_which_its_connector_has_no_place() {
    let guests = "[guests]\ndelivery_deadline_ms = 300\nqueue_timeout_ms = 30\n\
                  deliveries_per_connector = 2\nconcurrent_deliveries = 3\n";
    let settings = format!("[delivery]\nworkers = 64\n[delivery.connectors]\nmax_attempts = 1\n{guests}");
    let connectors = outbox("one", "") + &outbox("two", "");
    let host = Host::builder().plugins(&[OUTBOX]).connectors(connectors).settings(&settings).start().await;
    let lane = |n: usize| outbox_target(["one", "two"][n % 2], &json!({ "answer": "loop", "lane": format!("l{n}") }));
    let run = say(&host, "s", &(0..TARGETS).map(lane).collect::<Vec<_>>(), &["slow"]).await;
    for delivery in host.deliveries_when(&run, TARGETS, "dead_lettered").await {
        assert_eq!(delivery["last_error"]["code"], "connector_timeout", "{delivery}");
    }
    let waited = Scrape::of(&host).await.value("delivery_attempts_total{class=\"rate_limited\"}");
    assert_eq!(waited, 0.0, "a place was waited for with a worker");
}

#[tokio::test]
async fn a_hundred_slow_lanes_of_a_connector_do_not_delay_another_one() {
    let settings = "[delivery]\nworkers = 8\n[guests]\ndelivery_deadline_ms = 20000\n";
    let connectors = outbox("slow", "") + &outbox("quick", "");
    let host = Host::builder().plugins(&[OUTBOX]).connectors(connectors).settings(settings).start().await;
    let route = |n: usize| json!({ "answer": "loop", "lane": format!("l{n}") });
    let lanes: Vec<Value> = (0..100).map(|n| outbox_target("slow", &route(n))).collect();
    say_to_all(&host, &lanes).await;
    let run = say(&host, "quick", &[outbox_target("quick", &json!({ "answer": "ok" }))], &["quick"]).await;
    host.deliveries_when(&run, 1, "delivered").await;
    let begun = host.log().lines().filter(|line| line.contains("sends \"slow\"")).count();
    assert_eq!(begun, 4, "half of eight");
}
