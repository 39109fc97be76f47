//! What Slack sends: JSON for events; forms for slash commands and interactivity.

use kheish_guest::{Answer, Context, HttpRequest, HttpResponse, Refusal};
use serde::Deserialize;
use serde_json::json;

use crate::{seal::Keyed, settings::Settings};

mod command;
mod content;
mod envelope;
mod form;
mod interaction;
mod message;

pub(crate) use content::Locator;

/// The events of one request, or what Slack is told in place of them.
pub(crate) fn handle(context: &Context<Settings>, request: &HttpRequest, key: &dyn Keyed) -> Result<Answer, Refusal> {
    if !is_form(request) {
        return envelope::handle(context, &request.body);
    }
    let form = form::Form::parse(&request.body)?;
    // Slack tests the address of a command with a request that is none.
    if form.get("ssl_check") == Some("1") {
        return Ok(Answer::Respond(HttpResponse::empty(200)));
    }
    if let Some(payload) = form.get("payload") {
        return interaction::handle(context, payload);
    }
    if form.get("command").is_some() {
        // Whoever may call an open connector could name any address, and the app would speak there.
        return command::handle(context, &form, request.authenticated_by.as_ref().map(|_| key));
    }
    Ok(ignored("unsupported_envelope"))
}

fn is_form(request: &HttpRequest) -> bool {
    let media_type = request.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Nothing becomes of it, and this is why.
fn ignored(reason: &str) -> Answer {
    Answer::Respond(HttpResponse::json(200, &json!({"ignored": true, "reason": reason})))
}

/// Decodes what must be one JSON object, without a copy of what is only passed on.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // Serde would also fill a struct from an array.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return refuse("invalid_payload", "The body is not a JSON object: send one.");
    }
    serde_json::from_slice(body)
        .or_else(|error| refuse("invalid_payload", format!("The body is not a valid payload: {error}.")))
}

fn refuse<T>(code: &str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::bad_request(code, reason))
}

#[cfg(test)]
mod tests;
