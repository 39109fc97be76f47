//! Takes replies over HTTP and answers them as no server should: byte by byte, by script.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// One thing that is done with a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Read the head of the request and no more than came with it.
    ReadHead,
    /// Read the whole request.
    ReadAll,
    /// Write this.
    Say(String),
    /// Write this again and again until the other side has enough.
    SayForever(String),
    /// Write this byte by byte, with a pause before each.
    Drip(String, Duration),
    /// Keep the connection until the other side ends it.
    Stay,
    /// End it with a reset; without this it ends in order after the last step.
    Reset,
}

/// A server that errs; stops when dropped.
pub struct Stray {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Stray {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stray {
    /// Does with each connection what the script says; connections are counted from 0.
    pub async fn start(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        Self { address, server: tokio::spawn(serve(listener, Arc::new(script))) }
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A reply target here, as JSON for a submission.
    pub fn target_json(&self) -> Value {
        let address = json!({ "url": self.url("/in"), "allow_private_network": true });
        json!({ "plugin": "http", "address": address.to_string() })
    }
}

async fn serve(listener: TcpListener, script: Arc<dyn Fn(usize) -> Vec<Step> + Send + Sync>) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(follow(stream, script(count)));
        count += 1;
    }
}

/// Ends when the steps do, or when the other side does.
async fn follow(mut stream: TcpStream, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::ReadHead => drop(read(&mut stream, false).await),
            Step::ReadAll => drop(read(&mut stream, true).await),
            Step::Say(text) => drop(stream.write_all(text.as_bytes()).await),
            Step::SayForever(text) => while stream.write_all(text.as_bytes()).await.is_ok() {},
            Step::Drip(text, pause) => drip(&mut stream, &text, pause).await,
            Step::Stay => while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {},
            Step::Reset => drop(stream.set_zero_linger()),
        }
    }
}

async fn drip(stream: &mut TcpStream, text: &str, pause: Duration) {
    for byte in text.as_bytes() {
        // The pause is what is tested: it stands for no event.
        tokio::time::sleep(pause).await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, whole: bool) -> Option<()> {
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let declared = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if !whole || body.len() >= declared.unwrap_or(0_usize) {
                return Some(());
            }
        }
        match stream.read(&mut chunk).await {
            Ok(count @ 1..) => got.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}
