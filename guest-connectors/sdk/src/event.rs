//! Events.

use crate::{Event, InputPart, SessionKey};

impl Event {
    /// An event of this source that says nothing yet. Fill in the rest with the struct update syntax:
    /// `Event { id: Some(id), input: vec![InputPart::text("hello")], ..Event::new("push") }`.
    pub fn new(source_kind: impl Into<String>) -> Self {
        Self {
            id: None,
            fingerprint: None,
            occurred_at_ms: None,
            actor: None,
            source_kind: source_kind.into(),
            intent: None,
            relation: None,
            session: SessionKey::Unspecified,
            binding_keys: Vec::new(),
            input: Vec::new(),
            reply_route: None,
            reply_targets: Vec::new(),
            settle: None,
            metadata: "{}".to_owned(),
        }
    }
}

impl InputPart {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}
