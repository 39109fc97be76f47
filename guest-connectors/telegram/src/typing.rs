//! The sign that an answer is on its way. Telegram shows it for five seconds, or until a message comes.

use kheish_guest::{Failure, http::Client};

use crate::{
    api::{Api, Params, Trouble},
    deliver::whereabouts,
    memory::Memory,
    route::Route,
};

/// How long Telegram shows it, in milliseconds.
pub(crate) const LASTS_MS: u64 = 5_000;

/// Shows it once.
pub(crate) fn typing<C: Client>(api: &Api<'_, C>, memory: &dyn Memory, route: &Route) -> Result<(), Failure> {
    let chat = whereabouts(api.settings, memory, route)?;
    let params = Params::default()
        .with("chat_id", chat)
        .with_some("message_thread_id", route.message_thread_id)
        .with("action", "typing");
    api.call::<bool>("sendChatAction", &params).map(drop).map_err(Trouble::harmless)
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Body, Response, Script},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::{memory::Notes, settings::Settings};

    fn shown(settings: Value, status: u16, answer: Value) -> (Result<(), Failure>, Vec<Value>) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let route: Route =
            serde_json::from_value(json!({"chat_id": -7, "message_thread_id": 3, "reply_to_message_id": 4})).unwrap();
        let script = Script::new([Ok(Response::new(status, answer.to_string()))]);
        let notes = Notes::default();
        notes.set("moved:-7", "-1007");
        let done = typing(&Api { client: &script, settings: &settings }, &notes, &route);
        let bodies = script.requests().into_iter().map(|request| match request.body {
            Body::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap(),
            _ => panic!("no body"),
        });
        (done, bodies.collect())
    }

    #[test]
    fn it_is_shown_where_the_answer_will_be() {
        let (done, bodies) = shown(json!({}), 200, json!({"ok": true, "result": true}));
        assert_eq!(bodies, [json!({"chat_id": -1_007, "message_thread_id": 3, "action": "typing"})]);
        assert!(done.is_ok());
    }

    #[test]
    fn a_chat_that_is_closed_gets_none() {
        let (done, bodies) = shown(json!({"allowed_chat_ids": [5]}), 200, json!({"ok": true, "result": true}));
        assert_eq!((done.unwrap_err().kind, bodies.len()), (FailureKind::Terminal, 0));
        let no = json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"});
        assert_eq!(shown(json!({}), 403, no).0.unwrap_err().kind, FailureKind::Terminal);
        assert_eq!(shown(json!({}), 502, json!({})).0.unwrap_err().kind, FailureKind::Retryable);
    }
}
