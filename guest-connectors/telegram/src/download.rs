//! Files that events name. Telegram gives a path that is good for an hour, and the file behind it.

use kheish_guest::{
    Failure, RemoteFile,
    http::{Client, Request},
};
use serde::Deserialize;

use crate::{
    api::{Api, Params, Refused, Trouble},
    files::Locator,
    manifest::BOT_TOKEN,
    settings::TOKEN_MARKER,
};

/// The largest file that Telegram's own server gives a bot, in bytes.
const FILE_BYTES: u64 = 20 * 1024 * 1024;

#[derive(Deserialize)]
struct Found {
    file_path: Option<String>,
}

/// Fetches one file and names the asset.
pub(crate) fn download<C: Client>(api: &Api<'_, C>, file: &RemoteFile) -> Result<String, Failure> {
    let locator: Locator = serde_json::from_str(&file.locator).map_err(|error| {
        Failure::terminal("locator_unreadable", format!("The file's locator cannot be read: {error}."))
    })?;
    if let Some(size) = file.size.filter(|size| *size > FILE_BYTES && !api.settings.is_own_server()) {
        let reason = format!("`{}` has {size} bytes; Telegram gives a bot {FILE_BYTES}.", file.name);
        return Err(Failure::terminal("file_too_big", reason));
    }
    let params = Params::default().with("file_id", locator.file_id);
    let found: Found = api.call("getFile", &params).map_err(|trouble| gone(trouble, &file.name))?;
    let Some(path) = found.file_path else {
        return Err(Failure::terminal("file_gone", format!("Telegram has no path for `{}`.", file.name)));
    };
    let request =
        Request::get(api.settings.file_url(&path)).path_credential(TOKEN_MARKER, BOT_TOKEN).store_as(&file.name);
    let response = api.client.send(request).map_err(|error| error.harmless())?;
    match (response.is_success(), &response.asset_id) {
        (true, Some(asset)) => Ok(asset.clone()),
        (true, None) => Err(Failure::retryable("not_stored", format!("`{}` was not stored.", file.name))),
        (false, _) => Err(refusal(response.status, response.retry_after_ms(), &file.name)),
    }
}

/// A file server says less than the API: a path that it does not know is one of a file that is gone.
fn refusal(status: u16, retry_after_ms: Option<u64>, name: &str) -> Failure {
    if status == 404 {
        return Failure::terminal("file_gone", format!("Telegram has no `{name}` any more."));
    }
    let description = format!("status {status} for `{name}`");
    Refused { status, description, retry_after_ms, migrate_to: None, in_frame: false }.failure(true)
}

/// The id of a file that is gone is one that is wrong.
fn gone(trouble: Trouble, name: &str) -> Failure {
    match trouble {
        Trouble::Refused(refused) if refused.is_bad_request() && refused.says("temporarily unavailable") => {
            Failure::retryable("file_unavailable", refused.description)
        }
        Trouble::Refused(refused) if refused.is_bad_request() && !refused.says("too big") => {
            Failure::terminal("file_gone", format!("Telegram does not give `{name}`: {}.", refused.description))
        }
        other => other.harmless(),
    }
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Error, ErrorKind, Response, Script},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::Settings;

    fn fetch(
        settings: Value,
        size: Option<u64>,
        answers: Vec<Result<Response, Error>>,
    ) -> (Result<String, Failure>, Vec<Request>) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let script = Script::new(answers);
        let locator = json!({"file_id": "F1"}).to_string();
        let file = RemoteFile { name: "a.jpg".to_owned(), media_type: None, size, locator };
        let fetched = download(&Api { client: &script, settings: &settings }, &file);
        assert_eq!(script.left(), 0);
        (fetched, script.requests())
    }

    fn found() -> Result<Response, Error> {
        Ok(Response::new(
            200,
            json!({"ok": true, "result": {"file_id": "F1", "file_path": "photos/file_1.jpg"}}).to_string(),
        ))
    }

    fn no(status: u16, words: &str) -> Result<Response, Error> {
        let body = json!({"ok": false, "error_code": status, "description": words});
        Ok(Response::new(status, body.to_string()))
    }

    #[test]
    fn a_file_is_asked_for_and_stored() {
        let (asset, requests) = fetch(json!({}), Some(10), vec![found(), Ok(Response::new(200, "").with_asset("A1"))]);
        assert_eq!(asset.unwrap(), "A1");
        assert_eq!(requests[1].url, "https://api.telegram.org/file/botkheish-bot-token/photos/file_1.jpg");
        assert_eq!((requests[1].method.as_str(), requests[1].store_as.as_deref()), ("GET", Some("a.jpg")));
        assert!(requests.iter().all(|request| request.credentials.len() == 1));
    }

    #[test]
    fn what_is_too_big_is_not_asked_for_unless_the_server_is_ones_own() {
        let (asset, requests) = fetch(json!({}), Some(FILE_BYTES + 1), Vec::new());
        assert_eq!((asset.unwrap_err().code.as_str(), requests.len()), ("file_too_big", 0));
        let own = json!({"api_base_url": "https://tg.example"});
        let stored = Ok(Response::new(200, "").with_asset("A1"));
        assert_eq!(fetch(own, Some(FILE_BYTES + 1), vec![found(), stored]).0.unwrap(), "A1");
    }

    #[test]
    fn what_is_gone_stays_gone_and_the_rest_is_tried_again() {
        use FailureKind::{Retryable, Terminal, Unauthorized};
        for (answers, kind, code) in [
            (vec![no(400, "Bad Request: file is too big")], Terminal, "file_too_big"),
            (
                vec![no(400, "Bad Request: wrong file_id or the file is temporarily unavailable")],
                Retryable,
                "file_unavailable",
            ),
            (vec![no(400, "Bad Request: invalid file_id")], Terminal, "file_gone"),
            (vec![no(401, "Unauthorized")], Unauthorized, "token_revoked"),
            (vec![no(502, "Bad Gateway")], Retryable, "server_error"),
            (vec![Err(Error::new(ErrorKind::Timeout, "no answer", true))], Retryable, "http_timeout"),
            (vec![found(), Ok(Response::new(404, "Not Found"))], Terminal, "file_gone"),
            (vec![found(), Ok(Response::new(500, ""))], Retryable, "server_error"),
            (vec![found(), Err(Error::new(ErrorKind::TooLarge, "too large", true))], Terminal, "http_too_large"),
        ] {
            let failure = fetch(json!({}), None, answers).0.unwrap_err();
            assert_eq!((failure.kind, failure.code.as_str()), (kind, code));
        }
    }
}
