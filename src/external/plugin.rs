//! The kind `external`, as the host calls it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{External, route, settings};
use crate::{
    connectors::{
        Answer, Claim, Context, Defined, Fault, Obeyed, Plugin, Refusal, Request, StoredSecret,
        health::{Absence, Health, ProcessState},
        manifest::Manifest,
        outbound::WrongSetting,
        outgoing::{Attempt, Outgoing},
    },
    model::ids::ConnectorId,
};

#[async_trait]
impl Plugin for External {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> &str {
        "native"
    }

    async fn check_settings(&self, _settings: &Value, _configured: &[String]) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    fn check_definition(&self, defined: &Defined<'_>) -> Vec<WrongSetting> {
        settings::broken_rules(defined)
    }

    fn kept_settings(&self) -> &[&str] {
        &["platform"]
    }

    fn redact(&self, fields: &mut Map<String, Value>) {
        settings::redact(fields);
    }

    fn events_path(&self) -> &str {
        "/events"
    }

    /// A program that runs takes nobody for itself but itself.
    fn fill_sample(&self, connector: &ConnectorId, sample: &mut Value) {
        let manifest = self.fleet.find(connector).and_then(|watch| watch.manifest(Duration::MAX));
        if let (Some(manifest), Some(sample)) = (manifest, sample.as_object_mut()) {
            sample.insert("instance_id".to_owned(), manifest.instance_id.into());
        }
    }

    fn health(&self, connector: &ConnectorId) -> Option<Health> {
        self.fleet.find(connector).map(|watch| watch.health())
    }

    fn stored_secrets(&self, settings: &Map<String, Value>) -> Vec<StoredSecret> {
        settings::stored_secrets(settings)
    }

    fn claim(&self, settings: &Map<String, Value>) -> Option<Claim> {
        settings::claim(settings)
    }

    fn restart(&self, connector: &ConnectorId) -> Obeyed {
        let Some(watch) = self.fleet.find(connector) else { return Obeyed::NoProgram };
        match watch.health().process.map(|process| process.state) {
            None => return Obeyed::NoProgram,
            Some(ProcessState::Elsewhere) => return Obeyed::RunsElsewhere,
            Some(_) => watch.order_restart(),
        }
        Obeyed::Yes
    }

    /// Events have routes of their own, which answer in the words of the protocol.
    async fn receive(&self, context: Arc<Context>, _request: Request) -> Result<Answer, Fault> {
        let reason = format!("send events to /v1/connectors/{}/events, or many to …/events/batch", context.connector);
        Ok(Answer::Refuse(Refusal { status: 404, code: "route_not_found".to_owned(), reason }))
    }

    fn delivers(&self) -> bool {
        true
    }

    fn absence(&self, context: &Context) -> Option<Absence> {
        self.fleet.absence(context, self.interval())
    }

    async fn check_route(&self, _context: Arc<Context>, written: &str) -> Result<Result<String, String>, Fault> {
        Ok(route::parse(written).map(|route| route::written(&route)))
    }

    async fn deliver(&self, context: Arc<Context>, outgoing: Outgoing) -> Result<Attempt, Fault> {
        self.send(&context, &outgoing).await
    }
}
