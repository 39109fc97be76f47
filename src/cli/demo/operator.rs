//! The operator's part: a connector that is made, tried out and given a new token while the daemon runs.

use anyhow::ensure;
use http::Method;
use serde_json::json;

use super::{
    sender::{Answer, Sender},
    text,
};

const PATH: &str = "/v1/runtime/connectors/http/made";

/// Makes a connector, sends a test event through it, and replaces its token.
pub(super) async fn tell(sender: &Sender) -> anyhow::Result<()> {
    println!("5. A connector made while the daemon runs");
    let fields = json!({
        "bearer_token": { "value": sender.token },
        "session_policy": { "create_if_missing": true },
    });
    let made = sender.control(Method::PUT, PATH, &fields).await?;
    ensure!(made.status == 201, "the connector was not made: {made:?}");
    let secret = text(&made.body, "/bearer_token/secret_ref");
    println!("   connector  http/made, revision {}, {}", made.body["revision"], text(&made.body, "/status/state"));
    println!("   its token  sealed as `{secret}`");
    tried(sender).await?;

    println!("6. A new token");
    let value = json!({ "slot_id": secret, "state": { "value": sender.key } });
    let stored = sender.control(Method::POST, "/v1/runtime/secrets", &value).await?;
    ensure!(stored.status == 200, "the token was not stored: {stored:?}");
    println!("   secret     version {}, {}", stored.body["version"], text(&stored.body, "/summary"));
    tried(sender).await?;
    let old = sender.control(Method::POST, "/v1/connectors/http/made", &json!({})).await?;
    super::refused(&old, 401, "invalid_token")
}

/// A test event, which the daemon signs with what the connector has now.
async fn tried(sender: &Sender) -> anyhow::Result<()> {
    let Answer { status, body, .. } = sender.control(Method::POST, &format!("{PATH}/test"), &json!({})).await?;
    ensure!(status == 200 && body["receipt"] == "accepted", "the test event was not accepted: {body}");
    println!("   test event {}, run {}\n", text(&body, "/receipt"), text(&body, "/run_id"));
    Ok(())
}
