//! Files go up in three steps. The first two show nothing to anybody: Slack gives an address, and the host streams the bytes
//! there. What Slack calls the file is committed before the third step, which shares it: after a crash the file is still known,
//! and an attempt that was cut off before that can be repeated without harm.

use kheish_guest::{Artifact, Failure, Outgoing, Receipt, http::Request, json};
use serde_json::{Value, json};

use super::{World, in_thread_or_not, name};
use crate::{
    api::{Api, Effect},
    route::Route,
};

/// Longest name of a file.
const MAX_NAME: usize = 255;

/// Sends the file, or the next step of it.
pub(super) fn deliver(world: &World<'_>, outgoing: &Outgoing<Route>, file: &Artifact) -> Result<Receipt, Failure> {
    let key = key(outgoing);
    match world.state.get(&key) {
        Some(id) => share(world, outgoing, file, &id),
        None => {
            let id = put(world, outgoing, file)?;
            world.state.set(&key, &id);
            // Not a failure: the host commits what is known so far and comes back, and no attempt is spent.
            Err(Failure::retryable("file_uploaded", "The file is at Slack and is shared next.").after_ms(1))
        }
    }
}

/// Where the id of a part's file is kept.
pub(super) fn key(outgoing: &Outgoing<Route>) -> String {
    format!("upload:{}", name(outgoing))
}

/// The first two steps. Gives Slack's id of the file.
fn put(world: &World<'_>, outgoing: &Outgoing<Route>, file: &Artifact) -> Result<String, Failure> {
    let api = world.api(&outgoing.route);
    let fields = [("filename", &title(file)[..]), ("length", &file.size.to_string())];
    let place = api.form("files.getUploadURLExternal", &fields, Effect::Harmless)?;
    let (Some(url), Some(id)) = (place["upload_url"].as_str(), place["file_id"].as_str()) else {
        return Err(Failure::retryable("no_upload_url", "Slack named no address for the file."));
    };
    // The address is itself the permission: the token does not go there.
    let response =
        world.client.send(Request::post(url).asset(file.asset_id.clone())).map_err(|error| error.harmless())?;
    let reason = format!("Slack answered the upload of `{}` with status {}.", file.name, response.status);
    match response.status {
        200..300 => Ok(id.to_owned()),
        429 => Err(Failure::retryable("ratelimited", reason).after_ms(response.retry_after_ms().unwrap_or(1_000))),
        413 => Err(Failure::terminal("file_too_large", reason)),
        _ => Err(Failure::retryable("upload_failed", reason)),
    }
}

/// The third step.
fn share(world: &World<'_>, outgoing: &Outgoing<Route>, file: &Artifact, id: &str) -> Result<Receipt, Failure> {
    let api = world.api(&outgoing.route);
    let channel = channel(&api, &outgoing.route.channel_id)?;
    let mut body = json!({"files": [{"id": id, "title": title(file)}], "channel_id": channel});
    if let Some(thread) = &outgoing.route.thread_ts {
        body["thread_ts"] = thread.as_str().into();
    }
    let shared = in_thread_or_not(&mut body, |body| api.post("files.completeUploadExternal", body, Effect::Visible));
    match shared {
        Ok(_) => {
            world.state.delete(&key(outgoing));
            Ok(receipt(id, &channel))
        }
        Err(problem) => {
            // Slack forgets what nobody shares: it has to go up again.
            if ["file_not_found", "file_deleted", "invalid_file_id"].contains(&problem.error.as_str()) {
                world.state.delete(&key(outgoing));
                return Err(Failure::retryable(
                    "upload_expired",
                    "Slack has forgotten the uploaded file: it goes up again.",
                ));
            }
            Err(problem.failure)
        }
    }
}

pub(super) fn receipt(id: &str, channel: &str) -> Receipt {
    Receipt { detail: json::text(&json!({"file_id": id, "channel": channel})), ..Receipt::id(id) }
}

/// Files are shared in channels only: a user's is the one between the app and them.
fn channel(api: &Api<'_>, id: &str) -> Result<String, Failure> {
    if !id.starts_with(['U', 'W']) {
        return Ok(id.to_owned());
    }
    let opened: Value = api.post("conversations.open", &json!({"users": id}), Effect::Harmless)?;
    match opened.pointer("/channel/id").and_then(Value::as_str) {
        Some(channel) => Ok(channel.to_owned()),
        None => Err(Failure::terminal("cannot_dm_user", format!("Slack opened no conversation with `{id}`."))),
    }
}

fn title(file: &Artifact) -> String {
    let name: String = file.name.chars().filter(|one| !one.is_control()).take(MAX_NAME).collect();
    if name.trim().is_empty() { "file".to_owned() } else { name }
}
