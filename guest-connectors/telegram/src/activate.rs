//! Telegram's side of the two modes: a webhook that leads here, or none.
//!
//! What is right is left as it is, so that this may be called as often as anybody likes; what somebody else has changed is
//! put right and told.

use kheish_guest::{
    Failure,
    http::{Client, Credential, QueryCredential, encoded},
};
use serde::Deserialize;

use crate::{
    api::{Api, Params, Trouble},
    manifest::SECRET_TOKEN,
    memory::Memory,
    settings::IngressMode,
    update::KINDS,
};

/// Under which key it is kept what the secret was when the webhook was set: Telegram does not show it.
const SECRET_MARK: &str = "webhook_secret_mark";

/// What Telegram has on record.
#[derive(Debug, Default, Deserialize)]
struct WebhookInfo {
    #[serde(default)]
    url: String,
    max_connections: Option<u32>,
    allowed_updates: Option<Vec<String>>,
    last_error_message: Option<String>,
}

/// What was done, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was right.
    Nothing {
        /// Telegram's last trouble with the webhook.
        trouble: Option<String>,
    },
    /// The webhook was set.
    Set {
        /// Where it led before, unless nowhere.
        before: Option<String>,
    },
    /// The webhook was taken away.
    Removed {
        /// Where it led.
        before: String,
    },
}

/// Makes Telegram do as the settings say. `secret_mark` stands for the webhook's secret, when there is one.
pub(crate) fn activate<C: Client>(
    api: &Api<'_, C>,
    memory: &dyn Memory,
    public_url: Option<&str>,
    secret_mark: Option<&str>,
) -> Result<Done, Failure> {
    let info: WebhookInfo = api.call("getWebhookInfo", &Params::default()).map_err(Trouble::harmless)?;
    if api.settings.ingress_mode == IngressMode::Polling {
        return if info.url.is_empty() { Ok(Done::Nothing { trouble: None }) } else { remove(api, info.url) };
    }
    if public_url.is_none() && !info.url.is_empty() {
        // Somebody sees to it by hand.
        return Ok(Done::Nothing { trouble: info.last_error_message });
    }
    let Some(url) = public_url else {
        let reason = "A webhook needs an address that Telegram can reach: give the daemon its public URL, or set ingress_mode \
                      to polling.";
        return Err(Failure::terminal("no_public_url", reason));
    };
    // A mark that is not there and one that is empty mean the same: no secret.
    let mark = secret_mark.unwrap_or_default();
    let same_secret = memory.get(SECRET_MARK).unwrap_or_default() == mark;
    if info.url == url && same_secret && has_wishes(&info, api.settings.webhook_max_connections) {
        return Ok(Done::Nothing { trouble: info.last_error_message });
    }
    set(api, url, secret_mark.is_some())?;
    memory.set(SECRET_MARK, mark);
    Ok(Done::Set { before: Some(info.url).filter(|before| !before.is_empty() && before != url) })
}

/// Takes away the connector's own webhook, by the path that the host has for it. Another one is somebody else's.
pub(crate) fn deactivate<C: Client>(api: &Api<'_, C>, name: &str) -> Result<(), Failure> {
    let info: WebhookInfo = api.call("getWebhookInfo", &Params::default()).map_err(Trouble::harmless)?;
    if info.url.ends_with(&format!("/v1/connectors/telegram/{name}")) {
        remove(api, info.url).map(drop)
    } else {
        Ok(())
    }
}

fn has_wishes(info: &WebhookInfo, max_connections: u32) -> bool {
    let mut allowed = info.allowed_updates.clone().unwrap_or_default();
    let mut wanted = KINDS.map(str::to_owned);
    allowed.sort_unstable();
    wanted.sort_unstable();
    allowed == wanted && info.max_connections.unwrap_or(40) == max_connections
}

/// Everything stands in the query, because there the host can put the secret beside it.
fn set<C: Client>(api: &Api<'_, C>, url: &str, secret: bool) -> Result<(), Failure> {
    let kinds = kheish_guest::json::text(&KINDS);
    let connections = api.settings.webhook_max_connections;
    let query = format!("url={}&max_connections={connections}&allowed_updates={}", encoded(url), encoded(&kinds));
    let mut request = api.request("setWebhook");
    request.url = format!("{}?{query}", request.url);
    if secret {
        let credential = QueryCredential { name: "secret_token".to_owned(), slot: SECRET_TOKEN.to_owned() };
        request.credentials.push(Credential::Query(credential));
    }
    match api.send::<bool>(request) {
        Ok(_) => Ok(()),
        Err(Trouble::Refused(refused)) if refused.is_bad_request() => {
            let reason = format!("Telegram does not take the webhook {url}: {}.", refused.description);
            Err(Failure::terminal("webhook_refused", reason))
        }
        Err(trouble) => Err(trouble.harmless()),
    }
}

/// What waits is kept: it is what was sent while the mode changed.
fn remove<C: Client>(api: &Api<'_, C>, before: String) -> Result<Done, Failure> {
    let params = Params::default().with("drop_pending_updates", false);
    api.call::<bool>("deleteWebhook", &params).map_err(Trouble::harmless)?;
    Ok(Done::Removed { before })
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Body, Error, Request, Response, Script},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::{memory::Notes, settings::Settings};

    const URL: &str = "https://host.example/v1/connectors/telegram/bot";

    fn ok(result: Value) -> Result<Response, Error> {
        Ok(Response::new(200, json!({"ok": true, "result": result}).to_string()))
    }

    fn right() -> Value {
        json!({"url": URL, "max_connections": 40, "allowed_updates": KINDS, "pending_update_count": 0})
    }

    fn run(
        settings: Value,
        notes: &Notes,
        mark: Option<&str>,
        answers: Vec<Result<Response, Error>>,
    ) -> (Result<Done, Failure>, Vec<Request>) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let script = Script::new(answers);
        let done = activate(&Api { client: &script, settings: &settings }, notes, Some(URL), mark);
        assert_eq!(script.left(), 0);
        (done, script.requests())
    }

    #[test]
    fn a_webhook_is_set_once_and_again_when_the_secret_changes() {
        let notes = Notes::default();
        let (done, requests) = run(json!({}), &notes, Some("m1"), vec![ok(json!({"url": ""})), ok(json!(true))]);
        assert_eq!(done.unwrap(), Done::Set { before: None });
        let url = &requests[1].url;
        assert!(
            url.starts_with(
                "https://api.telegram.org/botkheish-bot-token/setWebhook?url=https%3A%2F%2Fhost.example%2F"
            )
        );
        assert!(
            url.contains("&max_connections=40&allowed_updates=%5B%22message%22%2C") && !url.contains("secret_token")
        );
        assert!(matches!(&requests[1].credentials[1], Credential::Query(query) if query.name == "secret_token"));
        assert_eq!(run(json!({}), &notes, Some("m1"), vec![ok(right())]).0.unwrap(), Done::Nothing { trouble: None });
        let (done, _) = run(json!({}), &notes, Some("m2"), vec![ok(right()), ok(json!(true))]);
        assert_eq!(done.unwrap(), Done::Set { before: None });
        let (done, requests) = run(json!({}), &notes, None, vec![ok(right()), ok(json!(true))]);
        assert_eq!(done.unwrap(), Done::Set { before: None });
        assert_eq!(requests[1].credentials.len(), 1, "without a secret none is named");
    }

    #[test]
    fn what_somebody_else_changed_is_put_right_and_told() {
        let notes = Notes::default();
        notes.set(SECRET_MARK, "m");
        for (member, value) in [
            ("url", json!("https://elsewhere.example/hook")),
            ("max_connections", json!(100)),
            ("allowed_updates", json!(["message"])),
            ("allowed_updates", Value::Null),
        ] {
            let mut info = right();
            info[member] = value;
            let (done, _) = run(json!({}), &notes, Some("m"), vec![ok(info), ok(json!(true))]);
            let before = (member == "url").then(|| "https://elsewhere.example/hook".to_owned());
            assert_eq!(done.unwrap(), Done::Set { before }, "{member}");
        }
        let mut ill = right();
        ill["last_error_message"] = json!("Connection refused");
        let trouble = Some("Connection refused".to_owned());
        assert_eq!(run(json!({}), &notes, Some("m"), vec![ok(ill)]).0.unwrap(), Done::Nothing { trouble });
    }

    #[test]
    fn polling_has_no_webhook_and_loses_nothing() {
        let polling = || json!({"ingress_mode": "polling"});
        let notes = Notes::default();
        let (done, requests) = run(polling(), &notes, None, vec![ok(right()), ok(json!(true))]);
        assert_eq!(done.unwrap(), Done::Removed { before: URL.to_owned() });
        let Body::Bytes(body) = &requests[1].body else { panic!("no body") };
        assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), json!({"drop_pending_updates": false}));
        assert_eq!(
            run(polling(), &notes, None, vec![ok(json!({"url": ""}))]).0.unwrap(),
            Done::Nothing { trouble: None }
        );
    }

    #[test]
    fn only_the_own_webhook_is_taken_away() {
        let settings = Settings::default();
        let leave = |answers: Vec<Result<Response, Error>>| {
            let script = Script::new(answers);
            deactivate(&Api { client: &script, settings: &settings }, "bot").unwrap();
            assert_eq!(script.left(), 0);
        };
        leave(vec![ok(json!({"url": ""}))]);
        leave(vec![ok(json!({"url": "https://host.example/v1/connectors/telegram/other"}))]);
        leave(vec![ok(right()), ok(json!(true))]);
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        let no = |status: u16, words: &str| {
            let body = json!({"ok": false, "error_code": status, "description": words});
            Ok(Response::new(status, body.to_string()))
        };
        let notes = Notes::default();
        let refused = vec![ok(json!({"url": ""})), no(400, "Bad Request: bad webhook: HTTPS url must be provided")];
        let failure = run(json!({}), &notes, Some("m"), refused).0.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Terminal, "webhook_refused"));
        assert!(notes.get(SECRET_MARK).is_none());
        let failure = run(json!({}), &notes, None, vec![no(401, "Unauthorized")]).0.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized);
        let settings = Settings::default();
        let script = Script::new([ok(json!({"url": ""}))]);
        let failure = activate(&Api { client: &script, settings: &settings }, &notes, None, None).unwrap_err();
        assert_eq!(failure.code, "no_public_url");
    }
}
