//! What becomes of events: prepared each by itself, handed to the writer together, counted and told of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Instrument as _, Span};

use super::{Sidecars, entry::Desk, payload::Read};
use crate::{
    config::sidecars::SidecarSettings,
    external::{
        settings::{Mode, Settings},
        watch::Watch,
    },
    ingress::{
        accept::{Accepted, Refused},
        door,
        routes::Route,
    },
    metrics::{ingress::Verdict as Counted, sidecars::Taken},
    model::{
        happening::Verdict,
        ids::{RunId, SessionId},
    },
    sessions::placement::Unplaced,
    store::StoreError,
    telemetry::trace,
    wire::problem::Problem,
};

/// The code of events that are not taken for what they are.
const REJECTED: &str = "rejected";

/// What became of one event.
#[derive(Debug)]
pub(super) enum Decided {
    /// It is a new run.
    Accepted(RunId, SessionId),
    /// It was accepted before, as this run.
    Duplicate(RunId),
    /// It is not taken, for this reason; of a former event with its id this run was made.
    Rejected(String, Option<RunId>),
    /// It came too soon.
    Limited(Refused),
    /// Something else stands against it, which an operator can mend.
    Refused(Refused),
    /// The store did not take it.
    Failed(StoreError),
}

impl From<Refused> for Decided {
    fn from(refused: Refused) -> Self {
        let reason = refused.to_string();
        match refused {
            Refused::TooFast(_) => Self::Limited(refused),
            Refused::Conflict(run) => {
                let reason = "this event_id was accepted before with other content: send a new id, or the same content";
                Self::Rejected(reason.to_owned(), Some(run))
            }
            Refused::Unplaced(Unplaced::Unresolved) => {
                let reason = "the event has neither thread.path nor routing_key, and the connector no fixed_session_id";
                Self::Rejected(reason.to_owned(), None)
            }
            Refused::UnknownAsset(_) => Self::Rejected(reason, None),
            Refused::UnknownSession(_) | Refused::Unplaced(Unplaced::Conflict { .. }) => Self::Refused(refused),
        }
    }
}

/// One connector's events on their way in.
pub(super) struct Bridge<'b> {
    sidecars: &'b Sidecars,
    route: &'b Route,
    settings: Settings,
    /// How the sidecar fares, where the daemon started it.
    watch: Option<Arc<Watch>>,
    /// The only life whose events count, where the daemon started the sidecar and knows it.
    instance: Option<String>,
}

impl<'b> Bridge<'b> {
    pub(super) fn new(sidecars: &'b Sidecars, route: &'b Route) -> Result<Self, Problem> {
        let settings: Settings = serde_json::from_str(&route.context.settings).map_err(|error| {
            tracing::error!(%error, "the settings of {} cannot be read: {error}", route.rules.connector);
            Problem::internal(door::DOMAIN)
        })?;
        let child = settings.mode == Mode::ChildProcess;
        let watch = child.then(|| sidecars.external.fleet.find(&route.rules.connector)).flatten();
        let mut bridge = Self { sidecars, route, settings, watch, instance: None };
        bridge.instance = bridge.known();
        Ok(bridge)
    }

    /// The life that the manifest says, as it was last read.
    fn known(&self) -> Option<String> {
        self.watch.as_ref()?.manifest(Duration::MAX).map(|manifest| manifest.instance_id)
    }

    /// Where an event is of another life than the known one, the program may have begun anew within itself: it is asked.
    async fn meet(&mut self, events: &[(Read, RunId)]) {
        let (Some(watch), Some(known)) = (&self.watch, &self.instance) else { return };
        let strange = |read: &Read| matches!(read, Read::Event(event, _) if event.instance_id != *known);
        if !events.iter().any(|(read, _)| strange(read)) {
            return;
        }
        let (external, context, came) = (&self.sidecars.external, &*self.route.context, Instant::now());
        watch.ask_since(came, external.who_is_it(context, watch)).await;
        self.instance = self.known();
    }

    pub(super) fn bounds(&self) -> &SidecarSettings {
        &self.sidecars.external.bounds
    }

    /// Makes what can be taken durable, in as few commits as possible. What becomes of each comes in their order.
    pub(super) async fn decide(&mut self, events: Vec<(Read, RunId)>) -> Result<Vec<Decided>, Problem> {
        self.meet(&events).await;
        let Self { sidecars: Sidecars { ingress, .. }, route, .. } = &*self;
        let open = route.verifier.is_open();
        let (rules, instance) = (&route.rules, self.instance.as_deref());
        let desk = Desk { rules, settings: &self.settings, bounds: self.bounds(), open, instance };
        let mut commands = Vec::with_capacity(events.len());
        let mut decided: Vec<Option<Decided>> = Vec::with_capacity(events.len());
        for (read, run) in events {
            let prepared = match read {
                Read::Event(event, version) => desk.prepare(*event, version, run),
                Read::Rejected(_, reason) => Err(reason),
            };
            decided.push(match prepared {
                Ok(entry) => {
                    commands.push(door::command(ingress, route, vec![entry], Vec::new()));
                    None
                }
                Err(reason) => Some(Decided::Rejected(reason, None)),
            });
        }
        if commands.is_empty() {
            return Ok(decided.into_iter().flatten().collect());
        }
        let mut outcomes = ingress.store.write_all(commands).instrument(trace::commit()).await?.into_iter();
        let ended = |outcome: Option<Result<Result<Vec<Accepted>, Refused>, StoreError>>| {
            let Some(outcome) = outcome else {
                return Decided::Failed(StoreError::Damaged("a command was not answered"));
            };
            door::give_back(route, &outcome, 1);
            match outcome.map(|taken| taken.map(|mut accepted| accepted.pop())) {
                Ok(Ok(Some(Accepted::Fresh(run, _)))) => Decided::Accepted(run.id, run.session),
                Ok(Ok(Some(Accepted::Duplicate(run)))) => Decided::Duplicate(run),
                // No event of a sidecar is part of a group.
                Ok(Ok(Some(Accepted::Joined(_)) | None)) => {
                    Decided::Failed(StoreError::Damaged("an event became no run of its own"))
                }
                Ok(Err(refused)) => refused.into(),
                Err(error) => Decided::Failed(error),
            }
        };
        Ok(decided.into_iter().map(|known| known.unwrap_or_else(|| ended(outcomes.next()))).collect())
    }

    /// Counts what became of a request's events.
    pub(super) fn note(&self, decided: &[Decided]) {
        let name = &self.route.rules.connector.name;
        let metrics = &self.sidecars.external.metrics.sidecars;
        for one in decided {
            match one {
                Decided::Accepted(..) => metrics.count_event(name, Taken::Accepted),
                Decided::Duplicate(run) => {
                    metrics.count_event(name, Taken::Duplicate);
                    self.tell_one(Verdict::Duplicate, None, Some(*run));
                }
                Decided::Rejected(reason, former) => {
                    metrics.count_event(name, Taken::Rejected);
                    tracing::info!(connector = %self.route.rules.connector, reason, "an event is rejected: {reason}");
                    let verdict = if former.is_some() { Verdict::Conflict } else { Verdict::Refused };
                    let code = if former.is_some() { door::CONFLICT } else { REJECTED };
                    self.tell_one(verdict, Some(code), *former);
                }
                Decided::Limited(_) => metrics.count_limited(name),
                Decided::Refused(_) | Decided::Failed(_) => {}
            }
        }
        if let [Decided::Duplicate(run), ..] = decided {
            Span::current().record("run_id", tracing::field::display(run));
        }
        if let Some(counted) = counted(decided) {
            self.route.counts.count(counted);
        }
    }

    /// Tells streams what an answer with 200 says of single events and no problem document does, and counts a request of
    /// which nothing was taken.
    pub(super) fn tell(&self, decided: &[Decided]) {
        let id = &self.route.rules.connector;
        if counted(decided).is_none() {
            let limited = decided.iter().any(|one| matches!(one, Decided::Limited(_)));
            let failed = decided.iter().any(|one| matches!(one, Decided::Failed(_)));
            self.route.counts.count(match decided {
                [] => Counted::Answered,
                _ if failed => Counted::Failed,
                _ if limited => Counted::RateLimited,
                _ => Counted::Refused,
            });
        }
        for one in decided {
            match one {
                Decided::Limited(refused) | Decided::Refused(refused) => {
                    self.sidecars.ingress.verdicts.note_refused(id, &door::refused(id, refused));
                }
                Decided::Failed(error) => {
                    tracing::warn!(connector = %id, %error, "an event of a batch could not be stored: {error}");
                    self.tell_one(Verdict::Failed, Some("service_unavailable"), None);
                }
                Decided::Accepted(..) | Decided::Duplicate(_) | Decided::Rejected(..) => {}
            }
        }
    }

    fn tell_one(&self, verdict: Verdict, code: Option<&str>, run: Option<RunId>) {
        self.sidecars.ingress.verdicts.note(&self.route.rules.connector, verdict, code, run);
    }
}

/// What a request counts as: the best that became of its events. None is for refusals that are counted by their problem.
fn counted(decided: &[Decided]) -> Option<Counted> {
    let any = |is: fn(&Decided) -> bool| decided.iter().any(is);
    if any(|one| matches!(one, Decided::Accepted(..))) {
        Some(Counted::Accepted)
    } else if any(|one| matches!(one, Decided::Duplicate(_))) {
        Some(Counted::Duplicate)
    } else if any(|one| matches!(one, Decided::Rejected(..))) {
        Some(Counted::Rejected)
    } else {
        None
    }
}
