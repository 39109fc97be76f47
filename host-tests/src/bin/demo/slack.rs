//! Slack: an app that says what it hears.

use kheish_host_tests::{
    host::{Host, SLACK},
    sign::now_secs,
    slack::{App, SIGNING_SECRET, TOKEN, WebApi},
    wait::eventually,
};
use serde_json::json;

/// Short waits, because the double's are short.
const SETTINGS: &str = "[delivery]\npoll_interval_ms = 50\n";

/// Tells what happens, step by step.
pub(crate) async fn tell() {
    let api = WebApi::start().await;
    let connector = format!(
        "[[connectors]]\nkind = \"slack\"\nname = \"support\"\nbot_token = \"{TOKEN}\"\n\
         signing_secret = \"{SIGNING_SECRET}\"\napi_base_url = \"{}\"\nallow_private_network = true\n\
         allowed_channel_ids = [\"C1\"]\nsession_policy = {{ create_if_missing = true }}\n",
        api.url()
    );
    let builder = Host::builder().plugins(&[SLACK]).connectors(connector).settings(SETTINGS).executor("echo");
    let host = builder.start().await;
    let app = App::new(host.client(), "support");
    println!("Slack: connector slack/support, against a double of the Web API on {}\n", api.url());

    println!("1. A signed event");
    let ts = api.says("C1", "**Order 1** is late <!channel>");
    let question = App::message(&ts, &json!({ "text": "**Order 1** is late <!channel>" }));
    let answer = app.event(&question).await.expect(200);
    let run = answer.text("/run_id");
    println!("   session    {}, run {run}", answer.text("/session_id"));
    let sent = api.when_sent("C1", 1).await.remove(0);
    assert_eq!(sent.thread_ts.as_deref(), Some(ts.as_str()));
    assert!(!sent.text.contains("<!channel>"), "an answer pings nobody");
    println!("   answer     {:?} in thread {ts}", sent.text);
    host.deliveries_when(run, 1, "delivered").await;
    println!("   delivery   message {}, delivered\n", sent.ts);

    println!("2. The same event again, as Slack sends it when an answer is lost");
    let retry = app.clone().header("x-slack-retry-num", "1").header("x-slack-retry-reason", "http_timeout");
    let again = retry.event(&question).await.expect(200);
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", run));
    println!("   receipt    duplicate: the same run\n");

    println!("3. A command, answered to who asked by the address that came with it");
    let url = api.response_url();
    let fields = [
        ("command", "/weather"),
        ("text", "94070"),
        ("team_id", "T1"),
        ("channel_id", "C1"),
        ("user_id", "U1"),
        ("api_app_id", "A1"),
        ("response_url", &url),
        ("trigger_id", "1.2.3"),
    ];
    assert!(app.form(&fields).await.expect(200).body.is_empty(), "anything said at once would be posted");
    let said = eventually("the command is answered", async || api.whispered().pop()).await;
    assert_eq!((&said["response_type"], &said["text"]), (&json!("ephemeral"), &json!("/weather 94070")));
    assert!(!host.log().contains(&url), "the address speaks for the app");
    println!("   answer     {} to U1 only\n", said["text"]);

    println!("4. Another channel, and a signature of somebody who does not know the secret");
    let elsewhere = app.event(&App::message("1503435956.000247", &json!({ "channel": "C2" }))).await.expect(403);
    println!("   refused    403 {}", elsewhere.text("/code"));
    let forged = app.send("application/json", question.to_string(), now_secs(), "guessed").await;
    assert_eq!(forged.status, 401);
    println!("   refused    401");
    assert_eq!((api.texts("C1").len(), api.violations()), (1, Vec::<String>::new()));
    println!("   the double has seen one message, and nothing that Slack would not like\n");
}
