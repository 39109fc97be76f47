//! The way out: one part to one place.

use kheish_guest::{
    Failure, Outgoing, Part, Receipt,
    http::{Client, Request},
    json,
};
use serde_json::{Value, json};

use crate::{
    api::{Api, Effect, Problem},
    digest, mrkdwn,
    route::Route,
    seal::{self, Keyed},
    settings::{CommandAnswers, Settings, TextFormat},
    state::State,
};

mod find;
mod upload;

pub(crate) use find::find;

/// The kind of the metadata that names a message of ours, so that it can be found again.
const METADATA: &str = "kheish_delivery_part";

/// What sending needs of the world.
pub(crate) struct World<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) client: &'a dyn Client,
    pub(crate) state: &'a dyn State,
    pub(crate) key: &'a dyn Keyed,
}

impl World<'_> {
    fn api(&self, route: &Route) -> Api<'_> {
        Api { settings: self.settings, client: self.client, slot: self.settings.slot(route.team_id.as_deref()) }
    }
}

/// Sends a part once.
pub(crate) fn deliver(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Receipt, Failure> {
    let team = outgoing.route.team_id.as_deref();
    send(world, outgoing).map_err(|failure| world.settings.judge(team, failure))
}

fn send(world: &World<'_>, outgoing: &Outgoing<Route>) -> Result<Receipt, Failure> {
    if let Some(Part::Artifact(file)) = outgoing.parts.iter().find(|part| matches!(part, Part::Artifact(_))) {
        return upload::deliver(world, outgoing, file);
    }
    let text = outgoing.text();
    // Slack refuses a message that says nothing, and nobody misses it.
    if text.trim().is_empty() {
        return Ok(Receipt::nameless());
    }
    let text = mrkdwn::render(&text, world.settings.format);
    let address = outgoing.route.response.as_ref().and_then(|sealed| seal::open(world.key, sealed));
    match address {
        Some(address) => match respond(world, &address, &text)? {
            true => Ok(Receipt::nameless()),
            // It is valid for half an hour and five answers.
            false => instead(world, outgoing, &text),
        },
        None if outgoing.route.user_id.is_some() => instead(world, outgoing, &text),
        None => post(world, outgoing, &text),
    }
}

fn post(world: &World<'_>, outgoing: &Outgoing<Route>, text: &str) -> Result<Receipt, Failure> {
    let api = world.api(&outgoing.route);
    let name = name(outgoing);
    let mut body = json!({
        "channel": outgoing.route.channel_id,
        "text": text,
        "client_msg_id": name,
        "metadata": {"event_type": METADATA, "event_payload": {"part": name}},
        "mrkdwn": world.settings.format == TextFormat::Markdown,
        "unfurl_links": world.settings.link_previews,
        "unfurl_media": world.settings.link_previews,
    });
    if let Some(thread) = &outgoing.route.thread_ts {
        body["thread_ts"] = thread.as_str().into();
    }
    let posted = in_thread_or_not(&mut body, |body| api.post("chat.postMessage", body, Effect::Visible))?;
    let text = |member: &str| posted[member].as_str().unwrap_or_default().to_owned();
    Ok(receipt(&text("channel"), &text("ts")))
}

/// Whoever cannot be answered in their thread is answered in the channel: nothing was posted when Slack says so.
fn in_thread_or_not(body: &mut Value, send: impl Fn(&Value) -> Result<Value, Problem>) -> Result<Value, Problem> {
    let first = send(body);
    let lost = |problem: &Problem| ["thread_not_found", "cannot_reply_to_message"].contains(&problem.error.as_str());
    match first {
        Err(problem) if lost(&problem) && !body["thread_ts"].is_null() => {
            body.as_object_mut().and_then(|body| body.remove("thread_ts"));
            send(body)
        }
        other => other,
    }
}

/// Answers a command at the address that came with it; whether the address still takes answers.
fn respond(world: &World<'_>, address: &str, text: &str) -> Result<bool, Failure> {
    let kind = match world.settings.command_answers {
        CommandAnswers::Ephemeral => "ephemeral",
        CommandAnswers::InChannel => "in_channel",
    };
    let body = json!({"response_type": kind, "text": text, "replace_original": false});
    let response = match world.client.send(Request::post(address).json(&body)) {
        Ok(response) => response,
        // It is not an address of Slack's: whatever it is, it gets nothing.
        Err(error) if error.code() == "http_denied" && !error.sent => return Ok(false),
        Err(error) => return Err(error.failure()),
    };
    let reason = format!("Slack answered the address of a command with status {}.", response.status);
    match response.status {
        200..300 => Ok(true),
        429 => Err(Failure::retryable("ratelimited", reason).after_ms(response.retry_after_ms().unwrap_or(1_000))),
        500.. => Err(Failure::unknown(format!("http_{}", response.status), reason)),
        _ => Ok(false),
    }
}

/// Answers a command without its address: to who asked, or in the channel.
fn instead(world: &World<'_>, outgoing: &Outgoing<Route>, text: &str) -> Result<Receipt, Failure> {
    let Route { channel_id, user_id, .. } = &outgoing.route;
    if world.settings.command_answers == CommandAnswers::InChannel {
        return post(world, outgoing, text);
    }
    let body = json!({"channel": channel_id, "user": user_id, "text": text});
    let posted = world.api(&outgoing.route).post("chat.postEphemeral", &body, Effect::Visible)?;
    Ok(receipt(channel_id, posted["message_ts"].as_str().unwrap_or_default()))
}

/// What the part is called at Slack: the same for every attempt.
fn name(outgoing: &Outgoing<Route>) -> String {
    digest::uuid(&format!("slack-delivery:{}:{}", outgoing.idempotency_key, outgoing.first_part))
}

fn receipt(channel: &str, ts: &str) -> Receipt {
    if ts.is_empty() {
        return Receipt::nameless();
    }
    Receipt { detail: json::text(&json!({"channel": channel, "ts": ts})), ..Receipt::id(ts) }
}

#[cfg(test)]
mod tests;
