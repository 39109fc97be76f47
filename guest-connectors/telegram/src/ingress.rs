//! Updates by webhook. Telegram sends again what is not taken, and keeps what follows in the same chat waiting: so everything
//! that can be read is answered with 200, also what is left alone.

use kheish_guest::{Answer, Context, HttpRequest, HttpResponse, Refusal, json};
use serde::Serialize;

use crate::{
    event::{self, Skip},
    settings::{IngressMode, Settings},
    update::{Numbered, Update, UpdateId},
};

/// What Telegram is told of an update that becomes no event.
#[derive(Serialize)]
struct Skipped {
    accepted: bool,
    skipped: bool,
    reason: Skip,
    update_id: UpdateId,
}

/// A call of the Bot API in the answer to a webhook: it stops the button's waiting sign.
#[derive(Serialize)]
struct Acknowledged<'q> {
    method: &'static str,
    callback_query_id: &'q str,
}

/// What becomes of a request.
pub(crate) fn handle(context: &Context<Settings>, request: &HttpRequest) -> Result<Answer, Refusal> {
    let Context { name, settings } = context;
    if !request.subpath.is_empty() {
        return Err(Refusal::route_not_found(&request.subpath));
    }
    if settings.ingress_mode == IngressMode::Polling {
        let reason = "The connector fetches its updates: remove the webhook, or set ingress_mode to webhook.";
        return Err(Refusal::new(409, "polling_mode", reason));
    }
    let update = match json::object::<Update>(&request.body) {
        Ok(update) => update,
        Err(refusal) => {
            let Ok(Numbered { update_id }) = serde_json::from_slice(&request.body) else { return Err(refusal) };
            return Ok(skipped(Skip::UnreadableUpdate, update_id));
        }
    };
    let event = match event::of(name, settings, &update) {
        Ok(event) => event,
        Err(reason) => return Ok(skipped(reason, update.update_id)),
    };
    let response = update.callback_query.as_ref().map(|query| {
        HttpResponse::json(200, &Acknowledged { method: "answerCallbackQuery", callback_query_id: &query.id })
    });
    Ok(Answer::Accept { events: vec![event], response })
}

fn skipped(reason: Skip, update_id: UpdateId) -> Answer {
    Answer::Respond(HttpResponse::json(200, &Skipped { accepted: true, skipped: true, reason, update_id }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn send(settings: Value, body: &str, subpath: &str) -> Result<Answer, Refusal> {
        let context = Context { name: "bot".to_owned(), settings: serde_json::from_value(settings).unwrap() };
        let request = HttpRequest {
            method: "POST".to_owned(),
            target: "/v1/connectors/telegram/bot".to_owned(),
            subpath: subpath.to_owned(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            received_at_ms: 1,
            authenticated_by: Some("secret_token".to_owned()),
        };
        handle(&context, &request)
    }

    fn answered(answer: Answer) -> Value {
        let Answer::Respond(response) = answer else { panic!("accepted") };
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.body).unwrap()
    }

    #[test]
    fn what_is_left_alone_is_answered_with_its_reason() {
        for (body, reason) in [
            (json!({"update_id": 3, "inline_query": {"id": "1"}}), "unsupported_update"),
            (json!({"update_id": 3}), "unsupported_update"),
            (json!({"update_id": 3, "message": "hello"}), "unreadable_update"),
            (json!({"update_id": 3, "message": {"message_id": 1}}), "unreadable_update"),
            (
                json!({"update_id": 3, "message": {"message_id": 1, "chat": {"id": 9, "type": "private"}, "text": "a"}}),
                "chat_not_allowed",
            ),
        ] {
            let answer = answered(send(json!({"allowed_chat_ids": [5]}), &body.to_string(), "").unwrap());
            let expected = json!({"accepted": true, "skipped": true, "reason": reason, "update_id": 3});
            assert_eq!(answer, expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_update_is_refused() {
        for body in ["", "[]", "null", "{}", "{\"update_id\":\"x\"}", "{\"update_id\":1", "{\"message\":{}}"] {
            let refusal = send(json!({}), body, "").unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (400, "invalid_payload"), "{body}");
        }
        assert_eq!(send(json!({}), "{}", "/x").unwrap_err().status, 404);
        let polling = send(json!({"ingress_mode": "polling"}), "{\"update_id\":1}", "").unwrap_err();
        assert_eq!((polling.status, polling.code.as_str()), (409, "polling_mode"));
    }

    #[test]
    fn a_button_is_acknowledged_in_the_answer() {
        let message = json!({"message_id": 4, "chat": {"id": 5, "type": "private"}, "date": 1});
        let query = json!({"id": "77", "from": {"id": 5}, "message": message, "data": "yes"});
        let Answer::Accept { events, response } =
            send(json!({}), &json!({"update_id": 9, "callback_query": query}).to_string(), "").unwrap()
        else {
            panic!("not accepted")
        };
        assert_eq!(events.len(), 1);
        let body: Value = serde_json::from_slice(&response.unwrap().body).unwrap();
        assert_eq!(body, json!({"method": "answerCallbackQuery", "callback_query_id": "77"}));
    }
}
