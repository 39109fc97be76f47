//! Generic webhooks, kind `http`: a JSON event by HTTP POST (contract section 3.2).
//!
//! The host has verified the caller by the recipes of `manifest`. What remains is one decoding (`payload`), the rules
//! of the contract in their order (`rules`, `reply`, `content`), and the event.

use kheish_guest::{Answer, Connector, Context, HttpRequest, Ingress, Manifest, Refusal, export_ingress};

mod content;
mod event;
mod manifest;
mod payload;
mod reply;
mod rules;
mod settings;

use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct Http;

impl Connector for Http {
    type Settings = Settings;

    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn check_settings(settings: &Settings, configured: &[String]) -> Vec<String> {
        settings.check(configured)
    }
}

impl Ingress for Http {
    fn handle(context: Context<Settings>, request: HttpRequest) -> Result<Answer, Refusal> {
        if !request.subpath.is_empty() {
            return Err(Refusal::route_not_found(&request.subpath));
        }
        event::event(context, &request).map(Answer::event)
    }
}

export_ingress!(Http);
