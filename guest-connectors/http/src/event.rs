//! From a request to an event: the rules in the contract's order.

use kheish_guest::{Context, Event, HttpRequest, Refusal, json};

use crate::{content, payload::Payload, reply, rules, settings::Settings};

/// The event of a request, or what the caller has to change.
pub(crate) fn event(context: Context<Settings>, request: &HttpRequest) -> Result<Event, Refusal> {
    let Context { name, settings } = context;
    let payload: Payload = json::object(&request.body)?;
    if request.authenticated_by.is_none() {
        rules::open_caller(&payload)?;
    }
    rules::reply_override(&payload, &settings)?;
    let reply_targets = reply::targets(&payload)?;
    let metadata = rules::metadata(&payload)?;
    let session = rules::session(&payload)?;
    let binding_keys = rules::binding_keys(&payload, &settings)?;
    let id = rules::idempotency_key(&payload, &settings)?;
    content::check(&payload)?;
    Ok(Event {
        // Only a key needs one, and only the whole payload makes one.
        fingerprint: id.is_some().then(|| json::text(&payload)),
        id,
        actor: Some(rules::actor(&payload, &settings)?),
        session,
        binding_keys,
        reply_targets,
        metadata,
        input: content::parts(payload)?,
        ..Event::new(name)
    })
}

#[cfg(test)]
mod tests;
