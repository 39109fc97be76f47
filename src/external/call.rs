//! Requests to one sidecar: addresses vetted, no redirects, no proxies, answers within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;

use super::{
    External, base_url,
    protocol::{Report, SidecarManifest},
    settings::{Mode, Settings},
};
use crate::{
    connectors::{Context, Fault},
    egress::{EgressError, address::Reach},
};

/// The slot of the token that a sidecar and the daemon show each other.
pub(super) const TOKEN: &str = "shared_token";

/// One sidecar, to be spoken to.
pub(super) struct Sidecar<'c> {
    external: &'c External,
    context: &'c Context,
    pub(super) settings: Settings,
    reach: Reach,
}

/// An answer. Its body is absent where it was too long or broke off.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// Why a sidecar said nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mute {
    /// There was no answer.
    #[error("{0}")]
    Deaf(String),
    /// The answer is not the protocol's.
    #[error("{0}")]
    Odd(String),
}

impl External {
    /// The sidecar of a connector. Its settings were checked before it served.
    pub(super) fn sidecar<'c>(&'c self, context: &'c Context) -> Result<Sidecar<'c>, Fault> {
        let settings: Settings = serde_json::from_str(&context.settings).map_err(|error| Fault::Host(error.into()))?;
        let reach = match settings.mode {
            Mode::ChildProcess => Reach::Loopback,
            Mode::RemoteHttp if context.outbound.grants_private() => Reach::Private,
            Mode::RemoteHttp => Reach::Public,
        };
        Ok(Sidecar { external: self, context, settings, reach })
    }
}

impl Sidecar<'_> {
    /// Whether the sidecar and the daemon have a token.
    pub(super) fn has_token(&self) -> bool {
        self.context.secrets.contains_key(TOKEN)
    }

    /// What the sidecar is.
    pub(super) async fn manifest(&self) -> Result<SidecarManifest, Mute> {
        self.look("/manifest").await
    }

    /// How it fares.
    pub(super) async fn health(&self) -> Result<Report, Mute> {
        self.look("/health").await
    }

    /// A POST to build on.
    pub(super) fn post(&self, call: &str) -> Result<RequestBuilder, Fault> {
        self.request(Method::POST, call)
    }

    /// A request to build on, with the token: sidecars ask for it whatever is asked of them.
    fn request(&self, method: Method, call: &str) -> Result<RequestBuilder, Fault> {
        let request = self.external.egress.request(method, self.url(call)?, self.reach);
        let Some(token) = self.context.secrets.get(TOKEN) else { return Ok(request) };
        let mut bearer = http::HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())
            .map_err(|_| Fault::Host(anyhow::anyhow!("the shared_token cannot stand in a header")))?;
        bearer.set_sensitive(true);
        Ok(request.header(header::AUTHORIZATION, bearer))
    }

    /// Sends a request and reads its answer, as far as that may go.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Said, EgressError> {
        let request = request.build().map_err(|error| EgressError::Denied(error.without_url().to_string()))?;
        let mut stream = self.external.egress.open(request, self.reach).await?;
        let limit = self.external.bounds.response_bytes;
        let mut body = Vec::new();
        let whole = loop {
            match stream.chunk().await {
                Ok(Some(chunk)) if chunk.len() > limit - body.len() => break false,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                // The status has arrived: a body that breaks off takes nothing away from it.
                Err(_) => break false,
            }
        };
        Ok(Said { status: stream.status, headers: stream.headers, body: whole.then(|| body.into()) })
    }

    async fn look<T: DeserializeOwned>(&self, call: &str) -> Result<T, Mute> {
        let request = self.request(Method::GET, call).map_err(|fault| Mute::Deaf(fault.to_string()))?;
        let timeout = Duration::from_millis(self.external.bounds.probe_timeout_ms);
        let said = match self.send(request.timeout(timeout)).await {
            Ok(said) => said,
            Err(EgressError::Timeout) => {
                return Err(Mute::Deaf(format!("GET {call}: no answer within sidecars.probe_timeout_ms")));
            }
            Err(error) => return Err(Mute::Deaf(format!("GET {call}: {error}"))),
        };
        if !said.status.is_success() {
            return Err(Mute::Odd(format!("GET {call} was answered with {}", said.status)));
        }
        let body = said.body.ok_or_else(|| Mute::Odd(format!("the answer to GET {call} is too long, or broke off")))?;
        serde_json::from_slice(&body)
            .map_err(|error| Mute::Odd(format!("the answer to GET {call} is not the protocol's: {error}")))
    }

    fn url(&self, call: &str) -> Result<Url, Fault> {
        base_url::join(&self.settings.base_url, call)
            .ok_or_else(|| Fault::Host(anyhow::anyhow!("the base_url is not a URL")))
    }
}
