//! What is told of a run and its deliveries, step by step, and who hears it.

use kheish_host_tests::{
    connectors::Http,
    host::Host,
    receiver::{Receiver, Reply},
};
use serde_json::json;

use super::{ALL, QUICK, builder, ids, shorts, stream, submit};

#[tokio::test]
async fn an_event_is_told_of_from_its_arrival_to_the_delivery_of_its_answer() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.index == 0 { 500 } else { 200 })).await;
    let connector = Http::named("orders").bearer("hidden-token").reply_to(&[receiver.target("/hidden-path")]);
    let host = Host::builder().connectors(connector).settings(QUICK).start().await;
    let mut all = stream(&host, ALL).await;
    assert_eq!(all.headers()["content-type"], "text/event-stream");
    assert_eq!(all.headers()["cache-control"], "no-store");
    assert_eq!(all.headers()["x-accel-buffering"], "no");

    let accepted = host.sender("orders").bearer("hidden-token").say("k1", "room", "a").await.expect(200);
    let (run, session) = (accepted.text("/run_id"), accepted.text("/session_id"));
    let worker = host.worker("w");
    let claimed = worker.take().await;
    let long = format!("{}é{}", "x".repeat(1_999), "y".repeat(500));
    worker.outputs(&claimed, &[&long]).await.expect(200);
    worker.finish(&claimed, &[]).await.expect(200);

    let frames = all.until(|frame| frame.text("status") == "delivered").await;
    assert_eq!(
        shorts(&frames),
        [
            "ingress accepted",
            "run_updated started",
            "output",
            "run_updated completed",
            "delivery_updated pending",
            "delivery_updated sending",
            "delivery_updated pending",
            "delivery_updated sending",
            "delivery_updated delivered",
        ]
    );
    assert!(ids(&frames).windows(2).all(|pair| pair[0] + 1 == pair[1]), "{frames:?}");
    for frame in &frames {
        assert_eq!((frame.text("run_id"), frame.text("session_id")), (run, session), "{frame:?}");
        assert!(frame.data["at_ms"].as_i64() > Some(1_600_000_000_000), "{frame:?}");
        assert!(!frame.data.to_string().contains("hidden"), "{frame:?}");
    }
    assert_eq!((frames[0].text("connector"), &frames[0].data["seq"]), ("http/orders", &json!(1)));
    assert_eq!((frames[1].text("status"), frames[1].text("source_plugin")), ("running", "http"));
    assert_eq!(frames[2].text("content"), format!("{}é", "x".repeat(1_999)));
    assert_eq!((&frames[2].data["truncated"], &frames[2].data["ordinal"]), (&json!(true), &json!(0)));
    assert_eq!((frames[3].text("status"), &frames[3].data["outputs"]), ("completed", &json!(1)));
    let tried = &frames[6].data;
    assert_eq!((&tried["attempts"], &tried["error"]["code"]), (&json!(1), &json!("status")));
    assert!(tried["next_attempt_at_ms"].is_i64(), "{tried}");
    assert_eq!(frames[8].data["attempts"], 2);
    let delivery = host.run(run).await["deliveries"][0]["delivery_id"].clone();
    assert!(frames[4..].iter().all(|frame| frame.data["delivery_id"] == delivery));
}

#[tokio::test]
async fn the_ways_back_and_out_are_told_of() {
    let host = builder().start().await;
    let mut all = stream(&host, ALL).await;
    submit(&host, "s").await;
    let worker = host.worker("w");
    let given_back = worker.take().await;
    worker.fail(&given_back, "later", true).await.expect(200);
    // This one dies: its lease ends.
    worker.take_for(100).await;
    let failed = worker.take().await;
    worker.fail(&failed, "broken", false).await.expect(200);
    let frames = all.until(|frame| frame.text("change") == "failed").await;
    let names = ["queued", "started", "requeued", "started", "requeued", "started", "failed"];
    assert_eq!(shorts(&frames), names.map(|change| format!("run_updated {change}")));
    assert_eq!(frames[2].text("status"), "queued");
    assert_eq!((&frames[6].data["attempt"], &frames[6].data["error"]["code"]), (&json!(3), &json!("broken")));
}

#[tokio::test]
async fn streams_of_a_session_or_a_run_leave_the_rest_out() {
    let host = builder().start().await;
    let one = submit(&host, "one").await;
    host.make_session("two").await;
    let session = "a/session with spaces";
    let encoded = "a%2Fsession%20with%20spaces";
    host.make_session(session).await;
    let odd = host.submit(encoded, &json!({ "content": "a" })).await.expect(202).text("/run_id").to_owned();
    let mut streams = Vec::new();
    let of_run = format!("/v1/runs/{one}/stream");
    let by_run = format!("{ALL}?run_id={one}");
    for path in ["/v1/sessions/one/stream", &of_run, &by_run, &format!("{ALL}?session_id=one")] {
        streams.push(stream(&host, path).await);
    }
    let mut of_two = stream(&host, "/v1/sessions/two/stream").await;
    let mut of_odd = stream(&host, &format!("/v1/sessions/{encoded}/stream")).await;
    let two = submit(&host, "two").await;
    let worker = host.worker("w");
    for _ in 0..3 {
        let claimed = worker.take().await;
        worker.finish(&claimed, &["said"]).await.expect(200);
    }
    for stream in &mut streams {
        let frames = stream.until(|frame| frame.text("change") == "completed").await;
        assert_eq!(shorts(&frames), ["run_updated started", "output", "run_updated completed"]);
        assert!(frames.iter().all(|frame| frame.text("run_id") == one));
    }
    let frames = of_two.until(|frame| frame.text("change") == "completed").await;
    assert!(frames.iter().all(|frame| frame.text("run_id") == two));
    assert_eq!(frames.len(), 4);
    let frames = of_odd.until(|frame| frame.text("change") == "completed").await;
    assert!(frames.iter().all(|frame| frame.text("run_id") == odd && frame.text("session_id") == session));
}

#[tokio::test]
async fn there_is_no_stream_of_what_does_not_exist() {
    let host = builder().start().await;
    host.get("/v1/sessions/none/stream").await.problem(404, "sessions", "session_not_found");
    let run = format!("/v1/runs/run_{}/stream", "0".repeat(32));
    host.get(&run).await.problem(404, "runs", "run_not_found");
    host.get("/v1/runs/one/stream").await.problem(404, "runs", "run_not_found");
    host.get(&format!("{ALL}?run_id=one")).await.problem(400, "runs", "invalid_run_id");
    host.get(&format!("{ALL}?session_id=..")).await.problem(400, "sessions", "invalid_session_id");
}

#[tokio::test]
async fn streams_are_the_operators() {
    let host = builder().token("admin").start().await;
    let stranger = kheish_host_tests::client::Client::new(host.client().base());
    assert_eq!(stranger.get(ALL).await.status, 401);
    stream(&host, ALL).await;
}
