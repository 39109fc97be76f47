//! A double that takes its time: it holds deliveries, fetches their files, and is asked to end, all until it is told to go on.

use std::{
    env,
    io::{self, Read, Write},
    net::TcpStream,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use serde_json::Value;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::PREFIX;

/// Closed until it is told to let through.
#[derive(Default)]
pub(super) struct Gate {
    open: Mutex<bool>,
    news: Condvar,
}

impl Gate {
    /// Lets through, from now on.
    pub(super) fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_all();
    }

    /// Waits until it does.
    pub(super) fn pass(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.news.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Says how often it was asked to end, and does not end of that.
pub(super) fn hear_terms() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut terms = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            for count in 1.. {
                terms.recv().await;
                println!("asked to end {count}");
            }
        });
    });
    Ok(())
}

/// Fetches the files of a delivery, and says how long each is.
pub(super) fn fetch(delivery: &Value) -> io::Result<()> {
    for part in delivery["parts"].as_array().into_iter().flatten() {
        if let Some(path) = part["attachment"]["download_path"].as_str() {
            println!("fetched {} bytes", get(path)?.len());
        }
    }
    Ok(())
}

fn get(path: &str) -> io::Result<Vec<u8>> {
    let variable = |name: &str| env::var(format!("{PREFIX}{name}")).map_err(io::Error::other);
    let (daemon, token) = (variable("DAEMON_BASE_URL")?, variable("SHARED_TOKEN")?);
    let host = daemon.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer[..head]).into_owned()));
    }
    Ok(answer.split_off(head + 4))
}
