//! The Events API: the envelope that every event comes in.

use kheish_guest::{Answer, Context, HttpResponse, Refusal, log};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{ignored, message, object, refuse};
use crate::{
    access::{self, Origin},
    conversation::Place,
    settings::Settings,
};

/// Deepest nesting of a body: nothing of Slack's comes near, and what reads it later gives up at 128.
const MAX_DEPTH: usize = 100;

/// What Slack sends around an event. What is not named here is not kept.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, skip_serializing)]
    challenge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minute_rate_limited: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) api_app_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enterprise_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_team_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_enterprise_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_time: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_ext_shared_channel: Option<bool>,
    #[serde(default)]
    pub(super) authorizations: Vec<Authorization>,
    /// As Slack wrote it: it is read where its kind is known, and kept as it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'a RawValue>,
}

/// An installation that the event is delivered for.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Authorization {
    #[serde(default)]
    enterprise_id: Option<String>,
    #[serde(default)]
    team_id: Option<String>,
    /// Whom the app acts as.
    #[serde(default)]
    pub(super) user_id: Option<String>,
    #[serde(default)]
    pub(super) is_bot: bool,
    #[serde(default)]
    is_enterprise_install: bool,
}

impl Envelope<'_> {
    /// Where in Slack it happened. `author_team` is the last resort: in shared channels the author's may be another.
    pub(super) fn place(&self, author_team: Option<&str>, channel: &str) -> Place {
        let authorized =
            |of: fn(&Authorization) -> &Option<String>| self.authorizations.iter().find_map(|one| of(one).clone());
        let first = |values: [&Option<String>; 2]| values.into_iter().flatten().find(|id| !id.is_empty()).cloned();
        Place {
            enterprise: first([&self.context_enterprise_id, &self.enterprise_id])
                .or_else(|| authorized(|one| &one.enterprise_id)),
            team: first([&self.context_team_id, &self.team_id])
                .or_else(|| author_team.filter(|id| !id.is_empty()).map(str::to_owned))
                .or_else(|| authorized(|one| &one.team_id)),
            channel: channel.to_owned(),
        }
    }

    fn origin(&self, place: &Place) -> Origin {
        let installations = self.authorizations.iter().map(|one| {
            let team = one.team_id.clone().filter(|_| !one.is_enterprise_install || one.team_id.is_some());
            (one.enterprise_id.clone(), team)
        });
        Origin {
            app: self.api_app_id.clone(),
            enterprise: place.enterprise.clone(),
            team: place.team.clone(),
            channel: Some(place.channel.clone()).filter(|id| !id.is_empty()),
            installations: installations.collect(),
        }
    }

    /// Whether the operator lets it in.
    pub(super) fn check(&self, settings: &Settings, place: &Place) -> Result<(), Refusal> {
        access::check(settings, &self.origin(place))
    }
}

/// What becomes of a JSON body.
pub(super) fn handle(context: &Context<Settings>, body: &[u8]) -> Result<Answer, Refusal> {
    if is_too_deep(body) {
        return refuse(
            "invalid_payload",
            format!("The body nests deeper than {MAX_DEPTH} levels: nothing of Slack's does."),
        );
    }
    let envelope: Envelope<'_> = object(body)?;
    match envelope.kind.as_str() {
        "url_verification" => match &envelope.challenge {
            Some(challenge) => Ok(Answer::Respond(HttpResponse::json(200, &json!({"challenge": challenge})))),
            None => refuse("missing_challenge", "A url_verification has a challenge, and this one has none."),
        },
        "app_rate_limited" => Ok(rate_limited(context, &envelope)),
        "event_callback" => message::handle(context, &envelope),
        _ => {
            envelope.check(&context.settings, &envelope.place(None, ""))?;
            Ok(ignored("unsupported_envelope"))
        }
    }
}

/// Slack threw events away, and nobody else will say so.
fn rate_limited(context: &Context<Settings>, envelope: &Envelope<'_>) -> Answer {
    let minute = envelope.minute_rate_limited;
    log::warn(&format!(
        "{}: Slack dropped events of workspace {} in the minute that began at {}: there is a gap",
        context.name,
        envelope.team_id.as_deref().unwrap_or("?"),
        minute.unwrap_or(0),
    ));
    let body = json!({"ignored": true, "type": "app_rate_limited", "minute_rate_limited": minute});
    Answer::Respond(HttpResponse::json(200, &body))
}

fn is_too_deep(body: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}
