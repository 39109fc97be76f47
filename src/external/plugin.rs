//! The kind `external`, as the host calls it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{External, route, settings};
use crate::{
    connectors::{
        Answer, Context, Defined, Fault, Plugin, Refusal, Request,
        health::Health,
        manifest::Manifest,
        outbound::WrongSetting,
        outgoing::{Attempt, Outgoing},
    },
    model::ids::ConnectorId,
};

/// What stands against a connector whose sidecar the daemon would start.
const NO_CHILDREN: &str = "this version starts no sidecars: start it yourself, and set mode = \"remote_http\"";

#[async_trait]
impl Plugin for External {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> &str {
        "native"
    }

    async fn check_settings(&self, settings: &Value, _configured: &[String]) -> Result<Vec<String>, Fault> {
        let child = settings.get("mode").is_some_and(|mode| mode == "child_process");
        Ok(if child { vec![NO_CHILDREN.to_owned()] } else { Vec::new() })
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

    fn health(&self, connector: &ConnectorId) -> Option<Health> {
        self.fleet.find(connector).map(|watch| watch.health())
    }

    /// Events have routes of their own, which answer in the words of the protocol.
    async fn receive(&self, context: Arc<Context>, _request: Request) -> Result<Answer, Fault> {
        let reason = format!("send events to /v1/connectors/{}/events, or many to …/events/batch", context.connector);
        Ok(Answer::Refuse(Refusal { status: 404, code: "route_not_found".to_owned(), reason }))
    }

    fn delivers(&self) -> bool {
        true
    }

    async fn check_route(&self, _context: Arc<Context>, written: &str) -> Result<Result<String, String>, Fault> {
        Ok(route::parse(written).map(|route| route::written(&route)))
    }

    async fn deliver(&self, context: Arc<Context>, outgoing: Outgoing) -> Result<Attempt, Fault> {
        self.send(&context, &outgoing).await
    }
}
