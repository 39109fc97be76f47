//! The HTTP server: bounded connections, bounded heads, and an end that lets answers in progress out.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::config::server::ServerSettings;

/// Pause after a failed accept: the system is out of file descriptors or memory, and asking at once would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then waits for answers in progress, at most the grace period.
pub async fn serve(listener: TcpListener, router: Router, settings: &ServerSettings, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.max_connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_read_timeout_ms))
        .pipeline_flush(true);
    loop {
        // The place comes first: a connection that cannot be served stays in the system's queue.
        let Some((stream, peer, place)) = next(&listener, &places, &stop).await else { break };
        let service = WithPeer { peer, inner: TowerToHyperService::new(router.clone()) };
        let connection = graceful.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Broken connections are the peer's business.
            connection.await.ok();
            drop(place);
        });
    }
    drop(listener);
    let grace = Duration::from_millis(settings.shutdown_grace_ms);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still busy after server.shutdown_grace_ms; closing them");
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accept = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Small answers leave at once.
                    stream.set_nodelay(true).ok();
                    return Some((stream, peer, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        connection = accept => connection,
        () = stop.cancelled() => None,
    }
}

/// Gives each request the address of its connection's other end, as an extension of type [`SocketAddr`]. What a header
/// says about where a request comes from is the sender's to write, and nobody asks it.
struct WithPeer {
    peer: SocketAddr,
    inner: TowerToHyperService<Router>,
}

impl Service<Request<Incoming>> for WithPeer {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}
