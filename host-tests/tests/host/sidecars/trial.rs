//! Test events of sidecars: taken like those that the sidecar itself sends.

use kheish_host_tests::{
    child::{Child, PATH, running},
    cli::Cli,
    host::Host,
};
use serde_json::json;

use super::QUICK;

#[tokio::test]
async fn the_sample_comes_from_the_child_that_runs() {
    let settings = format!("{QUICK}[sidecars.child]\nstart_poll_ms = 20\nrestart_ms = 20\nmax_restart_ms = 60\n");
    let host = Host::builder().plugins(&[]).executor("echo").settings(&settings).start().await;
    Child::new().put(&host, "", &json!({})).await;
    running(&host).await;
    let test = host.post(&format!("{PATH}/test"), &json!({ "text": "is it there?" })).await.expect(200);
    assert_eq!((test.text("/receipt"), test.text("/answer/status")), ("accepted", "accepted"), "{}", test.json);
    let run = host.run_when(test.text("/run_id"), "completed").await;
    assert_eq!(run["outputs"][0]["content"], "is it there?", "{run}");
    Cli::of(&host).run(&["connectors", "test", "external", "bridge"]).await.expect(0).says(&["receipt accepted"]);
}
