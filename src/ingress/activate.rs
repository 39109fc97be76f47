//! Connectors that register themselves at their platforms: when they begin to serve or change, and now and then, because
//! somebody else may have changed what the platform has on record. Who is deleted withdraws.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    accept::Accept,
    http::Ingress,
    poll::{backoff, pause},
    routes::Route,
};
use crate::{
    config::activation::ActivationSettings,
    connectors::{
        Effect, Fault,
        outgoing::{Failure, FailureKind},
    },
    model::ids::ConnectorId,
};

/// A connector that is kept registered.
struct Kept {
    route: Arc<Route>,
    stop: CancellationToken,
}

/// Keeps connectors registered, until `stop`. They stay registered when the daemon ends.
pub async fn run(ingress: Ingress, settings: ActivationSettings, stop: CancellationToken) {
    let settings = Arc::new(settings);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut kept: HashMap<ConnectorId, Kept> = HashMap::new();
    loop {
        let changed = ingress.routes.changed();
        let wanted = ingress.routes.activating();
        kept.retain(|id, one| {
            let stays = wanted.iter().any(|route| Arc::ptr_eq(route, &one.route));
            if !stays {
                one.stop.cancel();
                if ingress.routes.find(id).is_none() {
                    tasks.spawn(withdraw(Arc::clone(&one.route)));
                }
            }
            stays
        });
        for route in wanted {
            if let Entry::Vacant(free) = kept.entry(route.rules.connector.clone()) {
                let stop = CancellationToken::new();
                tasks.spawn(keep(ingress.clone(), Arc::clone(&route), Arc::clone(&settings), stop.clone()));
                free.insert(Kept { route, stop });
            }
        }
        tokio::select! {
            () = changed => {}
            Some(_) = tasks.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    kept.values().for_each(|one| one.stop.cancel());
    while tasks.join_next().await.is_some() {}
}

async fn keep(ingress: Ingress, route: Arc<Route>, settings: Arc<ActivationSettings>, stop: CancellationToken) {
    let id = &route.rules.connector;
    let url = settings.public_url.as_ref().map(|base| format!("{}/v1/connectors/{id}", base.trim_end_matches('/')));
    loop {
        let called = tokio::select! {
            called = route.plugin.activate(Arc::clone(&route.context), url.clone()) => called,
            () = stop.cancelled() => return,
        };
        let wait = match called {
            Ok((Ok(()), effects)) => {
                write(&ingress, &route, effects).await;
                if route.activation.answer(ingress.clock.now_ms()) {
                    tracing::info!(connector = %id, "{id} is registered at its platform again");
                }
                Duration::from_millis(settings.interval_ms)
            }
            Ok((Err(failure), _)) => refused(&route, &settings, &failure),
            Err(fault) => failed(&route, &settings, "connector_failed", &fault.to_string()),
        };
        if !pause(wait, &stop).await {
            return;
        }
    }
}

/// What is remembered of it is a help: a call that is made again comes to the same.
async fn write(ingress: &Ingress, route: &Route, effects: Vec<Effect>) {
    if effects.is_empty() {
        return;
    }
    let source = route.rules.connector.to_string();
    let now_ms = ingress.clock.now_ms();
    let written = ingress.store.write(Accept { source, entries: Vec::new(), effects, rate: None, now_ms }).await;
    if let Err(error) = written {
        tracing::warn!(%error, "what a connector's registration is to be remembered by was not stored: {error}");
    }
}

fn refused(route: &Route, settings: &ActivationSettings, failure: &Failure) -> Duration {
    let wait = failed(route, settings, &failure.code, &failure.reason);
    let asked = Duration::from_millis(failure.asked_ms().unwrap_or(0).unsigned_abs());
    match failure.kind {
        FailureKind::Retryable | FailureKind::Unknown => wait.max(asked),
        FailureKind::Unauthorized | FailureKind::Terminal => Duration::from_millis(settings.interval_ms).max(asked),
    }
}

fn failed(route: &Route, settings: &ActivationSettings, code: &str, reason: &str) -> Duration {
    let id = &route.rules.connector;
    let (failures, news) = route.activation.fail(code, reason);
    if news {
        tracing::warn!(connector = %id, code, reason, "{id} cannot be registered at its platform: {reason}");
    }
    Duration::from_millis(backoff((settings.retry_ms, settings.interval_ms), failures))
}

async fn withdraw(route: Arc<Route>) {
    let id = &route.rules.connector;
    let called: Result<Result<(), Failure>, Fault> = route.plugin.deactivate(Arc::clone(&route.context)).await;
    let reason = match called {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure.reason,
        Err(fault) => fault.to_string(),
    };
    tracing::warn!(connector = %id, reason, "{id} is deleted and was not withdrawn at its platform: {reason}");
}
