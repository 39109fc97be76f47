//! Requests that no HTTP client would send: bytes on a socket, and the head of what comes back.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{client::Client, wait::PATIENCE};

/// Sends `bytes` to the daemon behind `client` and returns the status code and the text of the answer. The daemon may
/// answer before it has read everything.
pub async fn exchange(client: &Client, bytes: &[u8]) -> (u16, String) {
    let address = client.base().trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.expect("the daemon takes a connection");
    let (mut reading, mut writing) = stream.into_split();
    let bytes = bytes.to_vec();
    // A daemon that has heard enough closes the connection: that the rest cannot be written is no failure.
    let writer = tokio::spawn(async move {
        writing.write_all(&bytes).await.ok();
        writing
    });
    let text = timeout(PATIENCE, read_answer(&mut reading)).await.expect("the daemon answers");
    writer.abort();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    (status, text)
}

/// Reads until the head and as much body as it declares are there, or the peer closes.
async fn read_answer(reading: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut got = Vec::new();
    let mut chunk = [0; 4096];
    while !is_whole(&got) {
        match reading.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => got.extend_from_slice(&chunk[..count]),
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn is_whole(got: &[u8]) -> bool {
    let text = String::from_utf8_lossy(got);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let declared =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= declared.unwrap_or(0_usize)
}

/// Sends `bytes` and hangs up without reading.
pub async fn abandon(client: &Client, bytes: &[u8]) {
    let address = client.base().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("the daemon takes a connection");
    stream.write_all(bytes).await.expect("the daemon takes a few bytes");
}
