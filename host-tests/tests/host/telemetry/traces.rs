//! Traces: one for each run, over all stages and restarts, and nothing in them that is nobody's business.

use kheish_host_tests::{
    receiver::{Receiver, Reply},
    scrape::Scrape,
    spans::{self, Span, of_run, sent_to},
    wait::eventually,
};

use super::{TOKEN, builder, sender};

#[track_caller]
fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap()
}

#[tokio::test]
async fn all_stages_of_a_run_are_in_the_trace_that_has_its_id() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let host = sent_to(builder(&receiver).executor("echo"), &collector);
    let host = host.env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue").start().await;
    let run = sender(&host).say("k1", "room", "words-of-the-caller").await.expect(200).text("/run_id").to_owned();
    let names = ["ingress", "verify", "guest_call", "commit", "execute", "finish", "deliver"];
    let spans = of_run(&collector, &run, &names).await;
    let above = &run[run.len() - 16..];
    for name in ["ingress", "execute", "deliver"] {
        let span = named(&spans, name);
        assert_eq!((span.parent.as_str(), span.attribute("correlation_id")), (above, run.as_str()), "{name}");
        assert!(!span.attribute("messaging.operation.name").is_empty(), "{name}");
    }
    for name in ["verify", "guest_call", "commit"] {
        assert_eq!(named(&spans, name).parent, named(&spans, "ingress").id, "{name}");
    }
    assert_eq!(named(&spans, "finish").attribute("correlation_id"), run);
    assert_eq!(named(&spans, "ingress").attribute("messaging.destination.name"), "http");
    let sent = collector.received_at(spans::PATH);
    for (name, value) in [("content-type", "application/json"), ("x-tenant", "blue")] {
        assert!(sent.iter().all(|request| request.headers[name] == value), "{name}");
    }
    let all: String = sent.iter().map(|request| request.body.to_string()).collect();
    assert!(all.contains("kheishd") && all.contains("service.version"), "{all}");
    for private in ["words-of-the-caller", TOKEN, "room", "/in"] {
        assert!(!all.contains(private), "{private} is in {all}");
    }
}

#[tokio::test]
async fn a_trace_goes_on_after_a_restart_and_an_attempt_that_failed_shows() {
    let receiver = Receiver::scripted(|request| Reply::Status(if request.index == 0 { 500 } else { 200 })).await;
    let collector = Receiver::start().await;
    let mut host = sent_to(builder(&receiver), &collector).start().await;
    let run = sender(&host).say("k1", "room", "hello").await.expect(200).text("/run_id").to_owned();
    of_run(&collector, &run, &["ingress"]).await;
    host.restart().await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["done"]).await.expect(200);
    host.deliveries_when(&run, 1, "delivered").await;
    let attempts = eventually("both attempts have arrived", async || {
        let spans = of_run(&collector, &run, &["ingress", "claim", "finish", "deliver"]).await;
        let attempts: Vec<Span> = spans.into_iter().filter(|span| span.name == "deliver").collect();
        (attempts.len() == 2).then_some(attempts)
    })
    .await;
    assert!(attempts.iter().all(|span| span.attribute("messaging.destination.name") == "http"));
    assert_eq!(attempts.iter().filter(|span| span.failed()).count(), 1, "{attempts:?}");
}

#[tokio::test]
async fn a_duplicate_names_the_run_that_was_there_before() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let host = sent_to(builder(&receiver), &collector).start().await;
    let run = sender(&host).say("k1", "room", "hello").await.expect(200).text("/run_id").to_owned();
    sender(&host).say("k1", "room", "hello").await.expect(200);
    let span = eventually("the duplicate's span has arrived", async || {
        spans::received(&collector)
            .into_iter()
            .find(|span| span.name == "ingress" && !span.attribute("run_id").is_empty())
    })
    .await;
    assert_eq!(span.attribute("run_id"), run);
    assert!(!run.ends_with(&span.trace), "the duplicate has a trace of its own");
    assert_eq!(span.attribute("correlation_id"), format!("run_{}", span.trace));
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let slow = super::QUICK.replace("export_interval_ms = 20", "export_interval_ms = 3600000");
    let mut host = sent_to(builder(&receiver).settings(&slow), &collector).start().await;
    let run = sender(&host).say("k1", "room", "hello").await.expect(200).text("/run_id").to_owned();
    assert!(collector.received().is_empty());
    assert_eq!(host.terminate().await.code, Some(0));
    of_run(&collector, &run, &["ingress", "commit"]).await;
}

#[tokio::test]
async fn a_collector_that_fails_changes_nothing() {
    let gone = Receiver::start().await;
    let endpoint = gone.url("");
    drop(gone);
    let broken = Receiver::scripted(|_| Reply::Status(500)).await;
    for endpoint in [endpoint, broken.url("")] {
        let receiver = Receiver::start().await;
        let host = builder(&receiver).executor("echo").env("KHEISH_OTLP_ENDPOINT", &endpoint);
        let mut host = host.start().await;
        for n in 0..50 {
            let answer = sender(&host).say(&format!("k{n}"), "room", "hello").await.expect(200);
            host.run_when(answer.text("/run_id"), "completed").await;
        }
        host.logs("did not reach the collector").await;
        let accepted = "ingress_requests_total{connector_kind=\"http\",verdict=\"accepted\"}";
        assert_eq!(Scrape::of(&host).await.value(accepted), 50.0);
        let ended = host.terminate().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("did not reach the collector").count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("opentelemetry"), "{}", ended.stderr);
    }
    assert!(
        broken
            .received_at(spans::PATH)
            .iter()
            .all(|request| request.headers["content-type"] == "application/x-protobuf")
    );
}

#[tokio::test]
async fn a_share_of_none_is_none() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let none = format!("{}sample_ratio = 0.0\n", super::QUICK);
    let mut host = sent_to(builder(&receiver).settings(&none), &collector).start().await;
    sender(&host).say("k1", "room", "hello").await.expect(200);
    assert_eq!(host.terminate().await.code, Some(0));
    assert!(collector.received().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_followed_are_named() {
    for (settings, needed) in [
        ("[telemetry]\notlp_endpoint = \"collector\"\n", "telemetry.otlp_endpoint"),
        ("[telemetry]\notlp_endpoint = \"http://user:word@c.example/\"\n", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("[telemetry]\notlp_endpoint = \"http://c.example/\"\nsample_ratio = 1.5\n", "telemetry.sample_ratio"),
        ("[telemetry]\nlog_format = \"xml\"\n", "log_format"),
    ] {
        let ended = kheish_host_tests::host::Host::builder().plugins(&[]).settings(settings).run_to_end().await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(needed) && !ended.stderr.contains("user:word"), "{}", ended.stderr);
    }
}
