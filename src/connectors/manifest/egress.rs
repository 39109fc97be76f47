//! Where connectors of a kind send requests, and how a place is written. Pure.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Manifest;

/// A place that connectors of the kind send requests to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSpec {
    /// Origins, `https://host` or `https://host:port`; a host that begins with `*.` stands for every name with one more label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// The name of a setting that takes the place of the origins when it is there: a URL, a host, or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    plain: bool,
    /// In the form of a parsed URL: lower case, ASCII.
    host: String,
    port: u16,
    /// Whether one more label stands before the host.
    wildcard: bool,
}

impl Origin {
    /// Reads a URL, of which the origin counts, or a host. The error says what was expected instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refused = |expected: &str| Err(format!("`{text}` is not {expected}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if !matches!(scheme, "http" | "https") {
            return refused("an http or https URL, nor a host");
        }
        let (wildcard, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
        let Ok(url) = Url::parse(&format!("{scheme}://{rest}")) else {
            return refused("a URL or a host");
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return refused("a URL or a host");
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("it has a user name, a password, a query or a fragment: leave them out".to_owned());
        }
        if host.contains('*') || host.ends_with('.') || (wildcard && (url.domain().is_none() || !host.contains('.'))) {
            return refused("a host, or `*.` and a name of two labels or more");
        }
        Ok(Self { plain: scheme == "http", host: host.to_owned(), port, wildcard })
    }

    /// Whether a URL leads there.
    pub fn covers(&self, url: &Url) -> bool {
        let scheme = if self.plain { "http" } else { "https" };
        if url.scheme() != scheme || url.port_or_known_default() != Some(self.port) {
            return false;
        }
        let Some(host) = url.host_str() else { return false };
        if !self.wildcard {
            return host == self.host;
        }
        let label = host.strip_suffix(&self.host).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }

    /// Whether it is not encrypted.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The host, where it is one and not many.
    pub fn host(&self) -> Option<&str> {
        (!self.wildcard).then_some(self.host.as_str())
    }
}

/// What is wrong with where a kind sends requests, and with the secrets that it sends there.
pub(super) fn broken_rules(manifest: &Manifest, is_name: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    let properties = manifest.settings.get("properties").and_then(Value::as_object);
    for (name, destination) in &manifest.egress {
        let mut complain = |sentence: String| broken.push(format!("egress.{name}: {sentence}"));
        if !is_name(name) {
            complain("the name is not [a-z][a-z0-9_]{0,63}".to_owned());
        }
        if destination.origins.is_empty() && destination.setting.is_none() {
            complain("it names neither origins nor a setting".to_owned());
        }
        for origin in &destination.origins {
            if let Err(sentence) = fixed(origin) {
                complain(sentence);
            }
        }
        if let Some(setting) = &destination.setting
            && !properties.is_some_and(|properties| properties.contains_key(setting))
        {
            complain(format!("the settings have no property `{setting}`"));
        }
    }
    for (slot, spec) in &manifest.secrets {
        let unknown = spec.sent_to.iter().filter(|name| !manifest.egress.contains_key(*name));
        broken.extend(
            unknown.map(|name| format!("secret slot `{slot}` is sent to `{name}`, which egress does not name")),
        );
    }
    broken
}

/// An origin as manifests write it: encrypted, and nothing beside it.
fn fixed(text: &str) -> Result<(), String> {
    let origin = Origin::parse(text)?;
    let bare = text.strip_prefix("https://").is_some_and(|rest| !rest.contains(['/', '\\']));
    if origin.plain || !bare || text != text.to_lowercase() {
        return Err(format!("`{text}` is not `https://host` or `https://host:port` in lower case"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(origin: &str, url: &str) -> bool {
        Origin::parse(origin).unwrap().covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn scheme_host_and_port_all_count() {
        for url in ["https://api.example.com/x?y", "https://API.example.com:443/", "https://api.example.com"] {
            assert!(covers("https://api.example.com", url), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://api.example.com.evil.test/",
            "https://api.example.com./",
            "https://evil.test/api.example.com",
            "https://api.example.com@evil.test/",
        ] {
            assert!(!covers("https://api.example.com", url), "{url}");
        }
        assert!(covers("api.example.com:8443", "https://api.example.com:8443/"));
        assert!(covers("http://127.0.0.1:8081/bot", "http://127.0.0.1:8081/other"));
        assert!(covers("https://[::1]", "https://[::1]/"));
        assert!(covers("https://bücher.example", "https://xn--bcher-kva.example/"));
    }

    #[test]
    fn a_wildcard_is_one_label() {
        assert!(covers("https://*.example.com", "https://files.example.com/"));
        for url in
            ["https://example.com/", "https://a.b.example.com/", "https://evilexample.com/", "https://.example.com/"]
        {
            let Ok(url) = Url::parse(url) else { continue };
            assert!(!Origin::parse("https://*.example.com").unwrap().covers(&url), "{url}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "ftp://example.com",
            "https://",
            "https://user@example.com",
            "https://:p@example.com",
            "https://example.com/?q",
            "https://example.com/#f",
            "https://*.com",
            "*",
            "*.127.0.0.1",
            "https://a.*.example.com",
            "https://example.com.",
            "https://exa mple.com",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_host_covers_itself_and_no_other(one in "[a-z]{1,6}(\\.[a-z]{1,6}){1,3}", other in "[a-z]{1,6}(\\.[a-z]{1,6}){0,3}") {
            let origin = Origin::parse(&format!("https://{one}")).unwrap();
            let wild = Origin::parse(&format!("https://*.{one}")).unwrap();
            let url = Url::parse(&format!("https://{other}/")).unwrap();
            prop_assert_eq!(origin.covers(&url), one == other);
            prop_assert_eq!(wild.covers(&url), other.split_once('.').is_some_and(|(_, rest)| rest == one));
        }

        #[test]
        fn no_text_is_a_place_by_accident(text in "\\PC{0,40}") {
            // It is refused or read; it never panics, and what it is read as covers nothing unencrypted by itself.
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert!(!origin.is_plain() || text.starts_with("http://"));
            }
        }
    }
}
