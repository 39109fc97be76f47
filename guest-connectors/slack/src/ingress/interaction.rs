//! Interactivity: buttons and menus, shortcuts, and what is filled into dialogues.

use kheish_guest::{Answer, Context, Event, HttpResponse, InputPart, Refusal, json};
use serde_json::{Map, Value, json};

use super::{
    content, ignored,
    message::{is_name, millis},
    object, refuse,
};
use crate::{
    access::{self, Origin},
    conversation::{self, Place},
    digest,
    route::{Route, is_ts},
    settings::Settings,
};

/// Members that let whoever has them speak as the app, or that mean nothing any more.
const NOT_KEPT: [&str; 4] = ["token", "response_url", "response_urls", "trigger_id"];

/// What becomes of a payload.
pub(super) fn handle(context: &Context<Settings>, payload: &str) -> Result<Answer, Refusal> {
    let mut payload: Map<String, Value> = object(payload.as_bytes())?;
    let id = id(&payload);
    NOT_KEPT.iter().for_each(|name| drop(payload.remove(*name)));
    let payload = Value::Object(payload);
    let kind = text(&payload, "/type").unwrap_or_default();
    let Some(user) = text(&payload, "/user/id").filter(|id| is_name(id)) else {
        return refuse("missing_user", "The payload has no valid user.");
    };
    let channel = text(&payload, "/channel/id").or_else(|| text(&payload, "/container/channel_id"));
    let place = Place {
        enterprise: text(&payload, "/enterprise/id")
            .or_else(|| text(&payload, "/team/enterprise_id"))
            .map(str::to_owned),
        team: text(&payload, "/team/id").or_else(|| text(&payload, "/user/team_id")).map(str::to_owned),
        // What happens in no channel is between the app and its user.
        channel: channel.unwrap_or(user).to_owned(),
    };
    if !is_name(&place.channel) {
        return refuse("missing_channel", "The payload has no valid channel.");
    }
    access::check(&context.settings, &origin(&payload, &place, channel))?;
    let (said, intent) = match kind {
        "block_actions" => actions(&payload),
        "shortcut" => called(&payload, "/callback_id", None),
        "message_action" => called(&payload, "/callback_id", text(&payload, "/message/text")),
        "view_submission" => called(&payload, "/view/callback_id", Some(&filled(&payload))),
        "view_closed" => called(&payload, "/view/callback_id", None),
        // Slack waits for the options themselves, and there are none to give.
        "block_suggestion" => return Ok(Answer::Respond(HttpResponse::json(200, &json!({"options": []})))),
        _ => return Ok(ignored("unsupported_interaction")),
    };
    let event = event(context, (&payload, id), (kind, &place, user), (said, intent));
    // An empty answer leaves a message as it is, and closes a dialogue.
    Ok(Answer::Accept { events: vec![event], response: Some(HttpResponse::empty(200)) })
}

fn event(
    context: &Context<Settings>,
    (payload, id): (&Value, String),
    (kind, place, user): (&str, &Place, &str),
    (said, intent): (String, String),
) -> Event {
    let at = |pointer| text(payload, pointer).filter(|ts| is_ts(ts));
    let thread =
        ["/message/thread_ts", "/container/thread_ts", "/message/ts", "/container/message_ts"].into_iter().find_map(at);
    let view = ["/view/root_view_id", "/view/id"].into_iter().find_map(|pointer| text(payload, pointer));
    let root = thread.or(view).unwrap_or("direct");
    let (session, binding_keys) = conversation::session(&context.settings, place.conversation(&context.name, root));
    let route = Route {
        enterprise_id: place.enterprise.clone(),
        team_id: place.team.clone(),
        channel_id: place.channel.clone(),
        thread_ts: thread.map(str::to_owned),
        ..Route::default()
    };
    let when = text(payload, "/actions/0/action_ts").or_else(|| text(payload, "/action_ts"));
    Event {
        id: Some(id),
        fingerprint: Some(payload.to_string()),
        occurred_at_ms: when.and_then(millis),
        actor: Some(user.to_owned()),
        intent: Some(intent.chars().take(255).collect()),
        session,
        binding_keys,
        input: vec![InputPart::text(said)],
        reply_route: (kind != "view_closed").then(|| json::text(&route)),
        metadata: content::metadata(&json!({ "interaction": payload })),
        ..Event::new(kind)
    }
}

/// A trigger is used once. What has none is named by all that it says.
fn id(payload: &Map<String, Value>) -> String {
    let name = match payload.get("trigger_id").and_then(Value::as_str) {
        Some(trigger) if !trigger.is_empty() => digest::hex(trigger.as_bytes()),
        _ => digest::hex(json::text(payload).as_bytes()),
    };
    format!("interaction:{name}")
}

fn origin(payload: &Value, place: &Place, channel: Option<&str>) -> Origin {
    Origin {
        app: text(payload, "/api_app_id").map(str::to_owned),
        enterprise: place.enterprise.clone(),
        team: place.team.clone(),
        channel: channel.map(str::to_owned),
        installations: Vec::new(),
    }
}

/// Each action on a line, and the first one's name.
fn actions(payload: &Value) -> (String, String) {
    let actions = payload["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |action: &Value| action["action_id"].as_str().unwrap_or_default().to_owned();
    let lines: Vec<_> = actions.iter().map(|action| line(&named(action), action)).collect();
    (lines.join("\n"), actions.first().map(named).unwrap_or_default())
}

fn called(payload: &Value, pointer: &str, said: Option<&str>) -> (String, String) {
    let name = text(payload, pointer).unwrap_or_default();
    let said = said.filter(|said| !said.is_empty()).map(|said| format!("\n{said}")).unwrap_or_default();
    (format!("{name}{said}"), name.to_owned())
}

/// What was filled into a dialogue, a field on each line.
fn filled(payload: &Value) -> String {
    let blocks = payload.pointer("/view/state/values").and_then(Value::as_object);
    let fields = blocks.into_iter().flat_map(Map::values).filter_map(Value::as_object).flatten();
    fields.map(|(name, field)| line(name, field)).collect::<Vec<_>>().join("\n")
}

fn line(name: &str, element: &Value) -> String {
    let value = chosen(element);
    if value.is_empty() { name.to_owned() } else { format!("{name}: {value}") }
}

/// What was chosen in an element, whichever it is.
fn chosen(element: &Value) -> String {
    const PLAIN: [&str; 8] = [
        "value",
        "selected_user",
        "selected_channel",
        "selected_conversation",
        "selected_date",
        "selected_time",
        "selected_date_time",
        "rich_text_value",
    ];
    const LISTS: [&str; 4] = ["selected_options", "selected_users", "selected_channels", "selected_conversations"];
    if let Some(option) = text(element, "/selected_option/value") {
        return option.to_owned();
    }
    for name in LISTS {
        if let Some(list) = element[name].as_array() {
            let values = list.iter().map(|one| one.as_str().or_else(|| one["value"].as_str()).unwrap_or_default());
            return values.collect::<Vec<_>>().join(", ");
        }
    }
    let found = PLAIN.iter().map(|name| &element[*name]).find(|value| !value.is_null());
    match found {
        Some(Value::String(value)) => value.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}
