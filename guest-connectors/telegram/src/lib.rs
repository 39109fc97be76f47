//! Telegram bots, kind `telegram` (contract sections 2.5 and 3.4).
//!
//! Updates come by webhook (`ingress`) or are fetched (`poll`); `event` makes events of both alike. Answers go out through
//! the Bot API (`deliver`), their Markdown as Telegram's HTML (`markdown`). `api` is the one place that talks to it.

use kheish_guest::{Answer, Connector, Context, HttpRequest, Ingress, Manifest, Refusal, export_ingress};

mod event;
mod files;
mod ingress;
mod manifest;
mod route;
mod settings;
mod update;

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

export_ingress!(Telegram);
