//! The connector's own settings. The host keeps name, session, rate and reply target settings to itself.

use serde::Deserialize;

/// Where Telegram's own Bot API is.
pub(crate) const API_BASE_URL: &str = "https://api.telegram.org";

/// Takes the token's place in URLs; the host puts the token there.
pub(crate) const TOKEN_MARKER: &str = "kheish-bot-token";

/// The settings, with the defaults of the schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The Bot API server.
    pub(crate) api_base_url: String,
    /// How updates arrive.
    pub(crate) ingress_mode: IngressMode,
    /// How long one poll waits for an update.
    pub(crate) polling_timeout_seconds: u32,
    /// The only chats that count; all when absent.
    pub(crate) allowed_chat_ids: Option<Vec<i64>>,
    /// The only senders that count; all when absent.
    pub(crate) allowed_user_ids: Option<Vec<i64>>,
    /// Whether messages of other bots are left alone.
    pub(crate) ignore_bots: bool,
    /// How texts are written.
    pub(crate) format: Format,
    /// Which answers quote the message that they answer.
    pub(crate) reply_to: ReplyTo,
    /// Whether links in texts get a preview.
    pub(crate) link_previews: bool,
    /// Whether messages arrive without a sound.
    pub(crate) silent: bool,
    /// How long the next picture of one album may take to arrive.
    pub(crate) album_settle_ms: u32,
    /// How many connections Telegram may open for the webhook.
    pub(crate) webhook_max_connections: u32,
}

/// How updates arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IngressMode {
    /// Telegram sends them.
    Webhook,
    /// They are fetched.
    Polling,
}

/// How texts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Markdown becomes Telegram's HTML.
    Markdown,
    /// As they are.
    Plain,
}

/// Which answers quote the message that they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyTo {
    /// None.
    Never,
    /// Those in groups, where several people talk.
    Groups,
    /// All.
    Always,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_base_url: API_BASE_URL.to_owned(),
            ingress_mode: IngressMode::Webhook,
            polling_timeout_seconds: 30,
            allowed_chat_ids: None,
            allowed_user_ids: None,
            ignore_bots: true,
            format: Format::Markdown,
            reply_to: ReplyTo::Groups,
            link_previews: true,
            silent: false,
            album_settle_ms: 1_500,
            webhook_max_connections: 40,
        }
    }
}

impl Settings {
    /// One sentence for each rule that is broken.
    pub(crate) fn check(&self) -> Vec<String> {
        base_url_problem(&self.api_base_url).map(|problem| format!("api_base_url {problem}.")).into_iter().collect()
    }

    /// Whether anything of this chat counts, in either direction.
    pub(crate) fn allows_chat(&self, chat: i64) -> bool {
        self.allowed_chat_ids.as_ref().is_none_or(|allowed| allowed.contains(&chat))
    }

    /// Whether what this sender says counts. Nobody is not on any list.
    pub(crate) fn allows_sender(&self, sender: Option<i64>) -> bool {
        self.allowed_user_ids.as_ref().is_none_or(|allowed| sender.is_some_and(|id| allowed.contains(&id)))
    }

    /// The URL of a method, with the marker where the token goes.
    pub(crate) fn method_url(&self, method: &str) -> String {
        format!("{}/bot{TOKEN_MARKER}/{method}", self.root())
    }

    /// The URL of a file, with the marker where the token goes. `path` is what `getFile` calls it.
    pub(crate) fn file_url(&self, path: &str) -> String {
        let segments: Vec<String> = path.trim_start_matches('/').split('/').map(kheish_guest::http::encoded).collect();
        format!("{}/file/bot{TOKEN_MARKER}/{}", self.root(), segments.join("/"))
    }

    /// Whether files beyond Telegram's own limits may pass: a server of one's own has none.
    pub(crate) fn is_own_server(&self) -> bool {
        self.root() != API_BASE_URL
    }

    /// The base without what the methods' URLs add to it: some write it with `/bot`.
    fn root(&self) -> &str {
        let base = self.api_base_url.trim_end_matches('/');
        base.strip_suffix("/bot").unwrap_or(base)
    }
}

/// What is wrong with the URL of a Bot API server.
fn base_url_problem(url: &str) -> Option<&'static str> {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Some("is not an http or https URL: write it like https://api.telegram.org");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Some("names no host: write it like https://api.telegram.org");
    }
    if authority.contains('@') {
        return Some("has a user name or password in it: leave them out, the token is the only credential");
    }
    if url.contains(['?', '#']) {
        return Some("has a query or a fragment: leave it out");
    }
    if url.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '\\') {
        return Some("has blanks or control characters: take them out");
    }
    url.contains(TOKEN_MARKER).then_some("contains the mark that stands for the token: name the server otherwise")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn urls_are_made_as_the_contract_says() {
        for base in ["https://tg.example", "https://tg.example/", "https://tg.example/bot", "https://tg.example/bot/"] {
            let settings = settings(json!({"api_base_url": base}));
            assert_eq!(settings.method_url("getMe"), "https://tg.example/botkheish-bot-token/getMe", "{base}");
            assert_eq!(
                settings.file_url("/photos/file 1.jpg"),
                "https://tg.example/file/botkheish-bot-token/photos/file%201.jpg"
            );
            assert!(settings.check().is_empty() && settings.is_own_server());
        }
        assert!(!Settings::default().is_own_server());
    }

    #[test]
    fn a_wrong_base_url_is_told() {
        for url in [
            "",
            "api.telegram.org",
            "ftp://api.telegram.org",
            "https://",
            "https:///path",
            "https://:443",
            "https://user:secret@api.telegram.org",
            "https://api.telegram.org?x=1",
            "https://api.telegram.org/#x",
            "https://api.telegram.org/ x",
            "https://x.example/kheish-bot-token",
        ] {
            assert_eq!(settings(json!({"api_base_url": url})).check().len(), 1, "{url}");
        }
    }

    #[test]
    fn lists_let_in_whom_they_name_and_no_list_lets_in_everybody() {
        let open = Settings::default();
        assert!(open.allows_chat(-1) && open.allows_sender(None));
        let closed = settings(json!({"allowed_chat_ids": [-1], "allowed_user_ids": [7]}));
        assert!(closed.allows_chat(-1) && !closed.allows_chat(1));
        assert!(closed.allows_sender(Some(7)) && !closed.allows_sender(Some(8)) && !closed.allows_sender(None));
    }
}
