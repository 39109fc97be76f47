//! Takes replies over HTTP, records every request, and answers by script.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{connectors::http_target, wait::eventually};

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its place among all requests, from 0.
    pub index: usize,
    /// Its place among the requests to its path, from 0.
    pub nth_to_path: usize,
    /// When it was complete.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query; empty without one.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as JSON.
    pub body: Value,
    /// Its body, as it came.
    pub bytes: Bytes,
}

impl Received {
    /// The idempotency key.
    pub fn key(&self) -> &str {
        self.headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// One header as text; empty without one.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the reply says.
    pub fn content(&self) -> &str {
        self.body["content"].as_str().unwrap_or_default()
    }
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status.
    Status(u16),
    /// This status and one header.
    With(u16, &'static str, String),
    /// This status, content type and body.
    Body(u16, &'static str, String),
    /// 200, once the gate is open.
    Hold(Gate),
    /// Nothing: the connection is closed.
    HangUp,
}

/// Holds requests until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        self.0.subscribe().wait_for(|open| *open).await.ok();
    }
}

type Script = Box<dyn Fn(&Received) -> Reply + Send + Sync>;

struct Book {
    received: Mutex<Vec<Received>>,
    to_path: Mutex<HashMap<String, usize>>,
    script: Mutex<Script>,
}

/// A server for replies; stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    book: Arc<Book>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::scripted(|_| Reply::Status(200)).await
    }

    /// Answers as the script says.
    pub async fn scripted(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), script).await
    }

    /// The same at an address that is free.
    pub async fn at(address: SocketAddr, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("the port that was bound");
        let book = Arc::new(Book {
            received: Mutex::default(),
            to_path: Mutex::default(),
            script: Mutex::new(Box::new(script)),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&book)));
        Self { address, book, server }
    }

    /// Answers by another script from now on.
    pub fn follow(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *lock(&self.book.script) = Box::new(script);
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address of a reply target at this path, which may lie on this machine.
    pub fn address(&self, path: &str) -> Value {
        json!({ "url": self.url(path), "allow_private_network": true })
    }

    /// A reply target at this path, as an inline table for a connectors file.
    pub fn target(&self, path: &str) -> String {
        http_target(&self.address(path))
    }

    /// A reply target at this path, as JSON for a submission.
    pub fn target_json(&self, path: &str) -> Value {
        json!({ "plugin": "http", "address": self.address(path).to_string() })
    }

    /// Everything that came, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.book.received).clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        lock(&self.book.received).len()
    }

    /// What came to one path.
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        self.received().into_iter().filter(|request| request.path == path).collect()
    }

    /// Waits until at least `count` requests have come to `path`.
    pub async fn when(&self, path: &str, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests have come to {path}"), async || {
            let received = self.received_at(path);
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

async fn serve(listener: TcpListener, book: Arc<Book>) {
    // Connections end with the set, and the set with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&book)));
    }
}

async fn connection(stream: TcpStream, book: Arc<Book>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&book)));
    // Connections break when a daemon is killed: nothing to report.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn answer(request: Request<Incoming>, book: Arc<Book>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let received = record(&book, &head, &body);
    let reply = (lock(&book.script))(&received);
    let (status, header, body) = match reply {
        Reply::Status(status) => (status, None, String::new()),
        Reply::With(status, name, value) => (status, Some((name, value)), String::new()),
        Reply::Body(status, kind, body) => (status, Some(("content-type", kind.to_owned())), body),
        Reply::Hold(gate) => {
            gate.passed().await;
            (200, None, String::new())
        }
        Reply::HangUp => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
    };
    let mut response = Response::builder().status(status);
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(body))).map_err(io::Error::other)
}

fn record(book: &Book, head: &hyper::http::request::Parts, body: &Bytes) -> Received {
    let mut all = lock(&book.received);
    let path = head.uri.path().to_owned();
    let mut to_path = lock(&book.to_path);
    let before = to_path.entry(path.clone()).or_default();
    let nth_to_path = *before;
    *before += 1;
    let received = Received {
        index: all.len(),
        nth_to_path,
        at: Instant::now(),
        method: head.method.to_string(),
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        body: serde_json::from_slice(body).unwrap_or_default(),
        bytes: body.clone(),
    };
    all.push(received.clone());
    received
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
