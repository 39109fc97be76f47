//! Outbound HTTP through one guard: addresses are vetted where they are resolved, so that what was checked is what is
//! connected to; no redirects, no proxies, bounded time and size.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Client, Method, Request, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use serde::Deserialize;

pub mod address;

use address::{LOOPBACK, Reach};

/// Bounds of outbound requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// How long a connection may take to come about, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a request may take in all, in milliseconds (contract section 6.5).
    pub timeout_ms: u64,
    /// How much of an answer's body is read, in bytes.
    pub response_bytes: usize,
    /// Connections kept open to one host.
    pub idle_connections_per_host: usize,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self { connect_timeout_ms: 5_000, timeout_ms: 15_000, response_bytes: 64 * 1024, idle_connections_per_host: 32 }
    }
}

/// Sends requests.
pub struct Egress {
    public: Client,
    private: Client,
    local: Client,
    loopback: Client,
    response_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The guard refused it; nothing left.
    #[error("{0}")]
    Denied(String),
    /// No connection came about: name resolution, connection, or TLS. Nothing left.
    #[error("{0}")]
    Unreached(String),
    /// There was no answer in time. The request may have arrived.
    #[error("no answer within egress.timeout_ms")]
    Timeout,
    /// The connection or the answer broke. The request may have arrived.
    #[error("{0}")]
    Transport(String),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The beginning of the body.
    pub body: Bytes,
}

/// An answer whose body is still to come. Dropping it ends the connection.
#[derive(Debug)]
pub struct Stream {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    response: reqwest::Response,
}

impl Stream {
    /// The next piece of the body; none at its end. How much is read in all is the caller's to bound.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        self.response.chunk().await.map_err(refine)
    }
}

impl Egress {
    /// Builds a client for each reach. Connections of one are never used by another.
    pub fn new(settings: EgressSettings) -> anyhow::Result<Self> {
        install_tls();
        Ok(Self {
            public: client(&settings, Reach::Public)?,
            private: client(&settings, Reach::Private)?,
            local: client(&settings, Reach::Local)?,
            loopback: client(&settings, Reach::Loopback)?,
            response_bytes: settings.response_bytes,
        })
    }

    /// A request to build on; `reach` must be that of [`Self::send`].
    pub fn request(&self, method: Method, url: Url, reach: Reach) -> reqwest::RequestBuilder {
        self.client(reach).request(method, url)
    }

    /// Sends a request and reads the beginning of the answer.
    pub async fn send(&self, request: Request, reach: Reach) -> Result<Answer, EgressError> {
        // Names are vetted by the resolver; an address in the URL never gets there.
        if let Some(address) = literal(request.url()) {
            reach.check(address).map_err(EgressError::Denied)?;
        }
        let mut response = self.client(reach).execute(request).await.map_err(refine)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while body.len() < self.response_bytes {
            // The status has arrived: a body that breaks off takes nothing away from it.
            let Ok(Some(chunk)) = response.chunk().await else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(self.response_bytes - body.len())]);
        }
        Ok(Answer { status, headers, body: body.into() })
    }

    /// Sends a request and leaves the answer's body to be read piece by piece. The request's own timeout counts for all of it.
    pub async fn open(&self, request: Request, reach: Reach) -> Result<Stream, EgressError> {
        if let Some(address) = literal(request.url()) {
            reach.check(address).map_err(EgressError::Denied)?;
        }
        let response = self.client(reach).execute(request).await.map_err(refine)?;
        Ok(Stream { status: response.status(), headers: response.headers().clone(), response })
    }

    fn client(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Public => &self.public,
            Reach::Private => &self.private,
            Reach::Local => &self.local,
            Reach::Loopback => &self.loopback,
        }
    }
}

/// Chooses the process's cryptography for TLS; the first call counts.
pub fn install_tls() {
    rustls::crypto::ring::default_provider().install_default().ok();
}

fn client(settings: &EgressSettings, reach: Reach) -> anyhow::Result<Client> {
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .dns_resolver(Arc::new(Vetting(reach)))
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .timeout(Duration::from_millis(settings.timeout_ms))
        .pool_max_idle_per_host(settings.idle_connections_per_host)
        .user_agent(concat!("kheishd/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Resolves a name once and hands on its addresses only when every one of them may be reached. Names of this machine are asked
/// of nobody.
struct Vetting(Reach);

/// The resolver's refusal, recognised again inside the client's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Resolve for Vetting {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        if reach == Reach::Loopback {
            let found = LOOPBACK.map(|address| SocketAddr::new(address, 0));
            return Box::pin(std::future::ready(Ok(Box::new(found.into_iter()) as Addrs)));
        }
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            vet(reach, name.as_str(), &found)?;
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// One address that may not be reached is enough: which of them is connected to is not known beforehand.
fn vet(reach: Reach, name: &str, found: &[SocketAddr]) -> Result<(), Refused> {
    found
        .iter()
        .try_for_each(|address| reach.check(address.ip()).map_err(|reason| Refused(format!("`{name}`: {reason}"))))
}

/// The innermost reason, without the URL: addresses can hold secrets.
fn refine(error: reqwest::Error) -> EgressError {
    // An error is of the connection until there is one; only then a byte of the request can have left.
    let unreached = error.is_connect();
    if error.is_timeout() {
        return if unreached {
            EgressError::Unreached("no connection within egress.connect_timeout_ms".to_owned())
        } else {
            EgressError::Timeout
        };
    }
    let error = error.without_url();
    let mut reason: &dyn std::error::Error = &error;
    loop {
        if let Some(refused) = reason.downcast_ref::<Refused>() {
            return EgressError::Denied(refused.0.clone());
        }
        match reason.source() {
            Some(source) => reason = source,
            None if unreached => return EgressError::Unreached(reason.to_string()),
            None => return EgressError::Transport(reason.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_private_address_among_several_is_enough_to_refuse_a_name() {
        let found = |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let mixed = found(&["1.1.1.1:0", "[2606:4700::1111]:0", "10.0.0.1:0"]);
        let refused = vet(Reach::Public, "rebound.example", &mixed).unwrap_err();
        assert!(refused.0.contains("rebound.example") && refused.0.contains("10.0.0.1"), "{refused}");
        assert!(vet(Reach::Private, "rebound.example", &mixed).is_ok());
        assert!(vet(Reach::Public, "public.example", &mixed[..2]).is_ok());
        assert!(vet(Reach::Private, "cloud.example", &found(&["1.1.1.1:0", "169.254.169.254:0"])).is_err());
    }
}
