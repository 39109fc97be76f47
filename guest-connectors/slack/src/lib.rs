//! Slack, kind `slack` (contract sections 2.4, 3.3 and 6.6).
//!
//! The host has verified the signature by the recipe of `manifest`. What Slack sends comes in three forms (`ingress`): events,
//! slash commands and interactivity payloads. Each is checked against the operator's allow-lists (`access`), finds its
//! conversation (`conversation`), and becomes one event with the way back to where it came from (`route`).

use kheish_guest::{Answer, Connector, Context, HttpRequest, Ingress, Manifest, Refusal, export_ingress};

mod access;
mod conversation;
mod digest;
mod ingress;
mod manifest;
mod route;
mod seal;
mod settings;

use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct Slack;

impl Connector for Slack {
    type Settings = Settings;

    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn check_settings(settings: &Settings, configured: &[String]) -> Vec<String> {
        settings.check(configured)
    }
}

impl Ingress for Slack {
    fn handle(context: Context<Settings>, request: HttpRequest) -> Result<Answer, Refusal> {
        if !request.subpath.is_empty() {
            return Err(Refusal::route_not_found(&request.subpath));
        }
        ingress::handle(&context, &request, &seal::SigningSecret)
    }
}

export_ingress!(Slack);
