//! The same event many times at once: one run, whatever the timing.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use kheish_host_tests::{client::Answer, connectors::Http, host::Host, problem::INGRESS, sender::Sender};

const TOKEN: &str = "token-of-a-hasty-platform";

async fn host(more: impl FnOnce(Http) -> Http) -> (Host, Sender) {
    let host = Host::builder().connectors(more(Http::named("orders").bearer(TOKEN))).start().await;
    let sender = host.sender("orders").bearer(TOKEN);
    (host, sender)
}

async fn sixty_four(sender: &Sender, content: impl Fn(usize) -> String) -> Vec<Answer> {
    let bodies: Vec<String> = (0..64).map(content).collect();
    join_all(bodies.iter().map(|body| sender.say("same key", "room", body))).await
}

fn runs(answers: &[Answer]) -> BTreeSet<&str> {
    answers.iter().map(|answer| answer.text("/run_id")).collect()
}

fn receipts(answers: &[Answer], receipt: &str) -> usize {
    answers.iter().filter(|answer| answer.header("kheish-receipt") == receipt).count()
}

#[track_caller]
fn assert_one_run(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.json);
    }
    assert_eq!(runs(answers).len(), 1);
    assert_eq!((receipts(answers, "accepted"), receipts(answers, "duplicate")), (1, answers.len() - 1));
}

#[tokio::test]
async fn sixty_four_at_once_are_one_run() {
    let (host, sender) = host(Http::fast).await;
    for round in 0..3 {
        let answers = join_all((0..64).map(|_| sender.say("same key", "room", "a"))).await;
        if round == 0 {
            assert_one_run(&answers);
        } else {
            assert_eq!(receipts(&answers, "duplicate"), 64);
        }
    }
    let ledger = host.ledger().await;
    assert_eq!((&ledger["runs"]["queued"], &ledger["sessions"]["total"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn sixty_four_at_once_are_one_run_at_any_rate() {
    let (host, sender) = host(|http| http.set("ingress_events_per_second = 1")).await;
    let answers = sixty_four(&sender, |_| "a".to_owned()).await;
    assert_one_run(&answers);
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn of_two_payloads_at_once_one_wins_and_the_other_is_a_conflict() {
    let (host, sender) = host(Http::fast).await;
    let answers = sixty_four(&sender, |n| if n % 2 == 0 { "even" } else { "odd" }.to_owned()).await;
    let (won, lost): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (32, 32));
    assert_one_run(&won);
    lost.iter().for_each(|answer| drop(answer.problem(409, INGRESS, "idempotency_conflict")));
    let texts: BTreeSet<&str> = won.iter().map(|answer| answer.text("/request/text_preview")).collect();
    assert_eq!(texts.len(), 1);
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}

#[tokio::test]
async fn sixty_four_events_at_once_for_one_new_session_are_numbered_without_gaps() {
    let (host, sender) = host(Http::fast).await;
    let keys: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    let answers = join_all(keys.iter().map(|key| sender.say(key, "room", key))).await;
    let places: BTreeSet<i64> = answers.iter().map(|answer| answer.json["seq"].as_i64().unwrap_or_default()).collect();
    assert_eq!(places, (1..=64).collect());
    let ledger = host.ledger().await;
    assert_eq!((&ledger["runs"]["queued"], &ledger["sessions"]["total"]), (&64.into(), &1.into()));
}

#[tokio::test]
async fn a_replay_after_a_restart_is_still_a_replay() {
    let (mut host, sender) = host(Http::fast).await;
    let first = sender.say("same key", "room", "a").await.expect(200);
    host.kill();
    host.restart().await;
    let sender = host.sender("orders").bearer(TOKEN);
    let again = sender.say("same key", "room", "a").await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", first.text("/run_id")));
    sender.say("same key", "room", "b").await.problem(409, INGRESS, "idempotency_conflict");
    assert_eq!(host.ledger().await["runs"]["queued"], 1);
}
