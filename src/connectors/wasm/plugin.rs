//! A component behind the [`Plugin`] trait.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use wasmtime::component::{Component, InstancePre};

use super::{
    WasmEngine,
    bindings::exports::kheish::connector::{
        activation, attachments, delivery, describe, ingress, polling, presence, reconciliation,
    },
    call::{State, Way},
    convert,
    load::LoadError,
};
use crate::{
    connectors::{
        Activated, Answer, Context, Fault, Plugin, Request,
        manifest::Manifest,
        outgoing::{Attempt, Failure, Outgoing, Search},
        pulled::Pulled,
    },
    model::event::RemoteFile,
};

/// One loaded plugin: compiled, linked, and its exports found, so that a call does none of that.
pub struct WasmPlugin {
    host: Arc<WasmEngine>,
    linked: InstancePre<State>,
    describe: describe::GuestIndices,
    ingress: ingress::GuestIndices,
    delivery: Option<delivery::GuestIndices>,
    reconciliation: Option<reconciliation::GuestIndices>,
    polling: Option<polling::GuestIndices>,
    activation: Option<activation::GuestIndices>,
    attachments: Option<attachments::GuestIndices>,
    presence: Option<presence::GuestIndices>,
    manifest: Manifest,
    digest: String,
}

impl WasmPlugin {
    /// Links a component and asks it what it is, in an instance that can do nothing else.
    pub(super) async fn link(
        host: &Arc<WasmEngine>,
        component: &Component,
        exported: &[String],
        digest: String,
    ) -> Result<Arc<Self>, LoadError> {
        let broken = |error: wasmtime::Error| LoadError::Invalid(format!("{error:#}"));
        let linked = host.linker.instantiate_pre(component).map_err(broken)?;
        let describe = describe::GuestIndices::new(&linked).map_err(broken)?;
        let ingress = ingress::GuestIndices::new(&linked).map_err(broken)?;
        let exports = |wanted: &str| exported.iter().any(|name| name == wanted);
        let delivers = exports("delivery");
        let delivery = delivers.then(|| delivery::GuestIndices::new(&linked)).transpose().map_err(broken)?;
        let reconciles = delivers && exports("reconciliation");
        let reconciliation = reconciles.then(|| reconciliation::GuestIndices::new(&linked)).transpose();
        let reconciliation = reconciliation.map_err(broken)?;
        let polling = exports("polling").then(|| polling::GuestIndices::new(&linked)).transpose().map_err(broken)?;
        let activation = exports("activation").then(|| activation::GuestIndices::new(&linked)).transpose();
        let activation = activation.map_err(broken)?;
        let attachments = exports("attachments").then(|| attachments::GuestIndices::new(&linked)).transpose();
        let attachments = attachments.map_err(broken)?;
        let shows = delivers && exports("presence");
        let presence = shows.then(|| presence::GuestIndices::new(&linked)).transpose().map_err(broken)?;
        let text = host.call(&linked, None, host.settings.describe_deadline_ms, async |store, instance| {
            describe.load(&mut *store, instance)?.call_manifest(&mut *store).await
        });
        let (text, _) = text.await.map_err(LoadError::Describe)?;
        let manifest = Manifest::parse(&text)?;
        Ok(Arc::new(Self {
            host: Arc::clone(host),
            linked,
            describe,
            ingress,
            delivery,
            reconciliation,
            polling,
            activation,
            attachments,
            presence,
            manifest,
            digest,
        }))
    }

    fn activation(&self) -> Result<&activation::GuestIndices, Fault> {
        self.activation.as_ref().ok_or_else(|| Fault::Contract("it does not export `activation`".to_owned()))
    }

    fn delivery(&self) -> Result<&delivery::GuestIndices, Fault> {
        self.delivery.as_ref().ok_or_else(|| Fault::Contract("it does not export `delivery`".to_owned()))
    }
}

#[async_trait]
impl Plugin for WasmPlugin {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    async fn check_settings(&self, settings: &Value, configured: &[String]) -> Result<Vec<String>, Fault> {
        let text = settings.to_string();
        let deadline_ms = self.host.settings.describe_deadline_ms;
        let checked = self.host.call(&self.linked, None, deadline_ms, async |store, instance| {
            self.describe.load(&mut *store, instance)?.call_check_settings(&mut *store, &text, configured).await
        });
        Ok(checked.await?.0)
    }

    async fn receive(&self, context: Arc<Context>, request: Request) -> Result<Answer, Fault> {
        let _place = self.host.admit(&context, Way::In).await?;
        let request = convert::request(request);
        let deadline_ms = self.host.settings.ingress_deadline_ms;
        let called = self.host.call(&self.linked, Some(Arc::clone(&context)), deadline_ms, async |store, instance| {
            self.ingress.load(&mut *store, instance)?.call_handle(&mut *store, &request).await
        });
        let (outcome, state) = called.await?;
        convert::answer(&self.manifest.kind, outcome, state.effects.into_inner())
    }

    fn delivers(&self) -> bool {
        self.delivery.is_some()
    }

    async fn check_route(&self, context: Arc<Context>, route: &str) -> Result<Result<String, String>, Fault> {
        let delivery = self.delivery()?;
        let _place = self.host.admit(&context, Way::In).await?;
        let route = route.to_owned();
        let deadline_ms = self.host.settings.ingress_deadline_ms;
        let called = self.host.call(&self.linked, Some(Arc::clone(&context)), deadline_ms, async |store, instance| {
            delivery.load(&mut *store, instance)?.call_check_route(&mut *store, &route).await
        });
        Ok(convert::checked_route(called.await?.0))
    }

    fn fetches(&self) -> bool {
        self.attachments.is_some()
    }

    async fn download(&self, context: Arc<Context>, file: RemoteFile) -> Result<Result<String, Failure>, Fault> {
        let exported = self.attachments.as_ref();
        let attachments = exported.ok_or_else(|| Fault::Contract("it does not export `attachments`".to_owned()))?;
        let file = convert::remote_file(file);
        let deadline_ms = self.host.settings.download_deadline_ms;
        let called = self.host.call_out(&self.linked, context, deadline_ms, async |store, instance| {
            attachments.load(&mut *store, instance)?.call_download(&mut *store, &file).await
        });
        match called.await.0? {
            Ok(asset) => Ok(Ok(asset)),
            Err(failed) => convert::failure(failed).map(Err),
        }
    }

    async fn deliver(&self, context: Arc<Context>, outgoing: Outgoing) -> Result<Attempt, Fault> {
        let delivery = self.delivery()?;
        let _place = self.host.admit(&context, Way::Out).await?;
        let outgoing = convert::outgoing(outgoing);
        let deadline_ms = self.host.settings.delivery_deadline_ms;
        let called = self.host.call_out(&self.linked, Arc::clone(&context), deadline_ms, async |store, instance| {
            delivery.load(&mut *store, instance)?.call_deliver(&mut *store, &outgoing).await
        });
        let (outcome, state) = called.await;
        let halfway = state.has_sent();
        let attempt = outcome.and_then(|outcome| convert::attempt(outcome, state.effects.into_inner()));
        attempt.map_err(|fault| if halfway { Fault::Halfway(Box::new(fault)) } else { fault })
    }

    fn reconciles(&self) -> bool {
        self.reconciliation.is_some()
    }

    async fn find(&self, context: Arc<Context>, outgoing: Outgoing) -> Result<Search, Fault> {
        let missing = || Fault::Contract("it does not export `reconciliation`".to_owned());
        let reconciliation = self.reconciliation.as_ref().ok_or_else(missing)?;
        let _place = self.host.admit(&context, Way::Out).await?;
        let outgoing = convert::outgoing(outgoing);
        let deadline_ms = self.host.settings.delivery_deadline_ms;
        let called = self.host.call_out(&self.linked, Arc::clone(&context), deadline_ms, async |store, instance| {
            reconciliation.load(&mut *store, instance)?.call_find(&mut *store, &outgoing).await
        });
        // Looking changes nothing: a call that ended halfway is simply repeated.
        let (outcome, state) = called.await;
        outcome.and_then(|outcome| convert::search(outcome, state.effects.into_inner()))
    }

    fn polls(&self) -> bool {
        self.polling.is_some()
    }

    async fn poll(&self, context: Arc<Context>, cursor: Option<String>) -> Result<Pulled, Fault> {
        let polling =
            self.polling.as_ref().ok_or_else(|| Fault::Contract("it does not export `polling`".to_owned()))?;
        // Others wait for as long as it takes: a poll has nobody waiting behind it.
        let _place = self.host.polls.acquire().await.map_err(|_| Fault::Overloaded)?;
        let called = self.host.call_poll(&self.linked, context, async |store, instance| {
            polling.load(&mut *store, instance)?.call_poll(&mut *store, cursor.as_ref()).await
        });
        let (outcome, state) = called.await;
        convert::pulled(&self.manifest.kind, outcome?, state.effects.into_inner())
    }

    fn activates(&self) -> bool {
        self.activation.is_some()
    }

    async fn activate(&self, context: Arc<Context>, public_url: Option<String>) -> Result<Activated, Fault> {
        let activation = self.activation()?;
        let _place = self.host.admit(&context, Way::Out).await?;
        let deadline_ms = self.host.settings.delivery_deadline_ms;
        let called = self.host.call_out(&self.linked, Arc::clone(&context), deadline_ms, async |store, instance| {
            activation.load(&mut *store, instance)?.call_activate(&mut *store, public_url.as_deref()).await
        });
        let (outcome, state) = called.await;
        Ok((convert::done(outcome?)?, state.effects.into_inner()))
    }

    async fn deactivate(&self, context: Arc<Context>) -> Result<Result<(), Failure>, Fault> {
        let activation = self.activation()?;
        let _place = self.host.admit(&context, Way::Out).await?;
        let deadline_ms = self.host.settings.delivery_deadline_ms;
        let called = self.host.call_out(&self.linked, Arc::clone(&context), deadline_ms, async |store, instance| {
            activation.load(&mut *store, instance)?.call_deactivate(&mut *store).await
        });
        convert::done(called.await.0?)
    }

    fn shows_typing(&self) -> bool {
        self.presence.is_some()
    }

    async fn typing(&self, context: Arc<Context>, route: String) -> Result<Result<(), Failure>, Fault> {
        let exported = self.presence.as_ref();
        let presence = exported.ok_or_else(|| Fault::Contract("it does not export `presence`".to_owned()))?;
        let _place = self.host.signs.try_acquire().map_err(|_| Fault::Overloaded)?;
        let called = self.host.call_aside(&self.linked, context, async |store, instance| {
            presence.load(&mut *store, instance)?.call_typing(&mut *store, &route).await
        });
        convert::done(called.await.0?)
    }
}
