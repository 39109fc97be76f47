//! Frames of a stream: an id where there is one, a name, and one JSON object on one line.

use axum::http::HeaderName;
use serde_json::{Value, json};

use crate::store::events::{EventFilter, StoredEvent};

/// Tells proxies to pass frames on at once.
pub(super) const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Adds an event. What is stored of it is JSON already, and stays as it is.
pub(super) fn event(text: &mut String, event: &StoredEvent) {
    let StoredEvent { id, at_ms, name, .. } = event;
    let mut data = format!("{{\"type\":\"{name}\",\"at_ms\":{at_ms}");
    if let Some(session) = &event.session {
        data.push_str(&format!(",\"session_id\":{}", Value::from(session.as_str())));
    }
    if let Some(run) = &event.run {
        data.push_str(&format!(",\"run_id\":\"{run}\""));
    }
    let rest = event.data.strip_prefix('{').unwrap_or("}");
    if rest != "}" {
        data.push(',');
    }
    data.push_str(rest);
    add(text, Some(*id), name, &data);
}

/// Says that the stream is alive.
pub(super) fn heartbeat(now_ms: i64) -> String {
    let mut text = String::new();
    add(&mut text, None, "heartbeat", &json!({ "type": "heartbeat", "at_ms": now_ms }).to_string());
    text
}

/// Events that a reader missed, because they were dropped before it read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// How many, as far as it is known.
    skipped: i64,
    /// Whether that can be wrong: ids of different starts do not tell how many were between them.
    guessed: bool,
    /// The cursor behind the gap.
    pub(super) resume_after: i64,
}

impl Gap {
    /// What lies between a cursor and the oldest event that is kept. From the beginning, 0, there is no gap.
    pub(super) fn between(cursor: i64, oldest: Option<i64>) -> Option<Self> {
        let oldest = oldest.filter(|oldest| cursor > 0 && *oldest > cursor + 1)?;
        let guessed = oldest >> 32 != cursor >> 32;
        let skipped = if guessed { (oldest & i64::from(u32::MAX)).max(1) } else { oldest - cursor - 1 };
        Some(Self { skipped, guessed, resume_after: oldest - 1 })
    }

    /// Adds the frame. `live` tells a reader that was too slow from one that came back too late.
    pub(super) fn frame(self, text: &mut String, filter: &EventFilter, live: bool) {
        let scope = match filter {
            EventFilter { run: Some(_), .. } => "run",
            EventFilter { session: Some(_), .. } => "session",
            EventFilter { .. } => "global",
        };
        let data = json!({
            "type": "stream_gap",
            "skipped": self.skipped,
            // Of a session or a run nobody knows how many of the dropped events were its own.
            "skipped_is_estimate": self.guessed || scope != "global",
            "resume_after_id": self.resume_after.to_string(),
            "reason": if live { "live_lag" } else { "replay_window" },
            "scope": scope,
        });
        add(text, Some(self.resume_after), "stream_gap", &data.to_string());
    }
}

fn add(text: &mut String, id: Option<i64>, name: &str, data: &str) {
    if let Some(id) = id {
        text.push_str(&format!("id: {id}\n"));
    }
    text.push_str(&format!("event: {name}\ndata: {data}\n\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let mut text = String::new();
        let (session, data) = (Some("a\"b".to_owned()), r#"{"content":"x\ny"}"#.to_owned());
        let mut told = StoredEvent { id: 7, at_ms: 5, name: "output".to_owned(), session, run: None, data };
        event(&mut text, &told);
        let expected = r#"data: {"type":"output","at_ms":5,"session_id":"a\"b","content":"x\ny"}"#;
        assert_eq!(text, format!("id: 7\nevent: output\n{expected}\n\n"));
        told.data = "{}".to_owned();
        told.session = None;
        text.clear();
        event(&mut text, &told);
        assert_eq!(text, "id: 7\nevent: output\ndata: {\"type\":\"output\",\"at_ms\":5}\n\n");
    }

    #[test]
    fn a_gap_is_what_was_dropped_behind_the_cursor() {
        let epoch = 1_700_000_000_i64 << 32;
        let gap = |cursor, oldest| Gap::between(cursor, Some(oldest));
        assert_eq!(gap(epoch + 5, epoch + 5), None);
        assert_eq!(gap(epoch + 5, epoch + 6), None, "the next one is there");
        assert_eq!(gap(epoch + 5, epoch + 2), None);
        assert_eq!(gap(0, epoch + 9), None);
        assert_eq!(gap(epoch + 5, epoch + 9), Some(Gap { skipped: 3, guessed: false, resume_after: epoch + 8 }));
        let later = (1_700_000_100 << 32) + 40;
        assert_eq!(gap(epoch + 5, later), Some(Gap { skipped: 40, guessed: true, resume_after: later - 1 }));
    }
}
