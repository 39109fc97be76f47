//! Where an answer goes at a sidecar: a text that means something to the sidecar alone (contract section 7). Pure.

use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    route: String,
}

/// Reads a route that stands in a reply target beside the connector's name. The error says what was expected.
pub(super) fn parse(written: &str) -> Result<String, String> {
    let Written { route } = serde_json::from_str(written)
        .map_err(|error| format!("it is not of the form {{\"connector\": …, \"route\": …}}: {error}"))?;
    if route.trim().is_empty() {
        return Err("`route` is blank: give what the sidecar calls the place".to_owned());
    }
    Ok(route)
}

/// The form in which it stands there.
pub(super) fn written(route: &str) -> String {
    json!({ "route": route }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_text() {
        for route in ["channel:7", r#"{"channel":"7"}"#, "\u{1F600} \n"] {
            assert_eq!(parse(&written(route)).unwrap(), route);
        }
        for bad in ["", "{}", "[]", r#"{"route":7}"#, r#"{"route":" "}"#, r#"{"route":"a","thread":"b"}"#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
