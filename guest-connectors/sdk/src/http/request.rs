//! Building a request.

use serde::Serialize;

use super::{
    AssetPart, Body, BytesPart, Credential, FormField, FormValue, HeaderCredential, PathCredential, QueryCredential,
    Request,
};
use crate::{Header, json};

impl Request {
    /// A request without a body. `url` is absolute, and its origin is one that the manifest's `egress` names.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            credentials: Vec::new(),
            body: Body::Empty,
            timeout_ms: None,
            store_as: None,
        }
    }

    /// `GET url`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST url`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header. Headers of the connection, and those that carry credentials, are denied.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// `Authorization: Bearer` with the secret in `slot`.
    #[must_use]
    pub fn bearer(self, slot: impl Into<String>) -> Self {
        self.credential(Credential::Bearer(slot.into()))
    }

    /// A header whose value is `prefix` followed by the secret in `slot`.
    #[must_use]
    pub fn header_credential(
        self,
        name: impl Into<String>,
        prefix: impl Into<String>,
        slot: impl Into<String>,
    ) -> Self {
        let credential = HeaderCredential { name: name.into(), prefix: prefix.into(), slot: slot.into() };
        self.credential(Credential::Header(credential))
    }

    /// The secret in `slot` takes the place of `marker`, which stands once in the URL's path: 4 to 64 letters, digits, `_`
    /// and `-`.
    #[must_use]
    pub fn path_credential(self, marker: impl Into<String>, slot: impl Into<String>) -> Self {
        self.credential(Credential::Path(PathCredential { marker: marker.into(), slot: slot.into() }))
    }

    /// A parameter of the query whose value is the secret in `slot`.
    #[must_use]
    pub fn query_credential(self, name: impl Into<String>, slot: impl Into<String>) -> Self {
        self.credential(Credential::Query(QueryCredential { name: name.into(), slot: slot.into() }))
    }

    /// A JSON body, with its `content-type`.
    ///
    /// # Panics
    ///
    /// When `value` cannot be JSON, see [`json::text`].
    #[must_use]
    pub fn json<T: Serialize>(self, value: &T) -> Self {
        self.bytes("application/json; charset=utf-8", json::text(value))
    }

    /// A form, url-encoded, with its `content-type`.
    #[must_use]
    pub fn form<'f>(self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let text = fields.collect::<Vec<_>>().join("&");
        self.bytes("application/x-www-form-urlencoded", text)
    }

    /// A body of this media type.
    #[must_use]
    pub fn bytes(mut self, media_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Bytes(data.into());
        self.header("content-type", media_type)
    }

    /// The bytes of a file in the asset store; the host streams them.
    #[must_use]
    pub fn asset(mut self, asset_id: impl Into<String>) -> Self {
        self.body = Body::Asset(asset_id.into());
        self
    }

    /// `multipart/form-data`; the host writes it, with its `content-type`.
    #[must_use]
    pub fn multipart(mut self, fields: Vec<FormField>) -> Self {
        self.body = Body::Multipart(fields);
        self
    }

    /// How long the answer may take, in milliseconds. The host has a limit of its own, and the call's deadline holds.
    #[must_use]
    pub fn timeout_ms(mut self, timeout: u32) -> Self {
        self.timeout_ms = Some(timeout);
        self
    }

    /// Puts the body of a 2xx answer into the asset store under this file name: [`Response::asset_id`](super::Response) names
    /// it. The body of any other answer comes back as usual.
    #[must_use]
    pub fn store_as(mut self, file_name: impl Into<String>) -> Self {
        self.store_as = Some(file_name.into());
        self
    }

    fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }
}

impl FormField {
    /// A field with text.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: FormValue::Text(value.into()) }
    }

    /// A file of the asset store.
    pub fn asset(name: impl Into<String>, asset_id: impl Into<String>, file_name: impl Into<String>) -> Self {
        let asset = AssetPart { asset_id: asset_id.into(), file_name: file_name.into() };
        Self { name: name.into(), value: FormValue::Asset(asset) }
    }

    /// A file with these bytes.
    pub fn bytes(
        name: impl Into<String>,
        file_name: impl Into<String>,
        media_type: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Self {
        let bytes = BytesPart { data: data.into(), file_name: file_name.into(), media_type: media_type.into() };
        Self { name: name.into(), value: FormValue::Bytes(bytes) }
    }
}

/// Text for one segment of a URL's path, or for a name or value of its query: all but letters, digits, `-`, `.`, `_` and `~`
/// is percent-encoded.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_byte_by_byte() {
        let request = Request::post("https://example.com/").form([("a b", "c&d=é"), ("e", "")]);
        let Body::Bytes(body) = &request.body else { panic!("no bytes") };
        assert_eq!(String::from_utf8_lossy(body), "a%20b=c%26d%3D%C3%A9&e=");
        assert_eq!(request.headers[0].value, "application/x-www-form-urlencoded");
    }
}
