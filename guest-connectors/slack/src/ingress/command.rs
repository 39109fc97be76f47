//! Slash commands. Slack sends them once, and shows its user an error when they are not taken at once.

use std::collections::BTreeMap;

use kheish_guest::{Answer, Context, Event, HttpResponse, InputPart, Refusal, json};
use serde_json::json;

use super::{content, form::Form, message::is_name, refuse};
use crate::{
    access::{self, Origin},
    conversation::{self, Place},
    digest,
    route::Route,
    seal::{self, Keyed},
    settings::Settings,
};

/// Fields that let whoever has them speak as the app, or that mean nothing any more.
const NOT_KEPT: [&str; 3] = ["token", "response_url", "trigger_id"];

/// The event of a command. Without a `key` its `response_url` is not believed.
pub(super) fn handle(context: &Context<Settings>, form: &Form, key: Option<&dyn Keyed>) -> Result<Answer, Refusal> {
    let Some(channel) = form.filled("channel_id").filter(|id| is_name(id)) else {
        return refuse("missing_channel", "The command has no valid channel_id.");
    };
    let Some(user) = form.filled("user_id").filter(|id| is_name(id)) else {
        return refuse("missing_user", "The command has no valid user_id.");
    };
    let place = Place { enterprise: form.filled("enterprise_id"), team: form.filled("team_id"), channel };
    let origin = Origin {
        app: form.filled("api_app_id"),
        enterprise: place.enterprise.clone(),
        team: place.team.clone(),
        channel: Some(place.channel.clone()),
        installations: Vec::new(),
    };
    access::check(&context.settings, &origin)?;
    let command = form.get("command").unwrap_or_default();
    let text = format!("{command} {}", form.get("text").unwrap_or_default());
    let kept: BTreeMap<&str, &str> = form.fields().filter(|(name, _)| !NOT_KEPT.contains(name)).collect();
    let kept_text = json::text(&kept);
    let id = match form.filled("trigger_id") {
        Some(trigger) => format!("command:{}", digest::hex(trigger.as_bytes())),
        // Nothing names it: the same form again is the same command.
        None => format!("command:{}", digest::hex(json::text(&form.fields().collect::<Vec<_>>()).as_bytes())),
    };
    let route = Route {
        enterprise_id: place.enterprise.clone(),
        team_id: place.team.clone(),
        channel_id: place.channel.clone(),
        thread_ts: None,
        user_id: Some(user.clone()),
        response: form.filled("response_url").zip(key).and_then(|(url, key)| seal::seal(key, &url)),
    };
    // A command stands in no thread. Those of one person in one channel are a conversation of their own.
    let conversation = place.conversation(&context.name, &format!("command:{user}"));
    let (session, binding_keys) = conversation::session(&context.settings, conversation);
    let event = Event {
        id: Some(id),
        fingerprint: Some(kept_text),
        actor: Some(user),
        intent: Some(command.chars().take(100).collect()),
        session,
        binding_keys,
        input: vec![InputPart::text(text.trim_end())],
        reply_route: Some(json::text(&route)),
        metadata: content::metadata(&json!({ "command": kept })),
        ..Event::new("slash_command")
    };
    // An empty answer shows nothing; anything else would be posted.
    Ok(Answer::Accept { events: vec![event], response: Some(HttpResponse::empty(200)) })
}
