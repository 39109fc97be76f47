//! Text for connectors files.

use std::fmt;

/// One `[[http_connectors]]` table. Unless it is told otherwise it makes sessions that are missing.
#[derive(Clone, Debug)]
pub struct Http {
    lines: Vec<String>,
    create: bool,
}

impl Http {
    /// A connector of this name, without authentication yet.
    pub fn named(name: &str) -> Self {
        Self { lines: vec![format!("name = \"{name}\"")], create: true }
    }

    /// Any further line.
    #[must_use]
    pub fn set(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Callers show this token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.set(format!("bearer_token = \"{token}\""))
    }

    /// Callers sign with this key.
    #[must_use]
    pub fn hmac(self, key: &str) -> Self {
        self.set(format!("hmac_secret = \"{key}\""))
    }

    /// Anybody may call.
    #[must_use]
    pub fn open(self) -> Self {
        self.set("allow_unauthenticated_ingress = true")
    }

    /// More events per second than any test sends.
    #[must_use]
    pub fn fast(self) -> Self {
        self.set("ingress_events_per_second = 100000")
    }

    /// Sessions that are missing are not made.
    #[must_use]
    pub fn known_sessions_only(mut self) -> Self {
        self.create = false;
        self
    }

    /// Outputs go to these targets, each an inline table.
    #[must_use]
    pub fn reply_to(self, targets: &[String]) -> Self {
        self.set(format!("default_reply_targets = [{}]", targets.join(", ")))
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[http_connectors]]\n{}", self.lines.join("\n"))?;
        writeln!(f, "session_policy = {{ create_if_missing = {} }}\n", self.create)
    }
}

/// A connector of the `misbehaving` kind, named after what it does, open to anybody.
pub fn misbehaving(behaviour: &str) -> String {
    format!(
        "[[connectors]]\nkind = \"misbehaving\"\nname = \"{behaviour}\"\nbehaviour = \"{behaviour}\"\n\
         allow_unauthenticated_ingress = true\ningress_events_per_second = 100000\n\
         session_policy = {{ create_if_missing = true }}\n\n"
    )
}

/// A connector of the `outbox` kind, open to anybody, with these further lines.
pub fn outbox(name: &str, lines: &str) -> String {
    format!(
        "[[connectors]]\nkind = \"outbox\"\nname = \"{name}\"\nallow_unauthenticated_ingress = true\n{lines}\n\
         session_policy = {{ create_if_missing = true }}\n\n"
    )
}

/// A reply target that names a connector of the `outbox` kind, as JSON for a submission. `route` is an object.
pub fn outbox_target(name: &str, route: &serde_json::Value) -> serde_json::Value {
    let mut address = route.clone();
    address["connector"] = name.into();
    serde_json::json!({ "plugin": "outbox", "address": address.to_string() })
}

/// Such a target as an inline table for a connectors file.
pub fn outbox_table(name: &str, route: &serde_json::Value) -> String {
    let target = outbox_target(name, route);
    format!("{{ plugin = \"outbox\", address = '{}' }}", target["address"].as_str().unwrap_or_default())
}

/// A reply target as an inline table: an `http` address with options, as JSON text.
pub fn http_target(address: &serde_json::Value) -> String {
    format!("{{ plugin = \"http\", address = '{address}' }}")
}
