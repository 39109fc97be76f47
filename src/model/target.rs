//! Where outputs go.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// A reply target as the contract writes it (section 7): a plugin and an address in that plugin's form. It is read from any
/// form in [`super::written`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct ReplyTarget {
    /// The plugin that delivers; `http` is built in.
    pub plugin: String,
    /// A raw URL or JSON text, as the plugin defines it.
    pub address: String,
}

/// Members of a route that begin with this say what is answered, and not where.
const ANSWERED: &str = "reply_to";

impl ReplyTarget {
    /// The lane of the address: deliveries of one lane go in order. Hashed, because addresses can hold secrets and lanes
    /// show in logs. Answers to several messages of one place are one lane.
    pub fn lane(&self) -> String {
        let place = self.place();
        let place = place.as_deref().unwrap_or(&self.address);
        format!("{}:{}", self.plugin, hex::encode(&Sha256::digest(place)[..8]))
    }

    /// The address without what it answers, where it says that.
    fn place(&self) -> Option<String> {
        // Most say nothing of the kind, and are not looked into.
        if self.plugin == "http" || !self.address.contains(ANSWERED) {
            return None;
        }
        let mut route: Map<String, Value> = serde_json::from_str(&self.address).ok()?;
        route.retain(|name, _| !name.starts_with(ANSWERED));
        Some(Value::Object(route).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(plugin: &str, address: &str) -> String {
        ReplyTarget { plugin: plugin.to_owned(), address: address.to_owned() }.lane()
    }

    #[test]
    fn what_is_answered_is_no_place_of_its_own() {
        let plain = r#"{"chat_id":5,"connector":"bot"}"#;
        let answer = r#"{"chat_id":5,"connector":"bot","reply_to_message_id":7}"#;
        assert_eq!(lane("telegram", plain), lane("telegram", answer));
        assert_ne!(lane("telegram", answer), lane("telegram", &answer.replace("chat_id\":5", "chat_id\":6")));
        assert_ne!(lane("http", plain), lane("http", answer), "a URL is taken as it is");
    }
}
