//! Telegram bots, kind `telegram` (contract sections 2.5 and 3.4).
//!
//! Updates come by webhook (`ingress`) or are fetched (`poll`); `event` makes events of both alike. Answers go out through
//! the Bot API (`deliver`, and `typing` before that), their Markdown as Telegram's HTML (`markdown`). `api` is the one place that talks to it.

use kheish_guest::{
    Activation, Answer, Attachments, Batch, Connector, Context, Delivery, Failure, HttpRequest, Ingress, Manifest,
    Outgoing, Polling, Presence, Receipt, Refusal, RemoteFile, export_activation, export_attachments, export_delivery,
    export_ingress, export_polling, export_presence, http, log, secrets,
};

mod activate;
mod api;
mod deliver;
mod download;
mod event;
mod files;
mod ingress;
mod manifest;
mod markdown;
mod memory;
mod poll;
mod route;
mod settings;
mod typing;
mod update;

use activate::Done;
use api::Api;
use manifest::SECRET_TOKEN;
use memory::Kept;
use poll::Cursor;
use route::Route;
use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct Telegram;

impl Connector for Telegram {
    type Settings = Settings;

    fn manifest() -> Manifest {
        manifest::manifest()
    }

    fn check_settings(settings: &Settings, _configured: &[String]) -> Vec<String> {
        settings.check()
    }
}

impl Ingress for Telegram {
    fn handle(context: Context<Settings>, request: HttpRequest) -> Result<Answer, Refusal> {
        ingress::handle(&context, &request)
    }
}

impl Delivery for Telegram {
    type Route = Route;

    fn check_route(context: Context<Settings>, route: Route) -> Result<Route, String> {
        route.check(&context.settings)
    }

    fn deliver(context: Context<Settings>, outgoing: Outgoing<Route>) -> Result<Receipt, Failure> {
        deliver::deliver(&api(&context), &Kept, &outgoing)
    }
}

impl Presence for Telegram {
    fn typing(context: Context<Settings>, route: Route) -> Result<(), Failure> {
        typing::typing(&api(&context), &Kept, &route)
    }
}

impl Attachments for Telegram {
    fn download(context: Context<Settings>, file: RemoteFile) -> Result<String, Failure> {
        download::download(&api(&context), &file)
    }
}

impl Polling for Telegram {
    type Cursor = Cursor;

    fn poll(context: Context<Settings>, cursor: Option<Cursor>) -> Result<Batch<Cursor>, Failure> {
        let polled = poll::poll(&api(&context), &context.name, cursor)?;
        for (id, reason) in &polled.skipped {
            log::info(&format!("update {id} is left alone: {reason:?}"));
        }
        Ok(polled.batch)
    }
}

impl Activation for Telegram {
    fn activate(context: Context<Settings>, public_url: Option<String>) -> Result<(), Failure> {
        let mark = secrets::open(SECRET_TOKEN).map(|secret| mark(&secret));
        match activate::activate(&api(&context), &Kept, public_url.as_deref(), mark.as_deref())? {
            Done::Nothing { trouble: None } => {}
            Done::Nothing { trouble: Some(trouble) } => {
                log::warn(&format!("Telegram has trouble with the webhook: {trouble}"));
            }
            Done::Set { before: None } => log::info("the webhook is set"),
            Done::Set { before: Some(before) } => log::warn(&format!("the webhook led to {before}; it leads here now")),
            Done::Removed { before } => log::warn(&format!("the webhook led to {before}; there is none now")),
        }
        Ok(())
    }

    fn deactivate(context: Context<Settings>) -> Result<(), Failure> {
        activate::deactivate(&api(&context), &context.name)
    }
}

fn api(context: &Context<Settings>) -> Api<'_, http::Host> {
    Api { client: &http::Host, settings: &context.settings }
}

/// Tells one secret from another, and nothing of either.
fn mark(secret: &secrets::Secret) -> String {
    let mac = secret.sign_hmac(secrets::Hash::Sha256, b"the secret of a webhook");
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

export_ingress!(Telegram);
export_delivery!(Telegram);
export_presence!(Telegram);
export_attachments!(Telegram);
export_polling!(Telegram);
export_activation!(Telegram);
