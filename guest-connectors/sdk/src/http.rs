//! Requests to the platform. They go through the host, which checks where they go, puts credentials in their place, and masks
//! what comes back.
//!
//! ```
//! use kheish_guest::http::{Client, Request, Script};
//!
//! fn post(client: &impl Client, text: &str) -> Result<u16, kheish_guest::Failure> {
//!     let request = Request::post("https://slack.com/api/chat.postMessage")
//!         .bearer("bot_token")
//!         .json(&serde_json::json!({ "text": text }));
//!     Ok(client.send(request)?.status)
//! }
//!
//! // A component sends with `http::Host`; a test says what the platform answers.
//! let script = Script::new([Ok(kheish_guest::http::Response::new(200, "{}"))]);
//! assert_eq!(post(&script, "hello").unwrap(), 200);
//! assert_eq!(script.requests()[0].url, "https://slack.com/api/chat.postMessage");
//! ```
//!
//! Only `deliver`, `poll`, `download`, `activate` and `deactivate` may send: to anything else every request is denied.

use crate::{Failure, bindings::imports::kheish::connector::http};

mod failure;
mod request;
mod response;
#[cfg(not(target_arch = "wasm32"))]
mod script;

pub use http::{
    AssetPart, Body, BytesPart, Credential, Error, ErrorKind, FormField, FormValue, HeaderCredential, PathCredential,
    QueryCredential, Request, Response,
};
pub use request::encoded;
#[cfg(not(target_arch = "wasm32"))]
pub use script::Script;

/// Sends requests: [`Host`] in a component, [`Script`] or a double of your own in tests.
pub trait Client {
    /// Sends once. There are no redirects: an answer that asks for one comes back as it is.
    fn send(&self, request: Request) -> Result<Response, Error>;
}

impl<C: Client + ?Sized> Client for &C {
    fn send(&self, request: Request) -> Result<Response, Error> {
        (*self).send(request)
    }
}

/// Sends through the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

impl Client for Host {
    fn send(&self, request: Request) -> Result<Response, Error> {
        http::send(&request)
    }
}

impl From<Error> for Failure {
    /// As [`Error::failure`] has it.
    fn from(error: Error) -> Self {
        error.failure()
    }
}
