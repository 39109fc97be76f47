//! The double itself, judged by a client library that bots are written with.

use std::{process::Stdio, time::Duration};

use kheish_host_tests::{places, telegram::TOKEN};
use tokio::{process::Command, time::timeout};

use super::double;

/// How long it may take on a busy machine. It takes a fraction of that.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn python_telegram_bot_takes_the_double_for_telegram() {
    let api = double().await;
    let update = api.says(5, "hello");
    let script = places::repository().join("host-tests/judges/python_telegram_bot.py");
    let mut judge = Command::new(places::python());
    judge.arg(script).args([&api.url(), TOKEN]).env("NO_PROXY", "*").stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(DEADLINE, judge.output()).await.unwrap().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("judged"), "run `just tools` first; the judge said {said}\n{errors}");
    let sent = api.sent(5);
    let texts: Vec<&str> = sent.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["bold & plain", "see", "HELLO"]);
    assert_eq!(sent[2].quotes, Some(1), "{:?}", sent[2]);
    assert!(!api.unconfirmed().contains(&update), "what was answered is confirmed");
}
