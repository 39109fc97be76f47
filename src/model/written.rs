//! Reply targets as they may be written: a handle, or a shape with a `type` (contract section 7). Both are read as handles.

use std::fmt::{self, Formatter};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa::openapi::{
    Array, Ref,
    schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type},
};

use super::target::ReplyTarget;

/// The members of a handle.
const HANDLE: [&str; 2] = ["plugin", "address"];

impl<'de> Deserialize<'de> for ReplyTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = ReplyTarget;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a reply target: `plugin` and `address`, or a shape with a `type`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReplyTarget, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            // Read as text at once where it is text in each form, so that what is no text is told with its place.
            let value = match name.as_str() {
                "plugin" | "address" | "type" | "connector" => Value::String(map.next_value()?),
                _ => map.next_value()?,
            };
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            members.insert(name, value);
        }
        match members.remove("type") {
            None => handle(members),
            Some(Value::String(kind)) if kind == "raw" => handle(members),
            Some(Value::String(kind)) => structured(kind, members),
            Some(_) => Err(A::Error::custom("`type` is no text")),
        }
    }
}

fn handle<E: Error>(mut members: Map<String, Value>) -> Result<ReplyTarget, E> {
    let mut text = |name: &'static str| match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(E::missing_field(name)),
    };
    let target = (text("plugin"), text("address"));
    if let Some(unknown) = members.keys().next() {
        return Err(E::unknown_field(unknown, &HANDLE));
    }
    Ok(ReplyTarget { plugin: target.0?, address: target.1? })
}

/// The address that says the same. A URL alone is its own address.
fn structured<E: Error>(plugin: String, members: Map<String, Value>) -> Result<ReplyTarget, E> {
    let needed = if plugin == "http" { "url" } else { "connector" };
    let address = match members.get(needed) {
        None => return Err(E::missing_field(needed)),
        Some(Value::String(url)) if plugin == "http" && members.len() == 1 => url.clone(),
        Some(_) => Value::Object(members).to_string(),
    };
    Ok(ReplyTarget { plugin, address })
}

/// The schema of a list of targets in a body.
pub fn written_targets() -> Array {
    let kind = ObjectBuilder::new().schema_type(Type::String);
    let shape = ObjectBuilder::new()
        .description(Some(
            "`type`: `raw`, `http` (`url`, `headers`, …), or the kind of a `connector`, with the route beside it.",
        ))
        .property("type", kind)
        .required("type")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)));
    Array::new(OneOfBuilder::new().item(Ref::from_schema_name("ReplyTarget")).item(shape))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<(String, String), String> {
        let target = serde_json::from_value::<ReplyTarget>(value).map_err(|error| error.to_string())?;
        Ok((target.plugin, target.address))
    }

    #[test]
    fn each_shape_is_a_handle() {
        let url = "https://example.com/";
        let detailed = r#"{"headers":{"x-a":"b"},"url":"https://example.com/"}"#;
        for (written, plugin, address) in [
            (json!({ "plugin": "http", "address": url }), "http", url),
            (json!({ "type": "raw", "plugin": "http", "address": url }), "http", url),
            (json!({ "type": "http", "url": url }), "http", url),
            (json!({ "url": url, "headers": { "x-a": "b" }, "type": "http" }), "http", detailed),
            (json!({ "type": "chat", "room": 7, "connector": "main" }), "chat", r#"{"connector":"main","room":7}"#),
        ] {
            assert_eq!(read(written), Ok((plugin.to_owned(), address.to_owned())));
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        for (written, says) in [
            (json!({}), "missing field `plugin`"),
            (json!({ "plugin": "http" }), "missing field `address`"),
            (json!({ "plugin": "http", "address": "", "adress": "" }), "unknown field `adress`"),
            (json!({ "type": "raw", "plugin": "http", "address": "", "x": 1 }), "unknown field `x`"),
            (json!({ "type": "http" }), "missing field `url`"),
            (json!({ "type": "chat", "room": 7 }), "missing field `connector`"),
            (json!({ "type": 7 }), "expected a string"),
            (json!("https://example.com/"), "expected a reply target"),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(serde_json::from_str::<ReplyTarget>(r#"{"type":"http","url":"a","url":"b"}"#).is_err());
    }
}
