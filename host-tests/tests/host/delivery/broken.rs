//! Answers as no server should give them, and what each is taken for.

use std::time::Duration;

use kheish_host_tests::{
    host::Host,
    scrape::Scrape,
    stray::{
        Step::{self, Drip, ReadAll, ReadHead, Reset, Say, SayForever, Stay},
        Stray,
    },
};

use super::{builder, say};

const CLASSES: [&str; 5] = ["delivered", "unknown", "retry", "rate_limited", "dead"];
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn all(text: &str) -> Vec<Step> {
    vec![ReadAll, Say(text.to_owned())]
}

async fn attempts(host: &Host) -> [f64; 5] {
    let scrape = Scrape::of(host).await;
    CLASSES.map(|class| scrape.value(&format!("delivery_attempts_total{{class=\"{class}\"}}")))
}

/// The first request is answered by these steps, every later one with 204. Returns the classes of the attempts there
/// were, that of the later ones taken off.
async fn class_of(host: &Host, name: &str, steps: Vec<Step>, end: &str) -> Vec<&'static str> {
    let before = attempts(host).await;
    let stray = Stray::start(move |index| if index == 0 { steps.clone() } else { all(NO_CONTENT) }).await;
    let run = say(host, name, &[stray.target_json()], &["hello"]).await;
    host.deliveries_when(&run, 1, end).await;
    let after = attempts(host).await;
    let mut classes = Vec::new();
    for (class, (before, after)) in CLASSES.iter().zip(before.iter().zip(after)) {
        classes.extend((0..(after - before) as usize).map(|_| *class));
    }
    if classes.len() > 1 {
        classes.retain(|class| *class != "delivered");
    }
    classes
}

async fn quick() -> Host {
    builder().settings(&format!("{}[egress]\ntimeout_ms = 400\n", super::QUICK)).start().await
}

#[tokio::test]
async fn what_breaks_after_the_request_left_is_unknown() {
    let host = quick().await;
    let slow = "HTTP/1.1 200 OK\r\nx-slow: 1\r\ncontent-length: 0\r\n\r\n";
    let cases: Vec<(&str, Vec<Step>)> = vec![
        ("no answer", vec![ReadAll, Stay]),
        ("closed without an answer", vec![ReadAll]),
        ("reset without an answer", vec![ReadAll, Reset]),
        ("closed before the request was read", vec![ReadHead, Reset]),
        ("slow headers", vec![ReadAll, Drip(slow.to_owned(), Duration::from_millis(30)), Stay]),
        ("closed within the status line", all("HTTP/1.1 20")),
        ("closed within the headers", all("HTTP/1.1 200 OK\r\ncontent-le")),
        ("reset within the headers", vec![ReadAll, Say("HTTP/1.1 200 OK\r\nx: ".to_owned()), Reset]),
        ("not HTTP", all("220 mail.example ESMTP\r\n\r\n")),
        ("two lengths", all("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd")),
        ("a length that is no number", all("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n")),
        (
            "headers without end",
            vec![ReadAll, Say("HTTP/1.1 200 OK\r\n".to_owned()), SayForever("x: y\r\n".repeat(64))],
        ),
        ("only 100 Continue", vec![ReadAll, Say("HTTP/1.1 100 Continue\r\n\r\n".to_owned()), Stay]),
    ];
    for (index, (name, steps)) in cases.into_iter().enumerate() {
        assert_eq!(class_of(&host, &format!("s{index}"), steps, "delivered").await, ["unknown"], "{name}");
    }
}

#[tokio::test]
async fn a_status_that_came_counts_whatever_becomes_of_the_rest() {
    let host = quick().await;
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n{}", "x".repeat(65_536));
    let cases: Vec<(&str, Vec<Step>)> = vec![
        ("64 KiB", all(&long)),
        ("no end", vec![ReadAll, Say("HTTP/1.1 200 OK\r\n\r\n".to_owned()), SayForever("x".repeat(8_192))]),
        ("too short", all("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")),
        ("too long", all("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nlonger than that")),
        ("reset", vec![ReadAll, Say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned()), Stay]),
        ("garbage chunks", all("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nno\r\n")),
        ("HTTP/1.0", all("HTTP/1.0 200 OK\r\n\r\nold")),
        ("100 Continue first", all("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
        ("before the body was read", vec![ReadHead, Say(NO_CONTENT.to_owned()), Stay]),
    ];
    for (index, (name, steps)) in cases.into_iter().enumerate() {
        assert_eq!(class_of(&host, &format!("s{index}"), steps, "delivered").await, ["delivered"], "{name}");
    }
}

#[tokio::test]
async fn known_refusals_are_tried_again_or_end_it() {
    let host = quick().await;
    let head = |status: &str| all(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n"));
    for (index, status) in ["300 x", "304 x", "308 x", "408 x", "425 x", "429 x", "500 x", "599 x"].iter().enumerate() {
        assert_eq!(class_of(&host, &format!("r{index}"), head(status), "delivered").await, ["retry"], "{status}");
    }
    for (index, status) in ["400 x", "401 x", "403 x", "404 x", "410 x", "413 x", "451 x"].iter().enumerate() {
        assert_eq!(class_of(&host, &format!("d{index}"), head(status), "dead_lettered").await, ["dead"], "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_a_long_reply_is_read_is_an_answer() {
    let host = quick().await;
    let early = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n".to_owned();
    let stray = Stray::start(move |_| vec![ReadHead, Say(early.clone()), Stay]).await;
    let long = "x".repeat(512 * 1024);
    let run = say(&host, "s", &[stray.target_json()], &[&long]).await;
    let delivery = host.deliveries_when(&run, 1, "dead_lettered").await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["last_error"]["code"]), (&1.into(), &"status".into()));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_has_sent_nothing() {
    let host = quick().await;
    // TLS to one that speaks none, and a name that nobody has: known failures, so no attempt is unknown.
    let stray = Stray::start(|_| vec![Say("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned())]).await;
    let tls = serde_json::json!({
        "url": stray.url("/in").replace("http://", "https://"), "allow_private_network": true,
    });
    let targets = [tls, serde_json::json!({ "url": "http://nobody.invalid/in" })]
        .map(|address| serde_json::json!({ "plugin": "http", "address": address.to_string() }));
    let run = say(&host, "s", &targets, &["hello"]).await;
    for delivery in host.deliveries_when(&run, 2, "dead_lettered").await {
        assert_eq!(delivery["last_error"]["code"], "connect", "{delivery}");
    }
    assert_eq!(attempts(&host).await[1], 0.0);
}
