//! Slack, kind `slack` (contract sections 2.4, 3.3 and 6.6).
//!
//! The host has verified the signature by the recipe of `manifest`. What Slack sends comes in three forms (`ingress`): events,
//! slash commands and interactivity payloads. Each is checked against the operator's allow-lists (`access`), finds its
//! conversation (`conversation`), and becomes one event with the way back to where it came from (`route`).
//!
//! On the way out (`deliver`) texts become Slack's markup (`mrkdwn`) and are posted, files go up in steps, and what nobody knows
//! of is looked for; `status` shows that an answer is on its way. `api` says what Slack's errors mean.

use kheish_guest::{
    Answer, Attachments, Connector, Context, Delivery, Failure, Finding, HttpRequest, Ingress, Manifest, Outgoing,
    Presence, Receipt, Reconciliation, Refusal, RemoteFile, export_attachments, export_delivery, export_ingress,
    export_presence, export_reconciliation, http,
};

mod access;
mod api;
mod attachments;
mod conversation;
mod deliver;
mod digest;
mod ingress;
mod manifest;
mod mrkdwn;
mod route;
mod seal;
mod settings;
mod state;
mod status;

use deliver::World;
use route::Route;
use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct Slack;

impl Connector for Slack {
    type Settings = Settings;

    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn check_settings(settings: &Settings, _configured: &[String]) -> Vec<String> {
        settings.check()
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

impl Delivery for Slack {
    type Route = Route;

    fn check_route(context: Context<Settings>, route: Route) -> Result<Route, String> {
        route.check(&context.settings)
    }

    fn deliver(context: Context<Settings>, outgoing: Outgoing<Route>) -> Result<Receipt, Failure> {
        deliver::deliver(&world(&context.settings), &outgoing)
    }
}

impl Reconciliation for Slack {
    fn find(context: Context<Settings>, outgoing: Outgoing<Route>) -> Result<Finding, Failure> {
        deliver::find(&world(&context.settings), &outgoing)
    }
}

impl Presence for Slack {
    fn typing(context: Context<Settings>, route: Route) -> Result<(), Failure> {
        status::show(&context.settings, &http::Host, &route)
    }
}

impl Attachments for Slack {
    fn download(context: Context<Settings>, file: RemoteFile) -> Result<String, Failure> {
        attachments::download(&context.settings, &http::Host, &file)
    }
}

fn world(settings: &Settings) -> World<'_> {
    World { settings, client: &http::Host, state: &state::Kept, key: &seal::SigningSecret }
}

export_ingress!(Slack);
export_delivery!(Slack);
export_reconciliation!(Slack);
export_presence!(Slack);
export_attachments!(Slack);
