//! Slack: the component in the real daemon, and a Web API that is as strict as the real one.

mod deliver;
mod files;
mod inbound;
mod ingress;
mod judge;
mod pace;
mod status;
mod teams;

use kheish_host_tests::{
    host::{Host, HostBuilder, SLACK},
    slack::{App, SIGNING_SECRET, TOKEN, WebApi},
};
use serde_json::Value;

/// Short waits, three attempts, and no rates.
const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[delivery]\npoll_interval_ms = 20\npace_percent = 0\n\
                     look_up_after_ms = 20\n[delivery.connectors]\ninitial_ms = 20\nmax_ms = 60\nmax_attempts = 3\n[delivery.pause]\ninitial_ms = 60\nmax_ms = 60\n";

/// A connector `slack/support` with these further lines. It may talk to this machine.
fn support(api: &str, lines: &str) -> String {
    format!(
        "[[connectors]]\nkind = \"slack\"\nname = \"support\"\nbot_token = \"{TOKEN}\"\n\
         signing_secret = \"{SIGNING_SECRET}\"\napi_base_url = \"{api}\"\nallow_private_network = true\n\
         session_policy = {{ create_if_missing = true }}\n{lines}\n"
    )
}

fn builder(api: &str, lines: &str) -> HostBuilder {
    Host::builder().plugins(&[SLACK]).connectors(support(api, lines)).settings(QUICK)
}

fn app(host: &Host) -> App {
    App::new(host.client(), "support")
}

/// Somebody says something in channel `C1`, and a worker answers with these outputs. Gives the run.
async fn answer(host: &Host, api: &WebApi, outputs: &[&str]) -> String {
    let ts = api.says("C1", "question");
    let accepted = app(host).event(&App::message(&ts, &Value::Null)).await.expect(200);
    let worker = host.worker("w");
    let claimed = worker.take().await;
    assert_eq!(claimed.run, accepted.text("/run_id"));
    worker.finish(&claimed, outputs).await.expect(200);
    claimed.run
}
