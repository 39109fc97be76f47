//! Telegram's bots: the component in the real daemon, and a Bot API that is as strict as the real one.

mod activation;
mod albums;
mod deliver;
mod files;
mod inbound;
mod ingress;
mod judge;
mod pace;
mod polling;
mod typing;

use kheish_host_tests::{
    client::Client,
    host::{Host, HostBuilder, TELEGRAM},
    sender::Sender,
    telegram::{BotApi, TOKEN},
};

/// What Telegram shows with each update.
const SECRET: &str = "a-secret_token";

/// A connector `telegram/bot` with these further lines. It may talk to this machine.
fn bot(api: &str, lines: &str) -> String {
    format!(
        "[[connectors]]\nkind = \"telegram\"\nname = \"bot\"\nbot_token = \"{TOKEN}\"\napi_base_url = \"{api}\"\n\
         secret_token = \"{SECRET}\"\nsession_policy = {{ create_if_missing = true }}\n{lines}\n"
    )
}

fn builder(api: &str, lines: &str) -> HostBuilder {
    Host::builder().plugins(&[TELEGRAM]).connectors(bot(api, lines))
}

/// Sends updates as Telegram does.
fn webhook(host: &Host) -> Sender {
    Sender::new(&Client::new(host.client().base()), "telegram", "bot").header("x-telegram-bot-api-secret-token", SECRET)
}

/// A double that knows the private chat 5 and the group -7 with the topic 3.
async fn double() -> BotApi {
    use kheish_host_tests::telegram::Chat;
    let api = BotApi::start().await;
    api.chat(Chat::private(5));
    api.chat(Chat::group(-7, &[3]));
    api
}
