//! Files that events name, fetched once the event is durable.

use kheish_guest::{
    Failure, RemoteFile,
    http::{Client, Request, Response},
};
use serde_json::Value;

use crate::{
    api::{Api, Effect},
    ingress::Locator,
    settings::Settings,
};

/// Fetches a file into the asset store.
pub(crate) fn download(settings: &Settings, client: &dyn Client, file: &RemoteFile) -> Result<String, Failure> {
    let locator: Locator = serde_json::from_str(&file.locator).map_err(|error| {
        Failure::terminal("locator_unreadable", format!("The file's locator cannot be read: {error}."))
    })?;
    if let Some(gone) = &locator.gone {
        let reason = match gone.as_str() {
            "external" => "The file lies outside of Slack: the bot token is not shown to others.",
            "hidden_by_limit" => "The workspace's plan hides the file.",
            _ => "The file was deleted at Slack.",
        };
        return Err(Failure::terminal(format!("file_{gone}"), reason));
    }
    let slot = settings.slot(locator.team_id.as_deref());
    let url = match &locator.url {
        Some(url) => url.clone(),
        None => address(&Api { settings, client, slot: slot.clone() }, &locator.file_id)?,
    };
    let request = Request::get(url).bearer(slot).store_as(file.name.clone());
    let response = client.send(request).map_err(|error| error.harmless())?;
    stored(&locator, response)
}

/// Asks where the bytes of a file are: in shared channels an event does not say.
fn address(api: &Api<'_>, id: &str) -> Result<String, Failure> {
    let info = match api.form("files.info", &[("file", id)], Effect::Harmless) {
        Ok(info) => info,
        Err(problem) if ["file_not_found", "file_deleted"].contains(&problem.error.as_str()) => return Err(vanished()),
        Err(problem) => return Err(problem.failure),
    };
    let found = ["/file/url_private_download", "/file/url_private"].iter().find_map(|pointer| info.pointer(pointer));
    found.and_then(Value::as_str).map(str::to_owned).ok_or_else(vanished)
}

fn stored(locator: &Locator, response: Response) -> Result<String, Failure> {
    let reason = format!("Slack answered the fetch of the file with status {}.", response.status);
    match response.status {
        200..300 => {
            let media_type = response.header("content-type").unwrap_or_default();
            let page = media_type.starts_with("text/html")
                && !locator.media_type.as_deref().is_some_and(|own| own.starts_with("text/html"));
            // Whoever may not read a file is shown a page to log in at.
            if page { Err(denied()) } else { response.asset_id.ok_or_else(|| Failure::retryable("not_stored", reason)) }
        }
        429 => Err(Failure::retryable("ratelimited", reason).after_ms(response.retry_after_ms().unwrap_or(1_000))),
        404 | 410 => Err(vanished()),
        300..=399 | 403 => Err(denied()),
        401 => Err(Failure::unauthorized("invalid_auth", reason)),
        408 | 500.. => Err(Failure::retryable(format!("http_{}", response.status), reason)),
        _ => Err(Failure::terminal(format!("http_{}", response.status), reason)),
    }
}

fn vanished() -> Failure {
    Failure::terminal("file_vanished", "The file is not at Slack any more.")
}

fn denied() -> Failure {
    Failure::terminal(
        "file_access_denied",
        "The app may not read the file: give it the scope `files:read`, and invite it.",
    )
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Body, Credential, Error, ErrorKind, Script},
        json,
    };
    use serde_json::json;

    use super::*;

    const URL: &str = "https://files.slack.com/files-pri/T1-F1/download/a.pdf";

    fn fetch(locator: Value, answers: Vec<Result<Response, Error>>) -> (Result<String, Failure>, Script) {
        let script = Script::new(answers);
        let file = RemoteFile { name: "a.pdf".to_owned(), media_type: None, size: None, locator: json::text(&locator) };
        (download(&Settings::default(), &script, &file), script)
    }

    fn plain() -> Value {
        json!({"file_id": "F1", "url": URL, "media_type": "application/pdf"})
    }

    fn code(answer: Result<Response, Error>) -> (FailureKind, String) {
        let failure = fetch(plain(), vec![answer]).0.unwrap_err();
        (failure.kind, failure.code)
    }

    #[test]
    fn a_file_is_stored_with_the_token() {
        let (outcome, script) = fetch(plain(), vec![Ok(Response::new(200, "").with_asset("asset-1"))]);
        let request = &script.requests()[0];
        assert_eq!((outcome.unwrap().as_str(), request.url.as_str()), ("asset-1", URL));
        assert_eq!(request.store_as.as_deref(), Some("a.pdf"));
        assert!(matches!(&request.credentials[..], [Credential::Bearer(slot)] if slot == "bot_token"));
        assert!(matches!(request.body, Body::Empty));
    }

    #[test]
    fn slack_is_asked_where_an_event_does_not_say() {
        let info = json!({"ok": true, "file": {"url_private_download": URL}}).to_string();
        let answers = vec![Ok(Response::new(200, info)), Ok(Response::new(200, "").with_asset("asset-1"))];
        let (outcome, script) = fetch(json!({"file_id": "F1"}), answers);
        assert!(outcome.is_ok() && script.requests()[0].url.ends_with("/files.info"));
        let gone = Ok(Response::new(200, r#"{"ok":false,"error":"file_not_found"}"#));
        assert_eq!(fetch(json!({"file_id": "F1"}), vec![gone]).0.unwrap_err().code, "file_vanished");
    }

    #[test]
    fn what_cannot_be_had_is_said_in_a_word() {
        let page = Response::new(200, "").with_header("Content-Type", "text/html; charset=utf-8").with_asset("login");
        let terminal = |code: &str| (FailureKind::Terminal, code.to_owned());
        assert_eq!(code(Ok(page)), terminal("file_access_denied"));
        assert_eq!(code(Ok(Response::new(302, ""))), terminal("file_access_denied"));
        assert_eq!(code(Ok(Response::new(404, ""))), terminal("file_vanished"));
        assert_eq!(code(Err(Error::new(ErrorKind::TooLarge, "large", true))), terminal("http_too_large"));
        assert_eq!(code(Ok(Response::new(401, ""))).0, FailureKind::Unauthorized);
        assert_eq!(code(Ok(Response::new(503, ""))).0, FailureKind::Retryable);
        assert_eq!(code(Err(Error::new(ErrorKind::Timeout, "late", true))).0, FailureKind::Retryable);
        for gone in ["external", "tombstone", "hidden_by_limit"] {
            let (outcome, script) = fetch(json!({"file_id": "F1", "gone": gone}), Vec::new());
            assert_eq!((outcome.unwrap_err().code, script.requests().len()), (format!("file_{gone}"), 0));
        }
    }
}
