//! What streams tell of: one thing that happened, said alike by every stage.
//!
//! Names and fields are part of the HTTP contract (section 1.10 and the README). No address of a reply target and no
//! secret goes in.

use serde_json::{Map, Value, json};

use super::{
    delivery::DeliveryStatus,
    ids::{DeliveryId, RunId, SessionId},
    output::Output,
    pause::Pause,
    run::{Run, RunError, RunStatus},
};

/// Characters of an output that streams carry; the run has all of it.
pub const OUTPUT_CHARS: usize = 2_000;

/// The name of what tells that a run was changed.
const RUN_UPDATED: &str = "run_updated";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What sort of thing.
    pub name: &'static str,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// The rest of what is told. Name, time, session and run stand beside it and are not repeated in it.
    pub data: Map<String, Value>,
}

impl Happening {
    /// Something that belongs to no session.
    pub fn new(name: &'static str) -> Self {
        Self { name, session: None, run: None, data: Map::new() }
    }

    /// Something within a session.
    #[must_use]
    pub fn in_session(self, session: &SessionId) -> Self {
        Self { session: Some(session.clone()), ..self }
    }

    /// Something within a run.
    #[must_use]
    pub fn in_run(self, run: RunId) -> Self {
        Self { run: Some(run), ..self }
    }

    /// The run that begins (true) or ceases to be performed by this, if one does. Who asked for its end waits for no answer.
    pub fn performed(&self) -> Option<(RunId, bool)> {
        let change = self.data.get("change").filter(|_| self.name == RUN_UPDATED)?.as_str()?;
        Some((self.run?, change))
            .filter(|(_, change)| *change != "queued")
            .map(|(run, change)| (run, change == "started"))
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.data.insert(field.to_owned(), value.into());
        self
    }

    /// Adds a field where there is something to say.
    #[must_use]
    pub fn with_some(self, field: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }
}

/// What a connector did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is a new run, which waits for its turn.
    Accepted,
    /// It was accepted before.
    Duplicate,
    /// Its key was used for another payload.
    Conflict,
    /// It was turned away, and the sender has to change something.
    Refused,
    /// It came too fast.
    Limited,
    /// The plugin or the daemon failed on it.
    Failed,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Failed => "failed",
        }
    }
}

/// `ingress`: what the connector `kind/name` did with a request.
pub fn ingress(connector: &str, verdict: Verdict) -> Happening {
    Happening::new("ingress").with("connector", connector).with("verdict", verdict.name())
}

/// What changed about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// It was made through the API. Runs that connectors make are told of by `ingress`.
    Queued,
    /// A worker took it.
    Started,
    /// It ended with so many outputs.
    Completed(i64),
    /// It ended without.
    Failed(RunError),
    /// Somebody asked for its end while a worker held it.
    CancelRequested,
    /// It was withdrawn.
    Cancelled,
    /// Its worker gave it back or is gone: it waits again.
    Requeued,
}

/// `run_updated`: a run was changed like this.
pub fn run_updated(run: &Run, change: RunChange) -> Happening {
    let (status, name) = match &change {
        RunChange::Queued => (RunStatus::Queued, "queued"),
        RunChange::Started => (RunStatus::Running, "started"),
        RunChange::Completed(_) => (RunStatus::Completed, "completed"),
        RunChange::Failed(_) => (RunStatus::Failed, "failed"),
        RunChange::CancelRequested => (RunStatus::Running, "cancel_requested"),
        RunChange::Cancelled => (RunStatus::Cancelled, "cancelled"),
        RunChange::Requeued => (RunStatus::Queued, "requeued"),
    };
    let told = of_run(RUN_UPDATED, run).with("status", json!(status)).with("change", name);
    let told = told.with("source_plugin", run.request.source_plugin.as_str());
    match change {
        RunChange::Completed(outputs) => told.with("outputs", outputs),
        RunChange::Failed(error) => told.with("error", json!(error)),
        _ => told,
    }
}

/// `output`: an attempt said something. It is delivered only when the attempt ends well.
pub fn output(run: &Run, ordinal: i64, output: &Output) -> Happening {
    let end = output.content.char_indices().nth(OUTPUT_CHARS).map(|(at, _)| at);
    of_run("output", run)
        .with("epoch", run.epoch)
        .with("ordinal", ordinal)
        .with("content", &output.content[..end.unwrap_or(output.content.len())])
        .with("truncated", end.is_some())
}

fn of_run(name: &'static str, run: &Run) -> Happening {
    Happening::new(name).in_session(&run.session).in_run(run.id).with("attempt", run.attempt)
}

/// A delivery, as far as streams tell of it.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryNow<'a> {
    /// Its id.
    pub id: DeliveryId,
    /// The run whose output it carries.
    pub run: RunId,
    /// The run's session.
    pub session: &'a SessionId,
    /// The plugin that delivers.
    pub plugin: &'a str,
    /// Where it stands now.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
}

/// `delivery_updated`: a delivery stands like this now. Callers add `next_attempt_at_ms` and `error`.
pub fn delivery_updated(now: DeliveryNow<'_>) -> Happening {
    Happening::new("delivery_updated")
        .in_session(now.session)
        .in_run(now.run)
        .with("delivery_id", now.id.to_string())
        .with("plugin", now.plugin)
        .with("status", json!(now.status))
        .with("attempts", now.attempts)
}

/// `runtime_updated`: the daemon started. The first event of each start; it reserves the range of ids.
pub fn started() -> Happening {
    Happening::new("runtime_updated").with("change", "started")
}

/// `connector_updated`: a connector `kind/name` was changed like this.
pub fn connector_updated(connector: &str, change: &str, revision: i64) -> Happening {
    Happening::new("connector_updated").with("connector", connector).with("change", change).with("revision", revision)
}

/// `connector_updated`: deliveries of a connector `kind/name` wait, because its platform has locked it out.
pub fn connector_paused(connector: &str, pause: &Pause) -> Happening {
    Happening::new("connector_updated")
        .with("connector", connector)
        .with("change", "paused")
        .with("code", pause.code.as_str())
        .with("reason", pause.reason.as_str())
        .with("next_probe_ms", pause.next_probe_ms)
}

/// `connector_updated`: deliveries of a connector `kind/name` go again, for this cause.
pub fn connector_resumed(connector: &str, cause: &str) -> Happening {
    Happening::new("connector_updated").with("connector", connector).with("change", "resumed").with("cause", cause)
}

/// `connector_updated`: the program that the daemon starts for a connector `kind/name` is in this state now.
pub fn connector_process(connector: &str, state: &str, reason: Option<&str>) -> Happening {
    let told = Happening::new("connector_updated").with("connector", connector).with("change", "process");
    told.with("state", state).with_some("reason", reason)
}

/// `connector_updated`: the other side of a connector `kind/name` fares like this now, and did not before.
pub fn connector_health(connector: &str, state: &str, reason: Option<&str>) -> Happening {
    let told = Happening::new("connector_updated").with("connector", connector).with("change", "health");
    told.with("state", state).with_some("reason", reason)
}

/// `session_updated`: a session was changed like this.
pub fn session_updated(session: &SessionId, change: &str) -> Happening {
    Happening::new("session_updated").in_session(session).with("change", change)
}

/// `secret_updated`: a secret was changed like this.
pub fn secret_updated(name: &str, change: &str) -> Happening {
    Happening::new("secret_updated").with("secret", name).with("change", change)
}
