//! Slack's own client library, as judge: of the double, and with its signatures of the daemon's door.

use std::{process::Stdio, time::Duration};

use kheish_host_tests::{
    places,
    slack::{SIGNING_SECRET, TOKEN, WebApi},
};
use tokio::{process::Command, time::timeout};

use super::builder;

/// How long it may take on a busy machine. It takes a fraction of that.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn slacks_own_sdk_takes_the_double_for_slack_and_its_signature_opens_the_door() {
    let api = WebApi::start().await;
    let host = builder(&api.url(), "").start().await;
    let door = format!("{}/v1/connectors/slack/support", host.client().base());
    let script = places::repository().join("host-tests/judges/slack_sdk_judge.py");
    let mut judge = Command::new(places::python());
    judge.arg(script).args([&format!("{}/", api.url()), TOKEN, &door, SIGNING_SECRET]);
    judge.env("NO_PROXY", "*").stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(DEADLINE, judge.output()).await.unwrap().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("judged"), "run `just tools` first; the judge said {said}\n{errors}");
    assert_eq!(api.texts("C1"), ["by the SDK", ""]);
    assert_eq!(api.violations(), [""; 0]);
}
