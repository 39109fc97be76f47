//! The log for programs: one object a line, and a run by which its lines are found.

use kheish_host_tests::{
    connectors::misbehaving,
    host::{Host, MISBEHAVING},
    receiver::Receiver,
    wait::eventually,
};
use serde_json::Value;

use super::{builder, sender};

/// Every line of the log so far, each an object.
fn lines(host: &Host) -> Vec<Value> {
    let log = host.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(read).collect()
}

fn of_run(host: &Host, run: &str) -> Vec<Value> {
    lines(host).into_iter().filter(|line| line["correlation_id"] == run).collect()
}

#[tokio::test]
async fn lines_are_objects_and_those_of_a_run_share_its_id_over_all_stages() {
    let receiver = Receiver::start().await;
    let host = builder(&receiver).executor("echo").flag("--log-format", "json").env("RUST_LOG", "kheish=debug");
    let host = host.start().await;
    let first = sender(&host).say("k1", "room", "hello").await.expect(200).text("/run_id").to_owned();
    let second = sender(&host).say("k2", "other", "hello").await.expect(200).text("/run_id").to_owned();
    for run in [&first, &second] {
        eventually("all stages have spoken", async || {
            let lines = of_run(&host, run);
            let says = |stage: &str| {
                lines.iter().any(|line| line["target"].as_str().is_some_and(|target| target.contains(stage)))
            };
            ["kheish::ingress", "kheish::executor", "kheish::delivery"].iter().all(|stage| says(stage)).then_some(())
        })
        .await;
    }
    for line in lines(&host) {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {line}");
        }
    }
    assert!(lines(&host).iter().any(|line| line.get("correlation_id").is_none()), "not every line is a run's");
}

#[tokio::test]
async fn warnings_say_whose_they_are_where_nothing_else_is_written() {
    let host = Host::builder().plugins(&[MISBEHAVING]).connectors(misbehaving("trap"));
    let host = host.env("RUST_LOG", "warn").env("KHEISH_LOG_FORMAT", "json").start().await;
    host.misbehaving("trap").say("k", "room", "a").await.expect(502);
    host.logs("a call of misbehaving/trap failed").await;
    let line = lines(&host).pop().unwrap_or_default();
    assert_eq!(line["level"], "WARN");
    assert!(line["correlation_id"].as_str().is_some_and(|run| run.starts_with("run_")), "{line}");
}

#[tokio::test]
async fn text_shows_the_run_too() {
    let host = Host::builder().plugins(&[MISBEHAVING]).connectors(misbehaving("trap")).start().await;
    host.misbehaving("trap").say("k", "room", "a").await.expect(502);
    host.logs("ingress{correlation_id=run_").await;
    assert!(!host.log().contains("otel."), "{}", host.log());
}
