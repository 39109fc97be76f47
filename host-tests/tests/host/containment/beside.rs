//! The healthy connector's answers, while its neighbour is hammered.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use kheish_host_tests::{client::Answer, host::Host, problem::INGRESS, sender::Sender};
use serde_json::Value;

use super::{TOKEN, builder};

/// Calls of the misbehaving connector at once.
const HAMMERS: usize = 6;

/// Events that the healthy connector takes meanwhile.
const EVENTS: usize = 40;

/// Generous: the tests share two cores with the daemon and its hammers.
const FAST: Duration = Duration::from_millis(500);

/// Hammers `bad` while `good` takes its events. Returns the answers of the bad one and the median time of the good one.
async fn hammered(bad: &Sender, good: &Sender) -> (Vec<Answer>, Duration) {
    let done = AtomicBool::new(false);
    let hammer = async || {
        let mut answers = Vec::new();
        while !done.load(Ordering::Relaxed) {
            answers.push(bad.post_bytes("a body").await);
        }
        answers
    };
    let healthy = async {
        let mut times = Vec::with_capacity(EVENTS);
        for n in 0..EVENTS {
            let started = Instant::now();
            good.say(&format!("k{n}"), "room", "hello").await.expect(200);
            times.push(started.elapsed());
        }
        done.store(true, Ordering::Relaxed);
        times.sort();
        times[EVENTS / 2]
    };
    let (answers, median) = join(join_all((0..HAMMERS).map(|_| hammer())), healthy).await;
    (answers.into_iter().flatten().collect(), median)
}

/// The most memory that the daemon has had, in MiB.
fn peak_mib(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.process_id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(u64::MAX) / 1024
}

/// Asserts that a refusal is one of `expected`, or that too many calls were waiting.
#[track_caller]
fn assert_known(answer: &Answer, expected: &[(u16, &str)]) {
    let (status, code) = (answer.status, answer.text("/code"));
    let known = expected.iter().chain(&[(503, "overloaded")]).any(|one| *one == (status, code));
    assert!(known, "{status} {code}");
    answer.problem(status, INGRESS, code);
}

/// Runs the whole scene. At least one answer of the bad connector is the first of `expected`.
async fn scene(behaviour: &str, settings: &str, expected: &[(u16, &str)]) -> Host {
    let mut host = builder(&[behaviour]).settings(settings).start().await;
    let bad = host.misbehaving(behaviour);
    let (answers, median) = hammered(&bad, &host.sender("healthy").bearer(TOKEN)).await;
    assert!(median < FAST, "the healthy connector took {median:?} beside `{behaviour}`");
    assert!(host.is_running());
    host.get("/readyz").await.expect(200);
    answers.iter().for_each(|answer| assert_known(answer, expected));
    assert!(
        answers.iter().any(|answer| answer.status == expected[0].0),
        "none of {} was {}",
        answers.len(),
        expected[0].0
    );
    assert_eq!(host.ledger().await["runs"]["queued"], EVENTS, "what was refused was kept");
    // It is still there for others afterwards.
    host.sender("healthy").bearer(TOKEN).say("after", "room", "hello").await.expect(200);
    host
}

const SHORT: &str = "[guests]\ningress_deadline_ms = 300\n";

const FAILED: (u16, &str) = (502, "connector_failed");
const TIMEOUT: (u16, &str) = (504, "connector_timeout");

#[tokio::test]
async fn a_guest_that_computes_for_ever_is_stopped() {
    scene("loop", SHORT, &[TIMEOUT]).await;
}

#[tokio::test]
async fn a_guest_that_traps_fails_alone() {
    let host = scene("trap", "", &[FAILED]).await;
    host.logs("this connector was told to trap").await;
}

#[tokio::test]
async fn a_guest_that_allocates_without_end_is_stopped() {
    let host = scene("allocate", "", &[FAILED, TIMEOUT]).await;
    let peak = peak_mib(&host);
    assert!(peak < 1_200, "the daemon had {peak} MiB");
}

#[tokio::test]
async fn a_guest_that_returns_garbage_fails_alone() {
    scene("garbage", "", &[FAILED]).await;
}

#[tokio::test]
async fn a_guest_that_refuses_with_success_fails_alone() {
    let host = scene("status", "", &[FAILED]).await;
    let answer = host.misbehaving("status").header("x-test-answer", "yes").post_bytes("a body").await;
    answer.problem(502, INGRESS, "connector_failed");
}

#[tokio::test]
async fn a_guest_that_says_too_much_fails_alone() {
    let host = scene("huge", "", &[FAILED, TIMEOUT]).await;
    let peak = peak_mib(&host);
    assert!(peak < 1_200, "the daemon had {peak} MiB");
}

#[tokio::test]
async fn a_guest_that_floods_the_log_fills_nothing() {
    let mut host = builder(&["flood"]).settings(SHORT).start().await;
    let (answers, median) = hammered(&host.misbehaving("flood"), &host.sender("healthy").bearer(TOKEN)).await;
    assert!(median < FAST, "the healthy connector took {median:?}");
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    refused.iter().for_each(|answer| assert_known(answer, &[FAILED, TIMEOUT]));
    assert_eq!(host.ledger().await["runs"]["queued"], Value::from(EVENTS + accepted.len()));
    // 64 KiB for each call and a line or two beside it, not a gigabyte.
    let (logged, most) = (host.log().len(), (answers.len() + 1) * 80 * 1024);
    assert!(logged <= most, "{logged} bytes were logged in {} calls", answers.len());
    assert!(host.is_running());
}
