//! Where connectors of a kind send requests.

use serde::Serialize;

/// A place that connectors send requests to: one or several origins.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Destination {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'static str>,
}

impl Destination {
    /// These origins: `https://host` or `https://host:port`. A host that begins with `*.` stands for every name with one more
    /// label in front.
    pub fn to(origins: &[&'static str]) -> Self {
        Self { origins: origins.to_vec(), setting: None }
    }

    /// Whatever the operator writes into this setting: a URL, a host, or a list of them; nowhere when it is absent.
    pub fn from_setting(setting: &'static str) -> Self {
        Self { origins: Vec::new(), setting: Some(setting) }
    }

    /// What the operator writes into this setting, a URL, a host, or a list of them, takes the place of the origins: another
    /// server of the same kind, a double in a test. Plain `http` and private addresses need `allow_private_network` beside it.
    #[must_use]
    pub fn unless_set(mut self, setting: &'static str) -> Self {
        self.setting = Some(setting);
        self
    }
}
