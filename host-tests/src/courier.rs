//! A connector of the `courier` kind: it makes the requests that its routes describe and tells what it saw.

use serde_json::{Value, json};

use crate::host::Host;

/// Secret that may go to the API.
pub const TOKEN: &str = "secret-of-the-api-7391";
/// Secret that may go to the files.
pub const OTHER: &str = "secret-of-the-files-2846";
/// Secret that may go nowhere.
pub const HOME: &str = "secret-that-stays-5520";

/// A connector `courier/main`, open to anybody, whose API is at this URL, with these further lines.
pub fn courier(api: &str, lines: &str) -> String {
    format!(
        "[[connectors]]\nkind = \"courier\"\nname = \"main\"\nallow_unauthenticated_ingress = true\n\
         allow_private_network = true\napi_base_url = \"{api}\"\ntoken = \"{TOKEN}\"\nother = \"{OTHER}\"\nhome = \"{HOME}\"\n\
         {lines}\nsession_policy = {{ create_if_missing = true }}\n\n"
    )
}

/// A target of `courier/main` that makes these requests.
pub fn asks(asks: &[Value]) -> Value {
    route(&json!({ "asks": asks }))
}

/// A target of `courier/main` with this route.
pub fn route(route: &Value) -> Value {
    let mut address = route.clone();
    address["connector"] = "main".into();
    json!({ "plugin": "courier", "address": address.to_string() })
}

/// What the guest saw of its requests, in order. Nothing in it was masked on its way here.
pub fn seen(host: &Host) -> Vec<Value> {
    let log = host.log();
    let lines = log.lines().filter_map(|line| line.split_once("saw ")).map(|(_, rest)| rest);
    let bytes = lines.map(|line| {
        let digits = line.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '.').next().unwrap_or_default();
        let bytes: Vec<u8> = digits.split('.').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        bytes
    });
    bytes.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()).collect()
}
