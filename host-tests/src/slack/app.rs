//! Slack's side of ingress: requests signed as Slack signs them.

use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    client::{self, Answer, Client},
    sign::{hmac_hex, now_secs},
};

/// What the app's requests are signed with.
pub const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// Sends what Slack sends to one connector.
#[derive(Clone, Debug)]
pub struct App {
    client: Client,
    target: String,
    headers: Vec<(String, String)>,
}

impl App {
    /// To `slack/name`.
    pub fn new(client: &Client, name: &str) -> Self {
        Self { client: client.clone(), target: format!("/v1/connectors/slack/{name}"), headers: Vec::new() }
    }

    /// Sends this header too.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends an envelope of the Events API.
    pub async fn event(&self, envelope: &Value) -> Answer {
        self.send("application/json", envelope.to_string(), now_secs(), SIGNING_SECRET).await
    }

    /// Sends a form: a command, or a payload.
    pub async fn form(&self, fields: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://form/").expect("a good address");
        url.query_pairs_mut().extend_pairs(fields);
        let body = url.query().unwrap_or_default().to_owned();
        self.send("application/x-www-form-urlencoded", body, now_secs(), SIGNING_SECRET).await
    }

    /// Sends a body that was signed at this time with this secret.
    pub async fn send(&self, media_type: &str, body: String, at: u64, secret: &str) -> Answer {
        let signature = format!("v0={}", hmac_hex(secret, format!("v0:{at}:{body}").as_bytes()));
        let mut request = self
            .client
            .request(Method::POST, &self.target)
            .header(CONTENT_TYPE, media_type)
            .header("x-slack-request-timestamp", at)
            .header("x-slack-signature", signature);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        client::answer(request.body(body)).await
    }

    /// An envelope with a message in channel `C1` of workspace `T1`, and these members beside what all have.
    pub fn message(ts: &str, members: &Value) -> Value {
        let mut event =
            json!({"type": "message", "channel": "C1", "user": "U1", "text": "hello", "ts": ts, "event_ts": ts});
        for (name, value) in members.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        json!({
            "token": "verification", "team_id": "T1", "api_app_id": "A1", "type": "event_callback",
            "event_id": format!("Ev{}", ts.replace('.', "")), "event_time": 1,
            "authorizations": [{"team_id": "T1", "user_id": "U0BOT", "is_bot": true}],
            "event": event,
        })
    }
}
