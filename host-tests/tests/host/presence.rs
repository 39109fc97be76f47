//! Signs that an answer is on its way, judged by what the platform is asked.

use kheish_host_tests::{
    courier::{courier, route},
    host::{COURIER, Host},
    openai_double::{OpenAiDouble, Play},
    receiver::{Gate, Receiver, Reply},
};
use serde_json::{Value, json};

/// Signs at once; the sign of the courier lasts a second.
const QUICK: &str = "[presence]\ndelay_ms = 0\n";

async fn host(platform: &Receiver, settings: &str) -> Host {
    let builder = Host::builder().plugins(&[COURIER]).connectors(courier(&platform.url(""), ""));
    builder.settings(settings).start().await
}

/// Makes a session of an executor and submits a run that answers to this place, which has a sign. Gives the run.
async fn ask(host: &Host, platform: &Receiver, (session, executor): (&str, &str)) -> String {
    let body = json!({ "session_id": session, "executor": executor });
    host.post("/v1/sessions", &body).await.expect(201);
    let post = |path: &str| json!({ "method": "POST", "url": platform.url(path) });
    let target =
        route(&json!({ "asks": [post(&format!("/send/{session}"))], "typing": post(&format!("/sign/{session}")) }));
    let run = json!({ "content": "question", "reply_targets": [target] });
    host.submit(session, &run).await.expect(202).text("/run_id").to_owned()
}

/// Waits for as long as a sign takes to come again, in another session.
async fn a_while(host: &Host, platform: &Receiver) {
    ask(host, platform, ("other", "claim")).await;
    host.worker("other").take().await;
    platform.when("/sign/other", 2).await;
}

/// What was asked for a session, in order.
fn asked(platform: &Receiver, session: &str) -> Vec<String> {
    let received = platform.received().into_iter().filter(|one| one.path.ends_with(&format!("/{session}")));
    received.map(|one| one.path.trim_end_matches(&format!("/{session}")).to_owned()).collect()
}

/// Signs came, more than one, then the message, and nothing after it.
async fn judge(host: &Host, platform: &Receiver, run: &str) {
    host.deliveries_when(run, 1, "delivered").await;
    a_while(host, platform).await;
    let asked = asked(platform, "room");
    let (last, signs) = asked.split_last().unwrap();
    assert_eq!((last.as_str(), signs.iter().all(|one| one == "/sign")), ("/send", true), "{asked:?}");
    assert!(signs.len() > 1, "{asked:?}");
}

#[tokio::test]
async fn it_is_shown_while_a_worker_performs_the_run() {
    let platform = Receiver::start().await;
    let host = host(&platform, QUICK).await;
    let run = ask(&host, &platform, ("room", "claim")).await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    platform.when("/sign/room", 2).await;
    worker.outputs(&claimed, &["half of it"]).await.expect(200);
    worker.finish(&claimed, &[]).await.expect(200);
    judge(&host, &platform, &run).await;
}

#[tokio::test]
async fn it_is_shown_while_a_receiver_performs_the_run() {
    let platform = Receiver::start().await;
    let far = Receiver::scripted(|_| Reply::Status(202)).await;
    let section = format!(
        "[executors.far]\ntype = \"push\"\nurl = \"{}\"\nallow_private_network = true\nunsigned = true\n",
        far.url("/in")
    );
    let host = host(&platform, &format!("{QUICK}{section}")).await;
    let run = ask(&host, &platform, ("room", "far")).await;
    platform.when("/sign/room", 2).await;
    let sent = far.when("/in", 1).await.remove(0);
    let body = json!({ "epoch": sent.body["lease"]["epoch"], "outputs": [{ "content": "answer" }] });
    host.post(&format!("/v1/runs/{run}/finish"), &body).await.expect(200);
    judge(&host, &platform, &run).await;
}

#[tokio::test]
async fn it_is_shown_while_a_model_performs_the_run() {
    let platform = Receiver::start().await;
    let script = |nth: usize, _: &Value| if nth == 0 { Play::broken(&[]).hanging() } else { Play::whole("answer") };
    let double = OpenAiDouble::start(None, script).await;
    let host = host(&platform, &(QUICK.to_owned() + &double.settings("idle_timeout_ms = 2000"))).await;
    let run = ask(&host, &platform, ("room", "openai")).await;
    judge(&host, &platform, &run).await;
}

#[tokio::test]
async fn one_that_fails_changes_nothing() {
    let statuses = [500, 429, 401, 403, 404].map(Reply::Status);
    for reply in statuses.into_iter().chain([Reply::HangUp, Reply::Hold(Gate::default())]) {
        let platform = Receiver::scripted(move |received| match received.path.starts_with("/sign") {
            true => reply.clone(),
            false => Reply::Status(200),
        })
        .await;
        let host = host(&platform, QUICK).await;
        let run = ask(&host, &platform, ("room", "claim")).await;
        let worker = host.worker("w");
        let claimed = worker.take().await;
        platform.when("/sign/room", 1).await;
        worker.finish(&claimed, &["answer"]).await.expect(200);
        let delivery = host.deliveries_when(&run, 1, "delivered").await.remove(0);
        assert_eq!(delivery["attempts"], 1);
        let connector = host.get("/v1/runtime/connectors/courier/main").await.expect(200).json;
        assert!(!connector.to_string().contains("token_revoked"), "{connector}");
    }
}

#[tokio::test]
async fn one_that_the_connector_gives_up_is_not_shown_again() {
    let platform = Receiver::scripted(|received| match received.path.as_str() {
        "/sign/room" => Reply::Status(401),
        _ => Reply::Status(200),
    })
    .await;
    let host = host(&platform, QUICK).await;
    ask(&host, &platform, ("room", "claim")).await;
    host.worker("w").take().await;
    platform.when("/sign/room", 1).await;
    a_while(&host, &platform).await;
    assert_eq!(asked(&platform, "room"), ["/sign"]);
}

#[tokio::test]
async fn so_many_runs_show_it_at_once() {
    let platform = Receiver::start().await;
    let host = host(&platform, &format!("{QUICK}concurrent_runs = 1\n")).await;
    let worker = host.worker("w");
    let first = ask(&host, &platform, ("room", "claim")).await;
    let claimed = worker.take().await;
    platform.when("/sign/room", 1).await;
    let second = ask(&host, &platform, ("hall", "claim")).await;
    let other = worker.take().await;
    assert_eq!((&claimed.run, &other.run), (&first, &second));
    platform.when("/sign/room", 2).await;
    for claimed in [&other, &claimed] {
        worker.finish(claimed, &["answer"]).await.expect(200);
    }
    host.deliveries_when(&second, 1, "delivered").await;
    assert_eq!(asked(&platform, "hall"), ["/send"]);
    a_while(&host, &platform).await;
}

#[tokio::test]
async fn quick_runs_show_none_and_so_does_nobody_where_it_is_switched_off() {
    for settings in ["", "[presence]\ndelay_ms = 0\nconcurrent_runs = 0\n"] {
        let platform = Receiver::start().await;
        let host = host(&platform, settings).await;
        let run = ask(&host, &platform, ("room", if settings.is_empty() { "echo" } else { "claim" })).await;
        if !settings.is_empty() {
            let worker = host.worker("w");
            // Its lease ends, so that some time has passed.
            worker.take_for(1_500).await;
            let claimed = worker.take().await;
            worker.finish(&claimed, &["answer"]).await.expect(200);
        }
        host.deliveries_when(&run, 1, "delivered").await;
        assert_eq!(asked(&platform, "room"), ["/send"]);
    }
}
