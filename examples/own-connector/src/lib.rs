//! GitHub webhooks, kind `github`: each issue, pull request or branch is a conversation.

use kheish_guest::{
    Answer, Connector, Context, Event, HttpRequest, HttpResponse, Ingress, InputPart, Manifest, Refusal, SessionKey,
    export_ingress, json, manifest::Hmac,
};
use serde::Deserialize;

mod payload;

use payload::Payload;

/// The connector.
#[derive(Debug)]
pub struct GitHub;

/// The settings, as the manifest's schema has checked them.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// GitHub's names of the events to accept; all when empty.
    #[serde(default)]
    events: Vec<String>,
}

impl Connector for GitHub {
    type Settings = Settings;

    fn manifest() -> Manifest {
        Manifest::new("github", env!("CARGO_PKG_VERSION"), concat!(env!("CARGO_PKG_DESCRIPTION"), "."))
            .settings(serde_json::json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "events": {
                        "description": "Names of the events to accept, such as `issues`; all when absent.",
                        "type": "array",
                        "items": {"type": "string", "minLength": 1}
                    }
                }
            }))
            .secret("webhook_secret", "The secret of the webhook in GitHub's settings.")
            .verify(Hmac {
                id: "signature",
                slot: "webhook_secret",
                template: "{body}",
                signature_header: "x-hub-signature-256",
                signature_prefix: "sha256=",
                ..Hmac::default()
            })
    }
}

impl Ingress for GitHub {
    fn handle(context: Context<Settings>, request: HttpRequest) -> Result<Answer, Refusal> {
        let header = |name: &str| request.header(name).map(str::to_owned).ok_or_else(|| missing(name));
        let kind = header("x-github-event")?;
        let wanted = &context.settings.events;
        if kind == "ping" || !(wanted.is_empty() || wanted.contains(&kind)) {
            return Ok(Answer::Respond(HttpResponse::empty(204)));
        }
        let id = header("x-github-delivery")?;
        let payload: Payload = json::object(&request.body)?;
        Ok(Answer::event(Event {
            id: Some(id),
            actor: Some(payload.sender.login.clone()),
            session: SessionKey::Thread(payload.thread()),
            input: vec![InputPart::text(payload.text(&kind))],
            metadata: json::text(&serde_json::json!({"action": payload.action, "url": payload.url()})),
            ..Event::new(kind)
        }))
    }
}

fn missing(header: &str) -> Refusal {
    Refusal::bad_request("missing_header", format!("The header {header} is missing: send webhooks of GitHub only."))
}

export_ingress!(GitHub);
