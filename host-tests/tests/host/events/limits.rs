//! What bounds streams: how many there are, how long they are silent, and when they end.

use std::time::Duration;

use kheish_host_tests::{host::Host, wait::eventually};

use super::{ALL, builder, short, stream, submit};

fn with(settings: &str) -> kheish_host_tests::host::HostBuilder {
    Host::builder().plugins(&[]).settings(settings)
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let host = with("[events]\nheartbeat_ms = 200\n").start().await;
    submit(&host, "busy").await;
    host.make_session("quiet").await;
    let mut quiet = stream(&host, "/v1/sessions/quiet/stream").await;
    let mut times = Vec::new();
    while times.len() < 3 {
        // What the stream leaves out does not count as a sign of life.
        submit(&host, "busy").await;
        let Some(beat) = quiet.next_within(Duration::from_millis(20)).await else { continue };
        assert_eq!((beat.name.as_str(), beat.id), ("heartbeat", None));
        times.push(beat.data["at_ms"].as_i64().unwrap());
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 190), "{times:?}");
}

#[tokio::test]
async fn streams_are_bounded_and_a_closed_one_makes_room() {
    let host = with("[events]\nstreams = 2\n").start().await;
    let first = stream(&host, ALL).await;
    let mut second = stream(&host, ALL).await;
    let refused = host.get(ALL).await;
    refused.problem(503, "events", "too_many_streams");
    assert_eq!(refused.header("retry-after"), "1");
    host.logs("events.streams").await;
    submit(&host, "s").await;
    assert_eq!(short(&second.next().await.unwrap()), "run_updated queued");
    drop(first);
    eventually("there is room for a stream", async || {
        let request = host.client().request(reqwest::Method::GET, ALL);
        (request.send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_daemon_is_asked_to_stop() {
    // Longer than a test may take: a stream that went on would hold the daemon.
    let mut host = with("[server]\nshutdown_grace_ms = 600000\n").start().await;
    let mut all = stream(&host, ALL).await;
    submit(&host, "s").await;
    let mut quiet = stream(&host, "/v1/sessions/s/stream").await;
    assert_eq!(short(&all.next().await.unwrap()), "run_updated queued");
    host.ask_to_stop();
    assert_eq!(all.next().await, None);
    assert_eq!(quiet.next().await, None);
    assert_eq!(host.ended().await.code, Some(0));
}

#[tokio::test]
async fn no_more_is_kept_than_was_asked_for() {
    let mut host = builder().env("KHEISH_EVENT_HISTORY_CAPACITY", "0").start().await;
    for _ in 0..3 {
        submit(&host, "s").await;
        host.restart().await;
    }
    let last = submit(&host, "s").await;
    let kept = stream(&host, &format!("{ALL}?cursor=0")).await.until(|frame| frame.text("run_id") == last).await;
    assert_eq!(kept.len(), 1, "one is always kept: {kept:?}");
}
