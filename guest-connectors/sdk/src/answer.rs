//! What a connector made of a request.

use crate::{
    Event, HttpResponse,
    bindings::ingress::exports::kheish::connector::ingress::{Acceptance, Outcome},
};

/// What a connector made of a request that it does not refuse.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Make these events durable, all or none, then answer.
    Accept {
        /// In arrival order; may be empty.
        events: Vec<Event>,
        /// Sent once every event is durable; the host's own receipt when absent.
        response: Option<HttpResponse>,
    },
    /// Nothing to do: a challenge, or a kind of update that is ignored.
    Respond(HttpResponse),
}

impl Answer {
    /// Accepts one event; the caller gets the host's receipt.
    pub fn event(event: Event) -> Self {
        Self::Accept { events: vec![event], response: None }
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accept { events, response } => Self::Accept(Acceptance { events, response }),
            Answer::Respond(response) => Self::Respond(response),
        }
    }
}
