//! What is set of a receiver, and whether it makes sense.

use reqwest::Url;
use serde::Deserialize;

/// Leases that a receiver can be given, in milliseconds.
const LEASE_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// A receiver of runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSettings {
    /// Where runs are sent.
    pub url: String,
    /// The name of a sealed secret that requests are signed with.
    pub signing_secret_ref: Option<String>,
    /// Whether requests go out without a signature.
    #[serde(default)]
    pub unsigned: bool,
    /// Whether the receiver may lie on this machine or in a private network.
    #[serde(default)]
    pub allow_private_network: bool,
    /// How long a request may take in all, in milliseconds.
    #[serde(default = "defaults::timeout_ms")]
    pub timeout_ms: u64,
    /// Bytes that an answer may have.
    #[serde(default = "defaults::answer_bytes")]
    pub answer_bytes: usize,
    /// How long a receiver that took a run over may be silent, in milliseconds; `queue.default_lease_ms` when absent.
    pub lease_ms: Option<i64>,
    /// Requests at once; `queue.concurrent_runs` when absent. Runs that were taken over do not count.
    pub concurrent_runs: Option<usize>,
}

mod defaults {
    pub(super) fn timeout_ms() -> u64 {
        600_000
    }

    pub(super) fn answer_bytes() -> usize {
        1024 * 1024
    }
}

impl PushSettings {
    /// The address that runs are sent to. The error is a sentence for each thing to mend.
    pub fn check(&self) -> Result<Url, Vec<String>> {
        let mut wrong = Vec::new();
        let url = url(&self.url).map_err(|reason| wrong.push(format!("url: {reason}"))).ok();
        match (&self.signing_secret_ref, self.unsigned) {
            (None, false) => wrong
                .push("signing_secret_ref: give the name of a secret to sign with, or say unsigned = true".to_owned()),
            (Some(_), true) => wrong.push("unsigned: it is true beside a signing_secret_ref; leave one out".to_owned()),
            _ => {}
        }
        if self.timeout_ms == 0 {
            wrong.push("timeout_ms: give at least 1".to_owned());
        }
        if self.lease_ms.is_some_and(|lease_ms| !LEASE_MS.contains(&lease_ms)) {
            wrong.push("lease_ms: give 100 to 3600000".to_owned());
        }
        url.filter(|_| wrong.is_empty()).ok_or(wrong)
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("give an address that begins with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a password: sign requests instead, with signing_secret_ref".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, Vec<String>> {
        toml_edit::de::from_str::<PushSettings>(text).unwrap().check().map(String::from)
    }

    #[test]
    fn a_signature_or_a_word_against_it() {
        let url = "url = \"https://h/in\"\n";
        assert_eq!(check(&format!("{url}unsigned = true")), Ok("https://h/in".to_owned()));
        assert!(check(&format!("{url}signing_secret_ref = \"s\"")).is_ok());
        assert!(check(url).unwrap_err()[0].starts_with("signing_secret_ref:"));
        let both = format!("{url}signing_secret_ref = \"s\"\nunsigned = true");
        assert!(check(&both).unwrap_err()[0].starts_with("unsigned:"));
    }

    #[test]
    fn every_mistake_is_named() {
        let wrong = check("url = \"ftp://h\"\ntimeout_ms = 0\nlease_ms = 1").unwrap_err();
        for key in ["url", "signing_secret_ref", "timeout_ms", "lease_ms"] {
            assert!(wrong.iter().any(|sentence| sentence.starts_with(&format!("{key}:"))), "{key} in {wrong:?}");
        }
        assert!(check("url = \"https://u:p@h\"\nunsigned = true").unwrap_err()[0].contains("signing_secret_ref"));
    }
}
