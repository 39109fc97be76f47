//! The sign that an answer is on its way. Slack has one in the threads of assistants, which are direct messages with the app: a
//! status, which goes with the next message there, or after two minutes.

use kheish_guest::{Failure, http::Client};
use serde_json::json;

use crate::{
    api::{Api, Effect},
    route::Route,
    settings::Settings,
};

/// When it is shown again, and a little more, in milliseconds.
pub(crate) const LASTS_MS: u64 = 60_000;

/// Shows it once, where the operator gave one and the place has it.
pub(crate) fn show(settings: &Settings, client: &dyn Client, route: &Route) -> Result<(), Failure> {
    let thread = route.thread_ts.as_ref().filter(|_| route.channel_id.starts_with('D') && route.user_id.is_none());
    let (Some(status), Some(thread)) = (&settings.assistant_status, thread) else {
        return Err(Failure::terminal("no_sign", "Slack shows a status in the threads of assistants only."));
    };
    let api = Api { settings, client, slot: settings.slot(route.team_id.as_deref()) };
    let body = json!({"channel_id": route.channel_id, "thread_ts": thread, "status": status});
    api.post("assistant.threads.setStatus", &body, Effect::Harmless)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use kheish_guest::{
        FailureKind,
        http::{Body, Response, Script},
    };
    use serde_json::Value;

    use super::*;

    fn shown(settings: Value, route: Value) -> (Result<(), Failure>, Vec<Value>) {
        let script = Script::new([Ok(Response::new(200, r#"{"ok":true}"#))]);
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let done = show(&settings, &script, &serde_json::from_value(route).unwrap());
        let bodies = script.requests().into_iter().map(|request| match request.body {
            Body::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap(),
            _ => panic!("no body"),
        });
        (done, bodies.collect())
    }

    #[test]
    fn only_threads_of_assistants_have_one() {
        let settings = || json!({"assistant_status": "is thinking…"});
        let (done, bodies) = shown(settings(), json!({"channel_id": "D1", "thread_ts": "1.2"}));
        assert!(done.is_ok());
        assert_eq!(bodies, [json!({"channel_id": "D1", "thread_ts": "1.2", "status": "is thinking…"})]);
        for (settings, route) in [
            (settings(), json!({"channel_id": "C1", "thread_ts": "1.2"})),
            (settings(), json!({"channel_id": "D1"})),
            (settings(), json!({"channel_id": "D1", "thread_ts": "1.2", "user_id": "U1"})),
            (json!({}), json!({"channel_id": "D1", "thread_ts": "1.2"})),
        ] {
            let (done, bodies) = shown(settings, route);
            assert_eq!((done.unwrap_err().kind, bodies.len()), (FailureKind::Terminal, 0));
        }
    }
}
