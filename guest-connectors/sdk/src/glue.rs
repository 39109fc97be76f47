//! Between the generated bindings and the traits: panics are logged, JSON is decoded.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::{
    Activation, Attachments, Connector, Context, Delivery, Failure, Finding, HttpRequest, Ingress, Outgoing, Polling,
    Presence, Receipt, Reconciliation, RemoteFile,
    bindings::{
        activation::exports::kheish::connector::activation,
        attachments::exports::kheish::connector::attachments,
        delivery::exports::kheish::connector::delivery,
        imports::kheish::connector::{config, types},
        ingress::exports::kheish::connector::{describe, ingress},
        polling::exports::kheish::connector::polling,
        presence::exports::kheish::connector::presence,
        reconciliation::exports::kheish::connector::reconciliation,
    },
    json, log,
};

/// A connector as the component's exports. Named by the export macros only.
#[derive(Debug)]
pub struct Exported<C>(PhantomData<C>);

impl<C: Connector> describe::Guest for Exported<C> {
    fn manifest() -> String {
        log::panics();
        C::manifest().to_json()
    }

    fn check_settings(settings: String, configured: Vec<String>) -> Vec<String> {
        log::panics();
        match decode(&settings) {
            Ok(settings) => C::check_settings(&settings, &configured),
            Err(problem) => vec![problem],
        }
    }
}

impl<C: Ingress> ingress::Guest for Exported<C> {
    fn handle(request: HttpRequest) -> ingress::Outcome {
        log::panics();
        match C::handle(context(), request) {
            Ok(answer) => answer.into(),
            Err(refusal) => ingress::Outcome::Refuse(refusal),
        }
    }
}

impl<C: Delivery> delivery::Guest for Exported<C> {
    fn deliver(outgoing: types::Outgoing) -> Result<Receipt, Failure> {
        log::panics();
        C::deliver(context(), with_route(outgoing)?)
    }

    fn check_route(route: String) -> Result<String, String> {
        log::panics();
        C::check_route(context(), decode_route(&route)?).map(|route| json::text(&route))
    }
}

impl<C: Reconciliation> reconciliation::Guest for Exported<C> {
    fn find(outgoing: types::Outgoing) -> Result<Finding, Failure> {
        log::panics();
        C::find(context(), with_route(outgoing)?)
    }
}

impl<C: Presence> presence::Guest for Exported<C> {
    fn typing(route: String) -> Result<(), Failure> {
        log::panics();
        C::typing(context(), known_route(&route)?)
    }
}

/// Decodes a route that passed an earlier version's check: nobody can mend it by trying again.
fn known_route<R: DeserializeOwned>(route: &str) -> Result<R, Failure> {
    decode_route(route).map_err(|problem| Failure::terminal("route_unreadable", problem))
}

fn with_route<R: DeserializeOwned>(outgoing: types::Outgoing) -> Result<Outgoing<R>, Failure> {
    let route = known_route(&outgoing.route)?;
    Ok(Outgoing {
        delivery_id: outgoing.delivery_id,
        attempt: outgoing.attempt,
        route,
        parts: outgoing.parts,
        first_part: outgoing.first_part,
        part_count: outgoing.part_count,
        sent: outgoing.sent,
        idempotency_key: outgoing.idempotency_key,
        metadata: outgoing.metadata,
    })
}

impl<C: Attachments> attachments::Guest for Exported<C> {
    fn download(file: RemoteFile) -> Result<String, Failure> {
        log::panics();
        C::download(context(), file)
    }
}

impl<C: Polling> polling::Guest for Exported<C> {
    fn poll(cursor: Option<String>) -> Result<polling::Batch, Failure> {
        log::panics();
        let cursor = match cursor.as_deref().map(serde_json::from_str) {
            Some(Err(error)) => {
                let reason = format!("The stored cursor cannot be read: {error}.");
                return Err(Failure::terminal("cursor_unreadable", reason));
            }
            Some(Ok(cursor)) => Some(cursor),
            None => None,
        };
        let batch = C::poll(context(), cursor)?;
        let cursor = batch.cursor.map(|cursor| json::text(&cursor));
        Ok(polling::Batch { events: batch.events, cursor, next_poll_after_ms: batch.next_poll_after_ms })
    }
}

impl<C: Activation> activation::Guest for Exported<C> {
    fn activate(public_url: Option<String>) -> Result<(), Failure> {
        log::panics();
        C::activate(context(), public_url)
    }

    fn deactivate() -> Result<(), Failure> {
        log::panics();
        C::deactivate(context())
    }
}

/// The connector's settings as the host keeps them, as JSON text. [`Context::settings`] has them decoded.
pub fn settings_text() -> String {
    config::settings()
}

/// Panics when the settings cannot be decoded: they passed `check-settings`, so the caller has no part in it.
fn context<S: DeserializeOwned>() -> Context<S> {
    match decode(&config::settings()) {
        Ok(settings) => Context { name: config::name(), settings },
        Err(problem) => panic!("{problem}"),
    }
}

fn decode<S: DeserializeOwned>(settings: &str) -> Result<S, String> {
    serde_json::from_str(settings).map_err(|error| format!("The settings cannot be read: {error}."))
}

fn decode_route<R: DeserializeOwned>(route: &str) -> Result<R, String> {
    serde_json::from_str(route).map_err(|error| format!("The route cannot be read: {error}."))
}
