//! Deliveries to a child that does not run here: they wait, say why, spend nothing, and go out when it is ready.

use std::time::{Duration, Instant};

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    host::Host,
    sidecar::{event, send},
    wait::eventually,
};
use serde_json::{Value, json};

use crate::duties::{let_go, taken_by_another};

/// Short waits, and two attempts. These are the settings of children, too, beside `more`.
async fn start(more: &str) -> Host {
    let settings = format!(
        "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\n[delivery.connectors]\ninitial_ms = 20\n\
         max_ms = 60\nmax_attempts = 2\n[duties]\nlease_ms = 600\n[sidecars]\nhealth_interval_ms = 50\n\
         [sidecars.child]\nstart_poll_ms = 20\nstop_grace_ms = 300\n{more}"
    );
    Host::builder().plugins(&[]).executor("echo").settings(&settings).start().await
}

/// Sends an event, whose run says the same to where it came from. Gives the run.
async fn say(host: &Host, id: &str) -> String {
    send(host, "bridge", &event(id, id)).await.expect(200).text("/run_id").to_owned()
}

/// The only delivery of a run, once it was put off more often than there are attempts, with this code and this reason.
async fn waits(host: &Host, run: &str, code: &str, reason: &str) -> Value {
    let delivery = eventually(&format!("the delivery waits: {code}, {reason}"), async || {
        let deliveries = host.run(run).await["deliveries"].clone();
        let id = deliveries[0]["delivery_id"].as_str()?;
        let delivery = host.get(&format!("/v1/deliveries/{id}")).await.expect(200).json;
        let error = &delivery["last_error"];
        let said = error["code"] == code && error["detail"].as_str().is_some_and(|detail| detail.contains(reason));
        (said && delivery["failed_attempts"].as_array().is_some_and(|all| all.len() > 3)).then_some(delivery)
    })
    .await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("retrying"), &json!(0)), "{delivery}");
    assert!(delivery["next_attempt_at_ms"].is_i64(), "{delivery}");
    delivery
}

/// It goes out, and that is its first attempt.
async fn goes_out(host: &Host, child: &Child, run: &str) {
    let delivered = host.deliveries_when(run, 1, "delivered").await.remove(0);
    assert_eq!(delivered["attempts"], 1, "{delivered}");
    assert_eq!(child.told("deliveries/").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_delivery_waits_for_a_child_that_starts() {
    let (host, child) = (start("start_timeout_ms = 60000\n").await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let run = say(&host, "hello").await;
    waits(&host, &run, "sidecar_starting", "it says that it is starting").await;
    child.told("health/ready").await;
    goes_out(&host, &child, &run).await;
}

#[tokio::test]
async fn a_delivery_waits_for_a_child_that_is_down() {
    for (settings, state, reason) in [
        ("restart_ms = 3600000\nmax_restart_ms = 3600000\n", "waiting", "exit code 7"),
        ("starts = 1\nrestart_ms = 1\n", "stopped", "kheishd connectors restart"),
    ] {
        let (host, child) = (start(settings).await, Child::new());
        child.put(&host, "exit", &json!({})).await;
        process_when(&host, &format!("is {state}"), |process| process["state"] == state).await;
        let run = say(&host, "hello").await;
        waits(&host, &run, "sidecar_deaf", reason).await;
        host.put(PATH, &json!({ "child_process": child.fields("", &json!({}))["child_process"] })).await.expect(200);
        goes_out(&host, &child, &run).await;
    }
}

#[tokio::test]
async fn a_delivery_waits_while_another_daemon_runs_the_child() {
    let (host, child) = (start("").await, Child::new());
    child.put(&host, "", &json!({})).await;
    running(&host).await;
    taken_by_another(&host).await;
    process_when(&host, "runs elsewhere", |process| process["state"] == "elsewhere").await;
    let run = say(&host, "hello").await;
    waits(&host, &run, "sidecar_elsewhere", "another daemon").await;
    let_go(&host).await;
    goes_out(&host, &child, &run).await;
}

/// What waits is taken up at once by a daemon that starts, long before it has started the child.
#[tokio::test]
async fn a_delivery_waits_from_the_daemon_s_first_moment_on() {
    let (mut host, child) = (start("start_timeout_ms = 60000\n").await, Child::new());
    child.put(&host, "starting", &json!({})).await;
    let run = say(&host, "hello").await;
    let mut delivery = waits(&host, &run, "sidecar_starting", "it says that it is starting").await;
    for _ in 0..5 {
        let before = delivery["failed_attempts"].as_array().map(Vec::len);
        host.kill();
        // It is due when the daemon starts: it was put off for some 200 ms.
        let killed = Instant::now();
        eventually("it is due", async || (killed.elapsed() > Duration::from_millis(400)).then_some(())).await;
        host.restart().await;
        delivery = eventually("it is put off again", async || {
            let path = format!("/v1/deliveries/{}", delivery["delivery_id"].as_str()?);
            let now = host.get(&path).await.expect(200).json;
            (now["failed_attempts"].as_array().map(Vec::len) > before.map(|count| count + 3)).then_some(now)
        })
        .await;
    }
    for failed in delivery["failed_attempts"].as_array().unwrap() {
        // It may have been on its way to being put off when the daemon was killed.
        let code = failed["error"]["code"].as_str().unwrap();
        assert!(["sidecar_starting", "interrupted"].contains(&code), "{delivery}");
    }
}
