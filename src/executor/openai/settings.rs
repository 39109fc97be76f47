//! What is set of an endpoint, and whether it makes sense.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Fields of a request that only the host sets.
const OWN_FIELDS: [&str; 4] = ["messages", "model", "stream", "stream_options"];

/// A chat-completions endpoint and how it is used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiSettings {
    /// What `/chat/completions` is appended to.
    pub base_url: String,
    /// The model's name.
    pub model: String,
    /// The name of a sealed secret that is sent as bearer token; nothing is sent without.
    pub api_key_secret_ref: Option<String>,
    /// Said before everything else.
    pub system_prompt: Option<String>,
    /// Passed on.
    pub temperature: Option<f64>,
    /// Passed on as `max_tokens`.
    pub max_output_tokens: Option<u32>,
    /// Earlier runs of the session that are told, at most.
    #[serde(default = "defaults::history_runs")]
    pub history_runs: i64,
    /// Bytes of text that they may have together.
    #[serde(default = "defaults::history_bytes")]
    pub history_bytes: usize,
    /// Tokens that they may have together, four bytes being counted as one.
    pub history_tokens: Option<usize>,
    /// How long one request may take in all, in milliseconds; also the longest wait that a server may ask for.
    #[serde(default = "defaults::timeout_ms")]
    pub timeout_ms: u64,
    /// How long no byte may come, in milliseconds. Before a whole answer only `timeout_ms` counts.
    #[serde(default = "defaults::idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// Requests for one claim of a run.
    #[serde(default = "defaults::max_attempts")]
    pub max_attempts: u32,
    /// The longest wait after the first of them, in milliseconds; doubles with each.
    #[serde(default = "defaults::backoff_ms")]
    pub backoff_ms: u64,
    /// Bytes of text that an answer may have.
    #[serde(default = "defaults::answer_bytes")]
    pub answer_bytes: usize,
    /// Further fields of the request.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
    /// Whether the endpoint may lie on this machine or in a private network.
    #[serde(default)]
    pub allow_private_network: bool,
    /// Runs at once; `queue.concurrent_runs` when absent.
    pub concurrent_runs: Option<usize>,
    /// Whether the answer is asked for as a stream.
    #[serde(default = "defaults::stream")]
    pub stream: bool,
    /// Price of a million tokens that the model reads. With the other price it gives the cost that the provider leaves out.
    pub price_per_million_input: Option<f64>,
    /// Price of a million tokens that the model writes.
    pub price_per_million_output: Option<f64>,
}

mod defaults {
    pub(super) fn history_runs() -> i64 {
        50
    }

    pub(super) fn history_bytes() -> usize {
        64 * 1024
    }

    pub(super) fn timeout_ms() -> u64 {
        600_000
    }

    pub(super) fn idle_timeout_ms() -> u64 {
        60_000
    }

    pub(super) fn max_attempts() -> u32 {
        4
    }

    pub(super) fn backoff_ms() -> u64 {
        1_000
    }

    pub(super) fn answer_bytes() -> usize {
        1024 * 1024
    }

    pub(super) fn stream() -> bool {
        true
    }
}

impl OpenAiSettings {
    /// The address that requests go to. The error is a sentence for each thing to mend.
    pub fn endpoint(&self) -> Result<Url, Vec<String>> {
        let mut wrong = Vec::new();
        let url = url(&self.base_url).map_err(|reason| wrong.push(format!("base_url: {reason}"))).ok();
        if self.model.is_empty() {
            wrong.push("model: give the name of a model".to_owned());
        }
        for field in OWN_FIELDS.iter().filter(|field| self.extra_body.contains_key(**field)) {
            wrong.push(format!("extra_body.{field}: the host sets this field; leave it out"));
        }
        let positive = [("timeout_ms", self.timeout_ms), ("idle_timeout_ms", self.idle_timeout_ms)];
        for (key, _) in positive.iter().filter(|(_, value)| *value == 0) {
            wrong.push(format!("{key}: give at least 1"));
        }
        if !(1..=100).contains(&self.max_attempts) {
            wrong.push("max_attempts: give 1 to 100".to_owned());
        }
        if !(0..=1_000).contains(&self.history_runs) {
            wrong.push("history_runs: give 0 to 1000".to_owned());
        }
        url.filter(|_| wrong.is_empty()).ok_or(wrong)
    }
}

fn url(base: &str) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("give an address that begins with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a password: put it into a secret and name that in api_key_secret_ref".to_owned());
    }
    let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<String, Vec<String>> {
        let settings: OpenAiSettings = toml_edit::de::from_str(text).unwrap();
        settings.endpoint().map(String::from)
    }

    #[test]
    fn the_path_is_appended_and_a_query_stays() {
        for (base, whole) in [
            ("https://api.example/v1", "https://api.example/v1/chat/completions"),
            ("http://h:1/", "http://h:1/chat/completions"),
            ("https://h/a/?v=2", "https://h/a/chat/completions?v=2"),
        ] {
            assert_eq!(endpoint(&format!("base_url = \"{base}\"\nmodel = \"m\"")), Ok(whole.to_owned()));
        }
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong = endpoint(
            "base_url = \"ftp://h\"\nmodel = \"\"\nmax_attempts = 0\ntimeout_ms = 0\nhistory_runs = -1\nextra_body = { messages = [], seed = 1 }",
        );
        let wrong = wrong.unwrap_err();
        for key in ["base_url", "model", "max_attempts", "timeout_ms", "history_runs", "extra_body.messages"] {
            assert!(wrong.iter().any(|sentence| sentence.starts_with(&format!("{key}:"))), "{key} in {wrong:?}");
        }
        assert_eq!(wrong.len(), 6, "{wrong:?}");
        let with_password = endpoint("base_url = \"https://u:p@h\"\nmodel = \"m\"").unwrap_err();
        assert!(with_password[0].contains("api_key_secret_ref"), "{with_password:?}");
    }
}
