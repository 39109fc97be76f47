//! Takes deliveries as fast as they come, with as little parsing as the daemon's requests need.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use kheish_host_tests::sign::now;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::figures::Latencies;

/// What paths begin with that are never answered.
pub(crate) const DEAD: &str = "/dead";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What stands before a delivery's id.
const KEY: &str = "idempotency-key: kheish:delivery_";

/// A server for deliveries; stops when dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    address: String,
    book: Arc<Book>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Book {
    taken: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    first: Option<Instant>,
    last: Option<Instant>,
    since_finish: Latencies,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sink {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("taking a port")?;
        let address = listener.local_addr()?.to_string();
        let book = Arc::new(Book::default());
        let shared = Arc::clone(&book);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, book, server })
    }

    /// Where it is, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many deliveries it took.
    pub(crate) fn taken(&self) -> u64 {
        self.book.taken.load(Ordering::Relaxed)
    }

    /// From the first to the last that it took.
    pub(crate) fn span(&self) -> Duration {
        let times = self.book.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.first.zip(times.last).map(|(first, last)| last - first).unwrap_or_default()
    }

    /// From the transaction that made each delivery, whose time is in its id, to its arrival here; since the last call.
    pub(crate) fn since_finish(&self) -> Latencies {
        std::mem::take(&mut self.book.times.lock().unwrap_or_else(PoisonError::into_inner).since_finish)
    }
}

impl Book {
    fn note(&self, head: &str) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        times.first.get_or_insert(now);
        times.last = Some(now);
        if let Some(age) = age(head) {
            times.since_finish.add(age);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long ago the delivery was made: the first 48 bits of its id are milliseconds since 1970 (RFC 9562, version 7).
fn age(head: &str) -> Option<Duration> {
    let (_, id) = head.split_once(KEY)?;
    let made = Duration::from_millis(u64::from_str_radix(id.get(..12)?, 16).ok()?);
    Some(now().saturating_sub(made))
}

async fn serve(mut stream: TcpStream, book: Arc<Book>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut got = Vec::with_capacity(16 * 1024);
    loop {
        let end = loop {
            if let Some(end) = end_of_request(&got) {
                break end;
            }
            if stream.read_buf(&mut got).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&got[..end]);
        if head.split(' ').nth(1).is_some_and(|path| path.starts_with(DEAD)) {
            // Open until the daemon has enough of it.
            while stream.read_buf(&mut got).await.ok()? > 0 {}
            return None;
        }
        book.note(&head);
        stream.write_all(OK).await.ok()?;
        got.drain(..end);
    }
}

/// Where the first request ends, once all of it is there. Names of headers are in small letters, as the daemon sends them.
fn end_of_request(got: &[u8]) -> Option<usize> {
    let head = got.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&got[..head]).ok()?;
    let (_, length) = text.split_once("\r\ncontent-length: ")?;
    let body: usize = length.split('\r').next()?.parse().ok()?;
    (got.len() >= head + body).then_some(head + body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_length_says() {
        let request = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST";
        assert_eq!(end_of_request(request), Some(request.len() - 4));
        assert_eq!(end_of_request(&request[..39]), None);
    }

    #[test]
    fn an_id_tells_its_age() {
        let now = now().as_millis();
        let head = format!("{KEY}{:012x}7000800000000000000\r\n", now - 5_000);
        assert!((5_000..6_000).contains(&age(&head).unwrap().as_millis()));
    }
}
