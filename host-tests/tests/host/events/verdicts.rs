//! What is told of requests that become no run.

use std::{collections::BTreeMap, time::Instant};

use futures_util::future::join_all;
use kheish_host_tests::{connectors::Http, host::Host, sse::Frame};

use super::{ALL, stream};

async fn host() -> Host {
    let orders = Http::named("orders").bearer("tok").fast();
    let slow = Http::named("slow").bearer("tok").set("ingress_events_per_second = 1");
    Host::builder().connectors(format!("{orders}{slow}")).start().await
}

/// Counts by connector, verdict and code.
fn counts(frames: &[Frame]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.name == "ingress" && frame.text("verdict") != "accepted") {
        let sort = format!("{} {} {}", frame.text("connector"), frame.text("verdict"), frame.text("code"));
        *counts.entry(sort.trim_end().to_owned()).or_default() += frame.data["count"].as_u64().unwrap();
    }
    counts
}

#[tokio::test]
async fn every_way_to_become_no_run_is_told_of_with_its_number() {
    let host = host().await;
    let mut all = stream(&host, ALL).await;
    let orders = host.sender("orders").bearer("tok");
    let run = orders.say("k1", "room", "a").await.expect(200).text("/run_id").to_owned();
    for _ in 0..3 {
        host.sender("orders").bearer("wrong").say("k1", "room", "a").await.expect(401);
        orders.say("k1", "room", "a").await.expect(200);
        orders.say("k1", "room", "other").await.expect(409);
        orders.post_bytes("not JSON").await.expect(400);
        // Anybody can invent a name.
        host.sender("invented").say("k1", "room", "a").await.expect(404);
    }
    let slow = host.sender("slow").bearer("tok");
    let keys: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let answers = join_all(keys.iter().map(|key| slow.say(key, "room", "a"))).await;
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)), "{answers:?}");
    let limited = answers.iter().filter(|answer| answer.status == 429).count() as u64;
    let expected = [
        ("http/orders conflict idempotency_conflict".to_owned(), 3),
        ("http/orders duplicate".to_owned(), 3),
        ("http/orders refused invalid_payload".to_owned(), 3),
        ("http/orders refused invalid_token".to_owned(), 3),
        ("http/slow limited http_ingress_rate_limited".to_owned(), limited),
    ];
    let expected = BTreeMap::from(expected);
    let mut frames = Vec::new();
    while counts(&frames).values().sum::<u64>() < expected.values().sum() {
        frames.extend(all.until(|frame| frame.name == "ingress").await);
    }
    assert_eq!(counts(&frames), expected);
    let duplicates: Vec<_> = frames.iter().filter(|frame| frame.text("verdict") == "duplicate").collect();
    assert!(duplicates.iter().all(|frame| frame.text("run_id") == run), "{duplicates:?}");
}

#[tokio::test]
async fn a_flood_of_strangers_writes_few_rows() {
    let host = host().await;
    let stranger = host.sender("orders").bearer("wrong");
    let start = Instant::now();
    for _ in 0..100 {
        let answers = join_all((0..50).map(|_| stranger.say("k", "room", "a"))).await;
        assert!(answers.iter().all(|answer| answer.status == 401));
    }
    let mut all = stream(&host, &format!("{ALL}?cursor=0")).await;
    let mut frames = Vec::new();
    while counts(&frames).values().sum::<u64>() < 5_000 {
        frames.extend(all.until(|frame| frame.name == "ingress").await);
    }
    frames.retain(|frame| frame.name == "ingress");
    let most = start.elapsed().as_millis() / 200 + 2;
    assert!((frames.len() as u128) <= most + 1, "{} rows where {most} are allowed", frames.len());
    assert_eq!(counts(&frames).values().sum::<u64>(), 5_000);
}
