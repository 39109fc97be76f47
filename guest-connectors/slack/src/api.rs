//! Calls of the Web API, and what their failures mean. Slack says 200 to nearly everything and puts the failure into the body.

use kheish_guest::{
    Failure,
    http::{Client, Request, Response},
};
use serde_json::Value;

use crate::settings::Settings;

/// The wait after `ratelimited` without a `Retry-After`, in milliseconds.
const DEFAULT_WAIT_MS: u64 = 1_000;

/// The wait when a whole workspace has sent too much, in milliseconds.
const WORKSPACE_WAIT_MS: u64 = 60_000;

/// What is lost when nobody knows whether a call was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Somebody may see it twice: it is looked for before it is repeated.
    Visible,
    /// Nobody sees it: it can be repeated.
    Harmless,
}

/// The Web API, as one workspace's bot.
pub(crate) struct Api<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) client: &'a dyn Client,
    /// The slot of the bot's token.
    pub(crate) slot: String,
}

/// A call that Slack answered with an error of its own.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Slack's word for it.
    pub(crate) error: String,
    /// What it means.
    pub(crate) failure: Failure,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        problem.failure
    }
}

impl Api<'_> {
    /// Calls a method with a JSON body.
    pub(crate) fn post(&self, method: &str, body: &Value, effect: Effect) -> Result<Value, Problem> {
        self.call(method, Request::post(self.settings.api(method)).json(body), effect)
    }

    /// Calls a method with a form: some take nothing else.
    pub(crate) fn form(&self, method: &str, fields: &[(&str, &str)], effect: Effect) -> Result<Value, Problem> {
        self.call(method, Request::post(self.settings.api(method)).form(fields.iter().copied()), effect)
    }

    fn call(&self, method: &str, request: Request, effect: Effect) -> Result<Value, Problem> {
        let silent = |failure| Problem { error: String::new(), failure };
        let response = self
            .client
            .send(request.bearer(self.slot.clone()))
            .map_err(|error| silent(if effect == Effect::Visible { error.failure() } else { error.harmless() }))?;
        read(method, &response, effect)
    }
}

/// What an answer means.
fn read(method: &str, response: &Response, effect: Effect) -> Result<Value, Problem> {
    let problem = |error: &str, failure| Err(Problem { error: error.to_owned(), failure });
    let body = response.json::<Value>().ok();
    let error = body.as_ref().and_then(|body| body["error"].as_str()).unwrap_or_default().to_owned();
    if response.status == 429 || ["ratelimited", "rate_limited"].contains(&error.as_str()) {
        let wait = response.retry_after_ms().unwrap_or(DEFAULT_WAIT_MS);
        return problem(
            &error,
            Failure::retryable("ratelimited", format!("Slack asks to call {method} later.")).after_ms(wait),
        );
    }
    match body {
        Some(body) if body["ok"] == true && response.is_success() => Ok(body),
        Some(body) if !error.is_empty() && response.status < 500 => {
            problem(&error, failure(method, &error, &body, effect))
        }
        _ => {
            let reason = format!("Slack answered {method} with status {} and no word of its own.", response.status);
            let code = format!("http_{}", response.status);
            problem(
                "",
                match (response.status, effect) {
                    // The call was understood, or refused before anybody looked at it.
                    (400..500, _) => Failure::terminal(code, reason),
                    (_, Effect::Harmless) => Failure::retryable(code, reason),
                    (_, Effect::Visible) => Failure::unknown(code, reason),
                },
            )
        }
    }
}

/// What Slack's own word for a failure means.
fn failure(method: &str, error: &str, body: &Value, effect: Effect) -> Failure {
    let code = code(error);
    let reason = format!("Slack answered {method} with `{error}`{}.", advice(error, body));
    match error {
        "message_limit_exceeded" => Failure::retryable(code, reason).after_ms(WORKSPACE_WAIT_MS),
        // Documented as a body that came in pieces: nothing was done.
        "request_timeout" | "service_unavailable" | "team_added_to_org" => Failure::retryable(code, reason),
        // Documented as possibly done in part.
        "internal_error" | "fatal_error" if effect == Effect::Visible => Failure::unknown(code, reason),
        "internal_error" | "fatal_error" => Failure::retryable(code, reason),
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "not_allowed_token_type"
        | "org_login_required"
        | "no_permission"
        | "access_denied"
        | "two_factor_setup_required" => Failure::unauthorized(code, reason),
        _ => Failure::terminal(code, reason),
    }
}

fn advice(error: &str, body: &Value) -> String {
    match error {
        "not_in_channel" => ": invite the app to the channel".to_owned(),
        "channel_not_found" => ": the channel is gone, or private and without the app".to_owned(),
        "is_archived" => ": the channel is archived".to_owned(),
        "missing_scope" => {
            format!(": give the app the scope `{}` and install it again", body["needed"].as_str().unwrap_or("?"))
        }
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            ": store a bot token that is valid".to_owned()
        }
        _ => String::new(),
    }
}

/// A word of Slack's within the contract's rules.
fn code(error: &str) -> String {
    let plain =
        |one: char| if one.is_ascii_lowercase() || one.is_ascii_digit() || "_.-".contains(one) { one } else { '_' };
    error.to_ascii_lowercase().chars().map(plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Error, ErrorKind, Script},
    };
    use serde_json::json;

    use super::*;

    fn outcome(answer: Result<Response, Error>, effect: Effect) -> Result<Value, Problem> {
        let (script, settings) = (Script::new([answer]), Settings::default());
        Api { settings: &settings, client: &script, slot: "bot_token".to_owned() }.post(
            "chat.postMessage",
            &json!({}),
            effect,
        )
    }

    fn kind(error: &str, effect: Effect) -> FailureKind {
        let body = json!({"ok": false, "error": error}).to_string();
        outcome(Ok(Response::new(200, body)), effect).unwrap_err().failure.kind
    }

    #[test]
    fn each_class_of_errors_has_its_consequence() {
        use Effect::{Harmless, Visible};
        for error in ["invalid_auth", "token_revoked", "account_inactive", "missing_scope", "org_login_required"] {
            assert_eq!(kind(error, Visible), FailureKind::Unauthorized, "{error}");
        }
        for error in ["channel_not_found", "not_in_channel", "is_archived", "msg_too_long", "Something New!"] {
            assert_eq!(kind(error, Visible), FailureKind::Terminal, "{error}");
        }
        for error in ["request_timeout", "service_unavailable", "message_limit_exceeded", "ratelimited"] {
            assert_eq!(kind(error, Visible), FailureKind::Retryable, "{error}");
        }
        for error in ["internal_error", "fatal_error"] {
            assert_eq!(kind(error, Visible), FailureKind::Unknown, "{error}");
            assert_eq!(kind(error, Harmless), FailureKind::Retryable, "{error}");
        }
    }

    #[test]
    fn a_wait_is_taken_from_the_header() {
        let flood = Response::new(429, "").with_header("Retry-After", "30");
        let failure = outcome(Ok(flood), Effect::Visible).unwrap_err().failure;
        assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Retryable, Some(30_000)));
        let word = Response::new(200, r#"{"ok":false,"error":"ratelimited"}"#);
        assert_eq!(outcome(Ok(word), Effect::Visible).unwrap_err().failure.retry_after_ms, Some(1_000));
    }

    #[test]
    fn what_may_have_happened_is_unknown_only_where_it_shows() {
        for answer in [
            Ok(Response::new(502, "<html>")),
            Ok(Response::new(200, "half an ans")),
            Err(Error::new(ErrorKind::Timeout, "late", true)),
        ] {
            assert_eq!(outcome(answer.clone(), Effect::Visible).unwrap_err().failure.kind, FailureKind::Unknown);
            assert_eq!(outcome(answer, Effect::Harmless).unwrap_err().failure.kind, FailureKind::Retryable);
        }
        let early = Err(Error::new(ErrorKind::Transport, "refused", false));
        assert_eq!(outcome(early, Effect::Visible).unwrap_err().failure.kind, FailureKind::Retryable);
        assert_eq!(
            outcome(Ok(Response::new(404, "")), Effect::Visible).unwrap_err().failure.kind,
            FailureKind::Terminal
        );
    }

    #[test]
    fn the_reason_says_what_to_do() {
        let body = json!({"ok": false, "error": "missing_scope", "needed": "files:write"}).to_string();
        let failure = outcome(Ok(Response::new(200, body)), Effect::Visible).unwrap_err().failure;
        assert!(failure.reason.contains("`files:write`"), "{}", failure.reason);
        assert_eq!(code("Something New!"), "something_new_");
    }
}
