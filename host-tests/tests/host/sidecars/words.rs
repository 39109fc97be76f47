//! What sidecars say is kept and shown with secrets masked, also where it is cut.

use std::{fs, path::Path};

use kheish_host_tests::{
    child::{Child, PATH, process_when, running},
    cli::Cli,
    host::Host,
    receiver::Reply,
    sidecar::{self, Sidecar, TOKEN, event, health, health_when, send},
    sse::Stream,
    wait::eventually,
};
use serde_json::{Value, json};

use super::{QUICK, start};

/// The first letters of the token, which is long enough to be nothing else.
fn part() -> &'static str {
    &TOKEN[..10]
}

/// Words of so many letters, and the token behind them.
fn words(letters: usize) -> String {
    format!("{}{TOKEN}", "x".repeat(letters))
}

/// The log, and whatever lies in the state folder.
fn holds(host: &Host, text: &str) -> bool {
    fn in_files(folder: &Path, text: &[u8]) -> bool {
        fs::read_dir(folder).unwrap().flatten().any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return in_files(&path, text);
            }
            fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
        })
    }
    host.log().contains(text) || in_files(&host.state_folder(), text.as_bytes())
}

#[tokio::test]
async fn how_a_sidecar_fares_is_shown_without_secrets() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    let refused = format!("401 for https://forge.example/bot{TOKEN}/getMe");
    for (number, said) in [refused, words(490), words(480)].into_iter().enumerate() {
        let instance = format!("{number}-{}", words(492));
        let body = json!({ "instance_id": instance, "status": "degraded", "detail": said }).to_string();
        sidecar.fares(Reply::Body(200, "application/json", body));
        let shown = eventually("it says so", async || {
            let shown = health_when(&host, "bridge", "degraded").await;
            shown["instance_id"].as_str().is_some_and(|id| id.starts_with(&format!("{number}-"))).then_some(shown)
        })
        .await;
        for field in ["reason", "instance_id"] {
            let text = shown[field].as_str().unwrap();
            assert!(text.contains("[maske") && text.chars().count() <= 500, "{field}: {text}");
        }
        let status = host.get("/v1/status").await.expect(200).json.to_string();
        let doctor = Cli::of(&host).run(&["doctor"]).await;
        for text in [shown.to_string(), status, doctor.stdout, doctor.stderr] {
            assert!(!text.contains(part()), "{text}");
        }
        sidecar.fares(health("ready", None));
        health_when(&host, "bridge", "ready").await;
    }
    sidecar.fares(Reply::Body(200, "application/json", json!({ "status": words(20) }).to_string()));
    let odd = health_when(&host, "bridge", "degraded").await;
    assert!(odd["reason"].as_str().is_some_and(|said| said.contains("[masked]")), "{odd}");
    host.logs("the sidecar of external/bridge is degraded").await;
    assert!(!holds(&host, part()));
}

#[tokio::test]
async fn how_a_child_ended_is_told_without_secrets() {
    let settings = format!("{QUICK}[sidecars.child]\nstart_poll_ms = 20\nrestart_ms = 20\nmax_restart_ms = 60\n");
    let host = Host::builder().plugins(&[]).settings(&settings).start().await;
    let child = Child::new();
    let mut events = Stream::open(host.client(), "/v1/events/stream").await;
    child.put(&host, "", &json!({})).await;
    let pid = running(&host).await;
    // The end of what is kept lies within the token, whatever the number of the process is.
    child.told(&format!("health/impostor-{}", words(285))).await;
    let again = |process: &Value| process["state"] == "running" && process["pid"] != json!(pid);
    let health = process_when(&host, "is another one", again).await;
    let end = health["process"]["last_end"].as_str().unwrap();
    assert!(end.contains("health of instance `xxx") && end.contains('['), "{end}");
    let seen = events.until(|frame| frame.data["state"] == "waiting").await;
    let told = seen.last().unwrap().text("reason");
    assert_eq!(told, end);
    assert!(!host.get(PATH).await.expect(200).json.to_string().contains(part()) && !told.contains(part()), "{told}");
    host.logs("the sidecar of external/bridge is down").await;
    assert!(!holds(&host, part()));
}

#[tokio::test]
async fn what_is_said_of_a_delivery_is_kept_without_secrets() {
    let sidecar = Sidecar::start().await;
    let host = start(&sidecar, "").await;
    for (number, (status, said, ends)) in [
        ("terminal_error", words(490), "dead_lettered"),
        ("retryable_error", words(495), "dead_lettered"),
        ("committed", words(490), "delivered"),
        ("committed", words(60_000), "delivered"),
        ("committed", format!("{TOKEN}\" in \\u0020 quotes"), "delivered"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "status": status, "detail": said }).to_string();
        sidecar.delivers(move |_| Reply::Body(200, "application/json", body.clone()));
        let id = format!("e-{number}");
        let run = send(&host, "bridge", &event(&id, &id)).await.expect(200).text("/run_id").to_owned();
        let delivery = host.deliveries_when(&run, 1, ends).await.remove(0);
        let path = format!("/v1/deliveries/{}", delivery["delivery_id"].as_str().unwrap());
        let shown = host.get(&path).await.expect(200).json.to_string();
        assert!(!shown.contains(part()), "{shown}");
        assert_eq!(shown.contains("[mask"), ends == "dead_lettered", "{shown}");
    }
    assert!(!holds(&host, part()), "a prefix of the token is kept");
    assert!(!holds(&host, &"x".repeat(501)), "more than 500 letters are kept");
    assert_eq!(sidecar::metric(&host, "delivery_total{connector=\"bridge\",status=\"committed\"}").await, 3.0);
}
