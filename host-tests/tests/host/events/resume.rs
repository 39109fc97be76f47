//! Coming back: after a broken connection, after a crash, too late, and too slowly.

use kheish_host_tests::{
    client::{Client, try_answer},
    host::{Host, HostBuilder},
    sse::{Frame, Stream},
};
use reqwest::Method;
use serde_json::json;

use super::{ALL, builder, ids, say_much, shorts, stream, submit};

/// Fewer events than one test tells of.
fn forgetful() -> HostBuilder {
    builder().flag("--event-history-capacity", "50")
}

/// Submits runs until the daemon is gone. Returns those that it acknowledged.
async fn submit_until_the_end(client: Client) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let request = client.request(Method::POST, "/v1/sessions/s/runs").json(&json!({ "content": "a" }));
        match try_answer(request).await {
            Ok(answer) => acknowledged.push(answer.expect(202).text("/run_id").to_owned()),
            Err(_) => return acknowledged,
        }
    }
}

#[tokio::test]
async fn after_a_crash_nothing_is_missing_and_nothing_comes_twice() {
    let mut host = builder().start().await;
    host.make_session("s").await;
    let mut reader = stream(&host, ALL).await;
    let (mut seen, mut acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let sender = tokio::spawn(submit_until_the_end(host.client().clone()));
        for _ in 0..100 {
            seen.extend(reader.next().await.unwrap().id);
        }
        host.kill();
        acknowledged.extend(sender.await.unwrap());
        host.restart().await;
        reader = Stream::resume(host.client(), ALL, seen.last().copied()).await;
    }
    let last = submit(&host, "last").await;
    let is_last = |frame: &Frame| frame.text("run_id") == last;
    seen.extend(ids(&reader.until(is_last).await));
    let all = stream(&host, &format!("{ALL}?cursor=0")).await.until(is_last).await;
    let begin = all.iter().position(|frame| frame.id == Some(seen[0])).unwrap();
    assert_eq!(seen, ids(&all)[begin..]);
    assert!(ids(&all).windows(2).all(|pair| pair[0] < pair[1]), "ids grow over restarts");
    for run in acknowledged {
        assert_eq!(all.iter().filter(|frame| frame.text("run_id") == run).count(), 1, "{run}");
    }
    let starts = all.iter().filter(|frame| frame.name == "runtime_updated").count();
    assert_eq!((starts, all[0].name.as_str()), (4, "runtime_updated"));
}

#[tokio::test]
async fn the_larger_of_header_and_query_counts_and_the_future_is_now() {
    let host = builder().start().await;
    let mut all = stream(&host, ALL).await;
    for session in ["one", "two", "three"] {
        submit(&host, session).await;
    }
    let told = all.until(|frame| frame.text("session_id") == "three").await;
    let [one, two, three] = [0, 1, 2].map(|at| told[at].id.unwrap());
    for (header, query) in [(one, two), (two, one)] {
        let mut back = Stream::resume(host.client(), &format!("{ALL}?cursor={query}"), Some(header)).await;
        assert_eq!(back.next().await.unwrap().id, Some(three));
    }
    let mut ahead = Stream::resume(host.client(), ALL, Some(u64::MAX)).await;
    submit(&host, "four").await;
    assert_eq!(ahead.next().await.unwrap().text("session_id"), "four");
}

#[tokio::test]
async fn a_cursor_that_is_no_number_is_refused() {
    let host = builder().start().await;
    submit(&host, "s").await;
    for path in [ALL, "/v1/sessions/s/stream"] {
        for cursor in ["", "x", "-1", "1.5", "%2B1"] {
            let answer = host.get(&format!("{path}?cursor={cursor}")).await;
            answer.problem(400, "events", "invalid_event_cursor");
        }
    }
    let request = host.client().request(Method::GET, ALL).header("last-event-id", "seven");
    try_answer(request).await.unwrap().problem(400, "events", "invalid_event_cursor");
}

#[tokio::test]
async fn whoever_comes_back_too_late_is_told_how_much_was_dropped() {
    let host = forgetful().start().await;
    let mut all = stream(&host, ALL).await;
    submit(&host, "first").await;
    let seen = all.next().await.unwrap().id.unwrap();
    drop(all);
    say_much(&host, "s", 300).await;
    let mut back = Stream::resume(host.client(), ALL, Some(seen)).await;
    let frames = back.until(|frame| frame.text("change") == "completed").await;
    let gap = &frames[0];
    assert_eq!((gap.name.as_str(), gap.text("reason"), gap.text("scope")), ("stream_gap", "replay_window", "global"));
    assert_eq!(gap.data["skipped"], frames[1].id.unwrap() - seen - 1);
    assert_eq!(gap.data["skipped_is_estimate"], false);
    assert_eq!(gap.text("resume_after_id"), gap.id.unwrap().to_string());
    assert!((49..=114).contains(&(frames.len() - 1)), "{} were kept", frames.len() - 1);
    assert!(ids(&frames).windows(2).all(|pair| pair[0] + 1 == pair[1]), "the gap moves the cursor: {frames:?}");
    // What the gap said is a cursor without a gap, and the beginning is never one.
    for cursor in [gap.id.unwrap(), 0] {
        let mut behind = stream(&host, &format!("{ALL}?cursor={cursor}")).await;
        assert_eq!(behind.next().await.unwrap(), frames[1]);
    }
    let mut of_session = stream(&host, &format!("/v1/sessions/first/stream?cursor={seen}")).await;
    let gap = of_session.next().await.unwrap();
    assert_eq!((gap.text("scope"), &gap.data["skipped_is_estimate"]), ("session", &json!(true)));
}

/// Twenty thousand events while nobody reads, then all that the stream has.
async fn read_late(host: &Host) -> Vec<Frame> {
    let mut slow = stream(host, ALL).await;
    for _ in 0..20 {
        say_much(host, "s", 1_000).await;
    }
    let last = submit(host, "last").await;
    slow.until(|frame| frame.text("run_id") == last).await
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let host = builder().start().await;
    let frames = read_late(&host).await;
    assert_eq!(frames.iter().filter(|frame| frame.name == "output").count(), 20_000);
    assert!(ids(&frames).windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_when_little_is_kept() {
    let host = forgetful().start().await;
    let frames = read_late(&host).await;
    let gaps: Vec<&Frame> = frames.iter().filter(|frame| frame.name == "stream_gap").collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.text("reason") == "live_lag"), "{:?}", shorts(&frames));
    let skipped: u64 = gaps.iter().filter_map(|gap| gap.data["skipped"].as_u64()).sum();
    let told = (frames.len() - gaps.len()) as u64;
    // A submission, a start, the outputs and an end for each of the runs, and the last submission.
    assert_eq!(told + skipped, 20 * 1_003 + 1);
}
